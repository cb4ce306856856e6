//! `proxy_set_header` at Kong's location: lines of requests to services.

use crate::access_log::{Format, Record};
use std::sync::Arc;
use wire::Fields;

/// Lines that are set on requests to services.
#[derive(Clone, Debug, Default)]
pub struct SetHeaders {
    lines: Vec<(String, Arc<Format>)>,
}

/// What the gateway itself says to services.
const OWN: &[&str] = &[
    "host",
    "connection",
    "content-length",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-kong-request-id",
    "x-real-ip",
];

impl SetHeaders {
    /// Adds `proxy_set_header name value`.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        if OWN.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("\"{name}\" is set by the gateway itself"));
        }
        if !Fields::is_valid_name(name.as_bytes()) {
            return Err(format!("invalid name \"{name}\""));
        }
        let format = Format::value(value)?;
        if format.constant().is_some_and(|text| !Fields::is_valid_value(text)) {
            return Err(format!("the value of \"{name}\" has a control character"));
        }
        self.lines.push((name.to_owned(), Arc::new(format)));
        Ok(())
    }

    /// Whether there is nothing to set.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether a value has what clients offer in TLS.
    pub fn tells_offers(&self) -> bool {
        self.lines.iter().any(|(_, format)| format.tells_offers())
    }

    /// Whether a value has the content of requests.
    pub fn needs_content(&self) -> bool {
        self.lines.iter().any(|(_, format)| format.needs_content())
    }

    /// What is to be set on a request; [`SetHeaders::apply`] does it.
    pub fn render(&self, record: &Record<'_>) -> Vec<Vec<u8>> {
        let value = |(_, format): &(String, Arc<Format>)| {
            let mut value = Vec::new();
            format.write_value(record, &mut value);
            value
        };
        self.lines.iter().map(value).collect()
    }

    /// Sets lines; one without value is taken away, and so is one that no line can carry.
    pub fn apply(&self, fields: &mut Fields, values: &[Vec<u8>]) {
        for (name, _) in &self.lines {
            fields.remove(name);
        }
        for ((name, _), value) in self.lines.iter().zip(values) {
            if !value.is_empty() && Fields::is_valid_value(value) {
                fields.append(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record;
    use super::*;

    #[test]
    fn lines_are_set() {
        let mut headers = SetHeaders::default();
        for (name, value) in [("X-A", "1"), ("X-Gone", ""), ("X-Arg", "$arg_a"), ("X-A", "2"), ("X-Uri", "$uri")] {
            headers.add(name, value).unwrap();
        }
        let mut fields: Fields =
            [("x-a", "forged"), ("X-Gone", "x"), ("X-Arg", "forged"), ("X-Uri", "forged"), ("X-B", "b")]
                .into_iter()
                .collect();
        let values = record("/%0a?a=v", 0, |record| headers.render(record));
        headers.apply(&mut fields, &values);
        let lines: Vec<_> = fields.iter().map(|(name, value)| (name, std::str::from_utf8(value).unwrap())).collect();
        assert_eq!(lines, [("X-B", "b"), ("X-A", "1"), ("X-Arg", "v"), ("X-A", "2")]);
    }

    #[test]
    fn mistakes() {
        for (name, value) in [("Host", "x"), ("x-forwarded-for", "x"), ("a b", "x"), ("X", "a\rb"), ("X", "$nope")] {
            assert!(SetHeaders::default().add(name, value).is_err(), "{name}");
        }
    }
}
