//! What Kong's open-source edition does not have, on two nodes of one database: each node knows what the other one was
//! told.

use crate::setup::{bootstrapped, node};
use blackbox::http::{Response, get, request};
use blackbox::{Backend, Node, Postgres, Scripted, eventually};
use serde_json::Value;

fn ask(node: &Node, token: &str, method: &str, path: &str, form: &str) -> Response {
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    request(node.admin(), method, path, &[kind, ("Kong-Admin-Token", token)], form.as_bytes()).unwrap()
}

/// The values of a field in a list of records.
fn all<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list["data"].as_array().unwrap().iter().filter_map(|record| record[field].as_str()).collect()
}

#[test]
fn users_and_what_they_may_are_known_to_all_nodes() {
    let more = [("enforce_rbac", "both"), ("password", "secret"), ("audit_log", "on")];
    let settings = bootstrapped(Postgres::shared(), &more);
    let (one, other) = (node(&settings), node(&settings));
    let root = |node: &Node, method: &str, path: &str, form: &str| ask(node, "secret", method, path, form);
    root(&one, "POST", "/workspaces", "name=w").expect(201);
    root(&one, "POST", "/w/services", "name=seen&host=h.test").expect(201);
    root(&one, "POST", "/services", "name=unseen&host=h.test").expect(201);
    root(&one, "POST", "/w/rbac/roles", "name=r").expect(201);
    root(&one, "POST", "/w/rbac/roles/r/endpoints", "endpoint=*&actions=*").expect(201);
    root(&one, "POST", "/w/rbac/roles/r/entities", "entity_id=*&actions=read").expect(201);
    root(&one, "POST", "/w/rbac/users", "name=ada&user_token=ada").expect(201);
    root(&one, "POST", "/w/rbac/users/ada/roles", "roles=r").expect(201);
    // The user is looked up in the database.
    let listed = ask(&other, "ada", "GET", "/w/services", "").expect(200).json();
    assert_eq!(all(&listed, "name"), ["seen"]);
    ask(&other, "ada", "GET", "/services", "").expect(403);
    ask(&other, "ada", "PATCH", "/w/services/seen", "port=1").expect(403);
    ask(&other, "ada", "POST", "/w/services", "name=own&host=h.test").expect(201);
    // Whoever makes a record may do everything with it, on all nodes.
    ask(&one, "ada", "PATCH", "/w/services/own", "port=1").expect(200);
    ask(&one, "nobody", "GET", "/w/services", "").expect(401);
    root(&other, "DELETE", "/w/rbac/users/ada", "").expect(204);
    ask(&one, "ada", "GET", "/w/services", "").expect(401);
    root(&one, "POST", "/groups", "name=g").expect(201);
    let role = root(&other, "GET", "/w/rbac/roles/r", "").expect(200).json();
    let workspace = root(&other, "GET", "/workspaces/w", "").expect(200).json();
    let (role, workspace) = (role["id"].as_str().unwrap(), workspace["id"].as_str().unwrap());
    root(&other, "POST", "/groups/g/roles", &format!("rbac_role_id={role}&workspace_id={workspace}")).expect(201);
    assert!(root(&one, "GET", "/groups/g/roles", "").expect(200).text().contains(role));
    // A request is noted when it is over.
    let noted = |node: &Node, words: &str| root(node, "GET", "/audit/requests?size=1000", "").text().contains(words);
    eventually("the requests of one node are seen on the other", || noted(&other, "/w/rbac/roles/r/endpoints"));
    eventually("and the other way round", || noted(&one, "/w/rbac/users/ada"));
    let objects = root(&one, "GET", "/audit/objects?size=1000", "").expect(200).json();
    assert!(all(&objects, "dao_name").contains(&"rbac_role_endpoints"));
}

#[test]
fn groups_partials_and_hooks_act_on_all_nodes() {
    let backend = Backend::start("b");
    let sink = Scripted::answering("text/plain", b"");
    let settings = bootstrapped(Postgres::shared(), &[("db_update_frequency", "3600")]);
    let (one, other) = (node(&settings), node(&settings));
    let post = |node: &Node, path: &str, form: &str| ask(node, "", "POST", path, form).expect(201);
    post(&one, "/services", &format!("name=s&url=http://{}", backend.address));
    post(&one, "/services/s/routes", "name=r&paths[]=/");
    post(&one, "/plugins", "name=key-auth");
    post(&one, "/consumer_groups", "name=gold");
    for name in ["ada", "bob"] {
        post(&one, "/consumers", &format!("username={name}"));
        post(&one, &format!("/consumers/{name}/key-auth"), &format!("key={name}"));
    }
    post(&one, "/consumers/ada/consumer_groups", "group=gold");
    post(&one, "/consumer_groups/gold/plugins", "name=request-termination&config.status_code=418");
    let status = |node: &Node, key: &str| request(node.proxy(), "GET", "/", &[("apikey", key)], b"").unwrap().status;
    eventually("the plugin of the group acts on the other node", || status(&other, "ada") == 418);
    eventually("not on those outside of the group", || status(&other, "bob") == 200);
    ask(&other, "", "DELETE", "/consumers/ada/consumer_groups/gold", "").expect(204);
    eventually("who leaves the group is out of it on the first node", || status(&one, "ada") == 200);

    post(&one, "/partials", "name=p&type=redis-ce&config.host=h.test");
    let limits = "name=rate-limiting&enabled=false&config.minute=5&config.policy=redis&partials[1].name=p";
    let plugin = post(&other, "/plugins", limits).json();
    let path = format!("/plugins/{}", plugin["id"].as_str().unwrap());
    assert_eq!(get(one.admin(), &path).expect(200).json()["partials"], plugin["partials"]);
    ask(&one, "", "DELETE", "/partials/p", "").expect(400);

    let hook = format!("source=crud&event=consumers&handler=webhook&config.url=http://{}/", sink.address);
    post(&one, "/event-hooks", &hook);
    let told = |words: &str| sink.requests().iter().any(|seen| String::from_utf8_lossy(&seen.body).contains(words));
    // The other node may have found that there are no hooks a moment before.
    let mut number = 0;
    eventually("the hook of one node is told of writes to the other", || {
        number += 1;
        post(&other, "/consumers", &format!("username=lovelace-{number}"));
        told("lovelace")
    });
    post(&one, "/consumers", "username=babbage");
    eventually("and of those to its own", || told("babbage"));
}
