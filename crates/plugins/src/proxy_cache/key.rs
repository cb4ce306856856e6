//! Cache keys, derived as Kong derives them, so that both make the same key for a request.

use sdk::{Args, Exchange, Version};
use sha2::{Digest as _, Sha256};

/// A SHA-256.
pub type Digest = [u8; 32];

/// What of a request counts for its key beside route, consumer, method and path.
#[derive(Debug, Default)]
pub struct Vary {
    /// The query arguments; empty: all of them.
    pub query: Vec<String>,
    /// The header fields; empty: none.
    pub headers: Vec<String>,
    /// The path in lower case.
    pub ignore_case: bool,
}

impl Vary {
    /// The key of a request.
    pub fn key(&self, exchange: &Exchange) -> Digest {
        let mut text = String::with_capacity(256);
        if let Some(route) = &exchange.route {
            if let Some(consumer) = &exchange.consumer {
                text.push_str(consumer.id.hyphenated().encode_lower(&mut sdk::entities::Uuid::encode_buffer()));
                text.push(':');
            }
            text.push_str(route.id.hyphenated().encode_lower(&mut sdk::entities::Uuid::encode_buffer()));
        } else {
            text.push_str("default");
        }
        let method = exchange.request.method.as_str();
        text.extend(["|", method, "|"]);
        self.push_request_line(exchange, &mut text);
        text.push('|');
        if let Some(query) = exchange.request.query() {
            self.push_query(query, &mut text);
        }
        text.push('|');
        let mut first = true;
        for name in &self.headers {
            let values =
                exchange.request.fields.get_all(name).map(|v| Some(String::from_utf8_lossy(v).into_owned())).collect();
            push_values(name, values, &mut first, &mut text);
        }
        Sha256::digest(text).into()
    }

    /// The request line up to the `?`: so it ends with the version only if there is no query. Kong has it that way.
    fn push_request_line(&self, exchange: &Exchange, text: &mut String) {
        let start = text.len();
        text.extend([exchange.request.method.as_str(), " ", exchange.request.path()]);
        if exchange.request.query().is_none() {
            text.push_str(match exchange.request.version {
                Version::Http10 => " HTTP/1.0",
                Version::Http11 => " HTTP/1.1",
                Version::Http2 => " HTTP/2.0",
                Version::Http3 => " HTTP/3.0",
            });
        }
        if self.ignore_case {
            text[start..].make_ascii_lowercase();
        }
    }

    fn push_query(&self, query: &str, text: &mut String) {
        let args = Args::parse(query);
        let mut all: Vec<&str> = Vec::new();
        let names: &mut dyn Iterator<Item = &str> = if self.query.is_empty() {
            all.extend(args.iter().map(|(name, _)| name));
            all.sort_unstable();
            all.dedup();
            &mut all.into_iter()
        } else {
            &mut self.query.iter().map(String::as_str)
        };
        let mut first = true;
        for name in names {
            push_values(name, args.get_all(name).map(|v| v.map(str::to_owned)).collect(), &mut first, text);
        }
    }
}

/// As Kong shows a key.
pub fn to_hex(digest: &Digest) -> String {
    digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|n| char::from_digit(u32::from(n), 16)).collect()
}

/// A key from its hexadecimal form.
pub fn from_hex(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(digest)
}

/// `name=a,b` with the values sorted, or `name` for an argument without value; nothing when there is none.
fn push_values(name: &str, mut values: Vec<Option<String>>, first: &mut bool, text: &mut String) {
    if values.is_empty() {
        return;
    }
    if !std::mem::take(first) {
        text.push(':');
    }
    text.push_str(name);
    if values == [None] {
        return;
    }
    values.sort();
    text.push('=');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(value.as_deref().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;

    fn key(vary: &Vary, target: &str, lines: &[(&str, &str)]) -> String {
        to_hex(&vary.key(&testing::exchange("GET", target, lines)))
    }

    fn sha(text: &str) -> String {
        to_hex(&Sha256::digest(text).into())
    }

    #[test]
    fn keys_are_those_of_kong() {
        let all = Vary::default();
        assert_eq!(key(&all, "/r/a", &[]), sha("default|GET|GET /r/a HTTP/1.1||"));
        assert_eq!(key(&all, "/r?b=2&a=1&c&a=0", &[]), sha("default|GET|GET /r|a=0,1:b=2:c|"));
        let some = Vary {
            query: vec!["z".into(), "a".into()],
            headers: vec!["x-lang".into(), "x-none".into()],
            ignore_case: true,
        };
        assert_eq!(
            key(&some, "/R?b=2&a=1&z=3", &[("X-Lang", "en"), ("x-lang", "de")]),
            sha("default|GET|get /r|z=3:a=1|x-lang=de,en")
        );
    }

    #[test]
    fn hexadecimal_there_and_back() {
        let digest = Sha256::digest("x").into();
        assert_eq!(from_hex(&to_hex(&digest)), Some(digest));
        assert_eq!((from_hex("12"), from_hex(&"g".repeat(64)), from_hex(&"+1".repeat(32))), (None, None, None));
    }
}
