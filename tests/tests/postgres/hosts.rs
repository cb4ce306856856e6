//! Several hosts: the one that can be written to is chosen, and another one when it takes over.

use crate::setup::{bootstrapped, node, with};
use blackbox::http::{form, get};
use blackbox::{Postgres, eventually};

#[test]
fn a_node_goes_to_the_server_that_can_be_written_to() {
    let first = Postgres::start(&[]);
    let settings = bootstrapped(&first, &[]);
    let database = &settings.iter().find(|(name, _)| name == "pg_database").unwrap().1;
    let second = first.standby();
    let hosts = format!("{},{}", second.host(), first.host());
    // The second one is read, and takes over.
    let node = node(&with(&settings, &[("pg_host", &hosts), ("pg_ro_host", &second.host())]));
    form(node.admin(), "POST", "/services", "name=s&host=h.test").expect(201);
    eventually("the replica has it", || get(node.admin(), "/services/s").status == 200);
    let there = "SELECT count(*) FROM services";
    eventually("the second server has it", || second.sql(database, there) == "1");
    first.kill();
    form(node.admin(), "POST", "/services", "name=t&host=h.test").expect(503);
    assert_eq!(second.sql(database, "SELECT pg_promote()"), "t");
    let made = || form(node.admin(), "POST", "/services", "name=t&host=h.test").status == 201;
    eventually("the second server is written to", made);
    assert_eq!(second.sql(database, there), "2");
    assert!(get(node.status(), "/status").expect(200).json()["database"]["reachable"] == true);
}
