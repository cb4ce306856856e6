//! What the schemas of the bundled plugins accept and how they word refusals.

use super::bundled;
use model::{Catalog, Record};
use serde_json::{Value, json};

fn catalog() -> Catalog {
    let mut catalog = Catalog::core();
    for kind in bundled() {
        sdk::register(*kind, &mut catalog).unwrap();
    }
    catalog
}

/// The complete record of a plugin, or the `fields` of the refusal.
fn insert(name: &str, config: Value) -> Result<Record, Value> {
    let catalog = catalog();
    let Value::Object(input) = json!({ "name": name, "config": config }) else { unreachable!() };
    catalog.entity("plugins").unwrap().process_insert(&catalog, input).map_err(|error| error.fields)
}

#[test]
fn every_plugin_has_a_valid_schema_and_a_place_in_the_order() {
    let catalog = catalog();
    for kind in bundled() {
        let known = catalog.plugin(kind.name()).unwrap();
        assert_eq!(known.schema.name.as_str(), kind.name());
        assert_eq!(known.priority, kind.priority());
    }
    // Other forms of a plugin act where the plain one does.
    const ALIKE: [&str; 2] = ["header-cert-auth", "key-auth-enc"];
    let is_plain = |name: &str| !name.ends_with("-advanced") && !ALIKE.contains(&name);
    let plain = || bundled().iter().filter(|kind| is_plain(kind.name()));
    let mut priorities: Vec<_> = plain().map(|kind| kind.priority()).collect();
    priorities.sort_unstable();
    priorities.dedup();
    assert_eq!(priorities.len(), plain().count());
}

#[test]
fn defaults_make_configurations_complete() {
    let record = insert("key-auth", json!({})).unwrap();
    assert_eq!(
        record["config"],
        json!({
            "key_names": ["apikey"], "hide_credentials": false, "anonymous": null, "key_in_header": true,
            "key_in_query": true, "key_in_body": false, "run_on_preflight": true, "realm": null
        })
    );
    let record = insert("rate-limiting", json!({ "minute": 5, "redis_host": "127.0.0.1" })).unwrap();
    assert_eq!(record["config"]["policy"], json!("local"));
    assert_eq!(record["config"]["redis"]["host"], json!("127.0.0.1"));
}

#[test]
fn all_storages_of_certificates_are_accepted() {
    for storage in ["shm", "kong", "consul", "vault"] {
        let config = json!({ "account_email": "a@b.test", "tos_accepted": true, "storage": storage });
        assert!(insert("acme", config).is_ok(), "{storage}");
    }
}

#[test]
fn addresses_of_a_redis_stand_for_its_nodes() {
    let redis = json!({ "cluster_addresses": ["a.test:7000", "b.test"] });
    for name in ["rate-limiting-advanced", "service-protection"] {
        let config = json!({ "limit": [1], "window_size": [1], "redis": redis });
        let record = insert(name, config).unwrap();
        let nodes = json!([{ "ip": "a.test", "port": 7000 }, { "ip": "b.test", "port": 6379 }]);
        assert_eq!(record["config"]["redis"]["cluster_nodes"], nodes);
    }
    let redis = json!({ "sentinel_addresses": ["a.test:1"], "sentinel_master": "m", "sentinel_role": "master" });
    let record = insert("proxy-cache-advanced", json!({ "strategy": "redis", "redis": redis })).unwrap();
    assert_eq!(record["config"]["redis"]["sentinel_nodes"], json!([{ "host": "a.test", "port": 1 }]));
}

#[test]
fn refusals_have_kongs_words() {
    let refused = |name: &str, config: Value| insert(name, config).unwrap_err()["config"].clone();
    assert_eq!(
        refused("request-termination", json!({ "content_type": "text/plain" })),
        json!("content_type requires a body")
    );
    assert_eq!(
        refused("key-auth", json!({ "key_names": ["a b"] }))["key_names"][0].as_str().map(|e| e.contains("a b")),
        Some(true)
    );
    assert_eq!(
        refused("rate-limiting", json!({ "second": 20, "minute": 10 })),
        json!("The limit for minute(10.0) cannot be lower than the limit for second(20.0)")
    );
    let elsewhere = json!({ "strategy": "memory", "memory": { "dictionary_name": "nope" } });
    assert_eq!(insert("proxy-cache", elsewhere).unwrap_err(), json!({ "@entity": ["missing shared dict 'nope'"] }));
    assert_eq!(
        refused("rate-limiting", json!({ "minute": 1, "limit_by": "header" })),
        json!({ "header_name": "required field missing" })
    );
}

#[test]
fn what_becomes_a_header_line_has_no_line_breaks() {
    let split = "a\r\nX-Evil: 1";
    let cases = [
        ("request-termination", json!({ "body": "b", "content_type": split })),
        ("key-auth", json!({ "realm": split })),
        ("basic-auth", json!({ "realm": split })),
        ("hmac-auth", json!({ "realm": split })),
        ("jwt", json!({ "realm": split })),
        ("redirect", json!({ "location": format!("https://a.test/{split}") })),
        ("cors", json!({ "headers": ["x", split] })),
        ("cors", json!({ "exposed_headers": [split] })),
        ("correlation-id", json!({ "header_name": split })),
        ("rate-limiting", json!({ "minute": 1, "limit_by": "header", "header_name": split })),
        ("response-transformer", json!({ "add": { "headers": [format!("x:{split}")] } })),
        ("response-transformer", json!({ "replace": { "headers": ["x\n:y"] } })),
        ("response-transformer", json!({ "append": { "headers": ["x:a\0b"] } })),
        ("response-transformer", json!({ "rename": { "headers": [format!("x:{split}")] } })),
        ("request-transformer", json!({ "add": { "headers": [format!("x:{split}")] } })),
        ("request-transformer", json!({ "replace": { "headers": [format!("Host:{split}")] } })),
        ("request-transformer", json!({ "append": { "headers": ["x\r:y"] } })),
    ];
    for (name, config) in cases {
        let error = insert(name, config.clone()).unwrap_err();
        assert!(error["config"].is_object(), "{name} {config}: {error}");
        // A record that somebody else has stored.
        let kind = bundled().iter().find(|kind| kind.name() == name).unwrap();
        let id = sdk::entities::Uuid::nil().to_string();
        let record = json!({ "id": id, "name": name, "config": config });
        let plugin = sdk::entities::Plugin::from_record(record.as_object().unwrap()).unwrap();
        // It only looks for lines of that name.
        if name != "rate-limiting" {
            assert!(kind.configure(&plugin, &sdk::Env::default()).is_err(), "{name} {config}");
        }
    }
}
