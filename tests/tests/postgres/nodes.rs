//! Nodes that share a database.

use crate::setup::{bootstrapped, node};
use blackbox::http::{form, get, request};
use blackbox::{Backend, Node, Postgres, eventually};
use serde_json::Value;
use std::time::Instant;

/// As Kong's documentation begins: tables are made, a node starts, and its Admin API answers.
#[test]
fn a_node_starts_on_a_new_database() {
    let node = node(&bootstrapped(Postgres::shared(), &[]));
    assert_eq!(get(node.admin(), "/services").expect(200).json()["data"], serde_json::json!([]));
    let root = get(node.admin(), "/").expect(200).json();
    assert_eq!(root["configuration"]["database"], "postgres");
    assert_eq!(root["configuration"].get("bascule_database"), None);
}

#[test]
fn nodes_see_at_once_what_others_write() {
    let backend = Backend::start("b");
    // What is not heard at once would be found after an hour.
    let settings = bootstrapped(Postgres::shared(), &[("db_update_frequency", "3600")]);
    let (one, other) = (node(&settings), node(&settings));
    form(one.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(one.admin(), "POST", "/services/s/routes", "name=r&paths[]=/0").expect(201);
    eventually("the nodes hear each other", || get(other.proxy(), "/0").status == 200);
    let mut longest = std::time::Duration::ZERO;
    for round in 1..20 {
        form(one.admin(), "PATCH", "/routes/r", &format!("paths[]=/{round}")).expect(200);
        let written = Instant::now();
        eventually("the other node serves it", || get(other.proxy(), &format!("/{round}")).status == 200);
        longest = longest.max(written.elapsed());
    }
    println!("seen by the other node within {} ms", longest.as_millis());
    request(other.admin(), "DELETE", "/routes/r", &[], b"").unwrap().expect(204);
    eventually("the first node serves it no more", || get(one.proxy(), "/19").status == 404);
}

#[test]
fn a_log_level_can_be_for_all_nodes() {
    let postgres = Postgres::shared();
    let settings = bootstrapped(postgres, &[("db_update_frequency", "1"), ("log_level", "notice")]);
    let (one, other) = (node(&settings), node(&settings));
    let level = |node: &Node| get(node.admin(), "/debug/node/log-level").json()["message"].clone();
    let database = settings.iter().find(|(name, _)| name == "pg_database").map(|(_, name)| name.as_str()).unwrap();
    // As a Kong says it, again and again: a node does not hear what was said before it listened.
    let said = "INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data) VALUES (gen_random_uuid(), \
                gen_random_uuid(), CURRENT_TIMESTAMP(3), CURRENT_TIMESTAMP(3) + INTERVAL '1 hour', 'log_level', \
                '{\"log_level\":7,\"timeout\":3600}')";
    for node in [&one, &other] {
        eventually("the node does as a Kong says", || {
            postgres.sql(database, said);
            level(node) == "log level: info"
        });
    }
    request(one.admin(), "PUT", "/debug/cluster/log-level/warn?timeout=3600", &[], b"").unwrap().expect(200);
    eventually("the other node hears it", || level(&other) == "log level: warn");
}

#[test]
fn responses_that_are_dropped_are_dropped_by_all_nodes() {
    let backend = Backend::start("b");
    let postgres = Postgres::shared();
    let settings = bootstrapped(postgres, &[("db_update_frequency", "0.2")]);
    let (one, other) = (node(&settings), node(&settings));
    form(one.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(one.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    let cache = "name=proxy-cache&config.strategy=memory&config.content_type[]=application/json";
    let plugin = form(one.admin(), "POST", "/plugins", cache).expect(201).json();
    let asked = || get(other.proxy(), "/");
    let is = |status: &str| asked().header("X-Cache-Status") == Some(status);
    eventually("the other node keeps it", || is("Hit"));
    // Again and again: a node does not hear what was said before it listened.
    eventually("the other node hears that it is dropped", || {
        request(one.admin(), "DELETE", "/proxy-cache", &[], b"").unwrap().expect(204);
        is("Miss")
    });
    eventually("the other node keeps it again", || is("Hit"));
    let database = settings.iter().find(|(name, _)| name == "pg_database").map(|(_, name)| name.as_str()).unwrap();
    let (plugin, key) = (plugin["id"].as_str().unwrap(), asked().header("X-Cache-Key").unwrap().to_owned());
    let said = format!(
        "INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data) VALUES (gen_random_uuid(), \
         gen_random_uuid(), CURRENT_TIMESTAMP(3), CURRENT_TIMESTAMP(3) + INTERVAL '1 hour', 'proxy-cache:purge', \
         '{plugin}:{key}')"
    );
    eventually("the node does as a Kong says", || {
        postgres.sql(database, &said);
        is("Miss")
    });
}

#[test]
fn health_that_is_set_by_hand_is_for_all_nodes() {
    let backend = Backend::start("b");
    let postgres = Postgres::shared();
    let settings = bootstrapped(postgres, &[("db_update_frequency", "0.2")]);
    let (one, other) = (node(&settings), node(&settings));
    let checked = "name=u&healthchecks.passive.unhealthy.tcp_failures=3";
    let upstream = form(one.admin(), "POST", "/upstreams", checked).expect(201).json();
    form(one.admin(), "POST", "/upstreams/u/targets", &format!("target={}", backend.address)).expect(201);
    let health = |node: &Node| get(node.admin(), "/upstreams/u/health").json()["data"][0]["health"].clone();
    for node in [&one, &other] {
        eventually("the target is there", || health(node) == "HEALTHY");
    }
    // Again and again: a node does not hear what was said before it listened.
    let unhealthy = format!("/upstreams/u/targets/{}/unhealthy", backend.address);
    eventually("the other node hears it", || {
        request(one.admin(), "PUT", &unhealthy, &[], b"").unwrap().expect(204);
        health(&other) == "UNHEALTHY"
    });
    // As a Kong says it, and as is said to Kongs.
    let database = settings.iter().find(|(name, _)| name == "pg_database").map(|(_, name)| name.as_str()).unwrap();
    let (ip, port, id) = (backend.address.ip(), backend.address.port(), upstream["id"].as_str().unwrap());
    let told =
        postgres.sql(database, "SELECT DISTINCT data FROM cluster_events WHERE channel = 'balancer:post_health'");
    assert_eq!(told, format!("{ip}||{port}|0|{id}|u"));
    let said = format!(
        "INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data) VALUES (gen_random_uuid(), \
         gen_random_uuid(), CURRENT_TIMESTAMP(3), CURRENT_TIMESTAMP(3) + INTERVAL '1 hour', 'balancer:post_health', \
         '{ip}||{port}|1|{id}|u')"
    );
    for node in [&one, &other] {
        eventually("the node does as a Kong says", || {
            postgres.sql(database, &said);
            health(node) == "HEALTHY"
        });
    }
}

/// Plugins in Lua tell those on other nodes, once each, and not themselves.
#[test]
fn plugins_in_lua_tell_each_other() {
    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");
    let more = [
        ("db_update_frequency", "0.2"),
        ("plugins", "bundled, gossip"),
        ("lua_package_path", PATH),
        ("nginx_worker_processes", "2"),
    ];
    let settings = bootstrapped(Postgres::shared(), &more);
    let (one, other) = (node(&settings), node(&settings));
    form(one.admin(), "POST", "/services", "name=s&url=http://127.0.0.1:1").expect(201);
    form(one.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    form(one.admin(), "POST", "/routes/r/plugins", "name=gossip").expect(201);
    let ask = |node: &Node, what: &str| get(node.proxy(), &format!("/?do={what}")).expect(200).json();
    eventually("the other node serves", || get(other.proxy(), "/").status == 200);
    // A node does not hear what was said before it listened.
    let tell = |from: &Node, text: &str| assert_eq!(ask(from, &format!("tell&text={text}"))["ok"], true);
    for (from, to) in [(&one, &other), (&other, &one)] {
        eventually("the other one hears", || {
            tell(from, "again");
            ask(to, "")["last"] == "again"
        });
    }
    tell(&one, "counted");
    eventually("the other node counts", || ask(&other, "")["count"] == 1);
    eventually("the other node hears what follows", || {
        tell(&one, "after");
        ask(&other, "")["last"] == "after"
    });
    assert_eq!(ask(&other, "")["count"], 1, "one worker hears it");
    assert_eq!(ask(&one, "")["count"], Value::Null, "who tells does not hear itself");
    let kept = ask(&other, "load")["value"].as_u64().unwrap();
    ask(&one, "invalidate");
    eventually("the other node loads it anew", || ask(&other, "load")["value"].as_u64() > Some(kept));
}
