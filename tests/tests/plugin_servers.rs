//! Plugins of servers of their own, in both of Kong's protocols.

use blackbox::http::{Connection, Response, get, json, request};
use blackbox::tls::{Client, Offer};
use blackbox::{Backend, Node, Scripted, Service, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const SERVER: &str = env!("CARGO_BIN_EXE_plugin_server");
const PROTOCOLS: [&str; 2] = ["msgpack", "protobuf"];

/// A node with a server and its plugin on a route to that service.
struct Probed {
    node: Node,
    socket: String,
    _folder: tempfile::TempDir,
}

impl Probed {
    fn start(protocol: &str, service: SocketAddr, more: &[(&str, &str)]) -> Probed {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("probe.sock").display().to_string();
        let plugin = format!("{protocol}-probe");
        let mut settings = vec![
            ("plugins".to_owned(), format!("bundled, {plugin}, {protocol}-stream, {protocol}-handshake")),
            ("pluginserver_names".to_owned(), "probe".to_owned()),
            ("pluginserver_probe_query_cmd".to_owned(), format!("{SERVER} {protocol} dump")),
            ("pluginserver_probe_start_cmd".to_owned(), format!("{SERVER} {protocol} {socket}")),
            ("pluginserver_probe_socket".to_owned(), socket.clone()),
            ("nginx_main_worker_processes".to_owned(), "1".to_owned()),
            ("log_level".to_owned(), "info".to_owned()),
        ];
        settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let node = Node::try_start(&settings).unwrap();
        let admin = node.admin();
        json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{service}") })).expect(201);
        json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
        json(admin, "POST", "/plugins", &json!({ "name": plugin })).expect(201);
        let probed = Probed { node, socket, _folder: folder };
        eventually("the server serves", || probed.ask("nothing").status != 500);
        probed
    }

    /// Waits for something in the node's log.
    fn says(&self, what: &str) {
        eventually(what, || self.node.log().contains(what));
    }

    /// A request that tells the plugin what to do.
    fn ask(&self, what: &str) -> Response {
        request(self.node.proxy(), "GET", "/", &[("X-Do", what)], b"").unwrap()
    }

    /// What the server has been told, by all of its processes.
    fn told(&self) -> Vec<String> {
        let log = std::fs::read_to_string(format!("{}.log", self.socket)).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Lets go on what waits in the server.
    fn go_on(&self) {
        std::fs::write(format!("{}.go", self.socket), b"").unwrap();
    }

    /// The process of the server that was started last.
    fn process(&self) -> i32 {
        let mut process = None;
        eventually("the start is logged", || {
            let log = self.node.log();
            let line = log.lines().rev().find(|line| line.contains("plugin server started"));
            let pid = line.and_then(|line| line.split_once("pid: ")).map(|(_, pid)| pid);
            process = pid.and_then(|pid| pid.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
            process.is_some()
        });
        process.unwrap()
    }
}

fn head_of(echoed: &Value) -> Vec<String> {
    echoed["head"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_ascii_lowercase()).collect()
}

#[test]
fn a_plugin_is_a_plugin_like_any_other() {
    let backend = Backend::start("a");
    for protocol in PROTOCOLS {
        let probed = Probed::start(protocol, backend.address, &[]);
        let admin = probed.node.admin();
        let plugin = format!("{protocol}-probe");
        let root = get(admin, "/").expect(200).json();
        let available = &root["plugins"]["available_on_server"][&plugin];
        assert_eq!(*available, json!({ "version": "1.2.3", "priority": 7 }));
        let schema = get(admin, &format!("/schemas/plugins/{plugin}")).expect(200).json();
        let fields = schema["fields"].as_array().unwrap();
        let config = fields.iter().find_map(|field| field.get("config")).unwrap();
        assert_eq!(config["fields"][0]["greeting"]["default"], "hello");
        let wrong = json!({ "name": plugin, "config": { "greeting": "x" } });
        let wrong = json(admin, "POST", "/plugins", &wrong).expect(400).json();
        assert_eq!(wrong["fields"]["config"]["greeting"], "length must be at least 2");
    }
}

#[test]
fn a_plugin_acts_in_its_phases() {
    let backend = Backend::start("a");
    for protocol in PROTOCOLS {
        let probed = Probed::start(protocol, backend.address, &[]);
        let proxy = probed.node.proxy();
        let answer = request(proxy, "POST", "/a?b", &[("Host", "me.test")], b"twelve chars").unwrap().expect(200);
        assert!(head_of(&answer.json()).contains(&"x-greeting: hello me.test".to_owned()), "{protocol}");
        assert_eq!(answer.header("X-Content"), Some("12"));
        assert_eq!(answer.header("X-Seen").unwrap(), format!("200 {}", answer.body.len()));
        eventually("the plugin is told of the end", || {
            probed.told().iter().any(|line| line.starts_with("log 200 \"/a?b\" ") && line.contains("kept"))
        });
        let exit = probed.ask("exit").expect(418);
        assert_eq!(exit.text(), "tea");
        assert_eq!(exit.header("X-Pot"), Some("round"));
        probed.ask("nothing").expect(200);
    }
}

#[test]
fn a_plugin_answers_in_place_of_a_service() {
    let service = Scripted::start("HTTP/1.1 200 OK\r\nX-Do: exit\r\nContent-Length: 4\r\n\r\nfine");
    for protocol in PROTOCOLS {
        let probed = Probed::start(protocol, service.address, &[]);
        let exit = get(probed.node.proxy(), "/").expect(418);
        assert_eq!(exit.text(), "tea");
    }
}

#[test]
fn a_changed_configuration_is_another_instance() {
    let backend = Backend::start("a");
    for protocol in PROTOCOLS {
        let probed = Probed::start(protocol, backend.address, &[]);
        let admin = probed.node.admin();
        let plugins = get(admin, "/plugins").expect(200).json();
        let path = format!("/plugins/{}", plugins["data"][0]["id"].as_str().unwrap());
        json(admin, "PATCH", &path, &json!({ "config": { "greeting": "howdy" } })).expect(200);
        let answer = request(probed.node.proxy(), "GET", "/", &[("Host", "me.test")], b"").unwrap().expect(200);
        assert!(head_of(&answer.json()).contains(&"x-greeting: howdy me.test".to_owned()), "{protocol}");
        eventually("the former instance is ended", || probed.told().contains(&"close true".to_owned()));
        assert_eq!(probed.told().iter().filter(|line| line.starts_with("start")).count(), 2);
    }
}

#[test]
fn what_goes_wrong_is_a_failure_of_that_request_only() {
    let backend = Backend::start("a");
    for protocol in PROTOCOLS {
        let probed = Probed::start(protocol, backend.address, &[("pluginserver_probe_timeout", "3000")]);
        for what in ["fail", "unknown", "garbage", "hang", "die"] {
            probed.ask(what).expect(500);
            eventually("others are served", || probed.ask("nothing").status == 200);
        }
        probed.says("code must be a number between 100 and 599");
        probed.says("it has not come to an end within 3000 ms");
        probed.says("plugin server ended: exit status: 3");
        probed.says(&format!("serving {protocol}"));
    }
}

#[test]
fn a_plugin_is_told_of_clients_that_connect() {
    let backend = Backend::start("a");
    for protocol in PROTOCOLS {
        let probed = Probed::start(protocol, backend.address, &[]);
        let admin = probed.node.admin();
        let plugin = format!("{protocol}-handshake");
        let id = json(admin, "POST", "/plugins", &json!({ "name": plugin })).expect(201).json()["id"].clone();
        let visit = || Client::new(&Offer::default()).get(probed.node.proxy_tls(), Some("me.test"), "/");
        visit().unwrap().response.expect(200);
        assert!(probed.told().contains(&"certificate 127.0.0.1 me.test".to_owned()), "{protocol}");
        let path = format!("/plugins/{}", id.as_str().unwrap());
        json(admin, "PATCH", &path, &json!({ "config": { "greeting": "refuse" } })).expect(200);
        let refused = visit().err().map(|error| error.to_string());
        assert!(refused.as_deref().is_some_and(|why| why.contains("AccessDenied")), "{protocol}: {refused:?}");
        probed.says("function cannot be called in certificate phase");
    }
}

#[test]
fn a_server_that_was_killed_is_started_again() {
    let backend = Backend::start("a");
    for protocol in PROTOCOLS {
        let probed = Probed::start(protocol, backend.address, &[]);
        let first = probed.process();
        kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
        eventually("another one serves", || probed.process() != first && probed.ask("nothing").status == 200);
        // The instance is that of the new process.
        assert_eq!(probed.told().iter().filter(|line| *line == "start hello").count(), 2);
    }
}

#[test]
fn events_about_exchanges_come_to_their_end_before_the_node() {
    let backend = Backend::start("a");
    for protocol in PROTOCOLS {
        let mut probed = Probed::start(protocol, backend.address, &[]);
        get(probed.node.proxy(), "/late").expect(200);
        eventually("the plugin is told of the end", || probed.told().contains(&"late".to_owned()));
        probed.node.signal(Signal::QUIT);
        probed.says("stopping, requests under way have up to");
        probed.go_on();
        assert!(probed.node.ends_within(Duration::from_secs(60)));
        assert!(probed.told().iter().any(|line| line.starts_with("log 200 \"/late\"")), "{protocol}");
    }
}

#[test]
fn a_successor_has_servers_of_its_own() {
    let backend = Backend::start("a");
    for protocol in PROTOCOLS {
        let probed = Probed::start(protocol, backend.address, &[]);
        let first = probed.process();
        let proxy = probed.node.proxy();
        let waits = std::thread::spawn(move || request(proxy, "GET", "/", &[("X-Do", "wait")], b"").unwrap());
        eventually("the plugin waits", || probed.told().contains(&"waiting".to_owned()));
        probed.node.signal(Signal::USR2);
        eventually("another server is started", || probed.process() != first);
        eventually("the successor's server is asked", || {
            probed.ask("nothing").expect(200);
            probed.told().iter().filter(|line| *line == "start hello").count() > 1
        });
        probed.go_on();
        waits.join().unwrap().expect(200);
        eventually("the first process has ended", || {
            rustix::process::test_kill_process(Pid::from_raw(first).unwrap()) == Err(rustix::io::Errno::SRCH)
        });
        probed.ask("nothing").expect(200);
    }
}

#[test]
fn streams_go_where_a_plugin_says() {
    let service = Scripted::start("a line from afar\n");
    for protocol in PROTOCOLS {
        let more = [("stream_listen", "127.0.0.1:0"), ("pluginserver_probe_timeout", "3000")];
        let probed = Probed::start(protocol, service.address, &more);
        let (admin, plugin) = (probed.node.admin(), format!("{protocol}-stream"));
        let stream = probed.node.stream(0);
        json(admin, "POST", "/services", &json!({ "name": "t", "url": "tcp://127.0.0.1:1" })).expect(201);
        let route = json!({ "name": "t", "protocols": ["tcp"], "destinations": [{ "port": stream.port() }] });
        json(admin, "POST", "/services/t/routes", &route).expect(201);
        let config = |greeting: &str| json!({ "name": plugin, "config": { "greeting": greeting } });
        let created = json(admin, "POST", "/routes/t/plugins", &config(&service.address.port().to_string()));
        let path = format!("/plugins/{}", created.expect(201).json()["id"].as_str().unwrap());
        assert_eq!(said_by(stream), "a line from afar\n", "{protocol}");
        assert!(probed.told().contains(&"preread 127.0.0.1".to_owned()), "{protocol}");
        for what in ["unknown", "garbage", "hang", "die"] {
            json(admin, "PATCH", &path, &config(what)).expect(200);
            assert_eq!(said_by(stream), "", "{protocol}: {what}");
        }
        json(admin, "PATCH", &path, &config(&service.address.port().to_string())).expect(200);
        eventually("others are served", || said_by(stream) == "a line from afar\n");
    }
}

/// The line that comes to a client that says something.
fn said_by(stream: SocketAddr) -> String {
    let mut client = TcpStream::connect(stream).unwrap();
    let mut said = String::new();
    // A connection that is reset has said nothing.
    let asked = client.write_all(b"GET / HTTP/1.0\r\n\r\n");
    let _ = asked.and_then(|()| BufReader::new(&client).read_line(&mut said));
    said
}

#[test]
fn servers_end_with_the_node() {
    let backend = Backend::start("a");
    let mut probed = Probed::start("msgpack", backend.address, &[]);
    let process = Pid::from_raw(probed.process()).unwrap();
    assert!(probed.node.end(Signal::TERM));
    eventually("its process is gone", || rustix::process::test_kill_process(process) == Err(rustix::io::Errno::SRCH));
}

#[test]
fn a_server_that_says_nothing_of_its_plugins_stops_the_start() {
    let mut node = Node::start(&[]);
    node.end(Signal::TERM);
    node.set("plugins", "bundled,probe");
    node.set("pluginserver_names", "probe");
    let said = node.refusal();
    assert!(said.contains("query_command undefined for pluginserver probe"), "{said}");
    node.set("pluginserver_probe_query_cmd", "echo no plugin today");
    let said = node.refusal();
    assert!(said.contains("plugin server probe: 'echo no plugin today': what it writes is not JSON"), "{said}");
}

#[test]
fn content_is_read_when_a_plugin_asks() {
    for protocol in PROTOCOLS {
        let (backend, service) = (Backend::start("a"), Service::start());
        let probed = Probed::start(protocol, backend.address, &[]);
        let url = json!({ "url": format!("http://{}", service.address) });
        json(probed.node.admin(), "PATCH", "/services/s", &url).expect(200);
        let route = get(probed.node.admin(), "/services/s/routes").expect(200).json()["data"][0]["id"].clone();
        let path = format!("/routes/{}", route.as_str().unwrap());
        json(probed.node.admin(), "PATCH", &path, &json!({ "request_buffering": false })).expect(200);
        for (what, comes_first) in [("look away", true), ("look", false)] {
            let mut client = Connection::open(probed.node.proxy()).unwrap();
            let head = format!("POST / HTTP/1.1\r\nHost: a.test\r\nX-Do: {what}\r\nContent-Length: 4\r\n\r\n");
            client.send_raw(head.as_bytes()).unwrap();
            let mut upstream = None;
            if comes_first {
                upstream = Some(service.accept());
            }
            client.send_raw(b"late").unwrap();
            let mut upstream = upstream.unwrap_or_else(|| service.accept());
            assert_eq!(upstream.request().unwrap().body, b"late");
            upstream.answer("").unwrap();
            let length = if comes_first { "0" } else { "4" };
            assert_eq!(client.receive(false).unwrap().expect(200).header("X-Content"), Some(length), "{protocol}");
        }
    }
}
