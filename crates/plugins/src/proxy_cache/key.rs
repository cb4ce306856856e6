//! Cache keys, derived as Kong derives them, so that both make the same key for an ordinary request.
//!
//! Kong's text is ambiguous: `?a=1:b=2` and `?a=1&b=2` make the same one. Here the marks between names and values are
//! escaped where they stand in a name or a value.

use sdk::{Args, Exchange, Version};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;

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
    /// Whether the consumer groups of the caller count.
    pub groups: bool,
}

impl Vary {
    /// The key of a request.
    pub fn key(&self, exchange: &Exchange) -> Digest {
        let mut text = Vec::with_capacity(256);
        if let Some(route) = &exchange.route {
            if let Some(consumer) = &exchange.consumer {
                push_id(&consumer.id, &mut text);
                text.push(b':');
            }
            push_id(&route.id, &mut text);
        } else {
            text.extend_from_slice(b"default");
        }
        text.push(b'|');
        text.extend_from_slice(exchange.request.method.as_bytes());
        text.push(b'|');
        self.push_request_line(exchange, &mut text);
        text.push(b'|');
        if let Some(query) = exchange.request.query() {
            self.push_query(query, &mut text);
        }
        text.push(b'|');
        let mut first = true;
        for name in &self.headers {
            let values = exchange.request.fields.get_all(name).map(|value| Some(Cow::Borrowed(value))).collect();
            push_values(name.as_bytes(), values, &mut first, &mut text);
        }
        if self.groups {
            text.push(b'|');
            for group in exchange.consumer_groups() {
                push_id(&group.id, &mut text);
                text.push(b',');
            }
        }
        Sha256::digest(text).into()
    }

    /// The request line up to the `?`: so it ends with the version only if there is no query. Kong has it that way.
    fn push_request_line(&self, exchange: &Exchange, text: &mut Vec<u8>) {
        let start = text.len();
        text.extend_from_slice(exchange.request.method.as_bytes());
        text.push(b' ');
        text.extend_from_slice(exchange.request.path().as_bytes());
        if exchange.request.query().is_none() {
            text.extend_from_slice(match exchange.request.version {
                Version::Http10 => b" HTTP/1.0",
                Version::Http11 => b" HTTP/1.1",
                Version::Http2 => b" HTTP/2.0",
                Version::Http3 => b" HTTP/3.0",
            });
        }
        if self.ignore_case {
            text[start..].make_ascii_lowercase();
        }
    }

    fn push_query(&self, query: &str, text: &mut Vec<u8>) {
        let args = Args::parse(query);
        let mut first = true;
        if !self.query.is_empty() {
            for name in &self.query {
                push_values(name.as_bytes(), args.get_all(name).collect(), &mut first, text);
            }
            return;
        }
        let mut all: Vec<_> = args.iter().collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        for same in all.chunk_by(|(a, _), (b, _)| a == b) {
            let values = same.iter().map(|(_, value)| value.clone()).collect();
            push_values(&same[0].0, values, &mut first, text);
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
fn push_values(name: &[u8], mut values: Vec<Option<Cow<'_, [u8]>>>, first: &mut bool, text: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    if !std::mem::take(first) {
        text.push(b':');
    }
    push_escaped(name, text);
    if values == [None] {
        return;
    }
    values.sort();
    text.push(b'=');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        match value {
            Some(value) => push_escaped(value, text),
            // One without value among others.
            None => text.push(b'%'),
        }
    }
}

fn push_escaped(octets: &[u8], text: &mut Vec<u8>) {
    for &octet in octets {
        match octet {
            b'%' | b'|' | b':' | b'=' | b',' => text.extend_from_slice(format!("%{octet:02X}").as_bytes()),
            _ => text.push(octet),
        }
    }
}

fn push_id(id: &sdk::entities::Uuid, text: &mut Vec<u8>) {
    let mut buffer = sdk::entities::Uuid::encode_buffer();
    text.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
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
            groups: false,
        };
        assert_eq!(
            key(&some, "/R?b=2&a=1&z=3", &[("X-Lang", "en"), ("x-lang", "de")]),
            sha("default|GET|get /r|z=3:a=1|x-lang=de,en")
        );
    }

    #[test]
    fn consumer_groups_count_where_they_are_to() {
        let mut entries = testing::Entries::default();
        let consumer = entries.consumer("ada", None);
        let group = entries.consumer_group("gold", &consumer);
        let mut exchange = testing::exchange_with("GET", "/a", &[], entries.into());
        exchange.consumer = Some(consumer.clone());
        let key = |groups| to_hex(&Vary { groups, ..Vary::default() }.key(&exchange));
        assert_eq!(key(false), sha("default|GET|GET /a HTTP/1.1||"));
        assert_eq!(key(true), sha(&format!("default|GET|GET /a HTTP/1.1|||{},", group.id)));
    }

    #[test]
    fn different_requests_have_different_keys() {
        let vary = Vary { headers: vec!["x-lang".into(), "x-more".into()], ..Vary::default() };
        let mut targets: Vec<String> = [
            "/v",
            "/v?",
            "/v?a",
            "/v?a=",
            "/v?a=1",
            "/v?a=1&b=2",
            "/v?a=1:b=2",
            "/v?a=1,2",
            "/v?a=1&a=2",
            "/v?a&a=",
            "/v?a=&a=",
            "/v?a&a",
            "/v?a=%25",
            "/v?a=%2525",
            "/v?name=Andr%E9",
            "/v?name=Andr%E8",
            "/v?name=Andr%C3%A9",
            "/v?name=Andr%EF%BF%BD",
            "/v?na%E9me=1",
            "/v?na%E8me=1",
            "/v|a=1?b",
            "/v?a=1|b",
        ]
        .map(str::to_owned)
        .into();
        // No argument is too far behind to count.
        targets.extend([1, 2].map(|n| format!("/v?{}x={n}", "a&".repeat(1_500))));
        let mut keys: Vec<_> = targets.iter().map(|target| key(&vary, target, &[])).collect();
        let lines: [&[(&str, &[u8])]; 5] = [
            &[("X-Lang", b"\xe9")],
            &[("X-Lang", b"\xe8")],
            &[("X-Lang", "\u{fffd}".as_bytes())],
            &[("X-Lang", b"de:x-more=1")],
            &[("X-Lang", b"de"), ("X-More", b"1")],
        ];
        for lines in lines {
            let mut exchange = testing::exchange("GET", "/v", &[]);
            lines.iter().for_each(|(name, value)| exchange.request.fields.append(name, value));
            keys.push(to_hex(&vary.key(&exchange)));
        }
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
        assert_eq!(key(&vary, "/v?b=2&a=1", &[]), key(&vary, "/v?a=1&b=2", &[]));
        assert_eq!(key(&vary, "/v?a=%31", &[]), key(&vary, "/v?a=1", &[]));
    }

    #[test]
    fn hexadecimal_there_and_back() {
        let digest = Sha256::digest("x").into();
        assert_eq!(from_hex(&to_hex(&digest)), Some(digest));
        assert_eq!(from_hex("12"), None);
        assert_eq!(from_hex(&"g".repeat(64)), None);
        assert_eq!(from_hex(&"+1".repeat(32)), None);
    }
}
