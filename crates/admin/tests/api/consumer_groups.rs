//! Consumer groups: themselves, and who is in them, from either side.

use super::Api;
use admin::Options;
use serde_json::{Value, json};

/// The group `gold`, and the consumers `ada` and `bob`.
async fn api() -> Api {
    let api = Api::new(Options::default());
    api.json("POST", "/consumer_groups", json!({ "name": "gold", "tags": ["t"] })).await.expect(201);
    for name in ["ada", "bob"] {
        api.json("POST", "/consumers", json!({ "username": name })).await.expect(201);
    }
    api
}

fn names<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    let mut names: Vec<&str> = list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn groups_live() {
    let api = api().await;
    let shown = api.get("/consumer_groups/gold").await.expect(200).body;
    assert_eq!(shown["consumer_group"]["name"], "gold");
    assert_eq!(shown["consumers"], json!([]));
    assert_eq!(shown["plugins"], json!([]));
    let brief = api.get("/consumer_groups/gold?list_consumers=false").await.expect(200).body;
    assert_eq!(brief.get("consumers"), None);
    assert_eq!(names(&api.get("/consumer_groups?tags=t").await.body["data"], "name"), ["gold"]);
    let changed = api.json("PATCH", "/consumer_groups/gold", json!({ "name": "silver" })).await.expect(200);
    assert_eq!(changed.body["name"], "silver");
    api.get("/consumer_groups/gold").await.expect(404);
    api.json("POST", "/consumer_groups", json!({ "name": "silver" })).await.expect(409);
    api.call("DELETE", "/consumer_groups/silver").await.expect(204);
    api.get("/consumer_groups/silver").await.expect(404);
}

#[tokio::test]
async fn consumers_enter_and_leave_from_either_side() {
    let api = api().await;
    let entered = api.json("POST", "/consumer_groups/gold/consumers", json!({ "consumer": ["ada", "bob"] })).await;
    assert_eq!(entered.status, 201);
    assert_eq!(entered.body["consumer_group"]["name"], "gold");
    assert_eq!(names(&entered.body["consumers"], "username"), ["ada", "bob"]);
    assert_eq!(names(&api.get("/consumer_groups/gold").await.body["consumers"], "username"), ["ada", "bob"]);
    let listed = api.get("/consumer_groups/gold/consumers").await.expect(200).body;
    assert_eq!(names(&listed["data"], "username"), ["ada", "bob"]);
    let page = api.get("/consumer_groups/gold/consumers?size=1").await.expect(200).body;
    let next = api.get(page["next"].as_str().unwrap()).await.expect(200).body;
    assert_ne!(page["data"][0], next["data"][0]);
    assert_eq!(names(&api.get("/consumers/ada/consumer_groups").await.body["data"], "name"), ["gold"]);
    let one = api.get("/consumers/ada/consumer_groups/gold").await.expect(200).body;
    assert_eq!(api.get("/consumer_groups/gold/consumers/ada").await.expect(200).body, one);
    api.call("DELETE", "/consumer_groups/gold/consumers/ada").await.expect(204);
    api.call("DELETE", "/consumer_groups/gold/consumers/ada").await.expect(404);
    api.get("/consumers/ada/consumer_groups/gold").await.expect(404);
    let entered = api.json("POST", "/consumers/ada/consumer_groups", json!({ "group": "gold" })).await.expect(201);
    assert_eq!(entered.body["consumer"]["username"], "ada");
    assert_eq!(names(&entered.body["consumer_groups"], "name"), ["gold"]);
    api.json("POST", "/consumers/ada/consumer_groups", json!({ "group": "gold" })).await.expect(409);
    api.call("DELETE", "/consumers/ada/consumer_groups").await.expect(204);
    assert_eq!(api.get("/consumers/ada/consumer_groups").await.body["data"], json!([]));
    api.call("DELETE", "/consumer_groups/gold/consumers").await.expect(204);
    assert_eq!(api.get("/consumer_groups/gold/consumers").await.body["data"], json!([]));
}

#[tokio::test]
async fn groups_have_limits_of_their_own() {
    let api = api().await;
    let path = "/consumer_groups/gold/overrides/plugins/rate-limiting-advanced";
    let config = json!({ "limit": [10], "window_size": [60] });
    let written = api.json("PUT", path, json!({ "config": config })).await.expect(201).body;
    let config = json!({ "limit": [10], "window_size": [60], "window_type": "sliding", "retry_after_jitter_max": 0 });
    assert_eq!(written, json!({ "config": config, "group": "gold", "plugin": "rate-limiting-advanced" }));
    let shown = api.get("/consumer_groups/gold").await.expect(200).body;
    assert_eq!(shown["plugins"][0]["name"], "rate-limiting-advanced");
    assert_eq!(shown["plugins"][0]["config"], config);
    assert_eq!(shown["plugins"][0]["consumer_group"]["id"], shown["consumer_group"]["id"]);
    assert_eq!(shown["consumer_group"].get("overrides"), None);
    let form = "config.limit=2&config.window_size=30&config.window_type=fixed";
    let written = api.form("PUT", path, form).await.expect(201).body;
    assert_eq!(written["config"]["limit"], json!([2]));
    assert_eq!(written["config"]["window_type"], "fixed");
    let changed = api.json("PATCH", "/consumer_groups/gold", json!({ "tags": [] })).await.expect(200).body;
    assert_eq!(changed["overrides"]["rate-limiting-advanced"], written["config"]);
    api.call("DELETE", path).await.expect(204);
    api.call("DELETE", path).await.expect(404);
    assert_eq!(api.get("/consumer_groups/gold").await.body["plugins"], json!([]));
    assert_eq!(api.get("/consumer_groups").await.body["data"][0].get("overrides"), None);
}

#[tokio::test]
async fn limits_that_make_no_sense_are_refused() {
    let api = api().await;
    let path = |group: &str| format!("/consumer_groups/{group}/overrides/plugins/rate-limiting-advanced");
    let sensible = json!({ "config": { "limit": [1], "window_size": [1] } });
    api.json("PUT", &path("tin"), sensible).await.expect(404);
    api.call("DELETE", &path("tin")).await.expect(404);
    let refused = api.json("PUT", &path("gold"), json!({})).await.expect(400);
    assert_eq!(refused.body, json!({ "message": "must provide config" }));
    for config in [
        json!({ "limit": [1] }),
        json!({ "limit": [1], "window_size": [1, 2] }),
        json!({ "limit": [0], "window_size": [1] }),
        json!({ "limit": [1], "window_size": [0.5] }),
        json!({ "limit": [1], "window_size": [1], "window_type": "round" }),
    ] {
        let refused = api.json("PUT", &path("gold"), json!({ "config": config })).await;
        assert_eq!(refused.status, 400, "{}", refused.body);
    }
}

#[tokio::test]
async fn who_is_not_there_cannot_enter() {
    let api = api().await;
    for input in [json!({}), json!({ "consumer": [] }), json!({ "consumer": 1 })] {
        let refused = api.json("POST", "/consumer_groups/gold/consumers", input).await.expect(400);
        assert_eq!(refused.body, json!({ "message": "must provide consumer" }));
    }
    let refused = api.json("POST", "/consumer_groups/gold/consumers", json!({ "consumer": ["ada", "eve"] })).await;
    assert_eq!(refused.status, 404);
    assert_eq!(refused.body, json!({ "message": "Consumer 'eve' not found" }));
    assert_eq!(api.get("/consumers/ada/consumer_groups").await.body["data"], json!([]), "all or nobody");
    let refused = api.json("POST", "/consumers/ada/consumer_groups", json!({ "group": "tin" })).await.expect(404);
    assert_eq!(refused.body, json!({ "message": "Group 'tin' not found" }));
    api.get("/consumer_groups/tin/consumers").await.expect(404);
    api.json("POST", "/consumer_groups/tin/consumers", json!({ "consumer": "ada" })).await.expect(404);
    api.call("DELETE", "/consumer_groups/tin/consumers").await.expect(404);
}

#[tokio::test]
async fn memberships_go_with_either_side() {
    let api = api().await;
    api.json("POST", "/consumer_groups", json!({ "name": "silver" })).await.expect(201);
    for group in ["gold", "silver"] {
        let path = format!("/consumer_groups/{group}/consumers");
        api.json("POST", &path, json!({ "consumer": ["ada", "bob"] })).await.expect(201);
    }
    api.call("DELETE", "/consumers/ada").await.expect(204);
    assert_eq!(names(&api.get("/consumer_groups/gold/consumers").await.body["data"], "username"), ["bob"]);
    api.call("DELETE", "/consumer_groups/gold").await.expect(204);
    assert_eq!(names(&api.get("/consumers/bob/consumer_groups").await.body["data"], "name"), ["silver"]);
}
