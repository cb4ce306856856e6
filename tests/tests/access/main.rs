//! Users of the Admin API on a running node.

mod admins;
mod events;
mod providers;
mod records;

use blackbox::http::{Response, get, request};
use blackbox::{Node, bascule};
use serde_json::json;

pub fn ask(node: &Node, token: &str, method: &str, path: &str, form: &str) -> Response {
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    request(node.admin(), method, path, &[kind, ("Kong-Admin-Token", token)], form.as_bytes()).unwrap()
}

#[test]
fn users_need_tokens() {
    let mut node = Node::start(&[("enforce_rbac", "on"), ("password", "secret")]);
    let refused = get(node.admin(), "/services").expect(401);
    assert_eq!(refused.json(), json!({ "message": "Invalid RBAC credentials" }));
    get(node.status(), "/status").expect(200);
    let root = ask(&node, "secret", "GET", "/", "").expect(200).json();
    assert_eq!(root["configuration"]["rbac"], "on");
    assert_eq!(root["configuration"]["password"], "******");
    ask(&node, "secret", "POST", "/rbac/users", "name=read-only&user_token=reads").expect(201);
    ask(&node, "reads", "GET", "/services", "").expect(200);
    let refused = ask(&node, "reads", "POST", "/services", "name=s&host=h.test").expect(403);
    assert_eq!(refused.json()["message"], "read-only, you do not have permissions to create this resource");
    node.kill();
    node.revive();
    ask(&node, "reads", "GET", "/services", "").expect(200);
    node.kill();
    node.set("enforce_rbac", "off");
    node.revive();
    get(node.admin(), "/services").expect(200);
}

#[test]
fn what_cannot_be_enforced_stops_the_start() {
    for (settings, words) in [
        (&[("enforce_rbac", "both"), ("database", "off")][..], "enforce_rbac: users need a database"),
        (&[("admin_gui_auth", "basic-auth")], "admin_gui_session_conf: must be a JSON object"),
        (&[("admin_gui_auth", "key-auth")], "admin_gui_auth = key-auth is not available"),
    ] {
        let mut check = bascule();
        check.arg("check").arg("/dev/null");
        for (name, value) in settings {
            check.env(format!("KONG_{}", name.to_uppercase()), value);
        }
        let output = check.output().unwrap();
        assert!(!output.status.success(), "{words}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(words), "{said}");
    }
}
