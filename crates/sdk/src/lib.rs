//! What a plugin sees of the gateway, and nothing else: the phases, the exchange it acts on, answers,
//! and state that outlives configuration changes.

mod admin;
mod answer;
mod answer_cache;
mod args;
mod authentication;
pub mod aws;
mod base64;
pub mod certificates;
mod client_socket;
mod config;
mod content;
mod continuation;
mod credential_entity;
mod directory;
mod env;
mod error_pages;
mod exchange;
mod facts;
pub mod filters;
mod given_ids;
mod handshake;
mod http_client;
pub mod jose;
pub mod json;
mod kept_connection;
mod ldap;
pub mod log;
mod media_type;
mod memory;
pub mod metrics;
mod multipart;
mod network;
mod node_log;
pub mod path;
mod plugin;
mod queue;
pub mod recording;
mod records;
pub mod redis;
mod request_body;
mod request_debug;
mod retries;
pub mod scripts;
pub mod session;
mod snapshot_ref;
mod tasks;
pub mod testing;
mod trace;
mod tries;
mod upstream_request;
mod upstream_tls;
mod url;
pub mod variables;
mod websocket;

pub use admin::{AdminAnswer, AdminContent, AdminEndpoint, AdminHead, AdminRequest, DaoAnswer, DaoCall};
pub use answer::Answer;
pub use answer_cache::{AnswerCache, Question};
pub use args::{Args, decode};
pub use authentication::{Anonymous, after_scheme, challenge};
pub use base64::{decode_base64, decode_base64url};
pub use certificates::{CertificateRequest, ClientCertificate};
pub use client_socket::{ClientSocket, LentSocket};
pub use config::Config;
pub use content::Content;
pub use continuation::{Continuation, Portion};
pub use credential_entity::{CredentialEntity, CredentialKey, Parsed};
pub use directory::{Configuration, Directory};
pub use env::{Env, KONG_VERSION, NodeInfo};
pub use error_pages::{ErrorFormat, ErrorPages};
pub use exchange::{Client, ContentLimit, Exchange, Source, StreamSession, Timing, Tls};
pub use facts::{Connections, Facts, Memory};
pub use given_ids::GivenIds;
pub use handshake::Handshake;
pub use http_client::{HttpClient, HttpError, HttpOptions, HttpRequest, HttpResponse, Proxies};
pub use json::JsonObject;
pub use kept_connection::KeptConnection;
pub use ldap::{Entry as LdapEntry, LdapServer, LdapUser};
pub use media_type::MediaType;
pub use memory::{Exhausted, Held, Lease, MemoryBudget};
pub use metrics::Metrics;
pub use multipart::Multipart;
pub use network::{Connection, Network, OwnCertificate, PeerTls, Resolve, Server, ServerTls};
pub use node_log::{LOG_OF_CODE, LogListener, LogMessage, NodeLog, SEVERE_LOGS_OF_CODE};
pub use plugin::{FILTERS_OF_ROUTE, FILTERS_OF_SERVICE, Filtered, Phases, Plugin, PluginKind, Step, register};
pub use queue::{Deliver, Queue, QueueSettings};
pub use records::{Addition, Counter, RecordPage, RecordStore, Records, RecordsError};
pub use request_body::{ContentDemand, RequestBody};
pub use request_debug::RequestDebug;
pub use retries::{OnRetry, RetryBudget, RetryCause, RetryPolicy};
pub use scripts::{Script, Scripts};
pub use snapshot_ref::SnapshotRef;
pub use tasks::{OwnedTask, STACK, Tasks};
pub use trace::{
    Attribute, Extracted, Format, Propagation, Span, SpanEvent, SpanId, SpanKind, SpanStatus, Timed, Trace,
    TraceContext, TraceId, TraceSettings,
};
pub use tries::Try;
pub use upstream_request::{Timeouts, UpstreamRequest};
pub use upstream_tls::{ShownCertificate, UpstreamTls};
pub use url::Url;
pub use websocket::{CloseReason, MessageKind, Verdict, WebSocketLimits, WebSocketMessage};

pub use bytes::Bytes;
pub use futures_util::future::{BoxFuture, LocalBoxFuture};
pub use model::{
    Catalog, Foreign, Function, InWorkspace, Migration, MigrationStep, PluginMigrations, Record, RunStatements, Schema,
    address, entities, yaml,
};
pub use rustls::DistinguishedName;
pub use rustls::pki_types::pem::PemObject;
pub use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
pub use rustls::sign::CertifiedKey;
pub use tokio_util::sync::CancellationToken;
pub use wire::h1::Traffic;
pub use wire::{Fields, Framing, Known, RequestHead, ResponseHead, Version, field_value};
