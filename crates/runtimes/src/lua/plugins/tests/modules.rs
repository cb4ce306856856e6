//! Modules that plugins have in OpenResty and Kong.

use super::super::load;
use super::paths;
use sdk::{Env, testing};
use serde_json::{Value, json};

async fn outcome(what: &str) -> Value {
    let plugin = testing::configure(load(&["modules"], &paths()).unwrap()[0], json!({}), &Env::default());
    let mut exchange = testing::exchange("GET", &format!("/?do={what}"), &[]);
    let answer = testing::access_waiting(&*plugin, &mut exchange).await.unwrap();
    assert_eq!(answer.status, 200, "{what}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn keys_sign_and_verify() {
    let keys = outcome("keys").await;
    for kind in ["rsa", "ec", "ed"] {
        let expected = json!({ "private": true, "verified": true, "by_jwk": true, "other": false });
        assert_eq!(keys[kind], expected, "{kind}");
    }
    assert_eq!(keys["digest"], true);
    assert_eq!(keys["none"], "pkey.new: it is no key in PEM or DER");
}

#[tokio::test]
async fn certificates_are_read_and_vouched_for() {
    let certificate = outcome("certificate").await;
    assert_eq!(certificate["name"], "example.test");
    assert_eq!(certificate["issuer"], "C=AT/O=Example/CN=example.test");
    assert_eq!(certificate["names"], json!(["DNS:example.test", "IP:4"]));
    for what in ["valid", "stranger", "known", "same"] {
        assert_eq!(certificate[what], true, "{what}");
    }
}

#[tokio::test]
async fn ciphers_are_those_of_the_standards() {
    let ciphers = outcome("ciphers").await;
    assert_eq!(ciphers["gcm"], "secret");
    assert_eq!(ciphers["cbc"], "secret");
    assert_eq!(ciphers["length"], 16);
    assert_eq!(ciphers["forged"], true);
    assert_eq!(ciphers["none"], true);
    // FIPS 197 with a key and a text of zeros.
    assert_eq!(ciphers["hex"], "66e94bd4ef8a2c3b884cfa59ca342b2e");
}

#[tokio::test]
async fn content_is_deflated_and_inflated() {
    let expected = json!({ "raw": true, "zlib": true, "gzip": true, "broken": false, "whole": true });
    assert_eq!(outcome("compression").await, expected);
}

#[tokio::test]
async fn derived_keys_are_those_of_the_rfcs() {
    let keys = outcome("derived_keys").await;
    assert_eq!(keys["pbkdf2"], PBKDF2);
    assert_eq!(keys["hkdf"], HKDF);
    assert_eq!(keys["too_many"], false);
}

/// RFC 6070, the second case.
const PBKDF2: &str = "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957";
/// RFC 5869, the first case.
const HKDF: &str = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";

#[tokio::test]
async fn tokens_are_signed_and_verified() {
    let tokens = outcome("tokens").await;
    for algorithm in ["HS256", "RS256", "PS256", "ES256", "EdDSA"] {
        assert_eq!(tokens["out"][algorithm], true, "{algorithm}");
    }
    let errors = json!({ "exp": "token expired", "nbf": "token not valid yet", "iat": "must be a number" });
    assert_eq!(tokens["errors"], errors);
    assert_eq!(tokens["none"], "invalid JSON");
    assert_eq!(tokens["alg"], "invalid alg");
}

#[tokio::test]
async fn what_is_cached_is_loaded_once() {
    let cache = outcome("cache").await;
    assert_eq!(cache["levels"], json!([3, 1, 2]));
    assert_eq!(cache["value"], 1);
    assert_eq!(cache["negative"], json!([1]));
    assert_eq!(cache["peeked"], true);
    assert_eq!(cache["set"], "other");
    assert_eq!(cache["deleted"], -1);
    assert_eq!(cache["failed"], "callback threw an error: boom");
    assert_eq!(cache["resurrected"], json!(["old", null, 4]));
    assert_eq!(cache["loads"], 3);
}

#[tokio::test]
async fn queues_deliver_in_batches_and_try_again() {
    tokio::task::LocalSet::new()
        .run_until(async {
            load(&["modules"], &paths()).unwrap()[0].start_worker(0);
            let queue = outcome("queue").await;
            assert_eq!(queue["came"], json!(["c:1,2", "c:3,4"]));
            assert_eq!(queue["tries"], 3);
        })
        .await;
}

#[tokio::test]
async fn modules_of_kong_are_there() {
    let expected = json!({
        "sent": "kong.calls:2|c|@0.5|#a:b,c", "refused": "code starts no programs here",
        "disabled": "API disabled in the current context", "settings": true,
    });
    assert_eq!(outcome("stand_ins").await, expected);
}

#[tokio::test]
async fn files_are_listed() {
    let files = outcome("files").await;
    assert_eq!(files["names"], json!([".", "..", "handler.lua", "schema.lua"]));
    assert_eq!(files["mode"], "directory");
    assert_eq!(files["none"], true);
}
