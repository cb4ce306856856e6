//! Whole files: in place of everything, on top of it, and out again; and stores whose single records nobody changes.

use super::setup::{Subject, everything, name, news, record, subjects, uuid};
use serde_json::{Value, json};
use std::sync::Arc;
use store::declarative::{Document, EMPTY_HASH, Entities, Notation, Records};
use store::{Operation, PageQuery, Revision};

fn entities(s: &Subject, document: Value) -> (Entities, String) {
    let mut fields = record(document);
    fields.insert("_format_version".to_owned(), "3.0".into());
    let mut document = Document::of_fields(fields);
    let entities = document.read(s.store.catalog()).unwrap_or_else(|r| panic!("{}: {}", s.name, r.describe()));
    (entities, document.hash().to_owned())
}

async fn replace(s: &Subject, document: Value) -> Revision {
    let (entities, hash) = entities(s, document);
    let records = s.store.prepare(entities).await.unwrap();
    s.store.read_only().replace(Arc::new(records), &hash).await.unwrap()
}

async fn prepared(s: &Subject, document: Value) -> Records {
    s.store.prepare(entities(s, document).0).await.unwrap()
}

#[tokio::test]
async fn a_file_takes_the_place_of_everything() {
    for s in subjects().await {
        s.add("services", json!({"name": "old", "host": "h.test", "tags": ["t"]})).await;
        s.add("consumers", json!({"username": "old", "favourite": {"name": "old"}})).await;
        let services = json!([{"name": "s", "host": "h.test", "routes": [{"name": "r", "paths": ["/a"]}]}]);
        replace(&s, json!({"services": services, "consumers": [{"username": "u"}]})).await;
        assert_eq!(s.find("services", "old").await, None, "{}", s.name);
        assert_eq!(s.count("consumers").await, 1);
        let service = s.find("services", "s").await.unwrap();
        assert_eq!(s.find("routes", "r").await.unwrap()["service"]["id"], service["id"]);
        assert_eq!(s.store.page_tags(None, &Default::default()).await.unwrap().data, []);
    }
}

#[tokio::test]
async fn what_stays_as_it_was_is_not_touched() {
    for s in subjects().await {
        let consumers = |second: &str| {
            json!({"consumers": [{"username": "a"}, {"username": second}], "services":
            [{"name": "s", "host": "h.test"}, {"name": "t", "host": "h.test"}]})
        };
        let first = replace(&s, consumers("b")).await;
        let before = s.find("services", "s").await.unwrap();
        assert_eq!(replace(&s, consumers("b")).await, first, "{}: nothing has changed", s.name);
        let mut follower = s.store.follow();
        let second = replace(&s, consumers("c")).await;
        let changes = news(&mut follower).unwrap();
        let told: Vec<_> = changes.iter().map(|c| (c.operation, c.record.get("username").cloned())).collect();
        assert_eq!(told[0], (Operation::Delete, Some("b".into())));
        assert_eq!(told[1], (Operation::Put, Some("c".into())));
        assert_eq!(changes[2].entity, "parameters");
        assert_eq!(changes.len(), 3);
        assert!(second > first);
        assert_eq!(s.find("services", "s").await.unwrap(), before);
    }
}

#[tokio::test]
async fn records_can_exchange_their_names() {
    for s in subjects().await {
        let services = |first: &str, second: &str, host: &str| {
            json!({"services": [{"id": uuid(1),
            "name": first, "host": host}, {"id": uuid(2), "name": second, "host": host}]})
        };
        replace(&s, services("a", "b", "h.test")).await;
        let created = s.find("services", "a").await.unwrap()["created_at"].clone();
        s.clock.advance(10_000);
        replace(&s, services("b", "a", "i.test")).await;
        let found = s.find("services", "a").await.unwrap();
        assert_eq!(found["id"], json!(uuid(2)), "{}", s.name);
        assert_eq!(found["host"], "i.test");
        assert_eq!(found["created_at"], created, "it is the same record as before");
    }
}

#[tokio::test]
async fn hashes_are_kept_with_the_records() {
    for s in subjects().await {
        let hash = async || s.store.configuration_hash().await.unwrap();
        assert_eq!(hash().await, EMPTY_HASH);
        replace(&s, json!({"services": [{"name": "s", "host": "h.test"}]})).await;
        let first = hash().await;
        assert_ne!(first, EMPTY_HASH);
        assert_eq!(first.len(), 32);
        replace(&s, json!({"_comment": "x", "services": [{"name": "s", "host": "h.test"}]})).await;
        assert_ne!(hash().await, first, "{}: though the records are the same", s.name);
        replace(&s, json!({})).await;
        assert_eq!(hash().await, EMPTY_HASH);
        assert_eq!(s.count("services").await, 0);
    }
}

#[tokio::test]
async fn read_only_stores_check_and_then_refuse() {
    for s in subjects().await {
        s.add("services", json!({"name": "s", "host": "h.test"})).await;
        let store = s.store.read_only();
        let words = |verb: &str, by: &str| format!("cannot {verb} 'services' entities{by} when not using a database");
        let input = || record(json!({"host": "h.test"}));
        let refused = store.insert("services", record(json!({"name": "s", "host": "h.test"}))).await.unwrap_err();
        assert_eq!(refused.message, words("create", ""));
        assert_eq!(refused.status(), 405);
        let refused = store.update("services", &name("s"), input()).await.unwrap_err();
        assert_eq!(refused.message, words("update", " by 'name'"));
        let refused = store.upsert("services", &name("s"), input()).await.unwrap_err();
        assert_eq!(refused.message, words("create or update", " by 'name'"));
        assert_eq!(store.delete("services", &name("s")).await.unwrap_err().message, words("remove", " by 'name'"));
        assert_eq!(store.insert("services", record(json!({"port": 1}))).await.unwrap_err().status(), 400);
        assert!(store.update("services", &name("nope"), input()).await.unwrap().is_none());
        assert!(store.delete("services", &name("nope")).await.unwrap().is_none());
        assert_eq!(s.count("services").await, 1, "{}", s.name);
    }
}

#[tokio::test]
async fn pages_of_read_only_stores_go_on_while_they_are_full() {
    for s in subjects().await {
        for number in 1..=4 {
            s.add("services", json!({"id": uuid(number), "name": format!("s{number}"), "host": "h.test"})).await;
        }
        let store = s.store.read_only();
        let mut query = PageQuery { size: 2, ..PageQuery::default() };
        let mut sizes = Vec::new();
        loop {
            let page = store.page("services", &query).await.unwrap();
            sizes.push(page.data.len());
            match page.offset {
                Some(offset) => query.offset = Some(offset),
                None => break,
            }
        }
        assert_eq!(sizes, [2, 2, 0], "{}", s.name);
        query.offset = Some("WyJhIl0".to_owned());
        assert_eq!(store.page("services", &query).await.unwrap_err().status(), 400);
    }
}

#[tokio::test]
async fn imports_leave_what_is_not_theirs() {
    for s in subjects().await {
        s.add("services", json!({"name": "own", "host": "h.test"})).await;
        let document = json!({"services": [{"id": uuid(1), "name": "s", "host": "h.test", "routes": [{"name": "r"}]}]});
        let (sender, receiver) = std::sync::mpsc::channel();
        let records = prepared(&s, document.clone()).await;
        let revision = s.store.import(records, move |done| sender.send(done).unwrap()).await.unwrap();
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(s.count("services").await, 2, "{}", s.name);
        let again = s.store.import(prepared(&s, document).await, |_| {}).await.unwrap();
        assert_eq!(again, revision, "nothing has changed");
        let taken =
            prepared(&s, json!({"services": [{"name": "t", "host": "h.test"}, {"name": "own", "host": "h"}]})).await;
        let error = s.store.import(taken, |_| {}).await.unwrap_err();
        assert_eq!(error.message, "UNIQUE violation detected on '{name=\"own\"}'");
        assert_eq!(s.find("services", "t").await, None, "all or nothing");
    }
}

#[tokio::test]
async fn exports_are_imported_as_they_were() {
    for s in subjects().await {
        let others = subjects().await;
        s.add("services", json!({"name": "s", "host": "h.test", "tags": ["a", "yes"]})).await;
        s.add("routes", json!({"name": "r", "service": {"name": "s"}, "headers": {"x-a": ["1"]}})).await;
        let consumer = s.add("consumers", json!({"username": "u", "custom_id": "1.0"})).await;
        let credential = json!({"key": "k", "consumer": {"id": consumer}, "ttl": 60});
        s.add("keyauth_credentials", credential).await;
        let text = s.store.export(None).await.unwrap().text;
        assert!(text.starts_with("_format_version: '3.0'\n_transform: false\n"), "{text}");
        assert!(!text.contains("parameters"), "{text}");
        let all = async |s: &Subject| {
            let records = everything(&s.store).await.1;
            // The default workspace has another id in each store.
            let told = records.into_iter().filter(|(entity, _)| entity != "parameters" && entity != "workspaces");
            let told = told.map(|(entity, mut record)| {
                ["updated_at", "ws_id"].iter().for_each(|field| drop(record.remove(*field)));
                (entity, Value::Object(record).to_string())
            });
            told.collect::<Vec<_>>()
        };
        let before = all(&s).await;
        let mut document = Document::parse(&text, Notation::Yaml).unwrap();
        let entities = document.read(s.store.catalog()).unwrap_or_else(|r| panic!("{}", r.describe()));
        for other in others {
            let entities = Document::parse(&text, Notation::Yaml).unwrap().read(s.store.catalog()).ok().unwrap();
            let records = other.store.prepare(entities).await.unwrap();
            other.store.replace(Arc::new(records), document.hash()).await.unwrap();
            let after = all(&other).await;
            let ttl = |all: &[(String, String)]| {
                all.iter().filter(|(e, _)| e != "keyauth_credentials").cloned().collect::<Vec<_>>()
            };
            assert_eq!(ttl(&after), ttl(&before), "{} to {}", s.name, other.name);
            let ends = other.find("keyauth_credentials", "k").await.unwrap()["ttl"].as_i64().unwrap();
            assert!((50..=60).contains(&ends), "{ends}");
        }
        assert_eq!(entities.len(), 4);
    }
}

#[tokio::test]
async fn ttls_of_files_end() {
    for s in subjects().await {
        let credential =
            |ttl: Value| json!({"consumers": [{"username": "u", "keyauth_credentials": [{"key": "k", "ttl": ttl}]}]});
        replace(&s, credential(json!(60))).await;
        assert!(s.find("keyauth_credentials", "k").await.is_some(), "{}", s.name);
        s.clock.advance(61_000);
        assert_eq!(s.find("keyauth_credentials", "k").await, None);
        replace(&s, credential(json!(60))).await;
        assert!(s.find("keyauth_credentials", "k").await.is_some());
        let error = s.store.prepare(entities(&s, credential(json!("x"))).0).await.err().unwrap();
        assert_eq!(error.message, "invalid option (ttl: must be an integer between 0 and 100000000)");
    }
}
