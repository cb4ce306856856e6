//! Foreign keys: resolved, required to exist, restricting and cascading.

use super::setup::{id, name, record, subjects, uuid};
use serde_json::{Value, json};

#[tokio::test]
async fn references_by_other_unique_fields_become_ids() {
    for s in subjects().await {
        let service = s.add("services", json!({"name": "s", "host": "h.test"})).await;
        for reference in [json!({"name": "s"}), json!({"id": service}), json!({"id": service.to_uppercase()})] {
            let route = s.add("routes", json!({"service": reference})).await;
            assert_eq!(
                s.find("routes", &route).await.unwrap()["service"],
                json!({"id": service}),
                "{} {reference}",
                s.name
            );
        }
        let error = s.refuse("routes", json!({"service": {"name": "nope"}})).await;
        let text = "the foreign key cannot be resolved with '{name=\"nope\"}' for an existing 'services' entity";
        assert_eq!(
            error,
            json!({"code": 13, "name": "foreign keys unresolved", "fields": {"service": {"name": text}},
            "message": format!("foreign key unresolved (service.name: {text})")})
        );
        let unknown = uuid(1);
        let error = s.refuse("routes", json!({"service": {"id": unknown}})).await;
        let text = format!("the foreign key '{{id=\"{unknown}\"}}' does not reference an existing 'services' entity.");
        assert_eq!(
            error,
            json!({"code": 4, "name": "foreign key violation", "fields": {"service": {"id": unknown}}, "message": text})
        );
        assert_eq!(
            s.refuse("routes", json!({"service": {}})).await["message"],
            "schema violation (service.id: missing primary key)"
        );
        let moved = s
            .store
            .update("routes", &id(&s.add("routes", json!({})).await), record(json!({"service": {"name": "s"}})))
            .await;
        assert_eq!(moved.unwrap().unwrap().record["service"], json!({"id": service}));
    }
}

#[tokio::test]
async fn deletions_are_refused_while_referred_to() {
    for s in subjects().await {
        s.add("services", json!({"name": "s", "host": "h.test"})).await;
        s.add("routes", json!({"name": "r", "service": {"name": "s"}})).await;
        let error = s.store.delete("services", &name("s")).await.unwrap_err();
        assert_eq!(
            error.body(),
            json!({"code": 4, "name": "foreign key violation", "fields": {"@referenced_by": "routes"},
            "message": "an existing 'routes' entity references this 'services' entity"})
        );
        s.store.delete("routes", &name("r")).await.unwrap().unwrap();
        s.store.delete("services", &name("s")).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn deletions_cascade() {
    for s in subjects().await {
        let service = s.add("services", json!({"name": "s", "host": "h.test"})).await;
        s.add("consumers", json!({"username": "u", "favourite": {"name": "s"}})).await;
        s.add("plugins", json!({"name": "a", "service": {"name": "s"}})).await;
        s.add("plugins", json!({"name": "a", "consumer": {"username": "u"}, "service": {"name": "s"}})).await;
        s.add("plugins", json!({"name": "a", "consumer": {"username": "u"}})).await;
        s.add("keyauth_credentials", json!({"key": "k", "consumer": {"username": "u"}, "tags": ["t"]})).await;
        s.store.delete("services", &id(&service)).await.unwrap().unwrap();
        assert_eq!(s.count("plugins").await, 1);
        assert_eq!(s.find("consumers", "u").await.unwrap()["favourite"], Value::Null);
        s.store.delete("consumers", &name("u")).await.unwrap().unwrap();
        assert_eq!(s.count("plugins").await, 0);
        assert_eq!(s.count("keyauth_credentials").await, 0);
        assert!(s.store.page_tags(Some("t"), &Default::default()).await.unwrap().data.is_empty());
    }
}

#[tokio::test]
async fn truncating_takes_what_refers_along() {
    for s in subjects().await {
        s.add("services", json!({"name": "s", "host": "h.test"})).await;
        s.add("routes", json!({"name": "r", "service": {"name": "s"}})).await;
        s.add("routes", json!({"name": "q"})).await;
        s.add("plugins", json!({"name": "a", "route": {"name": "r"}})).await;
        s.store.truncate("services").await.unwrap();
        assert_eq!(s.count("services").await, 0);
        assert_eq!(s.count("routes").await, 1);
        assert_eq!(s.count("plugins").await, 0);
    }
}

#[tokio::test]
async fn plugins_share_a_protocol_with_their_route() {
    for s in subjects().await {
        s.add("services", json!({"name": "s", "host": "h.test"})).await;
        s.add("plugins", json!({"name": "early", "service": {"name": "s"}, "protocols": ["tcp"]})).await;
        s.add("routes", json!({"name": "r", "protocols": ["http"], "service": {"name": "s"}})).await;
        let error = s.refuse("plugins", json!({"name": "a", "route": {"name": "r"}, "protocols": ["tcp"]})).await;
        assert_eq!(error["fields"], json!({"protocols": "must match the associated route's protocols"}));
        let error = s.refuse("plugins", json!({"name": "a", "service": {"name": "s"}, "protocols": ["tcp"]})).await;
        assert_eq!(
            error["fields"],
            json!({"protocols": "must match the protocols of at least one route pointing to this Plugin's service"})
        );
        let plugin = s.add("plugins", json!({"name": "a", "route": {"name": "r"}, "protocols": ["tcp", "http"]})).await;
        let error = s.store.update("plugins", &id(&plugin), record(json!({"protocols": ["grpc"]}))).await.unwrap_err();
        assert_eq!(error.body()["code"], 2);
        s.store.update("routes", &name("r"), record(json!({"protocols": ["https"]}))).await.unwrap().unwrap();
        s.store.update("plugins", &id(&plugin), record(json!({"name": "b"}))).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn certificates_bring_their_snis() {
    for s in subjects().await {
        let put = async |snis: Value| {
            s.store.upsert("certificates", &id(&uuid(1)), record(json!({"cert": "c", "snis": snis}))).await
        };
        let names = async || {
            let mut names: Vec<_> = s
                .store
                .all_for("snis", "certificate", &uuid(1))
                .await
                .unwrap()
                .iter()
                .map(|sni| sni["name"].clone())
                .collect();
            names.sort_by_key(Value::to_string);
            names
        };
        assert_eq!(put(json!(["b.test", "a.test"])).await.unwrap().record["snis"], json!(["a.test", "b.test"]));
        assert_eq!(names().await, ["a.test", "b.test"]);
        assert_eq!(put(json!(["b.test", "c.test"])).await.unwrap().record["snis"], json!(["b.test", "c.test"]));
        assert_eq!(names().await, ["b.test", "c.test"]);
        assert_eq!(s.find("certificates", &uuid(1)).await.unwrap()["snis"], json!(["b.test", "c.test"]));
        assert_eq!(
            s.store.page("certificates", &Default::default()).await.unwrap().data[0]["snis"],
            json!(["b.test", "c.test"])
        );
        assert_eq!(s.find("certificates", "c.test").await.unwrap()["id"], json!(uuid(1)), "found by SNI");
        let error = s.refuse("certificates", json!({"cert": "d", "snis": ["c.test"]})).await;
        assert_eq!(
            error["message"],
            json!(format!(
                "schema violation (snis: c.test already associated with existing certificate '{}')",
                uuid(1)
            ))
        );
        let error = s.refuse("certificates", json!({"cert": "d", "snis": ["d.test", "d.test"]})).await;
        assert_eq!(error["message"], "schema violation (snis: d.test is duplicated)");
        s.store.delete("certificates", &id(&uuid(1))).await.unwrap().unwrap();
        assert_eq!(s.count("snis").await, 0);
    }
}
