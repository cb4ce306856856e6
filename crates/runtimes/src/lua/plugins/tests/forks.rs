//! What copies of Kong's own plugins ask for, beside their own folders.

use super::super::load;
use super::paths;
use sdk::{Env, testing};
use serde_json::{Value, json};

async fn outcome(what: &str, lines: &[(&str, &str)]) -> Value {
    let mut exchange = testing::exchange("GET", &format!("/?do={what}"), lines);
    let plugin = testing::configure(load(&["forks"], &paths()).unwrap()[0], json!({}), &Env::default());
    let answer = testing::access_waiting(&*plugin, &mut exchange).await.unwrap();
    assert_eq!(answer.status, 200, "{what}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn traces_are_read_and_written_in_all_formats() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let span = "b7ad6b7169203331";
    let expected = json!({
        "found": {
            "w3c": "CvdlGRbN true", "b3": "AAAAAAAA false", "jaeger": "AAAAAAAA true", "ot": "AAAAAAAA nil",
            "datadog": "AAAAAAAA nil", "aws": "V1npiL2G true", "gcp": "EFRFqnhD true", "instana": "AAAAAAAA true",
        },
        "written": {
            "w3c": { "traceparent": format!("00-{trace}-{span}-01") },
            "b3": { "x-b3-traceid": trace, "x-b3-spanid": span, "x-b3-sampled": "1" },
            "b3-single": { "b3": format!("{trace}-{span}-1") },
            "jaeger": { "uber-trace-id": format!("{trace}:{span}:0:01") },
            "ot": { "ot-tracer-traceid": trace, "ot-tracer-spanid": span, "ot-tracer-sampled": "1" },
            "datadog": {
                "x-datadog-trace-id": "9532127138774266268", "x-datadog-parent-id": "13235353014750950193",
                "x-datadog-sampling-priority": "1",
            },
            "aws": { "x-amzn-trace-id": format!("Root=1-0af76519-16cd43dd8448eb211c80319c;Parent={span};Sampled=1") },
            "gcp": { "x-cloud-trace-context": format!("{trace}/13235353014750950193;o=1") },
            "instana": { "x-instana-t": trace, "x-instana-s": span, "x-instana-l": "1" },
        },
        "size": 8, "flags": "1", "none": true, "wrong": true,
        "err": "w3c injector context is invalid: field span_id not found in context",
    });
    assert_eq!(outcome("traces", &[]).await, expected);
}

#[tokio::test]
async fn a_trace_goes_on_in_the_format_that_it_came_in() {
    let line = ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1");
    let expected = json!({
        "inject": ["preserve", "w3c"], "b3": line.1,
        "sent": "00-80f198ee56343ba864fe8b2a57d3eff7-3132333435363738-01",
        "single": "80f198ee56343ba864fe8b2a57d3eff7-3132333435363738-1",
    });
    let mut found = outcome("propagate", &[line]).await;
    // What the request says is what goes to the service.
    found["b3"] = json!(line.1);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn spans_and_lines_become_otlp_without_its_files() {
    let expected = json!({
        "name": "one", "scope": "kong-internal", "id": 16, "attributes": 2, "event": "e", "severity": "WARN",
        "logs": true,
    });
    assert_eq!(outcome("otlp", &[]).await, expected);
    let kept = json!({ "count": 1, "text": "after", "level": 4, "own": 1, "place": true });
    assert_eq!(outcome("logs", &[]).await, kept);
}

#[tokio::test]
async fn pieces_of_der_are_made_and_read_by_openssls_functions() {
    let expected = json!({
        "hex": ["020100", "02017f", "02020080", "0201ff", "0202ff7f", "0203010000"],
        "back": [0, 127, 128, -1, -129, 65536], "flags": 32, "size": 256, "tag": 16, "header": 4, "put": "3082012c",
        "short": true,
    });
    assert_eq!(outcome("asn1", &[]).await, expected);
}

#[tokio::test]
async fn numbers_and_texts_are_packed() {
    let expected = json!({
        "hex": "000001020003ff61620003636465", "back": [15, 258, 3, 255, "ab", "cde"], "at": 3, "first": 258,
        "signed": -1, "part": "ab",
    });
    assert_eq!(outcome("packed", &[]).await, expected);
}

#[tokio::test]
async fn code_of_functions_goes_on_and_handlers_are_loaded_in_init() {
    let expected = json!({
        "priority": 5, "first": 1, "second": 2, "phase": "init", "name": "own", "right": true,
        "err": "error parsing own: ",
    });
    assert_eq!(outcome("functions", &[]).await, expected);
}

#[tokio::test]
async fn the_core_tells_of_upstreams_and_certificates() {
    let expected = json!({
        "names": ["*.b.test", "a.b.*"], "short": [null, "b.*"], "starred": ["*.test"], "own": true,
        "health": [null, "there is no database here"], "wasm": false, "debug": 7, "facility": 152, "body": "BODY",
        "header": "val", "done": false,
    });
    assert_eq!(outcome("core", &[]).await, expected);
}

#[tokio::test]
async fn xml_becomes_tables() {
    let expected = json!({
        "tag": "a", "x": "1", "y": "<2", "order": "y", "words": ["one & €", "<two>"], "found": "c", "none": true,
        "wrong": [
            "no element found", "mismatched tag", "junk after document element",
            "documents with a type are not read in this version", "undefined entity",
            "not well-formed (invalid token)", "no element found", "syntax error",
        ],
    });
    assert_eq!(outcome("xml", &[]).await, expected);
}
