//! Databases of former versions of Kong, brought to the tables of 3.10.

use super::postgres::{check_tables, connection, migrations};
use super::server;
use model::Catalog;
use serde_json::{Value, json};
use std::sync::Arc;
use store::Store;
use store::backend::postgres::{LOCK_TIMEOUT, Migrations, Server};
use tokio_postgres::Client;

/// What each version had in the place of what its successor has; the newest first.
const VERSIONS: [&str; 3] =
    [include_str!("../kong/3.9.sql"), include_str!("../kong/3.7.sql"), include_str!("../kong/3.4.sql")];

const ROWS: &str = include_str!("../kong/rows-3.4.sql");

/// A database as a Kong left it that is that many versions back.
async fn left_by_kong(versions: usize) -> (Server, Client) {
    let server = server::server();
    let kongs = Migrations::connect(&server, &Catalog::default()).await.unwrap();
    assert!(kongs.bootstrap(LOCK_TIMEOUT, &mut |_| {}).await.unwrap());
    let client = connection(&server).await;
    for version in &VERSIONS[..versions] {
        client.batch_execute(version).await.unwrap();
    }
    client.batch_execute("INSERT INTO workspaces (id, name) VALUES (gen_random_uuid(), 'default')").await.unwrap();
    (server, client)
}

async fn up(server: &Server) -> Vec<String> {
    let mut said = Vec::new();
    assert!(migrations(server).await.up(LOCK_TIMEOUT, false, &mut |line| said.push(line.to_owned())).await.unwrap());
    said
}

async fn finish(server: &Server) -> Vec<String> {
    let mut said = Vec::new();
    let migrations = migrations(server).await;
    assert!(migrations.finish(LOCK_TIMEOUT, false, &mut |line| said.push(line.to_owned())).await.unwrap());
    said
}

async fn config(client: &Client, plugin: &str) -> Value {
    let row = client.query_one("SELECT config::text FROM plugins WHERE name = $1", &[&plugin]).await.unwrap();
    serde_json::from_str(row.get(0)).unwrap()
}

#[tokio::test]
async fn tables_of_former_versions_become_those_of_the_last() {
    for versions in 1..=VERSIONS.len() {
        let (server, client) = left_by_kong(versions).await;
        assert!(!migrations(&server).await.state().await.unwrap().new.is_empty());
        up(&server).await;
        finish(&server).await;
        let state = migrations(&server).await.state().await.unwrap();
        assert!(state.new.is_empty(), "{:?}", state.new);
        assert!(state.pending.is_empty(), "{:?}", state.pending);
        assert!(state.missing.is_empty(), "{:?}", state.missing);
        check_tables(&client, &server.schema).await;
        let gone = "SELECT count(*) FROM information_schema.tables WHERE table_schema = $1 AND table_name = $2";
        let gone: i64 = client.query_one(gone, &[&server.schema, &"clustering_sync_delta"]).await.unwrap().get(0);
        assert_eq!(gone, 0);
    }
}

#[tokio::test]
async fn rows_serve_nodes_of_both_versions_until_the_end() {
    let (server, client) = left_by_kong(VERSIONS.len()).await;
    client.batch_execute(ROWS).await.unwrap();
    let said = up(&server).await;
    assert!(said.contains(&"acme migrated up to: 003_350_to_360 (pending)".to_owned()), "{said:?}");
    assert!(said.contains(&"core migrated up to: 025_390_to_3100 (executed)".to_owned()), "{said:?}");
    assert_eq!(said.last().unwrap(), "5 pending");
    let limits = config(&client, "rate-limiting").await;
    assert_eq!(limits["redis_host"], "r.test");
    let redis = json!({"host": "r.test", "port": 6379, "password": "p", "username": null, "ssl": false,
        "ssl_verify": false, "server_name": null, "timeout": 2000, "database": 3});
    assert_eq!(limits["redis"], redis);
    assert_eq!(config(&client, "opentelemetry").await["queue"]["max_batch_size"], 1);
    let store = Store::open_postgres(Arc::new(Catalog::core()), &server, None).await.unwrap();
    assert_eq!(store.count("services").await.unwrap(), 1);
    let said = finish(&server).await;
    assert_eq!(said.last().unwrap(), "5 executed");
    let limits = config(&client, "rate-limiting").await;
    assert_eq!(limits.get("redis_host"), None);
    assert_eq!(limits["redis"], redis);
    assert_eq!(limits["year"], 3);
    let acme = json!({"host": "h", "port": 1, "password": "p", "ssl": false, "ssl_verify": false, "server_name": "sn",
        "database": 0, "timeout": 2000, "extra_options": {"scan_count": 10, "namespace": "ns"}});
    assert_eq!(config(&client, "acme").await["storage_config"]["redis"], acme);
    assert_eq!(config(&client, "opentelemetry").await["queue"]["max_batch_size"], 200);
    assert!(migrations(&server).await.up(LOCK_TIMEOUT, true, &mut |_| {}).await.unwrap());
    assert_eq!(config(&client, "acme").await["storage_config"]["redis"], acme, "what is done again changes nothing");
    assert_eq!(config(&client, "rate-limiting").await, limits);
}

/// What a Kong has begun with `up` is ended here.
#[tokio::test]
async fn pending_migrations_of_a_kong_are_finished() {
    let (server, client) = left_by_kong(1).await;
    let begun = "UPDATE schema_meta SET executed = array_remove(executed, '006_350_to_360'), \
                 pending = '{006_350_to_360}', last_executed = '005_320_to_330' WHERE subsystem = 'rate-limiting'";
    client.batch_execute(begun).await.unwrap();
    let migrations = migrations(&server).await;
    assert_eq!(migrations.state().await.unwrap().pending[0].migrations, ["006_350_to_360"]);
    assert_eq!(finish(&server).await[1], "rate-limiting migrated up to: 006_350_to_360 (executed)");
    assert!(migrations.state().await.unwrap().pending.is_empty());
}

#[tokio::test]
async fn what_is_older_is_named_and_left_alone() {
    let (server, client) = left_by_kong(VERSIONS.len()).await;
    let older = "UPDATE schema_meta SET executed = executed[1:15], last_executed = executed[15] \
                 WHERE subsystem = 'core'";
    client.batch_execute(older).await.unwrap();
    let migrations = migrations(&server).await;
    let error = migrations.up(LOCK_TIMEOUT, false, &mut |_| {}).await.unwrap_err();
    assert!(error.message.contains("the tables of core are those of a version of Kong before 3.4"), "{error}");
    let locks: i64 = client.query_one("SELECT count(*) FROM locks", &[]).await.unwrap().get(0);
    assert_eq!(locks, 0);
    let acme = "SELECT executed FROM schema_meta WHERE subsystem = 'acme'";
    let acme: Vec<String> = client.query_one(acme, &[]).await.unwrap().get(0);
    assert_eq!(acme.len(), 3);
}
