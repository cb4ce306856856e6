//! A node that runs out of descriptors blames nobody else for it, and can be asked how it is.

use blackbox::http::{Connection, form, get, request};
use blackbox::{Backend, Node, PATIENCE, eventually};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// So few that a hundred clients are too many.
const FILES: u32 = 160;

/// A node that balances over these, with active checks by HTTP every 50 ms, and whose first failure of any kind would
/// turn a target.
fn balanced(targets: &[SocketAddr], active: bool) -> Node {
    let node = Node::with_files(FILES, &[("nginx_worker_processes", "1"), ("status_access_log", "logs/status.log")]);
    let mut checks = "healthchecks.passive.unhealthy.tcp_failures=1&healthchecks.passive.unhealthy.timeouts=1\
                      &healthchecks.passive.unhealthy.http_failures=1"
        .to_owned();
    if active {
        checks += "&healthchecks.active.healthy.interval=0.05&healthchecks.active.unhealthy.interval=0.05\
                   &healthchecks.active.unhealthy.tcp_failures=1&healthchecks.active.unhealthy.timeouts=1\
                   &healthchecks.active.unhealthy.http_failures=1";
    }
    form(node.admin(), "POST", "/upstreams", &format!("name=u&{checks}")).expect(201);
    for target in targets {
        form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={target}")).expect(201);
    }
    form(node.admin(), "POST", "/services", "name=s&host=u&retries=1").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    node
}

fn healthy(node: &Node) -> usize {
    let all = get(node.admin(), "/upstreams/u/health").expect(200).json();
    all["data"].as_array().unwrap().iter().filter(|target| target["health"] == "HEALTHY").count()
}

fn client(address: SocketAddr, begin: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    // It may be refused already.
    let _ = stream.write_all(begin);
    stream
}

fn is_open(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Both interfaces answer, and both targets are healthy.
#[track_caller]
fn all_is_well(node: &Node) {
    get(node.status(), "/status").expect(200);
    assert_eq!(healthy(node), 2, "{}", node.log());
}

#[test]
fn idle_clients_make_room_for_others() {
    let (first, second) = (Backend::start("first"), Backend::start("second"));
    let node = balanced(&[first.address, second.address], true);
    let mut clients: Vec<TcpStream> = Vec::new();
    for number in 0..4 * FILES {
        clients.push(client(node.proxy(), b""));
        if number % 20 == 0 {
            get(node.proxy(), "/").expect(200);
            all_is_well(&node);
        }
    }
    assert!(!is_open(&clients[0]), "the oldest one made room");
    assert!(is_open(&clients[4 * FILES as usize - 1]), "the newest one stays");
    drop(clients);
    get(node.proxy(), "/").expect(200);
    all_is_well(&node);
}

/// Where several workers take the last descriptors at once, and nothing is left for services.
#[test]
fn idle_clients_make_room_whoever_has_them() {
    const FEW: u32 = 120;
    let backend = Backend::start("first");
    let node = Node::with_files(FEW, &[("nginx_worker_processes", "2")]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    let clients: Vec<TcpStream> = (0..3 * FEW).map(|_| client(node.proxy(), b"")).collect();
    eventually("those that are too many are closed", || {
        clients.iter().filter(|client| is_open(client)).count() < FEW as usize
    });
    eventually("new clients are served", || {
        request(node.proxy(), "GET", "/", &[], b"").is_ok_and(|answer| answer.status == 200)
    });
    get(node.admin(), "/status").expect(200);
}

#[test]
fn clients_are_refused_before_the_node_is_blind() {
    let (first, second) = (Backend::start("first"), Backend::start("second"));
    let node = balanced(&[first.address, second.address], true);
    // Nobody here is idle: none can make room.
    let clients: Vec<TcpStream> = (0..2 * FILES).map(|_| client(node.proxy(), b"GET / HTTP/1.1\r\n")).collect();
    let probes = first.accepted();
    eventually("those that are too many are closed", || {
        clients.iter().filter(|client| is_open(client)).count() < FILES as usize
    });
    eventually("probes go on", || first.accepted() > probes + 3);
    all_is_well(&node);
    assert!(request(node.proxy(), "GET", "/", &[], b"").is_err(), "it is refused at once");
    let refusals = |log: &str| log.matches("connections of clients were refused").count();
    assert!((1..10).contains(&refusals(&node.log())), "{}", node.log());
    // One of those that were let in is served in the end.
    let mut served = clients.iter().find(|client| is_open(client)).unwrap().try_clone().unwrap();
    served.set_nonblocking(false).unwrap();
    served.write_all(b"Host: a\r\n\r\n").unwrap();
    Connection::over(served, "a").receive(false).unwrap().expect(200);
    drop(clients);
    eventually("others are let in again", || {
        request(node.proxy(), "GET", "/", &[], b"").is_ok_and(|r| r.status == 200)
    });
    all_is_well(&node);
}

#[test]
fn services_are_not_blamed_for_connections_that_cannot_be_made() {
    // They take connections and never answer.
    let services = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let targets = [services[0].local_addr().unwrap(), services[1].local_addr().unwrap()];
    let node = balanced(&targets, false);
    // As many idle clients as may be, who then all ask at once.
    let clients: Vec<TcpStream> = (0..FILES).map(|_| client(node.proxy(), b"")).collect();
    get(node.admin(), "/status").expect(200);
    let open: Vec<&TcpStream> = clients.iter().filter(|client| is_open(client)).collect();
    for mut client in open.iter().copied() {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    let mut refused = 0;
    eventually("some are answered by the node itself", || {
        refused = 0;
        for client in open.iter() {
            client.set_nonblocking(true).unwrap();
            let mut answer = [0; 1024];
            // Some may have made room before they could ask.
            if let Ok(length @ 1..) = client.peek(&mut answer) {
                let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
                assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
                refused += 1;
            }
        }
        refused > 0
    });
    assert!(refused < open.len(), "some do wait for the services");
    all_is_well(&node);
    node.says("connections to services could not be made");
    drop(clients);
    drop(services);
    // A real failure counts.
    eventually("they are gone", || {
        let answered = request(node.proxy(), "GET", "/", &[], b"");
        answered.is_ok_and(|answer| matches!(answer.status, 502 | 503)) && healthy(&node) == 0
    });
}
