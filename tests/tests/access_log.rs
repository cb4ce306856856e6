//! What is noted about requests, and where.

use blackbox::http::{Connection, form, get, request};
use blackbox::{Backend, Node, Scripted, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::TcpStream;

fn lines(node: &Node, name: &str) -> Vec<String> {
    std::fs::read_to_string(node.prefix().join("logs").join(name))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The lines of a log once there are that many.
fn wait(node: &Node, name: &str, count: usize) -> Vec<String> {
    eventually(&format!("{count} lines in {name}"), || lines(node, name).len() >= count);
    lines(node, name)
}

/// What is before and after the time.
fn around_time(line: &str) -> (&str, &str) {
    let (before, rest) = line.split_once(" [").expect("a time");
    (before, rest.split_once("] ").expect("the time's end").1)
}

#[test]
fn kongs_lines() {
    let backend = Backend::start("b");
    let mut node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/a").expect(201);
    let headers =
        [("Referer", "http://x/\\\"é"), ("User-Agent", "test/1"), ("Authorization", "Basic YWRhOnNlY3JldA==")];
    let answer = request(node.proxy(), "GET", "/a/b?c=%22\"", &headers, b"").unwrap().expect(200);
    let id = answer.header("X-Kong-Request-Id").unwrap().to_owned();
    let missing = get(node.proxy(), "/none").expect(404);
    let mut malformed = TcpStream::connect(node.proxy()).unwrap();
    malformed.write_all(b"GET /x HTTP/1.1\r\nHost : h\r\n\r\n").unwrap();
    malformed.read_to_end(&mut Vec::new()).unwrap();

    let noted = wait(&node, "access.log", 3);
    // Workers hand their lines over each on its own.
    let line = |target: &str| noted.iter().find(|line| line.contains(&format!("\"GET {target}"))).expect("a line");
    let request_line = "\"GET /a/b?c=%22\\x22 HTTP/1.1\"";
    let expected = format!(
        "{request_line} 200 {} \"http://x/\\x5C\\x22\\xC3\\xA9\" \"test/1\" kong_request_id: \"{id}\"",
        answer.body.len()
    );
    let (before, after) = around_time(line("/a/b"));
    assert_eq!(before, "127.0.0.1 - ada");
    assert_eq!(after, expected);
    let expected = format!("\"GET /none HTTP/1.1\" 404 {} \"-\" \"-\" kong_request_id: \"", missing.body.len());
    assert!(around_time(line("/none")).1.starts_with(&expected), "{noted:?}");
    assert!(around_time(line("/x")).1.starts_with("\"GET /x HTTP/1.1\" 400 "), "{noted:?}");
    let administered = wait(&node, "admin_access.log", 2);
    assert!(around_time(&administered[0]).1.starts_with("\"POST /services HTTP/1.1\" 201 "), "{}", administered[0]);
    assert!(!noted.concat().contains("secret") && !node.prefix().join("logs/status_access.log").exists());

    // What was answered is noted, even when the node ends at once.
    get(node.proxy(), "/last").expect(404);
    assert!(node.end(Signal::TERM));
    assert!(lines(&node, "access.log").iter().any(|line| line.contains("GET /last ")));
}

#[test]
fn files_are_rotated() {
    let node = Node::start(&[]);
    get(node.proxy(), "/one").expect(404);
    wait(&node, "access.log", 1);
    let logs = node.prefix().join("logs");
    std::fs::rename(logs.join("access.log"), logs.join("access.log.1")).unwrap();
    kill_process(Pid::from_raw(i32::try_from(node.pid()).unwrap()).unwrap(), Signal::USR1).unwrap();
    eventually("a new file", || logs.join("access.log").exists());
    get(node.proxy(), "/two").expect(404);
    assert!(wait(&node, "access.log", 1)[0].contains("GET /two "));
    assert_eq!(lines(&node, "access.log.1").len(), 1);
}

#[test]
fn own_formats() {
    let backend = Backend::start("b");
    let format = concat!(
        r#"own escape=json '{"to":"$host","from":"$http_x_forwarded_for","status":$status,"#,
        r#""up":"$upstream_status","at":"$upstream_addr",' "#,
        r#"'"n":$connection_requests,"size":$request_length,"?":"$no_such"}'"#,
    );
    let settings = [
        ("nginx_http_log_format", format),
        ("proxy_access_log", "logs/own.log own"),
        ("admin_access_log", "off"),
        ("status_access_log", "logs/status.log basic"),
    ];
    let node = Node::start(&settings);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/a").expect(201);
    let mut connection = Connection::open(node.proxy()).unwrap();
    for _ in 0..2 {
        connection
            .send("POST", "/a", &[("X-Forwarded-For", "192.0.2.7"), ("Content-Type", "text/plain")], b"12345")
            .unwrap();
        connection.receive(false).unwrap().expect(200);
    }
    get(node.status(), "/status").expect(200);
    let noted = wait(&node, "own.log", 2);
    let line: serde_json::Value = serde_json::from_str(&noted[1]).unwrap();
    assert_eq!(line["to"].as_str(), Some("127.0.0.1"));
    assert_eq!(line["from"].as_str(), Some("192.0.2.7"));
    assert_eq!(line["status"].as_u64(), Some(200));
    assert_eq!(line["up"].as_str(), Some("200"));
    assert_eq!(line["n"].as_u64(), Some(2));
    assert_eq!(line["at"].as_str(), Some(backend.address.to_string().as_str()));
    assert_eq!(line["?"].as_str(), Some("-"));
    assert!(line["size"].as_u64().unwrap() > 60, "{line}");
    assert!(wait(&node, "status.log", 1)[0].starts_with("127.0.0.1 ["));
    assert!(!node.prefix().join("logs/admin_access.log").exists());
    node.says("the variable '$no_such' of 'own' is not known here");
}

#[test]
fn lines_go_to_a_syslog_server() {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(blackbox::PATIENCE)).unwrap();
    let log = format!("syslog:server={},tag=gate combined", server.local_addr().unwrap());
    let node = Node::start(&[("proxy_access_log", &log)]);
    get(node.proxy(), "/nowhere").expect(404);
    let mut message = [0; 1000];
    let length = server.recv(&mut message).unwrap();
    let message = String::from_utf8_lossy(&message[..length]).into_owned();
    assert!(message.starts_with("<190>"), "{message}");
    assert!(message.contains(" gate: 127.0.0.1 - - ["), "{message}");
    assert!(message.contains("\"GET /nowhere HTTP/1.1\" 404"), "{message}");
}

#[test]
fn lines_go_to_an_otlp_server() {
    let collector = Scripted::answering("application/x-protobuf", b"");
    let log = format!("otlp:http://{}/v1/logs own", collector.address);
    let format = r#"own escape=json '{"to":"$request_uri","status":$status}'"#;
    let node = Node::start(&[("proxy_access_log", &log), ("nginx_http_log_format", format)]);
    get(node.proxy(), "/one").expect(404);
    let content = || {
        let batches = collector.requests();
        batches.iter().map(|batch| String::from_utf8_lossy(&batch.body).into_owned()).collect::<String>()
    };
    eventually("the first line", || content().contains(r#"{"to":"/one","status":404}"#));
    let batch = collector.last();
    assert_eq!(batch.header("Content-Type"), Some("application/x-protobuf"));
    assert!(content().contains("service.instance.id"));
}

#[test]
fn an_otlp_server_that_is_away_keeps_nobody_waiting() {
    let mut node = Node::start(&[("proxy_access_log", "otlp:http://127.0.0.1:1/v1/logs")]);
    for _ in 0..20 {
        get(node.proxy(), "/nowhere").expect(404);
    }
    eventually("a word about it", || node.log().contains("the access log over OTLP"));
    assert!(node.end(Signal::TERM));
    let refused = Node::try_start(&[("proxy_access_log".to_owned(), "otlp:collector:4317".to_owned())]);
    let said = refused.err().expect("no URL");
    assert!(said.contains("proxy_access_log: "), "{said}");
}
