//! What requests write: records that no snapshot holds, and counters.

use super::setup::{everything, news, record, subjects};
use serde_json::json;
use std::time::Duration;
use store::{Addition, Counter, Scope, Store};
use uuid::Uuid;

#[tokio::test]
async fn records_of_requests_are_stored_and_told_to_nobody() {
    for s in subjects().await {
        s.add("consumers", json!({"username": "u"})).await;
        let mut follower = s.store.follow();
        let before = *s.store.watch().borrow();
        let input = json!({"token": "t", "ttl": 5, "consumer": {"username": "u"}});
        let written = s.store.insert("tokens", record(input)).await.unwrap();
        assert_eq!(written.revision, before, "{}", s.name);
        assert_eq!(news(&mut follower).unwrap().len(), 0);
        let key = s.store.key("tokens", "t");
        s.store.update("tokens", &key, record(json!({"scope": "email"}))).await.unwrap().unwrap();
        assert_eq!(s.find("tokens", "t").await.unwrap()["scope"], json!("email"));
        let (_, all) = everything(&s.store).await;
        assert!(all.iter().all(|(entity, _)| entity != "tokens"));
        s.clock.advance(5001);
        s.store.purge().await.unwrap();
        assert_eq!(s.count("tokens").await, 0);
        assert_eq!(news(&mut follower).unwrap().len(), 0);
    }
}

#[tokio::test]
async fn who_keeps_them_is_told_that_they_are_others_now() {
    for s in subjects().await {
        s.add("consumers", json!({"username": "u"})).await;
        let mut told = s.store.announcements();
        let id = s.add("tokens", json!({"token": "t", "consumer": {"username": "u"}})).await;
        s.store.delete("tokens", &s.store.key("tokens", "t")).await.unwrap();
        for what in ["added", "deleted"] {
            let said = told.recv().await.unwrap();
            assert_eq!(said.channel, "invalidations", "{}: {what}", s.name);
            assert!(said.data.starts_with(&format!("tokens:{id}:::::")), "{}: {what}: {}", s.name, said.data);
        }
    }
}

#[tokio::test]
async fn they_go_with_what_they_refer_to() {
    for s in subjects().await {
        let consumer = s.add("consumers", json!({"username": "u"})).await;
        s.add("tokens", json!({"token": "t", "consumer": {"id": consumer}})).await;
        let mut follower = s.store.follow();
        s.store.delete("consumers", &s.store.key("consumers", "u")).await.unwrap();
        assert_eq!(s.count("tokens").await, 0);
        let told: Vec<_> = news(&mut follower).unwrap().into_iter().map(|change| change.entity).collect();
        assert_eq!(told, ["consumers"], "{}", s.name);
    }
}

#[tokio::test]
async fn what_need_not_be_unique_is_found_in_all_workspaces() {
    for s in subjects().await {
        for (name, ident) in [("ada", "1"), ("bob", "2"), ("eve", "1"), ("joe", "3")] {
            s.add("rbac_users", json!({"name": name, "user_token_ident": ident})).await;
        }
        let other = s.add("workspaces", json!({"name": "other"})).await;
        let there = s.store.of(Scope::Workspace(other.parse().unwrap()));
        there.insert("rbac_users", record(json!({"name": "ada", "user_token_ident": "1"}))).await.unwrap();
        let found = async |store: &Store, idents: &[&str]| {
            let idents: Vec<String> = idents.iter().map(|ident| (*ident).to_owned()).collect();
            let found = store.all_by("rbac_users", "user_token_ident", &idents).await.unwrap();
            let mut names: Vec<String> = found.iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        let everywhere = s.store.of(Scope::All);
        assert_eq!(found(&everywhere, &["1"]).await, ["ada", "ada", "eve"], "{}", s.name);
        assert_eq!(found(&s.store, &["1"]).await, ["ada", "eve"], "{}", s.name);
        assert_eq!(found(&everywhere, &["2", "3", "4"]).await, ["bob", "joe"], "{}", s.name);
        assert_eq!(found(&everywhere, &[]).await, [""; 0], "{}", s.name);
        let idents = ["1".to_owned()];
        assert!(s.store.all_by("rbac_users", "id", &idents).await.is_err(), "{}", s.name);
    }
}

fn counter(identifier: &str) -> Counter {
    Counter {
        entity: "metrics".to_owned(),
        identifier: identifier.to_owned(),
        period: "minute".to_owned(),
        began: 60_000,
        service: Uuid::nil(),
        route: Uuid::nil(),
    }
}

fn addition(identifier: &str, amount: i64) -> Addition {
    Addition { counter: counter(identifier), amount, kept: Duration::from_secs(60) }
}

#[tokio::test]
async fn counters_count_what_everybody_adds() {
    for s in subjects().await {
        assert_eq!(s.store.counts(vec![counter("a")]).await.unwrap(), [0], "{}", s.name);
        let adding: Vec<_> = (0..20)
            .map(|_| {
                let store = s.store.clone();
                tokio::spawn(async move { store.add(vec![addition("a", 2), addition("b", 1)]).await })
            })
            .collect();
        for added in adding {
            added.await.unwrap().unwrap();
        }
        let other = Counter { began: 120_000, ..counter("a") };
        assert_eq!(s.store.counts(vec![counter("a"), counter("b"), other]).await.unwrap(), [40, 20, 0]);
        s.clock.advance(60_001);
        assert_eq!(s.store.counts(vec![counter("a")]).await.unwrap(), [0]);
        s.store.add(vec![addition("a", 3)]).await.unwrap();
        assert_eq!(s.store.counts(vec![counter("a")]).await.unwrap(), [3]);
        let unknown = Counter { entity: "services".to_owned(), ..counter("a") };
        assert!(s.store.counts(vec![unknown]).await.is_err());
    }
}
