//! The spans of a request, and what the service is told of its trace.

use super::*;
use sdk::testing::{self, Entries, Server};
use sdk::{Bytes, Deliver, Try};
use serde_json::json;

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";

fn config(endpoint: Option<String>, more: Value) -> Value {
    let mut config = json!({
        "http_endpoint": endpoint, "sample_ratio": 1, "header_type": "preserve", "default_header_type": "b3",
        "include_credential": true, "propagation": { "default_format": "b3" },
        "queue": { "max_batch_size": 10, "max_coalescing_delay": 0.01 }
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

fn configure(more: Value) -> Box<dyn Plugin> {
    testing::configure(&Zipkin, config(None, more), &Env::default())
}

fn request(lines: &[(&str, &str)]) -> Exchange {
    let mut exchange = testing::exchange("GET", "/r/x", lines);
    exchange.route = Some(testing::route(json!({ "name": "r" })));
    exchange.service = Some(testing::service(json!({ "name": "s", "host": "up.test" })));
    exchange
}

fn line(exchange: &Exchange, name: &str) -> Option<String> {
    exchange.request.fields.get_str(name).map(str::to_owned)
}

#[tokio::test]
async fn a_request_has_spans_for_itself_its_way_and_its_tries() {
    let server = Server::start().await;
    let endpoint = Some(format!("http://{}/api/v2/spans", server.address()));
    let plugin = testing::configure(
        &Zipkin,
        config(endpoint, json!({ "static_tags": [{ "name": "env", "value": "test" }] })),
        &Env::default(),
    );
    let mut exchange = request(&[("Host", "Front.test:8000"), ("Zipkin-Tags", "a=1; b=2")]);
    exchange.consumer = Some(Entries::default().consumer("ada", None));
    testing::access(&*plugin, &mut exchange);
    let attempt = |status| Try { status, ..Try::new("127.0.0.1:81".parse().unwrap(), Instant::now()) };
    exchange.tries = vec![attempt(502), attempt(200)];
    testing::respond(&*plugin, &mut exchange, 200, &[], &[]);
    let (head, content) = server.answer(202).await;
    assert!(head.starts_with("POST /api/v2/spans HTTP/1.1\r\n"), "{head}");
    let spans: Vec<Value> = serde_json::from_str(&content).unwrap();
    let names: Vec<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["GET (balancer try 1)", "GET (balancer try 2)", "GET (proxy)", "GET"]);
    let [first, second, proxy, request] = &spans[..] else { panic!("{content}") };
    assert_eq!(first["tags"]["error"], "true");
    assert_eq!(first["tags"]["http.status_code"], "502");
    assert_eq!(second["tags"]["kong.balancer.try"], "2");
    assert_eq!(second["tags"].get("error"), None);
    assert_eq!(second["remoteEndpoint"], json!({ "serviceName": "s", "port": 81, "ipv4": "127.0.0.1" }));
    assert_eq!(proxy["parentId"], request["id"]);
    assert_eq!(proxy["tags"]["peer.hostname"], "up.test");
    assert_eq!(proxy["tags"]["kong.route_name"], "r");
    assert_eq!(request.get("parentId"), None);
    assert_eq!(request["kind"], "SERVER");
    let tags = &request["tags"];
    for (name, value) in [("lc", "kong"), ("http.host", "front.test"), ("a", "1"), ("b", "2"), ("env", "test")] {
        assert_eq!(tags[name], value);
    }
    assert_eq!(tags["http.status_code"], "200");
    assert_eq!(tags["kong.consumer"], exchange.consumer.unwrap().id.to_string());
    assert!(spans.iter().all(|span| span["traceId"] == request["traceId"]));
    assert_eq!(line_of(&proxy["id"]), exchange.request.fields.get_str("x-b3-spanid").unwrap());
}

fn line_of(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn a_trace_of_b3_is_continued_in_the_span_of_the_caller() {
    let plugin = configure(json!({}));
    let mut exchange = request(&[("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN), ("X-B3-Sampled", "0")]);
    testing::access(&*plugin, &mut exchange);
    assert_eq!(line(&exchange, "x-b3-traceid").as_deref(), Some(TRACE));
    assert_eq!(line(&exchange, "x-b3-parentspanid").as_deref(), Some(SPAN));
    assert_eq!(line(&exchange, "x-b3-sampled").as_deref(), Some("0"));
    let spans = exchange.state::<Spans>().unwrap();
    assert_eq!(spans.request.to_string(), SPAN);
    assert!(!spans.sampled);
}

#[test]
fn the_caller_of_a_w3c_trace_is_the_parent() {
    let plugin = configure(json!({}));
    let mut exchange = request(&[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))]);
    testing::access(&*plugin, &mut exchange);
    let spans = exchange.state::<Spans>().unwrap();
    assert_eq!(spans.parent.unwrap().to_string(), SPAN);
    let proxy = spans.proxy;
    assert_eq!(line(&exchange, "traceparent"), Some(format!("00-{TRACE}-{proxy}-01")));
}

#[test]
fn the_client_is_told_the_trace() {
    let plugin = configure(json!({ "http_response_header_for_traceid": "X-Trace", "traceid_byte_count": 8 }));
    let mut exchange = request(&[]);
    testing::access(&*plugin, &mut exchange);
    testing::respond(&*plugin, &mut exchange, 200, &[], &[]);
    let told = exchange.response.fields.get_str("X-Trace").unwrap().to_owned();
    assert_eq!(told.len(), 16);
    assert_eq!(line(&exchange, "x-b3-traceid"), Some(format!("0000000000000000{told}")));
}

#[test]
fn what_no_route_is_found_for_is_traced_too() {
    let plugin = configure(json!({ "http_response_header_for_traceid": "X-Trace" }));
    let mut exchange = testing::exchange("GET", "/", &[]);
    testing::respond(&*plugin, &mut exchange, 404, &[], &[]);
    assert!(exchange.response.fields.contains("X-Trace"));
}

#[tokio::test]
async fn a_server_that_is_away_slow_or_says_no_is_an_error() {
    let server = Server::start().await;
    let delivery = |address: std::net::SocketAddr, timeout| Delivery {
        client: HttpClient::new(&Env::default(), HttpOptions { timeout, ..HttpOptions::default() }),
        url: Url::parse(&format!("http://{address}/")).unwrap(),
    };
    let batch = [Bytes::from_static(b"{}")];
    let patient = delivery(server.address(), Duration::from_secs(10));
    let (said_no, _) = tokio::join!(patient.deliver(&batch), server.answer(500));
    assert!(said_no.unwrap_err().contains("answers with status 500"));
    let silent = delivery(server.address(), Duration::from_millis(20)).deliver(&batch).await;
    assert!(silent.is_err());
    let address = server.address();
    drop(server);
    assert!(delivery(address, Duration::from_secs(10)).deliver(&batch).await.is_err());
}
