//! The files of plugins in Lua, which change while a node runs.

use blackbox::http::{get, json};
use blackbox::{Node, bascule};
use serde_json::json;
use std::path::Path;

fn write(folder: &Path, handler: &str) {
    let of_plugin = folder.join("kong/plugins/edited");
    std::fs::create_dir_all(&of_plugin).unwrap();
    std::fs::write(of_plugin.join("handler.lua"), handler).unwrap();
    std::fs::write(of_plugin.join("words.lua"), "return 'words'").unwrap();
    let schema = "return { name = 'edited', fields = { { config = { type = 'record', fields = {} } } } }";
    std::fs::write(of_plugin.join("schema.lua"), schema).unwrap();
}

fn handler(version: u32) -> String {
    format!(
        "local words = require('kong.plugins.edited.words') \
         return {{ PRIORITY = 1, VERSION = '1', access = function() kong.response.exit(200, words .. {version}) end }}"
    )
}

#[test]
fn workers_run_what_was_there_when_the_node_started() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &handler(1));
    let path = format!("{}/?.lua;;", folder.path().display());
    let settings = [("plugins", "bundled, edited"), ("lua_package_path", &path), ("nginx_worker_processes", "4")];
    let node = Node::start(&settings);
    json(node.admin(), "POST", "/routes", &json!({ "paths": ["/"] })).expect(201);
    json(node.admin(), "POST", "/plugins", &json!({ "name": "edited" })).expect(201);
    // No worker has run it yet; each connection may come to another one.
    let all_say = |version: u32| {
        for _ in 0..20 {
            assert_eq!(get(node.proxy(), "/").expect(200).text(), format!("words{version}"));
        }
    };
    write(folder.path(), &handler(2));
    std::fs::write(folder.path().join("kong/plugins/edited/words.lua"), "not lua").unwrap();
    all_say(1);
    write(folder.path(), "return {");
    let reload = || bascule().args(["reload", "--prefix"]).arg(node.prefix()).output().unwrap();
    let refused = reload();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("error loading module 'kong.plugins.edited.handler' from file"), "{said}");
    all_say(1);
    write(folder.path(), &handler(3));
    assert!(reload().status.success());
    all_say(3);
}

#[test]
fn functions_of_records_find_modules_of_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("own")).unwrap();
    std::fs::write(folder.path().join("own/words.lua"), "return 'own words'").unwrap();
    let path = format!("{}/?.lua;;", folder.path().display());
    for given in [("untrusted_lua_sandbox_requires", "own.words"), ("untrusted_lua", "on")] {
        let node = Node::start(&[given, ("lua_package_path", &path)]);
        json(node.admin(), "POST", "/routes", &json!({ "paths": ["/"] })).expect(201);
        let config = json!({ "access": ["kong.response.exit(200, require('own.words'))"] });
        json(node.admin(), "POST", "/plugins", &json!({ "name": "pre-function", "config": config })).expect(201);
        assert_eq!(get(node.proxy(), "/").expect(200).text(), "own words");
    }
}
