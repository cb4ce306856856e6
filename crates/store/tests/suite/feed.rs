//! Revisions and changes.

use super::setup::{everything, name, news, record, subjects};
use model::Record;
use serde_json::json;
use store::{Change, Operation, Revision, Transaction};

fn label(entity: &str, record: &Record) -> String {
    format!("{entity} {}", record["name"].as_str().unwrap_or("-"))
}

fn summary(changes: &[Change]) -> Vec<String> {
    let sign = |change: &Change| if change.operation == Operation::Put { "+" } else { "-" };
    changes.iter().map(|change| format!("{}{}", sign(change), label(&change.entity, &change.record))).collect()
}

#[tokio::test]
async fn every_write_is_one_revision() {
    for s in subjects().await {
        let watch = s.store.watch();
        let (mut first, mut second) = (s.store.follow(), s.store.follow());
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
        let (newest, commits) = first.changes().unwrap();
        assert_eq!(newest, Revision(5));
        assert_eq!(commits.len(), 5);
        let changes = news(&mut first).unwrap();
        assert_eq!(
            summary(&changes),
            ["+services s", "+routes r", "+plugins p", "+services s", "-plugins p", "-routes r"]
        );
        assert_eq!(changes[3].record["port"], json!(1));
        assert!(changes[4].record["route"]["id"].is_string(), "deleted records are whole");
        assert_eq!(news(&mut first).unwrap().len(), 0);
        second.taken(Revision(4));
        assert_eq!(news(&mut second).unwrap().len(), 2);
    }
}

#[tokio::test]
async fn replays_are_everything_in_order() {
    for s in subjects().await {
        assert_eq!(everything(&s.store).await.0, Revision(0));
        s.add("services", json!({"name": "s", "host": "h.test"})).await;
        s.add("plugins", json!({"name": "p", "service": {"name": "s"}})).await;
        s.add("routes", json!({"name": "r", "service": {"name": "s"}})).await;
        let (revision, everything) = everything(&s.store).await;
        assert_eq!(revision, Revision(3));
        let labels: Vec<String> = everything.iter().map(|(entity, record)| label(entity, record)).collect();
        assert_eq!(labels, ["workspaces default", "services s", "routes r", "plugins p"]);
        let mut service = s.find("services", "s").await.unwrap();
        service.insert("ws_id".to_owned(), json!(s.store.default_workspace().unwrap().to_string()));
        assert_eq!(everything[1].1, service);
    }
}

#[tokio::test]
async fn a_feed_too_far_behind_says_so() {
    for s in subjects().await {
        let many = async |from: usize, count: usize| {
            let insert = move |transaction: &mut Transaction<'_>| {
                let input = |n: usize| record(json!({"username": format!("u{n}")}));
                transaction.insert_all("consumers", (from..from + count).map(input).collect())
            };
            s.store.transaction(insert).await.unwrap();
        };
        let (mut slow, mut quick) = (s.store.follow(), s.store.follow());
        many(0, 3000).await;
        assert_eq!(news(&mut quick).unwrap().len(), 3000);
        many(3000, 3000).await;
        assert!(slow.changes().is_none());
        assert_eq!(news(&mut quick).unwrap().len(), 3000);
        many(6000, 5000).await;
        assert!(quick.changes().is_none(), "too much for one transaction to keep");
        let (revision, everything) = everything(&s.store).await;
        assert_eq!(everything.len(), 11_001);
        quick.taken(revision);
        s.add("consumers", json!({"username": "next"})).await;
        assert_eq!(news(&mut quick).unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_get_different_revisions() {
    for s in subjects().await {
        let mut follower = s.store.follow();
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
        assert_eq!(follower.changes().unwrap().0, Revision(100));
        assert_eq!(news(&mut follower).unwrap().len(), 100);
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
        let (revision, everything) = everything(&s.store).await;
        assert_eq!(revision.0 as usize, everything.len() - 1, "{}", s.name);
    }
}
