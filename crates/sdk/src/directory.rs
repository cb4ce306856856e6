//! What plugins may look up in the configuration an exchange runs under.

use crate::ErrorPages;
use model::entities::{Consumer, Credential, Uuid};
use std::sync::Arc;

/// Read-only access to the compiled configuration: memory look-ups, no waiting.
pub trait Directory: Send + Sync {
    /// A credential by the key field that its [`crate::CredentialEntity`] names. Keys of records are text: octets that
    /// are no text are nobody's key. A credential whose time is over is not found.
    fn credential(&self, entity: &str, key: &[u8]) -> Option<Arc<Credential>>;

    /// A consumer by id.
    fn consumer(&self, id: &Uuid) -> Option<Arc<Consumer>>;

    /// A consumer by user name.
    fn consumer_by_username(&self, username: &str) -> Option<Arc<Consumer>>;

    /// How error bodies look.
    fn error_pages(&self) -> &ErrorPages {
        const { &ErrorPages::DEFAULT }
    }
}

/// A directory in which nothing is found: for exchanges that have not begun, and for tests.
pub struct Nothing;

impl Directory for Nothing {
    fn credential(&self, _: &str, _: &[u8]) -> Option<Arc<Credential>> {
        None
    }

    fn consumer(&self, _: &Uuid) -> Option<Arc<Consumer>> {
        None
    }

    fn consumer_by_username(&self, _: &str) -> Option<Arc<Consumer>> {
        None
    }
}
