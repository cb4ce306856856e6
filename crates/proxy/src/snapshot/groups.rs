//! The groups of consumers in force, and who is in them.

use super::state::State;
use super::{Map, Snapshot};
use crate::by_workspace::ByWorkspace;
use immutable_chunkmap::map::MapS;
use model::entities::{ConsumerGroup, ConsumerGroupConsumer, Uuid};
use model::{Effect, Record};
use serde_json::Value;
use std::sync::Arc;

/// All groups.
#[derive(Clone, Default)]
pub(crate) struct Groups {
    by_id: Map<Uuid, Arc<ConsumerGroup>>,
    by_name: ByWorkspace<String, Uuid>,
    /// The ids of the groups that consumers are in.
    of_consumers: MapS<Uuid, Arc<[Uuid]>>,
}

impl Groups {
    /// A group by its id.
    pub fn get(&self, id: &Uuid) -> Option<&ConsumerGroup> {
        self.by_id.get(id).map(Arc::as_ref)
    }

    /// A group of a workspace by its name.
    pub fn find(&self, workspace: &Uuid, name: &str) -> Option<&ConsumerGroup> {
        self.get(self.by_name.find(workspace, name)?)
    }

    /// The ids of the groups that a consumer is in.
    pub fn of_consumer(&self, consumer: &Uuid) -> &[Uuid] {
        self.of_consumers.get(consumer).map_or(&[], |ids| ids)
    }

    /// Puts a group in the place of the one that there was, if any.
    pub(super) fn put(&mut self, id: Uuid, new: Option<Arc<ConsumerGroup>>) {
        if let Some(old) = self.by_id.get(&id)
            && self.by_name.find(&old.workspace, &old.name) == Some(&id)
        {
            let (workspace, name) = (old.workspace, old.name.clone());
            self.by_name.remove(&workspace, &name);
        }
        match new {
            Some(group) => {
                self.by_name.insert(group.workspace, group.name.clone(), id);
                self.by_id.insert_mut(id, group);
            }
            None => drop(self.by_id.remove_mut(&id)),
        }
    }

    fn enter(&mut self, of: ConsumerGroupConsumer) {
        let mut ids = self.of_consumer(&of.consumer).to_vec();
        ids.push(of.consumer_group);
        self.of_consumers.insert_cow(of.consumer, ids.into());
    }

    fn leave(&mut self, of: ConsumerGroupConsumer) {
        let mut ids = self.of_consumer(&of.consumer).to_vec();
        if let Some(at) = ids.iter().position(|id| *id == of.consumer_group) {
            ids.swap_remove(at);
        }
        if ids.is_empty() {
            self.of_consumers.remove_cow(&of.consumer);
        } else {
            self.of_consumers.insert_cow(of.consumer, ids.into());
        }
    }
}

impl State {
    /// Takes a record of `consumer_group_consumers`; `None`: it is deleted.
    pub(super) fn take_membership(
        &mut self,
        id: Uuid,
        record: Option<&Record>,
        next: &mut Snapshot,
    ) -> Result<(), String> {
        let new = record.map(ConsumerGroupConsumer::from_record).transpose()?;
        self.put_membership(id, new, next);
        Ok(())
    }

    fn put_membership(&mut self, id: Uuid, new: Option<ConsumerGroupConsumer>, next: &mut Snapshot) {
        if let Some(old) = self.memberships.remove(&id) {
            next.groups.leave(old);
        }
        if let Some(new) = new {
            next.groups.enter(new);
            self.memberships.insert(id, new);
        }
    }

    /// Without its former version nobody knows who is missing in which group, and gets by without its plugins.
    pub(super) fn settle_membership(
        &mut self,
        id: Uuid,
        former: Option<&State>,
        next: &mut Snapshot,
    ) -> Option<Effect> {
        let known = *former.unwrap_or(self).memberships.get(&id)?;
        self.put_membership(id, Some(known), next);
        Some(Effect::Former)
    }
}

impl Snapshot {
    /// A group whose record cannot be used keeps its consumers and its plugins, which know it by its id.
    pub(super) fn settle_group(&mut self, id: Uuid, record: &Record, former: &Snapshot) -> Effect {
        let known = self.groups.by_id.get(&id).or_else(|| former.groups.by_id.get(&id)).cloned();
        let effect = if known.is_some() { Effect::Former } else { Effect::Limited };
        let nameless = || {
            let name = record.get("name").and_then(Value::as_str).map_or_else(|| id.to_string(), str::to_owned);
            let workspace = model::entities::workspace_of(record);
            Arc::new(ConsumerGroup { id, workspace, name, tags: Vec::new(), rates: None })
        };
        self.groups.put(id, Some(known.unwrap_or_else(nameless)));
        effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::entities::DEFAULT_WORKSPACE;

    const ADA: Uuid = Uuid::from_u128(1);

    fn group(n: u128, name: &str) -> Arc<ConsumerGroup> {
        let id = Uuid::from_u128(n);
        Arc::new(ConsumerGroup {
            id,
            workspace: DEFAULT_WORKSPACE,
            name: name.to_owned(),
            tags: Vec::new(),
            rates: None,
        })
    }

    fn of_ada(n: u128) -> ConsumerGroupConsumer {
        ConsumerGroupConsumer { consumer_group: Uuid::from_u128(n), consumer: ADA }
    }

    #[test]
    fn a_name_stays_with_the_group_that_has_it_now() {
        let mut groups = Groups::default();
        let find = |groups: &Groups, name: &str| groups.find(&DEFAULT_WORKSPACE, name).map(|g| g.id.as_u128());
        groups.put(Uuid::from_u128(11), Some(group(11, "gold")));
        groups.put(Uuid::from_u128(12), Some(group(12, "gold")));
        groups.put(Uuid::from_u128(11), Some(group(11, "silver")));
        assert_eq!(find(&groups, "gold"), Some(12));
        assert_eq!(find(&groups, "silver"), Some(11));
        groups.put(Uuid::from_u128(12), None);
        assert_eq!(find(&groups, "gold"), None);
    }

    #[test]
    fn consumers_enter_and_leave() {
        let mut groups = Groups::default();
        groups.enter(of_ada(11));
        groups.enter(of_ada(12));
        let before = groups.clone();
        groups.leave(of_ada(11));
        assert_eq!(groups.of_consumer(&ADA), [Uuid::from_u128(12)]);
        assert_eq!(before.of_consumer(&ADA).len(), 2);
        groups.leave(of_ada(12));
        groups.leave(of_ada(12));
        assert_eq!(groups.of_consumers.len(), 0);
    }
}
