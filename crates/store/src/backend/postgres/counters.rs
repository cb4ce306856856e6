//! Counters that all nodes of a database share, in Kong's tables.

use super::session::Question;
use crate::backend::cells::Cell;
use crate::backend::expiry;
use crate::backend::sql::quote;
use crate::{Addition, Counter};

/// The only one of Kong's tables of counters whose rows do not expire.
const UNENDING: &str = "response_ratelimiting_metrics";

const KEY: &str = "identifier, period, period_date, service_id, route_id";

/// What adds to counters, and removes some that have expired. Rows are locked in the same order by all nodes.
pub fn add(additions: &[Addition], now: i64) -> Vec<Question> {
    let mut additions: Vec<&Addition> = additions.iter().collect();
    additions.sort_by(|a, b| a.counter.cmp(&b.counter));
    let mut questions = Vec::with_capacity(additions.len() + 1);
    let mut purged: Option<&str> = None;
    for addition in additions {
        let entity = addition.counter.entity.as_str();
        let table = quote(entity);
        if expires(entity) && purged.replace(entity) != Some(entity) {
            let sql = format!(
                "DELETE FROM {table} WHERE ctid IN \
                 (SELECT ctid FROM {table} WHERE ttl <= $1 LIMIT 100 FOR UPDATE SKIP LOCKED)"
            );
            questions.push((sql, vec![Cell::Expiry(now)]));
        }
        let mut cells = key(&addition.counter);
        cells.push(Cell::Integer(addition.amount));
        let (column, place, kept) = match expires(entity) {
            true => (", ttl", ", $7", ", ttl = excluded.ttl"),
            false => ("", "", ""),
        };
        if expires(entity) {
            cells.push(Cell::Expiry(expiry(addition, now)));
        }
        let sql = format!(
            "INSERT INTO {table} AS t ({KEY}, value{column}) VALUES ($1, $2, $3, $4, $5, $6{place}) \
             ON CONFLICT ({KEY}) DO UPDATE SET value = t.value + excluded.value{kept}"
        );
        questions.push((sql, cells));
    }
    questions
}

/// What a counter has come to.
pub fn count(counter: &Counter, now: i64) -> Question {
    let mut cells = key(counter);
    let live = if expires(&counter.entity) { " AND ttl > $6" } else { "" };
    if expires(&counter.entity) {
        cells.push(Cell::Expiry(now));
    }
    let table = quote(&counter.entity);
    (format!("SELECT value FROM {table} WHERE ({KEY}) = ($1, $2, $3, $4, $5){live}"), cells)
}

fn expires(entity: &str) -> bool {
    entity != UNENDING
}

fn key(counter: &Counter) -> Vec<Cell> {
    let Counter { identifier, period, began, service, route, .. } = counter;
    vec![
        Cell::Text(identifier.clone()),
        Cell::Text(period.clone()),
        Cell::Expiry(*began),
        Cell::Uuid(*service),
        Cell::Uuid(*route),
    ]
}
