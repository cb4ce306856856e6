//! The Get Started guide, command by command.

use blackbox::http::{Response, form, get, request};
use blackbox::{Backend, Node};
use serde_json::Value;

/// A node with the guide's service in front of one backend.
fn guide(backend: &Backend) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=example_service&url=http://{}", backend.address))
        .expect(201);
    form(node.admin(), "POST", "/services/example_service/routes", "paths[]=/mock&name=example_route").expect(201);
    node
}

fn mock(node: &Node, headers: &[(&str, &str)]) -> Response {
    request(node.proxy(), "GET", "/mock/anything", headers, b"").unwrap()
}

#[test]
fn get_kong() {
    let node = Node::start(&[]);
    let head = request(node.admin(), "HEAD", "/", &[], b"").unwrap().expect(200);
    assert!(head.header("Content-Type").unwrap().starts_with("application/json"));
    assert_eq!(head.header("Access-Control-Allow-Origin"), Some("*"));
    head.header("X-Kong-Admin-Latency").unwrap().parse::<u32>().unwrap();
    assert!(head.header("Server").unwrap().starts_with("bascule/"));
    let root = get(node.admin(), "/").expect(200).json();
    assert_eq!(root["version"], "3.10.0");
    assert_eq!(root["configuration"]["database"], "postgres");
    assert_eq!(root["configuration"]["bascule_database"], "sqlite");
    assert_eq!(root["pids"]["master"], node.pid());
}

#[test]
fn services_and_routes() {
    let backend = Backend::start("httpbin");
    let node = Node::start(&[]);
    let admin = node.admin();
    let created =
        form(admin, "POST", "/services", "name=example_service&url=https://httpbin.konghq.com").expect(201).json();
    for (field, value) in [("host", "httpbin.konghq.com"), ("protocol", "https"), ("name", "example_service")] {
        assert_eq!(created[field], value);
    }
    assert_eq!(created["port"], 443);
    assert_eq!(created["retries"], 5);
    assert_eq!(created["enabled"], true);
    for timeout in ["connect_timeout", "read_timeout", "write_timeout"] {
        assert_eq!(created[timeout], 60_000);
    }
    assert_eq!(get(admin, "/services/example_service").expect(200).json(), created);
    let patched = form(admin, "PATCH", "/services/example_service", "retries=6").expect(200).json();
    assert_eq!(patched["retries"], 6);
    let list = get(admin, "/services").expect(200).json();
    assert_eq!(list["data"][0], patched);
    assert_eq!(list["next"], Value::Null);

    let route =
        form(admin, "POST", "/services/example_service/routes", "paths[]=/mock&name=example_route").expect(201).json();
    assert_eq!(route["paths"], serde_json::json!(["/mock"]));
    assert_eq!(route["protocols"], serde_json::json!(["http", "https"]));
    assert_eq!(route["service"]["id"], created["id"]);
    assert_eq!(route["strip_path"], true);
    assert_eq!(route["preserve_host"], false);
    assert_eq!(route["https_redirect_status_code"], 426);
    assert_eq!(get(admin, "/services/example_service/routes/example_route").expect(200).json()["id"], route["id"]);
    let tagged =
        form(admin, "PATCH", "/services/example_service/routes/example_route", "tags=tutorial").expect(200).json();
    assert_eq!(tagged["tags"], serde_json::json!(["tutorial"]));
    assert_eq!(get(admin, "/routes").expect(200).json()["data"][0]["name"], "example_route");

    form(admin, "PATCH", "/services/example_service", &format!("url=http://{}", backend.address)).expect(200);
    let echoed = mock(&node, &[]).expect(200).json();
    assert_eq!(echoed["backend"], "httpbin");
    let head: Vec<String> =
        echoed["head"].as_array().unwrap().iter().map(|l| l.as_str().unwrap().to_ascii_lowercase()).collect();
    assert_eq!(head[0], "get /anything http/1.1");
    for line in [
        "x-forwarded-path: /mock/anything",
        "x-forwarded-prefix: /mock",
        "x-forwarded-proto: http",
        "x-forwarded-for: 127.0.0.1",
    ] {
        assert!(head.iter().any(|l| l == line), "{line} is not in {head:?}");
    }
}

#[test]
fn rate_limiting() {
    let backend = Backend::start("httpbin");
    let node = guide(&backend);
    let created = form(node.admin(), "POST", "/plugins", "name=rate-limiting&config.minute=5&config.policy=local")
        .expect(201)
        .json();
    assert_eq!(created["enabled"], true);
    assert_eq!(created["config"]["minute"], 5);
    // The minute may end in the middle of it: then the count begins again, and the sixth after that is refused.
    let answers: Vec<Response> = (0..12).map(|_| mock(&node, &[])).collect();
    let refused = answers.iter().find(|a| a.status == 429).expect("one is refused");
    assert!(answers.iter().filter(|a| a.status == 200).count() >= 5);
    assert_eq!(refused.json()["message"], "API rate limit exceeded");
    assert_eq!(refused.header("X-RateLimit-Limit-Minute"), Some("5"));
    assert!(refused.header("Retry-After").is_some());
    form(
        node.admin(),
        "POST",
        "/services/example_service/plugins",
        "name=rate-limiting&config.minute=5&config.policy=local",
    )
    .expect(201);
    form(
        node.admin(),
        "POST",
        "/routes/example_route/plugins",
        "name=rate-limiting&config.minute=5&config.policy=local",
    )
    .expect(201);
    form(node.admin(), "POST", "/consumers/", "username=jsmith").expect(201);
    form(node.admin(), "POST", "/plugins", "name=rate-limiting&consumer.username=jsmith&config.second=5").expect(201);
}

#[test]
fn proxy_cache() {
    let backend = Backend::start("httpbin");
    let node = guide(&backend);
    let settings = "name=proxy-cache&config.request_method=GET&config.response_code=200&\
                    config.content_type=application/json&config.cache_ttl=30&config.strategy=memory";
    form(node.admin(), "POST", "/plugins", settings).expect(201);
    let first = mock(&node, &[]).expect(200);
    assert_eq!(first.header("X-Cache-Status"), Some("Miss"));
    let second = mock(&node, &[]).expect(200);
    assert_eq!(second.header("X-Cache-Status"), Some("Hit"));
    assert_eq!(second.text(), first.text());
    assert_eq!(backend.requests(), 1);
    let key = format!("/proxy-cache/{}", second.header("X-Cache-Key").unwrap());
    get(node.admin(), &key).expect(200);
    request(node.admin(), "DELETE", &key, &[], b"").unwrap().expect(204);
    get(node.admin(), &key).expect(404);
    request(node.admin(), "DELETE", "/proxy-cache", &[], b"").unwrap().expect(204);
    assert_eq!(mock(&node, &[]).expect(200).header("X-Cache-Status"), Some("Miss"));
    form(node.admin(), "POST", "/services/example_service/plugins", settings).expect(201);
    form(node.admin(), "POST", "/routes/example_route/plugins", settings).expect(201);
    form(node.admin(), "POST", "/consumers/", "username=sasha").expect(201);
    form(node.admin(), "POST", "/consumers/sasha/plugins", settings).expect(201);
}

#[test]
fn key_authentication() {
    let backend = Backend::start("httpbin");
    let node = guide(&backend);
    let admin = node.admin();
    form(admin, "POST", "/consumers/", "username=luka").expect(201);
    let credential = form(admin, "POST", "/consumers/luka/key-auth", "key=top-secret-key").expect(201).json();
    assert_eq!(credential["key"], "top-secret-key");
    let generated = form(admin, "POST", "/consumers/luka/key-auth", "").expect(201).json();
    assert_eq!(generated["key"].as_str().unwrap().len(), 32);
    let plugin = form(admin, "POST", "/plugins/", "name=key-auth&config.key_names=apikey").expect(201).json();
    assert_eq!(mock(&node, &[]).expect(401).json()["message"], "No API key found in request");
    assert_eq!(mock(&node, &[("apikey", "bad-key")]).expect(401).json()["message"], "Unauthorized");
    mock(&node, &[("apikey", "top-secret-key")]).expect(200);
    mock(&node, &[("apikey", generated["key"].as_str().unwrap())]).expect(200);
    form(admin, "POST", "/services/example_service/plugins", "name=key-auth").expect(201);
    form(admin, "POST", "/routes/example_route/plugins", "name=key-auth").expect(201);
    let plugins = get(admin, "/plugins/").expect(200).json();
    assert!(plugins["data"].as_array().unwrap().iter().any(|p| p["id"] == plugin["id"]));
    for plugin in plugins["data"].as_array().unwrap() {
        form(admin, "PATCH", &format!("/plugins/{}", plugin["id"].as_str().unwrap()), "enabled=false").expect(200);
    }
    mock(&node, &[]).expect(200);
}

#[test]
fn load_balancing() {
    let backends = [Backend::start("httpbun"), Backend::start("httpbin")];
    let node = guide(&backends[1]);
    form(node.admin(), "POST", "/upstreams", "name=example_upstream").expect(201);
    for backend in &backends {
        let target = form(
            node.admin(),
            "POST",
            "/upstreams/example_upstream/targets",
            &format!("target='{}'", backend.address).replace('\'', ""),
        )
        .expect(201)
        .json();
        assert_eq!(target["weight"], 100);
    }
    form(node.admin(), "PATCH", "/services/example_service", "host=example_upstream").expect(200);
    let mut names: Vec<String> =
        (0..8).map(|_| mock(&node, &[]).expect(200).header("X-Backend").unwrap().to_owned()).collect();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    names.sort();
    assert_eq!(names[..4], ["httpbin"; 4]);
    // Each target sees its own address as the host.
    let echoed = mock(&node, &[]).json();
    let own = backends.iter().find(|b| b.name == echoed["backend"]).unwrap().address;
    assert!(
        echoed["head"]
            .as_array()
            .unwrap()
            .iter()
            .any(|l| l.as_str().unwrap().eq_ignore_ascii_case(&format!("Host: {own}"))),
        "{echoed}"
    );
}
