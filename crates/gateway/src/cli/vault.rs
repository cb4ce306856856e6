//! `bascule vault`: what a reference to a vault stands for.

use super::config::{settings, with_store};
use super::{Outcome, Place, Verbosity};
use crate::app::{self, declarative, preflight};
use crate::program::Program;
use crate::settings::{Settings, in_full, is_kind, referred_to};
use clap::ValueEnum;
use model::{Error, Record};
use std::process::ExitCode;
use std::sync::Arc;
use store::{PageQuery, Scope, Store};

/// Look into vaults
#[derive(clap::Args)]
pub struct Vault {
    command: Action,
    /// `{vault://hcv/NAME/KEY}`, or the part between the slashes and the brace
    reference: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    /// Print what a reference stands for: `bascule vault get env/NAME`
    Get,
}

impl Vault {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        let Vault { command: Action::Get, reference, place } = self;
        let reference = reference.as_deref().ok_or_else(|| {
            let program = Program::current().command();
            format!("the 'get' command needs a <reference> argument \n{program} vault get <reference>")
        })?;
        let reference = in_full(reference);
        let vault = vaults::Reference::parse(&reference)?.vault;
        // Settings configure those that are called as their kind, records all others.
        let records = match is_kind(&vault, &place.sources())? {
            true => Vec::new(),
            false => records(place, verbosity)?,
        };
        println!("{}", referred_to(&reference, &place.sources(), &records)?);
        Ok(ExitCode::SUCCESS)
    }
}

/// The vaults that the node knows.
fn records(place: &Place, verbosity: Verbosity) -> Result<Vec<Record>, String> {
    let settings = settings(place, verbosity)?;
    if settings.dbless() {
        return declared(&settings);
    }
    if settings.text("database") == "sqlite" && !settings.path(app::DATABASE).exists() {
        return Ok(Vec::new());
    }
    with_store(&settings, stored)
}

/// Those of the configuration that was loaded last, else of the one that the settings name.
fn declared(settings: &Settings) -> Result<Vec<Record>, String> {
    let catalog = Arc::new(preflight::catalog(settings, &preflight::enabled_plugins(settings)?)?);
    let kept = declarative::kept(settings);
    if !kept.exists() {
        let entities = declarative::read(settings, &catalog)?.map(|(entities, _)| entities.lists);
        let vaults = entities.into_iter().flatten().filter(|(entity, _)| entity == "vaults");
        return Ok(vaults.flat_map(|(_, declared)| declared).map(|declared| declared.record).collect());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async { stored(Store::open_sqlite(catalog, &kept).await?).await }).map_err(|e| e.to_string())
}

async fn stored(store: Store) -> Result<Vec<Record>, Error> {
    let store = store.of(Scope::All);
    let mut query = PageQuery { size: 1000, ..PageQuery::default() };
    let mut records = Vec::new();
    loop {
        let page = store.page("vaults", &query).await?;
        records.extend(page.data);
        match page.offset {
            Some(offset) => query.offset = Some(offset),
            None => return Ok(records),
        }
    }
}
