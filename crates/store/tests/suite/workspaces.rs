//! Workspaces: each sees its own records, and nobody else's.

use super::setup::{Subject, everything, id, name, news, record, subjects, uuid};
use model::Error;
use serde_json::{Value, json};
use store::{PageQuery, Scope, Store, TagFilter};
use uuid::Uuid;

/// A workspace that is new.
async fn workspace(s: &Subject, name: &str) -> (Uuid, Store) {
    let made = s.store.insert("workspaces", record(json!({"name": name}))).await.unwrap().record;
    let id = made["id"].as_str().unwrap().parse().unwrap();
    (id, s.store.of(Scope::Workspace(id)))
}

async fn add(store: &Store, entity: &str, input: Value) -> String {
    let written = store.insert(entity, record(input)).await.unwrap_or_else(|e| panic!("{}", e.body()));
    written.record["id"].as_str().unwrap().to_owned()
}

async fn refuse(store: &Store, entity: &str, input: Value) -> Value {
    store.insert(entity, record(input)).await.unwrap_err().body()
}

#[tokio::test]
async fn there_is_always_a_default_one() {
    for s in subjects().await {
        let default = s.find("workspaces", "default").await.unwrap();
        assert_eq!(default["id"], json!(s.store.default_workspace().unwrap().to_string()));
        let refused = s.store.delete("workspaces", &name("default")).await.unwrap_err();
        assert_eq!(refused.body()["fields"]["name"], "the default workspace cannot be deleted");
        let renamed = s.store.update("workspaces", &name("default"), record(json!({"name": "other"}))).await;
        assert_eq!(renamed.unwrap_err().body()["fields"]["name"], "immutable field cannot be updated");
        let changed = s.store.update("workspaces", &name("default"), record(json!({"comment": "c"}))).await.unwrap();
        assert_eq!(changed.unwrap().record["comment"], "c");
    }
}

#[tokio::test]
async fn names_are_unique_in_each() {
    for s in subjects().await {
        let (_, other) = workspace(&s, "other").await;
        for store in [&s.store, &other] {
            add(store, "services", json!({"name": "s", "host": "h.test"})).await;
            add(store, "plugins", json!({"name": "p", "service": {"name": "s"}})).await;
            assert_eq!(refuse(store, "services", json!({"name": "s", "host": "h.test"})).await["code"], 5);
            assert_eq!(refuse(store, "plugins", json!({"name": "p", "service": {"name": "s"}})).await["code"], 5);
            assert_eq!(store.count("services").await.unwrap(), 1);
        }
        assert_eq!(s.store.of(Scope::All).count("services").await.unwrap(), 2);
    }
}

#[tokio::test]
async fn some_names_are_unique_across_all() {
    for s in subjects().await {
        let (_, other) = workspace(&s, "other").await;
        add(&s.store, "certificates", json!({"id": uuid(1), "cert": "c", "snis": ["a.test"]})).await;
        let taken = refuse(&other, "certificates", json!({"cert": "d", "snis": ["a.test"]})).await;
        let why = format!("a.test already associated with existing certificate '{}'", uuid(1));
        assert_eq!(taken["fields"]["snis"], why);
        let mine = add(&other, "certificates", json!({"cert": "d"})).await;
        assert_eq!(refuse(&other, "snis", json!({"name": "a.test", "certificate": {"id": mine}})).await["code"], 5);
        assert!(other.get("certificates", &name("a.test")).await.unwrap().is_none());
        assert!(other.get("snis", &name("a.test")).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn records_are_seen_in_their_own_only() {
    for s in subjects().await {
        let (_, other) = workspace(&s, "other").await;
        let service = add(&s.store, "services", json!({"name": "s", "host": "h.test", "tags": ["t"]})).await;
        add(&s.store, "consumers", json!({"username": "u", "custom_id": "c"})).await;
        for key in [id(&service), name("s")] {
            assert!(other.get("services", &key).await.unwrap().is_none(), "{}", s.name);
            assert!(other.update("services", &key, record(json!({"port": 1}))).await.unwrap().is_none());
            assert!(other.delete("services", &key).await.unwrap().is_none());
        }
        assert!(other.get_by("consumers", "custom_id", "c").await.unwrap().is_none());
        assert!(other.get_many("services", std::slice::from_ref(&service)).await.unwrap().is_empty());
        assert!(other.all_for("routes", "service", &service).await.unwrap().is_empty());
        for tags in [None, Some(TagFilter::Any(vec!["t".into()])), Some(TagFilter::All(vec!["t".into()]))] {
            let query = PageQuery { tags, ..PageQuery::default() };
            assert!(other.page("services", &query).await.unwrap().data.is_empty());
            assert_eq!(s.store.page("services", &query).await.unwrap().data.len(), 1);
            assert_eq!(s.store.of(Scope::All).page("services", &query).await.unwrap().data.len(), 1);
        }
        assert!(other.page_tags(None, &PageQuery::default()).await.unwrap().data.is_empty());
        assert!(other.page_tags(Some("t"), &PageQuery::default()).await.unwrap().data.is_empty());
        assert_eq!(s.store.page_tags(Some("t"), &PageQuery::default()).await.unwrap().data.len(), 1);
        let taken = other.upsert("services", &id(&service), record(json!({"host": "h.test"}))).await.unwrap_err();
        assert_eq!(taken.body()["code"], 3, "an id is one record's, wherever it is");
        s.store.truncate("consumers").await.unwrap();
        assert_eq!(s.count("services").await, 1);
    }
}

#[tokio::test]
async fn references_stay_within() {
    for s in subjects().await {
        let (_, other) = workspace(&s, "other").await;
        let service = add(&s.store, "services", json!({"name": "s", "host": "h.test"})).await;
        let by_id = refuse(&other, "routes", json!({"service": {"id": service}})).await;
        assert_eq!(
            by_id["message"],
            format!("the foreign key '{{id=\"{service}\"}}' does not reference an existing 'services' entity.")
        );
        assert_eq!(refuse(&other, "routes", json!({"service": {"name": "s"}})).await["code"], 13);
    }
}

#[tokio::test]
async fn pages_of_one_are_complete() {
    for s in subjects().await {
        let (_, other) = workspace(&s, "other").await;
        for n in 0..10 {
            let store = if n % 3 == 0 { &other } else { &s.store };
            add(store, "services", json!({"id": uuid(n), "host": "h.test", "tags": ["t"]})).await;
        }
        for tags in [None, Some(TagFilter::Any(vec!["t".into(), "u".into()]))] {
            let mut query = PageQuery { size: 2, tags, ..PageQuery::default() };
            let mut seen = Vec::new();
            loop {
                let page = other.page("services", &query).await.unwrap();
                seen.extend(page.data.iter().map(|r| r["id"].as_str().unwrap().to_owned()));
                query.offset = page.offset;
                if query.offset.is_none() {
                    break;
                }
            }
            assert_eq!(seen, [0, 3, 6, 9].map(uuid), "{}", s.name);
        }
    }
}

#[tokio::test]
async fn only_empty_ones_are_deleted() {
    for s in subjects().await {
        let (id, other) = workspace(&s, "other").await;
        let mine = add(&s.store, "services", json!({"name": "s", "host": "h.test"})).await;
        add(&other, "services", json!({"name": "s", "host": "h.test", "tags": ["t"]})).await;
        add(&other, "routes", json!({"name": "r", "service": {"name": "s"}})).await;
        let refused = s.store.delete("workspaces", &name("other")).await.unwrap_err();
        assert_eq!(refused.message, "an existing 'services' entity references this 'workspaces' entity");
        let mut follower = s.store.follow();
        other.transaction(|transaction| transaction.empty_workspace()).await.unwrap();
        let changes = news(&mut follower).unwrap();
        assert_eq!(changes.iter().map(|c| c.entity.as_str()).collect::<Vec<_>>(), ["routes", "services"]);
        s.store.delete("workspaces", &name("other")).await.unwrap().unwrap();
        assert_eq!(s.store.of(Scope::All).count("services").await.unwrap(), 1);
        assert!(s.find("services", &mine).await.is_some());
        let gone = refuse(&s.store.of(Scope::Workspace(id)), "services", json!({"host": "h.test"})).await;
        assert_eq!(gone["code"], 17);
        assert_eq!(gone["message"], format!("invalid workspace '{id}'"));
    }
}

#[tokio::test]
async fn all_are_read_but_nothing_is_made_in_all() {
    for s in subjects().await {
        let all = s.store.of(Scope::All);
        let refused = refuse(&all, "services", json!({"host": "h.test"})).await;
        assert_eq!(refused["message"], "services are created in one workspace");
        let service = add(&s.store, "services", json!({"name": "s", "host": "h.test"})).await;
        assert!(all.get("services", &id(&service)).await.unwrap().is_some());
        assert!(all.get("services", &name("s")).await.is_err(), "several may have that name");
        all.insert("parameters", record(json!({"key": "of none", "value": "v"}))).await.unwrap();
        assert!(s.find("parameters", "of none").await.is_some());
    }
}

#[tokio::test]
async fn the_feed_says_whose_a_record_is() {
    for s in subjects().await {
        let (id, other) = workspace(&s, "other").await;
        let mut follower = s.store.follow();
        let written = other.insert("services", record(json!({"name": "s", "host": "h.test"}))).await.unwrap();
        assert_eq!(written.record.get("ws_id"), None, "clients are not told");
        let changes = news(&mut follower).unwrap();
        assert_eq!(changes[0].record["ws_id"], json!(id.to_string()));
        let (_, everything) = everything(&other).await;
        let (_, service) = everything.iter().find(|(entity, _)| entity == "services").unwrap();
        assert_eq!(*service, changes[0].record, "{}", s.name);
    }
}

#[tokio::test]
async fn one_transaction_can_be_about_several() {
    for s in subjects().await {
        let (id, other) = workspace(&s, "other").await;
        let done: Result<_, Error> = s
            .store
            .transaction(move |transaction| {
                transaction.insert("services", record(json!({"name": "s", "host": "h.test"})))?;
                transaction.enter(Scope::Workspace(id));
                transaction.insert("services", record(json!({"name": "s", "host": "h.test"})))
            })
            .await;
        done.unwrap();
        assert_eq!(s.count("services").await, 1);
        assert_eq!(other.count("services").await.unwrap(), 1);
    }
}
