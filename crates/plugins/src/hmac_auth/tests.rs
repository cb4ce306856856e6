//! The rules of `hmac-auth`, without sockets.

use super::*;
use aws_lc_rs::hmac;
use sdk::testing::{self, Entries};
use serde_json::json;

const NOW: u64 = 1_000_000_000;
const DATE: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

fn configure(changes: Value) -> Box<dyn Plugin> {
    let mut config = json!({
        "hide_credentials": false, "clock_skew": 300, "anonymous": null, "validate_request_body": false,
        "enforce_headers": [], "algorithms": ["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"], "realm": null
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&HmacAuth, config, &Env::default())
}

/// A request at [`NOW`] to a gateway that knows Ada as `u1` with the secret `s1`.
fn request(method: &str, target: &str, lines: &[(&str, &str)]) -> Exchange {
    let mut entries = Entries::default();
    let ada = entries.consumer("ada", None);
    let fields = json!({ "username": "u1", "secret": "s1" });
    entries.credential_of(&HmacAuth.credentials()[0], "u1", &ada, fields);
    entries.consumer("guest", None);
    let mut exchange = testing::exchange_with(method, target, lines, entries.into());
    exchange.timing.started_unix_ms = NOW * 1_000;
    exchange
}

/// An `Authorization` line for what was signed with `s1`.
fn authorization(algorithm: &str, names: &str, signed: &str) -> String {
    let method = match algorithm {
        "hmac-sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "hmac-sha224" => hmac::HMAC_SHA224,
        "hmac-sha384" => hmac::HMAC_SHA384,
        "hmac-sha512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let tag = BASE64_STANDARD.encode(hmac::sign(&hmac::Key::new(method, b"s1"), signed.as_bytes()));
    format!(r#"hmac username="u1", algorithm="{algorithm}", headers="{names}", signature="{tag}""#)
}

fn by_date() -> String {
    authorization("hmac-sha256", "date", &format!("date: {DATE}"))
}

/// The message of a refusal, empty when the request went on.
fn refusal(plugin: &dyn Plugin, exchange: &mut Exchange) -> String {
    match testing::access(plugin, exchange) {
        None => String::new(),
        Some(answer) => serde_json::from_slice::<Value>(&answer.body).unwrap()["message"].as_str().unwrap().to_owned(),
    }
}

fn ask(config: Value, lines: &[(&str, &str)]) -> String {
    refusal(&*configure(config), &mut request("GET", "/r?q=1", lines))
}

const UNVERIFIABLE: &str = "HMAC signature cannot be verified";
const MISMATCH: &str = "HMAC signature does not match";

#[test]
fn all_algorithms() {
    for algorithm in ["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"] {
        let line = authorization(algorithm, "date", &format!("date: {DATE}"));
        assert_eq!(ask(json!({}), &[("Authorization", &line), ("Date", DATE)]), "", "{algorithm}");
        let other = json!({ "algorithms": ["hmac-md5"] });
        assert!(HmacAuth.configure(&plugin(other), &Env::default()).is_err());
    }
    let line = authorization("hmac-sha224", "date", &format!("date: {DATE}"));
    assert_eq!(ask(json!({}), &[("Authorization", &line), ("Date", DATE)]), UNVERIFIABLE);
    let named = json!({ "algorithms": ["hmac-sha224"] });
    assert_eq!(ask(named, &[("Authorization", &line), ("Date", DATE)]), "");
    let line = authorization("hmac-md5", "date", &format!("date: {DATE}"));
    assert_eq!(ask(json!({}), &[("Authorization", &line), ("Date", DATE)]), UNVERIFIABLE);
    let only = json!({ "algorithms": ["hmac-sha512"] });
    assert_eq!(ask(only, &[("Authorization", &by_date()), ("Date", DATE)]), UNVERIFIABLE);
}

fn plugin(config: Value) -> entities::Plugin {
    let record = json!({ "id": entities::Uuid::nil().to_string(), "name": "hmac-auth", "config": config });
    entities::Plugin::from_record(record.as_object().unwrap()).unwrap()
}

#[test]
fn lines_and_parts_of_the_request_line_are_signed() {
    let signed = |names: &str, text: &str| authorization("hmac-sha256", names, text);
    let line = signed("date x-a x-none", &format!("date: {DATE}\nx-a: one\nx-none:"));
    let with = |value: &str| ask(json!({}), &[("Authorization", &line), ("Date", DATE), ("X-A", value)]);
    assert_eq!(with("one"), "");
    assert_eq!(with("two"), MISMATCH);
    let target = signed("@request-target", "@request-target: get /r?q=1");
    assert_eq!(ask(json!({}), &[("Authorization", &target), ("Date", DATE)]), "");
    let request_line = signed("request-line", "GET /r?q=1 HTTP/1.1");
    assert_eq!(ask(json!({}), &[("Authorization", &request_line), ("Date", DATE)]), "");
    let another = signed("request-line", "GET /r?q=2 HTTP/1.1");
    let lines = [("Authorization", &*another), ("Date", DATE), ("request-line", "GET /r?q=2 HTTP/1.1")];
    assert_eq!(ask(json!({}), &lines), MISMATCH, "a line of that name is not the request line");
}

#[test]
fn lines_that_have_to_be_signed() {
    let enforcing = || json!({ "enforce_headers": ["date", "@request-target"] });
    assert_eq!(ask(enforcing(), &[("Authorization", &by_date()), ("Date", DATE)]), UNVERIFIABLE);
    let text = format!("@request-target: get /r?q=1\ndate: {DATE}");
    let both = authorization("hmac-sha256", "@request-target date", &text);
    assert_eq!(ask(enforcing(), &[("Authorization", &both), ("Date", DATE)]), "");
}

#[test]
fn dates_are_near_ours() {
    let line = authorization("hmac-sha256", "x-a", "x-a:");
    let at = |name: &str, date: &str| ask(json!({}), &[("Authorization", &line), (name, date)]);
    let refused = Refusal::Date.words();
    assert_eq!(at("Date", "Sun, 09 Sep 2001 01:51:40 GMT"), "");
    assert_eq!(at("X-Date", "Sun, 09 Sep 2001 01:41:40 +0000"), "");
    assert_eq!(at("X-Date", "Sun, 09 Sep 2001 01:41:40 UTC"), "");
    assert_eq!(at("Date", "Sun, 09 Sep 2001 01:51:41 GMT"), refused);
    assert_eq!(at("X-Date", "Sun, 09 Sep 2001 01:41:39 GMT"), refused);
    assert_eq!(at("X-Date", "yesterday"), refused);
    assert_eq!(at("X-Other", DATE), refused);
    let both = [("Authorization", &*line), ("X-Date", "yesterday"), ("Date", DATE)];
    assert_eq!(ask(json!({}), &both), "");
}

#[test]
fn what_cannot_be_verified() {
    assert_eq!(ask(json!({}), &[("Date", DATE)]), "Unauthorized");
    let with = |line: &str| ask(json!({}), &[("Authorization", line), ("Date", DATE)]);
    assert_eq!(with("hmac nonsense"), UNVERIFIABLE);
    assert_eq!(with(&by_date().replace("u1", "u2")), UNVERIFIABLE);
    assert_eq!(with(&by_date().replace("headers", "lines")), UNVERIFIABLE);
    assert_eq!(with(&by_date().replace("signature=\"", "signature=\"%")), MISMATCH);
    assert_eq!(with(&by_date().replace("signature=\"", "signature=\"AAAA")), MISMATCH);
}

#[test]
fn the_line_for_proxies_goes_before_the_other_one() {
    let line = by_date();
    let both = [("Proxy-Authorization", &*line), ("Authorization", "hmac bad"), ("Date", DATE)];
    assert_eq!(ask(json!({}), &both), "");
    let other = [("Proxy-Authorization", "Basic eA=="), ("Authorization", &*line), ("Date", DATE)];
    assert_eq!(ask(json!({}), &other), "");
}

#[test]
fn bodies_have_the_digest_that_the_client_gives() {
    let plugin = configure(json!({ "validate_request_body": true }));
    assert!(plugin.phases().has(Phases::READS_BODY));
    let post = |digest: Option<&str>, body: sdk::RequestBody| {
        let line = by_date();
        let mut exchange = request("POST", "/", &[("Authorization", &line), ("Date", DATE)]);
        if let Some(digest) = digest {
            exchange.request.fields.append("Digest", digest.as_bytes());
        }
        exchange.body = body;
        refusal(&*plugin, &mut exchange)
    };
    let digest = Some("SHA-256=LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
    assert_eq!(post(digest, "hello".into()), "");
    assert_eq!(post(digest, "hullo".into()), MISMATCH);
    assert_eq!(post(None, "hello".into()), MISMATCH);
    assert_eq!(post(None, "".into()), "");
    assert_eq!(post(digest, sdk::RequestBody::TooLarge), Refusal::TooLarge.words());
}

#[test]
fn who_goes_on() {
    let line = by_date();
    let mut exchange = request("GET", "/", &[("Authorization", &line), ("Date", DATE)]);
    assert_eq!(refusal(&*configure(json!({ "hide_credentials": true })), &mut exchange), "");
    let fields = &exchange.request.fields;
    assert_eq!(fields.get_str("X-Consumer-Username"), Some("ada"));
    assert_eq!(fields.get_str("X-Credential-Identifier"), Some("u1"));
    assert!(!fields.contains("Authorization"));
    let mut exchange = request("GET", "/", &[]);
    assert_eq!(refusal(&*configure(json!({ "anonymous": "guest" })), &mut exchange), "");
    assert_eq!(exchange.request.fields.get_str("X-Consumer-Username"), Some("guest"));
    let answer = testing::access(&*configure(json!({ "realm": "api" })), &mut request("GET", "/", &[])).unwrap();
    assert_eq!(answer.fields.get_str("WWW-Authenticate"), Some("hmac realm=\"api\""));
}
