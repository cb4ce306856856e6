//! From a name to its certificate, one node at a time.

use super::client::Client;
use super::key::{self, AccountKey};
use super::storage::{Storage, challenge_key};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use sdk::certificates::{Details, certified_key};
use sdk::entities::{self, Uuid};
use sdk::{CertifiedKey, Env, HttpClient, HttpOptions, Record, Records, Tasks};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;

/// Gets certificates as a configuration has it.
pub struct Issuer {
    settings: Settings,
    storage: Storage,
    records: Records,
    workspace: Uuid,
    http: HttpClient,
    tasks: Tasks,
    shared: Arc<Shared>,
}

struct Settings {
    email: String,
    /// With `/directory`.
    api: String,
    /// As it is part of the account's key in the storage.
    api_uri: String,
    binding: Option<(String, String)>,
    account_key: Option<(String, Option<String>)>,
    rsa_bits: Option<u64>,
    threshold: i64,
    domains: Vec<String>,
    any_domain: bool,
    addresses: bool,
    backoff: Duration,
    preferred_chain: Option<String>,
    /// Without a database certificates stay in the storage.
    dbless: bool,
}

/// What outlives a change of the configuration.
struct Shared {
    /// How many certificates are waited for at once.
    places: Semaphore,
    /// What was found in the storage, and when.
    found: Mutex<HashMap<String, (Option<Arc<CertifiedKey>>, Instant)>>,
}

const CERTIFICATE: &str = "kong_acme:cert_key:";
pub const RENEWAL: &str = "kong_acme:renew_config:";
/// For one certificate, from the first request to the chain.
const DEADLINE: Duration = Duration::from_secs(100);
/// How long others let one node try: longer than it takes.
const LOCK: Duration = Duration::from_secs(120);
const DAY: i64 = 24 * 60 * 60;
/// As Kong: how long what is in the storage is not looked for again, and what is not there.
const FOUND: Duration = Duration::from_secs(3600);
const NOT_FOUND: Duration = Duration::from_secs(5);
/// Names that are remembered.
const NAMES: usize = 16_384;

impl Issuer {
    pub fn new(plugin: &entities::Plugin, env: &Env) -> Result<Issuer, String> {
        let config = super::config(plugin);
        let text = |field: &str| config.text(field).filter(|text| !text.is_empty()).map(str::to_owned);
        let dbless = env.records().read_only().is_some();
        if dbless && config.text("storage") == Some("kong") {
            return Err("\"kong\" storage can't be used with dbless mode".to_owned());
        }
        let api_uri = text("api_uri").ok_or("config.api_uri: missing")?;
        let api = match api_uri.trim_end_matches('/') {
            uri if uri.ends_with("/directory") => uri.to_owned(),
            uri => format!("{uri}/directory"),
        };
        let account_key = config.section("account_key");
        let settings = Settings {
            email: text("account_email").ok_or("config.account_email: missing")?,
            api,
            api_uri,
            binding: text("eab_kid").zip(text("eab_hmac_key")),
            account_key: account_key
                .text("key_id")
                .map(|id| (id.to_owned(), account_key.text("key_set").map(str::to_owned))),
            rsa_bits: (config.text("cert_type") != Some("ecc")).then(|| config.integer("rsa_key_size").unwrap_or(4096)),
            threshold: config.number("renew_threshold_days").map_or(14 * DAY, |days| (days * DAY as f64) as i64),
            domains: config.texts("domains"),
            any_domain: config.flag("allow_any_domain"),
            addresses: config.flag("enable_ipv4_common_name"),
            backoff: Duration::try_from_secs_f64(60.0 * config.number("fail_backoff_minutes").unwrap_or(5.0))
                .unwrap_or_default(),
            preferred_chain: text("preferred_chain"),
            dbless,
        };
        Ok(Issuer {
            settings,
            storage: Storage::new(&config, env)?,
            records: env.records().clone(),
            workspace: plugin.workspace,
            http: HttpClient::new(env, HttpOptions::default()),
            tasks: env.tasks().clone(),
            shared: env.shared(),
        })
    }

    /// Whether certificates are to be had for a name, in lower case.
    pub fn allows(&self, host: &str) -> bool {
        let is_address = host.parse::<std::net::Ipv4Addr>().is_ok();
        let is_name = |label: &str| {
            let within = label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_');
            within && (1..=63).contains(&label.len())
        };
        if (is_address && !self.settings.addresses) || host.len() > 253 || !host.split('.').all(is_name) {
            return false;
        }
        self.settings.any_domain || self.lists(host)
    }

    /// Whether `domains` has a name.
    pub fn lists(&self, host: &str) -> bool {
        self.settings.domains.iter().any(|domain| match domain.strip_prefix('*') {
            Some(rest) => host.ends_with(&rest.to_ascii_lowercase()),
            None => domain.eq_ignore_ascii_case(host),
        })
    }

    /// What is to be answered for a challenge.
    pub async fn challenge(&self, token: &str) -> Result<Option<String>, String> {
        self.storage.find(&challenge_key(token)).await
    }

    /// Without a database: the certificate in the storage.
    pub async fn kept(&self, host: &str) -> Result<Option<Arc<CertifiedKey>>, String> {
        if !self.settings.dbless {
            return Ok(None);
        }
        let now = Instant::now();
        if let Some((found, until)) = self.shared.lock().get(host)
            && *until > now
        {
            return Ok(found.clone());
        }
        let kept = self.storage.find(&format!("{CERTIFICATE}{host}")).await?;
        let pair = kept.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let found = match &pair {
            Some(pair) => Some(certified_key(text(pair, "cert"), text(pair, "key"))?),
            None => None,
        };
        let until = now + if found.is_some() { FOUND } else { NOT_FOUND };
        let mut known = self.shared.lock();
        if known.len() >= NAMES {
            known.clear();
        }
        known.insert(host.to_owned(), (found.clone(), until));
        Ok(found)
    }

    /// Gets a certificate beside what goes on. Of many names at once, most have to be asked for again.
    pub fn begin(this: &Arc<Issuer>, host: &str) {
        let (issuer, host) = (Arc::clone(this), host.to_owned());
        this.tasks.spawn("a certificate", async move {
            let Ok(_place) = issuer.shared.places.try_acquire() else { return };
            // It was said when it failed; clients may ask as often as they like.
            if issuer.pause(&host).await.is_ok_and(|wait| wait.is_some()) {
                return;
            }
            match issuer.update(&host, None).await {
                Ok(true) => tracing::info!("acme: {host} has a certificate"),
                Ok(false) => {}
                Err(error) => tracing::error!("acme: no certificate for {host}: {error}"),
            }
        });
    }

    /// Gets a certificate, for that key if there is one; false when another node is at it.
    pub async fn update(&self, host: &str, key: Option<String>) -> Result<bool, String> {
        if let Some(wait) = self.pause(host).await? {
            return Err(format!("please try again in {wait} seconds for host {host} because of previous failure"));
        }
        let lock = format!("kong_acme:update_lock:{host}");
        if !self.storage.add(&lock, "placeholder", LOCK).await? {
            return Ok(false);
        }
        let issued = tokio::time::timeout(DEADLINE, self.issue(host, key)).await;
        let issued = issued.unwrap_or_else(|_| Err("it takes too long".to_owned()));
        if issued.is_err() && !self.settings.backoff.is_zero() {
            let until = now() + self.settings.backoff.as_secs() as i64;
            self.storage.put(&backoff(host), &until.to_string(), Some(self.settings.backoff)).await?;
        }
        self.storage.remove(&lock).await?;
        issued.map(|()| true)
    }

    /// For how many seconds nothing is tried, after a failure.
    async fn pause(&self, host: &str) -> Result<Option<i64>, String> {
        let until = self.storage.find(&backoff(host)).await?.and_then(|until| until.parse::<i64>().ok());
        Ok(until.map(|until| until - now()))
    }

    /// The certificate and the key of a name, in PEM.
    pub async fn load(&self, host: &str) -> Result<Option<(String, String)>, String> {
        if self.settings.dbless {
            let kept = self.storage.find(&format!("{CERTIFICATE}{host}")).await?;
            let pair = kept.and_then(|text| serde_json::from_str::<Value>(&text).ok());
            return Ok(pair.map(|pair| (text(&pair, "cert").to_owned(), text(&pair, "key").to_owned())));
        }
        let Some(sni) = self.find("snis", "name", host).await? else { return Ok(None) };
        let Some(id) = sni.get("certificate").and_then(|certificate| certificate["id"].as_str()) else {
            return Ok(None);
        };
        let Some(record) = self.find("certificates", "id", id).await? else { return Ok(None) };
        let of = |field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Some((of("cert"), of("key"))))
    }

    /// The names whose certificates are renewed.
    pub async fn hosts(&self) -> Result<Vec<String>, String> {
        let keys = self.storage.list(RENEWAL).await?;
        Ok(keys.iter().filter_map(|key| key.strip_prefix(RENEWAL)).map(str::to_owned).collect())
    }

    /// Renews what runs out soon.
    pub async fn renew(&self) {
        let hosts = match self.hosts().await {
            Ok(hosts) => hosts,
            Err(error) => return tracing::error!("acme: it cannot be found out what is to be renewed: {error}"),
        };
        for host in hosts {
            match self.renew_one(&host).await {
                Ok(true) => tracing::info!("acme: the certificate of {host} is renewed"),
                Ok(false) => {}
                Err(error) => tracing::error!("acme: the certificate of {host} is not renewed: {error}"),
            }
        }
    }

    async fn renew_one(&self, host: &str) -> Result<bool, String> {
        let Some((chain, key)) = self.load(host).await? else {
            self.storage.remove(&format!("{RENEWAL}{host}")).await?;
            return Ok(false);
        };
        let own = model::pem::certificate(&chain).ok().and_then(|own| Details::of(&own).ok());
        if own.is_some_and(|own| own.not_after - self.settings.threshold > now()) {
            return Ok(false);
        }
        self.update(host, Some(key).filter(|key| !key.is_empty())).await
    }

    async fn issue(&self, host: &str, key: Option<String>) -> Result<(), String> {
        let account = AccountKey::read(&self.account().await?)?;
        let mut client = Client::new(&self.http, &account, &self.settings.api).await?;
        let binding = self.settings.binding.as_ref().map(|(kid, secret)| (kid.as_str(), secret.as_str()));
        client.account(&self.settings.email, binding).await?;
        let (name, bits) = (host.to_owned(), self.settings.rsa_bits);
        let made = self.tasks.blocking(move || request(&name, key, bits)).await;
        let (key, request) = made.unwrap_or_else(|| Err("no key can be made".to_owned()))?;
        let chain = client.order(host, &request, self.settings.preferred_chain.as_deref(), &self.storage).await?;
        certified_key(&chain, &key)?;
        self.save(host, &chain, &key).await?;
        let renewal = json!({ "host": host, "expire_at": now() + 90 * DAY });
        self.storage.put(&format!("{RENEWAL}{host}"), &renewal.to_string(), None).await
    }

    /// The account's key, made when there is none.
    async fn account(&self) -> Result<String, String> {
        let Settings { api_uri, email, .. } = &self.settings;
        let place = format!("kong_acme:account:{api_uri}:{}", BASE64_STANDARD.encode(email));
        if let Some(known) = self.storage.find(&place).await? {
            let account: Value = serde_json::from_str(&known).map_err(|_| "the account is not JSON")?;
            return account["key"].as_str().map(str::to_owned).ok_or_else(|| "the account has no key".to_owned());
        }
        let key = match &self.settings.account_key {
            Some((id, set)) => self.configured_key(id, set.as_deref()).await?,
            None => self.tasks.blocking(key::generate).await.unwrap_or_else(|| Err("no key can be made".to_owned()))?,
        };
        self.storage.put(&place, &json!({ "key": key }).to_string(), None).await?;
        Ok(key)
    }

    /// `account_key`: a private key of the configuration.
    async fn configured_key(&self, id: &str, set: Option<&str>) -> Result<String, String> {
        let set = match set {
            None => None,
            Some(name) => {
                let found = self.find("key_sets", "name", name).await?.ok_or("there is no such key set")?;
                found.get("id").and_then(Value::as_str).map(str::to_owned)
            }
        };
        let keys = self.records.all(self.workspace, "keys").await.map_err(|e| e.to_string())?;
        let is = |key: &&Record| {
            let of_set = key.get("set").and_then(|set| set.get("id")).and_then(Value::as_str);
            key.get("kid").and_then(Value::as_str) == Some(id) && of_set == set.as_deref()
        };
        let found = keys.iter().find(is).ok_or("there is no such key")?;
        let pem = found.get("pem").and_then(|pem| pem.get("private_key")).and_then(Value::as_str);
        pem.map(str::to_owned).ok_or_else(|| "the account's key has no private key in PEM".to_owned())
    }

    /// Has clients see the certificate.
    async fn save(&self, host: &str, chain: &str, key: &str) -> Result<(), String> {
        if self.settings.dbless {
            let pair = json!({ "key": key, "cert": chain });
            self.storage.put(&format!("{CERTIFICATE}{host}"), &pair.to_string(), None).await?;
            self.shared.lock().remove(host);
            return Ok(());
        }
        let (records, workspace) = (&self.records, self.workspace);
        let tags = ["managed-by-acme"];
        let certificate = object(json!({ "cert": chain, "key": key, "tags": tags }));
        let made = records.insert(workspace, "certificates", certificate).await.map_err(|e| e.to_string())?;
        let reference = json!({ "id": made.get("id") });
        let known = self.find("snis", "name", host).await?;
        let named = match known.as_ref().and_then(|sni| sni.get("id")).and_then(Value::as_str) {
            Some(id) => {
                let change = object(json!({ "certificate": reference, "tags": tags }));
                records.update(workspace, "snis", id, change).await.map(drop)
            }
            None => {
                let sni = object(json!({ "name": host, "certificate": reference, "tags": tags }));
                records.insert(workspace, "snis", sni).await.map(drop)
            }
        };
        let former = known.as_ref().and_then(|sni| sni.get("certificate")).and_then(|former| former["id"].as_str());
        let own = made.get("id").and_then(Value::as_str);
        let needless = if named.is_ok() { former } else { own };
        if let Some(id) = needless
            && let Err(error) = records.delete(workspace, "certificates", id).await
        {
            tracing::warn!("acme: a certificate that nobody needs cannot be deleted: {error}");
        }
        named.map_err(|error| error.to_string())
    }

    async fn find(&self, entity: &str, field: &str, value: &str) -> Result<Option<Record>, String> {
        self.records.find(self.workspace, entity, field, value).await.map_err(|error| error.to_string())
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Option<Arc<CertifiedKey>>, Instant)>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Shared {
    fn default() -> Shared {
        Shared { places: Semaphore::new(8), found: Mutex::default() }
    }
}

/// Where it is kept until when nothing is tried.
fn backoff(host: &str) -> String {
    format!("kong_acme:fail_backoff:{host}")
}

/// A key, made unless there is one, and the request for its certificate.
fn request(host: &str, key: Option<String>, rsa_bits: Option<u64>) -> Result<(String, Vec<u8>), String> {
    let known = key.and_then(|pem| KeyPair::from_pem(&pem).ok());
    let key = match (known, rsa_bits) {
        (Some(key), _) => Ok(key),
        (None, Some(2048)) => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        (None, Some(3072)) => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
        (None, Some(_)) => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
        (None, None) => KeyPair::generate(),
    };
    let key = key.map_err(|error| format!("no key can be made: {error}"))?;
    let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(|error| error.to_string())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    let request = params.serialize_request(&key).map_err(|error| error.to_string())?;
    Ok((key.serialize_pem(), request.der().to_vec()))
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn object(value: Value) -> Record {
    match value {
        Value::Object(record) => record,
        _ => Record::new(),
    }
}
