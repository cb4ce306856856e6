//! Clients of many protocols at once, while the configuration changes ten times a second and the node is reloaded and
//! succeeded: nobody notices, and nothing is left behind.

use crate::client::{Connection, Over, request, whole};
use crate::services::{Grpc, call};
use blackbox::http::{self, form, json};
use blackbox::tls::{Client, Offer};
use blackbox::{Backend, Node, PATIENCE, Usage, bascule, eventually, longer};
use bytes::Bytes;
use http::Connection as Http1;
use quinn::crypto::rustls::QuicClientConfig;
use rustix::process::Signal;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(2);
/// Messages on a WebSocket or a stream before it is closed and another one opened.
const MESSAGES: usize = 50;

/// Clients that go on until they are told to end.
struct Clients {
    stop: Arc<AtomicBool>,
    /// Between what a client does and what it does next.
    pause: Duration,
    running: Vec<(&'static str, Arc<AtomicUsize>, JoinHandle<()>)>,
}

impl Clients {
    /// One more, which does that again and again; each time counts.
    fn add(&mut self, name: &'static str, work: impl FnOnce(&dyn Fn() -> bool) + Send + 'static) {
        let (stop, count) = (Arc::clone(&self.stop), Arc::<AtomicUsize>::default());
        let (counted, pause) = (Arc::clone(&count), self.pause);
        let goes_on = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::park_timeout(pause);
            !stop.load(Ordering::SeqCst)
        };
        self.running.push((name, count, std::thread::spawn(move || work(&goes_on))));
    }

    /// Waits until each of them has had that many more answers.
    fn go_on(&self, more: usize) {
        for (name, count, client) in &self.running {
            let before = count.load(Ordering::SeqCst);
            eventually(name, || client.is_finished() || count.load(Ordering::SeqCst) >= before + more);
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for (name, _, client) in self.running {
            assert!(client.join().is_ok(), "a client of {name} was not answered well");
        }
    }
}

/// A service that sends back what it gets, behind the answer to a handshake where it gets one.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut text = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut text) {
                    // A handshake comes in one piece.
                    let answer = match text[..n].starts_with(b"GET ") {
                        true => {
                            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                            Sec-WebSocket-Accept: x\r\n\r\n"
                        }
                        false => &text[..n],
                    };
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn http1(proxy: SocketAddr, goes_on: &dyn Fn() -> bool) {
    let mut connection = Http1::open(proxy).unwrap();
    while goes_on() {
        connection.send("GET", "/stay", &[], b"").unwrap();
        let answer = connection.receive(false).unwrap().expect(200);
        if answer.header("Connection") == Some("close") {
            connection = Http1::open(proxy).unwrap();
        }
    }
}

/// Requests of HTTP/2, or calls of gRPC. A connection that takes no more of them is opened anew; whatever has been sent
/// is answered.
fn http2(address: SocketAddr, over: Over, grpc: bool, goes_on: &dyn Fn() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = async || match over {
        Over::Plain => Connection::plain(address).await,
        Over::Tls => Connection::secure(address).await,
    };
    runtime.block_on(async {
        let mut connection = open().await;
        while goes_on() {
            let Ok(mut requests) = connection.requests.clone().ready().await else {
                connection = open().await;
                continue;
            };
            let head = if grpc { call("Echo") } else { request("GET", "/stay") };
            let Ok((response, mut content)) = requests.send_request(head, !grpc) else {
                connection = open().await;
                continue;
            };
            if grpc {
                content.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), true).unwrap();
            }
            let got = tokio::time::timeout(PATIENCE, async { whole(response.await.unwrap()).await }).await.unwrap();
            assert_eq!(got.head.status(), 200);
            if grpc {
                assert_eq!(got.content, b"\0\0\0\0\x02hi");
                assert_eq!(got.trailers.unwrap()["grpc-status"], "0");
            }
        }
    });
}

/// Requests of HTTP/3, as above.
fn http3(address: SocketAddr, goes_on: &dyn Fn() -> bool) {
    let offer = Offer { alpn: &["h3"], versions: &[&rustls::version::TLS13], ..Offer::default() };
    let tls = QuicClientConfig::try_from(rustls::ClientConfig::clone(&Client::new(&offer).config())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
        let open = async || {
            let quic = endpoint.connect(address, "a.test").unwrap().await.unwrap();
            let (mut connection, requests) = h3::client::new(h3_quinn::Connection::new(quic)).await.unwrap();
            tokio::spawn(async move { std::future::poll_fn(|cx| connection.poll_close(cx)).await });
            requests
        };
        let mut requests = open().await;
        while goes_on() {
            let head = ::http::Request::get("https://a.test/stay").body(()).unwrap();
            let Ok(mut stream) = requests.send_request(head).await else {
                requests = open().await;
                continue;
            };
            stream.finish().await.unwrap();
            let got = tokio::time::timeout(PATIENCE, stream.recv_response()).await.unwrap().unwrap();
            assert_eq!(got.status(), 200);
            while stream.recv_data().await.unwrap().is_some() {}
        }
    });
}

fn websocket(proxy: SocketAddr, goes_on: &dyn Fn() -> bool) {
    const LINES: [(&str, &str); 4] = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    while goes_on() {
        let mut client = Http1::open(proxy).unwrap();
        client.send("GET", "/chat", &LINES, b"").unwrap();
        client.receive_head().unwrap().expect(101);
        for number in 0..MESSAGES {
            let text = format!("message {number:04}");
            client.send_raw(text.as_bytes()).unwrap();
            assert_eq!(client.take(text.len()).unwrap(), text.as_bytes());
            if !goes_on() {
                return;
            }
        }
    }
}

fn stream(address: SocketAddr, goes_on: &dyn Fn() -> bool) {
    while goes_on() {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        for number in 0..MESSAGES {
            let (text, mut got) = (format!("message {number:04}"), [0; 12]);
            client.write_all(text.as_bytes()).unwrap();
            client.read_exact(&mut got).unwrap();
            assert_eq!(got, text.as_bytes());
            if !goes_on() {
                return;
            }
        }
    }
}

/// Something else each time, with a look at whether it is in force.
fn change(node: &Node, number: usize) {
    let admin = node.admin();
    let name = format!("n{}", number / 4);
    match number % 4 {
        0 => json(admin, "POST", "/upstreams", &json!({ "name": name })).expect(201),
        1 => json(admin, "POST", "/routes/moves/plugins", &json!({ "name": "correlation-id" })).expect(201),
        2 => {
            let plugins = http::get(admin, "/routes/moves/plugins").expect(200).json();
            let id = plugins["data"][0]["id"].as_str().unwrap().to_owned();
            http::request(admin, "DELETE", &format!("/plugins/{id}"), &[], b"").unwrap().expect(204)
        }
        _ => http::request(admin, "DELETE", &format!("/upstreams/{name}"), &[], b"").unwrap().expect(204),
    };
    json(admin, "PATCH", "/routes/moves", &json!({ "paths": [format!("/at/{number}")] })).expect(200);
    http::get(node.proxy(), &format!("/at/{number}")).expect(200);
}

/// A node with services of all kinds, and what they are.
struct Services {
    node: Node,
    _backend: Backend,
    _grpc: Grpc,
}

impl Services {
    fn start() -> Services {
        let (backend, grpc, echo) = (Backend::start("b"), Grpc::start(), echo());
        let node = Node::start(&[
            ("proxy_listen", "127.0.0.1:0 http2, 127.0.0.1:0 ssl http2, 127.0.0.1:0 quic"),
            ("stream_listen", "127.0.0.1:0"),
            ("nginx_worker_processes", "2"),
        ]);
        let add = |service: &str, route: serde_json::Value| {
            form(node.admin(), "POST", "/services", &format!("retries=0&{service}")).expect(201);
            let name = service.split(['=', '&']).nth(1).unwrap();
            json(node.admin(), "POST", &format!("/services/{name}/routes"), &route).expect(201);
        };
        add(&format!("name=stay&url=http://{}", backend.address), json!({ "paths": ["/stay"] }));
        add(&format!("name=grpc&url=grpc://{}", grpc.address), json!({ "protocols": ["grpc"], "paths": ["/t.T/"] }));
        add(&format!("name=chat&url=http://{echo}"), json!({ "paths": ["/chat"] }));
        let port = node.stream(0).port();
        add(&format!("name=tcp&url=tcp://{echo}"), json!({ "protocols": ["tcp"], "destinations": [{ "port": port }] }));
        json(node.admin(), "POST", "/services/stay/routes", &json!({ "name": "moves", "paths": ["/at/0"] }))
            .expect(201);
        Services { node, _backend: backend, _grpc: grpc }
    }

    /// A client of each protocol, with such a pause.
    fn clients(&self, pause: Duration) -> Clients {
        let mut clients = Clients { stop: Arc::default(), pause, running: Vec::new() };
        let (proxy, tls, quic) = (self.node.proxy(), self.node.proxy_tls(), self.node.quic());
        let streams = self.node.stream(0);
        clients.add("HTTP/1.1", move |goes_on| http1(proxy, goes_on));
        clients.add("HTTP/2", move |goes_on| http2(proxy, Over::Plain, false, goes_on));
        clients.add("HTTP/2 over TLS", move |goes_on| http2(tls, Over::Tls, false, goes_on));
        clients.add("HTTP/3", move |goes_on| http3(quic, goes_on));
        clients.add("gRPC", move |goes_on| http2(proxy, Over::Plain, true, goes_on));
        clients.add("WebSocket", move |goes_on| websocket(proxy, goes_on));
        clients.add("streams", move |goes_on| stream(streams, goes_on));
        clients.go_on(10);
        clients
    }

    fn reload(&self) {
        let mut reload = bascule();
        assert!(reload.args(["reload", "--prefix"]).arg(self.node.prefix()).output().unwrap().status.success());
    }
}

/// Makes so many changes, one each 100 ms, with something to do after each.
fn changes(node: &Node, numbers: std::ops::Range<usize>, mut after: impl FnMut()) {
    let mut next = Instant::now();
    for number in numbers {
        change(node, number);
        after();
        next += Duration::from_millis(100);
        std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn nobody_notices_changes_reloads_and_successors() {
    let (rounds, services) = (longer(4), Services::start());
    let (node, clients) = (&services.node, services.clients(PAUSE));
    let process = || std::fs::read_to_string(node.prefix().join("pids/nginx.pid")).unwrap_or_default();
    for round in 0..rounds {
        changes(node, 20 * round + 1..20 * round + 21, || {});
        if round % 2 == 0 {
            services.reload();
        } else {
            let former = process();
            node.signal(Signal::USR2);
            eventually("a successor serves", || !["", &former].contains(&&*process()));
        }
        clients.go_on(10);
    }
    clients.end();
}

/// At length, ten minutes of all that the machine can do, with a change every 100 ms and a reload every ten seconds.
#[test]
fn clients_of_all_protocols_leave_nothing_behind() {
    let is_short = longer(1) == 1;
    let (reloads, number) = (longer(3), if is_short { 12 } else { 100 });
    let services = Services::start();
    let (node, clients) = (&services.node, services.clients(if is_short { PAUSE } else { Duration::ZERO }));
    let mut samples = Vec::new();
    for reload in 0..reloads {
        changes(node, number * reload + 1..number * (reload + 1) + 1, || samples.push(Usage::of(node.pid())));
        services.reload();
        clients.go_on(10);
    }
    clients.end();
    // Clients of WebSocket and streams come and go, and so do their services' connections. Each reload has a new
    // process, which may have met some of the protocols only.
    Usage::assert_flat(&samples, 12 << 10, 16);
}
