//! What services are told of the trace, and what the server gets.

use super::*;
use sdk::testing;
use sdk::{Attribute, Bytes, LogMessage, Span, SpanEvent, SpanKind, SpanStatus, Timed, Trace, TraceSettings};
use serde_json::{Value, json};
use std::borrow::Cow;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";

fn configure(more: Value) -> Box<dyn Plugin> {
    let mut config = json!({
        "traces_endpoint": "http://127.0.0.1:9/v1/traces", "header_type": "preserve",
        "propagation": { "default_format": "w3c" }
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    testing::configure(&OpenTelemetry, config, &Env::default())
}

/// A request on a node with these kinds of spans.
fn traced(words: &[&str], lines: &[(&str, &str)]) -> Exchange {
    let mut exchange = testing::exchange("GET", "/", lines);
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let settings = TraceSettings { timed: Timed::parse(&words).unwrap(), sampling_rate: 1.0 };
    exchange.trace = Some(Box::new(Trace::begin(&exchange, settings)));
    exchange
}

fn parent(exchange: &Exchange) -> &str {
    exchange.request.fields.get_str("traceparent").unwrap()
}

#[test]
fn the_service_belongs_to_the_try_that_asks_it() {
    let mut exchange = traced(&["all"], &[]);
    testing::access(&*configure(json!({})), &mut exchange);
    let trace = exchange.trace.as_ref().unwrap();
    assert_eq!(parent(&exchange), format!("00-{}-{}-01", trace.id, trace.last_try.unwrap()));
    let mut exchange = traced(&["request"], &[]);
    testing::access(&*configure(json!({})), &mut exchange);
    let trace = exchange.trace.as_ref().unwrap();
    assert_eq!(parent(&exchange), format!("00-{}-{}-01", trace.id, trace.spans()[0].id));
}

#[test]
fn the_trace_of_the_caller_goes_on() {
    let line = format!("00-{TRACE}-{SPAN}-01");
    let mut exchange = traced(&["all"], &[("traceparent", &line)]);
    testing::access(&*configure(json!({})), &mut exchange);
    assert!(parent(&exchange).starts_with(&format!("00-{TRACE}-")));
    let trace = exchange.trace.as_ref().unwrap();
    assert_eq!(trace.spans()[0].parent.unwrap().to_string(), SPAN);
    assert!(trace.sampled);
}

#[test]
fn what_the_caller_leaves_out_is_left_out() {
    let line = format!("00-{TRACE}-{SPAN}-00");
    let mut exchange = traced(&["all"], &[("traceparent", &line)]);
    testing::access(&*configure(json!({ "sampling_rate": 1 })), &mut exchange);
    assert!(parent(&exchange).ends_with("-00"));
    assert!(!exchange.trace.as_ref().unwrap().sampled);
}

#[test]
fn callers_can_decide() {
    for (flags, rate, expected) in [("00", 1.0, "00"), ("01", 0.0, "01")] {
        let line = format!("00-{TRACE}-{SPAN}-{flags}");
        let mut exchange = traced(&["all"], &[("traceparent", &line)]);
        let config = json!({ "sampling_rate": rate, "sampling_strategy": "parent_probability_fallback" });
        testing::access(&*configure(config), &mut exchange);
        assert!(parent(&exchange).ends_with(&format!("-{expected}")), "{flags}");
    }
    let mut exchange = traced(&["all"], &[]);
    let config = json!({ "sampling_rate": 1, "sampling_strategy": "parent_probability_fallback" });
    testing::access(&*configure(config), &mut exchange);
    assert!(parent(&exchange).ends_with("-01"), "who says nothing");
}

#[test]
fn traces_pass_through_a_node_that_makes_no_spans() {
    let plugin = configure(json!({ "http_response_header_for_traceid": "X-Trace" }));
    let mut exchange = testing::exchange("GET", "/", &[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))]);
    testing::access(&*plugin, &mut exchange);
    assert!(parent(&exchange).starts_with(&format!("00-{TRACE}-")));
    assert!(parent(&exchange).ends_with("-00"));
    testing::respond(&*plugin, &mut exchange, 200, &[], &[]);
    assert_eq!(exchange.response.fields.get_str("X-Trace"), Some(TRACE));
}

#[test]
fn two_paths_of_a_server_are_two_deliveries() {
    let key = |endpoint: &str| Delivery::new(endpoint, Config::new(&Record::new()), &Env::default()).unwrap().key();
    let [one, two] = ["http://h.test/one", "http://h.test/two"].map(key);
    assert_ne!(one, two);
}

#[test]
fn what_is_not_done_is_said() {
    let attributes = json!({ "a": "$(headers.host)" });
    assert_eq!(configure(json!({ "resource_attributes": attributes })).degraded(), None);
    let plugin = configure(json!({ "resource_attributes": attributes, "logs_endpoint": "http://127.0.0.1:9/" }));
    assert!(plugin.degraded().unwrap().contains("templates"));
}

#[test]
fn resources_may_depend_on_requests() {
    let env = Env::default();
    let read = |attributes: Value| {
        let config = json!({ "resource_attributes": attributes });
        RequestResource::read(Config::new(config.as_object().unwrap()), &env).unwrap()
    };
    assert!(read(json!({ "a": "b" })).is_none());
    let resource = read(json!({ "service.name": "s", "tenant": "t-$(headers['x-tenant'])" })).unwrap();
    let mut exchange = testing::exchange("GET", "/", &[]);
    // Those for the service are others.
    exchange.kept_lines = Some(Box::new([("X-Tenant", "one")].into_iter().collect()));
    let node = env.node().id.to_string();
    let usual = [("service.instance.id", node.as_str()), ("service.version", sdk::KONG_VERSION)];
    let own = |tenant| usual.into_iter().chain([("service.name", "s"), ("tenant", tenant)]);
    assert_eq!(resource.of(&mut exchange), encode::resource(own("t-one")));
    assert!(exchange.kept_lines.is_some() && !exchange.request.fields.contains("X-Tenant"));
    let broken = read(json!({ "service.name": "s", "tenant": "$(headers.none.x)" })).unwrap();
    assert_eq!(broken.of(&mut exchange), encode::resource(own("$(headers.none.x)")));
    let batch = [(b"r", b"1"), (b"s", b"2"), (b"r", b"3")].map(|(of, entry)| resource::with(of, entry).into());
    let apart = resource::apart(&batch);
    assert_eq!(apart, [("r".into(), vec!["1".into(), "3".into()]), ("s".into(), vec![Bytes::from_static(b"2")])]);
}

#[tokio::test]
async fn what_the_node_logs_is_sent_once() {
    // What comes is no text.
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let env = Env::default();
    let config = json!({
        "logs_endpoint": format!("http://{}/v1/logs", server.local_addr().unwrap()),
        "queue": { "max_batch_size": 10, "max_coalescing_delay": 0.01 }
    });
    let plugins = [config.clone(), config].map(|config| testing::configure(&OpenTelemetry, config, &env));
    assert_eq!(plugins[0].phases(), Phases::NONE);
    env.log().tell(&LogMessage {
        level: "error",
        time: 1,
        text: "it has failed",
        request_id: Some("abc"),
        ..LogMessage::default()
    });
    let (mut stream, _) = server.accept().await.unwrap();
    let mut received = Vec::new();
    let count = |received: &[u8], text: &str| received.windows(text.len()).filter(|w| *w == text.as_bytes()).count();
    while count(&received, "request.id") == 0 {
        assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0);
    }
    assert!(received.starts_with(b"POST /v1/logs HTTP/1.1\r\n"));
    assert_eq!(count(&received, "it has failed"), 1);
}

#[test]
fn spans_are_messages_of_otlp() {
    let id = TraceId::received(&[1; 16]);
    let span = Span {
        name: Cow::Borrowed("kong"),
        id: SpanId([2; 8]),
        parent: Some(SpanId([3; 8])),
        kind: SpanKind::Server,
        start: 1,
        end: 2,
        attributes: vec![
            ("a".into(), Attribute::Text("b".to_owned())),
            ("n".into(), Attribute::Integer(200)),
            ("l".into(), Attribute::List(vec![Attribute::Bool(true)])),
        ],
        events: vec![SpanEvent { name: "e".to_owned(), time: 3, attributes: Vec::new() }],
        status: SpanStatus::Error,
    };
    let octets = encode::span(&id, &span);
    let expected: &[&[u8]] = &[
        &[0x0a, 16],
        &[1; 16],
        &[0x12, 8],
        &[2; 8],
        &[0x22, 8],
        &[3; 8],
        &[0x2a, 4],
        b"kong",
        &[0x30, 2],
        &[0x39, 1, 0, 0, 0, 0, 0, 0, 0],
        &[0x41, 2, 0, 0, 0, 0, 0, 0, 0],
        &[0x4a, 8, 0x0a, 1, b'a', 0x12, 3, 0x0a, 1, b'b'],
        &[0x4a, 8, 0x0a, 1, b'n', 0x12, 3, 0x18, 0xc8, 0x01],
        &[0x4a, 11, 0x0a, 1, b'l', 0x12, 6, 0x2a, 4, 0x0a, 2, 0x10, 1],
        &[0x5a, 12, 0x09, 3, 0, 0, 0, 0, 0, 0, 0, 0x12, 1, b'e'],
        &[0x7a, 2, 0x18, 2],
    ];
    assert_eq!(octets, expected.concat());
    let request = encode::request(b"R", &[Bytes::from_static(b"S")]);
    let scope: &[u8] = b"\x0a\x16\x0a\x0dkong-internal\x12\x050.1.0\x12\x01S";
    let resource = [b"\x0a\x01R\x12", &[scope.len() as u8][..], scope].concat();
    assert_eq!(request, [&[0x0a, resource.len() as u8][..], &resource].concat());
}

/// The messages of a field, and the numbers that are not messages, of a message of Protocol Buffers.
fn fields(mut octets: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let number = |octets: &mut &[u8]| {
        let length = octets.iter().position(|octet| octet & 0x80 == 0).unwrap() + 1;
        let (digits, rest) = octets.split_at(length);
        *octets = rest;
        digits.iter().rev().fold(0_u64, |number, digit| number << 7 | u64::from(digit & 0x7f))
    };
    while !octets.is_empty() {
        let tag = number(&mut octets);
        let length = match tag & 7 {
            0 => {
                found.push((tag >> 3, number(&mut octets).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            _ => number(&mut octets) as usize,
        };
        let (value, rest) = octets.split_at(length);
        found.push((tag >> 3, value.to_vec()));
        octets = rest;
    }
    found
}

fn field(octets: &[u8], number: u64) -> Vec<u8> {
    fields(octets).into_iter().find(|(field, _)| *field == number).unwrap().1
}

#[tokio::test]
async fn metrics_are_messages_of_otlp() {
    let config = json!({
        "traces_endpoint": null,
        "metrics": {
            "endpoint": "http://127.0.0.1:1/v1/metrics", "push_interval": 1e6, "enable_request_metrics": true,
            "enable_latency_metrics": true, "enable_bandwidth_metrics": true, "enable_consumer_attribute": true
        }
    });
    let env = Env::default();
    let plugins = [config.clone(), config.clone()].map(|config| testing::configure(&OpenTelemetry, config, &env));
    for (plugin, method) in plugins.iter().zip(["GET", "X"]) {
        let mut exchange = testing::exchange(method, "/", &[]);
        exchange.service = Some(testing::service(json!({ "name": "s" })));
        exchange.traffic.received = 1_000;
        testing::respond(&**plugin, &mut exchange, 201, &[], &[]);
    }
    let record = config.as_object().unwrap().clone();
    let batch = Push::open(Config::new(&record), &env).unwrap().unwrap().batch().await;
    let names: Vec<_> = batch.iter().map(|metric| String::from_utf8(field(metric, 1)).unwrap()).collect();
    let expected = [
        "http.server.request.count",
        "kong.latency.total",
        "kong.latency.internal",
        "http.server.request.size",
        "http.server.response.size",
    ];
    assert_eq!(names, expected);
    let sum = field(&batch[0], 7);
    assert_eq!(field(&sum, 2)[0], 2, "cumulative");
    assert_eq!(field(&sum, 3)[0], 1, "monotonic");
    let points: Vec<_> = fields(&sum).into_iter().filter(|(field, _)| *field == 1).map(|(_, point)| point).collect();
    assert_eq!(points.len(), 2, "both instances count together, by method");
    assert_eq!(field(&points[0], 6), 1_u64.to_le_bytes());
    let text = String::from_utf8_lossy(&points[1]).into_owned();
    assert!(text.contains("http.request.method") && text.contains("_OTHER"), "{text}");
    let point = field(&field(&batch[3], 9), 1);
    assert_eq!(field(&point, 4), 2_u64.to_le_bytes());
    assert_eq!(field(&point, 5), 2_000_f64.to_le_bytes());
    assert_eq!(field(&point, 6).len(), field(&point, 7).len() + 8, "one bucket more than bounds");
}

#[test]
fn something_is_sent_somewhere() {
    let check = |config: Value| has_endpoint(config.as_object().unwrap());
    assert!(check(json!({ "traces_endpoint": null })).unwrap_err().contains("'traces_endpoint', 'logs_endpoint'"));
    assert_eq!(check(json!({ "logs_endpoint": "http://a" })), Ok(()));
    assert_eq!(check(json!({ "metrics": { "endpoint": "http://a" } })), Ok(()));
}
