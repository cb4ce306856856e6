//! Making chains from instances and their scopes.

use super::order::access_order;
use super::{Chain, Instance, PluginSlot};
use model::entities::Uuid;
use sdk::Phases;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// All plugins that find out who the consumer is have a larger priority, those that act on it a smaller one.
const AUTHENTICATION: i32 = 1000;

/// Where those instances of a plugin that cannot be used refuse requests.
enum Gate {
    First,
    AfterAuthentication,
}

/// All enabled instances by where they apply. Kept by whoever compiles snapshots.
#[derive(Default)]
pub struct Scopes {
    instances: Map<Uuid, Arc<Instance>>,
    /// Those with neither route nor service, by their workspace: they act on its requests only.
    anywhere: Map<Uuid, Vec<Uuid>>,
    by_route: Map<Uuid, Vec<Uuid>>,
    /// Those with a service and no route.
    by_service: Map<Uuid, Vec<Uuid>>,
    /// Those that have clients asked for a certificate.
    asking: HashSet<Uuid>,
}

impl Scopes {
    /// Adds an instance or replaces the one of the same id. Says which scope is touched.
    pub fn put(&mut self, instance: Arc<Instance>) {
        self.remove(&instance.id);
        self.list(&instance).push(instance.id);
        if instance.request.is_some() {
            self.asking.insert(instance.id);
        }
        self.instances.insert(instance.id, instance);
    }

    /// Removes an instance; gives it back when it was there.
    pub fn remove(&mut self, id: &Uuid) -> Option<Arc<Instance>> {
        let old = self.instances.remove(id)?;
        self.asking.remove(id);
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

    /// The instances that have clients asked for a certificate.
    pub fn asking(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.asking.iter().filter_map(|id| self.instances.get(id))
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
        let plugins: Vec<&[&Arc<Instance>]> = candidates.chunk_by(|a, b| a.name == b.name).collect();
        let order = access_order(&plugins);
        let mut chain = Chain { is_reordered: !order.is_sorted(), ..Chain::default() };
        let (mut first, mut after_authentication, mut known_by) = (Vec::new(), Vec::new(), 0);
        for &place in &order {
            let plugin = plugins[place];
            let slot = slot(plugin);
            match gate(plugin) {
                Some(Gate::First) => first.push(PluginSlot { is_gate: true, ..slot.clone() }),
                Some(Gate::AfterAuthentication) => {
                    after_authentication.push(PluginSlot { is_gate: true, ..slot.clone() });
                }
                None => {}
            }
            chain.slots.push(slot);
            if plugin[0].priority >= AUTHENTICATION {
                known_by = chain.slots.len();
            }
        }
        chain.slots.splice(known_by..known_by, after_authentication);
        chain.slots.splice(0..0, first);
        chain.phases = candidates.iter().fold(Phases::NONE, |all, i| all.and(i.phases));
        let bases = |phase| {
            let bases = plugins.iter().filter_map(|plugin| base(plugin));
            bases.filter(move |i| i.phases.has(phase)).map(Arc::clone).collect()
        };
        chain.rewriting = bases(Phases::REWRITE);
        chain.certifying = bases(Phases::CERTIFICATE);
        chain.connecting = bases(Phases::HANDSHAKE);
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

/// The instance for everybody.
fn base<'i>(plugin: &[&'i Arc<Instance>]) -> Option<&'i Arc<Instance>> {
    let better = |a: &&Arc<Instance>, b: &&Arc<Instance>| b.rank().cmp(&a.rank());
    plugin.iter().copied().filter(|i| i.consumer.is_none() && i.consumer_group.is_none()).min_by(better)
}

fn slot(plugin: &[&Arc<Instance>]) -> PluginSlot {
    let base = base(plugin);
    let (mut by_consumer, mut by_group): (Map<Uuid, Arc<Instance>>, Map<Uuid, Arc<Instance>>) = Default::default();
    for &instance in plugin {
        let (map, id) = match (instance.consumer, instance.consumer_group) {
            (Some(consumer), _) => (&mut by_consumer, consumer),
            (None, Some(consumer_group)) => (&mut by_group, consumer_group),
            (None, None) => continue,
        };
        let before_base = base.is_none_or(|base| instance.rank() > base.rank());
        let before_other = map.get(&id).is_none_or(|other| instance.rank() > other.rank());
        if before_base && before_other {
            map.insert(id, Arc::clone(instance));
        }
    }
    PluginSlot { is_gate: false, base: base.map(Arc::clone), by_consumer, by_group }
}

/// Where the instances of a plugin that cannot be used refuse requests; `None`: all can be used.
///
/// Before anything else acts, since another plugin might answer (a stored response, say) what the missing one was to
/// prevent or to record. Where it depends on the consumer, as soon as that is known.
fn gate(plugin: &[&Arc<Instance>]) -> Option<Gate> {
    if !plugin.iter().any(|i| i.refuses) {
        return None;
    }
    let of_consumers = plugin.iter().any(|i| i.consumer.is_some() || i.consumer_group.is_some());
    Some(if of_consumers { Gate::AfterAuthentication } else { Gate::First })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::entities::{DEFAULT_WORKSPACE, Ordering, Protocols};

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
    const G: Uuid = Uuid::from_u128(4);
    const H: Uuid = Uuid::from_u128(5);

    fn refusing(id: u128, name: &'static str, priority: i32, scope: &str) -> Arc<Instance> {
        let mut instance = Arc::into_inner(instance(id, name, priority, scope)).unwrap();
        (instance.refuses, instance.plugin) = (true, Box::new(crate::chain::Refusal));
        Arc::new(instance)
    }

    /// `scope` has a letter for each of the constants above that the instance is for.
    fn instance(id: u128, name: &'static str, priority: i32, scope: &str) -> Arc<Instance> {
        let one = |letter: char, id: Uuid| scope.contains(letter).then_some(id);
        Arc::new(Instance {
            id: Uuid::from_u128(id),
            workspace: W,
            name: name.into(),
            priority,
            route: one('R', R),
            service: one('S', S),
            consumer: one('C', C),
            consumer_group: one('G', G).or(one('H', H)),
            protocols: Protocols::default(),
            ordering: Ordering::default(),
            condition: None,
            phases: Phases::ACCESS,
            request: None,
            refuses: false,
            plugin: Box::new(Nothing),
        })
    }

    /// The same with `before` and `after`.
    fn ordered(id: u128, name: &'static str, priority: i32, before: &[&str], after: &[&str]) -> Arc<Instance> {
        let mut instance = Arc::into_inner(instance(id, name, priority, "")).unwrap();
        let [before, after] = [before, after].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        (instance.ordering, instance.phases) = (Ordering { before, after }, Phases::REWRITE);
        Arc::new(instance)
    }

    /// The chain of instances of one plugin, numbered from 100.
    fn chain_of(all: &[&str]) -> Chain {
        let mut scopes = Scopes::default();
        for (n, scope) in all.iter().enumerate().rev() {
            scopes.put(instance(100 + n as u128, "p", 1, scope));
        }
        scopes.chain(&W, Some(&R), Some(&S))
    }

    fn selected(chain: &Chain, consumer: Option<&Uuid>, groups: &[Uuid]) -> Option<u128> {
        chain.slots.first()?.select(consumer, groups).map(|instance| instance.id.as_u128())
    }

    #[test]
    fn the_most_specific_scope_wins_in_kongs_order() {
        // In the order of precedence: each must win over all that follow it.
        let order = ["RSC", "RSG", "RC", "SC", "RG", "SG", "RS", "C", "G", "R", "S", ""];
        for from in 0..order.len() {
            assert_eq!(selected(&chain_of(&order[from..]), Some(&C), &[G]), Some(100), "{}", order[from]);
        }
    }

    #[test]
    fn of_several_groups_the_first_with_an_instance_counts() {
        let chain = chain_of(&["G", "H", "R"]);
        assert_eq!(selected(&chain, Some(&C), &[G, H]), Some(100));
        assert_eq!(selected(&chain, Some(&C), &[H, G]), Some(101));
        assert_eq!(selected(&chain, None, &[S, H]), Some(101));
        assert_eq!(selected(&chain, Some(&C), &[]), Some(102));
        assert_eq!(selected(&chain_of(&["RH", "G"]), Some(&C), &[G, H]), Some(100), "the more specific one before");
    }

    #[test]
    fn without_the_consumer_its_instances_do_not_count() {
        let mut scopes = Scopes::default();
        scopes.put(instance(1, "p", 1, "C"));
        scopes.put(instance(3, "p", 1, "G"));
        assert!(scopes.chain(&W, None, None).slots[0].select(None, &[]).is_none());
        scopes.put(instance(2, "p", 1, "S"));
        assert!(scopes.chain(&W, None, None).slots[0].select(None, &[]).is_none());
        let chain = scopes.chain(&W, Some(&R), Some(&S));
        assert_eq!(selected(&chain, None, &[]), Some(2));
        assert_eq!(selected(&chain, Some(&C), &[]), Some(1));
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
        scopes.put(instance(1, "auth", 1200, ""));
        scopes.put(instance(2, "cache", 100, ""));
        scopes.put(refusing(3, "log", 10, "R"));
        assert_eq!(names(&scopes.chain(&W, None, None)), ["auth", "cache"]);
        assert_eq!(names(&scopes.chain(&W, Some(&R), None)), ["log!", "auth", "cache", "log"]);
        for of_some in ["C", "G"] {
            scopes.put(instance(4, "log", 10, of_some));
            let chain = scopes.chain(&W, Some(&R), None);
            assert_eq!(names(&chain), ["auth", "log!", "cache", "log"], "only the consumer decides");
            assert!(chain.slots[1].select(None, &[]).unwrap().refuses);
        }
        scopes.put(instance(5, "log", 10, "RC"));
        let chain = scopes.chain(&W, Some(&R), None);
        assert!(!chain.slots[1].select(Some(&C), &[]).unwrap().refuses, "the consumer has one that can be used");
        assert!(chain.slots[1].select(None, &[]).unwrap().refuses);
    }

    /// The names of `all` in the order of the access phase.
    fn order(all: &[Arc<Instance>]) -> Vec<String> {
        let mut scopes = Scopes::default();
        all.iter().for_each(|instance| scopes.put(Arc::clone(instance)));
        let chain = scopes.chain(&W, None, None);
        let rewriting: Vec<i32> = chain.rewriting.iter().map(|instance| instance.priority).collect();
        assert!(rewriting.is_sorted_by(|a, b| a >= b), "other phases go by priority");
        let names = names(&chain);
        let mut sorted = all.to_vec();
        sorted.sort_by_key(|instance| std::cmp::Reverse(instance.priority));
        assert_eq!(chain.is_reordered, !sorted.iter().map(|instance| &*instance.name).eq(&names));
        names
    }

    #[test]
    fn plugins_act_before_and_after_others_as_they_say() {
        let (auth, acl, limit) = (instance(1, "auth", 1200, ""), instance(2, "acl", 950, ""), 910);
        let all = |ordered: Arc<Instance>| [auth.clone(), acl.clone(), ordered];
        assert_eq!(order(&all(ordered(3, "limit", limit, &[], &[]))), ["auth", "acl", "limit"]);
        assert_eq!(order(&all(ordered(3, "limit", limit, &["auth"], &[]))), ["limit", "auth", "acl"]);
        assert_eq!(order(&all(ordered(3, "limit", limit, &["acl"], &[]))), ["auth", "limit", "acl"]);
        assert_eq!(order(&all(ordered(3, "limit", limit, &["none"], &["auth"]))), ["auth", "acl", "limit"]);
        let late = ordered(1, "auth", 1200, &[], &["transformer"]);
        let transformer = instance(4, "transformer", 801, "");
        assert_eq!(order(&[late, acl.clone(), transformer]), ["transformer", "auth", "acl"]);
    }

    #[test]
    fn what_is_before_itself_goes_by_priority() {
        let circle =
            [ordered(1, "a", 3, &[], &["b"]), ordered(2, "b", 2, &[], &["c"]), ordered(3, "c", 1, &[], &["a"])];
        assert_eq!(order(&circle), ["c", "b", "a"]);
        assert_eq!(order(&[ordered(1, "a", 3, &["a"], &["a"]), instance(2, "b", 2, "")]), ["a", "b"]);
    }

    #[test]
    fn whoever_depends_on_the_consumer_is_asked_when_it_is_known() {
        let mut scopes = Scopes::default();
        scopes.put(instance(1, "auth", 1200, ""));
        scopes.put(ordered(2, "cache", 100, &["auth"], &[]));
        scopes.put(refusing(3, "log", 10, "G"));
        scopes.put(refusing(4, "log", 10, ""));
        assert_eq!(names(&scopes.chain(&W, None, None)), ["cache", "auth", "log!", "log"]);
    }

    #[test]
    fn chains_are_sorted_by_priority_and_forget_what_is_removed() {
        let mut scopes = Scopes::default();
        scopes.put(instance(1, "low", 1, ""));
        scopes.put(instance(2, "high", 9, "R"));
        assert_eq!(names(&scopes.chain(&W, Some(&R), None)), ["high", "low"]);
        assert!(scopes.has_route(&R));
        scopes.remove(&Uuid::from_u128(2));
        assert!(!scopes.has_route(&R) && scopes.chain(&W, Some(&R), None).slots.len() == 1);
    }
}
