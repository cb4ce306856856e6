//! What Kong's clients count on in odd corners.

use super::Api;
use admin::Options;
use serde_json::{Value, json};

#[tokio::test]
async fn an_empty_form_of_any_kind_is_one_without_fields() {
    let api = Api::new(Options::default());
    for kind in ["application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=b"] {
        assert_eq!(api.typed("POST", "/services", kind, "").await.body["fields"]["host"], "required field missing");
    }
    let closed = api.typed("POST", "/services", "multipart/form-data; boundary=b", "--b--\r\n").await;
    assert_eq!(closed.body["fields"]["host"], "required field missing");
    let broken = api.typed("POST", "/services", "multipart/form-data; boundary=b", "host=h.test").await;
    assert_eq!(broken.status, 400);
    assert_eq!(broken.body["fields"], Value::Null);
}

#[tokio::test]
async fn a_consumer_is_found_by_one_custom_id() {
    let api = Api::new(Options::default());
    api.json("POST", "/consumers", json!({ "custom_id": "true" })).await;
    assert_eq!(api.get("/consumers?custom_id=true").await.body["data"].as_array().unwrap().len(), 1);
    for query in ["custom_id", "custom_id=", "custom_id=true&custom_id=x"] {
        let refused = api.get(&format!("/consumers?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert_eq!(refused.body["message"], "custom_id must be an unempty string");
    }
}

#[tokio::test]
async fn collections_under_a_record_are_not_filtered_by_tags() {
    let api = Api::new(Options::default());
    api.json("POST", "/services", json!({ "name": "s", "host": "h.test" })).await;
    for (name, tag) in [("a", "x"), ("b", "y")] {
        let route = json!({ "name": name, "paths": ["/"], "tags": [tag] });
        assert_eq!(api.json("POST", "/services/s/routes", route).await.status, 201);
    }
    assert_eq!(api.get("/routes?tags=x").await.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("/services/s/routes?tags=x").await.body["data"].as_array().unwrap().len(), 2);
    assert_eq!(api.get("/services/s/routes?tags=x,y/z").await.status, 400, "it is checked");
}

#[tokio::test]
async fn the_next_page_of_all_targets_is_one_of_all_targets() {
    let api = Api::new(Options::default());
    api.json("POST", "/upstreams", json!({ "name": "u" })).await;
    for target in ["a.test:80", "b.test:80"] {
        api.json("POST", "/upstreams/u/targets", json!({ "target": target })).await;
    }
    let page = api.get("/upstreams/u/targets/all?size=1").await;
    let next = page.body["next"].as_str().unwrap();
    assert!(next.starts_with("/upstreams/u/targets/all?offset="), "{next}");
    assert_eq!(api.get(next).await.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn tags_are_text() {
    let api = Api::new(Options::default());
    for content in ["tags[]=%FF", "tags[]=caf%E9"] {
        let form = format!("host=h.test&{content}");
        assert_eq!(api.form("POST", "/services", &form).await.status, 400, "{content}");
    }
    let surrogate = r#"{"host": "h.test", "tags": ["\ud800"]}"#;
    assert_eq!(api.typed("POST", "/services", "application/json", surrogate).await.status, 400);
    assert_eq!(api.get("/services?tags=%FF").await.status, 400);
    assert_eq!(api.get("/tags/%FF").await.status, 400);
    assert_eq!(api.form("POST", "/services", "host=h.test&tags[]=caf%C3%A9").await.body["tags"], json!(["café"]));
}

#[tokio::test]
async fn a_method_that_is_not_there_is_refused_with_those_that_are() {
    let api = Api::new(Options::default());
    let refused = api.call("DELETE", "/services").await;
    assert_eq!(refused.status, 405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD, OPTIONS, POST"));
}

#[tokio::test]
async fn a_form_that_another_site_sends_changes_nothing() {
    let api = Api::new(Options::default());
    let request = hyper::Request::builder().method("POST").uri("/services").header("host", "127.0.0.1:8001");
    let request = request
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site")
        .header("origin", "http://evil.test");
    let refused = api.send(request.body("name=s&host=h.test".to_owned().into()).unwrap()).await;
    assert_eq!(refused.status, 403);
    assert_eq!(api.get("/services").await.body["data"], json!([]));
}
