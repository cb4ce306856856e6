//! Requests and configurations that are made to trip a plugin: it refuses them in its own words, or lets them through
//! as they are, and goes on.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use blackbox::http::{Response, form, get, json, request};
use blackbox::{Backend, Node, Scripted, eventually};
use serde_json::{Value, json};

/// A node with a service `s` at `/`, and the consumer `ada`.
fn start(backend: &Backend) -> Node {
    start_with(&[], backend)
}

fn start_with(settings: &[(&str, &str)], backend: &Backend) -> Node {
    let node = Node::start(settings);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    node
}

fn add(node: &Node, name: &str, config: Value) {
    json(node.admin(), "POST", "/services/s/plugins", &json!({ "name": name, "config": config })).expect(201);
}

fn refused(node: &Node, name: &str, config: Value) -> String {
    let plugin = json!({ "name": name, "config": config });
    json(node.admin(), "POST", "/services/s/plugins", &plugin).expect(400).text()
}

fn ask(node: &Node, path: &str, lines: &[(&str, &str)]) -> Response {
    request(node.proxy(), "GET", path, lines, b"").unwrap()
}

/// None of these values of that line lets anybody in.
fn lets_nobody_in(node: &Node, backend: &Backend, line: &str, values: &[String]) {
    let before = backend.requests();
    for value in values {
        let answer = ask(node, "/", &[(line, value)]);
        assert_eq!(answer.status, 401, "{line}: {value:.60}: {}", answer.text());
    }
    let twice: Vec<(&str, &str)> = values.iter().take(2).map(|value| (line, &**value)).collect();
    assert!([400, 401].contains(&ask(node, "/", &twice).status));
    assert_eq!(backend.requests(), before);
}

#[test]
fn passwords_that_are_none() {
    let backend = Backend::start("b");
    let node = start(&backend);
    add(&node, "basic-auth", json!({}));
    form(node.admin(), "POST", "/consumers/ada/basic-auth", "username=u&password=p").expect(201);
    let encoded = |text: &[u8]| format!("Basic {}", BASE64_STANDARD.encode(text));
    let mut values =
        ["", "Basic", "Basic ", "Basic !!!", "Basic dTpw=", "Digest dTpw", "dTpw"].map(str::to_owned).to_vec();
    values
        .extend([&b""[..], b":", b"u", b"u:", b"u:P", b":p", b"u\0:p", b"u:p\0", b"\xff:\xfe", b"u:p:p"].map(encoded));
    values.push(encoded(&[b'u'; 5_000]));
    lets_nobody_in(&node, &backend, "Authorization", &values);
    ask(&node, "/", &[("Authorization", &encoded(b"u:p"))]).expect(200);
}

/// A token of the parts, the last of which is signed by that secret.
fn token(header: &str, claims: &str, secret: &[u8]) -> String {
    let encoded = |octets: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(octets);
    let signed = format!("{}.{}", encoded(header.as_bytes()), encoded(claims.as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("Bearer {signed}.{}", encoded(tag.as_ref()))
}

#[test]
fn tokens_that_are_none() {
    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
    let backend = Backend::start("b");
    let node = start(&backend);
    add(&node, "jwt", json!({ "claims_to_verify": ["exp"] }));
    form(node.admin(), "POST", "/consumers/ada/jwt", "key=a&secret=s").expect(201);
    let good = token(HEADER, r#"{"iss":"a","exp":4102444800}"#, b"s");
    let answer = ask(&node, "/", &[("Authorization", &good)]).expect(200);
    assert!(answer.text().contains("X-Consumer-Username: ada"));

    let mut values = ["Bearer", "Bearer ", "Bearer a", "Bearer a.b", "Bearer a.b.c", "Bearer ..", "Bearer a.b.c.d.e"]
        .map(str::to_owned)
        .to_vec();
    for header in
        ["", "{}", "[]", "null", r#"{"alg":"none"}"#, r#"{"alg":1}"#, r#"{"alg":"RS256"}"#, r#"{"alg":"hs256"}"#]
    {
        values.push(token(header, r#"{"iss":"a","exp":4102444800}"#, b"s"));
    }
    for claims in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"iss":"b","exp":4102444800}"#,
        r#"{"iss":["a"],"exp":4102444800}"#,
        r#"{"iss":"a"}"#,
        r#"{"iss":"a","exp":"4102444800"}"#,
        r#"{"iss":"a","exp":1}"#,
        r#"{"iss":"a","exp":-1}"#,
        r#"{"iss":"a","exp":null}"#,
        r#"{"iss":1,"exp":4102444800}"#,
    ] {
        values.push(token(HEADER, claims, b"s"));
    }
    values.push(token(HEADER, r#"{"iss":"a","exp":4102444800}"#, b"other"));
    values.push(token(HEADER, &"[".repeat(3_000), b"s"));
    // Unsigned, and with the signature of other claims.
    values.push(good[..=good.rfind('.').unwrap()].to_owned());
    values.push(good.replace("eyJpc3MiOiJhIi", "eyJpc3MiOiJiIi"));
    lets_nobody_in(&node, &backend, "Authorization", &values);
    ask(&node, "/", &[("Authorization", &good)]).expect(200);
}

#[test]
fn keys_that_are_none() {
    let backend = Backend::start("b");
    let node = start(&backend);
    add(&node, "key-auth", json!({ "key_in_body": true }));
    form(node.admin(), "POST", "/consumers/ada/key-auth", "key=k").expect(201);
    let values = ["", " ", "K", "k k", "k,k", "\u{e9}", "null", "*", "%6b"].map(str::to_owned);
    lets_nobody_in(&node, &backend, "apikey", &values);
    for query in ["apikey", "apikey=", "apikey[]=k", "apikey=%zz", "apikey=k%00", "apikey=x&apikey=k"] {
        assert_eq!(ask(&node, &format!("/?{query}"), &[]).status, 401, "{query}");
    }
    let json_line = [("Content-Type", "application/json")];
    for body in ["", "{", "[]", "\"k\"", r#"{"apikey":["k"]}"#, r#"{"apikey":{}}"#, r#"{"apikey":null}"#] {
        let answer = request(node.proxy(), "POST", "/", &json_line, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 401, "{body}: {}", answer.text());
    }
    assert_eq!(backend.requests(), 0);
    ask(&node, "/", &[("apikey", "k")]).expect(200);
}

#[test]
fn certificates_that_are_none() {
    let backend = Backend::start("b");
    let node = start_with(&[("trusted_ips", "127.0.0.1")], &backend);
    let root = blackbox::tls::Pair::authority("root");
    let made = json(node.admin(), "POST", "/ca_certificates", &json!({ "cert": root.chain })).expect(201).json();
    let config = |format: &str| {
        json!({
            "ca_certificates": [made["id"]], "certificate_header_name": "X-Cert", "revocation_check_mode": "SKIP",
            "certificate_header_format": format
        })
    };
    let mut values = ["", "a", "%", "%zz", "=", "MIIB", "-----BEGIN CERTIFICATE-----"].map(str::to_owned).to_vec();
    values.push("%2d".repeat(2_000));
    values.push(BASE64_STANDARD.encode([0x30, 0x84, 0xff, 0xff, 0xff, 0xff]));
    for format in ["url_encoded", "base64_encoded"] {
        add(&node, "header-cert-auth", config(format));
        lets_nobody_in(&node, &backend, "X-Cert", &values);
        let plugins = get(node.admin(), "/plugins").expect(200).json();
        let path = format!("/plugins/{}", plugins["data"][0]["id"].as_str().unwrap());
        request(node.admin(), "DELETE", &path, &[], b"").unwrap().expect(204);
    }
}

#[test]
fn groups_of_nobody() {
    let backend = Backend::start("b");
    let node = start(&backend);
    add(&node, "acl", json!({ "allow": ["staff"] }));
    // Nobody says who it is; what the client says of groups is nothing.
    assert_eq!(ask(&node, "/", &[("X-Consumer-Groups", "staff"), ("X-Authenticated-Groups", "staff")]).status, 401);
    assert_eq!(backend.requests(), 0);
    let both = refused(&node, "acl", json!({ "allow": ["a"], "deny": ["b"] }));
    assert!(both.contains("schema violation"), "{both}");
}

#[test]
fn addresses_of_others() {
    let backend = Backend::start("b");
    let node = start_with(&[("trusted_ips", "127.0.0.1"), ("real_ip_header", "X-Forwarded-For")], &backend);
    add(&node, "ip-restriction", json!({ "allow": ["10.0.0.0/8"] }));
    ask(&node, "/", &[("X-Forwarded-For", "10.1.2.3")]).expect(200);
    for value in ["", "10.1.2.3.4", "10.1.2", "0x0a010203", "ten", "10.1.2.3 11.0.0.1", "::ffff:11.0.0.1"] {
        assert_eq!(ask(&node, "/", &[("X-Forwarded-For", value)]).status, 403, "{value}");
    }
    for network in ["10.0.0.0/33", "10.0.0", "ten", "::/129"] {
        refused(&node, "ip-restriction", json!({ "allow": [network] }));
    }
}

#[test]
fn programs_that_do_not_say_what_they_are() {
    let backend = Backend::start("b");
    let node = start(&backend);
    add(&node, "bot-detection", json!({ "allow": ["^good"] }));
    // As in Kong, who says nothing passes.
    assert_eq!(ask(&node, "/", &[]).status, 200);
    assert_eq!(ask(&node, "/", &[("User-Agent", "Googlebot/2.1")]).status, 403);
    assert_eq!(ask(&node, "/", &[("User-Agent", "good"), ("User-Agent", "curl")]).status, 400);
    assert!(refused(&node, "bot-detection", json!({ "deny": ["("] })).contains("regex"));
}

#[test]
fn numbers_of_clients_are_passed_on() {
    let backend = Backend::start("b");
    let node = start(&backend);
    add(&node, "correlation-id", json!({ "header_name": "X-Number", "echo_downstream": true }));
    let long = "9".repeat(4_000);
    for number in ["0", "\u{e9}", "a b", "<script>", &long] {
        let answer = ask(&node, "/", &[("X-Number", number)]).expect(200);
        assert_eq!(answer.header("X-Number"), Some(number));
    }
    // An empty one is none.
    let answer = ask(&node, "/", &[("X-Number", "")]).expect(200);
    assert!(answer.header("X-Number").is_some_and(|number| number.len() > 30));
}

#[test]
fn templates_that_fail_are_an_error_of_ours() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let config = json!({
        "rename": { "headers": ["X-Old:X-New"] }, "append": { "querystring": ["q:$(headers['x-a'])"] },
        "remove": { "headers": ["X-Gone"] }, "replace": { "uri": "/$(query_params.to or 'none')" }
    });
    add(&node, "request-transformer", config);
    let lines = [("X-Old", "1"), ("X-Gone", "1"), ("X-A", "a b&c=d")];
    let told = ask(&node, "/?to=x%20y", &lines).expect(200).json()["head"].to_string().to_lowercase();
    assert!(told.contains("x-new: 1"), "{told}");
    assert!(!told.contains("x-gone"), "{told}");
    assert!(told.contains("q=a%20b%26c%3dd"), "{told}");
    assert_eq!(backend.requests(), 1);
    let broken = json!({ "name": "request-transformer", "config": { "add": { "headers": ["X-B:$(headers.x.y.z)"] } } });
    json(node.admin(), "POST", "/routes/r/plugins", &broken).expect(201);
    let answer = ask(&node, "/", &[]).expect(500);
    assert_eq!(answer.json()["message"], "An unexpected error occurred");
    assert_eq!(backend.requests(), 1);
    let unreadable = json!({ "name": "request-transformer", "config": { "add": { "headers": ["X-B:$(a = true)"] } } });
    json(node.admin(), "POST", "/services/s/routes", &json!({ "name": "t", "paths": ["/t"] })).expect(201);
    json(node.admin(), "POST", "/routes/t/plugins", &unreadable).expect(201);
    ask(&node, "/t", &[]).expect(500);
    assert_eq!(backend.requests(), 1);
    eventually("the log says where the template is", || node.log().contains("config.add.headers"));
}

#[test]
fn responses_that_are_no_json_stay_as_they_are() {
    let (backend, garbage) = (Backend::start("b"), Scripted::answering("application/json", b"{\"a\":"));
    let node = start(&backend);
    add(
        &node,
        "response-transformer",
        json!({
            "add": { "json": ["b:1"], "headers": ["X-Added:1"] },
            "remove": { "json": ["head"], "headers": ["X-Backend"] }
        }),
    );
    let answer = ask(&node, "/", &[]).expect(200);
    assert_eq!(answer.json(), json!({ "backend": "b", "b": "1" }));
    assert_eq!(answer.header("X-Added"), Some("1"));
    assert_eq!(answer.header("X-Backend"), None);
    json(node.admin(), "PATCH", "/services/s", &json!({ "port": garbage.address.port() })).expect(200);
    let answer = ask(&node, "/", &[]);
    assert_eq!(answer.header("X-Added"), Some("1"));
    assert!(!answer.text().contains("\"b\""), "{}", answer.text());
}

#[test]
fn configurations_of_answers_are_checked() {
    let backend = Backend::start("b");
    let node = start(&backend);
    refused(&node, "request-termination", json!({ "message": "m", "body": "b" }));
    refused(&node, "request-termination", json!({ "content_type": "text/plain" }));
    refused(&node, "request-termination", json!({ "status_code": 99 }));
    add(&node, "request-termination", json!({ "status_code": 418, "message": "\"\u{e9}\n" }));
    assert_eq!(ask(&node, "/", &[]).expect(418).json()["message"], "\"\u{e9}\n");
}

#[test]
fn sessions_that_are_none() {
    let backend = Backend::start("b");
    let node = start(&backend);
    add(&node, "session", json!({ "secret": "s", "cookie_secure": false }));
    add(&node, "key-auth", json!({}));
    form(node.admin(), "POST", "/consumers/ada/key-auth", "key=k").expect(201);
    let opened = ask(&node, "/", &[("apikey", "k")]).expect(200);
    let cookie = opened.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let value = cookie.split_once('=').unwrap().1;
    let mut values = ["", "session", "session=", "session=a", "session==", "session=\"\"", "session;", "=;=;"]
        .map(str::to_owned)
        .to_vec();
    // Cut anywhere, and with another octet anywhere.
    values.extend((1..value.len()).step_by(7).map(|at| format!("session={}", &value[..at])));
    values.extend((0..value.len()).step_by(7).map(|at| {
        let other = if value.as_bytes()[at] == b'A' { 'B' } else { 'A' };
        format!("session={}{other}{}", &value[..at], &value[at + 1..])
    }));
    lets_nobody_in(&node, &backend, "Cookie", &values);
}

#[test]
fn names_that_clients_make_up_are_no_labels() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let config = json!({ "per_consumer": true, "status_code_metrics": true, "latency_metrics": true });
    json(node.admin(), "POST", "/plugins", &json!({ "name": "prometheus", "config": config })).expect(201);
    let scrape = || get(node.status(), "/metrics").expect(200).text();
    for at in 0..50 {
        let lines = [("Host", &*format!("made-up-{at}.test")), ("X-Consumer-Username", &format!("made-up-{at}"))];
        request(node.proxy(), &"M".repeat(1 + at % 30), &format!("/made-up/{at}"), &lines, b"").unwrap().expect(200);
    }
    eventually("all are counted", || {
        scrape().lines().any(|line| line.starts_with("kong_http_requests_total{") && line.ends_with(" 50"))
    });
    let text = scrape().to_lowercase();
    assert!(!text.contains("made-up") && !text.contains("mmm"), "{text}");
}

/// Global plugins see what is refused for its form, as those who look for attacks in their logs expect.
#[test]
fn what_is_refused_for_its_form_is_logged() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let path = node.prefix().join("entries.log");
    let log = json!({ "name": "file-log", "config": { "path": path } });
    json(node.admin(), "POST", "/plugins", &log).expect(201);
    let added = json!({ "add": { "headers": ["X-Seen:yes"] } });
    json(node.admin(), "POST", "/plugins", &json!({ "name": "response-transformer", "config": added })).expect(201);
    let entries = || -> Vec<Value> {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let long = "a".repeat(100_000);
    let asked: [(&str, (&str, &str)); 3] =
        [("/a?b=1", ("X-Large", &long)), (&format!("/{long}"), ("X", "")), ("/c", ("Host", "a b"))];
    let mut statuses = Vec::new();
    for (place, (path, line)) in asked.into_iter().enumerate() {
        let answer = ask(&node, path, &[line]);
        assert_eq!(answer.header("X-Seen"), Some("yes"));
        statuses.push(u64::from(answer.status));
        // Workers log by themselves: the next one may be faster.
        eventually("it is logged", || entries().len() == place + 1);
    }
    assert_eq!(statuses, [400, 414, 400]);
    let entries = entries();
    let logged: Vec<_> = entries.iter().map(|entry| entry["response"]["status"].as_u64().unwrap()).collect();
    assert_eq!(logged, statuses);
    assert_eq!(entries[0]["request"]["method"], "GET");
    assert_eq!(entries[0]["request"]["querystring"], json!({ "b": "1" }));
    assert_eq!(entries[0]["upstream_uri"], "");
    assert_eq!(entries[1]["request"]["headers"], json!({}));
    assert_eq!(backend.requests(), 0);
}

#[test]
fn files_that_cannot_be_written_keep_nobody_out() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let path = node.prefix().join("entries.log");
    add(&node, "file-log", json!({ "path": path }));
    ask(&node, "/a?b=1", &[]).expect(200);
    let line = || std::fs::read_to_string(&path).unwrap_or_default();
    eventually("an entry is written", || line().ends_with('\n'));
    let entry: Value = serde_json::from_str(line().lines().next().unwrap()).unwrap();
    assert_eq!(entry["request"]["uri"], "/a?b=1");
    let nowhere = json!({ "name": "file-log", "config": { "path": "/proc/nowhere/entries.log" } });
    json(node.admin(), "POST", "/routes/r/plugins", &nowhere).expect(201);
    for _ in 0..3 {
        ask(&node, "/", &[]).expect(200);
    }
    eventually("it says so", || node.log().contains("/proc/nowhere/entries.log"));
}

#[test]
fn origins_that_are_none() {
    let backend = Backend::start("b");
    let node = start(&backend);
    add(&node, "cors", json!({ "origins": ["https://a.test", "http://.*\\.b\\.test"], "credentials": true }));
    let allowed = |origin: &str| {
        let answer = ask(&node, "/", &[("Origin", origin)]).expect(200);
        answer.header("Access-Control-Allow-Origin").map(str::to_owned)
    };
    assert_eq!(allowed("http://x.b.test").as_deref(), Some("http://x.b.test"));
    let long = format!("http://{}", "a.".repeat(3_000));
    for origin in ["", "null", "*", "https://a.test.evil", "https://xa.test", "https://a.test@evil", "a.test", &long] {
        let answered = allowed(origin);
        assert!(answered.is_none_or(|answered| answered == "https://a.test"), "{origin:.40}");
    }
}

#[test]
fn code_that_never_ends() {
    let backend = Backend::start("b");
    let node = start(&backend);
    json(node.admin(), "POST", "/services/s/routes", &json!({ "name": "loop", "paths": ["/loop"] })).expect(201);
    let endless = json!({ "name": "pre-function", "config": { "access": ["while true do end"] } });
    json(node.admin(), "POST", "/routes/loop/plugins", &endless).expect(201);
    ask(&node, "/loop", &[]).expect(500);
    ask(&node, "/", &[]).expect(200);
    assert!(refused(&node, "pre-function", json!({ "access": ["return function("] })).contains("parsing"));
    for (name, config) in [
        ("file-log", json!({ "path": "/dev/null" })),
        ("http-log", json!({ "http_endpoint": "http://127.0.0.1:9" })),
        ("loggly", json!({ "key": "k" })),
        ("syslog", json!({})),
        ("tcp-log", json!({ "host": "127.0.0.1", "port": 9 })),
        ("udp-log", json!({ "host": "127.0.0.1", "port": 9 })),
    ] {
        let mut config = config;
        config["custom_fields_by_lua"] = json!({ "env": "in production" });
        let why = refused(&node, name, config);
        let expected = "custom_fields_by_lua: Error parsing function: [string \\\"in production\\\"]:1: ";
        assert!(why.contains(expected), "{name}: {why}");
    }
}

#[test]
fn addresses_that_are_none() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let acme = |name: &str, value: serde_json::Value| {
        let mut config = json!({ "account_email": "a@b.test", "tos_accepted": true, "storage": "kong" });
        config[name] = value;
        config
    };
    for (name, config, expected) in [
        ("aws-lambda", json!({ "aws_sts_endpoint_url": "a" }), "aws_sts_endpoint_url: missing host in url"),
        ("acme", acme("api_uri", json!("a")), "api_uri: missing host in url"),
        ("acme", acme("domains", json!(["a b"])), "invalid hostname: a b"),
        ("ldap-auth", json!({ "ldap_host": "a b", "base_dn": "dc=a", "attribute": "cn" }), "invalid value: a b"),
    ] {
        let why = refused(&node, name, config);
        assert!(why.contains(expected), "{name}: {why}");
    }
}
