//! Looking up records inside a transaction: by key, by reference, by page.

use crate::backend::{Reader, Row, Selection};
use crate::layout::{Foreign, Layout, Lookup, Table, foreign_id};
use crate::page::{decode_offset, encode_offset};
use crate::{Key, Page, PageQuery, TagPage, certificates};
use model::{Catalog, Error, Record};
use serde_json::{Value, json};
use uuid::Uuid;

/// What records are read by.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub catalog: &'a Catalog,
    pub layout: &'a Layout,
    /// Unix milliseconds.
    pub now: i64,
}

/// The row that a key names, unless it has expired.
pub fn lookup(reader: &mut dyn Reader, view: &View<'_>, table: &Table, key: &Key) -> Result<Option<Row>, Error> {
    let now = view.now;
    match key {
        Key::Name(name) if certificates::named_by_snis(table) => {
            certificates::by_sni(reader, (view.catalog, view.layout, now), table, name)
        }
        Key::Id(id) => live(reader.get(table, &valid_id(table, id)?)?, now),
        Key::Name(name) => {
            let field = table.endpoint.as_deref().unwrap_or(&table.primary);
            table.schema.check_unique(view.catalog, field, &name.as_str().into())?;
            by_field(reader, table, field, name, now)
        }
    }
}

/// The row that a key names among those that refer to `id`.
pub fn lookup_under(
    reader: &mut dyn Reader,
    view: &View<'_>,
    table: &Table,
    key: &Key,
    foreign: &Foreign,
    id: &str,
) -> Result<Option<Row>, Error> {
    let endpoint = table.endpoint.as_deref().unwrap_or(&table.primary);
    if let (Key::Name(name), Some(Lookup { unique: false, .. })) = (key, table.lookup(endpoint)) {
        table.schema.check_unique(view.catalog, endpoint, &name.as_str().into())?;
        let mut found = None;
        each(reader, table, Some((foreign, id)), view.now, |row| {
            if row.record.get(endpoint).and_then(Value::as_str) == Some(name) {
                found = Some(row);
            }
            Ok(found.is_none())
        })?;
        return Ok(found);
    }
    let row = lookup(reader, view, table, key)?;
    Ok(row.filter(|row| row.record.get(&foreign.field).and_then(foreign_id) == Some(id)))
}

/// The first row with that value of a field with an index, unless it has expired.
pub fn by_field(
    reader: &mut dyn Reader,
    table: &Table,
    field: &str,
    value: &str,
    now: i64,
) -> Result<Option<Row>, Error> {
    if field == table.primary {
        return live(reader.get(table, value)?, now);
    }
    match table.lookup(field) {
        Some(lookup) => live(reader.find(table, &lookup.column, value)?, now),
        None => Err(Error::operation_unsupported(format!("{} cannot be found by {field}", table.name))),
    }
}

/// A primary key in the form in which it is stored.
pub fn valid_id(table: &Table, id: &str) -> Result<String, Error> {
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
    let selection = Selection {
        after: after.as_deref(),
        limit: limit + 1,
        foreign: foreign.as_ref().map(|(foreign, id)| (*foreign, id.as_str())),
        tags: query.tags.as_ref(),
        now: view.now,
    };
    let mut rows = reader.scan(table, &selection)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let offset = rows.last().filter(|_| more).map(|row| encode_offset(&json!([table.id(&row.record)])));
    let data: Result<_, _> = rows.into_iter().map(|row| show_whole(reader, view, table, row)).collect();
    Ok(Page { data: data?, offset })
}

/// A page of tags.
pub fn page_tags(
    reader: &mut dyn Reader,
    layout: &Layout,
    tag: Option<&str>,
    query: &PageQuery,
) -> Result<TagPage, Error> {
    let limit = query.limit()?;
    let after = match &query.offset {
        Some(offset) => match decode_offset(offset)?.as_slice() {
            [Value::String(id), Value::String(entity), Value::Number(place)] if layout.table(entity).is_some() => {
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
    let mut data = reader.tags(
        tag,
        after.as_ref().map(|(id, entity, place)| (id.as_str(), entity.as_str(), *place)),
        limit + 1,
    )?;
    let more = data.len() > limit;
    data.truncate(limit);
    let offset = data.last().filter(|_| more).map(|last| encode_offset(&json!([last.id, last.entity, last.place])));
    Ok(TagPage { data, offset })
}

/// All rows of a table that a selection names, page by page.
pub fn each(
    reader: &mut dyn Reader,
    table: &Table,
    foreign: Option<(&Foreign, &str)>,
    now: i64,
    mut visit: impl FnMut(Row) -> Result<bool, Error>,
) -> Result<(), Error> {
    const STEP: usize = 500;
    let mut after: Option<String> = None;
    loop {
        let rows = reader.scan(table, &Selection { after: after.as_deref(), limit: STEP, foreign, tags: None, now })?;
        let last = rows.len() < STEP;
        after = rows.last().map(|row| table.id(&row.record).to_owned());
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

/// A row as clients see it: [`show`], and what is shown with it of other records.
pub fn show_whole(reader: &mut dyn Reader, view: &View<'_>, table: &Table, row: Row) -> Result<Record, Error> {
    let mut record = show(view, table, row);
    certificates::show_names(reader, view.layout, table, &mut record, view.now)?;
    Ok(record)
}

/// A row as the feed sees it: with fields that the schema has got since it was stored, and with what
/// remains of its `ttl`, in whole seconds.
pub fn show(view: &View<'_>, table: &Table, row: Row) -> Record {
    let mut record = row.record;
    if table.has_ttl {
        let remaining = row.expires.map(|expires| (expires - view.now).max(0) / 1000);
        record.insert("ttl".to_owned(), remaining.map_or(Value::Null, Value::from));
    }
    table.schema.process_select(view.catalog, record)
}

/// As [`show`], for rows that come one after the other in the same memory.
pub fn show_in_place(view: &View<'_>, table: &Table, row: &mut Row) {
    if table.has_ttl {
        let Row { record, expires } = std::mem::replace(row, Row { record: Record::new(), expires: None });
        row.record = show(view, table, Row { record, expires });
    } else {
        table.schema.process_select_in_place(view.catalog, &mut row.record);
    }
}

/// A foreign key by name.
pub fn foreign<'t>(table: &'t Table, field: &str) -> Result<&'t Foreign, Error> {
    table
        .foreign(field)
        .ok_or_else(|| Error::operation_unsupported(format!("{} has no foreign key {field}", table.name)))
}

fn live(row: Option<Row>, now: i64) -> Result<Option<Row>, Error> {
    Ok(row.filter(|row| row.is_live(now)))
}
