//! What the log server gets, and what becomes of entries that it does not take.

use super::*;
use sdk::testing::{self, Server};
use serde_json::json;

fn configure(server: &Server, path: &str, more: Value, env: &Env) -> Box<dyn Plugin> {
    let mut config = json!({ "http_endpoint": format!("http://user:secret@{}{path}", server.address()) });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    testing::configure(&HttpLog, config, env)
}

fn log(plugin: &dyn Plugin, target: &str) {
    testing::respond(plugin, &mut testing::exchange("GET", target, &[]), 200, &[], &[]);
}

fn uri(entry: &Value) -> &str {
    entry["request"]["uri"].as_str().unwrap()
}

#[tokio::test]
async fn entries_are_posted_with_the_configured_lines() {
    let server = Server::start().await;
    let more = json!({ "method": "PUT", "headers": { "X-Token": "abc", "content-type": "x" } });
    let plugin = configure(&server, "/in?x=1", more, &Env::default());
    log(&*plugin, "/a");
    let (head, content) = server.answer(200).await;
    assert!(head.starts_with("PUT /in?x=1 HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    for line in ["content-type: application/json", "x-token: abc", "authorization: basic dxnlcjpzzwnyzxq="] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    assert_eq!(uri(&serde_json::from_str(&content).unwrap()), "/a");
}

#[tokio::test]
async fn batches_are_lists() {
    let server = Server::start().await;
    let more = json!({ "queue": { "max_batch_size": 2, "max_coalescing_delay": 60 } });
    let plugin = configure(&server, "", more, &Env::default());
    log(&*plugin, "/a");
    log(&*plugin, "/b");
    let (head, content) = server.answer(200).await;
    assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
    let entries: Vec<Value> = serde_json::from_str(&content).unwrap();
    assert_eq!(entries.iter().map(uri).collect::<Vec<_>>(), ["/a", "/b"]);
}

#[tokio::test]
async fn what_is_not_taken_is_posted_again() {
    let server = Server::start().await;
    let plugin = configure(&server, "/", json!({}), &Env::default());
    log(&*plugin, "/a");
    let refused = server.answer(500).await;
    drop(server.accept().await);
    server.accept().await.send(b"nonsense\r\n\r\n").await;
    assert_eq!(server.answer(200).await.1, refused.1);
}

#[tokio::test]
async fn what_is_left_is_posted_when_the_node_ends() {
    let (server, env) = (Server::start().await, Env::default());
    let more = json!({ "queue": { "max_batch_size": 100, "max_coalescing_delay": 3600 } });
    let plugin = configure(&server, "/", more, &env);
    log(&*plugin, "/a");
    let (answered, ()) = tokio::join!(server.answer(200), env.tasks().drain(Duration::from_secs(30)));
    assert!(answered.1.contains("\"/a\""));
}

#[tokio::test]
async fn a_silent_server_costs_no_more_than_the_timeout_and_no_secret_is_told() {
    let server = Server::start().await;
    let url = format!("http://user:secret@{}/private?token=secret", server.address());
    let config = json!({ "http_endpoint": url, "headers": { "X-Key": "secret" } });
    let request = template(Config::new(config.as_object().unwrap())).unwrap();
    let options = HttpOptions { timeout: Duration::from_millis(20), ..HttpOptions::default() };
    let delivery = Delivery { client: HttpClient::new(&Env::default(), options), request, lists: false };
    let batch = [Bytes::from_static(b"{}")];
    let told = delivery.deliver(&batch).await.unwrap_err();
    assert_eq!(told, format!("{}: no answer in time", server.address()));
}

#[test]
fn authorization_is_said_once() {
    let both = json!({ "http_endpoint": "http://u:p@h/", "headers": { "AUTHORIZATION": "x" } });
    assert!(check_config(&both).is_err());
    assert!(check_config(&json!({ "http_endpoint": "http://h/", "headers": { "Authorization": "x" } })).is_ok());
    assert!(check_config(&json!({ "http_endpoint": "http://u:p@h/", "headers": null })).is_ok());
}

#[tokio::test]
async fn custom_fields_wait_for_lua() {
    let server = Server::start().await;
    let plugin = configure(&server, "/", json!({ "custom_fields_by_lua": { "a": "return 1" } }), &Env::default());
    assert!(plugin.degraded().is_some_and(|why| why.contains("custom_fields_by_lua")));
    let plugin = configure(&server, "/", json!({ "custom_fields_by_lua": {} }), &Env::default());
    assert_eq!(plugin.degraded(), None);
}
