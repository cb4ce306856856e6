//! TLS towards clients: certificates, versions, ciphers, sessions.

use blackbox::http::{get, json};
use blackbox::tls::{Client, Clients, Offer, Pair, SecureBackend};
use blackbox::{Node, bascule, eventually};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::version::{TLS12, TLS13};
use serde_json::json;

fn certificate(node: &Node, pair: &Pair, snis: &[&str]) -> String {
    let mut record = pair.record();
    record["snis"] = json!(snis);
    json(node.admin(), "POST", "/certificates", &record).expect(201).json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn the_server_name_decides_which_certificate() {
    let root = Pair::authority("root");
    let default = root.issue(&["default.test"]);
    let node = Node::start(&[("ssl_cert", &default.chain), ("ssl_cert_key", &default.key)]);
    // A client that has been there before would resume its session and see no certificate.
    let seen = |sni: Option<&str>| Client::new(&Offer::default()).get(node.proxy_tls(), sni, "/").unwrap().server;
    assert_eq!(seen(Some("one.test")), "default.test");
    let one = certificate(&node, &root.issue(&["one"]), &["one.test"]);
    certificate(&node, &root.issue(&["wild"]), &["*.wild.test", "right.*"]);
    for (name, expected) in [
        (Some("one.test"), "one"),
        (Some("ONE.test"), "one"),
        (Some("x.one.test"), "default.test"),
        (Some("x.wild.test"), "wild"),
        (Some("x.y.wild.test"), "default.test"),
        (Some("wild.test"), "default.test"),
        (Some("right.example"), "wild"),
        (None, "default.test"),
    ] {
        assert_eq!(seen(name), expected, "{name:?}");
    }
    // Another certificate in its place, a name that goes elsewhere, and one for everybody who says a name: all at once.
    json(node.admin(), "PATCH", &format!("/certificates/{one}"), &root.issue(&["uno"]).record()).expect(200);
    assert_eq!(seen(Some("one.test")), "uno");
    let any = certificate(&node, &root.issue(&["any"]), &["*"]);
    assert_eq!(seen(Some("other.test")).as_str(), "any");
    assert_eq!(seen(None).as_str(), "default.test");
    json(node.admin(), "PATCH", "/snis/one.test", &json!({ "certificate": { "id": any } })).expect(200);
    assert_eq!(seen(Some("one.test")), "any");
}

#[test]
fn the_client_decides_which_kind_of_key() {
    let root = Pair::authority("root");
    let node = Node::start(&[]);
    let (ec, rsa) = (root.issue(&["ec"]), root.issue_by(&rcgen::PKCS_RSA_SHA256, &["rsa"]));
    let record =
        json!({ "cert": ec.chain, "key": ec.key, "cert_alt": rsa.chain, "key_alt": rsa.key, "snis": ["one.test"] });
    json(node.admin(), "POST", "/certificates", &record).expect(201);
    let seen =
        |offer: &Offer<'_>| Client::new(offer).get(node.proxy_tls(), Some("one.test"), "/").map(|s| s.server).ok();
    for (schemes, expected) in [
        (&[SignatureScheme::ECDSA_NISTP256_SHA256][..], Some("ec")),
        (&[SignatureScheme::RSA_PSS_SHA256], Some("rsa")),
        (&[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256], Some("rsa")),
        (&[SignatureScheme::ED25519], None),
    ] {
        assert_eq!(seen(&Offer { schemes, ..Offer::default() }).as_deref(), expected, "{schemes:?}");
    }
    // With TLS 1.2 the ciphers say it.
    let suites = &[cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
    assert_eq!(seen(&Offer { suites, versions: &[&TLS12], ..Offer::default() }).as_deref(), Some("rsa"));
}

/// As Kong: without a certificate in the settings there are two, and who can verify only one of them is shown that.
#[test]
fn self_signed_certificates_are_of_both_kinds() {
    let mut node = Node::start(&[]);
    let shows = |node: &Node, schemes: &[SignatureScheme]| {
        let offer = Offer { schemes, ..Offer::default() };
        Client::new(&offer).get(node.proxy_tls(), None, "/").map(|secured| secured.server).ok()
    };
    let schemes = [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];
    for scheme in schemes {
        assert_eq!(shows(&node, &[scheme]).as_deref(), Some("localhost"), "{scheme:?}");
    }
    assert_eq!(shows(&node, &[SignatureScheme::ED25519]), None);
    // One that is there already under Kong's name is used.
    let own = Pair::authority("root").issue_by(&rcgen::PKCS_RSA_SHA256, &["own"]);
    node.kill();
    std::fs::write(node.prefix().join("ssl/kong-default.crt"), &own.chain).unwrap();
    std::fs::write(node.prefix().join("ssl/kong-default.key"), &own.key).unwrap();
    node.revive();
    assert_eq!(shows(&node, &schemes[..1]).as_deref(), Some("own"));
    assert_eq!(shows(&node, &schemes[1..]).as_deref(), Some("localhost"));
}

/// The version that is agreed upon, if one is.
fn version(node: &Node, versions: &[&'static rustls::SupportedProtocolVersion]) -> Option<String> {
    Client::new(&Offer { versions, ..Offer::default() }).get(node.proxy_tls(), None, "/").map(|s| s.version).ok()
}

#[test]
fn profiles_decide_over_versions_and_ciphers() {
    let node = Node::start(&[]);
    assert_eq!(version(&node, &[&TLS12]).as_deref(), Some("TLSv1_2"));
    assert_eq!(version(&node, &[&TLS12, &TLS13]).as_deref(), Some("TLSv1_3"));
    let node = Node::start(&[("ssl_cipher_suite", "modern")]);
    assert_eq!(version(&node, &[&TLS12]), None);
    assert_eq!(version(&node, &[&TLS13]).as_deref(), Some("TLSv1_3"));
    let wish = [
        ("ssl_cipher_suite", "custom"),
        ("ssl_protocols", "TLSv1.1 TLSv1.2"),
        ("ssl_ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:AES128-SHA"),
    ];
    let node = Node::start(&wish);
    node.says(": TLSv1.1, AES128-SHA (RSA key exchange, CBC)");
    assert_eq!(version(&node, &[&TLS13]), None);
    let suites = [
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    let suite = |suites: &[_]| {
        let client = Client::new(&Offer { suites, versions: &[&TLS12], ..Offer::default() });
        client.get(node.proxy_tls(), None, "/").map(|s| s.suite).ok()
    };
    assert_eq!(
        suite(&suites).as_deref(),
        Some("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        "the node's order counts"
    );
    assert_eq!(suite(&suites[..1]).as_deref(), Some("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"));
    assert_eq!(suite(&[cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]), None);
}

/// The usual profile leaves the choice open, and so what is cheapest for both is taken.
#[test]
fn suites_are_chosen_for_their_cost() {
    use cipher_suite::{
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256,
        TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };
    let suite = |node: &Node, suites: &[_]| {
        let client = Client::new(&Offer { suites, ..Offer::default() });
        client.get(node.proxy_tls(), None, "/").unwrap().suite
    };
    let with_aes = [TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256];
    let without_aes = [TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256];
    let older = [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];
    let node = Node::start(&[]);
    assert_eq!(suite(&node, &with_aes), "TLS13_AES_128_GCM_SHA256");
    assert_eq!(suite(&node, &with_aes[..2]), "TLS13_AES_256_GCM_SHA384");
    assert_eq!(suite(&node, &without_aes), "TLS13_CHACHA20_POLY1305_SHA256");
    assert_eq!(suite(&node, &older), "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    let node = Node::start(&[("nginx_proxy_ssl_prefer_server_ciphers", "off")]);
    assert_eq!(suite(&node, &with_aes), "TLS13_AES_256_GCM_SHA384", "the client's order counts");
}

#[test]
fn sessions_are_resumed_as_the_settings_say() {
    for (settings, versions, resumed) in [
        (&[][..], &[&TLS13][..], true),
        (&[], &[&TLS12], true),
        (&[("ssl_session_tickets", "off")], &[&TLS13], true),
        (&[("ssl_session_tickets", "off")], &[&TLS12], true),
        (&[("ssl_session_tickets", "off"), ("ssl_session_cache_size", "0")], &[&TLS13], false),
        (&[("ssl_session_tickets", "off"), ("ssl_session_cache_size", "0")], &[&TLS12], false),
    ] {
        let node = Node::start(settings);
        let client = Client::new(&Offer { versions, ..Offer::default() });
        let again = |sni| client.get(node.proxy_tls(), Some(sni), "/").unwrap().resumed;
        assert!(!again("one.test"));
        // Either worker can resume what the other one began.
        for _ in 0..4 {
            assert_eq!(again("one.test"), resumed, "{settings:?} {versions:?}");
        }
        assert!(!again("two.test"), "a session is for one name");
    }
}

#[test]
fn protocols_are_agreed_upon() {
    let node = Node::start(&[]);
    let agreed = |alpn: &[&str]| {
        Client::new(&Offer { alpn, ..Offer::default() }).get(node.proxy_tls(), None, "/").map(|s| s.alpn)
    };
    assert_eq!(agreed(&[]).unwrap(), None);
    assert_eq!(agreed(&["x", "http/1.1"]).unwrap().as_deref(), Some("http/1.1"));
    assert!(agreed(&["x"]).is_err());
}

#[test]
fn routes_go_by_the_server_name() {
    let node = Node::start(&[]);
    let client = Client::new(&Offer::default());
    json(node.admin(), "POST", "/routes", &json!({ "snis": ["one.test"], "protocols": ["https"] })).expect(201);
    json(
        node.admin(),
        "POST",
        "/routes",
        &json!({ "paths": ["/moved"], "protocols": ["https"], "https_redirect_status_code": 308 }),
    )
    .expect(201);
    let status = |sni, path| client.get(node.proxy_tls(), sni, path).unwrap().response.status;
    // 503: the route is found, and has no service.
    assert_eq!(status(Some("one.test"), "/"), 503);
    assert_eq!(status(Some("two.test"), "/"), 404);
    assert_eq!(status(None, "/"), 404);
    assert_eq!(status(None, "/moved"), 503);
    let moved = get(node.proxy(), "/moved?a=b").expect(308);
    assert_eq!(moved.header("Location"), Some("https://127.0.0.1/moved?a=b"));
}

#[test]
fn a_reload_takes_what_the_files_hold_now() {
    let root = Pair::authority("root");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let write = |pair: &Pair| {
        std::fs::write(file("cert"), &pair.chain).unwrap();
        std::fs::write(file("key"), &pair.key).unwrap();
    };
    write(&root.issue(&["old.test"]));
    std::fs::write(file("ca"), &Pair::authority("other").chain).unwrap();
    let (cert, key, ca) = (file("cert"), file("key"), file("ca"));
    let mut settings = vec![
        ("admin_listen", "127.0.0.1:0, 127.0.0.1:0 ssl"),
        ("client_ssl", "on"),
        ("lua_ssl_trusted_certificate", &ca),
    ];
    settings.extend(["ssl_cert", "admin_ssl_cert", "client_ssl_cert"].map(|name| (name, cert.as_str())));
    settings.extend(["ssl_cert_key", "admin_ssl_cert_key", "client_ssl_cert_key"].map(|name| (name, key.as_str())));
    let node = Node::start(&settings);
    let backend = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Welcome(&root));
    let service = json!({
        "name": "s", "protocol": "https", "host": "127.0.0.1", "port": backend.address.port(), "retries": 0,
        "tls_verify": true
    });
    json(node.admin(), "POST", "/services", &service).expect(201);
    json(node.admin(), "POST", "/services/s/routes", &json!({ "paths": ["/s"] })).expect(201);
    let shown = |address| Client::new(&Offer::default()).get(address, None, "/").unwrap().server;
    assert_eq!([shown(node.proxy_tls()), shown(node.admin_tls())], ["old.test", "old.test"]);
    get(node.proxy(), "/s").expect(502);
    write(&root.issue(&["new.test"]));
    std::fs::write(&ca, &root.chain).unwrap();
    assert!(bascule().args(["reload", "--prefix"]).arg(node.prefix()).output().unwrap().status.success());
    assert_eq!(shown(node.proxy_tls()), "new.test");
    assert_eq!(shown(node.admin_tls()), "new.test");
    assert_eq!(get(node.proxy(), "/s").expect(200).json()["client"], "new.test");
    std::fs::write(&cert, "nothing of use").unwrap();
    let refused = bascule().args(["reload", "--prefix"]).arg(node.prefix()).output().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains(&format!("ssl_cert: failed loading certificate from {cert}")), "{said}");
    eventually("a word about it", || node.log().contains("the new settings are not taken: ssl_cert: failed"));
    assert_eq!(shown(node.proxy_tls()), "new.test");
}
