//! `bascule migrations`: prepares a database. SQLite needs no preparation.

mod postgres;

use super::{Outcome, Place, Verbosity};
use crate::app::instance::Running;
use crate::program::Program;
use clap::ValueEnum;
use std::process::ExitCode;
use std::time::Duration;

/// Prepare the database (SQLite needs no preparation)
#[derive(clap::Args)]
pub struct Migrations {
    command: Action,
    #[command(flatten)]
    place: Place,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Say nothing
    #[arg(short, long)]
    quiet: bool,
    /// Run them even if they have been run
    #[arg(short, long)]
    force: bool,
    /// Seconds for operations of the database
    #[arg(long, value_name = "SECONDS", hide = true)]
    db_timeout: Option<f64>,
    /// Seconds to wait for other nodes
    #[arg(long, value_name = "SECONDS", hide = true)]
    lock_timeout: Option<f64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    Bootstrap,
    Up,
    Finish,
    List,
    Status,
    Reset,
}

impl Migrations {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        let settings = self.place.load(verbosity)?;
        if settings.text("database") == "postgres" {
            let seconds = |given: Option<f64>| given.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let (timeout, lock) = (seconds(self.db_timeout), seconds(self.lock_timeout));
            let (action, yes, force, quiet) = (self.command, self.yes, self.force, self.quiet);
            return postgres::Command { action, yes, force, timeout, lock, quiet }.execute(&settings);
        }
        let said = match self.command {
            Action::Bootstrap | Action::Up | Action::Finish => {
                "Nothing to do: a SQLite database is made and kept up to date by the node itself".to_owned()
            }
            Action::List => "Executed migrations: none, SQLite needs none".to_owned(),
            Action::Status => "{}".to_owned(),
            Action::Reset => {
                if !self.yes {
                    return Err("this erases all entities for good: say so with --yes".to_owned());
                }
                if Running::find(&settings.prefix).is_some() {
                    let program = Program::current();
                    return Err(format!("{program} is running in {}: stop it first", settings.prefix.display()));
                }
                // Without a database there is none to reset.
                let names =
                    if settings.dbless() { &[][..] } else { &["bascule.db", "bascule.db-wal", "bascule.db-shm"] };
                for name in names {
                    let path = settings.path(name);
                    match std::fs::remove_file(&path) {
                        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                            return Err(format!("cannot remove {}: {e}", path.display()));
                        }
                        _ => {}
                    }
                }
                "Database successfully reset".to_owned()
            }
        };
        if !self.quiet {
            println!("{said}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
