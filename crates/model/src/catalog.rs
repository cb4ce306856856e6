//! All schemas that a node knows: its entities, and the subschemas of plugins and vaults.

use crate::{Error, FilterSchema, PluginMigrations, Record, Schema};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The schemas of a node. Built once at start; everything that validates holds it in an `Arc`.
#[derive(Debug, Default)]
pub struct Catalog {
    entities: Vec<Arc<Schema>>,
    plugins: BTreeMap<String, PluginSchema>,
    vaults: BTreeMap<String, Arc<Schema>>,
    partials: BTreeMap<&'static str, Arc<Schema>>,
    migrations: Vec<PluginMigrations>,
    filters: Option<Vec<FilterSchema>>,
}

/// What the model has to know of a plugin.
#[derive(Debug, Clone)]
pub struct PluginSchema {
    /// As `GET /` shows it.
    pub priority: i32,
    pub version: String,
    pub schema: Arc<Schema>,
}

/// `router_flavor`: decides what routes look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouterFlavor {
    /// `traditional` and `traditional_compatible`.
    #[default]
    Traditional,
    /// Routes can have an `expression` and a `priority`.
    Expressions,
}

/// Finds the records of an entity whose field has that value; for a foreign key field the value is the id referred to.
pub type Lookup<'a> = &'a mut dyn FnMut(&str, &str, &Value) -> Result<Vec<Record>, Error>;

impl Catalog {
    /// The core entities, without plugins.
    pub fn core() -> Catalog {
        Catalog::core_with(RouterFlavor::Traditional)
    }

    /// The core entities for a flavour of router, without plugins.
    pub fn core_with(flavor: RouterFlavor) -> Catalog {
        let mut catalog = Catalog::default();
        for text in crate::entities::schemas(flavor).into_iter().chain(crate::entities::ACCESS) {
            catalog.add_entity(core_schema(text));
        }
        catalog.add_vault("env", core_schema(crate::entities::ENV_VAULT));
        for (name, text) in crate::entities::PARTIALS {
            catalog.partials.insert(name, Arc::new(core_schema(text)));
        }
        catalog
    }

    /// Has routes and services refuse the protocols of WebSocket (`ws`, `wss`), as Kong's open-source edition does. To
    /// be called before anybody else knows the catalog.
    pub fn refuse_websockets(&mut self) {
        for schema in self.entities.iter_mut().filter(|schema| ["routes", "services"].contains(&schema.name.as_str())) {
            if let Some(schema) = Arc::get_mut(schema) {
                schema.refuse_untold();
            }
        }
    }

    /// Adds an entity, such as a plugin's credentials. The entities that it refers to must be there.
    pub fn add_entity(&mut self, schema: Schema) {
        self.entities.push(Arc::new(schema));
    }

    /// Puts a schema in the place of the one of its name.
    pub(crate) fn replace_entity(&mut self, schema: Schema) {
        if let Some(known) = self.entities.iter_mut().find(|known| known.name == schema.name) {
            *known = Arc::new(schema);
        }
    }

    pub(crate) fn set_filters(&mut self, filters: Vec<FilterSchema>) {
        self.filters = Some(filters);
    }

    /// The filters in WebAssembly that the node has; `None`: it runs none (`wasm = off`).
    pub fn filters(&self) -> Option<&[FilterSchema]> {
        self.filters.as_deref()
    }

    /// Adds a plugin by name.
    pub fn add_plugin(&mut self, name: &str, plugin: PluginSchema) {
        self.plugins.insert(name.to_owned(), plugin);
    }

    /// Adds the migrations of a plugin.
    pub fn add_migrations(&mut self, migrations: PluginMigrations) {
        self.migrations.push(migrations);
        self.migrations.sort_by_key(|migrations| migrations.plugin);
    }

    /// The migrations of plugins, by the names of these.
    pub fn migrations(&self) -> &[PluginMigrations] {
        &self.migrations
    }

    /// Keeps vaults from being called as that kind: references by its name go by settings.
    pub fn reserve_vault(&mut self, kind: &str) {
        let vaults = self.entities.iter_mut().find(|schema| schema.name == "vaults");
        if let Some(schema) = vaults.and_then(Arc::get_mut) {
            schema.refuse_value("prefix", kind);
        }
    }

    /// Adds a kind of vault by name.
    pub fn add_vault(&mut self, name: &str, schema: Schema) {
        self.vaults.insert(name.to_owned(), Arc::new(schema));
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

    /// A type of partials by name.
    pub fn partial(&self, name: &str) -> Option<&Arc<Schema>> {
        self.partials.get(name)
    }

    /// The kinds of records that an entity has, with the schemas that refine its own.
    pub fn refinements(&self, entity: &Schema) -> Vec<(&str, &Schema)> {
        match entity.name.as_str() {
            "plugins" => self.plugins().map(|(name, plugin)| (name, &*plugin.schema)).collect(),
            "vaults" => self.vaults.iter().map(|(name, vault)| (name.as_str(), &**vault)).collect(),
            "partials" => self.partials.iter().map(|(name, partial)| (*name, &**partial)).collect(),
            _ => Vec::new(),
        }
    }

    /// A kind of vault by name.
    pub fn vault(&self, name: &str) -> Option<&Arc<Schema>> {
        self.vaults.get(name)
    }

    /// Rules between a record and those that it refers to: a plugin's `protocols` must suit its route, or one of the
    /// routes of its service. Called with a client's `input` before it is processed, and the record that it changes;
    /// only what the input touches is checked.
    pub fn check_references(
        &self,
        entity: &str,
        input: &Record,
        current: Option<&Record>,
        lookup: Lookup,
    ) -> Result<(), Error> {
        const FIELDS: [&str; 3] = ["protocols", "route", "service"];
        if entity != "plugins" || !FIELDS.iter().any(|f| input.contains_key(*f)) {
            return Ok(());
        }
        let value = |field: &str| input.get(field).or_else(|| current?.get(field)).filter(|v| !v.is_null());
        let id = |field: &str| value(field).and_then(|v| v.get("id"));
        let Some(Value::Array(protocols)) = value("protocols") else { return Ok(()) };
        let suits = |route: &Record| {
            route.get("protocols").and_then(Value::as_array).is_some_and(|r| r.iter().any(|p| protocols.contains(p)))
        };
        if let Some(route) = id("route") {
            if lookup("routes", "id", route)?.iter().any(|route| !suits(route)) {
                return Err(Error::field_violation("protocols", "must match the associated route's protocols"));
            }
        } else if let Some(service) = id("service") {
            let routes = lookup("routes", "service", service)?;
            if !routes.is_empty() && !routes.iter().any(suits) {
                return Err(Error::field_violation(
                    "protocols",
                    "must match the protocols of at least one route pointing to this Plugin's service",
                ));
            }
        }
        Ok(())
    }
}

fn core_schema(text: &str) -> Schema {
    Schema::parse(text).expect("the core schemas are part of the program, and a test reads them all")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn core_entities_follow_what_they_refer_to() {
        for flavor in [RouterFlavor::Traditional, RouterFlavor::Expressions] {
            let catalog = Catalog::core_with(flavor);
            let mut seen = Vec::new();
            for schema in catalog.entities() {
                assert!(schema.foreign_fields().all(|(_, to)| seen.contains(&to)), "{}", schema.name);
                seen.push(schema.name.as_str());
            }
            assert_eq!(seen.len(), 20 + crate::entities::ACCESS.len());
        }
    }

    #[test]
    fn protocols_of_plugins_suit_their_routes() {
        let catalog = Catalog::core();
        let route = |protocols: Value| json!({ "protocols": protocols }).as_object().cloned().unwrap_or_default();
        let check = |input: Value, routes: Vec<Record>| {
            let mut lookup = |_: &str, _: &str, _: &Value| Ok(routes.clone());
            catalog
                .check_references("plugins", input.as_object().unwrap_or(&Record::new()), None, &mut lookup)
                .err()
                .map(|e| e.message)
        };
        let bad = check(json!({"protocols": ["https"], "route": {"id": "r"}}), vec![route(json!(["http"]))]);
        assert_eq!(bad.as_deref(), Some("schema violation (protocols: must match the associated route's protocols)"));
        assert_eq!(check(json!({"protocols": ["https"], "service": {"id": "s"}}), vec![]), None);
        assert!(
            check(
                json!({"protocols": ["tcp"], "service": {"id": "s"}}),
                vec![route(json!(["http"])), route(json!(["https"]))]
            )
            .is_some()
        );
        assert_eq!(
            check(
                json!({"protocols": ["https"], "service": {"id": "s"}}),
                vec![route(json!(["http"])), route(json!(["https"]))]
            ),
            None
        );
        assert_eq!(check(json!({"route": {"id": "r"}}), vec![route(json!(["tcp"]))]), None);
    }
}
