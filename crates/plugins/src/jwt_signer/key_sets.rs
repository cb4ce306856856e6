//! Sets of keys: such that are made here, and such that others publish. Nodes share them in the database, each with the
//! set before it; what is in use is in memory.

use arc_swap::ArcSwapOption;
use sdk::entities::DEFAULT_WORKSPACE;
use sdk::jose::{Algorithm, KeySet, SigningKey, Token, generate_jwk, public_jwk};
use sdk::{Bytes, Config, Env, Fields, HttpClient, HttpOptions, HttpRequest, Record, Records, Tasks, Url};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The entity of sets in the database.
pub const ENTITY: &str = "jwt_signer_jwks";

/// For how long what was read from the database is good: another node may have changed it.
const GOOD: Duration = Duration::from_secs(60);
/// How often a set is fetched again because it has no key for a token.
const REFETCH: Duration = Duration::from_secs(30);

/// For how long nothing is tried again that has failed: requests are not to wait for it one after the other.
const PAUSE: Duration = Duration::from_secs(5);

/// The algorithms for which sets of our own have keys.
const ALGORITHMS: [&str; 13] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
];

/// Where a set comes from.
#[derive(Clone)]
pub struct Source {
    /// The name of a set of our own, or the URL of another one.
    pub name: String,
    url: Option<(Url, Fields)>,
    /// Whoever fetches it shows a certificate.
    client: Option<HttpClient>,
    /// After how many seconds it is replaced.
    rotate: Option<u64>,
}

/// The sets that a node uses, by their names, which come from its configuration.
#[derive(Default)]
pub struct KeySets(Mutex<HashMap<String, Arc<Slot>>>);

/// One of them.
#[derive(Default)]
pub struct Slot {
    known: ArcSwapOption<Known>,
    /// Held by whoever reads or renews it: the others wait for what comes of it.
    busy: tokio::sync::Mutex<()>,
    /// How it was fetched last.
    source: ArcSwapOption<Source>,
    /// When keys could not be had.
    failed: ArcSwapOption<Instant>,
}

/// A set as it was read.
pub struct Known {
    pub record: Record,
    keys: Vec<Value>,
    verifying: KeySet,
    with_secrets: KeySet,
    read: Instant,
}

/// How sets are reached.
#[derive(Clone)]
pub struct Access {
    sets: Arc<KeySets>,
    records: Records,
    client: HttpClient,
    tasks: Tasks,
}

impl Source {
    /// The source that a field names, with what others say of it.
    pub fn read(name: &str, config: &Config<'_>, field: &str, env: &Env) -> Result<Source, String> {
        let mut source = Source::named(name).map_err(|why| format!("config.{field}: {why}"))?;
        let part = |rest: &str| config.text(&format!("{field}_{rest}")).map(str::to_owned);
        if let (Some((_, lines)), Some(user), Some(password)) =
            (&mut source.url, part("client_username"), part("client_password"))
        {
            use base64::Engine;
            let encoded = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
            lines.set("Authorization", format!("Basic {encoded}").as_bytes());
        }
        let certificate = config.foreign(&format!("{field}_client_certificate"))?;
        source.client = certificate.map(|id| HttpClient::new(env, HttpOptions::default()).showing(env.certificate(id)));
        let period = config.number(&format!("{field}_rotate_period")).filter(|period| *period > 0.0);
        source.rotate = period.map(|period| (period as u64).max(1));
        Ok(source)
    }

    /// The source of that name, as far as the name tells.
    fn named(name: &str) -> Result<Source, String> {
        let is_url = name.starts_with("http://") || name.starts_with("https://");
        let url = is_url.then(|| Url::parse(name)).transpose()?;
        Ok(Source { name: name.to_owned(), url: url.map(|url| (url, Fields::new())), client: None, rotate: None })
    }
}

impl Access {
    /// The sets of a node.
    pub fn new(env: &Env) -> Access {
        let (client, tasks) = (HttpClient::new(env, HttpOptions::default()), env.tasks().clone());
        Access { sets: env.shared(), records: env.records().clone(), client, tasks }
    }

    /// Whether a key of the set, or of the one before, made a token's signature. A set of others is fetched anew when
    /// it has none, though not too often.
    pub async fn has_signed(&self, source: &Source, token: &Token<'_>, secrets: bool) -> Result<bool, String> {
        let verifies = |known: &Known| match secrets {
            true => known.with_secrets.verifies(token),
            false => known.verifying.verifies(token),
        };
        let known = self.known(source).await?;
        if verifies(&known) {
            return Ok(true);
        }
        if source.url.is_none() || known.age() < REFETCH.as_secs() {
            return Ok(false);
        }
        match self.replace(source, &known).await {
            Ok(renewed) => Ok(verifies(&renewed)),
            Err(error) => {
                tracing::warn!("jwt-signer: {}: not fetched anew: {error}", shown(&source.name));
                Ok(false)
            }
        }
    }

    /// A key of the set for an algorithm.
    pub async fn signing_key(&self, source: &Source, algorithm: Algorithm) -> Result<SigningKey, String> {
        let known = self.known(source).await?;
        let mut keys = known.keys.iter().filter_map(|key| SigningKey::of_jwk(key, algorithm));
        keys.next().ok_or_else(|| format!("{}: there is no key for {}", shown(&source.name), algorithm.name()))
    }

    /// All sets, without what only signers may know.
    pub async fn all(&self) -> Result<Vec<Record>, String> {
        if self.records.read_only().is_none() {
            return self.records.all(DEFAULT_WORKSPACE, ENTITY).await.map_err(|error| error.to_string());
        }
        let sets = self.sets.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(sets.values().filter_map(|slot| Some(slot.known.load_full()?.record.clone())).collect())
    }

    /// Replaces the keys of a set.
    pub async fn rotate(&self, record: &Record) -> Result<Record, String> {
        let name = text(record, "name");
        let used = self.slot(name).source.load_full();
        let source = match used {
            Some(source) => Source::clone(&source),
            None => Source::named(name)?,
        };
        let known = self.known(&source).await?;
        Ok(self.replace(&source, &known).await?.record.clone())
    }

    /// Forgets a set; it is made or fetched anew when it is needed.
    pub async fn delete(&self, record: &Record) -> Result<(), String> {
        if self.records.read_only().is_none() {
            let deleted = self.records.delete(DEFAULT_WORKSPACE, ENTITY, text(record, "id")).await;
            deleted.map_err(|error| error.to_string())?;
        }
        self.slot(text(record, "name")).known.store(None);
        Ok(())
    }

    /// The set as it is now.
    async fn known(&self, source: &Source) -> Result<Arc<Known>, String> {
        let slot = self.slot(&source.name);
        if let Some(known) =
            slot.known.load_full().filter(|known| known.read.elapsed() < GOOD && !slot.is_due(source, known))
        {
            return Ok(known);
        }
        let busy = slot.busy.lock().await;
        let known = slot.known.load_full();
        if let Some(known) = known.as_ref().filter(|known| known.read.elapsed() < GOOD && !slot.is_due(source, known)) {
            return Ok(Arc::clone(known));
        }
        slot.source.store(Some(Arc::new(source.clone())));
        let read = match self.find(source).await {
            Ok(Some(record)) => Known::of(record),
            // Nowhere to be read from: what there is goes on.
            Ok(None) if self.records.read_only().is_some() && known.is_some() => known.clone().ok_or_else(String::new),
            Ok(None) => self.make(source).await,
            Err(error) => Err(error),
        };
        let read = match (read, known) {
            (Ok(read), _) => read,
            (Err(error), Some(known)) => {
                tracing::warn!("jwt-signer: {}: going on with the keys of before: {error}", shown(&source.name));
                return Ok(known);
            }
            (Err(error), None) => return Err(format!("{}: {error}", shown(&source.name))),
        };
        slot.known.store(Some(Arc::clone(&read)));
        drop(busy);
        if !slot.is_due(source, &read) {
            return Ok(read);
        }
        self.replace(source, &read).await.or_else(|error| {
            tracing::warn!("jwt-signer: {}: the keys are not replaced: {error}", shown(&source.name));
            Ok(read)
        })
    }

    async fn find(&self, source: &Source) -> Result<Option<Record>, String> {
        if self.records.read_only().is_some() {
            return Ok(None);
        }
        let found = self.records.find(DEFAULT_WORKSPACE, ENTITY, "name", &source.name).await;
        found.map_err(|error| error.to_string())
    }

    /// Makes a set that is not there yet.
    async fn make(&self, source: &Source) -> Result<Arc<Known>, String> {
        let keys = Value::Array(self.fresh(source).await?).to_string();
        let input =
            Record::from_iter([("name".to_owned(), source.name.as_str().into()), ("keys".to_owned(), keys.into())]);
        if self.records.read_only().is_some() {
            return Known::of(dated(input));
        }
        match self.records.insert(DEFAULT_WORKSPACE, ENTITY, input).await {
            Ok(record) => Known::of(record),
            // Another node may have been faster.
            Err(error) => match self.find(source).await? {
                Some(record) => Known::of(record),
                None => Err(error.to_string()),
            },
        }
    }

    /// Puts other keys in the place of those of a set, unless somebody has done so since it was looked at.
    async fn replace(&self, source: &Source, seen: &Arc<Known>) -> Result<Arc<Known>, String> {
        let slot = self.slot(&source.name);
        let _busy = slot.busy.lock().await;
        if let Some(known) = slot.known.load_full().filter(|known| !Arc::ptr_eq(known, seen)) {
            return Ok(known);
        }
        let keys = self.fresh(source).await?;
        let mut change = Record::new();
        if keys != seen.keys {
            change.insert("previous".to_owned(), seen.record.get("keys").cloned().unwrap_or_default());
        }
        change.insert("keys".to_owned(), Value::Array(keys).to_string().into());
        let id = text(&seen.record, "id");
        let known = if self.records.read_only().is_some() {
            let mut record = seen.record.clone();
            record.extend(change);
            Known::of(dated(record))?
        } else {
            let updated = self.records.update(DEFAULT_WORKSPACE, ENTITY, id, change).await;
            Known::of(updated.map_err(|error| error.to_string())?.ok_or("the set is gone")?)?
        };
        slot.known.store(Some(Arc::clone(&known)));
        Ok(known)
    }

    /// Other keys than there are: fetched, or made.
    async fn fresh(&self, source: &Source) -> Result<Vec<Value>, String> {
        let Some((url, lines)) = &source.url else {
            let key = |name: &&str| {
                let algorithm = Algorithm::parse(name)?;
                generate_jwk(algorithm, &sdk::entities::Uuid::new_v4().to_string())
            };
            let made = self.tasks.blocking(move || ALGORITHMS.iter().filter_map(key).collect::<Vec<_>>()).await;
            return made.ok_or_else(|| "no keys could be made".to_owned());
        };
        let slot = self.slot(&source.name);
        if slot.failed.load().as_ref().is_some_and(|failed| failed.elapsed() < PAUSE) {
            return Err("it has failed a moment ago".to_owned());
        }
        let client = source.client.as_ref().unwrap_or(&self.client);
        let fetched = fetch(client, url, lines).await;
        slot.failed.store(fetched.is_err().then(|| Arc::new(Instant::now())));
        fetched
    }

    fn slot(&self, name: &str) -> Arc<Slot> {
        let mut sets = self.sets.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sets.entry(name.to_owned()).or_default())
    }
}

impl Slot {
    /// Whether it is time for other keys.
    fn is_due(&self, source: &Source, known: &Known) -> bool {
        let pausing = self.failed.load().as_ref().is_some_and(|failed| failed.elapsed() < PAUSE);
        !pausing && source.rotate.is_some_and(|period| known.age() >= period)
    }
}

impl Known {
    fn of(record: Record) -> Result<Arc<Known>, String> {
        let keys = keys_in(&record, "keys");
        if keys.is_empty() {
            return Err("the set has no keys".to_owned());
        }
        let all = [&keys[..], &keys_in(&record, "previous")[..]].concat();
        let all = json!({ "keys": all });
        let (verifying, with_secrets) = (KeySet::parse(&all), KeySet::parse_with_secrets(&all));
        Ok(Arc::new(Known { record, keys, verifying, with_secrets, read: Instant::now() }))
    }

    /// For how many seconds the set has had its keys.
    fn age(&self) -> u64 {
        let since = self.record.get("updated_at").and_then(Value::as_u64);
        since.map_or_else(|| self.read.elapsed().as_secs(), |since| now().saturating_sub(since))
    }
}

/// The keys at a URL.
async fn fetch(client: &HttpClient, url: &Url, lines: &Fields) -> Result<Vec<Value>, String> {
    let mut fields: Fields = [("Accept", "application/json")].into_iter().collect();
    lines.iter().for_each(|(name, value)| fields.set(name, value));
    let request = HttpRequest { method: "GET".to_owned(), url: url.clone(), fields, content: Bytes::new() };
    let response = client.send(request).await.map_err(|error| error.to_string())?;
    if response.status != 200 {
        return Err(format!("it was answered {}", response.status));
    }
    let set: Value = serde_json::from_slice(&response.content).map_err(|_| "the answer is no JSON")?;
    let keys = set.get("keys").and_then(Value::as_array).filter(|keys| !keys.is_empty());
    keys.cloned().ok_or_else(|| "the answer has no keys".to_owned())
}

/// A set as everybody may see it.
pub fn public(record: &Record) -> Value {
    let list = |field: &str| keys_in(record, field).iter().map(public_jwk).collect::<Vec<_>>();
    let mut shown = record.clone();
    shown.insert("keys".to_owned(), list("keys").into());
    shown.insert("previous".to_owned(), list("previous").into());
    Value::Object(shown)
}

fn keys_in(record: &Record, field: &str) -> Vec<Value> {
    serde_json::from_str(text(record, field)).unwrap_or_default()
}

fn text<'r>(record: &'r Record, field: &str) -> &'r str {
    record.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A record that no database completes.
fn dated(mut record: Record) -> Record {
    record.entry("id").or_insert_with(|| sdk::entities::Uuid::new_v4().to_string().into());
    record.entry("created_at").or_insert_with(|| now().into());
    record.insert("updated_at".to_owned(), now().into());
    record
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A name that may go into a log: URLs may have secrets in their queries.
fn shown(name: &str) -> &str {
    name.split(['?', '@']).next().unwrap_or_default()
}
