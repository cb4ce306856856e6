//! The rules of `proxy-cache`, without sockets.

use super::*;
use sdk::testing::{RedisServer, Server};
use sdk::{AdminContent, Exchange, Source, testing};
use serde_json::json;

const TEXT: (&str, &str) = ("Content-Type", "text/plain");

struct Cache {
    plugin: Box<dyn Plugin>,
    env: Env,
    /// Seconds that have passed.
    later: u64,
}

fn cache(changes: Value) -> Cache {
    let mut config = json!({
        "response_code": [200, 301, 404], "request_method": ["GET", "HEAD"],
        "content_type": ["text/plain", "application/json"], "cache_ttl": 300, "cache_control": false,
        "strategy": "memory", "memory": { "dictionary_name": "kong_db_cache" },
        "response_headers": { "age": true, "X-Cache-Status": true, "X-Cache-Key": true }
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let env = Env::default();
    Cache { plugin: testing::configure(&ProxyCache, config, &env), env, later: 0 }
}

impl Cache {
    fn request(&self, method: &str, target: &str, lines: &[(&str, &str)]) -> Exchange {
        let mut exchange = testing::exchange(method, target, lines);
        exchange.timing.started_unix_ms += self.later * 1_000;
        exchange
    }

    /// Sends a request; the service answers with these lines and that text. Returns the cache's status and the content.
    fn send(&self, mut exchange: Exchange, status: u16, lines: &[(&str, &str)], body: &str) -> (String, String) {
        let content = match testing::access(&*self.plugin, &mut exchange) {
            Some(answer) => String::from_utf8(answer.body.to_vec()).unwrap(),
            None => testing::respond(&*self.plugin, &mut exchange, status, lines, &[body]),
        };
        (exchange.response.fields.get_str("x-cache-status").unwrap_or_default().to_owned(), content)
    }

    fn get(&self, target: &str, lines: &[(&str, &str)]) -> String {
        self.send(self.request("GET", target, lines), 200, &[TEXT], "fresh").0
    }

    fn answered(&self, target: &str, status: u16, lines: &[(&str, &str)]) -> String {
        self.send(self.request("GET", target, &[]), status, lines, "fresh").0
    }

    fn admin(&self, method: &str, path: &[&str]) -> AdminAnswer {
        let Value::Object(record) =
            json!({ "id": "00000000-0000-0000-0000-000000000001", "name": "proxy-cache", "config": {} })
        else {
            unreachable!()
        };
        let instances = vec![entities::Plugin::from_record(&record).unwrap()];
        let path = path.iter().map(|p| p.to_string()).collect();
        let method = method.to_owned();
        let request = AdminRequest {
            endpoint: "",
            method,
            path,
            query: Vec::new(),
            body: None,
            instances,
            workspace: entities::Uuid::default(),
            of_status: false,
            head: sdk::AdminHead::default(),
        };
        testing::ready(admin::answer(&request, admin::CHANNEL, &self.env))
    }
}

#[test]
fn a_miss_then_a_hit() {
    let cache = cache(json!({}));
    let lines = [TEXT, ("X-Backend", "b1"), ("Connection", "x-hop"), ("X-Hop", "1"), ("Content-Length", "5")];
    let (status, content) = cache.send(cache.request("GET", "/a", &[]), 200, &lines, "hello");
    assert_eq!(status, "Miss");
    assert_eq!(content, "hello");
    let mut exchange = cache.request("GET", "/a", &[]);
    exchange.timing.started_unix_ms += 3_000;
    let answer = testing::access(&*cache.plugin, &mut exchange).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "hello");
    assert_eq!(answer.source, Source::Service);
    let get = |name| exchange.response.fields.get_str(name);
    for (name, value) in [("x-cache-status", "Hit"), ("age", "3"), ("x-backend", "b1")] {
        assert_eq!(get(name), Some(value), "{name}");
    }
    for name in ["connection", "x-hop", "content-length"] {
        assert_eq!(get(name), None, "{name}");
    }
    assert_eq!(get("x-cache-key").map(str::len), Some(64));
}

#[test]
fn methods_statuses_and_types_decide() {
    let cache = cache(json!({ "content_type": ["text/plain", "application/json; charset=utf-8", "image/*"] }));
    let lines = [TEXT, ("Content-Length", "1")];
    let send = |method: &str| cache.send(cache.request(method, "/m", &[]), 200, &lines, "x").0;
    assert_eq!(
        ["GET", "GET", "HEAD", "HEAD", "POST", "DELETE"].map(send),
        ["Miss", "Hit", "Miss", "Hit", "Bypass", "Bypass"]
    );
    let head = || cache.send(cache.request("HEAD", "/unknown", &[]), 200, &[TEXT], "").0;
    assert_eq!([head(), head()], ["Miss", "Miss"], "it does not say how long the content is");
    assert_eq!(
        [301, 404, 302, 500].map(|status| cache.answered(&format!("/s{status}"), status, &[TEXT])),
        ["Miss", "Miss", "Bypass", "Bypass"]
    );
    let types = ["TEXT/plain", "text/html", "application/json", "image/png", "application/json;charset=utf-8"];
    assert_eq!(
        types.map(|t| cache.answered(&format!("/{t}"), 200, &[("Content-Type", t)])),
        ["Miss", "Bypass", "Bypass", "Miss", "Miss"]
    );
    assert_eq!(cache.answered("/none", 200, &[]), "Bypass");
}

#[test]
fn entries_end_or_are_refreshed() {
    let mut short = cache(json!({ "cache_ttl": 1 }));
    assert_eq!(short.get("/t", &[]), "Miss");
    assert_eq!(short.get("/t", &[]), "Hit");
    short.later = 3;
    assert_eq!(short.get("/t", &[]), "Miss");
    let mut stored = cache(json!({ "cache_ttl": 1, "storage_ttl": 20 }));
    assert_eq!(stored.get("/t", &[]), "Miss");
    stored.later = 3;
    assert_eq!(stored.get("/t", &[]), "Refresh");
}

#[test]
fn cache_control_of_requests() {
    let mut cache = cache(json!({ "cache_control": true }));
    let control = |value| [("Cache-Control", value)];
    assert_eq!(["no-cache", "no-store"].map(|c| cache.get("/n", &control(c))), ["Bypass", "Bypass"]);
    assert_eq!(cache.get("/n", &[("Authorization", "x")]), "Bypass");
    let mut exchange = cache.request("GET", "/o", &control("only-if-cached"));
    assert_eq!(testing::access(&*cache.plugin, &mut exchange).unwrap().status, 504);
    let store = |cache: &Cache| cache.answered("/y", 200, &[TEXT, ("Cache-Control", "max-age=60")]);
    assert_eq!(store(&cache), "Miss");
    cache.later = 2;
    let ask = |wish| cache.send(cache.request("GET", "/y", &control(wish)), 500, &[], "").0;
    assert_eq!(["max-age=5", "min-fresh=50", "max-stale=1", "only-if-cached"].map(ask), ["Hit"; 4]);
    let refresh = |wish| {
        let mut exchange = cache.request("GET", "/y", &control(wish));
        testing::access(&*cache.plugin, &mut exchange);
        exchange.reply.get_str("x-cache-status").unwrap_or_default().to_owned()
    };
    assert_eq!(["max-age=1", "min-fresh=59"].map(refresh), ["Refresh"; 2]);
}

#[test]
fn cache_control_of_responses() {
    let cache = cache(json!({ "cache_control": true }));
    let send =
        |(at, control): (usize, &str)| cache.answered(&format!("/{at}"), 200, &[TEXT, ("Cache-Control", control)]);
    let controls = ["max-age=30", "s-maxage=30", "max-age=0", "private, max-age=30", "no-store", "no-cache", "public"];
    assert_eq!(
        controls.into_iter().enumerate().map(send).collect::<Vec<_>>(),
        ["Miss", "Miss", "Bypass", "Bypass", "Bypass", "Bypass", "Bypass"]
    );
    let off = self::cache(json!({}));
    assert_eq!(off.answered("/f", 200, &[TEXT, ("Cache-Control", "no-store")]), "Miss");
    assert_eq!(off.get("/f", &[("Cache-Control", "no-cache")]), "Hit");
}

#[test]
fn incomplete_and_foreign_responses_are_not_kept() {
    let cache = cache(json!({}));
    assert_eq!(cache.answered("/cut", 200, &[TEXT, ("Content-Length", "50")]), "Miss");
    assert_eq!(cache.get("/cut", &[]), "Miss");
    let mut exchange = cache.request("GET", "/exit", &[]);
    testing::access(&*cache.plugin, &mut exchange);
    exchange.source = Source::Exit;
    testing::respond(&*cache.plugin, &mut exchange, 200, &[TEXT], &["x"]);
    assert_eq!(exchange.response.fields.get_str("x-cache-status"), Some("Bypass"));
}

#[test]
fn diagnostic_lines_can_be_hidden() {
    let cache = cache(json!({ "response_headers": { "age": false, "X-Cache-Status": false, "X-Cache-Key": false } }));
    assert_eq!(cache.get("/x", &[]), "", "a miss");
    assert_eq!(cache.get("/x", &[]), "", "a hit");
    let mut exchange = cache.request("GET", "/x", &[]);
    let answer = testing::access(&*cache.plugin, &mut exchange).unwrap();
    assert_eq!(answer.fields.get("age"), None);
    assert!(exchange.reply.is_empty());
    assert_eq!(cache.get("/x", &[("Kong-Debug", "1")]), "Hit");
}

#[test]
fn the_admin_api_shows_and_drops_entries() {
    let cache = cache(json!({ "cache_ttl": 30 }));
    let send = || cache.send(cache.request("GET", "/a", &[]), 200, &[TEXT, ("X-A", "1"), ("X-A", "2")], "hello");
    send();
    let mut exchange = cache.request("GET", "/a", &[]);
    testing::access(&*cache.plugin, &mut exchange);
    let key = exchange.reply.get_str("x-cache-key").unwrap().to_owned();
    let admin = |method: &str, path: &[&str]| cache.admin(method, path).status;
    let shown = cache.admin("GET", &["proxy-cache", &key]);
    assert_eq!(shown.status, 200);
    let AdminContent::Json(entry) = shown.content else { panic!("{shown:?}") };
    assert_eq!(entry["body"], "hello");
    assert_eq!(entry["ttl"], 30);
    assert_eq!(entry["body_len"], 5);
    let headers =
        json!({ "Content-Type": "text/plain", "X-A": ["1", "2"], "X-Cache-Key": key, "X-Cache-Status": "Miss" });
    assert_eq!(entry["headers"], headers);
    let plugin = "00000000-0000-0000-0000-000000000001";
    assert_eq!(admin("GET", &["proxy-cache", plugin, "caches", &key]), 200);
    assert_eq!(admin("GET", &["proxy-cache", "11111111-1111-4111-8111-111111111111", "caches", &key]), 404);
    assert_eq!(admin("GET", &["proxy-cache", "nothing"]), 404);
    assert_eq!(admin("DELETE", &["proxy-cache", &key]), 204);
    assert_eq!(admin("DELETE", &["proxy-cache", &key]), 404);
    assert_eq!(send().0, "Miss");
    assert_eq!(admin("DELETE", &["proxy-cache"]), 204);
    assert_eq!(send().0, "Miss");
}

/// A cache in that Redis, of a node of its own.
fn in_redis(kind: &dyn PluginKind, redis: Value, changes: Value) -> Cache {
    let mut config = json!({
        "response_code": [200], "request_method": ["GET"], "content_type": ["text/plain"], "cache_ttl": 300,
        "cache_control": false, "strategy": "redis", "redis": redis,
        "response_headers": { "age": true, "X-Cache-Status": true, "X-Cache-Key": true }
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let env = Env::default();
    Cache { plugin: testing::configure(kind, config, &env), env, later: 0 }
}

/// The status of a request's answer, where the cache gives one, and the cache's own.
async fn ask(cache: &Cache, lines: &[(&str, &str)]) -> (Option<u16>, String) {
    let mut exchange = cache.request("GET", "/a", &[]);
    let answer = testing::access_waiting(&*cache.plugin, &mut exchange).await;
    if answer.is_none() {
        testing::respond(&*cache.plugin, &mut exchange, 200, lines, &["fresh"]);
    }
    let told = exchange.response.fields.get_str("x-cache-status").unwrap_or_default().to_owned();
    (answer.map(|answer| answer.status), told)
}

#[tokio::test]
async fn nodes_share_a_redis() {
    let server = RedisServer::start();
    let record = server.record(json!({}));
    let nodes = [(); 2].map(|()| in_redis(&ProxyCacheAdvanced, record.clone(), json!({ "storage_ttl": 500 })));
    assert_eq!(ask(&nodes[0], &[TEXT, ("X-A", "1")]).await, (None, "Miss".to_owned()));
    // It is stored beside requests.
    while server.keys().is_empty() {
        tokio::task::yield_now().await;
    }
    let key = server.keys().remove(0);
    assert!(key.starts_with("proxy-cache-advanced:") && key.len() == 21 + 64, "{key}");
    assert!((400..=500).contains(&server.text(&["TTL", &key]).parse().unwrap()));
    assert_eq!(ask(&nodes[1], &[]).await, (Some(200), "Hit".to_owned()));
    let plain = in_redis(&ProxyCache, record, json!({}));
    assert_eq!(ask(&plain, &[TEXT]).await, (None, "Miss".to_owned()));
    server.command(&["SET", &key, "nonsense"]);
    assert_eq!(ask(&nodes[1], &[("Content-Type", "image/png")]).await, (None, "Bypass".to_owned()));
}

#[tokio::test]
async fn without_the_redis_requests_pass_where_they_may() {
    let away = json!({ "host": "127.0.0.1", "port": 1 });
    let passes = in_redis(&ProxyCacheAdvanced, away.clone(), json!({ "bypass_on_err": true }));
    assert_eq!(ask(&passes, &[TEXT]).await, (None, "Bypass".to_owned()));
    let refuses = in_redis(&ProxyCacheAdvanced, away.clone(), json!({}));
    assert_eq!(ask(&refuses, &[]).await.0, Some(500));
    assert_eq!(ask(&in_redis(&ProxyCache, away, json!({})), &[TEXT]).await, (None, "Bypass".to_owned()));
}

#[tokio::test]
async fn a_silent_redis_keeps_nobody() {
    let server = Server::start().await;
    let silent =
        json!({ "host": "127.0.0.1", "port": server.address().port(), "read_timeout": 20, "send_timeout": 20 });
    let cache = in_redis(&ProxyCacheAdvanced, silent, json!({ "bypass_on_err": true }));
    assert_eq!(ask(&cache, &[TEXT]).await, (None, "Bypass".to_owned()));
}
