//! Another process takes the place of a node while clients go on: none of them notices.

use blackbox::http::{Connection, form, get, json, request};
use blackbox::socket::Wire;
use blackbox::tls::{Client, Offer};
use blackbox::{Backend, Node, bascule, eventually};
use rustix::process::Signal;
use serde_json::json;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// A client that asks again and again until it is told to stop; each of its requests must be answered well.
struct Asking {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Asking {
    /// `ask` makes requests until one of them ends what it has open.
    fn start(mut ask: impl FnMut(&mut dyn FnMut() -> bool) + Send + 'static) -> Asking {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                ask(&mut || {
                    counted.fetch_add(1, Ordering::SeqCst);
                    !stopped.load(Ordering::SeqCst)
                });
            }
        });
        Asking { stop, answered, thread }
    }

    /// Waits until that many more of its requests have been answered.
    fn goes_on(&self, more: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        eventually("more answers", || {
            self.thread.is_finished() || self.answered.load(Ordering::SeqCst) >= before + more
        });
        assert!(!self.thread.is_finished(), "a request was not answered well");
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("every request was answered well");
    }
}

/// Asks on a connection until the answer says that it is the last.
fn keeps_asking(mut connection: Connection<Wire>, go_on: &mut dyn FnMut() -> bool) {
    loop {
        connection.send("POST", "/", &[], b"content").unwrap();
        let answer = connection.receive(false).unwrap().expect(200);
        if !go_on() || answer.header("connection") == Some("close") {
            return;
        }
    }
}

/// Asks on a connection of HTTP/2 until the server says that it takes no more.
fn asks_over_http2(proxy: SocketAddr, go_on: &mut dyn FnMut() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(proxy).await.unwrap();
        let (mut requests, connection) = h2::client::handshake(socket).await.unwrap();
        let connection = tokio::spawn(connection);
        while let Ok(ready) = requests.clone().ready().await {
            requests = ready;
            let head = http::Request::get("http://a.test/").body(()).unwrap();
            let Ok((response, _)) = requests.send_request(head, true) else { break };
            let response = match response.await {
                Ok(response) => response,
                // By this the server says that it has not begun with it.
                Err(error) if error.is_go_away() && error.is_remote() => break,
                Err(error) => panic!("{error}"),
            };
            assert_eq!(response.status(), 200);
            if !go_on() {
                break;
            }
        }
        connection.abort();
    });
}

/// Sends octets back as they come.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut answers = stream.try_clone().unwrap();
                let _ = io::copy(&mut stream, &mut answers);
            });
        }
    });
    address
}

fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"there and back").unwrap();
    let mut back = [0; 14];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"there and back");
}

/// A node in front of a service, whose streams go to that address.
fn node(backend: &Backend, streams: SocketAddr, settings: &[(&str, &str)]) -> Node {
    let listen = [("proxy_listen", "127.0.0.1:0 http2, 127.0.0.1:0 ssl"), ("stream_listen", "127.0.0.1:0")];
    let node = Node::start(&[&listen, settings].concat());
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    form(node.admin(), "POST", "/services", &format!("name=t&url=tcp://{streams}")).expect(201);
    let route = json!({ "protocols": ["tcp"], "destinations": [{ "port": node.stream(0).port() }] });
    json(node.admin(), "POST", "/services/t/routes", &route).expect(201);
    node
}

/// The process that is the node of a directory.
fn pid(prefix: &Path) -> String {
    std::fs::read_to_string(prefix.join("pids/nginx.pid")).unwrap_or_default()
}

/// Waits until another process than that one is the node.
fn is_succeeded(node: &Node, former: &str) -> String {
    eventually("a successor serves", || !["", former].contains(&&*pid(node.prefix())));
    pid(node.prefix())
}

fn reload(node: &Node, variables: &[(&str, &str)]) -> Output {
    let mut command = bascule();
    command.args(["reload", "--prefix"]).arg(node.prefix());
    command.envs(variables.iter().copied()).output().unwrap()
}

fn is_attendant(node: &Node) -> bool {
    let waits = "waiting for the node that has taken over";
    node.log().lines().any(|line| line.contains(waits) && line.contains(&format!(" {}#", node.pid())))
}

#[test]
fn no_client_notices() {
    let backend = Backend::start("b");
    let mut node = node(&backend, echo(), &[]);
    let (proxy, tls, streams) = (node.proxy(), node.proxy_tls(), node.stream(0));
    let secure = move || Client::new(&Offer::default()).connect(tls).unwrap();
    let clients = [
        Asking::start(move |go_on| keeps_asking(Connection::plain(proxy).unwrap(), go_on)),
        Asking::start(move |go_on| keeps_asking(secure(), go_on)),
        Asking::start(move |go_on| asks_over_http2(proxy, go_on)),
        // New connections, one after the other.
        Asking::start(move |go_on| {
            request(proxy, "GET", "/", &[("Connection", "close")], b"").unwrap().expect(200);
            go_on();
        }),
        Asking::start(move |go_on| {
            echoes(&mut TcpStream::connect(streams).unwrap());
            go_on();
        }),
    ];
    let mut stream = TcpStream::connect(streams).unwrap();
    echoes(&mut stream);
    let mut idle = Connection::plain(proxy).unwrap();
    idle.send("GET", "/", &[], b"").unwrap();
    idle.receive(false).unwrap().expect(200);
    let mut process = pid(node.prefix());
    for _ in 0..3 {
        clients.iter().for_each(|client| client.goes_on(20));
        node.signal(Signal::USR2);
        process = is_succeeded(&node, &process);
        echoes(&mut stream);
    }
    clients.iter().for_each(|client| client.goes_on(20));
    clients.into_iter().for_each(Asking::end);
    // What was idle all the time has one more request.
    idle.send("GET", "/", &[], b"").unwrap();
    assert_eq!(idle.receive(false).unwrap().expect(200).header("connection"), Some("close"));
    assert!(!is_attendant(&node), "it has a stream left");
    drop(stream);
    let first = node.pid();
    eventually("nothing is left of the first process", || is_attendant(&node));
    assert_ne!(process.trim(), first.to_string());
    assert!(node.end(Signal::TERM), "signals reach the node through it");
    assert!(TcpStream::connect(proxy).is_err());
}

#[test]
fn a_reload_takes_settings_that_no_running_process_can_take() {
    let backend = Backend::start("b");
    let node = node(&backend, echo(), &[]);
    let before = pid(node.prefix());
    let variables = [("KONG_MEM_CACHE_SIZE", "1m"), ("KONG_NGINX_WORKER_PROCESSES", "1")];
    let output = reload(&node, &variables);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Bascule reloaded\n");
    assert_ne!(pid(node.prefix()), before);
    assert_eq!(get(node.admin(), "/").json()["configuration"]["mem_cache_size"], "1m");
    // The only worker has the sockets of two.
    for _ in 0..20 {
        get(node.proxy(), "/").expect(200);
    }
    assert_eq!(String::from_utf8_lossy(&reload(&node, &[]).stdout), "Bascule reloaded\n");
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/more&name=more").expect(201);
    let stop = bascule().args(["stop", "--prefix"]).arg(node.prefix()).output().unwrap();
    assert!(stop.status.success(), "{stop:?}");
}

#[test]
fn a_reload_reads_what_has_changed() {
    let backend = Backend::start("b");
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let folder = at("kong/plugins/version");
    std::fs::create_dir_all(&folder).unwrap();
    let schema = "return { name = 'version', fields = { { config = { type = 'record', fields = {} } } } }";
    std::fs::write(folder.join("schema.lua"), schema).unwrap();
    let write = |version: &str| {
        let says = format!("function p:header_filter() kong.response.set_header('X-Version', '{version}') end");
        let code = format!("local p = {{ PRIORITY = 1, VERSION = '1.0' }} {says} return p");
        std::fs::write(folder.join("handler.lua"), code).unwrap();
        std::fs::write(at("error.json"), format!(r#"{{"version": "{version}", "said": "%s"}}"#)).unwrap();
    };
    write("1");
    let (path, template) = (format!("{}/?.lua;;", directory.path().display()), at("error.json"));
    let settings = [("plugins", "bundled, version"), ("lua_package_path", &*path)];
    let settings = [&settings[..], &[("error_template_json", template.to_str().unwrap())]].concat();
    let node = node(&backend, echo(), &settings);
    json(node.admin(), "POST", "/plugins", &json!({ "name": "version" })).expect(201);
    let says = |version: &str| {
        assert_eq!(get(node.proxy(), "/").expect(200).header("X-Version"), Some(version));
        let wrong = request(node.proxy(), "TRACE", "/", &[("Accept", "application/json")], b"").unwrap();
        assert_eq!(wrong.expect(405).json()["version"], version);
    };
    says("1");
    write("2");
    assert_eq!(String::from_utf8_lossy(&reload(&node, &[]).stdout), "Bascule reloaded\n");
    says("2");
}

#[test]
fn a_node_whose_successor_fails_goes_on() {
    let backend = Backend::start("b");
    let node = node(&backend, echo(), &[]);
    let mut client = Connection::open(node.proxy()).unwrap();
    let mut asks = || {
        client.send("GET", "/", &[], b"").unwrap();
        client.receive(false).unwrap().expect(200)
    };
    asks();
    let before = pid(node.prefix());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = reload(&node, &[("KONG_STATUS_LISTEN", &address)]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the node refuses the new settings and goes on with the old ones"), "{said}");
    assert!(said.contains(&format!("status_listen: cannot listen on {address}")), "{said}");
    assert_eq!(pid(node.prefix()), before);
    assert_eq!(asks().header("connection"), Some("keep-alive"));
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/more").expect(201);
}

#[test]
fn what_the_first_process_serves_outlives_the_second() {
    let backend = Backend::start("a");
    let node = node(&backend, echo(), &[]);
    let mut stream = TcpStream::connect(node.stream(0)).unwrap();
    echoes(&mut stream);
    let first = pid(node.prefix());
    assert!(reload(&node, &[("KONG_UPSTREAM_KEEPALIVE_POOL_SIZE", "11")]).status.success());
    let second = is_succeeded(&node, &first);
    assert!(reload(&node, &[("KONG_UPSTREAM_KEEPALIVE_POOL_SIZE", "12")]).status.success());
    is_succeeded(&node, &second);
    // It has nothing to finish.
    let of_second = format!(" {}#", second.trim());
    let has_ended = |line: &str| line.contains(&of_second) && line.ends_with(" stopped");
    eventually("the second process has ended", || node.log().lines().any(has_ended));
    echoes(&mut stream);
    // So long a process has that was told to end.
    let cut = std::time::Instant::now() + std::time::Duration::from_secs(6);
    while std::time::Instant::now() < cut {
        std::thread::sleep(std::time::Duration::from_millis(200));
        echoes(&mut stream);
    }
    assert!(!node.log().contains("requests under way are cut off"), "{}", node.log());
}

#[test]
fn a_node_in_the_background_is_succeeded_too() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = bascule();
        command.args(arguments).arg("--prefix").arg(directory.path());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let listen = ["KONG_PROXY_LISTEN", "KONG_ADMIN_LISTEN", "KONG_STATUS_LISTEN"].map(|key| (key, "127.0.0.1:0"));
    run(&["start"], &[&listen[..], &[("KONG_ADMIN_GUI_LISTEN", "off")]].concat());
    let before = pid(directory.path());
    run(&["reload"], &[("KONG_MEM_CACHE_SIZE", "1m")]);
    let after = pid(directory.path());
    assert_ne!(after, before);
    let line = format!("/proc/{}/cmdline", before.trim());
    eventually("the first process has ended", || std::fs::read_to_string(&line).unwrap_or_default().is_empty());
    run(&["health"], &[]);
    run(&["stop"], &[]);
}
