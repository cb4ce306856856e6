//! Fields that Kong's open-source edition does not have are in no table that a Kong reads, but in tables of our own, by
//! the id of the row to which they belong and with which they go. Where a Kong would misread such a row, its table has
//! another value that comes near ([`STAND_INS`]), and the true one is kept with the fields.

use super::plugins;
use crate::backend::cells::Cell;
use crate::backend::sql::{POSTGRES, Statements, columns, quote};
use crate::layout::Table;
use model::Record;
use serde_json::Value;

/// The fields of one table's rows.
pub struct Fields {
    pub statements: Statements,
    /// The places of their columns among a row's cells.
    places: Vec<usize>,
    /// What may stand in Kong's table for the cells of these places.
    stand_ins: Vec<(usize, &'static StandIn)>,
}

/// What a Kong is to find in a column.
pub struct StandIn {
    table: &'static str,
    pub column: &'static str,
    cell: fn() -> Cell,
    /// The same as a literal.
    pub value: &'static str,
    /// The rows in which it stands, for what the record says.
    applies: fn(&Record) -> bool,
    /// The same as a condition.
    pub condition: &'static str,
}

const STAND_INS: [StandIn; 2] = [
    // It refuses an upstream whose algorithm it does not know.
    StandIn {
        table: "upstreams",
        column: "algorithm",
        cell: || Cell::Text("round-robin".to_owned()),
        value: "'round-robin'",
        applies: |record| record.get("algorithm").and_then(Value::as_str) == Some("sticky-sessions"),
        condition: "algorithm = 'sticky-sessions'",
    },
    // It would send requests at all times to what is there for the failure of others.
    StandIn {
        table: "targets",
        column: "weight",
        cell: || Cell::Integer(0),
        value: "0",
        applies: |record| {
            record.get("failover").and_then(Value::as_bool) == Some(true)
                || record.get("priority").and_then(Value::as_i64).is_some_and(|priority| priority > 0)
        },
        condition: "(failover OR priority > 0)",
    },
];

impl Fields {
    /// `None`: Kong's table has columns for all, or is not one of Kong's.
    pub fn new(table: &Table) -> Option<Fields> {
        let relation = relation(table)?;
        let place = |column: &str| table.columns.iter().position(|c| c.name == column);
        Some(Fields {
            statements: Statements::at(table, POSTGRES, &relation, |column| {
                column == table.primary || !has_column(table, column) || stand_in(table, column).is_some()
            }),
            places: (0..table.columns.len()).filter(|place| table.columns[*place].enterprise).collect(),
            stand_ins: stand_ins(table).filter_map(|stand_in| Some((place(stand_in.column)?, stand_in))).collect(),
        })
    }

    /// What is written of them, if a record has any. Its cells become those of Kong's table.
    pub fn take(&self, record: &Record, cells: &mut [Cell]) -> Option<Vec<Cell>> {
        let mut own = cells.to_vec();
        for (place, stand_in) in &self.stand_ins {
            match (stand_in.applies)(record) {
                true => cells[*place] = (stand_in.cell)(),
                false => own[*place] = Cell::Null,
            }
        }
        let has_any = self.places.iter().any(|place| own[*place] != Cell::Null);
        has_any.then(|| self.statements.written(own))
    }
}

/// Whether the table in which rows are has a column.
pub fn has_column(table: &Table, column: &str) -> bool {
    table.enterprise || !table.columns.iter().any(|c| c.enterprise && c.name == column)
}

/// The table of the fields that Kong's has no columns for.
pub fn relation(table: &Table) -> Option<String> {
    let is_split = !table.enterprise && !plugins::is_split(table) && table.columns.iter().any(|c| c.enterprise);
    is_split.then(|| format!("bascule_{}_fields", table.relation))
}

/// What may stand in Kong's table for true values.
pub fn stand_ins(table: &Table) -> impl Iterator<Item = &'static StandIn> {
    STAND_INS.iter().filter(move |stand_in| stand_in.table == table.name)
}

fn stand_in(table: &Table, column: &str) -> Option<&'static StandIn> {
    stand_ins(table).find(|stand_in| stand_in.column == column)
}

/// Where whole rows are found. What a Kong has changed is what counts.
pub fn source(table: &Table) -> String {
    let Some(fields) = relation(table) else {
        return if plugins::is_split(table) { plugins::source(table) } else { quote(&table.relation) };
    };
    let whole = columns(table).into_iter().map(|(name, _)| {
        let column = quote(name);
        match stand_in(table, name) {
            Some(StandIn { value, .. }) => format!(
                "CASE WHEN k.{column} = {value} THEN COALESCE(f.{column}, k.{column}) ELSE k.{column} END AS {column}"
            ),
            None if has_column(table, name) => format!("k.{column}"),
            None => format!("f.{column}"),
        }
    });
    let (whole, relation, primary) =
        (whole.collect::<Vec<_>>().join(", "), quote(&table.relation), quote(&table.primary));
    format!("(SELECT {whole} FROM {relation} k LEFT JOIN {} f ON f.{primary} = k.{primary})", quote(&fields))
}
