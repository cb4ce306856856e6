//! `json-threat-protection`: refuses JSON that is larger, deeper or longer than services expect.

mod scan;

use scan::{Limits, Violation};
use sdk::{Answer, Config, Env, Exchange, Known, MediaType, Phases, Plugin, PluginKind, RequestBody, Step, entities};
use std::fmt;

/// The plugin as the gateway knows it.
pub struct JsonThreatProtection;

struct Instance {
    /// Octets of a body.
    size: Option<u64>,
    limits: Limits,
    /// Whether other content than JSON passes.
    others: bool,
    /// Whether it is only told in the log.
    log_only: bool,
    status: u16,
    message: String,
}

/// Why a request is refused.
#[derive(Debug, PartialEq)]
enum Threat {
    /// It does not say how long its body is.
    UnknownLength,
    TooLarge,
    /// More than the node holds for plugins.
    Unreadable,
    Json(Violation),
}

impl PluginKind for JsonThreatProtection {
    fn name(&self) -> &'static str {
        "json-threat-protection"
    }

    fn priority(&self) -> i32 {
        1009
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        // What is negative has no limit.
        let limit = |field: &str| config.integer::<usize>(field);
        Ok(Box::new(Instance {
            size: config.integer("max_body_size"),
            limits: Limits {
                depth: limit("max_container_depth"),
                entries: limit("max_object_entry_count"),
                name: limit("max_object_entry_name_length"),
                elements: limit("max_array_element_count"),
                string: limit("max_string_value_length"),
                distinct_names: config.is_set("allow_duplicate_object_entry_name")
                    && !config.flag("allow_duplicate_object_entry_name"),
            },
            others: config.flag("allow_non_json_requests"),
            log_only: config.text("enforcement_mode") == Some("log_only"),
            status: config.integer("error_status_code").unwrap_or(400),
            message: config.text("error_message").unwrap_or("Bad Request").to_owned(),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::READS_BODY)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if !["POST", "PUT", "PATCH"].iter().any(|method| exchange.request.method.as_bytes() == method.as_bytes()) {
            return Step::Next;
        }
        let Err(threat) = self.check(exchange) else { return Step::Next };
        let id = exchange.id_str();
        tracing::warn!(request_id = id, refused = !self.log_only, "json-threat-protection: {threat}");
        match self.log_only {
            true => Step::Next,
            false => Step::Answer(Answer::message(exchange, self.status, &self.message)),
        }
    }
}

impl Instance {
    fn check(&self, exchange: &Exchange) -> Result<(), Threat> {
        let fields = &exchange.request.fields;
        if let Some(most) = self.size {
            let length =
                fields.known(Known::ContentLength).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
            // As Kong, which does not count what comes in chunks.
            let length: u64 = length.ok_or(Threat::UnknownLength)?;
            if length > most {
                return Err(Threat::TooLarge);
            }
        }
        let body = match &exchange.body {
            RequestBody::Whole(body) => body,
            _ => return Err(Threat::Unreadable),
        };
        let is_json = || fields.known(Known::ContentType).and_then(MediaType::parse).is_some_and(|kind| kind.is_json());
        match self.limits.check(body) {
            Err(_) if body.is_empty() => Ok(()),
            Err(Violation::Malformed) if self.others && !is_json() => Ok(()),
            checked => checked.map_err(Threat::Json),
        }
    }
}

impl fmt::Display for Threat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Threat::UnknownLength => f.write_str("the request has no Content-Length"),
            Threat::TooLarge => f.write_str("the content is larger than max_body_size"),
            Threat::Unreadable => f.write_str("the content is larger than client_body_buffer_size"),
            Threat::Json(violation) => violation.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};

    /// Status and message of the answer; 200 when the request goes on.
    fn send(config: Value, method: &str, lines: &[(&str, &str)], body: RequestBody) -> (u16, Value) {
        let plugin = testing::configure(&JsonThreatProtection, config, &Env::default());
        let mut exchange = testing::exchange(method, "/", lines);
        exchange.body = body;
        let answer = testing::access(&*plugin, &mut exchange);
        answer.map_or((200, Value::Null), |answer| {
            (answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap()["message"].take())
        })
    }

    fn post(config: Value, body: &'static str) -> u16 {
        let length = body.len().to_string();
        send(config, "POST", &[("Content-Length", &length)], body.into()).0
    }

    #[test]
    fn json_keeps_within_limits() {
        let config = || json!({ "max_body_size": 100, "max_array_element_count": 2, "max_string_value_length": -1 });
        assert_eq!(post(config(), "[1,2]"), 200);
        assert_eq!(post(config(), "[1,2,3]"), 400);
        assert_eq!(post(config(), "\"a long string goes through, as there is no limit\""), 200);
        assert_eq!(post(json!({ "max_body_size": 3 }), "[1,2]"), 400);
        assert_eq!(post(json!({ "max_body_size": -1 }), "[1,2]"), 200);
        let repeated = json!({ "allow_duplicate_object_entry_name": false });
        assert_eq!(post(repeated, r#"{"a":1,"a":2}"#), 400);
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let limited = || json!({ "max_body_size": 100 });
        assert_eq!(send(limited(), "POST", &[], "[]".into()).0, 400, "its length is not told");
        assert_eq!(send(json!({}), "POST", &[], "[]".into()).0, 200);
        assert_eq!(send(json!({}), "POST", &[], RequestBody::TooLarge).0, 400);
        assert_eq!(post(json!({}), "a=1"), 400);
        assert_eq!(post(json!({}), ""), 200);
        let others = || json!({ "allow_non_json_requests": true });
        assert_eq!(post(others(), "a=1"), 200);
        assert_eq!(send(others(), "POST", &[("Content-Type", "application/json")], "a=1".into()).0, 400);
    }

    #[test]
    fn other_methods_and_modes() {
        assert_eq!(send(json!({}), "DELETE", &[], "x".into()).0, 200);
        assert_eq!(post(json!({ "enforcement_mode": "log_only", "max_body_size": 1 }), "[[[]"), 200);
        let config = json!({ "error_status_code": 422, "error_message": "No" });
        assert_eq!(send(config, "PUT", &[], "[".into()), (422, json!("No")));
    }
}
