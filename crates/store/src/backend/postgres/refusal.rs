//! What the server says against a transaction: that another one was in the way, or that a rule of the tables is broken
//! which another node's write made true after it was looked at here.

use super::reach::says_away;
use crate::backend::Write;
use crate::layout::{Layout, foreign_id};
use model::{Error, Record};
use serde_json::Value;
use tokio_postgres::error::{DbError, SqlState};

/// The server's word.
pub struct Refusal {
    state: SqlState,
    constraint: String,
    /// The table that it is about.
    table: String,
}

impl Refusal {
    pub fn new(error: &DbError) -> Refusal {
        Refusal {
            state: error.code().clone(),
            constraint: error.constraint().unwrap_or_default().to_owned(),
            table: error.table().unwrap_or_default().to_owned(),
        }
    }

    /// Another transaction was in the way: the same may be done when it is over.
    pub fn is_conflict(&self) -> bool {
        self.state == SqlState::T_R_SERIALIZATION_FAILURE || self.state == SqlState::T_R_DEADLOCK_DETECTED
    }

    /// A rule is broken that was looked at before: when it is looked at again, the answer is another.
    pub fn is_violation(&self) -> bool {
        self.state == SqlState::UNIQUE_VIOLATION || self.state == SqlState::FOREIGN_KEY_VIOLATION
    }

    /// The server cannot work now: nobody knows what it has done.
    pub fn is_away(&self) -> bool {
        says_away(&self.state)
    }

    /// Nothing is wrong with the server.
    pub fn is_expected(&self) -> bool {
        self.is_conflict() || self.is_violation() || self.state == SqlState::IN_FAILED_SQL_TRANSACTION
    }

    /// A broken rule in the words in which the check of it is reported.
    pub fn error(&self, layout: &Layout, write: &Write<'_>) -> Option<Error> {
        if !self.is_violation() {
            return None;
        }
        match *write {
            Write::Put { table, row, .. } if self.state == SqlState::UNIQUE_VIOLATION => {
                let of_column = |column: &str| self.constraint.contains(column);
                let lookup = table.uniques().find(|lookup| of_column(&lookup.column));
                Some(match lookup {
                    Some(lookup) => Error::unique_violation(lookup.violated(&row.record)),
                    None => Error::primary_key_violation(table.key_fields(&table.id(&row.record))),
                })
            }
            Write::Put { table, row, .. } => {
                let foreign = table.foreigns.iter().find(|foreign| self.constraint.contains(&foreign.column));
                Some(match foreign {
                    Some(foreign) => {
                        let target = layout.at(foreign.target);
                        let id = row.record.get(&foreign.field).and_then(foreign_id).map_or(Value::Null, Value::from);
                        let key = Record::from_iter([(target.primary.clone(), id)]);
                        Error::foreign_key_violation(&foreign.field, key, &target.name)
                    }
                    None => Error::invalid_workspace(&row.workspace.map(|id| id.to_string()).unwrap_or_default()),
                })
            }
            Write::Remove { table, .. } => Some(Error::still_referenced(&table.name, &self.table)),
        }
    }
}
