//! What functions are given, and what becomes of what they say.

use super::*;
use sdk::testing::{self, Server};
use serde_json::{Map, json};

fn config(more: &Value) -> Map<String, Value> {
    let mut config = json!({
        "function_name": "a:b", "aws_region": "us-east-1", "aws_key": "AKID", "aws_secret": "s", "timeout": 5000,
        "keepalive": 1000, "base64_encode_body": true, "empty_arrays_mode": "legacy", "port": 443
    });
    let config = config.as_object_mut().unwrap();
    config.extend(more.as_object().unwrap().clone());
    config.clone()
}

fn event(more: &Value, target: &str, lines: &[(&str, &str)], body: &str) -> Value {
    let mut exchange = testing::exchange("POST", target, lines);
    exchange.body = Bytes::copy_from_slice(body.as_bytes()).into();
    exchange.captures = vec![("1".to_owned(), b"42".to_vec()), ("id".to_owned(), b"42".to_vec())];
    let config = config(more);
    serde_json::from_slice(&Shape::new(&Config::new(&config)).event(&exchange)).unwrap()
}

#[test]
fn members_of_query_and_body_are_one_event() {
    let json = [("Content-Type", "application/json")];
    let of = |target, lines, body| event(&json!({}), target, lines, body);
    assert_eq!(of("/a?q=1&q=2&f", &[], ""), json!({ "q": ["1", "2"], "f": true }));
    assert_eq!(of("/a?k=1&q=1", &json, r#"{"k": {"x": []}}"#), json!({ "k": { "x": [] }, "q": "1" }));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(of("/a", &form, "k=v+w"), json!({ "k": "v w" }));
    assert_eq!(of("/a", &[], "text"), json!({}));
    assert_eq!(of("/a", &json, "[{}, [], 5]"), json!([{}, [], 5]));
    assert_eq!(of("/a?q=1", &json, "[[], 2]"), json!({ "1": [], "2": 2, "q": "1" }));
    assert_eq!(of("/a", &json, "[]"), json!({}));
}

#[test]
fn parts_are_those_that_are_asked_for() {
    let all = json!({ "forward_request_body": true, "forward_request_uri": true });
    let octets = event(&all, "/a?q=1", &[("Content-Type", "x/y")], "hi");
    let expected = json!({
        "request_uri": "/a?q=1", "request_uri_args": { "q": "1" },
        "request_body": "aGk=", "request_body_base64": true, "request_body_args": {}
    });
    assert_eq!(octets, expected);
    let text = event(&all, "/a", &[("Content-Type", "text/plain")], "hi");
    assert_eq!(text["request_body"], "hi");
    assert_eq!(text["request_body_base64"], Value::Null);
}

#[test]
fn events_can_be_those_of_an_api_gateway() {
    let lines = [("Host", "a.test:80"), ("X-A", "1"), ("x-a", "2")];
    let event = event(&json!({ "awsgateway_compatible": true }), "/a?q=1&q=2", &lines, "hi");
    assert_eq!(event["headers"], json!({ "host": "a.test:80", "x-a": "1" }));
    assert_eq!(event["multiValueHeaders"]["x-a"], json!(["1", "2"]));
    assert_eq!(event["queryStringParameters"], json!({ "q": "1" }));
    assert_eq!(event["multiValueQueryStringParameters"], json!({ "q": ["1", "2"] }));
    assert_eq!(event["pathParameters"], json!({ "id": "42" }));
    assert_eq!(event["body"], "aGk=");
    assert_eq!(event["requestContext"]["domainPrefix"], "a");
    assert_eq!(event["requestContext"]["identity"], json!({ "sourceIp": "127.0.0.1" }));
}

#[test]
fn events_can_be_the_newer_ones_of_an_api_gateway() {
    let lines = [("Host", "a.test:80"), ("X-A", "1"), ("x-a", "2"), ("Cookie", "c=1; d=2"), ("User-Agent", "u")];
    let newer = json!({ "awsgateway_compatible": true, "awsgateway_compatible_payload_version": "2.0" });
    let event = event(&newer, "/a?q=1&q=2", &lines, "hi");
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["rawQueryString"], "q=1&q=2");
    assert_eq!(event["cookies"], json!(["c=1", "d=2"]));
    assert_eq!(event["headers"], json!({ "host": "a.test:80", "x-a": "1,2", "user-agent": "u" }));
    assert_eq!(event["queryStringParameters"], json!({ "q": "1,2" }));
    assert_eq!(event["pathParameters"], json!({ "id": "42" }));
    assert_eq!(event["body"], "aGk=");
    assert_eq!(event["isBase64Encoded"], true);
    let http = &event["requestContext"]["http"];
    assert_eq!(http["method"], "POST");
    assert_eq!(http["sourceIp"], "127.0.0.1");
    assert_eq!(http["userAgent"], "u");
    assert_eq!(event["requestContext"]["domainPrefix"], "a");
    assert_eq!(event["requestContext"]["stage"], "$default");
}

fn answer(more: &Value, lines: &[(&str, &str)], content: &str) -> Answer {
    let content = Bytes::copy_from_slice(content.as_bytes());
    let response = sdk::HttpResponse { status: 200, fields: lines.iter().copied().collect(), content };
    let config = config(more);
    Responses::new(&Config::new(&config)).answer(response)
}

#[test]
fn functions_can_describe_the_response() {
    let of = |content: &str| answer(&json!({ "is_proxy_integration": true }), &[("Age", "1")], content);
    let described = of(
        r#"{"statusCode": "201", "headers": {"X-A": 1, "Content-Length": "9"}, "multiValueHeaders": {"X-B": ["2", "3"]},
            "body": "aGk=", "isBase64Encoded": true}"#,
    );
    assert_eq!(described.status, 201);
    assert_eq!(described.body, "hi");
    let lines: Vec<_> = described.fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    let expected = [("Age", "1"), ("X-A", "1"), ("X-B", "2"), ("X-B", "3")];
    assert_eq!(lines, expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
    for (content, why) in [
        (r#"{"statusCode": 1000}"#, "statusCode validation failed"),
        (r#"{"statusCode": 200, "headers": []}"#, "headers must be a table"),
        (r#"{"statusCode": 200, "body": 1}"#, "body must be a string"),
        (r#"{"statusCode": 200, "isBase64Encoded": 1}"#, "isBase64Encoded must be a boolean"),
        ("[]", "proxy response must be json format"),
    ] {
        let refused = of(content);
        assert_eq!(refused.status, 502);
        let body: Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!(body["error"], format!("could not JSON decode Lambda function response: {why}"));
    }
}

#[test]
fn empty_lists_become_objects_unless_told_otherwise() {
    let json = [("Content-Type", "application/json")];
    let text = r#"{"a": [ ], "b": "[]", "c": [[], 1]}"#;
    assert_eq!(answer(&json!({}), &json, text).body, r#"{"a": {}, "b": "[]", "c": [{}, 1]}"#);
    assert_eq!(answer(&json!({ "empty_arrays_mode": "correct" }), &json, text).body, text);
    assert_eq!(answer(&json!({}), &[], text).body, text);
}

#[test]
fn failures_of_functions_can_have_a_status() {
    let failed = [("X-Amz-Function-Error", "Unhandled")];
    assert_eq!(answer(&json!({ "unhandled_status": 412 }), &failed, "").status, 412);
    assert_eq!(answer(&json!({ "unhandled_status": 412 }), &[], "").status, 200);
    assert_eq!(answer(&json!({}), &failed, "").status, 200);
}

#[tokio::test]
async fn invocations_are_signed() {
    let server = Server::start().await;
    let config = config(&json!({
        "host": "127.0.0.1", "port": server.address().port(), "disable_https": true, "qualifier": "live"
    }));
    let plugin = testing::configure(&AwsLambda, Value::Object(config), &Env::default());
    let mut exchange = testing::exchange("GET", "/?q=1", &[]);
    let Step::Wait(invoking) = plugin.access(&mut exchange) else { panic!("nothing is invoked") };
    let (step, (head, content)) = tokio::join!(invoking, server.answer(204));
    assert!(matches!(step, Step::Answer(answer) if answer.status == 204));
    assert!(head.starts_with("POST /2015-03-31/functions/a%3Ab/invocations?Qualifier=live HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Credential=AKID/"), "{head}");
    assert_eq!(content, r#"{"q":"1"}"#);
    assert!(exchange.timing.upstream.is_some(), "the function's time is not the gateway's");
}
