//! Plugins from files, without a gateway.

mod clients;
mod forks;
mod kit;
mod libraries;
mod modules;
mod openresty;
mod tools;

use super::{Paths, load};
use sdk::{Answer, Env, Plugin, PluginKind, testing};
use serde_json::{Value, json};
use std::time::Instant;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lua/plugins/fixtures/?.lua");

fn paths() -> Paths {
    Paths { package: FIXTURES.to_owned() }
}

fn kind() -> &'static dyn PluginKind {
    load(&["probe"], &paths()).unwrap()[0]
}

fn plugin() -> Box<dyn Plugin> {
    testing::configure(kind(), json!({ "header": "X-Probe", "ttl": 60, "url": null }), &Env::default())
}

/// What the plugin answers to a request that asks for something.
async fn answer(what: &str) -> Option<Answer> {
    let mut exchange = testing::exchange("GET", &format!("/?do={what}"), &[]);
    testing::access_waiting(&*plugin(), &mut exchange).await
}

async fn json_of(what: &str) -> Value {
    let answer = answer(what).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{what}: {answer:?}"))
}

async fn status(what: &str) -> u16 {
    answer(what).await.map_or(0, |answer| answer.status)
}

/// What the schema says of a configuration.
fn validated(config: Value) -> Result<Value, String> {
    let mut catalog = model::Catalog::core();
    sdk::register(kind(), &mut catalog).unwrap();
    let record = json!({ "name": "probe", "config": config }).as_object().cloned().unwrap();
    let schema = catalog.entity("plugins").unwrap();
    let accepted = schema.process_insert(&catalog, record).map_err(|error| error.body().to_string())?;
    Ok(accepted["config"].clone())
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let error = |name: &str| load(&[name], &paths()).err().unwrap();
    let absent = error("nowhere");
    assert!(absent.contains("on plugin 'nowhere': nowhere plugin is enabled but not installed;"), "{absent}");
    assert!(absent.contains("module 'kong.plugins.nowhere.handler' not found"), "{absent}");
    let broken = error("broken");
    assert!(broken.contains("error loading module 'kong.plugins.broken.handler' from file"), "{broken}");
    let headless = error("headless");
    assert!(headless.contains("its PRIORITY field is not a valid integer number"), "{headless}");
}

#[test]
fn what_a_plugin_says_of_itself_is_read() {
    assert_eq!(kind().name(), "probe");
    assert_eq!(kind().priority(), 1001);
    assert_eq!(kind().version(), "1.2.3");
    let schema: Value = serde_json::from_str(kind().schema()).unwrap();
    assert_eq!(schema["fields"][2]["config"]["fields"][3]["list"]["default"], json!([]));
    assert_eq!(schema["fields"][0]["consumer"]["eq"], Value::Null);
}

#[test]
fn schemas_judge_by_data_and_by_functions() {
    let accepted = validated(json!({ "old": "X-Old", "even": 4 })).unwrap();
    assert_eq!(accepted["header"], "X-Old");
    assert_eq!(accepted["ttl"], 60);
    assert_eq!(accepted["url"], Value::Null);
    let error = |config: Value| validated(config).unwrap_err();
    assert!(error(json!({ "even": 3 })).contains("must be even"));
    assert!(error(json!({ "ttl": 4, "even": 4 })).contains("ttl and even must differ"));
    assert!(error(json!({ "header": "a b" })).contains("header"));
    assert!(error(json!({ "looping": true })).contains("the code takes too long"));
    assert!(validated(json!({ "even": 2 })).is_ok(), "the machine goes on");
}

#[tokio::test]
async fn plugins_answer() {
    let exit = answer("exit").await.unwrap();
    assert_eq!(exit.status, 418);
    assert_eq!(exit.fields.get_str("X-A"), Some("b"));
    assert_eq!(exit.fields.get_str("Content-Type"), Some("application/json; charset=utf-8"));
    assert_eq!(json_of("exit").await, json!({ "message": "tea", "ttl": 60, "url": "nil" }));
    assert_eq!(status("pcall").await, 204, "no protected call goes on after an answer");
    let said = answer("say").await.unwrap();
    assert_eq!((said.status, &said.body[..]), (201, &b"hi 1 true\n"[..]));
}

#[test]
fn content_is_read_for_modules_that_are_loaded_later() {
    let plugin = testing::configure(load(&["lazy"], &paths()).unwrap()[0], json!({}), &Env::default());
    assert!(plugin.phases().has(sdk::Phases::MAY_READ_BODY));
}

#[tokio::test]
async fn plugins_wait() {
    assert!(answer("sleep").await.is_none());
    assert_eq!(json_of("coroutines").await, json!({ "out": [1, 2, 3] }));
    assert_eq!(json_of("threads").await, json!({ "out": [2, 4, 6] }));
    assert_eq!(json_of("semaphores").await, json!({ "first": true, "second": "timeout" }));
}

#[tokio::test]
async fn sockets_reach_servers() {
    let server = testing::Server::start().await;
    let target = format!("socket&port={}", server.address().port());
    let (line, (request, _)) = tokio::join!(json_of(&target), server.answer(200));
    assert_eq!(line, json!({ "line": "HTTP/1.1 200 X" }));
    assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
    let target = format!("http&port={}", server.address().port());
    let (answered, (request, content)) = tokio::join!(json_of(&target), server.answer(201));
    assert_eq!(answered, json!({ "status": 201, "body": "", "length": "0" }));
    assert!(request.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{request}");
    assert_eq!(content, "text");
}

#[tokio::test]
async fn what_is_of_openresty_works() {
    let regex = json_of("regex").await;
    assert_eq!(regex, json!({ "word": "hello", "two": "1234", "text": "a<1>b<22>", "count": 2 }));
    assert_eq!(json_of("cache").await, json!({ "once": 1, "value": "other", "failed": true }));
    assert_eq!(json_of("shared").await, json!({ "first": 1, "second": 3, "added": false }));
}

#[tokio::test]
async fn code_is_kept_within_limits() {
    let started = Instant::now();
    for what in ["loop", "memory", "one_large_string"] {
        assert_eq!(status(what).await, 500, "{what}");
    }
    assert!(started.elapsed().as_secs() < 30);
    assert_eq!(&answer("many_values").await.unwrap().body[..], b"refused");
    assert_eq!(status("exit").await, 418, "the machine goes on");
}

#[tokio::test]
async fn errors_are_answers() {
    for what in ["fail", "fail_with_table", "wrong_phase"] {
        assert_eq!(status(what).await, 500, "{what}");
    }
}

#[tokio::test]
async fn responses_are_filtered() {
    let plugin = plugin();
    let mut exchange = testing::exchange("GET", "/?filter=upper", &[]);
    assert!(testing::access_waiting(&*plugin, &mut exchange).await.is_none());
    assert_eq!(exchange.request.fields.get_str("X-Probe"), Some("yes"));
    let content = testing::respond(&*plugin, &mut exchange, 200, &[], &["some ", "content"]);
    assert_eq!(content, "SOME CONTENT");
    assert_eq!(exchange.response.fields.get_str("X-Word"), Some("kept"));
}

#[tokio::test]
async fn workers_begin_with_timers_and_configurations() {
    tokio::task::LocalSet::new()
        .run_until(async {
            kind().start_worker(0);
            let _kept = plugin();
            let mut state = Value::Null;
            let began = Instant::now();
            while began.elapsed().as_secs() < 10 && (state["timer"] != "fired false timer 5" || state["configs"] == 0) {
                tokio::task::yield_now().await;
                state = json_of("state").await;
            }
            assert_eq!(state["timer"], "fired false timer 5");
            assert!(state["configs"].as_u64().unwrap() >= 1, "{state}");
        })
        .await;
}
