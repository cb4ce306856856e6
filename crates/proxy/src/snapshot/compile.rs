//! Making the next snapshot from the last one and what has changed.
//!
//! The compiler runs on the control runtime. A record that cannot be compiled is reported and left out; everything
//! else takes effect.

use super::{Chains, Map, Snapshot};
use crate::balancer::Balancers;
use crate::chain::{Instance, Scopes};
use crate::router::{Flavor, Router};
use crate::tls::{self, Certificates, Identity, Outbound, TrustCompiler};
use model::Record;
use model::entities::{Consumer, Credential, Plugin, Route, Service, Target, Upstream, Uuid};
use sdk::{CredentialEntity, Env, ErrorPages, PluginKind};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// One record that was put (created or changed) or deleted.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub deleted: bool,
    /// The entity's name, such as `routes`.
    pub entity: &'a str,
    /// What the record is; for a deletion, what it was.
    pub record: &'a Record,
}

/// Holds what is needed to make the next snapshot.
pub struct Compiler {
    flavor: Flavor,
    kinds: &'static [&'static dyn PluginKind],
    env: Env,
    balancers: Balancers,
    scopes: Scopes,
    services: HashMap<Uuid, Arc<Service>, foldhash::fast::RandomState>,
    routes: HashMap<Uuid, Arc<Route>, foldhash::fast::RandomState>,
    routes_of_service: HashMap<Uuid, HashSet<Uuid>, foldhash::fast::RandomState>,
    /// The key under which a credential is indexed, by its id.
    credential_keys: HashMap<Uuid, String, foldhash::fast::RandomState>,
    /// What the balancers know of.
    upstreams: HashSet<Uuid>,
    targets: HashSet<Uuid>,
    trust: TrustCompiler,
    /// While everything is replaced: the certificates there were, since those that stay are kept.
    former: Option<Certificates>,
    current: Arc<Snapshot>,
}

/// What a batch of changes touches.
#[derive(Default)]
struct Batch {
    put_routes: HashSet<Uuid>,
    removed_routes: Vec<Uuid>,
    put_upstreams: HashMap<Uuid, Arc<Upstream>>,
    removed_upstreams: Vec<Uuid>,
    put_targets: HashMap<Uuid, Arc<Target>>,
    removed_targets: Vec<Uuid>,
    /// Chains that must be made anew.
    chain_of_route: HashSet<Uuid>,
    chain_of_service: HashSet<Uuid>,
    all_chains: bool,
    certificates: bool,
}

impl Compiler {
    /// A compiler whose current snapshot is empty.
    pub fn new(
        flavor: Flavor,
        kinds: &'static [&'static dyn PluginKind],
        env: Env,
        balancers: Balancers,
        certificates: Certificates,
        outbound: Outbound,
        error_pages: ErrorPages,
    ) -> Compiler {
        balancers.secure(&outbound, &certificates);
        let current = empty(flavor, certificates, outbound, Arc::new(error_pages));
        Compiler {
            flavor,
            kinds,
            env,
            balancers,
            scopes: Scopes::default(),
            services: HashMap::default(),
            routes: HashMap::default(),
            routes_of_service: HashMap::default(),
            credential_keys: HashMap::default(),
            upstreams: HashSet::new(),
            targets: HashSet::new(),
            trust: TrustCompiler::default(),
            former: None,
            current: Arc::new(current),
        }
    }

    /// The snapshot in force.
    pub fn current(&self) -> &Arc<Snapshot> {
        &self.current
    }

    /// The snapshot after a batch of changes, in their order.
    pub fn apply(&mut self, changes: &[Change<'_>]) -> Arc<Snapshot> {
        let mut next = Snapshot::clone(&self.current);
        let mut batch = Batch::default();
        for change in changes {
            if let Err(error) = self.take(change, &mut next, &mut batch) {
                let id = change.record.get("id").and_then(serde_json::Value::as_str).unwrap_or("?");
                tracing::error!(entity = change.entity, id, "a record cannot be used and is left out: {error}");
            }
        }
        self.finish_routes(&mut next, &batch);
        self.finish_chains(&mut next, &batch);
        self.trust.finish(|id| self.services.get(id).map(Arc::as_ref), &mut next.outbound);
        if batch.certificates {
            self.balancers.secure(&next.outbound, &next.certificates);
        }
        let upstreams: Vec<_> = batch.put_upstreams.into_values().collect();
        let targets: Vec<_> = batch.put_targets.into_values().collect();
        if !(upstreams.is_empty()
            && targets.is_empty()
            && batch.removed_upstreams.is_empty()
            && batch.removed_targets.is_empty())
        {
            self.balancers.apply(&upstreams, &targets, &batch.removed_upstreams, &batch.removed_targets);
        }
        self.current = Arc::new(next);
        Arc::clone(&self.current)
    }

    /// The snapshot of exactly these records, whatever there was before. What outlives changes outlives this one too:
    /// counters of plugins, health and position of upstreams that are still there.
    pub fn replace(&mut self, records: &[Change<'_>]) -> Arc<Snapshot> {
        self.scopes = Scopes::default();
        self.services.clear();
        self.routes.clear();
        self.routes_of_service.clear();
        self.credential_keys.clear();
        self.trust.restart();
        self.former = Some(self.current.certificates.clone());
        let (upstreams, targets) = (std::mem::take(&mut self.upstreams), std::mem::take(&mut self.targets));
        self.current = Arc::new(empty(
            self.flavor,
            self.current.certificates.emptied(),
            self.current.outbound.emptied(),
            Arc::clone(&self.current.error_pages),
        ));
        let next = self.apply(records);
        if let Some(former) = self.former.take() {
            next.certificates.retire_rest(&former);
        }
        self.balancers.secure(&next.outbound, &next.certificates);
        let gone_upstreams: Vec<Uuid> = upstreams.difference(&self.upstreams).copied().collect();
        let gone_targets: Vec<Uuid> = targets.difference(&self.targets).copied().collect();
        if !(gone_upstreams.is_empty() && gone_targets.is_empty()) {
            self.balancers.apply(&[], &[], &gone_upstreams, &gone_targets);
        }
        next
    }

    /// The snapshot with the same configuration and other settings of TLS: what clients get who name no known server,
    /// and how services are connected to.
    pub fn reload_tls(
        &mut self,
        default: Option<Arc<Identity>>,
        services: tls::Services,
    ) -> Result<Arc<Snapshot>, String> {
        let mut next = Snapshot::clone(&self.current);
        next.certificates.reload_tls(default);
        next.outbound = self.current.outbound.with_settings(services)?;
        self.trust.reload_tls(self.services.values().map(Arc::as_ref), next.outbound.asks_same(&self.current.outbound));
        self.trust.finish(|id| self.services.get(id).map(Arc::as_ref), &mut next.outbound);
        self.balancers.secure(&next.outbound, &next.certificates);
        self.current = Arc::new(next);
        Ok(Arc::clone(&self.current))
    }

    fn take(&mut self, change: &Change<'_>, next: &mut Snapshot, batch: &mut Batch) -> Result<(), String> {
        let record = change.record;
        match change.entity {
            "services" => self.take_service(change, batch),
            "routes" => self.take_route(change, batch),
            "upstreams" => {
                let upstream = Upstream::from_record(record)?;
                if change.deleted {
                    self.upstreams.remove(&upstream.id);
                    batch.put_upstreams.remove(&upstream.id);
                    batch.removed_upstreams.push(upstream.id);
                } else {
                    self.upstreams.insert(upstream.id);
                    batch.put_upstreams.insert(upstream.id, Arc::new(upstream));
                }
                Ok(())
            }
            "targets" => {
                let target = Target::from_record(record)?;
                if change.deleted {
                    self.targets.remove(&target.id);
                    batch.put_targets.remove(&target.id);
                    batch.removed_targets.push(target.id);
                } else {
                    self.targets.insert(target.id);
                    batch.put_targets.insert(target.id, Arc::new(target));
                }
                Ok(())
            }
            "consumers" => take_consumer(change, next),
            "plugins" => self.take_plugin(change, batch),
            "certificates" => {
                batch.certificates = true;
                next.certificates.take_certificate(record, change.deleted, self.former.as_ref())
            }
            "ca_certificates" => self.trust.take_authority(record, change.deleted),
            "snis" => next.certificates.take_sni(record, change.deleted),
            other => match credential_entity(self.kinds, other) {
                Some(entity) => self.take_credential(entity, change, next),
                None => Ok(()),
            },
        }
    }

    fn take_service(&mut self, change: &Change<'_>, batch: &mut Batch) -> Result<(), String> {
        let service = Service::from_record(change.record)?;
        let id = service.id;
        let old = self.services.get(&id).map(Arc::as_ref);
        self.trust.touch(id, old, Some(&service).filter(|_| !change.deleted));
        if change.deleted {
            self.services.remove(&id);
        } else {
            self.services.insert(id, Arc::new(service));
        }
        batch.put_routes.extend(self.routes_of_service.get(&id).into_iter().flatten());
        Ok(())
    }

    fn take_route(&mut self, change: &Change<'_>, batch: &mut Batch) -> Result<(), String> {
        let route = Route::from_record(change.record)?;
        let id = route.id;
        if let Some(service) = self.routes.get(&id).and_then(|old| old.service)
            && let Some(routes) = self.routes_of_service.get_mut(&service)
        {
            routes.remove(&id);
            if routes.is_empty() {
                self.routes_of_service.remove(&service);
            }
        }
        batch.chain_of_route.insert(id);
        if change.deleted {
            self.routes.remove(&id);
            batch.put_routes.remove(&id);
            batch.removed_routes.push(id);
        } else {
            if let Some(service) = route.service {
                self.routes_of_service.entry(service).or_default().insert(id);
            }
            self.routes.insert(id, Arc::new(route));
            batch.put_routes.insert(id);
        }
        Ok(())
    }

    fn take_plugin(&mut self, change: &Change<'_>, batch: &mut Batch) -> Result<(), String> {
        let plugin = Plugin::from_record(change.record)?;
        if let Some(old) = self.scopes.remove(&plugin.id) {
            batch.touch(old.route.as_ref(), old.service.as_ref());
        }
        if change.deleted || !plugin.enabled {
            return Ok(());
        }
        let kind = self
            .kinds
            .iter()
            .find(|k| k.name() == plugin.name)
            .ok_or_else(|| format!("no plugin '{}' on this node", plugin.name))?;
        let instance = kind.configure(&plugin, &self.env)?;
        batch.touch(plugin.route.as_ref(), plugin.service.as_ref());
        self.scopes.put(Arc::new(Instance {
            id: plugin.id,
            name: kind.name(),
            priority: kind.priority(),
            route: plugin.route,
            service: plugin.service,
            consumer: plugin.consumer,
            protocols: plugin.protocols,
            phases: instance.phases(),
            plugin: instance,
        }));
        Ok(())
    }

    fn take_credential(
        &mut self,
        entity: &'static CredentialEntity,
        change: &Change<'_>,
        next: &mut Snapshot,
    ) -> Result<(), String> {
        let credential = Credential::from_record(change.record)?;
        let mut index = next.credentials.get(entity.entity).cloned().unwrap_or_default();
        if let Some(old) = self.credential_keys.remove(&credential.id)
            && index.get(&old).is_some_and(|c| c.id == credential.id)
        {
            index.remove_mut(&old);
        }
        if !change.deleted {
            let key = change
                .record
                .get(entity.key)
                .and_then(serde_json::Value::as_str)
                .ok_or_else(|| format!("{}: missing", entity.key))?;
            self.credential_keys.insert(credential.id, key.to_owned());
            index.insert_mut(key.to_owned(), Arc::new(credential));
        }
        next.credentials.insert_mut(entity.entity, index);
        Ok(())
    }

    fn finish_routes(&mut self, next: &mut Snapshot, batch: &Batch) {
        let put: Vec<_> = batch
            .put_routes
            .iter()
            .filter_map(|id| self.routes.get(id))
            .map(|route| (Arc::clone(route), route.service.and_then(|id| self.services.get(&id)).cloned()))
            .collect();
        let removed: Vec<Uuid> =
            batch.removed_routes.iter().filter(|id| !batch.put_routes.contains(id)).copied().collect();
        if put.is_empty() && removed.is_empty() {
            return;
        }
        let (router, errors) = next.router.apply(&put, &removed);
        for (id, error) in errors {
            tracing::error!(entity = "routes", %id, "a route cannot be used and is left out: {error}");
        }
        next.router = router;
    }

    fn finish_chains(&mut self, next: &mut Snapshot, batch: &Batch) {
        let mut routes: HashSet<Uuid> = batch.chain_of_route.clone();
        let mut services: HashSet<Uuid> = batch.chain_of_service.clone();
        if batch.all_chains {
            next.chains.global = Arc::new(self.scopes.chain(None, None));
            routes.extend(self.scopes.routes());
            services.extend(self.scopes.services());
        }
        for service in &services {
            // Routes with plugins of their own have those of their service in their chain too.
            let of_service = self.routes_of_service.get(service).into_iter().flatten();
            routes.extend(of_service.filter(|route| self.scopes.has_route(route)));
            if self.scopes.has_service(service) {
                next.chains.by_service.insert_mut(*service, Arc::new(self.scopes.chain(None, Some(service))));
            } else {
                next.chains.by_service.remove_mut(service);
            }
        }
        for route in &routes {
            if self.scopes.has_route(route) {
                let service = self.routes.get(route).and_then(|r| r.service);
                next.chains.by_route.insert_mut(*route, Arc::new(self.scopes.chain(Some(route), service.as_ref())));
            } else {
                next.chains.by_route.remove_mut(route);
            }
        }
    }
}

impl Batch {
    fn touch(&mut self, route: Option<&Uuid>, service: Option<&Uuid>) {
        match (route, service) {
            (Some(route), _) => {
                self.chain_of_route.insert(*route);
            }
            (None, Some(service)) => {
                self.chain_of_service.insert(*service);
            }
            (None, None) => self.all_chains = true,
        }
    }
}

/// A snapshot of nothing.
fn empty(flavor: Flavor, certificates: Certificates, outbound: Outbound, error_pages: Arc<ErrorPages>) -> Snapshot {
    Snapshot {
        router: Router::new(flavor),
        chains: Chains { global: Arc::default(), by_route: Map::default(), by_service: Map::default() },
        consumers: Map::default(),
        usernames: Map::default(),
        credentials: Map::default(),
        certificates,
        outbound,
        error_pages,
    }
}

fn take_consumer(change: &Change<'_>, next: &mut Snapshot) -> Result<(), String> {
    let consumer = Consumer::from_record(change.record)?;
    let old = next.consumers.get(&consumer.id).and_then(|c| c.username.clone());
    if let Some(old) = old.filter(|name| next.usernames.get(name) == Some(&consumer.id)) {
        next.usernames.remove_mut(&old);
    }
    if change.deleted {
        next.consumers.remove_mut(&consumer.id);
        return Ok(());
    }
    if let Some(username) = &consumer.username {
        next.usernames.insert_mut(username.clone(), consumer.id);
    }
    next.consumers.insert_mut(consumer.id, Arc::new(consumer));
    Ok(())
}

fn credential_entity(kinds: &'static [&'static dyn PluginKind], name: &str) -> Option<&'static CredentialEntity> {
    kinds.iter().flat_map(|kind| kind.credentials()).find(|entity| entity.entity == name)
}
