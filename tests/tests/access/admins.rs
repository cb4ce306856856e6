//! Administrators, their sessions and passwords.

use super::ask;
use blackbox::http::request;
use blackbox::{Node, eventually};
use serde_json::json;

#[test]
fn passwords_are_reset_by_links_that_no_log_has() {
    let node = Node::start(&[
        ("enforce_rbac", "on"),
        ("password", "secret"),
        ("admin_gui_auth", "basic-auth"),
        ("admin_gui_session_conf", r#"{"secret":"s","cookie_secure":false}"#),
        ("log_level", "debug"),
    ]);
    let as_json = [("Content-Type", "application/json")];
    let resets = |method: &str, body: serde_json::Value| {
        request(node.admin(), method, "/admins/password_resets", &as_json, body.to_string().as_bytes()).unwrap()
    };
    ask(&node, "secret", "PATCH", "/admins/kong_admin", "email=root%40corp.test").expect(200);
    resets("POST", json!({ "email": "root@corp.test" })).expect(201);
    eventually("the log says how to go on", || node.log().contains("generate_reset_url=true"));
    let link = ask(&node, "secret", "GET", "/admins/kong_admin?generate_reset_url=true", "").expect(200).json();
    let token = link["token"].as_str().unwrap();
    resets("PATCH", json!({ "email": "root@corp.test", "token": token, "password": "a-new-one" })).expect(200);
    let basic = [("Authorization", "Basic a29uZ19hZG1pbjphLW5ldy1vbmU=")];
    let session = request(node.admin(), "GET", "/auth", &basic, b"").unwrap().expect(200);
    let cookie = session.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let info = request(node.admin(), "GET", "/userinfo", &[("Cookie", &cookie)], b"").unwrap().expect(200).json();
    assert_eq!(info["admin"]["username"], "kong_admin");
    let log = node.log();
    for secret in [token, "a-new-one", "a29uZ19hZG1pbj", cookie.as_str()] {
        assert!(!log.contains(secret), "{secret}");
    }
}
