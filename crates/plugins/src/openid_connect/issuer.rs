//! What issuers say of themselves, and the keys that verify their tokens: fetched when they are needed, and anew when a
//! key is missing or they have become old.

use arc_swap::ArcSwapOption;
use sdk::entities::Uuid;
use sdk::jose::{KeySet, Token};
use sdk::{Bytes, Fields, HttpClient, HttpRequest, Url};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The issuers that a node knows, by where what they say comes from.
#[derive(Default)]
pub struct Issuers(Mutex<Vec<(Source, Arc<Issuer>)>>);

/// Where what an issuer says comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The address of its metadata; `None`: only its keys matter.
    pub metadata: Option<Url>,
    /// Lines of requests for these.
    pub lines: Vec<(String, String)>,
    /// The address of its keys, in place of that in the metadata.
    pub keys: Option<Url>,
    /// Addresses of further keys.
    pub extra_keys: Vec<Url>,
    /// How often it is asked for keys that nobody knows, at most.
    pub rediscovery_lifetime: Duration,
}

/// One issuer.
pub struct Issuer {
    source: Source,
    known: ArcSwapOption<Metadata>,
    /// Held by whoever asks it: the others wait for what comes of it.
    asking: tokio::sync::Mutex<()>,
}

/// What an issuer has said.
pub struct Metadata {
    document: Value,
    keys: KeySet,
    since: Instant,
}

/// How long metadata are good: issuers change their keys without a word.
const GOOD: Duration = Duration::from_secs(3600);

impl Issuers {
    /// The issuer of which that is said.
    pub fn find(&self, source: &Source) -> Arc<Issuer> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, issuer)) = all.iter().find(|(known, _)| known == source) {
            return Arc::clone(issuer);
        }
        let issuer =
            Issuer { source: source.clone(), known: ArcSwapOption::default(), asking: tokio::sync::Mutex::default() };
        let issuer = Arc::new(issuer);
        all.push((source.clone(), Arc::clone(&issuer)));
        issuer
    }
}

impl Issuers {
    /// What is known of each.
    pub fn describe(&self) -> Vec<Value> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let describe = |(source, issuer): &(Source, Arc<Issuer>)| {
            let known = issuer.known.load_full()?;
            let (id, name) = source.names();
            let age = known.since.elapsed().as_secs();
            Some(json!({ "id": id, "issuer": name, "configuration": known.document, "age": age }))
        };
        all.iter().filter_map(describe).collect()
    }

    /// Has the issuer of that id or name, or all, be asked anew when they are needed.
    pub fn forget(&self, named: Option<&str>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |source: &Source| {
            let (id, name) = source.names();
            named.is_none_or(|named| named == id || named == name)
        };
        all.iter().filter(|(source, _)| is_meant(source)).for_each(|(_, issuer)| issuer.known.store(None));
    }
}

impl Source {
    /// An id, and the address that the issuer is known by.
    fn names(&self) -> (String, String) {
        let name = self.metadata.as_ref().or(self.keys.as_ref()).map(|url| url.uri().to_string()).unwrap_or_default();
        (Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{self:?}").as_bytes()).to_string(), name)
    }
}

impl Issuer {
    /// What it says of itself; what it has said before, where it does not answer.
    pub async fn metadata(&self, client: &HttpClient) -> Result<Arc<Metadata>, String> {
        match self.known.load_full() {
            Some(known) if known.since.elapsed() < GOOD => Ok(known),
            known => match self.ask(client, known.as_ref().map(|known| known.since)).await {
                Ok(metadata) => Ok(metadata),
                Err(error) => known.ok_or(error),
            },
        }
    }

    /// Whether it has made a token's signature. It is asked for its keys again where none that is known has, though not
    /// too often.
    pub async fn has_signed(&self, token: &Token<'_>, client: &HttpClient) -> Result<bool, String> {
        let known = self.metadata(client).await?;
        if known.keys.verifies(token) {
            return Ok(true);
        }
        if known.since.elapsed() < self.source.rediscovery_lifetime {
            return Ok(false);
        }
        let renewed = self.ask(client, Some(known.since)).await?;
        Ok(renewed.keys.verifies(token))
    }

    /// `seen` is the age of what the caller has: whatever is newer will do.
    async fn ask(&self, client: &HttpClient, seen: Option<Instant>) -> Result<Arc<Metadata>, String> {
        let _asking = self.asking.lock().await;
        if let Some(known) = self.known.load_full().filter(|known| Some(known.since) != seen) {
            return Ok(known);
        }
        let source = &self.source;
        let document = match &source.metadata {
            Some(url) => fetch(client, url, &source.lines).await?,
            None => Value::Null,
        };
        let mut keys = KeySet::default();
        let published = || document.get("jwks_uri").and_then(Value::as_str).map(Url::parse).transpose();
        let published = source.keys.clone().map_or_else(published, |url| Ok(Some(url)))?;
        for url in published.iter().chain(&source.extra_keys) {
            keys = keys.join(KeySet::parse(&fetch(client, url, &[]).await?));
        }
        let metadata = Arc::new(Metadata { document, keys, since: Instant::now() });
        self.known.store(Some(Arc::clone(&metadata)));
        Ok(metadata)
    }
}

impl Metadata {
    /// A member of the metadata.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.document.get(name).and_then(Value::as_str)
    }

    /// An endpoint among those for clients with certificates (`mtls_endpoint_aliases`).
    pub fn alias(&self, name: &str) -> Option<&str> {
        self.document.get("mtls_endpoint_aliases")?.get(name)?.as_str()
    }

    /// Whether a list has that word; true where there is no list.
    pub fn supports(&self, list: &str, word: &str) -> bool {
        let list = self.document.get(list).and_then(Value::as_array);
        list.is_none_or(|list| list.iter().any(|other| other.as_str() == Some(word)))
    }
}

async fn fetch(client: &HttpClient, url: &Url, lines: &[(String, String)]) -> Result<Value, String> {
    let mut fields: Fields = [("Accept", "application/json")].into_iter().collect();
    lines.iter().for_each(|(name, value)| fields.set(name, value.as_bytes()));
    let request = HttpRequest { method: "GET".to_owned(), url: url.clone(), fields, content: Bytes::new() };
    let response = client.send(request).await.map_err(|error| format!("{url}: {error}"))?;
    if response.status != 200 {
        return Err(format!("{url}: answered {}", response.status));
    }
    serde_json::from_slice(&response.content).map_err(|_| format!("{url}: the answer is no JSON"))
}
