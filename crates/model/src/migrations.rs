//! Migrations that plugins bring along: what makes their tables in a Postgres database, version by version, as Kong
//! runs and records it. Other databases make the tables from the schemas.

use serde_json::Value;
use std::fmt;

/// The migrations of a plugin, in the order in which they are run.
#[derive(Clone, Copy, Debug)]
pub struct PluginMigrations {
    /// The plugin's name, by which it is a subsystem in Kong's table of migrations.
    pub plugin: &'static str,
    /// The entities of the plugin, whose tables they are about.
    pub entities: &'static [&'static str],
    /// The error says which one cannot be read, and why.
    pub list: &'static Result<Vec<Migration>, String>,
}

/// One migration.
#[derive(Debug)]
pub struct Migration {
    pub name: String,
    /// Statements that nodes of the former version do not mind.
    pub up: String,
    /// What follows them and is no text.
    pub up_f: Option<&'static dyn MigrationStep>,
    /// What nodes of the former version would mind. A migration that has it is pending until then.
    pub teardown: Option<&'static dyn MigrationStep>,
}

/// Runs statements, and gives what each of them has come to.
pub type RunStatements<'a> = &'a mut dyn FnMut(String) -> Result<Vec<Value>, String>;

/// A part of a migration that is code.
pub trait MigrationStep: fmt::Debug + Send + Sync {
    /// Does it, by way of a connection with the database. Blocks the thread until it is done.
    fn run(&self, run: RunStatements<'_>) -> Result<(), String>;
}
