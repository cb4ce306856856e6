//! `/metrics`, read by the rules of the Prometheus text format.

use blackbox::http::{form, get, json};
use blackbox::{Backend, Node, eventually};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

/// A metric as the text has it.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    /// By name (with the suffix, of histograms) and labels.
    samples: BTreeMap<(String, Labels), f64>,
}

type Labels = BTreeMap<String, String>;

/// What an address says on `/metrics`.
fn scrape(address: SocketAddr) -> HashMap<String, Metric> {
    let answer = get(address, "/metrics").expect(200);
    assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=UTF-8"));
    parse(&answer.text())
}

/// Panics where the text is not what Prometheus accepts.
fn parse(text: &str) -> HashMap<String, Metric> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
    let mut metrics: HashMap<String, Metric> = HashMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(!help.is_empty(), "{line}");
            current = name.to_owned();
            assert!(metrics.insert(current.clone(), Metric::default()).is_none(), "a second group: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert_eq!(name, current, "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            metrics.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let (name, labels, value) = sample(line);
            let metric = metrics.get_mut(&current).expect(line);
            let suffix = name.strip_prefix(current.as_str()).unwrap_or_else(|| panic!("not of {current}: {line}"));
            let suffixes: &[&str] = if metric.kind == "histogram" { &["_bucket", "_count", "_sum"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            assert!(metric.samples.insert((name, labels), value).is_none(), "twice: {line}");
        }
    }
    metrics.iter().filter(|(_, metric)| metric.kind == "histogram").for_each(|(name, metric)| buckets(name, metric));
    metrics
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    let is_name =
        |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(is_of_name);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, value) = rest.split_once("=\"").expect(line);
            assert!(is_name(label), "{line}");
            let mut text = String::new();
            let mut characters = value.char_indices();
            let end = loop {
                match characters.next().expect(line) {
                    (at, '"') => break at,
                    (_, '\\') => match characters.next().expect(line).1 {
                        'n' => text.push('\n'),
                        escaped @ ('\\' | '"') => text.push(escaped),
                        other => panic!("\\{other}: {line}"),
                    },
                    (_, character) => text.push(character),
                }
            };
            assert!(labels.insert(label.to_owned(), text).is_none(), "a label twice: {line}");
            rest = &value[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect(line);
    }
    let value = rest.strip_prefix(' ').expect(line).parse().expect(line);
    (name.to_owned(), labels, value)
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == ':'
}

/// The buckets of each set of labels go up, and the last one has all.
fn buckets(name: &str, metric: &Metric) {
    let mut sets: HashMap<Labels, Vec<(f64, f64)>> = HashMap::new();
    for ((sample, labels), count) in &metric.samples {
        if sample.ends_with("_bucket") {
            let mut labels = labels.clone();
            let bound = labels.remove("le").expect(name).replace("+Inf", "inf").parse().unwrap();
            sets.entry(labels).or_default().push((bound, *count));
        }
    }
    for (labels, mut counts) in sets {
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(counts.is_sorted_by(|a, b| a.1 <= b.1), "{name} {labels:?}: {counts:?}");
        let (last, all) = counts.pop().unwrap();
        assert!(last.is_infinite(), "{name} {labels:?}");
        assert_eq!(metric.samples[&(format!("{name}_count"), labels.clone())], all);
        assert!(metric.samples.contains_key(&(format!("{name}_sum"), labels)));
    }
}

/// The sum of the samples that have these labels.
fn total(metrics: &HashMap<String, Metric>, metric: &str, sample: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |found: &Labels| labels.iter().all(|(name, value)| found.get(*name).is_some_and(|v| v == value));
    let Some(metric) = metrics.get(metric) else { return 0.0 };
    metric.samples.iter().filter(|((name, found), _)| name == sample && has(found)).map(|(_, value)| value).sum()
}

fn post(node: &Node, path: &str, body: Value) {
    json(node.admin(), "POST", path, &body).expect(201);
}

#[test]
fn what_is_shown_can_be_read_and_counts_every_request() {
    let node = Node::start(&[("nginx_worker_processes", "2")]);
    let backend = Backend::start("one");
    post(&node, "/upstreams", json!({ "name": "u" }));
    post(&node, "/upstreams/u/targets", json!({ "target": backend.address.to_string() }));
    post(&node, "/services", json!({ "name": "s", "url": format!("http://{}", backend.address) }));
    post(&node, "/services/s/routes", json!({ "name": "r", "paths": ["/r"] }));
    post(&node, "/services/s/routes", json!({ "name": "stop", "paths": ["/stop"] }));
    post(&node, "/routes/stop/plugins", json!({ "name": "request-termination" }));
    let config = ["status_code_metrics", "latency_metrics", "bandwidth_metrics", "upstream_health_metrics"];
    let config: Value = config.into_iter().map(|flag| (flag.to_owned(), json!(true))).collect();
    post(&node, "/plugins", json!({ "name": "prometheus", "config": config }));
    for _ in 0..20 {
        get(node.proxy(), "/r").expect(200);
    }
    get(node.proxy(), "/stop").expect(503);
    get(node.proxy(), "/nowhere").expect(404);
    let metrics = scrape(node.admin());
    let requests =
        |labels: &[(&str, &str)]| total(&metrics, "kong_http_requests_total", "kong_http_requests_total", labels);
    assert_eq!(requests(&[("route", "r"), ("code", "200"), ("source", "service")]), 20.0);
    assert_eq!(requests(&[("route", "stop"), ("code", "503"), ("source", "kong")]), 1.0);
    assert_eq!(requests(&[]), 21.0, "what has no route is not counted");
    let count = |metric: &str, labels: &[(&str, &str)]| total(&metrics, metric, &format!("{metric}_count"), labels);
    assert_eq!(count("kong_kong_latency_ms", &[("route", "r")]), 20.0);
    assert_eq!(count("kong_upstream_latency_ms", &[]), 20.0);
    assert_eq!(count("kong_request_latency_ms", &[("workspace", "default")]), 21.0);
    assert!(total(&metrics, "kong_bandwidth_bytes", "kong_bandwidth_bytes", &[("direction", "egress")]) > 1000.0);
    let health = "kong_upstream_target_health";
    let address = backend.address.to_string();
    assert_eq!(total(&metrics, health, health, &[("address", &address), ("state", "healthchecks_off")]), 1.0);
    let reachable = "kong_datastore_reachable";
    assert_eq!(total(&metrics, reachable, reachable, &[]), 1.0);
    let connections = "kong_nginx_connections_total";
    assert!(total(&metrics, connections, connections, &[("state", "accepted"), ("subsystem", "http")]) >= 22.0);
    let names = |metrics: &HashMap<String, Metric>| metrics.keys().cloned().collect::<HashSet<_>>();
    assert_eq!(names(&scrape(node.status())), names(&metrics));
}

#[test]
fn counters_outlive_changes_and_names_are_those_in_force() {
    let node = Node::start(&[]);
    let backend = Backend::start("one");
    post(&node, "/services", json!({ "name": "s", "url": format!("http://{}", backend.address) }));
    post(&node, "/services/s/routes", json!({ "name": "before", "paths": ["/r"] }));
    post(&node, "/plugins", json!({ "name": "prometheus", "config": { "status_code_metrics": true } }));
    get(node.proxy(), "/r").expect(200);
    form(node.admin(), "PATCH", "/routes/before", "name=after").expect(200);
    get(node.proxy(), "/r").expect(200);
    let name = "kong_http_requests_total";
    for route in ["before", "after"] {
        // Requests are counted when they have been answered.
        let counted = || total(&scrape(node.admin()), name, name, &[("route", route)]);
        eventually("the request is counted", || counted() > 0.0);
        assert_eq!(counted(), 1.0, "{route}");
    }
}

#[test]
fn without_the_plugin_only_the_node_is_shown() {
    let node = Node::start(&[]);
    let metrics = scrape(node.status());
    assert!(metrics.contains_key("kong_node_info"));
    assert!(!metrics.contains_key("kong_nginx_metric_errors_total"));
    let head = blackbox::http::request(node.admin(), "HEAD", "/metrics", &[], b"").unwrap().expect(200);
    assert_eq!(head.text(), "");
    assert_eq!(blackbox::http::request(node.admin(), "POST", "/metrics", &[], b"").unwrap().status, 405);
}
