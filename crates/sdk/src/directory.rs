//! What plugins may look up in the configuration an exchange runs under.

use crate::{CertificateDer, ErrorPages, SnapshotRef};
use model::entities::{Consumer, ConsumerGroup, Credential, Uuid};
use std::rc::Rc;
use std::sync::Arc;

/// Read-only access to the compiled configuration: memory look-ups, no waiting. A clone is one count of the worker's
/// own. Keys and names are unique in their workspace only; [`Exchange`](crate::Exchange) asks for its own.
#[derive(Clone)]
pub struct Directory(Rc<dyn Configuration>);

/// Who answers a [`Directory`]: a worker's view of the configuration. What it gives keeps it alive.
pub trait Configuration {
    /// See [`Directory::credential`].
    fn credential(self: Rc<Self>, workspace: &Uuid, entity: &str, key: &[u8]) -> Option<SnapshotRef<Credential>>;

    /// See [`Directory::credentials_of`].
    fn credentials_of(self: Rc<Self>, entity: &str, consumer: &Uuid) -> Option<SnapshotRef<[Arc<Credential>]>>;

    /// See [`Directory::consumer`].
    fn consumer(self: Rc<Self>, workspace: &Uuid, id: &Uuid) -> Option<SnapshotRef<Consumer>>;

    /// See [`Directory::consumer_by_username`].
    fn consumer_by_username(self: Rc<Self>, workspace: &Uuid, username: &str) -> Option<SnapshotRef<Consumer>>;

    /// See [`Directory::consumer_groups`].
    fn consumer_groups(self: Rc<Self>, _consumer: &Uuid) -> Vec<SnapshotRef<ConsumerGroup>> {
        Vec::new()
    }

    /// See [`Directory::consumer_group_by_name`].
    fn consumer_group_by_name(self: Rc<Self>, _workspace: &Uuid, _name: &str) -> Option<SnapshotRef<ConsumerGroup>> {
        None
    }

    /// See [`Directory::authority`].
    fn authority(self: Rc<Self>, _id: &Uuid) -> Option<SnapshotRef<CertificateDer<'static>>> {
        None
    }

    /// See [`Directory::workspace_name`].
    fn workspace_name(&self, _id: &Uuid) -> Option<&str> {
        None
    }

    /// See [`Directory::upstream_is_available`].
    fn upstream_is_available(&self, _workspace: &Uuid, _name: &str) -> bool {
        true
    }

    /// See [`Directory::has_upstream`].
    fn has_upstream(&self, _workspace: &Uuid, _name: &str) -> bool {
        false
    }

    /// See [`Directory::error_pages`].
    fn error_pages(&self) -> &ErrorPages {
        const { &ErrorPages::DEFAULT }
    }
}

impl Directory {
    /// The directory of that configuration.
    pub fn new(configuration: Rc<dyn Configuration>) -> Directory {
        Directory(configuration)
    }

    /// A directory in which nothing is found: for exchanges that have not begun, and for tests.
    pub fn empty() -> Directory {
        Directory(Rc::new(Nothing))
    }

    /// A credential of a workspace by the field that its [`crate::CredentialEntity`] names as key. Keys of records are
    /// text: octets that are no text are nobody's key. A credential whose time is over is not found.
    pub fn credential(&self, workspace: &Uuid, entity: &str, key: &[u8]) -> Option<SnapshotRef<Credential>> {
        Rc::clone(&self.0).credential(workspace, entity, key)
    }

    /// What a consumer has of an entity whose records are found by their consumers, sorted by id; `None`: nothing.
    pub fn credentials_of(&self, entity: &str, consumer: &Uuid) -> Option<SnapshotRef<[Arc<Credential>]>> {
        Rc::clone(&self.0).credentials_of(entity, consumer)
    }

    /// A consumer of a workspace by id.
    pub fn consumer(&self, workspace: &Uuid, id: &Uuid) -> Option<SnapshotRef<Consumer>> {
        Rc::clone(&self.0).consumer(workspace, id)
    }

    /// A consumer of a workspace by user name.
    pub fn consumer_by_username(&self, workspace: &Uuid, username: &str) -> Option<SnapshotRef<Consumer>> {
        Rc::clone(&self.0).consumer_by_username(workspace, username)
    }

    /// The groups that a consumer is in, sorted by name.
    pub fn consumer_groups(&self, consumer: &Uuid) -> Vec<SnapshotRef<ConsumerGroup>> {
        Rc::clone(&self.0).consumer_groups(consumer)
    }

    /// A consumer group of a workspace by its name.
    pub fn consumer_group_by_name(&self, workspace: &Uuid, name: &str) -> Option<SnapshotRef<ConsumerGroup>> {
        Rc::clone(&self.0).consumer_group_by_name(workspace, name)
    }

    /// The certificate of an authority (`ca_certificates`) by id.
    pub fn authority(&self, id: &Uuid) -> Option<SnapshotRef<CertificateDer<'static>>> {
        Rc::clone(&self.0).authority(id)
    }

    /// The name of a workspace.
    pub fn workspace_name(&self, id: &Uuid) -> Option<&str> {
        self.0.workspace_name(id)
    }

    /// Whether requests can go to that upstream of a workspace: one of its targets is healthy. A name that is none of
    /// an upstream is a host, of which nothing is known.
    pub fn upstream_is_available(&self, workspace: &Uuid, name: &str) -> bool {
        self.0.upstream_is_available(workspace, name)
    }

    /// Whether there is an upstream of that name in a workspace.
    pub fn has_upstream(&self, workspace: &Uuid, name: &str) -> bool {
        self.0.has_upstream(workspace, name)
    }

    /// How error bodies look.
    pub fn error_pages(&self) -> &ErrorPages {
        self.0.error_pages()
    }
}

struct Nothing;

impl Configuration for Nothing {
    fn credential(self: Rc<Self>, _: &Uuid, _: &str, _: &[u8]) -> Option<SnapshotRef<Credential>> {
        None
    }

    fn credentials_of(self: Rc<Self>, _: &str, _: &Uuid) -> Option<SnapshotRef<[Arc<Credential>]>> {
        None
    }

    fn consumer(self: Rc<Self>, _: &Uuid, _: &Uuid) -> Option<SnapshotRef<Consumer>> {
        None
    }

    fn consumer_by_username(self: Rc<Self>, _: &Uuid, _: &str) -> Option<SnapshotRef<Consumer>> {
        None
    }
}
