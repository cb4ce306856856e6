//! The consumers in force.

use super::hash_index::HashIndex;
use immutable_chunkmap::map::MapS;
use model::entities::{Consumer, Uuid};
use std::sync::Arc;

/// Consumers by id and by user name. Clones share what does not change.
#[derive(Clone, Default)]
pub(crate) struct Consumers {
    by_id: MapS<Uuid, Arc<Consumer>>,
    /// Names are unique in their workspace only.
    by_username: HashIndex<Consumer>,
}

impl Consumers {
    /// The consumer with that id.
    pub fn get(&self, id: &Uuid) -> Option<&Arc<Consumer>> {
        self.by_id.get(id)
    }

    /// The consumer of a workspace with that user name.
    pub fn find_by_username(&self, workspace: &Uuid, username: &str) -> Option<&Consumer> {
        self.by_username.find(&(workspace, username), is_named(workspace, username)).map(Arc::as_ref)
    }

    /// Puts a consumer in the place of the one with the same id, if there is one.
    pub(super) fn insert(&mut self, consumer: Arc<Consumer>) {
        self.remove(&consumer.id);
        if let Some(username) = &consumer.username {
            let workspace = &consumer.workspace;
            let key = (workspace, username.as_str());
            self.by_username.insert(&key, Arc::clone(&consumer), is_named(workspace, username));
        }
        self.by_id.insert_cow(consumer.id, consumer);
    }

    /// Removes a consumer, if it is there.
    pub(super) fn remove(&mut self, id: &Uuid) {
        let Some(old) = self.by_id.remove_cow(id) else { return };
        if let Some(username) = &old.username {
            // The name may be another's by now.
            self.by_username.remove(&(&old.workspace, username.as_str()), |consumer| consumer.id == *id);
        }
    }
}

fn is_named(workspace: &Uuid, username: &str) -> impl Fn(&Consumer) -> bool {
    move |consumer| consumer.workspace == *workspace && consumer.username.as_deref() == Some(username)
}
