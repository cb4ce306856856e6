//! What only Postgres can do: have Kong's tables.

use super::server;
use super::setup::{id, record};
use model::{Catalog, PluginSchema, Schema};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::backend::postgres::{LOCK_TIMEOUT, Migrations, Neighbour, Server};
use store::{Follower, Key, Operation, Store};
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
            assert_eq!(own, Vec::<Value>::new(), "{part} of {table} that a Kong does not know");
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
    assert!(!migrations.up(Duration::from_millis(50), false, &mut |_| {}).await.unwrap());
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

#[tokio::test]
async fn deprecated_names_are_shown_and_not_stored() {
    let shorthand = json!({"host_name": {"type": "string", "deprecation": {
        "message": "m", "removal_in_version": "4.0", "replaced_with": [{"path": ["redis", "host"]}]}}});
    let redis = json!({"redis": {"type": "record", "required": true, "fields": [{"host": {"type": "string"}}]}});
    let other = json!({"other": {"type": "string"}});
    let config = json!({"type": "record", "required": true, "shorthand_fields": [shorthand], "fields": [redis, other]});
    let schema = json!({"name": "limits", "fields": [{"config": config}]});
    let schema = Arc::new(Schema::parse(&schema.to_string()).unwrap());
    let mut catalog = Catalog::core();
    catalog.add_plugin("limits", PluginSchema { priority: 1, version: "1.0.0".to_owned(), schema });
    let server = bootstrapped().await;
    let client = connection(&server).await;
    let store = Store::open_postgres(Arc::new(catalog), &server, None).await.unwrap();
    let stored = async || {
        let row = client.query_one("SELECT config::text FROM bascule_plugins", &[]).await.unwrap();
        serde_json::from_str::<Value>(row.get(0)).unwrap()
    };
    let given = json!({"name": "limits", "config": {"host_name": "h"}});
    let plugin = store.insert("plugins", record(given)).await.unwrap().record;
    let shown = json!({"redis": {"host": "h"}, "other": null, "host_name": "h"});
    assert_eq!(plugin["config"], shown);
    assert_eq!(stored().await, json!({"redis": {"host": "h"}, "other": null}));
    // As an earlier version left it.
    let former = "UPDATE bascule_plugins SET config = '{\"redis\": {\"host\": \"h\"}, \"host_name\": \"g\"}'";
    client.batch_execute(former).await.unwrap();
    let key = id(plugin["id"].as_str().unwrap());
    let change = record(json!({"config": {"other": "o"}}));
    let changed = store.update("plugins", &key, change).await.unwrap().unwrap().record;
    assert_eq!(changed["config"], json!({"redis": {"host": "h"}, "other": "o", "host_name": "h"}));
    assert_eq!(stored().await, json!({"redis": {"host": "h"}, "other": "o"}));
}

/// What a Kong finds of an upstream and its target, and what is kept beside.
async fn balancing_in(client: &tokio_postgres::Client) -> [Vec<String>; 2] {
    let lines = async |question: &str| {
        let rows = client.query(question, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    let kongs = "SELECT algorithm FROM upstreams UNION ALL SELECT target || ' ' || weight FROM targets ORDER BY 1";
    let own = "SELECT concat_ws(' ', algorithm, sticky_sessions_cookie, slow_start) FROM bascule_upstreams_fields \
               UNION ALL SELECT concat_ws(' ', failover, weight) FROM bascule_targets_fields ORDER BY 1";
    [lines(kongs).await, lines(own).await]
}

fn shown(record: &model::Record, fields: &[&str]) -> Value {
    fields.iter().map(|field| record.get(*field).cloned().unwrap_or_default()).collect()
}

#[tokio::test]
async fn fields_that_a_kong_does_not_have_are_beside_its_tables() {
    let server = bootstrapped().await;
    let client = connection(&server).await;
    let store = Store::open_postgres(Arc::new(Catalog::core()), &server, None).await.unwrap();
    let sticky = json!({"name": "u", "algorithm": "sticky-sessions", "sticky_sessions_cookie": "c", "slow_start": 5});
    let upstream = store.insert("upstreams", record(sticky)).await.unwrap().record;
    let of = json!({"target": "a:1", "weight": 7, "failover": true, "upstream": {"id": upstream["id"]}});
    let target = store.insert("targets", record(of)).await.unwrap().record;
    assert_eq!(balancing_in(&client).await, [vec!["a:1 0", "round-robin"], vec!["sticky-sessions c 5", "t 7"]]);
    let (upstream, target) = (id(upstream["id"].as_str().unwrap()), id(target["id"].as_str().unwrap()));
    let read = async |entity: &str, key: &Key| store.get(entity, key).await.unwrap().unwrap();
    let algorithm = ["algorithm", "sticky_sessions_cookie", "slow_start"];
    assert_eq!(shown(&read("upstreams", &upstream).await, &algorithm), json!(["sticky-sessions", "c", 5]));
    assert_eq!(shown(&read("targets", &target).await, &["weight", "failover"]), json!([7, true]));

    client.batch_execute("UPDATE targets SET weight = 3").await.unwrap();
    assert_eq!(read("targets", &target).await["weight"], 3, "what a Kong has written counts");
    store.update("targets", &target, record(json!({"failover": null}))).await.unwrap().unwrap();
    let plain = json!({"algorithm": "round-robin", "sticky_sessions_cookie": null});
    store.update("upstreams", &upstream, record(plain)).await.unwrap().unwrap();
    assert_eq!(balancing_in(&client).await, [vec!["a:1 3", "round-robin"], vec!["5"]]);
    assert_eq!(read("targets", &target).await.get("failover"), None);
    client.batch_execute("DELETE FROM upstreams").await.unwrap();
    assert_eq!(balancing_in(&client).await, [Vec::<String>::new(), Vec::new()]);
}

/// As earlier versions left it.
#[tokio::test]
async fn fields_that_stand_in_kongs_tables_are_taken_out() {
    let server = bootstrapped().await;
    let client = connection(&server).await;
    let former = "DROP TABLE bascule_upstreams_fields, bascule_targets_fields; \
                  ALTER TABLE upstreams ADD COLUMN sticky_sessions_cookie TEXT; \
                  ALTER TABLE upstreams ADD COLUMN slow_start DOUBLE PRECISION; \
                  ALTER TABLE targets ADD COLUMN failover BOOLEAN; \
                  CREATE VIEW bascule_all_plugins AS SELECT * FROM plugins; \
                  INSERT INTO upstreams (id, name, slots, algorithm, sticky_sessions_cookie) \
                  VALUES (gen_random_uuid(), 'u', 10, 'sticky-sessions', 'c'), \
                  (gen_random_uuid(), 'v', 10, 'least-connections', NULL); \
                  INSERT INTO targets (id, upstream_id, target, weight, failover) \
                  SELECT gen_random_uuid(), id, 'a:1', 7, name = 'u' FROM upstreams";
    client.batch_execute(former).await.unwrap();
    let migrations = migrations(&server).await;
    let new = migrations.state().await.unwrap().new;
    let names = ["bascule_upstreams_fields", "bascule_targets_fields", "bascule_all_plugins"];
    assert_eq!(new[0].migrations, names);
    assert!(migrations.up(LOCK_TIMEOUT, false, &mut |_| {}).await.unwrap());
    let state = migrations.state().await.unwrap();
    assert!(state.new.is_empty(), "{:?}", state.new);
    check_tables(&client, &server.schema).await;
    let kongs = vec!["a:1 0", "a:1 7", "least-connections", "round-robin"];
    assert_eq!(balancing_in(&client).await, [kongs, vec!["f", "sticky-sessions c", "t 7"]]);
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

/// How often nodes look for what is written without a word.
const OFTEN: Duration = Duration::from_millis(50);
const SELDOM: Duration = Duration::from_secs(3600);

/// Two nodes on one database.
async fn neighbours(frequency: Duration) -> (Server, Store, Store) {
    let server = bootstrapped().await;
    let open = async || {
        let node = uuid::Uuid::new_v4();
        let neighbour = Neighbour { node, frequency, propagation: Duration::ZERO };
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

/// Hears of commits until one is this change, or (`None`) all is to be read anew: what was written before may be heard
/// late.
async fn hear(follower: &mut Follower, expected: Option<(Operation, &str)>) {
    loop {
        tokio::time::timeout(Duration::from_secs(30), follower.changed()).await.unwrap();
        let Some((revision, commits)) = follower.changes() else {
            assert_eq!(expected, None, "all is to be read anew");
            return;
        };
        follower.taken(revision);
        let mut changes = commits.iter().flat_map(|changes| changes.iter());
        let is_change = |(operation, name): (Operation, &str)| {
            changes.any(|change| change.operation == operation && change.record.get("name") == Some(&json!(name)))
        };
        if expected.is_some_and(is_change) {
            return;
        }
    }
}

#[tokio::test]
async fn nodes_tell_each_other_what_they_write() {
    let (_server, one, other) = neighbours(SELDOM).await;
    let mut follower = other.follow();
    let service = one.insert("services", record(json!({"name": "s", "host": "h.test"}))).await.unwrap();
    hear(&mut follower, Some((Operation::Put, "s"))).await;
    let service = id(service.record["id"].as_str().unwrap());
    one.update("services", &service, record(json!({"name": "t"}))).await.unwrap().unwrap();
    hear(&mut follower, Some((Operation::Put, "t"))).await;
    one.delete("services", &service).await.unwrap().unwrap();
    hear(&mut follower, Some((Operation::Delete, "t"))).await;
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
    let (server, one, other) = neighbours(OFTEN).await;
    let client = connection(&server).await;
    let service = one.insert("services", record(json!({"name": "s", "host": "h.test"}))).await.unwrap();
    let service = service.record["id"].as_str().unwrap().to_owned();
    let mut follower = other.follow();
    let named = event(&format!("services:{service}:::::{}", one.default_workspace().unwrap()));
    let version = event("router:version");
    let change = format!("UPDATE services SET name = 't' WHERE id = '{service}'");
    client.batch_execute(&format!("BEGIN; {change}; {named}; {version}; COMMIT")).await.unwrap();
    hear(&mut follower, Some((Operation::Put, "t"))).await;
    let gone = format!("DELETE FROM services WHERE id = '{service}'");
    client.batch_execute(&format!("BEGIN; {gone}; {named}; COMMIT")).await.unwrap();
    // What is gone is found out by reading everything.
    hear(&mut follower, None).await;
}

#[tokio::test]
async fn kong_nodes_are_told_and_heard() {
    let (server, one, other) = neighbours(OFTEN).await;
    let client = connection(&server).await;
    client.batch_execute("DELETE FROM cluster_events").await.unwrap();
    one.insert("upstreams", record(json!({"name": "u"}))).await.unwrap();
    let events = client.query("SELECT channel FROM cluster_events ORDER BY channel", &[]).await.unwrap();
    let channels: Vec<String> = events.iter().map(|row| row.get(0)).collect();
    assert_eq!(channels, ["balancer:upstreams", "invalidations_kong_core_db_cache"]);
    let mut follower = other.follow();
    client.batch_execute(&event("router:version")).await.unwrap();
    hear(&mut follower, None).await;
}
