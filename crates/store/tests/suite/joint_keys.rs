//! Primary keys of several fields.

use super::setup::{Subject, id, record, subjects};
use serde_json::{Value, json};
use std::time::Duration;
use store::{Addition, Counter, Key, PageQuery};
use uuid::Uuid;

const DAY: i64 = 1_700_000_000;

/// A store with a consumer, by its id.
async fn with_consumer(s: &Subject) -> String {
    s.add("consumers", json!({"username": "u"})).await
}

fn visit(consumer: &str, page: &str, count: u32) -> Value {
    json!({"consumer": {"id": consumer}, "day": DAY, "page": page, "count": count})
}

fn key(consumer: &str, page: &str) -> Key {
    id(&json!([consumer, DAY, page]).to_string())
}

#[tokio::test]
async fn records_are_found_changed_and_deleted_by_all_fields_of_their_key() {
    for s in subjects().await {
        let consumer = with_consumer(&s).await;
        for (page, count) in [("a", 1), ("b", 2)] {
            s.store.insert("visits", record(visit(&consumer, page, count))).await.expect(s.name);
        }
        let (a, b) = (key(&consumer, "a"), key(&consumer, "b"));
        assert_eq!(s.store.get("visits", &b).await.unwrap().unwrap()["count"], json!(2), "{}", s.name);
        assert!(s.store.get("visits", &key(&consumer, "c")).await.unwrap().is_none(), "{}", s.name);
        let changed = s.store.update("visits", &a, record(json!({"count": 7, "page": "z"}))).await.unwrap().unwrap();
        assert_eq!(changed.record["page"], json!("a"), "{}", s.name);
        let put = s.store.upsert("visits", &b, record(json!({"count": 9}))).await.expect(s.name);
        assert_eq!(put.record["consumer"], json!({"id": consumer}), "{}", s.name);
        let put = s.store.upsert("visits", &key(&consumer, "c"), record(json!({"count": 1}))).await.expect(s.name);
        assert_eq!(put.record["day"], json!(DAY), "{}", s.name);
        assert_eq!(s.count("visits").await, 3, "{}", s.name);
        assert!(s.store.delete("visits", &a).await.unwrap().is_some(), "{}", s.name);
        assert!(s.store.delete("visits", &a).await.unwrap().is_none(), "{}", s.name);
    }
}

#[tokio::test]
async fn a_key_is_taken_once_and_has_all_its_fields() {
    for s in subjects().await {
        let consumer = with_consumer(&s).await;
        s.store.insert("visits", record(visit(&consumer, "a", 1))).await.expect(s.name);
        let refused = s.refuse("visits", visit(&consumer, "a", 2)).await;
        assert_eq!(refused["name"], "primary key violation", "{}: {refused}", s.name);
        assert_eq!(refused["fields"]["page"], "a", "{}: {refused}", s.name);
        let short = id(&json!([consumer, DAY]).to_string());
        let refused = s.store.get("visits", &short).await.expect_err(s.name).body();
        assert_eq!(refused["name"], "invalid primary key", "{}: {refused}", s.name);
    }
}

#[tokio::test]
async fn pages_go_on_where_they_ended() {
    for s in subjects().await {
        let consumer = with_consumer(&s).await;
        for page in ["a", "b", "c"] {
            s.store.insert("visits", record(visit(&consumer, page, 1))).await.expect(s.name);
        }
        let (mut seen, mut query) = (Vec::new(), PageQuery { size: 2, ..PageQuery::default() });
        loop {
            let page = s.store.page("visits", &query).await.expect(s.name);
            seen.extend(page.data.iter().map(|visit| visit["page"].as_str().unwrap().to_owned()));
            query.offset = page.offset;
            if query.offset.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["a", "b", "c"], "{}", s.name);
    }
}

#[tokio::test]
async fn they_end_and_go_with_what_they_refer_to() {
    for s in subjects().await {
        let consumer = with_consumer(&s).await;
        let mut ending = visit(&consumer, "a", 1);
        ending["ttl"] = json!(5);
        s.store.insert("visits", record(ending)).await.expect(s.name);
        s.store.insert("visits", record(visit(&consumer, "b", 1))).await.expect(s.name);
        s.clock.advance(5001);
        s.store.purge().await.unwrap();
        assert_eq!(s.count("visits").await, 1, "{}", s.name);
        s.store.delete("consumers", &s.store.key("consumers", "u")).await.unwrap();
        assert_eq!(s.count("visits").await, 0, "{}", s.name);
    }
}

#[tokio::test]
async fn counters_are_records_too() {
    for s in subjects().await.into_iter().filter(|s| s.name != "memory") {
        let counter = Counter {
            entity: "metrics".to_owned(),
            identifier: "i".to_owned(),
            period: "minute".to_owned(),
            began: DAY * 1000,
            service: Uuid::nil(),
            route: Uuid::nil(),
        };
        let addition = Addition { counter: counter.clone(), amount: 3, kept: Duration::from_secs(60) };
        s.store.add(vec![addition]).await.expect(s.name);
        let nil = Uuid::nil().to_string();
        let key = id(&json!(["i", "minute", DAY, nil, nil]).to_string());
        assert_eq!(s.store.get("metrics", &key).await.unwrap().expect(s.name)["value"], json!(3), "{}", s.name);
        s.store.update("metrics", &key, record(json!({"value": 5}))).await.expect(s.name);
        assert_eq!(s.store.counts(vec![counter]).await.unwrap(), [5], "{}", s.name);
        s.clock.advance(61_000);
        s.store.purge().await.unwrap();
        assert_eq!(s.count("metrics").await, 0, "{}", s.name);
    }
}
