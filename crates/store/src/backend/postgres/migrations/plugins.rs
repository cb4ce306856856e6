//! Migrations that plugins bring along: text in SQL, and code that asks the database by way of the connection that the
//! tables are changed over.

use super::known::KONG;
use super::state::{State, Subsystem};
use super::{Migrations, Say, Tally, record, record_finished, record_pending};
use crate::backend::failure;
use crate::backend::postgres::query;
use model::{Catalog, Error, Migration, MigrationStep, PluginMigrations};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::mpsc::{SyncSender, sync_channel};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_blocking;

/// Those of all plugins, by the names of these.
pub struct Plugins(Vec<PluginMigrations>);

/// Statements that code wants to be run, and where it waits for what they come to.
type Asked = (String, SyncSender<Result<Vec<Value>, String>>);

impl Plugins {
    pub fn of(catalog: &Catalog) -> Plugins {
        Plugins(catalog.migrations().to_vec())
    }

    /// Their names, but for those that Kong's own plugin of that name has.
    pub fn listed(&self) -> Result<Vec<Subsystem>, Error> {
        let mut listed = Vec::new();
        for plugin in &self.0 {
            let all = plugin.list.as_ref().map_err(Error::database)?;
            let own = all.iter().filter(|migration| !is_kongs(plugin.plugin, &migration.name));
            let migrations: Vec<_> = own.map(|migration| migration.name.clone()).collect();
            if !migrations.is_empty() {
                listed.push(Subsystem { name: plugin.plugin.to_owned(), migrations });
            }
        }
        Ok(listed)
    }

    /// The entities whose tables may be made by migrations that are still to be run.
    pub fn awaited(&self, state: &State) -> HashSet<&'static str> {
        let waits = |plugin: &&PluginMigrations| {
            let new = state.new.iter().find(|subsystem| subsystem.name == plugin.plugin);
            new.is_some_and(|new| new.migrations.iter().any(|name| self.migration(plugin.plugin, name).is_some()))
        };
        self.0.iter().filter(waits).flat_map(|plugin| plugin.entities).copied().collect()
    }

    pub fn migration(&self, plugin: &str, name: &str) -> Option<&'static Migration> {
        let list = self.0.iter().find(|known| known.plugin == plugin)?.list.as_ref().ok()?;
        list.iter().find(|migration| migration.name == name && !is_kongs(plugin, name))
    }
}

fn is_kongs(plugin: &str, name: &str) -> bool {
    KONG.iter().any(|known| known.subsystem == plugin && known.migrations.contains(&name))
}

impl Migrations {
    /// Runs those of a list that are of plugins; `whole`: their last parts, too, as a database wants it that no node
    /// has used.
    pub(super) async fn run_plugins(
        &self,
        list: &[Subsystem],
        whole: bool,
        tally: &mut Tally,
        say: Say<'_>,
    ) -> Result<(), Error> {
        for (plugin, migrations) in self.of_plugins(list) {
            self.begin(plugin, say);
            for migration in migrations {
                self.begin_plugin(plugin, migration).await?;
                match whole || migration.teardown.is_none() {
                    true => {
                        self.finish_plugin(plugin, migration).await?;
                        tally.executed(plugin, &migration.name, say);
                    }
                    false => tally.pending(plugin, &migration.name, say),
                }
            }
        }
        Ok(())
    }

    /// Runs both parts of those that were executed, which are noted already.
    pub(super) async fn run_plugins_again(
        &self,
        executed: &[Subsystem],
        tally: &mut Tally,
        say: Say<'_>,
    ) -> Result<(), Error> {
        for (plugin, migrations) in self.of_plugins(executed) {
            self.begin(plugin, say);
            for migration in migrations {
                self.run_up(migration, "").await?;
                self.call(migration, "up_f", migration.up_f).await?;
                self.call(migration, "teardown", migration.teardown).await?;
                tally.executed(plugin, &migration.name, say);
            }
        }
        Ok(())
    }

    /// Runs the first part of one, which is pending then, or executed.
    async fn begin_plugin(&self, plugin: &str, migration: &'static Migration) -> Result<(), Error> {
        let noted = match migration.teardown {
            Some(_) => record_pending(plugin, &migration.name),
            None => record(plugin, &[&migration.name]),
        };
        if migration.up_f.is_none() {
            return self.run_up(migration, &noted).await;
        }
        self.run_up(migration, "").await?;
        self.call(migration, "up_f", migration.up_f).await?;
        self.done(&noted).await
    }

    /// Runs the last part of one, if it has that.
    pub(super) async fn finish_plugin(&self, plugin: &str, migration: &'static Migration) -> Result<(), Error> {
        if migration.teardown.is_none() {
            return Ok(());
        }
        self.call(migration, "teardown", migration.teardown).await?;
        self.done(&record_finished(plugin, &migration.name)).await
    }

    /// Runs the text of one in a transaction, with what else is to be true if that is.
    async fn run_up(&self, migration: &Migration, noted: &str) -> Result<(), Error> {
        let (up, end) = (migration.up.trim(), if migration.up.trim().ends_with(';') { "" } else { ";" });
        // A comment may be the last line of the text.
        let run = self.run(&format!("BEGIN;\n{up}{end}\n{noted};\nCOMMIT")).await;
        run.map_err(|error| failed(migration, "up", &super::describe(&error)))
    }

    /// Has code do what it does, and runs the statements that it asks for meanwhile.
    async fn call(
        &self,
        migration: &'static Migration,
        part: &str,
        step: Option<&'static dyn MigrationStep>,
    ) -> Result<(), Error> {
        let Some(step) = step else { return Ok(()) };
        let (ask, mut asked) = unbounded_channel::<Asked>();
        let running = spawn_blocking(move || {
            step.run(&mut |text| {
                let ended = || "the connection is closed".to_owned();
                let (reply, answered) = sync_channel(1);
                ask.send((text, reply)).map_err(|_| ended())?;
                answered.recv().map_err(|_| ended())?
            })
        });
        while let Some((text, reply)) = asked.recv().await {
            // The code may have been ended.
            drop(reply.send(query::run_on(&self.connection, &text).await));
        }
        running.await.map_err(failure)?.map_err(|error| failed(migration, part, &error))
    }

    fn of_plugins<'l>(
        &'l self,
        list: &'l [Subsystem],
    ) -> impl Iterator<Item = (&'l str, Vec<&'static Migration>)> + use<'l> {
        let named = list.iter().map(|subsystem| {
            let names = subsystem.migrations.iter();
            let found: Vec<_> = names.filter_map(|name| self.plugins.migration(&subsystem.name, name)).collect();
            (subsystem.name.as_str(), found)
        });
        named.filter(|(_, migrations)| !migrations.is_empty())
    }
}

fn failed(migration: &Migration, part: &str, why: &str) -> Error {
    Error::database(format!("failed to run migration '{}' {part}: {why}", migration.name))
}
