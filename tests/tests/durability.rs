//! What has been answered is kept, and what fails leaves nothing behind: nodes that are killed in the middle of
//! writes, and disks that are full.

use blackbox::http::{Connection, Response, get, request};
use blackbox::{Node, eventually, longer};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What somebody was told of a consumer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    Made,
    Removed,
    /// The node died before it answered.
    Nothing,
}

/// Makes consumers with a key each and removes every third, until the node is gone; what was told of each.
fn write_on(admin: SocketAddr, writer: usize, round: usize) -> BTreeMap<String, Told> {
    let mut told = BTreeMap::new();
    let Ok(mut connection) = Connection::open(admin) else { return told };
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let mut answered = |method: &str, path: &str, body: &str, status: u16| {
        connection.send(method, path, &headers, body.as_bytes()).ok()?;
        connection.receive(false).ok().map(|answer| drop(answer.expect(status)))
    };
    for number in 0.. {
        let name = format!("c-{round}-{writer}-{number}");
        told.insert(name.clone(), Told::Nothing);
        if answered("POST", "/consumers", &format!("username={name}"), 201).is_none() {
            break;
        }
        told.insert(name.clone(), Told::Made);
        if answered("POST", &format!("/consumers/{name}/key-auth"), &format!("key={name}"), 201).is_none() {
            break;
        }
        if number % 3 == 2 {
            told.insert(name.clone(), Told::Nothing);
            if answered("DELETE", &format!("/consumers/{name}"), "", 204).is_none() {
                break;
            }
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
fn a_node_that_is_killed_while_it_writes_keeps_what_it_has_answered() {
    let mut node = Node::start(&[]);
    let mut told = BTreeMap::new();
    for round in 0..longer(3) {
        let admin = node.admin();
        let writers: Vec<_> = (0..4).map(|writer| std::thread::spawn(move || write_on(admin, writer, round))).collect();
        // At another moment each time, when there is something to lose.
        let enough = 10 + round * 17 % 60;
        eventually("writes are under way", || all(admin, "consumers").len() > told.len() * 2 / 3 + enough);
        node.kill();
        writers.into_iter().for_each(|writer| told.extend(writer.join().expect("the answers are right")));
        node.revive();
        let consumers = all(node.admin(), "consumers");
        let ids: Vec<&str> = consumers.iter().filter_map(|consumer| consumer["id"].as_str()).collect();
        for (name, told) in &told {
            let there = consumers.iter().any(|consumer| consumer["username"] == **name);
            assert!(*told == Told::Nothing || there == (*told == Told::Made), "{name}: {told:?}, and there: {there}");
        }
        for key in all(node.admin(), "key-auths") {
            assert!(ids.contains(&key["consumer"]["id"].as_str().unwrap()), "a key without a consumer: {key}");
        }
    }
}

/// Sets how large a file the node may write, which is what a full disk is to it.
fn limit_files(node: &Node, octets: Option<u64>) {
    let pid = Pid::from_raw(node.pid().try_into().unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: octets, maximum: None }).expect("the node is ours");
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let node = Node::start(&[]);
    let add = |name: &str| -> Response {
        let body = format!("username={name}&tags[]={}", "x".repeat(1_000));
        request(
            node.admin(),
            "POST",
            "/consumers",
            &[("Content-Type", "application/x-www-form-urlencoded")],
            body.as_bytes(),
        )
        .unwrap()
    };
    add("before").expect(201);
    limit_files(&node, Some(0));
    let refused = add("lost");
    assert_eq!(refused.status, 500, "{}", refused.text());
    get(node.admin(), "/consumers/before").expect(200);
    get(node.admin(), "/consumers/lost").expect(404);
    get(node.proxy(), "/").expect(404);
    limit_files(&node, None);
    // Without anybody's help.
    add("after").expect(201);
    get(node.admin(), "/consumers/before").expect(200);
    get(node.admin(), "/consumers/lost").expect(404);
}
