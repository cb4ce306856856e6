//! A node without a database: where its configuration comes from, what it refuses, and what it keeps.

use blackbox::http::{Response, form, get, json, request};
use blackbox::{Backend, Node, bascule, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;

const OFF: (&str, &str) = ("database", "off");
const EMPTY: &str = "00000000000000000000000000000000";

/// One service with a route to it.
fn document(backend: &Backend) -> Value {
    let routes = json!([{ "name": "r", "paths": ["/"] }]);
    let service = json!({ "name": "s", "url": format!("http://{}", backend.address), "routes": routes });
    json!({ "_format_version": "3.0", "services": [service] })
}

fn load(node: &Node, document: &Value) -> Response {
    json(node.admin(), "POST", "/config", document)
}

fn hash(node: &Node) -> Value {
    get(node.admin(), "/status").expect(200).json()["configuration_hash"].clone()
}

/// What `bascule reload` says.
fn reload(node: &Node, settings: &[(&str, &str)]) -> String {
    let mut command = bascule();
    command.args(["reload", "--prefix"]).arg(node.prefix());
    for (key, value) in settings {
        command.env(format!("KONG_{}", key.to_uppercase()), value);
    }
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_last_configuration_survives_whatever_ends_the_node() {
    let backend = Backend::start("b");
    let mut node = Node::start(&[OFF]);
    get(node.proxy(), "/").expect(404);
    assert_eq!(hash(&node), EMPTY);
    let unready = get(node.status(), "/status/ready").expect(503).json();
    assert_eq!(unready["message"], "no configuration available (empty configuration present)");
    load(&node, &document(&backend)).expect(201);
    get(node.status(), "/status/ready").expect(200);
    let (first, service) = (hash(&node), get(node.admin(), "/services/s").expect(200).json());
    for end in [Signal::KILL, Signal::TERM] {
        node.end(end);
        node.revive();
        assert_eq!(get(node.proxy(), "/").expect(200).header("X-Backend"), Some("b"));
        assert_eq!(get(node.admin(), "/services/s").expect(200).json(), service);
        assert_eq!(hash(&node), first);
        get(node.status(), "/status/ready").expect(200);
    }
    load(&node, &json!({ "_format_version": "3.0" })).expect(201);
    assert_eq!(hash(&node), EMPTY);
    get(node.proxy(), "/").expect(404);
}

#[test]
fn what_is_refused_changes_nothing() {
    let backend = Backend::start("b");
    let node = Node::start(&[OFF]);
    load(&node, &document(&backend)).expect(201);
    let before = hash(&node);
    let mut wrong = document(&backend);
    wrong["services"].as_array_mut().unwrap().push(json!({ "name": "t" }));
    let refused = load(&node, &wrong).expect(400).json();
    assert_eq!(refused["name"], "invalid declarative configuration");
    assert_eq!(refused["fields"], json!({ "services": [null, { "host": "required field missing" }] }));
    let twice = "_format_version: '3.0'\nservices: []\nservices: []\n";
    let yaml = [("Content-Type", "application/yaml")];
    let refused = request(node.admin(), "POST", "/config", &yaml, twice.as_bytes()).unwrap().expect(400).json();
    let words = "failed parsing declarative configuration: 3:12: the key 'services' is given twice";
    assert_eq!(refused["fields"]["error"], words);
    assert_eq!(hash(&node), before);
    get(node.proxy(), "/").expect(200);
}

#[test]
fn single_records_are_only_read() {
    let backend = Backend::start("b");
    let node = Node::start(&[OFF]);
    load(&node, &document(&backend)).expect(201);
    for (method, path, body, verb) in [
        ("POST", "/services", "name=t&host=h.test", "create 'services' entities"),
        ("POST", "/services/s/routes", "paths[]=/t", "create 'routes' entities"),
        ("PUT", "/services/s", "host=h.test", "create or update 'services' entities by 'name'"),
        ("PATCH", "/routes/r", "paths[]=/t", "update 'routes' entities by 'name'"),
        ("DELETE", "/services/s", "", "remove 'services' entities by 'name'"),
    ] {
        let refused = form(node.admin(), method, path, body).expect(405).json();
        assert_eq!(refused["message"], format!("cannot {verb} when not using a database"));
    }
    form(node.admin(), "POST", "/services", "name=t").expect(400);
    form(node.admin(), "DELETE", "/services/nope", "").expect(204);
    get(node.proxy(), "/").expect(200);
    assert_eq!(get(node.admin(), "/").json()["configuration"]["database"], "off");
}

#[test]
fn a_node_serves_the_file_that_its_settings_name() {
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.json");
    let write = |document: &Value| std::fs::write(&file, document.to_string()).unwrap();
    write(&document(&one));
    let named = ("declarative_config", file.to_str().unwrap());
    let mut node = Node::start(&[OFF, named]);
    let served = |node: &Node| get(node.proxy(), "/").expect(200).header("X-Backend").unwrap().to_owned();
    assert_eq!(served(&node), "one");
    load(&node, &document(&two)).expect(201);
    assert_eq!(served(&node), "two");
    assert_eq!(reload(&node, &[]), "Bascule reloaded\n");
    assert_eq!(served(&node), "two", "a file takes the place of what was loaded since where it is named anew");
    assert_eq!(reload(&node, &[OFF, named]), "Bascule reloaded\n");
    assert_eq!(served(&node), "one");
    write(&document(&two));
    node.signal(Signal::HUP);
    eventually("the file is read anew", || served(&node) == "two");
    let before = hash(&node);
    write(&json!({ "_format_version": "3.0", "services": [{}] }));
    let said = reload(&node, &[OFF, named]);
    assert!(said.contains("the node refuses the new settings and goes on with the old ones"), "{said}");
    assert!(
        said.contains("in 'services':\n  - in entry 1 of 'services':\n    in 'host': required field missing"),
        "{said}"
    );
    assert_eq!(hash(&node), before);
    assert_eq!(served(&node), "two");
    node.end(Signal::TERM);
    let said = node.refusal();
    assert!(
        said.contains(&format!("error parsing declarative config file {}:\nin 'services':", file.display())),
        "{said}"
    );
}

#[test]
fn what_cannot_be_read_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("no.yml");
    let other = directory.path().join("kong.txt");
    let broken = directory.path().join("kong.yaml");
    std::fs::write(&broken, "x: [1").unwrap();
    let mut node = Node::start(&[OFF]);
    node.end(Signal::TERM);
    let mut refused = |path: &Path, words: String| {
        let path = path.display().to_string();
        node.set("declarative_config", &path);
        let said = node.refusal();
        let words = format!("error parsing declarative config file {path}:\n{words}");
        assert!(said.contains(&words), "{said}");
        let conf = directory.path().join("kong.conf");
        std::fs::write(&conf, format!("database = off\ndeclarative_config = {path}\n")).unwrap();
        let check = bascule().arg("check").arg(&conf).output().unwrap();
        assert!(!check.status.success());
        assert!(String::from_utf8_lossy(&check.stderr).contains(&words), "{check:?}");
    };
    refused(&missing, format!("{}: No such file or directory", missing.display()));
    std::fs::write(&other, "").unwrap();
    refused(&other, format!("unknown file type: {}. (Accepted types: json, yaml)", other.display()));
    refused(&broken, "failed parsing declarative configuration: ".to_owned());
}

#[test]
fn a_configuration_can_be_a_text_in_the_settings() {
    let backend = Backend::start("b");
    let text = format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  url: http://{}\n  routes:\n  - paths: [/]\n",
        backend.address
    );
    let mut node = Node::start(&[OFF, ("declarative_config_string", &text)]);
    get(node.proxy(), "/").expect(200);
    let before = hash(&node);
    load(&node, &json!({ "_format_version": "3.0" })).expect(201);
    node.signal(Signal::HUP);
    eventually("the text is read anew", || get(node.proxy(), "/").status == 200);
    assert_eq!(hash(&node), before);
    assert_eq!(get(node.admin(), "/").json()["configuration"]["declarative_config_string"], "******");
    node.end(Signal::TERM);
    node.set("declarative_config_string", "secret: 1");
    let said = node.refusal();
    assert!(said.contains("error parsing declarative string:\nin 'secret': unknown field"), "{said}");
}

#[test]
fn what_was_kept_and_is_damaged_is_not_passed_over() {
    let backend = Backend::start("b");
    let mut node = Node::start(&[OFF]);
    load(&node, &document(&backend)).expect(201);
    node.end(Signal::TERM);
    std::fs::write(node.prefix().join("dbless.db"), "this is no database, and never was").unwrap();
    // All of it could be in there, if the node has ended in a hurry.
    let _ = std::fs::remove_file(node.prefix().join("dbless.db-wal"));
    let said = node.refusal();
    assert!(said.contains("dbless.db, where the last configuration is kept: "), "{said}");
    let file = node.prefix().join("kong.json");
    std::fs::write(&file, document(&backend).to_string()).unwrap();
    node.set("declarative_config", file.to_str().unwrap());
    node.revive();
    get(node.proxy(), "/").expect(200);
    node.says("it is replaced by the one that the settings name");
}

#[test]
fn what_stays_as_it_was_goes_on() {
    let mut backend = Backend::start("b");
    let node = Node::start(&[OFF]);
    let with = |extra: Value| {
        let checks = json!({ "passive": { "unhealthy": { "tcp_failures": 1, "http_failures": 1 } } });
        let upstream =
            json!({ "name": "u", "healthchecks": checks, "targets": [{ "target": backend.address.to_string() }] });
        let service = json!({ "name": "s", "host": "u", "routes": [{ "paths": ["/"] }], "retries": 0 });
        json!({ "_format_version": "3.0", "upstreams": [upstream], "services": [service], "consumers": extra })
    };
    let (first, second) = (with(json!([])), with(json!([{ "username": "ada" }])));
    load(&node, &first).expect(201);
    get(node.proxy(), "/").expect(200);
    backend.kill();
    assert!(get(node.proxy(), "/").status >= 500);
    let health = || get(node.admin(), "/upstreams/u/health").json()["data"][0]["health"].clone();
    assert_eq!(health(), "UNHEALTHY");
    load(&node, &second).expect(201);
    get(node.admin(), "/consumers/ada").expect(200);
    assert_eq!(health(), "UNHEALTHY", "what is known of a target survives a configuration that has it still");
}
