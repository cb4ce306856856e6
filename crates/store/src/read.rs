//! Looking up records inside a transaction: by key, by reference, by page.

use crate::backend::{By, Reader, Row, Selection, TagSelection, Wanted, failure};
use crate::layout::{ColumnType, Foreign, Layout, Table, WORKSPACE, WORKSPACES, foreign_id};
use crate::page::{decode_offset, encode_offset};
use crate::{Key, Page, PageQuery, Scope, TagPage, certificates};
use model::{Catalog, Error, Record};
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

/// What records are read by.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub catalog: &'a Catalog,
    pub layout: &'a Layout,
    pub scope: Scope,
    /// Unix milliseconds.
    pub now: i64,
}

impl<'a> View<'a> {
    /// The rows of a table that are there for whoever asks.
    pub fn selection(&self, table: &'a Table) -> Selection<'a> {
        Selection { workspace: self.scope.workspace(), now: self.now, ..Selection::all(table) }
    }

    /// The row, if it is there for whoever asks: not expired, and in the workspace that is seen.
    pub fn seen(&self, table: &Table, row: Option<Row>) -> Option<Row> {
        row.filter(|row| row.is_live(self.now) && self.has(table, row))
    }

    /// Whether a row is in the workspace that is seen.
    pub fn has(&self, table: &Table, row: &Row) -> bool {
        let wanted = self.scope.workspace();
        !table.per_workspace || wanted.is_none() || row.workspace == wanted
    }
}

/// The row that a key names.
pub fn lookup(reader: &mut dyn Reader, view: &View<'_>, table: &Table, key: &Key) -> Result<Option<Row>, Error> {
    match key {
        Key::Name(name) if certificates::named_by_snis(table) => certificates::by_sni(reader, view, table, name),
        Key::Id(id) => by_id(reader, view, table, &valid_id(view, table, id)?),
        Key::Name(name) => {
            let field = table.endpoint.as_deref().unwrap_or(&table.primary);
            table.schema.check_unique(view.catalog, field, &name.as_str().into())?;
            by_field(reader, view, table, field, name)
        }
    }
}

/// The row that a key names among those that refer to `id`. Where records have no names of their own, what is unique
/// together with the reference names them there: the group of an acl.
pub fn lookup_under(
    reader: &mut dyn Reader,
    view: &View<'_>,
    table: &Table,
    key: &Key,
    foreign: &Foreign,
    id: &str,
) -> Result<Option<Row>, Error> {
    let named = if table.endpoint.is_none() { table.named_under(foreign) } else { None };
    let field = named.or(table.endpoint.as_deref()).unwrap_or(&table.primary);
    let is_shared = named.is_some() || table.lookup(field).is_some_and(|lookup| !lookup.unique);
    if let (Key::Name(name), true) = (key, is_shared) {
        table.schema.check_unique(view.catalog, field, &name.as_str().into())?;
        let mut found = None;
        let of_owner = Selection { foreign: Some((foreign, &[id])), ..view.selection(table) };
        each(reader, of_owner, |row| {
            if row.record.get(field).and_then(Value::as_str) == Some(name) {
                found = Some(row);
            }
            Ok(found.is_none())
        })?;
        return Ok(found);
    }
    let row = lookup(reader, view, table, key)?;
    Ok(row.filter(|row| row.record.get(&foreign.field).and_then(foreign_id) == Some(id)))
}

/// The row with that primary key.
pub fn by_id(reader: &mut dyn Reader, view: &View<'_>, table: &Table, id: &str) -> Result<Option<Row>, Error> {
    let row = reader.find(&[Wanted::id(table, id)])?.pop().flatten();
    Ok(view.seen(table, row))
}

/// The first row with that value of a field with an index.
pub fn by_field(
    reader: &mut dyn Reader,
    view: &View<'_>,
    table: &Table,
    field: &str,
    value: &str,
) -> Result<Option<Row>, Error> {
    let asked = [(table, field.to_owned(), value.to_owned())];
    Ok(by_fields(reader, view, &asked)?.pop().flatten())
}

/// The same for several fields, of any tables, with one question for all.
pub fn by_fields(
    reader: &mut dyn Reader,
    view: &View<'_>,
    asked: &[(&Table, String, String)],
) -> Result<Vec<Option<Row>>, Error> {
    let workspace = view.scope.workspace();
    let mut wanted = Vec::with_capacity(asked.len());
    for (table, field, value) in asked {
        let unsupported =
            |why: &str| Error::operation_unsupported(format!("{} cannot be found by {field}{why}", table.name));
        if *field == table.primary && !table.has_joint_key() {
            wanted.push(Wanted::id(table, value));
            continue;
        }
        let lookup = table.lookup(field).ok_or_else(|| unsupported(""))?;
        if lookup.per_workspace && workspace.is_none() {
            return Err(unsupported(" in all workspaces"));
        }
        wanted.push(Wanted { table, by: By::Value { lookup, workspace, value } });
    }
    let found = reader.find(&wanted)?;
    Ok(asked.iter().zip(found).map(|((table, ..), row)| view.seen(table, row)).collect())
}

/// A primary key in the form in which it is stored.
pub fn valid_id(view: &View<'_>, table: &Table, id: &str) -> Result<String, Error> {
    if table.has_joint_key() {
        let mut fields = table.key_fields(id);
        table.schema.check_primary_key(view.catalog, &fields)?;
        for column in table.keys().filter(|column| column.kind == ColumnType::Uuid) {
            if let Some(Value::String(id)) = fields.get_mut(&column.field) {
                id.make_ascii_lowercase();
            }
        }
        return Ok(table.id(&fields).into_owned());
    }
    match normal_id(table, id) {
        Some(id) => Ok(id),
        None => Err(Error::invalid_primary_key(Record::from_iter([(
            table.primary.clone(),
            "expected a valid UUID".into(),
        )]))),
    }
}

/// A primary key in the form in which it is stored: UUIDs in lower case with hyphens.
pub fn normal_id(table: &Table, id: &str) -> Option<String> {
    if !table.has_uuid { Some(id.to_owned()) } else { is_uuid(id).then(|| id.to_ascii_lowercase()) }
}

/// Whether text is a UUID in the usual form.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

/// A page of an entity.
pub fn page(reader: &mut dyn Reader, view: &View<'_>, table: &Table, query: &PageQuery) -> Result<Page, Error> {
    let limit = query.limit()?;
    let after = match &query.offset {
        Some(offset) => match decode_offset(offset)?.first() {
            Some(Value::String(id)) => Some(id.clone()),
            _ => return Err(Error::invalid_offset(offset, "bad json encoding")),
        },
        None => None,
    };
    if query.tags.is_some() && !table.has_tags {
        return Err(Error::invalid_option("tags", &format!("cannot be used with '{}'", table.name)));
    }
    let foreign = match &query.foreign {
        Some((field, id)) => Some((foreign(table, field)?, id.to_ascii_lowercase())),
        None => None,
    };
    let owner = foreign.as_ref().map(|(foreign, id)| (*foreign, [id.as_str()]));
    let selection = Selection {
        after: after.as_deref(),
        limit: limit + 1,
        foreign: owner.as_ref().map(|(foreign, id)| (*foreign, id.as_slice())),
        tags: query.tags.as_ref(),
        ..view.selection(table)
    };
    let mut rows = one_scan(reader, &selection)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let offset = rows.last().filter(|_| more).map(|row| encode_offset(&json!([table.id(&row.record)])));
    let data: Result<_, _> = rows.into_iter().map(|row| show_whole(reader, view, table, row)).collect();
    Ok(Page { data: data?, offset })
}

/// A page of tags.
pub fn page_tags(
    reader: &mut dyn Reader,
    view: &View<'_>,
    tag: Option<&str>,
    query: &PageQuery,
) -> Result<TagPage, Error> {
    let limit = query.limit()?;
    let after = match &query.offset {
        Some(offset) => match decode_offset(offset)?.as_slice() {
            [Value::String(id), Value::String(entity), Value::Number(place)] if view.layout.table(entity).is_some() => {
                let place = place.as_u64().and_then(|place| u32::try_from(place).ok());
                Some((
                    id.clone(),
                    entity.clone(),
                    place.ok_or_else(|| Error::invalid_offset(offset, "bad json encoding"))?,
                ))
            }
            _ => return Err(Error::invalid_offset(offset, "bad json encoding")),
        },
        None => None,
    };
    let mut data = reader.tags(&TagSelection {
        tag,
        workspace: view.scope.workspace(),
        after: after.as_ref().map(|(id, entity, place)| (id.as_str(), entity.as_str(), *place)),
        limit: limit + 1,
    })?;
    let more = data.len() > limit;
    data.truncate(limit);
    let offset = data.last().filter(|_| more).map(|last| encode_offset(&json!([last.id, last.entity, last.place])));
    Ok(TagPage { data, offset })
}

/// Every record whose foreign key points at that id, ordered by id.
pub fn all_for(
    reader: &mut dyn Reader,
    view: &View<'_>,
    table: &Table,
    foreign: &Foreign,
    id: &str,
) -> Result<Vec<Record>, Error> {
    let mut found = Vec::new();
    each(reader, Selection { foreign: Some((foreign, &[id])), ..view.selection(table) }, |row| {
        found.push(show(view, table, row));
        Ok(true)
    })?;
    Ok(found)
}

/// Every record with one of those values in a field with an index that does not keep workspaces apart.
pub fn all_by(
    reader: &mut dyn Reader,
    view: &View<'_>,
    table: &Table,
    field: &str,
    values: &[String],
) -> Result<Vec<Record>, Error> {
    let lookup = table.lookup(field).filter(|lookup| !lookup.per_workspace);
    let lookup =
        lookup.ok_or_else(|| Error::operation_unsupported(format!("{} cannot be found by {field}", table.name)))?;
    let of_value = |value| Selection { value: Some((lookup, value)), ..view.selection(table) };
    let selections: Vec<Selection<'_>> = values.iter().map(|value| of_value(value)).collect();
    let found = reader.scan(&selections)?;
    Ok(found.into_iter().flatten().map(|row| show(view, table, row)).collect())
}

/// The rows of a selection, page by page, until `visit` has seen enough.
pub fn each(
    reader: &mut dyn Reader,
    selection: Selection<'_>,
    mut visit: impl FnMut(Row) -> Result<bool, Error>,
) -> Result<(), Error> {
    const STEP: usize = 500;
    let mut after: Option<String> = None;
    loop {
        let rows = one_scan(reader, &Selection { after: after.as_deref(), limit: STEP, ..selection })?;
        let last = rows.len() < STEP;
        after = rows.last().map(|row| selection.table.id(&row.record).into_owned());
        for row in rows {
            if !visit(row)? {
                return Ok(());
            }
        }
        if last {
            return Ok(());
        }
    }
}

fn one_scan(reader: &mut dyn Reader, selection: &Selection<'_>) -> Result<Vec<Row>, Error> {
    Ok(reader.scan(std::slice::from_ref(selection))?.pop().unwrap_or_default())
}

/// A row as clients see it: as the feed does, with what is shown with it of other records, and without its workspace.
pub fn show_whole(reader: &mut dyn Reader, view: &View<'_>, table: &Table, row: Row) -> Result<Record, Error> {
    let mut record = show(view, table, row);
    certificates::show_names(reader, view, table, &mut record)?;
    Ok(record)
}

/// A row as clients see it, but for what is shown with it of other records: with fields that the schema has got since
/// it was stored, and with what remains of its `ttl`, in whole seconds.
pub fn show(view: &View<'_>, table: &Table, row: Row) -> Record {
    let mut record = row.record;
    if table.has_ttl {
        let remaining = row.expires.map(|expires| (expires - view.now).max(0) / 1000);
        record.insert("ttl".to_owned(), remaining.map_or(Value::Null, Value::from));
    }
    table.schema.process_select(view.catalog, record)
}

/// A row as the feed shows it: with its workspace.
pub fn publish(view: &View<'_>, table: &Table, row: Row) -> Record {
    let workspace = row.workspace;
    let mut record = show(view, table, row);
    add_workspace(&mut record, workspace);
    record
}

/// Whether a row can be read, and is in a workspace if its entity has them. `workspaces` are those that were read
/// before, for they come first.
pub fn check_stored(view: &View<'_>, table: &Table, row: &Row, workspaces: &mut HashSet<Uuid>) -> Result<(), Error> {
    let id = table.id(&row.record);
    let wrong = |why: &str| failure(format_args!("{} {id}: {why}", table.name));
    table.schema.check_stored(view.catalog, &row.record).map_err(|why| wrong(&why))?;
    if table.name == WORKSPACES {
        workspaces.extend(id.parse::<Uuid>());
    }
    if table.per_workspace && row.workspace.is_none_or(|workspace| !workspaces.contains(&workspace)) {
        return Err(wrong("ws_id: there is no such workspace"));
    }
    Ok(())
}

/// As [`publish`], for rows that come one after the other in the same memory.
pub fn publish_in_place(view: &View<'_>, table: &Table, row: &mut Row, take: impl FnOnce(&Record)) {
    if table.has_ttl {
        take(&publish(view, table, std::mem::take(row)));
        return;
    }
    table.schema.process_select_in_place(view.catalog, &mut row.record);
    add_workspace(&mut row.record, row.workspace);
    take(&row.record);
    // What comes next is laid over the stored fields.
    row.record.remove(WORKSPACE);
}

fn add_workspace(record: &mut Record, workspace: Option<Uuid>) {
    if let Some(workspace) = workspace {
        record.insert(WORKSPACE.to_owned(), workspace.to_string().into());
    }
}

/// A foreign key by name.
pub fn foreign<'t>(table: &'t Table, field: &str) -> Result<&'t Foreign, Error> {
    table
        .foreign(field)
        .ok_or_else(|| Error::operation_unsupported(format!("{} has no foreign key {field}", table.name)))
}
