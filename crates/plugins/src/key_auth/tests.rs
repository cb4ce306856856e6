//! The rules of `key-auth`, without sockets.

use super::*;
use sdk::testing::{self, Entries};
use serde_json::{Value, json};

fn configure(changes: Value) -> Box<dyn Plugin> {
    let mut config = json!({
        "key_names": ["apikey"], "key_in_header": true, "key_in_query": true, "key_in_body": false,
        "hide_credentials": false, "run_on_preflight": true, "anonymous": null, "realm": null
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&KeyAuth, config, &Env::default())
}

fn request(method: &str, target: &str, lines: &[(&str, &str)]) -> Exchange {
    let mut entries = Entries::default();
    let ada = entries.consumer("ada", Some("ada-1"));
    entries.credential(ENTITY, "k-ada", &ada);
    entries.consumer("guest", None);
    testing::exchange_with(method, target, lines, entries.into())
}

/// The message of a refusal, empty when the request went on.
fn refusal(plugin: &dyn Plugin, exchange: &mut Exchange) -> String {
    match testing::access(plugin, exchange) {
        None => String::new(),
        Some(answer) => serde_json::from_slice::<Value>(&answer.body).unwrap()["message"].as_str().unwrap().to_owned(),
    }
}

fn refused(config: Value, target: &str, lines: &[(&str, &str)]) -> String {
    refusal(&*configure(config), &mut request("GET", target, lines))
}

#[test]
fn keys_in_headers_and_queries() {
    assert_eq!(refused(json!({}), "/", &[("ApiKey", "k-ada")]), "");
    assert_eq!(refused(json!({}), "/?x=1&apikey=k%2Dada", &[]), "");
    assert_eq!(refused(json!({}), "/", &[]), "No API key found in request");
    assert_eq!(refused(json!({}), "/?apikey", &[]), "No API key found in request");
    assert_eq!(refused(json!({}), "/?apikey=", &[]), "No API key found in request");
    assert_eq!(refused(json!({}), "/", &[("apikey", "nope")]), "Unauthorized");
    assert_eq!(refused(json!({}), "/?apikey=k-ada", &[("apikey", "nope")]), "Unauthorized");
    assert_eq!(refused(json!({}), "/?apikey=k-ada&apikey=other", &[]), "Duplicate API key found");
    assert_eq!(refused(json!({}), "/", &[("apikey", "k-ada"), ("apikey", "k-ada")]), "Duplicate API key found");
    assert_eq!(refused(json!({ "key_in_header": false }), "/", &[("apikey", "k-ada")]), "No API key found in request");
    assert_eq!(refused(json!({ "key_in_query": false }), "/?apikey=k-ada", &[]), "No API key found in request");
}

#[test]
fn underscores_of_names_are_dashes_in_lines_too() {
    let config = || json!({ "key_names": ["api_key"], "hide_credentials": true });
    let mut exchange = request("GET", "/", &[("API-Key", "k-ada")]);
    assert_eq!(refusal(&*configure(config()), &mut exchange), "");
    assert!(!exchange.request.fields.contains("api-key"));
    assert_eq!(refused(config(), "/", &[("api_key", "k-ada"), ("api-key", "nope")]), "");
    assert_eq!(refused(config(), "/?api-key=k-ada", &[]), "No API key found in request");
    assert_eq!(
        refused(json!({ "key_names": ["api-key"] }), "/", &[("api_key", "k-ada")]),
        "No API key found in request"
    );
}

#[test]
fn names_are_tried_in_order() {
    let names = || json!({ "key_names": ["x-key", "apikey"] });
    assert_eq!(refused(names(), "/", &[("apikey", "k-ada")]), "");
    assert_eq!(refused(names(), "/", &[("apikey", "k-ada"), ("x-key", "nope")]), "Unauthorized");
}

#[test]
fn the_service_learns_who_calls() {
    let mut exchange = request("GET", "/", &[("apikey", "k-ada"), ("X-Consumer-ID", "fake")]);
    assert!(testing::access(&*configure(json!({})), &mut exchange).is_none());
    let consumer = exchange.consumer.clone().unwrap();
    let fields = &exchange.request.fields;
    assert_eq!(fields.get_str("x-consumer-id"), Some(&*consumer.id.to_string()));
    assert_eq!(fields.get_str("x-consumer-custom-id"), Some("ada-1"));
    assert_eq!(fields.get_str("apikey"), Some("k-ada"));
    assert!(exchange.credential.is_some());
}

#[test]
fn challenges_name_the_realm() {
    let answer = |config| testing::access(&*configure(config), &mut request("GET", "/", &[])).unwrap();
    assert_eq!(answer(json!({})).fields.get_str("www-authenticate"), Some("Key"));
    assert_eq!(answer(json!({ "realm": "my-api" })).fields.get_str("www-authenticate"), Some("Key realm=\"my-api\""));
}

#[test]
fn preflights_may_pass() {
    assert_eq!(refusal(&*configure(json!({ "run_on_preflight": false })), &mut request("OPTIONS", "/", &[])), "");
    assert_ne!(refusal(&*configure(json!({})), &mut request("OPTIONS", "/", &[])), "");
}

#[test]
fn anonymous_callers_go_on_as_a_consumer() {
    let mut exchange = request("GET", "/?apikey=nope&x=1", &[]);
    assert_eq!(refusal(&*configure(json!({ "anonymous": "guest", "hide_credentials": true })), &mut exchange), "");
    assert_eq!(exchange.request.fields.get_str("x-anonymous-consumer"), Some("true"));
    assert_eq!(exchange.consumer.clone().unwrap().username.as_deref(), Some("guest"));
    assert_eq!(exchange.upstream.query.as_deref(), Some("x=1"));
    let by_id = exchange.find_consumer_by_username("guest").unwrap().id.to_string();
    exchange.consumer = None;
    assert_eq!(refusal(&*configure(json!({ "anonymous": by_id })), &mut exchange), "");
    assert!(exchange.consumer.is_some());
    assert_eq!(
        refused(json!({ "anonymous": "nobody" }), "/", &[]),
        "anonymous consumer nobody is configured but doesn't exist"
    );
    let mut exchange = request("GET", "/", &[("apikey", "k-ada")]);
    assert_eq!(refusal(&*configure(json!({ "anonymous": "guest" })), &mut exchange), "");
    assert_eq!(exchange.request.fields.get_str("x-anonymous-consumer"), None);
    // Known already by another plugin: left alone.
    exchange.request.fields.set("apikey", b"nope");
    assert_eq!(refusal(&*configure(json!({ "anonymous": "guest" })), &mut exchange), "");
    assert_eq!(exchange.consumer.clone().unwrap().username.as_deref(), Some("ada"));
}

#[test]
fn keys_in_bodies() {
    let plugin = configure(json!({ "key_in_body": true, "hide_credentials": true }));
    assert!(plugin.phases().has(Phases::READS_BODY));
    let post = |kind: &str, body: &str| {
        let mut exchange = request("POST", "/", &[("Content-Type", kind)]);
        exchange.body = body.to_owned().into();
        (refusal(&*plugin, &mut exchange), exchange.body.bytes().unwrap().clone())
    };
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"apikey\"\r\n\r\nk-ada\r\n--b--\r\n";
    for (kind, body, hidden) in [
        ("application/x-www-form-urlencoded", "apikey=k-ada&x=1", "x=1"),
        ("application/json", r#"{"apikey": "k-ada", "x": 1}"#, r#"{"x":1}"#),
        ("multipart/form-data; boundary=b", multipart, "--b--\r\n"),
    ] {
        let (refusal, sent) = post(kind, body);
        assert_eq!(refusal, "", "{kind}");
        assert_eq!(sent, hidden, "{kind}");
    }
    assert_eq!(post("application/x-www-form-urlencoded", "other=1").0, "No API key found in request");
    assert_eq!(post("application/json", r#"{"apikey": ["k-ada"]}"#).0, "Duplicate API key found");
    assert_eq!(post("application/json", r#"{"apikey": 1}"#).0, "No API key found in request");
    assert_eq!(post("text/plain", "apikey=k-ada").0, "No API key found in request");
    assert_eq!(post("application/json", "{broken").0, "No API key found in request");
}

#[test]
fn keys_are_octets() {
    let mut entries = Entries::default();
    let ada = entries.consumer("ada", None);
    entries.credential(ENTITY, "caf\u{fffd}", &ada);
    entries.credential(ENTITY, "caf\u{e9}", &ada);
    let entries: sdk::Directory = entries.into();
    let ask = |target: &str| testing::exchange_with("GET", target, &[], entries.clone());
    let plugin = configure(json!({}));
    assert_eq!(refusal(&*plugin, &mut ask("/?apikey=caf%E9")), "Unauthorized");
    assert_eq!(refusal(&*plugin, &mut ask("/?apikey=caf%C3%A9")), "");
    let mut with_line = ask("/");
    with_line.request.fields.append("apikey", b"caf\xe9");
    assert_eq!(refusal(&*plugin, &mut with_line), "Unauthorized");
    with_line.request.fields.set("apikey", "caf\u{e9}".as_bytes());
    assert_eq!(refusal(&*plugin, &mut with_line), "");
    let in_body = configure(json!({ "key_in_body": true }));
    for (kind, body) in [
        ("application/json", &b"{\"apikey\":\"caf\xe9\"}"[..]),
        ("application/x-www-form-urlencoded", b"apikey=caf%E9"),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data; name=apikey\r\n\r\ncaf\xe9\r\n--b--",
        ),
    ] {
        let mut exchange = ask("/");
        exchange.request.fields.append("Content-Type", kind.as_bytes());
        exchange.body = body.to_vec().into();
        assert_eq!(refusal(&*in_body, &mut exchange), "Unauthorized", "{kind}");
    }
}

#[test]
fn hiding_keys_leaves_everything_else_as_it_came() {
    let plugin = configure(json!({ "key_in_body": true, "hide_credentials": true }));
    let mut exchange = request("POST", "/?a=%E9+%2f&apikey=k-ada&b", &[("Content-Type", "application/json")]);
    exchange.body = b"{\"apikey\":\"k-ada\", \"n\":1.0, \"s\":\"\xe9\"}".to_vec().into();
    assert_eq!(refusal(&*plugin, &mut exchange), "");
    assert_eq!(exchange.upstream.query.as_deref(), Some("a=%E9+%2f&b"));
    assert_eq!(exchange.body.bytes().unwrap(), &b"{\"n\":1.0,\"s\":\"\xe9\"}"[..]);
    let mut exchange = request("POST", "/", &[("Content-Type", "application/x-www-form-urlencoded")]);
    exchange.body = "a=%E9+%2f&apikey=k-ada&b".into();
    assert_eq!(refusal(&*plugin, &mut exchange), "");
    assert_eq!(exchange.body.bytes().unwrap(), "a=%E9+%2f&b");
}

#[test]
fn a_body_that_is_too_large_is_not_an_empty_one() {
    let ask = |config: Value, kind: &str, target: &str| {
        let mut exchange = request("POST", target, &[("Content-Type", kind)]);
        exchange.body = sdk::RequestBody::TooLarge;
        let answer = testing::access(&*configure(config), &mut exchange);
        assert!(exchange.body.is_too_large(), "it goes on unchanged");
        answer.map(|answer| answer.status)
    };
    let in_body = || json!({ "key_in_body": true, "hide_credentials": true });
    assert_eq!(ask(in_body(), "application/json", "/"), Some(413));
    assert_eq!(ask(in_body(), "application/json", "/?apikey=k-ada"), None);
    assert_eq!(ask(in_body(), "application/json", "/?apikey=nope"), Some(401));
    assert_eq!(ask(in_body(), "text/plain", "/"), Some(401), "there is no key in such a body");
    assert_eq!(ask(json!({ "key_in_body": true, "anonymous": "guest" }), "application/json", "/"), None);
}

#[test]
fn credentials_of_one_plugin_are_nothing_to_the_other() {
    let config = json!({ "key_names": ["apikey"], "key_in_header": true });
    let plugin = testing::configure(&KeyAuthEnc, config, &Env::default());
    let mut entries = Entries::default();
    let ada = entries.consumer("ada", None);
    entries.credential(ENTITY, "plain", &ada);
    entries.credential(ENC_ENTITY, "own", &ada);
    let directory: sdk::Directory = entries.into();
    for (key, expected) in [("own", ""), ("plain", "Unauthorized")] {
        let mut exchange = testing::exchange_with("GET", "/", &[("apikey", key)], directory.clone());
        assert_eq!(refusal(&*plugin, &mut exchange), expected);
    }
    assert!(plugin.degraded().is_some(), "it says that keys are not encrypted");
}
