//! The values of references: looked up once, kept, and looked up again when their time is over.

use crate::reference::shown;
use crate::source::{Lifetimes, Located, Sources};
use crate::{Reference, Secret, Vault};
use futures_util::future::{BoxFuture, join_all};
use model::Record;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

/// The secrets that a node uses. Clones share them.
#[derive(Clone)]
pub struct Secrets(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Something may have to be looked up sooner than it seemed.
    wake: Notify,
    /// A value has changed.
    changed: Notify,
}

struct State {
    sources: Sources,
    /// Vaults that have been asked, by kind and configuration.
    open: HashMap<String, Arc<dyn Vault>>,
    known: BTreeMap<String, Known>,
    /// References whose values have changed, until somebody takes note.
    changed: BTreeSet<String>,
}

/// What is known of a reference.
struct Known {
    value: Option<String>,
    /// Why the last look-up failed, if it did.
    failure: Option<String>,
    /// When to look it up again.
    due: Option<Instant>,
    /// From when on a value that could not be renewed is not used any more.
    end: Option<Instant>,
    /// How long to wait after the next failure.
    retry: Duration,
}

/// What a look-up has found.
struct Found {
    reference: String,
    value: Result<String, String>,
    lifetimes: Option<Lifetimes>,
}

/// What one look-up for somebody has come to.
#[derive(Debug)]
pub struct Fetched {
    pub value: Result<String, String>,
    /// How long that holds.
    pub lifetimes: Lifetimes,
}

/// How long a change of the configuration waits for new secrets. What takes longer follows by itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// What failed is tried again after the first of these times, then twice as long each time up to the second.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// What comes due within this time is looked up together: parts of one secret change at once.
const TOGETHER: Duration = Duration::from_secs(1);

impl Secrets {
    /// Nothing is known yet.
    pub fn new(sources: Sources) -> Secrets {
        let (open, known) = (HashMap::new(), BTreeMap::new());
        let state = Mutex::new(State { sources, open, known, changed: BTreeSet::new() });
        Secrets(Arc::new(Inner { state, wake: Notify::new(), changed: Notify::new() }))
    }

    /// Takes records of `vaults` in place of those there were. What was known by way of those that are not the same has
    /// to be learned again; their prefixes.
    pub fn set_vaults<'r>(&self, records: impl Iterator<Item = &'r Record>) -> Vec<String> {
        let mut state = self.state();
        let differ = state.sources.replace(records);
        if !differ.is_empty() {
            state.open.clear();
            let stays = |text: &str| Reference::parse(text).is_ok_and(|of| !differ.contains(&of.vault));
            state.known.retain(|reference, _| stays(reference));
        }
        differ
    }

    /// Looks up what is not known yet, and waits for that, but not for long.
    pub async fn learn(&self, references: &BTreeSet<String>) {
        let unknown: Vec<String> = {
            let state = self.state();
            references.iter().filter(|reference| !state.known.contains_key(*reference)).cloned().collect()
        };
        if unknown.is_empty() {
            return;
        }
        let found = timeout(PATIENCE, self.look_up(&unknown)).await.unwrap_or_else(|_| {
            let late = || Err("the vault takes too long".to_owned());
            unknown.iter().map(|text| Found { reference: text.clone(), value: late(), lifetimes: None }).collect()
        });
        let mut state = self.state();
        for one in found {
            let known = state.known.entry(one.reference.clone()).or_insert_with(Known::nothing);
            known.take(one);
        }
        self.0.wake.notify_one();
    }

    /// The value of a reference that has been learned, or why there is none.
    pub fn value(&self, reference: &str) -> Result<String, String> {
        let state = self.state();
        let known = state.known.get(reference).ok_or("not looked up yet")?;
        known.value.clone().ok_or_else(|| known.failure.clone().unwrap_or_default())
    }

    /// Forgets all but these references.
    pub fn retain(&self, used: &BTreeSet<String>) {
        let mut state = self.state();
        state.known.retain(|reference, _| used.contains(reference));
        state.changed.retain(|reference| used.contains(reference));
    }

    /// Waits until values have changed.
    pub async fn changed(&self) {
        loop {
            let told = self.0.changed.notified();
            if !self.state().changed.is_empty() {
                return;
            }
            told.await;
        }
    }

    /// The references whose values have changed since this was called last.
    pub fn take_changed(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.state().changed)
    }

    /// Looks up what comes due, for ever.
    pub async fn run(self) {
        loop {
            let next = self.state().known.values().filter_map(|known| known.due).min();
            match next {
                Some(next) if next <= Instant::now() => self.renew().await,
                Some(next) => {
                    tokio::select! {
                        () = sleep_until(next) => {}
                        () = self.0.wake.notified() => {}
                    }
                }
                None => self.0.wake.notified().await,
            }
        }
    }

    /// The value of one reference, looked up now.
    pub async fn fetch(&self, reference: &str) -> Result<String, String> {
        self.fetch_lasting(reference).await.value
    }

    /// The same with how long it holds.
    pub async fn fetch_lasting(&self, reference: &str) -> Fetched {
        let located = match self.state().sources.locate(reference) {
            Ok(located) => located,
            Err(why) => return Fetched { value: Err(why), lifetimes: Lifetimes::default() },
        };
        let asked = self.ask(&located, false).await;
        let lifetimes = located.lifetimes(asked.as_ref().ok().and_then(|secret| secret.ttl));
        Fetched { value: asked.and_then(|secret| located.value(&secret.text)), lifetimes }
    }

    async fn renew(&self) {
        let due: Vec<String> = {
            let soon = Instant::now() + TOGETHER;
            let state = self.state();
            let is_due = |known: &Known| known.due.is_some_and(|due| due <= soon);
            state.known.iter().filter(|(_, known)| is_due(known)).map(|(reference, _)| reference.clone()).collect()
        };
        let found = self.look_up(&due).await;
        let mut state = self.state();
        for one in found {
            let reference = one.reference.clone();
            // It may not be used any more.
            let Some(known) = state.known.get_mut(&reference) else { continue };
            if known.take(one) {
                state.changed.insert(reference);
            }
        }
        if !state.changed.is_empty() {
            self.0.changed.notify_one();
        }
    }

    /// Looks up references; those that are parts of one secret by one request.
    async fn look_up(&self, references: &[String]) -> Vec<Found> {
        let mut found = Vec::new();
        let mut secrets: BTreeMap<String, Vec<(String, Located)>> = BTreeMap::new();
        for reference in references {
            let located = self.state().sources.locate(reference);
            match located {
                Ok(located) => secrets.entry(located.identity()).or_default().push((reference.clone(), located)),
                Err(why) => found.push(Found { reference: reference.clone(), value: Err(why), lifetimes: None }),
            }
        }
        let asked = secrets.into_values().map(|parts| async move {
            let secret = match parts.first() {
                Some((_, located)) => self.ask(located, false).await,
                None => return Vec::new(),
            };
            let own = secret.as_ref().ok().and_then(|secret| secret.ttl);
            let value = |located: &Located| secret.clone().and_then(|secret| located.value(&secret.text));
            let found = |(reference, located): (String, Located)| {
                let lifetimes = Some(located.lifetimes(own));
                Found { reference, value: value(&located), lifetimes }
            };
            parts.into_iter().map(found).collect()
        });
        found.extend(join_all(asked).await.into_iter().flatten());
        found
    }

    /// What a vault answers. `inner`: for the configuration of another one.
    fn ask<'a>(&'a self, located: &'a Located, inner: bool) -> BoxFuture<'a, Result<Secret, String>> {
        Box::pin(async move {
            let vault = self.vault(located, inner).await?;
            let Reference { resource, version, .. } = &located.reference;
            match vault.fetch_lasting(resource, *version).await {
                Ok(Some(secret)) => Ok(secret),
                Ok(None) => Err("no value found".to_owned()),
                Err(why) => Err(format!("no value found ({why})")),
            }
        })
    }

    /// The vault of a reference, with the secrets of its own that it needs.
    async fn vault(&self, located: &Located, inner: bool) -> Result<Arc<dyn Vault>, String> {
        let identity = located.vault();
        if let Some(open) = self.state().open.get(&identity) {
            return Ok(Arc::clone(open));
        }
        let mut named = Vec::new();
        let note = &mut |reference: &str| {
            named.push(reference.to_owned());
            None
        };
        self.state().sources.replace_references(located.kind, located.config.clone(), note);
        let mut values = HashMap::new();
        for reference in &named {
            if inner {
                return Err(format!("{} stands in a vault that another one needs", shown(reference)));
            }
            let of = self.state().sources.locate(reference)?;
            let value = self.ask(&of, true).await.and_then(|secret| of.value(&secret.text));
            values.insert(reference.clone(), value.map_err(|why| format!("{}: {why}", shown(reference)))?);
        }
        let mut state = self.state();
        let fill = &mut |reference: &str| values.get(reference).cloned();
        let config = state.sources.replace_references(located.kind, located.config.clone(), fill);
        let vault: Arc<dyn Vault> = state.sources.open(located.kind, &config)?.into();
        // Secrets of a vault's own change, too: it is opened anew each time.
        if named.is_empty() {
            state.open.insert(identity, Arc::clone(&vault));
        }
        Ok(vault)
    }

    /// No code that can panic runs under the lock, so a poisoned one is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn nothing() -> Known {
        Known { value: None, failure: None, due: None, end: None, retry: FIRST_RETRY }
    }

    /// Takes what was found; says whether the value is another one now.
    fn take(&mut self, found: Found) -> bool {
        let now = Instant::now();
        match found.value {
            Ok(value) => {
                let lifetimes = found.lifetimes;
                self.due = lifetimes.and_then(|lifetimes| lifetimes.ttl).map(|ttl| now + ttl);
                let resurrect = lifetimes.and_then(|lifetimes| lifetimes.resurrect_ttl);
                self.end = self.due.zip(resurrect).map(|(due, resurrect)| due + resurrect);
                self.retry = FIRST_RETRY;
                self.failure = None;
                let another = self.value.as_ref() != Some(&value);
                self.value = Some(value);
                another
            }
            Err(why) => {
                if self.failure.as_ref() != Some(&why) {
                    tracing::warn!("unable to resolve reference {}: {why}", shown(&found.reference));
                }
                self.failure = Some(why);
                let wait = found.lifetimes.and_then(|lifetimes| lifetimes.neg_ttl).unwrap_or(self.retry);
                self.due = Some(now + wait);
                self.retry = (self.retry * 2).min(LAST_RETRY);
                let over = self.end.is_some_and(|end| end <= now);
                over && self.value.take().is_some()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{catalog, reply, surroundings};
    use crate::{Surroundings, VaultKind, bundled};
    use sdk::testing::Server;
    use sdk::{BoxFuture as Future, Config};
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What the vault of these tests answers, by resource, and how often it was asked.
    static ASKED: AtomicUsize = AtomicUsize::new(0);

    struct Scripted;

    impl Vault for Scripted {
        fn fetch<'a>(&'a self, resource: &'a str, _: Option<u64>) -> Future<'a, Result<Option<String>, String>> {
            let time = ASKED.fetch_add(1, Ordering::SeqCst);
            let answer = match resource {
                "late" => return Box::pin(std::future::pending()),
                "failing" if time > 0 => Err("away".to_owned()),
                resource => Ok(Some(json!({ "key": format!("{resource} {time}") }).to_string())),
            };
            Box::pin(std::future::ready(answer))
        }
    }

    static SCRIPTED: VaultKind = VaultKind {
        name: "gcp",
        schema: None,
        functions: &[],
        open: &|_: Config, _: &Surroundings| Ok(Box::new(Scripted)),
    };

    fn secrets(kinds: Vec<&'static VaultKind>, variables: &[(&str, &str)], settings: &[(&str, &str)]) -> Secrets {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Secrets::new(Sources::new(kinds, Arc::new(catalog()), settings.collect(), surroundings(variables)))
    }

    fn set(references: &[&str]) -> BTreeSet<String> {
        references.iter().map(|reference| (*reference).to_owned()).collect()
    }

    /// One after the other: they share what the vault has counted.
    #[tokio::test(start_paused = true)]
    async fn values_are_renewed_kept_while_the_vault_is_away_and_given_up_in_the_end() {
        let secrets = secrets(vec![&SCRIPTED], &[], &[("vault_gcp_project_id", "p")]);
        let running = tokio::spawn(secrets.clone().run());
        let a = "{vault://gcp/a/key?ttl=60}";
        let (same, other) = ("{vault://gcp/a/key?ttl=60&x=1}", "{vault://gcp/a?ttl=60}");
        secrets.learn(&set(&[a, same, other])).await;
        assert_eq!(ASKED.load(Ordering::SeqCst), 1, "they are parts of one secret");
        assert_eq!(secrets.value(a).unwrap(), "a 0");
        assert_eq!(secrets.value(other).unwrap(), r#"{"key":"a 0"}"#);
        let before = Instant::now();
        secrets.changed().await;
        assert_eq!(before.elapsed().as_secs(), 60);
        assert_eq!(secrets.take_changed(), set(&[a, same, other]));
        assert_eq!(secrets.value(a).unwrap(), "a 1");

        ASKED.store(0, Ordering::SeqCst);
        let failing = "{vault://gcp/failing/key?ttl=60&resurrect_ttl=30}";
        secrets.learn(&set(&[failing])).await;
        secrets.retain(&set(&[failing]));
        assert!(secrets.value(a).is_err());
        assert_eq!(secrets.value(failing).unwrap(), "failing 0");
        let before = Instant::now();
        secrets.changed().await;
        assert_eq!(before.elapsed().as_secs(), 60 + 31, "after 1, 2, 4, 8 and 16 seconds");
        assert_eq!(secrets.take_changed(), set(&[failing]));
        assert_eq!(secrets.value(failing).unwrap_err(), "no value found (away)");

        let before = Instant::now();
        secrets.learn(&set(&["{vault://gcp/late}"])).await;
        assert_eq!(before.elapsed(), PATIENCE);
        assert_eq!(secrets.value("{vault://gcp/late}").unwrap_err(), "the vault takes too long");
        running.abort();
    }

    #[tokio::test]
    async fn a_vault_may_need_a_secret_of_another_one() {
        let server = Server::start().await;
        let secrets = secrets(bundled().iter().collect(), &[("TOKEN", "planted")], &[]);
        let config = json!({ "port": server.address().port(), "token": "{vault://env/token}" });
        let record = json!({ "name": "hcv", "prefix": "my-vault", "config": config });
        secrets.set_vaults([record.as_object().unwrap()].into_iter());
        let asked = tokio::spawn({
            let secrets = secrets.clone();
            async move { secrets.fetch("{vault://my-vault/a/b}").await }
        });
        let (head, _) = reply(&server, 200, r#"{"data": {"b": "c"}}"#).await;
        assert!(head.contains("x-vault-token: planted\r\n"), "{head}");
        assert_eq!(asked.await.unwrap().unwrap(), "c");
        let config = json!({ "port": server.address().port(), "token": "{vault://my-vault/a/b}" });
        let other = json!({ "name": "hcv", "prefix": "other-vault", "config": config });
        secrets.set_vaults([&record, &other].into_iter().filter_map(|record| record.as_object()));
        let failed = secrets.fetch("{vault://other-vault/a/b}").await.unwrap_err();
        let why = "{vault://my-vault/a/b}: {vault://env/token} stands in a vault that another one needs";
        assert_eq!(failed, why);
    }

    #[tokio::test]
    async fn what_is_in_the_environment_and_what_is_not() {
        let variables = [("MY_SECRET", "s"), ("SSL_KEY", r#"{"a": "b"}"#), ("OLD_PREVIOUS", "o")];
        let secrets = secrets(bundled().iter().collect(), &variables, &[]);
        assert_eq!(secrets.fetch("{vault://env/my-secret}").await.unwrap(), "s");
        assert_eq!(secrets.fetch("{vault://env/key/a?prefix=SSL_}").await.unwrap(), "b");
        assert_eq!(secrets.fetch("{vault://env/old#2}").await.unwrap(), "o");
        assert_eq!(secrets.fetch("{vault://env/none}").await.unwrap_err(), "no value found");
        assert_eq!(secrets.fetch("{vault://nope/none}").await.unwrap_err(), "could not find vault (nope)");
    }

    #[tokio::test]
    async fn files_stay_below_their_directory() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/secret.json"), "{\"a\": \"b\"}\n").unwrap();
        let prefix = folder.path().join("in");
        let secrets = secrets(bundled().iter().collect(), &[], &[("vault_fs_prefix", prefix.to_str().unwrap())]);
        assert_eq!(secrets.fetch("{vault://fs/secret.json/a}").await.unwrap(), "b");
        assert_eq!(secrets.fetch("{vault://fs/secret.json/}").await.unwrap(), "{\"a\": \"b\"}");
        let out = secrets.fetch("{vault://fs/../out/}").await.unwrap_err();
        assert_eq!(out, "no value found (the path leads out of the directory)");
        assert_eq!(secrets.fetch("{vault://fs/none}").await.unwrap_err(), "no value found");
    }
}
