//! What is let through and refused, and in which words.

use super::*;
use sdk::testing;

fn plugin(mut config: Value) -> Box<dyn Plugin> {
    let defaults = json!({ "allowed_content_types": ["application/json"], "content_type_parameter_validation": true });
    for (name, value) in defaults.as_object().unwrap() {
        config.as_object_mut().unwrap().entry(name.as_str()).or_insert(value.clone());
    }
    testing::configure(&RequestValidator, config, &Env::default())
}

/// Status and message for a body of that type; 200 when the request goes on.
fn send(config: Value, content_type: Option<&str>, body: impl Into<RequestBody>) -> (u16, Value) {
    let lines: Vec<_> = content_type.map(|kind| ("Content-Type", kind)).into_iter().collect();
    let mut exchange = testing::exchange("POST", "/", &lines);
    exchange.body = body.into();
    let answer = testing::access(&*plugin(config), &mut exchange);
    answer.map_or((200, Value::Null), |answer| {
        (answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap()["message"].take())
    })
}

fn named(version: &str) -> Value {
    let schema = match version {
        "kong" => json!([{ "name": { "type": "string", "required": true } }]),
        _ => json!({ "properties": { "name": { "type": "string" } }, "required": ["name"] }),
    };
    json!({ "version": version, "body_schema": schema.to_string() })
}

fn verbose(mut config: Value) -> Value {
    config["verbose_response"] = json!(true);
    config
}

#[test]
fn bodies_conform_or_are_refused() {
    let json = Some("application/json");
    for version in ["kong", "draft4", "draft7", "draft202012"] {
        assert_eq!(send(named(version), json, r#"{"name":"a"}"#).0, 200, "{version}");
        for body in [r#"{"name":1}"#, "{}", "", "{", "\"\u{1}\"", "{\"name\":\"a\"} x"] {
            let refused = (400, json!("request body doesn't conform to schema"));
            assert_eq!(send(named(version), json, body), refused, "{version} {body}");
        }
    }
    assert_eq!(send(named("draft4"), json, &b"{\"name\":\"\xe9\"}"[..]).0, 400);
    assert_eq!(send(named("kong"), json, "[]").0, 400);
}

#[test]
fn more_is_said_on_demand() {
    let json = Some("application/json");
    let body = r#"{"name":1}"#;
    assert_eq!(send(verbose(named("kong")), json, body).1, json!({ "name": "expected a string" }));
    let words = "property name validation failed: wrong type: expected string, got number";
    assert_eq!(send(verbose(named("draft4")), json, body).1, json!(words));
    assert_eq!(send(verbose(named("draft4")), json, "{").1, json!("body is not valid JSON"));
}

#[test]
fn a_body_that_is_too_large_is_not_an_empty_one() {
    assert_eq!(send(named("kong"), Some("application/json"), RequestBody::TooLarge).0, 413);
}

#[test]
fn content_types_are_allowed_by_name_and_parameters() {
    let status = |allowed: Value, strict: bool, kind: Option<&str>, body: &str| {
        let mut config = named("draft4");
        config["allowed_content_types"] = allowed;
        config["content_type_parameter_validation"] = json!(strict);
        send(config, kind, body.to_owned()).0
    };
    let json = || json!(["application/json"]);
    let good = r#"{"name":"a"}"#;
    assert_eq!(status(json(), true, Some("application/JSON"), good), 200);
    assert_eq!(status(json(), true, Some("application/json; charset=utf-8"), good), 400);
    assert_eq!(status(json(), false, Some("application/json; charset=utf-8"), good), 200);
    assert_eq!(
        status(json!(["application/json; charset=UTF-8"]), true, Some("application/json;charset=utf-8"), good),
        200
    );
    assert_eq!(status(json(), true, None, good), 400);
    assert_eq!(status(json(), true, Some("text/plain"), good), 400);
    assert_eq!(status(json!(["text/*"]), true, Some("text/plain"), "x"), 200, "it is no JSON");
    assert_eq!(status(json!(["application/*"]), true, Some("application/merge-patch+json"), "{}"), 400);
    let refused = send(named("kong"), Some("text/plain"), good).1;
    assert_eq!(refused, json!("specified Content-Type is not allowed"));
    assert_eq!(status(Value::Null, true, None, "{}"), 400, "it may be JSON");
}

#[test]
fn parameters_conform_or_are_refused() {
    let id = json!({
        "in": "query", "name": "id", "required": true, "style": "form", "explode": true,
        "schema": r#"{"type":"integer"}"#
    });
    let config = || json!({ "parameter_schema": [id, { "in": "header", "name": "X-Key", "required": true }] });
    let ask = |config: Value, target: &str, lines: &[(&str, &str)]| {
        let plugin = plugin(config);
        assert!(!plugin.phases().has(Phases::READS_BODY));
        let answer = testing::access(&*plugin, &mut testing::exchange("GET", target, lines));
        answer.map(|answer| serde_json::from_slice::<Value>(&answer.body).unwrap()["message"].take())
    };
    let key = [("X-Key", "")];
    assert_eq!(ask(config(), "/?id=5", &key), None);
    assert_eq!(ask(config(), "/?id=a", &key), Some(json!("request param doesn't conform to schema")));
    assert_eq!(ask(config(), "/?id=5", &[]), Some(json!("request param doesn't conform to schema")));
    assert_eq!(
        ask(verbose(config()), "/", &key),
        Some(json!("query 'id' validation failed: required parameter value not found in request"))
    );
}

#[test]
fn configurations_are_checked() {
    let check = |config: Value| check_body_schema(json!({ "config": config }).as_object().unwrap());
    assert!(check(named("draft7")).is_ok());
    assert!(check(json!({ "version": "kong", "body_schema": "{}" })).is_err());
    assert!(check(json!({ "version": "draft4", "body_schema": "[" })).is_err());
    assert_eq!(check_parameter_schema(&json!("{")).unwrap_err(), "failed decoding schema");
    let style = json!({ "in": "header", "style": "form" });
    assert_eq!(
        check_style(style.as_object().unwrap()).unwrap_err(),
        "style 'form' not supported for 'header' parameter"
    );
}
