//! What is valid: the schema language, the entities, and the wording of errors.
//!
//! Records are JSON objects checked by a [`Schema`]; they become typed structs ([`entities`]) once, when a
//! snapshot is compiled. Nothing else in the project words a validation error.

pub mod address;
mod catalog;
pub mod declarative;
mod degradation;
pub mod entities;
mod error;
pub mod expression;
mod filters;
pub mod health;
pub mod hostname;
mod migrations;
pub mod pem;
mod pretty;
pub mod regex_budget;
pub mod schema;
pub mod yaml;

pub use catalog::{Catalog, Lookup, PluginSchema, RouterFlavor};
pub use degradation::{Degradation, Degraded, Effect};
pub use error::{Code, Error};
pub use filters::FilterSchema;
pub use migrations::{Migration, MigrationStep, PluginMigrations, RunStatements};
pub use schema::{Foreign, Function, InWorkspace, Schema};

/// An entity or a part of one: field names and values, as the Admin API shows them.
pub type Record = serde_json::Map<String, serde_json::Value>;
