//! What the Admin API asks of the running node.

use super::expressions;
use super::facts::NodeFacts;
use super::hooks::Hooks;
use super::live::LiveView;
use super::login::Login;
use super::lua;
use super::plane::Plane;
use super::prefix;
use super::publisher::Progress;
use super::trace::Tracer;
use crate::logging::Logging;
use crate::settings::Settings;
use crate::settings::nginx::Api;
use crate::sync::{self, Desired, Plan, State, Step};
use admin::{
    Answered, Configuration, Counters, DescribedRequest, HookAnswer, HookMessage, Interface, LoginOutcome,
    LoginRequest, Memory, Node, Origin, Pictures, Pids, PluginAnswer, PluginContent, PluginEndpoint, PluginFunction,
    PluginRequest, TargetMark, TracedRequest, WantedRequests,
};
use hyper::header::{HeaderName, HeaderValue};
use model::Degradation;
use model::health::UpstreamHealth;
use proxy::access_log::{AccessLog, Record, Stamp};
use proxy::dns::{NameStatistics, QueryType};
use proxy::forwarded::{Address, TrustedProxies};
use sdk::entities::{Plugin, Uuid};
use sdk::{
    AdminAnswer, AdminContent, AdminEndpoint, AdminHead, AdminRequest, BoxFuture, DaoAnswer, DaoCall, Exchange, Facts,
    Fields, PluginKind,
};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::{PageQuery, Revision, Scope, Store};
use tokio::sync::watch;

/// How long the answer to a write waits for the proxy. Compiling takes milliseconds; this is for when it cannot be
/// done.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The node of this process.
pub struct RunningNode {
    id: Uuid,
    hostname: String,
    workers: usize,
    settings: Value,
    /// `new_dns_client`.
    counts_names: bool,
    kinds: &'static [&'static dyn PluginKind],
    env: sdk::Env,
    facts: Arc<dyn Facts>,
    store: Store,
    plane: Arc<Plane>,
    live: Arc<LiveView>,
    hooks: Hooks,
    tracer: Tracer,
    login: Option<Login>,
    progress: watch::Receiver<Progress>,
    logging: Logging,
    admin: Served,
    status: Served,
    manager: Served,
    /// Whoever sends traffic here is told to stop.
    draining: AtomicBool,
}

/// How an API is served.
#[derive(Clone, Debug, Default)]
pub struct Served {
    api: Api,
    /// Whose word about the client counts.
    trusted: TrustedProxies,
    log: Option<AccessLog>,
}

impl Served {
    /// By nginx's directives, and with that access log.
    pub fn new(api: Api, log: Option<AccessLog>) -> Result<Served, String> {
        let trusted = TrustedProxies::new(&api.real_ip_from, &api.real_ip_header, api.real_ip_recursive)?;
        Ok(Served { api, trusted, log })
    }

    /// The client: the peer, or whom a trusted proxy names.
    fn client(&self, origin: &Origin, headers: &admin::HeaderMap) -> Address {
        let peer = Address::new(origin.peer);
        let named = || self.trusted.client(&peer, origin.proxied.as_ref().map(|p| p.source), &fields(headers));
        if self.trusted.trusts(peer.ip()) { named().unwrap_or(peer) } else { peer }
    }

    /// Calls with what is known of a request and its answer.
    fn with_record<T>(
        &self,
        interface: Interface,
        answered: &Answered<'_>,
        use_it: impl FnOnce(&Record<'_>) -> T,
    ) -> T {
        let mut now = Stamp::default();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        now.set(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or_default()));
        let client = self.client(&answered.origin, answered.request_headers);
        let mut exchange = Exchange::empty();
        (exchange.client.ip, exchange.request.version) = (client.ip(), answered.version);
        exchange.complete = true;
        let record = Record {
            client: client.as_str(),
            client_port: client.port(),
            peer: answered.origin.peer,
            local: answered.origin.local,
            proxied: answered.origin.proxied.as_ref(),
            tls: answered.origin.tls,
            datagrams: false,
            sni: None,
            offered: None,
            limit_rate: 0,
            server: match interface {
                Interface::Admin => "kong_admin",
                Interface::Status => "kong_status",
                Interface::Manager => "kong_gui",
            },
            connection: answered.origin.connection,
            connection_requests: answered.request,
            method: answered.method,
            target: answered.target,
            version: answered.version,
            request: &fields(answered.request_headers),
            kept: None,
            response: &fields(answered.response_headers),
            status: answered.status,
            sent: None,
            content_sent: answered.content,
            received: None,
            id: None,
            elapsed: answered.took,
            tries: &[],
            since_last_try: Duration::ZERO,
            now: &now,
            exchange: &exchange,
        };
        use_it(&record)
    }
}

impl RunningNode {
    /// The node's facts, gathered once.
    pub fn new(
        settings: &Settings,
        kinds: &'static [&'static dyn PluginKind],
        env: sdk::Env,
        store: Store,
        plane: Arc<Plane>,
        progress: watch::Receiver<Progress>,
        logging: Logging,
    ) -> Result<RunningNode, String> {
        let facts = NodeFacts { plane: Arc::clone(&plane), store: store.clone(), workers: settings.workers };
        let facts: Arc<dyn Facts> = Arc::new(facts);
        env.tell(&facts);
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let id = prefix::node_id(settings).map_err(|e| format!("cannot keep the node's id: {e}"))?;
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(RunningNode {
            tracer: Tracer::new(Arc::clone(&plane)),
            login: None,
            live: LiveView::new(Arc::clone(&plane), &id.to_string(), &hostname),
            hooks: Hooks::new(&env.clone().with_network(plane.network().clone())),
            id,
            hostname,
            workers: settings.workers,
            settings: settings.describe(&names),
            counts_names: settings.flag("new_dns_client"),
            kinds,
            env,
            facts,
            store,
            plane,
            progress,
            logging,
            admin: Served::default(),
            status: Served::default(),
            manager: Served::default(),
            draining: AtomicBool::default(),
        })
    }

    /// Says by which plugin administrators log in.
    pub fn logging_in(self, login: Option<Login>) -> RunningNode {
        RunningNode { login, ..self }
    }

    /// Says how the Admin API, the Status API and the manager are served.
    pub fn serving(self, admin: Served, status: Served, manager: Served) -> RunningNode {
        RunningNode { admin, status, manager, ..self }
    }

    fn served(&self, interface: Interface) -> &Served {
        match interface {
            Interface::Admin => &self.admin,
            Interface::Status => &self.status,
            Interface::Manager => &self.manager,
        }
    }

    /// Has the plugin answer whose endpoint it is.
    async fn ask_plugin(&self, request: PluginRequest) -> AdminAnswer {
        let endpoints =
            self.kinds.iter().flat_map(|kind| kind.endpoints().iter().map(move |endpoint| (kind, endpoint)));
        let of_api = |endpoint: &AdminEndpoint| match request.of_status {
            true => endpoint.on_status,
            false => endpoint.on_admin,
        };
        let asked = |(_, endpoint): &(_, &AdminEndpoint)| of_api(endpoint) && is_of(endpoint, &request.path);
        let Some((kind, endpoint)) = endpoints.into_iter().find(asked) else {
            return AdminAnswer::not_found();
        };
        let instances = match endpoint.with_instances {
            true => self.instances(kind.name(), request.scope).await,
            false => Ok(Vec::new()),
        };
        let instances = match instances {
            Ok(instances) => instances,
            Err(error) => {
                tracing::error!("cannot read the instances of {}: {error}", kind.name());
                return AdminAnswer::json(500, json!({ "message": "An unexpected error occurred" }));
            }
        };
        kind.admin(as_asked(request, endpoint.path, instances), &self.env).await
    }

    /// The configured instances of a plugin that are seen there.
    async fn instances(&self, name: &str, scope: Scope) -> Result<Vec<Plugin>, String> {
        let store = self.store.of(scope);
        let mut query = PageQuery { size: 1000, ..PageQuery::default() };
        let mut found = Vec::new();
        loop {
            let page = store.page("plugins", &query).await.map_err(|e| e.message)?;
            let named = page.data.iter().filter(|record| record.get("name").and_then(Value::as_str) == Some(name));
            found.extend(named.filter_map(|record| Plugin::from_record(record).ok()));
            match page.offset {
                Some(offset) => query.offset = Some(offset),
                None => return Ok(found),
            }
        }
    }
}

impl Node for RunningNode {
    fn id(&self) -> Uuid {
        self.id
    }

    fn hostname(&self) -> String {
        self.hostname.clone()
    }

    fn pids(&self) -> Pids {
        Pids { master: std::process::id(), workers: vec![std::process::id(); self.workers] }
    }

    fn settings(&self) -> Value {
        self.settings.clone()
    }

    fn counters(&self) -> Counters {
        self.plane.counters()
    }

    fn memory(&self) -> Memory {
        let memory = self.facts.memory();
        Memory { resident: memory.resident, total: memory.total }
    }

    fn applied(&self, revision: Revision) -> BoxFuture<'_, ()> {
        let mut progress = self.progress.clone();
        Box::pin(async move {
            // What cannot be taken into force is said on `/status`: it may take for ever.
            match tokio::time::timeout(PATIENCE, progress.wait_for(|at| at.tried >= revision)).await {
                Ok(Ok(_)) => {}
                // The node is ending.
                Ok(Err(_)) => {}
                Err(_) => tracing::error!("a change that was written does not reach the proxy"),
            }
        })
    }

    fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) { Err("draining".to_owned()) } else { Ok(()) }
    }

    fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn degraded(&self) -> Vec<Arc<Degradation>> {
        let all = self.progress.borrow().degraded();
        all.into_iter().chain(self.plane.degraded()).collect()
    }

    fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth> {
        self.plane.upstream_health(upstream)
    }

    fn set_target_health(&self, mark: &TargetMark) -> Result<(), String> {
        self.plane.set_target_health(mark)
    }

    fn name_statistics(&self) -> Option<Value> {
        self.counts_names.then(|| self.plane.name_statistics().iter().map(described).collect())
    }

    fn trace(&self, request: TracedRequest) -> BoxFuture<'_, Result<Value, (u16, String)>> {
        Box::pin(self.tracer.trace(request))
    }

    fn watch(&self, upstreams: Option<Vec<String>>) -> Option<Pictures> {
        self.live.watch(upstreams)
    }

    fn requests(&self, wanted: WantedRequests) -> Option<Pictures> {
        self.live.requests(wanted)
    }

    fn queue_hook(&self, message: HookMessage) {
        self.hooks.put(&message);
    }

    fn send_hook(&self, message: HookMessage) -> BoxFuture<'_, Result<HookAnswer, String>> {
        Box::pin(self.hooks.send(message))
    }

    fn identify(&self, request: LoginRequest) -> BoxFuture<'_, admin::Login> {
        Box::pin(async move {
            match &self.login {
                Some(login) => login.identify(request).await,
                None => admin::Login { outcome: LoginOutcome::Refused, cookies: Vec::new() },
            }
        })
    }

    fn configured(&self) -> Vec<String> {
        State::entities(self.store.catalog())
    }

    fn dump(&self, configuration: Configuration) -> BoxFuture<'_, Result<String, String>> {
        let catalog = Arc::clone(self.store.catalog());
        Box::pin(aside(move || {
            let workspace = Some(&*configuration.workspace).filter(|name| *name != store::DEFAULT_WORKSPACE);
            Ok(sync::dump(&State::new(configuration.records, &[]), &catalog, workspace, &[], false))
        }))
    }

    fn plan(&self, configuration: Configuration, file: String) -> BoxFuture<'_, Result<Value, String>> {
        let catalog = Arc::clone(self.store.catalog());
        Box::pin(aside(move || {
            // The environment of a node is not for those who send it files.
            let desired = Desired::parse(&file, &catalog, |_| None)?;
            let workspace = desired.workspace.as_deref().unwrap_or(&configuration.workspace);
            if workspace != configuration.workspace {
                return Err(format!("the file is for the workspace {workspace}"));
            }
            let current = State::new(configuration.records, &desired.select_tags);
            let plan = Plan::new(&current, desired, &catalog)?;
            Ok(plan.steps.iter().map(Step::describe).collect())
        }))
    }

    fn judge(&self, expression: &str, request: &DescribedRequest) -> Result<Value, String> {
        expressions::judge(expression, request)
    }

    fn log_level(&self) -> String {
        self.logging.level().to_owned()
    }

    fn set_log_level(&self, level: &str, timeout: Duration) {
        if timeout.is_zero() {
            // As Kong: whatever level is named, that of the settings holds again.
            return self.logging.restore(None);
        }
        let (logging, change) = (self.logging.clone(), self.logging.change(level));
        tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            logging.restore(Some(change));
        });
    }

    fn allows(&self, interface: Interface, origin: &Origin, headers: &admin::HeaderMap) -> bool {
        let served = self.served(interface);
        served.api.access.is_empty() || served.api.access.allows(served.client(origin, headers).ip())
    }

    fn client(&self, interface: Interface, origin: &Origin, headers: &admin::HeaderMap) -> IpAddr {
        self.served(interface).client(origin, headers).ip()
    }

    fn looks_on(&self, interface: Interface) -> bool {
        let served = self.served(interface);
        served.log.is_some() || !served.api.add_header.is_empty()
    }

    fn added(&self, interface: Interface, answered: &Answered<'_>) -> admin::HeaderMap {
        let served = self.served(interface);
        let mut lines = Fields::new();
        served.api.add_header.apply(&mut lines, answered.status);
        if served.api.add_header.has_variables() {
            lines.append_all(&served.with_record(interface, answered, |record| served.api.add_header.render(record)));
        }
        let mut headers = admin::HeaderMap::new();
        for (name, value) in lines.iter() {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        headers
    }

    fn note(&self, interface: Interface, answered: &Answered<'_>) {
        let served = self.served(interface);
        let Some(log) = &served.log else { return };
        let mut line = Vec::new();
        served.with_record(interface, answered, |record| log.format.write(record, &mut line));
        log.sink.put(line, 1);
    }

    fn plugin_endpoints(&self) -> Vec<PluginEndpoint> {
        let endpoints = self.kinds.iter().flat_map(|kind| kind.endpoints());
        let endpoint = |e: &AdminEndpoint| PluginEndpoint {
            path: e.path,
            methods: e.methods,
            on_admin: e.on_admin,
            on_status: e.on_status,
            in_workspaces: e.in_workspaces,
        };
        endpoints.map(endpoint).collect()
    }

    fn plugin_admin(&self, request: PluginRequest) -> BoxFuture<'_, PluginAnswer> {
        Box::pin(async move {
            let answer = self.ask_plugin(request).await;
            for (channel, data) in answer.announced {
                if let Err(error) = self.store.announce(channel, data).await {
                    tracing::warn!(channel, "other nodes are not told: {error}");
                }
            }
            as_said(answer.status, answer.content, answer.headers)
        })
    }

    fn plugin_function(
        &self,
        request: PluginRequest,
        function: PluginFunction,
    ) -> BoxFuture<'_, Result<(Value, Option<String>), PluginAnswer>> {
        Box::pin(async move {
            let PluginFunction { entity, function, arguments, options } = function;
            let call = DaoCall { entity, function, arguments, options };
            match lua::call_dao(as_asked(request, "", Vec::new()), call).await {
                DaoAnswer::Returned(value, offset) => Ok((value, offset)),
                DaoAnswer::Said(answer) => Err(as_said(answer.status, answer.content, answer.headers)),
            }
        })
    }

    fn kept_value(&self, key: &str) -> Option<Value> {
        lua::kept_value(key)
    }

    fn forget_value(&self, key: Option<&str>) {
        key.map_or_else(lua::forget_all, lua::forget_value);
    }

    fn hear<'a>(&'a self, channel: &'a str, data: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Some(kind) = self.kinds.iter().find(|kind| kind.channel() == Some(channel)) else {
                return lua::hear(channel, data);
            };
            match self.instances(kind.name(), Scope::All).await {
                Ok(instances) => kind.hear(data, &instances, &self.env),
                Err(error) => tracing::warn!(channel, "what another node has announced is not done here: {error}"),
            }
        })
    }
}

/// Does work that takes long for a large configuration, on a thread of its own.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err("an unexpected error occurred".to_owned()))
}

/// A request as plugins get it.
fn as_asked(request: PluginRequest, endpoint: &'static str, instances: Vec<Plugin>) -> AdminRequest {
    AdminRequest {
        endpoint,
        method: request.method.to_owned(),
        path: request.path,
        query: request.query,
        body: request.body,
        instances,
        workspace: request.scope.workspace().unwrap_or_default(),
        of_status: request.of_status,
        head: AdminHead {
            path: request.raw_path,
            query: request.raw_query,
            headers: request.headers.iter().map(|(name, value)| (name.to_string(), lossy(value.as_bytes()))).collect(),
            client: Some(request.client),
            content: request.content,
        },
    }
}

/// An answer as the Admin API gets it.
fn as_said(status: u16, content: AdminContent, headers: Vec<(String, String)>) -> PluginAnswer {
    let content = match content {
        AdminContent::None => PluginContent::None,
        AdminContent::Json(value) => PluginContent::Json(value),
        AdminContent::Text(text) => PluginContent::Text(text),
        AdminContent::Replaced(content) => PluginContent::Replaced(content),
    };
    PluginAnswer { status, content, headers }
}

fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Whether a path is one of an endpoint.
fn is_of(endpoint: &AdminEndpoint, path: &[String]) -> bool {
    let mut segments = endpoint.path.split('/').skip(1);
    let named = |segment: &String| segments.next().is_some_and(|s| s.starts_with('{') || s == segment);
    path.iter().all(named) && segments.next().is_none()
}

/// As Kong counts for each name; what did not happen is not there.
fn described(name: &NameStatistics) -> (String, Value) {
    let kind = if name.kind == Some(QueryType::Srv) { "SRV" } else { "A/AAAA" };
    let counts = [
        ("query", name.questions()),
        ("query_succ", name.answered),
        ("query_fail:name error", name.not_found),
        ("query_fail:empty record received", name.empty),
        ("query_fail_nameserver", name.failed),
    ];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0).map(|(key, count)| (key.to_owned(), json!(count)));
    let took = ("query_last_time".to_owned(), json!(u64::try_from(name.last.as_millis()).unwrap_or(u64::MAX)));
    (format!("{}|{kind}", name.name), counts.chain([took]).collect())
}

fn fields(headers: &admin::HeaderMap) -> Fields {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}
