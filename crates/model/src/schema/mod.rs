//! The schema language as data: fields, validation, defaults, entity checks, shorthands and their description.
//!
//! A schema is JSON text: what `GET /schemas/*` shows, plus keys that stay hidden because they matter to the gateway
//! only:
//! - of an entity: `name`, `primary_key` (default `["id"]`), `endpoint_key`, `admin_api_name`, `admin_api_nested_name`,
//!   `cache_key`, `ttl`, `workspaceable`, `generate_admin_api`, `db_export`,
//!   `in_snapshot` (false: requests write its records, and no snapshot holds them), `shorthand_fields`,
//!   `dao_functions` (functions of data access that a plugin has replaced by its own, such as `insert`),
//!   `transformations` (`[{"input": [...], "needs": [...], "func": NAME}]`), `subschema_key`, `subschema_error`,
//!   `subschemas` (a list of refinements, or the kind that the catalog knows by name: `"plugins"`, `"vaults"`,
//!   `"partials"`), `enterprise` (Kong's open-source edition has no such entity), `supported_partials` of plugins,
//!   `example` (fields of a new record whose values the rest does not suggest);
//! - of a field: `validator` and `record_validator` (names of functions), `omit_null`, `also_one_of`,
//!   `also_not_one_of`, and `func` in shorthand fields;
//! - of a `custom_entity_check`: `check` (the name of a function).

mod checks;
mod declared;
mod deprecation;
mod description;
mod example;
mod field;
mod form;
mod functions;
mod json_schema;
mod partials;
mod path;
mod pattern;
mod process;
mod shape;
mod stored;
mod transformation;
mod validate;
mod vault_references;

pub use declared::References;
pub use field::{Field, FieldType, OnDelete};
pub use functions::{Check, Derive, Expand, Foreign, Function, InWorkspace, Validator};
pub use json_schema::Usage;
pub use partials::{FindPartial, Link, lay, links};
pub use shape::Shape;
pub use vault_references::names_vault;

use crate::{Catalog, Error, Record};
use functions::Functions;
use process::Context;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use transformation::Transformation;
use validate::{Scope, View};

/// Records, lists and maps inside each other in a schema.
const MAX_DEPTH: usize = 32;

/// The shape of one entity (or of a plugin's or vault's part of one) and the rules its records obey.
#[derive(Debug)]
pub struct Schema {
    /// The entity's name, such as `services`.
    pub name: String,
    shape: Shape,
    subschemas: Subschemas,
    transformations: Vec<Transformation>,
    primary_key: Vec<String>,
    endpoint_key: Option<String>,
    path_name: String,
    nested_name: String,
    cache_key: Vec<String>,
    ttl: bool,
    workspaceable: bool,
    generate_admin_api: bool,
    db_export: bool,
    in_snapshot: bool,
    dao_functions: Vec<String>,
    enterprise: bool,
    /// Of a plugin: types of partials, each with the places where it can be laid.
    supported_partials: BTreeMap<String, Vec<String>>,
    /// What it was parsed from: what is asked for seldom is found there (`shorthand_fields` of which nothing is shown,
    /// `example` of what the fields do not suggest).
    text: Map<String, Value>,
}

/// Finds the record of an entity by the value of a unique field.
pub type Find<'a> = &'a mut dyn FnMut(&str, &str, &Value) -> Result<Option<Record>, Error>;

/// Where the part of a schema comes from that depends on a record's own values.
#[derive(Debug)]
struct Subschemas {
    source: Source,
    /// The field that chooses.
    key: String,
    /// What is said of an unknown choice.
    error: String,
}

#[derive(Debug)]
enum Source {
    None,
    Own(Vec<(Vec<String>, Shape)>),
    Plugins,
    Vaults,
    Partials,
}

impl Schema {
    /// Takes no values any more of which clients are told nothing (`also_one_of`), nor records that are of them.
    pub(crate) fn refuse_untold(&mut self) {
        let mut untold = Vec::new();
        for field in self.shape.fields_mut() {
            untold.extend(field.rules.also_one_of.take());
            if let FieldType::Set(elements) | FieldType::Array(elements) = &mut field.kind {
                untold.extend(elements.rules.also_one_of.take());
            }
        }
        if let Source::Own(kinds) = &mut self.subschemas.source {
            kinds.retain(|(names, _)| !names.iter().any(|name| untold.iter().any(|values| values.contains_key(name))));
        }
    }

    /// Takes that value of a field no more.
    pub(crate) fn refuse_value(&mut self, field: &str, value: &str) {
        for field in self.shape.fields_mut().iter_mut().filter(|known| known.name == field) {
            field.rules.not_one_of.get_or_insert_default().push(value.into());
        }
    }

    /// A schema from its description: what `GET /schemas/*` shows plus what Kong keeps to itself
    /// (`name`, `primary_key`, `endpoint_key`, `cache_key`, `ttl`, names of custom checks).
    pub fn parse(text: &str) -> Result<Schema, String> {
        Schema::parse_with(text, &[])
    }

    /// [`Schema::parse`] for a text that names functions of the caller's own beside those of the model.
    pub fn parse_with(text: &str, functions: &'static [(&'static str, Function)]) -> Result<Schema, String> {
        let Value::Object(text) = serde_json::from_str(text).map_err(|e| e.to_string())? else {
            return Err("a schema is a JSON object".to_owned());
        };
        let raw = &text;
        let functions = Functions { own: functions };
        let string = |key: &str| raw.get(key).and_then(Value::as_str).map(str::to_owned);
        let strings = |key: &str| {
            raw.get(key)
                .and_then(Value::as_array)
                .map(|l| l.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>())
        };
        let flag = |key: &str, default: bool| raw.get(key).and_then(Value::as_bool).unwrap_or(default);
        let name = string("name").unwrap_or_default();
        let path_name = string("admin_api_name").unwrap_or_else(|| name.clone());
        let schema = Schema {
            shape: Shape::parse(raw, None, &functions, MAX_DEPTH)?,
            subschemas: Subschemas {
                source: Source::parse(raw, &functions)?,
                key: string("subschema_key").unwrap_or_default(),
                error: string("subschema_error").unwrap_or_else(|| "unknown type: %s".to_owned()),
            },
            transformations: raw
                .get("transformations")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|t| Transformation::parse(t, &functions))
                .collect::<Result<_, _>>()?,
            primary_key: strings("primary_key").unwrap_or_else(|| vec!["id".to_owned()]),
            endpoint_key: string("endpoint_key"),
            nested_name: string("admin_api_nested_name").unwrap_or_else(|| path_name.clone()),
            path_name,
            cache_key: strings("cache_key").unwrap_or_default(),
            ttl: flag("ttl", false),
            workspaceable: flag("workspaceable", false),
            generate_admin_api: flag("generate_admin_api", true),
            db_export: flag("db_export", true),
            in_snapshot: flag("in_snapshot", true),
            dao_functions: strings("dao_functions").unwrap_or_default(),
            enterprise: flag("enterprise", false),
            supported_partials: raw
                .get("supported_partials")
                .map_or(Ok(BTreeMap::new()), |supported| serde_json::from_value(supported.clone()))
                .map_err(|e| format!("supported_partials: {e}"))?,
            name,
            text,
        };
        Ok(schema)
    }

    /// A complete valid record from a client's new one: shorthands resolved, defaults and automatic fields filled in.
    /// References must have been resolved to ids before ([`Schema::resolve_foreign`]).
    pub fn process_insert(&self, catalog: &Catalog, input: Record) -> Result<Record, Error> {
        let scope = Scope::new(catalog);
        let record = self.process(scope, input, Context::Insert)?;
        self.finish(scope, record, None)
    }

    /// The complete valid record after a partial change of `current`: records merge, null clears.
    pub fn process_update(&self, catalog: &Catalog, input: Record, current: &Record) -> Result<Record, Error> {
        let scope = Scope { updating: true, ..Scope::new(catalog) };
        // What a plugin has had from partials it may be about to have for itself.
        let completed = links(current).next().map(|_| self.select(catalog, current.clone()));
        let current = completed.as_ref().unwrap_or(current);
        let view = self.known_view(catalog, current);
        // Which subschema the change is to be read by may be said by the record alone.
        let read = if self.subschema_key().is_some_and(|key| input.contains_key(key)) {
            self.known_view(catalog, &input)
        } else {
            view
        };
        let change = process::shape(scope, read, input, Context::Update).map_err(Error::schema_violation)?;
        self.check_immutable(&change, current)?;
        let mut below = current.clone();
        process::strip_shorthands(view, &mut below);
        let merged = process::merge(view, change.clone(), &below);
        let mut changed = self.finish(scope, merged, Some((&change, current)))?;
        // The key given in the path stands, whatever the change says.
        for name in &self.primary_key {
            if let Some(value) = current.get(name) {
                changed.insert(name.clone(), value.clone());
            }
        }
        Ok(changed)
    }

    /// A complete valid record for `PUT`: as an insert, but fields named in `keys` (the primary or endpoint key) are
    /// given.
    pub fn process_upsert(&self, catalog: &Catalog, mut input: Record, keys: &Record) -> Result<Record, Error> {
        let scope = Scope::new(catalog);
        input.extend(keys.clone());
        let record = self.process(scope, input, Context::Upsert)?;
        self.finish(scope, record, None)
    }

    /// A stored record as it is shown: fields that its writer did not know are filled in, unknown ones left out, and so
    /// is what a plugin has from partials.
    pub fn process_select(&self, catalog: &Catalog, record: Record) -> Record {
        let mut shown = self.select(catalog, record);
        self.strip_partials(catalog, &mut shown);
        shown
    }

    /// Takes out of a complete record what is only shown: deprecated names of fields.
    pub fn strip_shown(&self, catalog: &Catalog, record: &mut Record) {
        let view = self.known_view(catalog, record);
        process::strip_shorthands(view, record);
    }

    /// [`Schema::process_select`] with what comes from partials.
    fn select(&self, catalog: &Catalog, record: Record) -> Record {
        let scope = Scope::new(catalog);
        let ttl = self.ttl.then(|| record.get("ttl").cloned().unwrap_or(Value::Null));
        let view = self.known_view(catalog, &record);
        // Only shorthands can fail, and what is shown is not checked for them.
        let mut shown = process::shape(scope, view, record, Context::Select).unwrap_or_default();
        if let Some(ttl) = ttl {
            shown.insert("ttl".to_owned(), ttl);
        }
        shown
    }

    /// As [`Schema::process_select`], for the records of a table one after the other: where only values change, the
    /// record keeps its memory.
    pub fn process_select_in_place(&self, catalog: &Catalog, record: &mut Record) {
        let scope = Scope::new(catalog);
        let view = self.known_view(catalog, record);
        if self.ttl || !matches!(process::shape_in_place(scope, view, record), Ok(true)) {
            *record = self.select(catalog, std::mem::take(record));
        }
        self.strip_partials(catalog, record);
    }

    /// Computes what a record's fields derive from others (`transformations`).
    pub fn transform(&self, record: &mut Record) -> Result<(), Error> {
        self.transformations.iter().try_for_each(|transformation| transformation.run(record))
    }

    /// Whether a stored record, before it is completed, can be read: has the types of its schema, ids included. Says
    /// which field does not.
    pub fn check_stored(&self, catalog: &Catalog, record: &Record) -> Result<(), String> {
        stored::check(Scope::new(catalog), self, record)
    }

    /// Checks a record as [`Schema::process_insert`] would, for `POST /schemas/{name}/validate`.
    pub fn validate(&self, catalog: &Catalog, input: Record) -> Result<(), Error> {
        self.process_insert(catalog, input).map(drop)
    }

    /// Checks a value that is to be looked up by a unique field (`GET /services/{name}`).
    pub fn check_unique(&self, catalog: &Catalog, field: &str, value: &Value) -> Result<(), Error> {
        let Some(known) = self.field(field) else { return Ok(()) };
        let scope = Scope::new(catalog);
        validate::field(scope, known, value).map_err(|error| match error {
            Value::Object(errors) => Error::invalid_foreign_key(errors),
            error => Error::invalid_unique(field, validate::show(&error)),
        })
    }

    /// Checks a primary key given by itself, such as `{"id": ...}`.
    pub fn check_primary_key(&self, catalog: &Catalog, key: &Record) -> Result<(), Error> {
        let errors = validate::primary_key(Scope::new(catalog), self, &Value::Object(key.clone()));
        if errors.is_empty() { Ok(()) } else { Err(Error::invalid_primary_key(errors)) }
    }

    /// Replaces references by a unique field (`{"consumer": {"username": "ada"}}`) by references by id. References
    /// by id stay as they are.
    pub fn resolve_foreign(&self, catalog: &Catalog, input: &mut Record, lookup: Find) -> Result<(), Error> {
        let scope = Scope::new(catalog);
        let mut unresolved = Record::new();
        for (field, entity) in self.foreign_fields() {
            let Some(Value::Object(given)) = input.get(&field.name) else { continue };
            let Some(schema) = catalog.entity(entity) else { continue };
            if validate::primary_key(scope, schema, &Value::Object(given.clone())).is_empty() {
                continue;
            }
            let mut failed = Record::new();
            let mut found = None;
            for unique in schema.unique_fields() {
                let Some(value) = given.get(&unique.name).filter(|v| !v.is_null()) else { continue };
                if validate::field(scope, unique, value).is_err() {
                    continue;
                }
                match lookup(entity, &unique.name, value)? {
                    Some(record) => {
                        found = Some(
                            record
                                .into_iter()
                                .filter(|(name, _)| schema.primary_key.contains(name))
                                .collect::<Record>(),
                        );
                        break;
                    }
                    None => drop(
                        failed.insert(unique.name.clone(), Error::unresolved_text(&unique.name, value, entity).into()),
                    ),
                }
            }
            match found {
                Some(key) => drop(input.insert(field.name.clone(), Value::Object(key))),
                None if failed.is_empty() => {}
                None => drop(unresolved.insert(field.name.clone(), Value::Object(failed))),
            }
        }
        if unresolved.is_empty() { Ok(()) } else { Err(Error::foreign_keys_unresolved(unresolved)) }
    }

    /// Turns the strings of a form into what the fields want: numbers, booleans, lists; an empty string becomes null.
    pub fn coerce_form(&self, catalog: &Catalog, input: Record) -> Record {
        form::coerce(self, catalog, input)
    }

    /// What `GET /schemas/{name}` answers.
    pub fn describe(&self) -> Value {
        description::of(&self.text)
    }

    /// All fields in the order of the schema.
    pub fn fields(&self) -> &[Field] {
        self.shape.fields()
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.shape.field(name)
    }

    /// Fields and checks, for walking through nested records.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The references to other entities: field, and entity referred to.
    pub fn foreign_fields(&self) -> impl Iterator<Item = (&Field, &str)> {
        self.fields().iter().filter_map(|field| Some((field, field.reference()?)))
    }

    /// The fields whose values no two records share, each for itself.
    pub fn unique_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields().iter().filter(|field| field.unique)
    }

    /// The names of the fields of the primary key.
    pub fn primary_key(&self) -> &[String] {
        &self.primary_key
    }

    /// The field that can stand in paths for the id (`name`, `username`, `key` …).
    pub fn endpoint_key(&self) -> Option<&str> {
        self.endpoint_key.as_deref()
    }

    /// The collection's name in paths (`key-auths`).
    pub fn path_name(&self) -> &str {
        &self.path_name
    }

    /// The collection's name below the record that it belongs to (`/consumers/{c}/key-auth`).
    pub fn nested_name(&self) -> &str {
        &self.nested_name
    }

    /// The fields that together name a record in caches; with more than one, the combination is unique.
    pub fn cache_key(&self) -> &[String] {
        &self.cache_key
    }

    /// Whether records can expire: the input-only integer `ttl`, in seconds, is accepted.
    pub fn ttl(&self) -> bool {
        self.ttl
    }

    /// Whether records belong to a workspace.
    pub fn workspaceable(&self) -> bool {
        self.workspaceable
    }

    /// Whether the Admin API has endpoints for it that follow from the schema.
    pub fn generate_admin_api(&self) -> bool {
        self.generate_admin_api
    }

    /// Whether records mean something on other nodes too, and so are exported.
    pub fn db_export(&self) -> bool {
        self.db_export
    }

    /// Whether snapshots hold its records. Those that requests write (tokens, sessions) stay in the store.
    pub fn in_snapshot(&self) -> bool {
        self.in_snapshot
    }

    /// Whether a plugin has any function of its own in the place of one of data access.
    pub fn has_own_functions(&self) -> bool {
        !self.dao_functions.is_empty()
    }

    /// Whether a plugin has a function of its own in the place of that one of data access, such as `update_by_name`.
    pub fn replaces(&self, function: &str) -> bool {
        self.dao_functions.iter().any(|replaced| replaced == function)
    }

    /// Whether it is an entity of Kong's Enterprise edition, of which its open-source edition has no table.
    pub fn enterprise(&self) -> bool {
        self.enterprise
    }

    /// The field whose value chooses the subschema (`name` of plugins and vaults).
    pub fn subschema_key(&self) -> Option<&str> {
        Some(self.subschemas.key.as_str()).filter(|key| !key.is_empty())
    }

    /// How records of this schema are to be read; the error is a field and what is wrong with it.
    fn view<'a>(&'a self, catalog: &'a Catalog, input: &Record) -> Result<View<'a>, (String, String)> {
        let Some(key) = self.subschema_key() else { return Ok(View::of(&self.shape)) };
        let value = match input.get(key) {
            None | Some(Value::Null) => return Err((key.to_owned(), validate::REQUIRED.to_owned())),
            Some(value) => value,
        };
        match self.subschema(catalog, value) {
            Some(sub) => Ok(View { base: &self.shape, sub: Some(sub) }),
            None => {
                let choice = match value {
                    Value::Array(items) => items.first().map_or_else(|| "nil".to_owned(), validate::show),
                    Value::Object(_) => "nil".to_owned(),
                    other => validate::show(other),
                };
                Err((key.to_owned(), self.subschemas.error.replacen("%s", &choice, 1)))
            }
        }
    }

    /// [`Schema::view`] where an unknown choice is no error: the schema alone.
    fn known_view<'a>(&'a self, catalog: &'a Catalog, input: &Record) -> View<'a> {
        self.view(catalog, input).unwrap_or(View::of(&self.shape))
    }

    fn subschema<'a>(&'a self, catalog: &'a Catalog, value: &Value) -> Option<&'a Shape> {
        let by_name = |name: &str| match &self.subschemas.source {
            Source::None => None,
            Source::Own(list) => list.iter().find(|(names, _)| names.iter().any(|n| n == name)).map(|(_, shape)| shape),
            Source::Plugins => catalog.plugin(name).map(|plugin| &plugin.schema.shape),
            Source::Vaults => catalog.vault(name).map(|vault| &vault.shape),
            Source::Partials => catalog.partial(name).map(|partial| &partial.shape),
        };
        match value {
            Value::String(name) => by_name(name),
            Value::Array(items) => items.iter().filter_map(Value::as_str).find_map(by_name),
            _ => None,
        }
    }

    fn process(&self, scope: Scope, input: Record, context: Context) -> Result<Record, Error> {
        let view = self.known_view(scope.catalog, &input);
        process::shape(scope, view, input, context).map_err(Error::schema_violation)
    }

    /// Checks a record and computes what derives from its fields. Of an update, `change` is what was given, and what
    /// the record was.
    fn finish(&self, scope: Scope, mut record: Record, change: Option<(&Record, &Record)>) -> Result<Record, Error> {
        let errors = validate::record(scope, self, &record, change.is_none());
        if !errors.is_empty() {
            return Err(Error::schema_violation(errors));
        }
        let refined = self.transformations_of(scope.catalog, &record);
        for transformation in self.transformations.iter().chain(refined) {
            if let Some((given, before)) = change
                && !transformation.input.is_empty()
                && !transformation.input.iter().any(|field| path::get(given, field).is_some())
            {
                transformation.check_needs(&record, before)?;
            } else {
                if let Some((given, _)) = change {
                    transformation.check_given(given)?;
                }
                transformation.run(&mut record)?;
            }
        }
        Ok(self.process_select(scope.catalog, record))
    }

    /// Those of the part of the schema that the record's own values choose.
    fn transformations_of<'a>(&'a self, catalog: &'a Catalog, record: &Record) -> &'a [Transformation] {
        let named = |key: &str| record.get(key).and_then(Value::as_str);
        match self.subschemas.source {
            Source::Plugins => {
                let plugin = named(&self.subschemas.key).and_then(|name| catalog.plugin(name));
                plugin.map_or(&[], |plugin| &plugin.schema.transformations)
            }
            Source::Vaults => {
                let vault = named(&self.subschemas.key).and_then(|name| catalog.vault(name));
                vault.map_or(&[], |vault| &vault.transformations)
            }
            _ => &[],
        }
    }

    fn check_immutable(&self, change: &Record, current: &Record) -> Result<(), Error> {
        let changed = |field: &&Field| match (change.get(&field.name), current.get(&field.name)) {
            (new, Some(old)) => new != Some(old),
            (_, None) => false,
        };
        let errors: Record = self
            .fields()
            .iter()
            .filter(|f| f.immutable && change.contains_key(&f.name))
            .filter(changed)
            .map(|f| (f.name.clone(), "immutable field cannot be updated".into()))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(Error::schema_violation(errors)) }
    }
}

impl Source {
    fn parse(raw: &Map<String, Value>, functions: &Functions) -> Result<Source, String> {
        match raw.get("subschemas") {
            None => Ok(Source::None),
            Some(Value::String(kind)) if kind == "plugins" => Ok(Source::Plugins),
            Some(Value::String(kind)) if kind == "vaults" => Ok(Source::Vaults),
            Some(Value::String(kind)) if kind == "partials" => Ok(Source::Partials),
            Some(Value::Array(list)) => {
                let parse = |sub: &Value| -> Result<(Vec<String>, Shape), String> {
                    let map = sub.as_object().ok_or("a subschema is not an object")?;
                    let names = sub["names"]
                        .as_array()
                        .map_or_else(Vec::new, |l| l.iter().filter_map(Value::as_str).map(str::to_owned).collect());
                    Ok((names, Shape::parse(map, Some(raw), functions, MAX_DEPTH)?))
                };
                list.iter().map(parse).collect::<Result<_, _>>().map(Source::Own)
            }
            Some(other) => Err(format!("bad 'subschemas': {other}")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
