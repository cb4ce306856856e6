//! A service that dies under load costs no client anything.

use blackbox::http::{Connection, form, get, request};
use blackbox::{Backend, Node, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A node that balances over backends, with active health checks every 50 ms.
fn balanced(backends: &[&Backend]) -> Node {
    let node = Node::start(&[]);
    let checks = "healthchecks.active.healthy.interval=0.05&healthchecks.active.unhealthy.interval=0.05\
                  &healthchecks.active.healthy.successes=1&healthchecks.active.unhealthy.tcp_failures=1";
    form(node.admin(), "POST", "/upstreams", &format!("name=u&{checks}")).expect(201);
    for backend in backends {
        form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={}", backend.address)).expect(201);
    }
    form(node.admin(), "POST", "/services", "name=s&host=u").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    node
}

fn health(node: &Node, backend: &Backend) -> String {
    let all = get(node.admin(), "/upstreams/u/health").expect(200).json();
    let target = backend.address.to_string();
    let found = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["target"] == target)
        .unwrap_or_else(|| panic!("{all}"))
        .clone();
    found["health"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_target_dies_and_comes_back_under_load() {
    let (mut first, second) = (Backend::start("first"), Backend::start("second"));
    let node = balanced(&[&first, &second]);
    let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (stop, answered, proxy) = (Arc::clone(&stop), Arc::clone(&answered), node.proxy());
            std::thread::spawn(move || {
                let mut connection = Connection::open(proxy).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    connection.send("GET", "/x", &[], b"").unwrap();
                    let answer = connection.receive(false).unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    if answer.header("Connection") == Some("close") {
                        connection = Connection::open(proxy).unwrap();
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for _ in 0..2 {
        let before = (first.requests(), answered.load(Ordering::SeqCst));
        eventually("traffic on the first target", || {
            first.requests() > before.0 + 20 && answered.load(Ordering::SeqCst) > before.1 + 40
        });
        first.kill();
        eventually("the dead target is unhealthy", || health(&node, &first) == "UNHEALTHY");
        let before = answered.load(Ordering::SeqCst);
        eventually("traffic without it", || answered.load(Ordering::SeqCst) > before + 40);
        first.revive();
        eventually("the revived target is healthy", || health(&node, &first) == "HEALTHY");
    }
    let before = first.requests();
    eventually("traffic on the revived target", || first.requests() > before + 20);
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn refused_connections_move_on() {
    let mut backends = [Backend::start("a"), Backend::start("b")];
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/upstreams", "name=u").expect(201);
    for backend in &backends {
        form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={}", backend.address)).expect(201);
    }
    form(node.admin(), "POST", "/services", "name=s&host=u").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    backends[0].kill();
    for _ in 0..10 {
        assert_eq!(get(node.proxy(), "/").expect(200).header("X-Backend"), Some("b"));
    }
    // Nothing has been sent when a connection is refused, so that this holds for every method.
    assert_eq!(request(node.proxy(), "POST", "/", &[], b"content").unwrap().expect(200).header("X-Backend"), Some("b"));
    backends[1].kill();
    get(node.proxy(), "/").expect(502);
}

#[test]
fn health_survives_unrelated_changes() {
    let (mut first, second) = (Backend::start("first"), Backend::start("second"));
    let node = balanced(&[&first, &second]);
    first.kill();
    eventually("the dead target is unhealthy", || health(&node, &first) == "UNHEALTHY");
    form(node.admin(), "POST", "/services", "name=other&url=http://127.0.0.1:1").expect(201);
    form(node.admin(), "POST", "/upstreams/u/targets", "target=127.0.0.1:1&weight=0").expect(201);
    assert_eq!(health(&node, &first), "UNHEALTHY");
    form(node.admin(), "PUT", &format!("/upstreams/u/targets/{}/unhealthy", second.address), "").expect(204);
    assert_eq!(health(&node, &first), "UNHEALTHY");
}
