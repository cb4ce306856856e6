//! The rules of `rate-limiting-advanced` and `service-protection`.

use super::ledger::{Ledger, RedisLedger};
use super::synced::SyncedRates;
use super::*;
use sdk::Exchange;
use sdk::redis::RedisSettings;
use sdk::testing::{self, Kept, RedisServer};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The start of a minute.
const NOW: u64 = 1_709_208_000_000;

fn plugin(env: &Env, changes: Value) -> Box<dyn Plugin> {
    let mut config = json!({
        "identifier": "ip", "window_size": [60], "limit": [4], "window_type": "sliding", "strategy": "local",
        "namespace": "n", "error_code": 429, "error_message": "API rate limit exceeded"
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&RateLimitingAdvanced, config, env)
}

fn request(seconds: u64) -> Exchange {
    let mut exchange = testing::exchange("GET", "/", &[]);
    exchange.timing.started_unix_ms = NOW + seconds * 1_000;
    exchange
}

/// How many of so many requests at that time go on.
fn let_through(plugin: &dyn Plugin, count: usize, seconds: u64) -> usize {
    (0..count).filter(|_| testing::access(plugin, &mut request(seconds)).is_none()).count()
}

fn line<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    exchange.reply.get_str(name)
}

#[test]
fn routes_can_be_counted_apart() {
    let plugin = plugin(&Env::default(), json!({ "identifier": "route", "limit": [1] }));
    let ask = |number: u128| {
        let mut exchange = request(0);
        let id = entities::Uuid::from_u128(number).to_string();
        exchange.route = Some(testing::route(json!({ "id": id })));
        testing::access(&*plugin, &mut exchange).is_none()
    };
    assert!(ask(1));
    assert!(ask(2));
    assert!(!ask(1));
}

#[test]
fn consumers_can_be_counted_by_their_names() {
    for (key, together) in [(json!(null), false), (json!("consumer.username"), true), (json!("consumer.id"), false)] {
        let changes = json!({ "identifier": "consumer", "counter_key": key, "limit": [1] });
        let plugin = plugin(&Env::default(), changes);
        // Consumers of one name, as of two workspaces.
        let ask = || {
            let mut exchange = request(0);
            exchange.consumer = Some(testing::Entries::default().consumer("ada", None));
            testing::access(&*plugin, &mut exchange).is_none()
        };
        assert!(ask());
        assert_eq!(!ask(), together, "{key}");
    }
}

#[test]
fn a_burst_gets_exactly_the_limit_through() {
    for changes in [json!({}), json!({ "window_type": "fixed" }), json!({ "disable_penalty": true })] {
        assert_eq!(let_through(&*plugin(&Env::default(), changes.clone()), 40, 0), 4, "{changes}");
    }
}

#[test]
fn fixed_windows_begin_anew() {
    let plugin = plugin(&Env::default(), json!({ "window_type": "fixed" }));
    assert_eq!(let_through(&*plugin, 10, 59), 4);
    assert_eq!(let_through(&*plugin, 10, 60), 4);
}

#[test]
fn sliding_windows_forget_little_by_little() {
    let plugin = plugin(&Env::default(), json!({ "disable_penalty": true }));
    assert_eq!(let_through(&*plugin, 10, 30), 4);
    assert_eq!(let_through(&*plugin, 10, 60), 0);
    assert_eq!(let_through(&*plugin, 10, 90), 2);
    assert_eq!(let_through(&*plugin, 10, 180), 4);
}

#[test]
fn refused_requests_count_unless_there_is_no_penalty() {
    let plugin = plugin(&Env::default(), json!({}));
    assert_eq!(let_through(&*plugin, 10, 0), 4);
    assert_eq!(let_through(&*plugin, 1, 90), 0, "ten were counted, and half of them is left");
}

#[test]
fn headers_tell_of_each_window() {
    let plugin = plugin(&Env::default(), json!({ "window_size": [60, 30], "limit": [4, 2] }));
    let mut first = request(10);
    assert!(testing::access(&*plugin, &mut first).is_none());
    assert_eq!(line(&first, "X-RateLimit-Limit-Minute"), Some("4"));
    assert_eq!(line(&first, "X-RateLimit-Remaining-Minute"), Some("3"));
    assert_eq!(line(&first, "X-RateLimit-Limit-30"), Some("2"));
    assert_eq!(line(&first, "RateLimit-Limit"), Some("2"));
    assert_eq!(line(&first, "RateLimit-Remaining"), Some("1"));
    assert_eq!(line(&first, "RateLimit-Reset"), Some("20"));
    assert_eq!(let_through(&*plugin, 5, 10), 1);
    let mut refused = request(10);
    assert_eq!(testing::access(&*plugin, &mut refused).unwrap().status, 429);
    assert_eq!(line(&refused, "RateLimit-Limit"), Some("2"));
    assert!(line(&refused, "Retry-After").is_some());
}

#[test]
fn plugins_with_one_namespace_count_together() {
    let env = Env::default();
    assert_eq!(let_through(&*plugin(&env, json!({})), 3, 0), 3);
    assert_eq!(let_through(&*plugin(&env, json!({})), 3, 0), 1);
    assert_eq!(let_through(&*plugin(&env, json!({ "namespace": "other" })), 3, 0), 3);
}

#[test]
fn callers_are_told_apart_by_all_that_is_named() {
    let changes = json!({ "compound_identifier": ["header", "ip"], "header_name": "x-tenant", "limit": [1] });
    let plugin = plugin(&Env::default(), changes);
    let from = |tenant: &str, ip: &str| {
        let mut exchange = request(0);
        exchange.request.fields.set("X-Tenant", tenant.as_bytes());
        exchange.client.ip = ip.parse().unwrap();
        testing::access(&*plugin, &mut exchange).is_none()
    };
    assert!(from("a", "10.0.0.1"));
    assert!(from("a", "10.0.0.2"));
    assert!(from("b", "10.0.0.1"));
    assert!(!from("a", "10.0.0.1"));
}

#[test]
fn groups_have_limits_of_their_own() {
    let changes = json!({ "enforce_consumer_groups": true, "consumer_groups": ["gold", "silver", "tin"],
        "identifier": "consumer", "limit": [1] });
    let plugin = plugin(&Env::default(), changes);
    let rates = |limit: f64| {
        let windows = vec![(60.0, limit)];
        Some(entities::GroupRates { windows, sliding: false, retry_after_jitter_max: 0.0 })
    };
    let through = |groups: &[(&str, Option<f64>)]| {
        let mut entries = testing::Entries::default();
        let consumer = entries.consumer("ada", None);
        for (name, limit) in groups {
            entries.group_with_rates(name, &consumer, limit.and_then(rates));
        }
        let directory = sdk::Directory::from(entries);
        let ask = |_: &usize| {
            let mut exchange = request(0);
            exchange.directory = directory.clone();
            exchange.consumer = Some(consumer.clone());
            testing::access(&*plugin, &mut exchange).is_none()
        };
        (0..9).filter(ask).count()
    };
    assert_eq!(through(&[]), 1);
    assert_eq!(through(&[("silver", Some(3.0))]), 3);
    assert_eq!(through(&[("silver", Some(3.0)), ("gold", Some(5.0))]), 5, "the first that is listed");
    assert_eq!(through(&[("silver", Some(3.0)), ("gold", None)]), 3, "the first with limits");
    assert_eq!(through(&[("zinc", Some(3.0))]), 1, "not listed");
}

#[test]
fn enforcing_without_groups_says_so() {
    let enforcing = plugin(&Env::default(), json!({ "enforce_consumer_groups": true }));
    assert!(enforcing.degraded().unwrap().contains("consumer_groups"));
}

fn by_redis(server: &RedisServer, changes: Value) -> Box<dyn Plugin> {
    let mut all = json!({ "strategy": "redis", "sync_rate": 0, "redis": server.record(json!({})) });
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    plugin(&Env::default(), all)
}

async fn let_through_waiting(plugin: &dyn Plugin, count: usize, seconds: u64) -> usize {
    let mut through = 0;
    for _ in 0..count {
        through += usize::from(testing::access_waiting(plugin, &mut request(seconds)).await.is_none());
    }
    through
}

#[tokio::test]
async fn nodes_count_together_in_redis() {
    let server = RedisServer::start();
    let nodes = [by_redis(&server, json!({})), by_redis(&server, json!({}))];
    assert_eq!(let_through_waiting(&*nodes[0], 3, 0).await, 3);
    assert_eq!(let_through_waiting(&*nodes[1], 20, 0).await, 1);
    assert_eq!(server.keys(), ["1709208000:60:n"]);
    assert_eq!(server.text(&["HGET", "1709208000:60:n", "127.0.0.1"]), "23");
}

#[tokio::test]
async fn windows_slide_in_redis_too() {
    let server = RedisServer::start();
    let plugin = by_redis(&server, json!({ "disable_penalty": true }));
    assert_eq!(let_through_waiting(&*plugin, 10, 30).await, 4);
    assert_eq!(let_through_waiting(&*plugin, 10, 90).await, 2);
}

#[tokio::test]
async fn keys_of_a_cluster_are_kept_together() {
    let server = RedisServer::start_cluster();
    let redis = json!({ "cluster_nodes": [{ "ip": "127.0.0.1", "port": server.port() }] });
    let changes =
        json!({ "strategy": "redis", "sync_rate": 0, "redis": redis, "window_size": [30, 60], "limit": [2, 9] });
    assert_eq!(let_through_waiting(&*plugin(&Env::default(), changes), 9, 0).await, 2);
}

#[tokio::test]
async fn without_the_redis_each_node_counts() {
    let redis = json!({ "host": "127.0.0.1", "port": 1 });
    let plugin = plugin(&Env::default(), json!({ "strategy": "redis", "sync_rate": 0, "redis": redis }));
    assert_eq!(let_through_waiting(&*plugin, 9, 0).await, 4);
}

#[test]
fn a_service_is_protected_from_all_together() {
    let config = json!({ "window_size": [60], "limit": [2], "strategy": "local", "namespace": "n" });
    let plugin = testing::configure(&ServiceProtection, config, &Env::default());
    assert_eq!(let_through(&*plugin, 5, 0), 2);
}

#[test]
fn configurations_are_checked() {
    let error = |config: Value| check_config(&config).unwrap_err();
    let number = "You must provide the same number of windows and limits";
    assert_eq!(error(json!({ "window_size": [1, 2], "limit": [1] })), number);
    assert_eq!(error(json!({ "window_size": [0], "limit": [1] })), "size/limit values must be greater than 0");
    let one = |changes: Value| {
        let mut config = json!({ "window_size": [1], "limit": [1] });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        check_config(&config)
    };
    assert!(one(json!({ "strategy": "redis" })).is_err());
    assert!(one(json!({ "strategy": "redis", "sync_rate": 0.01 })).is_err());
    assert!(one(json!({ "strategy": "local", "sync_rate": 1 })).is_err());
    assert!(one(json!({ "strategy": "redis", "sync_rate": 0 })).is_ok());
}

/// A period that never ends within a test.
const LONG: u64 = 1_000_000_000;

/// What two nodes let through that tell each other when `exchange` is called.
async fn count_on_two_nodes(nodes: [Env; 2], synced: [Arc<SyncedRates>; 2], changes: Value) {
    let mut all = json!({ "sync_rate": LONG, "limit": [9], "disable_penalty": true });
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let plugins = nodes.map(|env| plugin(&env, all.clone()));
    assert_eq!(let_through(&*plugins[0], 4, 0), 4);
    assert_eq!(let_through(&*plugins[1], 3, 0), 3);
    let now = NOW / 1_000;
    synced[0].exchange(now).await;
    synced[1].exchange(now).await;
    assert_eq!(let_through(&*plugins[1], 20, 0), 2, "it knows of four more");
    synced[1].exchange(now).await;
    synced[0].exchange(now).await;
    assert_eq!(let_through(&*plugins[0], 20, 0), 0);
    synced[0].exchange(now).await;
    assert_eq!(let_through(&*plugins[0], 20, 90), 4, "half of the window before counts on");
}

#[tokio::test]
async fn nodes_tell_each_other_through_the_database() {
    let kept = Kept::default();
    let nodes = [(); 2].map(|()| Env::default().with_records(testing::records(kept.clone())));
    let synced = [0, 1].map(|at| {
        let env: &Env = &nodes[at];
        SyncedRates::of(env, None, Duration::from_secs(LONG), Ledger::Database(env.records().clone()))
    });
    count_on_two_nodes(nodes, synced, json!({ "strategy": "cluster" })).await;
}

#[tokio::test]
async fn nodes_tell_each_other_through_a_redis() {
    let server = RedisServer::start();
    let record = server.record(json!({}));
    let nodes = [(); 2].map(|()| Env::default());
    let synced = [0, 1].map(|at| {
        let config = Config::new(record.as_object().unwrap());
        let ledger = Ledger::Redis(RedisLedger::new(&nodes[at], &config).unwrap());
        let place = Some(RedisSettings::read(&config).unwrap());
        SyncedRates::of(&nodes[at], place, Duration::from_secs(LONG), ledger)
    });
    count_on_two_nodes(nodes, synced, json!({ "strategy": "redis", "redis": record })).await;
    assert_eq!(server.text(&["HGET", "1709208000:60:n", "127.0.0.1"]), "9");
}

#[tokio::test]
async fn the_database_counts_for_all_nodes() {
    let kept = Kept::default();
    let node = || {
        let env = Env::default().with_records(testing::records(kept.clone()));
        (plugin(&env, json!({ "strategy": "cluster", "sync_rate": 0, "limit": [6] })), env)
    };
    let (first, env) = node();
    assert_eq!(let_through_waiting(&*first, 4, 0).await, 4);
    // It is told afterwards.
    env.tasks().drain(Duration::from_secs(60)).await;
    let (second, _) = node();
    assert_eq!(let_through_waiting(&*second, 20, 0).await, 2);
}

#[tokio::test]
async fn throttled_requests_wait_for_room() {
    let throttling = json!({ "enabled": true, "interval": 0.05, "retry_times": 1_000, "queue_limit": 1 });
    let config = json!({ "window_size": [1], "window_type": "fixed", "limit": [1], "throttling": throttling });
    let plugin = plugin(&Env::default(), config);
    for _ in 0..2 {
        // The second one waits for the next second.
        let mut exchange = testing::exchange("GET", "/", &[]);
        assert!(testing::access_waiting(&*plugin, &mut exchange).await.is_none());
    }
}

#[tokio::test]
async fn only_so_many_requests_are_throttled() {
    let throttling = json!({ "enabled": true, "interval": 0.01, "retry_times": 2, "queue_limit": 1 });
    let plugin = plugin(&Env::default(), json!({ "window_size": [86_400], "throttling": throttling }));
    let mut exchanges = [(); 3].map(|()| testing::exchange("GET", "/", &[]));
    let [first, second, third] = &mut exchanges;
    for _ in 0..4 {
        assert!(testing::access(&*plugin, &mut testing::exchange("GET", "/", &[])).is_none());
    }
    let mut waits = Box::pin(testing::access_waiting(&*plugin, first));
    assert!(futures_util::poll!(&mut waits).is_pending());
    assert_eq!(testing::access(&*plugin, second).map(|answer| answer.status), Some(429), "at once");
    assert_eq!(waits.await.map(|answer| answer.status), Some(429));
    let mut waits = Box::pin(testing::access_waiting(&*plugin, third));
    assert!(futures_util::poll!(&mut waits).is_pending(), "there is a place again");
}
