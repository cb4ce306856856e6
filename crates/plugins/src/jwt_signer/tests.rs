//! Tokens in and out.

use super::*;
use sdk::jose::{Algorithm, KeySet, SigningKey, generate_jwk, public_jwk};
use sdk::testing::{self, Entries, Kept, Server};

/// An issuer of tokens, with a key that the test knows.
struct Issuer {
    server: Server,
    key: Value,
}

impl Issuer {
    async fn start() -> Issuer {
        Issuer { server: Server::start().await, key: generate_jwk(Algorithm::Es256, "k1").unwrap() }
    }

    fn token(&self, claims: Value) -> String {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        SigningKey::of_jwk(&self.key, Algorithm::Es256).unwrap().sign(&claims).unwrap()
    }

    /// Answers one request.
    async fn answer(&self, content: Value) -> (String, String) {
        let mut peer = self.server.accept().await;
        let request = peer.request().await;
        let content = content.to_string();
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", content.len());
        peer.send(format!("{head}{content}").as_bytes()).await;
        request
    }

    async fn publish(&self) {
        self.answer(json!({ "keys": [public_jwk(&self.key)] })).await;
    }

    fn url(&self) -> String {
        format!("http://{}/jwks", self.server.address())
    }
}

/// A configuration with Kong's defaults for one token.
fn config(changes: Value) -> Value {
    let mut config = json!({
        "access_token_request_header": "Authorization", "access_token_upstream_header": "Authorization:Bearer",
        "access_token_issuer": "kong", "access_token_keyset": "kong", "access_token_signing_algorithm": "ES256",
        "access_token_scopes_claim": ["scope"], "access_token_consumer_by": ["username", "custom_id"],
        "verify_access_token_signature": true, "verify_access_token_expiry": true, "verify_access_token_scopes": true,
        "enable_access_token_introspection": true, "cache_access_token_introspection": true,
        "verify_access_token_introspection_expiry": true, "verify_access_token_introspection_scopes": true,
        "access_token_introspection_scopes_claim": ["scope"], "trust_access_token_introspection": true,
        "channel_token_signing_algorithm": "RS256"
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    config
}

fn env() -> Env {
    Env::default().with_records(testing::records(Kept::default()))
}

fn request(token: &str) -> Exchange {
    let mut exchange = testing::exchange("GET", "/", &[]);
    exchange.request.fields.set("Authorization", format!("Bearer {token}").as_bytes());
    exchange
}

async fn status(plugin: &dyn Plugin, exchange: &mut Exchange) -> Option<u16> {
    testing::access_waiting(plugin, exchange).await.map(|answer| answer.status)
}

/// What the service gets, verified with the node's own keys.
async fn told(exchange: &Exchange, env: &Env) -> Record {
    let line = exchange.request.fields.get_str("Authorization").unwrap();
    let token = Token::parse(line.strip_prefix("Bearer ").unwrap().as_bytes()).unwrap();
    let sets = ask(env, "GET", &["jwt-signer", "jwks", "kong"]).await;
    assert!(KeySet::parse(&sets).verifies(&token));
    token.claims
}

async fn ask(env: &Env, method: &str, path: &[&str]) -> Value {
    let path = path.iter().map(|part| part.to_string()).collect();
    let method = method.to_owned();
    let request = AdminRequest {
        endpoint: "",
        method,
        path,
        query: Vec::new(),
        body: None,
        instances: Vec::new(),
        workspace: sdk::entities::Uuid::default(),
        of_status: false,
        head: sdk::AdminHead::default(),
    };
    match admin::answer(&request, env).await.content {
        sdk::AdminContent::Json(content) => content,
        _ => Value::Null,
    }
}

#[tokio::test]
async fn claims_must_be_what_is_allowed() {
    let allowed = json!({
        "verify_access_token_signature": false, "access_token_issuers_allowed": ["them", "us"],
        "access_token_audience_claim": ["for", "whom"], "access_token_audiences_allowed": ["api"],
        "access_token_subjects_allowed": ["ada"], "verify_access_token_subject": false,
        "access_token_required_claims": [["user", "id"]], "access_token_expiry_claim": ["until"],
        "verify_access_token_notbefore": false
    });
    let (issuer, env) = (Issuer::start().await, env());
    let plugin = testing::configure(&JwtSigner, config(allowed), &env);
    let end = claims::now() as i64 + 100;
    let good = json!({ "iss": "us", "for": { "whom": ["x", "api"] }, "sub": "eve", "user": { "id": 1 },
        "until": end, "exp": 1, "nbf": end });
    let ask = async |changes: Value| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        status(&*plugin, &mut request(&issuer.token(claims))).await
    };
    assert_eq!(ask(json!({})).await, None);
    for changes in [
        json!({ "iss": "others" }),
        json!({ "iss": null }),
        json!({ "for": { "whom": "x api" } }),
        json!({ "user": {} }),
        json!({ "until": 1 }),
    ] {
        assert_eq!(ask(changes.clone()).await, Some(401), "{changes}");
    }
}

#[tokio::test]
async fn without_signing_the_service_gets_no_token() {
    let (issuer, env) = (Issuer::start().await, env());
    let changes = json!({ "verify_access_token_signature": false, "access_token_signing": false });
    let plugin = testing::configure(&JwtSigner, config(changes), &env);
    let mut exchange = request(&issuer.token(json!({ "sub": "ada" })));
    assert_eq!(status(&*plugin, &mut exchange).await, None);
    assert_eq!(exchange.request.fields.get_str("Authorization"), None);
}

#[tokio::test]
async fn tokens_are_verified_and_signed_anew() {
    let (issuer, env) = (Issuer::start().await, env());
    let changes = json!({
        "access_token_jwks_uri": issuer.url(), "access_token_scopes_required": ["read write", "admin"],
        "add_claims": { "tier": "gold", "sub": "other" }, "set_access_token_claims": { "list": "[1, 2]" },
        "remove_access_token_claims": ["secret"], "access_token_upstream_leeway": 60,
        "original_access_token_upstream_header": "X-Original"
    });
    let plugin = testing::configure(&JwtSigner, config(changes), &env);
    let end = claims::now() as i64 + 100;
    let claims = json!({ "iss": "them", "sub": "ada", "exp": end, "scope": "write read", "secret": 1 });
    let token = issuer.token(claims);
    let mut exchange = request(&token);
    let (answer, ()) = tokio::join!(status(&*plugin, &mut exchange), issuer.publish());
    assert_eq!(answer, None);
    let expected = json!({
        "iss": "kong", "original_iss": "them", "sub": "ada", "exp": end + 60, "scope": "write read", "tier": "gold",
        "list": [1, 2]
    });
    assert_eq!(Value::Object(told(&exchange, &env).await), expected);
    assert_eq!(exchange.request.fields.get_str("X-Original"), Some(&*token));
    // The keys are known now.
    let refused = |claims: Value| {
        let (plugin, token) = (&plugin, issuer.token(claims));
        async move { status(&**plugin, &mut request(&token)).await }
    };
    assert_eq!(refused(json!({ "scope": "read" })).await, Some(403));
    assert_eq!(refused(json!({ "scope": "admin", "exp": end - 200 })).await, Some(401));
    assert_eq!(refused(json!({ "scope": "admin" })).await, None);
    let forged = Issuer { key: generate_jwk(Algorithm::Es256, "k1").unwrap(), ..issuer };
    assert_eq!(status(&*plugin, &mut request(&forged.token(json!({ "scope": "admin" })))).await, Some(401));
    assert_eq!(status(&*plugin, &mut testing::exchange("GET", "/", &[])).await, Some(401));
}

#[tokio::test]
async fn opaque_tokens_are_asked_for_once() {
    let (server, env) = (Issuer::start().await, env());
    let changes = json!({
        "access_token_introspection_endpoint": server.url(), "access_token_introspection_authorization": "Basic x",
        "access_token_introspection_hint": "access_token", "access_token_introspection_body_args": "a=1",
        "access_token_introspection_consumer_claim": ["user", "name"],
        "access_token_introspection_consumer_by": ["username"]
    });
    let plugin = testing::configure(&JwtSigner, config(changes), &env);
    let mut entries = Entries::default();
    entries.consumer("ada", None);
    let mut exchange = testing::exchange_with("GET", "/", &[("Authorization", "bearer opaque")], entries.into());
    let answer = json!({ "active": true, "user": { "name": "ada" } });
    let (refused, (head, content)) = tokio::join!(status(&*plugin, &mut exchange), server.answer(answer));
    assert_eq!(refused, None);
    assert!(head.to_ascii_lowercase().contains("\r\nauthorization: basic x\r\n"), "{head}");
    assert_eq!(content, "token=opaque&token_type_hint=access_token&a=1");
    assert_eq!(exchange.consumer.as_ref().unwrap().username.as_deref(), Some("ada"));
    assert_eq!(told(&exchange, &env).await["active"], true);
    assert_eq!(status(&*plugin, &mut request("opaque")).await, Some(403), "the answer is known, the consumer is not");
    let mut other = request("gone");
    let (refused, _) = tokio::join!(status(&*plugin, &mut other), server.answer(json!({ "active": false })));
    assert_eq!(refused, Some(401));
}

#[tokio::test]
async fn without_keys_nobody_passes() {
    let changes = json!({ "access_token_jwks_uri": "http://127.0.0.1:1/jwks" });
    let plugin = testing::configure(&JwtSigner, config(changes), &env());
    let issuer = Issuer::start().await;
    assert_eq!(status(&*plugin, &mut request(&issuer.token(json!({})))).await, Some(500));
    let none = testing::configure(&JwtSigner, config(json!({})), &env());
    assert_eq!(status(&*none, &mut request(&issuer.token(json!({})))).await, Some(401));
    let optional = testing::configure(&JwtSigner, config(json!({ "access_token_optional": true })), &env());
    assert_eq!(status(&*optional, &mut testing::exchange("GET", "/", &[])).await, None);
}

#[tokio::test]
async fn secrets_sign_only_where_that_is_wanted() {
    let issuer = Issuer::start().await;
    let secret = generate_jwk(Algorithm::Hs256, "h").unwrap();
    let token = SigningKey::of_jwk(&secret, Algorithm::Hs256).unwrap().sign(&Record::new()).unwrap();
    let changes = |enabled: bool| json!({ "access_token_jwks_uri": issuer.url(), "enable_hs_signatures": enabled });
    let refuses = testing::configure(&JwtSigner, config(changes(false)), &env());
    assert_eq!(status(&*refuses, &mut request(&token)).await, Some(401));
    let takes = testing::configure(&JwtSigner, config(changes(true)), &env());
    let (mut exchange, keys) = (request(&token), json!({ "keys": [secret] }));
    let (refused, _) = tokio::join!(status(&*takes, &mut exchange), issuer.answer(keys));
    assert_eq!(refused, None);
}

#[tokio::test]
async fn sets_are_shown_rotated_and_forgotten() {
    let env = env();
    let access = Access::new(&env);
    let source = key_sets::Source::read("kong", &Config::new(&Record::new()), "access_token_keyset", &env).unwrap();
    let key = access.signing_key(&source, Algorithm::Es256).await.unwrap();
    let signed = key.sign(&Record::new()).unwrap();
    let shown = ask(&env, "GET", &["jwt-signer", "jwks"]).await;
    let set = &shown["data"][0];
    assert_eq!(set["name"], "kong");
    assert_eq!(set["keys"].as_array().unwrap().len(), 13);
    let text = shown.to_string();
    assert!(!text.contains("\"d\":") && !text.contains("\"qi\":"), "{text}");
    let rotated = ask(&env, "POST", &["jwt-signer", "jwks", "kong", "rotate"]).await;
    assert_eq!(rotated["previous"], set["keys"]);
    assert_ne!(rotated["keys"], set["keys"]);
    let token = Token::parse(signed.as_bytes()).unwrap();
    assert_eq!(access.has_signed(&source, &token, false).await, Ok(true), "the set before is good, too");
    ask(&env, "POST", &["jwt-signer", "jwks", set["id"].as_str().unwrap(), "rotate"]).await;
    assert_eq!(access.has_signed(&source, &token, false).await, Ok(false));
    ask(&env, "DELETE", &["jwt-signer", "jwks", "kong"]).await;
    assert_eq!(ask(&env, "GET", &["jwt-signer", "jwks"]).await["data"], json!([]));
}
