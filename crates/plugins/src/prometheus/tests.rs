//! What is counted and shown, without sockets.

use super::*;
use model::health::{AddressHealth, HostHealth, UpstreamHealth};
use sdk::entities::Protocol;
use sdk::testing::{self, Entries};
use sdk::{Connections, Facts, Memory, Source, StreamSession};
use serde_json::{Value, json};

struct Node;

impl Facts for Node {
    fn connections(&self) -> Connections {
        Connections { accepted: 5, active: 2, requests: 9, ..Connections::default() }
    }

    fn memory(&self) -> Memory {
        Memory { resident: 1024, total: 4096 }
    }

    fn workers(&self) -> (usize, u32) {
        (1, 7)
    }

    fn upstreams(&self) -> Vec<(String, UpstreamHealth)> {
        let address = |healthy, weight| AddressHealth { ip: "127.0.0.1".to_owned(), port: 80, weight, healthy };
        let host =
            |host: &str, addresses| HostHealth { host: host.to_owned(), port: 80, addresses, ..HostHealth::default() };
        let idle = host("idle.test", vec![address(true, 0)]);
        let hosts = vec![host("a.test", vec![address(false, 1)]), idle, host("gone.test", Vec::new())];
        vec![("u".to_owned(), UpstreamHealth { checked: true, hosts, ..UpstreamHealth::default() })]
    }

    fn has_streams(&self) -> bool {
        true
    }

    fn database_reachable(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }
}

/// An instance with these flags, on a node of its own.
fn configure(flags: &[&str]) -> (Env, Box<dyn Plugin>, Arc<dyn Facts>) {
    let env = Env::default();
    let facts: Arc<dyn Facts> = Arc::new(Node);
    env.tell(&facts);
    let config: Value = flags.iter().map(|flag| ((*flag).to_owned(), json!(true))).collect();
    let plugin = testing::configure(&Prometheus, config, &env);
    (env, plugin, facts)
}

/// A request on the route `r` of the service `s`.
fn request(entries: &mut Entries) -> Exchange {
    let mut exchange = testing::exchange("GET", "/", &[]);
    exchange.route = Some(testing::route(json!({ "name": "r" })));
    exchange.service = Some(testing::service(json!({ "name": "s" })));
    exchange.consumer = Some(entries.consumer("ada", None));
    exchange.response.status = 200;
    exchange
}

fn text(env: &Env) -> String {
    testing::ready(env.shared::<Exporter>().text(env))
}

#[test]
fn requests_are_counted_by_status_source_and_consumer() {
    let (env, plugin, _facts) = configure(&["status_code_metrics", "per_consumer"]);
    let mut entries = Entries::default();
    let mut exchange = request(&mut entries);
    plugin.log(&mut exchange);
    plugin.log(&mut exchange);
    (exchange.source, exchange.response.status) = (Source::Exit, 401);
    exchange.consumer = None;
    plugin.log(&mut exchange);
    let text = text(&env);
    let line = |code: &str, source: &str, consumer: &str| {
        format!(
            "kong_http_requests_total{{service=\"s\",route=\"r\",code=\"{code}\",source=\"{source}\",\
             workspace=\"default\",consumer=\"{consumer}\"}}"
        )
    };
    assert!(text.contains(&(line("200", "service", "ada") + " 2\n")), "{text}");
    assert!(text.contains(&(line("401", "kong", "") + " 1\n")), "{text}");
    assert!(!text.contains("kong_bandwidth_bytes"), "{text}");
    assert!(!text.contains("latency"), "{text}");
}

#[test]
fn bandwidth_and_latencies_are_counted_when_wanted() {
    let (env, plugin, _facts) = configure(&["bandwidth_metrics", "latency_metrics"]);
    let mut exchange = request(&mut Entries::default());
    exchange.traffic.received = 70;
    exchange.traffic.sent = 1000;
    plugin.log(&mut exchange);
    plugin.log(&mut exchange);
    let text = text(&env);
    let common = "workspace=\"default\",consumer=\"\"";
    let bandwidth = |direction: &str| {
        format!("kong_bandwidth_bytes{{service=\"s\",route=\"r\",direction=\"{direction}\",{common}}}")
    };
    assert!(text.contains(&(bandwidth("ingress") + " 140\n")), "{text}");
    assert!(text.contains(&(bandwidth("egress") + " 2000\n")), "{text}");
    let labels = "{service=\"s\",route=\"r\",workspace=\"default\"";
    assert!(text.contains(&format!("kong_kong_latency_ms_count{labels}}} 2\n")), "{text}");
    assert!(text.contains(&format!("kong_request_latency_ms_bucket{labels},le=\"+Inf\"}} 2\n")), "{text}");
    assert!(!text.contains("kong_upstream_latency_ms"), "no service was asked: {text}");
}

#[test]
fn streams_are_counted_as_sessions() {
    let flags = ["status_code_metrics", "latency_metrics", "bandwidth_metrics", "per_consumer"];
    let (env, plugin, _facts) = configure(&flags);
    let mut exchange = request(&mut Entries::default());
    exchange.traffic.received = 7;
    plugin.log(&mut exchange);
    exchange.consumer = None;
    exchange.stream = Some(StreamSession { protocol: Protocol::Tcp, from_service: 1, to_service: 2 });
    plugin.log(&mut exchange);
    let text = text(&env);
    let labels = "{service=\"s\",route=\"r\"";
    let sessions =
        format!("kong_stream_sessions_total{labels},code=\"200\",source=\"service\",workspace=\"default\"}} 1\n");
    assert!(text.contains(&sessions), "{text}");
    assert!(text.contains(&format!("kong_session_duration_ms_count{labels},workspace=\"default\"}} 1\n")), "{text}");
    let bandwidth = |direction: &str, consumer: &str| {
        format!("kong_bandwidth_bytes{labels},direction=\"{direction}\",workspace=\"default\"{consumer}}} 7\n")
    };
    // Streams have no consumer; both are one metric.
    assert!(text.contains(&bandwidth("ingress", "")), "{text}");
    assert!(text.contains(&bandwidth("ingress", ",consumer=\"ada\"")), "{text}");
    assert_eq!(text.matches("# TYPE kong_bandwidth_bytes ").count(), 1);
    assert_eq!(text.matches("subsystem=\"stream\",state=\"accepted\"").count(), 1);
}

#[test]
fn requests_without_a_route_are_not_counted() {
    let (env, plugin, _facts) = configure(&["status_code_metrics"]);
    let mut exchange = request(&mut Entries::default());
    exchange.route = None;
    plugin.log(&mut exchange);
    assert!(!text(&env).contains("kong_http_requests_total"));
}

#[test]
fn the_node_is_shown_in_any_case_and_what_was_counted_only_to_who_wants_it() {
    let (env, plugin, _facts) = configure(&["status_code_metrics"]);
    plugin.log(&mut request(&mut Entries::default()));
    let shown = |text: &str, name: &str| text.contains(&format!("# TYPE {name} "));
    let with = text(&env);
    drop(plugin);
    let without = text(&env);
    for name in ["kong_node_info", "kong_datastore_reachable", "kong_nginx_connections_total", "kong_nginx_timers"] {
        assert!(shown(&with, name), "{name}");
        assert!(shown(&without, name), "{name}");
    }
    assert!(shown(&with, "kong_http_requests_total"));
    assert!(!shown(&without, "kong_http_requests_total"));
    assert!(!shown(&without, "kong_upstream_target_health"));
}

#[test]
fn addresses_of_upstreams_have_one_state() {
    let (env, _plugin, _facts) = configure(&["upstream_health_metrics"]);
    let text = text(&env);
    let line = |target: &str, address: &str, state: &str, value: u8| {
        format!(
            "kong_upstream_target_health{{upstream=\"u\",target=\"{target}\",address=\"{address}\",\
             state=\"{state}\",subsystem=\"http\"}} {value}\n"
        )
    };
    assert!(text.contains(&line("a.test:80", "127.0.0.1:80", "unhealthy", 1)), "{text}");
    assert!(text.contains(&line("a.test:80", "127.0.0.1:80", "healthy", 0)), "{text}");
    assert!(text.contains(&line("gone.test:80", "", "dns_error", 1)), "{text}");
    assert!(text.contains(&line("idle.test:80", "127.0.0.1:80", "healthchecks_off", 1)), "{text}");
}

#[test]
fn what_is_never_counted_is_said() {
    let (_env, plugin, _facts) = configure(&["wasm_metrics"]);
    assert_eq!(plugin.degraded().as_deref(), Some("nothing is counted for wasm_metrics"));
}
