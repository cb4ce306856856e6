//! Revisions and changes.

use super::setup::{name, record, subjects};
use serde_json::json;
use store::{Change, Operation, Revision, Transaction};

fn summary(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|c| {
            let label = c
                .record
                .get("name")
                .or(c.record.get("username"))
                .or(c.record.get("key"))
                .and_then(|n| n.as_str())
                .unwrap_or("-");
            format!("{}{} {label}", if c.operation == Operation::Put { "+" } else { "-" }, c.entity)
        })
        .collect()
}

#[tokio::test]
async fn every_write_is_one_revision() {
    for s in subjects().await {
        let watch = s.store.watch();
        assert_eq!(*watch.borrow(), Revision(0));
        let written = s.store.insert("services", record(json!({"name": "s", "host": "h.test"}))).await.unwrap();
        assert_eq!(written.revision, Revision(1));
        assert_eq!(*watch.borrow(), Revision(1));
        s.refuse("services", json!({"name": "s", "host": "h.test"})).await;
        assert_eq!(s.store.delete("services", &name("nope")).await.unwrap(), None);
        assert_eq!(*watch.borrow(), Revision(1), "{}: nothing happened", s.name);
        s.add("routes", json!({"name": "r", "service": {"name": "s"}})).await;
        s.add("plugins", json!({"name": "p", "route": {"name": "r"}})).await;
        s.store.update("services", &name("s"), record(json!({"port": 1}))).await.unwrap().unwrap();
        s.store.delete("routes", &name("r")).await.unwrap().unwrap();
        let (newest, changes) = s.store.changes_since(Revision(0)).await.unwrap().unwrap();
        assert_eq!(newest, Revision(5));
        assert_eq!(
            summary(&changes),
            ["+services s", "+routes r", "+plugins p", "+services s", "-plugins p", "-routes r"]
        );
        assert_eq!(changes[3].record["port"], json!(1));
        assert!(changes[4].record["route"]["id"].is_string(), "deleted records are whole");
        let (newest, changes) = s.store.changes_since(Revision(4)).await.unwrap().unwrap();
        assert_eq!(newest, Revision(5));
        assert_eq!(changes.len(), 2);
        assert_eq!(s.store.changes_since(Revision(5)).await.unwrap().unwrap().1.len(), 0);
        assert!(s.store.changes_since(Revision(6)).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn snapshots_are_everything_in_order() {
    for s in subjects().await {
        assert_eq!(s.store.snapshot().await.unwrap().0, Revision(0));
        s.add("services", json!({"name": "s", "host": "h.test"})).await;
        s.add("plugins", json!({"name": "p", "service": {"name": "s"}})).await;
        s.add("routes", json!({"name": "r", "service": {"name": "s"}})).await;
        let (revision, changes) = s.store.snapshot().await.unwrap();
        assert_eq!(revision, Revision(3));
        assert_eq!(summary(&changes), ["+workspaces default", "+services s", "+routes r", "+plugins p"]);
        let mut service = s.find("services", "s").await.unwrap();
        service.insert("ws_id".to_owned(), json!(s.store.default_workspace().unwrap().to_string()));
        assert_eq!(changes[1].record, service);
    }
}

#[tokio::test]
async fn a_feed_too_far_behind_says_so() {
    for s in subjects().await {
        let many = async |from: usize| {
            let insert = move |transaction: &mut Transaction<'_>| {
                let input = |n: usize| record(json!({"username": format!("u{n}")}));
                (from..from + 3000).try_for_each(|n| transaction.insert("consumers", input(n)).map(drop))
            };
            s.store.transaction(insert).await.unwrap();
        };
        many(0).await;
        assert_eq!(s.store.changes_since(Revision(0)).await.unwrap().unwrap().1.len(), 3000);
        many(3000).await;
        assert!(s.store.changes_since(Revision(0)).await.unwrap().is_none());
        assert_eq!(s.store.changes_since(Revision(1)).await.unwrap().unwrap().1.len(), 3000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_get_different_revisions() {
    for s in subjects().await {
        let writers: Vec<_> = (0..200)
            .map(|n| {
                let store = s.store.clone();
                // Pairs fight for a name: one of each wins.
                tokio::spawn(async move {
                    store.insert("services", record(json!({"name": format!("s{}", n / 2), "host": "h.test"}))).await
                })
            })
            .collect();
        let (mut revisions, mut refused) = (Vec::new(), 0);
        for writer in writers {
            match writer.await.unwrap() {
                Ok(written) => revisions.push(written.revision.0),
                Err(error) => {
                    assert_eq!(error.body()["code"], 5);
                    refused += 1;
                }
            }
        }
        revisions.sort_unstable();
        assert_eq!(revisions, (1..=100).collect::<Vec<u64>>(), "{}", s.name);
        assert_eq!(refused, 100, "{}", s.name);
        let (newest, changes) = s.store.changes_since(Revision(0)).await.unwrap().unwrap();
        assert_eq!(newest.0, 100);
        assert_eq!(changes.len(), 100);
    }
}

#[tokio::test]
async fn a_dropped_write_still_ends() {
    for s in subjects().await {
        let store = s.store.clone();
        let write =
            tokio::spawn(async move { store.insert("services", record(json!({"name": "s", "host": "h.test"}))).await });
        tokio::task::yield_now().await;
        write.abort();
        let _ = write.await;
        s.add("services", json!({"name": "t", "host": "h.test"})).await;
        let (revision, changes) = s.store.snapshot().await.unwrap();
        assert_eq!(revision.0 as usize, changes.len() - 1, "{}", s.name);
    }
}
