//! `quit` waits for exchanges that run, and for nothing else.

use crate::setup::SOON;
use blackbox::http::{Connection, form};
use blackbox::socket::Wire;
use blackbox::tls::{Client, Offer};
use blackbox::{Node, Service};
use rustix::process::Signal;
use std::time::Duration;

/// Less than the five seconds for which a closed connection may linger.
const AT_ONCE: Duration = Duration::from_secs(3);

fn over_both(case: fn(Node, &Service, &dyn Fn(&Node) -> Connection<Wire>)) {
    let connect: [&dyn Fn(&Node) -> Connection<Wire>; 2] =
        [&|node| Connection::plain(node.proxy()).unwrap(), &|node| {
            Client::new(&Offer::default()).connect(node.proxy_tls()).unwrap()
        }];
    for connect in connect {
        let service = Service::start();
        let node = Node::start(&[]);
        form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", service.address)).expect(201);
        form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
        case(node, &service, connect);
    }
}

fn exchange(client: &mut Connection<Wire>, service: &Service, headers: &[(&str, &str)]) -> Connection<Wire> {
    client.send("GET", "/x", headers, b"").unwrap();
    let (mut peer, _) = service.asked();
    peer.answer("hello").unwrap();
    client.receive(false).unwrap().expect(200);
    peer
}

#[test]
fn idle_connections_are_not_awaited() {
    over_both(|mut node, service, connect| {
        let mut client = connect(&node);
        let mut peer = exchange(&mut client, service, &[]);
        node.signal(Signal::QUIT);
        assert!(node.ends_within(AT_ONCE), "it waits for an idle connection");
        assert!(client.closes_within(SOON));
        assert!(peer.closes_within(SOON));
    });
}

/// Nothing was asked on them, as on the spare connections of a load balancer; nginx waits for these for a minute.
#[test]
fn silent_connections_are_not_awaited() {
    over_both(|mut node, _, connect| {
        let mut client = connect(&node);
        // The node knows of the connection before it is told to end.
        form(node.admin(), "PATCH", "/services/s", "retries=1").expect(200);
        node.signal(Signal::QUIT);
        assert!(node.ends_within(AT_ONCE), "it waits for a connection on which nothing was asked");
        assert!(client.closes_within(SOON));
    });
}

/// The client has its answer and was told that the connection ends; that it leaves its own end open is its affair.
#[test]
fn closed_connections_are_not_awaited() {
    over_both(|mut node, service, connect| {
        let mut client = connect(&node);
        exchange(&mut client, service, &[("Connection", "close")]);
        node.signal(Signal::QUIT);
        assert!(node.ends_within(AT_ONCE), "it waits for a client to close");
        assert!(client.closes_within(SOON));
    });
}

#[test]
fn an_answer_in_time_is_awaited() {
    over_both(|mut node, service, connect| {
        let mut client = connect(&node);
        client.send("GET", "/x", &[], b"").unwrap();
        let (mut peer, _) = service.asked();
        node.signal(Signal::QUIT);
        assert!(!node.ends_within(Duration::from_millis(300)), "it does not wait for an answer");
        peer.answer("hello").unwrap();
        let answer = client.receive(false).unwrap().expect(200);
        assert_eq!(answer.text(), "hello");
        assert!(node.ends_within(AT_ONCE), "it waits though the answer is sent");
        assert!(client.closes_within(SOON));
    });
}

/// So is a connection of the Admin API on which nobody asks anything.
#[test]
fn idle_administrators_are_not_awaited() {
    let mut node = Node::start(&[]);
    let mut idle = Connection::open(node.admin()).unwrap();
    idle.send("GET", "/", &[], b"").unwrap();
    idle.receive(false).unwrap().expect(200);
    let _silent = Connection::open(node.admin()).unwrap();
    let _status = Connection::open(node.status()).unwrap();
    node.signal(Signal::QUIT);
    assert!(node.ends_within(AT_ONCE), "it waits for idle connections of the Admin API");
}
