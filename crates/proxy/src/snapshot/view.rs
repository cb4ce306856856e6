//! A worker's hold on a snapshot.

use super::Snapshot;
use crate::balancer::{Balancers, Destination, Places};
use crate::published::Published;
use crate::router::{Query, Rule};
use crate::upstream::ServiceTls;
use foldhash::fast::RandomState;
use model::entities::{Consumer, ConsumerGroup, Credential, PathHandling, Route, Service, Uuid};
use sdk::{CertificateDer, Configuration, Directory, ErrorPages, SnapshotRef, UpstreamTls};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

/// A snapshot as one worker has it. What exchanges take of it is counted here, on memory that no other worker writes,
/// and what this worker has looked up under it is remembered here.
pub struct View {
    version: u64,
    places: Places,
    services_tls: RefCell<ServicesTls>,
    wished_tls: RefCell<WishedTls>,
    snapshot: Arc<Snapshot>,
}

/// By service, and by the certificate of its upstream.
type ServicesTls = HashMap<(Uuid, Option<Uuid>), Rc<ServiceTls>, RandomState>;

/// The same, for what plugins want of the connections of single exchanges.
type WishedTls = HashMap<(Uuid, Option<Uuid>, Arc<UpstreamTls>), Rc<ServiceTls>, RandomState>;

/// So many services are remembered; then the worker begins again.
const MOST: usize = 4096;
/// The same of wishes of plugins, each with authorities of its own.
const MOST_WISHES: usize = 256;

/// The route of a request, found under a view that it keeps alive.
pub struct Found {
    pub route: SnapshotRef<Route>,
    pub service: Option<SnapshotRef<Service>>,
    /// How much of the path the route's path matched; `None` when it has no paths.
    pub matched_path: Option<usize>,
    /// Groups of a regex path, by name and by position (`"1"`).
    pub captures: Vec<(String, Vec<u8>)>,
    /// The route cannot be used, and the request might be its: answer with an error.
    pub unusable: bool,
    /// The path handling in effect; only the traditional flavour obeys the route's.
    pub path_handling: PathHandling,
}

impl View {
    /// A view of what is in force.
    pub fn of(published: &Published<Snapshot>) -> Rc<View> {
        // In this order: a snapshot that is newer than its number is only looked at once more.
        let version = published.version();
        let (places, services_tls, wished_tls) = Default::default();
        Rc::new(View { version, places, services_tls, wished_tls, snapshot: Arc::clone(&published.load()) })
    }

    /// Whether it shows what is in force.
    pub fn is_current(&self, published: &Published<Snapshot>) -> bool {
        self.version == published.version()
    }

    /// The route of a request.
    pub fn find(self: &Rc<View>, query: &Query<'_>) -> Option<Found> {
        let mut rest = None;
        let rule: SnapshotRef<Rule> = SnapshotRef::find(Rc::clone(self), |view| {
            let found = view.snapshot.router.find(query)?;
            rest = Some((found.matched_path, found.captures, found.unusable, found.path_handling));
            Some(found.rule)
        })?;
        let (matched_path, captures, unusable, path_handling) = rest?;
        let route = rule.part(|rule| &*rule.route);
        let service = rule.optional_part(|rule| rule.service.as_deref());
        Some(Found { route, service, matched_path, captures, unusable, path_handling })
    }

    /// The route of a stream.
    pub fn find_stream(self: &Rc<View>, query: &Query<'_>) -> Option<Found> {
        let rule: SnapshotRef<Rule> =
            SnapshotRef::find(Rc::clone(self), |view| view.snapshot.router.find_stream(query))?;
        let unusable = rule.defect.is_some();
        let route = rule.part(|rule| &*rule.route);
        let service = rule.optional_part(|rule| rule.service.as_deref());
        let (matched_path, captures, path_handling) = (None, Vec::new(), PathHandling::V0);
        Some(Found { route, service, matched_path, captures, unusable, path_handling })
    }

    /// Where requests for that host go: the workspace's upstream of that name, else the host.
    pub fn destination(&self, balancers: &Balancers, workspace: &Uuid, host: &str, port: u16) -> Destination {
        self.places.find(&self.snapshot.rings, balancers, workspace, host, port)
    }

    /// Where the requests for a service go that nothing sends elsewhere.
    pub fn destination_of(&self, balancers: &Balancers, service: &Service, port: u16) -> Destination {
        self.places.of_service(&self.snapshot.rings, balancers, service, port)
    }

    /// How connections with a service are secured, at targets of an upstream with that certificate. The error says what
    /// is missing.
    pub fn service_tls(&self, service: Uuid, of_upstream: Option<Uuid>) -> Result<Rc<ServiceTls>, String> {
        if let Some(known) = self.services_tls.borrow().get(&(service, of_upstream)) {
            return Ok(Rc::clone(known));
        }
        let terms = self.snapshot.outbound.terms(&service, of_upstream, &self.snapshot.certificates)?;
        let tls = Rc::new(ServiceTls::new(terms));
        let mut known = self.services_tls.borrow_mut();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert((service, of_upstream), Rc::clone(&tls));
        Ok(tls)
    }

    /// The same as a plugin of the exchange wants it, if one does.
    pub fn service_tls_as(
        &self,
        service: Uuid,
        of_upstream: Option<Uuid>,
        wish: Option<&Arc<UpstreamTls>>,
    ) -> Result<Rc<ServiceTls>, String> {
        let Some(wish) = wish else { return self.service_tls(service, of_upstream) };
        let key = (service, of_upstream, Arc::clone(wish));
        if let Some(known) = self.wished_tls.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let terms = self.snapshot.outbound.terms_as(&service, of_upstream, &self.snapshot.certificates, wish)?;
        let tls = Rc::new(ServiceTls::new(terms));
        let mut known = self.wished_tls.borrow_mut();
        if known.len() >= MOST_WISHES {
            known.clear();
        }
        known.insert(key, Rc::clone(&tls));
        Ok(tls)
    }

    /// What plugins may look up.
    pub fn directory(self: &Rc<View>) -> Directory {
        Directory::new(Rc::clone(self) as Rc<dyn Configuration>)
    }
}

impl Deref for View {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Configuration for View {
    fn credential(self: Rc<Self>, workspace: &Uuid, entity: &str, key: &[u8]) -> Option<SnapshotRef<Credential>> {
        let key = std::str::from_utf8(key).ok()?;
        SnapshotRef::find(self, |view| {
            // Purging may be late: the end counts, not the removal.
            view.snapshot.credentials.find(workspace, entity, key).filter(|credential| !credential.is_over())
        })
    }

    fn credentials_of(self: Rc<Self>, entity: &str, consumer: &Uuid) -> Option<SnapshotRef<[Arc<Credential>]>> {
        SnapshotRef::find(self, |view| view.snapshot.credentials.of_consumer(entity, consumer))
    }

    fn consumer(self: Rc<Self>, workspace: &Uuid, id: &Uuid) -> Option<SnapshotRef<Consumer>> {
        SnapshotRef::find(self, |view| {
            view.snapshot.consumers.get(id).map(Arc::as_ref).filter(|consumer| consumer.workspace == *workspace)
        })
    }

    fn consumer_by_username(self: Rc<Self>, workspace: &Uuid, username: &str) -> Option<SnapshotRef<Consumer>> {
        SnapshotRef::find(self, |view| view.snapshot.consumers.find_by_username(workspace, username))
    }

    fn consumer_groups(self: Rc<Self>, consumer: &Uuid) -> Vec<SnapshotRef<ConsumerGroup>> {
        let ids = self.snapshot.groups.of_consumer(consumer).iter();
        let group = |id: &Uuid| SnapshotRef::find(Rc::clone(&self), |view| view.snapshot.groups.get(id));
        let mut groups: Vec<_> = ids.filter_map(group).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        groups
    }

    fn consumer_group_by_name(self: Rc<Self>, workspace: &Uuid, name: &str) -> Option<SnapshotRef<ConsumerGroup>> {
        SnapshotRef::find(self, |view| view.snapshot.groups.find(workspace, name))
    }

    fn authority(self: Rc<Self>, id: &Uuid) -> Option<SnapshotRef<CertificateDer<'static>>> {
        SnapshotRef::find(self, |view| view.snapshot.authorities.get(id).map(Arc::as_ref))
    }

    fn workspace_name(&self, id: &Uuid) -> Option<&str> {
        self.snapshot.workspaces.get(id).map(Arc::as_ref)
    }

    fn upstream_is_available(&self, workspace: &Uuid, name: &str) -> bool {
        self.snapshot.rings.is_available(workspace, name)
    }

    fn has_upstream(&self, workspace: &Uuid, name: &str) -> bool {
        self.snapshot.rings.by_name(workspace, name).is_some()
    }

    fn error_pages(&self) -> &ErrorPages {
        &self.snapshot.error_pages
    }
}
