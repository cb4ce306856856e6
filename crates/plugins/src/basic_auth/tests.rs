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

/// The statuses of attempts by these texts, at these seconds.
async fn attempts(env: &Env, protection: Value, all: &[(&str, u64)]) -> Vec<u16> {
    let config = json!({ "hide_credentials": false, "realm": "service", "brute_force_protection": protection });
    let plugin = testing::configure(&BasicAuth, config, env);
    let mut statuses = Vec::new();
    for (text, second) in all {
        let mut exchange = request(&[("Authorization", &basic(text.as_bytes()))]);
        exchange.timing.started_unix_ms = second * 1000;
        let answer = testing::access_waiting(&*plugin, &mut exchange).await;
        if let Some(answer) = answer.as_ref().filter(|answer| answer.status == 429) {
            assert!(answer.fields.get_str("Retry-After").unwrap().parse::<u64>().unwrap() > 0);
        }
        statuses.push(answer.map_or(200, |answer| answer.status));
    }
    statuses
}

const WRONG: &str = "ada:wrong";
const RIGHT: &str = "ada:p:1";

#[tokio::test]
async fn who_fails_too_often_has_to_wait() {
    let memory = json!({ "strategy": "memory" });
    let all = [(RIGHT, 100), (WRONG, 100), (RIGHT, 100), (WRONG, 100), (WRONG, 100), (WRONG, 101), (RIGHT, 102)];
    assert_eq!(attempts(&Env::default(), memory.clone(), &all).await, [200, 401, 200, 401, 401, 429, 429]);
    let later = [(WRONG, 100), (WRONG, 100), (WRONG, 100), (RIGHT, 107), (RIGHT, 122), (RIGHT, 154)];
    let statuses = attempts(&Env::default(), memory.clone(), &later).await;
    assert_eq!(statuses, [401, 401, 401, 429, 429, 200], "8 seconds, then 16, then 32");
    let unknown = [("eve:1", 1), ("eve:2", 1), ("eve:3", 1), ("eve:4", 1), (RIGHT, 1)];
    assert_eq!(attempts(&Env::default(), memory, &unknown).await, [401, 401, 401, 429, 200], "each user alone");
    let off = json!({ "strategy": "off" });
    assert_eq!(attempts(&Env::default(), off, &unknown).await, [401, 401, 401, 401, 200]);
}

#[tokio::test]
async fn nodes_count_failures_together() {
    let all = [(WRONG, 1), (WRONG, 1), (WRONG, 1), (WRONG, 1), (RIGHT, 1), ("eve:1", 1)];
    let expected = [401, 401, 401, 429, 429, 401];
    let env = || Env::default().with_records(testing::records(testing::Kept::default()));
    assert_eq!(attempts(&env(), json!({ "strategy": "cluster" }), &all).await, expected);
    let away = json!({ "strategy": "redis", "redis": { "host": "127.0.0.1", "port": 1, "timeout": 1000 } });
    assert_eq!(attempts(&Env::default(), away, &all).await, expected, "a node counts by itself");
    let server = testing::RedisServer::start();
    let redis = json!({ "strategy": "redis", "redis": server.record(json!({})) });
    let key = |name: &str| format!("basic-auth:failures:{}:{name}", entities::DEFAULT_WORKSPACE);
    server.command(&["SET", &key("ada"), "20", "EX", "1000"]);
    assert_eq!(attempts(&Env::default(), redis.clone(), &[(RIGHT, 1), ("eve:1", 1)]).await, [429, 401]);
    assert_eq!(server.text(&["GET", &key("ada")]), "21", "it counts, whatever its password");
    server.command(&["DEL", &key("ada")]);
    assert_eq!(attempts(&Env::default(), redis, &[(RIGHT, 1)]).await, [200]);
}
