//! Values in Consul, or in HashiCorp Vault, in the places where Kong has them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sdk::{Bytes, Config, Env, Fields, HttpClient, HttpOptions, HttpRequest, HttpResponse, Tasks, Url};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A server that keeps values.
pub struct Remote {
    client: HttpClient,
    /// `http://host:port/v1/`
    base: String,
    path: String,
    kind: Kind,
}

enum Kind {
    /// Keys of its KV store. When one is over stands in its flags, in Unix milliseconds, since it has no keys that end.
    Consul { token: Option<String> },
    /// Secrets of the engine `secret`, of version 2.
    Vault { login: Login, tasks: Tasks },
}

/// How Vault lets us in.
enum Login {
    Token(String),
    /// By the identity of a pod in Kubernetes.
    Kubernetes {
        path: String,
        role: String,
        jwt: String,
        token: Mutex<Option<Arc<str>>>,
    },
}

/// A value, with what a change of it has to name.
struct Found {
    value: Option<String>,
    version: u64,
}

const IDENTITY: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl Remote {
    /// A Consul, by its record in `storage_config`.
    pub fn consul(record: &Config<'_>, env: &Env) -> Result<Remote, String> {
        let kind = Kind::Consul { token: record.text("token").map(str::to_owned) };
        Remote::new(record, 8500, true, kind, env)
    }

    /// A Vault, by its record.
    pub fn vault(record: &Config<'_>, env: &Env) -> Result<Remote, String> {
        let named = |field: &str, usual: &str| record.text(field).unwrap_or(usual).to_owned();
        if record.text("tls_server_name").is_some_and(|name| Some(name) != record.text("host")) {
            return Err("config.storage_config.vault.tls_server_name: must be the host".to_owned());
        }
        let login = match record.text("auth_method") {
            Some("kubernetes") => Login::Kubernetes {
                path: named("auth_path", "kubernetes").trim_matches('/').to_owned(),
                role: named("auth_role", ""),
                jwt: named("jwt_path", IDENTITY),
                token: Mutex::default(),
            },
            _ => Login::Token(named("token", "")),
        };
        let kind = Kind::Vault { login, tasks: env.tasks().clone() };
        let verify = record.flag("tls_verify");
        Remote::new(record, 8200, verify, kind, env)
    }

    fn new(record: &Config<'_>, port: u16, verify: bool, kind: Kind, env: &Env) -> Result<Remote, String> {
        let scheme = if record.flag("https") { "https" } else { "http" };
        let host = record.text("host").unwrap_or("127.0.0.1");
        let base = format!("{scheme}://{host}:{}/v1/", record.integer("port").unwrap_or(port));
        Url::parse(&base).map_err(|why| format!("config.storage_config: {why}"))?;
        let timeout = Duration::from_secs_f64(record.number("timeout").unwrap_or(2_000.0).clamp(1.0, 1e9) / 1_000.0);
        let options = HttpOptions { timeout, verify, ..HttpOptions::default() };
        let path = record.text("kv_path").unwrap_or("acme").trim_matches('/').to_owned();
        Ok(Remote { client: HttpClient::new(env, options), base, path, kind })
    }

    pub async fn find(&self, key: &str) -> Result<Option<String>, String> {
        Ok(self.look_up(key).await?.value)
    }

    /// Keeps a value, for a while or for good.
    pub async fn put(&self, key: &str, value: &str, time: Option<Duration>) -> Result<(), String> {
        self.set(key, value, time, None).await.map(drop)
    }

    /// Keeps a value where there is none; whether there was none.
    pub async fn add(&self, key: &str, value: &str, time: Duration) -> Result<bool, String> {
        let found = self.look_up(key).await?;
        if found.value.is_some() {
            return Ok(false);
        }
        self.set(key, value, Some(time), Some(found.version)).await
    }

    pub async fn remove(&self, key: &str) -> Result<(), String> {
        let target = match &self.kind {
            Kind::Consul { .. } => self.target("kv", key),
            Kind::Vault { .. } => self.target("secret/metadata", key),
        };
        self.ask("DELETE", &target, Bytes::new()).await.map(drop)
    }

    /// The keys that begin in that way.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, String> {
        let (method, target) = match &self.kind {
            Kind::Consul { .. } => ("GET", format!("kv/{}/{}?keys", self.path, escaped(prefix))),
            Kind::Vault { .. } => ("LIST", format!("secret/metadata/{}/", self.path)),
        };
        let Some(answer) = self.ask(method, &target, Bytes::new()).await? else { return Ok(Vec::new()) };
        let keys = match &self.kind {
            Kind::Consul { .. } => answer.as_array(),
            Kind::Vault { .. } => answer["data"]["keys"].as_array(),
        };
        let last = |key: &Value| key.as_str()?.rsplit('/').next().map(str::to_owned);
        Ok(keys.into_iter().flatten().filter_map(last).filter(|key| key.starts_with(prefix)).collect())
    }

    async fn look_up(&self, key: &str) -> Result<Found, String> {
        match &self.kind {
            Kind::Consul { .. } => {
                let answer = self.ask("GET", &self.target("kv", key), Bytes::new()).await?.unwrap_or_default();
                let entry = &answer[0];
                let over = entry["Flags"].as_u64().is_some_and(|end| end > 0 && end <= now_ms());
                let octets = entry["Value"].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
                let value = octets.filter(|_| !over).and_then(|octets| String::from_utf8(octets).ok());
                Ok(Found { value, version: entry["ModifyIndex"].as_u64().unwrap_or(0) })
            }
            Kind::Vault { .. } => {
                let target = self.target("secret/data", key);
                let answer = self.ask("GET", &target, Bytes::new()).await?.unwrap_or_default();
                let value = answer["data"]["data"]["value"].as_str().map(str::to_owned);
                Ok(Found { value, version: answer["data"]["metadata"]["version"].as_u64().unwrap_or(0) })
            }
        }
    }

    /// Sets a value, or only where it still has that version; whether it was set.
    async fn set(&self, key: &str, value: &str, time: Option<Duration>, version: Option<u64>) -> Result<bool, String> {
        let milliseconds = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1));
        match &self.kind {
            Kind::Consul { .. } => {
                let mut target = self.target("kv", key);
                target.push_str(&format!("?flags={}", milliseconds.map_or(0, |time| now_ms().saturating_add(time))));
                version.iter().for_each(|version| target.push_str(&format!("&cas={version}")));
                let answer = self.ask("PUT", &target, value.to_owned().into()).await?;
                Ok(answer == Some(Value::Bool(true)))
            }
            Kind::Vault { .. } => {
                let ends = json!({ "delete_version_after": format!("{}ms", milliseconds.unwrap_or(0)) });
                self.ask("POST", &self.target("secret/metadata", key), ends.to_string().into()).await?;
                let mut secret = json!({ "data": { "value": value, "note": "managed by acme" } });
                if let Some(version) = version {
                    secret["options"] = json!({ "cas": version });
                }
                let target = self.target("secret/data", key);
                match self.send("POST", &target, secret.to_string().into()).await? {
                    // Somebody else was faster.
                    response if response.status == 400 && version.is_some() => Ok(false),
                    response => content(&response).map(|_| true),
                }
            }
        }
    }

    fn target(&self, place: &str, key: &str) -> String {
        format!("{place}/{}/{}", self.path, escaped(key))
    }

    /// The answer to a request; `None`: there is nothing of the kind.
    async fn ask(&self, method: &str, target: &str, body: Bytes) -> Result<Option<Value>, String> {
        content(&self.send(method, target, body).await?)
    }

    async fn send(&self, method: &str, target: &str, body: Bytes) -> Result<HttpResponse, String> {
        let token = match &self.kind {
            Kind::Consul { token } => token.as_deref().map(|token| ("X-Consul-Token", Arc::from(token))),
            Kind::Vault { login, tasks } => Some(("X-Vault-Token", self.token(login, tasks).await?)),
        };
        let token = token.as_ref().map(|(name, token)| (*name, &**token));
        let response = self.request(method, target, token, body).await?;
        if response.status == 403
            && let Kind::Vault { login: Login::Kubernetes { token, .. }, .. } = &self.kind
        {
            // It may have ended: the next request asks for another one.
            *token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Ok(response)
    }

    async fn request(
        &self,
        method: &str,
        target: &str,
        line: Option<(&str, &str)>,
        content: Bytes,
    ) -> Result<HttpResponse, String> {
        let fields: Fields = line.into_iter().collect();
        let url = Url::parse(&format!("{}{target}", self.base))?;
        let request = HttpRequest { method: method.to_owned(), url, fields, content };
        self.client.send(request).await.map_err(|error| error.to_string())
    }

    async fn token(&self, login: &Login, tasks: &Tasks) -> Result<Arc<str>, String> {
        let (path, role, jwt, known) = match login {
            Login::Token(token) => return Ok(token.as_str().into()),
            Login::Kubernetes { path, role, jwt, token } => (path, role, jwt, token),
        };
        if let Some(token) = known.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(token);
        }
        let file = jwt.clone();
        let identity = tasks.blocking(move || std::fs::read_to_string(file)).await;
        let identity = identity.ok_or("the node ends")?.map_err(|error| format!("jwt_path: {error}"))?;
        let body = json!({ "role": role, "jwt": identity.trim() }).to_string();
        let response = self.request("POST", &format!("auth/{path}/login"), None, body.into()).await?;
        let answer = content(&response)?.unwrap_or_default();
        let token: Arc<str> = answer["auth"]["client_token"].as_str().ok_or("Vault gives no token")?.into();
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
        Ok(token)
    }
}

/// What a response says. What is not there is told of with what was there before, by Vault.
fn content(response: &HttpResponse) -> Result<Option<Value>, String> {
    let parsed = serde_json::from_slice(&response.content).ok();
    match response.status {
        404 => Ok(parsed),
        204 => Ok(None),
        200..300 => parsed.map(Some).ok_or_else(|| "the answer is no JSON".to_owned()),
        status => Err(format!("the server answers with status {status}")),
    }
}

fn escaped(key: &str) -> String {
    url::form_urlencoded::byte_serialize(key.as_bytes()).collect::<String>().replace('+', "%20")
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing::Server;

    /// Answers a request; what it was.
    async fn answer(server: &Server, status: u16, body: Value) -> (String, String) {
        let mut peer = server.accept().await;
        let (head, content) = peer.request().await;
        let body = body.to_string();
        let head_of_answer =
            format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        peer.send(format!("{head_of_answer}{body}").as_bytes()).await;
        (head, content)
    }

    fn record(server: &Server, more: Value) -> Value {
        let mut record = json!({ "host": "127.0.0.1", "port": server.address().port(), "token": "hush" });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    }

    fn remote(kind: fn(&Config<'_>, &Env) -> Result<Remote, String>, record: &Value) -> Remote {
        kind(&Config::new(record.as_object().unwrap()), &Env::default()).unwrap()
    }

    #[tokio::test]
    async fn consul_keeps_values() {
        let server = Server::start().await;
        let consul = remote(Remote::consul, &record(&server, json!({ "kv_path": "/kong" })));
        let (kept, (head, content)) = tokio::join!(consul.put("t#1", "v", None), answer(&server, 200, json!(true)));
        kept.unwrap();
        assert!(head.starts_with("PUT /v1/kv/kong/t%231?flags=0 HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("\r\nx-consul-token: hush\r\n"), "{head}");
        assert_eq!(content, "v");
        let entry = |flags: u64| json!([{ "Value": "dg==", "Flags": flags, "ModifyIndex": 7 }]);
        let (found, _) = tokio::join!(consul.find("t"), answer(&server, 200, entry(0)));
        assert_eq!(found, Ok(Some("v".to_owned())));
        let (found, _) = tokio::join!(consul.find("t"), answer(&server, 200, entry(1)));
        assert_eq!(found, Ok(None), "its time is over");
        let (found, _) = tokio::join!(consul.find("t"), answer(&server, 404, json!(null)));
        assert_eq!(found, Ok(None));
        let added = consul.add("t", "w", Duration::from_secs(9));
        let (added, head) = tokio::join!(added, async {
            answer(&server, 200, entry(1)).await;
            answer(&server, 200, json!(false)).await.0
        });
        assert_eq!(added, Ok(false), "somebody else was faster");
        assert!(head.contains("&cas=7 "), "{head}");
        let keys = json!(["kong/a:1", "kong/a:2"]);
        let (listed, (head, _)) = tokio::join!(consul.list("a:"), answer(&server, 200, keys));
        assert_eq!(listed.unwrap(), ["a:1", "a:2"]);
        assert!(head.starts_with("GET /v1/kv/kong/a%3A?keys "), "{head}");
        let (failed, _) = tokio::join!(consul.find("t"), answer(&server, 500, json!(null)));
        assert!(failed.is_err());
    }

    #[tokio::test]
    async fn vault_keeps_values() {
        let server = Server::start().await;
        let vault = remote(Remote::vault, &record(&server, json!({})));
        let gone = json!({ "data": { "data": null, "metadata": { "version": 3 } } });
        let added = vault.add("t", "w", Duration::from_secs(9));
        let (added, (metadata, data)) = tokio::join!(added, async {
            answer(&server, 404, gone).await;
            (answer(&server, 200, json!({})).await, answer(&server, 200, json!({})).await)
        });
        assert_eq!(added, Ok(true));
        assert!(metadata.0.starts_with("POST /v1/secret/metadata/acme/t "), "{}", metadata.0);
        assert_eq!(metadata.1, r#"{"delete_version_after":"9000ms"}"#);
        assert!(data.0.starts_with("POST /v1/secret/data/acme/t "), "{}", data.0);
        let secret: Value = serde_json::from_str(&data.1).unwrap();
        assert_eq!(secret["data"]["value"], "w");
        assert_eq!(secret["options"]["cas"], 3);
        let there = json!({ "data": { "data": { "value": "w" }, "metadata": { "version": 4 } } });
        let (found, _) = tokio::join!(vault.find("t"), answer(&server, 200, there));
        assert_eq!(found, Ok(Some("w".to_owned())));
        let keys = json!({ "data": { "keys": ["a:1", "b:1"] } });
        let (listed, (head, _)) = tokio::join!(vault.list("a:"), answer(&server, 200, keys));
        assert_eq!(listed.unwrap(), ["a:1"]);
        assert!(head.starts_with("LIST /v1/secret/metadata/acme/ "), "{head}");
    }

    #[tokio::test]
    async fn pods_log_in_to_vault() {
        let server = Server::start().await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "identity\n").unwrap();
        let more = json!({ "auth_method": "kubernetes", "auth_role": "gateway", "jwt_path": file.path() });
        let vault = remote(Remote::vault, &record(&server, more));
        let (found, (login, head)) = tokio::join!(vault.find("t"), async {
            let login = answer(&server, 200, json!({ "auth": { "client_token": "given" } })).await;
            (login, answer(&server, 404, json!(null)).await.0)
        });
        assert_eq!(found, Ok(None));
        assert!(login.0.starts_with("POST /v1/auth/kubernetes/login "), "{}", login.0);
        assert_eq!(login.1, r#"{"role":"gateway","jwt":"identity"}"#);
        assert!(head.to_ascii_lowercase().contains("\r\nx-vault-token: given\r\n"), "{head}");
    }
}
