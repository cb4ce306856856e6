//! One transaction on one connection, for code that may block. What is asked at once is sent at once.

use super::events::Events;
use super::pool::Lease;
use super::reach;
use super::refusal::Refusal;
use super::tables::Tables;
use super::values::type_of;
use crate::backend::cells::{self, Cell};
use crate::backend::{By, Reader, Row, Selection, TagSelection, Wanted, Write, Writer, failure};
use crate::feed::Feed;
use crate::layout::{Layout, Table};
use crate::{Addition, Counter, Revision, TagEntry};
use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use model::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// See [`Reader`] and [`Writer`].
pub struct Session {
    layout: Arc<Layout>,
    tables: Arc<Tables>,
    feed: Arc<Feed>,
    lease: Lease,
    /// The runtime on which the connection lives.
    handle: Handle,
    timeout: Duration,
    begin: &'static str,
    begun: bool,
    /// The connection cannot be used again.
    broken: bool,
    /// Why the server has given up the transaction.
    refused: Option<Refusal>,
    events: Events,
}

/// A statement and its parameters.
pub type Question = (String, Vec<Cell>);

/// Everything is of one moment.
pub const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// As if there were no other transaction.
pub const WRITE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
/// What others commit meanwhile counts.
pub const ADD: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// How many statements are under way at a time.
const AT_ONCE: usize = 256;
/// How many rows are taken off a connection at a time.
const ROWS: usize = 256;

impl Session {
    pub fn new(
        layout: Arc<Layout>,
        tables: Arc<Tables>,
        feed: Arc<Feed>,
        (lease, timeout): (Lease, Duration),
        handle: Handle,
        begin: &'static str,
    ) -> Session {
        let (begun, broken, refused, events) = (false, false, None, Events::default());
        Session { layout, tables, feed, lease, handle, timeout, begin, begun, broken, refused, events }
    }

    /// Why the server has given up the transaction, if it has.
    pub fn refused(&self) -> Option<&Refusal> {
        self.refused.as_ref()
    }

    /// What Kong nodes are to be told of the transaction.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Makes what was done last, `last` with it, and asks what is to follow. An error that is not the server's leaves
    /// it open whether it was done.
    pub fn commit(&mut self, last: Vec<Question>, then: Option<Question>) -> Result<(), Error> {
        let mut questions = last;
        let commit = questions.len();
        questions.push(("COMMIT".to_owned(), Vec::new()));
        questions.extend(then);
        match self.ask(&questions) {
            // That has been said, and what was done stays done.
            Err((place, _)) if place > commit => Ok(()),
            answered => answered.map(drop).map_err(|(_, error)| error),
        }
    }

    /// Ends the transaction, whatever it has done, and gives the connection back.
    pub fn end(mut self) {
        if self.begun && !self.broken {
            let rolled_back = self.handle.block_on(async {
                tokio::time::timeout(self.timeout, self.lease.client.batch_execute("ROLLBACK")).await
            });
            self.broken = !matches!(rolled_back, Ok(Ok(())));
        }
        if self.broken {
            self.lease.discard();
        }
    }

    /// The answers to all questions, in order; or the first that failed, by its place.
    pub fn ask(&mut self, questions: &[Question]) -> Result<Vec<Vec<tokio_postgres::Row>>, (usize, Error)> {
        let mut answers = Vec::with_capacity(questions.len());
        for some in questions.chunks(AT_ONCE) {
            let begin = (!self.begun).then_some(self.begin);
            self.begun = true;
            let client = &self.lease.client;
            let answered = self.wait(async {
                let begun = async {
                    match begin {
                        Some(begin) => client.batch_execute(begin).await,
                        None => Ok(()),
                    }
                };
                let asked = join_all(some.iter().map(async |(sql, cells)| {
                    let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
                        cells.iter().map(|cell| (cell as &(dyn ToSql + Sync), type_of(cell))).collect();
                    client.query_typed(sql, &parameters).await
                }));
                let (begun, asked) = join(begun, asked).await;
                begun.map(|()| asked)
            });
            let done = answers.len();
            for answer in self.checked(answered).map_err(|error| (done, error))? {
                let answer = self.checked(Some(answer)).map_err(|error| (answers.len(), error))?;
                answers.push(answer);
            }
        }
        Ok(answers)
    }

    fn ask_one(&mut self, question: Question) -> Result<Vec<tokio_postgres::Row>, Error> {
        let answers = self.ask(&[question]).map_err(|(_, error)| error)?;
        Ok(answers.into_iter().next().unwrap_or_default())
    }

    /// `None`: it took too long.
    fn wait<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        self.handle.block_on(async { tokio::time::timeout(self.timeout, answer).await.ok() })
    }

    fn checked<T>(&mut self, answer: Option<Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        match answer {
            Some(Ok(answer)) => {
                self.lease.reach.found();
                Ok(answer)
            }
            Some(Err(error)) => {
                self.broken |= error.code().is_none_or(reach::says_away);
                // After the first one, the server says no more than that there was one.
                if self.refused.is_none() {
                    self.refused = error.as_db_error().map(Refusal::new);
                }
                let expected = self.refused.as_ref().is_some_and(Refusal::is_expected);
                Err(if expected { Error::conflict(reach::describe(&error)) } else { self.lease.reach.failed(&error) })
            }
            None => {
                self.broken = true;
                Err(self.lease.reach.lost("timeout"))
            }
        }
    }

    fn rows(&self, table: &Table, answer: Vec<tokio_postgres::Row>) -> Result<Vec<Row>, Error> {
        answer.iter().map(|row| decode(table, row)).collect()
    }
}

impl Reader for Session {
    fn find(&mut self, wanted: &[Wanted<'_>]) -> Result<Vec<Option<Row>>, Error> {
        let question = |&Wanted { table, by }: &Wanted<'_>| {
            let statements = self.tables.of(table);
            match by {
                By::Id(id) => (statements.get.clone(), cells::key(table, id)),
                By::Value { lookup, workspace, value } => statements.find(lookup, workspace, value),
            }
        };
        let questions: Vec<Question> = wanted.iter().map(question).collect();
        let answers = self.ask(&questions).map_err(|(_, error)| error)?;
        let row = |(wanted, answer): (&Wanted<'_>, Vec<tokio_postgres::Row>)| {
            answer.first().map(|row| decode(wanted.table, row)).transpose()
        };
        wanted.iter().zip(answers).map(row).collect()
    }

    fn scan(&mut self, selections: &[Selection<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let question = |selection: &Selection<'_>| self.tables.of(selection.table).scan(selection);
        let questions: Vec<Question> = selections.iter().map(question).collect();
        let answers = self.ask(&questions).map_err(|(_, error)| error)?;
        selections.iter().zip(answers).map(|(selection, answer)| self.rows(selection.table, answer)).collect()
    }

    fn visit(
        &mut self,
        table: &Table,
        now: i64,
        visit: &mut dyn FnMut(&mut Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (sql, cells) = self.tables.of(table).scan(&Selection { now, ..Selection::all(table) });
        if !self.begun {
            let begun = self.wait(self.lease.client.batch_execute(self.begin));
            self.begun = true;
            self.checked(begun)?;
        }
        let parameters = cells.iter().map(|cell| (cell as &(dyn ToSql + Sync), type_of(cell)));
        let found = self.wait(self.lease.client.query_typed_raw(&sql, parameters));
        let mut found = Box::pin(self.checked(found)?.ready_chunks(ROWS));
        let mut shown = Row::default();
        loop {
            let rows = self.wait(found.next());
            let Some(rows) = self.checked(rows.map(Ok))? else { return Ok(()) };
            for row in rows {
                let row = self.checked(Some(row))?;
                decode_into(table, &row, &mut shown)?;
                visit(&mut shown)?;
            }
        }
    }

    fn count(&mut self, table: &Table, workspace: Option<Uuid>, now: i64) -> Result<u64, Error> {
        let question = self.tables.of(table).count(table, workspace, now);
        match self.ask_one(question)?.first().map(|row| row.try_get(0)) {
            Some(Ok(Cell::Integer(count))) => Ok(count.max(0) as u64),
            _ => Err(failure("a number was expected")),
        }
    }

    fn tags(&mut self, selection: &TagSelection<'_>) -> Result<Vec<TagEntry>, Error> {
        let question = super::tags::page(&self.layout, selection);
        let answer = self.ask_one(question)?;
        answer.iter().map(|row| super::tags::entry(&self.layout, row).map_err(failure)).collect()
    }

    fn expired(&mut self, table: &Table, now: i64, limit: usize) -> Result<Vec<Row>, Error> {
        if !table.has_ttl {
            return Ok(Vec::new());
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = self.tables.of(table).expired.clone();
        let answer = self.ask_one((sql, vec![Cell::Expiry(now), Cell::Integer(limit)]))?;
        self.rows(table, answer)
    }

    fn next_expiry(&mut self, table: &Table) -> Result<Option<i64>, Error> {
        if !table.has_ttl {
            return Ok(None);
        }
        let sql = self.tables.of(table).next_expiry.clone();
        match self.ask_one((sql, Vec::new()))?.first().map(|row| row.try_get(0)) {
            Some(Ok(Cell::Expiry(next))) => Ok(Some(next)),
            _ => Ok(None),
        }
    }

    fn counts(&mut self, counters: &[Counter], now: i64) -> Result<Vec<i64>, Error> {
        let questions: Vec<Question> = counters.iter().map(|counter| super::counters::count(counter, now)).collect();
        let answers = self.ask(&questions).map_err(|(_, error)| error)?;
        let count = |answer: &Vec<tokio_postgres::Row>| match answer.first().map(|row| row.try_get(0)) {
            Some(Ok(Cell::Integer(count))) => count,
            _ => 0,
        };
        Ok(answers.iter().map(count).collect())
    }

    fn revision(&mut self) -> Result<Revision, Error> {
        // What is read is what there is when the first question is asked, which is after this.
        Ok(self.feed.newest())
    }
}

impl Writer for Session {
    fn write(&mut self, writes: &[Write<'_>]) -> Result<(), Error> {
        let mut questions: Vec<Question> = Vec::with_capacity(writes.len());
        // The place of the write that each question is for.
        let mut places: Vec<usize> = Vec::with_capacity(writes.len());
        for (place, write) in writes.iter().enumerate() {
            self.events.note(write);
            self.tables.questions(write, &mut questions)?;
            places.resize(questions.len(), place);
        }
        self.ask(&questions).map(drop).map_err(|(place, error)| {
            let refusal = self.refused.as_ref().zip(places.get(place).map(|place| &writes[*place]));
            refusal.and_then(|(refusal, write)| refusal.error(&self.layout, write)).unwrap_or(error)
        })
    }

    fn add(&mut self, additions: &[Addition], now: i64) -> Result<(), Error> {
        self.ask(&super::counters::add(additions, now)).map(drop).map_err(|(_, error)| error)
    }
}

fn decode(table: &Table, row: &tokio_postgres::Row) -> Result<Row, Error> {
    let mut decoded = Row::default();
    decode_into(table, row, &mut decoded)?;
    Ok(decoded)
}

fn decode_into(table: &Table, row: &tokio_postgres::Row, decoded: &mut Row) -> Result<(), Error> {
    let cells: Result<Vec<Cell>, _> = (0..row.len()).map(|place| row.try_get(place)).collect();
    let done = cells.map_err(|e| e.to_string()).and_then(|cells| cells::decode_into(table, cells, decoded));
    done.map_err(|error| {
        let primary = table.columns.iter().position(|column| column.field == table.primary).unwrap_or_default();
        let id = match row.try_get(primary) {
            Ok(Cell::Uuid(id)) => id.to_string(),
            Ok(Cell::Text(id)) => id,
            _ => String::new(),
        };
        failure(format_args!("{} {id}: {error}", table.name))
    })
}
