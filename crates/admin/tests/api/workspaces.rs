//! Workspaces in paths, and workspaces themselves.

use super::Api;
use admin::Options;
use serde_json::{Value, json};

fn names(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|record| record["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn workspaces_live() {
    let api = Api::new(Options::default());
    assert_eq!(names(&api.get("/workspaces").await.body), ["default"]);
    let made = api.json("POST", "/workspaces", json!({ "name": "red", "comment": "c" })).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.body["config"], json!({}));
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(api.get(&format!("/workspaces/{id}")).await.body, made.body);
    assert_eq!(api.get("/red/workspaces/red").await.body, made.body);
    assert_eq!(api.json("PATCH", "/workspaces/red", json!({ "comment": "d" })).await.body["comment"], "d");
    let put = api.json("PUT", &format!("/workspaces/{id}"), json!({ "name": "red" })).await;
    assert_eq!(put.status, 200);
    assert_eq!(put.body["comment"], Value::Null);
    assert_eq!(api.json("PUT", "/workspaces/blue", json!({})).await.status, 404);
    assert_eq!(api.json("PATCH", "/workspaces/blue", json!({})).await.status, 404);
    for method in ["PATCH", "PUT"] {
        let renamed = api.json(method, "/workspaces/red", json!({ "name": "blue" })).await;
        assert_eq!(renamed.status, 400);
        assert_eq!(renamed.body, json!({ "message": "Cannot rename a workspace" }));
    }
    for name in ["services", "workspaces", "key_sets", "key-sets", "status", "filter-chains", ""] {
        assert_eq!(api.json("POST", "/workspaces", json!({ "name": name })).await.body["code"], 2, "{name}");
    }
    assert_eq!(api.json("POST", "/workspaces", json!({ "name": "red" })).await.status, 409);
    assert_eq!(api.call("DELETE", "/workspaces/red").await.status, 204);
    assert_eq!(api.call("DELETE", "/workspaces/red").await.status, 204);
    assert_eq!(api.get("/workspaces/red").await.status, 404);
    assert_eq!(api.call("DELETE", "/workspaces/default").await.status, 400);
    assert_eq!(api.call("DELETE", "/workspaces/default?cascade=true").await.status, 400);
}

#[tokio::test]
async fn workspaces_tell_what_they_have() {
    let api = Api::new(Options::default());
    api.json("POST", "/workspaces", json!({ "name": "red" })).await;
    api.json("POST", "/red/services", json!({ "name": "s", "host": "h.test" })).await;
    assert_eq!(api.get("/workspaces/red/meta").await.body["counts"]["services"], 1);
    let counted = api.get("/workspaces?counter=true").await.body;
    let of = |name: &str| counted["data"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("red")["counters"]["services"], 1);
    assert_eq!(of("default")["counters"]["services"], 0);
    assert_eq!(api.get("/workspaces").await.body["data"][0].get("counters"), None);
}

#[tokio::test]
async fn paths_are_about_a_workspace() {
    let api = Api::new(Options::default());
    let red = api.json("POST", "/workspaces", json!({ "name": "röt" })).await;
    let id = red.body["id"].as_str().unwrap();
    let mine = api.json("POST", "/services", json!({ "name": "s", "host": "h.test" })).await;
    let theirs = api.json("POST", "/r%C3%B6t/services", json!({ "name": "s", "host": "g.test" })).await;
    assert_eq!(theirs.status, 201);
    assert_eq!(theirs.body.get("ws_id"), None);
    for path in ["/services/s", "/default/services/s", "/default/services/s/"] {
        assert_eq!(api.get(path).await.body, mine.body, "{path}");
    }
    for path in ["/r%C3%B6t/services/s", &format!("/{id}/services/s")] {
        assert_eq!(api.get(path).await.body, theirs.body, "{path}");
    }
    let of_other = format!("/services/{}", theirs.body["id"].as_str().unwrap());
    assert_eq!(api.get(&of_other).await.status, 404);
    assert_eq!(api.json("PATCH", &of_other, json!({ "port": 1 })).await.status, 404);
    assert_eq!(api.call("DELETE", &of_other).await.status, 204);
    assert_eq!(api.get("/r%C3%B6t/services/s").await.status, 200, "another workspace's is not there to be deleted");
    let route = api.json("POST", "/r%C3%B6t/services/s/routes", json!({ "paths": ["/"] })).await;
    assert_eq!(route.body["service"]["id"], theirs.body["id"]);
    assert_eq!(api.get("/services/s/routes").await.body["data"], json!([]));
    assert_eq!(api.get("/nope/services").await.body, json!({ "message": "Not found" }));
    assert_eq!(api.get("/default/nope").await.status, 404);
    assert_eq!(api.get("/default/default/services").await.status, 404);
}

#[tokio::test]
async fn links_stay_in_the_workspace() {
    let api = Api::new(Options::default());
    api.json("POST", "/workspaces", json!({ "name": "red" })).await;
    for name in ["a", "b", "c"] {
        let made = json!({ "name": name, "host": "h.test", "tags": ["t"] });
        assert_eq!(api.json("POST", "/red/services", made).await.status, 201);
    }
    let mut path = "/red/services?size=1&tags=t".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = api.get(&path).await.body;
        seen.extend(names(&page).into_iter().map(str::to_owned));
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, ["a", "b", "c"]);
    let tags = api.get("/red/tags?size=2").await.body;
    assert!(tags["next"].as_str().unwrap().starts_with("/red/tags?offset="));
    assert_eq!(api.get("/tags").await.body["data"], json!([]));
}

#[tokio::test]
async fn every_path_takes_a_workspace() {
    let api = Api::new(Options::default());
    for path in ["/", "/endpoints", "/status", "/schemas/services", "/plugins/enabled", "/ca_certificates"] {
        let plain = api.get(path).await;
        assert_eq!(plain.status, 200, "{path}");
        assert_eq!(api.get(&format!("/default{path}")).await.status, 200, "{path}");
    }
    assert_eq!(api.get("/default").await.body["tagline"], "Welcome to kong");
    assert_eq!(api.get("/default/kong").await.body["tagline"], "Welcome to kong");
    assert_eq!(api.get("/kong").await.status, 404);
    assert_eq!(api.get("/default/proxy-cache").await.body["path"], json!(["proxy-cache"]), "plugins' paths, too");
    assert_eq!(api.call("OPTIONS", "/default/services").await.header("allow"), Some("GET, HEAD, OPTIONS, POST"));
}

#[tokio::test]
async fn workspaces_are_deleted_empty_or_with_all_that_is_theirs() {
    let api = Api::new(Options::default());
    api.json("POST", "/workspaces", json!({ "name": "red" })).await;
    api.json("POST", "/services", json!({ "name": "s", "host": "h.test" })).await;
    api.json("POST", "/red/services", json!({ "name": "s", "host": "h.test" })).await;
    api.json("POST", "/red/services/s/routes", json!({ "paths": ["/"] })).await;
    let meta = api.get("/workspaces/red/meta").await.body;
    assert_eq!(meta["counts"]["services"], 1);
    assert_eq!(meta["counts"]["routes"], 1);
    assert_eq!(meta["counts"]["consumers"], 0);
    assert_eq!(meta["counts"].get("ca_certificates"), None);
    let refused = api.call("DELETE", "/workspaces/red").await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.body, json!({ "message": "Workspace is not empty" }));
    assert_eq!(api.call("DELETE", "/workspaces/red?cascade=true").await.status, 204);
    assert_eq!(api.get("/red/services").await.status, 404);
    assert_eq!(api.get("/services/s").await.status, 200);
    let default = api.call("DELETE", "/workspaces/default?cascade=true").await;
    assert_eq!(default.status, 400);
    assert_eq!(api.get("/services/s").await.status, 200, "nothing was deleted before the refusal");
}
