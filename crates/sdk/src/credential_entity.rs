//! Entities by whose records plugins know callers.

use model::Record;
use model::entities::Uuid;
use std::any::Any;
use std::sync::Arc;

/// An entity by whose records a plugin recognises callers, or knows what it has to know of them. The gateway keeps its
/// records in memory.
pub struct CredentialEntity {
    /// The schema as JSON; its `name` is the entity's (`keyauth_credentials`).
    pub schema: &'static str,
    /// The entity's name, as in the schema.
    pub entity: &'static str,
    /// By what records are found.
    pub key: CredentialKey,
    /// Makes of a record what the plugin works with, where that is more than its fields: once, when the record comes
    /// into force (`Credential::parsed`). A record of which nothing can be made is left out, and the node says so.
    pub parse: Option<fn(&Record) -> Result<Parsed, String>>,
}

/// What a plugin has made of a record: a type of its own.
pub type Parsed = Arc<dyn Any + Send + Sync>;

/// By what the records of a [`CredentialEntity`] are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKey {
    /// A unique string field: [`crate::Directory::credential`].
    Field(&'static str),
    /// A string field and a reference, unique together: the same, by [`CredentialKey::pair`].
    Pair(&'static str, &'static str),
    /// The consumer who has them: [`crate::Directory::credentials_of`]. For records without `ttl`.
    Consumer,
}

impl CredentialKey {
    /// The key of a record with that text and that reference.
    pub fn pair(text: &str, reference: Option<&Uuid>) -> String {
        reference.map_or_else(|| format!("/{text}"), |id| format!("{id}/{text}"))
    }

    /// The field by which records are found, if they have one of their own for that.
    pub fn field(self) -> Option<&'static str> {
        match self {
            CredentialKey::Field(field) | CredentialKey::Pair(field, _) => Some(field),
            CredentialKey::Consumer => None,
        }
    }
}
