//! The Admin API and the Status API: the endpoints that follow from the schemas in `model`, over `store`, and the few
//! that are written by hand.
//!
//! A request goes `server` → `http` (content types, limits, content) → `endpoint` (the tree of paths, put together once
//! by `routes`) → a handler in `entity`, `nested` or `routes` → `answer` → `http` again for the headers that all
//! answers have.

mod access;
mod answer;
mod audit;
mod call;
mod content;
mod cross_site;
mod dao;
mod endpoint;
mod entity;
mod events;
mod form;
mod http;
mod nested;
mod node;
mod openapi;
mod options;
mod page;
mod pictures;
mod records;
mod resource;
mod routes;
mod search;
mod server;
mod workspace;

pub use access::complexity::Complexity;
pub use access::options::{AccessOptions, Enforcement, GuiAuth, Provider, ProviderKind, SessionOptions};
pub use access::prepare as prepare_access;
pub use access::provider::{Identity, Login, LoginOutcome, LoginRequest};
pub use audit::{AuditOptions, SigningKey};
pub use http::Admin;
pub use hyper::HeaderMap;
pub use node::{
    Answered, Configuration, Counters, DescribedRequest, HookAnswer, HookMessage, Interface, Memory, Node, Origin,
    Pids, PluginAnswer, PluginContent, PluginEndpoint, PluginFunction, PluginRequest, TargetMark, TracedRequest,
    WantedRequests,
};
pub use options::{Limits, Options};
pub use pictures::{Pictures, ResponseBody};
pub use routes::login::PROVIDER_LOGOUT;
pub use server::{Connections, Listener, Tls, serve};
