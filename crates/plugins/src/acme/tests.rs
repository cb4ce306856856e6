//! Certificates got from an authority of the tests, and what becomes of them.

use super::issue::Issuer;
use super::key::base64url;
use super::*;
use rcgen::{CertificateParams, CertificateSigningRequestParams, IsCa, KeyPair};
use sdk::testing::{self, Kept, Peer, Server};
use serde_json::{Value, json};

/// A node with a database, and an account's key in it.
struct World {
    kept: Kept,
    env: Env,
}

impl World {
    async fn new() -> World {
        let kept = Kept::default();
        let env = Env::default().with_records(testing::records(kept.clone()));
        let key = json!({ "kid": "k", "pem": { "private_key": KeyPair::generate().unwrap().serialize_pem() } });
        let key = key.as_object().unwrap().clone();
        env.records().insert(entities::DEFAULT_WORKSPACE, "keys", key).await.unwrap();
        World { kept, env }
    }

    fn plugin(&self, server: &Server, storage: &str) -> entities::Plugin {
        let config = json!({
            "account_email": "a@b.test", "account_key": { "key_id": "k" }, "storage": storage, "cert_type": "ecc",
            "api_uri": format!("http://{}/directory", server.address()), "renew_threshold_days": 14,
            "domains": ["a.test", "*.b.test"], "fail_backoff_minutes": 5, "enable_ipv4_common_name": false,
        });
        let record = json!({
            "id": entities::Uuid::from_u128(1).to_string(), "name": "acme", "protocols": ["http"], "enabled": true,
            "config": config,
        });
        entities::Plugin::from_record(record.as_object().unwrap()).unwrap()
    }
}

/// An ACME server. It looks at nothing but what the challenge is answered with; that signatures are good, the tests of
/// keys show.
struct Authority<'a> {
    base: String,
    issuer: &'a Issuer,
    authority: (CertificateParams, KeyPair),
    certificate: String,
    nonces: usize,
}

impl Authority<'_> {
    fn new<'a>(server: &Server, issuer: &'a Issuer) -> Authority<'a> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let base = format!("http://{}", server.address());
        let authority = (params, KeyPair::generate().unwrap());
        Authority { base, issuer, authority, certificate: String::new(), nonces: 0 }
    }

    async fn serve(mut self, server: &Server) {
        let mut peer = server.accept().await;
        loop {
            let (head, body) = peer.request().await;
            self.answer(&mut peer, &head, &body).await;
        }
    }

    async fn answer(&mut self, peer: &mut Peer, head: &str, body: &str) {
        let base = self.base.clone();
        let signed: Value = serde_json::from_str(body).unwrap_or_default();
        let part = |name: &str| {
            let octets = sdk::decode_base64url(signed[name].as_str().unwrap_or_default()).unwrap_or_default();
            serde_json::from_slice::<Value>(&octets).unwrap_or_default()
        };
        let (protected, payload) = (part("protected"), part("payload"));
        let path = head.split(' ').nth(1).unwrap();
        if !body.is_empty() {
            assert_eq!(protected["url"], format!("{base}{path}"));
            assert_eq!(protected["nonce"], self.nonces.to_string(), "each nonce is used once");
        }
        let place = format!("Location: {base}/made\r\n");
        let (lines, content) = match path {
            "/directory" => {
                let places = json!({
                    "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"),
                    "newOrder": format!("{base}/order"),
                });
                (String::new(), places.to_string())
            }
            "/nonce" => (String::new(), String::new()),
            "/account" => {
                assert_eq!(payload["contact"], json!(["mailto:a@b.test"]));
                assert_eq!(protected["jwk"]["kty"], "EC");
                (place, "{}".to_owned())
            }
            "/order" => {
                assert_eq!(payload["identifiers"], json!([{ "type": "dns", "value": "a.test" }]));
                let order = json!({
                    "authorizations": [format!("{base}/authorization")], "finalize": format!("{base}/finalize"),
                });
                (place, order.to_string())
            }
            "/authorization" => {
                let status = if self.is_proven().await { "valid" } else { "pending" };
                let challenge = json!({ "type": "http-01", "token": "tok-en", "url": format!("{base}/challenge") });
                (String::new(), json!({ "status": status, "challenges": [challenge] }).to_string())
            }
            "/challenge" => {
                assert!(self.is_proven().await);
                (String::new(), "{}".to_owned())
            }
            "/finalize" => {
                let request = sdk::decode_base64url(payload["csr"].as_str().unwrap()).unwrap();
                let request = CertificateSigningRequestParams::from_der(&request.into()).unwrap();
                let issuer = rcgen::Issuer::from_params(&self.authority.0, &self.authority.1);
                self.certificate = request.signed_by(&issuer).unwrap().pem();
                (String::new(), "{}".to_owned())
            }
            "/made" => {
                let order = json!({ "status": "valid", "certificate": format!("{base}/certificate") });
                (String::new(), order.to_string())
            }
            "/certificate" => (String::new(), self.certificate.clone()),
            other => panic!("nobody asks for {other}"),
        };
        self.nonces += 1;
        let nonce = self.nonces;
        let length = content.len();
        let content = if head.starts_with("HEAD") { String::new() } else { content };
        let answer =
            format!("HTTP/1.1 200 OK\r\nReplay-Nonce: {nonce}\r\n{lines}Content-Length: {length}\r\n\r\n{content}");
        peer.send(answer.as_bytes()).await;
    }

    async fn is_proven(&self) -> bool {
        let answered = self.issuer.challenge("tok-en").await.unwrap();
        answered.is_some_and(|answer| answer.starts_with("tok-en.") && answer.len() == "tok-en.".len() + 43)
    }
}

#[tokio::test]
async fn a_certificate_becomes_a_record_and_is_replaced_when_it_is_renewed() {
    let (world, server) = (World::new().await, Server::start().await);
    let issuer = Issuer::new(&world.plugin(&server, "kong"), &world.env).unwrap();
    let serving = Authority::new(&server, &issuer).serve(&server);
    let asking = async {
        assert_eq!(issuer.update("a.test", None).await, Ok(true));
        let first = world.kept.all("certificates");
        assert_eq!(first.len(), 1);
        assert_eq!(world.kept.all("snis")[0]["name"], "a.test");
        assert_eq!(issuer.hosts().await.unwrap(), ["a.test"]);
        let (chain, key) = issuer.load("a.test").await.unwrap().unwrap();
        assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"));
        assert_eq!(issuer.update("a.test", Some(key.clone())).await, Ok(true));
        let second = world.kept.all("certificates");
        assert_eq!(second.len(), 1);
        assert_ne!(second[0]["id"], first[0]["id"]);
        assert_eq!(issuer.load("a.test").await.unwrap().unwrap().1, key, "the key stays");
        assert_eq!(world.kept.all("snis").len(), 1);
    };
    tokio::select! {
        () = asking => {}
        () = serving => {}
    }
}

#[tokio::test]
async fn after_a_failure_nothing_is_tried_for_a_while() {
    let (world, server) = (World::new().await, Server::start().await);
    let issuer = Issuer::new(&world.plugin(&server, "kong"), &world.env).unwrap();
    let (failed, _) = tokio::join!(issuer.update("a.test", None), server.answer(200));
    assert_eq!(failed, Err("the server's answer is not JSON".to_owned()));
    let again = issuer.update("a.test", None).await.unwrap_err();
    assert!(again.starts_with("please try again in "), "{again}");
    assert!(world.kept.all("certificates").is_empty());
}

#[tokio::test]
async fn names_are_those_of_the_configuration() {
    let (world, server) = (World::new().await, Server::start().await);
    let issuer = Issuer::new(&world.plugin(&server, "kong"), &world.env).unwrap();
    for (host, allowed) in [
        ("a.test", true),
        ("x.b.test", true),
        ("b.test", false),
        ("c.test", false),
        ("127.0.0.1", false),
        ("a.test/x", false),
        ("", false),
    ] {
        assert_eq!(issuer.allows(host), allowed, "{host}");
    }
}

#[tokio::test]
async fn challenges_are_answered_by_plain_http() {
    let (world, server) = (World::new().await, Server::start().await);
    let plugin = Acme.configure(&world.plugin(&server, "shm"), &world.env).unwrap();
    let path = format!("{CHALLENGES}tok");
    let ask = async |path: &str, https: bool| {
        let mut exchange = testing::exchange("GET", path, &[("Host", "a.test")]);
        exchange.client.https = https;
        let answer = testing::access_waiting(&*plugin, &mut exchange).await;
        answer.map(|answer| (answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
    };
    assert_eq!(ask(&path, false).await.map(|answer| answer.0), Some(404));
    let memory: Arc<storage::Memory> = world.env.shared();
    memory.put("tok#http-01", "tok.print", None, true).unwrap();
    assert_eq!(ask(&path, false).await, Some((200, "tok.print\n".to_owned())));
    assert_eq!(ask(&path, true).await, None);
    assert_eq!(ask(&format!("{CHALLENGES}x"), false).await, Some((404, "Not found\n".to_owned())));
    assert_eq!(ask("/other", false).await, None);
    assert!(!base64url([0xfb]).contains('='));
}
