//! What code in Lua sees of a request after it has gone to a service, and where plugins are looked for.

use blackbox::http::{get, json, request};
use blackbox::{Backend, Node};
use serde_json::json;

#[test]
fn later_phases_see_the_request_of_the_client() {
    let backend = Backend::start("a");
    let shows = "kong.response.set_header('X-Seen', table.concat({ kong.request.get_host(), \
        kong.request.get_header('host'), kong.request.get_header('x-forwarded-for') or 'none', ngx.var.host, \
        ngx.var.http_host, kong.request.get_method(), ngx.req.get_body_data() or 'nothing' }, ' '))";
    let access = "kong.request.get_raw_body() kong.service.request.set_method('PUT')";
    let node = Node::start(&[]);
    let admin = node.admin();
    let config = json!({ "access": [access], "header_filter": [shows] });
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": config })).expect(201);
    let lines = [("Host", "client.test:99"), ("X-Forwarded-For", "7.7.7.7")];
    let answer = request(node.proxy(), "POST", "/", &lines, b"sent").unwrap().expect(200);
    let seen = "client.test client.test:99 7.7.7.7 client.test client.test:99 PUT sent";
    assert_eq!(answer.header("X-Seen"), Some(seen));
    let told = answer.json()["head"].to_string().to_ascii_lowercase();
    assert!(told.contains("x-forwarded-for: 7.7.7.7, 127.0.0.1"), "{told}");
}

#[test]
fn files_of_the_operator_go_before_what_is_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("kong/plugins/canary");
    std::fs::create_dir_all(&own).unwrap();
    let handler = "return { PRIORITY = 7, VERSION = '9.8.7', access = function() kong.response.exit(418) end }";
    std::fs::write(own.join("handler.lua"), handler).unwrap();
    let schema = "return { name = 'canary', fields = { { config = { type = 'record', fields = {} } } } }";
    std::fs::write(own.join("schema.lua"), schema).unwrap();
    let path = format!("{}/?.lua;;", folder.path().display());
    let version = |plugins: &str| {
        let node = Node::start(&[("plugins", plugins), ("lua_package_path", &path)]);
        get(node.admin(), "/").expect(200).json()["plugins"]["available_on_server"]["canary"]["version"].clone()
    };
    assert_eq!(version("bundled, canary"), "9.8.7");
    assert_ne!(version("bundled"), "9.8.7", "it is not named");
}

/// The text of a plugin does not tell whether it looks at content.
#[test]
fn content_is_there_for_code_that_was_loaded_for_another_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, handler: &str| {
        let own = folder.path().join("kong/plugins").join(name);
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("handler.lua"), handler).unwrap();
        let schema =
            format!("return {{ name = '{name}', fields = {{ {{ config = {{ type = 'record', fields = {{}} }} }} }} }}");
        std::fs::write(own.join("schema.lua"), schema).unwrap();
    };
    write("first", "return require 'kong.plugins.judge.handler'");
    write(
        "judge",
        "return { PRIORITY = 3, VERSION = '1', access = function()
            local body = kong.request['get_' .. 'raw_body']()
            return kong.response.exit(200, body or 'nothing was said')
        end }",
    );
    let path = format!("{}/?.lua;;", folder.path().display());
    let node = Node::start(&[("plugins", "bundled, first, judge"), ("lua_package_path", &path)]);
    json(node.admin(), "POST", "/routes", &json!({ "paths": ["/"] })).expect(201);
    json(node.admin(), "POST", "/plugins", &json!({ "name": "judge" })).expect(201);
    let ask = |content: &[u8]| request(node.proxy(), "POST", "/", &[], content).unwrap().expect(200).body;
    let large = vec![b'x'; 100_000];
    assert_eq!(ask(b"abc"), b"abc");
    assert_eq!(ask(b""), b"");
    assert_eq!(ask(&large).len(), large.len());
}
