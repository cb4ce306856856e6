//! The Admin API over a store in memory, mostly without sockets.

mod access;
mod audit;
mod clients;
mod consumer_groups;
mod events;
mod http2;
mod providers;
mod rights;
mod sockets;
mod transactions;
mod workspaces;

use admin::{
    Admin, Counters, HookAnswer, HookMessage, Login, LoginRequest, Memory, Node, Options, Pids, PluginAnswer,
    PluginContent, PluginEndpoint, PluginRequest, TargetMark,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use model::Catalog;
use model::health::UpstreamHealth;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Revision, Store};
use uuid::Uuid;

/// A node that remembers what it was asked.
#[derive(Default)]
struct TestNode {
    level: Mutex<String>,
    applied: Mutex<Revision>,
    /// How long a revision takes to be in force.
    compiles: Mutex<Duration>,
    marks: Mutex<Vec<TargetMark>>,
    /// What event hooks have sent.
    messages: Mutex<Vec<HookMessage>>,
    health: Mutex<Option<UpstreamHealth>>,
    /// What a plugin finds out of those who log in, one after the other.
    logins: Mutex<VecDeque<Login>>,
}

impl Node for TestNode {
    fn id(&self) -> Uuid {
        Uuid::nil()
    }
    fn hostname(&self) -> String {
        "here".to_owned()
    }
    fn pids(&self) -> Pids {
        Pids { master: 1, workers: vec![1, 1] }
    }
    fn settings(&self) -> Value {
        json!({ "database": "sqlite" })
    }
    fn counters(&self) -> Counters {
        Counters { total_requests: 7, ..Counters::default() }
    }
    fn memory(&self) -> Memory {
        Memory { resident: 10 << 20, total: 1 << 30 }
    }
    fn applied(&self, revision: Revision) -> BoxFuture<'_, ()> {
        let compiles = *self.compiles.lock().unwrap();
        Box::pin(async move {
            if !compiles.is_zero() {
                tokio::time::sleep(compiles).await;
            }
            *self.applied.lock().unwrap() = revision;
        })
    }
    fn ready(&self) -> Result<(), String> {
        Err("no snapshot yet".to_owned())
    }
    fn upstream_health(&self, _upstream: Uuid) -> Option<UpstreamHealth> {
        self.health.lock().unwrap().clone()
    }
    fn set_target_health(&self, mark: &TargetMark) -> Result<(), String> {
        if mark.upstream_name == "off" {
            return Err("no healthchecker found for off".to_owned());
        }
        self.marks.lock().unwrap().push(mark.clone());
        Ok(())
    }
    fn queue_hook(&self, message: HookMessage) {
        self.messages.lock().unwrap().push(message);
    }
    fn send_hook(&self, message: HookMessage) -> BoxFuture<'_, Result<HookAnswer, String>> {
        let answer = match message.url.as_str() {
            "http://away.test/" => Err("no connection".to_owned()),
            _ => Ok(HookAnswer { status: 202, headers: Vec::new(), content: message.content }),
        };
        Box::pin(std::future::ready(answer))
    }
    fn identify(&self, _request: LoginRequest) -> BoxFuture<'_, Login> {
        let login = self.logins.lock().unwrap().pop_front().expect("a login");
        Box::pin(std::future::ready(login))
    }
    fn log_level(&self) -> String {
        self.level.lock().unwrap().clone()
    }
    fn set_log_level(&self, level: &str, _timeout: Duration) {
        *self.level.lock().unwrap() = level.to_owned();
    }
    fn plugin_endpoints(&self) -> Vec<PluginEndpoint> {
        let endpoint = |path, on_status| PluginEndpoint {
            path,
            methods: &["GET"],
            on_admin: true,
            on_status,
            in_workspaces: false,
        };
        vec![endpoint("/proxy-cache", false), endpoint("/proxy-cache/{key}", false), endpoint("/metrics", true)]
    }
    fn plugin_admin(&self, request: PluginRequest) -> BoxFuture<'_, PluginAnswer> {
        let content = match request.path[0].as_str() {
            "metrics" => PluginContent::Text("up 1\n".to_owned()),
            _ => PluginContent::Json(json!({ "method": request.method, "path": request.path })),
        };
        Box::pin(std::future::ready(PluginAnswer { status: 200, content, headers: Vec::new() }))
    }
}

struct Api {
    admin: Arc<Admin>,
    node: Arc<TestNode>,
    store: Store,
}

struct Answer {
    status: u16,
    body: Value,
    head: Response<()>,
}

impl Answer {
    #[track_caller]
    fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}

impl Api {
    fn new(options: Options) -> Api {
        let store = Store::memory(Arc::new(Catalog::core())).unwrap();
        let node = Arc::new(TestNode::default());
        *node.level.lock().unwrap() = "notice".to_owned();
        Api { admin: Arc::new(Admin::new(store.clone(), node.clone(), options)), node, store }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (head, body) = self.admin.answer(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer { status: head.status.as_u16(), body, head: Response::from_parts(head, ()) }
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).await
    }

    async fn call(&self, method: &str, path: &str) -> Answer {
        self.send(Request::builder().method(method).uri(path).body(Full::default()).unwrap()).await
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.typed(method, path, "application/json", &body.to_string()).await
    }

    async fn form(&self, method: &str, path: &str, body: &str) -> Answer {
        self.typed(method, path, "application/x-www-form-urlencoded", body).await
    }

    async fn typed(&self, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        self.send(request.body(Full::from(body.to_owned())).unwrap()).await
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).and_then(|value| value.to_str().ok())
    }
}

#[tokio::test]
async fn a_service_lives() {
    let api = Api::new(Options::default());
    let made = api.json("POST", "/services", json!({ "name": "s", "host": "h.test" })).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.body["port"], 80);
    let newest = *api.store.watch().borrow();
    assert_eq!(*api.node.applied.lock().unwrap(), newest, "answered before the snapshot had it");
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(api.get("/services/s").await.body, made.body);
    assert_eq!(api.get(&format!("/services/{id}/")).await.body, made.body);
    assert_eq!(api.json("PATCH", "/services/s", json!({ "retries": 3 })).await.body["retries"], 3);
    let put = api.json("PUT", "/services/s", json!({ "host": "g.test" })).await;
    assert_eq!(put.status, 200);
    assert_eq!(put.body["retries"], json!(5));
    assert_eq!(put.body["id"].as_str(), Some(id));
    assert_eq!(api.call("DELETE", "/services/s").await.status, 204);
    assert_eq!(api.call("DELETE", "/services/s").await.status, 204);
    let gone = api.get("/services/s").await;
    assert_eq!(gone.status, 404);
    assert_eq!(gone.body, json!({ "message": "Not found" }));
    let gone = api.json("PATCH", "/services/s", json!({})).await;
    assert_eq!(gone.status, 404);
    assert_eq!(gone.body["code"], json!(6));
    assert_eq!(gone.body["fields"], json!({ "name": "s" }));
}

#[tokio::test]
async fn routes_under_a_service_and_back() {
    let api = Api::new(Options::default());
    for name in ["a", "b"] {
        api.json("POST", "/services", json!({ "name": name, "host": "h.test" })).await;
    }
    let route = api.form("POST", "/services/a/routes", "name=r&paths[]=/x&paths[]=/y&strip_path=false").await;
    assert_eq!(route.status, 201);
    assert_eq!(route.body["paths"], json!(["/x", "/y"]));
    assert_eq!(route.body["strip_path"], json!(false));
    assert_eq!(api.get("/services/a/routes").await.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("/services/b/routes").await.body, json!({ "data": [], "next": null }));
    assert_eq!(api.get("/services/a/routes/r").await.body, route.body);
    assert_eq!(api.get("/services/b/routes/r").await.status, 404);
    assert_eq!(api.call("DELETE", "/services/b/routes/r").await.status, 404);
    assert_eq!(api.get("/services/none/routes").await.status, 404);
    assert_eq!(api.get("/routes/r/service").await.body["name"], "a");
    assert_eq!(api.json("PATCH", "/routes/r/service", json!({ "port": 81 })).await.body["port"], 81);
    assert_eq!(api.call("DELETE", "/routes/r/service").await.status, 405);
    api.json("POST", "/routes", json!({ "name": "lone", "paths": ["/z"] })).await;
    assert_eq!(api.get("/routes/lone/service").await.status, 404);
    assert_eq!(api.json("PUT", "/routes/lone/service", json!({ "host": "new.test" })).await.status, 200);
    assert_eq!(api.get("/routes/lone/service").await.body["host"], "new.test");
}

#[tokio::test]
async fn pages_and_their_links() {
    let api = Api::new(Options::default());
    for name in ["a", "b", "c"] {
        api.json("POST", "/services", json!({ "name": name, "host": "h.test", "tags": ["t", name] })).await;
    }
    let first = api.get("/services?size=2&tags=t").await;
    assert_eq!(first.body["data"].as_array().unwrap().len(), 2);
    let next = first.body["next"].as_str().unwrap();
    assert!(next.starts_with("/services?offset=") && next.ends_with("&tags=t&size=2"), "{next}");
    let second = api.get(next).await;
    assert_eq!(second.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(second.body["next"], Value::Null);
    assert_eq!(api.get("/services?size=0").await.body["code"], 9);
    assert_eq!(api.get("/services?offset=bad").await.body["code"], 7);
    let bad = api.get("/services?tags=a,b/c").await;
    assert_eq!(bad.status, 400);
    assert_eq!(bad.body["options"], json!({ "tags": "invalid filter syntax" }));
    assert_eq!(api.get("/tags/a").await.body["data"][0]["entity_name"], "services");
    assert_eq!(api.json("POST", "/tags", json!({ "tag": "x" })).await.status, 400);
}

#[tokio::test]
async fn what_is_no_text_is_refused() {
    let api = Api::new(Options::default());
    let refused = |answer: Answer| (answer.status, answer.body["message"].as_str().unwrap_or_default().to_owned());
    let not_text = |what: &str| (400, format!("{what} not valid UTF-8"));
    let form = "application/x-www-form-urlencoded";
    assert_eq!(refused(api.typed("POST", "/consumers", form, "username=caf%E9").await), not_text("Arguments are"));
    assert_eq!(refused(api.get("/consumers?tags=%E9").await), not_text("Arguments are"));
    assert_eq!(refused(api.get("/consumers/caf%E9").await), not_text("Path is"));
    let post = |kind: &[u8], body: &'static [u8]| {
        let request = Request::builder().method("POST").uri("/consumers").header("content-type", kind);
        api.send(request.body(Full::from(body)).unwrap())
    };
    assert_eq!(refused(post(form.as_bytes(), b"username=caf\xe9").await), not_text("Arguments are"));
    let part = b"--b\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\ncaf\xe9\r\n--b--\r\n";
    assert_eq!(refused(post(b"multipart/form-data; boundary=b", part).await), not_text("Arguments are"));
    assert_eq!(refused(post(b"application/json; x=\"\xe9\"", b"{}").await), not_text("Content-Type is"));
    assert_eq!(post(b"application/json", b"{\"username\":\"caf\xe9\"}").await.status, 400);
    assert_eq!(api.get("/consumers").await.body["data"], json!([]));
    let accepted = api.typed("POST", "/consumers", "application/json; x=\"\u{e9}\"", r#"{"username":"a"}"#).await;
    assert_eq!(accepted.status, 201);
}

#[tokio::test]
async fn content_is_checked() {
    let api = Api::new(Options::default());
    for body in ["{\"host\":", "", "{\"host\":\"h\"} x", "[1]", "null"] {
        let reply = api.typed("POST", "/services", "application/json", body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.body["message"].as_str().unwrap().starts_with("Cannot parse JSON body"), "{body}");
    }
    assert_eq!(api.typed("POST", "/services", "text/plain", "host=h").await.status, 415);
    assert_eq!(api.typed("POST", "/services", "application/JSON", "{}").await.status, 415);
    assert_eq!(api.form("POST", "/services?host=h.test", "name=a").await.status, 400);
    let many = (0..1001).map(|n| format!("a{n}=1")).collect::<Vec<_>>().join("&");
    assert_eq!(api.form("POST", "/services", &many).await.body["message"], "Too many arguments");
    let large = "x".repeat(10 * 1024 * 1024 + 1);
    assert_eq!(api.form("POST", "/services", &large).await.status, 413);
    let deep = "[".repeat(100_000);
    assert_eq!(api.typed("POST", "/services", "application/json", &deep).await.status, 400);
    let parts = "--X\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nm\r\n--X\r\nContent-Disposition: \
        form-data; name=\"url\"\r\n\r\nhttp://h.test:81/p\r\n--X--\r\n";
    let made = api.typed("POST", "/services", "multipart/form-data; boundary=X", parts).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.body["port"], json!(81));
    assert_eq!(made.body["path"], json!("/p"));
    assert_eq!(api.typed("POST", "/services", "multipart/form-data", parts).await.status, 400);
}

#[tokio::test]
async fn methods_and_headers() {
    let api = Api::new(Options::default());
    let options = api.call("OPTIONS", "/services/x").await;
    assert_eq!(options.status, 204);
    assert_eq!(options.header("allow"), Some("DELETE, GET, HEAD, OPTIONS, PATCH, PUT"));
    assert_eq!(api.call("OPTIONS", "/upstreams/x/targets/y/healthy").await.header("allow"), Some("OPTIONS, PUT"));
    assert_eq!(api.call("OPTIONS", "/none").await.status, 404);
    for (method, path) in [
        ("DELETE", "/"),
        ("PUT", "/services"),
        ("FOO", "/services"),
        ("TRACE", "/services"),
        ("GET", "/schemas/plugins/validate"),
    ] {
        assert_eq!(api.call(method, path).await.status, 405, "{method} {path}");
    }
    for path in [
        "/none",
        "//services",
        "/services/a//",
        "/services/a/b/c",
        "/Services",
        "/%73ervices",
        "/services/a/../a",
        "/targets",
        "/schemas",
        "/a/b/c/d/e/f/g/h/i",
    ] {
        assert_eq!(api.get(path).await.status, 404, "{path}");
    }
    let reply = api.get("/services").await;
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert!(reply.header("server").unwrap().starts_with("bascule/"));
    assert!(reply.header("x-kong-admin-latency").unwrap().parse::<u64>().is_ok());
    let quiet = Api::new(Options { server_header: false, latency_header: false, ..Options::default() });
    let reply = quiet.get("/services").await;
    assert_eq!(reply.header("server"), None);
    assert_eq!(reply.header("x-kong-admin-latency"), None);
}

#[tokio::test]
async fn targets_of_an_upstream() {
    let api = Api::new(Options::default());
    for name in ["u", "v", "off"] {
        api.json("POST", "/upstreams", json!({ "name": name })).await;
    }
    let target = api.json("POST", "/upstreams/u/targets", json!({ "target": "h.test:80", "weight": 10 })).await;
    let id = target.body["id"].as_str().unwrap().to_owned();
    api.json("POST", "/upstreams/u/targets", json!({ "target": "g.test:80", "weight": 0 })).await;
    assert_eq!(api.get("/upstreams/u/targets/h.test:80").await.body, target.body);
    assert_eq!(api.get(&format!("/upstreams/u/targets/{id}")).await.body, target.body);
    assert_eq!(api.get("/upstreams/v/targets/h.test:80").await.status, 404);
    assert_eq!(api.get(&format!("/upstreams/v/targets/{id}")).await.status, 404);
    let page = api.get("/upstreams/u/targets?size=1").await;
    assert_eq!(page.body["offset"], json!("1"));
    assert_eq!(page.body["next"], json!("/upstreams/u/targets?offset=1"));
    assert_eq!(api.get("/upstreams/u/targets?offset=x").await.status, 400);
    assert_eq!(api.get("/upstreams/u/targets/all").await.body["data"].as_array().unwrap().len(), 2);
    assert_eq!(api.json("PATCH", "/upstreams/u/targets/h.test:80", json!({ "weight": 20 })).await.body["weight"], 20);

    assert_eq!(api.call("PUT", "/upstreams/u/targets/h.test:80/unhealthy").await.status, 204);
    assert_eq!(api.call("PUT", "/upstreams/u/targets/h.test:80/10.0.0.1:81/healthy").await.status, 204);
    let marks = std::mem::take(&mut *api.node.marks.lock().unwrap());
    assert_eq!(marks[0].host.as_str(), "h.test");
    assert_eq!(marks[0].port, 80);
    assert_eq!(marks[0].address.as_deref(), None);
    assert!(!marks[0].healthy);
    assert_eq!(marks[1].port, 81);
    assert_eq!(marks[1].address.as_deref(), Some("10.0.0.1"));
    assert!(marks[1].healthy);
    api.json("POST", "/upstreams/off/targets", json!({ "target": "h.test:80" })).await;
    let refused = api.call("PUT", "/upstreams/off/targets/h.test:80/healthy").await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.body, json!({ "message": "no healthchecker found for off" }));

    assert_eq!(api.call("DELETE", "/upstreams/u/targets/h.test:80").await.status, 204);
    assert_eq!(api.call("DELETE", "/upstreams/u/targets/h.test:80").await.status, 404);
}

#[tokio::test]
async fn health_of_an_upstream() {
    use model::health::{AddressHealth, HostHealth, Weights};
    let api = Api::new(Options::default());
    let upstream = api.json("POST", "/upstreams", json!({ "name": "u" })).await.body;
    for target in ["127.0.0.1:80", "gone.test:80"] {
        api.json("POST", "/upstreams/u/targets", json!({ "target": target })).await;
    }
    let weight = Weights { total: 100, available: 0, unavailable: 100 };
    let addresses = vec![AddressHealth { ip: "127.0.0.1".into(), port: 80, weight: 100, healthy: false }];
    let host = HostHealth { host: "127.0.0.1".into(), port: 80, dns: "A".into(), node_weight: 100, weight, addresses };
    *api.node.health.lock().unwrap() =
        Some(UpstreamHealth { checked: true, healthy: false, weight, hosts: vec![host] });
    let health = api.get("/upstreams/u/health").await.body;
    let state = |target: &str| {
        let of = |entry: &&Value| entry["target"] == target;
        health["data"].as_array().unwrap().iter().find(of).unwrap()["health"].clone()
    };
    assert_eq!(state("127.0.0.1:80"), json!("UNHEALTHY"));
    assert_eq!(state("gone.test:80"), json!("DNS_ERROR"));
    let whole = api.get("/upstreams/u/health?balancer_health=1").await.body;
    assert_eq!(whole["data"]["health"], json!("UNHEALTHY"));
    assert_eq!(whole["data"]["id"], upstream["id"]);
    assert_eq!(whole["data"]["details"]["hosts"][0]["addresses"][0]["healthy"], false);
    assert_eq!(api.get("/upstreams/none/health").await.status, 404);
}

#[tokio::test]
async fn what_the_node_says() {
    let api = Api::new(Options::default());
    let root = api.get("/").await.body;
    assert_eq!(root["version"], json!("3.10.0"));
    assert_eq!(root["configuration"]["log_level"], json!("notice"));
    assert_eq!(api.get("/status").await.body["server"]["total_requests"], 7);
    let memory = api.get("/status").await.body["memory"].clone();
    assert_eq!(
        memory["lua_shared_dicts"]["kong"],
        json!({ "allocated_slabs": "10.00 MiB", "capacity": "1024.00 MiB" })
    );
    let other = json!({ "allocated_slabs": "0.00 MiB", "capacity": "12.00 MiB" });
    assert_eq!(memory["lua_shared_dicts"]["kong_db_cache_miss"], other);
    assert_eq!(memory["workers_lua_vms"][1], json!({ "pid": 1, "http_allocated_gc": "5.00 MiB" }));
    assert_eq!(api.get("/status?unit=x").await.status, 400);
    assert_eq!(api.call("PUT", "/debug/node/log-level/debug?timeout=1").await.body["message"], "log level changed");
    assert_eq!(api.get("/debug/node/log-level").await.body["message"], "log level: debug");
    assert_eq!(api.call("PUT", "/debug/node/log-level/nope").await.status, 400);
    let negative = api.json("PUT", "/debug/node/log-level/info", json!({ "timeout": -1 })).await;
    assert_eq!(negative.body["message"], "timeout must be greater than or equal to 0");
    assert_eq!(api.get("/timers").await.body["stats"]["sys"]["waiting"], 0);
    assert_eq!(api.get("/config").await.status, 400);
    assert_eq!(api.get("/clustering/status").await.status, 400);
    assert!(
        api.get("/endpoints").await.body["data"]
            .as_array()
            .unwrap()
            .contains(&json!("/services/{services}/routes/{routes}"))
    );
    assert_eq!(api.get("/proxy-cache/a%20b").await.body, json!({ "method": "GET", "path": ["proxy-cache", "a b"] }));
    assert_eq!(api.call("POST", "/proxy-cache/a").await.head.headers()["allow"], "GET, HEAD, OPTIONS");
    assert_eq!(api.call("OPTIONS", "/proxy-cache/a").await.status, 204);
    let metrics = api.admin.answer_status(Request::get("/metrics").body(Full::default()).unwrap()).await;
    assert_eq!(metrics.headers()["content-type"], "text/plain; charset=UTF-8");
    let cache = api.admin.answer_status(Request::get("/proxy-cache").body(Full::default()).unwrap()).await;
    assert_eq!(cache.status(), 404);
    assert_eq!(api.get("/schemas/nope").await.body["message"], "No entity named 'nope'");
    assert_eq!(api.json("POST", "/schemas/services/validate", json!({ "host": "h.test" })).await.status, 200);
    let ready = api.admin.answer_status(Request::get("/status/ready").body(Full::default()).unwrap()).await;
    assert_eq!(ready.status(), 503);
    let services = api.admin.answer_status(Request::get("/services").body(Full::default()).unwrap()).await;
    assert_eq!(services.status(), 404);
}

#[tokio::test]
async fn without_a_database_nothing_is_written() {
    let api = Api::new(Options { dbless: true, ..Options::default() });
    let services = json!([{ "name": "s", "host": "h.test" }]);
    let loaded = api.json("POST", "/config", json!({ "_format_version": "3.0", "services": services })).await;
    assert_eq!(loaded.status, 201);
    let refused = api.json("PATCH", "/services/s", json!({ "port": 1 })).await;
    assert_eq!(refused.status, 405);
    assert_eq!(refused.body["message"], "cannot update 'services' entities by 'name' when not using a database");
    assert_eq!(api.json("PATCH", "/services/s", json!({ "port": "x" })).await.status, 400);
    assert_eq!(api.json("PATCH", "/services/nope", json!({ "port": 1 })).await.status, 404);
    assert_eq!(api.get("/services").await.body["data"][0]["port"], json!(80));
}

#[tokio::test]
async fn whole_configurations_go_in_and_out() {
    let api = Api::new(Options { dbless: true, ..Options::default() });
    let document = |host: &str| json!({ "_format_version": "3.0", "services": [{ "name": "s", "host": host }] });
    let hash = async || api.get("/status").await.body["configuration_hash"].clone();
    assert_eq!(hash().await, json!("00000000000000000000000000000000"));
    let loaded = api.json("POST", "/config?check_hash=1", document("h.test")).await;
    let id = "b268827a-8f7f-551f-8769-e6bceb2f3ec6";
    assert_eq!(loaded.body["services"][id]["host"], "h.test");
    let first = hash().await;
    assert_eq!(api.json("POST", "/config?check_hash=1", document("h.test")).await.status, 304);
    assert_eq!(api.json("POST", "/config", document("bad host")).await.status, 400);
    assert_eq!(hash().await, first, "what is refused changes nothing");
    assert_eq!(api.get("/services/s").await.body["host"], "h.test");
    let shown = api.get("/config").await.body["config"].as_str().unwrap().to_owned();
    assert!(shown.contains("services:\n- id: b268827a"), "{shown}");
    let again = api.json("POST", "/config", json!({ "config": shown })).await;
    assert_eq!(again.body["services"][id]["host"], "h.test");
    let refused = api.json("POST", "/config", json!({ "config": "x: [1" })).await;
    assert!(
        refused.body["fields"]["error"].as_str().unwrap().starts_with("failed parsing declarative configuration: ")
    );
    let with_database = Api::new(Options::default()).json("POST", "/config", document("h.test")).await;
    assert_eq!(with_database.status, 400);
}

#[tokio::test]
async fn certificates_go_by_their_snis() {
    let api = Api::new(Options::default());
    let own = rcgen::generate_simple_self_signed(["one.test".to_owned()]).unwrap();
    let pair = |snis: Value| json!({ "cert": own.cert.pem(), "key": own.signing_key.serialize_pem(), "snis": snis });
    let made = api.json("POST", "/certificates", pair(json!(["b.test", "a.test"]))).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.body["snis"], json!(["a.test", "b.test"]));
    assert_eq!(api.get("/certificates/a.test").await.body, made.body);
    assert_eq!(api.get("/certificates").await.body["data"][0]["snis"], made.body["snis"]);
    assert_eq!(
        api.json("PATCH", "/certificates/b.test", json!({ "snis": ["c.test"] })).await.body["snis"],
        json!(["c.test"])
    );
    assert_eq!(api.get("/certificates/a.test").await.body["message"], "SNI not found");
    assert_eq!(api.get("/certificates/c.test/snis/c.test").await.status, 200);
    let taken = api.json("POST", "/certificates", pair(json!(["c.test"]))).await;
    assert_eq!(taken.status, 400);
    assert_eq!(taken.body["code"], json!(2));
    assert_eq!(
        api.json("POST", "/certificates", pair(json!(["d.test", "d.test"]))).await.body["fields"],
        json!({ "snis": "d.test is duplicated" })
    );
    assert_eq!(
        api.json("PUT", "/certificates/new.test", pair(json!(["d.test"]))).await.body["snis"],
        json!(["d.test", "new.test"])
    );
    for snis in [json!(["d.test"]), Value::Null] {
        let again = api.json("PUT", "/certificates/new.test", pair(snis.clone())).await;
        assert!(again.body["snis"].as_array().unwrap().contains(&json!("new.test")), "{snis}: {}", again.body);
    }
    assert_eq!(api.call("DELETE", "/certificates/c.test").await.status, 204);
    assert_eq!(api.get("/snis").await.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("/snis/new.test/certificate").await.status, 404);
}
