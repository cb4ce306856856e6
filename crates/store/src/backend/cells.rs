//! Records as rows of typed cells and back, the same for every SQL database.

use super::Row;
use crate::layout::{ColumnType, Table, WORKSPACE, foreign_id};
use serde_json::{Map, Number, Value};
use uuid::Uuid;

/// The value of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Text(String),
    Integer(i64),
    Real(f64),
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
        cells.push(row.workspace.map_or(Cell::Null, |workspace| Cell::Text(workspace.to_string())));
    }
    if table.has_ttl {
        cells.push(row.expires.map_or(Cell::Null, Cell::Integer));
    }
    Ok(cells)
}

/// One value as its column holds it; `None` when it is of another type.
pub fn encode_value(kind: ColumnType, value: &Value) -> Option<Cell> {
    Some(match (kind, value) {
        (_, Value::Null) => Cell::Null,
        (ColumnType::Json, value) => Cell::Text(value.to_string()),
        (ColumnType::Text, Value::String(text)) => Cell::Text(text.clone()),
        (ColumnType::Boolean, Value::Bool(flag)) => Cell::Integer((*flag).into()),
        (ColumnType::Integer | ColumnType::Number, Value::Number(number)) => match number.as_i64() {
            Some(integer) => Cell::Integer(integer),
            None => Cell::Real(number.as_f64()?),
        },
        (ColumnType::Foreign, value) => Cell::Text(foreign_id(value)?.to_owned()),
        _ => return None,
    })
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
        Some(Cell::Text(id)) => Some(Uuid::parse_str(&id).map_err(|e| format!("{WORKSPACE}: {e}"))?),
        Some(Cell::Integer(_) | Cell::Real(_)) => return Err(format!("{WORKSPACE}: holds what it never should")),
        Some(Cell::Null) | None => None,
    };
    row.expires = match cells.next() {
        Some(Cell::Integer(expires)) => Some(expires),
        // A record that never ends would be the laxest reading.
        Some(Cell::Text(_) | Cell::Real(_)) => return Err("ttl: holds what it never should".to_owned()),
        Some(Cell::Null) | None => None,
    };
    Ok(())
}

fn decode_value(kind: ColumnType, cell: Cell) -> Option<Value> {
    Some(match (kind, cell) {
        (_, Cell::Null) => Value::Null,
        (ColumnType::Json, Cell::Text(text)) => serde_json::from_str(&text).ok()?,
        (ColumnType::Text, Cell::Text(text)) => Value::String(text),
        (ColumnType::Boolean, Cell::Integer(flag)) => Value::Bool(flag != 0),
        (ColumnType::Integer | ColumnType::Number, Cell::Integer(integer)) => integer.into(),
        (ColumnType::Integer | ColumnType::Number, Cell::Real(real)) => Value::Number(Number::from_f64(real)?),
        (ColumnType::Foreign, Cell::Text(id)) => Value::Object(Map::from_iter([("id".to_owned(), Value::String(id))])),
        _ => return None,
    })
}
