//! Kong's tools, and libraries that come with Kong.

use super::super::load;
use super::paths;
use sdk::{Env, testing};
use serde_json::{Value, json};

async fn outcome(what: &str) -> Value {
    let plugin = testing::configure(load(&["tools"], &paths()).unwrap()[0], json!({}), &Env::default());
    let mut exchange = testing::exchange("GET", &format!("/?do={what}"), &[]);
    let answer = testing::access_waiting(&*plugin, &mut exchange).await.unwrap();
    assert_eq!(answer.status, 200, "{what}: {:?}", answer.body);
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn addresses_are_found_in_networks() {
    let expected = json!({
        "within": true, "without": false, "octets": true, "narrow": "narrow", "wide": "wide",
        "invalid": "invalid ip address: 10.0.0.0/33", "cidr": true, "no_cidr": false,
        "whole": { "host": "0000:0000:0000:0000:0000:0000:0000:0001", "port": 80, "type": "ipv6" },
        "host": "[0000:0000:0000:0000:0000:0000:0000:0001]:80", "name": "name",
    });
    assert_eq!(outcome("addresses").await, expected);
}

#[tokio::test]
async fn texts_and_tables_are_as_in_kong() {
    let expected = json!({
        "size": "2.00 KiB", "octets": 8192, "decoded": "a", "args": "a=1%202&b%5b1%5d=x&b%5b2%5d=y", "token": true,
        "path": "/a/cA", "escaped": "/a%20b", "merged": { "a": 1, "b": 2 }, "day": 86400000, "utils": true,
    });
    assert_eq!(outcome("texts").await, expected);
}

#[tokio::test]
async fn references_are_taken_apart_and_their_places_found() {
    let config = json!({ "prefix": "x", "ttl": "5" });
    let expected = json!({
        "whole": { "name": "my-env", "resource": "a//b", "key": "key", "config": config, "version": 2 },
        "none": "not a reference [a]", "host": "reference url is missing host [{vault:///a}]",
        "path": "reference url is missing path [{vault://env}]",
        "empty": "reference url has empty path [{vault://env/}]",
        "version": "reference url has invalid version [{vault://env/a#b}]",
        "invalid": "reference url has invalid path [{vault://env//}]",
        "directory": { "name": "env", "resource": "a/b" }, "a": ["", ""], "b": "", "plain": "p",
        "calls": 1, "failed": "no", "get": "not a reference [a]", "env": true,
    });
    assert_eq!(outcome("references").await, expected);
}

#[tokio::test]
async fn forms_have_parts() {
    let expected = json!({ "all": { "a": "1", "b": "x\u{0}\r\ny", "c": "3" }, "gone": true });
    assert_eq!(outcome("forms").await, expected);
}

#[tokio::test]
async fn code_of_configurations_sees_what_it_may() {
    let none = "Bad return value from function, expected function type, got number";
    let expected = json!({ "method": "GET", "open": true, "extra": 1, "broken": true, "none": none });
    assert_eq!(outcome("sandboxes").await, expected);
}

#[tokio::test]
async fn messages_are_written_and_read() {
    let messages = outcome("messages").await;
    let item = json!({
        "name": "é", "kind": "BOOK", "sizes": [1, 2], "stock": { "here": 3 }, "at": { "seconds": 5, "nanos": 0 },
        "sold": false, "text": "2",
    });
    assert_eq!(messages["item"], item);
    assert_eq!(messages["wrong"], "table expected for field 'sizes'");
    assert_eq!(messages["long"], "the message is too large");
    assert_eq!(messages["kind"], "BOOK");
    assert_eq!(messages["type"], json!([".shop.Item", "Item", "message"]));
    assert_eq!(messages["method"], ".shop.Item");
    assert_eq!(messages["rule"], json!({ "get": "/a", "more": { "get": "/b" } }));
    assert_eq!(messages["rest"], "rest");
    for what in ["raw", "broken", "framed", "invalid"] {
        assert_eq!(messages[what], true, "{what}");
    }
}

#[tokio::test]
async fn several_plugins_say_one_limit() {
    assert_eq!(outcome("limits").await, json!({ "left": 3 }));
}

#[tokio::test]
async fn a_worker_meets_a_plugin_after_another_has_answered() {
    assert_eq!(super::status("exit").await, 418);
    assert_eq!(outcome("limits").await, json!({ "left": 3 }));
}

#[tokio::test]
async fn sets_are_asked_by_value() {
    let config = json!({ "named": { "deny": ["a", "b"] }, "list": [] });
    let plugin = testing::configure(load(&["tools"], &paths()).unwrap()[0], config, &Env::default());
    let mut exchange = testing::exchange("GET", "/?do=lists", &[]);
    let answer = testing::access_waiting(&*plugin, &mut exchange).await.unwrap();
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(said, json!({ "b": 2, "c": false, "count": 2, "list": "[]" }));
}

#[test]
fn records_are_required_unless_they_say_otherwise() {
    let schema: Value = serde_json::from_str(load(&["tools"], &paths()).unwrap()[0].schema()).unwrap();
    let config = &schema["fields"][0]["config"];
    assert_eq!(config["required"], true);
    assert_eq!(config["fields"][0]["inner"]["required"], true);
    assert_eq!(config["fields"][1]["none"]["required"], false);
}

#[tokio::test]
async fn yaml_is_read_and_written() {
    let expected = json!({ "a": [1, true], "null": true, "written": "---\na:\n- 1\nb: c\n...\n", "broken": false });
    assert_eq!(outcome("yaml").await, expected);
}
