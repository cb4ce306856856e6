//! A pooler before the server, which lends its connections for a transaction each: what a node is told does not get to
//! it.

use crate::setup::{bootstrapped, node, with};
use blackbox::http::{form, get};
use blackbox::{Backend, Pooler, Postgres, eventually};

#[test]
fn nodes_behind_a_pooler_look_for_what_others_write() {
    let backend = Backend::start("b");
    let postgres = Postgres::shared();
    let pooler = Pooler::start(postgres);
    let settings = bootstrapped(postgres, &[]);
    let settings = with(&settings, &[("pg_host", &pooler.host()), ("db_update_frequency", "0.2")]);
    let (one, other) = (node(&settings), node(&settings));
    form(one.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(one.admin(), "POST", "/services/s/routes", "name=r&paths[]=/0").expect(201);
    eventually("the other node serves it", || get(other.proxy(), "/0").status == 200);
    form(other.admin(), "PATCH", "/routes/r", "paths[]=/1").expect(200);
    eventually("the first node serves it", || get(one.proxy(), "/1").status == 200);
    let said = "notifications do not get through, as behind a pooler in transaction mode";
    eventually("it is said", || other.log().contains(said));
    form(one.admin(), "PATCH", "/routes/r", "paths[]=/2").expect(200);
    eventually("the other node serves it", || get(other.proxy(), "/2").status == 200);
    assert_eq!(other.log().matches(said).count(), 1, "it is said once");
}
