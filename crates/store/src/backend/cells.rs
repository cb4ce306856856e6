//! Records as rows of typed cells and back, the same for every SQL database.

use super::Row;
use crate::layout::{Column, ColumnType, Lookup, Table, WORKSPACE, foreign_id};
use serde_json::{Map, Number, Value};
use uuid::Uuid;

/// The value of one column. What a database has no type for comes back as the text or the number that it was kept as.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Text(String),
    Uuid(Uuid),
    Integer(i64),
    Real(f64),
    Boolean(bool),
    /// A time, in seconds since 1970.
    Time(f64),
    /// When a row ends, in Unix milliseconds; a time of any kind, where the database tells no difference.
    Expiry(i64),
    Texts(Vec<String>),
    Uuids(Vec<Uuid>),
    /// JSON text.
    Json(String),
    Jsons(Vec<String>),
}

/// A row's cells, in the order of the table's columns.
pub fn encode(table: &Table, row: &Row) -> Result<Vec<Cell>, String> {
    let mut cells = Vec::with_capacity(table.columns.len() + 3);
    for column in &table.columns {
        let value = row.record.get(&column.field).unwrap_or(&Value::Null);
        cells.push(
            encode_value(column.kind, value)
                .ok_or_else(|| format!("{}.{} cannot hold {value}", table.name, column.field))?,
        );
    }
    if let Some(composite) = table.composite() {
        cells.push(table.value(composite, &row.record, row.workspace).map_or(Cell::Null, Cell::Text));
    }
    if table.per_workspace {
        cells.push(row.workspace.map_or(Cell::Null, Cell::Uuid));
    }
    if table.has_ttl {
        cells.push(row.expires.map_or(Cell::Null, Cell::Expiry));
    }
    Ok(cells)
}

/// One value as its column holds it; `None` when it is of another type.
pub fn encode_value(kind: ColumnType, value: &Value) -> Option<Cell> {
    Some(match (kind, value) {
        (_, Value::Null) => Cell::Null,
        (ColumnType::Json, value) => Cell::Json(value.to_string()),
        (ColumnType::Text, Value::String(text)) => Cell::Text(text.clone()),
        (ColumnType::Uuid, Value::String(text)) => Cell::Uuid(Uuid::try_parse(text).ok()?),
        (ColumnType::Foreign, value) => Cell::Uuid(Uuid::try_parse(foreign_id(value)?).ok()?),
        (ColumnType::Boolean, Value::Bool(flag)) => Cell::Boolean(*flag),
        (ColumnType::Integer | ColumnType::Number, Value::Number(number)) => match number.as_i64() {
            Some(integer) => Cell::Integer(integer),
            None => Cell::Real(number.as_f64()?),
        },
        (ColumnType::Seconds | ColumnType::Time, Value::Number(number)) => Cell::Time(number.as_f64()?),
        (ColumnType::Texts, Value::Array(values)) => Cell::Texts(texts(values)?),
        (ColumnType::Uuids, Value::Array(values)) => {
            let uuid = |value: &Value| Uuid::try_parse(value.as_str()?).ok();
            Cell::Uuids(values.iter().map(uuid).collect::<Option<_>>()?)
        }
        (ColumnType::Jsons, Value::Array(values)) => Cell::Jsons(values.iter().map(Value::to_string).collect()),
        _ => return None,
    })
}

/// A primary key to look for, by its columns. What is of another type than the key's is found nowhere.
pub fn key(table: &Table, id: &str) -> Vec<Cell> {
    if !table.has_joint_key() {
        return table.keys().map(|column| wanted(column.kind, id)).collect();
    }
    let fields = table.key_fields(id);
    let cell = |column: &Column| encode_value(column.kind, fields.get(&column.field)?);
    table.keys().map(|column| cell(column).unwrap_or(Cell::Null)).collect()
}

/// A value to look for in a column with an index.
pub fn lookup(lookup: &Lookup, value: &str) -> Cell {
    wanted(lookup.kind, value)
}

fn wanted(kind: ColumnType, text: &str) -> Cell {
    match kind {
        ColumnType::Uuid | ColumnType::Foreign => Uuid::try_parse(text).map_or(Cell::Null, Cell::Uuid),
        _ => Cell::Text(text.to_owned()),
    }
}

/// Makes a row of the cells that [`super::sql`] selects: the columns, the workspace and when it expires if the table
/// has them. Where the row before was one of the same table, it only gets other values.
pub fn decode_into(table: &Table, cells: impl IntoIterator<Item = Cell>, row: &mut Row) -> Result<(), String> {
    let mut cells = cells.into_iter();
    let names = table.columns.iter().map(|column| &column.field);
    if !names.clone().eq(row.record.keys()) {
        row.record = names.map(|name| (name.clone(), Value::Null)).collect();
    }
    for (column, value) in table.columns.iter().zip(row.record.values_mut()) {
        *value = decode_value(column.kind, cells.next().unwrap_or(Cell::Null))
            .ok_or_else(|| format!("{}: holds what it never should", column.name))?;
    }
    row.workspace = match table.per_workspace.then(|| cells.next()).flatten() {
        Some(Cell::Uuid(id)) => Some(id),
        Some(Cell::Text(id)) => Some(Uuid::parse_str(&id).map_err(|e| format!("{WORKSPACE}: {e}"))?),
        Some(Cell::Null) | None => None,
        Some(_) => return Err(format!("{WORKSPACE}: holds what it never should")),
    };
    row.expires = match cells.next() {
        Some(Cell::Integer(expires) | Cell::Expiry(expires)) => Some(expires),
        Some(Cell::Null) | None => None,
        // A record that never ends would be the laxest reading.
        Some(_) => return Err("ttl: holds what it never should".to_owned()),
    };
    Ok(())
}

fn decode_value(kind: ColumnType, cell: Cell) -> Option<Value> {
    use ColumnType as Type;
    Some(match (kind, cell) {
        (_, Cell::Null) => Value::Null,
        (Type::Json | Type::Jsons | Type::Texts | Type::Uuids, Cell::Text(text)) => serde_json::from_str(&text).ok()?,
        (Type::Json, Cell::Json(text)) => serde_json::from_str(&text).ok()?,
        (Type::Jsons, Cell::Jsons(texts)) => {
            texts.iter().map(|text| serde_json::from_str::<Value>(text).ok()).collect::<Option<Vec<_>>>()?.into()
        }
        (Type::Texts, Cell::Texts(texts)) => texts.into(),
        (Type::Uuids, Cell::Uuids(ids)) => ids.iter().map(Uuid::to_string).collect(),
        (Type::Text | Type::Uuid, Cell::Text(text)) => Value::String(text),
        (Type::Uuid, Cell::Uuid(id)) => Value::String(id.to_string()),
        (Type::Foreign, Cell::Text(id)) => reference(id),
        (Type::Foreign, Cell::Uuid(id)) => reference(id.to_string()),
        (Type::Boolean, Cell::Boolean(flag)) => Value::Bool(flag),
        (Type::Boolean, Cell::Integer(flag)) => Value::Bool(flag != 0),
        (Type::Seconds, Cell::Expiry(milliseconds)) => milliseconds.div_euclid(1000).into(),
        (Type::Time, Cell::Expiry(milliseconds)) => seconds(milliseconds)?,
        (Type::Integer | Type::Number | Type::Seconds | Type::Time, Cell::Integer(integer)) => integer.into(),
        (Type::Integer | Type::Number | Type::Seconds | Type::Time, Cell::Real(real)) => {
            Value::Number(Number::from_f64(real)?)
        }
        _ => return None,
    })
}

fn reference(id: String) -> Value {
    Value::Object(Map::from_iter([("id".to_owned(), Value::String(id))]))
}

/// As a client gave them: whole seconds are an integer.
fn seconds(milliseconds: i64) -> Option<Value> {
    Some(match milliseconds % 1000 {
        0 => (milliseconds / 1000).into(),
        _ => Value::Number(Number::from_f64(milliseconds as f64 / 1000.0)?),
    })
}

fn texts(values: &[Value]) -> Option<Vec<String>> {
    values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}
