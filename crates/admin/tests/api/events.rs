//! Event hooks.

use super::Api;
use admin::Options;
use serde_json::{Value, json};

/// A hook; its id.
async fn hook(api: &Api, hook: Value) -> String {
    api.json("POST", "/event-hooks", hook).await.expect(201).body["id"].as_str().unwrap().to_owned()
}

/// What has been sent since it was asked last.
fn sent(api: &Api) -> Vec<Value> {
    let messages = std::mem::take(&mut *api.node.messages.lock().unwrap());
    messages.iter().map(|message| serde_json::from_str(&message.content).unwrap()).collect()
}

#[tokio::test]
async fn writes_are_told() {
    let api = Api::new(Options::default());
    let url = json!({ "url": "http://h.test/" });
    let made = api
        .json(
            "POST",
            "/event-hooks",
            json!({ "source": "crud", "event": "consumers", "handler": "webhook", "config": url }),
        )
        .await
        .expect(201)
        .body;
    assert_eq!(made["config"], json!({ "headers": {}, "secret": null, "ssl_verify": true, "url": "http://h.test/" }));
    let ping = json!({ "source": "kong:event_hooks", "event": "ping", "event_hooks": made });
    assert_eq!(sent(&api), [ping.clone()]);
    let path = format!("/event-hooks/{}", made["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.body, made);
    assert_eq!(api.get(&format!("{path}/ping")).await.expect(200).body, ping);
    assert_eq!(api.get("/event-hooks").await.body["data"], json!([made]));
    let ada = api.json("POST", "/consumers", json!({ "username": "ada" })).await.expect(201).body;
    let told = json!({
        "operation": "create", "entity": ada, "schema": "consumers", "source": "crud", "event": "consumers"
    });
    assert_eq!(sent(&api), [told]);
    api.json("PATCH", "/consumers/ada", json!({ "custom_id": "1" })).await.expect(200);
    let told = sent(&api).pop().unwrap();
    assert_eq!(told["operation"], "update");
    assert_eq!(told["entity"]["custom_id"], "1");
    assert_eq!(told["old_entity"], ada);
    api.json("POST", "/consumers", json!({ "username": "ada" })).await.expect(409);
    api.json("POST", "/services", json!({ "name": "s", "host": "h.test" })).await.expect(201);
    assert_eq!(sent(&api), [json!(null); 0], "nothing was written, and to something else");
    api.call("DELETE", "/consumers/ada").await.expect(204);
    assert_eq!(sent(&api)[0]["operation"], "delete");
    api.call("DELETE", &path).await.expect(204);
    api.json("POST", "/consumers", json!({ "username": "bob" })).await.expect(201);
    assert_eq!(sent(&api), [json!(null); 0]);
}

#[tokio::test]
async fn events_are_chosen_by_what_is_done_too() {
    let api = Api::new(Options::default());
    let config = json!({ "url": "http://h.test/" });
    hook(&api, json!({ "source": "dao:crud", "event": "delete", "handler": "webhook", "config": config })).await;
    hook(&api, json!({ "source": "crud", "handler": "log" })).await;
    sent(&api);
    api.json("POST", "/consumers", json!({ "username": "ada" })).await.expect(201);
    assert_eq!(sent(&api), [json!(null); 0]);
    api.call("DELETE", "/consumers/ada").await.expect(204);
    let told = sent(&api);
    assert_eq!(told[0]["event"], "delete");
    assert_eq!(told[0]["schema"], "consumers");
}

#[tokio::test]
async fn nobody_is_told_of_tokens() {
    let api = Api::new(Options::default());
    hook(&api, json!({ "source": "crud", "handler": "webhook", "config": { "url": "http://h.test/" } })).await;
    sent(&api);
    api.json("POST", "/rbac/users", json!({ "name": "ada", "user_token": "secret" })).await.expect(201);
    let told = json!(sent(&api)).to_string();
    assert!(told.contains("ada"));
    assert!(!told.contains("secret"));
    assert!(!told.contains("$2b$"));
}

#[tokio::test]
async fn the_same_event_is_told_once_where_that_is_wanted() {
    for wish in [json!({ "on_change": true }), json!({ "snooze": 60 })] {
        let api = Api::new(Options::default());
        let config =
            json!({ "url": "http://h.test/{{ entity.name }}", "method": "PUT", "payload": { "a": "{{ event }}" } });
        let mut input = json!({ "source": "dao:crud", "handler": "webhook-custom", "config": config });
        input.as_object_mut().unwrap().extend(wish.as_object().cloned().unwrap());
        hook(&api, input).await;
        api.node.messages.lock().unwrap().clear();
        let made = api.json("POST", "/services", json!({ "name": "s", "host": "h.test" })).await.expect(201).body;
        api.json("POST", "/services", json!({ "name": "t", "host": "h.test" })).await.expect(201);
        api.call("DELETE", "/services/s").await.expect(204);
        api.json("POST", "/services", made).await.expect(201);
        let urls: Vec<String> = api.node.messages.lock().unwrap().iter().map(|message| message.url.clone()).collect();
        let all = ["http://h.test/s", "http://h.test/t", "http://h.test/s", "http://h.test/s"];
        // The last one is the first one once more, but not the one before.
        let expected = if wish.get("snooze").is_some() { &all[..3] } else { &all[..] };
        assert_eq!(urls, expected, "{wish}");
    }
}

#[tokio::test]
async fn hooks_are_tried_out() {
    let api = Api::new(Options::default());
    let config = json!({ "url": "http://h.test/" });
    let id = hook(&api, json!({ "source": "crud", "handler": "webhook", "config": config })).await;
    let path = format!("/event-hooks/{id}/test");
    let tried = api.json("POST", &path, json!({ "consumer": { "username": "Jane" } })).await.expect(200).body;
    assert_eq!(tried["data"], json!({ "consumer": { "username": "Jane" }, "source": "crud", "event": null }));
    assert_eq!(tried["result"]["status"], 202);
    let away = hook(&api, json!({ "source": "crud", "handler": "webhook", "config": { "url": "http://away.test/" } }));
    let away = away.await;
    api.get(&format!("/event-hooks/{away}/ping")).await.expect(400);
    let log = hook(&api, json!({ "source": "crud", "handler": "log" })).await;
    let refused = api.get(&format!("/event-hooks/{log}/ping")).await.expect(400).body;
    assert_eq!(refused["message"], "handler 'log' does not support 'ping'");
    api.json("POST", &format!("/event-hooks/{log}/test"), json!({ "a": 1 })).await.expect(200);
    sent(&api);
    let config = json!({ "url": "http://h.test/", "method": "POST", "body": "{{ a }}" });
    let custom = hook(&api, json!({ "source": "crud", "handler": "webhook-custom", "config": config })).await;
    assert!(sent(&api).iter().all(|message| message["event"] != "ping"), "its template has no place for a word");
    api.get(&format!("/event-hooks/{custom}/ping")).await.expect(400);
    let tried = api.json("POST", &format!("/event-hooks/{custom}/test"), json!({ "a": "b" })).await.expect(200).body;
    assert_eq!(tried["result"]["body"], "b");
    api.get("/event-hooks/00000000-0000-4000-8000-000000000000/ping").await.expect(404);
}

#[tokio::test]
async fn hooks_that_could_do_nothing_are_refused() {
    let api = Api::new(Options::default());
    let url = json!({ "url": "http://h.test/" });
    for wrong in [
        json!({ "source": "crud", "handler": "webhook" }),
        json!({ "source": "crud", "handler": "webhook", "config": { "url": "file:///etc/passwd" } }),
        json!({ "source": "crud", "handler": "lambda", "config": { "functions": ["return function() end"] } }),
        json!({ "source": "oidc", "handler": "webhook", "config": url }),
        json!({ "source": "crud", "event": "none", "handler": "webhook", "config": url }),
        json!({ "source": "crud", "handler": "webhook-custom", "config": url }),
        json!({ "source": "crud", "handler": "webhook",
            "config": { "url": "http://h.test/", "headers": { "Host": "x" } } }),
        json!({ "source": "crud", "handler": "webhook-custom",
            "config": { "url": "http://h.test/", "method": "POST", "body": "{% os.exit() %}" } }),
    ] {
        api.json("POST", "/event-hooks", wrong).await.expect(400);
    }
    assert_eq!(api.get("/event-hooks").await.body["data"], json!([]));
    let sources = api.get("/event-hooks/sources").await.expect(200).body;
    let fields = json!({ "fields": ["operation", "entity", "old_entity", "schema"] });
    assert_eq!(sources["data"]["crud"]["consumers"], fields);
    let events = api.get("/event-hooks/sources/dao:crud").await.expect(200).body;
    assert_eq!(events, json!({ "data": { "create": fields, "update": fields, "delete": fields } }));
    api.get("/event-hooks/sources/none").await.expect(404);
}
