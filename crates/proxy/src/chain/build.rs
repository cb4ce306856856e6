//! Making chains from instances and their scopes.

use super::{Chain, Instance, PluginSlot};
use model::entities::Uuid;
use std::collections::HashMap;
use std::sync::Arc;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// All plugins that find out who the consumer is have a larger priority, those that act on it a smaller one.
const AFTER_AUTHENTICATION: i32 = 1000;

/// All enabled instances by where they apply. Kept by whoever compiles snapshots.
#[derive(Default)]
pub struct Scopes {
    instances: Map<Uuid, Arc<Instance>>,
    /// Those with neither route nor service, by their workspace: they act on its requests only.
    anywhere: Map<Uuid, Vec<Uuid>>,
    by_route: Map<Uuid, Vec<Uuid>>,
    /// Those with a service and no route.
    by_service: Map<Uuid, Vec<Uuid>>,
}

impl Scopes {
    /// Adds an instance or replaces the one of the same id. Says which scope is touched.
    pub fn put(&mut self, instance: Arc<Instance>) {
        self.remove(&instance.id);
        self.list(&instance).push(instance.id);
        self.instances.insert(instance.id, instance);
    }

    /// Removes an instance; gives it back when it was there.
    pub fn remove(&mut self, id: &Uuid) -> Option<Arc<Instance>> {
        let old = self.instances.remove(id)?;
        let list = self.list(&old);
        list.retain(|other| other != id);
        if list.is_empty() {
            if let Some(route) = &old.route {
                self.by_route.remove(route);
            } else if let Some(service) = &old.service {
                self.by_service.remove(service);
            } else {
                self.anywhere.remove(&old.workspace);
            }
        }
        Some(old)
    }

    /// An instance by its id.
    pub fn get(&self, id: &Uuid) -> Option<&Arc<Instance>> {
        self.instances.get(id)
    }

    /// All instances.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    /// Whether routes of that id have instances of their own.
    pub fn has_route(&self, route: &Uuid) -> bool {
        self.by_route.contains_key(route)
    }

    /// Whether services of that id have instances of their own.
    pub fn has_service(&self, service: &Uuid) -> bool {
        self.by_service.contains_key(service)
    }

    /// The routes with instances of their own.
    pub fn routes(&self) -> impl Iterator<Item = &Uuid> {
        self.by_route.keys()
    }

    /// The services with instances of their own.
    pub fn services(&self) -> impl Iterator<Item = &Uuid> {
        self.by_service.keys()
    }

    /// The workspaces with instances that have neither route nor service.
    pub fn workspaces(&self) -> impl Iterator<Item = &Uuid> {
        self.anywhere.keys()
    }

    /// The chain for a route of that workspace and its service; with neither, that of the global instances.
    pub fn chain(&self, workspace: &Uuid, route: Option<&Uuid>, service: Option<&Uuid>) -> Chain {
        let own =
            |map: &Map<Uuid, Vec<Uuid>>, id: Option<&Uuid>| id.and_then(|id| map.get(id)).cloned().unwrap_or_default();
        let mut candidates: Vec<&Arc<Instance>> = own(&self.anywhere, Some(workspace))
            .iter()
            .chain(&own(&self.by_service, service))
            .chain(&own(&self.by_route, route))
            .filter_map(|id| self.instances.get(id))
            .filter(|i| i.service.is_none() || i.service.as_ref() == service)
            .collect();
        candidates.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| b.name.cmp(&a.name)));
        let mut chain = Chain::default();
        let mut slots = Vec::new();
        for group in candidates.chunk_by(|a, b| a.name == b.name) {
            chain.phases = group.iter().fold(chain.phases, |all, i| all.and(i.phases));
            let slot = slot(group);
            if let Some(priority) = gate(group) {
                slots.push((priority, PluginSlot { is_gate: true, ..slot.clone() }));
            }
            slots.push((group[0].priority, slot));
        }
        // A stable sort: those of equal priority keep the order of their names.
        slots.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        chain.slots = slots.into_iter().map(|(_, slot)| slot).collect();
        chain
    }

    fn list(&mut self, instance: &Instance) -> &mut Vec<Uuid> {
        match (&instance.route, &instance.service) {
            (Some(route), _) => self.by_route.entry(*route).or_default(),
            (None, Some(service)) => self.by_service.entry(*service).or_default(),
            (None, None) => self.anywhere.entry(instance.workspace).or_default(),
        }
    }
}

fn slot(group: &[&Arc<Instance>]) -> PluginSlot {
    let better = |a: &&&Arc<Instance>, b: &&&Arc<Instance>| rank(b).cmp(&rank(a));
    let base = group.iter().filter(|i| i.consumer.is_none()).min_by(better);
    let mut by_consumer: Map<Uuid, Arc<Instance>> = Map::default();
    for &instance in group {
        let Some(consumer) = instance.consumer else { continue };
        let before_base = base.is_none_or(|base| rank(instance) > rank(base));
        let before_other = by_consumer.get(&consumer).is_none_or(|other| rank(instance) > rank(other));
        if before_base && before_other {
            by_consumer.insert(consumer, Arc::clone(instance));
        }
    }
    PluginSlot { is_gate: false, base: base.map(|&i| Arc::clone(i)), by_consumer }
}

/// From which priority on the instances of a plugin that cannot be used refuse requests; `None`: all can be used.
///
/// Before anything else acts, since another plugin might answer (a stored response, say) what the missing one was to
/// prevent or to record. Where it depends on the consumer, as soon as that is known.
fn gate(group: &[&Arc<Instance>]) -> Option<i32> {
    if !group.iter().any(|i| i.refuses) {
        return None;
    }
    let of_consumers = group.iter().any(|i| i.consumer.is_some());
    Some(if of_consumers { AFTER_AUTHENTICATION } else { i32::MAX })
}

/// Kong's order of precedence, from the most specific combination of scopes down to global.
fn rank(instance: &Instance) -> u8 {
    match (instance.route.is_some(), instance.service.is_some(), instance.consumer.is_some()) {
        (true, true, true) => 8,
        (true, false, true) => 7,
        (false, true, true) => 6,
        (true, true, false) => 5,
        (false, false, true) => 4,
        (true, false, false) => 3,
        (false, true, false) => 2,
        (false, false, false) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::entities::{DEFAULT_WORKSPACE, Protocols};
    use sdk::Phases;

    struct Nothing;

    impl sdk::Plugin for Nothing {
        fn phases(&self) -> Phases {
            Phases::ACCESS
        }
    }

    const W: Uuid = DEFAULT_WORKSPACE;
    const R: Uuid = Uuid::from_u128(1);
    const S: Uuid = Uuid::from_u128(2);
    const C: Uuid = Uuid::from_u128(3);

    fn refusing(id: u128, name: &'static str, priority: i32, scope: (bool, bool, bool)) -> Arc<Instance> {
        let mut instance = Arc::into_inner(instance(id, name, priority, scope)).unwrap();
        (instance.refuses, instance.plugin) = (true, Box::new(crate::chain::Refusal));
        Arc::new(instance)
    }

    fn instance(id: u128, name: &'static str, priority: i32, scope: (bool, bool, bool)) -> Arc<Instance> {
        Arc::new(Instance {
            id: Uuid::from_u128(id),
            workspace: W,
            name: name.into(),
            priority,
            route: scope.0.then_some(R),
            service: scope.1.then_some(S),
            consumer: scope.2.then_some(C),
            protocols: Protocols::default(),
            phases: Phases::ACCESS,
            refuses: false,
            plugin: Box::new(Nothing),
        })
    }

    #[test]
    fn the_most_specific_scope_wins_in_kongs_order() {
        // In the order of precedence: each must win over all that follow it.
        let order = [
            (true, true, true),
            (true, false, true),
            (false, true, true),
            (true, true, false),
            (false, false, true),
            (true, false, false),
            (false, true, false),
            (false, false, false),
        ];
        for from in 0..order.len() {
            let mut scopes = Scopes::default();
            for (n, scope) in order.iter().enumerate().skip(from).rev() {
                scopes.put(instance(100 + n as u128, "p", 1, *scope));
            }
            let chain = scopes.chain(&W, Some(&R), Some(&S));
            assert_eq!(chain.slots[0].select(Some(&C)).unwrap().id.as_u128(), 100 + from as u128);
        }
    }

    #[test]
    fn without_the_consumer_its_instances_do_not_count() {
        let mut scopes = Scopes::default();
        scopes.put(instance(1, "p", 1, (false, false, true)));
        assert!(scopes.chain(&W, None, None).slots[0].select(None).is_none());
        scopes.put(instance(2, "p", 1, (false, true, false)));
        assert!(scopes.chain(&W, None, None).slots[0].select(None).is_none());
        let chain = scopes.chain(&W, Some(&R), Some(&S));
        assert_eq!(chain.slots[0].select(None).unwrap().id.as_u128(), 2);
        assert_eq!(chain.slots[0].select(Some(&C)).unwrap().id.as_u128(), 1);
    }

    fn names(chain: &Chain) -> Vec<String> {
        let name = |slot: &PluginSlot| {
            let instance = slot.base.as_ref().or(slot.by_consumer.values().next()).unwrap();
            format!("{}{}", instance.name, if slot.is_gate { "!" } else { "" })
        };
        chain.slots.iter().map(name).collect()
    }

    #[test]
    fn what_refuses_comes_before_anything_that_might_answer() {
        let mut scopes = Scopes::default();
        scopes.put(instance(1, "auth", 1200, (false, false, false)));
        scopes.put(instance(2, "cache", 100, (false, false, false)));
        scopes.put(refusing(3, "log", 10, (true, false, false)));
        assert_eq!(names(&scopes.chain(&W, None, None)), ["auth", "cache"]);
        assert_eq!(names(&scopes.chain(&W, Some(&R), None)), ["log!", "auth", "cache", "log"]);
        scopes.put(instance(4, "log", 10, (false, false, true)));
        let chain = scopes.chain(&W, Some(&R), None);
        assert_eq!(names(&chain), ["auth", "log!", "cache", "log"], "only the consumer decides");
        assert!(chain.slots[1].select(None).unwrap().refuses);
        scopes.put(instance(5, "log", 10, (true, false, true)));
        let chain = scopes.chain(&W, Some(&R), None);
        assert!(!chain.slots[1].select(Some(&C)).unwrap().refuses, "the consumer has one that can be used");
        assert!(chain.slots[1].select(None).unwrap().refuses);
    }

    #[test]
    fn chains_are_sorted_by_priority_and_forget_what_is_removed() {
        let mut scopes = Scopes::default();
        scopes.put(instance(1, "low", 1, (false, false, false)));
        scopes.put(instance(2, "high", 9, (true, false, false)));
        assert_eq!(names(&scopes.chain(&W, Some(&R), None)), ["high", "low"]);
        assert!(scopes.has_route(&R));
        scopes.remove(&Uuid::from_u128(2));
        assert!(!scopes.has_route(&R) && scopes.chain(&W, Some(&R), None).slots.len() == 1);
    }
}
