//! The rules of `rate-limiting`, without sockets.

use super::*;
use sdk::testing::{self, Entries, RedisServer};
use serde_json::json;

/// 2024-02-29 12:00:30.
const NOW: u64 = 1_709_208_030;

fn request(target: &str, lines: &[(&str, &str)]) -> Exchange {
    let mut exchange = testing::exchange("GET", target, lines);
    exchange.timing.started_unix_ms = NOW * 1_000;
    exchange
}

fn plugin(config: Value) -> Box<dyn Plugin> {
    testing::configure(&RateLimiting, config, &Env::default())
}

/// The status of each of these requests, 0 for one that went on.
fn statuses(plugin: &dyn Plugin, requests: &mut [Exchange]) -> Vec<u16> {
    requests.iter_mut().map(|exchange| testing::access(plugin, exchange).map_or(0, |a| a.status)).collect()
}

fn line<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    exchange.reply.get_str(name)
}

#[test]
fn headers_count_down_and_the_last_request_is_refused() {
    let plugin = plugin(json!({ "minute": 1, "hour": 10, "error_message": "API rate limit exceeded" }));
    let mut first = request("/", &[]);
    assert!(testing::access(&*plugin, &mut first).is_none());
    assert_eq!(line(&first, "X-RateLimit-Limit-Minute"), Some("1"));
    assert_eq!(line(&first, "X-RateLimit-Remaining-Minute"), Some("0"));
    assert_eq!(line(&first, "X-RateLimit-Remaining-Hour"), Some("9"));
    assert_eq!(line(&first, "Retry-After"), None);
    assert_eq!(line(&first, "RateLimit-Limit"), Some("1"));
    assert_eq!(line(&first, "RateLimit-Remaining"), Some("0"));
    assert_eq!(line(&first, "RateLimit-Reset"), Some("30"));
    let mut second = request("/", &[]);
    let answer = testing::access(&*plugin, &mut second).unwrap();
    assert_eq!(answer.status, 429);
    assert!(String::from_utf8(answer.body.to_vec()).unwrap().contains("\"message\":\"API rate limit exceeded\""));
    assert_eq!(line(&second, "X-RateLimit-Remaining-Hour"), Some("9"));
    assert_eq!(line(&second, "Retry-After"), Some("30"));
    assert_eq!(line(&second, "RateLimit-Limit"), Some("1"));
    assert_eq!(second.response.fields.get_str("ratelimit-remaining"), Some("0"));
}

#[test]
fn each_response_has_the_numbers_of_its_own_request() {
    let plugins = [plugin(json!({ "minute": 11, "hour": 200 })), plugin(json!({ "second": 3 }))];
    let told = |plugin: &dyn Plugin| {
        let mut exchange = request("/", &[("X-Of", "any")]);
        exchange.reply.set("X-Other", b"1");
        testing::access(plugin, &mut exchange);
        let names = ["X-RateLimit-Remaining-Minute", "X-RateLimit-Remaining-Hour", "X-RateLimit-Remaining-Second"];
        let values = [&names[..], &["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "X-Other"]].concat();
        values.into_iter().map(|name| line(&exchange, name).unwrap_or("-").to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(told(&*plugins[0]), "10 199 - 11 10 30 1");
    assert_eq!(told(&*plugins[0]), "9 198 - 11 9 30 1");
    assert_eq!(told(&*plugins[0]), "8 197 - 11 8 30 1");
    assert_eq!(told(&*plugins[1]), "- - 2 3 2 1 1");
    assert_eq!(told(&*plugins[0]), "7 196 - 11 7 30 1");
    assert_eq!(told(&*plugins[1]), "- - 1 3 1 1 1");
}

#[test]
fn the_summary_shows_the_window_with_the_least_left() {
    let plugin = plugin(json!({ "second": 100, "minute": 101, "hour": 102, "day": 103, "month": 104, "year": 105 }));
    let mut exchange = request("/", &[]);
    testing::access(&*plugin, &mut exchange);
    assert_eq!(line(&exchange, "RateLimit-Limit"), Some("100"));
    assert_eq!(line(&exchange, "RateLimit-Remaining"), Some("99"));
    assert_eq!(line(&exchange, "RateLimit-Reset"), Some("1"));
    assert_eq!(line(&exchange, "X-RateLimit-Remaining-Year"), Some("104"));
}

#[test]
fn callers_are_told_apart() {
    let by = |limit_by: &str| {
        plugin(json!({ "minute": 1, "limit_by": limit_by, "header_name": "X-Tenant", "path": "/r/x" }))
    };
    let tenant = |name| request("/", &[("x-tenant", name)]);
    assert_eq!(
        statuses(&*by("header"), &mut [tenant("a"), tenant("a"), tenant("b"), request("/", &[]), request("/", &[])]),
        [0, 429, 0, 0, 429]
    );
    let paths = ["/r/x", "/r/x?q=1", "/r//./x", "/a/../r/%78", "/r/y", "/r/z"];
    assert_eq!(statuses(&*by("path"), &mut paths.map(|path| request(path, &[]))), [0, 429, 429, 429, 0, 429]);
    let octets = |value: &[u8]| {
        let mut exchange = request("/", &[]);
        exchange.request.fields.append("X-Tenant", value);
        exchange
    };
    assert_eq!(
        statuses(
            &*by("header"),
            &mut [octets(b"\xe9"), octets(b"\xe8"), octets("\u{fffd}".as_bytes()), octets(b"\xe9")]
        ),
        [0, 0, 0, 429]
    );
    let from = |ip: &str| {
        let mut exchange = request("/", &[]);
        exchange.client.ip = ip.parse().unwrap();
        exchange
    };
    assert_eq!(statuses(&*by("ip"), &mut [from("10.0.0.1"), from("10.0.0.1"), from("::1")]), [0, 429, 0]);
    let mut entries = Entries::default();
    let (ada, bob) = (entries.consumer("ada", None), entries.consumer("bob", None));
    let credentials = [&ada, &ada, &bob].map(|consumer| entries.credential("keyauth_credentials", "k", consumer));
    let call = |n: usize| {
        let mut exchange = request("/", &[]);
        exchange.authenticate(Some([&ada, &ada, &bob][n].clone()), Some(credentials[n].clone()));
        exchange
    };
    assert_eq!(statuses(&*by("consumer"), &mut [call(0), call(1), call(2), request("/", &[])]), [0, 429, 0, 0]);
    assert_eq!(statuses(&*by("credential"), &mut [call(0), call(1), call(0)]), [0, 0, 429]);
}

#[test]
fn counters_belong_to_the_scope_and_outlive_the_configuration() {
    let env = Env::default();
    let before = testing::configure(&RateLimiting, json!({ "minute": 1 }), &env);
    assert_eq!(statuses(&*before, &mut [request("/", &[]), request("/", &[])]), [0, 429]);
    let after = testing::configure(&RateLimiting, json!({ "minute": 3 }), &env);
    let mut exchange = request("/", &[]);
    assert!(testing::access(&*after, &mut exchange).is_none());
    assert_eq!(line(&exchange, "X-RateLimit-Remaining-Minute"), Some("1"));
}

#[test]
fn answers_can_be_changed() {
    let plugin =
        plugin(json!({ "minute": 0.5, "hide_client_headers": true, "error_code": 404, "error_message": "later" }));
    let mut requests = [request("/", &[]), request("/", &[])];
    assert_eq!(statuses(&*plugin, &mut requests), [0, 404]);
    assert!(requests.iter().all(|exchange| exchange.reply.is_empty()));
}

#[test]
fn limits_must_be_ordered() {
    assert_eq!(
        check_config(&json!({ "second": 20, "minute": 10 })).unwrap_err(),
        "The limit for minute(10.0) cannot be lower than the limit for second(20.0)"
    );
    assert!(check_config(&json!({ "second": 1, "year": 1, "hour": null, "sync_rate": -1 })).is_ok());
    assert!(check_config(&json!({ "second": 1, "sync_rate": 1 })).is_err());
    assert!(check_config(&json!({ "second": 1, "sync_rate": 0.01, "policy": "redis" })).is_err());
    assert!(check_config(&json!({ "second": 1, "sync_rate": 1, "policy": "redis" })).is_ok());
}

async fn statuses_by_redis(plugin: &dyn Plugin, requests: &mut [Exchange]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for exchange in requests {
        statuses.push(testing::access_waiting(plugin, exchange).await.map_or(0, |answer| answer.status));
    }
    statuses
}

#[tokio::test]
async fn nodes_count_together_in_redis() {
    let server = RedisServer::start();
    let node = || plugin(json!({ "minute": 2, "policy": "redis", "sync_rate": -1, "redis": server.record(json!({})) }));
    let mut requests = [request("/", &[]), request("/", &[])];
    assert_eq!(statuses_by_redis(&*node(), &mut requests).await, [0, 0]);
    assert_eq!(line(&requests[1], "X-RateLimit-Remaining-Minute"), Some("0"));
    assert_eq!(statuses_by_redis(&*node(), &mut [request("/", &[])]).await, [429]);
}

#[tokio::test]
async fn without_the_redis_requests_go_on_or_fail() {
    let without = |tolerant: bool| {
        let redis = json!({ "host": "127.0.0.1", "port": 1 });
        plugin(json!({ "minute": 2, "policy": "redis", "redis": redis, "fault_tolerant": tolerant }))
    };
    let mut requests = [request("/", &[])];
    assert_eq!(statuses_by_redis(&*without(true), &mut requests).await, [0]);
    assert_eq!(line(&requests[0], "RateLimit-Limit"), None);
    assert_eq!(statuses_by_redis(&*without(false), &mut requests).await, [500]);
}
