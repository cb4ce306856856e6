//! Plugins in Lua that look at whole responses: the lines and the content that they find there.

use blackbox::http::{Response, form, json, request};
use blackbox::{Node, Service, eventually};
use serde_json::json;

const SCHEMA: &str = "return { name = 'looking', fields = { { config = { type = 'record', fields = {} } } } }";

struct Looking {
    node: Node,
    service: Service,
    _folder: tempfile::TempDir,
}

/// A node with a plugin of these phases on its only route.
fn looking(handlers: &str, route: &str) -> Looking {
    let folder = tempfile::tempdir().unwrap();
    let of_plugin = folder.path().join("kong/plugins/looking");
    std::fs::create_dir_all(&of_plugin).unwrap();
    std::fs::write(of_plugin.join("schema.lua"), SCHEMA).unwrap();
    let handler = format!("return {{ PRIORITY = 1, VERSION = '1', {handlers} }}");
    std::fs::write(of_plugin.join("handler.lua"), handler).unwrap();
    let path = format!("{}/?.lua;;", folder.path().display());
    let node = Node::start(&[("plugins", "bundled, looking"), ("lua_package_path", &path)]);
    let service = Service::start();
    form(node.admin(), "POST", "/services", &format!("name=s&retries=0&url=http://{}", service.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", &format!("paths[]=/&{route}")).expect(201);
    json(node.admin(), "POST", "/plugins", &json!({ "name": "looking" })).expect(201);
    Looking { node, service, _folder: folder }
}

impl Looking {
    /// What the client gets for that content, where the service answers with these lines.
    fn posts(&self, content: &[u8], lines: &str) -> Response {
        let (proxy, content) = (self.node.proxy(), content.to_vec());
        let asking = std::thread::spawn(move || request(proxy, "POST", "/", &[], &content).unwrap());
        let mut upstream = self.service.accept();
        upstream.request().unwrap();
        upstream.send_raw(format!("HTTP/1.1 201 Created\r\n{lines}Content-Length: 2\r\n\r\nok").as_bytes()).unwrap();
        asking.join().unwrap()
    }
}

fn all(response: &Response, name: &str) -> Vec<String> {
    let lines = response.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    lines.map(|(_, value)| value.clone()).collect()
}

#[test]
fn what_access_has_set_is_there_and_can_be_changed() {
    let looking = looking(
        "access = function() \
            for _, name in ipairs { 'X-Gone', 'X-Changed', 'X-Twice', 'X-Up', 'X-Left' } do \
              kong.response.set_header(name, 'access') \
            end \
            kong.response.set_status(418) \
         end, \
         response = function() \
            kong.response.set_header('X-Saw', kong.response.get_header('X-Gone')) \
            kong.response.set_header('X-Service', kong.service.response.get_header('X-Gone') or 'none') \
            kong.response.set_header('X-Up-Saw', kong.service.response.get_header('X-Up')) \
            kong.response.clear_header('X-Gone') \
            kong.response.set_header('X-Changed', 'response') \
            kong.response.add_header('X-Twice', 'response') \
         end",
        "",
    );
    let answer = looking.posts(b"", "X-Up: service\r\n").expect(201);
    for (name, values) in [
        ("X-Gone", &[][..]),
        ("X-Saw", &["access"]),
        ("X-Service", &["none"]),
        ("X-Changed", &["response"]),
        ("X-Twice", &["access", "response"]),
        ("X-Up", &["service"]),
        ("X-Up-Saw", &["service"]),
        ("X-Left", &["access"]),
    ] {
        assert_eq!(all(&answer, name), values, "{name}");
    }
}

#[test]
fn an_answer_in_the_place_of_a_response_has_its_lines() {
    let looking = looking(
        "access = function() kong.response.set_header('X-Access', 'a') kong.response.set_header('X-Gone', 'a') end, \
         response = function() \
            kong.response.clear_header('X-Gone') \
            kong.response.set_header('X-Response', 'r') \
            kong.response.exit(409, { message = 'no' }, { ['X-Exit'] = 'e', ['X-Up'] = 'exit' }) \
         end",
        "",
    );
    let answer =
        looking.posts(b"", "X-Up: u\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Encoding: gzip\r\n").expect(409);
    assert_eq!(answer.json(), json!({ "message": "no" }));
    for (name, values) in [
        ("X-Access", &["a"][..]),
        ("X-Gone", &[]),
        ("X-Response", &["r"]),
        ("X-Exit", &["e"]),
        ("X-Up", &["exit"]),
        ("Set-Cookie", &["a", "b"]),
        ("Content-Encoding", &[]),
        ("Content-Type", &["application/json; charset=utf-8"]),
    ] {
        assert_eq!(all(&answer, name), values, "{name}");
    }
}

#[test]
fn what_code_writes_has_the_status_that_it_sets() {
    let looking = looking("access = function() kong.response.set_status(418) ngx.say('short') end", "");
    let answer = request(looking.node.proxy(), "GET", "/", &[], b"").unwrap().expect(418);
    assert_eq!(answer.text(), "short\n");
}

const CONTENT: &str = "response = function() \
        local content, err = kong.request.get_raw_body() \
        kong.response.set_header('X-Content', content or err) \
    end, \
    log = function() kong.log.err('in log: ', ngx.req.get_body_data()) end";

#[test]
fn content_of_requests_is_there_for_later_phases() {
    let looking = looking(CONTENT, "");
    assert_eq!(looking.posts(b"some", "").expect(201).header("X-Content"), Some("some"));
    eventually("the log has it", || looking.node.log().contains("in log: some"));
    assert_eq!(looking.posts(b"", "").expect(201).header("X-Content"), Some(""));
    let large = vec![b'x'; 2 << 20];
    let said = looking.posts(&large, "").expect(201);
    assert!(said.header("X-Content").unwrap().contains("did not fit into client body buffer"));
}

#[test]
fn content_that_was_not_kept_is_no_empty_content() {
    let looking = looking(CONTENT, "request_buffering=false");
    // What has come with the head is at hand.
    assert_eq!(looking.posts(b"some", "").expect(201).header("X-Content"), Some("some"));
    let large = vec![b'x'; 2 << 20];
    looking.posts(&large, "").expect(500);
    let why = "the content of the request was not kept for the response phase: code has to ask in rewrite or access";
    eventually("the log says why", || looking.node.log().contains(why));
}
