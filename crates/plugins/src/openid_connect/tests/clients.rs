//! Who the gateway is to issuers, where sessions are kept, and by which ways issuers are reached.

use super::*;
use sdk::jose::{Algorithm, KeySet, generate_jwk, public_jwk};
use sdk::testing::RedisServer;

/// What the issuer was sent to an endpoint last.
fn sent_to(issuer: &Issuer, path: &str) -> Args {
    let asked = issuer.shared.asked.lock().unwrap();
    let (_, form) = asked.iter().rev().find(|(asked, _)| asked == path).unwrap();
    Args::parse(form)
}

const PASSWORD: (&str, &str) = ("Authorization", "Basic YWRhOnJpZ2h0");

#[tokio::test]
async fn clients_show_who_they_are_by_assertions() {
    let issuer = Issuer::start().await;
    let secret = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode("secret") });
    let keys = [("RS256", json!(null)), ("ES256", json!(null)), ("EdDSA", json!(null)), ("PS384", json!("PS384"))];
    let keys = keys.map(|(name, named)| {
        let mut key = generate_jwk(Algorithm::parse(name).unwrap(), "k1").unwrap();
        key.as_object_mut().unwrap().remove("alg");
        (name, "private_key_jwt", key, named)
    });
    let secrets = [("HS256", json!(null)), ("HS512", json!("HS512"))];
    let secrets = secrets.map(|(name, named)| (name, "client_secret_jwt", secret.clone(), named));
    for (name, method, key, named) in keys.into_iter().chain(secrets) {
        let jwk = if method == "private_key_jwt" { json!([key]) } else { json!(null) };
        let named = if named.is_null() { named } else { json!([named]) };
        let plugin = issuer.configure(json!({
            "auth_methods": ["password"], "client_auth": [method], "client_jwk": jwk, "client_alg": named,
            "cache_tokens": false
        }));
        assert!(call(&*plugin, "/", &[PASSWORD]).await.1.is_none(), "{name}");
        let form = sent_to(&issuer, "/token");
        assert_eq!(argument(&form, "client_id"), "gateway");
        assert_eq!(form.get_all("client_secret").next(), None);
        let assertion = argument(&form, "client_assertion");
        let token = Token::parse(assertion.as_bytes()).unwrap();
        assert_eq!(token.algorithm.name(), name);
        let set = json!({ "keys": [public_jwk(&key)] });
        assert!(KeySet::parse_with_secrets(&set).verifies(&token), "{name}");
        assert_eq!(token.claims["sub"], "gateway");
        assert_eq!(token.claims["aud"], format!("{}/token", issuer.base));
    }
}

#[tokio::test]
async fn sessions_may_be_kept_in_a_redis() {
    let (issuer, server) = (Issuer::start().await, RedisServer::start());
    let plugin = issuer.configure(json!({
        "auth_methods": ["session", "password"], "session_storage": "redis",
        "redis": server.record(json!({ "prefix": "p" })), "logout_query_arg": "logout", "logout_methods": ["GET"]
    }));
    let (exchange, answer) = call(&*plugin, "/", &[PASSWORD]).await;
    assert!(answer.is_none());
    let session = cookies(&exchange);
    let keys = server.keys();
    assert!(matches!(&keys[..], [key] if key.starts_with("p:session:")), "{keys:?}");
    assert!(server.text(&["GET", &keys[0]]).starts_with("[\""), "as lua-resty-session has it");
    assert!(session.len() < 200, "the content is not in the cookie: {session}");
    let (exchange, answer) = call(&*plugin, "/", &[("Cookie", &session)]).await;
    assert!(answer.is_none());
    assert_eq!(exchange.request.fields.get_str("X-Credential-Identifier"), Some("ada"));
    call(&*plugin, "/?logout=1", &[("Cookie", &session)]).await;
    assert!(server.keys().is_empty());
    assert_eq!(call(&*plugin, "/", &[("Cookie", &session)]).await.1.map(|answer| answer.status), Some(401));
}

#[tokio::test]
async fn requests_choose_among_clients() {
    let issuer = Issuer::start().await;
    let plugin = issuer.configure(json!({
        "auth_methods": ["session", "authorization_code", "password"], "client_id": ["one", "gateway"],
        "client_secret": ["1", "2"], "client_auth": ["client_secret_basic", "client_secret_post"],
        "redirect_uri": ["https://one.test/", "https://two.test/"], "login_action": "upstream",
        "cache_tokens": false
    }));
    for (line, id) in [(None, "one"), (Some("one"), "one"), (Some("gateway"), "gateway"), (Some("2"), "gateway")] {
        let lines: Vec<_> = line.map(|line| ("client_id", line)).into_iter().collect();
        let (_, answer) = call(&*plugin, "/page", &lines).await;
        let location = answer.unwrap().fields.get_str("Location").unwrap().to_owned();
        assert_eq!(argument(&Args::parse(location.split_once('?').unwrap().1), "client_id"), id, "{line:?}");
    }
    // A login goes on with the client that it has begun with, and so does its session.
    let (exchange, answer) = call(&*plugin, "/page?client_id=gateway", &[]).await;
    let location = answer.unwrap().fields.get_str("Location").unwrap().to_owned();
    let sent = Args::parse(location.split_once('?').unwrap().1);
    assert_eq!(argument(&sent, "redirect_uri"), "https://two.test/");
    *issuer.shared.nonce.lock().unwrap() = Some(argument(&sent, "nonce"));
    let back = format!("/page?code=c&state={}", argument(&sent, "state"));
    let login = cookies(&exchange);
    let (exchange, answer) = call(&*plugin, &back, &[("Cookie", &login)]).await;
    assert!(answer.is_none());
    let form = sent_to(&issuer, "/token");
    assert_eq!(argument(&form, "client_id"), "gateway");
    assert_eq!(argument(&form, "client_secret"), "2");
    let session = cookies(&exchange);
    let (exchange, answer) = call(&*plugin, "/page", &[("Cookie", &session)]).await;
    assert!(answer.is_none());
    assert_eq!(exchange.request.fields.get_str("X-Credential-Identifier"), Some("ada"));
}

#[tokio::test]
async fn issuers_may_be_behind_a_proxy() {
    let proxy = testing::Server::start().await;
    let plugin = configure(
        "http://issuer.test:81",
        json!({
            "auth_methods": BEARER, "http_proxy": format!("http://{}", proxy.address()),
            "http_proxy_authorization": "Basic cHJveHk6cGFzcw==", "no_proxy": "other.test"
        }),
    );
    let answered = async {
        let (head, _) = proxy.answer(404).await;
        assert!(head.starts_with("GET http://issuer.test:81/.well-known/openid-configuration HTTP/1.1\r\n"), "{head}");
        assert!(head.to_lowercase().contains("proxy-authorization: basic chjvehk6cgfzcw==\r\n"), "{head}");
    };
    let token = "eyJhbGciOiJFZERTQSJ9.eyJleHAiOjk5OTk5OTk5OTl9.AAAA";
    let (status, ()) = tokio::join!(status(&*plugin, token), answered);
    assert_eq!(status, 500);
    let direct = Issuer::start().await;
    let plugin = direct.configure(json!({
        "auth_methods": BEARER, "http_proxy": "http://127.0.0.1:1", "no_proxy": "other.test, 127.0.0.1"
    }));
    assert_eq!(super::status(&*plugin, &direct.token(json!({}))).await, 200);
}
