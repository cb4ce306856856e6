//! Code in Lua that stands in a configuration, on a node.

use blackbox::http::{Connection, get, json, request};
use blackbox::{Backend, Node, eventually};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;

fn head_of(echoed: &Value) -> Vec<String> {
    echoed["head"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_ascii_lowercase()).collect()
}

/// A node whose pre-function runs that code, on a route to the backend.
fn with_code(backend: &Backend, config: &Value) -> Node {
    let node = Node::start(&[]);
    let admin = node.admin();
    let url = format!("http://{}/base", backend.address);
    json(admin, "POST", "/services", &json!({ "name": "s", "url": url })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": config })).expect(201);
    node
}

/// Handlers of bundled plugins, as code finds them, are as early and late as the plugins are.
#[test]
fn handlers_of_bundled_plugins_have_their_priorities() {
    let node = Node::start(&[("untrusted_lua", "on")]);
    let admin = node.admin();
    let available = get(admin, "/").expect(200).json()["plugins"]["available_on_server"].clone();
    let names = available.as_object().unwrap().keys().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(",");
    let code = format!(
        "local known = {{}}
        for _, name in ipairs {{ {names} }} do
          local ok, handler = pcall(require, 'kong.plugins.' .. name .. '.handler')
          known[name] = ok and handler.PRIORITY or nil
        end
        kong.response.exit(200, known)"
    );
    json(admin, "POST", "/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": { "access": [code] } })).expect(201);
    let known = get(node.proxy(), "/").expect(200).json();
    let known = known.as_object().unwrap();
    assert!(known.len() > 35, "{known:?}");
    for (name, priority) in known {
        assert_eq!(*priority, available[name]["priority"], "{name}");
    }
}

/// Each level of such a recursion takes kilobytes of the thread's stack.
#[test]
fn recursion_through_the_runtime_ends_no_node() {
    let backend = Backend::start("a");
    let code = "local function expand(text)
            return (text:gsub('%b{}', function(inner) return '<' .. expand(inner:sub(2, -2)) .. '>' end))
        end
        local ok, result = pcall(expand, kong.request.get_raw_body() or '')
        return kong.response.exit(200, { ok = ok, length = ok and #result })";
    let node = with_code(&backend, &json!({ "access": [code] }));
    for levels in [100, 1000, 3000] {
        let text = ["{".repeat(levels), "}".repeat(levels)].concat();
        let answer = request(node.proxy(), "POST", "/", &[], text.as_bytes()).unwrap().expect(200).json();
        assert!(answer["ok"] == false || answer["length"] == text.len(), "{levels}: {answer}");
    }
    let answer = request(node.proxy(), "POST", "/", &[], b"{a}").unwrap().expect(200).json();
    assert_eq!(answer, json!({ "ok": true, "length": 3 }));
}

#[test]
fn connections_end_with_what_has_made_them() {
    let (backend, other) = (Backend::start("a"), Backend::start("b"));
    let node = Node::start(&[("untrusted_lua", "on")]);
    let admin = node.admin();
    let code = format!(
        "local function connect() assert(ngx.socket.tcp():connect('127.0.0.1', {})) end
        local how = kong.request.get_query_arg('how')
        if how == 'timer' then
          ngx.timer.at(0, connect)
        else
          connect()
        end
        if how == 'error' then
          error('as it is meant')
        end",
        other.address.port()
    );
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": { "access": [code] } })).expect(201);
    for (round, (how, status)) in [("end", 200), ("error", 500), ("timer", 200)].into_iter().enumerate() {
        for _ in 0..10 {
            get(node.proxy(), &format!("/?how={how}")).expect(status);
        }
        eventually("all have come", || other.accepted() == (round + 1) * 10);
        eventually("nobody holds a connection", || other.connections() == 0);
    }
}

#[test]
fn an_answer_without_content_is_described() {
    let backend = Backend::start("a");
    let code = "if kong.request.get_query_arg('close') then return ngx.exit(444) end
        return kong.response.exit(tonumber(kong.request.get_query_arg('status')), nil, { ['X-Own'] = 'yes' })";
    let node = with_code(&backend, &json!({ "access": [code] }));
    let ask = |status: u16| {
        let lines = [("Accept", "application/json")];
        request(node.proxy(), "GET", &format!("/?status={status}"), &lines, b"").unwrap().expect(status)
    };
    let answer = ask(504);
    assert_eq!(answer.json()["message"], "The upstream server is timing out");
    assert_eq!(answer.header("X-Own"), Some("yes"));
    assert_eq!(ask(404).json()["message"], "Not found");
    assert_eq!(get(node.proxy(), "/?status=401").expect(401).body, b"");
    assert_eq!(get(node.proxy(), "/?status=200").expect(200).body, b"");
    assert!(request(node.proxy(), "GET", "/?close=1", &[], b"").is_err(), "the connection ends without an answer");
}

#[test]
fn variables_after_proxying_are_those_of_nginx() {
    let backend = Backend::start("a");
    let access = "kong.ctx.shared.uri = ngx.var.uri .. ' ' .. ngx.var.upstream_uri";
    let filter = "ngx.header['X-Uri'] = kong.ctx.shared.uri
        ngx.header['X-Vars'] = ngx.var.http_host .. ' ' .. ngx.var.upstream_uri .. ' ' .. ngx.var.upstream_host .. ' '
            .. tostring(ngx.var.upstream_http_x_backend) .. ' ' .. ngx.var.server_protocol";
    let node = with_code(&backend, &json!({ "access": [access], "header_filter": [filter], "log": ["return"] }));
    let answer = request(node.proxy(), "GET", "/x%2Fy%20z?a=b", &[("Host", "client.test")], b"").unwrap().expect(200);
    assert_eq!(answer.header("X-Uri"), Some("/x/y z /base/x%2Fy%20z"));
    let expected = format!("client.test /base/x%2Fy%20z?a=b {} a HTTP/1.1", backend.address);
    assert_eq!(answer.header("X-Vars"), Some(&*expected));
}

#[test]
fn code_says_where_a_request_comes_from() {
    let backend = Backend::start("a");
    let access = "ngx.var.upstream_x_forwarded_prefix = '/own' ngx.var.upstream_x_forwarded_host = ''
        kong.response.set_header('X-Prefix', ngx.var.upstream_x_forwarded_prefix)
        local set = pcall(function() ngx.var.upstream_x_forwarded_for = 'a\\r\\nb' end)
        kong.response.set_header('X-Set', tostring(set))";
    let node = with_code(&backend, &json!({ "access": [access] }));
    let answer = get(node.proxy(), "/").expect(200);
    assert_eq!(answer.header("X-Prefix"), Some("/own"));
    assert_eq!(answer.header("X-Set"), Some("false"));
    let head = head_of(&answer.json());
    assert!(head.contains(&"x-forwarded-prefix: /own".to_owned()), "{head:?}");
    assert!(head.iter().any(|line| line.starts_with("x-forwarded-for: 127.0.0.1")), "{head:?}");
    assert!(!head.iter().any(|line| line.starts_with("x-forwarded-host")), "{head:?}");
}

#[test]
fn what_a_filter_ends_is_no_longer_the_services() {
    let backend = Backend::start("a");
    let filter = "local status = tonumber(kong.request.get_query_arg('status'))
        if status then return ngx.exit(status) end
        ngx.header['Content-Length'] = nil";
    let body = "if kong.request.get_query_arg('list') then ngx.arg[1] = { 'a', 1, { 'c', { 'd' } } } end";
    let config = json!({ "header_filter": [filter], "body_filter": [body] });
    let node = with_code(&backend, &config);
    for status in [403, 404, 500] {
        let lines = [("Accept", "application/json")];
        let answer = request(node.proxy(), "GET", &format!("/?status={status}"), &lines, b"").unwrap().expect(status);
        assert!(answer.json()["message"].is_string(), "{status}: {}", answer.text());
        assert_eq!(answer.json()["backend"], Value::Null, "{status}");
    }
    get(node.proxy(), "/").expect(200);
    assert!(get(node.proxy(), "/?list=1").expect(200).text().starts_with("a1cd"));
}

#[test]
fn content_is_there_before_routing() {
    let backend = Backend::start("a");
    let rewrite = "local content = kong.request.get_raw_body()
        if content and content:find('attack') then return kong.response.exit(403, { message = 'blocked' }) end
        if content == 'old' then kong.service.request.set_raw_body('renewed') end";
    let access = "kong.response.set_header('X-Content', kong.request.get_raw_body())";
    for config in [json!({ "rewrite": [rewrite] }), json!({ "rewrite": [rewrite], "access": [access] })] {
        let node = Node::start(&[]);
        let admin = node.admin();
        let url = format!("http://{}", backend.address);
        json(admin, "POST", "/services", &json!({ "name": "s", "url": url })).expect(201);
        json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
        json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": config })).expect(201);
        let ask = |content: &[u8]| request(node.proxy(), "POST", "/", &[], content).unwrap();
        assert_eq!(ask(b"an attack").expect(403).json()["message"], "blocked");
        for (content, length) in [(&b"fine"[..], 4), (b"old", 7)] {
            let answer = ask(content).expect(200);
            let head = head_of(&answer.json());
            assert!(head.contains(&format!("content-length: {length}")), "{head:?}");
        }
        assert_eq!(request(node.proxy(), "POST", "/nowhere-else", &[], b"x").unwrap().status, 200);
    }
}

#[test]
fn what_is_said_of_the_service_before_routing_means_nothing() {
    let backend = Backend::start("a");
    let rewrite = "kong.service.request.set_path('/np') ngx.req.set_uri('/other') ngx.var.upstream_uri = '/vv'
        ngx.req.set_header('Host', 'routed.test')";
    let access = "ngx.req.set_uri('/third') ngx.req.set_header('Host', 'o.test')
        kong.response.set_header('X-Uri', ngx.var.uri)";
    let node = Node::start(&[]);
    let admin = node.admin();
    let url = format!("http://{}", backend.address);
    json(admin, "POST", "/services", &json!({ "name": "s", "url": url })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "hosts": ["routed.test"] })).expect(201);
    let config = json!({ "rewrite": [rewrite], "access": [access] });
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": config })).expect(201);
    let answer = get(node.proxy(), "/orig?o=1").expect(200);
    let head = head_of(&answer.json());
    assert_eq!(head[0], "get /orig?o=1 http/1.1");
    assert!(head.contains(&format!("host: {}", backend.address)), "{head:?}");
    assert_eq!(answer.header("X-Uri"), Some("/third"));
}

#[test]
fn json_may_be_as_deep_as_in_kong() {
    let backend = Backend::start("a");
    let code = "local function nested(levels)
            local outer = {}
            for _ = 2, levels do outer = { a = outer } end
            return outer
        end
        local cjson, circle = require('cjson'), {}
        circle.circle = circle
        local told = { #cjson.encode(nested(1000)) }
        for at, value in ipairs { nested(1001), circle } do
            local ok, err = pcall(cjson.encode, value)
            told[at + 1] = not ok and tostring(err)
        end
        return kong.response.exit(200, told)";
    let node = with_code(&backend, &json!({ "access": [code] }));
    let why = "Cannot serialise, excessive depth (1001)";
    assert_eq!(get(node.proxy(), "/").expect(200).json(), json!([999 * 6 + 2, why, why]));
}

/// Of all workers one loads what many ask for at once; who knows nothing better waits for it.
#[test]
fn values_are_loaded_once_for_all_workers() {
    let gate = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gate.local_addr().unwrap().port();
    let node = Node::start(&[("nginx_worker_processes", "4")]);
    let admin = node.admin();
    let code = format!(
        "local value, err = kong.cache:get('much asked for', nil, function()
            local gate = ngx.socket.tcp()
            gate:settimeout(60000)
            assert(gate:connect('127.0.0.1', {port}))
            return gate:receive()
        end)
        kong.response.exit(200, {{ value = value, err = err }})"
    );
    json(admin, "POST", "/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": { "access": [code] } })).expect(201);
    let proxy = node.proxy();
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..12).map(|_| scope.spawn(move || get(proxy, "/").expect(200).json())).collect();
        gate.accept().unwrap().0.write_all(b"loaded\n").unwrap();
        for answer in asking {
            assert_eq!(answer.join().unwrap(), json!({ "value": "loaded" }));
        }
    });
    gate.set_nonblocking(true).unwrap();
    assert!(gate.accept().is_err(), "it was loaded twice");
}

/// What Kong's data access knows beside records: their tags, and what is wrong with new ones.
#[test]
fn records_are_judged_and_found_by_their_tags() {
    let node = Node::start(&[("untrusted_lua", "on")]);
    let admin = node.admin();
    let service = json!({ "name": "s", "url": "http://127.0.0.1:1", "tags": ["a", "b"] });
    let id = json(admin, "POST", "/services", &service).expect(201).json()["id"].clone();
    let code = "local schema = kong.db.services.schema
        local tags, err = kong.db.tags:page_by_tag('a')
        local _, wrong = schema:validate_insert { name = 'x', host = 'a', protocol = 'nope' }
        local _, part = schema:validate_update { port = -1 }
        local all = 0
        for _ in kong.db.tags:each() do all = all + 1 end
        local _, size = kong.db.services:page(nil, nil, { pagination = { page_size = 0 } })
        local service = kong.db.services:select_by_name('s', { show_ws_id = true })
        local _, offset = kong.db.routes:page_for_service(service, 1, '?')
        local _, keys = pcall(require('cjson').encode, { a = 1, [true] = 2 })
        kong.response.exit(200, { size = size:match('%(.*'), ws = service.ws_id, offset = offset:match('.%?.*'),
            keys = keys, tags = tags, err = err, wrong = wrong, part = part, all = all,
            right = schema:validate_insert { name = 'x', host = 'a' }, set = schema.fields.port.type,
            refused = select(2, kong.db.tags:insert {}) ~= nil })";
    json(admin, "POST", "/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": { "access": [code] } })).expect(201);
    let answer = get(node.proxy(), "/").expect(200).json();
    let expected = json!({
        "tags": [{ "entity_id": id, "entity_name": "services", "tag": "a" }],
        "wrong": { "protocol": "expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp" },
        "part": { "port": "value should be between 0 and 65535" },
        "all": 2, "right": true, "set": "integer", "refused": true, "ws": "0dc6f45b-8f8d-40d2-a504-473544ee190b",
        "size": "(pagination.page_size: must be an integer between 1 and 50000)",
        "offset": "'?' is not a valid offset: bad base64 encoding",
        "keys": "Cannot serialise boolean: table key must be a number or string",
    });
    assert_eq!(answer, expected);
}

/// Who answers HEAD says how long the content would be, and what is gRPC may be said before the answer.
#[test]
fn answers_say_what_code_has_said_of_them() {
    let node = Node::start(&[]);
    let admin = node.admin();
    let code = "if kong.request.get_method() == 'HEAD' then
            return kong.response.exit(200, nil, { ['Content-Type'] = 'text/plain', ['Content-Length'] = '100' })
        end
        kong.response.set_header('Content-Type', 'application/grpc')
        return kong.response.exit(401)";
    json(admin, "POST", "/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": { "access": [code] } })).expect(201);
    let mut connection = Connection::open(node.proxy()).unwrap();
    connection.send("HEAD", "/", &[], b"").unwrap();
    assert_eq!(connection.receive(true).unwrap().expect(200).header("Content-Length"), Some("100"));
    let refused = get(node.proxy(), "/").expect(401);
    assert_eq!(refused.header("grpc-status"), Some("16"));
    assert_eq!(refused.header("grpc-message"), Some("Unauthenticated"));
}
