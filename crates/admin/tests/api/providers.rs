//! Administrators who are known to an LDAP server or to an issuer of OpenID Connect.

use super::access::{TOKEN, ask, basic, role, root};
use super::{Answer, Api};
use admin::{
    AccessOptions, Complexity, Enforcement, GuiAuth, Identity, Login, LoginOutcome, Options, Provider, ProviderKind,
    SessionOptions,
};
use hyper::header::HeaderName;
use serde_json::{Value, json};
use std::time::Duration;

const GUI: &str = "https://gui.test";

/// An API whose administrators a provider knows; `kong_admin` has the token `secret`.
async fn with(provider: Provider) -> Api {
    let gui = GuiAuth {
        user_header: HeaderName::from_static("kong-admin-user"),
        attempts: 2,
        attempts_ttl: Duration::from_secs(60),
        complexity: Complexity::default(),
        session: SessionOptions { secret: "s".to_owned(), ..SessionOptions::default() },
        provider: Some(Provider { gui_url: GUI.to_owned(), ..provider }),
    };
    let access = AccessOptions { enforcement: Enforcement::Endpoints, gui: Some(gui), ..AccessOptions::default() };
    let api = Api::new(Options { access, ..Options::default() });
    assert_eq!(admin::prepare_access(&api.store, Some("secret")).await, Ok(true));
    api
}

fn issuer() -> Provider {
    Provider { kind: ProviderKind::OpenidConnect, creates: true, ..Provider::default() }
}

fn known(name: &str, groups: &[&str]) -> Login {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Login {
        outcome: LoginOutcome::Known(Identity { name: name.to_owned(), groups }),
        cookies: vec!["provider=1; Path=/auth".to_owned()],
    }
}

fn without_cookies(outcome: LoginOutcome) -> Login {
    Login { outcome, cookies: Vec::new() }
}

/// What the plugin finds out next, and the answer to the request that it is asked about.
async fn log_in(api: &Api, found: Login, headers: &[(&str, &str)]) -> Answer {
    api.node.logins.lock().unwrap().push_back(found);
    ask(api, "GET", "/auth?code=c", headers, Value::Null).await
}

fn cookies(answer: &Answer) -> Vec<String> {
    let lines = answer.head.headers().get_all("set-cookie").iter();
    lines.map(|line| line.to_str().unwrap().split(';').next().unwrap().to_owned()).collect()
}

/// The session that an answer begins.
fn session(answer: &Answer) -> String {
    cookies(answer).into_iter().find(|cookie| cookie.starts_with("session=") && cookie.len() > 8).unwrap()
}

async fn info(api: &Api, session: &str) -> Answer {
    ask(api, "GET", "/userinfo", &[("cookie", session)], Value::Null).await
}

async fn invite(api: &Api, name: &str) {
    let invitation = json!({ "username": name, "email": format!("{name}@corp.test") });
    root(api, "POST", "/admins", invitation).await.expect(200);
}

#[tokio::test]
async fn an_issuer_brings_administrators_and_groups() {
    let api = with(issuer()).await;
    role(&api, "", "readers", json!({ "endpoint": "services", "actions": "read" })).await.expect(201);
    role(&api, "", "routers", json!({ "endpoint": "routes", "actions": "read" })).await.expect(201);
    let roles = root(&api, "GET", "/rbac/roles/readers", Value::Null).await.expect(200).body;
    let workspace = root(&api, "GET", "/workspaces/default", Value::Null).await.expect(200).body;
    root(&api, "POST", "/groups", json!({ "name": "staff" })).await.expect(201);
    let link = json!({ "rbac_role_id": roles["id"], "workspace_id": workspace["id"] });
    root(&api, "POST", "/groups/staff/roles", link).await.expect(201);

    let found = known("ada", &["staff", "default:routers", "default:absent", "nowhere:routers", "", "other"]);
    let answer = log_in(&api, found, &[]).await.expect(302);
    assert_eq!(answer.head.headers()["location"], GUI);
    assert_eq!(cookies(&answer).len(), 2, "that of the plugin, too");
    let session = session(&answer);
    let info = info(&api, &session).await.expect(200).body;
    assert_eq!(info["admin"]["username"], "ada");
    assert_eq!(info["groups"], json!(["staff", "default:routers"]));
    for (path, status) in [("/services", 200), ("/routes", 200), ("/consumers", 403)] {
        assert_eq!(ask(&api, "GET", path, &[("cookie", &session)], Value::Null).await.status, status, "{path}");
    }
    let admins = root(&api, "GET", "/admins/ada", Value::Null).await.expect(200).body;
    assert_eq!(admins["rbac_token_enabled"], false);
    let roles = root(&api, "GET", "/admins/ada/roles", Value::Null).await.expect(200).body;
    assert_eq!(roles["roles"], json!([]), "what the issuer says is good for the session");
    root(&api, "DELETE", "/groups/staff", Value::Null).await.expect(204);
    assert_eq!(ask(&api, "GET", "/services", &[("cookie", &session)], Value::Null).await.status, 403);
}

#[tokio::test]
async fn a_login_ends_the_session_that_the_browser_had() {
    let api = with(issuer()).await;
    let first = session(&log_in(&api, known("ada", &[]), &[]).await.expect(302));
    let second = session(&log_in(&api, known("ada", &[]), &[("cookie", &first)]).await.expect(302));
    assert_ne!(first, second);
    info(&api, &first).await.expect(401);
    info(&api, &second).await.expect(200);
}

#[tokio::test]
async fn a_logout_ends_the_session_and_goes_on_to_the_issuer() {
    let api = with(issuer()).await;
    let session = session(&log_in(&api, known("ada", &[]), &[]).await.expect(302));
    let leaves = || without_cookies(LoginOutcome::Redirect("https://issuer.test/end".to_owned()));
    api.node.logins.lock().unwrap().push_back(leaves());
    let answer = ask(&api, "GET", "/auth?openid_logout=true", &[("cookie", &session)], Value::Null).await.expect(302);
    assert_eq!(answer.head.headers()["location"], "https://issuer.test/end");
    assert_eq!(cookies(&answer), ["session="]);
    info(&api, &session).await.expect(401);
    // Another site's page cannot have a browser forget a session that it does not send.
    api.node.logins.lock().unwrap().push_back(leaves());
    let answer = ask(&api, "GET", "/auth?openid_logout=true", &[], Value::Null).await.expect(302);
    assert_eq!(cookies(&answer), [] as [String; 0]);
}

#[tokio::test]
async fn who_is_no_administrator_stays_out() {
    let api = with(Provider { creates: false, ..issuer() }).await;
    log_in(&api, known("eve", &["default:super-admin"]), &[]).await.expect(401);
    let page = ("accept", "text/html,*/*");
    let answer = log_in(&api, known("eve", &[]), &[page]).await.expect(302);
    assert_eq!(answer.head.headers()["location"], "https://gui.test?login=refused");
    assert!(!cookies(&answer).iter().any(|cookie| cookie.starts_with("session=")));
    log_in(&api, without_cookies(LoginOutcome::Refused), &[]).await.expect(401);
    log_in(&api, without_cookies(LoginOutcome::Unavailable), &[]).await.expect(503);
    let answer = log_in(&api, without_cookies(LoginOutcome::Unavailable), &[page]).await.expect(302);
    assert_eq!(answer.head.headers()["location"], "https://gui.test?login=failed");
    // Whoever was invited need not choose a password.
    invite(&api, "eve").await;
    log_in(&api, known("eve", &[]), &[]).await.expect(302);
    assert_eq!(root(&api, "GET", "/admins/eve", Value::Null).await.body["status"], 0);
    for (method, path) in [("POST", "/admins/register"), ("POST", "/admins/password_resets")] {
        ask(&api, method, path, &[], json!({ "email": "eve@corp.test" })).await.expect(404);
    }
    // A password is not asked about.
    let shown = [("authorization", basic("eve", "x"))];
    assert_eq!(ask(&api, "GET", "/services", &[(shown[0].0, &shown[0].1)], Value::Null).await.status, 401);
}

#[tokio::test]
async fn a_name_does_not_make_somebody_else_of_anybody() {
    let api = with(issuer()).await;
    let user = json!({ "name": "robot", "user_token": "robot" });
    root(&api, "POST", "/rbac/users", user).await.expect(201);
    log_in(&api, known("robot", &[]), &[]).await.expect(401);
    for name in [String::new(), "x".repeat(300)] {
        log_in(&api, known(&name, &[]), &[]).await.expect(401);
    }
    // An address is not a name.
    invite(&api, "eve").await;
    let answer = log_in(&api, known("eve@corp.test", &[]), &[]).await.expect(302);
    assert_eq!(info(&api, &session(&answer)).await.body["admin"]["username"], "eve@corp.test");
}

#[tokio::test]
async fn names_may_be_found_by_other_ways() {
    let api = with(Provider { ignore_case: true, creates: false, ..issuer() }).await;
    invite(&api, "Ada").await;
    let answer = log_in(&api, known("ada", &[]), &[]).await.expect(302);
    assert_eq!(info(&api, &session(&answer)).await.body["admin"]["username"], "Ada");
    invite(&api, "ADA").await;
    log_in(&api, known("ada", &[]), &[]).await.expect(401);
    let api = with(Provider { by_custom_id: true, ..issuer() }).await;
    let answer = log_in(&api, known("00u1", &[]), &[]).await.expect(302);
    assert_eq!(info(&api, &session(&answer)).await.body["admin"]["custom_id"], "00u1");
}

#[tokio::test]
async fn an_ldap_server_knows_passwords() {
    let api = with(Provider { kind: ProviderKind::Ldap, ..Provider::default() }).await;
    invite(&api, "ada").await;
    let line = basic("ada", "right");
    let shown = [("authorization", line.as_str()), ("kong-admin-user", "ada")];
    let right = || known("ada", &["default:super-admin"]);
    let wrong = || without_cookies(LoginOutcome::Refused);
    let session = session(&log_in(&api, right(), &shown).await.expect(200));
    assert_eq!(info(&api, &session).await.expect(200).body["groups"], json!([]), "roles are an issuer's words");
    // Each request may show it.
    api.node.logins.lock().unwrap().push_back(right());
    ask(&api, "GET", "/userinfo", &shown, Value::Null).await.expect(200);
    log_in(&api, without_cookies(LoginOutcome::Unavailable), &shown).await.expect(503);
    let nobody = basic("nobody", "right");
    log_in(&api, known("nobody", &[]), &[("authorization", &nobody)]).await.expect(401);
    // Too many wrong ones refuse the right one.
    log_in(&api, wrong(), &shown).await.expect(401);
    log_in(&api, wrong(), &shown).await.expect(401);
    log_in(&api, right(), &shown).await.expect(401);
    let change = json!({ "old_password": "right", "password": "another" });
    let own = [("cookie", session.as_str())];
    ask(&api, "PATCH", "/admins/self/password", &own, change).await.expect(404);
    ask(&api, "GET", "/services", &[(TOKEN, "secret")], Value::Null).await.expect(200);
}
