//! Reads of the Admin API go to a replica. A database of its own stands for one, so that it can be told where an answer
//! comes from.

use crate::setup::{bootstrapped, node};
use blackbox::Postgres;
use blackbox::http::{form, get};

#[test]
fn reads_come_from_the_replica_and_without_it_from_the_database() {
    let replica = Postgres::start(&[]);
    let mut settings = bootstrapped(Postgres::shared(), &[]);
    let of_replica = bootstrapped(&replica, &[]);
    let name = of_replica.into_iter().find(|(name, _)| name == "pg_database").unwrap().1;
    settings.push(("pg_ro_host".to_owned(), replica.host()));
    settings.push(("pg_ro_database".to_owned(), name));
    let node = node(&settings);
    form(node.admin(), "POST", "/services", "name=s&host=h.test").expect(201);
    get(node.admin(), "/services/s").expect(404);
    form(node.admin(), "PATCH", "/services/s", "host=g.test").expect(200);
    replica.kill();
    // What is under way on a connection fails with it; what comes then goes elsewhere.
    blackbox::eventually("the database is asked instead", || get(node.admin(), "/services/s").status == 200);
    let said = "the replica (pg_ro_host) does not answer";
    blackbox::eventually("it is said", || node.log().contains(said));
    get(node.admin(), "/services/s").expect(200);
    assert_eq!(node.log().matches(said).count(), 1, "it is said once");
    assert!(!node.log().contains("the database does not answer"));
    assert!(get(node.status(), "/status").expect(200).json()["database"]["reachable"] == true);
}
