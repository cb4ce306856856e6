//! `request-size-limiting`: bounds the content of requests.

use sdk::{Answer, Config, Env, Exchange, Fields, Known, Phases, Plugin, PluginKind, Step, entities};

/// The plugin as the gateway knows it.
pub struct RequestSizeLimiting;

const EXCEEDED: &str = "Request size limit exceeded";

struct Instance {
    /// In octets.
    limit: u64,
    needs_length: bool,
}

impl PluginKind for RequestSizeLimiting {
    fn name(&self) -> &'static str {
        "request-size-limiting"
    }

    fn priority(&self) -> i32 {
        951
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let unit = match config.text("size_unit").unwrap_or("megabytes") {
            "megabytes" => 1 << 20,
            "kilobytes" => 1 << 10,
            "bytes" => 1,
            other => return Err(format!("config.size_unit: unknown '{other}'")),
        };
        // Less than nothing is nothing.
        let size = config.integer::<i64>("allowed_payload_size").unwrap_or(128).max(0).unsigned_abs();
        Ok(Box::new(Instance { limit: size.saturating_mul(unit), needs_length: config.flag("require_content_length") }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let fields = &exchange.request.fields;
        let expects = fields.known(Known::Expect);
        let expects = expects.is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"100-continue"));
        let status = if expects { 417 } else { 413 };
        match announced(fields) {
            Some(length) if length > self.limit => Step::Answer(Answer::error(exchange, status, EXCEEDED)),
            None if self.needs_length && !is_chunked(fields) => {
                Step::Answer(Answer::error(exchange, 411, "A valid Content-Length header is required"))
            }
            // What is not announced is counted as it comes.
            _ => {
                exchange.limit_content(self.limit, status, EXCEEDED);
                Step::Next
            }
        }
    }
}

fn announced(fields: &Fields) -> Option<u64> {
    std::str::from_utf8(fields.known(Known::ContentLength)?).ok()?.parse().ok()
}

fn is_chunked(fields: &Fields) -> bool {
    fields.known(Known::TransferEncoding).is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};

    /// The status of the answer, and the limit that holds when there is none.
    fn ask(config: Value, lines: &[(&str, &str)]) -> Result<u64, u16> {
        let plugin = testing::configure(&RequestSizeLimiting, config, &Env::default());
        let mut exchange = testing::exchange("POST", "/", lines);
        match testing::access(&*plugin, &mut exchange) {
            Some(answer) => Err(answer.status),
            None => Ok(exchange.content_limit.unwrap().octets),
        }
    }

    fn bytes(size: i64) -> Value {
        json!({ "allowed_payload_size": size, "size_unit": "bytes" })
    }

    #[test]
    fn announced_content() {
        assert_eq!(ask(bytes(10), &[("Content-Length", "10")]), Ok(10));
        assert_eq!(ask(bytes(10), &[("Content-Length", "11")]), Err(413));
        assert_eq!(ask(bytes(0), &[("Content-Length", "0")]), Ok(0));
        assert_eq!(ask(bytes(-1), &[("Content-Length", "1")]), Err(413));
        assert_eq!(ask(bytes(10), &[("Content-Length", "11"), ("Expect", "100-Continue")]), Err(417));
    }

    #[test]
    fn content_of_unknown_length() {
        let strict = || json!({ "allowed_payload_size": 1, "size_unit": "bytes", "require_content_length": true });
        assert_eq!(ask(bytes(10), &[]), Ok(10));
        let plugin = testing::configure(&RequestSizeLimiting, bytes(10), &Env::default());
        for (expect, status) in [("100-continue", 417), ("", 413)] {
            let mut exchange = testing::exchange("POST", "/", &[("Transfer-Encoding", "chunked"), ("Expect", expect)]);
            assert!(testing::access(&*plugin, &mut exchange).is_none());
            assert_eq!(exchange.content_limit.unwrap().status, status);
        }
        assert_eq!(ask(strict(), &[]), Err(411));
        assert_eq!(ask(strict(), &[("Transfer-Encoding", "chunked")]), Ok(1));
    }

    #[test]
    fn units() {
        let size = |unit: &str| ask(json!({ "allowed_payload_size": 2, "size_unit": unit }), &[]);
        assert_eq!(size("megabytes"), Ok(2 << 20));
        assert_eq!(size("kilobytes"), Ok(2 << 10));
        assert_eq!(ask(json!({ "allowed_payload_size": i64::MAX, "size_unit": "megabytes" }), &[]), Ok(u64::MAX));
    }
}
