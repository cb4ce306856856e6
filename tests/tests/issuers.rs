//! Callers whom an issuer elsewhere knows: openid-connect and oauth2-introspection.

use blackbox::http::{Response, form, get, json, request};
use blackbox::tls::{Clients, Pair, SecureBackend};
use blackbox::{Backend, Node};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// An issuer that knows the token `good`, for as long as the test runs.
fn issuer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || answer_all(stream, address));
        }
    });
    address
}

fn answer_all(stream: TcpStream, address: SocketAddr) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut content = vec![0; length];
        reader.read_exact(&mut content).ok()?;
        let form = String::from_utf8_lossy(&content).into_owned();
        let body = match path.as_str() {
            "/.well-known/openid-configuration" => json!({
                "issuer": format!("http://{address}"), "introspection_endpoint": format!("http://{address}/introspect"),
                "authorization_endpoint": format!("http://{address}/authorize"),
                "token_endpoint": format!("http://{address}/token")
            }),
            "/token" => {
                let exchanges = form.contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange");
                let token = if exchanges && form.contains("audience=api") { "good" } else { "bad" };
                json!({ "access_token": token, "token_type": "Bearer", "expires_in": 60 })
            }
            _ => json!({ "active": form.contains("token=good"), "sub": "ada", "username": "ada", "scope": "read" }),
        };
        let body = body.to_string();
        write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    }
}

fn start(backend: &Backend, plugin: &Value) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    json(node.admin(), "POST", "/plugins", plugin).expect(201);
    let allowed = json!({ "name": "acl", "config": { "allow": ["staff"] } });
    json(node.admin(), "POST", "/plugins", &allowed).expect(201);
    json(node.admin(), "POST", "/consumers/ada/acls", &json!({ "group": "staff" })).expect(201);
    node
}

fn ask(node: &Node, lines: &[(&str, &str)]) -> Response {
    request(node.proxy(), "GET", "/page", lines, b"").unwrap()
}

#[test]
fn tokens_are_asked_for_and_browsers_sent_to_log_in() {
    let backend = Backend::start("b");
    let address = issuer();
    let config = json!({
        "issuer": format!("http://{address}"), "client_id": ["gateway"], "client_secret": ["secret"],
        "auth_methods": ["introspection", "authorization_code", "session"], "scopes_required": ["read"],
        "consumer_claim": ["sub"]
    });
    let node = start(&backend, &json!({ "name": "openid-connect", "config": config }));
    let status = get(node.admin(), "/status").expect(200).json();
    assert!(status["degraded"].as_array().is_none_or(Vec::is_empty), "{status}");
    assert_eq!(ask(&node, &[("Authorization", "Bearer good")]).status, 200);
    assert_eq!(ask(&node, &[("Authorization", "Bearer bad")]).status, 401);
    let sent = ask(&node, &[]).expect(302);
    let login = format!("http://{address}/authorize?response_type=code&client_id=gateway&redirect_uri=");
    assert!(sent.header("Location").unwrap().starts_with(&login), "{:?}", sent.header("Location"));
    assert!(sent.header("Set-Cookie").unwrap().starts_with("authorization="));
    let unavailable = json!({ "issuer": "https://issuer.test", "session_storage": "memcached" });
    let refused = json(
        node.admin(),
        "POST",
        "/routes/r/plugins",
        &json!({
            "name": "openid-connect", "config": unavailable
        }),
    );
    assert_eq!(refused.status, 400);
    assert!(!node.log().contains("secret"));
}

#[test]
fn tokens_of_others_are_exchanged() {
    // {"alg":"ES256"}.{"iss":"https://other.test","exp":9999999999}
    const OTHER: &str = "Bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL290aGVyLnRlc3QiLCJleHAiOjk5OTk5OTk5OTl9.AAAA";
    let backend = Backend::start("b");
    let exchange = json!({
        "subject_token_issuers": [{ "issuer": "https://other.test" }], "request": { "audience": ["api"] }
    });
    let config = json!({
        "issuer": format!("http://{}", issuer()), "client_id": ["gateway"], "client_secret": ["secret"],
        "auth_methods": ["introspection"], "consumer_claim": ["sub"], "token_exchange": exchange
    });
    let node = start(&backend, &json!({ "name": "openid-connect", "config": config }));
    let answer = ask(&node, &[("Authorization", OTHER)]).expect(200);
    assert!(answer.text().to_ascii_lowercase().contains("authorization: bearer good"), "{}", answer.text());
    assert_eq!(ask(&node, &[("Authorization", "Bearer bad")]).status, 401);
}

#[test]
fn issuers_see_the_certificate_of_their_client() {
    let root = Pair::authority("root");
    let secure = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Known(&root));
    let backend = Backend::start("b");
    let node = start(&backend, &json!({ "name": "correlation-id" }));
    let record = root.issue(&["gateway.test"]).record();
    let certificate = json(node.admin(), "POST", "/certificates", &record).expect(201).json()["id"].clone();
    let config = json!({
        "issuer": format!("http://{}", issuer()), "client_id": ["gateway"], "auth_methods": ["introspection"],
        "mtls_introspection_endpoint": format!("https://{}/introspect", secure.address),
        "introspection_check_active": false, "client_auth": ["tls_client_auth"],
        "tls_client_auth_cert_id": certificate, "tls_client_auth_ssl_verify": false
    });
    let plugin = json!({ "name": "openid-connect", "config": config });
    json(node.admin(), "POST", "/plugins", &plugin).expect(201);
    ask(&node, &[("Authorization", "Bearer any")]);
    assert_eq!(secure.clients(), ["gateway.test"]);
}

#[test]
fn introspection_is_asked_for() {
    let backend = Backend::start("b");
    let config = json!({ "introspection_url": format!("http://{}/introspect", issuer()), "authorization_value": "x" });
    let node = start(&backend, &json!({ "name": "oauth2-introspection", "config": config }));
    assert_eq!(ask(&node, &[("Authorization", "Bearer good")]).status, 200);
    assert_eq!(ask(&node, &[("Authorization", "Bearer bad")]).status, 401);
    assert_eq!(ask(&node, &[]).status, 401);
}
