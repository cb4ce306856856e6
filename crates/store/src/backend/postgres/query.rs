//! Text in SQL that is not ours, on a connection of the pool: what its statements come to, as the server writes it.

use super::events::Notice;
use super::session::ADD;
use super::{Postgres, Shared, reach};
use crate::backend::failure;
use crate::feed::Changes;
use crate::script::Script;
use model::Error;
use serde_json::{Map, Number, Value, json};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_postgres::SimpleQueryMessage as Message;
use tokio_postgres::types::{Kind, Type};

/// What statements have come to, one by one: `true`, the number of rows that were changed (`affected_rows`), or `rows`
/// by the names of their columns, and which of these are octets (`octets`).
pub type Outcomes = Vec<Value>;

/// What a statement has shown so far.
#[derive(Default)]
struct Shown {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

impl Postgres {
    /// Runs all of the text: one transaction, unless it says otherwise. What it may have changed of records that
    /// snapshots hold, all nodes read anew.
    pub(super) async fn run_script(shared: Arc<Shared>, text: String) -> Result<Outcomes, Error> {
        let script = Script::read(&text);
        let lease = shared.pool.lease().await?;
        let asked = tokio::time::timeout(shared.pool.timeout(), lease.client.simple_query(&text)).await;
        let messages = match asked {
            Ok(Ok(messages)) => messages,
            Ok(Err(error)) => {
                let away = reach::is_away(&error);
                let error = if away { shared.pool.reach().failed(&error) } else { Error::database(words(&error)) };
                // A transaction may be open on it.
                if away || script.begins() || !script.leaves_session() {
                    lease.discard();
                }
                shared.tell_of(&script, away).await?;
                return Err(error);
            }
            Err(_) => {
                lease.discard();
                shared.tell_of(&script, true).await?;
                return Err(shared.pool.reach().lost("timeout"));
            }
        };
        shared.pool.reach().found();
        let outcomes =
            if script.leaves_open() { Ok(Vec::new()) } else { outcomes(&lease.client, &script, messages).await };
        if script.leaves_open() || !script.leaves_session() {
            lease.discard();
        } else {
            drop(lease);
        }
        if script.leaves_open() {
            return Err(Error::database("a transaction must end in the query that begins it: it was undone"));
        }
        shared.tell_of(&script, true).await?;
        outcomes
    }
}

impl Shared {
    /// Has all nodes read everything, where records that snapshots hold may be others. `done`: unless the server has
    /// undone it all.
    async fn tell_of(self: &Arc<Shared>, script: &Script<'_>, done: bool) -> Result<(), Error> {
        let tables = self.layout.tables().iter().filter(|table| table.in_snapshot);
        let may_stay = done || script.begins();
        if !may_stay || !script.may_change(tables.map(|table| table.relation.as_str())) {
            return Ok(());
        }
        let mut changes = Changes::default();
        changes.unlist();
        if let Some(neighbour) = &self.neighbour {
            let notice = Notice::new(neighbour, self.schema().await?, &changes).question();
            let (lease, handle, shared) = (self.pool.lease().await?, Handle::current(), self.clone());
            let told = spawn_blocking(move || {
                let mut session = shared.session(lease, handle, ADD);
                let done = session.commit(vec![notice], None);
                session.end();
                done
            });
            told.await.map_err(failure)??;
        }
        self.feed.publish(changes);
        Ok(())
    }
}

/// Runs text on a connection that is somebody's own, for whatever time it takes.
pub(super) async fn run_on(client: &tokio_postgres::Client, text: &str) -> Result<Outcomes, String> {
    let messages = client.simple_query(text).await.map_err(|error| words(&error))?;
    outcomes(client, &Script::read(text), messages).await.map_err(|error| error.message)
}

async fn outcomes(
    client: &tokio_postgres::Client,
    script: &Script<'_>,
    messages: Vec<Message>,
) -> Result<Outcomes, Error> {
    let (mut outcomes, mut shown): (Outcomes, Option<Shown>) = (Vec::new(), None);
    for message in messages {
        match message {
            Message::RowDescription(columns) => {
                let columns = columns.iter().map(|column| column.name().to_owned()).collect();
                shown = Some(Shown { columns, rows: Vec::new() });
            }
            Message::Row(row) => {
                let values = (0..row.len()).map(|place| row.get(place).map(str::to_owned)).collect();
                shown.get_or_insert_default().rows.push(values);
            }
            Message::CommandComplete(count) => {
                let statement = script.statements.get(outcomes.len());
                let verb = statement.map(|statement| statement.verb.as_str()).unwrap_or_default();
                let counts = ["INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "COPY", "MOVE"].contains(&verb);
                outcomes.push(match shown.take() {
                    Some(shown) => {
                        let types = match statement.filter(|_| !shown.rows.is_empty()) {
                            Some(statement) => types(client, statement.text).await,
                            None => Vec::new(),
                        };
                        let affected = if counts { json!(count) } else { Value::Null };
                        shown.described(&types, affected)
                    }
                    None if counts => json!({ "affected_rows": count }),
                    None => Value::Bool(true),
                });
            }
            _ => {}
        }
    }
    Ok(outcomes)
}

/// The types of a statement's columns; none where the server does not say, since what it was about is gone.
async fn types(client: &tokio_postgres::Client, statement: &str) -> Vec<Type> {
    match client.prepare(statement).await {
        Ok(prepared) => prepared.columns().iter().map(|column| column.type_().clone()).collect(),
        Err(_) => Vec::new(),
    }
}

impl Shown {
    fn described(self, types: &[Type], affected: Value) -> Value {
        let types: &[Type] = if types.len() == self.columns.len() { types } else { &[] };
        let row = |values: Vec<Option<String>>| {
            let value = |(place, text): (usize, Option<String>)| {
                let text = text.map_or(Value::Null, |text| typed(types.get(place), text));
                (self.columns[place].clone(), text)
            };
            Value::Object(values.into_iter().enumerate().map(value).collect::<Map<_, _>>())
        };
        let rows: Vec<Value> = self.rows.into_iter().map(row).collect();
        let octets = self.columns.iter().zip(types).filter(|(_, kind)| **kind == Type::BYTEA);
        let octets: Vec<&String> = octets.map(|(column, _)| column).collect();
        json!({ "rows": rows, "affected_rows": affected, "octets": octets })
    }
}

/// A value as code gets it: numbers, flags, JSON and lists as such, all else as text.
fn typed(kind: Option<&Type>, text: String) -> Value {
    let number = |text: &str| {
        let whole = text.parse::<i64>().ok().map(Value::from);
        whole.or_else(|| Number::from_f64(text.parse().ok()?).map(Value::Number))
    };
    match kind {
        Some(&Type::BOOL) => Value::Bool(text == "t"),
        Some(&Type::INT2 | &Type::INT4 | &Type::INT8 | &Type::FLOAT4 | &Type::FLOAT8 | &Type::NUMERIC) => {
            number(&text).unwrap_or(Value::String(text))
        }
        Some(&Type::JSON | &Type::JSONB) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Some(kind) => match kind.kind() {
            Kind::Array(of) => list(of, &text).unwrap_or(Value::String(text)),
            _ => Value::String(text),
        },
        None => Value::String(text),
    }
}

/// A list as the server writes it, of one dimension: `{a,"b c",NULL}`.
fn list(of: &Type, text: &str) -> Option<Value> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    let mut chars = inner.chars().peekable();
    while chars.peek().is_some() {
        let (mut item, quoted) = (String::new(), chars.peek() == Some(&'"'));
        if quoted {
            chars.next();
        }
        loop {
            match chars.next() {
                Some('{') if !quoted => return None,
                Some('"') if quoted => {
                    chars.next();
                    break;
                }
                Some(',') if !quoted => break,
                Some('\\') => item.extend(chars.next()),
                Some(other) => item.push(other),
                None if quoted => return None,
                None => break,
            }
        }
        items.push(if !quoted && item == "NULL" { Value::Null } else { typed(Some(of), item) });
    }
    Some(Value::Array(items))
}

/// An error in the words of Kong's driver: with its place and its details.
fn words(error: &tokio_postgres::Error) -> String {
    use tokio_postgres::error::ErrorPosition;
    let mut words = reach::describe(error);
    if let Some(error) = error.as_db_error() {
        if let Some(ErrorPosition::Original(place)) = error.position() {
            words = format!("{words} ({place})");
        }
        if let Some(detail) = error.detail() {
            words = format!("{words}\n{detail}");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_types() {
        let of = |kind: &Type, text: &str| typed(Some(kind), text.to_owned());
        assert_eq!(of(&Type::BOOL, "t"), json!(true));
        assert_eq!(of(&Type::NUMERIC, "1.50"), json!(1.5));
        assert_eq!(of(&Type::JSONB, "{\"a\": [1]}"), json!({"a": [1]}));
        assert_eq!(of(&Type::TEXT_ARRAY, "{a,\"b \\\"c,\",NULL,\"NULL\"}"), json!(["a", "b \"c,", null, "NULL"]));
        assert_eq!(of(&Type::INT4_ARRAY, "{}"), json!([]));
        assert_eq!(of(&Type::TIMESTAMPTZ, "2024-01-01 00:00:00+00"), json!("2024-01-01 00:00:00+00"));
    }
}
