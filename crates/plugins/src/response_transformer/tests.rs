//! What becomes of responses, without sockets.

use super::*;
use sdk::{Known, MemoryBudget, Script, Scripts, testing};
use serde_json::{Value, json};
use std::sync::Arc;

fn respond(config: Value, lines: &[(&str, &str)], body: &[&str]) -> (Exchange, String) {
    let plugin = testing::configure(&ResponseTransformer, config, &Env::default());
    let mut exchange = testing::exchange("GET", "/", &[]);
    let body = testing::respond(&*plugin, &mut exchange, 200, lines, body);
    (exchange, body)
}

#[test]
fn header_lines() {
    let config = json!({
        "remove": { "headers": ["x-gone"] }, "rename": { "headers": ["x-old:x-new"] },
        "replace": { "headers": ["x-have:R", "x-havenot:R"] },
        "add": { "headers": ["x-add:A", "x-present:A", "x-none:"] },
        "append": { "headers": ["x-app:2", "x-fresh:1:2"] }
    });
    let lines = [("X-Gone", "1"), ("X-Old", "o"), ("X-Have", "h"), ("X-Present", "p"), ("X-App", "1")];
    let (exchange, _) = respond(config, &lines, &["x"]);
    let mut shown: Vec<_> = exchange
        .response
        .fields
        .iter()
        .map(|(n, v)| format!("{}={}", n.to_lowercase(), String::from_utf8_lossy(v)))
        .collect();
    shown.sort();
    assert_eq!(shown, ["x-add=A", "x-app=1", "x-app=2", "x-fresh=1:2", "x-have=R", "x-new=o", "x-present=p"]);
}

#[test]
fn json_members() {
    let config = || {
        json!({
            "remove": { "json": ["gone"] }, "rename": { "json": ["old:new"] },
            "replace": { "json": ["have:R", "havenot:R"] },
            "add": { "json": ["add:A", "present:A"] }, "append": { "json": ["app:2", "fresh:1"] }
        })
    };
    let lines = [("Content-Type", "application/json; charset=utf-8"), ("Content-Length", "70")];
    let (exchange, body) =
        respond(config(), &lines, &["{\"gone\":1,\"old\":\"o\",\"ha", "ve\":\"h\",\"present\":\"p\",\"app\":\"1\"}"]);
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({ "new": "o", "have": "R", "add": "A", "present": "p", "app": ["1", "2"], "fresh": ["1"] })
    );
    assert!(!exchange.response.fields.has(Known::ContentLength));
    assert_eq!(respond(config(), &[("Content-Type", "text/plain"), ("Content-Length", "2")], &["{}"]).1, "{}");
    assert_eq!(respond(config(), &lines, &["{bro", "ken"]).1, "{broken");
}

#[test]
fn json_that_is_no_text_is_edited() {
    let plugin = testing::configure(&ResponseTransformer, json!({ "add": { "json": ["a:b"] } }), &Env::default());
    let mut exchange = testing::exchange("GET", "/", &[]);
    let lines = [("Content-Type", "application/json")];
    let body: [&[u8]; 2] = [b"{\"l\":\"\xe9\",", b"\"n\":1.10}"];
    let edited = testing::respond_octets(&*plugin, &mut exchange, 200, &lines, &body);
    assert_eq!(edited, b"{\"l\":\"\xe9\",\"n\":1.10,\"a\":\"b\"}");
}

#[test]
fn what_cannot_be_held_is_passed_on_as_it_is() {
    let env = Env::default().with_memory(MemoryBudget::new(10_000));
    let plugin = testing::configure(&ResponseTransformer, json!({ "add": { "json": ["a:b"] } }), &env);
    let lines = [("Content-Type", "application/json")];
    let respond = |body: &[&str]| {
        let mut exchange = testing::exchange("GET", "/", &[]);
        testing::respond(&*plugin, &mut exchange, 200, &lines, body)
    };
    let text = "x".repeat(6_000);
    assert_eq!(
        respond(&["{\"l\":\"", &text, "\",\"m\":\"", &text, "\"}"]),
        format!(r#"{{"l":"{text}","m":"{text}"}}"#)
    );
    assert_eq!(respond(&["{\"l\":\"", &text, "\"}"]), format!(r#"{{"l":"{text}","a":"b"}}"#));
    assert_eq!(respond(&["{}"]), r#"{"a":"b"}"#);
    assert_eq!(env.memory().taken(), 0);
}

#[test]
fn header_names_are_checked() {
    assert_eq!(are_header_names(&json!("a b:c")).unwrap_err(), "'a b' is not a valid header");
    assert_eq!(are_header_names(&json!("a:c d")).unwrap_err(), "'c d' is not a valid header");
    assert!(are_header_names(&json!("a:c")).is_ok());
}

#[test]
fn what_cannot_become_a_line_is_refused() {
    assert_eq!(is_line("x y:1").unwrap_err(), "'x y' is not a valid header");
    assert_eq!(
        is_line("x:a\r\nb: c").unwrap_err(),
        "bad header value 'a\\r\\nb: c', control characters are not allowed"
    );
    assert!(is_line("x:a\tb:\u{e9}").is_ok() && is_line("x y:").is_ok());
}

/// Status, lines and content of a response that the advanced plugin has seen.
fn advance(config: Value, status: u16, lines: &[(&str, &str)], body: &[u8]) -> (Exchange, Vec<u8>) {
    let plugin = testing::configure(&ResponseTransformerAdvanced, config, &Env::default());
    let mut exchange = testing::exchange("GET", "/", &[]);
    let body = testing::respond_octets(&*plugin, &mut exchange, status, lines, &[body]);
    (exchange, body)
}

fn advanced_json(config: Value, status: u16, body: Value) -> Value {
    let body = advance(config, status, &[("Content-Type", "application/json")], body.to_string().as_bytes()).1;
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn statuses_decide() {
    let config = || {
        json!({
            "remove": { "json": ["secret"], "headers": ["x-secret"], "if_status": ["500-599"] },
            "add": { "json": ["n:1"], "json_types": ["number"], "headers": ["x-ok:1"], "if_status": ["200"] }
        })
    };
    assert_eq!(advanced_json(config(), 200, json!({ "secret": 1 })), json!({ "secret": 1, "n": 1 }));
    assert_eq!(advanced_json(config(), 503, json!({ "secret": 1 })), json!({}));
    let lines = |status| {
        let exchange = advance(config(), status, &[("X-Secret", "1")], b"x").0;
        exchange.response.fields.iter().map(|(name, _)| name.to_lowercase()).collect::<Vec<_>>()
    };
    assert_eq!(lines(200), ["x-secret", "x-ok"]);
    assert!(lines(503).is_empty());
    let length = [("Content-Type", "application/json"), ("Content-Length", "2")];
    assert!(advance(config(), 404, &length, b"{}").0.response.fields.has(Known::ContentLength), "it is not held");
}

#[test]
fn names_are_paths_on_demand() {
    let config = json!({ "dots_in_keys": false, "remove": { "json": ["customers[*].info.phone"] } });
    let before = json!({ "customers": [{ "info": { "phone": 1, "n": 2 } }] });
    assert_eq!(advanced_json(config, 200, before), json!({ "customers": [{ "info": { "n": 2 } }] }));
}

#[test]
fn values_in_lines_go() {
    let left = |entry: &str, lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|line| ("H", *line)).collect();
        let exchange = advance(json!({ "remove": { "headers": [entry] } }), 200, &lines, b"").0;
        exchange.response.fields.get_all("H").map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(left("h", &["v1", "v2"]), [""; 0]);
    assert_eq!(left("h:v1", &["v1, v2,v3", "v1"]), ["v2,v3"]);
    assert_eq!(left("h:v", &["v1, v2"]), ["v1, v2"]);
    assert_eq!(left("h:/JSESSIONID=.*/", &["JSESSIONID=1876832,path=/"]), ["path=/"]);
    assert_eq!(left("h://status/$/", &["/match/status/,/status/no-match/"]), ["/status/no-match/"]);
    let lines = [("Set-Cookie", "a=1; Expires=Thu, 01 Jan 1970"), ("Set-Cookie", "b=2")];
    let exchange = advance(json!({ "remove": { "headers": ["set-cookie:/^a=/"] } }), 200, &lines, b"").0;
    assert_eq!(exchange.response.fields.get_all("Set-Cookie").collect::<Vec<_>>(), [b"b=2"]);
    assert!(is_removal(&json!("h:/(/")).is_err());
}

#[test]
fn content_is_replaced_whole() {
    let config = || json!({ "replace": { "body": "{\"error\":1}", "if_status": ["500"] } });
    let lines = [("Content-Length", "4"), ("Content-Encoding", "br")];
    let (exchange, body) = advance(config(), 500, &lines, b"oops");
    assert_eq!(body, b"{\"error\":1}");
    assert_eq!(exchange.response.fields.iter().count(), 0);
    assert_eq!(advance(config(), 200, &[], b"fine").1, b"fine");
}

#[test]
fn compressed_content_is_edited() {
    use std::io::Read;
    let mut zipped = Vec::new();
    flate2::read::GzEncoder::new(&b"{\"a\":1}"[..], flate2::Compression::fast()).read_to_end(&mut zipped).unwrap();
    let lines = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    let edited = advance(json!({ "add": { "json": ["b:x"] } }), 200, &lines, &zipped).1;
    let mut text = String::new();
    flate2::read::GzDecoder::new(&edited[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, r#"{"a":1,"b":"x"}"#);
    assert_eq!(advance(json!({ "add": { "json": ["b:x"] } }), 200, &lines, b"broken").1, b"broken");
}

#[test]
fn only_allowed_members_are_seen() {
    let config = || json!({ "allow": { "json": ["a"] } });
    assert_eq!(advanced_json(config(), 200, json!({ "a": 1, "b": 2 })), json!({ "a": 1 }));
    assert_eq!(advanced_json(config(), 200, json!([1])), json!([1]));
    let json = [("Content-Type", "application/json")];
    assert_eq!(advance(config(), 200, &json, b"{\"a\":1,\"b\":2,}").1, b"", "it cannot be seen what is in it");
    let brotli = [("Content-Type", "application/json"), ("Content-Encoding", "br")];
    assert_eq!(advance(config(), 200, &brotli, b"secret").1, b"");
    let env = Env::default().with_memory(MemoryBudget::new(10_000));
    let plugin = testing::configure(&ResponseTransformerAdvanced, config(), &env);
    let mut exchange = testing::exchange("GET", "/", &[]);
    let text = "x".repeat(20_000);
    let pieces = ["{\"b\":\"", text.as_str(), "\"}"];
    assert_eq!(testing::respond(&*plugin, &mut exchange, 200, &json, &pieces), "");
    assert_eq!(env.memory().taken(), 0);
}

#[test]
fn both_plugins_edit_the_same_response() {
    let env = Env::default();
    let plain = testing::configure(&ResponseTransformer, json!({ "add": { "json": ["a:1"] } }), &env);
    let advanced = testing::configure(&ResponseTransformerAdvanced, json!({ "add": { "json": ["b:2"] } }), &env);
    let mut exchange = testing::exchange("GET", "/", &[]);
    exchange.response.status = 200;
    exchange.response.fields.set("Content-Type", b"application/json");
    plain.header_filter(&mut exchange);
    advanced.header_filter(&mut exchange);
    let piece = plain.body_filter(&mut exchange, Bytes::from_static(b"{}"), true);
    assert_eq!(advanced.body_filter(&mut exchange, piece, true), r#"{"a":"1","b":"2"}"#);
}

/// A run time whose code is the name of what it does.
struct Words;

struct Word(String);

impl Scripts for Words {
    fn load(&self, code: &str) -> Result<Arc<dyn Script>, String> {
        if code == "?" { Err("no word".to_owned()) } else { Ok(Arc::new(Word(code.to_owned()))) }
    }
}

impl Script for Word {
    fn value(&self, _exchange: &mut Exchange) -> Result<Value, String> {
        unreachable!("no plugin here asks for it")
    }

    fn call(&self, _exchange: &mut Exchange, arguments: &[Value]) -> Result<Vec<Value>, String> {
        match self.0.as_str() {
            "fail" => Err("failed".to_owned()),
            "nothing" => Ok(Vec::new()),
            word => Ok(vec![json!({ word: arguments[0] })]),
        }
    }

    fn text(&self, _exchange: &mut Exchange) -> Result<Vec<u8>, String> {
        unreachable!("no plugin here asks for it")
    }

    fn reads_content(&self) -> bool {
        false
    }
}

fn with_functions(transform: Value) -> Result<Box<dyn Plugin>, String> {
    let record = json!({
        "id": entities::Uuid::nil().to_string(), "name": "response-transformer-advanced",
        "config": { "dots_in_keys": false, "add": { "json": ["b:2"] }, "transform": transform }
    });
    let plugin = entities::Plugin::from_record(record.as_object().unwrap()).unwrap();
    ResponseTransformerAdvanced.configure(&plugin, &Env::default().with_scripts(Arc::new(Words)))
}

fn transformed(transform: Value, body: &str) -> String {
    let mut exchange = testing::exchange("GET", "/", &[]);
    let lines = [("Content-Type", "application/json")];
    testing::respond(&*with_functions(transform).unwrap(), &mut exchange, 200, &lines, &[body])
}

#[test]
fn functions_get_what_the_edits_leave() {
    assert_eq!(transformed(json!({ "functions": ["x", "y"] }), r#"{"a":1}"#), r#"{"y":{"x":{"a":1,"b":"2"}}}"#);
    assert_eq!(transformed(json!({ "functions": ["x"] }), "[1]"), r#"{"x":[1]}"#);
    assert_eq!(transformed(json!({ "functions": ["x"], "if_status": ["500"] }), "{}"), r#"{"b":"2"}"#);
}

#[test]
fn functions_get_members() {
    let transform = json!({ "functions": ["x"], "json": ["l[*].a", "o.a", "none"] });
    assert_eq!(
        transformed(transform, r#"{"l":[{"a":1},{"a":2},3],"o":{"a":null}}"#),
        r#"{"l":[{"a":{"x":1}},{"a":{"x":2}},3],"o":{"a":{"x":null}},"b":"2"}"#
    );
    let gone = json!({ "functions": ["nothing"], "json": ["a", "l[1]"] });
    assert_eq!(transformed(gone, r#"{"a":1,"l":[1,2]}"#), r#"{"l":[null,2],"b":"2"}"#);
}

#[test]
fn what_functions_cannot_look_at_is_withheld() {
    assert_eq!(transformed(json!({ "functions": ["x", "fail"] }), "{}"), "");
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(9 << 20));
    assert_eq!(transformed(json!({ "functions": ["x"] }), &large), "");
}

#[test]
fn code_that_cannot_be_loaded_is_an_error() {
    assert_eq!(
        with_functions(json!({ "functions": ["?"] })).err().as_deref(),
        Some("config.transform.functions: no word")
    );
}
