//! The same for Postgres, with Kong's words and exit codes.

use super::Action;
use crate::app::{KONG_VERSION, database, preflight};
use crate::program::Program;
use crate::settings::Settings;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;
use store::backend::postgres::{LOCK_TIMEOUT, Listed, Migrations, State};

/// What `bascule migrations` does to a Postgres database.
pub struct Command {
    pub action: Action,
    /// Nobody is asked.
    pub yes: bool,
    pub force: bool,
    /// For operations of the database, in place of `pg_timeout`.
    pub timeout: Option<Duration>,
    /// How long other nodes keep off the tables.
    pub lock: Option<Duration>,
    pub quiet: bool,
}

/// Exit codes of `migrations list`.
const NEEDS_BOOTSTRAP: u8 = 3;
const PENDING: u8 = 4;
const NEW: u8 = 5;

const NOT_LEADER: &str = "aborted: another node is performing database changes";

impl Command {
    pub fn execute(&self, settings: &Settings) -> Result<ExitCode, String> {
        let catalog = preflight::catalog(settings, &preflight::enabled_plugins(settings)?)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let mut server = database::server(settings)?;
            server.timeout = self.timeout.unwrap_or(server.timeout);
            let migrations = Migrations::connect(&server, &catalog).await.map_err(database::unreachable)?;
            let state = migrations.state().await.map_err(error)?;
            match self.action {
                Action::List => Ok(self.list(&state)),
                Action::Status => {
                    println!("{}", state.to_json());
                    Ok(ExitCode::SUCCESS)
                }
                Action::Bootstrap => self.bootstrap(&migrations, state).await,
                Action::Up => self.up(&migrations, state).await,
                Action::Finish => self.finish(&migrations, &state).await,
                Action::Reset => self.reset(&migrations, &state).await,
            }
        })
    }

    fn list(&self, state: &State) -> ExitCode {
        if state.needs_bootstrap {
            self.say(&database::needs_bootstrap());
            return ExitCode::from(NEEDS_BOOTSTRAP);
        }
        let program = Program::current().command();
        let mut gap = "";
        let lists = [
            ("Executed migrations:", &state.executed),
            ("Pending migrations:", &state.pending),
            ("New migrations available:", &state.new),
        ];
        for (title, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            self.say(&format!("{gap}{title}\n{}", Listed(list)));
            gap = "\n";
        }
        match (state.pending.is_empty(), state.new.is_empty()) {
            (true, true) => ExitCode::SUCCESS,
            (true, false) => {
                self.say(&format!("\nRun '{program} migrations up' to proceed"));
                ExitCode::from(NEW)
            }
            (false, true) => {
                self.say(&format!("\nRun '{program} migrations finish' when ready"));
                ExitCode::from(PENDING)
            }
            (false, false) => {
                self.say(&format!(
                    "\nDatabase has pending migrations from a previous upgrade, and new migrations from this upgrade \
                     (version {KONG_VERSION})\n\nRun '{program} migrations finish' when ready to complete pending \
                     migrations (PostgreSQL database will be incompatible with the previous Kong version)"
                ));
                ExitCode::from(PENDING)
            }
        }
    }

    async fn bootstrap(&self, migrations: &Migrations, mut state: State) -> Result<ExitCode, String> {
        if self.force && !state.needs_bootstrap {
            self.erase(migrations).await?;
            state = migrations.state().await.map_err(error)?;
        }
        if !state.needs_bootstrap {
            self.say("Database already bootstrapped");
            return Ok(ExitCode::SUCCESS);
        }
        self.say("Bootstrapping database...");
        let lock = self.lock.unwrap_or(LOCK_TIMEOUT);
        match migrations.bootstrap(lock, &mut |line| self.say(line)).await.map_err(error)? {
            true => self.say("Database is up-to-date"),
            false => self.say(NOT_LEADER),
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn up(&self, migrations: &Migrations, state: State) -> Result<ExitCode, String> {
        refuse_unprepared(&state)?;
        let program = Program::current().command();
        if !self.force && !state.pending.is_empty() {
            return Err(format!("Database has pending migrations; run '{program} migrations finish'"));
        }
        if state.new.is_empty() && !self.force {
            self.say("Database is already up-to-date");
            return Ok(ExitCode::SUCCESS);
        }
        let lock = self.lock.unwrap_or(LOCK_TIMEOUT);
        if !migrations.up(lock, self.force, &mut |line| self.say(line)).await.map_err(error)? {
            self.say(NOT_LEADER);
            return Ok(ExitCode::SUCCESS);
        }
        if !migrations.state().await.map_err(error)?.pending.is_empty() {
            self.say(&format!("\nDatabase has pending migrations; run '{program} migrations finish' when ready"));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn finish(&self, migrations: &Migrations, state: &State) -> Result<ExitCode, String> {
        refuse_unprepared(state)?;
        let lock = self.lock.unwrap_or(LOCK_TIMEOUT);
        if !migrations.finish(lock, self.force, &mut |line| self.say(line)).await.map_err(error)? {
            self.say(NOT_LEADER);
            return Ok(ExitCode::SUCCESS);
        }
        let program = Program::current().command();
        if !state.new.is_empty() {
            self.say(&format!("\nNew migrations available; run '{program} migrations up' to proceed"));
        } else if !self.force {
            // Kong says it after it has ended some, too.
            self.say("No pending migrations to finish");
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn reset(&self, migrations: &Migrations, state: &State) -> Result<ExitCode, String> {
        if !self.yes {
            if !std::io::stdin().is_terminal() {
                return Err("not a tty: invoke 'reset' non-interactively with the --yes flag".to_owned());
            }
            if !state.needs_bootstrap && !confirmed() {
                self.say("cancelled");
                return Ok(ExitCode::SUCCESS);
            }
        }
        if state.needs_bootstrap {
            self.say("Database not bootstrapped, nothing to reset");
            return Ok(ExitCode::FAILURE);
        }
        self.erase(migrations).await?;
        Ok(ExitCode::SUCCESS)
    }

    async fn erase(&self, migrations: &Migrations) -> Result<(), String> {
        self.say("Resetting database...");
        migrations.reset().await.map_err(error)?;
        self.say("Database successfully reset");
        Ok(())
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            println!("{line}");
        }
    }
}

fn refuse_unprepared(state: &State) -> Result<(), String> {
    match state.needs_bootstrap {
        true => Err(format!("Cannot run migrations: {}", database::needs_bootstrap())),
        false => Ok(()),
    }
}

/// Asks the person at the terminal, three times at most.
fn confirmed() -> bool {
    for _ in 0..3 {
        print!("> Are you sure? This operation is irreversible. [y/n] ");
        let _ = std::io::stdout().flush();
        let mut answer = String::new();
        if std::io::stdin().lock().read_line(&mut answer).is_err() {
            return false;
        }
        match answer.trim() {
            "y" | "Y" | "yes" | "YES" => return true,
            "n" | "N" | "no" | "NO" => return false,
            _ => {}
        }
    }
    false
}

fn error(error: model::Error) -> String {
    database::postgres_error(&error)
}
