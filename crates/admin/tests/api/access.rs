//! Users, roles and administrators.

use super::{Answer, Api};
use admin::{AccessOptions, Complexity, Enforcement, GuiAuth, Options, SessionOptions};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderName;
use hyper::{HeaderMap, Request};
use serde_json::{Value, json};
use std::time::Duration;

pub const TOKEN: &str = "kong-admin-token";

/// An API where users are asked for, with the administrator `kong_admin`, whose token and password is `secret`.
async fn guarded() -> Api {
    enforcing(Enforcement::Endpoints).await
}

/// The same, with what is asked.
pub async fn enforcing(enforcement: Enforcement) -> Api {
    let session = SessionOptions { secret: "s".to_owned(), ..SessionOptions::default() };
    let gui = GuiAuth {
        user_header: HeaderName::from_static("kong-admin-user"),
        attempts: 2,
        attempts_ttl: Duration::from_secs(60),
        complexity: Complexity::parse(r#"{ "min": "1,1,1,1,1", "max": 40 }"#).unwrap(),
        session,
        provider: None,
    };
    let gui_url = Some("http://gui.test/".to_owned());
    let access = AccessOptions { enforcement, gui: Some(gui), gui_url, ..AccessOptions::default() };
    let api = Api::new(Options { access, ..Options::default() });
    assert_eq!(admin::prepare_access(&api.store, Some("secret")).await, Ok(true));
    api
}

pub async fn ask(api: &Api, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let content = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    if !body.is_null() {
        request = request.header("content-type", "application/json");
    }
    api.send(request.body(Full::from(content)).unwrap()).await
}

/// As `kong_admin`.
pub async fn root(api: &Api, method: &str, path: &str, body: Value) -> Answer {
    ask(api, method, path, &[(TOKEN, "secret")], body).await
}

/// As the user with that token; the status.
pub async fn by(api: &Api, token: &str, method: &str, path: &str) -> u16 {
    ask(api, method, path, &[(TOKEN, token)], Value::Null).await.status
}

/// A user of that name, which is its token too, with roles.
pub async fn user(api: &Api, workspace: &str, name: &str, roles: &str) {
    let made = root(api, "POST", &format!("{workspace}/rbac/users"), json!({ "name": name, "user_token": name })).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("{workspace}/rbac/users/{name}/roles");
    let given = root(api, "POST", &path, json!({ "roles": roles })).await;
    assert_eq!(given.status, 201, "{}", given.body);
}

/// A role with one rule.
pub async fn role(api: &Api, workspace: &str, name: &str, rule: Value) -> Answer {
    let made = root(api, "POST", &format!("{workspace}/rbac/roles"), json!({ "name": name })).await;
    assert!([201, 409].contains(&made.status), "{}", made.body);
    root(api, "POST", &format!("{workspace}/rbac/roles/{name}/endpoints"), rule).await
}

pub fn basic(name: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")))
}

#[tokio::test]
async fn nobody_gets_in_without_a_token() {
    let api = guarded().await;
    let invalid = json!({ "message": "Invalid RBAC credentials" });
    for headers in [&[][..], &[(TOKEN, "")], &[(TOKEN, "wrong")], &[(TOKEN, "secret"), (TOKEN, "secret")]] {
        for path in ["/", "/services", "/nowhere", "/status", "/proxy-cache", "/rbac/users"] {
            let answer = ask(&api, "GET", path, headers, Value::Null).await;
            assert_eq!(answer.status, 401, "{path} {headers:?}");
            assert_eq!(answer.body, invalid);
        }
    }
    assert_eq!(root(&api, "GET", "/services", Value::Null).await.status, 200);
    assert_eq!(root(&api, "GET", "/proxy-cache", Value::Null).await.status, 200);
    assert_eq!(root(&api, "GET", "/nowhere", Value::Null).await.status, 404);
    assert_eq!(ask(&api, "OPTIONS", "/services", &[], Value::Null).await.status, 204, "as browsers ask");
}

#[tokio::test]
async fn without_enforcement_nobody_is_asked() {
    let api = Api::new(Options::default());
    assert_eq!(admin::prepare_access(&api.store, None).await, Ok(false));
    let made = api.json("POST", "/rbac/users", json!({ "name": "super-admin", "user_token": "t" })).await;
    assert_eq!(made.status, 201);
    assert!(made.body["user_token"].as_str().unwrap().starts_with("$2b$09$"));
    assert_eq!(made.body["user_token_ident"].as_str().unwrap().len(), 5);
    let roles = api.get("/rbac/users/super-admin/roles").await.body;
    assert_eq!(roles["roles"][0]["name"], "super-admin", "a user has the role of its name");
    assert_eq!(roles["roles"][0]["role_source"], "local");
    assert_eq!(roles["user"], made.body);
    assert_eq!(admin::prepare_access(&api.store, Some("late")).await, Ok(true));
    assert_eq!(api.get("/admins").await.body["data"], json!([]), "there is a user already");
    assert_eq!(api.get("/rbac/roles").await.body["data"].as_array().unwrap().len(), 3, "prepared once");
}

#[tokio::test]
async fn default_roles() {
    let api = guarded().await;
    for name in ["read-only", "admin", "super-admin"] {
        user(&api, "", &format!("{name}-user"), name).await;
    }
    assert_eq!(by(&api, "read-only-user", "GET", "/services").await, 200);
    let denied = ask(&api, "DELETE", "/services/s", &[(TOKEN, "read-only-user")], Value::Null).await;
    assert_eq!(denied.status, 403);
    assert_eq!(
        denied.body,
        json!({ "message": "read-only-user, you do not have permissions to delete this resource" })
    );
    for path in ["/rbac/users", "/rbac/users/x/roles", "/rbac/roles/x/endpoints/a/b", "/admins", "/admins/x/roles"] {
        assert_eq!(by(&api, "admin-user", "GET", path).await, 403, "{path}");
        assert_ne!(by(&api, "super-admin-user", "GET", path).await, 403, "{path}");
    }
    assert_eq!(by(&api, "admin-user", "GET", "/rb%61c/users").await, 403, "by any spelling");
    assert_eq!(by(&api, "admin-user", "DELETE", "/services/s").await, 204);
    assert_eq!(by(&api, "admin-user", "DELETE", "/cache").await, 204);
}

#[tokio::test]
async fn rules_of_roles_live() {
    let api = guarded().await;
    let made = role(&api, "", "r", json!({ "endpoint": "services/*", "actions": "read,create" })).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["endpoint"], "/services/*");
    assert_eq!(made.body["workspace"], "default");
    assert_eq!(made.body["actions"], json!(["create", "read"]));
    assert_eq!(made.body.get("id"), None);
    let path = "/rbac/roles/r/endpoints/default/services/*";
    assert_eq!(root(&api, "GET", path, Value::Null).await.body, made.body);
    let changed = root(&api, "PATCH", path, json!({ "actions": ["*"], "negative": true })).await;
    assert_eq!(changed.body["actions"], json!(["delete", "create", "update", "read"]));
    let shown = root(&api, "GET", "/rbac/roles/r/permissions", Value::Null).await.body;
    assert_eq!(shown["endpoints"]["default"]["/services/*"]["negative"], json!(true));
    assert_eq!(role(&api, "", "r", json!({ "endpoint": "/services/*", "actions": "read" })).await.status, 409);
    assert_eq!(role(&api, "", "r", json!({ "endpoint": "/a", "actions": "write" })).await.status, 400);
    assert_eq!(role(&api, "", "r", json!({ "endpoint": "/a", "workspace": "none", "actions": "*" })).await.status, 404);
    assert_eq!(role(&api, "", "r", json!({ "endpoint": "*", "workspace": "*", "actions": "*" })).await.status, 201);
    assert_eq!(
        root(&api, "GET", "/rbac/roles/r/endpoints", Value::Null).await.body["data"].as_array().unwrap().len(),
        2
    );
    // go-kong writes an empty segment before the endpoint.
    assert_eq!(root(&api, "DELETE", "/rbac/roles/r/endpoints/*//*", Value::Null).await.status, 204);
    assert_eq!(root(&api, "GET", "/rbac/roles/r/endpoints/*/*", Value::Null).await.status, 404);
    assert_eq!(root(&api, "DELETE", path, Value::Null).await.status, 204);
    assert_eq!(root(&api, "GET", path, Value::Null).await.status, 404);
    // As a form has it, where the field is a list.
    let made = role(&api, "", "r", json!({ "endpoint": "/form", "actions": ["read,create"] })).await;
    assert_eq!(made.body["actions"], json!(["create", "read"]));
}

#[tokio::test]
async fn users_live() {
    let api = guarded().await;
    user(&api, "", "ada", "read-only,admin").await;
    let listed = root(&api, "GET", "/rbac/users", Value::Null).await.body;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "that of kong_admin is shown with it");
    let ada = root(&api, "GET", "/rbac/users/ada", Value::Null).await.body;
    assert_eq!(root(&api, "PATCH", "/rbac/users/ada", ada.clone()).await.body["user_token"], ada["user_token"]);
    assert_eq!(by(&api, "ada", "GET", "/services").await, 200, "what was shown was sent back");
    let taken = root(&api, "POST", "/rbac/users", json!({ "name": "bob", "user_token": "ada" })).await;
    assert_eq!(taken.status, 409);
    assert_eq!(root(&api, "POST", "/rbac/users", json!({ "name": "bob" })).await.status, 400);
    root(&api, "PATCH", "/rbac/users/ada", json!({ "user_token": "new" })).await;
    assert_eq!(by(&api, "ada", "GET", "/services").await, 401);
    assert_eq!(by(&api, "new", "GET", "/services").await, 200);
    assert_eq!(root(&api, "DELETE", "/rbac/users/ada/roles", json!({ "roles": "admin" })).await.status, 204);
    let roles = root(&api, "GET", "/rbac/users/ada/roles", Value::Null).await.body;
    assert_eq!(roles["roles"].as_array().unwrap().len(), 1);
    assert_eq!(root(&api, "POST", "/rbac/users/ada/roles", json!({ "roles": "none" })).await.status, 400);
    root(&api, "PATCH", "/rbac/users/ada", json!({ "enabled": false })).await;
    assert_eq!(by(&api, "new", "GET", "/services").await, 401);
    assert_eq!(root(&api, "DELETE", "/rbac/users/ada", Value::Null).await.status, 204);
}

#[tokio::test]
async fn workspaces_have_roles_of_their_own() {
    let api = guarded().await;
    for name in ["red", "blue"] {
        assert_eq!(root(&api, "POST", "/workspaces", json!({ "name": name })).await.status, 201);
    }
    role(&api, "/red", "all", json!({ "endpoint": "*", "actions": "*" })).await;
    user(&api, "/red", "ada", "all").await;
    assert_eq!(by(&api, "ada", "GET", "/red/services").await, 200);
    assert_eq!(by(&api, "ada", "GET", "/red/rbac/users").await, 200);
    assert_eq!(by(&api, "ada", "GET", "/red/workspaces/red").await, 200);
    for path in ["/services", "/blue/services", "/red/workspaces", "/red/workspaces/blue", "/red/ca_certificates"] {
        assert_eq!(by(&api, "ada", "GET", path).await, 403, "{path}");
    }
    assert_eq!(by(&api, "ada", "DELETE", "/red/workspaces/blue").await, 403);
    assert_eq!(by(&api, "ada", "DELETE", "/red/cache").await, 403, "which is the node's");
    let wider = json!({ "endpoint": "*", "workspace": "*", "actions": "*" });
    let path = "/red/rbac/roles/all/endpoints";
    assert_eq!(ask(&api, "POST", path, &[(TOKEN, "ada")], wider).await.status, 400, "nobody gives itself more");
    let all = ask(&api, "GET", "/red/admins?all_workspaces=true", &[(TOKEN, "ada")], Value::Null).await;
    assert_eq!(all.body["data"], json!([]));
    // What a role of the workspace says goes before what a role says of all workspaces.
    role(&api, "/red", "reader", json!({ "endpoint": "*", "actions": "read" })).await;
    user(&api, "", "bob", "super-admin").await;
    let bob = root(&api, "GET", "/rbac/users/bob", Value::Null).await.body["id"].as_str().unwrap().to_owned();
    assert_eq!(by(&api, "bob", "DELETE", "/red/services/s").await, 204);
    assert_eq!(
        root(&api, "POST", &format!("/red/rbac/users/{bob}/roles"), json!({ "roles": "reader" })).await.status,
        404
    );
}

#[tokio::test]
async fn nobody_takes_over_a_user_with_roles_elsewhere() {
    let api = guarded().await;
    root(&api, "POST", "/workspaces", json!({ "name": "red" })).await.expect(201);
    role(&api, "/red", "all", json!({ "endpoint": "*", "actions": "*" })).await.expect(201);
    user(&api, "/red", "ada", "all").await;
    let by_ada = async |method: &str, path: &str, body: Value| ask(&api, method, path, &[(TOKEN, "ada")], body).await;
    by_ada("POST", "/red/admins", json!({ "username": "eve", "email": "eve@corp.test" })).await.expect(200);
    let link = "/red/admins/eve?generate_register_url=true";
    by_ada("GET", link, Value::Null).await.expect(200);
    root(&api, "POST", "/admins/eve/roles", json!({ "roles": "super-admin" })).await.expect(201);
    by_ada("GET", link, Value::Null).await.expect(403);
    by_ada("PATCH", "/red/admins/eve", json!({ "email": "ada@corp.test" })).await.expect(403);
    by_ada("DELETE", "/red/admins/eve", Value::Null).await.expect(403);
    by_ada("PATCH", "/red/rbac/users/eve", json!({ "user_token": "known" })).await.expect(403);
    by_ada("DELETE", "/red/rbac/users/eve", Value::Null).await.expect(403);
    by_ada("POST", "/red/rbac/users/eve/roles", json!({ "roles": "all" })).await.expect(201);
    root(&api, "GET", link, Value::Null).await.expect(200);
    root(&api, "DELETE", "/admins/eve/roles", json!({ "roles": "super-admin" })).await.expect(204);
    by_ada("GET", link, Value::Null).await.expect(200);
}

#[tokio::test]
async fn there_is_no_way_around_a_rule() {
    let api = guarded().await;
    role(&api, "", "r", json!({ "endpoint": "/services", "actions": "read" })).await.expect(201);
    user(&api, "", "ada", "r").await;
    root(&api, "POST", "/services", json!({ "name": "s", "host": "h.test" })).await.expect(201);
    for path in ["/services", "/services/", "/default/services", "/%73ervices", "//services", "/services?x=/rbac"] {
        let status = by(&api, "ada", "GET", path).await;
        assert!([200, 404].contains(&status), "{path}: {status}");
    }
    assert_eq!(by(&api, "ada", "HEAD", "/services").await, 200);
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/services/s"),
        ("GET", "/services/s/plugins"),
        ("GET", "/services/s/../../rbac/users"),
        ("GET", "/services/%2e%2e/rbac/users"),
        ("GET", "/services%2F..%2Frbac%2Fusers"),
        ("GET", "/default/rbac/users"),
        ("GET", "/%64efault/rbac/users"),
        ("GET", "/rbac/users/"),
        ("GET", "//rbac/users"),
        ("POST", "/services"),
        ("POST", "/config"),
        ("DELETE", "/cache"),
        ("POST", "/schemas/services/validate"),
        ("PATCH", "/rbac/roles/r"),
        ("POST", "/rbac/roles/r/endpoints"),
        ("POST", "/rbac/roles/r/entities"),
        ("POST", "/rbac/users/ada/roles"),
        ("POST", "/rbac/users/ada/groups"),
        ("PATCH", "/rbac/users/ada"),
        ("POST", "/groups"),
        ("POST", "/admins"),
        ("POST", "/event-hooks"),
        ("GET", "/audit/requests"),
        ("PUT", "/debug/node/log-level/debug"),
    ] {
        assert_eq!(by(&api, "ada", method, path).await, 403, "{method} {path}");
    }
    let body = json!({ "name": "t", "host": "h.test" });
    for header in ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"] {
        for value in ["GET", "/services"] {
            let headers = [(TOKEN, "ada"), (header, value)];
            ask(&api, "POST", "/services", &headers, body.clone()).await.expect(403);
        }
    }
    assert_eq!(by(&api, "ada", "TRACE", "/services").await, 405);
    // A token in the query or in a form is none.
    ask(&api, "GET", "/services?kong-admin-token=ada", &[], Value::Null).await.expect(401);
}

#[tokio::test]
async fn administrators_are_invited_and_register() {
    let api = guarded().await;
    let input = json!({ "username": "ada", "email": "ada@corp.test" });
    let made = root(&api, "POST", "/admins", input.clone()).await;
    assert_eq!(made.status, 200);
    assert_eq!(made.body["admin"]["status"], 4);
    assert_eq!(made.body["admin"].get("rbac_user"), None);
    assert_eq!(root(&api, "POST", "/admins", input).await.status, 409);
    assert_eq!(root(&api, "GET", "/admins/ada@corp.test", Value::Null).await.body, made.body["admin"]);
    root(&api, "POST", "/admins/ada/roles", json!({ "roles": "read-only" })).await;
    let link = root(&api, "GET", "/admins/ada?generate_register_url=true", Value::Null).await.body;
    let token = link["token"].as_str().unwrap();
    let url = format!("http://gui.test/register?email=ada%40corp%2Etest&username=ada&token={token}");
    assert_eq!(link["register_url"], json!(url));
    let registers =
        |token: &str| json!({ "username": "ada", "email": "ada@corp.test", "token": token, "password": "p" });
    assert_eq!(ask(&api, "POST", "/admins/register", &[], registers("wrong")).await.status, 401);
    let mut long = registers(token);
    long["password"] = "p".repeat(41).into();
    ask(&api, "POST", "/admins/register", &[], long).await.expect(400);
    assert_eq!(ask(&api, "POST", "/admins/register", &[], registers(token)).await.status, 201);
    assert_eq!(ask(&api, "POST", "/admins/register", &[], registers(token)).await.status, 401, "once");
    let ada = basic("ada", "p");
    assert_eq!(ask(&api, "GET", "/services", &[("authorization", &ada)], Value::Null).await.status, 200);
    assert_eq!(ask(&api, "DELETE", "/services/s", &[("authorization", &ada)], Value::Null).await.status, 403);
    let renewed = ask(&api, "PATCH", "/admins/self/token", &[("authorization", &ada)], json!({})).await;
    assert_eq!(by(&api, renewed.body["token"].as_str().unwrap(), "GET", "/services").await, 200);
    root(&api, "PATCH", "/admins/ada", json!({ "rbac_token_enabled": false })).await;
    assert_eq!(by(&api, renewed.body["token"].as_str().unwrap(), "GET", "/services").await, 401);
    assert_eq!(root(&api, "PATCH", "/admins/ada", json!({ "password": "x" })).await.status, 400);
    assert_eq!(root(&api, "DELETE", "/admins/ada", Value::Null).await.status, 204);
    assert_eq!(ask(&api, "GET", "/services", &[("authorization", &ada)], Value::Null).await.status, 401);
}

#[tokio::test]
async fn administrators_choose_new_passwords() {
    let api = guarded().await;
    root(&api, "PATCH", "/admins/kong_admin", json!({ "email": "root@corp.test" })).await.expect(200);
    let session = ask(&api, "GET", "/auth", &[("authorization", &basic("kong_admin", "secret"))], Value::Null).await;
    let cookie = session.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let path = "/admins/password_resets";
    for email in ["root@corp.test", "nobody@corp.test"] {
        let asked = ask(&api, "POST", path, &[], json!({ "email": email })).await.expect(201);
        assert_eq!(asked.body, Value::Null, "{email}");
    }
    ask(&api, "POST", path, &[], json!({})).await.expect(400);
    user(&api, "", "looker", "read-only").await;
    assert_eq!(by(&api, "looker", "GET", "/admins/kong_admin").await, 200);
    assert_eq!(by(&api, "looker", "GET", "/admins/kong_admin?generate_reset_url=true").await, 403);
    let link = root(&api, "GET", "/admins/kong_admin?generate_reset_url=true", Value::Null).await.expect(200).body;
    let token = link["token"].as_str().unwrap();
    let url =
        format!("http://gui.test/account/reset-password?email=root%40corp%2Etest&username=kong%5Fadmin&token={token}");
    assert_eq!(link["reset_url"], json!(url));
    assert_eq!(link.get("reset"), None);
    let resets = |token: &str| json!({ "email": "root@corp.test", "token": token, "password": "better" });
    ask(&api, "PATCH", path, &[], resets("wrong")).await.expect(401);
    // Registering is for those who have not yet.
    ask(&api, "POST", "/admins/register", &[], resets(token)).await.expect(401);
    // Wrong passwords of before do not count then.
    for _ in 0..2 {
        let wrong = basic("kong_admin", "wrong");
        ask(&api, "GET", "/auth", &[("authorization", &wrong)], Value::Null).await.expect(401);
    }
    ask(&api, "PATCH", path, &[], resets(token)).await.expect(200);
    ask(&api, "PATCH", path, &[], resets(token)).await.expect(401);
    ask(&api, "GET", "/userinfo", &[("cookie", &cookie)], Value::Null).await.expect(401);
    let better = basic("root@corp.test", "better");
    ask(&api, "GET", "/auth", &[("authorization", &better)], Value::Null).await.expect(200);
    root(&api, "POST", "/admins", json!({ "username": "ada", "email": "a@corp.test" })).await.expect(200);
    root(&api, "GET", "/admins/ada?generate_reset_url=true", Value::Null).await.expect(400);
}

#[tokio::test]
async fn guesses_of_all_names_of_an_administrator_count_together() {
    let api = guarded().await;
    root(&api, "PATCH", "/admins/kong_admin", json!({ "email": "root@corp.test" })).await.expect(200);
    for name in ["kong_admin", "root@corp.test"] {
        ask(&api, "GET", "/auth", &[("authorization", &basic(name, "wrong"))], Value::Null).await.expect(401);
    }
    let right = basic("kong_admin", "secret");
    ask(&api, "GET", "/auth", &[("authorization", &right)], Value::Null).await.expect(401);
}

#[tokio::test]
async fn a_login_ends_the_session_of_before() {
    let api = guarded().await;
    let right = basic("kong_admin", "secret");
    let first = ask(&api, "GET", "/auth", &[("authorization", &right)], Value::Null).await;
    let first = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let headers = [("authorization", right.as_str()), ("cookie", first.as_str())];
    let second = ask(&api, "GET", "/auth", &headers, Value::Null).await.expect(200);
    let second = second.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_ne!(first, second);
    ask(&api, "GET", "/userinfo", &[("cookie", &first)], Value::Null).await.expect(401);
    ask(&api, "GET", "/userinfo", &[("cookie", &second)], Value::Null).await.expect(200);
}

#[tokio::test]
async fn groups_give_their_roles() {
    let api = guarded().await;
    let red = root(&api, "POST", "/workspaces", json!({ "name": "red" })).await.expect(201).body;
    role(&api, "/red", "all", json!({ "endpoint": "*", "actions": "*" })).await.expect(201);
    let of_red = root(&api, "GET", "/red/rbac/roles/all", Value::Null).await.body;
    let group = root(&api, "POST", "/groups", json!({ "name": "devs", "comment": "c" })).await.expect(201).body;
    let link = json!({ "rbac_role_id": of_red["id"], "workspace_id": red["id"] });
    let added = root(&api, "POST", "/groups/devs/roles", link.clone()).await.expect(201).body;
    assert_eq!(added["group"], group);
    assert_eq!(added["rbac_role"]["name"], "all");
    assert_eq!(added["workspace"]["name"], "red");
    root(&api, "POST", "/groups/devs/roles", link.clone()).await.expect(201);
    let listed = root(&api, "GET", "/groups/devs/roles", Value::Null).await.expect(200).body;
    assert_eq!(listed, json!({ "data": [added], "next": null }), "once");
    let super_admin = root(&api, "GET", "/rbac/roles/super-admin", Value::Null).await.body;
    let elsewhere = json!({ "rbac_role_id": super_admin["id"], "workspace_id": red["id"] });
    root(&api, "POST", "/groups/devs/roles", elsewhere).await.expect(400);
    root(&api, "POST", "/rbac/users", json!({ "name": "ada", "user_token": "ada" })).await.expect(201);
    assert_eq!(by(&api, "ada", "GET", "/red/services").await, 403);
    let entered = root(&api, "POST", "/rbac/users/ada/groups", json!({ "groups": "devs" })).await.expect(201).body;
    assert_eq!(entered["groups"][0]["name"], "devs");
    root(&api, "POST", "/rbac/users/ada/groups", json!({ "groups": ["devs"] })).await.expect(201);
    root(&api, "POST", "/rbac/users/ada/groups", json!({ "groups": "none" })).await.expect(400);
    assert_eq!(by(&api, "ada", "GET", "/red/services").await, 200);
    let permissions = root(&api, "GET", "/rbac/users/ada/permissions", Value::Null).await.body;
    assert_eq!(permissions["endpoints"]["red"]["*"]["negative"], json!(false));
    // Who may give roles in one workspace does not get those of others through a group.
    let default = root(&api, "GET", "/workspaces/default", Value::Null).await.body;
    root(&api, "POST", "/groups", json!({ "name": "masters" })).await.expect(201);
    let all = json!({ "rbac_role_id": super_admin["id"], "workspace_id": default["id"] });
    root(&api, "POST", "/groups/masters/roles", all).await.expect(201);
    root(&api, "POST", "/red/rbac/users", json!({ "name": "eve", "user_token": "eve" })).await.expect(201);
    root(&api, "POST", "/red/rbac/users/eve/roles", json!({ "roles": "all" })).await.expect(201);
    let by_eve = async |method: &str, path: &str, body: Value| ask(&api, method, path, &[(TOKEN, "eve")], body).await;
    by_eve("POST", "/red/rbac/users/eve/groups", json!({ "groups": "masters" })).await.expect(403);
    by_eve("POST", "/red/groups", json!({ "name": "own" })).await.expect(403);
    by_eve("GET", "/red/rbac/users/eve/groups", Value::Null).await.expect(200);
    root(&api, "DELETE", "/rbac/users/ada/groups", json!({ "groups": "devs" })).await.expect(204);
    assert_eq!(by(&api, "ada", "GET", "/red/services").await, 403);
    root(&api, "DELETE", "/groups/devs/roles", link).await.expect(204);
    root(&api, "DELETE", "/groups/devs", Value::Null).await.expect(204);
    root(&api, "GET", "/groups/devs", Value::Null).await.expect(404);
}

#[tokio::test]
async fn the_gui_has_sessions() {
    let api = guarded().await;
    let (right, wrong) = (basic("kong_admin", "secret"), basic("kong_admin", "wrong"));
    let log_in =
        async |authorization: &str| ask(&api, "GET", "/auth", &[("authorization", authorization)], Value::Null).await;
    assert_eq!(log_in(&wrong).await.status, 401);
    let session = log_in(&right).await;
    assert_eq!(session.status, 200);
    let cookie = session.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let with =
        async |method: &str, path: &str, body: Value| ask(&api, method, path, &[("cookie", &cookie)], body).await;
    let info = with("GET", "/userinfo", Value::Null).await.body;
    assert_eq!(info["admin"]["username"], "kong_admin");
    assert_eq!(info["workspaces"][0]["name"], "default");
    assert_eq!(info["permissions"]["endpoints"]["*"]["*"]["negative"], json!(false));
    let other = [("cookie", cookie.as_str()), ("kong-admin-user", "bob")];
    assert_eq!(ask(&api, "GET", "/userinfo", &other, Value::Null).await.status, 401, "the GUI means another one");
    let second = log_in(&right).await.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let change = json!({ "old_password": "secret", "password": "better" });
    assert_eq!(
        with("PATCH", "/admins/self/password", json!({ "old_password": "x", "password": "y" })).await.status,
        400
    );
    let long = json!({ "old_password": "secret", "password": "p".repeat(41) });
    assert_eq!(with("PATCH", "/admins/self/password", long).await.status, 400);
    assert_eq!(with("PATCH", "/admins/self/password", change).await.status, 204);
    assert_eq!(ask(&api, "GET", "/userinfo", &[("cookie", &second)], Value::Null).await.status, 401);
    assert_eq!(with("GET", "/userinfo", Value::Null).await.status, 200);
    assert_eq!(with("DELETE", "/auth?session_logout=true", Value::Null).await.status, 200);
    assert_eq!(with("GET", "/userinfo", Value::Null).await.status, 401);
    for _ in 0..2 {
        assert_eq!(log_in(&wrong).await.status, 401);
    }
    assert_eq!(log_in(&basic("kong_admin", "better")).await.status, 401, "guessed wrong too often");
}

#[tokio::test]
async fn pages_of_any_origin_cannot_use_sessions() {
    let api = guarded().await;
    let answer = ask(&api, "GET", "/services", &[("origin", "http://evil.test")], Value::Null).await;
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let open = Api::new(Options::default()).get("/services").await;
    let headers: &HeaderMap = open.head.headers();
    assert_eq!(headers["access-control-allow-credentials"], "true");
}
