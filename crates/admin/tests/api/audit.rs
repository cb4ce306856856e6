//! The audit log.

use super::Api;
use admin::{AuditOptions, Options};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn audited(change: impl FnOnce(&mut AuditOptions)) -> Api {
    let mut audit = AuditOptions {
        ignore_methods: Vec::new(),
        ignore_paths: Vec::new(),
        ignore_tables: Vec::new(),
        payload_exclude: ["token", "secret", "password"].map(str::to_owned).to_vec(),
        record_ttl: Duration::from_secs(100),
        key: None,
    };
    change(&mut audit);
    Api::new(Options { audit: Some(Arc::new(audit)), ..Options::default() })
}

async fn list(api: &Api, path: &str) -> Vec<Value> {
    api.get(path).await.body["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn requests_are_kept() {
    let api = audited(|_| {});
    let made = api.json("POST", "/consumers", json!({ "username": "ada", "secret": "s" })).await;
    assert_eq!(made.status, 400, "there is no such field");
    let requests = list(&api, "/audit/requests").await;
    assert_eq!(requests.len(), 1);
    let one = &requests[0];
    assert_eq!(one["request_id"].as_str(), made.header("x-kong-admin-request-id"));
    assert_eq!(one["method"], "POST");
    assert_eq!(one["path"], "/consumers");
    assert_eq!(one["status"], 400);
    assert_eq!(one["client_ip"], "127.0.0.1");
    assert_eq!(one["payload"], r#"{"username":"ada"}"#);
    assert_eq!(one["removed_from_payload"], "secret");
    assert_eq!(one["rbac_user_id"], Value::Null);
    assert!((1..=100).contains(&one["ttl"].as_u64().unwrap()));
    assert_eq!(list(&api, "/audit/requests?size=1").await.len(), 1);
    assert_eq!(list(&api, "/audit/requests?after=9999999999").await.len(), 0);
    assert_eq!(api.get("/audit/requests?before=x").await.status, 400);
    assert_eq!(Api::new(Options::default()).get("/").await.header("x-kong-admin-request-id"), None);
}

#[tokio::test]
async fn writes_are_kept_with_their_requests() {
    let api = audited(|audit| audit.ignore_tables = vec!["services".to_owned()]);
    let made = api.json("POST", "/consumers", json!({ "username": "ada" })).await;
    api.json("PATCH", "/consumers/ada", json!({ "custom_id": "1" })).await;
    api.call("DELETE", "/consumers/ada").await;
    api.json("POST", "/services", json!({ "name": "s", "host": "h.test" })).await;
    let objects = list(&api, "/audit/objects").await;
    let operations: Vec<&str> = objects.iter().map(|object| object["operation"].as_str().unwrap()).collect();
    assert_eq!(operations, ["create", "update", "delete"]);
    assert_eq!(objects[0]["request_id"].as_str(), made.header("x-kong-admin-request-id"));
    assert_eq!(objects[0]["dao_name"], "consumers");
    assert_eq!(objects[0]["entity_key"], made.body["id"]);
    let entity: Value = serde_json::from_str(objects[0]["entity"].as_str().unwrap()).unwrap();
    assert_eq!(entity["username"], "ada");
}

#[tokio::test]
async fn some_requests_are_not_kept() {
    let api = audited(|audit| {
        audit.ignore_methods = vec!["OPTIONS".to_owned(), "GET".to_owned()];
        audit.ignore_paths = vec![regex::Regex::new("^/upstreams").unwrap()];
    });
    api.get("/services").await;
    api.call("OPTIONS", "/services").await;
    api.json("POST", "/upstreams", json!({ "name": "u" })).await;
    api.call("DELETE", "/services/s").await;
    let requests = list(&api, "/audit/requests").await;
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0]["method"], "DELETE");
}

#[tokio::test]
async fn tokens_of_users_are_not_kept() {
    let api = audited(|audit| audit.payload_exclude = Vec::new());
    let input = json!({ "name": "ada", "user_token": "very-secret" });
    api.json("POST", "/rbac/users", input).await.expect(201);
    let kept = json!([list(&api, "/audit/requests").await, list(&api, "/audit/objects").await]).to_string();
    assert!(kept.contains("ada"));
    assert!(!kept.contains("very-secret"));
    assert!(!kept.contains("$2b$09$"));
}
