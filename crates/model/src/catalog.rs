//! All schemas that a node knows: its entities, and the subschemas of plugins and vaults.

use crate::Schema;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The schemas of a node. Built once at start; everything that validates holds it in an `Arc`.
#[derive(Debug, Default)]
pub struct Catalog {
    entities: Vec<Arc<Schema>>,
    plugins: BTreeMap<String, PluginSchema>,
}

/// What the model has to know of a plugin.
#[derive(Debug, Clone)]
pub struct PluginSchema {
    /// As `GET /` shows it.
    pub priority: i32,
    pub version: String,
    pub schema: Arc<Schema>,
}

impl Catalog {
    /// The core entities, without plugins.
    pub fn core() -> Catalog {
        todo!()
    }

    /// Adds an entity, such as a plugin's credentials.
    pub fn add_entity(&mut self, schema: Schema) {
        self.entities.push(Arc::new(schema));
    }

    /// Adds a plugin by name.
    pub fn add_plugin(&mut self, name: &str, plugin: PluginSchema) {
        self.plugins.insert(name.to_owned(), plugin);
    }

    /// An entity by name (`services`, `keyauth_credentials`).
    pub fn entity(&self, name: &str) -> Option<&Arc<Schema>> {
        self.entities.iter().find(|s| s.name == name)
    }

    /// All entities, in the order in which they can be inserted (a foreign key's target first).
    pub fn entities(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.entities.iter()
    }

    /// A plugin by name.
    pub fn plugin(&self, name: &str) -> Option<&PluginSchema> {
        self.plugins.get(name)
    }

    /// All plugins by name.
    pub fn plugins(&self) -> impl Iterator<Item = (&str, &PluginSchema)> {
        self.plugins.iter().map(|(name, plugin)| (name.as_str(), plugin))
    }
}
