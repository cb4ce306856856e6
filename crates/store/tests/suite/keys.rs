//! Creating, reading, changing and deleting; primary and unique keys.

use super::setup::{id, name, record, subjects, uuid};
use model::Error;
use serde_json::{Value, json};
use store::Transaction;

#[tokio::test]
async fn records_live_and_die() {
    for s in subjects().await {
        let service = s.add("services", json!({"name": "a", "host": "h.test", "tags": ["x"]})).await;
        let found = s.find("services", "a").await.unwrap();
        assert_eq!(found["id"], json!(service));
        assert_eq!(found["port"], json!(80));
        assert_eq!(found["enabled"], json!(true));
        assert_eq!(found["client_certificate"], Value::Null);
        assert_eq!(s.find("services", &service.to_uppercase()).await, Some(found.clone()));
        let changed =
            s.store.update("services", &name("a"), record(json!({"port": 8080, "tags": null}))).await.unwrap().unwrap();
        assert_eq!(changed.record["port"], json!(8080));
        assert_eq!(changed.record["tags"], Value::Null);
        assert_eq!(changed.record["host"], json!("h.test"));
        assert_eq!(s.find("services", &service).await, Some(changed.record));
        assert!(s.store.update("services", &name("b"), record(json!({"port": 1}))).await.unwrap().is_none());
        let moved = s
            .store
            .update("services", &id(&service), record(json!({"id": uuid(7), "name": "b"})))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(moved.record["id"], json!(service), "a primary key stays");
        assert!(s.find("services", "a").await.is_none());
        assert!(s.store.delete("services", &name("b")).await.unwrap().is_some());
        assert!(s.store.delete("services", &name("b")).await.unwrap().is_none());
        assert_eq!(s.count("services").await, 0);
        assert_eq!(s.refuse("services", json!({"name": "a"})).await["code"], 2);
        assert!(s.store.get("nothing", &id("x")).await.is_err());
    }
}

#[tokio::test]
async fn upserts_create_then_replace() {
    for s in subjects().await {
        let put = async |key, input| s.store.upsert("services", &key, record(input)).await.unwrap().record;
        let first = put(name("up"), json!({"host": "one.test", "port": 81, "name": "other"})).await;
        assert_eq!(first["name"], json!("up"));
        assert_eq!(first["port"], json!(81));
        let second = put(name("up"), json!({"host": "two.test", "id": uuid(1)})).await;
        assert_eq!(second["id"], first["id"]);
        assert_eq!(second["port"], json!(80));
        assert_eq!(second["host"], json!("two.test"));
        let fresh = put(id(&uuid(2)), json!({"host": "h.test", "id": uuid(3)})).await;
        assert_eq!(fresh["id"], json!(uuid(2)));
        let given = put(name("given"), json!({"host": "h.test", "id": uuid(4)})).await;
        assert_eq!(given["id"], json!(uuid(4)));
        let renamed = put(id(&uuid(2)), json!({"host": "h.test", "name": "n"})).await;
        assert_eq!(renamed["name"], json!("n"));
        assert_eq!(s.count("services").await, 3);
        let taken = s
            .store
            .upsert("services", &id(&uuid(2)), record(json!({"host": "h.test", "name": "up"})))
            .await
            .unwrap_err();
        assert_eq!(taken.message, "UNIQUE violation detected on '{name=\"up\"}'");
        let clash = s
            .store
            .upsert("services", &name("new"), record(json!({"host": "h.test", "id": uuid(2)})))
            .await
            .unwrap_err();
        assert_eq!(clash.body()["code"], 3);
        let bad = s.store.upsert("services", &id("nonsense"), record(json!({"host": "h.test"}))).await.unwrap_err();
        assert_eq!(
            bad.body(),
            json!({"code": 1, "name": "invalid primary key", "fields": {"id": "expected a valid UUID"},
            "message": "invalid primary key: '{id=\"expected a valid UUID\"}'"})
        );
        let plain = s.store.upsert("parameters", &id("any text"), record(json!({"value": "v"}))).await.unwrap();
        assert_eq!(plain.record["key"], json!("any text"));
    }
}

#[tokio::test]
async fn keys_are_unique() {
    for s in subjects().await {
        s.add("services", json!({"name": "a", "host": "h.test", "id": uuid(1)})).await;
        let error = s.refuse("services", json!({"host": "h.test", "id": uuid(1)})).await;
        assert_eq!(error["message"], json!(format!("primary key violation on key '{{id=\"{}\"}}'", uuid(1))));
        assert_eq!(error["code"], json!(3));
        assert_eq!(error["fields"], json!({"id": uuid(1)}));
        let error = s.refuse("services", json!({"host": "h.test", "name": "a"})).await;
        assert_eq!(
            error,
            json!({"code": 5, "name": "unique constraint violation", "fields": {"name": "a"},
            "message": "UNIQUE violation detected on '{name=\"a\"}'"})
        );
        s.add("services", json!({"host": "h.test"})).await;
        s.add("services", json!({"host": "h.test", "name": "A"})).await;
        assert_eq!(s.count("services").await, 3);
    }
}

#[tokio::test]
async fn combinations_are_unique_nulls_included() {
    for s in subjects().await {
        let service = s.add("services", json!({"name": "s", "host": "h.test"})).await;
        s.add("plugins", json!({"name": "cors"})).await;
        s.add("plugins", json!({"name": "cors", "service": {"id": service}})).await;
        let error = s.refuse("plugins", json!({"name": "cors"})).await;
        assert_eq!(
            error["message"],
            "UNIQUE violation detected on '{consumer=null,name=\"cors\",route=null,service=null}'"
        );
        assert_eq!(error["fields"], json!({"consumer": null, "name": "cors", "route": null, "service": null}));
        let error = s.refuse("plugins", json!({"name": "cors", "service": {"name": "s"}})).await;
        assert_eq!(error["fields"]["service"], json!({"id": service}));
        for upstream in ["u", "v"] {
            s.add("upstreams", json!({"name": upstream})).await;
            s.add("targets", json!({"upstream": {"name": upstream}, "target": "h.test:80"})).await;
        }
        assert_eq!(s.refuse("targets", json!({"upstream": {"name": "u"}, "target": "h.test:80"})).await["code"], 5);
    }
}

#[tokio::test]
async fn what_tables_cannot_hold_null_is_refused() {
    for s in subjects().await {
        s.add("upstreams", json!({"name": "u"})).await;
        let error = s.store.update("upstreams", &name("u"), record(json!({"slots": null}))).await.unwrap_err();
        assert_eq!(
            error.body(),
            json!({"code": 3, "fields": {"name": "u"}, "message": "primary key violation on key '{name=\"u\"}'",
            "name": "primary key violation"})
        );
        assert_eq!(
            s.refuse("upstreams", json!({"id": uuid(1), "slots": null})).await["fields"],
            json!({"id": uuid(1)})
        );
    }
}

#[tokio::test]
async fn lookups_by_other_fields() {
    for s in subjects().await {
        let a = s.add("consumers", json!({"username": "a", "custom_id": "c1"})).await;
        let b = s.add("consumers", json!({"username": "b"})).await;
        assert_eq!(s.store.get_by("consumers", "custom_id", "c1").await.unwrap().unwrap()["id"], json!(a));
        assert!(s.store.get_by("consumers", "custom_id", "c2").await.unwrap().is_none());
        assert!(s.store.get_by("consumers", "tags", "c2").await.is_err());
        let many = s.store.get_many("consumers", &[b.clone(), uuid(1), "x".into(), a.clone()]).await.unwrap();
        assert_eq!(many.iter().map(|r| r["id"].clone()).collect::<Vec<_>>(), [json!(b), json!(a)]);
    }
}

#[tokio::test]
async fn lookups_below_a_parent() {
    for s in subjects().await {
        let u = s.add("upstreams", json!({"name": "u"})).await;
        let v = s.add("upstreams", json!({"name": "v"})).await;
        for upstream in [&u, &v] {
            s.add("targets", json!({"upstream": {"id": upstream}, "target": "h.test:80"})).await;
        }
        let under = async |upstream: &str, key| s.store.get_under("targets", &key, "upstream", upstream).await.unwrap();
        for upstream in [&u, &v] {
            let target = under(upstream, name("h.test:80")).await.unwrap();
            assert_eq!(target["upstream"], json!({"id": upstream}));
            let by_id = id(target["id"].as_str().unwrap());
            assert_eq!(under(upstream, by_id.clone()).await, Some(target));
            assert!(under(&uuid(1), by_id).await.is_none());
        }
        assert!(under(&u, name("h.test:81")).await.is_none());
        s.add("consumers", json!({"username": "c"})).await;
        s.add("keyauth_credentials", json!({"key": "k", "consumer": {"username": "c"}})).await;
        assert!(s.store.get_under("keyauth_credentials", &name("k"), "consumer", &uuid(1)).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn records_without_names_go_by_what_is_unique_under_their_owner() {
    for s in subjects().await {
        let c = s.add("consumers", json!({"username": "c"})).await;
        let d = s.add("consumers", json!({"username": "d"})).await;
        for consumer in [&c, &d] {
            s.add("acls", json!({"consumer": {"id": consumer}, "group": "admin"})).await;
        }
        let under = async |consumer: &str, key| s.store.get_under("acls", &key, "consumer", consumer).await.unwrap();
        for consumer in [&c, &d] {
            let found = under(consumer, name("admin")).await.unwrap();
            assert_eq!(found["consumer"], json!({"id": consumer}));
            assert_eq!(under(consumer, id(found["id"].as_str().unwrap())).await, Some(found));
        }
        assert!(under(&c, name("dev")).await.is_none());
        assert!(under(&uuid(1), name("admin")).await.is_none());
    }
}

#[tokio::test]
async fn hostile_strings_are_only_strings() {
    let names = [
        "o'brien",
        "a\"b",
        "x; DROP TABLE services; --",
        "nul\0nul",
        "nul\0",
        "%_\\",
        "été 标签 🦀",
        "\u{feff}\u{202e}",
        "?1",
        "$1",
    ];
    for s in subjects().await {
        // Postgres has no text with a NUL in it, so that no record has.
        let (refused, names): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains('\0'));
        for text in refused {
            assert_eq!(s.refuse("services", json!({"name": text, "host": "h.test"})).await["code"], 2);
        }
        for &text in &names {
            s.add("services", json!({"name": text, "host": text, "tags": [text]})).await;
            let found = s.find("services", text).await.unwrap();
            assert_eq!(found["name"], json!(text), "{}", s.name);
            assert_eq!(found["host"], json!(text), "{}", s.name);
            assert_eq!(found["tags"], json!([text]), "{}", s.name);
            s.add("routes", json!({"name": text, "service": {"name": text}, "headers": {text: [text]}})).await;
            assert_eq!(s.find("routes", text).await.unwrap()["headers"], json!({text: [text]}));
            assert_eq!(
                s.store.page_tags(Some(text), &Default::default()).await.unwrap().data.len(),
                1,
                "{} {text:?}",
                s.name
            );
        }
        assert_eq!(s.count("services").await, names.len() as u64);
    }
}

#[tokio::test]
async fn many_at_once_are_as_one_after_the_other() {
    for s in subjects().await {
        let insert = async |entity: &'static str, inputs: Vec<Value>| {
            let work = move |transaction: &mut Transaction<'_>| {
                transaction.insert_all(entity, inputs.iter().cloned().map(record).collect())
            };
            s.store.transaction(work).await.map(|(_, records)| records)
        };
        let service = |n: u64| json!({"id": uuid(n), "name": format!("s{n}"), "host": "h.test"});
        let added = insert("services", (0..1200).map(service).collect()).await.unwrap();
        assert_eq!(added[1199]["name"], "s1199");
        assert_eq!(s.count("services").await, 1200);
        let twice = insert("services", vec![service(2000), service(2001), service(2000)]).await.unwrap_err();
        assert_eq!(twice.body()["fields"], json!({"id": uuid(2000)}));
        let same_name = vec![service(2000), json!({"name": "s2000", "host": "h.test"})];
        assert_eq!(insert("services", same_name).await.unwrap_err().body()["fields"], json!({"name": "s2000"}));
        let taken = insert("services", vec![service(2000), json!({"name": "s7", "host": "h.test"})]).await.unwrap_err();
        assert_eq!(taken.body()["fields"], json!({"name": "s7"}));
        assert_eq!(s.count("services").await, 1200);
        let plugin = |service: &str| json!({"name": "p", "service": {"name": service}});
        let missing = insert("plugins", vec![plugin("s1"), plugin("none")]).await.unwrap_err();
        assert_eq!(missing.body()["code"], 13);
        let combined = insert("plugins", vec![plugin("s1"), plugin("s1")]).await.unwrap_err();
        assert_eq!(combined.body()["code"], 5);
        assert_eq!(insert("plugins", vec![plugin("s1"), plugin("s2")]).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn of_several_violations_the_first_of_the_table_is_named() {
    for s in subjects().await {
        s.add("consumers", json!({"id": uuid(1), "username": "u", "custom_id": "c"})).await;
        s.add("plugins", json!({"name": "p", "instance_name": "i"})).await;
        let both = json!({"username": "u", "custom_id": "c"});
        assert_eq!(s.refuse("consumers", both).await["fields"], json!({"username": "u"}));
        let all = json!({"id": uuid(1), "username": "u", "custom_id": "c"});
        assert_eq!(s.refuse("consumers", all).await["fields"], json!({"id": uuid(1)}));
        let combination = s.refuse("plugins", json!({"name": "p", "instance_name": "i"})).await;
        assert_eq!(combination["fields"]["name"], "p");
        let named = s.refuse("plugins", json!({"name": "q", "instance_name": "i"})).await;
        assert_eq!(named["fields"], json!({"instance_name": "i"}));
    }
}

#[tokio::test]
async fn batches_happen_whole_or_not_at_all() {
    for s in subjects().await {
        let service = || record(json!({"name": "s", "host": "h.test", "tags": ["t"]}));
        let route = || record(json!({"name": "r", "service": {"name": "s"}}));
        let failed: Result<_, Error> = s
            .store
            .transaction(move |transaction| {
                transaction.insert("services", service())?;
                transaction.insert("routes", route())?;
                transaction.insert("routes", record(json!({"name": "r"})))
            })
            .await;
        assert_eq!(failed.unwrap_err().body()["code"], 5);
        assert_eq!(s.count("services").await, 0);
        assert_eq!(s.count("routes").await, 0);
        assert!(s.store.page_tags(None, &Default::default()).await.unwrap().data.is_empty());
        let done: Result<_, Error> = s
            .store
            .transaction(move |transaction| {
                let service = transaction.insert("services", service())?;
                let route = transaction.insert("routes", route())?;
                let deleted = transaction.delete("routes", &name("none"))?;
                let updated = transaction.update("services", &name("s"), record(json!({"port": 1})))?;
                // What has been written is read.
                let read = transaction.get("services", &name("s"))?;
                Ok((service, route, deleted, updated, read))
            })
            .await;
        let (revision, (service, route, deleted, updated, read)) = done.unwrap();
        assert_eq!(revision.0, 1);
        assert_eq!(route["service"]["id"], service["id"]);
        assert!(!deleted);
        assert_eq!(updated.as_ref().unwrap()["port"], json!(1));
        assert_eq!(read, updated);
    }
}
