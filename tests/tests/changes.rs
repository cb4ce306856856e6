//! A write that has been answered is in force, and survives whatever happens to the process.

use blackbox::http::{Connection, form, get, request};
use blackbox::{Backend, Node};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn add_route(admin: &mut Connection, route: &str) {
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    admin.send("POST", "/services/s/routes", &form, route.as_bytes()).unwrap();
    admin.receive(false).unwrap().expect(201);
}

#[test]
fn an_answered_write_is_in_force() {
    let backend = Backend::start("b");
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    let mut admin = Connection::open(node.admin()).unwrap();
    let mut proxy = Connection::open(node.proxy()).unwrap();
    for i in 0..200 {
        add_route(&mut admin, &format!("name=r{i}&paths[]=/p{i}x"));
        proxy.send("GET", &format!("/p{i}x"), &[], b"").unwrap();
        proxy.receive(false).unwrap().expect(200);
        if i % 2 == 0 {
            admin.send("DELETE", &format!("/routes/r{i}"), &[], b"").unwrap();
            admin.receive(false).unwrap().expect(204);
            proxy.send("GET", &format!("/p{i}x"), &[], b"").unwrap();
            assert_eq!(
                proxy.receive(false).unwrap().expect(404).json()["message"],
                "no Route matched with those values"
            );
        }
    }
}

#[test]
fn thousands_of_routes_come_under_load() {
    const ROUTES: usize = 3000;
    let backend = Backend::start("b");
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/stay").expect(201);
    let stop = Arc::<AtomicBool>::default();
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let (stop, proxy) = (Arc::clone(&stop), node.proxy());
            std::thread::spawn(move || {
                let mut connection = Connection::open(proxy).unwrap();
                let mut count = 0;
                while !stop.load(Ordering::SeqCst) {
                    connection.send("GET", "/stay", &[], b"").unwrap();
                    let answer = connection.receive(false).unwrap().expect(200);
                    if answer.header("Connection") == Some("close") {
                        connection = Connection::open(proxy).unwrap();
                    }
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut admin = Connection::open(node.admin()).unwrap();
    for i in 0..ROUTES {
        add_route(&mut admin, &format!("paths[]=/go/{i}/"));
        get(node.proxy(), &format!("/go/{i}/")).expect(200);
    }
    stop.store(true, Ordering::SeqCst);
    assert!(clients.into_iter().all(|client| client.join().unwrap() > 0));
}

#[test]
fn an_answered_write_survives_a_crash() {
    let backend = Backend::start("b");
    let mut node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    for i in 0..20 {
        form(node.admin(), "POST", "/services/s/routes", &format!("name=r{i}&paths[]=/p{i}x")).expect(201);
        if i % 7 == 3 {
            node.kill();
            node.revive();
            get(node.proxy(), &format!("/p{i}x")).expect(200);
        }
    }
    request(node.admin(), "DELETE", "/routes/r0", &[], b"").unwrap().expect(204);
    node.kill();
    node.revive();
    get(node.admin(), "/routes/r0").expect(404);
    for i in 1..20 {
        get(node.admin(), &format!("/routes/r{i}")).expect(200);
        get(node.proxy(), &format!("/p{i}x")).expect(200);
    }
}

/// A node whose route `/` leads to the upstream `u` with that backend.
fn balanced(backend: &Backend) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/upstreams", "name=u").expect(201);
    form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services", "name=s&host=u").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    node
}

#[test]
fn requests_under_way_keep_the_upstream_that_they_began_with() {
    let backend = Backend::start("b");
    let node = balanced(&backend);
    let begin = || {
        let mut upload = Connection::open(node.proxy()).unwrap();
        upload.send_raw(b"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf").unwrap();
        upload
    };
    let mut uploads: Vec<_> = (0..4).map(|_| begin()).collect();
    // A request on each worker says that the heads before it have been read.
    for _ in 0..20 {
        get(node.proxy(), "/").expect(200);
    }
    form(node.admin(), "PATCH", "/upstreams/u", "name=v").expect(200);
    form(node.admin(), "PATCH", "/services/s", "host=v").expect(200);
    get(node.proxy(), "/").expect(200);
    for upload in &mut uploads {
        upload.send_raw(b"half").unwrap();
        upload.receive(false).unwrap().expect(200);
    }
    let mut uploads: Vec<_> = (0..4).map(|_| begin()).collect();
    for _ in 0..20 {
        get(node.proxy(), "/").expect(200);
    }
    request(node.admin(), "DELETE", "/upstreams/v", &[], b"").unwrap().expect(204);
    for upload in &mut uploads {
        upload.send_raw(b"half").unwrap();
        upload.receive(false).unwrap().expect(200);
    }
    get(node.proxy(), "/").expect(503);
}

#[test]
fn a_target_that_goes_over_to_another_upstream_leaves_its_own() {
    let (stays, goes) = (Backend::start("stays"), Backend::start("goes"));
    let node = balanced(&stays);
    let two = form(node.admin(), "POST", "/upstreams", "name=two").expect(201).json()["id"].clone();
    let target = form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={}", goes.address)).expect(201);
    let id = target.json()["id"].as_str().unwrap().to_owned();
    let other = Value::from_iter([("upstream", Value::from_iter([("id", two)]))]);
    blackbox::http::json(node.admin(), "PATCH", &format!("/upstreams/u/targets/{id}"), &other).expect(200);
    for _ in 0..6 {
        assert_eq!(get(node.proxy(), "/").expect(200).header("X-Backend"), Some("stays"));
    }
    form(node.admin(), "PATCH", "/services/s", "host=two").expect(200);
    for _ in 0..6 {
        assert_eq!(get(node.proxy(), "/").expect(200).header("X-Backend"), Some("goes"));
    }
}
