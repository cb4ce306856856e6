//! The copy that a node keeps of its database.

use super::setup::{Subject, catalog, everything, id, record, subjects, uuid};
use model::Record;
use serde_json::json;
use std::time::Duration;
use store::{Mirror, Store};
use tempfile::TempDir;

/// What a copy has, but for what says of which database it is.
async fn copied(mirror: &Mirror) -> Option<Vec<(String, Record)>> {
    let (copy, _) = mirror.whole().await.unwrap()?;
    let (_, all) = everything(&copy).await;
    Some(all.into_iter().filter(|(entity, _)| entity != "parameters").collect())
}

/// Opens the copy in that directory for a look.
async fn look(directory: &TempDir, origin: &str) -> Mirror {
    Mirror::open(catalog(), &directory.path().join("copy.db"), origin.to_owned()).await.unwrap()
}

/// Waits until the copy has what the store has.
async fn same(subject: &Subject, directory: &TempDir) {
    let wanted = everything(&subject.store).await.1;
    let done = tokio::time::timeout(Duration::from_secs(20), async {
        while copied(&look(directory, "here").await).await.as_ref() != Some(&wanted) {
            tokio::task::yield_now().await;
        }
    });
    assert!(done.await.is_ok(), "{}: {:?}", subject.name, copied(&look(directory, "here").await).await);
}

fn run(mirror: Mirror, store: &Store) -> tokio::task::JoinHandle<()> {
    tokio::spawn(mirror.run(store.clone()))
}

#[tokio::test]
async fn a_copy_follows_its_database() {
    for subject in subjects().await {
        let directory = tempfile::tempdir().unwrap();
        let service = subject.add("services", json!({"name": "s", "host": "h.test", "tags": ["t"]})).await;
        let running = run(look(&directory, "here").await, &subject.store);
        same(&subject, &directory).await;
        let consumer = subject.add("consumers", json!({"username": "u"})).await;
        subject.add("keyauth_credentials", json!({"key": "k", "consumer": {"id": consumer}})).await;
        subject.store.update("services", &id(&service), record(json!({"name": "t"}))).await.unwrap().unwrap();
        same(&subject, &directory).await;
        subject.store.delete("consumers", &id(&consumer)).await.unwrap().unwrap();
        same(&subject, &directory).await;
        running.abort();
        assert!(copied(&look(&directory, "there").await).await.is_none(), "it is of another database");
    }
}

/// What happened while nobody followed, among it names that have changed their places.
#[tokio::test]
async fn a_copy_is_brought_up_to_date() {
    for subject in subjects().await {
        let directory = tempfile::tempdir().unwrap();
        for n in 0..3 {
            subject.add("services", json!({"id": uuid(n), "name": format!("s{n}"), "host": "h.test"})).await;
        }
        let running = run(look(&directory, "here").await, &subject.store);
        same(&subject, &directory).await;
        running.abort();
        let rename = async |n: u64, name: &str| {
            let key = id(&uuid(n));
            subject.store.update("services", &key, record(json!({"name": name}))).await.unwrap().unwrap();
        };
        rename(2, "x").await;
        rename(0, "s2").await;
        rename(2, "s0").await;
        subject.store.delete("services", &id(&uuid(1))).await.unwrap().unwrap();
        subject.add("services", json!({"id": uuid(9), "name": "s1", "host": "h.test"})).await;
        let running = run(look(&directory, "here").await, &subject.store);
        same(&subject, &directory).await;
        running.abort();
    }
}
