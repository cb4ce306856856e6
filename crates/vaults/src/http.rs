//! Requests to vaults that speak JSON.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sdk::{Bytes, Env, Fields, HttpClient, HttpOptions, HttpRequest, OwnCertificate, Url};
use serde_json::Value;
use std::time::Duration;

/// What vaults are asked by.
pub struct Http(HttpClient);

/// An answer.
pub struct Answer {
    pub status: u16,
    /// Null where it is not JSON.
    pub content: Value,
}

/// For connecting, then for the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ESCAPED_IN_PATHS: &AsciiSet = &ESCAPED.remove(b'/');

impl Http {
    /// Reaches servers as the node does.
    pub fn new(env: &Env, verify: bool) -> Http {
        Http(HttpClient::new(env, HttpOptions { timeout: TIMEOUT, verify, ..HttpOptions::default() }))
    }

    /// The same, with a certificate for whoever asks.
    pub fn showing(self, certificate: OwnCertificate) -> Http {
        Http(self.0.showing(certificate))
    }

    pub async fn get(&self, url: &str, fields: Fields) -> Result<Answer, String> {
        self.send("GET", url, fields, Bytes::new()).await
    }

    /// The content of an answer that is text.
    pub async fn text(&self, method: &str, url: &str, fields: Fields) -> Result<String, String> {
        let request = HttpRequest { method: method.to_owned(), url: Url::parse(url)?, fields, content: Bytes::new() };
        let response = self.0.send(request).await.map_err(|error| error.to_string())?;
        match response.status {
            200 => String::from_utf8(response.content.to_vec()).map_err(|_| "the answer is no text".to_owned()),
            status => Err(format!("status {status}")),
        }
    }

    pub async fn post(&self, url: &str, mut fields: Fields, content: &Value) -> Result<Answer, String> {
        fields.set("Content-Type", b"application/json");
        self.send("POST", url, fields, content.to_string().into()).await
    }

    pub async fn post_form(&self, url: &str, form: &[(&str, &str)]) -> Result<Answer, String> {
        let fields = [("Content-Type", "application/x-www-form-urlencoded")].into_iter().collect();
        let pairs = form.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
        self.send("POST", url, fields, pairs.collect::<Vec<_>>().join("&").into()).await
    }

    /// Sends a request that has been made elsewhere.
    pub async fn request(&self, request: HttpRequest) -> Result<Answer, String> {
        let response = self.0.send(request).await.map_err(|error| error.to_string())?;
        let content = serde_json::from_slice(&response.content).unwrap_or_default();
        Ok(Answer { status: response.status, content })
    }

    async fn send(&self, method: &str, url: &str, fields: Fields, content: Bytes) -> Result<Answer, String> {
        self.request(HttpRequest { method: method.to_owned(), url: Url::parse(url)?, fields, content }).await
    }
}

impl Answer {
    /// A text in it, by the names on the way there.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        path.iter().try_fold(&self.content, |value, name| value.get(name))?.as_str()
    }

    /// The same, which must be there.
    pub fn needed(&self, path: &[&str]) -> Result<&str, String> {
        self.text(path).ok_or_else(|| format!("no {} in the answer", path.join(".")))
    }

    /// A duration in seconds in it.
    pub fn seconds(&self, path: &[&str]) -> Option<Duration> {
        let value = path.iter().try_fold(&self.content, |value, name| value.get(name))?;
        let seconds = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        Some(Duration::from_secs(seconds))
    }

    /// An error unless it is what was asked for. Answers that are not may tell more than logs should.
    pub fn check(self, what: &str) -> Result<Answer, String> {
        if self.status == 200 { Ok(self) } else { Err(format!("{what}: status {}", self.status)) }
    }
}

/// A segment of a path, or a value in a query or form.
pub fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// A path of several segments.
pub fn escaped_path(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED_IN_PATHS).to_string()
}
