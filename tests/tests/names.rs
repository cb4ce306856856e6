//! Targets that are names with several addresses: each address has a health of its own.

use blackbox::http::{form, get};
use blackbox::{Node, eventually};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A service at one of the addresses, which answers with it.
struct Place {
    /// Its probes fail.
    failing: Arc<AtomicBool>,
    /// `Host` of the last probe.
    probed: Arc<Mutex<String>>,
}

impl Place {
    fn start(listener: TcpListener) -> Place {
        let place = Place { failing: Arc::default(), probed: Arc::default() };
        let (failing, probed) = (Arc::clone(&place.failing), Arc::clone(&place.probed));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (failing, probed) = (Arc::clone(&failing), Arc::clone(&probed));
                // Who goes away ends the conversation.
                std::thread::spawn(move || answer(stream, &failing, &probed));
            }
        });
        place
    }
}

/// One request and its answer.
fn answer(stream: TcpStream, failing: &AtomicBool, probed: &Mutex<String>) -> std::io::Result<()> {
    let (mut is_probe, mut host) = (false, String::new());
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        is_probe |= line.starts_with("GET /probe ");
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("host") => value.clone_into(&mut host),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    let status = if is_probe && failing.load(Ordering::SeqCst) { "500 No" } else { "200 OK" };
    if is_probe {
        *probed.lock().unwrap() = host;
    }
    let text = stream.local_addr()?.ip().to_string();
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    (&stream).write_all(head.as_bytes())
}

/// A name server that gives these addresses for every name.
fn name_server(addresses: Arc<Mutex<Vec<Ipv4Addr>>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            // The question ends with the name's last label, which is empty, its type and its class.
            let Some(end) = query[12..length].iter().position(|octet| *octet == 0).map(|at| 12 + at + 5) else {
                continue;
            };
            let is_a = query[end - 4..end - 2] == [0, 1];
            let addresses = if is_a { addresses.lock().unwrap().clone() } else { Vec::new() };
            let mut answer = query[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
            for address in addresses {
                answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
                answer.extend_from_slice(&address.octets());
            }
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

/// Who answers some requests in a row.
fn answering(node: &Node) -> Vec<String> {
    let mut all: Vec<_> = (0..8).map(|_| get(node.proxy(), "/").expect(200).text()).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn each_address_of_a_name_is_probed_and_left_out_by_itself() {
    let (first, second) = (Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2));
    let listener = TcpListener::bind((first, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let places = [Place::start(listener), Place::start(TcpListener::bind((second, port)).unwrap())];
    let addresses = Arc::new(Mutex::new(vec![first, second]));
    let resolver = name_server(Arc::clone(&addresses)).to_string();
    let node = Node::start(&[("dns_resolver", &resolver)]);
    let checks = "healthchecks.active.http_path=/probe&healthchecks.active.healthy.interval=0.1\
        &healthchecks.active.healthy.successes=1&healthchecks.active.unhealthy.interval=0.1\
        &healthchecks.active.unhealthy.http_failures=1";
    form(node.admin(), "POST", "/upstreams", &format!("name=u&host_header=api.test&{checks}")).expect(201);
    form(node.admin(), "POST", "/upstreams/u/targets", &format!("target=both.test:{port}")).expect(201);
    form(node.admin(), "POST", "/services", "name=s&host=u").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    let (one, other) = (first.to_string(), second.to_string());
    eventually("both answer", || answering(&node) == [one.clone(), other.clone()]);
    for place in &places {
        eventually("it is probed by the upstream's name", || *place.probed.lock().unwrap() == "api.test");
    }
    places[1].failing.store(true, Ordering::SeqCst);
    eventually("one is left out", || answering(&node) == [one.clone()]);
    places[1].failing.store(false, Ordering::SeqCst);
    eventually("it is back", || answering(&node).len() == 2);
    // An address that the name has no more gets nothing.
    addresses.lock().unwrap().retain(|address| *address == second);
    eventually("the name has one address", || answering(&node) == [other.clone()]);
    // An upstream by another name is not the one that the service means.
    form(node.admin(), "PATCH", "/upstreams/u", "name=v").expect(200);
    form(node.admin(), "PATCH", "/services/s", "host=v").expect(200);
    assert_eq!(answering(&node), [other]);
}
