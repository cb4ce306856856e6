//! `/bascule/trace`: the course of a request, as the node tells it.

use blackbox::http::{form, get, json, request};
use blackbox::{Backend, Node, Scripted};
use serde_json::{Value, json};

fn trace(node: &Node, wanted: Value) -> Value {
    json(node.admin(), "POST", "/bascule/trace", &wanted).expect(200).json()
}

fn lines(value: &Value, name: &str) -> Vec<String> {
    let lines = value.as_array().into_iter().flatten();
    lines
        .filter(|line| line[0].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name)))
        .map(|l| l[1].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_course_of_a_request_is_told() {
    let node = Node::start(&[]);
    let (one, mut dead) = (Backend::start("one"), Backend::start("dead"));
    form(node.admin(), "POST", "/upstreams", "name=up").expect(201);
    for target in [&one, &dead] {
        form(node.admin(), "POST", "/upstreams/up/targets", &format!("target={}", target.address)).expect(201);
    }
    dead.kill();
    form(node.admin(), "POST", "/services", "name=shop&host=up").expect(201);
    form(node.admin(), "POST", "/services/shop/routes", "name=wide&paths[]=/cart").expect(201);
    form(node.admin(), "POST", "/services/shop/routes", "name=narrow&paths[]=/&hosts[]=shop.test").expect(201);
    let transformer = "name=request-transformer&config.add.headers[]=x-new:1&config.remove.headers[]=x-old";
    form(node.admin(), "POST", "/services/shop/plugins", transformer).expect(201);
    let wanted = json!({ "url": "http://shop.test/cart?a=1", "headers": { "X-Old": "0" } });
    // Of two targets one is dead: at least one of two courses has two tries.
    let told = [trace(&node, wanted.clone()), trace(&node, wanted)];
    for told in &told {
        assert_eq!(told["request"]["target"], "/cart?a=1");
        let candidates = told["router"]["candidates"].as_array().unwrap();
        let names: Vec<&str> = candidates.iter().map(|route| route["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["narrow", "wide"]);
        assert_eq!(candidates[1]["behind_for"], "hosts without wildcards");
        assert_eq!(told["route"]["name"], "narrow");
        assert_eq!(told["service"]["name"], "shop");
        let plugin = &told["plugins"][0];
        assert_eq!(plugin["name"], "request-transformer");
        assert_eq!(plugin["phase"], "access");
        assert_eq!(lines(&plugin["changes"]["request_headers"]["removed"], "x-old"), ["0"]);
        assert_eq!(told["upstream"]["name"], "up");
        assert_eq!(told["upstream"]["targets"].as_array().unwrap().len(), 2);
        let last = told["tries"].as_array().unwrap().last().unwrap();
        assert_eq!(last["address"], one.address.to_string());
        assert_eq!(lines(&last["sent"]["headers"], "x-new"), ["1"]);
        assert_eq!(last["received"]["status"], 200);
        assert_eq!(told["response"]["status"], 200);
        assert!(told["response"]["body"].as_str().unwrap().contains("\"backend\":\"one\""));
        assert_eq!(told["answered_by"], "service");
    }
    let tries = told.map(|told| told["tries"].as_array().unwrap().len());
    assert!(tries.contains(&2), "{tries:?}");
}

#[test]
fn answers_of_plugins_and_of_the_node_are_told() {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/routes", "name=r&paths[]=/r").expect(201);
    form(node.admin(), "POST", "/routes/r/plugins", "name=request-termination&config.status_code=418").expect(201);
    let told = trace(&node, json!({ "host": "h.test", "path": "/r", "method": "POST", "body": "text" }));
    assert_eq!(told["plugins"][0]["answered"]["status"], 418);
    assert_eq!(told["answered_by"], "plugin");
    assert_eq!(told["response"]["status"], 418);
    let told = trace(&node, json!({ "host": "h.test", "path": "/nowhere" }));
    assert_eq!(told["router"]["candidates"], json!([]));
    assert_eq!(told["route"], Value::Null);
    assert_eq!(told["answered_by"], "gateway");
    assert_eq!(told["response"]["status"], 404);
}

#[test]
fn large_contents_are_cut() {
    let node = Node::start(&[]);
    let content = "x".repeat(100_000);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
    let service = Scripted::start(head + &content);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", service.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    let response = &trace(&node, json!({ "host": "h.test" }))["response"];
    assert_eq!(response["octets"], 100_000);
    assert_eq!(response["truncated"], true);
    assert_eq!(response["body"].as_str().unwrap().len(), 65_536);
}

#[test]
fn nobody_traces_without_permission() {
    let node = Node::start(&[("enforce_rbac", "on"), ("password", "secret"), ("audit_log", "on")]);
    let wanted = json!({ "host": "h.test", "headers": { "Authorization": "Bearer of-a-client" } });
    json(node.admin(), "POST", "/bascule/trace", &wanted).expect(401);
    let ask = |token: &str, method: &str, path: &str, body: &Value| {
        let headers = [("Content-Type", "application/json"), ("Kong-Admin-Token", token)];
        request(node.admin(), method, path, &headers, body.to_string().as_bytes()).unwrap()
    };
    ask("secret", "POST", "/rbac/users", &json!({ "name": "read-only", "user_token": "reads" })).expect(201);
    ask("reads", "POST", "/bascule/trace", &wanted).expect(403);
    ask("secret", "POST", "/bascule/trace", &wanted).expect(200);
    let audit = ask("secret", "GET", "/audit/requests", &json!({})).expect(200).text();
    assert!(audit.contains("/bascule/trace"), "{audit}");
    assert!(!audit.contains("of-a-client"), "{audit}");
    assert!(!node.log().contains("of-a-client"));
    get(node.proxy(), "/").expect(404);
}

#[test]
fn requests_over_http2_are_traced_too() {
    let service =
        Scripted::start("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n");
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", service.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    for url in ["http://a.test/x?y=1", "https://a.test/x?y=1"] {
        let wanted =
            json!({ "url": url, "http2": true, "method": "POST", "body": "abc", "headers": { "TE": "trailers" } });
        let told = trace(&node, wanted);
        assert_eq!(told["request"]["target"], "/x?y=1", "{told}");
        assert_eq!(lines(&told["request"]["headers"], "host"), ["a.test"]);
        assert_eq!(told["route"]["name"], "r");
        let sent = &told["tries"][0]["sent"];
        assert_eq!(sent["body"], "abc");
        assert!(lines(&sent["headers"], "via")[0].starts_with("2 "), "{sent}");
        assert_eq!(told["response"]["status"], 200);
        assert_eq!(told["response"]["body"], "ok");
        assert_eq!(lines(&told["response"]["trailers"], "x-sum"), ["7"]);
    }
    let refused = json(node.admin(), "POST", "/bascule/trace", &json!({ "host": "a.test", "http2": "yes" }));
    assert_eq!(refused.expect(400).json()["message"], "http2: expected a boolean");
}
