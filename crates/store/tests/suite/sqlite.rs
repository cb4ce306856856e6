//! What only a file can do: survive, be extended, be refused.

use super::setup::{catalog, catalog_with, everything, name, open, record, uuid};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use store::{Clock, Revision, Scope, Store};

#[tokio::test]
async fn records_survive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bascule.db");
    let store = open(&path, &Clock::default()).await;
    store.insert("services", record(json!({"name": "s", "host": "h.test", "tags": ["t"]}))).await.unwrap();
    store
        .insert("routes", record(json!({"name": "r", "service": {"name": "s"}, "headers": {"a": ["b"]}})))
        .await
        .unwrap();
    let before = everything(&store).await;
    drop(store);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "it holds secrets");
    let store = open(&path, &Clock::default()).await;
    let after = everything(&store).await;
    assert_eq!(before.0, Revision(2));
    assert_eq!(after.0, Revision(0), "each process counts for itself");
    assert_eq!(after.1, before.1);
    assert_eq!(store.delete("routes", &name("r")).await.unwrap(), Some(Revision(1)));
}

/// A copy of the files at any moment is what a crash would leave behind: what was answered is in it.
#[tokio::test]
async fn an_answered_write_is_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bascule.db");
    let store = open(&path, &Clock::default()).await;
    for n in 0..20 {
        store.insert("services", record(json!({"name": format!("s{n}"), "host": "h.test"}))).await.unwrap();
        let copy = tempfile::tempdir().unwrap();
        for file in ["bascule.db", "bascule.db-wal"] {
            std::fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
        }
        let copied = open(&copy.path().join("bascule.db"), &Clock::default()).await;
        assert_eq!(copied.count("services").await.unwrap(), n + 1);
    }
}

/// The writer is another process (this test's own program), killed in the middle of its work.
#[tokio::test]
async fn answered_writes_survive_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bascule.db");
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::the_writer_to_be_killed", "--nocapture"])
        .env(VICTIM, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let answered = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut answered = answered.filter_map(|line| line.strip_prefix("answered ").and_then(|n| n.parse::<u64>().ok()));
    let mut last = answered.nth(40).unwrap();
    writer.kill().unwrap();
    last = answered.last().unwrap_or(last);
    writer.wait().unwrap();
    let store = open(&path, &Clock::default()).await;
    let found = store.count("services").await.unwrap();
    assert!(found >= last, "each has made one service: answered {last}, found {found}");
}

const VICTIM: &str = "STORE_TEST_VICTIM";

/// No test by itself: see [`answered_writes_survive_a_kill`], which alone sets the variable.
#[tokio::test]
async fn the_writer_to_be_killed() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let store = open(Path::new(&path), &Clock::default()).await;
    for n in 0..100_000 {
        let written = store
            .insert("services", record(json!({"name": format!("s{n}"), "host": "h.test", "tags": ["t"]})))
            .await
            .unwrap();
        println!("\nanswered {}", written.revision.0);
    }
}

#[tokio::test]
async fn files_are_extended_when_schemas_grow() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bascule.db");
    let old = catalog_with(|name, schema| {
        if name == "services" {
            schema["fields"].as_array_mut().unwrap().retain(|f| {
                f.get("port").is_none() && f.get("client_certificate").is_none() && f.get("name").is_none()
            });
            schema.as_object_mut().unwrap().remove("endpoint_key");
        }
    });
    let store = Store::open_sqlite(old, &path).await.unwrap();
    let id = store.insert("services", record(json!({"host": "h.test"}))).await.unwrap().record["id"].clone();
    drop(store);
    let store = Store::open_sqlite(catalog(), &path).await.unwrap();
    let found = store.get("services", &store.key("services", id.as_str().unwrap())).await.unwrap().unwrap();
    assert_eq!(found["port"], json!(80));
    assert_eq!(found["name"], json!(null));
    assert_eq!(found["client_certificate"], json!(null));
    store.insert("services", record(json!({"name": "s", "host": "h.test"}))).await.unwrap();
    assert_eq!(
        store.insert("services", record(json!({"name": "s", "host": "h.test"}))).await.unwrap_err().body()["code"],
        5
    );
}

/// The layout before there were workspaces: unique names, a composite key of its own form, tags without a workspace.
const FIRST_LAYOUT: &str = r#"
PRAGMA user_version = 1;
CREATE TABLE feed (revision INTEGER NOT NULL);
INSERT INTO feed VALUES (7);
CREATE TABLE tags (entity TEXT NOT NULL, tag TEXT NOT NULL, id TEXT NOT NULL, place INTEGER NOT NULL,
    PRIMARY KEY (entity, tag, id)) WITHOUT ROWID;
CREATE INDEX tags_by_record ON tags (id, entity, place);
CREATE INDEX tags_by_tag ON tags (tag, id, entity, place);
CREATE TABLE services (id TEXT NOT NULL PRIMARY KEY, created_at INTEGER, updated_at INTEGER, name TEXT, host TEXT,
    enabled INTEGER, tags TEXT, client_certificate_id TEXT) WITHOUT ROWID;
CREATE UNIQUE INDEX services_name ON services (name);
CREATE INDEX services_client_certificate_id ON services (client_certificate_id);
INSERT INTO services VALUES ('00000001-0000-4000-8000-000000000000', 1, 2, 's', 'h.test', 1, '["t","u"]', NULL);
INSERT INTO tags VALUES ('services', 't', '00000001-0000-4000-8000-000000000000', 0),
    ('services', 'u', '00000001-0000-4000-8000-000000000000', 1);
CREATE TABLE plugins (id TEXT NOT NULL PRIMARY KEY, name TEXT, instance_name TEXT, protocols TEXT, route_id TEXT,
    service_id TEXT, consumer_id TEXT, config TEXT, cache_key TEXT) WITHOUT ROWID;
CREATE UNIQUE INDEX plugins_cache_key ON plugins (cache_key);
INSERT INTO plugins VALUES ('00000002-0000-4000-8000-000000000000', 'p', NULL, '["http"]', NULL,
    '00000001-0000-4000-8000-000000000000', NULL, '{"a":1}',
    '["p",null,"00000001-0000-4000-8000-000000000000",null]');
CREATE TABLE keyauth_credentials (id TEXT NOT NULL PRIMARY KEY, created_at INTEGER, key TEXT, consumer_id TEXT,
    tags TEXT, ttl INTEGER) WITHOUT ROWID;
CREATE INDEX keyauth_credentials_ttl ON keyauth_credentials (ttl) WHERE ttl IS NOT NULL;
INSERT INTO keyauth_credentials VALUES ('00000003-0000-4000-8000-000000000000', 1, 'k', NULL, NULL, 99999999999999);
"#;

#[tokio::test]
async fn files_of_the_first_layout_are_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bascule.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(FIRST_LAYOUT).unwrap();
    for opened in ["first", "again"] {
        let store = open(&path, &Clock::default()).await;
        let default = json!(store.default_workspace().unwrap().to_string());
        let (_, everything) = everything(&store).await;
        let found = |n: usize| &everything[n].1;
        assert_eq!(found(0)["name"], "default", "{opened}");
        assert_eq!(found(1)["name"], "s");
        assert_eq!(found(1)["port"], 80, "columns that are new are filled");
        assert_eq!(found(1)["tags"], json!(["t", "u"]));
        assert_eq!(found(1)["ws_id"], default);
        assert_eq!(found(2)["config"], json!({"a": 1}));
        assert_eq!(found(2)["service"], json!({"id": uuid(1)}));
        assert_eq!(found(3)["key"], "k");
        assert!(found(3)["ttl"].as_i64().unwrap() > 0);
        let tags = store.page_tags(None, &Default::default()).await.unwrap().data;
        assert_eq!(tags.iter().map(|tag| tag.tag.as_str()).collect::<Vec<_>>(), ["t", "u"], "{opened}");
        let taken = store.insert("plugins", record(json!({"name": "p", "service": {"name": "s"}}))).await;
        assert_eq!(taken.unwrap_err().body()["code"], 5, "{opened}");
        let other = store.insert("workspaces", record(json!({"name": opened}))).await.unwrap().record;
        let other = store.of(Scope::Workspace(other["id"].as_str().unwrap().parse().unwrap()));
        other.insert("services", record(json!({"name": "s", "host": "h.test"}))).await.unwrap();
        other.transaction(|transaction| transaction.empty_workspace()).await.unwrap();
        store.delete("workspaces", &name(opened)).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bascule.db");
    std::fs::write(&path, "this is not a database, however long it may be made to be").unwrap();
    let error = Store::open_sqlite(catalog(), &path).await.err().unwrap();
    assert!(error.message.contains("bascule.db"), "{error}");
    assert!(Store::open_sqlite(catalog(), &directory.path().join("no/such/directory/x.db")).await.is_err());
}

/// `bascule config db_import` beside a node.
#[tokio::test]
async fn what_another_process_writes_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bascule.db");
    let (own, other) = (open(&path, &Clock::default()).await, open(&path, &Clock::default()).await);
    let service = |name: &str| record(json!({"name": name, "host": "h.test"}));
    let mut follower = own.follow();
    other.insert("services", service("a")).await.unwrap();
    follower.changed().await;
    assert!(follower.changes().is_none(), "its changes are known to nobody here");
    // However soon an own write follows.
    let newest = *own.watch().borrow();
    follower.taken(newest);
    other.insert("services", service("b")).await.unwrap();
    own.insert("services", service("c")).await.unwrap();
    assert!(follower.changes().is_none());
    assert_eq!(own.count("services").await.unwrap(), 3);
}

/// A file after somebody else has written to it, and why it cannot be used.
async fn refusal(path: &Path, sql: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("bascule.db");
    std::fs::copy(path, &copy).unwrap();
    rusqlite::Connection::open(&copy).unwrap().execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    match Store::open_sqlite(catalog(), &copy).await {
        Err(error) => error.message,
        Ok(store) => store.replay((), |_, _, _| {}).await.err().unwrap_or_else(|| panic!("accepted: {sql}")).message,
    }
}

#[tokio::test]
async fn what_a_file_has_had_is_not_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bascule.db");
    drop(open(&path, &Clock::default()).await);
    for (sql, said) in [
        ("DROP TABLE plugins", "table plugins: it is missing"),
        ("ALTER TABLE plugins RENAME COLUMN config TO cfg", "table plugins: column config is missing"),
        ("ALTER TABLE plugins RENAME TO snigulp", "table plugins: it is missing"),
        ("DROP INDEX plugins_cache_key; ALTER TABLE plugins DROP COLUMN cache_key", "column cache_key is missing"),
        ("DROP TABLE layout", "no such table: layout"),
        ("DROP TABLE tags", "no such table: tags"),
    ] {
        let message = refusal(&path, sql).await;
        assert!(message.contains(said), "{sql}: {message}");
    }
    open(&path, &Clock::default()).await.replay((), |_, _, _| {}).await.unwrap();
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bascule.db");
    let store = open(&path, &Clock::default()).await;
    store.insert("services", record(json!({"name": "s", "host": "h.test"}))).await.unwrap();
    let route = record(json!({"paths": ["/"], "service": {"name": "s"}}));
    store.insert("routes", route).await.unwrap();
    store.insert("keyauth_credentials", record(json!({"key": "k", "ttl": 100}))).await.unwrap();
    drop(store);
    for (table, change, said) in [
        ("services", "port = 'zz'", "port: holds what it never should"),
        ("services", "port = 1.5", "port: expected an integer"),
        ("services", "enabled = 'zz'", "enabled: holds what it never should"),
        ("services", "tags = '7'", "tags: expected a set"),
        ("routes", "paths = 'zz'", "paths: holds what it never should"),
        ("routes", "paths = x'ff'", "a blob in place of a value"),
        ("routes", "paths = CAST(x'ff' AS TEXT)", "a text is not UTF-8"),
        ("routes", "paths = '\"/\"'", "paths: expected an array"),
        ("routes", "paths = '[\"/\", 1]'", "paths[1]: expected a string"),
        ("routes", "paths = '[null]'", "paths[0]: a value is missing"),
        ("routes", "headers = '{\"a\": \"b\"}'", "headers.a: expected an array"),
        ("routes", "headers = '[\"a\"]'", "headers: expected a map"),
        ("routes", "service_id = 'zz'", "service.id: expected a valid UUID"),
        ("keyauth_credentials", "ttl = 'zz'", "ttl: holds what it never should"),
    ] {
        let id = format!("UPDATE {table} SET id = '{}'", uuid(1));
        let message = refusal(&path, &format!("{id}; UPDATE {table} SET {change}")).await;
        assert_eq!(message, format!("{table} {}: {said}", uuid(1)));
    }
    assert_eq!(refusal(&path, "UPDATE routes SET id = 'zz'").await, "routes zz: id: expected a valid UUID");
}
