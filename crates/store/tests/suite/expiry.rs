//! Records that live for a time.

use super::setup::{Subject, everything, id, name, news, record, subjects};
use serde_json::{Value, json};
use store::{Operation, PageQuery, Revision, TagFilter};

async fn credential(s: &Subject, input: Value) -> Value {
    let mut input = record(input);
    input.insert("consumer".to_owned(), json!({"username": "u"}));
    s.store.insert("keyauth_credentials", input).await.unwrap().record["ttl"].clone()
}

#[tokio::test]
async fn expired_records_are_not_seen() {
    for s in subjects().await {
        s.add("consumers", json!({"username": "u"})).await;
        assert_eq!(credential(&s, json!({"key": "for ever"})).await, Value::Null);
        assert_eq!(credential(&s, json!({"key": "zero", "ttl": 0})).await, Value::Null);
        let left = credential(&s, json!({"key": "short", "ttl": 500, "tags": ["t"]})).await;
        // The clock goes on by itself, too.
        assert!((400..=500).contains(&left.as_i64().unwrap()));
        credential(&s, json!({"key": "long", "ttl": "6000"})).await;
        s.clock.advance(200_000);
        let remaining = s.find("keyauth_credentials", "short").await.unwrap()["ttl"].as_i64().unwrap();
        assert!((200..=300).contains(&remaining));
        s.clock.advance(300_001);
        assert!(s.find("keyauth_credentials", "short").await.is_none());
        assert_eq!(s.count("keyauth_credentials").await, 3);
        assert_eq!(s.store.page("keyauth_credentials", &PageQuery::default()).await.unwrap().data.len(), 3);
        for tags in [TagFilter::Any(vec!["t".into()]), TagFilter::All(vec!["t".into()])] {
            assert!(
                s.store
                    .page("keyauth_credentials", &PageQuery { tags: Some(tags), ..Default::default() })
                    .await
                    .unwrap()
                    .data
                    .is_empty()
            );
        }
        let (_, everything) = everything(&s.store).await;
        assert_eq!(everything.iter().filter(|(entity, _)| entity == "keyauth_credentials").count(), 3);
        assert_eq!(credential(&s, json!({"key": "short"})).await, Value::Null, "an expired key can be used again");
        assert_eq!(s.count("keyauth_credentials").await, 4);
    }
}

#[tokio::test]
async fn ttl_is_kept_by_patch_and_reset_by_put() {
    for s in subjects().await {
        s.add("consumers", json!({"username": "u"})).await;
        credential(&s, json!({"key": "k", "ttl": 100})).await;
        s.clock.advance(50_000);
        let patched =
            s.store.update("keyauth_credentials", &name("k"), record(json!({"tags": ["t"]}))).await.unwrap().unwrap();
        assert!((49..=50).contains(&patched.record["ttl"].as_i64().unwrap()));
        let patched =
            s.store.update("keyauth_credentials", &name("k"), record(json!({"ttl": 100}))).await.unwrap().unwrap();
        assert!((99..=100).contains(&patched.record["ttl"].as_i64().unwrap()));
        let put = s
            .store
            .upsert("keyauth_credentials", &name("k"), record(json!({"consumer": {"username": "u"}})))
            .await
            .unwrap();
        assert_eq!(put.record["ttl"], Value::Null);
        for ttl in [json!(-1), json!(1.5), json!(100_000_001), json!("x"), json!([])] {
            let refused = s.refuse("keyauth_credentials", json!({"ttl": ttl, "consumer": {"username": "u"}})).await;
            assert_eq!(
                refused,
                json!({"code": 11, "name": "invalid options", "options": {"ttl": "must be an integer between 0 and \
                    100000000"},
                "message": "invalid option (ttl: must be an integer between 0 and 100000000)"})
            );
        }
        assert_eq!(
            s.refuse("services", json!({"host": "h.test", "ttl": 1})).await["fields"],
            json!({"ttl": "unknown field"})
        );
    }
}

#[tokio::test]
async fn purging_deletes_and_tells_the_feed() {
    for s in subjects().await {
        s.add("consumers", json!({"username": "u"})).await;
        assert_eq!(s.store.purge().await.unwrap(), None);
        credential(&s, json!({"key": "a", "ttl": 5})).await;
        credential(&s, json!({"key": "b", "ttl": 50})).await;
        let due = s.store.purge().await.unwrap().unwrap();
        assert!((4000..=5000).contains(&(due - s.clock.now())));
        s.clock.advance(5001);
        let mut follower = s.store.follow();
        assert!(s.store.purge().await.unwrap().unwrap() > due);
        let changes = news(&mut follower).unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].operation, Operation::Delete);
        assert_eq!(changes[0].record["key"], json!("a"));
        s.clock.advance(60_000);
        assert_eq!(s.store.purge().await.unwrap(), None);
        assert_eq!(s.count("keyauth_credentials").await, 0);
    }
}

#[tokio::test]
async fn the_expiry_task_purges_by_itself() {
    for s in subjects().await {
        s.add("consumers", json!({"username": "u"})).await;
        let store = s.store.clone();
        let task = tokio::spawn(async move { store.run_expiry().await });
        let mut watch = s.store.watch();
        let mut follower = s.store.follow();
        credential(&s, json!({"key": "a", "ttl": 1})).await;
        watch.wait_for(|revision| *revision >= Revision(3)).await.unwrap();
        assert!(s.store.get_by("keyauth_credentials", "key", "a").await.unwrap().is_none());
        assert_eq!(news(&mut follower).unwrap()[1].operation, Operation::Delete);
        task.abort();
        let _ = task.await;
        assert!(
            s.store
                .delete("consumers", &id(s.find("consumers", "u").await.unwrap()["id"].as_str().unwrap()))
                .await
                .unwrap()
                .is_some()
        );
    }
}
