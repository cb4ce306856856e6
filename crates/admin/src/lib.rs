//! The Admin API and the Status API: the endpoints that follow from the schemas in `model`, over `store`, and the few
//! that are written by hand.
//!
//! A request goes `server` → `http` (content types, limits, content) → `endpoint` (the tree of paths, built once) →
//! a handler in `entity`, `nested` or `routes` → `answer` → `http` again for the headers that all answers have.

mod answer;
mod call;
mod content;
mod endpoint;
mod entity;
mod form;
mod http;
mod nested;
mod node;
mod page;
mod resource;
mod routes;
mod server;

pub use http::Interface;
pub use hyper::HeaderMap;
pub use node::{Answered, Counters, Node, Origin, Pids, PluginRequest, TargetMark};
pub use server::{Connections, Listener, serve};

use bytes::Bytes;
use endpoint::Endpoints;
use http_body_util::Full;
use hyper::{Request, Response};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use wire::net::Lingering;

/// The Admin API of a node, ready to answer. Built once; the tree of its endpoints follows from the store's catalog.
pub struct Admin {
    store: Store,
    node: Arc<dyn Node>,
    options: Options,
    endpoints: Endpoints,
    status_endpoints: Endpoints,
}

/// The settings that the Admin API itself obeys.
#[derive(Clone, Debug)]
pub struct Options {
    /// `bascule_version`, also in the `Server` header.
    pub version: String,
    /// Whether `headers` contains `server_tokens`.
    pub server_header: bool,
    /// Whether `headers` contains `latency_tokens` or `X-Kong-Admin-Latency`.
    pub latency_header: bool,
    /// `database = off`: reads only, and `/config`.
    pub dbless: bool,
    /// `role = control_plane`.
    pub control_plane: bool,
    /// The largest content of a request, in bytes (`nginx_admin_client_max_body_size`).
    pub max_content: usize,
    /// The origins of the GUI; empty: any origin is allowed.
    pub origins: Vec<String>,
    /// Bounds on clients of the Admin and of the Status API.
    pub limits: Limits,
    pub status_limits: Limits,
}

/// Bounds on what clients may do, under the names of nginx's directives.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `large_client_header_buffers`: octets of a request's head, and of each line of it.
    pub head: usize,
    pub line: usize,
    /// `client_header_timeout`: for all that comes before HTTP (TLS), and for each head.
    pub client_header_timeout: Duration,
    /// `client_body_timeout`: between two reads of a request's content.
    pub client_body_timeout: Duration,
    /// `send_timeout`: between two writes.
    pub send_timeout: Duration,
    pub lingering: Lingering,
    /// `keepalive_timeout`: how long a connection may be idle. Zero: it is closed after each request.
    pub keepalive_timeout: Duration,
    /// Its second value, in seconds: what clients are told in `Keep-Alive`.
    pub keepalive_header: Option<u64>,
    /// `keepalive_requests`: on one connection.
    pub keepalive_requests: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: 32 << 10,
            line: 8 << 10,
            client_header_timeout: Duration::from_secs(60),
            client_body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            lingering: Lingering::default(),
            keepalive_timeout: Duration::from_secs(75),
            keepalive_header: None,
            keepalive_requests: 10_000,
        }
    }
}

impl Options {
    fn limits_of(&self, interface: Interface) -> &Limits {
        match interface {
            Interface::Admin => &self.limits,
            Interface::Status => &self.status_limits,
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server_header: true,
            latency_header: true,
            dbless: false,
            control_plane: false,
            max_content: 10 * 1024 * 1024,
            origins: Vec::new(),
            limits: Limits::default(),
            status_limits: Limits::default(),
        }
    }
}

impl Admin {
    /// The Admin API of `node` over `store`.
    pub fn new(store: Store, node: Arc<dyn Node>, options: Options) -> Admin {
        let endpoints = Endpoints::admin(store.catalog());
        Admin { store, node, options, endpoints, status_endpoints: Endpoints::status() }
    }

    /// Answers one request to the Admin API, without a socket.
    pub async fn answer(self: &Arc<Admin>, request: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        http::respond(self, Interface::Admin, request).await
    }

    /// Answers one request to the Status API, without a socket.
    pub async fn answer_status(self: &Arc<Admin>, request: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        http::respond(self, Interface::Status, request).await
    }
}

/// The TLS of a listener, which may change while it serves.
pub trait Tls: Send + Sync + 'static {
    /// What is in force.
    fn config(&self) -> Arc<rustls::ServerConfig>;

    /// Whether a client that has shown these certificates is served; else what it is told with status 400.
    fn judge(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<(), &'static str>;
}

/// Anybody is served.
impl Tls for Arc<rustls::ServerConfig> {
    fn config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(self)
    }

    fn judge(&self, _: Option<&[CertificateDer<'_>]>) -> Result<(), &'static str> {
        Ok(())
    }
}
