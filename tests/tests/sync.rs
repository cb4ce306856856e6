//! `bascule dump`, `diff` and `sync` between nodes.

use blackbox::http::{form, get, json, request};
use blackbox::tls::Pair;
use blackbox::{Node, bascule};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

fn run(command: &str, node: &Node, file: &Path, more: &[&str]) -> Output {
    let admin = format!("http://{}", node.admin());
    bascule().args([command, file.to_str().unwrap(), "--admin", &admin]).args(more).output().unwrap()
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

const FILE: &str = r#"
_format_version: "3.0"
_info:
  select_tags: [team-a]
  defaults:
    service:
      retries: 2
_plugin_configs:
  limits:
    minute: 7
    policy: local
services:
- name: orders
  url: http://orders.test
  routes:
  - name: orders
    paths: ["/orders"]
    plugins:
    - name: key-auth
  plugins:
  - name: rate-limiting
    _config: limits
    config:
      hour: ${{ env "DECK_HOUR" }}
upstreams:
- name: orders.test
  targets:
  - target: 127.0.0.1:9
    weight: 5
consumers:
- username: ada
  keyauth_credentials:
  - key: adas-key
  basicauth_credentials:
  - username: ada
    password: adas-password
  acls:
  - group: admins
  groups:
  - name: gold
consumer_groups:
- name: gold
"#;

#[test]
fn a_node_becomes_what_a_file_says() {
    let node = Node::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.yaml");
    std::fs::write(&file, FILE.replace(r#"${{ env "DECK_HOUR" }}"#, "100")).unwrap();
    // What others have made stays theirs.
    form(node.admin(), "POST", "/services", "name=other&url=http://other.test").expect(201);
    let told = said(&run("diff", &node, &file, &["--non-zero-exit-code"]), 2);
    assert!(told.contains("creating service orders\n"), "{told}");
    assert!(told.ends_with("Summary:\n  Created: 12\n  Updated: 0\n  Deleted: 0\n"), "{told}");
    assert!(!told.contains("adas-"), "{told}");
    assert_eq!(get(node.admin(), "/routes").json()["data"], json!([]), "diff changes nothing");
    let told = said(&run("sync", &node, &file, &[]), 0);
    assert!(told.ends_with("Summary:\n  Created: 12\n  Updated: 0\n  Deleted: 0\n"), "{told}");
    let service = get(node.admin(), "/services/orders").expect(200).json();
    assert_eq!(service["retries"], 2);
    assert_eq!(service["tags"], json!(["team-a"]));
    let plugin = &get(node.admin(), "/services/orders/plugins").expect(200).json()["data"][0];
    assert_eq!((&plugin["config"]["minute"], &plugin["config"]["hour"]), (&json!(7), &json!(100)));
    get(node.admin(), "/consumer_groups/gold/consumers/ada").expect(200);
    let told = said(&run("diff", &node, &file, &["--non-zero-exit-code"]), 0);
    assert!(told.ends_with("Created: 0\n  Updated: 0\n  Deleted: 0\n"), "{told}");
    // Somebody has changed things by hand meanwhile.
    let patched = json!({ "retries": 9, "host": "elsewhere.test" });
    json(node.admin(), "PATCH", "/services/orders", &patched).expect(200);
    request(node.admin(), "DELETE", "/consumers/ada/acls/admins", &[], b"").unwrap().expect(204);
    form(node.admin(), "POST", "/services/orders/routes", "name=stray&paths[]=/stray&tags[]=team-a").expect(201);
    let told = said(&run("sync", &node, &file, &[]), 0);
    assert!(told.contains("updating service orders\n"), "{told}");
    assert!(told.contains("host: \"elsewhere.test\" → \"orders.test\""), "{told}");
    assert!(told.contains("deleting route stray\n"), "{told}");
    assert!(told.ends_with("Created: 1\n  Updated: 1\n  Deleted: 1\n"), "{told}");
    get(node.admin(), "/services/other").expect(200);
}

#[test]
fn what_has_no_name_keeps_its_id() {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/routes", "paths[]=/alone").expect(201);
    let service = form(node.admin(), "POST", "/services", "host=h.test").expect(201).json();
    let inside = format!("/services/{}/routes", service["id"].as_str().unwrap());
    let route = form(node.admin(), "POST", &inside, "paths[]=/a").expect(201).json();
    let plugins = format!("/routes/{}/plugins", route["id"].as_str().unwrap());
    form(node.admin(), "POST", &plugins, "name=cors").expect(201);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dumped.yaml");
    said(&run("dump", &node, &file, &[]), 0);
    let told = said(&run("diff", &node, &file, &["--non-zero-exit-code"]), 0);
    assert!(told.ends_with("Created: 0\n  Updated: 0\n  Deleted: 0\n"), "{told}");
}

#[test]
fn what_has_neither_name_nor_id_is_known_by_its_content() {
    let node = Node::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.yaml");
    let write = |paths: &str| {
        let routes = "  - paths: [/twice]\n  - paths: [/twice]\n";
        let text = format!(
            "_format_version: \"3.0\"\nservices:\n- name: s\n  host: a.test\n  routes:\n{routes}  - paths: \
             [{paths}]\n    plugins:\n    - name: cors\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    let ids = || {
        let routes = get(node.admin(), "/routes").expect(200).json();
        let mut ids: Vec<String> =
            routes["data"].as_array().unwrap().iter().map(|route| route["id"].to_string()).collect();
        ids.sort();
        ids
    };
    write("/one");
    said(&run("sync", &node, &file, &[]), 0);
    let before = ids();
    assert_eq!(before.len(), 3);
    let told = said(&run("sync", &node, &file, &[]), 0);
    assert!(told.ends_with("Created: 0\n  Updated: 0\n  Deleted: 0\n"), "{told}");
    assert_eq!(ids(), before);
    said(&run("diff", &node, &file, &["--non-zero-exit-code"]), 0);
    // Another content is another route.
    write("/other");
    said(&run("sync", &node, &file, &[]), 0);
    assert_eq!(ids().iter().filter(|id| before.contains(id)).count(), 2);
}

#[test]
fn records_make_room_for_their_namesakes() {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", "name=s&host=old.test").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/old").expect(201);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.yaml");
    let id = "33333333-1111-4111-8111-111111111111";
    let text = format!(
        "_format_version: \"3.0\"\nservices:\n- name: s\n  id: {id}\n  host: new.test\n  routes:\n  - name: r\n    \
         paths: [/new]\n"
    );
    std::fs::write(&file, text).unwrap();
    said(&run("sync", &node, &file, &[]), 0);
    assert_eq!(get(node.admin(), "/services/s").expect(200).json()["id"], id);
    assert_eq!(get(node.admin(), "/routes/r").expect(200).json()["service"]["id"], id);
    said(&run("diff", &node, &file, &["--non-zero-exit-code"]), 0);
}

#[test]
fn an_update_resets_nothing() {
    let node = Node::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.yaml");
    let pair = Pair::authority("ca").issue(&["names.test"]);
    let text = |tag: &str| {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        format!(
            "_format_version: \"3.0\"\ncertificates:\n- id: 44444444-1111-4111-8111-111111111111\n  tags: [{tag}]\n  \
             cert: {}\n  key: {}\n  snis: [{{name: names.test}}, {{name: more.test}}]\n\
             routes:\n- {{name: r, paths: [/p], tags: [{tag}]}}\n",
            quoted(&pair.chain),
            quoted(&pair.key),
        )
    };
    std::fs::write(&file, text("a")).unwrap();
    said(&run("sync", &node, &file, &[]), 0);
    // Long ago, by the second of which there is one less.
    json(node.admin(), "PATCH", "/routes/r", &json!({ "created_at": 1_000_000_000 })).expect(200);
    std::fs::write(&file, text("b")).unwrap();
    said(&run("sync", &node, &file, &[]), 0);
    let route = get(node.admin(), "/routes/r").expect(200).json();
    assert_eq!((&route["created_at"], &route["tags"]), (&json!(1_000_000_000), &json!(["b"])));
    let mut names: Vec<Value> = get(node.admin(), "/snis").json()["data"].as_array().unwrap().clone();
    names.sort_by_key(|sni| sni["name"].to_string());
    assert_eq!(names.iter().map(|sni| &sni["name"]).collect::<Vec<_>>(), ["more.test", "names.test"]);
    said(&run("diff", &node, &file, &["--non-zero-exit-code"]), 0);
}

#[test]
fn what_a_node_makes_itself_stays() {
    let node = Node::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.yaml");
    let text = r#"
_format_version: "3.0"
_workspace: team
plugins:
- name: rate-limiting-advanced
  config: {limit: [5], window_size: [60], sync_rate: -1, strategy: local}
consumers:
- username: bar
  groups: [{name: silver}]
consumer_groups:
- name: silver
  consumers: [{username: bar}]
"#;
    std::fs::write(&file, text).unwrap();
    said(&run("diff", &node, &file, &["--non-zero-exit-code"]), 2);
    let told = said(&run("sync", &node, &file, &[]), 0);
    assert!(told.starts_with("creating workspace team\n"), "{told}");
    let namespace = || get(node.admin(), "/team/plugins").json()["data"][0]["config"]["namespace"].clone();
    let before = namespace();
    assert_eq!(before.as_str().map(str::len), Some(32));
    said(&run("sync", &node, &file, &[]), 0);
    assert_eq!(namespace(), before);
    let consumer = form(node.admin(), "POST", "/team/consumers", "custom_id=c").expect(201).json();
    let consumer = format!("consumer={}", consumer["id"].as_str().unwrap());
    form(node.admin(), "POST", "/team/consumer_groups/silver/consumers", &consumer).expect(201);
    let dumped = directory.path().join("dumped.yaml");
    said(&run("dump", &node, &dumped, &["--workspace", "team"]), 0);
    said(&run("diff", &node, &dumped, &["--non-zero-exit-code"]), 0);
}

#[test]
fn plugins_keep_their_partials() {
    let (node, other) = (Node::start(&[]), Node::start(&[]));
    let partial = json!({ "name": "shared", "type": "redis-ce", "config": { "host": "redis.test" } });
    let partial = json(node.admin(), "POST", "/partials", &partial).expect(201).json();
    let config = json!({ "minute": 5, "policy": "redis" });
    let plugin = json!({ "name": "rate-limiting", "config": config, "partials": [{ "id": partial["id"] }] });
    json(node.admin(), "POST", "/plugins", &plugin).expect(201);
    // It has a partial of that name already, with an id of its own.
    form(other.admin(), "POST", "/partials", "name=shared&type=redis-ce&config.host=old.test").expect(201);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dumped.yaml");
    said(&run("dump", &node, &file, &[]), 0);
    said(&run("sync", &other, &file, &[]), 0);
    for node in [&node, &other] {
        said(&run("diff", node, &file, &["--non-zero-exit-code"]), 0);
    }
    let partial = get(other.admin(), "/partials/shared").expect(200).json();
    assert_eq!(partial["config"]["host"], "redis.test");
    assert_eq!(get(other.admin(), "/plugins").json()["data"][0]["partials"][0]["id"], partial["id"]);
}

#[test]
fn references_and_variables_are_written_as_for_deck() {
    let node = Node::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.yaml");
    let text = r#"
_format_version: "3.0"
services:
- name: s
  host: s.test
  port: "${{ env "DECK_SYNC_PORT" | toInt }}"
  enabled: ${{ env "DECK_SYNC_ENABLED" | toBool }}
routes:
- name: r
  paths: [/r]
  service: {name: s}
key_sets:
- name: set
keys:
- name: k
  kid: k
  jwk: >-
    {"kty":"EC","crv":"P-256","kid":"k","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
  set: {name: set}
"#;
    std::fs::write(&file, text).unwrap();
    let sync = |file: &Path| {
        let admin = format!("http://{}", node.admin());
        let mut sync = bascule();
        sync.args(["sync", file.to_str().unwrap(), "--admin", &admin]);
        sync.env("DECK_SYNC_PORT", "8080").env("DECK_SYNC_ENABLED", "false").output().unwrap()
    };
    said(&sync(&file), 0);
    let service = get(node.admin(), "/services/s").expect(200).json();
    assert_eq!((&service["port"], &service["enabled"]), (&json!(8080), &json!(false)));
    assert_eq!(get(node.admin(), "/services/s/routes").expect(200).json()["data"][0]["name"], "r");
    assert_eq!(get(node.admin(), "/key-sets/set/keys").expect(200).json()["data"][0]["name"], "k");
    let told = said(&sync(&file), 0);
    assert!(told.ends_with("Created: 0\n  Updated: 0\n  Deleted: 0\n"), "{told}");
}

#[test]
fn hashed_passwords_are_not_hashed_again() {
    let (node, other) = (Node::start(&[]), Node::start(&[]));
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    form(node.admin(), "POST", "/consumers/ada/basic-auth", "username=ada&password=p").expect(201);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dumped.yaml");
    said(&run("dump", &node, &file, &[]), 0);
    said(&run("diff", &node, &file, &["--non-zero-exit-code"]), 0);
    let told = said(&run("sync", &other, &file, &[]), 1);
    assert!(told.contains("passwords that are hashed already"), "{told}");
    assert_eq!(get(other.admin(), "/consumers").json()["data"], json!([]), "nothing is done");
}

#[test]
fn what_is_dumped_makes_another_node_the_same() {
    let (node, other) = (Node::start(&[]), Node::start(&[]));
    let directory = tempfile::tempdir().unwrap();
    let (file, dumped) = (directory.path().join("kong.yaml"), directory.path().join("dumped.yaml"));
    // Passwords are not to be had from a node.
    let text = FILE.replace(r#"${{ env "DECK_HOUR" }}"#, "100");
    let (before, rest) = text.split_once("  basicauth_credentials:").unwrap();
    let (_, after) = rest.split_once("password: adas-password\n").unwrap();
    std::fs::write(&file, format!("{before}{after}")).unwrap();
    said(&run("sync", &node, &file, &[]), 0);
    said(&run("dump", &node, &dumped, &[]), 0);
    let again = said(&run("dump", &node, &dumped, &[]), 1);
    assert!(again.contains("already exists"), "{again}");
    let told = said(&run("sync", &other, &dumped, &[]), 0);
    assert!(told.ends_with("Created: 11\n  Updated: 0\n  Deleted: 0\n"), "{told}");
    for node in [&node, &other] {
        said(&run("diff", node, &dumped, &["--non-zero-exit-code"]), 0);
    }
    let text = std::fs::read_to_string(&dumped).unwrap();
    assert!(!text.contains("created_at") && !text.contains("\n  id:"), "{text}");
}

#[test]
fn what_cannot_be_done_is_said() {
    let node = Node::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.yaml");
    let told = said(&run("diff", &node, &file, &[]), 1);
    assert!(told.contains("cannot read"), "{told}");
    std::fs::write(&file, FILE).unwrap();
    let told = said(&run("diff", &node, &file, &[]), 1);
    assert!(told.contains("the environment variable DECK_HOUR is not set"), "{told}");
    std::fs::write(&file, "_format_version: \"3.0\"\nservices:\n- name: s\n").unwrap();
    let told = said(&run("sync", &node, &file, &[]), 1);
    assert!(told.contains("in 'host': required field missing"), "{told}");
    std::fs::write(&file, "_format_version: \"3.0\"\n").unwrap();
    let nobody = bascule().args(["diff", file.to_str().unwrap(), "--admin", "http://127.0.0.1:1"]).output().unwrap();
    assert!(said(&nobody, 1).contains("GET http://127.0.0.1:1/"), "{}", said(&nobody, 1));
    let told = said(&run("diff", &node, &file, &["--workspace", "none"]), 1);
    assert!(told.contains("no such workspace, at http://") && told.contains("/none\n"), "{told}");
}

#[test]
fn files_and_plans_by_the_admin_api() {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", "name=old&host=old.test").expect(201);
    form(node.admin(), "POST", "/services", "name=s&host=s.test&tags[]=a").expect(201);
    let file = get(node.admin(), "/bascule/dump").expect(200).json()["config"].as_str().unwrap().to_owned();
    assert!(file.contains("host: old.test"), "{file}");
    let plan = |file: &str| json(node.admin(), "POST", "/bascule/plan", &json!({ "file": file }));
    assert_eq!(plan(&file).expect(200).json()["steps"], json!([]));
    let wanted =
        "_format_version: '3.0'\nservices:\n- name: s\n  host: new.test\n  routes:\n  - name: r\n    paths: [/r]\n";
    let steps = plan(wanted).expect(200).json()["steps"].as_array().unwrap().clone();
    let told: Vec<String> = steps.iter().map(|s| format!("{} {}", s["action"], s["name"])).collect();
    assert_eq!(told, ["\"update\" \"s\"", "\"create\" \"r\"", "\"delete\" \"old\""]);
    let host = json!({ "name": "host", "is": "s.test", "wanted": "new.test" });
    assert!(steps[0]["fields"].as_array().unwrap().contains(&host), "{}", steps[0]);
    for step in &steps {
        let (method, path) = (step["method"].as_str().unwrap(), step["path"].as_str().unwrap());
        let answered = match &step["record"] {
            Value::Null => request(node.admin(), method, path, &[], b"").unwrap(),
            record => json(node.admin(), method, path, record),
        };
        assert!(answered.status < 300, "{step}: {}", answered.text());
    }
    assert_eq!(plan(wanted).expect(200).json()["steps"], json!([]), "what was planned is done");
    assert_eq!(plan("services: 1").expect(400).status, 400);
    assert_eq!(plan("_workspace: other\nservices: []").expect(400).status, 400);
}
