//! What plugins in Lua ask a database in SQL of their own.

use crate::setup::{bootstrapped, node};
use blackbox::http::{form, get};
use blackbox::{Postgres, eventually};
use serde_json::json;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");

#[test]
fn plugins_in_lua_ask_in_sql() {
    let settings = bootstrapped(Postgres::shared(), &[("plugins", "bundled, ledger"), ("lua_package_path", PATH)]);
    let (one, other) = (node(&settings), node(&settings));
    form(one.admin(), "POST", "/services", "name=s&url=http://127.0.0.1:1").expect(201);
    form(one.admin(), "POST", "/services/s/routes", "name=r&paths[]=/&strip_path=true").expect(201);
    form(one.admin(), "POST", "/plugins", "name=ledger").expect(201);
    let said = get(one.proxy(), "/?do=records").expect(200).json();
    assert_eq!(said["sum"], 12, "{said}");
    let said = get(one.proxy(), "/?do=query").expect(200).json();
    let wanted = json!({ "first": 1, "several": 4, "second": 1, "amount": said["amount"], "many": true,
        "list": ["a", "b,"], "null": true, "json": { "x": [1] }, "octets": "AB", "part": 1.5,
        "day": "2023-11-14 22:13:20+00", "returned": 0, "names": ["b", "it's"],
        "wrong": "ERROR: column \"nothing\" does not exist (8)",
        "open": "a transaction must end in the query that begins it: it was undone", "kept": 6,
        "database": "PostgreSQL", "mutex": true, "done": true });
    assert_eq!(said, wanted);
    // Routes are of another kind: all nodes take what was written.
    eventually("the other node serves", || get(other.proxy(), "/").status == 500);
    assert_eq!(get(one.proxy(), "/?do=rename").expect(200).json()["changed"], 1);
    for node in [&one, &other] {
        eventually("the node has read its routes anew", || {
            get(node.proxy(), "/").status == 404 && get(node.proxy(), "/renamed?do=rename").status == 200
        });
    }
}
