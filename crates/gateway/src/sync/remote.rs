//! The Admin API of a node, this one's or another's.

use model::Record;
use sdk::{Bytes, Env, Fields, HttpClient, HttpOptions, HttpRequest, Url};
use serde_json::{Map, Value};
use std::time::Duration;

/// An Admin API, or one workspace of it.
pub struct Remote {
    client: HttpClient,
    /// Without a slash at the end.
    base: String,
    fields: Fields,
}

/// So many records are asked for at once, the most that there are.
const PAGE: usize = 1000;
/// Octets of an answer.
const MAX_ANSWER: usize = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

impl Remote {
    /// The API at that URL. `headers` (`Name: value`) go with each request; what it must prove is in `env`, where
    /// `verify` asks for it.
    pub fn new(
        env: &Env,
        url: &str,
        workspace: Option<&str>,
        headers: &[String],
        verify: bool,
    ) -> Result<Remote, String> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        Url::parse(&url).map_err(|e| format!("{url}: {e}"))?;
        let mut fields = Fields::new();
        fields.append("Content-Type", b"application/json");
        for header in headers {
            let (name, value) = header.split_once(':').ok_or_else(|| format!("no header: '{header}'"))?;
            let (name, value) = (name.trim(), value.trim());
            if !Fields::is_valid_value(value.as_bytes()) {
                return Err(format!("the value of the header {name} has characters that it cannot have"));
            }
            fields.append(name, value.as_bytes());
        }
        let workspace = workspace.map(|name| format!("/{name}")).unwrap_or_default();
        let options = HttpOptions { timeout: PATIENCE, verify, max_content: MAX_ANSWER, ..HttpOptions::default() };
        Ok(Remote {
            client: HttpClient::new(env, options),
            base: format!("{}{workspace}", url.trim_end_matches('/')),
            fields,
        })
    }

    /// Fails when there is no such API or no such workspace.
    pub async fn check(&self) -> Result<(), String> {
        let there = self.is_there().await?;
        there.then_some(()).ok_or_else(|| format!("there is no Admin API, or no such workspace, at {}", self.base))
    }

    /// Whether there is such an API, or workspace of it.
    pub async fn is_there(&self) -> Result<bool, String> {
        Ok(self.ask("GET", "/", None).await?.is_some())
    }

    /// All records of a collection, or those with all of these tags. One that there is not has none.
    pub async fn list(&self, path: &str, tags: &[String]) -> Result<Vec<Record>, String> {
        let tags = if tags.is_empty() { String::new() } else { format!("&tags={}", escaped(&tags.join(","))) };
        let (mut records, mut offset) = (Vec::new(), String::new());
        loop {
            let question = format!("{path}?size={PAGE}{tags}{offset}");
            let Some(mut page) = self.ask("GET", &question, None).await? else { return Ok(records) };
            match page.remove("data") {
                Some(Value::Array(data)) => records.extend(data.into_iter().filter_map(|record| match record {
                    Value::Object(record) => Some(record),
                    _ => None,
                })),
                _ => return Err(format!("GET {}{question}: the answer has no 'data'", self.base)),
            }
            match page.get("offset").and_then(Value::as_str) {
                Some(next) => offset = format!("&offset={}", escaped(next)),
                None => return Ok(records),
            }
        }
    }

    /// What goes through the node now.
    pub async fn live(&self) -> Result<Record, String> {
        let found = self.ask("GET", "/bascule/live", None).await?;
        found.ok_or_else(|| format!("the node at {} shows nothing of its traffic: is it Bascule?", self.base))
    }

    /// Changes something; what is to be removed may be gone already.
    pub async fn send(&self, method: &str, path: &str, record: Option<&Record>) -> Result<(), String> {
        let content = record.map(serde_json::to_vec).transpose().map_err(|e| e.to_string())?;
        self.ask(method, path, content).await.map(drop)
    }

    /// The answer's object; `None`: there is no such thing.
    async fn ask(&self, method: &str, path: &str, content: Option<Vec<u8>>) -> Result<Option<Record>, String> {
        let target = format!("{}{path}", self.base);
        let failed = |why: &dyn std::fmt::Display| format!("{method} {target}: {why}");
        let url = Url::parse(&target).map_err(|e| failed(&e))?;
        let content = content.map_or_else(Bytes::new, Bytes::from);
        let request = HttpRequest { method: method.to_owned(), url, fields: self.fields.clone(), content };
        let response = self.client.send(request).await.map_err(|e| failed(&e))?;
        let body: Record = serde_json::from_slice(&response.content).unwrap_or_else(|_| Map::new());
        match response.status {
            404 if method != "PUT" && method != "POST" => Ok(None),
            200..300 => Ok(Some(body)),
            status => {
                let message = body.get("message").and_then(Value::as_str).unwrap_or("no reason is given");
                Err(failed(&format!("{status}: {message}")))
            }
        }
    }
}

fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
