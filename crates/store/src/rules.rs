//! What single entities ask beyond their schemas: the few places where Kong's data access knows an entity by name.

use crate::Key;
use crate::backend::{Reader, Row, Selection};
use crate::layout::{Table, WORKSPACES};
use crate::read::{self, View};
use crate::scope::DEFAULT;
use model::schema::links;
use model::{Error, Record};
use serde_json::Value;

const PLUGINS: &str = "plugins";
const PARTIALS: &str = "partials";

/// Fields that have a default, are not required and yet cannot be cleared: the columns of Kong's tables are not
/// nullable, and this is how that is reported.
pub fn check_not_null(table: &Table, key: Option<&Key>, record: &Record) -> Result<(), Error> {
    let field = match table.name.as_str() {
        "upstreams" => "slots",
        "targets" => "weight",
        _ => return Ok(()),
    };
    if !record.get(field).is_some_and(Value::is_null) {
        return Ok(());
    }
    let (field, value) = match key {
        Some(Key::Name(name)) => (table.endpoint.as_ref().unwrap_or(&table.primary), name.as_str().into()),
        _ => (&table.primary, table.id(record)),
    };
    Err(Error::primary_key_violation(Record::from_iter([(field.clone(), value.into_owned().into())])))
}

/// Tells whoever reads the log of fields that are not to be used any more.
pub fn tell(deprecations: Vec<String>) {
    for line in deprecations {
        tracing::warn!("{line}");
    }
}

/// The model's rules between a record and those that it refers to, before `input` is processed.
pub fn check_references(
    reader: &mut dyn Reader,
    view: &View<'_>,
    table: &Table,
    input: &Record,
    current: Option<&Record>,
) -> Result<(), Error> {
    let mut lookup = |entity: &str, field: &str, value: &Value| {
        let (Some(table), Some(value)) = (view.layout.table(entity), value.as_str()) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        if let Some(foreign) = table.foreign(field) {
            read::each(reader, Selection { foreign: Some((foreign, &[value])), ..view.selection(table) }, |row| {
                found.push(row.record);
                Ok(true)
            })?;
        } else {
            found.extend(read::by_field(reader, view, table, field, value)?.map(|row| row.record));
        }
        Ok(found)
    };
    view.catalog.check_references(&table.name, input, current, &mut lookup)
}

/// Lays the partials that a plugin refers to into its input.
pub fn link_partials(
    reader: &mut dyn Reader,
    view: &View<'_>,
    table: &Table,
    input: &mut Record,
    current: Option<&Record>,
) -> Result<(), Error> {
    let Some(partials) = view.layout.table(PARTIALS).filter(|_| table.name == PLUGINS) else { return Ok(()) };
    let mut find = |field: &str, value: &str| {
        let value = if field == partials.primary { read::normal_id(partials, value) } else { Some(value.to_owned()) };
        let row = value.map(|value| read::by_field(reader, view, partials, field, &value)).transpose()?.flatten();
        Ok(row.map(|row| read::show(view, partials, row)))
    };
    table.schema.link_partials(view.catalog, input, current, &mut find)
}

/// Whether the plugins that refer to a partial can do with what it is now.
pub fn check_linked(reader: &mut dyn Reader, view: &View<'_>, table: &Table, id: &str) -> Result<(), Error> {
    if table.name != PARTIALS {
        return Ok(());
    }
    for mut plugin in linked(reader, view, id, usize::MAX)? {
        let Some(plugins) = view.layout.table(PLUGINS) else { return Ok(()) };
        link_partials(reader, view, plugins, &mut plugin, None)?;
        plugins.schema.validate(view.catalog, plugin)?;
    }
    Ok(())
}

/// The plugins that refer to a partial, at most so many.
fn linked(reader: &mut dyn Reader, view: &View<'_>, id: &str, limit: usize) -> Result<Vec<Record>, Error> {
    let mut found = Vec::new();
    if let Some(plugins) = view.layout.table(PLUGINS) {
        read::each(reader, view.selection(plugins), |row| {
            if links(&row.record).any(|link| link.id == id) {
                found.push(read::show(view, plugins, row));
            }
            Ok(found.len() < limit)
        })?;
    }
    Ok(found)
}

/// The name of a workspace stands in paths and in other nodes' configuration: it stays.
pub fn check_change(table: &Table, old: &Record, new: &Record) -> Result<(), Error> {
    if table.name == WORKSPACES && old.get("name") != new.get("name") {
        return Err(Error::field_violation("name", "immutable field cannot be updated"));
    }
    Ok(())
}

/// Rules about deletions that no foreign key expresses.
pub fn check_delete(reader: &mut dyn Reader, view: &View<'_>, table: &Table, row: &Row) -> Result<(), Error> {
    match table.name.as_str() {
        "ca_certificates" => check_authority(reader, view, table, row),
        PARTIALS => match linked(reader, view, &table.id(&row.record), 1)?.first() {
            Some(plugin) => {
                let plugin = plugin.get("id").and_then(Value::as_str).unwrap_or_default();
                let id = table.id(&row.record);
                let why = format!("partial {id} is still referenced by plugins (id = {plugin})");
                Err(Error::referenced_by_others(why))
            }
            None => Ok(()),
        },
        WORKSPACES if row.record.get("name").and_then(Value::as_str) == Some(DEFAULT) => {
            Err(Error::field_violation("name", "the default workspace cannot be deleted"))
        }
        _ => Ok(()),
    }
}

fn check_authority(reader: &mut dyn Reader, view: &View<'_>, table: &Table, row: &Row) -> Result<(), Error> {
    let id = table.id(&row.record);
    let names = |value: Option<&Value>| {
        value.and_then(Value::as_array).is_some_and(|ids| ids.iter().any(|i| i.as_str() == Some(&*id)))
    };
    for (entity, config) in [("services", false), ("plugins", true)] {
        let Some(holders) = view.layout.table(entity) else { continue };
        let mut holder = None;
        // Authorities serve all workspaces.
        read::each(reader, Selection { now: view.now, ..Selection::all(holders) }, |row| {
            let part = if config { row.record.get("config").and_then(Value::as_object) } else { Some(&row.record) };
            if names(part.and_then(|part| part.get("ca_certificates"))) {
                holder = Some(holders.id(&row.record).into_owned());
            }
            Ok(holder.is_none())
        })?;
        if let Some(holder) = holder {
            return Err(Error::referenced_by_others(format!(
                "ca certificate {id} is still referenced by {entity} (id = {holder})"
            )));
        }
    }
    Ok(())
}
