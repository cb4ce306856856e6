//! `bascule config`: declarative files, checked, loaded into a database and written from one.

use super::{Outcome, Place, Verbosity};
use crate::app::{self, database, declarative, prefix, preflight};
use crate::program::Program;
use crate::settings::{Settings, Sources};
use clap::ValueEnum;
use model::{Code, Error};
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::declarative::Entities;
use store::{PageQuery, Scope, Store};
use uuid::Uuid;

/// Use declarative files
#[derive(clap::Args)]
pub struct Config {
    command: Action,
    /// The file [default for init and db_export: ./kong.yml]
    file: Option<PathBuf>,
    /// The workspace that db_export writes: a file is about one [default: default]
    #[arg(long)]
    workspace: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Action {
    /// Write an example to get started with
    Init,
    /// Say whether a file is valid
    Parse,
    /// Load a file into the database, over what is there
    #[value(name = "db_import", alias = "db-import")]
    DbImport,
    /// Write the database into a file
    #[value(name = "db_export", alias = "db-export")]
    DbExport,
}

const DEFAULT_FILE: &str = "kong.yml";
const EXAMPLE: &str = include_str!("kong.yml");
/// How often progress is shown.
const TICK: Duration = Duration::from_millis(200);

impl Config {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        match self.command {
            Action::Init => self.init()?,
            Action::Parse => {
                self.parse(&self.settings(verbosity)?)?;
                println!("parse successful");
            }
            Action::DbImport => self.import(verbosity)?,
            Action::DbExport => self.export(verbosity)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn init(&self) -> Result<(), String> {
        let path = self.output()?;
        create(&path, 0o644)?.write_all(EXAMPLE.as_bytes()).map_err(|e| format!("cannot write {}: {e}", path.display()))
    }

    fn import(&self, verbosity: Verbosity) -> Result<(), String> {
        let settings = self.settings(verbosity)?;
        if settings.dbless() {
            return Err(format!(
                "'{} config db_import' only works with a database.\nWhen using database=off, reload your declarative \
                 configuration\nusing the /config endpoint.",
                Program::current().command()
            ));
        }
        let entities = self.parse(&settings)?;
        println!("parse successful, beginning import");
        prefix::prepare(&settings)?;
        let total = entities.len();
        let named: Vec<String> = entities.lists.iter().map(|(entity, _)| entity.clone()).collect();
        with_store(&settings, async |store| {
            if let Some(entity) = named.iter().find(|entity| is_guarded(&store, entity)) {
                let why = "are written by functions of their plugin (dao), which only a running node has: send them to \
                           its Admin API (sync does)";
                return Err(Error::new(Code::OperationUnsupported, format!("records of {entity} {why}")));
            }
            let records = store.prepare(entities).await?;
            store.import(records, progress("imported", total)).await.map(drop)
        })
        .map_err(|e| format!("Failed importing:\n{e}"))?;
        println!("import successful");
        Ok(())
    }

    fn export(&self, verbosity: Verbosity) -> Result<(), String> {
        let settings = self.settings(verbosity)?;
        if settings.dbless() {
            return Err(format!("'{} config db_export' only works with a database.", Program::current().command()));
        }
        let path = self.output()?;
        if settings.text("database") == "sqlite" && !settings.path(app::DATABASE).exists() {
            return Err(format!("there is no database in {}", settings.prefix.display()));
        }
        let name = self.workspace.as_deref().unwrap_or("default");
        // There are keys and credentials in it.
        let create = || create(&path, 0o600);
        let others = with_store(&settings, async |store| {
            let workspaces = workspaces(&store).await?;
            let Some((_, id)) = workspaces.iter().find(|(known, _)| known == name) else {
                return Ok(Err(format!("there is no workspace '{name}'")));
            };
            let file = match create() {
                Ok(file) => file,
                Err(error) => return Ok(Err(error)),
            };
            store.of(Scope::Workspace(*id)).export(Some(file)).await?;
            let others = workspaces.into_iter().map(|(name, _)| name).filter(|other| other != name);
            Ok(Ok(others.collect::<Vec<_>>()))
        })??;
        if !others.is_empty() {
            let others = others.join(", ");
            super::tell(&format!(
                "The file has the workspace '{name}' only, and not: {others} (--workspace NAME writes another)"
            ));
        }
        Ok(())
    }

    /// The records of the file that the command names.
    fn parse(&self, settings: &Settings) -> Result<Entities, String> {
        let file = self.file.as_ref();
        let file = file.ok_or_else(|| {
            let program = Program::current().command();
            format!("expected a declarative configuration file; see `{program} config --help`")
        })?;
        let path = absolute(file)?;
        let catalog = preflight::catalog(settings, &preflight::enabled_plugins(settings)?)?;
        let read = declarative::document_of(&path)
            .and_then(|mut document| document.read(&catalog).map_err(|rejection| rejection.describe()));
        read.map_err(|why| format!("Failed parsing:\n{why}"))
    }

    fn output(&self) -> Result<PathBuf, String> {
        absolute(self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE)))
    }

    fn settings(&self, verbosity: Verbosity) -> Result<Settings, String> {
        settings(&self.place, verbosity)
    }
}

/// The workspaces of a database, by name.
async fn workspaces(store: &Store) -> Result<Vec<(String, Uuid)>, Error> {
    let (mut found, mut query) = (Vec::new(), PageQuery { size: 1000, ..PageQuery::default() });
    loop {
        let page = store.of(Scope::All).page("workspaces", &query).await?;
        found.extend(page.data.iter().filter_map(|record| {
            let text = |field: &str| record.get(field).and_then(Value::as_str);
            Some((text("name")?.to_owned(), text("id")?.parse().ok()?))
        }));
        match page.offset {
            Some(next) => query.offset = Some(next),
            None => return Ok(found),
        }
    }
}

/// The settings of the node in the prefix, where one has been started; else those that the command names.
pub(super) fn settings(place: &Place, verbosity: Verbosity) -> Result<Settings, String> {
    let named = place.load(verbosity)?;
    let own = named.own_file();
    if !own.exists() {
        return Ok(named);
    }
    let sources = Sources { file: Some(own), ..place.sources() };
    Settings::load(&sources).map_err(|errors| errors.join("\n"))
}

/// Works on the database of a prefix, with which nodes may run: they take note of what is written.
pub(super) fn with_store<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(Store) -> Result<T, model::Error>,
) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let catalog = Arc::new(preflight::catalog(settings, &preflight::enabled_plugins(settings)?)?);
    runtime.block_on(async {
        // A node that runs with that prefix hears of it as of another's.
        let store = database::open(settings, catalog, Uuid::new_v4()).await?;
        work(store).await.map_err(|e| e.to_string())
    })
}

/// Shows how many records of all are done, where somebody looks.
fn progress(done: &'static str, total: usize) -> impl FnMut(usize) + Send + 'static {
    let shown = std::io::stderr().is_terminal();
    let mut next = Instant::now() + TICK;
    move |count| {
        if shown && (count == total || Instant::now() >= next) {
            next = Instant::now() + TICK;
            eprint!("\r{done} {count} of {total}{}", if count == total { "\n" } else { "" });
        }
    }
}

/// A new file; one that is there is left alone.
/// Whether a plugin has a function of its own for what an import does: what that checks must not be passed by.
fn is_guarded(store: &Store, entity: &str) -> bool {
    store.catalog().entity(entity).is_some_and(|schema| schema.replaces("upsert"))
}

fn create(path: &Path, mode: u32) -> Result<std::fs::File, String> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => format!("{} already exists. Will not overwrite it.", path.display()),
        _ => format!("cannot write {}: {e}", path.display()),
    })
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|e| format!("{}: {e}", path.display()))
}
