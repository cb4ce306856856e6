//! What functions make of answers.

use super::*;
use sdk::testing;
use serde_json::json;

fn plugin(config: Value) -> Box<dyn Plugin> {
    testing::configure(&ExitTransformer, config, &Env::default())
}

/// What a function makes of an answer on a route.
fn exit(function: &str, answer: Answer) -> Answer {
    let mut exchange = testing::exchange("GET", "/path", &[]);
    exchange.route = Some(testing::route(json!({ "paths": ["/"] })));
    plugin(json!({ "functions": [function] })).exit(&mut exchange, answer)
}

fn denied() -> Answer {
    Answer::json(401, &json!({ "message": "No" })).with("WWW-Authenticate", b"Key")
}

#[test]
fn answers_are_edited() {
    let function = r#"return function(status, body, headers)
        body.message = body.message .. " from " .. kong.request.get_path()
        headers["X-Status"] = status
        headers["X-List"] = {"a", "b"}
        return 418, body, headers
    end"#;
    let answer = exit(function, denied());
    assert_eq!(answer.status, 418);
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), json!({ "message": "No from /path" }));
    assert_eq!(answer.fields.get("X-Status"), Some(&b"401"[..]));
    assert_eq!(answer.fields.get("WWW-Authenticate"), Some(&b"Key"[..]));
    assert_eq!(answer.fields.get_all("X-List").count(), 2);
    assert_eq!(answer.fields.get("Content-Type"), Some(JSON));
}

#[test]
fn what_is_not_there_is_nil() {
    let function = "return function(status, body, headers) return 200, body == nil and headers == nil and 'nil' end";
    let answer = exit(function, Answer::new(204, Bytes::new()));
    assert_eq!(answer.body, "nil");
    assert_eq!(answer.fields.get("Content-Type"), None);
    let nothing = exit("return function() return 204 end", denied());
    assert!(nothing.body.is_empty());
    assert_eq!(nothing.fields.iter().count(), 0);
}

#[test]
fn content_that_is_no_object_is_what_it_is() {
    let identity = "return function(status, body, headers) return status, body, headers end";
    let value = exit(identity, Answer::json(400, &json!(false)));
    assert_eq!(value.body, "false");
    let text = exit(identity, Answer::new(400, "<b>").with("Content-Type", b"text/html"));
    assert_eq!(text.body, "<b>");
    assert_eq!(text.fields.get("Content-Type"), Some(&b"text/html"[..]));
    assert_eq!(exit(identity, Answer::new(400, &b"\xff"[..])).body, &b"\xff"[..]);
}

#[test]
fn functions_that_fail_leave_answers_as_they_were() {
    for function in [
        "return function() error('no') end",
        "return function() return 'x' end",
        "return function() return 99 end",
        "return function() return 200, nil, 'x' end",
        "return function() return 200, nil, { ['a b'] = 'x' } end",
        "return function() return 200, nil, { a = 'x\\r\\ny: z' } end",
        "return function() return 200, nil, { a = {{}} } end",
        "return 1",
    ] {
        let answer = exit(function, denied());
        assert_eq!(answer.status, 401, "{function}");
        assert_eq!(answer.body, r#"{"message":"No"}"#, "{function}");
    }
}

#[test]
fn each_function_gets_what_the_one_before_has_returned() {
    let add = "return function(status, body, headers) return status + 1, body, headers end";
    let mut exchange = testing::exchange("GET", "/", &[]);
    exchange.route = Some(testing::route(json!({ "paths": ["/"] })));
    let plugin = plugin(json!({ "functions": [add, "return function() error('no') end", add] }));
    assert_eq!(plugin.exit(&mut exchange, denied()).status, 403);
}

#[test]
fn what_is_unknown_or_unexpected_is_edited_where_it_is_asked_for() {
    let function = "return function() return 299 end";
    let status = |unknown: bool, unexpected: bool, has_route: bool, status: u16, source: Source| {
        let config = json!({ "functions": [function], "handle_unknown": unknown, "handle_unexpected": unexpected });
        let mut exchange = testing::exchange("GET", "/", &[]);
        exchange.route = has_route.then(|| testing::route(json!({ "paths": ["/"] })));
        let answer = Answer { source, ..Answer::new(status, "x") };
        plugin(config).exit(&mut exchange, answer).status
    };
    assert_eq!(status(false, false, false, 404, Source::Error), 404);
    assert_eq!(status(true, false, false, 404, Source::Error), 299);
    assert_eq!(status(true, false, false, 400, Source::Error), 400);
    assert_eq!(status(false, true, false, 400, Source::Error), 400);
    assert_eq!(status(true, true, false, 400, Source::Error), 299);
    assert_eq!(status(false, false, true, 502, Source::Error), 502);
    assert_eq!(status(false, true, true, 502, Source::Error), 299);
    assert_eq!(status(false, false, true, 404, Source::Exit), 299);
}

#[test]
fn code_is_checked_before_it_is_stored() {
    assert!(is_code(&json!("return function(")).unwrap_err().starts_with("Error parsing function"));
}
