//! The datagrams of a request.

use super::*;
use sdk::testing::{self, Entries};
use serde_json::json;
use tokio::net::UdpSocket;

/// What arrives of a request, so many datagrams.
async fn sent(mut config: Value, exchange: &mut Exchange, count: usize) -> Vec<String> {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    config["host"] = json!("127.0.0.1");
    config["port"] = json!(server.local_addr().unwrap().port());
    let plugin = testing::configure(&Datadog, config, &Env::default());
    testing::respond(&*plugin, exchange, 200, &[], &[]);
    let mut received = Vec::new();
    let mut space = [0; 2_048];
    while received.len() < count {
        let length = server.recv(&mut space).await.unwrap();
        received.push(String::from_utf8(space[..length].to_vec()).unwrap());
    }
    received
}

fn metric(name: &str, stat_type: &str, more: Value) -> Value {
    let mut metric = json!({ "name": name, "stat_type": stat_type });
    metric.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    metric
}

#[tokio::test]
async fn metrics_are_tagged() {
    let mut entries = Entries::default();
    let ada = entries.consumer("ada", Some("c7"));
    let mut exchange = testing::exchange("GET", "/", &[]);
    exchange.consumer = Some(ada);
    exchange.route = Some(testing::route(json!({ "name": "r.1" })));
    exchange.traffic.received = 80;
    let config = json!({ "prefix": "pre", "service_name_tag": "svc", "route_name_tag": "way", "metrics": [
        metric("request_count", "counter", json!({ "sample_rate": 1, "consumer_identifier": "custom_id",
            "tags": ["app:kong"] })),
        metric("request_size", "distribution", json!({ "sample_rate": 0.5 })),
        // No service was asked.
        metric("upstream_latency", "timer", json!({})),
    ] });
    let lines = sent(config, &mut exchange, 3).await;
    let expected = [
        "pre.request.count:1|c|#svc:,status:200,way:r_1,consumer:c7,app:kong",
        "pre.request.size:80|d|@0.5|#svc:,status:200,way:r_1",
        "pre.upstream_latency:-1|ms|#svc:,status:200,way:r_1",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_tried_again() {
    let env = Env::default();
    let settings = json!({ "max_retry_time": 0.05, "initial_retry_delay": 0.01 });
    let metrics = json!([metric("request_count", "counter", json!({}))]);
    let config = json!({ "host": "no.such.invalid", "port": 8125, "metrics": metrics, "queue": settings });
    let plugin = testing::configure(&Datadog, config, &env);
    testing::respond(&*plugin, &mut testing::exchange("GET", "/", &[]), 200, &[], &[]);
    env.tasks().drain(Duration::from_secs(30)).await;
}
