//! What each format reads and writes.

use super::*;
use crate::testing;
use crate::trace::SpanId;
use serde_json::json;

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";
const OURS: SpanId = SpanId([0, 0, 0, 0, 0, 0, 0, 42]);

fn propagation(config: Value) -> Propagation {
    Propagation::of(Config::new(config.as_object().unwrap())).unwrap()
}

/// All formats are read, and what came is written.
fn preserving() -> Propagation {
    propagation(
        json!({ "header_type": "preserve", "default_header_type": "b3", "propagation": { "default_format": "b3" } }),
    )
}

fn fields(lines: &[(&str, &str)]) -> Fields {
    lines.iter().copied().collect()
}

/// The lines that the service gets for a request with these, when our span is a child of the one that came.
fn passed_on(propagation: &Propagation, lines: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut exchange = testing::exchange("GET", "/", lines);
    let Extracted { mut context, from } = propagation.extract(&exchange.request.fields);
    context.parent_id = context.span_id;
    context.span_id = context.trace_id.map(|_| OURS);
    propagation.inject(&mut exchange, from, &context);
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    exchange.request.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), text(value))).collect()
}

fn line(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn every_format_comes_out_as_it_came() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "traceparent",
            "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01",
            "00-80f198ee56343ba864fe8b2a57d3eff7-000000000000002a-01",
        ),
        (
            "b3",
            "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1",
            "80f198ee56343ba864fe8b2a57d3eff7-000000000000002a-1-e457b5a2e4d86bd1",
        ),
        (
            "b3",
            "64fe8b2a57d3eff7-e457b5a2e4d86bd1-d-05e3ac9a4f6e3b90",
            "64fe8b2a57d3eff7-000000000000002a-d-e457b5a2e4d86bd1",
        ),
        ("b3", "0", "0"),
        (
            "uber-trace-id",
            "80f198ee56343ba864fe8b2a57d3eff7:e457b5a2e4d86bd1:0:1",
            "80f198ee56343ba864fe8b2a57d3eff7:000000000000002a:e457b5a2e4d86bd1:01",
        ),
        (
            "x-amzn-trace-id",
            "Root=1-80f198ee-56343ba864fe8b2a57d3eff7;Parent=e457b5a2e4d86bd1;Sampled=1",
            "Root=1-80f198ee-56343ba864fe8b2a57d3eff7;Parent=000000000000002a;Sampled=1",
        ),
        (
            "x-cloud-trace-context",
            "80f198ee56343ba864fe8b2a57d3eff7/16449370217098914769;o=1",
            "80f198ee56343ba864fe8b2a57d3eff7/42;o=1",
        ),
    ];
    for (name, came, goes) in cases {
        assert_eq!(passed_on(&preserving(), &[(name, came)]), [line(name, goes)]);
    }
}

#[test]
fn formats_of_several_lines_come_out_as_they_came() {
    let b3 = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "0")];
    let goes = passed_on(&preserving(), &b3);
    assert!(goes.contains(&line("x-b3-traceid", TRACE)));
    assert!(goes.contains(&line("x-b3-spanid", "000000000000002a")));
    assert!(goes.contains(&line("x-b3-parentspanid", SPAN)));
    assert!(goes.contains(&line("x-b3-sampled", "0")));
    let ot = [("ot-tracer-traceid", "80f198ee56343ba8"), ("ot-tracer-spanid", SPAN), ("ot-baggage-Key", "a%20b")];
    let goes = passed_on(&preserving(), &ot);
    assert!(goes.contains(&line("ot-tracer-traceid", "80f198ee56343ba8")));
    assert!(goes.contains(&line("ot-baggage-key", "a%20b")));
    let datadog = [("x-datadog-trace-id", "1234567890"), ("x-datadog-parent-id", "5678")];
    let goes = passed_on(&preserving(), &datadog);
    assert!(goes.contains(&line("x-datadog-trace-id", "1234567890")));
    assert!(goes.contains(&line("x-datadog-parent-id", "42")));
    let instana = [("x-instana-t", TRACE), ("x-instana-s", SPAN), ("x-instana-l", "1")];
    let goes = passed_on(&preserving(), &instana);
    assert!(goes.contains(&line("x-instana-t", TRACE)));
    assert!(goes.contains(&line("x-instana-l", "1")));
}

#[test]
fn what_is_malformed_is_passed_over() {
    let cases: &[(&str, &str)] = &[
        ("traceparent", "00-00000000000000000000000000000000-e457b5a2e4d86bd1-01"),
        ("traceparent", "01-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01"),
        ("traceparent", "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01-x"),
        ("traceparent", "00-80f198ee56343ba864fe8b2a57d3eff7-é457b5a2e4d86bd-01"),
        ("uber-trace-id", "80f198ee:e457b5a2e4d86bd1:0"),
        ("uber-trace-id", "0:e457b5a2e4d86bd1:0:1"),
        ("x-amzn-trace-id", "Root=1-80f198ee;Sampled=1"),
        ("x-amzn-trace-id", "Sampled=2"),
        ("x-cloud-trace-context", "80F198EE56343BA864FE8B2A57D3EFF7/1"),
        ("x-cloud-trace-context", "80f198ee56343ba864fe8b2a57d3eff7/x"),
        ("x-datadog-trace-id", "-5"),
        ("x-datadog-sampling-priority", "9"),
        ("ot-tracer-traceid", "xyz"),
        ("x-instana-t", "12"),
        ("x-b3-traceid", "12"),
        ("x-b3-sampled", "maybe"),
    ];
    for (name, value) in cases {
        let extracted = preserving().extract(&fields(&[(name, value)]));
        assert_eq!(extracted, Extracted::default(), "{name}: {value}");
    }
    let twice = [("traceparent", "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01"); 2];
    assert_eq!(preserving().extract(&fields(&twice)), Extracted::default());
}

#[test]
fn state_of_another_vendor_is_no_b3() {
    let parent = "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01";
    let lines = [("tracestate", "vendor=1"), ("traceparent", parent)];
    assert_eq!(preserving().extract(&fields(&lines)).from, Some(Format::W3c));
    let lines = [("tracestate", "b3=80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1"), ("traceparent", parent)];
    assert_eq!(preserving().extract(&fields(&lines)).from, Some(Format::B3));
}

#[test]
fn without_a_trace_the_default_format_is_written() {
    let mut exchange = testing::exchange("GET", "/", &[]);
    let context = TraceContext {
        trace_id: Some(super::super::TraceId::random(8)),
        span_id: Some(OURS),
        sampled: Some(true),
        ..TraceContext::default()
    };
    preserving().inject(&mut exchange, None, &context);
    let trace = exchange.request.fields.get_str("x-b3-traceid").unwrap();
    assert_eq!(trace.len(), 32, "shorter ids of our own get zeros before them");
    assert!(trace.starts_with("0000000000000000"));
    assert_eq!(exchange.log_values[0].value, Some(json!({ "b3": trace })));
}

#[test]
fn formats_can_be_chosen_and_lines_cleared() {
    let chosen = propagation(json!({
        "header_type": "preserve",
        "propagation": {
            "extract": ["b3"], "inject": ["w3c", "jaeger"], "clear": ["x-b3-traceid"], "default_format": "w3c"
        }
    }));
    let goes = passed_on(&chosen, &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")]);
    assert!(goes.contains(&line("traceparent", &format!("00-{TRACE}-000000000000002a-01"))));
    assert!(goes.contains(&line("uber-trace-id", &format!("{TRACE}:000000000000002a:{SPAN}:01"))));
    assert!(!goes.iter().any(|(name, _)| name == "x-b3-traceid"));
    let ignoring = propagation(json!({ "header_type": "ignore", "propagation": { "default_format": "w3c" } }));
    assert_eq!(ignoring.extract(&fields(&[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)])), Extracted::default());
    let both = propagation(json!({ "header_type": "w3c", "propagation": { "default_format": "w3c" } }));
    let goes = passed_on(&both, &[("b3", &format!("{TRACE}-{SPAN}-1"))]);
    assert_eq!(goes.iter().filter(|(name, _)| matches!(name.as_str(), "b3" | "traceparent")).count(), 2);
}
