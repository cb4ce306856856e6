//! What a plugin sees of the gateway, and nothing else: the phases, the exchange it acts on, answers,
//! and state that outlives configuration changes.

mod answer;
mod args;
mod authentication;
mod base64;
mod config;
mod content;
mod credential_entity;
mod directory;
mod env;
mod error_pages;
mod exchange;
mod http_client;
pub mod jose;
pub mod json;
mod media_type;
mod memory;
mod multipart;
mod network;
pub mod path;
mod plugin;
mod queue;
mod request_body;
mod snapshot_ref;
mod tasks;
pub mod testing;
mod url;

pub use answer::Answer;
pub use args::{Args, decode};
pub use authentication::{Anonymous, after_scheme, challenge};
pub use base64::{decode_base64, decode_base64url};
pub use config::Config;
pub use content::Content;
pub use credential_entity::{CredentialEntity, CredentialKey, Parsed};
pub use directory::{Configuration, Directory};
pub use env::{Env, NodeInfo};
pub use error_pages::{ErrorFormat, ErrorPages};
pub use exchange::{Client, Exchange, Source, Timing, Try, UpstreamRequest};
pub use http_client::{HttpClient, HttpError, HttpOptions, HttpRequest, HttpResponse};
pub use json::JsonObject;
pub use media_type::MediaType;
pub use memory::{Exhausted, Held, Lease, MemoryBudget};
pub use multipart::Multipart;
pub use network::{Connection, Network, PeerTls, Resolve, Server, ServerTls};
pub use plugin::{AdminAnswer, AdminRequest, Phases, Plugin, PluginKind, Step, register};
pub use queue::{Deliver, Queue, QueueSettings};
pub use request_body::RequestBody;
pub use snapshot_ref::SnapshotRef;
pub use tasks::{OwnedTask, Tasks};
pub use url::Url;

pub use bytes::Bytes;
pub use futures_util::future::{BoxFuture, LocalBoxFuture};
pub use model::{Function, Record, address, entities};
pub use tokio_util::sync::CancellationToken;
pub use wire::{Fields, Known, RequestHead, ResponseHead, Version, field_value};
