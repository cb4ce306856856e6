//! What the store has to know of each entity: columns, keys, indexes and who refers to whom. Derived once from
//! the schemas; backends build their tables and SQL from it.

pub use model::schema::OnDelete;
use model::schema::{Field, FieldType as Type};
use model::{Catalog, Record, Schema};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// All entities that are stored, in the catalog's order: what is referred to precedes what refers to it.
#[derive(Debug)]
pub struct Layout {
    tables: Vec<Table>,
    by_name: HashMap<String, usize>,
    /// The entities of counters ([`crate::Counter`]).
    pub counters: Vec<String>,
}

/// One entity.
#[derive(Debug)]
pub struct Table {
    pub schema: Arc<Schema>,
    /// The entity's name, such as `services`.
    pub name: String,
    /// The name of Kong's table: the entity's, but for vaults.
    pub relation: String,
    /// Its place in the layout.
    pub index: usize,
    /// The primary key's first field, which is the only one but of entities of plugins: `id`, or `key` of parameters.
    pub primary: String,
    /// The places of all of the primary key's fields in `columns`.
    pub key: Vec<usize>,
    /// Whether records are counters as well ([`crate::Counter`]).
    pub is_counter: bool,
    /// The field that names a record in a path.
    pub endpoint: Option<String>,
    /// The stored fields in the schema's order, the primary key among them.
    pub columns: Vec<Column>,
    pub foreigns: Vec<Foreign>,
    /// Columns that records are looked up by: of unique fields, foreign keys and the endpoint key. What is unique comes
    /// first, in the order of Kong's tables: of several violations the first is reported.
    pub lookups: Vec<Lookup>,
    /// Whether each record belongs to a workspace.
    pub per_workspace: bool,
    pub has_tags: bool,
    pub has_ttl: bool,
    /// Whether snapshots hold its records, and the feed tells of them.
    pub in_snapshot: bool,
    /// Whether primary keys are UUIDs.
    pub has_uuid: bool,
    /// Whether Kong's open-source edition has no such table, so that in its database the table is one of our own.
    pub enterprise: bool,
    /// The foreign keys that point here: (table, place in its `foreigns`).
    pub referrers: Vec<(usize, usize)>,
}

/// A stored field.
#[derive(Debug)]
pub struct Column {
    pub field: String,
    /// The column's name: of foreign keys with `_id` behind it.
    pub name: String,
    pub kind: ColumnType,
    /// What rows get that are older than the column.
    pub default: Value,
    /// Whether Kong's open-source edition has no such column, so that its tables must not have it either. A Kong takes
    /// a row for one without it: the plugin of a group of consumers for one that is everybody's.
    pub enterprise: bool,
}

/// How a field is stored. Databases without such a type keep JSON text, text or numbers in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Text,
    Uuid,
    Integer,
    Number,
    Boolean,
    /// A time in whole seconds since 1970.
    Seconds,
    /// A time in seconds since 1970, with a fraction.
    Time,
    /// When a row ends; no field has it.
    Expiry,
    /// The id of another record.
    Foreign,
    /// Sets and arrays of strings.
    Texts,
    Uuids,
    /// Sets and arrays of records and maps.
    Jsons,
    /// Everything else.
    Json,
}

/// A reference to another entity.
#[derive(Debug)]
pub struct Foreign {
    pub field: String,
    pub column: String,
    /// The other entity's place in the layout.
    pub target: usize,
    pub on_delete: OnDelete,
}

/// A column with an index: one field, or several whose combination is unique. Null of a single field is never equal to
/// null; in a combination it is.
#[derive(Debug)]
pub struct Lookup {
    pub column: String,
    pub kind: ColumnType,
    pub fields: Vec<String>,
    pub unique: bool,
    /// Whether records of different workspaces have nothing to do with each other here.
    pub per_workspace: bool,
}

/// The column of the fields that are unique together.
pub const COMPOSITE: &str = "cache_key";

/// The column, and the field of the feed's records, that says which workspace a record belongs to.
pub const WORKSPACE: &str = "ws_id";

/// The entity of workspaces themselves.
pub const WORKSPACES: &str = "workspaces";

/// Unique fields that Kong's tables keep unique across workspaces although its schemas do not say so.
const UNIQUE_ACROSS: [(&str, &str); 3] = [("filter_chains", "name"), ("key_sets", "name"), ("keys", "name")];

/// The primary key of counters.
const COUNTERS: [&str; 5] = ["identifier", "period", "period_date", "service_id", "route_id"];

/// Fields by which records are found that may have the same value ([`crate::Store::all_by`]), in all workspaces.
const INDEXED: [(&str, &str); 2] = [("rbac_users", "user_token_ident"), ("rbac_role_entities", "entity_id")];

impl Layout {
    /// The layout of all entities. (Kong's `tags` is a view.)
    pub fn new(catalog: &Catalog) -> Result<Layout, String> {
        let mut tables: Vec<Table> = Vec::new();
        let mut by_name = HashMap::new();
        let mut counters = Vec::new();
        for schema in catalog.entities() {
            if schema.name == "tags" {
                continue;
            }
            let workspaces = by_name.contains_key(WORKSPACES);
            let mut table = Table::new(schema, workspaces && schema.workspaceable())?;
            if table.is_counter {
                counters.push(schema.name.clone());
            }
            table.index = tables.len();
            for (field, reference) in schema.foreign_fields() {
                let target = if reference == schema.name { Some(table.index) } else { by_name.get(reference).copied() };
                let target = target
                    .ok_or_else(|| format!("{} refers to {reference}, which is not known before it", schema.name))?;
                table.foreigns.push(Foreign {
                    field: field.name.clone(),
                    column: format!("{}_id", field.name),
                    target,
                    on_delete: on_delete(&schema.name, &field.name, field.on_delete),
                });
            }
            by_name.insert(schema.name.clone(), table.index);
            tables.push(table);
        }
        for index in 0..tables.len() {
            for place in 0..tables[index].foreigns.len() {
                let target = tables[index].foreigns[place].target;
                tables[target].referrers.push((index, place));
            }
        }
        Ok(Layout { tables, by_name, counters })
    }

    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    pub fn table(&self, name: &str) -> Option<&Table> {
        self.by_name.get(name).map(|&index| &self.tables[index])
    }

    pub fn at(&self, index: usize) -> &Table {
        &self.tables[index]
    }
}

impl Table {
    fn new(schema: &Arc<Schema>, per_workspace: bool) -> Result<Table, String> {
        let columns: Vec<Column> = schema.fields().iter().filter_map(Column::new).collect();
        let place = |field: &String| {
            let place = columns.iter().position(|column| column.field == *field);
            place.ok_or_else(|| format!("{} has no field {field}, which is part of its primary key", schema.name))
        };
        let key = schema.primary_key().iter().map(place).collect::<Result<Vec<usize>, String>>()?;
        let primary = schema.primary_key().first().ok_or_else(|| format!("{} has no primary key", schema.name))?;
        let is_alone = key.len() == 1;
        let is_indexed = |column: &Column| INDEXED.contains(&(schema.name.as_str(), column.field.as_str()));
        let single = |column: &Column, unique: bool| {
            let across = schema.field(&column.field).is_some_and(|field| field.unique_across_ws)
                || UNIQUE_ACROSS.contains(&(schema.name.as_str(), column.field.as_str()))
                || is_indexed(column);
            Lookup {
                column: column.name.clone(),
                kind: column.kind,
                fields: vec![column.field.clone()],
                unique,
                per_workspace: per_workspace && !across && column.kind != ColumnType::Foreign,
            }
        };
        let mut lookups: Vec<Lookup> = Vec::new();
        for field in schema.unique_fields().filter(|field| !is_alone || field.name != *primary) {
            // What of Kong's foreign keys is unique is so by a combination; of plugins' entities it may be so alone.
            let is_alone = |kind| kind == ColumnType::Foreign && schema.cache_key().len() < 2;
            let of_field = |c: &&Column| {
                c.field == field.name && (matches!(c.kind, ColumnType::Text | ColumnType::Uuid) || is_alone(c.kind))
            };
            lookups.extend(columns.iter().find(of_field).map(|column| single(column, true)));
        }
        let composite = schema.cache_key();
        if composite.len() > 1 {
            // The name of the workspace is part of the value.
            let lookup = Lookup {
                column: COMPOSITE.to_owned(),
                kind: ColumnType::Text,
                fields: composite.to_vec(),
                unique: true,
                per_workspace: false,
            };
            // Kong's table of plugins got its instance names last.
            let place = lookups.iter().position(|l| l.column == "instance_name").unwrap_or(lookups.len());
            lookups.insert(place, lookup);
        }
        let endpoint = schema.endpoint_key().filter(|&key| key != primary.as_str());
        for column in &columns {
            let named = Some(column.field.as_str()) == endpoint;
            let wanted = column.kind == ColumnType::Foreign || named || is_indexed(column);
            if wanted && !lookups.iter().any(|l| l.column == column.name) {
                lookups.push(single(column, false));
            }
        }
        Ok(Table {
            schema: schema.clone(),
            name: schema.name.clone(),
            relation: relation(&schema.name).to_owned(),
            index: 0,
            primary: primary.clone(),
            is_counter: schema.primary_key() == COUNTERS,
            endpoint: schema.endpoint_key().map(str::to_owned),
            // Tags name a record by one value.
            has_tags: is_alone && columns.iter().any(|c| c.field == "tags"),
            has_ttl: schema.ttl(),
            in_snapshot: is_alone && schema.in_snapshot(),
            has_uuid: is_alone && schema.field(primary).is_some_and(Field::is_uuid),
            enterprise: schema.enterprise(),
            key,
            columns,
            foreigns: Vec::new(),
            lookups,
            per_workspace,
            referrers: Vec::new(),
        })
    }

    /// The columns of the primary key.
    pub fn keys(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().map(|place| &self.columns[*place])
    }

    /// Whether the primary key has several fields.
    pub fn has_joint_key(&self) -> bool {
        self.key.len() > 1
    }

    /// A record's primary key; empty for what is no record of this entity. One of several fields is a JSON list.
    pub fn id<'r>(&self, record: &'r Record) -> Cow<'r, str> {
        if !self.has_joint_key() {
            return record.get(&self.primary).and_then(Value::as_str).unwrap_or_default().into();
        }
        let value = |column: &Column| match record.get(&column.field) {
            Some(reference @ Value::Object(_)) => foreign_id(reference).map_or(Value::Null, Value::from),
            Some(value) => value.clone(),
            None => Value::Null,
        };
        self.keys().map(value).collect::<Value>().to_string().into()
    }

    /// The fields of a primary key.
    pub fn key_fields(&self, id: &str) -> Record {
        if !self.has_joint_key() {
            return Record::from_iter([(self.primary.clone(), id.into())]);
        }
        let values: Vec<Value> = serde_json::from_str(id).unwrap_or_default();
        let field = |(column, value): (&Column, Value)| {
            let is_reference = column.kind == ColumnType::Foreign && value.is_string();
            (column.field.clone(), if is_reference { serde_json::json!({ "id": value }) } else { value })
        };
        self.keys().zip(values).map(field).collect()
    }

    /// The name of a field's column.
    pub fn column_of(&self, field: &str) -> Option<&str> {
        self.columns.iter().find(|c| c.field == field).map(|c| c.name.as_str())
    }

    /// The column in which to look for a field's value.
    pub fn lookup(&self, field: &str) -> Option<&Lookup> {
        self.lookups.iter().find(|l| l.fields.len() == 1 && l.fields[0] == field)
    }

    pub fn foreign(&self, field: &str) -> Option<&Foreign> {
        self.foreigns.iter().find(|f| f.field == field)
    }

    /// What must be unique, in the order in which violations are reported.
    pub fn uniques(&self) -> impl Iterator<Item = &Lookup> {
        self.lookups.iter().filter(|lookup| lookup.unique)
    }

    /// The field that is unique together with a reference.
    pub fn named_under(&self, foreign: &Foreign) -> Option<&str> {
        match self.composite()?.fields.as_slice() {
            [reference, field] if *reference == foreign.field => Some(field),
            _ => None,
        }
    }

    /// What must be unique together.
    pub fn composite(&self) -> Option<&Lookup> {
        self.uniques().find(|lookup| lookup.is_composite())
    }

    /// What a column with an index holds for a record.
    pub fn value(&self, lookup: &Lookup, record: &Record, workspace: Option<Uuid>) -> Option<String> {
        match lookup.fields.as_slice() {
            [field] => record.get(field).and_then(scalar),
            fields => Some(self.cache_key(fields, record, workspace)),
        }
    }

    /// Kong's form: the entity, five values, the workspace. Keys are unique by `kid` and set alone.
    fn cache_key(&self, fields: &[String], record: &Record, workspace: Option<Uuid>) -> String {
        let value = |field: &String| record.get(field).and_then(scalar).unwrap_or_default();
        let mut values: Vec<String> = fields.iter().map(value).collect();
        if self.name == "keys" {
            return format!("keys:{}", values.join(":"));
        }
        if values.iter().all(String::is_empty) {
            values = self.key_fields(&self.id(record)).values().filter_map(scalar).collect();
        }
        values.resize(5, String::new());
        format!("{}:{}:{}", self.name, values.join(":"), workspace.map(|id| id.to_string()).unwrap_or_default())
    }
}

impl Column {
    fn new(field: &Field) -> Option<Column> {
        if field.transient {
            return None;
        }
        let kind = match &field.kind {
            Type::String if field.is_uuid() => ColumnType::Uuid,
            Type::String => ColumnType::Text,
            Type::Integer if field.is_timestamp() => ColumnType::Seconds,
            Type::Integer => ColumnType::Integer,
            Type::Number if field.is_timestamp() => ColumnType::Time,
            Type::Number => ColumnType::Number,
            Type::Boolean => ColumnType::Boolean,
            Type::Foreign(_) => ColumnType::Foreign,
            Type::Array(elements) | Type::Set(elements) => match &elements.kind {
                Type::String if elements.is_uuid() => ColumnType::Uuids,
                Type::String => ColumnType::Texts,
                Type::Map(..) | Type::Record(_) => ColumnType::Jsons,
                _ => ColumnType::Json,
            },
            Type::Map(..) | Type::Record(_) | Type::Any | Type::Json => ColumnType::Json,
        };
        let name = if kind == ColumnType::Foreign { format!("{}_id", field.name) } else { field.name.clone() };
        let default = field.default.clone().unwrap_or(Value::Null);
        Some(Column { field: field.name.clone(), name, kind, default, enterprise: field.omit_null })
    }
}

impl Lookup {
    pub fn is_composite(&self) -> bool {
        self.fields.len() > 1
    }

    /// The fields of a violation's error: those that the record has.
    pub fn violated(&self, record: &Record) -> Record {
        self.fields.iter().filter_map(|field| Some((field.clone(), record.get(field)?.clone()))).collect()
    }
}

/// The name of Kong's table of an entity.
fn relation(entity: &str) -> &str {
    if entity == "vaults" { "sm_vaults" } else { entity }
}

/// Foreign keys that cascade although their schemas do not say so: certificates take their SNIs with them.
fn on_delete(entity: &str, field: &str, declared: OnDelete) -> OnDelete {
    match (entity, field) {
        ("snis", "certificate") => OnDelete::Cascade,
        _ => declared,
    }
}

/// The id that a foreign key field's value holds.
pub fn foreign_id(value: &Value) -> Option<&str> {
    value.get("id").and_then(Value::as_str)
}

/// A value by which records are looked up.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) => foreign_id(value).map(str::to_owned),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) => None,
    }
}
