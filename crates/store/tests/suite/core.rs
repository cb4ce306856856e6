//! The entities that every node has.

use super::setup::{everything, name, record};
use model::Catalog;
use serde_json::json;
use std::sync::Arc;
use store::Store;

#[tokio::test]
async fn core_entities_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = Arc::new(Catalog::core());
    for store in [
        Store::memory(catalog.clone()).unwrap(),
        Store::open_sqlite(catalog.clone(), &directory.path().join("bascule.db")).await.unwrap(),
    ] {
        let service =
            store.insert("services", record(json!({"name": "s", "url": "http://h.test:81/p"}))).await.unwrap().record;
        assert_eq!(service["host"], json!("h.test"));
        assert_eq!(service["port"], json!(81));
        assert_eq!(service["path"], json!("/p"));
        assert_eq!(service["retries"], json!(5));
        assert_eq!(store.get("services", &name("s")).await.unwrap(), Some(service.clone()));
        let route = store
            .insert("routes", record(json!({"paths": ["/a"], "service": {"name": "s"}, "headers": {"x": ["1"]}})))
            .await
            .unwrap()
            .record;
        assert_eq!(route["service"], json!({"id": service["id"]}));
        store
            .insert("upstreams", record(json!({"name": "u", "healthchecks": {"active": {"timeout": 2}}})))
            .await
            .unwrap();
        let target = store
            .insert("targets", record(json!({"upstream": {"name": "u"}, "target": "127.0.0.1"})))
            .await
            .unwrap()
            .record;
        assert_eq!(target["target"], json!("127.0.0.1:8000"));
        let taken = store
            .insert("targets", record(json!({"upstream": {"name": "u"}, "target": "127.0.0.1:8000"})))
            .await
            .unwrap_err();
        assert_eq!(taken.body()["code"], 5);
        let refused = store.get("services", &name("a b")).await.unwrap_err();
        assert_eq!(refused.body()["name"], "invalid unique name");
        let (revision, everything) = everything(&store).await;
        assert_eq!(revision.0, 4);
        assert_eq!(everything.len(), 5, "the default workspace is there, too");
        for (entity, mut record) in everything {
            let id = store.key(&entity, record["id"].as_str().unwrap());
            record.remove("ws_id");
            assert_eq!(store.get(&entity, &id).await.unwrap(), Some(record));
        }
    }
}
