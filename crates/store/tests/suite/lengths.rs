//! What databases have an index on has the same greatest length in all of them.

use super::setup::{id, record, subjects};
use serde_json::{Value, json};

/// Text that no database makes shorter.
fn text(length: usize) -> String {
    let mut generator = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| generator.alphanumeric()).take(length).collect()
}

#[tokio::test]
async fn long_text_is_refused_where_there_is_an_index() {
    for subject in subjects().await {
        let refused = json!("length must be at most 2500");
        let of = |body: Value| body["fields"].clone();
        assert_eq!(
            of(subject.refuse("consumers", json!({"username": text(2501)})).await),
            json!({"username": refused})
        );
        let tags = json!({"host": "h.test", "tags": ["a", text(2501)]});
        assert_eq!(of(subject.refuse("services", tags).await), json!({"tags": [null, refused]}));
        let plugin = json!({"name": text(2501)});
        assert_eq!(of(subject.refuse("plugins", plugin).await), json!({"name": refused}));
        assert_eq!(subject.count("services").await, 0);
    }
}

#[tokio::test]
async fn the_longest_text_has_room() {
    for subject in subjects().await {
        let name = text(2500);
        let service = subject.add("services", json!({"name": name, "host": text(100_000), "tags": [text(2500)]})).await;
        subject.add("plugins", json!({"name": text(2300), "service": {"id": service}})).await;
        subject.add("consumers", json!({"username": text(2500), "custom_id": text(2500)})).await;
        assert_eq!(subject.find("services", &name).await.unwrap()["id"], json!(service), "{}", subject.name);
        let changed = json!({"host": "h.test", "tags": [text(2500), text(2499)]});
        let updated = subject.store.update("services", &id(&service), record(changed)).await;
        assert!(updated.unwrap().is_some(), "{}", subject.name);
    }
}
