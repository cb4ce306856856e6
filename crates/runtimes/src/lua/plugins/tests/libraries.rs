//! Libraries that are in C where OpenResty is, and Kong's own for records.

use super::super::load;
use super::paths;
use sdk::{Env, Exchange, testing};
use serde_json::{Value, json};

async fn outcome(what: &str) -> Value {
    let mut exchange = testing::exchange("GET", &format!("/?do={what}"), &[]);
    asked(what, &mut exchange).await
}

async fn asked(what: &str, exchange: &mut Exchange) -> Value {
    let plugin = testing::configure(load(&["libraries"], &paths()).unwrap()[0], json!({}), &Env::default());
    let answer = testing::access_waiting(&*plugin, exchange).await.unwrap();
    assert_eq!(answer.status, 200, "{what}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn numbers_have_64_bits_and_memory_is_luas_own() {
    let expected = json!({
        "number": "6ULL", "is": true, "named": false, "parsed": "18446744073709551615ULL", "errno": 0, "seconds": true,
        "size": 24, "kind": 7, "last": "1099511627781ULL", "near": -2, "text": "word", "beyond": false,
        "unknown": false, "library": false, "pointer": "cdata", "written": [6, 0, -1], "read_back": "a line",
        "absent": -1, "failed": 2,
    });
    assert_eq!(outcome("numbers").await, expected);
}

#[tokio::test]
async fn patterns_capture_what_they_match() {
    let expected = json!({
        "sum": 26, "named": { "key": "x", "1": "y", "2": 3 }, "nested": 7, "open": true, "changed": "bbnbnb",
        "long": "text", "short": true, "counted": 4, "ahead": 2, "swapped": "baab%", "endless": 1,
    });
    assert_eq!(outcome("patterns").await, expected);
}

#[tokio::test]
async fn schemas_of_code_judge_as_others_do() {
    let expected = json!({
        "names": ["word", "size", "inner"], "filled": { "word": "a", "size": 3, "inner": { "even": 2 } }, "right": true,
        "missing": "word: required field missing", "outside": "size: value should be between 1 and 9",
        "odd": "inner.even: must be even", "partly": true, "code": 2, "known": 5,
        "violation": "[probe] 2 schema violations (a: is wrong; b.c: too)",
        "unique": "[probe] UNIQUE violation detected on '{word=\"a\"}'", "none": "no fields in schema definition",
    });
    assert_eq!(outcome("schemas").await, expected);
}

#[tokio::test]
async fn keys_of_aes_are_made_as_openssl_makes_them() {
    let expected = json!({
        "hex": "badfbe948e5add8349b13bd90af8d87a", "back": "text", "given": "text", "opened": "text", "forged": true,
        "short": "bad key length", "salt": "salt must be 8 characters or nil", "none": true,
    });
    assert_eq!(outcome("aes").await, expected);
}

#[tokio::test]
async fn texts_are_taken_apart_as_kong_does() {
    let mut exchange = testing::exchange("GET", "/?do=texts", &[]);
    let expected = json!({
        "pieces": ["a/b", " c/d"], "counted": [["a", "b", ",c"], 3], "once": ["a", "b=c"], "by_pattern": ["a", "b2"],
        "octets": [["", "a", "b", ""], 4], "whole": ["a", "b", ""], "broken": [false, 3], "size": "5.2 MiB",
        "charset": "UTF-8", "note": "b c", "errors": "first second", "suffixed": true, "seconds": 5400,
        "answer": "application/json; charset=utf-8", "pattern": "function", "own": true,
    });
    assert_eq!(asked("texts", &mut exchange).await, expected);
    assert_eq!(exchange.upstream.query.as_deref(), Some("b=x%20y&c"));
}
