//! The client with a Redis of its own, and with servers that a test plays.

use super::*;
use crate::testing::{RedisServer, Server};
use crate::{Config, Env};
use serde_json::{Value as Json, json};

fn client(env: &Env, record: &Json) -> Redis {
    let record = record.as_object().unwrap();
    Redis::new(env, RedisSettings::read(&Config::new(record)).unwrap())
}

fn words(words: &[&str]) -> Cmd {
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    command
}

async fn send(redis: &Redis, command: &[&str]) -> Result<Value, RedisError> {
    redis.send(b"key", words(command)).await
}

#[tokio::test]
async fn clients_with_the_same_settings_share_a_connection() {
    let (server, env) = (RedisServer::start(), Env::default());
    let first = client(&env, &server.record(json!({})));
    let second = client(&env, &server.record(json!({})));
    let id = send(&first, &["CLIENT", "ID"]).await.unwrap();
    assert_eq!(send(&second, &["CLIENT", "ID"]).await.unwrap(), id);
    let other = client(&env, &server.record(json!({ "database": 3 })));
    assert_ne!(send(&other, &["CLIENT", "ID"]).await.unwrap(), id);
}

#[tokio::test]
async fn databases_are_told_apart() {
    let (server, env) = (RedisServer::start(), Env::default());
    let third = client(&env, &server.record(json!({ "database": 3 })));
    send(&third, &["SET", "key", "x"]).await.unwrap();
    assert_eq!(send(&client(&env, &server.record(json!({}))), &["GET", "key"]).await, Ok(Value::Nil));
    assert_eq!(send(&third, &["GET", "key"]).await, Ok(Value::BulkString(b"x".to_vec())));
}

async fn clear_some(server: RedisServer, record: Json) {
    // A script keeps to one slot.
    for tag in ["a", "b", "c"] {
        server.command(&[
            "EVAL",
            "for n = 1, 900 do redis.call('SET', KEYS[1] .. n, 'x') end",
            "1",
            &format!("mine:{{{tag}}}"),
        ]);
    }
    server.command(&["SET", "other", "x"]);
    assert_eq!(client(&Env::default(), &record).clear("mine:").await, Ok(()));
    assert_eq!(server.keys(), ["other"]);
}

#[tokio::test]
async fn keys_are_cleared_by_their_prefix() {
    let server = RedisServer::start();
    let record = server.record(json!({}));
    clear_some(server, record).await;
    let server = RedisServer::start_cluster();
    let record = json!({ "cluster_nodes": [{ "ip": "127.0.0.1", "port": server.port() }] });
    clear_some(server, record).await;
}

#[tokio::test]
async fn the_password_lets_in() {
    let (server, env) = (RedisServer::start_with(&["--requirepass", "hush"]), Env::default());
    let known = client(&env, &server.record(json!({ "password": "hush" })));
    assert!(send(&known, &["PING"]).await.is_ok());
    let wrong = client(&env, &server.record(json!({ "password": "wrong" })));
    let error = send(&wrong, &["PING"]).await.unwrap_err();
    assert!(matches!(error, RedisError::Server { .. }), "{error:?}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let none = client(&env, &server.record(json!({})));
    let error = send(&none, &["PING"]).await.unwrap_err();
    assert_eq!(error.code(), Some("NOAUTH"));
}

#[tokio::test]
async fn scripts_are_made_known_once() {
    let (server, env) = (RedisServer::start(), Env::default());
    let redis = client(&env, &server.record(json!({})));
    let script = RedisScript::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    for count in 1..=3 {
        let count_there = redis.run(&script, &[b"key".to_vec()], &["1".to_owned()]).await;
        assert_eq!(count_there, Ok(Value::Int(count)));
    }
    server.command(&["SCRIPT", "FLUSH"]);
    assert_eq!(redis.run(&script, &[b"key".to_vec()], &["1".to_owned()]).await, Ok(Value::Int(4)));
}

#[tokio::test]
async fn a_lost_connection_is_made_anew() {
    let (server, env) = (RedisServer::start(), Env::default());
    let redis = client(&env, &server.record(json!({})));
    send(&redis, &["SET", "key", "x"]).await.unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(send(&redis, &["GET", "key"]).await, Ok(Value::BulkString(b"x".to_vec())));
}

#[tokio::test]
async fn a_server_that_is_not_there_costs_an_error_each_time() {
    let env = Env::default();
    let redis = client(&env, &json!({ "host": "127.0.0.1", "port": 1 }));
    for _ in 0..2 {
        let error = send(&redis, &["PING"]).await.unwrap_err();
        assert!(matches!(error, RedisError::Connect(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_no_more_than_the_limit() {
    let (server, env) = (Server::start().await, Env::default());
    let record = json!({ "host": "127.0.0.1", "port": server.address().port(), "timeout": 50 });
    let redis = client(&env, &record);
    let (outcome, _peer) = tokio::join!(send(&redis, &["PING"]), server.accept());
    assert_eq!(outcome, Err(RedisError::TimedOut));
}

#[tokio::test]
async fn sentinels_name_the_master() {
    let (master, sentinel, env) = (RedisServer::start(), Server::start().await, Env::default());
    let redis = client(
        &env,
        &json!({
            "sentinel_master": "m", "sentinel_role": "master",
            "sentinel_nodes": [{ "host": "127.0.0.1", "port": sentinel.address().port() }]
        }),
    );
    let port = master.port().to_string();
    let play = async {
        let mut peer = sentinel.accept().await;
        peer.read_until("get-master-addr-by-name\r\n$1\r\nm\r\n").await;
        let answer = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
        peer.send(answer.as_bytes()).await;
        peer
    };
    let (outcome, _peer) = tokio::join!(send(&redis, &["SET", "key", "x"]), play);
    assert_eq!(outcome, Ok(Value::Okay));
    assert_eq!(master.keys(), ["key"]);
}

#[tokio::test]
async fn clusters_are_asked_where_keys_are() {
    let (server, env) = (RedisServer::start_cluster(), Env::default());
    let record = json!({ "cluster_nodes": [{ "ip": "127.0.0.1", "port": server.port() }] });
    let redis = client(&env, &record);
    assert!(redis.is_cluster());
    assert_eq!(send(&redis, &["SET", "key", "x"]).await, Ok(Value::Okay));
    assert_eq!(send(&redis, &["GET", "key"]).await, Ok(Value::BulkString(b"x".to_vec())));
}

#[tokio::test]
async fn keys_that_have_moved_are_followed() {
    let (server, seed, env) = (RedisServer::start(), Server::start().await, Env::default());
    let port = seed.address().port();
    let redis = client(&env, &json!({ "cluster_nodes": [{ "ip": "127.0.0.1", "port": port }] }));
    let play = async {
        let mut peer = seed.accept().await;
        peer.read_until("SLOTS\r\n").await;
        let all = format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n");
        peer.send(all.as_bytes()).await;
        peer.read_until("$3\r\nkey\r\n$1\r\nx\r\n").await;
        peer.send(format!("-MOVED 12539 127.0.0.1:{}\r\n", server.port()).as_bytes()).await;
        peer
    };
    let (outcome, _peer) = tokio::join!(send(&redis, &["SET", "key", "x"]), play);
    assert_eq!(outcome, Ok(Value::Okay));
    assert_eq!(server.keys(), ["key"]);
}
