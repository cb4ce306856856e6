//! Makes the tables of a database, and brings those of an older Kong to the layout of 3.10.
//!
//! Kong's own migrations are recorded under its names, so that a Kong 3.10 can be started on the database; what Kong
//! does not have is recorded as another subsystem, which Kong does not look at.

mod extend;
mod known;
mod plugins;
mod state;
mod steps;

use super::pool::{Pool, Server};
use super::reach::{describe, is_away};
use crate::backend::failure;
use crate::layout::{Layout, WORKSPACES};
use crate::scope::{DEFAULT, DEFAULT_ID};
use deadpool_postgres::Object;
use extend::{Extension, Present, extensions};
use known::{KONG, Known};
use model::{Catalog, Error};
use plugins::Plugins;
pub use state::{Listed, Migration, State, Subsystem};
use state::{OWN, Recorded};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use steps::{Step, step};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// What there is beside entities.
const BASE: &str = include_str!("base.sql");
/// The tables of Kong's entities.
const ENTITIES: &str = include_str!("entities.sql");

/// A database whose tables are looked at or changed, over one connection.
pub struct Migrations {
    connection: Object,
    layout: Layout,
    /// The migrations that plugins bring along.
    plugins: Plugins,
    /// The schema that the tables are in.
    schema: String,
    database: String,
    timeout: Duration,
    /// Whether Kong's tables are to be there, too.
    with_kong: bool,
}

/// What one has to be told while it happens.
pub type Say<'a> = &'a mut dyn FnMut(&str);

/// How long the tables are kept from other nodes, unless it is said.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// The server's lock while there is no table of locks.
const PREPARING: i64 = 0x62_6173_6375_6c65;

/// How often it is looked whether another node has done.
const LOOK: Duration = Duration::from_millis(100);

/// What a lock on the tables is about.
const LOCK: &str = "migrations";

impl Migrations {
    pub async fn connect(server: &Server, catalog: &Catalog) -> Result<Migrations, Error> {
        let layout = Layout::new(catalog).map_err(Error::database)?;
        let pool = Pool::new(server)?;
        // Whoever wants to know of the tables says it.
        pool.reach().begin_away();
        let connection = pool.lease().await?.client;
        let mut migrations = Migrations {
            connection,
            layout,
            plugins: Plugins::of(catalog),
            schema: server.schema.clone(),
            database: server.database.clone(),
            timeout: server.timeout,
            with_kong: true,
        };
        if migrations.schema.is_empty() {
            let rows = migrations.ask("SELECT current_schema()::text", &[]).await?;
            let current: Option<String> = rows.first().and_then(|row| row.try_get(0).ok()).flatten();
            migrations.schema = current.unwrap_or_else(|| "public".to_owned());
        }
        Ok(migrations)
    }

    /// The same for entities of any kind: Kong's tables are not made, and those of the layout are.
    pub fn without_kong(self) -> Migrations {
        Migrations { with_kong: false, ..self }
    }

    /// Which migrations the database has seen.
    pub async fn state(&self) -> Result<State, Error> {
        let present = self.present().await?;
        let plugins = self.plugins.listed()?;
        if !present.contains_key("schema_meta") {
            return Ok(State::new(None, &plugins, Vec::new()));
        }
        let question = "SELECT subsystem, last_executed, executed, pending FROM schema_meta WHERE key = 'schema_meta'";
        let mut recorded: HashMap<String, Recorded> = HashMap::new();
        for row in self.ask(question, &[]).await? {
            let names = |place| -> Result<Vec<String>, Error> {
                Ok(row.try_get::<_, Option<Vec<String>>>(place).map_err(failure)?.unwrap_or_default())
            };
            let (executed, pending) = (names(2)?, names(3)?);
            let last_executed = row.try_get(1).map_err(failure)?;
            recorded.insert(row.try_get(0).map_err(failure)?, Recorded { last_executed, executed, pending });
        }
        let mut state = State::new(Some(recorded), &plugins, Vec::new());
        // Tables that migrations of plugins make are not there before these are run.
        let awaited = self.plugins.awaited(&state);
        let extensions = self.extensions(&present).into_iter();
        let own = extensions.filter(|extension| !awaited.contains(extension.table.as_str()));
        state.add_own(own.map(|extension| extension.name).collect());
        Ok(state)
    }

    /// Makes all tables in a database that has none; `false`: another node is at it.
    pub async fn bootstrap(&self, lock: Duration, say: Say<'_>) -> Result<bool, Error> {
        self.prepare(lock).await?;
        self.locked(lock, async || {
            // Another node may have been at it meanwhile.
            let state = self.state().await?;
            let mut tally = Tally::default();
            for known in KONG.iter().filter(|known| self.with_kong && of(&state.new, known).is_some()) {
                self.run_first(known, &mut tally, say).await?;
            }
            self.complete(&state.new, true, &mut tally, say).await?;
            tally.finish(say);
            Ok(())
        })
        .await
    }

    /// Makes what there is beside entities, the table of locks with it. Until that is there, nodes that are started at
    /// once wait for each other by a lock of the server.
    async fn prepare(&self, lock: Duration) -> Result<(), Error> {
        let schema = quoted(&self.schema);
        let (milliseconds, key) = (lock.as_millis(), PREPARING);
        let prepared = async {
            self.done(&format!(
                "BEGIN; SET LOCAL lock_timeout = {milliseconds}; SELECT pg_advisory_xact_lock({key}); SAVEPOINT begun"
            ))
            .await?;
            let made = self.run(&format!("CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION CURRENT_USER")).await;
            match made.as_ref().err().map(|error| error.code()) {
                None => {}
                Some(Some(&SqlState::INSUFFICIENT_PRIVILEGE)) => self.done("ROLLBACK TO begun").await?,
                Some(_) => return Err(failure(format_args!("cannot make the schema {}", self.schema))),
            }
            self.done(&format!("SET search_path TO {schema}")).await?;
            if !self.present().await?.contains_key("schema_meta") {
                self.done(BASE).await?;
            }
            self.done("COMMIT").await
        };
        let prepared = prepared.await;
        if prepared.is_err() {
            self.done("ROLLBACK").await?;
        }
        prepared
    }

    /// Runs what is new; `again`: what was executed, too. `false`: another node is at it.
    pub async fn up(&self, lock: Duration, again: bool, say: Say<'_>) -> Result<bool, Error> {
        self.locked(lock, async || {
            let state = self.state().await?;
            let kongs = || KONG.iter().filter(|_| self.with_kong);
            if let Some(old) = kongs().find(|known| is_too_old(&state, known)) {
                return Err(Error::database(too_old(old.subsystem)));
            }
            let mut tally = Tally::default();
            if again {
                self.run_again(&state, &mut tally, say).await?;
            }
            for known in kongs() {
                let Some(new) = of(&state.new, known) else { continue };
                if new.len() == known.migrations.len() && !known.tables.is_empty() {
                    self.run_first(known, &mut tally, say).await?;
                } else {
                    self.run_new(known, new, &mut tally, say).await?;
                }
            }
            self.complete(&state.new, false, &mut tally, say).await?;
            tally.finish(say);
            Ok(())
        })
        .await
    }

    /// Ends what is pending; `again`: what was executed, too. `false`: another node is at it.
    pub async fn finish(&self, lock: Duration, again: bool, say: Say<'_>) -> Result<bool, Error> {
        self.locked(lock, async || {
            let state = self.state().await?;
            let mut tally = Tally::default();
            if again {
                self.run_again(&state, &mut tally, say).await?;
            }
            for pending in &state.pending {
                self.begin(&pending.name, say);
                for name in &pending.migrations {
                    if let Some(migration) = self.plugins.migration(&pending.name, name) {
                        self.finish_plugin(&pending.name, migration).await?;
                        tally.executed(&pending.name, name, say);
                        continue;
                    }
                    let Some(finish) = step(&pending.name, name).and_then(|step| step.finish) else {
                        return Err(Error::database(too_old(&pending.name)));
                    };
                    self.done(&format!("BEGIN; {finish}; {}; COMMIT", record_finished(&pending.name, name))).await?;
                    tally.executed(&pending.name, name, say);
                }
            }
            tally.finish(say);
            Ok(())
        })
        .await
    }

    /// Removes all that is in the schema.
    pub async fn reset(&self) -> Result<(), Error> {
        let schema = quoted(&self.schema);
        let anew = format!(
            "BEGIN; DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema} AUTHORIZATION CURRENT_USER; \
             GRANT ALL ON SCHEMA {schema} TO CURRENT_USER; COMMIT"
        );
        let Err(error) = self.run(&anew).await else { return Ok(()) };
        self.done("ROLLBACK").await?;
        if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            return Err(failure(describe(&error)));
        }
        // The schema is somebody else's: what is in it is not.
        let tables: Vec<String> = self.present().await?.keys().map(|table| quoted(table)).collect();
        if !tables.is_empty() {
            self.done(&format!("DROP TABLE IF EXISTS {} CASCADE", tables.join(", "))).await?;
        }
        self.done("DROP FUNCTION IF EXISTS sync_tags, batch_delete_expired_rows CASCADE").await
    }

    /// Makes the tables of a subsystem as its last migration leaves them.
    async fn run_first(&self, known: &Known, tally: &mut Tally, say: Say<'_>) -> Result<(), Error> {
        self.begin(known.subsystem, say);
        let sections = sections();
        let sql: Vec<&str> = known.tables.iter().filter_map(|table| sections.get(table).copied()).collect();
        let recorded = record(known.subsystem, known.migrations);
        self.done(&format!("BEGIN; {}; {recorded}; COMMIT", sql.join(";\n"))).await?;
        for name in known.migrations {
            tally.executed(known.subsystem, name, say);
        }
        Ok(())
    }

    /// Runs the first part of migrations. Those without a step change rows that there cannot be: of plugins that were
    /// not there when they were new.
    async fn run_new(&self, known: &Known, new: &[Migration], tally: &mut Tally, say: Say<'_>) -> Result<(), Error> {
        self.begin(known.subsystem, say);
        for name in new {
            let step = step(known.subsystem, name);
            let up = step.map_or("", |step| step.up);
            if step.is_some_and(|step| step.finish.is_some()) {
                self.done(&format!("BEGIN; {up}; {}; COMMIT", record_pending(known.subsystem, name))).await?;
                tally.pending(known.subsystem, name, say);
            } else {
                self.done(&format!("BEGIN; {up}; {}; COMMIT", record(known.subsystem, &[name]))).await?;
                tally.executed(known.subsystem, name, say);
            }
        }
        Ok(())
    }

    /// Runs both parts of migrations that were executed; they leave as it is what they find done.
    async fn run_again(&self, state: &State, tally: &mut Tally, say: Say<'_>) -> Result<(), Error> {
        for executed in &state.executed {
            let steps: Vec<&Step> = executed.migrations.iter().filter_map(|name| step(&executed.name, name)).collect();
            if !steps.is_empty() {
                self.begin(&executed.name, say);
            }
            for step in steps {
                self.done(&format!("BEGIN; {}; {}; COMMIT", step.up, step.finish.unwrap_or_default())).await?;
                tally.executed(step.subsystem, step.name, say);
            }
        }
        self.run_plugins_again(&state.executed, tally, say).await
    }

    /// What follows Kong's own tables: the default workspace, which whoever was to make it may have been killed before,
    /// what plugins bring along, which refers to it, and what is ours. `whole`: as for [`Migrations::run_plugins`].
    async fn complete(&self, new: &[Subsystem], whole: bool, tally: &mut Tally, say: Say<'_>) -> Result<(), Error> {
        if !self.with_kong {
            // Then the table of workspaces is among ours.
            self.extend(tally, say).await?;
        }
        self.add_default_workspace().await?;
        self.run_plugins(new, whole, tally, say).await?;
        self.extend(tally, say).await
    }

    fn begin(&self, subsystem: &str, say: Say<'_>) {
        say(&format!("migrating {subsystem} on database '{}'...", self.database));
    }

    /// Makes what the layout has and the database has not.
    async fn extend(&self, tally: &mut Tally, say: Say<'_>) -> Result<(), Error> {
        let extensions = self.extensions(&self.present().await?);
        if !extensions.is_empty() {
            self.begin(OWN, say);
        }
        for Extension { name, sql, .. } in extensions {
            self.done(&format!("BEGIN; {}; {}; COMMIT", sql.join("; "), record(OWN, &[&name]))).await?;
            tally.executed(OWN, &name, say);
        }
        Ok(())
    }

    fn extensions(&self, present: &Present) -> Vec<Extension> {
        let kongs: HashSet<&str> = match self.with_kong {
            true => KONG.iter().flat_map(|known| known.tables).copied().collect(),
            false => HashSet::new(),
        };
        extensions(&self.layout, present, &kongs)
    }

    async fn add_default_workspace(&self) -> Result<(), Error> {
        if self.layout.table(WORKSPACES).is_none() {
            return Ok(());
        }
        let insert = "INSERT INTO workspaces (id, name) SELECT $1, $2 \
                      WHERE NOT EXISTS (SELECT 1 FROM workspaces WHERE name = $2)";
        self.ask(insert, &[(&DEFAULT_ID, Type::UUID), (&DEFAULT, Type::TEXT)]).await.map(drop)
    }

    /// The tables of the schema, with their columns.
    async fn present(&self) -> Result<Present, Error> {
        let question = "SELECT table_name::text, column_name::text FROM information_schema.columns \
                        WHERE table_schema = $1";
        let mut present = Present::new();
        for row in self.ask(question, &[(&self.schema, Type::TEXT)]).await? {
            let (table, column) = (row.try_get(0).map_err(failure)?, row.try_get(1).map_err(failure)?);
            present.entry(table).or_default().insert(column);
        }
        Ok(present)
    }

    /// Does what no other node, Kong's among them, may do at the same time; `false`: one is at it.
    async fn locked(&self, lock: Duration, work: impl AsyncFnOnce() -> Result<(), Error>) -> Result<bool, Error> {
        let owner = Uuid::new_v4().to_string();
        self.done("DELETE FROM locks WHERE ttl < CURRENT_TIMESTAMP").await?;
        let take = "INSERT INTO locks (key, owner, ttl) VALUES ($1, $2, CURRENT_TIMESTAMP + $3 * INTERVAL '1 second') \
                    ON CONFLICT DO NOTHING RETURNING key";
        let seconds = lock.as_secs_f64();
        let taken = self.ask(take, &[(&LOCK, Type::TEXT), (&owner, Type::TEXT), (&seconds, Type::FLOAT8)]).await?;
        if taken.is_empty() {
            self.wait_for_other(lock).await?;
            return Ok(false);
        }
        let done = work().await;
        if done.is_err() {
            // A step that failed has left its transaction open.
            self.done("ROLLBACK").await?;
        }
        let free = "DELETE FROM locks WHERE key = $1 AND owner = $2";
        let freed = self.ask(free, &[(&LOCK, Type::TEXT), (&owner, Type::TEXT)]).await;
        done.and(freed.map(|_| true))
    }

    /// Waits until the lock is free, or has run out.
    async fn wait_for_other(&self, lock: Duration) -> Result<(), Error> {
        let held = "SELECT 1 FROM locks WHERE key = $1 AND ttl > CURRENT_TIMESTAMP";
        let end = Instant::now() + lock;
        while Instant::now() < end && !self.ask(held, &[(&LOCK, Type::TEXT)]).await?.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn ask(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        let answer = tokio::time::timeout(self.timeout, self.connection.query_typed(sql, parameters)).await;
        answer.map_err(|_| Error::unavailable("timeout"))?.map_err(|error| match is_away(&error) {
            true => Error::unavailable(describe(&error)),
            false => failure(describe(&error)),
        })
    }

    /// Statements that change tables take the time that they take.
    async fn run(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.connection.batch_execute(sql).await
    }

    async fn done(&self, sql: &str) -> Result<(), Error> {
        self.run(sql).await.map_err(|error| failure(describe(&error)))
    }
}

/// What was done so far.
#[derive(Default)]
struct Tally {
    executed: usize,
    pending: usize,
}

impl Tally {
    fn executed(&mut self, subsystem: &str, name: &str, say: Say<'_>) {
        self.executed += 1;
        say(&format!("{subsystem} migrated up to: {name} (executed)"));
    }

    fn pending(&mut self, subsystem: &str, name: &str, say: Say<'_>) {
        self.pending += 1;
        say(&format!("{subsystem} migrated up to: {name} (pending)"));
    }

    fn finish(&self, say: Say<'_>) {
        let Tally { executed, pending } = self;
        let all = executed + pending;
        if all > 0 {
            say(&format!("{all} migration{} processed", if all > 1 { "s" } else { "" }));
        }
        for (count, what) in [(executed, "executed"), (pending, "pending")].into_iter().filter(|(count, _)| **count > 0)
        {
            say(&format!("{count} {what}"));
        }
    }
}

/// The migrations of a subsystem in a list.
fn of<'s>(list: &'s [Subsystem], known: &Known) -> Option<&'s [Migration]> {
    list.iter().find(|subsystem| subsystem.name == known.subsystem).map(|subsystem| subsystem.migrations.as_slice())
}

/// Whether tables are there, but not as Kong 3.4 left them.
fn is_too_old(state: &State, known: &Known) -> bool {
    let new = of(&state.new, known).unwrap_or_default();
    new.len() < known.migrations.len() && new.iter().any(|name| step(known.subsystem, name).is_none())
}

fn too_old(subsystem: &str) -> String {
    format!(
        "the tables of {subsystem} are those of a version of Kong before 3.4: bring them to one from 3.4 to 3.9 with \
         the commands 'kong migrations up' and 'kong migrations finish' of that Kong (from 2.8, that is one step to \
         3.4), then run this again"
    )
}

/// The statements about each of Kong's tables.
fn sections() -> HashMap<&'static str, &'static str> {
    const START: &str = "CREATE TABLE ";
    let starts: Vec<usize> = ENTITIES.match_indices(START).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([ENTITIES.len()]);
    let section = |(start, end): (usize, usize)| {
        let text = &ENTITIES[start..end];
        let name = text[START.len()..].split(' ').next().unwrap_or_default();
        (name, text.trim_end().trim_end_matches(';'))
    };
    starts.iter().copied().zip(ends).map(section).collect()
}

/// Notes that migrations were executed.
fn record(subsystem: &str, names: &[&str]) -> String {
    let array = format!("ARRAY[{}]::text[]", names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", "));
    let last = literal(names.last().copied().unwrap_or_default());
    format!(
        "INSERT INTO schema_meta AS m (key, subsystem, last_executed, executed, pending) \
         VALUES ('schema_meta', {}, {last}, {array}, '{{}}') ON CONFLICT (key, subsystem) DO UPDATE \
         SET last_executed = excluded.last_executed, executed = COALESCE(m.executed, '{{}}') || excluded.executed",
        literal(subsystem)
    )
}

/// Notes that the first part of a migration was.
fn record_pending(subsystem: &str, name: &str) -> String {
    format!(
        "INSERT INTO schema_meta AS m (key, subsystem, pending) VALUES ('schema_meta', {}, ARRAY[{}]) \
         ON CONFLICT (key, subsystem) DO UPDATE SET pending = COALESCE(m.pending, '{{}}') || excluded.pending",
        literal(subsystem),
        literal(name)
    )
}

/// Notes that a pending one was executed.
fn record_finished(subsystem: &str, name: &str) -> String {
    let name = literal(name);
    format!(
        "UPDATE schema_meta SET last_executed = {name}, executed = array_append(COALESCE(executed, '{{}}'), {name}), \
         pending = array_remove(pending, {name}) WHERE key = 'schema_meta' AND subsystem = {}",
        literal(subsystem)
    )
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn quoted(name: &str) -> String {
    crate::backend::sql::quote(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_is_in_a_section() {
        let sections = sections();
        let tables: Vec<&str> = KONG.iter().flat_map(|known| known.tables).copied().collect();
        assert_eq!(
            tables.iter().filter(|table| !sections.contains_key(*table)).collect::<Vec<_>>(),
            Vec::<&&str>::new()
        );
        assert_eq!(sections.len(), tables.len());
        assert!(sections["acls"].starts_with("CREATE TABLE acls ("));
        assert!(sections["acls"].ends_with("EXECUTE FUNCTION sync_tags()"), "{}", sections["acls"]);
    }
}
