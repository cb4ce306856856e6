//! A server that is killed, stands still or is only read in the middle of writes: what was answered is there, and
//! nothing is half done.

use crate::setup::{bootstrapped, node, with};
use blackbox::http::{Connection, form, get, request};
use blackbox::{Backend, Node, Pooler, Postgres, eventually, longer};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

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
        if answer.status == 503 {
            // What is away needs the machine to come back.
            std::thread::park_timeout(Duration::from_millis(20));
        }
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

/// Writes while something gets in the way of it and goes away again, a few times; then looks at what is there. `hinder`
/// and `help` end when that has shown.
fn write_through(node: &Node, mut hinder: impl FnMut(), mut help: impl FnMut()) {
    let admin = node.admin();
    let backend = Backend::start("b");
    form(admin, "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(admin, "POST", "/services/s/routes", "paths[]=/s").expect(201);
    form(admin, "POST", "/services/s/plugins", "name=key-auth").expect(201);
    let mut told = BTreeMap::new();
    for round in 0..longer(2) {
        let (made, stop) = (AtomicUsize::default(), AtomicBool::default());
        std::thread::scope(|scope| {
            let (made, stop) = (&made, &stop);
            let writers: Vec<_> =
                (0..4).map(|writer| scope.spawn(move || write_on(admin, writer, round, made, stop))).collect();
            // At another moment each time.
            eventually("writes are under way", || made.load(Ordering::SeqCst) > 10 + round * 17 % 60);
            hinder();
            get(node.proxy(), "/s").expect(401);
            get(node.status(), "/status/ready").expect(200);
            help();
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
            // What nobody was told of is in force, too.
            let headers = [("apikey", key["key"].as_str().unwrap())];
            eventually("the key is known", || request(node.proxy(), "GET", "/s", &headers, b"").unwrap().status == 200);
        }
    }
}

/// Writes are refused from now on, or no longer.
fn refuses(admin: SocketAddr) -> bool {
    form(admin, "PUT", "/consumers/probe", "custom_id=probe").status == 503
}

#[test]
fn what_was_answered_before_the_database_was_killed_is_there() {
    let postgres = RefCell::new(Postgres::start(&[]));
    let node = node(&bootstrapped(&postgres.borrow(), &[]));
    let hinder = || {
        postgres.borrow().kill();
        get(node.admin(), "/consumers").expect(503);
    };
    write_through(&node, hinder, || postgres.borrow_mut().revive());
}

#[test]
fn a_database_that_stands_still_keeps_nobody_waiting() {
    let postgres = Postgres::start(&[]);
    let node = node(&bootstrapped(&postgres, &[("pg_timeout", "500")]));
    let hinder = || {
        postgres.freeze();
        get(node.admin(), "/consumers").expect(503);
    };
    write_through(&node, hinder, || postgres.thaw());
}

#[test]
fn a_database_that_is_only_read_refuses_writes() {
    let postgres = Postgres::start(&[]);
    let node = node(&bootstrapped(&postgres, &[]));
    let hinder = || {
        postgres.refuse_writes(true);
        eventually("writes are refused", || refuses(node.admin()));
        get(node.admin(), "/consumers").expect(200);
    };
    write_through(&node, hinder, || postgres.refuse_writes(false));
}

#[test]
fn a_pooler_may_be_started_again() {
    let postgres = Postgres::start(&[]);
    let pooler = RefCell::new(Pooler::start(&postgres));
    let settings = bootstrapped(&postgres, &[("db_update_frequency", "0.2")]);
    let node = node(&with(&settings, &[("pg_host", &pooler.borrow().host())]));
    let hinder = || {
        pooler.borrow_mut().kill();
        eventually("the database is away", || get(node.admin(), "/consumers").status == 503);
    };
    write_through(&node, hinder, || pooler.borrow_mut().revive());
}

#[test]
fn a_database_without_room_refuses_writes_and_loses_nothing() {
    let postgres = Postgres::shared();
    let settings = bootstrapped(postgres, &[]);
    let database = settings.iter().find(|(name, _)| name == "pg_database").map(|(_, name)| name.as_str()).unwrap();
    let node = node(&settings);
    form(node.admin(), "POST", "/consumers", "username=before").expect(201);
    // As the server says it.
    let full = "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION \
                'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
                CREATE TRIGGER no_room BEFORE INSERT ON consumers EXECUTE FUNCTION no_room()";
    postgres.sql(database, full);
    let refused = form(node.admin(), "POST", "/consumers", "username=lost").expect(507);
    assert_eq!(refused.json()["message"], "The database has no room left");
    get(node.admin(), "/consumers/before").expect(200);
    get(node.admin(), "/consumers/lost").expect(404);
    postgres.sql(database, "DROP TRIGGER no_room ON consumers");
    form(node.admin(), "POST", "/consumers", "username=after").expect(201);
}
