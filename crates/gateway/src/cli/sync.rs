//! `bascule dump`, `diff` and `sync`: the configuration of a node, this one or another, and a file of it.

use super::admin_api::AdminApi;
use super::{Outcome, Verbosity};
use crate::app::preflight;
use crate::sync::{Change, Desired, Plan, Remote, State, Step, dump};
use model::{Catalog, Record};
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write a node's configuration into a file that `diff` and `sync` (and decK) read
#[derive(clap::Args)]
pub struct Dump {
    /// The file; `-` is standard output
    #[arg(default_value = "kong.yaml")]
    file: PathBuf,
    /// Write over a file that is there
    #[arg(short, long)]
    yes: bool,
    /// Keep the ids of records that have names
    #[arg(long)]
    with_id: bool,
    #[command(flatten)]
    target: Target,
}

/// Say how a node's configuration differs from a file
#[derive(clap::Args)]
pub struct Diff {
    /// The file; `-` is standard input
    #[arg(default_value = "kong.yaml")]
    file: PathBuf,
    /// End with 2 when there are differences
    #[arg(long)]
    non_zero_exit_code: bool,
    #[command(flatten)]
    target: Target,
}

/// Make a node's configuration that of a file
#[derive(clap::Args)]
pub struct Sync {
    /// The file; `-` is standard input
    #[arg(default_value = "kong.yaml")]
    file: PathBuf,
    #[command(flatten)]
    target: Target,
}

/// Whose configuration it is.
#[derive(clap::Args)]
struct Target {
    #[command(flatten)]
    api: AdminApi,
    /// One workspace [default: that of the file, else `default`]
    #[arg(short, long, value_name = "NAME")]
    workspace: Option<String>,
    /// Only what has this tag; several: what has all of them [default: those of the file]
    #[arg(long = "select-tag", value_name = "TAG")]
    select_tags: Vec<String>,
}

impl Dump {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        let to_file = self.file != Path::new("-");
        if to_file && self.file.exists() && !self.yes {
            return Err(format!("{} already exists. Use --yes to write over it.", self.file.display()));
        }
        let (catalog, tags) = (self.target.catalog(verbosity)?, &self.target.select_tags);
        let workspace = self.target.workspace.as_deref();
        let state = run(async {
            let remote = self.target.api.remote(workspace, verbosity)?;
            State::fetch(&remote, &catalog, tags).await
        })?;
        let text = dump(&state, &catalog, workspace, tags, self.with_id);
        if to_file {
            // There are keys and credentials in it.
            crate::app::prefix::write_private(&self.file, &text)
                .map_err(|e| format!("cannot write {}: {e}", self.file.display()))?;
        } else {
            print(&text);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Diff {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        let Planned { plan, new_workspace, .. } = run(self.target.plan(&self.file, verbosity))?;
        let mut text = new_workspace.as_deref().map(creating_workspace).unwrap_or_default();
        text.extend(plan.steps.iter().map(|step| described(step) + "\n"));
        print(&(text + &summary(&plan)));
        let differs = new_workspace.is_some() || !plan.steps.is_empty();
        Ok(if self.non_zero_exit_code && differs { ExitCode::from(2) } else { ExitCode::SUCCESS })
    }
}

impl Sync {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        let shown = std::io::stderr().is_terminal();
        let plan = run(async {
            let Planned { plan, remote, new_workspace } = self.target.plan(&self.file, verbosity).await?;
            if let Some(name) = &new_workspace {
                print(&creating_workspace(name));
                let workspace = Record::from_iter([("name".to_owned(), name.as_str().into())]);
                self.target.api.remote(None, verbosity)?.send("POST", "/workspaces", Some(&workspace)).await?;
            }
            let all = plan.steps.len();
            for (done, step) in plan.steps.iter().enumerate() {
                print(&(described(step) + "\n"));
                let taken = step.take(&remote).await;
                taken.map_err(|e| format!("{e}\n{done} of {all} changes were made; mend that, and run it again"))?;
                if shown {
                    eprint!("{} of {all}\r", done + 1);
                }
            }
            Ok(plan)
        })?;
        print(&summary(&plan));
        Ok(ExitCode::SUCCESS)
    }
}

/// What makes a node like a file.
struct Planned {
    plan: Plan,
    remote: Remote,
    /// The file's workspace, where it is to be made first.
    new_workspace: Option<String>,
}

impl Target {
    /// What makes the node like the file, and the node.
    async fn plan(&self, file: &Path, verbosity: Verbosity) -> Result<Planned, String> {
        let catalog = self.catalog(verbosity)?;
        let mut desired = Desired::read(file, &catalog)?;
        let workspace = self.workspace.clone().or_else(|| desired.workspace.take());
        let tags = match self.select_tags.as_slice() {
            [] => desired.select_tags.clone(),
            given if desired.select_tags.is_empty() || given == desired.select_tags => given.to_vec(),
            _ => return Err("the file has other select_tags than the command line".to_owned()),
        };
        let remote = self.api.remote(workspace.as_deref(), verbosity)?;
        // One that the command line names must be there: it may be misspelt.
        let new_workspace = match workspace.filter(|_| self.workspace.is_none()) {
            Some(name) if !remote.is_there().await? => {
                self.api.remote(None, verbosity)?.check().await?;
                Some(name)
            }
            _ => None,
        };
        let current = match &new_workspace {
            Some(_) => State::default(),
            None => State::fetch(&remote, &catalog, &tags).await?,
        };
        Ok(Planned { plan: Plan::new(&current, desired, &catalog)?, remote, new_workspace })
    }

    /// The entities that are known here.
    fn catalog(&self, verbosity: Verbosity) -> Result<Catalog, String> {
        let settings = self.api.settings(verbosity)?;
        preflight::catalog(&settings, &preflight::enabled_plugins(&settings)?)
    }
}

/// Runs what waits for a node.
pub(super) fn run<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| format!("cannot start a runtime: {e}"))?.block_on(work)
}

fn creating_workspace(name: &str) -> String {
    format!("creating workspace {name}\n")
}

/// One step, as decK says it; secrets are not shown.
fn described(step: &Step) -> String {
    let verb = match step.kind {
        Change::Create => "creating",
        Change::Update => "updating",
        Change::Delete => "deleting",
    };
    let entity = step.entity.trim_end_matches('s').replace('_', "-");
    let mut text = format!("{verb} {entity} {}", step.name);
    for (field, is, is_to_be) in &step.fields {
        text.push_str(&format!("\n  {field}: {} → {}", shown(field, is), shown(field, is_to_be)));
    }
    text
}

fn shown(field: &str, value: &Value) -> String {
    const SECRETS: [&str; 7] = ["key", "secret", "password", "client_secret", "config", "jwk", "pem"];
    if SECRETS.contains(&field) && !value.is_null() { "…".to_owned() } else { value.to_string() }
}

fn summary(plan: &Plan) -> String {
    let count = |kind| plan.count(kind);
    let (created, updated, deleted) = (count(Change::Create), count(Change::Update), count(Change::Delete));
    format!("Summary:\n  Created: {created}\n  Updated: {updated}\n  Deleted: {deleted}\n")
}

/// A reader that has seen enough is no error.
pub(super) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
