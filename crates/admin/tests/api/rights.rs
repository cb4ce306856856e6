//! Rules about single records.

use super::access::{TOKEN, ask, by, enforcing, role, root, user};
use super::{Answer, Api};
use admin::Enforcement;
use serde_json::{Value, json};
use store::Key;

/// As the user of that name, whose token it is too.
async fn sends(api: &Api, name: &str, method: &str, path: &str, body: Value) -> Answer {
    ask(api, method, path, &[(TOKEN, name)], body).await
}

/// A service, made by `kong_admin`; its id.
async fn service(api: &Api, workspace: &str, name: &str) -> String {
    let made = root(api, "POST", &format!("{workspace}/services"), json!({ "name": name, "host": "h.test" })).await;
    made.expect(201).body["id"].as_str().unwrap().to_owned()
}

/// A rule of a role about a record.
async fn allow(api: &Api, workspace: &str, role: &str, id: &str, actions: &str) -> Answer {
    let made = root(api, "POST", &format!("{workspace}/rbac/roles"), json!({ "name": role })).await;
    assert!([201, 409].contains(&made.status), "{}", made.body);
    let rule = json!({ "entity_id": id, "actions": actions });
    root(api, "POST", &format!("{workspace}/rbac/roles/{role}/entities"), rule).await
}

async fn names(api: &Api, name: &str, path: &str) -> Vec<String> {
    let listed = sends(api, name, "GET", path, Value::Null).await.expect(200).body;
    let data = listed["data"].as_array().unwrap().iter();
    data.map(|record| record["name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn rules_about_records_live() {
    let api = enforcing(Enforcement::Endpoints).await;
    let id = service(&api, "", "s").await;
    let made = allow(&api, "", "r", &id, "read,delete").await.expect(201).body;
    assert_eq!(made["entity_type"], "services");
    assert_eq!(made["actions"], json!(["delete", "read"]));
    assert_eq!(made["negative"], json!(false));
    assert_eq!(made.get("id"), None);
    assert_eq!(made.get("within"), None);
    allow(&api, "", "r", &id, "read").await.expect(409);
    allow(&api, "", "r", "*", "read").await.expect(201);
    let path = format!("/rbac/roles/r/entities/{id}");
    assert_eq!(root(&api, "GET", &path, Value::Null).await.body, made);
    let changed = root(&api, "PATCH", &path, json!({ "actions": "update", "entity_id": "*" })).await.expect(200).body;
    assert_eq!(changed["actions"], json!(["update"]));
    assert_eq!(changed["entity_id"], json!(id));
    let all = root(&api, "GET", "/rbac/roles/r/entities/*", Value::Null).await.expect(200).body;
    assert_eq!(all["entity_type"], "wildcard");
    let listed = root(&api, "GET", "/rbac/roles/r/entities", Value::Null).await.body;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    let shown = root(&api, "GET", "/rbac/roles/r/permissions", Value::Null).await.body;
    assert_eq!(shown["entities"][&id], json!({ "actions": ["update"], "negative": false }));
    user(&api, "", "ada", "r").await;
    let of_user = root(&api, "GET", "/rbac/users/ada/permissions", Value::Null).await.body;
    assert_eq!(of_user["entities"]["*"], json!({ "actions": ["read"], "negative": false }));
    root(&api, "DELETE", &path, Value::Null).await.expect(204);
    root(&api, "GET", &path, Value::Null).await.expect(404);
    let unknown = "00000000-0000-4000-8000-000000000000";
    allow(&api, "", "r", unknown, "read").await.expect(400);
    allow(&api, "", "r", "services", "read").await.expect(400);
    allow(&api, "", "r", &id, "write").await.expect(400);
    let wrong = json!({ "entity_id": id, "entity_type": "routes", "actions": "read" });
    root(&api, "POST", "/rbac/roles/r/entities", wrong).await.expect(400);
}

/// Default roles of earlier versions have no rule about records.
#[tokio::test]
async fn default_roles_get_the_rule_about_all_records_once() {
    let api = enforcing(Enforcement::Endpoints).await;
    let path = "/rbac/roles/read-only/entities/*";
    let actions = async || root(&api, "GET", path, Value::Null).await.body["actions"].clone();
    assert_eq!(actions().await, json!(["read"]));
    root(&api, "DELETE", path, Value::Null).await.expect(204);
    admin::prepare_access(&api.store, None).await.unwrap();
    root(&api, "GET", path, Value::Null).await.expect(404);
    let marks = api.store.page("parameters", &Default::default()).await.unwrap().data;
    let mark = Key::Id(marks[0]["key"].as_str().unwrap().to_owned());
    api.store.delete("parameters", &mark).await.unwrap();
    admin::prepare_access(&api.store, None).await.unwrap();
    assert_eq!(actions().await, json!(["read"]));
}

#[tokio::test]
async fn only_what_may_be_seen_is_shown() {
    for enforcement in [Enforcement::Records, Enforcement::Both] {
        let api = enforcing(enforcement).await;
        let seen = service(&api, "", "seen").await;
        let unseen = service(&api, "", "unseen").await;
        allow(&api, "", "r", &seen, "read").await.expect(201);
        role(&api, "", "r", json!({ "endpoint": "*", "actions": "*" })).await.expect(201);
        user(&api, "", "ada", "r").await;
        assert_eq!(names(&api, "ada", "/services").await, ["seen"]);
        sends(&api, "ada", "GET", "/services/seen", Value::Null).await.expect(200);
        for path in ["/services/unseen".to_owned(), format!("/services/{unseen}"), "/services/unseen/routes".to_owned()]
        {
            let refused = sends(&api, "ada", "GET", &path, Value::Null).await.expect(403);
            let words = "ada, you do not have permissions to read this resource";
            assert_eq!(refused.body, json!({ "message": words }), "{path}");
            assert_eq!(by(&api, "ada", "HEAD", &path).await, 403);
        }
        sends(&api, "ada", "GET", "/services/none", Value::Null).await.expect(404);
        root(&api, "PATCH", "/services/seen", json!({ "tags": ["t"] })).await.expect(200);
        root(&api, "PATCH", "/services/unseen", json!({ "tags": ["t"] })).await.expect(200);
        let tags = sends(&api, "ada", "GET", "/tags/t", Value::Null).await.expect(200).body;
        assert_eq!(tags["data"].as_array().unwrap().len(), 1);
        assert_eq!(root(&api, "GET", "/services", Value::Null).await.body["data"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn writes_are_refused_as_a_whole() {
    let api = enforcing(Enforcement::Records).await;
    let id = service(&api, "", "s").await;
    service(&api, "", "t").await;
    allow(&api, "", "r", &id, "read,delete").await.expect(201);
    user(&api, "", "ada", "r").await;
    let refused = sends(&api, "ada", "PATCH", "/services/s", json!({ "port": 1 })).await.expect(403);
    assert_eq!(refused.body["message"], "ada, you do not have permissions to update this resource");
    sends(&api, "ada", "PUT", "/services/s", json!({ "host": "other.test" })).await.expect(403);
    sends(&api, "ada", "PUT", &format!("/services/{id}"), json!({ "host": "other.test" })).await.expect(403);
    sends(&api, "ada", "DELETE", "/services/t", Value::Null).await.expect(403);
    assert_eq!(root(&api, "GET", "/services/s", Value::Null).await.body["host"], "h.test");
    sends(&api, "ada", "DELETE", "/services/s", Value::Null).await.expect(204);
    // What hangs on a record is not the user's to delete.
    let upstream = root(&api, "POST", "/upstreams", json!({ "name": "u" })).await.expect(201).body;
    let target = root(&api, "POST", "/upstreams/u/targets", json!({ "target": "h.test:80" })).await.expect(201).body;
    allow(&api, "", "r", upstream["id"].as_str().unwrap(), "delete").await.expect(201);
    sends(&api, "ada", "DELETE", "/upstreams/u", Value::Null).await.expect(403);
    allow(&api, "", "r", target["id"].as_str().unwrap(), "delete").await.expect(201);
    sends(&api, "ada", "DELETE", "/upstreams/u", Value::Null).await.expect(204);
    let rules = root(&api, "GET", "/rbac/roles/r/entities", Value::Null).await.body;
    assert_eq!(rules["data"], json!([]), "what is gone has no rules");
}

#[tokio::test]
async fn what_a_user_creates_is_its_own() {
    let api = enforcing(Enforcement::Records).await;
    service(&api, "", "unseen").await;
    user(&api, "", "ada", "read-only").await;
    root(&api, "DELETE", "/rbac/users/ada/roles", json!({ "roles": "read-only" })).await.expect(204);
    sends(&api, "ada", "POST", "/services", json!({ "name": "own", "host": "h.test" })).await.expect(201);
    assert_eq!(names(&api, "ada", "/services").await, ["own"]);
    sends(&api, "ada", "POST", "/services/own/routes", json!({ "name": "r", "paths": ["/"] })).await.expect(201);
    sends(&api, "ada", "PUT", "/routes/q", json!({ "paths": ["/q"], "service": { "name": "own" } })).await.expect(200);
    sends(&api, "ada", "PATCH", "/routes/q", json!({ "paths": ["/p"] })).await.expect(200);
    // What it cannot see it cannot refer to either, in any way.
    let to_unseen = json!({ "paths": ["/"], "service": { "name": "unseen" } });
    sends(&api, "ada", "POST", "/routes", to_unseen.clone()).await.expect(403);
    sends(&api, "ada", "PATCH", "/routes/q", json!({ "service": { "name": "unseen" } })).await.expect(403);
    sends(&api, "ada", "POST", "/services/unseen/routes", json!({ "paths": ["/"] })).await.expect(403);
    sends(&api, "ada", "PUT", "/routes/q/service", json!({ "host": "h.test", "name": "own" })).await.expect(200);
    let roles = root(&api, "GET", "/rbac/users/ada/roles", Value::Null).await.body;
    assert_eq!(roles["roles"], json!([]), "its own role is not listed");
    assert_eq!(root(&api, "GET", "/rbac/roles", Value::Null).await.body["data"].as_array().unwrap().len(), 3);
    let own = root(&api, "GET", "/rbac/roles/ada", Value::Null).await.expect(200).body;
    assert_eq!(own["is_default"], json!(true));
    assert_eq!(own["comment"], "Default user role generated for ada");
    // Nobody else gets it by its name.
    user(&api, "", "bob", "read-only").await;
    root(&api, "POST", "/rbac/users/bob/roles", json!({ "roles": "ada" })).await.expect(400);
    root(&api, "PATCH", "/rbac/roles/read-only", json!({ "is_default": true })).await.expect(400);
    root(&api, "POST", "/rbac/roles", json!({ "name": "x", "is_default": true })).await.expect(400);
    root(&api, "DELETE", "/rbac/users/ada", Value::Null).await.expect(204);
    root(&api, "GET", "/rbac/roles/ada", Value::Null).await.expect(404);
}

#[tokio::test]
async fn what_forbids_goes_before_what_allows() {
    let api = enforcing(Enforcement::Both).await;
    let secret = service(&api, "", "secret").await;
    service(&api, "", "open").await;
    role(&api, "", "r", json!({ "endpoint": "*", "actions": "*" })).await.expect(201);
    allow(&api, "", "r", "*", "*").await.expect(201);
    let rule = json!({ "entity_id": secret, "actions": "read", "negative": true });
    root(&api, "POST", "/rbac/roles/r/entities", rule).await.expect(201);
    user(&api, "", "ada", "r").await;
    assert_eq!(names(&api, "ada", "/services").await, ["open"]);
    sends(&api, "ada", "GET", "/services/secret", Value::Null).await.expect(403);
    sends(&api, "ada", "DELETE", "/services/secret", Value::Null).await.expect(204);
}

#[tokio::test]
async fn endpoints_without_records_go_by_their_rules() {
    let api = enforcing(Enforcement::Records).await;
    user(&api, "", "ada", "read-only").await;
    root(&api, "DELETE", "/rbac/users/ada/roles", json!({ "roles": "read-only" })).await.expect(204);
    for path in ["/", "/status", "/schemas/services", "/endpoints", "/plugins/enabled", "/tags"] {
        assert_eq!(by(&api, "ada", "GET", path).await, 200, "{path}");
    }
    for path in ["/rbac/users", "/rbac/roles/admin", "/admins", "/workspaces", "/audit/requests", "/proxy-cache"] {
        assert_eq!(by(&api, "ada", "GET", path).await, 403, "{path}");
    }
    for (method, path) in [("DELETE", "/cache"), ("PUT", "/debug/node/log-level/debug"), ("DELETE", "/workspaces/w")] {
        assert_eq!(by(&api, "ada", method, path).await, 403, "{path}");
    }
    let both = enforcing(Enforcement::Both).await;
    let id = service(&both, "", "s").await;
    allow(&both, "", "r", &id, "*").await.expect(201);
    user(&both, "", "ada", "r").await;
    assert_eq!(by(&both, "ada", "GET", "/services/s").await, 403, "no rule about the endpoint");
}

#[tokio::test]
async fn roles_of_workspaces_speak_of_their_own() {
    let api = enforcing(Enforcement::Records).await;
    let red = root(&api, "POST", "/workspaces", json!({ "name": "red" })).await.expect(201).body;
    let here = service(&api, "", "here").await;
    service(&api, "/red", "there").await;
    allow(&api, "/red", "r", &here, "read").await.expect(400);
    allow(&api, "/red", "r", "*", "read").await.expect(201);
    user(&api, "/red", "ada", "r").await;
    assert_eq!(names(&api, "ada", "/red/services").await, ["there"]);
    assert_eq!(names(&api, "ada", "/services").await, [""; 0]);
    allow(&api, "", "all-of-red", red["id"].as_str().unwrap(), "read").await.expect(201);
    user(&api, "", "bob", "all-of-red").await;
    service(&api, "/red", "later").await;
    let mut seen = names(&api, "bob", "/red/services").await;
    seen.sort();
    assert_eq!(seen, ["later", "there"]);
    assert_eq!(names(&api, "bob", "/services").await, [""; 0]);
}

#[tokio::test]
async fn members_of_groups_go_by_both_sides() {
    let api = enforcing(Enforcement::Records).await;
    root(&api, "POST", "/consumer_groups", json!({ "name": "g" })).await.expect(201);
    user(&api, "", "ada", "read-only").await;
    root(&api, "POST", "/consumers", json!({ "username": "foreign" })).await.expect(201);
    let enter = |name: &str| json!({ "consumer": name });
    sends(&api, "ada", "POST", "/consumer_groups/g/consumers", enter("foreign")).await.expect(403);
    sends(&api, "ada", "POST", "/consumers", json!({ "username": "own" })).await.expect(201);
    sends(&api, "ada", "POST", "/consumer_groups/g/consumers", enter("own")).await.expect(201);
    root(&api, "POST", "/consumer_groups/g/consumers", enter("foreign")).await.expect(201);
    sends(&api, "ada", "DELETE", "/consumer_groups/g/consumers", Value::Null).await.expect(403);
    sends(&api, "ada", "DELETE", "/consumers/own", Value::Null).await.expect(204);
}

#[tokio::test]
async fn targets_are_marked_by_who_may_change_them() {
    let api = enforcing(Enforcement::Records).await;
    root(&api, "POST", "/upstreams", json!({ "name": "u" })).await.expect(201);
    root(&api, "POST", "/upstreams/u/targets", json!({ "target": "h.test:80" })).await.expect(201);
    user(&api, "", "ada", "read-only").await;
    sends(&api, "ada", "GET", "/upstreams/u/targets/h.test:80", Value::Null).await.expect(200);
    sends(&api, "ada", "PUT", "/upstreams/u/targets/h.test:80/unhealthy", Value::Null).await.expect(403);
    assert!(api.node.marks.lock().unwrap().is_empty());
}
