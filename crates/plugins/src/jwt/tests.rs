//! The rules of `jwt`, without sockets.

use super::*;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sdk::testing::{self, Entries};
use serde_json::json;

const NOW: u64 = 1_700_000_000;

fn configure(changes: Value) -> Box<dyn Plugin> {
    let mut config = json!({
        "uri_param_names": ["jwt"], "cookie_names": [], "header_names": ["authorization"], "key_claim_name": "iss",
        "secret_is_base64": false, "claims_to_verify": null, "anonymous": null, "run_on_preflight": true,
        "maximum_expiration": 0, "realm": null
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&Jwt, config, &Env::default())
}

/// A request at [`NOW`] to a gateway that knows Ada by some credentials.
fn request(target: &str, lines: &[(&str, &str)]) -> Exchange {
    let mut entries = Entries::default();
    let ada = entries.consumer("ada", None);
    for (key, fields) in [
        ("plain", json!({ "secret": "s3cret", "algorithm": "HS256" })),
        ("base64", json!({ "secret": "czNjcmV0" })),
        ("long", json!({ "secret": "s3cret", "algorithm": "HS512" })),
        ("none", json!({ "algorithm": "ES256" })),
    ] {
        entries.credential_of(&Jwt.credentials()[0], key, &ada, fields);
    }
    entries.consumer("guest", None);
    let mut exchange = testing::exchange_with("GET", target, lines, entries.into());
    exchange.timing.started_unix_ms = NOW * 1_000;
    exchange
}

/// A token that is signed with `s3cret`.
fn token(algorithm: &str, header: Value, claims: Value) -> String {
    let method = if algorithm == "HS512" { hmac::HMAC_SHA512 } else { hmac::HMAC_SHA256 };
    let mut head = json!({ "alg": algorithm });
    head.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
    let encode = |octets: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(octets);
    let signed = format!("{}.{}", encode(head.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(method, b"s3cret"), signed.as_bytes());
    format!("{signed}.{}", encode(tag.as_ref()))
}

fn good(claims: Value) -> String {
    let mut all = json!({ "iss": "plain" });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    token("HS256", json!({}), all)
}

/// What a refusal says, null when the request went on.
fn said(plugin: &dyn Plugin, mut exchange: Exchange) -> Value {
    match testing::access(plugin, &mut exchange) {
        None => Value::Null,
        Some(answer) => {
            assert_eq!(answer.status, 401);
            let said: Value = serde_json::from_slice(&answer.body).unwrap();
            said.get("message").cloned().unwrap_or(said)
        }
    }
}

fn with_token(config: Value, token: &str) -> Value {
    said(&*configure(config), request("/", &[("Authorization", &format!("Bearer {token}"))]))
}

#[test]
fn tokens_name_credentials() {
    let with_claims = |claims: Value| with_token(json!({}), &token("HS256", json!({}), claims));
    assert_eq!(with_token(json!({}), &good(json!({}))), Value::Null);
    assert_eq!(with_token(json!({}), "abc"), "Bad token; invalid JSON");
    assert_eq!(with_claims(json!({})), "No mandatory 'iss' in claims");
    assert_eq!(with_claims(json!({ "iss": false })), "No mandatory 'iss' in claims");
    for iss in [json!(""), json!(7), json!(null), json!(["plain"])] {
        assert_eq!(with_claims(json!({ "iss": iss })), "Invalid 'iss' in claims");
    }
    assert_eq!(with_claims(json!({ "iss": "who" })), "No credentials found for given 'iss'");
}

#[test]
fn another_claim_or_the_header_may_name_the_credential() {
    let kid = || json!({ "key_claim_name": "kid" });
    assert_eq!(with_token(kid(), &token("HS256", json!({}), json!({ "kid": "plain" }))), Value::Null);
    assert_eq!(with_token(kid(), &token("HS256", json!({ "kid": "plain" }), json!({}))), Value::Null);
    assert_eq!(with_token(kid(), &good(json!({}))), "No mandatory 'kid' in claims");
}

#[test]
fn signatures_are_verified_by_the_algorithm_of_the_credential() {
    let of = |algorithm: &str, key: &str| token(algorithm, json!({}), json!({ "iss": key }));
    assert_eq!(with_token(json!({}), &of("HS512", "long")), Value::Null);
    assert_eq!(with_token(json!({}), &of("HS256", "long")), "Invalid algorithm");
    assert_eq!(with_token(json!({}), &of("HS512", "plain")), "Invalid algorithm");
    assert_eq!(with_token(json!({}), &of("ES256", "none")), "Invalid key/secret");
    assert_eq!(with_token(json!({}), &of("HS256", "base64")), "Invalid signature");
    assert_eq!(with_token(json!({ "secret_is_base64": true }), &of("HS256", "base64")), Value::Null);
    assert_eq!(with_token(json!({ "secret_is_base64": true }), &of("HS256", "plain")), "Invalid signature");
    let (signed, _) = good(json!({})).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(with_token(json!({}), &format!("{signed}.AAAA")), "Invalid signature");
}

#[test]
fn tokens_are_found_in_queries_cookies_and_headers() {
    let token = good(json!({}));
    let config = || {
        json!({ "uri_param_names": ["jwt", "t"], "cookie_names": ["tok"],
        "header_names": ["authorization", "x-jwt"] })
    };
    let ask = |target: &str, lines: &[(&str, &str)]| said(&*configure(config()), request(target, lines));
    assert_eq!(ask(&format!("/?jwt={token}"), &[]), Value::Null);
    assert_eq!(ask(&format!("/?t={token}"), &[]), Value::Null);
    assert_eq!(ask("/", &[("Cookie", &format!("a=b; tok={token}"))]), Value::Null);
    assert_eq!(ask("/", &[("X-Jwt", &format!("bearer  {token}"))]), Value::Null);
    assert_eq!(ask("/", &[("X-Jwt", &token)]), "Unauthorized");
    assert_eq!(ask("/", &[("Authorization", &format!("Bearer{token}"))]), "Unauthorized");
    assert_eq!(ask("/?jwt&t=", &[("Cookie", &format!("other={token}"))]), "Unauthorized");
    let bearer = format!("Bearer {token}");
    let other = good(json!({ "n": 1 }));
    assert_eq!(ask(&format!("/?jwt={token}"), &[("Authorization", &bearer)]), Value::Null);
    assert_eq!(ask(&format!("/?jwt={other}"), &[("Authorization", &bearer)]), "Multiple tokens provided");
    assert_eq!(ask(&format!("/?jwt={other}&jwt={token}"), &[]), "Multiple tokens provided");
}

#[test]
fn claims_hold_when_they_are_to_be_verified() {
    let both = |claims: Value| with_token(json!({ "claims_to_verify": ["exp", "nbf"] }), &good(claims));
    let (expired, early) = ("token expired", "token not valid yet");
    assert_eq!(both(json!({ "exp": NOW + 1, "nbf": NOW })), Value::Null);
    assert_eq!(both(json!({ "exp": NOW, "nbf": NOW })), json!({ "exp": expired }));
    assert_eq!(both(json!({ "exp": NOW + 1, "nbf": NOW + 1 })), json!({ "nbf": early }));
    assert_eq!(both(json!({ "exp": NOW, "nbf": NOW + 1 })), json!({ "exp": expired, "nbf": early }));
    assert_eq!(both(json!({ "exp": "1" })), json!({ "exp": "must be a number", "nbf": "must be a number" }));
    assert_eq!(with_token(json!({}), &good(json!({ "exp": 1, "nbf": NOW + 9 }))), Value::Null);
}

#[test]
fn tokens_may_not_live_too_long() {
    let limited =
        |claims: Value| with_token(json!({ "claims_to_verify": ["exp"], "maximum_expiration": 300 }), &good(claims));
    assert_eq!(limited(json!({ "exp": NOW + 300 })), Value::Null);
    assert_eq!(limited(json!({ "exp": NOW + 301 })), json!({ "exp": "exceeds maximum allowed expiration" }));
    assert_eq!(limited(json!({ "exp": NOW })), json!({ "exp": "token expired" }));
    // As it may be stored already.
    let unverified = with_token(json!({ "maximum_expiration": 300 }), &good(json!({})));
    assert_eq!(unverified, json!({ "exp": "exceeds maximum allowed expiration" }));
    assert!(check_config(&json!({ "maximum_expiration": 300, "claims_to_verify": null })).is_err());
    assert!(check_config(&json!({ "maximum_expiration": 300, "claims_to_verify": ["exp"] })).is_ok());
    assert!(check_config(&json!({ "maximum_expiration": 0, "claims_to_verify": null })).is_ok());
}

#[test]
fn challenges_tell_bad_tokens_from_missing_ones() {
    let challenge = |config: Value, lines: &[(&str, &str)]| {
        let answer = testing::access(&*configure(config), &mut request("/", lines)).unwrap();
        answer.fields.get_str("WWW-Authenticate").map(str::to_owned).unwrap_or_default()
    };
    let bad = [("Authorization", "Bearer x")];
    assert_eq!(challenge(json!({}), &[]), "Bearer");
    assert_eq!(challenge(json!({}), &bad), "Bearer error=\"invalid_token\"");
    assert_eq!(challenge(json!({ "realm": "api" }), &[]), "Bearer realm=\"api\"");
    assert_eq!(challenge(json!({ "realm": "api" }), &bad), "Bearer realm=\"api\", error=\"invalid_token\"");
}

#[test]
fn who_goes_on() {
    let bearer = format!("Bearer {}", good(json!({})));
    let mut exchange = request("/", &[("Authorization", &bearer)]);
    assert!(testing::access(&*configure(json!({ "anonymous": "guest" })), &mut exchange).is_none());
    assert_eq!(exchange.request.fields.get_str("X-Consumer-Username"), Some("ada"));
    assert_eq!(exchange.request.fields.get_str("X-Credential-Identifier"), Some("plain"));
    let mut exchange = request("/", &[("Authorization", "Bearer x")]);
    assert!(testing::access(&*configure(json!({ "anonymous": "guest" })), &mut exchange).is_none());
    assert_eq!(exchange.request.fields.get_str("X-Consumer-Username"), Some("guest"));
    let mut preflight = request("/", &[]);
    preflight.request.method = testing::exchange("OPTIONS", "/", &[]).request.method;
    assert_eq!(said(&*configure(json!({ "run_on_preflight": false })), preflight), Value::Null);
}

#[test]
fn records_of_which_no_key_can_be_made() {
    const WEAK: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDHIg0/i2P9RuVGJahAb5WF60C6
ublK6gwxvXN164Lr8Vp3KoGJ/Z8ttFmkogaNrCQZpDhifA0/YJcdWoDhyk5RQo47
lHJKVoQrjRaNhg7EJzyiVQWG1KzsjPMSHftZbcaWWiIDeFt2vNcn9hHT17qwoAl3
TZwqJ5D0ONiXTxMvUwIDAQAB
-----END PUBLIC KEY-----";
    let parse = |record: Value| Secret::parse(record.as_object().unwrap()).map(drop);
    assert!(parse(json!({ "algorithm": "RS256", "rsa_public_key": "no pem" })).is_err());
    assert!(parse(json!({ "algorithm": "XX" })).is_err());
    let checked = |pem: &str| super::secret::check_public_key(&json!(pem)).unwrap_err();
    assert_eq!(checked("no pem"), "invalid key");
    assert_eq!(checked(WEAK), "invalid key: an RSA key has to have 2048 to 8192 bits");
    assert!(parse(json!({ "algorithm": "ES256", "rsa_public_key": null })).is_ok());
}

#[test]
fn a_token_that_was_verified_is_good_for_its_record_and_its_time() {
    let plugin = configure(json!({ "claims_to_verify": ["exp"] }));
    let token = good(json!({ "exp": NOW + 10 }));
    let lines = [("Authorization", &*format!("Bearer {token}"))];
    let mut known = request("/", &lines);
    let directory = known.directory.clone();
    let again = || {
        let mut exchange = testing::exchange_with("GET", "/", &lines, directory.clone());
        exchange.timing.started_unix_ms = NOW * 1_000;
        exchange
    };
    assert!(testing::access(&*plugin, &mut known).is_none());
    let mut second = again();
    assert!(testing::access(&*plugin, &mut second).is_none());
    assert_eq!(second.request.fields.get_str("X-Credential-Identifier"), Some("plain"));
    assert_eq!(second.request.fields.get_str("X-Consumer-Username"), Some("ada"));
    let mut late = again();
    late.timing.started_unix_ms = (NOW + 10) * 1_000;
    assert_eq!(said(&*plugin, late), json!({ "exp": "token expired" }));
    // Another secret under the same key.
    let mut entries = Entries::default();
    let ada = entries.consumer("ada", None);
    entries.credential_of(&Jwt.credentials()[0], "plain", &ada, json!({ "secret": "other" }));
    let mut changed = again();
    changed.directory = entries.into();
    assert_eq!(said(&*plugin, changed), "Invalid signature");
    // Another instance looks elsewhere for the key.
    assert_eq!(said(&*configure(json!({ "key_claim_name": "kid" })), again()), "No mandatory 'kid' in claims");
}
