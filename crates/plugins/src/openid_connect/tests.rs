//! The rules of `openid-connect`, against an issuer that a test plays.

mod clients;

use super::*;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sdk::testing::{self, Entries};
use sdk::{Args, Directory};
use serde_json::json;
use std::sync::Mutex;

/// An issuer with a key, and what it was asked.
struct Issuer {
    base: String,
    shared: Arc<Shared>,
}

struct Shared {
    key: Mutex<Ed25519KeyPair>,
    /// Path and content of each request.
    asked: Mutex<Vec<(String, String)>>,
    /// The claims of identity tokens, beside the usual ones.
    nonce: Mutex<Option<String>>,
    base: String,
}

impl Issuer {
    async fn start() -> Issuer {
        let server = testing::Server::start().await;
        let base = format!("http://{}", server.address());
        let shared = Arc::new(Shared {
            key: Mutex::new(Ed25519KeyPair::generate().unwrap()),
            asked: Mutex::default(),
            nonce: Mutex::default(),
            base: base.clone(),
        });
        let answering = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let mut peer = server.accept().await;
                let (head, content) = peer.request().await;
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let (status, body) = answering.answer(&path, &content);
                answering.asked.lock().unwrap().push((path, content));
                let body = body.to_string();
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                let text = head + &body;
                peer.send(text.as_bytes()).await;
            }
        });
        Issuer { base, shared }
    }

    fn count(&self, path: &str) -> usize {
        self.shared.asked.lock().unwrap().iter().filter(|(asked, _)| asked == path).count()
    }

    /// A token of the issuer with these claims beside the usual ones.
    fn token(&self, claims: Value) -> String {
        self.shared.token(claims)
    }

    fn configure(&self, changes: Value) -> Box<dyn Plugin> {
        configure(&self.base, changes)
    }
}

/// An instance for an issuer, with the defaults of the schema.
fn configure(issuer: &str, changes: Value) -> Box<dyn Plugin> {
    configure_in(&Env::default(), issuer, changes)
}

fn configure_in(env: &Env, issuer: &str, changes: Value) -> Box<dyn Plugin> {
    let schema: Value = serde_json::from_str(OpenidConnect.schema()).unwrap();
    let fields = schema["fields"].as_array().unwrap().iter().find_map(|field| field.get("config")).unwrap();
    let defaults = fields["fields"].as_array().unwrap().iter().flat_map(|field| field.as_object().unwrap());
    let mut config: Record =
        defaults.filter_map(|(name, field)| Some((name.clone(), field.get("default")?.clone()))).collect();
    config.insert("issuer".to_owned(), issuer.into());
    config.insert("client_id".to_owned(), json!(["gateway"]));
    config.insert("client_secret".to_owned(), json!(["secret"]));
    config.extend(changes.as_object().unwrap().clone());
    testing::configure(&OpenidConnect, Value::Object(config), env)
}

impl Shared {
    fn token(&self, claims: Value) -> String {
        let mut all = json!({ "iss": self.base, "sub": "ada", "exp": now() + 60 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "EdDSA", "kid": "k" })), part(&all));
        let signature = self.key.lock().unwrap().sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn answer(&self, path: &str, content: &str) -> (u16, Value) {
        let base = &self.base;
        let form = Args::parse(content);
        let value = |name: &str| form.get_all(name).next().flatten().map(|value| value.into_owned());
        let argument = |name: &str| value(name).map(|value| String::from_utf8(value).unwrap());
        match path {
            "/.well-known/openid-configuration" => (
                200,
                json!({
                    "issuer": base, "jwks_uri": format!("{base}/jwks"), "token_endpoint": format!("{base}/token"),
                    "authorization_endpoint": format!("{base}/authorize"), "userinfo_endpoint": format!("{base}/me"),
                    "introspection_endpoint": format!("{base}/introspect"),
                    "end_session_endpoint": format!("{base}/end")
                }),
            ),
            "/jwks" => {
                let x = URL_SAFE_NO_PAD.encode(self.key.lock().unwrap().public_key());
                (200, json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }] }))
            }
            "/introspect" => (
                200,
                json!({
                    "active": argument("token").as_deref() == Some("opaque"), "sub": "ada", "scope": "read"
                }),
            ),
            "/me" => (200, json!({ "sub": "ada", "email": "ada@test" })),
            "/token" if argument("password").is_some_and(|password| password != "right") => {
                (401, json!({ "error": "invalid_grant" }))
            }
            "/token" => {
                let nonce = self.nonce.lock().unwrap().clone();
                let id_token = self.token(json!({ "aud": "gateway", "nonce": nonce }));
                (
                    200,
                    json!({
                        "access_token": self.token(json!({ "scope": "read write" })), "id_token": id_token,
                        "refresh_token": "again", "expires_in": 60
                    }),
                )
            }
            _ => (404, json!({})),
        }
    }
}

fn entries() -> Directory {
    let mut entries = Entries::default();
    let ada = entries.consumer("ada", None);
    entries.consumer("guest", None);
    entries.consumer_group("gold", &ada);
    entries.consumer_group("silver", &ada);
    entries.into()
}

async fn call(plugin: &dyn Plugin, target: &str, lines: &[(&str, &str)]) -> (Exchange, Option<Answer>) {
    call_as("GET", plugin, target, lines).await
}

async fn call_as(
    method: &str,
    plugin: &dyn Plugin,
    target: &str,
    lines: &[(&str, &str)],
) -> (Exchange, Option<Answer>) {
    let mut exchange = testing::exchange_with(method, target, lines, entries());
    exchange.request.fields.set("Host", b"gateway.test");
    let answer = testing::access_waiting(plugin, &mut exchange).await;
    plugin.header_filter(&mut exchange);
    (exchange, answer)
}

async fn status(plugin: &dyn Plugin, token: &str) -> u16 {
    let line = format!("Bearer {token}");
    call(plugin, "/", &[("Authorization", &line)]).await.1.map_or(200, |answer| answer.status)
}

/// What a client keeps of a response's cookies.
fn cookies(exchange: &Exchange) -> String {
    let lines = exchange.response.fields.get_all("Set-Cookie");
    let lines = lines.map(|line| String::from_utf8(line.to_vec()).unwrap());
    let kept = lines.filter(|line| !line.contains("Max-Age=0"));
    kept.map(|line| line.split(';').next().unwrap().to_owned()).collect::<Vec<_>>().join("; ")
}

const BEARER: [&str; 1] = ["bearer"];

#[tokio::test]
async fn tokens_of_the_issuer_are_good() {
    let issuer = Issuer::start().await;
    let plugin = issuer.configure(json!({
        "auth_methods": BEARER, "consumer_claim": ["sub"], "authenticated_groups_claim": ["groups"],
        "upstream_headers_claims": ["email"], "upstream_headers_names": ["X-Email"]
    }));
    let token = issuer.token(json!({ "groups": ["a", "b"], "email": "ada@test" }));
    let line = format!("Bearer {token}");
    let (exchange, answer) = call(&*plugin, "/", &[("Authorization", &line), ("X-Email", "fake")]).await;
    assert!(answer.is_none());
    let fields = &exchange.request.fields;
    assert_eq!(fields.get_str("X-Consumer-Username"), Some("ada"));
    assert_eq!(fields.get_str("X-Credential-Identifier"), Some("ada"));
    assert_eq!(fields.get_str("X-Email"), Some("ada@test"));
    assert_eq!(fields.get_str("Authorization"), Some(line.as_str()));
    assert_eq!(exchange.authenticated_groups, Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(exchange.response.fields.get_str("Set-Cookie"), None);
    assert_eq!(status(&*plugin, &token).await, 200);
    assert_eq!(issuer.count("/jwks"), 1);
}

#[tokio::test]
async fn claims_lead_to_consumers_and_their_groups() {
    let issuer = Issuer::start().await;
    let plugin = issuer.configure(json!({
        "auth_methods": BEARER, "consumer_claims": [["user", "name"], ["sub"]], "consumer_by": ["username"],
        "consumer_groups_claim": ["user", "tiers"],
        "upstream_headers": [{ "header": "X-Name", "path": ["user", "name"] }],
        "downstream_headers": [{ "header": "X-Tier", "path": ["user", "tiers"] }]
    }));
    let user = |name: &str, tiers: Value| issuer.token(json!({ "user": { "name": name, "tiers": tiers } }));
    let line = format!("Bearer {}", user("ada", json!(["silver", "tin", "gold"])));
    let (exchange, answer) = call(&*plugin, "/", &[("Authorization", &line), ("X-Name", "fake")]).await;
    assert!(answer.is_none());
    assert_eq!(exchange.request.fields.get_str("X-Consumer-Username"), Some("ada"));
    assert_eq!(exchange.request.fields.get_str("X-Name"), Some("ada"));
    assert_eq!(exchange.response.fields.get_str("X-Tier"), Some("silver, tin, gold"));
    let groups = exchange.consumer_groups();
    assert_eq!(groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["gold", "silver"]);
    assert_eq!(status(&*plugin, &user("eve", json!(["gold"]))).await, 403, "the first claim counts");
    assert_eq!(status(&*plugin, &issuer.token(json!({ "user": { "tiers": "gold" } }))).await, 200);
    assert_eq!(status(&*plugin, &user("ada", json!(["tin"]))).await, 403);
    let lenient = issuer.configure(json!({
        "auth_methods": BEARER, "consumer_groups_claim": ["tiers"], "consumer_groups_optional": true
    }));
    assert_eq!(status(&*lenient, &issuer.token(json!({}))).await, 200);
}

#[tokio::test]
async fn tokens_come_in_the_line_that_is_named() {
    let issuer = Issuer::start().await;
    let plugin = issuer.configure(json!({
        "auth_methods": BEARER, "bearer_token_header_name": "X-Token", "hide_credentials": true,
        "upstream_access_token_header": null, "jwks_endpoint": format!("{}/jwks", issuer.base)
    }));
    let token = issuer.token(json!({}));
    let line = format!("Bearer {token}");
    for shown in [&token, &line] {
        let (exchange, answer) = call(&*plugin, "/", &[("X-Token", shown)]).await;
        assert!(answer.is_none());
        assert_eq!(exchange.request.fields.get_str("X-Token"), None);
    }
    assert_eq!(status(&*plugin, &token).await, 401, "no other line counts");
}

#[tokio::test]
async fn tokens_of_others_are_exchanged() {
    let (issuer, other) = (Issuer::start().await, Issuer::start().await);
    let plugin = issuer.configure(json!({
        "auth_methods": BEARER, "scopes_required": ["write"], "token_exchange": {
            "subject_token_issuers": [{ "issuer": other.base, "verify_signature": true }],
            "request": { "audience": ["api"], "empty_scopes": true }
        }
    }));
    let token = other.token(json!({ "scope": "little" }));
    let line = format!("Bearer {token}");
    for _ in 0..2 {
        let (exchange, answer) = call(&*plugin, "/", &[("Authorization", &line)]).await;
        assert!(answer.is_none());
        let sent = exchange.request.fields.get_str("Authorization").unwrap();
        assert_ne!(sent, line);
        assert!(sent.starts_with("Bearer ey"), "{sent}");
    }
    assert_eq!(issuer.count("/token"), 1, "what was exchanged is kept");
    {
        let asked = issuer.shared.asked.lock().unwrap();
        let (_, form) = asked.iter().find(|(path, _)| path == "/token").unwrap();
        let form = Args::parse(form);
        assert_eq!(argument(&form, "grant_type"), "urn:ietf:params:oauth:grant-type:token-exchange");
        assert_eq!(argument(&form, "subject_token"), token);
        assert_eq!(argument(&form, "subject_token_type"), "urn:ietf:params:oauth:token-type:access_token");
        assert_eq!(argument(&form, "audience"), "api");
        assert_eq!(form.get_all("scope").next(), None);
    }
    assert_eq!(status(&*plugin, &other.token(json!({ "exp": now() - 9 }))).await, 401);
    let (signed, _) = token.rsplit_once('.').unwrap();
    assert_eq!(status(&*plugin, &format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64]))).await, 401);
    assert_eq!(status(&*plugin, &issuer.token(json!({ "scope": "write" }))).await, 200);
    assert_eq!(issuer.count("/token"), 1, "nothing else was exchanged");
}

#[tokio::test]
async fn tokens_that_lack_something_are_exchanged() {
    let issuer = Issuer::start().await;
    let conditions = json!({ "missing_scopes": ["write"], "has_audience": ["gateway"] });
    let plugin = issuer.configure(json!({
        "auth_methods": BEARER,
        "token_exchange": { "subject_token_issuers": [{ "issuer": issuer.base, "conditions": conditions }] }
    }));
    assert_eq!(status(&*plugin, &issuer.token(json!({ "scope": "write", "aud": "gateway" }))).await, 200);
    assert_eq!(status(&*plugin, &issuer.token(json!({ "scope": "read" }))).await, 200);
    assert_eq!(issuer.count("/token"), 0);
    assert_eq!(status(&*plugin, &issuer.token(json!({ "scope": "read", "aud": ["gateway"] }))).await, 200);
    assert_eq!(issuer.count("/token"), 1);
}

#[tokio::test]
async fn other_tokens_are_not() {
    let issuer = Issuer::start().await;
    let plugin = issuer.configure(json!({ "auth_methods": BEARER }));
    let good = issuer.token(json!({}));
    let (signed, _) = good.rsplit_once('.').unwrap();
    for token in [
        issuer.token(json!({ "exp": now() - 10 })),
        issuer.token(json!({ "nbf": now() + 100 })),
        issuer.token(json!({ "iss": "https://other.test" })),
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        "opaque".to_owned(),
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
    ] {
        assert_eq!(status(&*plugin, &token).await, 401, "{token}");
    }
    let (_, answer) = call(&*plugin, "/", &[]).await;
    let challenge = answer.unwrap().fields.get_str("WWW-Authenticate").map(str::to_owned);
    assert_eq!(challenge.as_deref(), Some("Bearer realm=\"127.0.0.1\", error=\"invalid_token\""));
}

#[tokio::test]
async fn issuers_that_are_allowed_are_all() {
    let issuer = Issuer::start().await;
    let allow = |allowed: &str| issuer.configure(json!({ "auth_methods": BEARER, "issuers_allowed": [allowed] }));
    let other = "https://other.test";
    assert_eq!(status(&*allow(other), &issuer.token(json!({ "iss": other }))).await, 200);
    assert_eq!(status(&*allow(other), &issuer.token(json!({}))).await, 401);
    assert_eq!(status(&*allow(&issuer.base), &issuer.token(json!({}))).await, 200);
}

#[tokio::test]
async fn what_is_required_must_be_there() {
    let issuer = Issuer::start().await;
    let plugin = issuer.configure(json!({
        "auth_methods": BEARER, "scopes_required": ["read write", "admin"], "claims_forbidden": ["guest"],
        "consumer_claim": ["sub"], "consumer_by": ["username"]
    }));
    for (claims, expected) in [
        (json!({ "scope": "write read" }), 200),
        (json!({ "scope": ["admin"] }), 200),
        (json!({ "scope": "read" }), 403),
        (json!({}), 403),
        (json!({ "scope": "admin", "guest": true }), 403),
        (json!({ "scope": "admin", "sub": "nobody" }), 403),
    ] {
        assert_eq!(status(&*plugin, &issuer.token(claims.clone())).await, expected, "{claims}");
    }
}

#[tokio::test]
async fn issuers_change_their_keys() {
    let issuer = Issuer::start().await;
    let plugin = issuer.configure(json!({ "auth_methods": BEARER, "rediscovery_lifetime": 0 }));
    assert_eq!(status(&*plugin, &issuer.token(json!({}))).await, 200);
    *issuer.shared.key.lock().unwrap() = Ed25519KeyPair::generate().unwrap();
    assert_eq!(status(&*plugin, &issuer.token(json!({}))).await, 200);
    assert_eq!(issuer.count("/jwks"), 2);
    let patient = issuer.configure(json!({ "auth_methods": BEARER }));
    assert_eq!(status(&*patient, &issuer.token(json!({}))).await, 200);
    *issuer.shared.key.lock().unwrap() = Ed25519KeyPair::generate().unwrap();
    assert_eq!(status(&*patient, &issuer.token(json!({}))).await, 401, "it was asked a moment ago");
}

#[tokio::test]
async fn issuers_are_forgotten_on_demand() {
    let issuer = Issuer::start().await;
    let env = Env::default();
    let plugin = configure_in(&env, &issuer.base, json!({ "auth_methods": BEARER }));
    let ask = |method: &str, path: &[&str]| {
        let path = ["openid-connect"].iter().chain(path).map(|part| (*part).to_owned()).collect();
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
        match admin::answer(&request, &env).content {
            sdk::AdminContent::Json(content) => content,
            _ => Value::Null,
        }
    };
    assert_eq!(ask("GET", &["issuers"])["data"], json!([]));
    assert_eq!(status(&*plugin, &issuer.token(json!({}))).await, 200);
    let known = ask("GET", &["issuers"])["data"][0].clone();
    assert_eq!(known["configuration"]["issuer"], issuer.base);
    assert_eq!(ask("GET", &["issuers", known["id"].as_str().unwrap()])["issuer"], known["issuer"]);
    *issuer.shared.key.lock().unwrap() = Ed25519KeyPair::generate().unwrap();
    assert_eq!(status(&*plugin, &issuer.token(json!({}))).await, 401, "it was asked a moment ago");
    ask("DELETE", &["issuers"]);
    assert_eq!(status(&*plugin, &issuer.token(json!({}))).await, 200);
    assert_eq!(ask("GET", &["jwks"]), json!({ "keys": [] }));
}

#[tokio::test]
async fn opaque_tokens_are_asked_for() {
    let issuer = Issuer::start().await;
    let plugin = issuer.configure(json!({
        "auth_methods": ["introspection"], "scopes_required": ["read"], "upstream_user_info_header": "X-User-Info"
    }));
    for _ in 0..2 {
        let (exchange, answer) = call(&*plugin, "/", &[("Authorization", "bearer opaque")]).await;
        assert!(answer.is_none());
        assert!(exchange.request.fields.get_str("X-User-Info").is_some());
    }
    assert_eq!(issuer.count("/introspect"), 1);
    assert_eq!(status(&*plugin, "other").await, 401);
    let asked = issuer.shared.asked.lock().unwrap();
    let (_, form) = asked.iter().find(|(path, _)| path == "/introspect").unwrap();
    assert_eq!(form, "token=opaque&token_type_hint=access_token");
}

#[tokio::test]
async fn names_and_secrets_bring_tokens() {
    let issuer = Issuer::start().await;
    let plugin = issuer.configure(json!({ "auth_methods": ["password"], "hide_credentials": true }));
    // ada:right and ada:wrong
    for (line, expected) in [("Basic YWRhOnJpZ2h0", None), ("Basic YWRhOndyb25n", Some(401))] {
        let (exchange, answer) = call(&*plugin, "/", &[("Authorization", line)]).await;
        assert_eq!(answer.map(|answer| answer.status), expected);
        if expected.is_none() {
            assert!(exchange.request.fields.get_str("Authorization").unwrap().starts_with("Bearer ey"));
        }
    }
    assert!(call(&*plugin, "/", &[("Authorization", "Basic YWRhOnJpZ2h0")]).await.1.is_none());
    assert_eq!(issuer.count("/token"), 2, "the first one is kept");
    let clients = issuer.configure(json!({ "auth_methods": ["client_credentials"] }));
    let (exchange, answer) = call(&*clients, "/?client_id=c&client_secret=s", &[]).await;
    assert!(answer.is_none());
    assert_eq!(exchange.request.fields.get_str("X-Credential-Identifier"), Some("ada"));
}

/// Begins a login; the arguments with which the browser is sent to the issuer, and its cookies.
async fn begin(plugin: &dyn Plugin) -> (Args, String) {
    let (exchange, answer) = call(plugin, "/page?x=1", &[]).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, 302);
    let location = answer.fields.get_str("Location").unwrap();
    (Args::parse(location.split_once('?').unwrap().1), cookies(&exchange))
}

fn argument(args: &Args, name: &str) -> String {
    String::from_utf8(args.get_all(name).next().flatten().unwrap().into_owned()).unwrap()
}

#[tokio::test]
async fn browsers_log_in_and_out() {
    let issuer = Issuer::start().await;
    let plugin = issuer.configure(json!({
        "auth_methods": ["session", "authorization_code"], "login_action": "redirect", "login_tokens": null,
        "logout_query_arg": "logout", "logout_methods": ["GET"], "logout_redirect_uri": ["https://bye.test/"]
    }));
    let (sent, login) = begin(&*plugin).await;
    assert_eq!(argument(&sent, "redirect_uri"), "http://gateway.test/page");
    assert_eq!(argument(&sent, "code_challenge_method"), "S256");
    *issuer.shared.nonce.lock().unwrap() = Some(argument(&sent, "nonce"));
    let back = format!("/page?code=c&state={}", argument(&sent, "state"));
    let (_, forged) = call(&*plugin, "/page?code=c&state=other", &[("Cookie", &login)]).await;
    assert_eq!(forged.unwrap().status, 401);
    let (exchange, answer) = call(&*plugin, &back, &[("Cookie", &login)]).await;
    let answer = answer.unwrap();
    assert_eq!(answer.fields.get_str("Location"), Some("http://gateway.test/page?x=1"));
    let session = cookies(&exchange);
    let (exchange, answer) = call(&*plugin, "/page", &[("Cookie", &session)]).await;
    assert!(answer.is_none());
    assert_eq!(exchange.request.fields.get_str("X-Credential-Identifier"), Some("ada"));
    let (exchange, answer) = call(&*plugin, "/page?logout=1", &[("Cookie", &session)]).await;
    let location = answer.unwrap().fields.get_str("Location").unwrap().to_owned();
    assert!(location.starts_with(&format!("{}/end?id_token_hint=ey", issuer.base)), "{location}");
    assert!(location.ends_with("post_logout_redirect_uri=https%3A%2F%2Fbye.test%2F"), "{location}");
    assert_eq!(cookies(&exchange), "");
}

#[tokio::test]
async fn a_login_belongs_to_its_browser() {
    let issuer = Issuer::start().await;
    let plugin = issuer.configure(json!({ "auth_methods": ["session", "authorization_code"] }));
    let (sent, login) = begin(&*plugin).await;
    let back = format!("/page?code=c&state={}", argument(&sent, "state"));
    let (_, answer) = call(&*plugin, &back, &[]).await;
    assert_eq!(answer.unwrap().status, 302, "without its cookie it is no login");
    let (_, answer) = call(&*plugin, &back, &[("Cookie", &login)]).await;
    assert_eq!(answer.unwrap().status, 401, "the nonce is another one");
    *issuer.shared.nonce.lock().unwrap() = Some(argument(&sent, "nonce"));
    let (exchange, answer) = call(&*plugin, &format!("{back}&y=2"), &[("Cookie", &login)]).await;
    assert!(answer.is_none());
    assert_eq!(exchange.upstream.query.as_deref(), Some("y=2"));
}

#[tokio::test]
async fn an_issuer_that_is_not_there_lets_nobody_in() {
    let plugin = configure("http://127.0.0.1:1", json!({ "auth_methods": BEARER, "anonymous": "guest" }));
    assert_eq!(status(&*plugin, "eyJhbGciOiJFZERTQSJ9.eyJleHAiOjk5OTk5OTk5OTl9.AAAA").await, 500);
    let (exchange, answer) = call_as("POST", &*plugin, "/", &[]).await;
    assert!(answer.is_none());
    assert_eq!(exchange.request.fields.get_str("X-Anonymous-Consumer"), Some("true"));
}

#[tokio::test]
async fn a_refusal_ends_the_session() {
    let issuer = Issuer::start().await;
    let config = json!({ "auth_methods": ["session", "password"], "scopes_required": ["admin"] });
    let open = issuer.configure(json!({ "auth_methods": ["session", "password"], "cache_ttl_max": 5 }));
    assert_eq!(open.degraded().as_deref(), Some("these settings have no effect: cache_ttl_max"));
    let (exchange, _) = call(&*open, "/", &[("Authorization", "Basic YWRhOnJpZ2h0")]).await;
    let session = cookies(&exchange);
    assert!(session.starts_with("session="), "{session}");
    let closed = issuer.configure(config);
    assert_eq!(closed.degraded(), None);
    let (exchange, answer) = call(&*closed, "/", &[("Cookie", &session)]).await;
    assert_eq!(answer.unwrap().status, 403);
    assert!(exchange.response.fields.get_str("Set-Cookie").unwrap().contains("Max-Age=0"));
}

#[test]
fn what_is_not_there_is_refused() {
    let issuer = "https://issuer.test";
    assert_eq!(settings::check(&json!({ "issuer": issuer, "session_storage": "cookie" })), Ok(()));
    for config in [
        json!({ "issuer": issuer, "session_storage": "memcached" }),
        json!({ "issuer": issuer, "proof_of_possession_mtls": "strict" }),
        json!({ "issuer": issuer, "client_auth": ["private_key_jwt"] }),
        json!({ "issuer": issuer, "client_auth": ["tls_client_auth"] }),
        json!({ "issuer": issuer, "client_auth": ["client_secret_jwt"], "client_alg": ["RS256"] }),
        json!({ "issuer": issuer, "https_proxy": "https://proxy.test" }),
        json!({ "issuer": issuer, "require_signed_request_object": true }),
        json!({ "issuer": issuer, "token_headers_client": ["x"] }),
        json!({ "issuer": "not a url" }),
        json!({ "issuer": issuer, "token_exchange": { "subject_token_issuers": [{ "issuer": issuer }] } }),
        json!({ "issuer": issuer, "token_exchange": { "subject_token_issuers": [
            { "issuer": "https://other.test", "conditions": { "has_scopes": ["a"] } }
        ] } }),
    ] {
        assert!(settings::check(&config).is_err(), "{config}");
    }
}

#[test]
fn an_empty_secret_is_refused() {
    for (field, config) in [
        ("client_secret", json!({ "client_id": ["gateway"], "client_secret": [""], "issuer": "http://i.test" })),
        ("session_secret", json!({ "client_id": ["gateway"], "session_secret": "", "issuer": "http://i.test" })),
    ] {
        let record = config.as_object().unwrap();
        let refused = Settings::new(&Config::new(record), &config, "fallback", 0, &Env::default()).err().unwrap();
        assert_eq!(refused, format!("config.{field} is empty"));
    }
}
