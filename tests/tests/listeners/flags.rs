//! Flags of listeners act, and two nodes do not share an address by accident.

use blackbox::http::{get, request};
use blackbox::{Node, bascule};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use tempfile::TempDir;

/// Runs a node that must not start, with nothing of its own on these listeners.
fn refused(settings: &[(&str, &str)]) -> String {
    let prefix = TempDir::new().unwrap();
    let mut command = bascule();
    command.args(["start", "--prefix"]).arg(prefix.path());
    let usual = [("proxy_listen", "127.0.0.1:0"), ("admin_listen", "127.0.0.1:0"), ("status_listen", "127.0.0.1:0")];
    for (key, value) in usual.iter().chain(settings) {
        command.env(format!("KONG_{}", key.to_uppercase()), value);
    }
    let Output { status, stderr, .. } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    if status.success() {
        let _ = bascule().args(["stop", "--prefix"]).arg(prefix.path()).output();
        panic!("it has started: {text}");
    }
    text
}

fn own_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn two_nodes_do_not_listen_on_one_address() {
    let node = Node::start(&[("admin_listen", "127.0.0.1:0 reuseport")]);
    for (setting, address, flags) in [
        ("proxy_listen", node.proxy(), ""),
        ("proxy_listen", node.proxy_tls(), " ssl"),
        ("proxy_listen", node.admin(), ""),
        ("admin_listen", node.admin(), " reuseport"),
        ("admin_listen", node.proxy(), ""),
        ("status_listen", node.status(), " reuseport"),
        ("admin_gui_listen", node.proxy(), ""),
    ] {
        let error = refused(&[(setting, &format!("{address}{flags}"))]);
        let expected = format!("{setting}: cannot listen on {address}: the address is in use by another process");
        assert!(error.contains(&expected), "{error}");
    }
    get(node.admin(), "/status").expect(200);
    get(node.proxy(), "/").expect(404);
}

#[test]
fn reuseport_lets_a_node_take_over_from_another() {
    let port = own_port();
    let listen = format!("127.0.0.1:{port} reuseport");
    let first = Node::start(&[("proxy_listen", &listen)]);
    let mut second = Node::start(&[("proxy_listen", &listen)]);
    assert!(!first.log().contains("another process"), "{}", first.log());
    assert!(second.log().contains(&format!("another process listens on 127.0.0.1:{port} too")), "{}", second.log());
    drop(first);
    get(second.proxy(), "/").expect(404);
    assert!(second.end(rustix::process::Signal::QUIT));
    second.revive();
    get(second.proxy(), "/").expect(404);
    let taken = refused(&[("proxy_listen", &format!("127.0.0.1:{port}"))]);
    assert!(taken.contains("in use by another process"), "{taken}");
}

#[test]
fn a_node_that_fails_to_start_takes_no_connections_from_another() {
    let port = own_port();
    let listen = format!("127.0.0.1:{port} reuseport");
    let node = Node::start(&[("proxy_listen", &listen)]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let mut answered = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                get(node.proxy(), "/").expect(404);
                answered += 1;
            }
            answered
        });
        for _ in 0..3 {
            refused(&[("proxy_listen", &listen), ("admin_listen", &node.admin().to_string())]);
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(clients.join().unwrap() > 0);
    });
}

#[test]
fn an_address_is_listed_once() {
    let address = format!("127.0.0.1:{}", own_port());
    let twice = refused(&[("proxy_listen", &format!("{address}, {address} ssl"))]);
    assert!(twice.contains(&format!("proxy_listen: {address} is listed twice")), "{twice}");
    let both = refused(&[("proxy_listen", &address), ("admin_listen", &address)]);
    assert!(both.contains(&format!("admin_listen: {address} is in proxy_listen too")), "{both}");
}

#[test]
fn wrong_values_are_refused_by_name() {
    for (entry, error) in [
        ("127.0.0.1:0 backlog=0", "proxy_listen: invalid backlog \"backlog=0\""),
        ("127.0.0.1:0 so_keepalive=::", "proxy_listen: invalid so_keepalive value: \"::\""),
        ("127.0.0.1:0 so_keepalive=x:1:1", "proxy_listen: invalid so_keepalive value: \"x:1:1\""),
        ("127.0.0.1:0 fastopen=3", "proxy_listen must be of form: [off] | <ip>:<port> [ssl]"),
    ] {
        let text = refused(&[("proxy_listen", entry)]);
        assert!(text.contains(error), "{entry}: {text}");
    }
}

#[test]
fn ipv6only_off_takes_both_families() {
    for (flag, both) in [("ipv6only=off", true), ("ipv6only=on", false), ("", false)] {
        let listen = format!("[::]:0 {flag}");
        let node = Node::start(&[("proxy_listen", &listen), ("admin_listen", &listen), ("status_listen", &listen)]);
        for address in [node.proxy(), node.admin(), node.status()] {
            let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
            assert_eq!(TcpStream::connect(v4).is_ok(), both, "{flag}");
            let v6: SocketAddr = format!("[::1]:{}", address.port()).parse().unwrap();
            assert!(request(v6, "GET", "/status", &[], b"").is_ok(), "{flag}");
        }
    }
}

/// The keepalive timer of the connection from a port, as `/proc/net/tcp` shows it: `02` with its time to run.
fn keepalive_timer(from: u16) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // An earlier connection from there may still be waiting for its end.
    const ESTABLISHED: &str = "01";
    let port = format!(":{from:04X}");
    let mut connections = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_it = |columns: &Vec<&str>| columns.len() > 5 && columns[2].ends_with(&port) && columns[3] == ESTABLISHED;
    connections.find(is_it).map(|columns| columns[5].to_owned())
}

#[test]
fn so_keepalive_reaches_connections() {
    for (flag, on) in
        [("so_keepalive=on", true), ("so_keepalive=30m::10", true), ("so_keepalive=off", false), ("", false)]
    {
        let listen = format!("127.0.0.1:0 {flag} backlog=64 bind deferred");
        let node = Node::start(&[("proxy_listen", &listen), ("admin_listen", &listen), ("status_listen", &listen)]);
        assert!(node.log().contains("the flag 'deferred' of listeners has no effect"), "{}", node.log());
        for address in [node.proxy(), node.admin(), node.status()] {
            let mut connection = blackbox::http::Connection::open(address).unwrap();
            connection.send("GET", "/status", &[], b"").unwrap();
            connection.receive(false).unwrap();
            let port = connection.stream().local_addr().unwrap().port();
            let timer = keepalive_timer(port).unwrap();
            assert_eq!(timer.starts_with("02:"), on, "{flag}: {timer}");
        }
    }
}
