//! Records of plugins in Lua that are known by several fields, in a file of SQLite.

use blackbox::Node;
use blackbox::http::{get, json};
use serde_json::json;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");

#[test]
fn keys_of_several_fields_are_keys() {
    let node = Node::start(&[("plugins", "bundled, ledger"), ("lua_package_path", PATH)]);
    let admin = node.admin();
    let service = json(admin, "POST", "/services", &json!({ "name": "s", "url": "http://127.0.0.1:1" }));
    let id = service.expect(201).json()["id"].as_str().unwrap().to_owned();
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "ledger" })).expect(201);
    let said = get(node.proxy(), "/?do=records").expect(200).json();
    let why = format!(
        "[postgres] could not find the entity with primary key '{{account=\"c\",day=1700000000,service=\"{id}\"}}'"
    );
    let key = format!("ledger_entries:a:1700000000:{id}:::");
    assert_eq!(
        said,
        json!({ "inserted": 1, "twice": "primary key violation", "ttl": said["ttl"], "updated": 5, "upserted": 7,
            "sum": 12, "of_service": 2, "err": why, "short": "invalid primary key", "key": key, "deleted": true,
            "left": 1 })
    );
    assert!((58..=60).contains(&said["ttl"].as_i64().unwrap()), "{said}");
    let refused = get(node.proxy(), "/?do=query").expect(200).json();
    assert!(refused["err"].as_str().unwrap().starts_with("cannot perform queries: SQLite"), "{refused}");
}
