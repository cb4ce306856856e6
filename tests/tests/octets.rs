//! Names and values are octets: what is no UTF-8 is told apart, and goes on as it came. What clients fill has a limit.

use blackbox::http::{Connection, Response, form, get, json};
use blackbox::{Node, Scripted, Usage, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A node with a service behind it that answers with the request it got, octet by octet.
struct Stage {
    node: Node,
}

impl Stage {
    /// With a route for each of these plugins, at `/` and its name.
    fn start(plugins: &[(&str, Value)]) -> Stage {
        let stage = Stage { node: Node::start(&[("nginx_worker_processes", "1")]) };
        let admin = stage.node.admin();
        let service = json!({ "name": "s", "url": format!("http://{}", echo()) });
        json(admin, "POST", "/services", &service).expect(201);
        for (name, config) in plugins {
            let route = json!({ "name": name, "paths": [format!("/{name}")] });
            json(admin, "POST", "/services/s/routes", &route).expect(201);
            let plugin = json!({ "name": name, "config": config });
            json(admin, "POST", &format!("/routes/{name}/plugins"), &plugin).expect(201);
        }
        stage
    }

    /// Adds a consumer with that key.
    fn key(&self, consumer: &str, credential: &Value) {
        json(self.node.admin(), "POST", "/consumers", &json!({ "username": consumer })).expect(201);
        json(self.node.admin(), "POST", &format!("/consumers/{consumer}/key-auth"), credential).expect(201);
    }

    /// Sends a request as it is, but for `Host` and `Content-Length`.
    fn send(&self, start: &[u8], lines: &[u8], body: &[u8]) -> Response {
        let mut connection = Connection::open(self.node.proxy()).unwrap();
        connection.send_raw(&message(start, lines, body)).unwrap();
        connection.receive(false).unwrap()
    }

    fn get(&self, target: &str) -> Response {
        self.send(format!("GET {target}").as_bytes(), b"", b"")
    }
}

fn message(start: &[u8], lines: &[u8], body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    [start, b" HTTP/1.1\r\nHost: a.test\r\n", lines, length.as_bytes(), b"\r\n", body].concat()
}

/// A service whose answers are `{"seen":"…"}` with the whole request between the quotes, as Latin-1 would have it:
/// octets beyond ASCII as they are, quotes and line ends left out.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A gateway that goes away ends the conversation.
            std::thread::spawn(move || converse(stream));
        }
    });
    address
}

fn converse(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut seen, mut length) = (Vec::new(), 0);
        loop {
            let start = seen.len();
            if reader.read_until(b'\n', &mut seen)? == 0 {
                return Ok(());
            }
            let line = seen[start..].trim_ascii().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix(b"content-length:") {
                length = std::str::from_utf8(value).unwrap().trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        (&mut reader).take(length).read_to_end(&mut seen)?;
        seen.retain(|b| !matches!(b, b'"' | b'\\' | b'\r' | b'\n'));
        let body = [b"{\"seen\":\"", &seen[..], b"\"}"].concat();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        reader.get_mut().write_all(&[head.as_bytes(), &body].concat())?;
    }
}

fn contains(response: &Response, part: &[u8]) -> bool {
    response.body.windows(part.len()).any(|window| window == part)
}

#[track_caller]
fn assert_seen(response: &Response, part: &[u8]) {
    let (part, body) = (part.escape_ascii().to_string(), response.body.escape_ascii().to_string());
    assert!(body.contains(&part), "{part} in {} {body}", response.status);
}

/// What a service says of its way is kept whole, however many lines it takes.
#[test]
fn via_has_all_lines_of_a_service() {
    let service = Scripted::start("HTTP/1.1 200 OK\r\nVia: 1.1 a\r\nVia: 1.0 b, 1.1 c\r\nContent-Length: 0\r\n\r\n");
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", service.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    let answer = get(node.proxy(), "/").expect(200);
    let vias: Vec<_> = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("via")).collect();
    assert_eq!(vias.len(), 1, "{vias:?}");
    assert!(vias[0].1.starts_with("1.1 a, 1.0 b, 1.1 c, 1.1 bascule/"), "{vias:?}");
}

#[test]
fn the_cache_answers_nobody_with_anothers_content() {
    let stage = Stage::start(&[(
        "proxy-cache",
        json!({ "strategy": "memory", "content_type": ["application/json"], "vary_headers": ["x-v"] }),
    )]);
    let requests: [(&[u8], &[u8], &[u8]); 8] = [
        (b"GET /proxy-cache?name=Andr%E9", b"", b"Andr%E9 "),
        (b"GET /proxy-cache?name=Andr%E8", b"", b"Andr%E8 "),
        (b"GET /proxy-cache?name=Andr%EF%BF%BD", b"", b"Andr%EF%BF%BD "),
        (b"GET /proxy-cache?a=1:b=2", b"", b"?a=1:b=2 "),
        (b"GET /proxy-cache?a=1&b=2", b"", b"?a=1&b=2 "),
        (b"GET /proxy-cache", b"X-V: caf\xe9\r\n", b"X-V: caf\xe9"),
        (b"GET /proxy-cache", b"X-V: caf\xe8\r\n", b"X-V: caf\xe8"),
        (b"GET /proxy-cache", "X-V: caf\u{fffd}\r\n".as_bytes(), "X-V: caf\u{fffd}".as_bytes()),
    ];
    for status in ["Miss", "Hit"] {
        for (start, lines, seen) in requests {
            let answer = stage.send(start, lines, b"").expect(200);
            assert_eq!(answer.header("X-Cache-Status"), Some(status), "{}", start.escape_ascii());
            assert_seen(&answer, seen);
        }
    }
}

#[test]
fn keys_are_octets_and_hiding_them_leaves_the_rest_as_it_came() {
    let config = json!({ "hide_credentials": true, "key_in_body": true });
    let stage = Stage::start(&[("key-auth", config)]);
    stage.key("fake", &json!({ "key": "kaf\u{fffd}" }));
    stage.key("ada", &json!({ "key": "kaf\u{e9}" }));
    stage.get("/key-auth?apikey=kaf%E9").expect(401);
    stage.send(b"GET /key-auth", b"apikey: kaf\xe9\r\n", b"").expect(401);
    stage.send(b"GET /key-auth", "apikey: kaf\u{e9}\r\n".as_bytes(), b"").expect(200);
    let answer = stage.get("/key-auth?a=%E9+%2f&apikey=kaf%C3%A9&b").expect(200);
    assert_seen(&answer, b"?a=%E9+%2f&b HTTP/1.1");
    for (kind, body, seen) in [
        ("application/x-www-form-urlencoded", &b"a=%E9+%2f&apikey=kaf%C3%A9&r=\xe9"[..], &b"a=%E9+%2f&r=\xe9"[..]),
        ("application/json", b"{\"apikey\":\"kaf\\u00e9\",\"n\":1.0,\"s\":\"\xe9\"}", b"{n:1.0,s:\xe9}"),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data; name=\"apikey\"\r\n\r\nkaf\xc3\xa9\r\n\
              --b\r\nContent-Disposition: form-data; name=\"\xe8\"\r\n\r\n\xe9\r\n--b--\r\n",
            b"name=\xe8\xe9--b--",
        ),
    ] {
        let answer = stage.send(b"POST /key-auth", format!("Content-Type: {kind}\r\n").as_bytes(), body).expect(200);
        assert_seen(&answer, seen);
        // No id has a `k`: they are hexadecimal.
        assert!(!contains(&answer, b"kaf"), "{kind}");
    }
}

#[test]
fn transformers_pass_octets_on() {
    let request = json!({
        "add": { "querystring": ["new:1"], "body": ["new:1"], "headers": ["x-copy:$(headers['x-in'])"] },
        "replace": { "headers": ["x-all:$(query_params.l)"] }
    });
    let response = json!({ "add": { "json": ["added:yes"] } });
    let stage = Stage::start(&[("request-transformer", request), ("response-transformer", response)]);
    let lines = b"X-In: \xe9\xff\r\nX-All: before\r\nContent-Type: application/json\r\n";
    let answer = stage.send(b"POST /request-transformer?l=%E8+x", lines, b"{\"s\":\"\xe9\",\"n\":1.10}").expect(200);
    for part in [&b"?l=%E8+x&new=1 HTTP"[..], b"x-copy: \xe9\xff", b"x-all: \xe8 x", b"{s:\xe9,n:1.10,new:1}"] {
        assert_seen(&answer, part);
    }
    let answer = stage.send(b"GET /response-transformer", b"X-In: \xe9\r\n", b"").expect(200);
    assert_seen(&answer, b"X-In: \xe9");
    assert!(answer.body.ends_with(b"\",\"added\":\"yes\"}"), "{}", answer.body.escape_ascii());
}

#[test]
fn content_that_is_too_large_is_not_empty() {
    let stage = Stage::start(&[
        ("key-auth", json!({ "key_in_body": true })),
        ("request-transformer", json!({ "add": { "body": ["new:1"] } })),
        ("request-termination", json!({ "echo": true, "status_code": 200 })),
    ]);
    stage.key("ada", &json!({ "key": "k" }));
    let body = [b"{\"big\":\"", &vec![b'x'; 3 << 20][..], b"\"}"].concat();
    let post =
        |target: &str| stage.send(format!("POST {target}").as_bytes(), b"Content-Type: application/json\r\n", &body);
    post("/key-auth").expect(413);
    assert_seen(&post("/key-auth?apikey=nope").expect(401), b"Unauthorized");
    assert!(post("/key-auth?apikey=k").expect(200).body.len() > body.len() - 100);
    let answer = post("/request-transformer").expect(200);
    assert!(answer.body.len() > body.len() - 100 && !contains(&answer, b"new"));
    assert!(!contains(&post("/request-termination").expect(200), b"raw_body"));
}

#[test]
fn what_becomes_a_header_line_has_no_line_breaks() {
    let stage = Stage::start(&[]);
    let plugin =
        json!({ "name": "request-termination", "config": { "body": "b", "content_type": "a/b\r\nX-Evil: 1" } });
    let refused = json(stage.node.admin(), "POST", "/plugins", &plugin).expect(400).json();
    let why = refused["fields"]["config"]["content_type"].as_str().unwrap_or_default();
    assert!(why.starts_with("bad header value"), "{refused}");
    form(stage.node.admin(), "POST", "/consumers", "username=caf%E9").expect(400);
}

#[test]
fn a_credential_ends_although_it_cannot_be_purged() {
    let stage = Stage::start(&[("key-auth", json!({}))]);
    stage.key("ada", &json!({ "key": "short", "ttl": 3 }));
    let database = rusqlite::Connection::open(stage.node.prefix().join("bascule.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ask = || stage.get("/key-auth?apikey=short").status;
    assert_eq!(ask(), 200);
    eventually("the key ends", || ask() == 401);
    let stored: i64 = database.query_row("SELECT count(*) FROM keyauth_credentials", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 1, "nobody could remove it");
}

#[test]
fn a_flood_of_callers_takes_little_memory() {
    const REQUESTS: usize = 12_000;
    let config = json!({ "year": 1, "limit_by": "header", "header_name": "x-caller", "policy": "local" });
    let stage = Stage::start(&[("rate-limiting", config)]);
    let termination = json!({ "name": "request-termination", "config": { "status_code": 204 } });
    json(stage.node.admin(), "POST", "/routes/rate-limiting/plugins", &termination).expect(201);
    let ask = |connection: &mut Connection, caller: usize| {
        // More than 7 KiB that begin alike, in octets that are no text.
        let line = [b"X-Caller: ", &[0xe9; 7_400][..], format!("{caller}\r\n").as_bytes()].concat();
        connection.send_raw(&message(b"GET /rate-limiting", &line, b"")).unwrap();
        connection.receive(false).unwrap()
    };
    let mut connection = Connection::open(stage.node.proxy()).unwrap();
    for caller in 0..500 {
        ask(&mut connection, caller).expect(204);
    }
    let before = Usage::of(stage.node.pid()).memory;
    for caller in 500..REQUESTS {
        let answer = ask(&mut connection, caller).expect(204);
        if answer.header("Connection") == Some("close") {
            connection = Connection::open(stage.node.proxy()).unwrap();
        }
    }
    let grown = Usage::of(stage.node.pid()).memory.saturating_sub(before);
    assert!(grown < 30 << 10, "{grown} KiB for {REQUESTS} callers who sent 85 MiB");
    let mut connection = Connection::open(stage.node.proxy()).unwrap();
    ask(&mut connection, REQUESTS - 1).expect(429);
    ask(&mut connection, REQUESTS).expect(204);
}
