//! The schema language as data: fields, validation, defaults, entity checks, shorthands and their description.

use crate::{Catalog, Error, Record};
use serde_json::Value;

/// The shape of one entity (or of a plugin's or vault's part of one) and the rules its records obey.
#[derive(Debug)]
pub struct Schema {
    /// The entity's name, such as `services`.
    pub name: String,
}

impl Schema {
    /// A schema from its description: what `GET /schemas/*` shows plus what Kong keeps to itself
    /// (`name`, `primary_key`, `endpoint_key`, `cache_key`, `ttl`, names of custom checks).
    pub fn parse(text: &str) -> Result<Schema, String> {
        todo!("{text}")
    }

    /// A complete valid record from a client's new one: shorthands resolved, scalars taken for sets,
    /// defaults and automatic fields filled in.
    pub fn process_insert(&self, catalog: &Catalog, input: Record) -> Result<Record, Error> {
        todo!("{catalog:?} {input:?}")
    }

    /// The complete valid record after a partial change of `current`: records merge, null clears.
    pub fn process_update(&self, catalog: &Catalog, input: Record, current: &Record) -> Result<Record, Error> {
        todo!("{catalog:?} {input:?} {current:?}")
    }

    /// A complete valid record for `PUT`: as an insert, but fields named in `keys` (the primary or endpoint key) are given.
    pub fn process_upsert(&self, catalog: &Catalog, input: Record, keys: &Record) -> Result<Record, Error> {
        todo!("{catalog:?} {input:?} {keys:?}")
    }

    /// What `GET /schemas/{name}` answers.
    pub fn describe(&self) -> Value {
        todo!()
    }
}
