//! Records for the Admin API, made from what it says of its schemas: good, half good, hostile.

use crate::random::Random;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;

/// Makes values that fields might take.
pub struct Maker {
    pub random: Random,
    /// Where services may lead.
    pub services: Vec<SocketAddr>,
}

impl Maker {
    /// A record of this schema. Required fields are mostly there.
    pub fn record(&mut self, schema: &Value, depth: usize) -> Value {
        let mut record = Map::new();
        for field in schema["fields"].as_array().into_iter().flatten() {
            for (name, field) in field.as_object().into_iter().flatten() {
                let required = field["required"] == true && field["default"].is_null();
                if field["auto"] == true || (!required && !self.random.one_in(4)) || self.random.one_in(60) {
                    continue;
                }
                let value = self.value(name, field, depth + 1);
                record.insert(name.clone(), value);
            }
        }
        if self.random.one_in(30) {
            record.insert(self.random.word(), self.hostile());
        }
        Value::Object(record)
    }

    /// A value that the field most likely takes.
    fn value(&mut self, name: &str, field: &Value, depth: usize) -> Value {
        if self.random.one_in(25) {
            return self.hostile();
        }
        if let Some(all) = field["one_of"].as_array().filter(|all| !all.is_empty()) {
            return self.random.pick(all).clone();
        }
        if !field["default"].is_null() && self.random.one_in(3) {
            return field["default"].clone();
        }
        if depth > 12 {
            return Value::Null;
        }
        match field["type"].as_str().unwrap_or_default() {
            "string" => json!(self.text(name, field)),
            "integer" => json!(self.number(name, field) as i64),
            "number" => json!(self.number(name, field)),
            "boolean" => json!(self.random.one_in(2)),
            "array" | "set" => {
                let count = 1 + self.random.below(3);
                (0..count).map(|_| self.value(name, &field["elements"], depth + 1)).collect()
            }
            "map" => {
                let pairs = (0..self.random.below(3)).map(|_| {
                    let key = self.text("key", &field["keys"]);
                    (key, self.value("value", &field["values"], depth + 1))
                });
                Value::Object(pairs.collect())
            }
            "record" => self.record(field, depth + 1),
            _ => Value::Null,
        }
    }

    fn number(&mut self, name: &str, field: &Value) -> f64 {
        // Plugins that answer with 1xx have an own test.
        if matches!(name, "status_code" | "status" | "error_code") {
            return (200 + self.random.below(400)) as f64;
        }
        match field["between"].as_array().map(|pair| (pair[0].as_f64(), pair[1].as_f64())) {
            Some((Some(low), Some(high))) if !self.random.one_in(10) => {
                let spread = (high - low).clamp(0.0, 1000.0) as usize;
                low + self.random.below(spread + 1) as f64
            }
            _ => *self.random.pick(&[1.0, 1.0, 2.0, 5.0, 60.0, 1000.0, 0.0, -1.0, 65536.0, 2_147_483_648.0, 1e15]),
        }
    }

    fn text(&mut self, name: &str, field: &Value) -> String {
        let service = self.services[self.random.below(self.services.len())];
        match name {
            "host" => self.random.pick(&["127.0.0.1", "127.0.0.1", "localhost", "u.test", "[::1]"]).to_string(),
            "hosts" => format!("{}.test", self.random.word()),
            "target" => service.to_string(),
            "url" => format!("http://{service}/x"),
            "paths" => {
                let word = self.random.word();
                self.random.pick(&[format!("/{word}"), format!("~/{word}/(?<n>[a-z]+)$"), "/".to_owned()]).clone()
            }
            "path" | "http_path" => format!("/{}", self.random.word()),
            "methods" => self.random.pick(&["GET", "POST", "PUT"]).to_string(),
            "hash_on_header" | "hash_fallback_header" => format!("X-{}", self.random.word()),
            "id" => uuid(&mut self.random),
            "ip" => self.random.pick(&["127.0.0.1", "10.0.0.0/8", "::1", "fe80::/10"]).to_string(),
            "headers" | "querystring" | "body" | "json" => format!("{}:{}", self.random.word(), self.random.word()),
            _ if field["uuid"] == true => uuid(&mut self.random),
            _ => self.random.word(),
        }
    }

    /// A value that hardly any field takes.
    pub fn hostile(&mut self) -> Value {
        match self.random.below(16) {
            0 => Value::Null,
            1 => json!([]),
            2 => json!({}),
            3 => json!(""),
            4 => json!(-1),
            5 => json!(1e300),
            6 => json!(u64::MAX),
            7 => json!("\u{0}"),
            8 => json!("a\r\nX-Injected: b"),
            9 => json!("\u{feff}\u{202e}é\u{1f600}"),
            10 => json!("x".repeat(self.random.below(200_000))),
            11 => json!(vec!["a"; self.random.below(3000)]),
            12 => (0..self.random.below(200)).fold(json!(1), |inner, _| json!([inner])),
            13 => (0..self.random.below(200)).fold(json!(1), |inner, _| json!({ "config": inner })),
            14 => json!(String::from_utf8_lossy(&self.random.octets(40))),
            _ => json!(["~/((((a+)+)+)+)+$", "~/[", "/%zz", "~/(?<a>.)(?<a>.)", "{vault://env/path}"]),
        }
    }
}

fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low & 0xfff,
        low >> 16
    )
}
