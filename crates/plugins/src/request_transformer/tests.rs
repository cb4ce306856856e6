//! The rules of `request-transformer`, without sockets.

use super::*;
use sdk::{RequestBody, testing};
use serde_json::json;

fn run(config: Value, mut exchange: Exchange) -> Exchange {
    let plugin = testing::configure(&RequestTransformer, config, &Env::default());
    assert!(testing::access(&*plugin, &mut exchange).is_none());
    exchange
}

fn headers(config: Value, lines: &[(&str, &str)]) -> Vec<String> {
    let exchange = run(config, testing::exchange("GET", "/", lines));
    let mut shown: Vec<_> = exchange
        .request
        .fields
        .iter()
        .map(|(n, v)| format!("{}={}", n.to_lowercase(), String::from_utf8_lossy(v)))
        .collect();
    shown.sort();
    shown
}

fn query(config: Value, target: &str) -> Option<String> {
    run(config, testing::exchange("GET", target, &[])).upstream.query
}

fn body(config: Value, kind: &str, body: &str) -> String {
    let mut exchange = testing::exchange("POST", "/", &[("Content-Type", kind)]);
    exchange.body = body.to_owned().into();
    String::from_utf8(run(config, exchange).body.bytes().unwrap().to_vec()).unwrap()
}

#[test]
fn header_lines() {
    let config = json!({
        "remove": { "headers": ["x-gone"] }, "rename": { "headers": ["x-old:x-new"] },
        "replace": { "headers": ["x-have:replaced", "x-havenot:replaced"] },
        "add": { "headers": ["x-add: 10:20", "x-present:added", "x-none:"] },
        "append": { "headers": ["x-app:two", "x-fresh:one"] }
    });
    let lines =
        [("X-Gone", "1"), ("X-Old", "o"), ("X-Have", "h"), ("X-Present", "p"), ("X-App", "one"), ("X-New", "before")];
    let expected =
        ["x-add=10:20", "x-app=one", "x-app=two", "x-fresh=one", "x-have=replaced", "x-new=o", "x-present=p"];
    assert_eq!(headers(config, &lines), expected);
}

#[test]
fn the_order_is_remove_rename_replace_add_append() {
    let config = json!({
        "remove": { "headers": ["x-a"] }, "rename": { "headers": ["x-b:x-c"] }, "replace": { "headers": ["x-c:R"] },
        "add": { "headers": ["x-a:A", "x-c:A"] }, "append": { "headers": ["x-a:P"] }
    });
    assert_eq!(headers(config, &[("X-A", "1"), ("X-B", "2")]), ["x-a=A", "x-a=P", "x-c=R"]);
}

#[test]
fn host_can_be_replaced_only() {
    let host = |config| run(config, testing::exchange("GET", "/", &[("Host", "h")])).upstream.host_header;
    assert_eq!(host(json!({ "replace": { "headers": ["Host:other.test"] } })).as_deref(), Some(&b"other.test"[..]));
    assert_eq!(host(json!({ "add": { "headers": ["Host:other.test"] }, "remove": { "headers": ["host"] } })), None);
}

#[test]
fn query_arguments() {
    let config = || json!({ "remove": { "querystring": ["gone"] }, "rename": { "querystring": ["old:new"] } });
    assert_eq!(query(config(), "/?gone=1&old=o"), Some("new=o".into()));
    assert_eq!(query(config(), "/?gone=1"), None);
    let config =
        || json!({ "replace": { "querystring": ["have:R", "havenot:R"] }, "add": { "querystring": ["have:A"] } });
    assert_eq!(query(config(), "/?have=h"), Some("have=R".into()));
    assert_eq!(query(config(), "/"), Some("have=A".into()));
    assert_eq!(query(json!({ "append": { "querystring": ["q:2"] } }), "/?q=1&z").as_deref(), Some("q=1&q=2&z"));
    assert_eq!(query(json!({ "add": { "headers": ["a:b"] } }), "/?q=a+b").as_deref(), Some("q=a+b"));
}

#[test]
fn bodies() {
    let config = || {
        json!({
            "remove": { "body": ["gone"] }, "rename": { "body": ["old:new"] },
            "replace": { "body": ["have:R", "havenot:R"] },
            "add": { "body": ["add:A", "present:A"] }, "append": { "body": ["app:2", "fresh:1"] }
        })
    };
    let before = json!({ "gone": 1, "old": "o", "have": "h", "present": null, "app": "1" }).to_string();
    let after = json!({ "new": "o", "have": "R", "add": "A", "present": null, "app": ["1", "2"], "fresh": ["1"] });
    assert_eq!(serde_json::from_str::<Value>(&body(config(), "application/json", &before)).unwrap(), after);
    assert_eq!(body(json!({ "add": { "body": ["a:b"] } }), "application/json", ""), r#"{"a":"b"}"#);
    assert_eq!(body(config(), "application/json", "{broken"), "{broken");
    assert_eq!(body(config(), "text/plain", "hello"), "hello");
    let form = json!({ "remove": { "body": ["gone"] }, "rename": { "body": ["old:new"] } });
    assert_eq!(body(form, "application/x-www-form-urlencoded", "gone=1&old=a+b"), "new=a%20b");
    let part =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let multipart = json!({ "remove": { "body": ["gone"] }, "add": { "body": ["more:yes"] } });
    let sent = part("gone", "1") + &part("x", "2") + "--b--\r\n";
    assert_eq!(
        body(multipart, "multipart/form-data; boundary=b", &sent),
        part("x", "2") + &part("more", "yes") + "--b--\r\n"
    );
    let add = json!({ "add": { "body": ["more:yes"] } });
    assert_eq!(body(add.clone(), "multipart/form-data; boundary=b", ""), part("more", "yes") + "--b--\r\n");
    assert_eq!(body(add, "multipart/form-data", ""), "", "there is no boundary");
    assert_eq!(body(json!({ "remove": { "body": ["x"] } }), "multipart/form-data; boundary=b", ""), "");
}

#[test]
fn methods_and_paths() {
    let mut exchange = testing::exchange("POST", "/?z=1", &[("Content-Type", "application/x-www-form-urlencoded")]);
    exchange.body = "a=1".into();
    let exchange = run(json!({ "http_method": "GET" }), exchange);
    assert_eq!(exchange.upstream.method.as_deref(), Some("GET"));
    assert_eq!(exchange.upstream.query.as_deref(), Some("z=1&a=1"));
    let mut exchange = testing::exchange("GET", "/r/ada/42", &[]);
    exchange.captures = vec![("user".to_owned(), b"a/d ?\xe9".to_vec()), ("id".to_owned(), b"42".to_vec())];
    let exchange = run(json!({ "replace": { "uri": "/u/$(uri_captures.user)/$(uri_captures[\"id\"])" } }), exchange);
    assert_eq!(exchange.upstream.path, "/u/a/d%20?%E9/42");
}

#[test]
fn what_templates_bring_in_is_escaped_and_mistakes_answer_500() {
    let exchange = run(
        json!({ "add": { "headers": ["x-q:$(query_params.q)"] } }),
        testing::exchange("GET", "/?q=a%0d%0aX-Evil:%201", &[]),
    );
    assert_eq!(exchange.request.fields.get_str("x-q"), Some("a%0D%0AX-Evil: 1"));
    let plugin = testing::configure(
        &RequestTransformer,
        json!({ "add": { "headers": ["x-q:$(headers.none.x)"] } }),
        &Env::default(),
    );
    assert_eq!(testing::access(&*plugin, &mut testing::exchange("GET", "/", &[])).unwrap().status, 500);
}

#[test]
fn entries_are_checked() {
    assert_eq!(has_value(&json!("a:")).unwrap_err(), "key 'a' has no value");
    assert!(
        has_value(&json!("a:$(os.exit())"))
            .unwrap_err()
            .starts_with("value '$(os.exit())' is not in supported format, error:")
    );
    assert_eq!(names_header(&json!("a b:1")).unwrap_err(), "'a b' is not a valid header");
    assert_eq!(names_headers(&json!("a:b c")).unwrap_err(), "'b c' is not a valid header");
    assert!(
        has_value(&json!("a:$(headers.x)")).is_ok()
            && names_header(&json!("x-a:1:2")).is_ok()
            && names_header(&json!("x-a:$(shared.a = true)")).is_ok()
            && names_headers(&json!("a:b")).is_ok()
    );
}

#[test]
fn what_nobody_edits_is_sent_as_it_came() {
    let edits = || {
        json!({
            "add": { "querystring": ["new:1"], "body": ["new:1"], "headers": ["x-q:$(query_params.l)"] },
            "remove": { "querystring": ["gone"], "body": ["gone"] }
        })
    };
    let exchange = run(edits(), testing::exchange("GET", "/?l=%E9+%2f&gone=%E8&f", &[("X-In", "a")]));
    assert_eq!(exchange.upstream.query.as_deref(), Some("l=%E9+%2f&f&new=1"));
    assert_eq!(exchange.request.fields.get("x-q"), Some(&b"\xe9 /"[..]));
    let sent = |kind: &str, body: &[u8]| {
        let mut exchange = testing::exchange("POST", "/", &[("Content-Type", kind)]);
        exchange.body = body.to_vec().into();
        run(edits(), exchange).body.bytes().unwrap().escape_ascii().to_string()
    };
    assert_eq!(sent("application/x-www-form-urlencoded", b"l=%E9+%2f&gone=1&r=\xe8"), r"l=%E9+%2f&r=\xe8&new=1");
    assert_eq!(
        sent("application/json", b"{\"l\":\"\xe9\", \"n\":1.10}"),
        r#"{\"l\":\"\xe9\",\"n\":1.10,\"new\":\"1\"}"#
    );
    let part = b"--b\r\nContent-Disposition: form-data; name=\"\xe9\"\r\n\r\n\xff\r\n--b--\r\n";
    assert!(sent("multipart/form-data; boundary=b", part).contains(r#"name=\"\xe9\"\r\n\r\n\xff\r\n--b"#));
}

#[test]
fn a_form_in_the_query_keeps_its_octets() {
    let mut exchange = testing::exchange("POST", "/?z=%E9", &[("Content-Type", "application/x-www-form-urlencoded")]);
    exchange.body = b"a=%E8&b=\xe8+".to_vec().into();
    let exchange = run(json!({ "http_method": "GET" }), exchange);
    assert_eq!(exchange.upstream.query.as_deref(), Some("z=%E9&a=%E8&b=%E8%20"));
}

#[test]
fn a_body_that_is_too_large_is_not_an_empty_one() {
    let mut exchange = testing::exchange("POST", "/", &[("Content-Type", "application/json")]);
    exchange.body = RequestBody::TooLarge;
    assert!(run(json!({ "add": { "body": ["a:b"] } }), exchange).body.is_too_large());
}

#[test]
fn without_memory_content_is_passed_on_as_it_is() {
    let env = Env::default().with_memory(MemoryBudget::new(10));
    let plugin = testing::configure(&RequestTransformer, json!({ "add": { "body": ["a:b"] } }), &env);
    let mut exchange = testing::exchange("POST", "/", &[("Content-Type", "application/json")]);
    exchange.body = r#"{"k":"some content"}"#.into();
    assert!(testing::access(&*plugin, &mut exchange).is_none());
    assert_eq!(exchange.body.bytes().unwrap(), r#"{"k":"some content"}"#);
}

/// The request as the advanced plugin leaves it, or the status of its answer.
fn advance(config: Value, kind: &str, body: impl Into<RequestBody>) -> Result<Exchange, u16> {
    let plugin = testing::configure(&RequestTransformerAdvanced, config, &Env::default());
    let mut exchange = testing::exchange("POST", "/?q=5", &[("Content-Type", kind)]);
    exchange.body = body.into();
    assert!(plugin.phases().has(Phases::READS_BODY));
    match testing::access(&*plugin, &mut exchange) {
        Some(answer) => Err(answer.status),
        None => Ok(exchange),
    }
}

fn advanced_json(config: Value, body: Value) -> Value {
    let exchange = advance(config, "application/json", body.to_string()).unwrap();
    serde_json::from_slice(exchange.body.bytes().unwrap()).unwrap()
}

#[test]
fn values_have_types() {
    let config = json!({
        "add": {
            "body": ["n:$(query_params.q)", "none:", "b:true", "s:5"], "json_types": ["number", "number", "boolean"]
        },
        "append": { "body": ["l:2"], "json_types": ["number"] },
        "replace": { "body": ["have:1.5"], "json_types": ["number"] }
    });
    let after = json!({ "l": [1, 2], "have": 1.5, "n": 5, "b": true, "s": "5" });
    assert_eq!(advanced_json(config, json!({ "l": [1], "have": "x" })), after);
}

#[test]
fn names_are_paths_on_demand() {
    let config = |dots: bool| {
        json!({
            "dots_in_keys": dots, "remove": { "body": ["users[*].secret"] }, "rename": { "body": ["a.b:c"] },
            "replace": { "body": ["users[1].name:x"] }
        })
    };
    let before = json!({ "a": { "b": 1 }, "a.b": 2, "users": [{ "name": "n", "secret": 1 }, { "secret": 2 }] });
    assert_eq!(
        advanced_json(config(false), before.clone()),
        json!({ "a": { "c": 1 }, "a.b": 2, "users": [{ "name": "x" }, {}] })
    );
    let users = before["users"].clone();
    assert_eq!(advanced_json(config(true), before), json!({ "a": { "b": 1 }, "c": 2, "users": users }));
}

#[test]
fn only_allowed_members_go_on() {
    let config = || json!({ "allow": { "body": ["a"] }, "add": { "body": ["new:1"] } });
    assert_eq!(advanced_json(config(), json!({ "a": 1, "b": 2 })), json!({ "a": 1, "new": "1" }));
    let form = advance(config(), "application/x-www-form-urlencoded", "a=1&b=2&a=3").unwrap();
    assert_eq!(form.body.bytes().unwrap(), "a=1&a=3&new=1");
    let none = json!({ "allow": { "body": [] } });
    assert_eq!(advanced_json(none, json!({ "a": 1 })), json!({}));
}

#[test]
fn what_cannot_be_looked_at_is_not_allowed() {
    let config = || json!({ "allow": { "body": ["a"] } });
    assert_eq!(advance(config(), "application/json", RequestBody::TooLarge).err(), Some(413));
    assert_eq!(advance(config(), "application/json", "{\"a\":1,\"b\":2,}").err(), Some(400));
    assert!(advance(config(), "application/json", "[1]").is_ok());
    assert!(advance(config(), "text/plain", "b").is_ok());
    let env = Env::default().with_memory(MemoryBudget::new(4));
    let plugin = testing::configure(&RequestTransformerAdvanced, config(), &env);
    let mut exchange = testing::exchange("POST", "/", &[("Content-Type", "application/json")]);
    exchange.body = r#"{"a":"long enough","b":1}"#.into();
    assert_eq!(testing::access(&*plugin, &mut exchange).unwrap().status, 500);
}
