//! One file per entity: its schema and its typed form, side by side.
//!
//! `from_record` expects a record that its schema has accepted and completed; it fails only on records
//! written by something else (a damaged database), and says which field is wrong.

mod consumer;
mod decode;
mod plugin;
mod route;
mod service;
mod target;
mod upstream;

pub use consumer::{Consumer, Credential};
pub use plugin::Plugin;
pub use route::{Address, PathHandling, Protocol, Protocols, Route};
pub use service::Service;
pub use target::Target;
pub use upstream::{ActiveChecks, Algorithm, CheckKind, HashOn, Healthchecks, PassiveChecks, Upstream};
pub use uuid::Uuid;
