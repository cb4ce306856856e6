//! `request-termination`: answers in place of the service, always or when a trigger is present.

mod echo;

use sdk::{Answer, Args, Config, Env, Exchange, Function, NodeInfo, Phases, Plugin, PluginKind, Step, entities};
use serde_json::Value;
use std::sync::Arc;

/// The plugin as the gateway knows it.
pub struct RequestTermination;

struct Instance {
    status: u16,
    reply: Termination,
    /// The name of a header or query argument without which the plugin does nothing.
    trigger: Option<String>,
}

enum Termination {
    Raw(Answer),
    Message(String),
    /// No content: statuses that have an error page show it, as in nginx.
    Empty,
    Echo {
        message: Option<String>,
        node: Arc<NodeInfo>,
    },
}

impl PluginKind for RequestTermination {
    fn name(&self) -> &'static str {
        "request-termination"
    }

    fn priority(&self) -> i32 {
        2
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("request_termination", Function::Validator(check_config))]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let status = config.integer("status_code").unwrap_or(503);
        let message = config.text("message").or(default_message(status));
        let reply = if config.flag("echo") {
            Termination::Echo { message: message.map(str::to_owned), node: Arc::clone(env.node()) }
        } else if let Some(body) = config.text("body") {
            let answer = Answer::new(status, body.to_owned());
            Termination::Raw(match config.header_value("content_type")? {
                Some(content_type) => answer.typed(content_type),
                None => answer,
            })
        } else {
            message.map_or(Termination::Empty, |message| Termination::Message(message.to_owned()))
        };
        Ok(Box::new(Instance { status, reply, trigger: config.text("trigger").map(str::to_owned) }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        match self.reply {
            Termination::Echo { .. } => Phases::ACCESS.and(Phases::READS_BODY),
            _ => Phases::ACCESS,
        }
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if let Some(trigger) = &self.trigger {
            let in_query = || exchange.request.query().is_some_and(|query| Args::find(query, trigger).next().is_some());
            if !exchange.request.fields.contains(trigger) && !in_query() {
                return Step::Next;
            }
        }
        Step::Answer(match &self.reply {
            Termination::Raw(answer) => answer.clone(),
            Termination::Message(message) => Answer::message(exchange, self.status, message),
            Termination::Empty if has_error_page(self.status) => {
                Answer::gateway_error(exchange, self.status, &Answer::gateway_message(self.status))
            }
            Termination::Empty => Answer::new(self.status, ""),
            Termination::Echo { message, node } => {
                Answer::json_object(self.status, &echo::describe(exchange, message.as_deref(), node))
            }
        })
    }
}

/// The check that the schema names: which settings exclude each other.
fn check_config(config: &Value) -> Result<(), String> {
    let given = |field: &str| config.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let (message, content_type, body) = (given("message"), given("content_type"), given("body"));
    if message && (content_type || body) {
        Err("message cannot be used with content_type or body".to_owned())
    } else if content_type && !body {
        Err("content_type requires a body".to_owned())
    } else if config.get("echo").and_then(Value::as_bool) == Some(true) && body {
        Err("echo cannot be used with content_type and body".to_owned())
    } else {
        Ok(())
    }
}

fn default_message(status: u16) -> Option<&'static str> {
    Some(match status {
        401 => "Unauthorized",
        404 => "Not found",
        405 => "Method not allowed",
        500 => "An unexpected error occurred",
        502 => "Bad Gateway",
        503 => "Service unavailable",
        _ => return None,
    })
}

fn has_error_page(status: u16) -> bool {
    matches!(status, 400 | 404 | 405 | 408 | 411..=414 | 417 | 494 | 500 | 502..=504)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::json;

    fn answer(config: Value, target: &str, lines: &[(&str, &str)]) -> Option<Answer> {
        let plugin = testing::configure(&RequestTermination, config, &Env::default());
        testing::access(&*plugin, &mut testing::exchange("GET", target, lines))
    }

    fn text(answer: &Answer) -> String {
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    #[test]
    fn messages_by_status() {
        let body = |config| text(&answer(config, "/", &[]).unwrap());
        assert_eq!(body(json!({ "status_code": 503 })), r#"{"message":"Service unavailable"}"#);
        assert_eq!(body(json!({ "status_code": 418 })), "");
        assert_eq!(body(json!({ "status_code": 403, "message": "go \"away\"" })), r#"{"message":"go \"away\""}"#);
        assert!(body(json!({ "status_code": 400 })).starts_with("Bad request\n"));
    }

    #[test]
    fn raw_bodies_keep_their_type() {
        let answer =
            answer(json!({ "status_code": 201, "body": "<b>", "content_type": "text/html" }), "/", &[]).unwrap();
        assert_eq!(answer.status, 201);
        assert_eq!(text(&answer), "<b>".to_owned());
        assert_eq!(answer.fields.get_str("content-type"), Some("text/html; charset=UTF-8"));
    }

    #[test]
    fn a_trigger_switches_it_on() {
        let config = || json!({ "status_code": 410, "trigger": "X-Stop" });
        assert!(answer(config(), "/?x-stop=1", &[]).is_none());
        assert!(answer(config(), "/?X-Stop", &[]).is_some());
        assert!(answer(config(), "/", &[("x-stop", "1")]).is_some());
    }

    #[test]
    fn echo_shows_the_request() {
        let plugin =
            testing::configure(&RequestTermination, json!({ "status_code": 404, "echo": true }), &Env::default());
        let mut exchange = testing::exchange(
            "POST",
            "/r/x?a=1&a=2&b",
            &[("Host", "h.test:81"), ("X-T", "v"), ("Content-Type", "application/json")],
        );
        exchange.body = "{\"k\": 1}".into();
        exchange.route = Some(testing::route(json!({ "name": "r", "paths": ["/r"] })));
        exchange.captures = [("0", "/r/x"), ("1", "x"), ("id", "x")].map(|(n, v)| (n.to_owned(), v.into())).to_vec();
        let answer = testing::access(&*plugin, &mut exchange).unwrap();
        let shown: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(shown["message"], "Not found");
        assert_eq!(shown["request"]["query"], json!({ "a": ["1", "2"], "b": true }));
        assert_eq!(shown["request"]["host"], json!("h.test"));
        assert_eq!(shown["request"]["port"], json!(8000));
        assert_eq!(shown["request"]["body"], json!({ "k": 1 }));
        assert_eq!(shown["request"]["raw_body"], json!("{\"k\": 1}"));
        assert_eq!(shown["request"]["uri_captures"], json!({ "named": { "id": "x" }, "unnamed": ["x"] }));
        assert_eq!(shown["request"]["headers"]["x-t"], json!("v"));
        assert_eq!(shown["request"]["path"], json!("/r/x"));
        assert_eq!(shown["matched_route"]["paths"], json!(["/r"]));
        assert_eq!(shown["matched_route"]["path_handling"], json!("v0"));
        assert_eq!(shown["matched_route"].get("methods"), None, "what is not set is not there");
        assert_eq!(shown.get("matched_service"), None);
    }

    #[test]
    fn echo_shows_octets() {
        let config = json!({ "status_code": 404, "echo": true });
        let plugin = testing::configure(&RequestTermination, config, &Env::default());
        let mut exchange = testing::exchange("POST", "//r/%E9?a=%E9&%E8=1", &[("Content-Type", "application/json")]);
        exchange.request.fields.append("X-T", b"\xe9");
        exchange.body = b"{\"k\":\"\xe9\"}".to_vec().into();
        let echo = |exchange: &mut Exchange| {
            testing::access(&*plugin, exchange).unwrap().body.escape_ascii().to_string().replace("\\\"", "'")
        };
        let shown = echo(&mut exchange);
        for part in [
            r"'x-t':'\xe9'",
            r"'query':{'a':'\xe9','\xe8':'1'}",
            r"'body':{'k':'\xe9'}",
            r"'raw_body':'{\\'k\\':\\'\xe9\\'}'",
            r"'path':'/r/\xe9'",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        exchange.body = sdk::RequestBody::TooLarge;
        assert!(!echo(&mut exchange).contains("body"));
        let silent =
            testing::configure(&RequestTermination, json!({ "status_code": 200, "echo": true }), &Env::default());
        let answer = testing::access(&*silent, &mut testing::exchange("GET", "/", &[])).unwrap();
        assert!(!text(&answer).contains("message"));
    }

    #[test]
    fn settings_that_exclude_each_other() {
        assert!(check_config(&json!({ "message": "a", "body": "b" })).unwrap_err().starts_with("message cannot"));
        assert!(check_config(&json!({ "content_type": "a" })).unwrap_err().starts_with("content_type requires"));
        assert!(check_config(&json!({ "echo": true, "body": "a" })).unwrap_err().starts_with("echo cannot"));
        assert!(check_config(&json!({ "content_type": "a", "body": "b", "message": null, "echo": false })).is_ok());
    }
}
