//! What the next snapshot follows from: the records that are in force, typed, and where each of them is needed.
//!
//! A record that cannot be used is named in the snapshot, with the reason, and `unusable` sees to what it is for;
//! everything else takes effect.

use super::partials::Partials;
use super::unusable::{AllUnusable, Unusable};
use super::{Change, Snapshot};
use crate::balancer::RingCompiler;
use crate::chain::Scopes;
use crate::panic;
use crate::tls::{CertificateRequests, Certificates, Names, TrustCompiler};
use model::entities::{
    Consumer, ConsumerGroup, ConsumerGroupConsumer, Credential, DEFAULT_WORKSPACE, Route, Service, Target, Upstream,
    Uuid,
};
use model::{Degradation, Effect, Record};
use sdk::{CredentialEntity, CredentialKey, Env, PluginKind};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

type ById<T> = HashMap<Uuid, T, foldhash::fast::RandomState>;

/// The records in force.
pub(super) struct State {
    pub kinds: &'static [&'static dyn PluginKind],
    pub env: Env,
    pub scopes: Scopes,
    pub services: ById<Arc<Service>>,
    pub routes: ById<Arc<Route>>,
    /// Services that cannot be used and need not be, since they are not enabled.
    pub switched_off: HashSet<Uuid>,
    /// Routes that cannot be used, and why.
    pub refused: ById<String>,
    /// Services with each of their routes.
    routes_of_service: BTreeSet<(Uuid, Uuid)>,
    credentials: ById<Arc<Credential>>,
    pub partials: Partials,
    /// Who is in which group of consumers.
    pub memberships: ById<ConsumerGroupConsumer>,
    pub rings: RingCompiler,
    pub trust: TrustCompiler,
    /// While everything is replaced: the certificates there were, since those that stay are kept.
    pub former_certificates: Option<Certificates>,
}

/// What a batch of changes touches.
#[derive(Default)]
pub(super) struct Batch {
    pub put_routes: HashSet<Uuid>,
    pub removed_routes: Vec<Uuid>,
    /// Chains that must be made anew.
    pub chain_of_route: HashSet<Uuid>,
    pub chain_of_service: HashSet<Uuid>,
    pub all_chains: bool,
    /// Authorities have changed.
    pub authorities: bool,
    /// Everything there was is replaced: what was not put is gone, and every route and chain is made anew.
    pub all_records: bool,
    pub certificates: HashSet<Uuid>,
    pub unusable: AllUnusable,
    /// Of a record that may be for any request, so that none can be served without it.
    pub refusal: Option<String>,
}

impl State {
    /// No records.
    pub fn new(kinds: &'static [&'static dyn PluginKind], env: Env) -> State {
        State {
            kinds,
            env,
            scopes: Scopes::default(),
            services: HashMap::default(),
            routes: HashMap::default(),
            switched_off: HashSet::new(),
            refused: HashMap::default(),
            routes_of_service: BTreeSet::new(),
            credentials: HashMap::default(),
            partials: Partials::default(),
            memberships: HashMap::default(),
            rings: RingCompiler::default(),
            trust: TrustCompiler::default(),
            former_certificates: None,
        }
    }

    /// Takes a change. Whatever is wrong with the record stays with it, and waits in the batch for [`State::settle`].
    pub fn take(&mut self, change: &Change<'_>, next: &mut Snapshot, batch: &mut Batch) {
        // Notes of the node itself, which have names for ids and mean nothing to requests.
        if change.entity == "parameters" {
            return;
        }
        let id = match id_of(change.record) {
            Ok(id) => id,
            Err(reason) => {
                batch.refusal.get_or_insert_with(|| format!("{}: {reason}", change.entity));
                return;
            }
        };
        next.clear_degradation(change.entity, id);
        let subject = (change.entity.to_owned(), id);
        batch.unusable.remove(&subject);
        let taken = panic::caught(|| self.take_record(id, change, next, batch))
            .unwrap_or_else(|what| Err(format!("panicked: {what}")));
        if let Err(reason) = taken {
            batch.unusable.insert(subject, Unusable { record: change.record.clone(), reason });
        }
    }

    /// Makes the routes anew that the batch touches; `current` is the snapshot in force.
    pub fn finish_routes(&self, current: &Snapshot, next: &mut Snapshot, batch: &Batch) {
        let touched: Vec<&Arc<Route>> = if batch.all_records {
            self.routes.values().collect()
        } else {
            batch.put_routes.iter().filter_map(|id| self.routes.get(id)).collect()
        };
        let mut removed: Vec<Uuid> =
            batch.removed_routes.iter().filter(|id| !batch.put_routes.contains(id)).copied().collect();
        let (mut put, mut refused) = (Vec::new(), Vec::new());
        for route in touched {
            let service = route.service.and_then(|id| self.services.get(&id));
            let off = service.map_or_else(
                || route.service.is_some_and(|id| self.switched_off.contains(&id)),
                |service| !service.enabled,
            );
            match (self.refused.get(&route.id), route.service) {
                _ if off => removed.push(route.id),
                (Some(reason), _) => refused.push((route, reason.clone())),
                (None, Some(id)) if service.is_none() => {
                    refused.push((route, format!("the service {id} is not there or of no use")))
                }
                (None, _) => put.push((Arc::clone(route), service.cloned())),
            }
        }
        if put.is_empty() && refused.is_empty() && removed.is_empty() {
            return;
        }
        let (router, errors) =
            if batch.all_records { current.router.replace(&put) } else { next.router.apply(&put, &removed) };
        next.router = router;
        for (route, reason) in refused {
            next.router.refuse(route, reason);
        }
        for (id, reason) in errors {
            let effect = match next.router.defect(&id) {
                Some(None) => Effect::Former,
                Some(Some(_)) => Effect::Refuses,
                None => Effect::LeftOut,
            };
            tracing::error!(entity = "routes", %id, "a record cannot be used, {}: {reason}", effect.words());
            let name = self.routes.get(&id).and_then(|route| route.name.clone());
            next.degrade_named("routes", id, name, effect, reason);
        }
    }

    /// Makes the chains anew that the batch touches.
    pub fn finish_chains(&self, next: &mut Snapshot, batch: &Batch) {
        let mut routes: HashSet<Uuid> = batch.chain_of_route.clone();
        let mut services: HashSet<Uuid> = batch.chain_of_service.clone();
        if batch.all_chains {
            next.chains.global = Arc::new(self.scopes.chain(&DEFAULT_WORKSPACE, None, None));
            let elsewhere = self.scopes.workspaces().filter(|workspace| **workspace != DEFAULT_WORKSPACE);
            let chain = |workspace: &Uuid| (*workspace, Arc::new(self.scopes.chain(workspace, None, None)));
            next.chains.by_workspace = elsewhere.map(chain).collect();
            routes.extend(self.scopes.routes());
            services.extend(self.scopes.services());
        }
        for service in &services {
            // Routes with plugins of their own have those of their service in their chain too.
            routes.extend(self.routes_of(service).filter(|route| self.scopes.has_route(route)));
            if self.scopes.has_service(service) {
                let workspace = self.services.get(service).map_or(DEFAULT_WORKSPACE, |known| known.workspace);
                let chain = self.scopes.chain(&workspace, None, Some(service));
                next.chains.by_service.insert_mut(*service, Arc::new(chain));
            } else {
                next.chains.by_service.remove_mut(service);
            }
        }
        for route in &routes {
            if self.scopes.has_route(route) {
                let known = self.routes.get(route);
                let workspace = known.map_or(DEFAULT_WORKSPACE, |known| known.workspace);
                let service = known.and_then(|known| known.service);
                let chain = self.scopes.chain(&workspace, Some(route), service.as_ref());
                next.chains.by_route.insert_mut(*route, Arc::new(chain));
            } else {
                next.chains.by_route.remove_mut(route);
            }
        }
    }

    /// Works out anew whom plugins have asked for a certificate, where the batch may have changed that.
    pub fn finish_requests(&self, next: &mut Snapshot, batch: &Batch) {
        let untouched = batch.put_routes.is_empty()
            && batch.removed_routes.is_empty()
            && batch.chain_of_route.is_empty()
            && batch.chain_of_service.is_empty();
        if untouched && !(batch.all_records || batch.all_chains || batch.authorities) {
            return;
        }
        let mut requests = CertificateRequests::default();
        for instance in self.scopes.asking() {
            let authorities = instance.request.iter().flat_map(|request| &request.authorities);
            let names: Names = authorities.filter_map(|id| self.trust.authority_name(id)).collect();
            match (&instance.route, &instance.service) {
                (Some(route), _) => self.routes.get(route).into_iter().for_each(|r| requests.ask_for(r, &names)),
                (None, Some(service)) => {
                    let routes = self.routes_of(service).filter_map(|route| self.routes.get(&route));
                    routes.for_each(|route| requests.ask_for(route, &names));
                }
                (None, None) => requests.ask_everybody(&names),
            }
        }
        if !(requests.is_empty() && next.requests.is_empty()) {
            next.requests = Arc::new(requests);
        }
    }

    /// Makes the terms anew that the batch touches.
    pub fn finish_trust(&mut self, next: &mut Snapshot) {
        let State { trust, services, .. } = self;
        for (id, failure) in trust.finish(|id| services.get(id).map(Arc::as_ref), &mut next.outbound) {
            let Some(reason) = failure else {
                let known = next.degraded.get(&("services".to_owned(), id));
                if known.is_some_and(|known| known.effect == Effect::NoConnection) {
                    next.clear_degradation("services", id);
                }
                continue;
            };
            tracing::error!(entity = "services", %id, "no connection can be made to a service: {reason}");
            let name = services.get(&id).and_then(|service| service.name.clone());
            next.degrade_named("services", id, name, Effect::NoConnection, reason);
        }
    }

    fn take_record(
        &mut self,
        id: Uuid,
        change: &Change<'_>,
        next: &mut Snapshot,
        batch: &mut Batch,
    ) -> Result<(), String> {
        let (record, deleted) = (change.record, change.deleted);
        match change.entity {
            "services" => return self.take_service(id, change, batch),
            "routes" => return self.take_route(id, change, batch),
            "upstreams" if deleted => self.rings.remove_upstream(&id),
            "upstreams" => self.rings.put_upstream(Arc::new(Upstream::from_record(record)?)),
            "targets" if deleted => self.rings.remove_target(&id),
            "targets" => self.rings.put_target(Arc::new(Target::from_record(record)?)),
            "consumers" if deleted => next.consumers.remove(&id),
            "consumers" => next.consumers.insert(Arc::new(Consumer::from_record(record)?)),
            "consumer_groups" if deleted => next.groups.put(id, None),
            "consumer_groups" => next.groups.put(id, Some(Arc::new(ConsumerGroup::from_record(record)?))),
            "consumer_group_consumers" => {
                return self.take_membership(id, Some(record).filter(|_| !deleted), next);
            }
            "partials" => return self.take_partial(id, record, deleted, next, batch),
            "plugins" => return self.take_plugin(change, next, batch),
            "filter_chains" => return self.take_filter_chain(change, next, batch),
            "certificates" => {
                batch.certificates.insert(id);
                return next.certificates.take_certificate(record, deleted, self.former_certificates.as_ref());
            }
            "workspaces" => match record.get("name").and_then(Value::as_str).filter(|_| !deleted) {
                Some(name) => next.workspaces.insert_mut(id, name.into()),
                None => drop(next.workspaces.remove_mut(&id)),
            },
            "ca_certificates" => {
                batch.authorities = true;
                next.authorities.remove_mut(&id);
                self.trust.take_authority(record, deleted)?;
                if let Some(authority) = self.trust.authority(&id) {
                    next.authorities.insert_mut(id, Arc::new(authority));
                }
            }
            "snis" => return next.certificates.take_sni(record, deleted),
            other => {
                return match credential_entity(self.kinds, other) {
                    Some(entity) => self.take_credential(id, entity, change, next),
                    None => Ok(()),
                };
            }
        }
        Ok(())
    }

    fn take_service(&mut self, id: Uuid, change: &Change<'_>, batch: &mut Batch) -> Result<(), String> {
        let new = if change.deleted { None } else { Some(Arc::new(Service::from_record(change.record)?)) };
        self.put_service(id, new, batch);
        Ok(())
    }

    /// Puts a service in the place of the one that there was, if any.
    pub fn put_service(&mut self, id: Uuid, new: Option<Arc<Service>>, batch: &mut Batch) {
        let old = self.services.get(&id);
        self.trust.touch(id, old.map(Arc::as_ref), new.as_deref());
        // Which global plugins its chain has follows from its workspace.
        if !batch.all_records && old.map(|old| old.workspace) != new.as_ref().map(|new| new.workspace) {
            batch.chain_of_service.insert(id);
        }
        self.switched_off.remove(&id);
        match new {
            Some(service) => self.services.insert(id, service),
            None => self.services.remove(&id),
        };
        batch.put_routes.extend(self.routes_of(&id));
    }

    fn take_route(&mut self, id: Uuid, change: &Change<'_>, batch: &mut Batch) -> Result<(), String> {
        let new = if change.deleted { None } else { Some(Arc::new(Route::from_record(change.record)?)) };
        self.put_route(id, new, batch);
        Ok(())
    }

    /// Puts a route in the place of the one that there was, if any.
    pub fn put_route(&mut self, id: Uuid, new: Option<Arc<Route>>, batch: &mut Batch) {
        if let Some(service) = self.routes.get(&id).and_then(|old| old.service) {
            self.routes_of_service.remove(&(service, id));
        }
        self.refused.remove(&id);
        if !batch.all_records {
            batch.chain_of_route.insert(id);
        }
        match new {
            Some(route) => {
                if let Some(service) = route.service {
                    self.routes_of_service.insert((service, id));
                }
                self.routes.insert(id, route);
                if !batch.all_records {
                    batch.put_routes.insert(id);
                }
            }
            None => {
                self.routes.remove(&id);
                batch.put_routes.remove(&id);
                batch.removed_routes.push(id);
            }
        }
    }

    fn take_credential(
        &mut self,
        id: Uuid,
        entity: &'static CredentialEntity,
        change: &Change<'_>,
        next: &mut Snapshot,
    ) -> Result<(), String> {
        // Whatever the record is now: what it was opens no door any more.
        if let Some(old) = self.credentials.remove(&id) {
            next.credentials.remove(entity, &old);
        }
        if change.deleted {
            return Ok(());
        }
        let mut credential = Credential::from_record(change.record, entity.key.field())?;
        if let CredentialKey::Pair(_, field) = entity.key {
            let reference = change.record.get(field).filter(|value| !value.is_null());
            let reference =
                reference.map(|value| value.as_object().map(id_of).unwrap_or(Err(format!("{field}: no id"))));
            credential.key = CredentialKey::pair(&credential.key, reference.transpose()?.as_ref()).into();
        }
        credential.parsed = entity.parse.map(|parse| parse(change.record)).transpose()?;
        let credential = Arc::new(credential);
        next.credentials.insert(entity, &credential)?;
        self.credentials.insert(id, credential);
        Ok(())
    }

    fn routes_of(&self, service: &Uuid) -> impl Iterator<Item = Uuid> {
        self.routes_of_service.range((*service, Uuid::nil())..=(*service, Uuid::max())).map(|(_, route)| *route)
    }
}

impl Batch {
    pub fn touch(&mut self, route: Option<&Uuid>, service: Option<&Uuid>) {
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

impl Snapshot {
    /// Notes what this node cannot do justice to.
    pub(super) fn degrade(&mut self, entity: &str, id: Uuid, record: &Record, effect: Effect, reason: String) {
        let name = record.get("name").and_then(Value::as_str).map(str::to_owned);
        self.degrade_named(entity, id, name, effect, reason);
    }

    pub(super) fn degrade_named(
        &mut self,
        entity: &str,
        id: Uuid,
        name: Option<String>,
        effect: Effect,
        reason: String,
    ) {
        let degradation = Degradation { entity: entity.to_owned(), id, name, effect, reason };
        self.degraded.insert_mut((entity.to_owned(), id), Arc::new(degradation));
    }

    fn clear_degradation(&mut self, entity: &str, id: Uuid) {
        if !self.degraded.is_empty() {
            self.degraded.remove_mut(&(entity.to_owned(), id));
        }
    }
}

/// The primary key of a record.
pub(super) fn id_of(record: &Record) -> Result<Uuid, String> {
    let text = record.get("id").and_then(Value::as_str).ok_or("id: missing")?;
    Uuid::parse_str(text).map_err(|e| format!("id: {e}"))
}

fn credential_entity(kinds: &'static [&'static dyn PluginKind], name: &str) -> Option<&'static CredentialEntity> {
    kinds.iter().flat_map(|kind| kind.credentials()).find(|entity| entity.entity == name)
}
