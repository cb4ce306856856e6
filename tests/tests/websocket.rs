//! Routes and services for WebSocket (`ws`, `wss`), and plugins that see their messages.

use blackbox::http::{Connection, form, json};
use blackbox::socket::Wire;
use blackbox::{Node, PATIENCE, Service, eventually};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};

const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: x\r\n\r\n";

/// What a client asks for a WebSocket with, beside these lines.
const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A node with a service of that protocol, and a route to it for that one.
fn node(address: SocketAddr, service: &str, route: &str) -> Node {
    let node = Node::start(&[("proxy_listen", "127.0.0.1:0, 127.0.0.1:0 ssl"), ("websocket_protocols", "on")]);
    form(node.admin(), "POST", "/services", &format!("name=s&retries=0&url={service}://{address}")).expect(201);
    form(node.admin(), "POST", "/services/s/routes", &format!("name=r&paths[]=/&protocols[]={route}")).expect(201);
    node
}

/// The status of the answer to a handshake, with its content where it has some.
fn ask(node: &Node, lines: &[(&str, &str)]) -> (u16, String) {
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/chat", lines, b"").unwrap();
    let answer = client.receive(false).unwrap();
    (answer.status, answer.text())
}

#[test]
fn a_route_for_websockets_takes_nothing_else() {
    let service = Service::start();
    let node = node(service.address, "ws", "ws");
    let refused = blackbox::http::get(node.proxy(), "/chat").expect(426);
    assert_eq!(refused.header("upgrade"), Some("websocket"));
    assert_eq!(refused.json()["message"], "Please use WebSocket protocol");
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/chat", &HANDSHAKE, b"").unwrap();
    let (mut service, seen) = service.asked();
    assert_eq!(seen.header("upgrade"), Some("websocket"));
    service.send_raw(&[ACCEPTED, b"hello"].concat()).unwrap();
    assert_eq!(client.receive_head().unwrap().status, 101);
    assert_eq!(client.take(5).unwrap(), b"hello");
    client.send_raw(b"octets").unwrap();
    assert_eq!(service.take(6).unwrap(), b"octets");
}

#[test]
fn wss_asks_for_tls() {
    let service = Service::start();
    let node = node(service.address, "ws", "wss");
    let (status, text) = ask(&node, &HANDSHAKE);
    assert_eq!(status, 426);
    assert!(text.contains("Please use HTTPS protocol"), "{text}");
    form(node.admin(), "PATCH", "/routes/r", "https_redirect_status_code=308").expect(200);
    assert_eq!(ask(&node, &HANDSHAKE).0, 308);
}

#[test]
fn services_of_wss_are_spoken_to_by_tls() {
    let authority = blackbox::tls::Pair::authority("a");
    let service = Service::start_tls(&authority.issue(&["localhost"]));
    let node = node(service.address, "wss", "ws");
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/chat", &HANDSHAKE, b"").unwrap();
    let (mut service, _) = service.asked();
    service.send_raw(&[ACCEPTED, b"secret"].concat()).unwrap();
    assert_eq!(client.receive_head().unwrap().status, 101);
    assert_eq!(client.take(6).unwrap(), b"secret");
}

#[test]
fn plugins_act_on_handshakes() {
    let service = Service::start();
    let node = node(service.address, "ws", "ws");
    form(node.admin(), "POST", "/services/s/routes", "name=web&paths[]=/web&protocols[]=http").expect(201);
    // What protects all requests protects these, too.
    form(node.admin(), "POST", "/plugins", "name=key-auth").expect(201);
    assert_eq!(ask(&node, &HANDSHAKE).0, 401);
    let only = json!({ "name": "request-termination", "protocols": ["ws", "wss"], "config": { "status_code": 418 } });
    json(node.admin(), "POST", "/plugins", &only).expect(201);
    form(node.admin(), "POST", "/consumers", "username=c").expect(201);
    form(node.admin(), "POST", "/consumers/c/key-auth", "key=k").expect(201);
    let with_key = [&HANDSHAKE[..], &[("apikey", "k")]].concat();
    assert_eq!(ask(&node, &with_key).0, 418);
    let answering = std::thread::spawn(move || service.asked().0.answer("web").unwrap());
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/web", &[("apikey", "k")], b"").unwrap();
    assert_eq!(client.receive(false).unwrap().text(), "web");
    answering.join().unwrap();
}

#[test]
fn what_fits_no_websocket_is_refused() {
    let usual = Node::start(&[]);
    let refused = form(usual.admin(), "POST", "/routes", "paths[]=/&protocols[]=ws").expect(400);
    assert_eq!(refused.json()["fields"], json!({ "protocols": "unknown type: ws" }));
    let refused = form(usual.admin(), "POST", "/services", "url=wss://127.0.0.1:1").expect(400);
    assert!(refused.text().contains("expected one of: grpc, "), "{}", refused.text());
    let node = Node::start(&[("websocket_protocols", "on")]);
    let refused = form(node.admin(), "POST", "/routes", "paths[]=/&protocols[]=ws&protocols[]=http").expect(400);
    assert!(refused.text().contains("these sets are mutually exclusive"), "{}", refused.text());
    form(node.admin(), "POST", "/services", "name=s&url=http://127.0.0.1:1").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/&protocols[]=ws").expect(201);
    form(node.admin(), "POST", "/routes/r/plugins", "name=cors").expect(201);
    let mismatched = form(node.admin(), "POST", "/routes/r/plugins", "name=acl&protocols[]=http&config.allow[]=a");
    assert!(mismatched.expect(400).text().contains("must match the associated route's protocols"));
    let shown = blackbox::http::get(node.admin(), "/schemas/routes").expect(200).text();
    assert!(!shown.contains("\"ws\""), "{shown}");
}

/// What a frame begins with: the last of its message, and what it is.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// A short frame; a client's is masked.
fn frame(first: u8, payload: &[u8], from_client: bool) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let key = [7, 8, 9, 10];
    match from_client {
        false => [&[first, length], payload].concat(),
        true => {
            let masked: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(octet, key)| octet ^ key).collect();
            [&[first, 0x80 | length], &key[..], &masked].concat()
        }
    }
}

fn from_client(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, true)
}

fn from_service(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, false)
}

/// The next frame that a service gets: what it begins with, and its payload.
fn got_by_service(service: &mut Connection<Wire>) -> (u8, Vec<u8>) {
    let [first, second] = service.take(2).unwrap()[..] else { unreachable!() };
    assert_eq!(second & 0x80, 0x80, "a client masks what it sends");
    let key = service.take(4).unwrap();
    let masked = service.take(usize::from(second & 0x7f)).unwrap();
    (first, masked.iter().zip(key.iter().cycle()).map(|(octet, key)| octet ^ key).collect())
}

/// The same for a client.
fn got_by_client(client: &mut Connection<TcpStream>) -> (u8, Vec<u8>) {
    let [first, length] = client.take(2).unwrap()[..] else { unreachable!() };
    (first, client.take(usize::from(length)).unwrap())
}

/// A WebSocket through a node with that plugin.
fn opened(node: &Node, service: &Service, name: &str, config: Value) -> (Connection<TcpStream>, Connection<Wire>) {
    json(node.admin(), "POST", "/routes/r/plugins", &json!({ "name": name, "config": config })).expect(201);
    let mut client = Connection::open(node.proxy()).unwrap();
    let lines = [&HANDSHAKE[..], &[("Sec-WebSocket-Extensions", "permessage-deflate")]].concat();
    client.send("GET", "/chat", &lines, b"").unwrap();
    let (mut connection, seen) = service.asked();
    assert_eq!(seen.header("sec-websocket-extensions"), None);
    connection.send_raw(ACCEPTED).unwrap();
    assert_eq!(client.receive_head().unwrap().status, 101);
    (client, connection)
}

#[test]
fn messages_go_through_whole() {
    let service = Service::start();
    let node = node(service.address, "ws", "ws");
    let (mut client, mut service) = opened(&node, &service, "websocket-size-limit", json!({ "client_max_payload": 9 }));
    // In fragments, with a ping between them, and cut in the middle of frames.
    let octets = [from_client(0x01, b"one "), from_client(PING, b"?"), from_client(0x80, b"two")].concat();
    let (first, rest) = octets.split_at(11);
    client.send_raw(first).unwrap();
    client.send_raw(rest).unwrap();
    assert_eq!(got_by_service(&mut service), (PING, b"?".to_vec()));
    assert_eq!(got_by_service(&mut service), (TEXT, b"one two".to_vec()));
    service.send_raw(&from_service(BINARY, b"\x00\xff")).unwrap();
    assert_eq!(got_by_client(&mut client), (BINARY, b"\x00\xff".to_vec()));
    let bye = [&1000_u16.to_be_bytes()[..], b"bye"].concat();
    client.send_raw(&from_client(CLOSE, &bye)).unwrap();
    assert_eq!(got_by_service(&mut service), (CLOSE, bye.clone()));
    service.send_raw(&from_service(CLOSE, &bye)).unwrap();
    drop(service);
    assert_eq!(got_by_client(&mut client), (CLOSE, bye));
    assert_eq!(client.rest().unwrap(), b"");
}

#[test]
fn what_is_too_large_ends_both_sides() {
    let service = Service::start();
    let node = node(service.address, "ws", "ws");
    let limits = json!({ "client_max_payload": 8, "upstream_max_payload": 4 });
    let (mut client, mut service_side) = opened(&node, &service, "websocket-size-limit", limits);
    client.send_raw(&from_client(TEXT, b"12345678")).unwrap();
    assert_eq!(got_by_service(&mut service_side), (TEXT, b"12345678".to_vec()));
    client.send_raw(&from_client(TEXT, b"123456789")).unwrap();
    assert_eq!(got_by_client(&mut client), (CLOSE, [&1009_u16.to_be_bytes()[..], b"Payload Too Large"].concat()));
    assert_eq!(got_by_service(&mut service_side), (CLOSE, 1001_u16.to_be_bytes().to_vec()));
    assert!(service_side.closes_within(PATIENCE), "nothing follows");
    drop(service_side);
    assert_eq!(client.rest().unwrap(), b"");

    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/chat", &HANDSHAKE, b"").unwrap();
    let mut service_side = service.asked().0;
    service_side.send_raw(&[ACCEPTED, &from_service(BINARY, b"12345")].concat()).unwrap();
    assert_eq!(client.receive_head().unwrap().status, 101);
    assert_eq!(got_by_client(&mut client), (CLOSE, 1001_u16.to_be_bytes().to_vec()));
    assert_eq!(got_by_service(&mut service_side).1[..2], 1009_u16.to_be_bytes());
}

/// The memory of a message is that of others once it has gone.
#[test]
fn idle_websockets_hold_no_memory() {
    let service = Service::start();
    let node = node(service.address, "ws", "ws");
    let (client, service_side) = opened(&node, &service, "websocket-size-limit", json!({ "client_max_payload": 9 }));
    let mut idle = vec![(client, service_side)];
    let large = vec![7; 15 << 20];
    // The length of what is longer than 65,535 octets takes eight.
    let head = [&[BINARY, 127][..], &(large.len() as u64).to_be_bytes()].concat();
    for number in 0..12 {
        let mut client = Connection::open(node.proxy()).unwrap();
        client.send("GET", "/chat", &HANDSHAKE, b"").unwrap();
        let mut service_side = service.asked().0;
        service_side.send_raw(&[ACCEPTED, &head, &large].concat()).unwrap();
        assert_eq!(client.receive_head().unwrap().status, 101);
        assert_eq!(client.take(head.len()).unwrap(), head, "{number}");
        assert!(client.take(large.len()).unwrap() == large, "{number}");
        idle.push((client, service_side));
    }
}

#[test]
fn what_is_no_websocket_ends_both_sides() {
    let service = Service::start();
    let node = node(service.address, "ws", "ws");
    let (mut client, mut service_side) =
        opened(&node, &service, "websocket-size-limit", json!({ "client_max_payload": 9 }));
    // Without a mask.
    client.send_raw(&from_service(TEXT, b"x")).unwrap();
    assert_eq!(got_by_client(&mut client).1[..2], 1002_u16.to_be_bytes());
    assert_eq!(got_by_service(&mut service_side), (CLOSE, 1001_u16.to_be_bytes().to_vec()));
}

#[test]
fn messages_conform_to_schemas() {
    let service = Service::start();
    let node = node(service.address, "ws", "ws");
    let schema = json!({ "type": "draft4", "schema": r#"{"type": "object", "required": ["name"]}"# });
    let config = json!({ "client": { "text": schema } });
    let (mut client, mut service) = opened(&node, &service, "websocket-validator", config);
    client.send_raw(&from_client(TEXT, br#"{"name": "Alex"}"#)).unwrap();
    assert_eq!(got_by_service(&mut service), (TEXT, br#"{"name": "Alex"}"#.to_vec()));
    service.send_raw(&from_service(TEXT, b"{}")).unwrap();
    assert_eq!(got_by_client(&mut client), (TEXT, b"{}".to_vec()));
    client.send_raw(&from_client(TEXT, br#"{"missing": 1}"#)).unwrap();
    assert_eq!(got_by_client(&mut client), (CLOSE, 1007_u16.to_be_bytes().to_vec()));
    assert_eq!(got_by_service(&mut service).0, CLOSE);
}

/// A node with a plugin in Lua that acts on WebSockets, and one of them through it.
fn with_lua(service: &Service) -> (Node, Connection<TcpStream>, Connection<Wire>) {
    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");
    let node =
        Node::start(&[("websocket_protocols", "on"), ("plugins", "bundled, frames"), ("lua_package_path", PATH)]);
    let admin = node.admin();
    form(admin, "POST", "/services", &format!("name=s&retries=0&url=ws://{}", service.address)).expect(201);
    form(admin, "POST", "/services/s/routes", "name=r&paths[]=/&protocols[]=ws").expect(201);
    let (client, connection) = opened(&node, service, "frames", json!({}));
    (node, client, connection)
}

#[test]
fn plugins_in_lua_see_messages() {
    let listening = Service::start();
    let (node, mut client, mut service) = with_lua(&listening);
    let mut sent = |text: &str| {
        client.send_raw(&from_client(TEXT, text.as_bytes())).unwrap();
        String::from_utf8(got_by_service(&mut service).1).unwrap()
    };
    assert_eq!(sent("as it is"), "as it is");
    assert_eq!(sent("what"), "what text nil content /chat");
    assert_eq!(sent("octets"), "false data of a text frame must be UTF-8");
    let other_side = sent("other side");
    assert!(other_side.ends_with("called in ws_client_frame phase (only in: ws_upstream_frame)"), "{other_side}");
    let too_late = sent("too late");
    assert!(too_late.ends_with("called in ws_client_frame phase (only in: ws_handshake)"), "{too_late}");
    client.send_raw(&[from_client(TEXT, b"drop"), from_client(BINARY, b"next")].concat()).unwrap();
    assert_eq!(got_by_service(&mut service), (BINARY, b"next".to_vec()));
    service.send_raw(&from_service(TEXT, b"loud")).unwrap();
    assert_eq!(got_by_client(&mut client), (TEXT, b"LOUD".to_vec()));
    client.send_raw(&from_client(CLOSE, &1000_u16.to_be_bytes())).unwrap();
    assert_eq!(got_by_service(&mut service), (CLOSE, 1001_u16.to_be_bytes().to_vec()));
    drop((client, service));
    eventually("the plugin hears of the end", || node.log().contains("closed after 8 frames with 101"));
    assert!(!node.log().contains("no WebSockets"), "{}", node.log());
}

#[test]
fn plugins_in_lua_end_websockets() {
    let listening = Service::start();
    let (node, mut client, mut service) = with_lua(&listening);
    client.send_raw(&from_client(TEXT, b"close")).unwrap();
    let closing = |status: u16, words: &str| [&status.to_be_bytes()[..], words.as_bytes()].concat();
    assert_eq!(got_by_client(&mut client), (CLOSE, closing(4000, "for the client")));
    assert_eq!(got_by_service(&mut service), (CLOSE, closing(4001, "for the service")));
    for (sent, status) in [(&b"fail"[..], 1011), (&[b'x'; 65][..], 1009)] {
        let mut client = Connection::open(node.proxy()).unwrap();
        client.send("GET", "/chat", &HANDSHAKE, b"").unwrap();
        let (mut service, seen) = listening.asked();
        assert_eq!(seen.header("x-handshake"), Some("seen"));
        service.send_raw(ACCEPTED).unwrap();
        assert_eq!(client.receive_head().unwrap().status, 101);
        client.send_raw(&from_client(TEXT, sent)).unwrap();
        assert_eq!(got_by_client(&mut client).1[..2], u16::to_be_bytes(status));
        assert_eq!(got_by_service(&mut service).0, CLOSE);
    }
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/chat?refuse=1", &HANDSHAKE, b"").unwrap();
    assert_eq!(client.receive(false).unwrap().json(), json!({ "message": "refused in access" }));
}

#[test]
fn body_filters_see_beginning_and_end_of_a_tunnel_and_nothing_of_it() {
    let service = Service::start();
    let node = node(service.address, "http", "http");
    let noted = "kong.log.err('filtered [', ngx.arg[1], '] ', ngx.arg[2])";
    for (code, before) in [(noted.to_owned(), &b""[..]), (format!("{noted} ngx.arg[1] = 'early '"), b"early ")] {
        let config = json!({ "body_filter": [code], "log": ["kong.log.err('over ', ngx.status)"] });
        let plugin = json(node.admin(), "POST", "/plugins", &json!({ "name": "post-function", "config": config }));
        let path = format!("/plugins/{}", plugin.expect(201).json()["id"].as_str().unwrap());
        let mut client = Connection::open(node.proxy()).unwrap();
        client.send("GET", "/chat", &HANDSHAKE, b"").unwrap();
        let (mut upstream, _) = service.asked();
        upstream.send_raw(&[ACCEPTED, b"hello"].concat()).unwrap();
        assert_eq!(client.receive_head().unwrap().status, 101);
        let expected = [before, b"hello"].concat();
        assert_eq!(client.take(expected.len()).unwrap(), expected);
        client.send_raw(b"octets").unwrap();
        assert_eq!(upstream.take(6).unwrap(), b"octets");
        drop(client);
        let told = |log: &str, what: &str| log.matches(what).count();
        let times = if before.is_empty() { 1 } else { 2 };
        eventually("the end is filtered", || told(&node.log(), "filtered [] true") == times);
        eventually("the log phase follows", || told(&node.log(), "over 101") == times);
        assert_eq!(told(&node.log(), "filtered ["), 2 * times, "what is relayed is filtered");
        blackbox::http::request(node.admin(), "DELETE", &path, &[], b"").unwrap().expect(204);
    }
    let config = json!({ "body_filter": ["error('it cannot be seen')"] });
    json(node.admin(), "POST", "/plugins", &json!({ "name": "post-function", "config": config })).expect(201);
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/chat", &HANDSHAKE, b"").unwrap();
    let (mut upstream, _) = service.asked();
    upstream.send_raw(&[ACCEPTED, b"hello"].concat()).unwrap();
    assert!(client.rest().unwrap_or_default().is_empty(), "the tunnel opens though a filter has failed");
}
