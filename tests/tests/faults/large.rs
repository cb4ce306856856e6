//! Responses of which the gateway holds only a part at a time.

use crate::setup::{SOON, STREAMED, Setup, USUAL, without_nginx};
use blackbox::http::Connection;
use blackbox::socket::Wire;

/// More than the sockets of all parties hold.
const PART: usize = 16 << 20;
const PARTS: usize = 2;
const BLOCK: usize = 65_521;

/// Content no block of which is as another.
fn part(number: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(PART + BLOCK);
    while octets.len() < PART {
        let from = octets.len();
        octets.extend_from_slice(format!("part {number}, octet {from}").as_bytes());
        octets.resize(from + BLOCK, b'0' + (from % 75) as u8);
    }
    octets.truncate(PART);
    octets
}

/// The head has arrived, none of the content was sent.
fn begun(case: &Setup, target: &str) -> (Connection<Wire>, Connection<Wire>) {
    let mut client = case.send("GET", target, &[]);
    let (mut service, _) = case.service().asked();
    service.send_raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PART * PARTS).as_bytes()).unwrap();
    assert_eq!(client.receive_head().unwrap().status, 200);
    (client, service)
}

/// All has been taken; both connections go on.
fn over(case: &Setup, target: &str, (mut client, mut service): (Connection<Wire>, Connection<Wire>)) {
    assert_eq!(case.logged(target).content, (PART * PARTS) as u64);
    client.send("GET", "/next", &[], b"").unwrap();
    assert_eq!(service.request().unwrap().target, "/next");
    service.answer("next").unwrap();
    assert_eq!(client.receive(false).unwrap().expect(200).text(), "next");
}

#[test]
fn arrives_unchanged_where_the_client_keeps_up() {
    for configuration in [USUAL, STREAMED] {
        without_nginx(&configuration, |case| {
            let (mut client, mut service) = begun(case, "/fast");
            std::thread::scope(|scope| {
                scope.spawn(|| (0..PARTS).for_each(|n| service.send_raw(&part(n)).unwrap()));
                (0..PARTS)
                    .for_each(|n| assert!(client.take(PART).unwrap() == part(n), "part {n} is not as it was sent"));
            });
            over(case, "/fast", (client, service));
        });
    }
}

#[test]
fn arrives_unchanged_where_the_client_falls_behind_and_catches_up() {
    without_nginx(&USUAL, |case| {
        let (mut client, mut service) = begun(case, "/slow");
        for n in 0..PARTS {
            service.send_raw(&part(n)).unwrap();
            assert!(client.take(PART).unwrap() == part(n), "part {n} is not as it was sent");
        }
        over(case, "/slow", (client, service));
    });
}

#[test]
fn is_cut_where_the_service_ends() {
    for configuration in [USUAL, STREAMED] {
        without_nginx(&configuration, |case| {
            let (mut client, mut service) = begun(case, "/cut");
            std::thread::scope(|scope| {
                scope.spawn(move || service.send_raw(&part(0)).unwrap());
                let got = client.read_until_closed(SOON).expect("the client waits for what does not come");
                assert!(got == part(0), "{} octets arrive", got.len());
            });
        });
    }
}
