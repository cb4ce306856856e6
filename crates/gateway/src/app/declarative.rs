//! The configuration of a node without a database: the file that the settings name, and what was loaded last, which is
//! kept in the prefix.

use crate::settings::Settings;
use base64::Engine;
use model::{Catalog, declarative};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::declarative::{Document, Entities, Notation};
use store::{Revision, Store};

/// What was loaded last.
const KEPT: &str = "dbless.db";

/// Where a configuration comes from.
enum Source {
    File(String),
    Text(String),
}

/// Reads the configuration that the settings name: its records and its hash. `None`: they name none. The error is in
/// Kong's words.
pub fn read(settings: &Settings, catalog: &Catalog) -> Result<Option<(Entities, String)>, String> {
    let Some(source) = Source::of(settings) else { return Ok(None) };
    let read = match &source {
        Source::File(path) => document_of(Path::new(path)),
        Source::Text(text) => Document::parse(text, Notation::Either).map_err(|rejection| rejection.describe()),
    };
    let entities = read.and_then(|mut document| match document.read(catalog) {
        Ok(entities) => Ok((entities, document.hash().to_owned())),
        Err(rejection) => Err(rejection.describe()),
    });
    entities.map(Some).map_err(|why| match source {
        Source::File(path) => format!("error parsing declarative config file {path}:\n{why}"),
        // There may be secrets in the text.
        Source::Text(_) => format!("error parsing declarative string:\n{why}"),
    })
}

/// Where the configuration is that was loaded last.
pub fn kept(settings: &Settings) -> PathBuf {
    settings.path(KEPT)
}

/// Reads a file as its name says.
pub fn document_of(path: &Path) -> Result<Document, String> {
    let name = path.to_string_lossy();
    let notation = Notation::of_file(&name).ok_or_else(|| declarative::unknown_file_type(&name))?;
    let text = std::fs::read_to_string(path).map_err(|e| format!("{name}: {}", reason(&e)))?;
    Document::parse(&text, notation).map_err(|rejection| rejection.describe())
}

/// Opens the store of a node without a database, with the configuration in it that the settings name, or the one that
/// was loaded last.
pub async fn open(settings: &Settings, catalog: Arc<Catalog>) -> Result<Store, String> {
    let path = kept(settings);
    let failed = |e: model::Error| format!("cannot open {}, where the last configuration is kept: {e}", path.display());
    let wanted = blocking(settings, &catalog).await?;
    let store = match (Store::open_sqlite(Arc::clone(&catalog), &path).await, &wanted) {
        (Ok(store), _) => store,
        (Err(error), None) => return Err(failed(error)),
        (Err(error), Some(_)) => {
            tracing::warn!("{}; it is replaced by the one that the settings name", failed(error));
            remove(&path).map_err(|e| format!("cannot remove {}: {e}", path.display()))?;
            Store::open_sqlite(catalog, &path).await.map_err(failed)?
        }
    };
    match wanted {
        Some(wanted) => drop(load(settings, &store, wanted).await?),
        None => {
            let hash = store.configuration_hash().await.map_err(failed)?;
            tracing::info!("serving the configuration that was loaded last, {hash}");
        }
    }
    Ok(store)
}

/// As [`read`], from where nothing may block.
pub async fn blocking(settings: &Settings, catalog: &Arc<Catalog>) -> Result<Option<(Entities, String)>, String> {
    let (settings, catalog) = (settings.clone(), Arc::clone(catalog));
    let read = tokio::task::spawn_blocking(move || read(&settings, &catalog)).await;
    read.unwrap_or_else(|e| Err(format!("cannot read the declarative configuration: {e}")))
}

/// Puts a configuration in the place of the one that is kept; the revision at which it is.
pub async fn load(
    settings: &Settings,
    store: &Store,
    (entities, hash): (Entities, String),
) -> Result<Revision, String> {
    let loaded = async {
        let records = Arc::new(store.prepare(entities).await?);
        store.replace(records, &hash).await
    };
    let revision = loaded.await.map_err(|e| format!("cannot load the declarative configuration: {e}"))?;
    if let Some(Source::File(path)) = Source::of(settings) {
        tracing::info!("declarative config loaded from {path}");
    }
    Ok(revision)
}

impl Source {
    fn of(settings: &Settings) -> Option<Source> {
        let text = |name| Some(settings.text(name)).filter(|text| !text.is_empty()).map(str::to_owned);
        let file = text("declarative_config").map(Source::File);
        file.or_else(|| text("declarative_config_string").map(|text| Source::Text(decoded(text))))
    }
}

/// The settings of a running node are kept one to a line, texts of several lines in base64.
fn decoded(text: String) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(&text).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(text)
}

/// Removes a SQLite file with what belongs to it.
pub fn remove(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// What the system says, without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(reason, _)| reason.to_owned())
}
