//! From the store to the proxy: takes committed changes into force and says how far it has come.
//!
//! Writes that come in a burst are taken together: while one batch is compiled, the next one gathers in the feed.
//! Whatever fails is tried again, and until then the proxy goes on with what it has.

use super::lua;
use super::plane::Plane;
use super::references::References;
use model::{Code, Degradation, Degraded, Effect, Error, Record};
use proxy::{Change, Replacement};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use store::{Follower, Revision, Store};
use tokio::sync::watch;
use uuid::Uuid;

/// The one task that changes what the proxy serves.
pub struct Publisher {
    store: Store,
    plane: Arc<Plane>,
    feed: Follower,
    references: References,
    progress: watch::Sender<Progress>,
    /// A change could not be compiled, or what is served is a copy: all records are wanted anew.
    anew: bool,
    /// The database did not answer, which it says itself: they are read as soon as there is something new.
    unread: bool,
}

/// How far the proxy has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The newest revision that requests see.
    pub applied: Revision,
    /// The newest one that was tried: more than `applied` while it cannot be compiled.
    pub tried: Revision,
    /// Why there is nothing newer, if there should be.
    pub failure: Option<String>,
    /// Plugins that go without secrets.
    unresolved: Vec<Arc<Degradation>>,
}

/// Everything there is, on its way in.
struct Loading {
    replacement: Replacement,
    enabled: Vec<&'static str>,
    /// What references concern is taken when all of it is there.
    kept_back: Vec<(String, Record)>,
    /// A plugin that a record names and this node does not have.
    not_enabled: Option<String>,
}

/// What failed is tried again after the first of these times, then twice as long each time up to the second.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// How often it is said what cannot be done as configured.
const REMINDER: Duration = Duration::from_secs(60);

impl Publisher {
    /// Takes everything there is into force; `kept` has it while the database is away. `enabled` are the plugins of
    /// this node.
    pub async fn start(
        store: Store,
        kept: Option<Store>,
        plane: Arc<Plane>,
        mut references: References,
        enabled: Vec<&'static str>,
    ) -> Result<Publisher, String> {
        let mut feed = store.follow();
        let loaded = load(kept.as_ref().unwrap_or(&store), &plane, &mut references, enabled).await;
        let (revision, loading) = loaded.map_err(unreadable)?;
        let revision = if kept.is_none() { revision } else { Revision::default() };
        if let Some(name) = loading.not_enabled {
            return Err(format!("error building initial plugins: {name} plugin is in use but not enabled"));
        }
        compile(&plane, move |plane| plane.replace(loading.replacement)).await?;
        feed.taken(revision);
        let progress =
            Progress { applied: revision, tried: revision, failure: None, unresolved: references.degraded() };
        let (progress, anew) = (watch::Sender::new(progress), kept.is_some());
        Ok(Publisher { store, plane, feed, references, progress, anew, unread: false })
    }

    /// How far it has come.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Follows the store for ever.
    pub async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        loop {
            self.unread = false;
            match self.catch_up().await {
                Ok(()) => {
                    retry = FIRST_RETRY;
                    tokio::select! {
                        () = self.feed.changed() => {}
                        () = self.references.changed() => {}
                    }
                }
                Err(failure) => {
                    if !self.unread {
                        tracing::error!("the proxy goes on with the configuration that it has: {failure}");
                    }
                    self.progress.send_modify(|progress| progress.failure = Some(failure));
                    tokio::select! {
                        () = tokio::time::sleep(retry) => {}
                        () = self.feed.changed(), if self.unread => {}
                    }
                    retry = (retry * 2).min(LAST_RETRY);
                }
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), String> {
        loop {
            let from = self.progress.borrow().applied;
            let renewed = self.references.renewed();
            let revision = match self.feed.changes() {
                Some((revision, commits)) if !self.anew => {
                    if revision == from && renewed.is_empty() {
                        return Ok(());
                    }
                    lua::forget(self.store.catalog(), &commits);
                    let mut changes = self.references.take(commits.clone()).await;
                    changes.insert(0, renewed);
                    let applied = compile(&self.plane, move |plane| plane.apply(&changes)).await;
                    self.anew |= applied.is_err();
                    applied?;
                    lua::removed(&commits);
                    revision
                }
                _ => {
                    let loaded = load(&self.store, &self.plane, &mut self.references, Vec::new()).await;
                    self.unread = loaded.as_ref().is_err_and(|error| error.code == Code::DatabaseUnavailable);
                    let (revision, loading) = loaded.map_err(unreadable)?;
                    lua::forget_all();
                    let before = lua::instances_so_far();
                    let replaced = compile(&self.plane, move |plane| plane.replace(loading.replacement)).await;
                    if replaced.is_err() {
                        self.progress.send_modify(|progress| progress.tried = revision);
                    }
                    replaced?;
                    lua::replaced(before);
                    self.anew = false;
                    revision
                }
            };
            self.feed.taken(revision);
            let unresolved = self.references.degraded();
            self.progress.send_replace(Progress { applied: revision, tried: revision, failure: None, unresolved });
        }
    }
}

impl Progress {
    /// What cannot be taken, and plugins that go without secrets.
    pub fn degraded(&self) -> Vec<Arc<Degradation>> {
        let stale = self.failure.clone().map(|reason| {
            let (entity, id) = ("configuration".to_owned(), Uuid::nil());
            Arc::new(Degradation { entity, id, name: None, effect: Effect::Stale, reason })
        });
        stale.into_iter().chain(self.unresolved.iter().cloned()).collect()
    }
}

/// Says again and again what limits the plugins that are in force.
pub async fn remind(plane: Arc<Plane>) {
    loop {
        tokio::time::sleep(REMINDER).await;
        let all = plane.degraded();
        for Degraded { sample, count, ids } in Degraded::summary(all.iter().map(Arc::as_ref)) {
            if sample.effect == Effect::Limited {
                let first = ids.first().copied().unwrap_or_default();
                let (plugin, reason) = (sample.name.as_deref().unwrap_or_default(), &sample.reason);
                tracing::warn!(plugin, records = count, %first, "a plugin does less than its configuration says: \
                    {reason}");
            }
        }
    }
}

/// Reads everything there is, record by record.
async fn load(
    store: &Store,
    plane: &Plane,
    references: &mut References,
    enabled: Vec<&'static str>,
) -> Result<(Revision, Loading), Error> {
    let loading = Loading { replacement: plane.replacement(), enabled, kept_back: Vec::new(), not_enabled: None };
    let (revision, mut loading) = store.replay(loading, Loading::take).await?;
    for store::Change { entity, record, .. } in references.load(std::mem::take(&mut loading.kept_back)).await {
        loading.replacement.take(&Change { deleted: false, entity: &entity, record: &record });
    }
    Ok((revision, loading))
}

fn unreadable(error: Error) -> String {
    format!("cannot read the configuration: {error}")
}

/// Compiling may take its time: not on a thread that answers the Admin API.
async fn compile(
    plane: &Arc<Plane>,
    compile: impl FnOnce(&Plane) -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    let plane = Arc::clone(plane);
    let compiled = tokio::task::spawn_blocking(move || compile(&plane)).await;
    compiled.unwrap_or_else(|e| Err(e.to_string())).map_err(|e| format!("cannot compile the configuration: {e}"))
}

impl Loading {
    fn take(&mut self, entity: &str, record: &Record) {
        if entity == "plugins" && self.not_enabled.is_none() {
            let name = record.get("name").and_then(Value::as_str).unwrap_or_default();
            self.not_enabled = Some(name.to_owned()).filter(|_| !self.enabled.contains(&name));
        }
        match References::concern(entity, record) {
            true => self.kept_back.push((entity.to_owned(), record.clone())),
            false => self.replacement.take(&Change { deleted: false, entity, record }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::access_logs::AccessLogs;
    use crate::app::preflight;
    use crate::settings::{Settings, Sources};
    use model::Catalog;
    use sdk::{Env, Phases, Plugin, PluginKind};
    use serde_json::json;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::runtime::Handle;

    /// A plugin that cannot be configured, and panics where nobody expects it, while it is switched on.
    struct Nuisance;

    static ON: AtomicBool = AtomicBool::new(false);

    impl PluginKind for Nuisance {
        fn name(&self) -> &'static str {
            "nuisance"
        }

        fn priority(&self) -> i32 {
            assert!(!ON.load(Ordering::SeqCst), "nobody expects this");
            1
        }

        fn schema(&self) -> &'static str {
            r#"{"name": "nuisance", "fields": [{"config": {"type": "record", "fields": []}}]}"#
        }

        fn configure(&self, _: &sdk::entities::Plugin, _: &Env) -> Result<Box<dyn Plugin>, String> {
            if ON.load(Ordering::SeqCst) { Err("not now".to_owned()) } else { Ok(Box::new(Nuisance)) }
        }
    }

    impl Plugin for Nuisance {
        fn phases(&self) -> Phases {
            Phases::NONE
        }
    }

    fn record(value: Value) -> Record {
        value.as_object().unwrap().clone()
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_and_nothing_is_forgotten() {
        const KINDS: &[&dyn PluginKind] = &[&Nuisance];
        let prefix = tempfile::tempdir().unwrap();
        let file = prefix.path().join("kong.conf");
        std::fs::write(&file, "proxy_listen = 127.0.0.1:0").unwrap();
        let overrides = vec![("prefix", prefix.path().display().to_string())];
        let settings = Settings::load(&Sources { file: Some(file), overrides, ..Sources::default() }).unwrap();
        let logs = AccessLogs::default();
        let inherited = &mut proxy::listener::Inherited::default();
        let plane = Plane::bind(&settings, KINDS, Env::default(), Handle::current(), &logs, inherited).unwrap();
        let plane = Arc::new(plane);
        let mut catalog = Catalog::core();
        sdk::register(&Nuisance, &mut catalog).unwrap();
        let catalog = Arc::new(catalog);
        let references =
            References::new(preflight::secrets(&settings, &catalog, Env::default()).unwrap(), catalog.clone());
        let store = Store::memory(catalog).unwrap();
        let enabled = vec!["nuisance"];
        let publisher = Publisher::start(store.clone(), None, Arc::clone(&plane), references, enabled).await.unwrap();
        let mut progress = publisher.progress();
        tokio::spawn(publisher.run());
        ON.store(true, Ordering::SeqCst);
        let first = store.insert("plugins", record(json!({"name": "nuisance"}))).await.unwrap().revision;
        let stuck = progress.wait_for(|at| at.tried >= first).await.unwrap().clone();
        assert!(stuck.applied < first);
        assert!(stuck.degraded()[0].reason.contains("nobody expects this"), "{stuck:?}");
        let input = record(json!({"name": "s", "host": "h.test", "protocol": "http"}));
        let second = store.insert("services", input).await.unwrap().revision;
        assert!(plane.degraded().is_empty(), "the former configuration goes on, whole");
        ON.store(false, Ordering::SeqCst);
        let done = progress.wait_for(|at| at.applied >= second).await.unwrap().clone();
        assert_eq!(done.failure, None);
        assert_eq!(plane.degraded(), []);
    }
}
