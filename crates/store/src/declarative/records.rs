//! The records of a file in the form in which they are stored.

use super::Entities;
use super::flatten::Declared;
use crate::backend::Row;
use crate::layout::{Layout, Lookup, Table, WORKSPACES};
use crate::write::MAX_TTL;
use model::{Catalog, Error, Record};
use serde_json::Value;
use uuid::Uuid;

/// All records of a file, ready to be stored.
pub struct Records {
    pub(super) tables: Vec<Rows>,
}

/// The records of one entity.
pub(super) struct Rows {
    /// The table's place in the layout.
    pub table: usize,
    pub rows: Vec<DeclaredRow>,
}

/// A record of a file.
pub(super) struct DeclaredRow {
    pub row: Row,
    /// Whether the file says when it was created.
    pub dated: bool,
}

/// The entity in which the hash of a configuration is kept, and its key there.
pub(super) const PARAMETERS: &str = "parameters";
pub(super) const HASH: &str = "declarative_config:hash";

impl Records {
    /// Completes the records of a file.
    pub(crate) fn new(
        catalog: &Catalog,
        layout: &Layout,
        entities: Entities,
        workspace: Option<Uuid>,
        now: i64,
    ) -> Result<Records, Error> {
        let Entities { lists, transform } = entities;
        let mut tables = Vec::with_capacity(lists.len());
        for (entity, declared) in lists {
            let Some(table) = layout.table(&entity) else {
                return Err(Error::operation_unsupported(format!("there is no entity '{entity}'")));
            };
            if entity == WORKSPACES {
                tracing::warn!("the workspaces of a declarative configuration are left out: all is in the default one");
                continue;
            }
            let workspace = workspace.filter(|_| table.per_workspace);
            let mut rows = Vec::with_capacity(declared.len());
            for Declared { mut record, dated, .. } in declared {
                let expires = take_expiry(table, &mut record, dated, now)?;
                if transform {
                    table.schema.transform(&mut record)?;
                }
                let mut record = table.schema.process_select(catalog, record);
                record.retain(|field, _| table.column_of(field).is_some());
                if entity != PARAMETERS || table.id(&record) != HASH {
                    rows.push(DeclaredRow { row: Row { record, workspace, expires }, dated });
                }
            }
            tables.push(Rows { table: table.index, rows });
        }
        Ok(Records { tables })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.rows.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As the text of JSON: tables of records by id, by entity. It is written record by record, since a copy of all of
    /// them would take many times its room.
    pub(super) fn to_json(&self, layout: &Layout) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let mut text = String::from("{");
        for Rows { table, rows } in self.tables.iter().filter(|table| !table.rows.is_empty()) {
            let table = layout.at(*table);
            text.push_str(&format!("{}:{{", quoted(&table.name)));
            for Row { record, .. } in rows.iter().map(|declared| &declared.row) {
                let shown = serde_json::to_string(record).unwrap_or_default();
                text.push_str(&format!("{}:{shown},", quoted(&table.id(record))));
            }
            text.pop();
            text.push_str("},");
        }
        if text.ends_with(',') {
            text.pop();
        }
        text + "}"
    }
}

impl DeclaredRow {
    /// What is to be stored in place of `old`; `None`: that is the same already. Times that the file does not give are
    /// those of the record before.
    pub fn over(&self, old: &Row) -> Option<Row> {
        (!self.is_same(old)).then(|| self.row_created(old.record.get("created_at")))
    }

    /// Whether `old` has all that the file says.
    pub fn is_same(&self, old: &Row) -> bool {
        let times = |field: &str| field == "updated_at" || (field == "created_at" && !self.dated);
        let same = |(field, value): (&String, &Value)| times(field) || old.record.get(field) == Some(value);
        let gone = |(field, value): (&String, &Value)| !value.is_null() && !self.row.record.contains_key(field);
        let placed = self.row.workspace == old.workspace && self.row.expires == old.expires;
        placed && self.row.record.iter().all(same) && !old.record.iter().any(gone)
    }

    /// The row; where the file does not say when it was created, it was created then.
    pub fn row_created(&self, created: Option<&Value>) -> Row {
        let mut row = self.row.clone();
        if let (false, Some(created)) = (self.dated, created) {
            row.record.insert("created_at".to_owned(), created.clone());
        }
        row
    }
}

/// Whether two rows differ in what no two rows share.
pub(super) fn differ_in_unique(table: &Table, a: &Row, b: &Row) -> bool {
    let value = |lookup: &Lookup, row: &Row| table.value(lookup, &row.record, row.workspace);
    table.uniques().any(|lookup| value(lookup, a) != value(lookup, b))
}

/// Takes `ttl` out of a record: seconds from when it is loaded, or from when the file says that it was created.
/// Exported files have the time of its end there, in Unix seconds.
fn take_expiry(table: &Table, record: &mut Record, dated: bool, now: i64) -> Result<Option<i64>, Error> {
    if !table.has_ttl {
        return Ok(None);
    }
    let seconds = match record.shift_remove("ttl") {
        None | Some(Value::Null) => return Ok(None),
        Some(ttl) => ttl.as_f64().filter(|ttl| ttl.fract() == 0.0 && (0.0..1e12).contains(ttl)),
    };
    let created = record.get("created_at").and_then(Value::as_f64).filter(|_| dated);
    let since = created.map_or(now, |seconds| (seconds * 1000.0) as i64);
    match seconds.map(|seconds| seconds as i64) {
        None => Err(Error::invalid_option("ttl", &format!("must be an integer between 0 and {MAX_TTL}"))),
        Some(0) => Ok(None),
        Some(seconds) if seconds <= MAX_TTL => Ok(Some(since + seconds * 1000)),
        Some(end) => Ok(Some(end * 1000)),
    }
}
