//! The rules of `response-ratelimiting`, without sockets.

use super::*;
use sdk::testing::{self, RedisServer};
use serde_json::json;

fn configure(limits: Value, changes: Value) -> Box<dyn Plugin> {
    let mut config = json!({
        "limits": limits, "policy": "local", "header_name": "x-kong-limit", "limit_by": "consumer",
        "block_on_first_violation": false, "hide_client_headers": false
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&ResponseRateLimiting, config, &Env::default())
}

/// An exchange in which the service says that; what the client gets of it, and its content.
fn exchange(plugin: &dyn Plugin, says: &str) -> (Exchange, String) {
    let mut exchange = testing::exchange("GET", "/", &[]);
    exchange.timing.started_unix_ms = 1_000_000_000_000;
    assert!(testing::access(plugin, &mut exchange).is_none());
    let lines = [("X-Kong-Limit", says), ("Content-Length", "5")];
    let body = testing::respond(plugin, &mut exchange, 200, &lines, &["hello"]);
    (exchange, body)
}

fn line(exchange: &Exchange, name: &str) -> Option<String> {
    exchange.response.fields.get_str(name).map(str::to_owned)
}

#[test]
fn services_say_what_was_used() {
    let plugin = configure(json!({ "video": { "minute": 3 }, "image": { "minute": 5, "hour": 9 } }), json!({}));
    let (first, _) = exchange(&*plugin, "video=2, image = 1, other=7, video");
    let upstream = &first.request.fields;
    assert_eq!(upstream.get_str("X-RateLimit-Remaining-video"), Some("3"));
    assert_eq!(upstream.get_str("X-RateLimit-Remaining-image"), Some("5"));
    assert_eq!(line(&first, "X-RateLimit-Limit-video-minute").as_deref(), Some("3"));
    assert_eq!(line(&first, "X-RateLimit-Remaining-video-minute").as_deref(), Some("1"));
    assert_eq!(line(&first, "X-RateLimit-Remaining-image-hour").as_deref(), Some("8"));
    assert_eq!(line(&first, "X-Kong-Limit"), None);
    let (second, body) = exchange(&*plugin, "");
    assert_eq!(line(&second, "X-RateLimit-Remaining-video-minute").as_deref(), Some("1"));
    assert_eq!(body, "hello");
}

#[test]
fn what_goes_beyond_a_limit_is_refused() {
    let plugin = configure(json!({ "v": { "minute": 2 } }), json!({}));
    let (first, _) = exchange(&*plugin, "v=3");
    assert_eq!(first.response.status, 200, "there was something left");
    let (second, body) = exchange(&*plugin, "v=1");
    assert_eq!(second.response.status, 429);
    assert_eq!(line(&second, "Content-Length"), None);
    assert_eq!(line(&second, "X-RateLimit-Remaining-v-minute").as_deref(), Some("0"));
    assert_eq!(body, "");
    let (third, _) = exchange(&*plugin, "v=0");
    assert_eq!(third.response.status, 200);
}

#[test]
fn what_is_refused_counts_for_no_limit() {
    let plugin = configure(json!({ "img": { "day": 9 }, "video": { "day": 2 } }), json!({}));
    for (says, status, left) in
        [("video=2", 200, "9"), ("video=1,img=1", 429, "8"), ("video=1,img=1", 429, "8"), ("img=2", 200, "7")]
    {
        let (exchange, _) = exchange(&*plugin, says);
        assert_eq!(exchange.response.status, status, "{says}");
        assert_eq!(line(&exchange, "X-RateLimit-Remaining-img-day").as_deref(), Some(left), "{says}");
    }
}

#[test]
fn requests_can_be_refused_before() {
    let plugin = configure(json!({ "v": { "minute": 1 } }), json!({ "block_on_first_violation": true }));
    exchange(&*plugin, "v=1");
    let mut next = testing::exchange("GET", "/", &[]);
    next.timing.started_unix_ms = 1_000_000_000_000;
    let answer = testing::access(&*plugin, &mut next).unwrap();
    assert_eq!(answer.status, 429);
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(said["message"], "API rate limit exceeded for 'v'");
}

#[test]
fn headers_can_be_hidden() {
    let plugin = configure(json!({ "v": { "minute": 9 } }), json!({ "hide_client_headers": true }));
    let (hidden, _) = exchange(&*plugin, "v=1");
    assert_eq!(line(&hidden, "X-RateLimit-Limit-v-minute"), None);
    assert_eq!(line(&hidden, "X-Kong-Limit"), None);
}

#[test]
fn without_a_database_cluster_says_that_it_counts_here() {
    let policy = |name: &str| configure(json!({ "v": { "minute": 9 } }), json!({ "policy": name })).degraded();
    assert_eq!(policy("local"), None);
    assert_eq!(policy("cluster").as_deref(), Some("policy 'cluster' counts on this node only: there is no store"));
}

fn redis(record: Value, tolerant: bool) -> Box<dyn Plugin> {
    let changes = json!({ "policy": "redis", "fault_tolerant": tolerant, "redis": record });
    configure(json!({ "v": { "minute": 5 } }), changes)
}

async fn access(plugin: &dyn Plugin) -> (Exchange, Option<Answer>) {
    let mut exchange = testing::exchange("GET", "/", &[]);
    exchange.timing.started_unix_ms = 1_000_000_000_000;
    let answer = testing::access_waiting(plugin, &mut exchange).await;
    (exchange, answer)
}

#[tokio::test]
async fn nodes_count_together_in_redis() {
    let server = RedisServer::start();
    let nodes = [redis(server.record(json!({})), true), redis(server.record(json!({})), true)];
    let (mut first, _) = access(&*nodes[0]).await;
    testing::respond(&*nodes[0], &mut first, 200, &[("X-Kong-Limit", "v=2")], &["hello"]);
    assert_eq!(line(&first, "X-RateLimit-Remaining-v-minute").as_deref(), Some("3"));
    // It is counted beside the request.
    let counted = async {
        while server.keys().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    counted.await;
    let (second, _) = access(&*nodes[1]).await;
    assert_eq!(second.request.fields.get_str("X-RateLimit-Remaining-v"), Some("3"));
}

#[tokio::test]
async fn without_the_redis_requests_go_on_or_fail() {
    let closed = json!({ "host": "127.0.0.1", "port": 1 });
    let (exchange, answer) = access(&*redis(closed.clone(), true)).await;
    assert!(answer.is_none());
    assert_eq!(exchange.request.fields.get_str("X-RateLimit-Remaining-v"), None);
    assert_eq!(access(&*redis(closed, false)).await.1.unwrap().status, 500);
}
