//! Rules about single records.

use super::ask;
use blackbox::Node;

#[test]
fn users_see_what_their_roles_name() {
    let mut node = Node::start(&[("enforce_rbac", "both"), ("password", "secret"), ("audit_log", "on")]);
    let root = |node: &Node, method: &str, path: &str, form: &str| ask(node, "secret", method, path, form);
    let service = root(&node, "POST", "/services", "name=seen&host=h.test").expect(201).json();
    root(&node, "POST", "/services", "name=unseen&host=h.test").expect(201);
    root(&node, "POST", "/rbac/roles", "name=r").expect(201);
    root(&node, "POST", "/rbac/roles/r/endpoints", "endpoint=*&actions=*").expect(201);
    let rule = format!("entity_id={}&actions=read", service["id"].as_str().unwrap());
    root(&node, "POST", "/rbac/roles/r/entities", &rule).expect(201);
    root(&node, "POST", "/rbac/users", "name=ada&user_token=ada").expect(201);
    root(&node, "POST", "/rbac/users/ada/roles", "roles=r").expect(201);
    let listed = ask(&node, "ada", "GET", "/services", "").expect(200).json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    ask(&node, "ada", "GET", "/services/unseen", "").expect(403);
    ask(&node, "ada", "PATCH", "/services/seen", "port=1").expect(403);
    ask(&node, "ada", "POST", "/services/unseen/plugins", "name=key-auth").expect(403);
    ask(&node, "ada", "POST", "/services/seen/plugins", "name=key-auth").expect(201);
    ask(&node, "ada", "POST", "/services", "name=own&host=h.test").expect(201);
    ask(&node, "ada", "PATCH", "/services/own", "port=1").expect(200);
    node.kill();
    node.revive();
    let listed = ask(&node, "ada", "GET", "/services", "").expect(200).json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    ask(&node, "ada", "DELETE", "/services/own", "").expect(204);
    let log = root(&node, "GET", "/audit/objects?size=1000", "").expect(200).text();
    assert!(log.contains("rbac_role_entities"), "what follows from a write is kept, too");
    assert!(log.contains("own"));
}
