//! The rules of `basic-auth`, without sockets.

use super::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sdk::testing::{self, Entries};
use serde_json::json;

fn configure(changes: Value) -> Box<dyn Plugin> {
    let mut config = json!({ "hide_credentials": false, "anonymous": null, "realm": "service" });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&BasicAuth, config, &Env::default())
}

/// A request to a gateway where Ada's user name is `ada` and her password `p:1`.
fn request(lines: &[(&str, &str)]) -> Exchange {
    let mut entries = Entries::default();
    let ada = entries.consumer("Ada", None);
    entries.credential_of(&BasicAuth.credentials()[0], "ada", &ada, json!({ "password": stored(&ada.id) }));
    entries.consumer("guest", None);
    testing::exchange_with("GET", "/", lines, entries.into())
}

/// What a record has of that password.
fn stored(consumer: &Uuid) -> String {
    let mut record = json!({ "password": "p:1", "consumer": { "id": consumer.to_string() } });
    let record = record.as_object_mut().unwrap();
    hash_password(record).unwrap();
    record["password"].as_str().unwrap().to_owned()
}

fn basic(text: &[u8]) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(text))
}

/// The status of the answer, 200 when the request went on.
fn status(plugin: &dyn Plugin, exchange: &mut Exchange) -> u16 {
    testing::access(plugin, exchange).map_or(200, |answer| answer.status)
}

fn status_of(name: &str, value: &str) -> u16 {
    status(&*configure(json!({})), &mut request(&[(name, value)]))
}

#[test]
fn passwords_are_hashed_as_kong_does() {
    let consumer = json!({ "id": "11111111-1111-4111-8111-111111111111" });
    let record = json!({ "username": "u1", "password": "secret", "consumer": consumer });
    let mut record = record.as_object().unwrap().clone();
    hash_password(&mut record).unwrap();
    assert_eq!(record["password"], "daaa0c42d6ef59eea2e255212f12ec4db9f6c0c6");
}

#[test]
fn names_and_passwords() {
    assert_eq!(status_of("Authorization", &basic(b"ada:p:1")), 200);
    assert_eq!(status_of("Authorization", basic(b"ada:p:1").trim_end_matches('=')), 200);
    assert_eq!(status_of("Authorization", &basic(b"ada:p:2")), 401);
    assert_eq!(status_of("Authorization", &basic(b"ada:")), 401);
    assert_eq!(status_of("Authorization", &basic(b"ada")), 401);
    assert_eq!(status_of("Authorization", &basic(b":p:1")), 401);
    assert_eq!(status_of("Authorization", &basic(b"bob:p:1")), 401);
    assert_eq!(status_of("Authorization", &basic(b"ada\xff:p:1")), 401);
    assert_eq!(status_of("Authorization", "Basic %%%"), 401);
    assert_eq!(status_of("Authorization", "Basic"), 401);
    assert_eq!(status_of("X-Other", &basic(b"ada:p:1")), 401);
}

#[test]
fn what_is_stored_is_no_password() {
    let mut exchange = request(&[]);
    let credential = exchange.find_credential(ENTITY, b"ada").unwrap();
    let shown = basic(format!("ada:{}", stored(&credential.consumer.unwrap())).as_bytes());
    exchange.request.fields.set("Authorization", shown.as_bytes());
    assert_eq!(status(&*configure(json!({})), &mut exchange), 401);
}

#[test]
fn the_service_learns_the_user_name() {
    let mut exchange = request(&[("Authorization", &basic(b"ada:p:1"))]);
    assert_eq!(status(&*configure(json!({})), &mut exchange), 200);
    let fields = &exchange.request.fields;
    assert_eq!(fields.get_str("X-Credential-Identifier"), Some("ada"));
    assert_eq!(fields.get_str("X-Consumer-Username"), Some("Ada"));
    assert!(fields.contains("Authorization"));
}

#[test]
fn the_line_for_proxies_goes_before_the_other_one() {
    let (good, bad, unknown) = (basic(b"ada:p:1"), basic(b"ada:bad"), basic(b"bob:p:1"));
    let both = |proxy: &str, other: &str| {
        let mut exchange = request(&[("Proxy-Authorization", proxy), ("Authorization", other)]);
        status(&*configure(json!({})), &mut exchange)
    };
    assert_eq!(status_of("Proxy-Authorization", &good), 200);
    assert_eq!(both(&bad, &good), 401);
    assert_eq!(both(&unknown, &good), 200);
    assert_eq!(both(&good, &bad), 200);
}

#[test]
fn credentials_can_be_hidden_from_the_service() {
    let hiding = configure(json!({ "hide_credentials": true }));
    let mut exchange = request(&[("Authorization", &basic(b"ada:p:1"))]);
    assert_eq!(status(&*hiding, &mut exchange), 200);
    assert!(!exchange.request.fields.contains("Authorization"));
    let hiding = configure(json!({ "hide_credentials": true, "anonymous": "guest" }));
    let mut exchange = request(&[("Authorization", &basic(b"ada:bad"))]);
    assert_eq!(status(&*hiding, &mut exchange), 200);
    assert!(!exchange.request.fields.contains("Authorization"));
    assert_eq!(exchange.request.fields.get_str("X-Consumer-Username"), Some("guest"));
}

#[test]
fn refusals_name_the_realm() {
    let answer = testing::access(&*configure(json!({ "realm": "my-api" })), &mut request(&[])).unwrap();
    assert_eq!(answer.fields.get_str("WWW-Authenticate"), Some("Basic realm=\"my-api\""));
}
