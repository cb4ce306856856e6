//! Plugins in Lua that act while clients connect by TLS: the certificate phase.

use blackbox::http::{Response, json};
use blackbox::tls::{Client, Offer, Pair, Secured};
use blackbox::{Backend, Node, PATIENCE, eventually};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");

/// A node with a route to the backend, and that plugin.
fn node(backend: &Backend, settings: &[(&str, &str)], plugin: &str, config: &Value) -> Node {
    let usual = [("plugins", "bundled, doorman"), ("lua_package_path", PATH)];
    let node = Node::start(&[&usual, settings].concat());
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": plugin, "config": config })).expect(201);
    node
}

fn doorman(backend: &Backend, pair: &Pair, settings: &[(&str, &str)]) -> Node {
    node(backend, settings, "doorman", &json!({ "cert": pair.chain, "key": pair.key }))
}

fn visit(node: &Node, offer: &Offer<'_>, name: &str) -> io::Result<Secured> {
    Client::new(offer).get(node.proxy_tls(), Some(name), "/")
}

#[test]
fn code_chooses_what_clients_are_shown() {
    let (backend, pair) = (Backend::start("b"), Pair::authority("chosen"));
    let node = doorman(&backend, &pair, &[]);
    let shown = |name: &str| {
        let secured = visit(&node, &Offer::default(), name).unwrap();
        secured.response.expect(200);
        secured.server
    };
    for name in ["own.test", "parsed.test"] {
        assert_eq!(shown(name), "chosen", "{name}");
    }
    for name in ["other.test", "done.test"] {
        assert_ne!(shown(name), "chosen", "{name}");
    }
}

#[test]
fn a_handshake_whose_code_fails_comes_to_nothing() {
    let (backend, pair) = (Backend::start("b"), Pair::authority("chosen"));
    let node = doorman(&backend, &pair, &[]);
    let names = ["failing.test", "early.test", "refused.test", "half.test", "bare.test", "looping.test"];
    for name in names {
        let refused = visit(&node, &Offer::default(), name).err().map(|error| error.to_string());
        assert!(refused.as_deref().is_some_and(|why| why.contains("AccessDenied")), "{name}: {refused:?}");
    }
    visit(&node, &Offer::default(), "other.test").unwrap().response.expect(200);
    // Of what one place says often, a log has the first few.
    for why in ["this one fails", "function cannot be called in certificate phase (only in: rewrite, access"] {
        eventually(why, || node.log().contains(why));
    }
}

/// What the plugin tells of a client.
fn told(node: &Node, certificate: Option<&Pair>, name: &str) -> Response {
    let client = Client::new(&Offer { certificate, ..Offer::default() });
    client.get(node.proxy_tls(), Some(name), "/shown").unwrap().response.expect(200)
}

#[test]
fn code_asks_clients_for_certificates() {
    let (backend, root) = (Backend::start("b"), Pair::authority("root"));
    let node = doorman(&backend, &root, &[]);
    let ada = root.issue(&["ada"]);
    let chain = |name: &str| told(&node, Some(&ada), name).json()["chain"].as_str().map(|pem| pem.replace('\n', ""));
    assert_eq!(chain("asked.test"), Some(ada.chain.replace(['\r', '\n'], "")));
    assert_eq!(chain("other.test"), None);
    let answer = told(&node, None, "asked.test").json();
    assert_eq!(answer["chain"], Value::Null);
    assert_eq!(answer["override"], "FAILED:unknown CA");
    assert!(answer["unknown"].as_str().unwrap().contains("unknown client verify value: MAYBE"), "{answer}");
    let early = answer["early"].as_str().unwrap();
    assert!(early.contains("function cannot be called in access phase (only in: certificate)"), "{early}");
}

#[test]
fn code_keeps_sessions_from_being_resumed() {
    let (backend, pair) = (Backend::start("b"), Pair::authority("chosen"));
    let node = doorman(&backend, &pair, &[]);
    for version in [&TLS12, &TLS13] {
        for (name, resumed) in [("once.test", false), ("other.test", true)] {
            let client = Client::new(&Offer { versions: &[version], ..Offer::default() });
            client.get(node.proxy_tls(), Some(name), "/").unwrap().response.expect(200);
            let again = client.get(node.proxy_tls(), Some(name), "/").unwrap();
            assert_eq!(again.resumed, resumed, "{name}, {version:?}");
        }
    }
}

#[test]
fn code_keeps_clients_to_http1() {
    let (backend, pair) = (Backend::start("b"), Pair::authority("chosen"));
    let node = doorman(&backend, &pair, &[("proxy_listen", "127.0.0.1:0, 127.0.0.1:0 ssl http2")]);
    let offer = Offer { alpn: &["h2", "http/1.1"], ..Offer::default() };
    let alpn = visit(&node, &offer, "plain.test").unwrap().alpn;
    assert_eq!(alpn.as_deref(), Some("http/1.1"));
    let mut other = Client::new(&offer).open(node.proxy_tls(), Some("other.test")).unwrap();
    let stream = other.stream_mut();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn code_of_a_configuration_is_run() {
    let backend = Backend::start("b");
    let code = "if ngx.var.ssl_server_name == 'no.test' then error('not this one') end ngx.ctx.seen = true";
    let node = node(&backend, &[], "pre-function", &json!({ "certificate": [code] }));
    assert!(visit(&node, &Offer::default(), "no.test").is_err());
    visit(&node, &Offer::default(), "yes.test").unwrap().response.expect(200);
    eventually("the node says why", || node.log().contains("not this one"));
}

#[test]
fn streams_have_handshakes_too() {
    let (backend, pair) = (Backend::start("b"), Pair::authority("chosen"));
    let node = doorman(&backend, &pair, &[("stream_listen", "127.0.0.1:0 ssl")]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "t", "url": format!("tcp://{}", backend.address) })).expect(201);
    let route = json!({ "protocols": ["tls"], "snis": ["own.test", "failing.test"] });
    json(admin, "POST", "/services/t/routes", &route).expect(201);
    let client = Client::new(&Offer::default());
    let own = client.get(node.stream(0), Some("own.test"), "/").unwrap();
    assert_eq!(own.server, "chosen");
    own.response.expect(200);
    assert!(client.get(node.stream(0), Some("failing.test"), "/").is_err());
}

#[test]
fn clients_of_http3_are_refused_where_code_has_a_say() {
    let (backend, pair) = (Backend::start("b"), Pair::authority("chosen"));
    let node = doorman(&backend, &pair, &[("proxy_listen", "127.0.0.1:0 ssl, 127.0.0.1:0 quic")]);
    let offer = Offer { alpn: &["h3"], versions: &[&TLS13], ..Offer::default() };
    let tls = QuicClientConfig::try_from(rustls::ClientConfig::clone(&Client::new(&offer).config())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(async {
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
        let connecting = endpoint.connect(node.quic(), "other.test").unwrap();
        tokio::time::timeout(PATIENCE, connecting).await.expect("it is refused at once")
    });
    assert!(matches!(refused, Err(quinn::ConnectionError::ConnectionClosed(_))), "{refused:?}");
    eventually("the node says why", || node.log().contains("a plugin acts in the certificate phase"));
}

#[test]
fn a_client_that_leaves_while_code_waits_harms_nobody() {
    let (backend, pair) = (Backend::start("b"), Pair::authority("chosen"));
    let node = doorman(&backend, &pair, &[]);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(node.proxy_tls()).unwrap();
        let config = Client::new(&Offer::default()).config();
        let name = rustls::pki_types::ServerName::try_from("own.test").unwrap();
        let mut connection = rustls::ClientConnection::new(config, name).unwrap();
        connection.write_tls(&mut stream).unwrap();
    }
    visit(&node, &Offer::default(), "own.test").unwrap().response.expect(200);
}
