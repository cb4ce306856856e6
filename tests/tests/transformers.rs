//! Requests and responses are edited on their way, over sockets.

use blackbox::http::{form, json, request};
use blackbox::{Backend, Node};
use serde_json::{Value, json};

/// A node with a route to a service that shows the request, and these plugins on it.
fn node_with(plugins: &[(&str, Value)]) -> (Backend, Node) {
    let (backend, node) = (Backend::start("backend"), Node::start(&[]));
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    for (name, config) in plugins {
        json(node.admin(), "POST", "/routes/r/plugins", &json!({ "name": name, "config": config })).expect(201);
    }
    (backend, node)
}

/// The request as a plugin behind the transformer sees it.
fn echo() -> (&'static str, Value) {
    ("request-termination", json!({ "status_code": 200, "echo": true }))
}

#[test]
fn request_transformer_advanced_edits_what_is_nested() {
    let config = json!({
        "dots_in_keys": false, "allow": { "body": ["users", "n"] }, "remove": { "body": ["users[*].secret"] },
        "replace": { "body": ["n:5"], "json_types": ["number"] }
    });
    let (_backend, node) = node_with(&[("request-transformer-advanced", config)]);
    let (name, config) = echo();
    json(node.admin(), "POST", "/plugins", &json!({ "name": name, "config": config })).expect(201);
    let send = |body: &[u8]| request(node.proxy(), "POST", "/", &[("Content-Type", "application/json")], body).unwrap();
    let sent = send(br#"{"users":[{"secret":1,"a":"b"}],"n":"x","other":1}"#).expect(200).json();
    assert_eq!(sent["request"]["body"], json!({ "users": [{ "a": "b" }], "n": 5 }));
    send(b"{\"users\":[],\"other\":1,}").expect(400);
}

#[test]
fn values_are_expressions_of_lua() {
    let config = json!({
        "add": {
            "headers": [
                "X-Sum:$(#headers['x-in'] + 1)", "X-Sub:$(headers.x_in:gsub('b+', '-'))", "X-Kept:$(shared.kept)",
                "X-None:[$(shared.none)]", "X-List:$(query_params.q)", "X-Method:$(kong.request.get_method():lower())",
                "X-Whole:$(uri_captures[0])",
            ],
        },
        "replace": { "uri": "/$(uri_captures.user:upper()):$((function() return math.max(1, 2) end)())" },
    });
    let kept = json!({ "access": ["kong.ctx.shared.kept = 'before'"] });
    let (_backend, node) = node_with(&[("request-transformer", config), ("pre-function", kept)]);
    form(node.admin(), "PATCH", "/routes/r", "paths[]=~/u/(%3F<user>[a-z]%2B)$").expect(200);
    let sent = request(node.proxy(), "GET", "/u/ada?q=1&q=2", &[("X-In", "abba")], b"").unwrap().expect(200).json();
    let head: Vec<&str> = sent["head"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(head[0], "GET /ADA:2?q=1&q=2 HTTP/1.1");
    for line in
        ["X-Sum: 5", "X-Sub: a-a", "X-Kept: before", "X-None: []", "X-List: 1, 2", "X-Method: get", "X-Whole: /u/ada"]
    {
        assert!(head.contains(&line), "{line}: {head:?}");
    }
}

#[test]
fn code_sees_what_the_operator_names() {
    let backend = Backend::start("backend");
    let node = Node::start(&[
        ("untrusted_lua_sandbox_requires", "cjson"),
        ("untrusted_lua_sandbox_environment", "os.getenv, kong.cluster.get_id, loadstring"),
    ]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    let code = "local seen = {}
        local names = { 'os.getenv', 'os.time', 'os.remove', 'io.open', 'loadstring', 'kong.request', 'kong.db',
            'kong.db.consumers.insert' }
        for _, text in ipairs(names) do
            local ok, value = pcall(loadstring('local os, io, kong, loadstring = ... return ' .. text), os, io, kong,
                loadstring)
            seen[text] = ok and value ~= nil
        end
        seen.cjson, seen.socket = pcall(require, 'cjson'), pcall(require, 'socket')
        kong.response.exit(200, seen)";
    let plugin = json!({ "name": "pre-function", "config": { "access": [code] } });
    json(node.admin(), "POST", "/routes/r/plugins", &plugin).expect(201);
    let seen = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(200).json();
    let expected = json!({
        "os.getenv": true, "os.time": true, "os.remove": false, "io.open": false, "loadstring": true,
        "kong.request": true, "kong.db": true, "kong.db.consumers.insert": false, "cjson": true, "socket": false
    });
    assert_eq!(seen, expected);
}

#[test]
fn expressions_of_lua_that_fail_answer_500() {
    for value in ["$(io.open('/etc/passwd'))", "$(nothing.here)", "$((function() while true do end end)())"] {
        let config = json!({ "add": { "querystring": [format!("a:{value}")] } });
        let (_backend, node) = node_with(&[("request-transformer-advanced", config)]);
        request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(500);
    }
    let (_backend, node) = node_with(&[]);
    let config = json!({ "add": { "querystring": ["a:$(1 +)"] } });
    let plugin = json!({ "name": "request-transformer", "config": config });
    let refused = json(node.admin(), "POST", "/routes/r/plugins", &plugin).expect(400).text();
    assert!(refused.contains("value '$(1 +)' is not in supported format, error:"), "{refused}");
}

#[test]
fn response_transformer_advanced_edits_by_status() {
    let config = json!({
        "dots_in_keys": false, "add": { "headers": ["X-Seen:1"], "if_status": ["200"] },
        "remove": { "json": ["request.headers"], "if_status": ["200"] },
        "replace": { "body": "sorry", "if_status": ["500-599"] }
    });
    let (_backend, node) = node_with(&[("response-transformer-advanced", config), echo()]);
    let answer = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(200);
    assert_eq!(answer.header("x-seen"), Some("1"));
    assert_eq!(answer.json()["request"]["headers"], Value::Null);
    let plugins = blackbox::http::get(node.admin(), "/routes/r/plugins").expect(200).json();
    let echo = plugins["data"].as_array().unwrap().iter().find(|plugin| plugin["name"] == "request-termination");
    let path = format!("/plugins/{}", echo.unwrap()["id"].as_str().unwrap());
    let broken = json!({ "config": { "status_code": 503, "echo": false, "message": "secret" } });
    json(node.admin(), "PATCH", &path, &broken).expect(200);
    let answer = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(503);
    assert_eq!(answer.text(), "sorry");
    assert_eq!(answer.header("x-seen"), None);
}

#[test]
fn response_transformer_advanced_calls_functions() {
    let mask = "return function(data) return '*' .. data:sub(-2) end";
    let config = json!({ "transform": { "functions": [mask], "json": ["card"], "if_status": ["200"] } });
    let (_backend, node) = node_with(&[("response-transformer-advanced", config)]);
    let shown = json!({ "status_code": 200, "content_type": "application/json", "body": r#"{"card":"12345","n":1}"# });
    let echo = json(node.admin(), "POST", "/plugins", &json!({ "name": "request-termination", "config": shown }));
    let path = format!("/plugins/{}", echo.expect(201).json()["id"].as_str().unwrap());
    let answer = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(200);
    assert_eq!(answer.json(), json!({ "card": "*45", "n": 1 }));
    json(node.admin(), "PATCH", &path, &json!({ "config": { "body": r#"{"card":["12345"]}"# } })).expect(200);
    let withheld = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(200);
    assert_eq!(withheld.text(), "", "the function fails");
    let functions = json!({ "transform": { "functions": ["return function("] } });
    let refused = json!({ "name": "response-transformer-advanced", "config": functions });
    let refused = json(node.admin(), "POST", "/services/s/plugins", &refused).expect(400).text();
    assert!(refused.contains("Error parsing function"), "{refused}");
}

#[test]
fn exit_transformer_edits_what_is_no_services() {
    let function = "return function(status, body, headers)
        headers = headers or {}
        headers['X-Was'] = status
        return status == 401 and 418 or status, { error = body.message, path = kong.request.get_path() }, headers
    end";
    let (mut backend, node) = node_with(&[("key-auth", json!({}))]);
    let config = |unknown: bool, unexpected: bool| {
        let functions = json!([function]);
        json!({ "config": { "functions": functions, "handle_unknown": unknown, "handle_unexpected": unexpected } })
    };
    let mut plugin = config(false, false);
    plugin["name"] = json!("exit-transformer");
    let plugin = json(node.admin(), "POST", "/plugins", &plugin).expect(201).json();
    let path = format!("/plugins/{}", plugin["id"].as_str().unwrap());

    let answer = request(node.proxy(), "GET", "/a", &[], b"").unwrap().expect(418);
    assert_eq!(answer.json(), json!({ "error": "No API key found in request", "path": "/a" }));
    assert_eq!(answer.header("x-was"), Some("401"));
    assert!(answer.header("www-authenticate").is_some());
    json(node.admin(), "POST", "/consumers", &json!({ "username": "c" })).expect(201);
    json(node.admin(), "POST", "/consumers/c/key-auth", &json!({ "key": "k" })).expect(201);
    let get = |path: &str| request(node.proxy(), "GET", path, &[("apikey", "k")], b"").unwrap();
    assert_eq!(get("/").expect(200).header("x-was"), None, "the service's own");

    let patched = json!({ "paths": ["/known"] });
    json(node.admin(), "PATCH", "/routes/r", &patched).expect(200);
    backend.kill();
    assert_eq!(get("/else").expect(404).header("x-was"), None);
    assert_eq!(get("/known").expect(502).header("x-was"), None);
    json(node.admin(), "PATCH", &path, &config(true, true)).expect(200);
    assert_eq!(get("/else").expect(404).json()["error"], "no Route matched with those values");
    assert_eq!(get("/known").expect(502).header("x-was"), Some("502"));
    let mut malformed = blackbox::http::Connection::open(node.proxy()).unwrap();
    malformed.send_raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").unwrap();
    assert_eq!(malformed.receive(false).unwrap().expect(400).header("x-was"), Some("400"));
}

#[test]
fn exit_transformer_that_fails_leaves_answers_as_they_are() {
    let (_backend, node) = node_with(&[("key-auth", json!({}))]);
    for function in ["return function() error('no') end", "return function() while true do end end"] {
        let plugin = json!({ "name": "exit-transformer", "config": { "functions": [function] } });
        let plugin = json(node.admin(), "POST", "/routes/r/plugins", &plugin).expect(201).json();
        let answer = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(401);
        assert_eq!(answer.json()["message"], "No API key found in request");
        let path = format!("/plugins/{}", plugin["id"].as_str().unwrap());
        request(node.admin(), "DELETE", &path, &[], b"").unwrap().expect(204);
    }
    let plugin = json!({ "name": "exit-transformer", "config": { "functions": ["return function("] } });
    json(node.admin(), "POST", "/routes/r/plugins", &plugin).expect(400);
}
