//! What the agent is asked and what follows, against one that a test plays.

use super::*;
use sdk::testing::{self, Entries, Server};
use serde_json::{Value, json};

fn configure(server: &Server, changes: Value) -> Box<dyn Plugin> {
    let address = server.address();
    let mut config = json!({
        "opa_protocol": "http", "opa_host": address.ip().to_string(), "opa_port": address.port(),
        "opa_path": "/v1/data/app/allow", "ssl_verify": true
    });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&Opa, config, &Env::default())
}

/// The answer to an exchange, if there is one, and what the agent was asked, which says that.
async fn ask(server: &Server, plugin: &dyn Plugin, exchange: &mut Exchange, says: &str) -> (Option<Answer>, Value) {
    let answering = async {
        let mut peer = server.accept().await;
        let (head, asked) = peer.request().await;
        assert!(head.starts_with("POST /v1/data/app/allow HTTP/1.1"), "{head}");
        peer.send(says.as_bytes()).await;
        serde_json::from_str(&asked).unwrap()
    };
    tokio::join!(testing::access_waiting(plugin, exchange), answering)
}

fn ok(result: Value) -> String {
    let body = json!({ "result": result }).to_string();
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn the_agent_decides() {
    let server = Server::start().await;
    let plugin = configure(&server, json!({}));
    let mut exchange = testing::exchange("GET", "/a%20b?x=1&x=2&f", &[("X-In", "v"), ("Host", "A.test:80")]);
    let allowed = json!({ "allow": true, "headers": { "X-Level": "7" } });
    let (answer, asked) = ask(&server, &*plugin, &mut exchange, &ok(allowed)).await;
    assert!(answer.is_none());
    assert_eq!(exchange.request.fields.get_str("X-Level"), Some("7"));
    let http = &asked["input"]["request"]["http"];
    assert_eq!(http["method"], "GET");
    assert_eq!(http["path"], "/a b");
    assert_eq!(http["querystring"], json!({ "x": ["1", "2"], "f": true }));
    assert_eq!(http["headers"], json!({ "x-in": "v", "host": "A.test:80" }));
    assert_eq!(http["host"], "a.test");
    assert_eq!(http["scheme"], "http");
    assert_eq!(http["tls"], json!({}));
    assert_eq!(http["body"], Value::Null);
    assert_eq!(asked["input"]["client_ip"], "127.0.0.1");
    let refused = json!({ "allow": false, "status": 401, "message": "no", "headers": { "X-Why": "w" } });
    let answer = ask(&server, &*plugin, &mut exchange, &ok(refused)).await.0.unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.fields.get_str("X-Why"), Some("w"));
    assert_eq!(&answer.body[..], br#"{"message":"no"}"#);
    let answer = ask(&server, &*plugin, &mut exchange, &ok(json!(false))).await.0.unwrap();
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn without_a_decision_nobody_passes() {
    let server = Server::start().await;
    let plugin = configure(&server, json!({}));
    let empty = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    let failed = "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 15\r\n\r\n{\"result\":true}";
    for says in [empty, failed, "nonsense\r\n\r\n", &ok(json!("true")), &ok(json!({ "allow": 1 }))] {
        let mut exchange = testing::exchange("GET", "/", &[]);
        let answer = ask(&server, &*plugin, &mut exchange, says).await.0;
        assert_eq!(answer.map(|answer| answer.status), Some(500), "{says}");
    }
    let gone = Server::start().await;
    let plugin = configure(&gone, json!({}));
    drop(gone);
    let answer = testing::access_waiting(&*plugin, &mut testing::exchange("GET", "/", &[])).await;
    assert_eq!(answer.map(|answer| answer.status), Some(500));
}

#[tokio::test]
async fn more_is_told_on_demand() {
    let server = Server::start().await;
    let includes = json!({
        "include_service_in_opa_input": true, "include_route_in_opa_input": true,
        "include_consumer_in_opa_input": true, "include_body_in_opa_input": true,
        "include_parsed_json_body_in_opa_input": true, "include_uri_captures_in_opa_input": true
    });
    let plugin = configure(&server, includes);
    assert!(plugin.phases().has(Phases::READS_BODY));
    let mut exchange = testing::exchange("POST", "/", &[("Content-Type", "application/json")]);
    exchange.service = Some(testing::service(json!({ "name": "s" })));
    exchange.route = Some(testing::route(json!({ "name": "r" })));
    exchange.consumer = Some(Entries::default().consumer("ada", None));
    exchange.captures =
        vec![("0".to_owned(), b"/x/5".to_vec()), ("1".to_owned(), b"x".to_vec()), ("id".to_owned(), b"5".to_vec())];
    exchange.body = r#"{"a":1}"#.into();
    let asked = ask(&server, &*plugin, &mut exchange, &ok(json!(true))).await.1;
    let input = &asked["input"];
    assert_eq!(input["service"]["name"], "s");
    assert_eq!(input["route"]["name"], "r");
    assert_eq!(input["consumer"]["username"], "ada");
    let http = &input["request"]["http"];
    assert_eq!(http["body"], r#"{"a":1}"#);
    assert_eq!(http["body_size"], 7);
    assert_eq!(http["parsed_body"], json!({ "a": 1 }));
    assert_eq!(http["uri_captures"], json!({ "named": { "id": "5" }, "unnamed": ["x"] }));
    exchange.body = sdk::RequestBody::TooLarge;
    let answer = testing::access_waiting(&*plugin, &mut exchange).await;
    assert_eq!(answer.map(|answer| answer.status), Some(413));
}
