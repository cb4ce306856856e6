//! Callers whom signatures prove, and those whom they do not: hmac-auth, standard-webhooks, jwt-signer.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use blackbox::http::{Response, form, json, request};
use blackbox::{Backend, Node, Scripted};
use sdk::jose::{Algorithm, SigningKey, generate_jwk, public_jwk};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// A node with a service `s` at `/`, and that plugin.
fn start(backend: &Backend, name: &str, config: Value) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    json(node.admin(), "POST", "/services/s/plugins", &json!({ "name": name, "config": config })).expect(201);
    node
}

fn sign(secret: &str, text: &str) -> String {
    BASE64_STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn requests_are_signed_with_the_secret_of_a_consumer() {
    let backend = Backend::start("b");
    let node = start(&backend, "hmac-auth", json!({ "enforce_headers": ["date", "@request-target"] }));
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    form(node.admin(), "POST", "/consumers/ada/hmac-auth", "username=ada&secret=s").expect(201);
    let refused = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(401);
    let date = refused.header("Date").unwrap().to_owned();
    let ask = |path: &str, date: &str, secret: &str| {
        let signature = sign(secret, &format!("date: {date}\n@request-target: get /a"));
        let names = r#"headers="date @request-target""#;
        let line = format!(r#"hmac username="ada", algorithm="hmac-sha256", {names}, signature="{signature}""#);
        request(node.proxy(), "GET", path, &[("Date", date), ("Authorization", &line)], b"").unwrap()
    };
    assert!(ask("/a", &date, "s").expect(200).text().contains("X-Consumer-Username: ada"));
    ask("/a", &date, "other").expect(401);
    ask("/b", &date, "s").expect(401);
    let old = ask("/a", "Thu, 01 Jan 2026 00:00:00 GMT", "s").expect(401);
    assert!(old.text().contains("a valid date or x-date header is required"), "{}", old.text());
}

#[test]
fn webhooks_are_signed_with_a_secret() {
    let backend = Backend::start("b");
    let node = start(&backend, "standard-webhooks", json!({ "secret_v1": "s", "tolerance_second": 300 }));
    let send = |secret: &str, at: u64, body: &str| {
        let at = at.to_string();
        let signature = format!("v1,{}", sign(secret, &format!("m.{at}.{{}}")));
        let lines = [("webhook-id", "m"), ("webhook-timestamp", &*at), ("webhook-signature", &*signature)];
        request(node.proxy(), "POST", "/", &lines, body.as_bytes()).unwrap().status
    };
    assert_eq!(send("s", now(), "{}"), 200);
    assert_eq!(send("other", now(), "{}"), 400);
    assert_eq!(send("s", now(), "{ }"), 400);
    assert_eq!(send("s", now() - 1_000, "{}"), 400);
    assert_eq!(request(node.proxy(), "POST", "/", &[], b"{}").unwrap().status, 400);
}

/// An issuer of tokens: its key, and the service that publishes it.
fn issuer() -> (Value, Scripted) {
    let key = generate_jwk(Algorithm::Es256, "k1").unwrap();
    let published = json!({ "keys": [public_jwk(&key)] });
    (key, Scripted::answering("application/json", published.to_string().as_bytes()))
}

fn token(key: &Value, claims: Value) -> String {
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    SigningKey::of_jwk(key, Algorithm::Es256).unwrap().sign(&claims).unwrap()
}

fn ask(node: &Node, token: &str) -> Response {
    request(node.proxy(), "GET", "/", &[("Authorization", &format!("Bearer {token}"))], b"").unwrap()
}

#[test]
fn tokens_are_signed_anew_by_the_gateway() {
    let (backend, (key, published)) = (Backend::start("b"), issuer());
    let config = json!({
        "access_token_jwks_uri": format!("http://{}/jwks", published.address),
        "access_token_signing_algorithm": "ES256", "access_token_consumer_claim": ["sub"],
        "access_token_scopes_required": ["read"], "channel_token_optional": true
    });
    let node = start(&backend, "jwt-signer", config);
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    let came = token(&key, json!({ "sub": "ada", "scope": "read", "exp": now() + 600 }));
    let answer = ask(&node, &came).expect(200).text();
    assert!(answer.contains("X-Consumer-Username: ada"), "{answer}");
    assert!(answer.contains("Authorization: Bearer "), "{answer}");
    assert!(!answer.contains(&came), "the service gets a token of the gateway");
    let sets = request(node.admin(), "GET", "/jwt-signer/jwks/kong", &[], b"").unwrap().expect(200).text();
    assert!(!sets.contains("\"d\":"), "{sets}");

    ask(&node, &token(&key, json!({ "sub": "ada", "scope": "write" }))).expect(403);
    ask(&node, &token(&key, json!({ "sub": "ada", "scope": "read", "exp": now() - 600 }))).expect(401);
    ask(&node, &token(&key, json!({ "sub": "bob", "scope": "read" }))).expect(403);
    let forger = generate_jwk(Algorithm::Es256, "k1").unwrap();
    ask(&node, &token(&forger, json!({ "sub": "ada", "scope": "read" }))).expect(401);
    ask(&node, "no token").expect(401);
}

#[test]
fn without_the_keys_of_the_issuer_nobody_passes() {
    let backend = Backend::start("b");
    let key = generate_jwk(Algorithm::Es256, "k1").unwrap();
    let garbage = Scripted::answering("application/json", b"<html>");
    for address in [garbage.address.to_string(), "127.0.0.1:1".to_owned()] {
        let config = json!({
            "access_token_jwks_uri": format!("http://{address}/jwks"), "channel_token_optional": true,
            "access_token_signing_algorithm": "ES256"
        });
        let node = start(&backend, "jwt-signer", config);
        let answer = ask(&node, &token(&key, json!({ "sub": "ada" })));
        assert!(matches!(answer.status, 401 | 500), "{}", answer.text());
        assert_eq!(backend.requests(), 0);
    }
}
