//! Signature Version 4: what proves to a service who sends a request, and that nobody has changed it.

use super::Credentials;
use crate::{Bytes, Fields, HttpRequest, Url};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Signs requests to one service in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    pub region: String,
    /// As in the service's host name: `lambda`, `secretsmanager`, `sts`.
    pub service: String,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What stays as it is: RFC 3986, section 2.3.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ESCAPED_IN_PATHS: &AsciiSet = &ESCAPED.remove(b'/');
/// Fields that proxies and clients add or change.
const UNSIGNED: [&str; 7] =
    ["authorization", "connection", "expect", "te", "transfer-encoding", "user-agent", "x-amzn-trace-id"];

impl Signer {
    /// Adds the fields that sign a request, in place of those it may have; every other field is signed.
    pub fn sign(&self, request: &mut HttpRequest, credentials: &Credentials, now: Timestamp) {
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let fields = &mut request.fields;
        fields.remove("authorization");
        fields.set("X-Amz-Date", time.as_bytes());
        match &credentials.session_token {
            Some(token) => fields.set("X-Amz-Security-Token", token.as_bytes()),
            None => drop(fields.remove("x-amz-security-token")),
        }
        let (canonical, names) = canonical_request(request);
        let signature = self.signature(&credentials.secret_access_key, &time, &canonical);
        let (key, scope) = (&credentials.access_key_id, self.scope(&time));
        let line = format!("{ALGORITHM} Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}");
        request.fields.set("Authorization", line.as_bytes());
    }

    /// A URL that proves for so many seconds who asks for it: its host, path and query are signed.
    pub fn presign(
        &self,
        url: &str,
        credentials: &Credentials,
        seconds: u32,
        now: Timestamp,
    ) -> Result<String, String> {
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let escaped = |text: &str| percent_encode(text.as_bytes(), ESCAPED).to_string();
        let key = escaped(&format!("{}/{}", credentials.access_key_id, self.scope(&time)));
        let separator = if url.contains('?') { '&' } else { '?' };
        let mut url = format!(
            "{url}{separator}X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={key}&X-Amz-Date={time}\
             &X-Amz-Expires={seconds}&X-Amz-SignedHeaders=host"
        );
        if let Some(token) = &credentials.session_token {
            let _ = write!(url, "&X-Amz-Security-Token={}", escaped(token));
        }
        let request = HttpRequest {
            method: "GET".to_owned(),
            url: Url::parse(&url)?,
            fields: Fields::default(),
            content: Bytes::new(),
        };
        let (canonical, _) = canonical_request(&request);
        let signature = self.signature(&credentials.secret_access_key, &time, &canonical);
        Ok(format!("{url}&X-Amz-Signature={signature}"))
    }

    fn scope(&self, time: &str) -> String {
        format!("{}/{}/{}/aws4_request", &time[..8], self.region, self.service)
    }

    fn signature(&self, secret: &str, time: &str, canonical: &str) -> String {
        let text = format!("{ALGORITHM}\n{time}\n{}\n{}", self.scope(time), hash(canonical.as_bytes()));
        let secret = format!("AWS4{secret}").into_bytes();
        let parts = [&time[..8], &self.region, &self.service, "aws4_request", &text];
        hex(&parts.into_iter().fold(secret, |key, part| {
            hmac::sign(&hmac::Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec()
        }))
    }
}

/// The request as both sides write it before they hash it, and the names of the fields in it.
fn canonical_request(request: &HttpRequest) -> (String, String) {
    let uri = request.url.uri();
    let usual = if request.url.is_https() { 443 } else { 80 };
    let host = match uri.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{}:{port}", uri.host().unwrap_or_default()),
        None => uri.host().unwrap_or_default().to_owned(),
    };
    let mut fields = BTreeMap::from([("host".to_owned(), host)]);
    for (name, value) in request.fields.iter() {
        let name = name.to_ascii_lowercase();
        if !UNSIGNED.contains(&name.as_str()) {
            let text = String::from_utf8_lossy(value);
            let value = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            fields.entry(name).and_modify(|known| *known = format!("{known},{value}")).or_insert(value);
        }
    }
    // The path is escaped once more, whatever is escaped in it already.
    let path = percent_encode(uri.path().as_bytes(), ESCAPED_IN_PATHS);
    let query = canonical_query(uri.query().unwrap_or_default());
    let lines: String = fields.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names = fields.into_keys().collect::<Vec<_>>().join(";");
    let content = hash(&request.content);
    (format!("{}\n{path}\n{query}\n{lines}\n{names}\n{content}", request.method), names)
}

/// Names and values in order, each escaped in the one way.
fn canonical_query(query: &str) -> String {
    let escaped = |text: &str| {
        let octets: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&octets, ESCAPED).to_string()
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (escaped(name), escaped(value)))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn hash(content: &[u8]) -> String {
    hex(digest(&SHA256, content).as_ref())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        // Writing to a string does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}
