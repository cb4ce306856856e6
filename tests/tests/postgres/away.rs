//! A database that is away: requests are served all the same, and nobody has to help when it is back.

use crate::setup::{bootstrapped, node};
use blackbox::http::{Response, form, get, request};
use blackbox::{Backend, Node, Postgres, eventually};
use rustix::process::Signal;

/// Gives a node a route of a service for those who have a key.
fn serve_with_keys(node: &Node, backend: &Backend) {
    let admin = node.admin();
    form(admin, "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(admin, "POST", "/services/s/routes", "paths[]=/s&name=r").expect(201);
    form(admin, "POST", "/services/s/plugins", "name=key-auth").expect(201);
    form(admin, "POST", "/consumers", "username=u").expect(201);
    form(admin, "POST", "/consumers/u/key-auth", "key=first").expect(201);
}

fn ask(node: &Node, key: &str) -> Response {
    request(node.proxy(), "GET", "/s", &[("apikey", key)], b"").unwrap()
}

fn is_reachable(node: &Node) -> bool {
    get(node.status(), "/status").expect(200).json()["database"]["reachable"] == true
}

#[test]
fn requests_are_served_while_the_database_is_away() {
    let mut postgres = Postgres::start(&[]);
    let backend = Backend::start("b");
    let node = node(&bootstrapped(&postgres, &[]));
    serve_with_keys(&node, &backend);
    postgres.kill();
    let read = get(node.admin(), "/services").expect(503);
    assert_eq!(read.json()["message"], "The database does not answer");
    (0..10).for_each(|_| drop(form(node.admin(), "POST", "/services", "name=t&host=h.test").expect(503)));
    assert!(!is_reachable(&node));
    get(node.status(), "/status/ready").expect(200);
    ask(&node, "first").expect(200);
    ask(&node, "second").expect(401);
    postgres.revive();
    eventually("the database answers again", || get(node.admin(), "/services/s").status == 200);
    form(node.admin(), "POST", "/consumers/u/key-auth", "key=second").expect(201);
    ask(&node, "second").expect(200);
    assert!(is_reachable(&node));
    // An answer that was under way may have come in between.
    let said = node.log().matches("the database does not answer").count();
    assert!((1..=2).contains(&said), "it is not said for each request");
}

#[test]
fn a_node_starts_without_its_database_from_what_it_had() {
    let mut postgres = Postgres::start(&[]);
    let backend = Backend::start("b");
    let settings = bootstrapped(&postgres, &[]);
    let mut node = node(&settings);
    serve_with_keys(&node, &backend);
    form(node.admin(), "POST", "/consumers/u/key-auth", "key=gone").expect(201);
    request(node.admin(), "DELETE", "/consumers/u/key-auth/gone", &[], b"").unwrap().expect(204);
    // Each change is copied for itself, so that a node that starts with this copy has seen them all.
    let copied = || {
        let copy = rusqlite::Connection::open(node.prefix().join("postgres.db")).unwrap();
        let keys = copy.query_row("SELECT count(*) FROM keyauth_credentials", [], |row| row.get::<_, i64>(0));
        let plugins = copy.query_row("SELECT count(*) FROM plugins", [], |row| row.get::<_, i64>(0));
        (keys, plugins) == (Ok(1), Ok(1))
    };
    eventually("the changes are copied", copied);
    assert!(node.end(Signal::TERM));
    postgres.kill();
    node.revive();
    ask(&node, "first").expect(200);
    ask(&node, "gone").expect(401);
    get(node.status(), "/status/ready").expect(200);
    get(node.admin(), "/services").expect(503);
    assert!(!is_reachable(&node));
    assert_eq!(node.log().matches("the database does not answer").count(), 1, "it is said once");
    postgres.revive();
    eventually("the database answers again", || get(node.admin(), "/services/s").status == 200);
    form(node.admin(), "POST", "/consumers/u/key-auth", "key=second").expect(201);
    ask(&node, "second").expect(200);
}

#[test]
fn nothing_is_served_that_is_not_of_this_database() {
    let postgres = Postgres::start(&[]);
    let mut node = node(&bootstrapped(&postgres, &[]));
    form(node.admin(), "POST", "/services", "name=s&host=h.test").expect(201);
    node.kill();
    postgres.kill();
    let database = "failed to retrieve PostgreSQL server_version_num";
    node.set("pg_schema", "another");
    assert!(node.refusal().contains(database));
    node.set("pg_schema", "");
    std::fs::remove_file(node.prefix().join("postgres.db")).unwrap();
    assert!(node.refusal().contains(database));
}
