//! A server that is killed in the middle of writes: what was answered is there, and nothing is half done.

use crate::setup::{bootstrapped, node};
use blackbox::http::{Connection, get};
use blackbox::{Postgres, eventually, longer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What somebody was told of a consumer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Made,
    Removed,
    /// The database was away.
    Nothing,
}

/// Makes consumers with a key each, and removes every third, until it is told to stop; what was told of each.
fn write_on(
    admin: SocketAddr,
    writer: usize,
    round: usize,
    made: &AtomicUsize,
    stop: &AtomicBool,
) -> BTreeMap<String, Told> {
    let mut told = BTreeMap::new();
    let mut connection = Connection::open(admin).expect("the node runs");
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let mut answered = |method: &str, path: &str, body: &str, status: u16| {
        connection.send(method, path, &headers, body.as_bytes()).expect("the node runs");
        let answer = connection.receive(false).expect("the node runs");
        assert!([status, 503].contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        answer.status == status
    };
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let name = format!("c-{round}-{writer}-{number}");
        told.insert(name.clone(), Told::Nothing);
        if !answered("POST", "/consumers", &format!("username={name}"), 201) {
            continue;
        }
        told.insert(name.clone(), Told::Made);
        made.fetch_add(1, Ordering::SeqCst);
        if !answered("POST", &format!("/consumers/{name}/key-auth"), &format!("key={name}"), 201) || number % 3 != 2 {
            continue;
        }
        told.insert(name.clone(), Told::Nothing);
        if answered("DELETE", &format!("/consumers/{name}"), "", 204) {
            told.insert(name, Told::Removed);
        }
    }
    told
}

/// All records of a collection.
fn all(admin: SocketAddr, collection: &str) -> Vec<Value> {
    let (mut records, mut next) = (Vec::new(), format!("/{collection}?size=1000"));
    loop {
        let page = get(admin, &next).expect(200).json();
        records.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(path) => next = path.to_owned() + "&size=1000",
            None => return records,
        }
    }
}

#[test]
fn what_was_answered_before_the_database_was_killed_is_there() {
    let mut postgres = Postgres::start(&[]);
    let node = node(&bootstrapped(&postgres, &[]));
    let admin = node.admin();
    let mut told = BTreeMap::new();
    for round in 0..longer(3) {
        let (made, stop) = (AtomicUsize::default(), AtomicBool::default());
        std::thread::scope(|scope| {
            let (made, stop) = (&made, &stop);
            let writers: Vec<_> =
                (0..4).map(|writer| scope.spawn(move || write_on(admin, writer, round, made, stop))).collect();
            // At another moment each time.
            eventually("writes are under way", || made.load(Ordering::SeqCst) > 10 + round * 17 % 60);
            postgres.kill();
            get(admin, "/consumers").expect(503);
            postgres.revive();
            let before = made.load(Ordering::SeqCst);
            eventually("writes go on", || made.load(Ordering::SeqCst) > before);
            stop.store(true, Ordering::SeqCst);
            writers.into_iter().for_each(|writer| told.extend(writer.join().expect("the answers are right")));
        });
        let consumers = all(admin, "consumers");
        let ids: Vec<&str> = consumers.iter().filter_map(|consumer| consumer["id"].as_str()).collect();
        let names: Vec<&str> = consumers.iter().filter_map(|consumer| consumer["username"].as_str()).collect();
        for (name, told) in &told {
            let there = names.contains(&name.as_str());
            assert!(*told == Told::Nothing || there == (*told == Told::Made), "{name}: {told:?}, and there: {there}");
        }
        for key in all(admin, "key-auths") {
            assert!(ids.contains(&key["consumer"]["id"].as_str().unwrap()), "a key without a consumer: {key}");
        }
    }
}
