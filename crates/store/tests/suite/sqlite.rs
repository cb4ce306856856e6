//! What only a file can do: survive, be extended, be refused.

use super::setup::{catalog, catalog_with, name, open, record};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use store::{Clock, Revision, Store};

#[tokio::test]
async fn records_and_revisions_survive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bascule.db");
    let store = open(&path, &Clock::default()).await;
    store.insert("services", record(json!({"name": "s", "host": "h.test", "tags": ["t"]}))).await.unwrap();
    store
        .insert("routes", record(json!({"name": "r", "service": {"name": "s"}, "headers": {"a": ["b"]}})))
        .await
        .unwrap();
    let before = store.snapshot().await.unwrap();
    drop(store);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "it holds secrets");
    let store = open(&path, &Clock::default()).await;
    let after = store.snapshot().await.unwrap();
    assert_eq!(after.0, Revision(2));
    assert_eq!(*store.watch().borrow(), Revision(2));
    let records = |changes: &[store::Change]| changes.iter().map(|c| c.record.clone()).collect::<Vec<_>>();
    assert_eq!(records(&after.1), records(&before.1));
    assert!(store.changes_since(Revision(1)).await.unwrap().is_none(), "changes before the start are not kept");
    assert_eq!(store.delete("routes", &name("r")).await.unwrap(), Some(Revision(3)));
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
        assert_eq!(copied.snapshot().await.unwrap().0, Revision(n + 1));
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
    let (revision, changes) = store.snapshot().await.unwrap();
    assert!(revision.0 >= last, "answered {last}, found {}", revision.0);
    assert_eq!(revision.0 as usize, changes.len());
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

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bascule.db");
    std::fs::write(&path, "this is not a database, however long it may be made to be").unwrap();
    let error = Store::open_sqlite(catalog(), &path).await.err().unwrap();
    assert!(error.message.contains("bascule.db"), "{error}");
    assert!(Store::open_sqlite(catalog(), &directory.path().join("no/such/directory/x.db")).await.is_err());
}
