//! Plugins that have no tests with a subject of their own: what each is for, and whom it refuses.

use blackbox::http::{Response, form, json, request};
use blackbox::tls::Pair;
use blackbox::{Backend, Node, Scripted, eventually};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A node with a service `s` at `/`, and that plugin.
fn start(service: SocketAddr, name: &str, config: Value) -> Node {
    start_with(&[], service, name, config)
}

fn start_with(settings: &[(&str, &str)], service: SocketAddr, name: &str, config: Value) -> Node {
    let node = Node::start(settings);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{service}")).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    add(&node, name, config);
    node
}

fn add(node: &Node, name: &str, config: Value) {
    json(node.admin(), "POST", "/services/s/plugins", &json!({ "name": name, "config": config })).expect(201);
}

fn ask(node: &Node, lines: &[(&str, &str)]) -> Response {
    request(node.proxy(), "GET", "/a?b=1", lines, b"").unwrap()
}

/// What the service was told under that name.
fn told(answer: &Response, name: &str) -> Option<String> {
    let head = answer.json()["head"].clone();
    let lines = head.as_array().expect("lines").iter().filter_map(Value::as_str);
    let named = |line: &str| {
        let (known, value) = line.split_once(": ")?;
        known.eq_ignore_ascii_case(name).then(|| value.to_owned())
    };
    lines.filter_map(named).next()
}

#[test]
fn bots_are_turned_away() {
    let backend = Backend::start("b");
    let node = start(backend.address, "bot-detection", json!({ "deny": ["^Evil"] }));
    assert_eq!(ask(&node, &[("User-Agent", "Mozilla/5.0")]).status, 200);
    assert_eq!(ask(&node, &[("User-Agent", "EvilBot/1")]).status, 403);
}

#[test]
fn requests_are_sent_elsewhere() {
    let backend = Backend::start("b");
    let config = json!({ "status_code": 302, "location": "https://a.test/x", "keep_incoming_path": true });
    let node = start(backend.address, "redirect", config);
    let answer = ask(&node, &[]).expect(302);
    assert_eq!(answer.header("Location"), Some("https://a.test/a?b=1"));
    let wrong = json!({ "name": "redirect", "config": { "location": "no url" } });
    json(node.admin(), "POST", "/plugins", &wrong).expect(400);
}

#[test]
fn services_are_protected_from_all_together() {
    let backend = Backend::start("b");
    let config = json!({ "limit": [2], "window_size": [86_400], "sync_rate": -1 });
    let node = start(backend.address, "service-protection", config);
    let statuses: Vec<u16> = (0..4).map(|_| ask(&node, &[]).status).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[test]
fn services_say_what_a_response_uses_up() {
    let answer = "HTTP/1.1 200 OK\r\nX-Kong-Limit: video=1\r\nContent-Length: 0\r\n\r\n";
    let service = Scripted::start(answer);
    let node = start(service.address, "response-ratelimiting", json!({ "limits": { "video": { "year": 2 } } }));
    assert_eq!(ask(&node, &[]).header("X-RateLimit-Limit-Video-Year"), Some("2"));
    // A response is counted when it is over.
    eventually("all is used up", || ask(&node, &[]).status == 429);
}

#[test]
fn keys_that_are_kept_encrypted_let_in() {
    let backend = Backend::start("b");
    let node = start(backend.address, "key-auth-enc", json!({}));
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    form(node.admin(), "POST", "/consumers/ada/key-auth-enc", "key=k1").expect(201);
    assert_eq!(told(&ask(&node, &[("apikey", "k1")]), "X-Consumer-Username").as_deref(), Some("ada"));
    assert_eq!(ask(&node, &[("apikey", "k2")]).status, 401);
}

#[test]
fn certificates_in_a_header_let_in() {
    let backend = Backend::start("b");
    let (root, other) = (Pair::authority("root"), Pair::authority("other"));
    let node = Node::start(&[("trusted_ips", "127.0.0.1")]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    let made = json(node.admin(), "POST", "/ca_certificates", &json!({ "cert": root.chain })).expect(201).json();
    let config = json!({
        "ca_certificates": [made["id"]], "certificate_header_name": "X-Cert",
        "certificate_header_format": "url_encoded", "revocation_check_mode": "SKIP"
    });
    add(&node, "header-cert-auth", config);
    let shown = |pair: &Pair| {
        let encoded: String = pair.chain.bytes().map(|octet| format!("%{octet:02X}")).collect();
        ask(&node, &[("X-Cert", &encoded)])
    };
    assert_eq!(told(&shown(&root.issue(&["ada"])), "X-Consumer-Username").as_deref(), Some("ada"));
    assert_eq!(shown(&other.issue(&["ada"])).status, 401);
    assert_eq!(ask(&node, &[]).status, 401);
}

#[test]
fn requests_that_are_not_signed_are_refused() {
    let backend = Backend::start("b");
    let node = start(backend.address, "hmac-auth", json!({}));
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    form(node.admin(), "POST", "/consumers/ada/hmac-auth", "username=ada&secret=s").expect(201);
    assert_eq!(ask(&node, &[]).status, 401);
    let forged = r#"hmac username="ada", algorithm="hmac-sha256", headers="date", signature="AAAA""#;
    assert_eq!(ask(&node, &[("Authorization", forged), ("Date", "Thu, 26 Nov 2026 08:00:00 GMT")]).status, 401);
}

#[test]
fn functions_of_a_configuration_answer() {
    let backend = Backend::start("b");
    let node = start(backend.address, "pre-function", json!({ "access": ["kong.response.exit(418, 'tea')"] }));
    let answer = ask(&node, &[]).expect(418);
    assert_eq!(answer.text(), "tea");
    // Code that is not trusted may keep values, and read settings that are no secrets.
    let reads = "local kept = kong.cache:get('k', nil, function() return 'v' end) \
                 kong.response.exit(200, kept .. kong.configuration.plugins[1] .. tostring(kong.cache.events))";
    let node = start(backend.address, "pre-function", json!({ "access": [reads] }));
    assert_eq!(ask(&node, &[]).expect(200).text(), "vbundlednil");
    // One function chooses the status, another ends the request with it.
    let functions = json!({ "access": ["ngx.status = 403", "ngx.exit(ngx.status)"] });
    let node = start(backend.address, "pre-function", functions);
    assert_eq!(ask(&node, &[]).expect(403).json()["message"], "Forbidden");
    let node = start(backend.address, "post-function", json!({ "access": ["error('broken')"] }));
    assert_eq!(ask(&node, &[]).status, 500);
}

#[test]
fn functions_of_aws_answer() {
    let function = Scripted::answering("application/json", br#"{"done":true}"#);
    let config = |port: u16| {
        json!({
            "function_name": "f", "aws_key": "AKID", "aws_secret": "planted", "aws_region": "us-east-1",
            "host": "127.0.0.1", "port": port, "disable_https": true
        })
    };
    let backend = Backend::start("b");
    let node = start(backend.address, "aws-lambda", config(function.address.port()));
    assert_eq!(ask(&node, &[]).expect(200).json()["done"], true);
    assert!(function.last().header("Authorization").unwrap().starts_with("AWS4-HMAC-SHA256 Credential=AKID/"));
    let node = start(backend.address, "aws-lambda", config(1));
    assert_eq!(ask(&node, &[]).status, 500);
}

#[test]
fn without_the_ldap_server_nobody_is_let_in() {
    let backend = Backend::start("b");
    let config = json!({ "ldap_host": "127.0.0.1", "ldap_port": 1, "base_dn": "dc=a", "attribute": "cn" });
    let node = start(backend.address, "ldap-auth-advanced", config);
    assert_eq!(ask(&node, &[]).status, 401);
    // `ada:secret`
    let answer = ask(&node, &[("Authorization", "ldap YWRhOnNlY3JldA==")]);
    assert!(matches!(answer.status, 401 | 500), "{}", answer.text());
}

/// Waits for a question in which that stands.
fn hear(stream: &mut TcpStream, about: &[u8]) {
    let (mut heard, mut space) = (Vec::new(), [0; 512]);
    while !heard.windows(about.len()).any(|window| window == about) {
        let length = stream.read(&mut space).unwrap();
        assert_ne!(length, 0, "the gateway asks for {about:?}");
        heard.extend_from_slice(&space[..length]);
    }
}

/// The first message of an LDAP server.
fn ldap(operation: u8, content: &[u8]) -> Vec<u8> {
    let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    element(0x30, &[element(2, &[1]), element(operation, content)].concat())
}

#[test]
fn a_directory_says_who_a_caller_is() {
    let backend = Backend::start("b");
    let directory = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = json!({
        "ldap_host": "127.0.0.1", "ldap_port": directory.local_addr().unwrap().port(), "base_dn": "dc=a",
        "attribute": "cn", "bind_dn": "cn=gw", "ldap_password": "own", "consumer_optional": true
    });
    let success = b"\x0a\x01\x00\x04\x00\x04\x00";
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = directory.accept().unwrap();
        hear(&mut stream, b"cn=gw");
        stream.write_all(&ldap(0x61, success)).unwrap();
        hear(&mut stream, b"memberOf");
        // An entry `cn=ada` without attributes, and the end of the search.
        stream.write_all(&ldap(0x64, b"\x04\x06cn=ada\x30\x00")).unwrap();
        stream.write_all(&ldap(0x65, success)).unwrap();
        hear(&mut stream, b"cn=ada");
        stream.write_all(&ldap(0x61, success)).unwrap();
    });
    let node = start(backend.address, "ldap-auth-advanced", config);
    // `ada:secret`, whom the directory is asked for once.
    let line = [("Authorization", "ldap YWRhOnNlY3JldA==")];
    assert_eq!(told(&ask(&node, &line).expect(200), "X-Credential-Identifier").as_deref(), Some("ada"));
    assert_eq!(ask(&node, &line).status, 200);
    asked.join().unwrap();
    assert_eq!(ask(&node, &[]).status, 401);
}

#[test]
fn functions_of_azure_answer() {
    let function = Scripted::answering("application/json", br#"{"done":true}"#);
    let backend = Backend::start("b");
    let config = |port: u16| {
        json!({
            "functionname": "f", "appname": "app", "hostdomain": format!("azure.test:{port}"), "https": false,
            "apikey": "planted"
        })
    };
    let mut hosts = tempfile::NamedTempFile::new().unwrap();
    hosts.write_all(b"127.0.0.1 app.azure.test\n").unwrap();
    let settings = [("dns_hostsfile", hosts.path().to_str().unwrap())];
    let start = |port: u16| start_with(&settings, backend.address, "azure-functions", config(port));
    let node = start(function.address.port());
    assert_eq!(ask(&node, &[]).expect(200).json()["done"], true);
    assert_eq!(function.last().header("X-Functions-Key"), Some("planted"));
    assert_eq!(ask(&start(1), &[]).status, 500, "nobody listens there");
}

#[test]
fn requests_are_numbered() {
    let backend = Backend::start("b");
    let config = json!({ "header_name": "X-Number", "generator": "uuid#counter", "echo_downstream": true });
    let node = start(backend.address, "correlation-id", config);
    let answer = ask(&node, &[]).expect(200);
    let number = answer.header("X-Number").unwrap().to_owned();
    assert_eq!(told(&answer, "X-Number"), Some(number.clone()));
    assert_ne!(ask(&node, &[]).header("X-Number"), Some(&*number));
    let own = ask(&node, &[("X-Number", "mine")]);
    assert_eq!(told(&own, "X-Number").as_deref(), Some("mine"));
}

#[test]
fn pages_of_other_sites_are_let_in_by_origin() {
    let backend = Backend::start("b");
    let config = json!({ "origins": ["https://a.test"], "credentials": true, "max_age": 60 });
    let node = start(backend.address, "cors", config);
    let allowed = |origin: &str| {
        let lines = [("Origin", origin), ("Access-Control-Request-Method", "PUT")];
        let answer = request(node.proxy(), "OPTIONS", "/", &lines, b"").unwrap().expect(200);
        answer.header("Access-Control-Allow-Origin").map(str::to_owned)
    };
    assert_eq!(allowed("https://a.test").as_deref(), Some("https://a.test"));
    assert_ne!(allowed("https://b.test").as_deref(), Some("https://b.test"));
    assert_eq!(backend.requests(), 0);
    let wrong = json!({ "name": "cors", "config": { "origins": ["https://(.test"] } });
    json(node.admin(), "POST", "/routes/r/plugins", &wrong).expect(400);
}

#[test]
fn clients_are_let_in_by_address() {
    let backend = Backend::start("b");
    let node = start(backend.address, "ip-restriction", json!({ "allow": ["127.0.0.0/8"] }));
    assert_eq!(ask(&node, &[]).status, 200);
    let node = start(backend.address, "ip-restriction", json!({ "deny": ["127.0.0.1"], "status": 451 }));
    assert_eq!(ask(&node, &[]).status, 451);
}

#[test]
fn requests_are_not_too_large() {
    let backend = Backend::start("b");
    let config = json!({ "allowed_payload_size": 1, "size_unit": "kilobytes" });
    let node = start(backend.address, "request-size-limiting", config);
    let send = |length: usize| request(node.proxy(), "POST", "/", &[], &vec![b'x'; length]).unwrap().status;
    assert_eq!(send(1_024), 200);
    assert_eq!(send(1_025), 413);
    let mut chunked = blackbox::http::Connection::open(node.proxy()).unwrap();
    let chunk = "x".repeat(2_000);
    let sent = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{chunk}\r\n0\r\n\r\n");
    chunked.send_raw(sent.as_bytes()).unwrap();
    assert_eq!(chunked.receive(false).unwrap().status, 413);
}
