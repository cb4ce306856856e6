//! What of Kong's plugin development kit reaches beyond a node: traces, and the connections with services.

use blackbox::http::{Response, get, json};
use blackbox::tls::{Clients, Pair, SecureBackend};
use blackbox::{Backend, Node, Scripted, eventually};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");

/// A node with the plugin on a route `/` to that service.
fn node(url: &str, config: Value, settings: &[(&str, &str)]) -> Node {
    let usual = [("plugins", "bundled, kit"), ("lua_package_path", PATH)];
    let node = Node::start(&[&usual, settings].concat());
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": url })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "kit", "config": config })).expect(201);
    node
}

fn opentelemetry(node: &Node, collector: SocketAddr) {
    let queue = json!({ "max_batch_size": 200, "max_coalescing_delay": 0.1 });
    let config = json!({
        "traces_endpoint": format!("http://{collector}/v1/traces"),
        "logs_endpoint": format!("http://{collector}/v1/logs"),
        "queue": queue,
    });
    json(node.admin(), "POST", "/plugins", &json!({ "name": "opentelemetry", "config": config })).expect(201);
}

fn has(collector: &Scripted, text: &str) -> bool {
    let text = text.as_bytes();
    let seen = collector.requests();
    seen.iter().any(|seen| seen.body.windows(text.len()).any(|window| window == text))
}

/// What the service says that it was sent under that name.
fn line(answer: &Response, name: &str) -> Option<String> {
    let body = answer.json();
    let lines = body["head"].as_array().unwrap().iter().filter_map(Value::as_str);
    let mut named = lines.filter_map(|line| line.split_once(": "));
    named.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

#[test]
fn spans_of_plugins_reach_the_collector() {
    let backend = Backend::start("one");
    let collector = Scripted::answering("application/json", b"{}");
    let traced = [("tracing_instrumentations", "all"), ("tracing_sampling_rate", "1")];
    let node = node(&format!("http://{}", backend.address), json!({}), &traced);
    opentelemetry(&node, collector.address);
    let answer = get(node.proxy(), "/?do=spans").expect(200);
    let expected = "kong kong.access.plugin.kit true true instrument";
    assert_eq!(line(&answer, "X-Spans").as_deref(), Some(expected));
    for name in ["kit.outer", "kit.inner", "kit.words", "kit.root", "kit.event", "exception.message", "kit.failure"] {
        eventually("the spans come", || has(&collector, name));
    }
}

#[test]
fn without_traces_there_are_no_spans() {
    let backend = Backend::start("one");
    let node = node(&format!("http://{}", backend.address), json!({}), &[]);
    get(node.proxy(), "/?do=spans").expect(500);
    let told = get(node.proxy(), "/?do=telemetry").expect(200);
    let why = line(&told, "X-Told").unwrap();
    assert!(why.starts_with("nil Telemetry logging is disabled: log entry will not be recorded."), "{why}");
}

#[test]
fn records_of_plugins_reach_the_collector() {
    let backend = Backend::start("one");
    let collector = Scripted::answering("application/json", b"{}");
    let node = node(&format!("http://{}", backend.address), json!({}), &[]);
    opentelemetry(&node, collector.address);
    let told = get(node.proxy(), "/?do=telemetry").expect(200);
    assert_eq!(line(&told, "X-Told").as_deref(), Some("true nil"));
    for text in ["kit has told", "kit.number", "message.type", "plugin.name", "introspection.source"] {
        eventually("the record comes", || has(&collector, text));
    }
}

#[test]
fn plugins_say_what_services_are_shown_and_must_prove() {
    let (root, other) = (Pair::authority("root"), Pair::authority("other"));
    let own = root.issue(&["kit.test"]);
    let backend = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Known(&root));
    let url = format!("https://{}", backend.address);
    let node = node(&url, json!({ "cert": own.chain, "key": own.key, "ca": root.chain }), &[]);
    get(node.proxy(), "/").expect(502);
    assert_eq!(get(node.proxy(), "/?do=shown").expect(200).json()["client"], "kit.test");
    get(node.proxy(), "/").expect(502);
    let open = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Any);
    let url = json!({ "url": format!("https://{}", open.address) });
    json(node.admin(), "PATCH", "/services/s", &url).expect(200);
    get(node.proxy(), "/?do=verified").expect(200);
    let plugins = get(node.admin(), "/plugins").expect(200).json();
    let plugin = plugins["data"][0]["id"].as_str().unwrap().to_owned();
    let unknown = json!({ "config": { "ca": other.chain } });
    json(node.admin(), "PATCH", &format!("/plugins/{plugin}"), &unknown).expect(200);
    get(node.proxy(), "/?do=verified").expect(502);
    get(node.proxy(), "/").expect(200);
}

#[test]
fn plugins_are_asked_where_the_next_try_goes() {
    let backend = Backend::start("one");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hosts = json!({ "hosts": [closed.to_string(), backend.address.to_string()] });
    let node = node("http://localhost:1", hosts, &[]);
    let answer = get(node.proxy(), "/?do=retry").expect(200);
    assert_eq!(line(&answer, "X-Retried").as_deref(), Some("yes"));
    let refused = get(node.proxy(), "/?do=retry&none=1").expect(503);
    assert_eq!(refused.json()["message"], "failure to get a peer from retry handler");
}

#[test]
fn what_is_wrong_is_said_in_words_of_kong() {
    let backend = Backend::start("one");
    let traced = [("tracing_instrumentations", "all")];
    let node = node(&format!("http://{}", backend.address), json!({}), &traced);
    let told = get(node.proxy(), "/?do=wrong").expect(200).json();
    let expected = json!([
        "argument must be a boolean",
        "argument must be a number",
        "argument must be a resty.openssl.x509.store object",
        "chain must be a parsed cdata object",
        "retry_callback must be a function",
        "invalid span name",
    ]);
    assert_eq!(told, expected);
}

#[test]
fn lines_of_the_log_say_where_they_come_from() {
    let backend = Backend::start("one");
    let node = node(&format!("http://{}", backend.address), json!({}), &[]);
    let id = get(node.proxy(), "/?do=log&a=b").expect(200).header("X-Kong-Request-Id").unwrap().to_owned();
    let request = format!(", client: 127.0.0.1, server: kong, request: \"GET / HTTP/1.1\", host: \"{}\"", node.proxy());
    let ends = format!("{request}, request_id: \"{id}\"");
    for expected in [
        format!("[warn] PID: [kong] handler.lua:LINE [kit] kit has 1 nil true{ends}"),
        "[notice] PID: |  a = \"b\"                     ".to_owned(),
        format!("[notice] PID: [lua] handler.lua:LINE: work(): kit has printed 1{ends}"),
        format!("[error] PID: [lua] handler.lua:LINE: work(): kit has logged{ends}"),
        "[warn] PID: [kong] handler.lua:LINE [kit] kit is old (deprecated after 3.0, scheduled for removal in 4.0)"
            .to_owned(),
        format!("[notice] PID: [kong] <own|speaks|%%message> kit has a format{ends}"),
        format!("[notice] PID: [kong] kit, again kit{ends}"),
        "[kit] uri args truncated".to_owned(),
    ] {
        eventually(&expected, || node.log().lines().any(|line| without_numbers(line).contains(&expected)));
    }
}

/// A line of the log in which the process and the place in a file are the same each time.
fn without_numbers(line: &str) -> String {
    let line = line.split_once("#0: ").map_or(line.to_owned(), |(before, after)| {
        format!("{}PID: {after}", before.trim_end_matches(|c: char| c.is_ascii_digit()))
    });
    let Some((before, after)) = line.split_once("handler.lua:") else { return line };
    format!("{before}handler.lua:LINE{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[test]
fn who_calls_is_what_code_has_said_last() {
    let backend = Backend::start("one");
    let node = node(&format!("http://{}", backend.address), json!({}), &[]);
    let told = get(node.proxy(), "/?do=anonymous").expect(200).json();
    assert_eq!(told, json!({ "before": "ann k", "is_none": true, "credential": "k" }));
}

#[test]
fn names_have_addresses() {
    let backend = Backend::start("one");
    let node = node(&format!("http://{}", backend.address), json!({}), &[]);
    let told = get(node.proxy(), "/?do=dns").expect(200).json();
    assert_eq!(told["same"], "127.0.0.2");
    assert_eq!(told["is_client"], true);
    assert!(told["count"].as_u64().unwrap() >= 1, "{told}");
    assert!(["127.0.0.1", "::1"].contains(&told["ip"].as_str().unwrap()), "{told}");
}
