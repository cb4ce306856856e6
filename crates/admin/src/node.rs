//! What only the running gateway knows: the Admin API asks it through [`Node`].

use crate::access::provider::{Login, LoginOutcome, LoginRequest};
use crate::pictures::Pictures;
use futures_util::future::BoxFuture;
use hyper::HeaderMap;
use hyper::body::Bytes;
use model::health::UpstreamHealth;
use model::{Degradation, Record};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use store::{Revision, Scope};
use uuid::Uuid;
use wire::Version;
use wire::proxy_protocol::Proxied;

/// What speaks for the node: two APIs, and the pages of the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    Admin,
    Status,
    Manager,
}

impl Interface {
    /// What is logged while it is served is logged within this span, by whose name logs tell whose it is.
    pub fn span(self) -> tracing::Span {
        match self {
            Interface::Admin => tracing::Span::none(),
            Interface::Status => tracing::error_span!("status"),
            Interface::Manager => tracing::error_span!("admin_gui"),
        }
    }
}

/// The node that an Admin API belongs to. Called on the control runtime; the synchronous methods must not wait.
pub trait Node: Send + Sync + 'static {
    /// The node's id, as `GET /` shows it.
    fn id(&self) -> Uuid;

    fn hostname(&self) -> String;

    fn pids(&self) -> Pids;

    /// The settings as `GET /` shows them in `configuration`, secrets already masked. `log_level` is overwritten with
    /// the level now in force.
    fn settings(&self) -> Value;

    /// What the listeners have counted since the start.
    fn counters(&self) -> Counters;

    /// What the process has of the machine's memory.
    fn memory(&self) -> Memory;

    /// Resolves when the snapshot that answers requests contains everything up to `revision`: a write is answered only
    /// after it. Must not wait for ever: a snapshot that cannot be compiled is reported elsewhere.
    fn applied(&self, revision: Revision) -> BoxFuture<'_, ()>;

    /// What of the configuration is not in force as it stands (`GET /status` lists it).
    fn degraded(&self) -> Vec<Arc<Degradation>> {
        Vec::new()
    }

    /// Whether the node can take traffic; the text says why not (`GET /status/ready`).
    fn ready(&self) -> Result<(), String>;

    /// From now on the node is not ready, so that it gets no more traffic (`POST /status/ready`).
    fn drain(&self) {}

    /// The balancer's view of an upstream; `None` while it has none.
    fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth>;

    /// Marks the addresses of a target by hand. The error is what the client is told with status 400.
    fn set_target_health(&self, mark: &TargetMark) -> Result<(), String>;

    /// What became of questions to name servers, by name and kind of record (`stats` of `GET /status/dns`); `None` with
    /// Kong's classic resolver, which does not count.
    fn name_statistics(&self) -> Option<Value> {
        None
    }

    /// What goes through the node, from now on, with the upstreams of those ids and names (`None`: all); `None` when
    /// too many watch already.
    fn watch(&self, _upstreams: Option<Vec<String>>) -> Option<Pictures> {
        None
    }

    /// Requests as they end, from now on; `None` when too many look already.
    fn requests(&self, _wanted: WantedRequests) -> Option<Pictures> {
        None
    }

    /// Sends a request through this node's own proxy and tells its course; the error is a status and what the client is
    /// told.
    fn trace(&self, _request: TracedRequest) -> BoxFuture<'_, Result<Value, (u16, String)>> {
        Box::pin(std::future::ready(Err((501, "not implemented".to_owned()))))
    }

    /// The entities that make up a configuration, in the order in which they refer to each other.
    fn configured(&self) -> Vec<String> {
        Vec::new()
    }

    /// The file of a configuration, as `bascule dump` writes it.
    fn dump(&self, _configuration: Configuration) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(std::future::ready(Err("the node cannot write files".to_owned())))
    }

    /// The steps that make a configuration that of a file, each as a request to the Admin API with what it is about.
    /// The error is what is wrong with the file.
    fn plan(&self, _configuration: Configuration, _file: String) -> BoxFuture<'_, Result<Value, String>> {
        Box::pin(std::future::ready(Err("the node cannot read files".to_owned())))
    }

    /// Whether an expression holds for a request, and each of its parts. The error is what is wrong with it.
    fn judge(&self, _expression: &str, _request: &DescribedRequest) -> Result<Value, String> {
        Err("the node cannot judge expressions".to_owned())
    }

    /// The level in force: `debug`, `info`, `notice`, `warn`, `error`, `crit`, `alert` or `emerg`.
    fn log_level(&self) -> String;

    /// Changes the level until the time is over; then, or at once when it is zero, that of the settings holds. The name
    /// is a valid one.
    fn set_log_level(&self, level: &str, timeout: Duration);

    /// The endpoints that plugins add.
    fn plugin_endpoints(&self) -> Vec<PluginEndpoint> {
        Vec::new()
    }

    /// Answers a request to one of them.
    fn plugin_admin(&self, _request: PluginRequest) -> BoxFuture<'_, PluginAnswer> {
        Box::pin(std::future::ready(PluginAnswer { status: 404, content: PluginContent::None, headers: Vec::new() }))
    }

    /// Calls a function of data access that a plugin has in the place of the store's. It returns a value, and the
    /// offset of what follows; or it answers the request itself.
    fn plugin_function(
        &self,
        _request: PluginRequest,
        _function: PluginFunction,
    ) -> BoxFuture<'_, Result<(Value, Option<String>), PluginAnswer>> {
        let answer = PluginAnswer { status: 500, content: PluginContent::None, headers: Vec::new() };
        Box::pin(std::future::ready(Err(answer)))
    }

    /// What code of plugins keeps under a key (`kong.cache`), null for what it knows not to be there.
    fn kept_value(&self, _key: &str) -> Option<Value> {
        None
    }

    /// Has code load anew what it keeps under a key, or all that it keeps.
    fn forget_value(&self, _key: Option<&str>) {}

    /// Does what another node has announced on the channel of a plugin.
    fn hear<'a>(&'a self, _channel: &'a str, _data: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Sends a message of an event hook, again if need be, without waiting for it.
    fn queue_hook(&self, _message: HookMessage) {}

    /// Sends one at once. The error says why there is no answer.
    fn send_hook(&self, _message: HookMessage) -> BoxFuture<'_, Result<HookAnswer, String>> {
        Box::pin(std::future::ready(Err("the node sends nothing".to_owned())))
    }

    /// Has the plugin by which administrators log in find out who has sent a request.
    fn identify(&self, _request: LoginRequest) -> BoxFuture<'_, Login> {
        Box::pin(std::future::ready(Login { outcome: LoginOutcome::Unavailable, cookies: Vec::new() }))
    }

    /// Whether a client may use an interface (`allow` and `deny`); it is answered 403 otherwise.
    fn allows(&self, _interface: Interface, _origin: &Origin, _headers: &HeaderMap) -> bool {
        true
    }

    /// The client of a connection: its peer, or whom a trusted proxy names.
    fn client(&self, _interface: Interface, origin: &Origin, _headers: &HeaderMap) -> IpAddr {
        origin.peer.ip()
    }

    /// Whether answers concern the node: [`Node::added`] and [`Node::note`] are called.
    fn looks_on(&self, _interface: Interface) -> bool {
        false
    }

    /// Lines that are added to an answer (`add_header`).
    fn added(&self, _interface: Interface, _answered: &Answered<'_>) -> HeaderMap {
        HeaderMap::new()
    }

    /// Writes a request that was answered to the access log.
    fn note(&self, _interface: Interface, _answered: &Answered<'_>) {}
}

/// What an event hook sends. It may have secrets: it is for no log.
#[derive(Clone)]
pub struct HookMessage {
    /// The hook's id.
    pub hook: String,
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub content: String,
    /// Whether the server must prove who it is.
    pub verify: bool,
}

/// What its server answers.
#[derive(Clone, Debug)]
pub struct HookAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub content: String,
}

/// A request that nobody sends.
#[derive(Debug)]
pub struct DescribedRequest {
    pub method: String,
    pub https: bool,
    /// As in `Host`.
    pub host: String,
    pub port: u16,
    pub path: String,
    pub query: Option<String>,
    pub headers: Vec<(String, String)>,
    pub client: Option<IpAddr>,
}

/// The records of a workspace by entity.
#[derive(Debug)]
pub struct Configuration {
    pub workspace: String,
    pub records: Vec<(String, Vec<Record>)>,
}

/// A request that was answered.
#[derive(Debug)]
pub struct Answered<'a> {
    pub origin: Origin,
    /// The number of the request on its connection, from 1.
    pub request: u64,
    pub method: &'a str,
    /// Path and query as they came.
    pub target: &'a str,
    pub version: Version,
    pub request_headers: &'a HeaderMap,
    pub response_headers: &'a HeaderMap,
    pub status: u16,
    /// Octets of the answer's content.
    pub content: u64,
    pub took: Duration,
}

/// A connection to a listener.
#[derive(Clone, Debug)]
pub struct Origin {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// What the PROXY protocol says of it.
    pub proxied: Option<Proxied>,
    pub tls: bool,
    /// Its number on its listener, from 1.
    pub connection: u64,
}

/// The processes of a node.
#[derive(Clone, Debug, Default)]
pub struct Pids {
    pub master: u32,
    /// One for each worker; threads of one process repeat its number.
    pub workers: Vec<u32>,
}

/// What the listeners have counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub connections_accepted: u64,
    pub connections_handled: u64,
    pub connections_active: u64,
    pub connections_reading: u64,
    pub connections_waiting: u64,
    pub connections_writing: u64,
    pub total_requests: u64,
}

/// Memory in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What the process has of it.
    pub resident: u64,
    /// What the machine has.
    pub total: u64,
}

/// A target whose health is set by hand.
#[derive(Clone, Debug)]
pub struct TargetMark {
    pub upstream: Uuid,
    /// For the error text.
    pub upstream_name: String,
    /// The target's name or address, without port.
    pub host: String,
    /// The target's port, or that of `address`.
    pub port: u16,
    /// Only this address: an IP address, or the name in an SRV record, as `GET …/health` shows it. Otherwise all that
    /// the name resolves to.
    pub address: Option<String>,
    pub healthy: bool,
}

/// A path that a plugin answers, such as `/proxy-cache/{cache_key}`.
#[derive(Clone, Copy, Debug)]
pub struct PluginEndpoint {
    pub path: &'static str,
    pub methods: &'static [&'static str],
    /// Whether the Admin API has it.
    pub on_admin: bool,
    /// Whether the Status API has it.
    pub on_status: bool,
    /// Whether it acts in the workspace of the path, and not for the node.
    pub in_workspaces: bool,
}

/// A request to an endpoint of a plugin.
#[derive(Clone, Debug)]
pub struct PluginRequest {
    /// `HEAD` comes as `GET`.
    pub method: &'static str,
    /// The decoded segments of the path, none of them empty.
    pub path: Vec<String>,
    /// The decoded pairs of the query.
    pub query: Vec<(String, String)>,
    /// The fields of a JSON or form body.
    pub body: Option<Record>,
    /// Whose records it is about.
    pub scope: Scope,
    /// Whether it came by the Status API.
    pub of_status: bool,
    /// Its path as it has come, without a workspace in front.
    pub raw_path: String,
    /// Its query as it has come.
    pub raw_query: String,
    pub headers: HeaderMap,
    pub client: IpAddr,
    /// Its content as it has come.
    pub content: Bytes,
}

/// A function of data access that a plugin has in the place of the store's.
#[derive(Clone, Debug)]
pub struct PluginFunction {
    pub entity: String,
    /// Such as `insert`, or `update_by_name`.
    pub function: String,
    pub arguments: Vec<Value>,
    /// The last argument.
    pub options: Value,
}

/// What a plugin answers.
#[derive(Clone, Debug)]
pub struct PluginAnswer {
    pub status: u16,
    pub content: PluginContent,
    /// Further lines of its head.
    pub headers: Vec<(String, String)>,
}

/// Which requests are to be shown; all that is named has to hold.
#[derive(Clone, Debug, Default)]
pub struct WantedRequests {
    pub method: Option<String>,
    /// A status, or the hundred that it is in.
    pub status: Option<u16>,
    /// The id or the name of a route.
    pub route: Option<String>,
}

/// A request whose course is to be told.
#[derive(Clone, Debug)]
pub struct TracedRequest {
    pub method: String,
    pub tls: bool,
    /// Over HTTP/2, as calls of gRPC are made.
    pub http2: bool,
    /// With the port, where the client names one.
    pub host: String,
    pub port: Option<u16>,
    /// Path and query.
    pub target: String,
    /// In order.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// As whose; else that of the machine itself.
    pub client: Option<IpAddr>,
}

/// The content of an answer.
#[derive(Clone, Debug)]
pub enum PluginContent {
    None,
    Json(Value),
    /// `text/plain`.
    Text(String),
    /// That of the endpoint in whose place this one stands, which gets this content, or that of the request.
    Replaced(Option<Record>),
}
