//! Filters that wait for something, and filters that fail: what happens to the response, and to whoever waits for it.

use super::stage::{Stage, Wire, service};
use super::{OK, get};
use proxy::settings::Limits;
use sdk::{Bytes, Exchange, Filtered, Phases, Plugin, PluginKind};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use tokio::sync::Semaphore;

/// A plugin whose filters wait until they are let through.
#[derive(Clone)]
struct Gate {
    phases: Phases,
    /// How many may pass.
    places: Arc<Semaphore>,
    /// What its filters are asked for, and which of them were given up.
    events: Arc<Mutex<mpsc::Sender<String>>>,
}

/// Tells when it is dropped before its filter has come to its end.
struct Waiter<'a>(&'a Gate, bool);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.tell("given up");
        }
    }
}

impl Gate {
    fn tell(&self, what: &str) {
        self.events.lock().unwrap().send(what.to_owned()).unwrap();
    }

    async fn pass(&self) {
        let mut waiter = Waiter(self, false);
        self.places.acquire().await.unwrap().forget();
        waiter.1 = true;
    }
}

impl PluginKind for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn priority(&self) -> i32 {
        1
    }

    fn schema(&self) -> &'static str {
        "{}"
    }

    fn configure(&self, _: &model::entities::Plugin, _: &sdk::Env) -> Result<Box<dyn Plugin>, String> {
        Ok(Box::new(self.clone()))
    }
}

impl Plugin for Gate {
    fn phases(&self) -> Phases {
        self.phases
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        match exchange.request.target.as_str() {
            "/error" => exchange.fail_filter(),
            "/panic" => panic!("it was meant to"),
            _ => {}
        }
    }

    fn body_filter(&self, exchange: &mut Exchange, piece: Bytes, _last: bool) -> Bytes {
        self.header_filter(exchange);
        piece
    }

    fn header_filter_waiting<'a>(&'a self, exchange: &'a mut Exchange) -> Filtered<'a, ()> {
        self.tell("head");
        Filtered::Wait(Box::pin(async move {
            self.pass().await;
            exchange.response.fields.set("X-Gate", b"passed");
            match exchange.request.target.as_str() {
                "/error" => Err("nothing is allowed".to_owned()),
                "/panic" => panic!("it was meant to"),
                _ => Ok(()),
            }
        }))
    }

    fn body_filter_waiting<'a>(&'a self, exchange: &'a mut Exchange, piece: Bytes, last: bool) -> Filtered<'a, Bytes> {
        let text = String::from_utf8_lossy(&piece).into_owned();
        if text == "free" || text.is_empty() {
            return Filtered::Done(piece);
        }
        self.tell(&format!("{} {last}", if text.len() < 10 { &text } else { "much" }));
        Filtered::Wait(Box::pin(async move {
            self.pass().await;
            match exchange.request.target.as_str() {
                "/error" => Err("nothing is allowed".to_owned()),
                _ => Ok(text.to_uppercase().into()),
            }
        }))
    }
}

/// A gate before that service, and what comes to it.
fn gated(phases: Phases, service: SocketAddr) -> (Stage, Arc<Semaphore>, mpsc::Receiver<String>) {
    let (sender, events) = mpsc::channel();
    let places = Arc::new(Semaphore::new(0));
    let gate = Gate { phases, places: Arc::clone(&places), events: Arc::new(Mutex::new(sender)) };
    let gate: &'static dyn PluginKind = Box::leak(Box::new(gate));
    let kinds = Box::leak(Box::new([gate]));
    let stage = Stage::with_plugins(Limits::default(), kinds, service, json!({}), json!({}));
    let plugin = json!({ "id": "00000000-0000-4000-8000-000000000009", "name": "gate", "enabled": true,
        "protocols": ["http", "https"], "config": {} });
    stage.put("plugins", plugin);
    (stage, places, events)
}

/// Answers with two octets until the end.
fn always_ok(_: usize, wire: &mut Wire) {
    loop {
        wire.head();
        wire.write(OK);
    }
}

#[test]
fn a_head_waits_for_its_filters() {
    let (address, _seen) = service(always_ok);
    let (stage, places, events) = gated(Phases::HEADER_FILTER_WAITS, address);
    let mut client = stage.connect();
    client.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(events.recv().unwrap(), "head");
    // Another one on the same worker is not held up.
    places.add_permits(2);
    assert!(client.head().contains("X-Gate: passed"));
    assert_eq!(client.take(2), "ok");
    client.write(&get("/again"));
    assert!(client.head().contains("X-Gate: passed"));
    assert_eq!(client.rest(), "ok");
}

#[test]
fn the_gateways_own_answers_wait_too() {
    let (address, _seen) = service(always_ok);
    let (stage, places, events) = gated(Phases::HEADER_FILTER_WAITS.and(Phases::BODY_FILTER_WAITS), address);
    let mut client = stage.connect();
    client.write("TRACE / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(events.recv().unwrap(), "head");
    places.add_permits(1);
    assert_eq!(events.recv().unwrap(), "much true");
    places.add_permits(1);
    let answer = client.rest();
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("X-Gate: passed"), "{answer}");
    assert!(answer.contains("NOT ALLOWED"), "{answer}");
}

#[test]
fn a_client_that_goes_ends_the_wait() {
    let (address, _seen) = service(always_ok);
    let (stage, _places, events) = gated(Phases::HEADER_FILTER_WAITS, address);
    let mut client = stage.connect();
    client.write(&get("/"));
    assert_eq!(events.recv().unwrap(), "head");
    drop(client);
    assert_eq!(events.recv().unwrap(), "given up");
}

#[test]
fn a_failed_filter_cuts_the_client_off() {
    let (address, _seen) = service(always_ok);
    let (stage, places, _events) = gated(Phases::HEADER_FILTER_WAITS, address);
    places.add_permits(2);
    assert_eq!(stage.send(&get("/error")), "");
    assert_eq!(stage.send(&get("/panic")), "");

    for phase in [Phases::HEADER_FILTER, Phases::BODY_FILTER] {
        let (stage, _places, _events) = gated(phase, address);
        assert_eq!(stage.send(&get("/error")), "");
        assert_eq!(stage.send(&get("/panic")), "");
        assert!(stage.send(&get("/")).ends_with("ok"));
    }

    let (stage, places, events) = gated(Phases::BODY_FILTER_WAITS, address);
    let mut client = stage.connect();
    client.write(&get("/error"));
    assert_eq!(events.recv().unwrap(), "ok false");
    assert!(client.head().starts_with("HTTP/1.1 200 OK"));
    places.add_permits(1);
    assert_eq!(client.rest(), "");
}

#[test]
fn what_has_passed_goes_down_while_more_waits() {
    let (address, _seen) = service(|_, wire| {
        wire.head();
        wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfree\r\n");
        // The end of the request: the client has read the first piece.
        wire.until("go on");
        wire.write("1\r\na\r\n");
        wire.until("and on");
        wire.write("1\r\nb\r\n0\r\n\r\n");
    });
    let (stage, places, events) = gated(Phases::BODY_FILTER_WAITS, address);
    stage.put(
        "routes",
        json!({ "id": "00000000-0000-4000-8000-000000000002", "protocols": ["http"], "paths": ["/"],
            "strip_path": true, "request_buffering": false,
            "service": { "id": "00000000-0000-4000-8000-000000000001" } }),
    );
    let mut client = stage.connect();
    client.write("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 11\r\n\r\n");
    client.until("4\r\nfree\r\n");
    client.write("go on");
    assert_eq!(events.recv().unwrap(), "a false");
    // What the client sends goes up while the filter waits, and nothing comes down.
    client.write("and on");
    places.add_permits(1);
    client.until("1\r\nA\r\n");
    assert_eq!(events.recv().unwrap(), "b false");
    places.add_permits(1);
    assert_eq!(client.rest(), "1\r\nB\r\n0\r\n\r\n");
}

#[test]
fn nothing_is_taken_from_a_service_while_a_filter_waits() {
    const PIECE: usize = 1 << 20;
    const MOST: usize = 64;
    let (address, written) = service(|_, wire| {
        wire.head();
        wire.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        wire.write_until_blocked(&"x".repeat(PIECE), MOST)
    });
    let (stage, _places, events) = gated(Phases::BODY_FILTER_WAITS, address);
    let mut client = stage.connect();
    client.write(&get("/"));
    client.head();
    assert_eq!(events.recv().unwrap(), "much false");
    assert!(written.recv().unwrap() < MOST);
}
