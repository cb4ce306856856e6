//! What only Postgres can do: have Kong's tables.

use super::server;
use super::setup::{id, record};
use model::{Catalog, PluginSchema, Schema};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::backend::postgres::{LOCK_TIMEOUT, Migrations, Neighbour, Server};
use store::{Follower, Operation, Store};
use tokio_postgres::NoTls;

/// As Postgres describes the tables of Kong 3.10.
const KONG: &str = include_str!("../kong-3.10-tables.json");

pub async fn migrations(server: &Server) -> Migrations {
    Migrations::connect(server, &Catalog::core()).await.unwrap()
}

async fn bootstrapped() -> Server {
    let server = server::server();
    assert!(migrations(&server).await.bootstrap(LOCK_TIMEOUT, &mut |_| {}).await.unwrap());
    server
}

/// A connection beside the store's, in the same schema.
pub async fn connection(server: &Server) -> tokio_postgres::Client {
    let (host, schema) = (&server.host, &server.schema);
    let text = format!("host={host} user=kong dbname=postgres options='-c search_path={schema}'");
    let (client, connection) = tokio_postgres::connect(&text, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// What `question` lists for each table, in the order of its first column; the others are members of objects.
async fn described(client: &tokio_postgres::Client, schema: &str, question: &str) -> BTreeMap<String, Vec<Value>> {
    let mut described: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in client.query(question, &[&schema]).await.unwrap() {
        let (table, text): (String, String) = (row.get(0), row.get(1));
        let text = text.replace(&format!("{schema}."), "public.");
        described.entry(table).or_default().push(serde_json::from_str(&text).unwrap());
    }
    described
}

fn sorted(list: &[Value]) -> Vec<Value> {
    let mut list: Vec<Value> = list.to_vec();
    list.sort_by_key(|item| (item["name"].to_string(), item["action"].to_string()));
    list
}

#[tokio::test]
async fn a_new_database_has_kongs_tables() {
    let server = bootstrapped().await;
    check_tables(&connection(&server).await, &server.schema).await;
}

/// Looks whether the tables, and what is recorded of migrations, are as in Kong 3.10.
pub async fn check_tables(client: &tokio_postgres::Client, schema: &str) {
    let questions = [
        (
            "columns",
            "SELECT table_name::text, json_build_object('name', column_name, 'type', udt_name, 'nullable', \
             is_nullable = 'YES', 'default', column_default)::text FROM information_schema.columns \
             WHERE table_schema = $1 ORDER BY ordinal_position",
        ),
        (
            "constraints",
            "SELECT c.conrelid::regclass::text, \
             json_build_object('name', conname, 'def', pg_get_constraintdef(c.oid))::text \
             FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = $1 ORDER BY conname",
        ),
        (
            "indexes",
            "SELECT tablename::text, json_build_object('name', indexname, 'def', indexdef)::text FROM pg_indexes \
             WHERE schemaname = $1 ORDER BY indexname",
        ),
        (
            "triggers",
            "SELECT event_object_table::text, json_build_object('name', trigger_name, 'action', \
             action_timing || ' ' || event_manipulation || ' ' || action_statement)::text \
             FROM information_schema.triggers WHERE trigger_schema = $1 ORDER BY trigger_name, event_manipulation",
        ),
    ];
    let kong: Value = serde_json::from_str(KONG).unwrap();
    for (part, question) in questions {
        let made = described(client, schema, question).await;
        for (table, kong) in kong.as_object().unwrap() {
            let kong = kong[part].as_array().unwrap();
            let made = made.get(table).cloned().unwrap_or_default();
            let is_kongs = |item: &Value| kong.iter().any(|of_kong| of_kong["name"] == item["name"]);
            let (made, own): (Vec<Value>, Vec<Value>) = made.into_iter().partition(is_kongs);
            assert_eq!(sorted(&made), sorted(kong), "{part} of {table}");
            assert!(own.iter().all(|item| item["nullable"] != false), "a Kong does not fill it: {own:?}");
        }
    }
    let recorded = "SELECT subsystem, last_executed, executed FROM schema_meta ORDER BY subsystem";
    let recorded: Vec<Value> = client
        .query(recorded, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| {
            let (subsystem, last, executed): (String, String, Vec<String>) = (row.get(0), row.get(1), row.get(2));
            json!([subsystem, last, executed])
        })
        .collect();
    let kongs = kong["schema_meta"]["rows"].as_array().unwrap().iter();
    let kongs: Vec<Value> = kongs.map(|r| json!([r["subsystem"], r["last_executed"], r["executed"]])).collect();
    let own = |row: &&Value| row[0] != "bascule";
    assert_eq!(recorded.iter().filter(own).cloned().collect::<Vec<_>>(), kongs);
}

#[tokio::test]
async fn a_database_knows_what_was_done_to_it() {
    let server = server::server();
    let migrations = migrations(&server).await;
    assert!(migrations.state().await.unwrap().needs_bootstrap);
    let mut said = Vec::new();
    assert!(migrations.bootstrap(LOCK_TIMEOUT, &mut |line| said.push(line.to_owned())).await.unwrap());
    assert_eq!(said[0], "migrating core on database 'postgres'...");
    assert_eq!(said[1], "core migrated up to: 000_base (executed)");
    assert!(said.last().unwrap().ends_with(" executed"));
    let state = migrations.state().await.unwrap();
    assert!(!state.needs_bootstrap);
    assert!(state.new.is_empty(), "{:?}", state.new);
    assert_eq!(state.executed[0].migrations.len(), 24);
    let store = Store::open_postgres(Arc::new(Catalog::core()), &server, None).await.unwrap();
    assert_eq!(store.count("workspaces").await.unwrap(), 1);
    migrations.reset().await.unwrap();
    assert!(migrations.state().await.unwrap().needs_bootstrap);
}

#[tokio::test]
async fn nobody_interferes_with_another_nodes_migrations() {
    let server = bootstrapped().await;
    let client = connection(&server).await;
    let lock = "INSERT INTO locks VALUES ('migrations', 'kong', CURRENT_TIMESTAMP + INTERVAL '1 hour')";
    client.batch_execute(lock).await.unwrap();
    let migrations = migrations(&server).await;
    assert!(!migrations.up(LOCK_TIMEOUT, false, &mut |_| {}).await.unwrap());
    client.batch_execute("UPDATE locks SET ttl = CURRENT_TIMESTAMP - INTERVAL '1 second'").await.unwrap();
    assert!(migrations.up(LOCK_TIMEOUT, false, &mut |_| {}).await.unwrap());
}

/// The names of plugins in Kong's table, and in our own.
async fn plugins_in(client: &tokio_postgres::Client) -> [Vec<String>; 2] {
    let names = async |table: &str| {
        let rows = client.query(&format!("SELECT name FROM {table} ORDER BY name"), &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    [names("plugins").await, names("bascule_plugins").await]
}

#[tokio::test]
async fn plugins_that_a_kong_would_misread_are_not_in_its_table() {
    let mut catalog = Catalog::core();
    for name in ["cors", "own"] {
        let schema = json!({"name": name, "fields": [{"config": {"type": "record", "required": true, "fields": []}}]});
        let schema = Arc::new(Schema::parse(&schema.to_string()).unwrap());
        catalog.add_plugin(name, PluginSchema { priority: 1, version: "1.0.0".to_owned(), schema });
    }
    let server = bootstrapped().await;
    let client = connection(&server).await;
    let store = Store::open_postgres(Arc::new(catalog), &server, None).await.unwrap();
    let cors = store.insert("plugins", record(json!({"name": "cors", "tags": ["t"]}))).await.unwrap();
    store.insert("plugins", record(json!({"name": "own", "tags": ["t"]}))).await.unwrap();
    assert_eq!(plugins_in(&client).await, [vec!["cors".to_owned()], vec!["own".to_owned()]]);
    let cors = id(cors.record["id"].as_str().unwrap());
    let ordering = json!({"ordering": {"before": {"access": ["own"]}}});
    store.update("plugins", &cors, record(ordering)).await.unwrap().unwrap();
    assert_eq!(plugins_in(&client).await, [vec![], vec!["cors".to_owned(), "own".to_owned()]]);
    assert_eq!(store.count("plugins").await.unwrap(), 2);
    let tagged = store.page_tags(Some("t"), &Default::default()).await.unwrap().data;
    assert_eq!(tagged.iter().map(|entry| entry.entity.as_str()).collect::<Vec<_>>(), ["plugins"; 2]);
    let twice = store.insert("plugins", record(json!({"name": "cors"}))).await.unwrap_err();
    assert_eq!(twice.status(), 409);
    store.update("plugins", &cors, record(json!({"ordering": null}))).await.unwrap().unwrap();
    assert_eq!(plugins_in(&client).await, [vec!["cors".to_owned()], vec!["own".to_owned()]]);
    store.delete("plugins", &cors).await.unwrap().unwrap();
    assert_eq!(plugins_in(&client).await, [vec![], vec!["own".to_owned()]]);
}

/// A Kong deletes what refers to a row by the foreign keys of its tables.
#[tokio::test]
async fn our_own_tables_follow_what_a_kong_deletes() {
    let server = bootstrapped().await;
    let client = connection(&server).await;
    let store = Store::open_postgres(Arc::new(Catalog::core()), &server, None).await.unwrap();
    let consumer = store.insert("consumers", record(json!({"username": "u"}))).await.unwrap();
    let group = store.insert("consumer_groups", record(json!({"name": "g"}))).await.unwrap();
    let member = json!({"consumer": {"id": consumer.record["id"]}, "consumer_group": {"id": group.record["id"]}});
    store.insert("consumer_group_consumers", record(member)).await.unwrap();
    client.batch_execute("DELETE FROM consumers").await.unwrap();
    assert_eq!(store.count("consumer_group_consumers").await.unwrap(), 0);
    assert_eq!(store.count("consumer_groups").await.unwrap(), 1);
}

/// Two nodes on one database.
async fn neighbours() -> (Server, Store, Store) {
    let server = bootstrapped().await;
    let open = async || {
        let node = uuid::Uuid::new_v4();
        let (frequency, propagation) = (Duration::from_millis(50), Duration::ZERO);
        let neighbour = Neighbour { node, frequency, propagation };
        Store::open_postgres(Arc::new(Catalog::core()), &server, Some(neighbour)).await.unwrap()
    };
    let (one, other) = (open().await, open().await);
    // They may not listen yet, and then find out in another way, after which all is to be read anew.
    for _ in 0..60 {
        let mut follower = other.follow();
        one.insert("consumers", record(json!({"custom_id": uuid::Uuid::new_v4().to_string()}))).await.unwrap();
        let heard = tokio::time::timeout(Duration::from_millis(500), follower.changed()).await;
        if heard.is_ok() && follower.changes().is_some() {
            return (server, one, other);
        }
    }
    panic!("they never heard of each other");
}

/// What the next commit that a follower hears of has changed.
async fn next(follower: &mut Follower) -> Vec<(Operation, String)> {
    tokio::time::timeout(Duration::from_secs(10), follower.changed()).await.unwrap();
    let (revision, commits) = follower.changes().unwrap();
    follower.taken(revision);
    let changes = commits.iter().flat_map(|changes| changes.iter());
    changes.map(|change| (change.operation, change.record["name"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn nodes_tell_each_other_what_they_write() {
    let (_server, one, other) = neighbours().await;
    let mut follower = other.follow();
    let start = Instant::now();
    let service = one.insert("services", record(json!({"name": "s", "host": "h.test"}))).await.unwrap();
    assert_eq!(next(&mut follower).await, [(Operation::Put, "s".to_owned())]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let service = id(service.record["id"].as_str().unwrap());
    one.update("services", &service, record(json!({"name": "t"}))).await.unwrap().unwrap();
    assert_eq!(next(&mut follower).await, [(Operation::Put, "t".to_owned())]);
    one.delete("services", &service).await.unwrap().unwrap();
    assert_eq!(next(&mut follower).await, [(Operation::Delete, "t".to_owned())]);
}

/// As a Kong tells others what it has done.
fn event(data: &str) -> String {
    format!(
        "INSERT INTO cluster_events VALUES (gen_random_uuid(), gen_random_uuid(), CURRENT_TIMESTAMP, NULL, \
         CURRENT_TIMESTAMP + INTERVAL '1 hour', 'invalidations_kong_core_db_cache', '{data}')"
    )
}

#[tokio::test]
async fn what_kong_nodes_name_is_read_alone() {
    let (server, one, other) = neighbours().await;
    let client = connection(&server).await;
    let service = one.insert("services", record(json!({"name": "s", "host": "h.test"}))).await.unwrap();
    let service = service.record["id"].as_str().unwrap().to_owned();
    let mut follower = other.follow();
    let named = event(&format!("services:{service}:::::{}", one.default_workspace().unwrap()));
    let version = event("router:version");
    let change = format!("UPDATE services SET name = 't' WHERE id = '{service}'");
    client.batch_execute(&format!("BEGIN; {change}; {named}; {version}; COMMIT")).await.unwrap();
    while next(&mut follower).await != [(Operation::Put, "t".to_owned())] {}
    let gone = format!("DELETE FROM services WHERE id = '{service}'");
    client.batch_execute(&format!("BEGIN; {gone}; {named}; COMMIT")).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), follower.changed()).await.unwrap();
    assert!(follower.changes().is_none(), "what is gone is found out by reading everything");
}

#[tokio::test]
async fn kong_nodes_are_told_and_heard() {
    let (server, one, other) = neighbours().await;
    let client = connection(&server).await;
    client.batch_execute("DELETE FROM cluster_events").await.unwrap();
    one.insert("upstreams", record(json!({"name": "u"}))).await.unwrap();
    let events = client.query("SELECT channel FROM cluster_events ORDER BY channel", &[]).await.unwrap();
    let channels: Vec<String> = events.iter().map(|row| row.get(0)).collect();
    assert_eq!(channels, ["balancer:upstreams", "invalidations_kong_core_db_cache"]);
    let mut follower = other.follow();
    client.batch_execute(&event("router:version")).await.unwrap();
    loop {
        tokio::time::timeout(Duration::from_secs(10), follower.changed()).await.unwrap();
        match follower.changes() {
            // What the other node has written may still be heard.
            Some((revision, _)) => follower.taken(revision),
            None => return,
        }
    }
}
