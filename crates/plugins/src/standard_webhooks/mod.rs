//! `standard-webhooks`: lets messages in that are signed as Standard Webhooks has it.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sdk::{Answer, Config, Env, Exchange, Phases, Plugin, PluginKind, Step, entities};

/// The plugin as the gateway knows it.
pub struct StandardWebhooks;

struct Instance {
    key: hmac::Key,
    /// How many seconds old a message may be.
    tolerance: f64,
}

impl PluginKind for StandardWebhooks {
    fn name(&self) -> &'static str {
        "standard-webhooks"
    }

    fn priority(&self) -> i32 {
        760
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let secret = config.text("secret_v1").filter(|secret| !secret.is_empty()).ok_or("config.secret_v1: missing")?;
        Ok(Box::new(Instance {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            tolerance: config.number("tolerance_second").unwrap_or(300.0),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::READS_BODY)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if exchange.body.is_too_large() {
            return Step::Answer(Answer::error(exchange, 413, &Answer::status_message(413)));
        }
        if self.is_signed(exchange) {
            return Step::Next;
        }
        Step::Answer(Answer::error(exchange, 400, &Answer::status_message(400)))
    }
}

impl Instance {
    /// Whether the message is recent, and one of its signatures is ours.
    fn is_signed(&self, exchange: &Exchange) -> bool {
        let fields = &exchange.request.fields;
        let line = |name: &str| fields.get(name);
        let (Some(id), Some(timestamp), Some(signatures)) =
            (line("webhook-id"), line("webhook-timestamp"), line("webhook-signature"))
        else {
            return false;
        };
        let Some(body) = exchange.body.bytes().filter(|body| !body.is_empty()) else { return false };
        let now = exchange.timing.started_unix_ms as f64 / 1_000.0;
        if seconds(timestamp).is_none_or(|seconds| now - seconds > self.tolerance) {
            return false;
        }
        let mut context = hmac::Context::with_key(&self.key);
        for part in [id, b".", timestamp, b".", body] {
            context.update(part);
        }
        let expected = format!("v1,{}", BASE64_STANDARD.encode(context.sign()));
        let is_ours = |signature: &[u8]| verify_slices_are_equal(signature, expected.as_bytes()).is_ok();
        // Several, while a sender changes its secret.
        signatures.split(|&b| b == b' ').any(is_ours)
    }
}

/// A time in whole seconds since 1970.
fn seconds(timestamp: &[u8]) -> Option<f64> {
    let digits = std::str::from_utf8(timestamp).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::json;

    const NOW: u64 = 1_700_000_000;

    /// The status of the answer, 200 when the message goes on.
    fn status(lines: &[(&str, &str)], body: sdk::RequestBody) -> u16 {
        let config = json!({ "secret_v1": "whs", "tolerance_second": 60 });
        let plugin = testing::configure(&StandardWebhooks, config, &Env::default());
        assert!(plugin.phases().has(Phases::READS_BODY));
        let mut exchange = testing::exchange("POST", "/", lines);
        exchange.timing.started_unix_ms = NOW * 1_000;
        exchange.body = body;
        testing::access(&*plugin, &mut exchange).map_or(200, |answer| answer.status)
    }

    fn signature(id: &str, timestamp: u64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"whs");
        let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(tag))
    }

    fn sent(timestamp: u64, signature: &str, body: &'static str) -> u16 {
        let timestamp = timestamp.to_string();
        let lines = [("webhook-id", "m"), ("webhook-timestamp", &*timestamp), ("webhook-signature", signature)];
        status(&lines, body.into())
    }

    #[test]
    fn signed_messages_pass() {
        assert_eq!(sent(NOW, &signature("m", NOW, "{}"), "{}"), 200);
        assert_eq!(sent(NOW - 60, &signature("m", NOW - 60, "{}"), "{}"), 200);
        let several = format!("v1,AAAA {}", signature("m", NOW, "{}"));
        assert_eq!(sent(NOW, &several, "{}"), 200);
    }

    #[test]
    fn others_do_not() {
        assert_eq!(sent(NOW, &signature("m", NOW, "{}"), "{ }"), 400);
        assert_eq!(sent(NOW, &signature("n", NOW, "{}"), "{}"), 400);
        assert_eq!(sent(NOW, &signature("m", NOW - 1, "{}"), "{}"), 400);
        assert_eq!(sent(NOW - 61, &signature("m", NOW - 61, "{}"), "{}"), 400);
        assert_eq!(sent(NOW, &signature("m", NOW, ""), ""), 400);
        assert_eq!(sent(NOW, &signature("m", NOW, "{}").replace("v1", "v2"), "{}"), 400);
        let signature = signature("m", NOW, "{}");
        let timestamp = NOW.to_string();
        let all = [("webhook-id", "m"), ("webhook-timestamp", &*timestamp), ("webhook-signature", &*signature)];
        for missing in 0..3 {
            let lines: Vec<_> = all.into_iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, l)| l).collect();
            assert_eq!(status(&lines, "{}".into()), 400);
        }
        assert_eq!(status(&all, sdk::RequestBody::TooLarge), 413);
    }
}
