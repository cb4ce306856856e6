//! What goes wrong with the targets of an upstream, and what clients may see of it: each test says which answers it
//! allows while that is so, and everybody is answered well before and after.

use blackbox::http::{Connection, form, get, json, request};
use blackbox::{Backend, Node, Service, eventually};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;
use serde_json::json;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A node in front of these targets, which have three seconds for an answer. Who has failed once is asked again when
/// probes find it well.
fn node(targets: &[SocketAddr], settings: &[(&str, &str)]) -> Node {
    let node = Node::start(settings);
    let checks = json!({
        "active": {
            "type": "http", "http_path": "/", "timeout": 3,
            "healthy": { "interval": 0.05, "successes": 1 },
            "unhealthy": { "interval": 0.05, "tcp_failures": 1, "timeouts": 1 }
        },
        "passive": { "unhealthy": { "tcp_failures": 1, "timeouts": 1 } }
    });
    json(node.admin(), "POST", "/upstreams", &json!({ "name": "u", "healthchecks": checks })).expect(201);
    for target in targets {
        form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={target}")).expect(201);
    }
    let service = json!({ "name": "s", "host": "u", "read_timeout": 3000, "retries": 3 });
    json(node.admin(), "POST", "/services", &service).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    node
}

/// Whether the target is so.
fn is(node: &Node, target: SocketAddr, health: &str) -> bool {
    let all = get(node.admin(), "/upstreams/u/health").expect(200).json();
    let target = target.to_string();
    all["data"].as_array().unwrap().iter().any(|found| found["target"] == target && found["health"] == health)
}

/// A client that asks again and again, and fails at an answer with any other status than these.
fn client(proxy: SocketAddr, method: &'static str, allowed: &'static [u16]) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let stop = Arc::<AtomicBool>::default();
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let mut connection = Connection::open(proxy).unwrap();
        while !stopped.load(Ordering::SeqCst) {
            connection.send(method, "/", &[], b"").unwrap();
            let answer = connection.receive(false).unwrap();
            assert!(allowed.contains(&answer.status), "{method}: {} {}", answer.status, answer.text());
            if answer.header("connection") == Some("close") {
                connection = Connection::open(proxy).unwrap();
            }
        }
    });
    (stop, thread)
}

fn end((stop, thread): (Arc<AtomicBool>, JoinHandle<()>)) {
    stop.store(true, Ordering::SeqCst);
    thread.join().expect("no other answer than those that are allowed");
}

/// A target that answers or, while it is gone, resets every connection.
struct Target {
    address: SocketAddr,
    gone: Arc<AtomicBool>,
}

impl Target {
    fn start() -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target { address: listener.local_addr().unwrap(), gone: Arc::default() };
        let gone = Arc::clone(&target.gone);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                if gone.load(Ordering::SeqCst) {
                    let _ = set_socket_linger(stream, Some(Duration::ZERO));
                    continue;
                }
                std::thread::spawn(move || {
                    let mut connection = Connection::over(stream, "");
                    let _ = connection.request_head().and_then(|_| connection.send_raw(ANSWER));
                });
            }
        });
        target
    }
}

/// A whole answer, the last one on its connection.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Allowed: nothing to those who can be asked again elsewhere; 504 to others.
#[test]
fn a_target_freezes_and_thaws() {
    let steady = Backend::start("steady");
    let target = Node::start(&[]);
    form(target.admin(), "POST", "/routes", "name=r&paths[]=/").expect(201);
    form(target.admin(), "POST", "/routes/r/plugins", "name=request-termination&config.status_code=200").expect(201);
    let node = node(&[steady.address, target.proxy()], &[]);
    let clients = [client(node.proxy(), "GET", &[200]), client(node.proxy(), "POST", &[200, 504])];
    for _ in 0..2 {
        target.signal(Signal::STOP);
        eventually("the frozen target is out", || is(&node, target.proxy(), "UNHEALTHY"));
        // From now on nobody waits for it.
        get(node.proxy(), "/").expect(200);
        request(node.proxy(), "POST", "/", &[], b"").unwrap().expect(200);
        target.signal(Signal::CONT);
        eventually("the thawed target is back", || is(&node, target.proxy(), "HEALTHY"));
    }
    clients.into_iter().for_each(end);
}

/// Allowed: nothing, for no target has begun to answer.
#[test]
fn a_target_resets_connections() {
    let (steady, resetting) = (Target::start(), Target::start());
    let node = node(&[steady.address, resetting.address], &[]);
    let clients = [client(node.proxy(), "GET", &[200]), client(node.proxy(), "GET", &[200])];
    for _ in 0..3 {
        resetting.gone.store(true, Ordering::SeqCst);
        eventually("the target is out", || is(&node, resetting.address, "UNHEALTHY"));
        resetting.gone.store(false, Ordering::SeqCst);
        eventually("the target is back", || is(&node, resetting.address, "HEALTHY"));
    }
    clients.into_iter().for_each(end);
}

/// Allowed: nothing; a target that answers late, but in time, has not failed.
#[test]
fn a_slow_target_stays() {
    let (steady, slow) = (Backend::start("steady"), Service::start());
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/upstreams", "name=u&healthchecks.passive.unhealthy.timeouts=1").expect(201);
    for target in [steady.address, slow.address] {
        form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={target}")).expect(201);
    }
    form(node.admin(), "POST", "/services", "name=s&host=u").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    let proxy = node.proxy();
    for _ in 0..3 {
        // Two at a time: one for each.
        let before = steady.requests();
        let asked = [(); 2].map(|()| std::thread::spawn(move || get(proxy, "/").status));
        let (mut connection, _) = slow.asked();
        eventually("the other one is answered", || steady.requests() > before);
        connection.send_raw(ANSWER).unwrap();
        for status in asked.map(|thread| thread.join().unwrap()) {
            assert_eq!(status, 200);
        }
    }
    assert!(is(&node, slow.address, "HEALTHY"));
}

/// Allowed: 502 or 503 as long as there is nobody to ask; nothing as soon as one is back.
#[test]
fn all_targets_go_and_one_comes_back() {
    let targets = [Target::start(), Target::start()];
    let node = node(&[targets[0].address, targets[1].address], &[]);
    get(node.proxy(), "/").expect(200);
    for target in &targets {
        target.gone.store(true, Ordering::SeqCst);
        eventually("it is out", || is(&node, target.address, "UNHEALTHY"));
    }
    for _ in 0..5 {
        let status = get(node.proxy(), "/").status;
        assert!([502, 503].contains(&status), "{status}");
    }
    targets[1].gone.store(false, Ordering::SeqCst);
    eventually("one is back", || is(&node, targets[1].address, "HEALTHY"));
    for _ in 0..5 {
        get(node.proxy(), "/").expect(200);
    }
}

/// Allowed: nothing. Addresses that are known go on when nobody can be asked for them.
#[test]
fn name_servers_go() {
    let backend = Backend::start("b");
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (stopped, told) = (Arc::clone(&stop), Arc::clone(&asked));
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = server.recv_from(&mut question) {
            // It stays silent, as a server that has gone.
            if stopped.load(Ordering::SeqCst) {
                told.store(true, Ordering::SeqCst);
            } else {
                let _ = server.send_to(&answer(&question[..length]), from);
            }
        }
    });
    let settings = [("dns_resolver", &*address.to_string()), ("dns_order", "A"), ("dns_stale_ttl", "60")];
    let node = Node::start(&settings);
    let url = format!("http://service.test:{}", backend.address.port());
    form(node.admin(), "POST", "/services", &format!("name=s&url={url}")).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    get(node.proxy(), "/").expect(200);
    stop.store(true, Ordering::SeqCst);
    let client = client(node.proxy(), "GET", &[200]);
    eventually("the node asks in vain", || asked.load(Ordering::SeqCst));
    let before = backend.requests();
    eventually("it goes on", || backend.requests() > before + 20);
    end(client);
}

/// An answer to a question: 127.0.0.1, for a second.
fn answer(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    // A response, with one answer and nothing else.
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
    // Behind the name, its type and class stands what might come in addition (EDNS), which is left out.
    let name = answer[12..].iter().position(|&octet| octet == 0).map_or(answer.len(), |at| 12 + at + 1);
    answer.truncate(name + 4);
    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    answer
}

#[test]
fn what_the_last_try_came_to_is_told() {
    let (refusing, silent) = (TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(), Service::start());
    let node = Node::start(&[("headers", "server_tokens,x-kong-upstream-status")]);
    for (path, address) in [("/refuses", refusing), ("/silent", silent.address)] {
        let service =
            json!({ "name": &path[1..], "url": format!("http://{address}"), "read_timeout": 50, "retries": 0 });
        json(node.admin(), "POST", "/services", &service).expect(201);
        form(node.admin(), "POST", &format!("/services{path}/routes"), &format!("paths[]={path}")).expect(201);
    }
    for (path, status) in [("/refuses", 502), ("/silent", 504)] {
        let answer = get(node.proxy(), path).expect(status);
        assert_eq!(answer.header("X-Kong-Upstream-Status"), Some(&*status.to_string()));
    }
    assert_eq!(get(node.proxy(), "/none").expect(404).header("X-Kong-Upstream-Status"), None);
}
