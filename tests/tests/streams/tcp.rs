//! Connections, plain and with TLS.

use crate::setup::{accept, by_port, connect, listen, node, rest, route, send, take};
use blackbox::eventually;
use blackbox::http::{Connection, form, json};
use blackbox::tls::{Client, Clients, Offer, Pair, SecureBackend};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

#[test]
fn octets_go_both_ways_until_one_side_ends() {
    let node = node(&[]);
    let service = listen();
    route(&node, &format!("tcp://{}", service.local_addr().unwrap()), &by_port("tcp", node.stream(0)));
    let mut client = connect(node.stream(0));
    let mut served = accept(&service);
    send(&mut client, "ping");
    assert_eq!(take(&mut served, 4), "ping");
    send(&mut served, "pong");
    assert_eq!(take(&mut client, 4), "pong");
    send(&mut served, "the end");
    drop(served);
    assert_eq!(rest(&mut client), "the end");
}

#[test]
fn a_side_that_has_ended_can_still_be_answered() {
    let node = node(&[("nginx_sproxy_proxy_half_close", "on")]);
    let service = listen();
    route(&node, &format!("tcp://{}", service.local_addr().unwrap()), &by_port("tcp", node.stream(0)));
    let mut client = connect(node.stream(0));
    send(&mut client, "question");
    client.shutdown(Shutdown::Write).unwrap();
    let mut served = accept(&service);
    assert_eq!(rest(&mut served), "question");
    send(&mut served, "answer");
    drop(served);
    assert_eq!(rest(&mut client), "answer");
}

/// More than the sockets on the way hold, both ways at once, and small pieces between.
#[test]
fn bulk_arrives_unchanged_both_ways() {
    const LENGTH: usize = 24 << 20;
    let octets = |seed: usize| (0..LENGTH).map(|n| ((n + seed) % 251) as u8 ^ (n >> 16) as u8).collect::<Vec<_>>();
    let node = node(&[("nginx_sproxy_proxy_half_close", "on")]);
    let service = listen();
    route(&node, &format!("tcp://{}", service.local_addr().unwrap()), &by_port("tcp", node.stream(0)));
    let client = connect(node.stream(0));
    let served = accept(&service);
    let (question, answer) = (octets(1), octets(2));
    for round in ["first", "second"] {
        let sends = |from: &TcpStream, octets: &[u8]| {
            let mut from = from;
            from.write_all(&[octets, round.as_bytes()].concat()).unwrap();
        };
        let receives = |from: &TcpStream, octets: &[u8]| {
            let (mut from, mut got) = (from, vec![0; LENGTH]);
            from.read_exact(&mut got).unwrap();
            assert!(got == octets, "the {round} octets are not as they were sent");
            assert_eq!(take(&mut from, round.len()), round);
        };
        std::thread::scope(|scope| {
            scope.spawn(|| sends(&client, &question));
            scope.spawn(|| sends(&served, &answer));
            scope.spawn(|| receives(&served, &question));
            receives(&client, &answer);
        });
    }
}

#[test]
fn what_has_no_route_or_is_not_allowed_is_closed() {
    let node = node(&[]);
    assert_eq!(rest(&mut connect(node.stream(0))), "");
    let service = listen();
    route(&node, &format!("tcp://{}", service.local_addr().unwrap()), &by_port("tcp", node.stream(0)));
    let deny = json!({ "name": "ip-restriction", "config": { "deny": ["127.0.0.1"] }, "protocols": ["tcp"] });
    json(node.admin(), "POST", "/plugins", &deny).expect(201);
    assert_eq!(rest(&mut connect(node.stream(0))), "");
    service.set_nonblocking(true).unwrap();
    assert!(service.accept().is_err(), "the service is not asked");
}

#[test]
fn another_target_is_tried_and_failures_count() {
    let node = node(&[]);
    let (service, gone) = (listen(), listen());
    let dead = gone.local_addr().unwrap();
    drop(gone);
    let passive = json!({ "type": "tcp", "unhealthy": { "tcp_failures": 1 } });
    let upstream = json!({ "name": "u", "healthchecks": { "passive": passive } });
    json(node.admin(), "POST", "/upstreams", &upstream).expect(201);
    for target in [dead, service.local_addr().unwrap()] {
        form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={target}")).expect(201);
    }
    route(&node, "tcp://u:1", &by_port("tcp", node.stream(0)));
    for _ in 0..3 {
        let mut client = connect(node.stream(0));
        let mut served = accept(&service);
        send(&mut served, "here");
        drop(served);
        assert_eq!(rest(&mut client), "here");
    }
    let health = blackbox::http::get(node.admin(), "/upstreams/u/health").expect(200).json();
    let targets = health["data"].as_array().unwrap();
    let of = |health: &str| targets.iter().filter(|target| target["health"] == health).count();
    assert_eq!(of("UNHEALTHY"), 1);
    assert_eq!(of("HEALTHY"), 1);
    let told = format!(
        "connect() failed (111: Connection refused) while connecting to upstream, client: 127.0.0.1, server: {}, \
         upstream: \"{dead}\", bytes from/to client:0/0, bytes from/to upstream:0/0\n",
        node.stream(0)
    );
    eventually("the log says so", || node.log().contains(&told));
}

#[test]
fn services_are_told_who_the_client_is() {
    let node = node(&[("nginx_sproxy_proxy_protocol", "on")]);
    let service = listen();
    route(&node, &format!("tcp://{}", service.local_addr().unwrap()), &by_port("tcp", node.stream(0)));
    let mut client = connect(node.stream(0));
    send(&mut client, "x");
    let (from, to) = (client.local_addr().unwrap().port(), node.stream(0).port());
    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\nx");
    assert_eq!(take(&mut accept(&service), line.len()), line);
}

#[test]
fn a_balancer_in_front_names_the_client() {
    let listen_line = ("stream_listen", "127.0.0.1:0 proxy_protocol");
    let of_streams = ["nginx_stream_set_real_ip_from", "nginx_sproxy_set_real_ip_from"];
    let of_requests = "nginx_proxy_set_real_ip_from";
    for (setting, is_named) in
        [("trusted_ips", true), (of_streams[0], true), (of_streams[1], true), (of_requests, false)]
    {
        let node = node(&[listen_line, (setting, "127.0.0.1")]);
        let service = listen();
        let by_source = json!({ "protocols": ["tcp"], "sources": [{ "ip": "192.0.2.9" }] });
        route(&node, &format!("tcp://{}", service.local_addr().unwrap()), &by_source);
        let mut client = connect(node.stream(0));
        send(&mut client, "PROXY TCP4 192.0.2.9 198.51.100.1 5678 443\r\nx");
        if is_named {
            assert_eq!(take(&mut accept(&service), 1), "x");
        } else {
            assert_eq!(rest(&mut client), "");
        }
        let mut other = connect(node.stream(0));
        send(&mut other, "PROXY TCP4 192.0.2.8 198.51.100.1 5678 443\r\nx");
        assert_eq!(rest(&mut other), "");
    }
}

fn secure(stream: TcpStream, name: &str) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    let config = Client::new(&Offer::default()).config();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    rustls::StreamOwned::new(rustls::ClientConnection::new(config, name).unwrap(), stream)
}

#[test]
fn tls_is_taken_off_or_passed_through_by_name() {
    let node = node(&[]);
    let (plain, secured) = (listen(), listen());
    let pair = Pair::authority("a.test");
    let mut certificate = pair.record();
    certificate["snis"] = json!(["a.test"]);
    json(node.admin(), "POST", "/certificates", &certificate).expect(201);
    route(
        &node,
        &format!("tcp://{}", plain.local_addr().unwrap()),
        &json!({ "protocols": ["tls"], "snis": ["a.test"] }),
    );
    route(
        &node,
        &format!("tcp://{}", secured.local_addr().unwrap()),
        &json!({ "protocols": ["tls_passthrough"], "snis": ["b.test"] }),
    );
    let mut client = secure(connect(node.stream(1)), "a.test");
    send(&mut client, "ping");
    let mut served = accept(&plain);
    assert_eq!(take(&mut served, 4), "ping");
    send(&mut served, "pong");
    assert_eq!(take(&mut client, 4), "pong");

    let own = blackbox::tls::server_config(&Pair::authority("b.test"));
    let serving = std::thread::spawn(move || {
        let connection = rustls::ServerConnection::new(own).unwrap();
        let mut served = rustls::StreamOwned::new(connection, accept(&secured));
        let asked = take(&mut served, 4);
        send(&mut served, "pong");
        asked
    });
    let mut client = secure(connect(node.stream(1)), "b.test");
    send(&mut client, "ping");
    assert_eq!(take(&mut client, 4), "pong");
    assert_eq!(serving.join().unwrap(), "ping");

    let mut other = connect(node.stream(1));
    send(&mut other, "no TLS at all");
    assert_eq!(rest(&mut other), "");
}

/// The name that the client has asked for goes on where its route says so.
#[test]
fn services_are_asked_by_their_name_or_the_clients() {
    let node = node(&[]);
    for (name, keeps) in [("kept.test", true), ("own.test", false)] {
        let service = SecureBackend::start(&Pair::authority("service.test"), &Clients::Any);
        let url = format!("tls://localhost:{}", service.address.port());
        route(&node, &url, &json!({ "protocols": ["tls"], "snis": [name], "preserve_host": keeps }));
        let mut connection = Connection::over(secure(connect(node.stream(1)), name), "a.test");
        connection.send("GET", "/", &[], b"").unwrap();
        let seen = connection.receive(false).unwrap().expect(200).json();
        assert_eq!(seen["sni"], if keeps { name } else { "localhost" });
    }
}

#[test]
fn sessions_are_logged() {
    let node = node(&[]);
    let service = listen();
    route(&node, &format!("tcp://{}", service.local_addr().unwrap()), &by_port("tcp", node.stream(0)));
    let file = node.prefix().join("sessions.log");
    let log = json!({ "name": "file-log", "config": { "path": file.to_str().unwrap() }, "protocols": ["tcp"] });
    json(node.admin(), "POST", "/plugins", &log).expect(201);
    let mut client = connect(node.stream(0));
    let mut served = accept(&service);
    send(&mut client, "four");
    take(&mut served, 4);
    send(&mut served, "seventh");
    drop(served);
    rest(&mut client);
    eventually("an entry", || std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    let entry: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(entry["session"]["received"], 4);
    assert_eq!(entry["session"]["sent"], 7);
    assert_eq!(entry["session"]["status"], 200);
    assert_eq!(entry["upstream"], json!({ "received": 7, "sent": 4 }));
    assert_eq!(entry["request"], Value::Null);
    let access = node.prefix().join("logs/access.log");
    eventually("a line", || {
        std::fs::read_to_string(&access).is_ok_and(|text| text.lines().any(|line| line.contains("] TCP 200 7 4 ")))
    });
}
