//! The rules of `oauth2-introspection`, against a server that a test plays.

use super::*;
use sdk::testing::{self, Entries};

fn configure(server: &testing::Server, changes: Value) -> Box<dyn Plugin> {
    let mut config = json!({
        "introspection_url": format!("http://{}/introspect", server.address()), "ttl": 30, "token_type_hint": null,
        "authorization_value": "Basic abc", "timeout": 10_000, "keepalive": 60_000, "introspect_request": false,
        "hide_credentials": true, "run_on_preflight": true, "anonymous": "", "consumer_by": "username",
        "custom_introspection_headers": { "X-A": "1" }, "custom_claims_forward": ["tier"]
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&Oauth2Introspection, config, &Env::default())
}

/// A request with that token, while the server answers once.
async fn ask(server: &testing::Server, plugin: &dyn Plugin, answer: Value) -> (Exchange, Option<u16>, String) {
    let mut entries = Entries::default();
    entries.consumer("ada", None);
    let lines = [("Authorization", "Bearer t0ken"), ("X-Credential-Sub", "fake")];
    let mut exchange = testing::exchange_with("GET", "/?x=1", &lines, entries.into());
    let answering = async {
        let mut peer = server.accept().await;
        let (head, form) = peer.request().await;
        let body = answer.to_string();
        let length = body.len();
        let head_sent = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        peer.send((head_sent + &body).as_bytes()).await;
        format!("{head}{form}")
    };
    let (answer, asked) = tokio::join!(testing::access_waiting(plugin, &mut exchange), answering);
    (exchange, answer.map(|answer| answer.status), asked)
}

#[tokio::test]
async fn the_server_is_asked_once() {
    let server = testing::Server::start().await;
    let plugin = configure(&server, json!({}));
    let known = json!({ "active": true, "username": "ada", "scope": "a b", "client_id": "c", "tier": "gold" });
    let (exchange, status, asked) = ask(&server, &*plugin, known).await;
    assert_eq!(status, None);
    assert!(asked.contains("authorization: Basic abc") || asked.contains("Authorization: Basic abc"), "{asked}");
    assert!(asked.ends_with("token=t0ken"), "{asked}");
    let fields = &exchange.request.fields;
    assert_eq!(fields.get_str("X-Consumer-Username"), Some("ada"));
    assert_eq!(fields.get_str("X-Credential-Scope"), Some("a b"));
    assert_eq!(fields.get_str("X-Credential-Tier"), Some("gold"));
    assert_eq!(fields.get_str("X-Credential-Sub"), None);
    assert_eq!(fields.get_str("Authorization"), None);
    let mut again = testing::exchange("GET", "/?access_token=t0ken&y=1", &[]);
    assert!(testing::access_waiting(&*plugin, &mut again).await.is_none());
    assert_eq!(again.upstream.query.as_deref(), Some("y=1"));
}

#[tokio::test]
async fn tokens_that_are_not_good_are_refused() {
    let server = testing::Server::start().await;
    for known in [json!({ "active": false }), json!({ "active": true, "exp": 1 }), json!({})] {
        let (_, status, _) = ask(&server, &*configure(&server, json!({})), known).await;
        assert_eq!(status, Some(401));
    }
    let plugin = configure(&server, json!({}));
    let answer = testing::access(&*plugin, &mut testing::exchange("GET", "/", &[])).unwrap();
    assert_eq!(answer.fields.get_str("WWW-Authenticate"), Some("Bearer realm=\"service\""));
}

#[tokio::test]
async fn a_server_that_is_not_there_lets_nobody_in() {
    let server = testing::Server::start().await;
    let plugin = configure(&server, json!({ "introspection_url": "http://127.0.0.1:1/" }));
    let mut exchange = testing::exchange("GET", "/?access_token=t", &[]);
    assert_eq!(testing::access_waiting(&*plugin, &mut exchange).await.unwrap().status, 500);
}
