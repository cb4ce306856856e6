//! Plugins of the operator's own, in Lua, on a node.

use blackbox::http::{Connection, get, json, request};
use blackbox::{Backend, Node, Scripted, Service, Usage, eventually, longer};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::net::SocketAddr;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");

/// A node with the plugin on all routes, of which there is one to the backend.
fn node(backend: &Backend) -> Node {
    let node = Node::start(&[("plugins", "bundled, probe"), ("lua_package_path", PATH)]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "probe", "config": { "old": "X-Old" } })).expect(201);
    node
}

fn head_of(echoed: &Value) -> Vec<String> {
    echoed["head"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_ascii_lowercase()).collect()
}

#[test]
fn a_plugin_is_a_plugin_like_any_other() {
    let backend = Backend::start("a");
    let node = node(&backend);
    let admin = node.admin();
    let root = get(admin, "/").expect(200).json();
    assert_eq!(root["plugins"]["available_on_server"]["probe"], json!({ "version": "1.2.3", "priority": 1001 }));
    let schema = get(admin, "/schemas/plugins/probe").expect(200).json();
    assert_eq!(schema["fields"][2]["config"]["fields"][1]["ttl"]["gt"], 0);
    let wrong =
        json(admin, "POST", "/plugins", &json!({ "name": "probe", "config": { "even": 3 } })).expect(400).json();
    assert_eq!(wrong["fields"]["config"]["even"], "must be even");
    let answer = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(200);
    assert_eq!(answer.header("X-Word"), Some("kept"));
    assert!(head_of(&answer.json()).contains(&"x-old: yes".to_owned()));
    let exit = get(node.proxy(), "/?do=exit").expect(418);
    assert_eq!(exit.json()["ttl"], 60);
    assert_eq!(exit.header("X-A"), Some("b"));
}

#[test]
fn a_plugin_waits_and_others_go_on() {
    let backend = Backend::start("a");
    let node = node(&backend);
    get(node.proxy(), "/?do=sleep").expect(200);
    assert_eq!(get(node.proxy(), "/?do=coroutines").expect(200).json(), json!({ "out": [1, 2, 3] }));
    let port = node.admin().port();
    let line = get(node.proxy(), &format!("/?do=socket&port={port}")).expect(200).json();
    assert_eq!(line["line"], "HTTP/1.1 200 OK");
    assert_eq!(get(node.proxy(), "/?do=state").expect(200).json()["timer"], "fired false timer 5");
    get(node.proxy(), "/?do=fail").expect(500);
    get(node.proxy(), "/?do=loop").expect(500);
}

#[test]
fn an_error_in_a_filter_keeps_the_response_back() {
    let backend = Backend::start("a");
    let node = node(&backend);
    let broken = |path: &str| request(node.proxy(), "GET", path, &[], b"").is_err();
    // Filters cannot wait.
    assert!(broken("/?filter=sleep"));
    eventually("the log phase has run", || node.log().contains("logged "));
    let admin = node.admin();
    let plugin = json!({ "name": "post-function", "config": { "log": ["local nothing"] } });
    let plugin = json(admin, "POST", "/plugins", &plugin).expect(201).json();
    let path = format!("/plugins/{}", plugin["id"].as_str().unwrap());
    for filter in ["header_filter", "body_filter"] {
        let config = json!({ "header_filter": [], "body_filter": [], filter: ["error('it cannot be done')"] });
        json(admin, "PATCH", &path, &json!({ "config": config })).expect(200);
        assert!(broken("/"), "{filter}");
        assert!(broken("/?do=exit"), "{filter} of an answer of our own");
    }
    request(admin, "DELETE", &path, &[], b"").unwrap().expect(204);
    get(node.proxy(), "/").expect(200);
}

/// A node with the plugin that has records of its own, on a route.
fn keeper(backend: &Backend) -> Node {
    let node = Node::start(&[("plugins", "bundled, keeper"), ("lua_package_path", PATH)]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "keeper" })).expect(201);
    node
}

#[test]
fn records_of_a_plugin_are_in_the_admin_api() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    let admin = node.admin();
    let word = json(admin, "POST", "/keeper-words", &json!({ "word": "a", "others": [] })).expect(201).json();
    assert_eq!(word["meaning"], Value::Null);
    let wrong = json(admin, "POST", "/keeper-words", &json!({ "word": "forbidden" })).expect(400).json();
    assert_eq!(wrong["fields"]["word"], "is forbidden");
    let twice = json(admin, "POST", "/keeper-words", &json!({ "word": "a" })).expect(409).json();
    assert_eq!(twice["name"], "unique constraint violation");
    json(admin, "POST", "/consumers", &json!({ "username": "ann" })).expect(201);
    json(admin, "POST", "/consumers/ann/keeper-words", &json!({ "word": "b" })).expect(201);
    assert_eq!(get(admin, "/consumers/ann/keeper-words").expect(200).json()["data"][0]["word"], "b");
    request(admin, "DELETE", "/consumers/ann", &[], b"").unwrap().expect(204);
    get(admin, "/keeper-words/b").expect(404);
    assert!(get(admin, "/schemas/keeper_words").expect(200).json()["fields"].is_array());
}

#[test]
fn a_plugin_adds_to_the_admin_api() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    let admin = node.admin();
    assert!(get(admin, "/endpoints").expect(200).json()["data"].to_string().contains("/keeper/words/{keeper_words}"));
    json(admin, "POST", "/keeper/words", &json!({ "word": "a" })).expect(201);
    let wrong = json(admin, "POST", "/keeper/words", &json!({ "word": "forbidden" })).expect(400).json();
    assert_eq!(wrong["fields"]["word"], "is forbidden");
    assert_eq!(get(admin, "/keeper/words").expect(200).json()["data"][0]["word"], "a");
    assert_eq!(get(admin, "/keeper/words/a").expect(200).json()["shouted"], "A");
    assert_eq!(get(admin, "/keeper/words/b").expect(404).json()["message"], "no such word");
    let changed = json(admin, "PATCH", "/keeper/words/a", &json!({ "meaning": "first" })).expect(200).json();
    assert_eq!(changed["meaning"], "first");
    json(admin, "POST", "/consumers", &json!({ "username": "ann" })).expect(201);
    json(admin, "POST", "/consumers/ann/own-words", &json!({ "word": "b" })).expect(201);
    json(admin, "POST", "/consumers/eve/own-words", &json!({ "word": "c" })).expect(404);
    assert_eq!(get(admin, "/consumers/ann/own-words").expect(200).json()["data"][0]["word"], "b");
    let count = get(admin, "/keeper/count?greeting=hello").expect(200).json();
    assert_eq!(count["count"], 2);
    assert_eq!(count["greeting"], "hello");
    get(admin, "/keeper/fail").expect(500);
    assert_eq!(get(admin, "/keeper/lapis").expect(202).json()["kept"], true);
    let form = b"word=form&others[]=x&others[]=y&hash_secret=true&secret=dog";
    let lines = [("Content-Type", "application/x-www-form-urlencoded")];
    let written = request(admin, "POST", "/consumers/ann/own-words", &lines, form).unwrap().expect(201).json();
    assert_eq!(written["others"], json!(["x", "y"]));
    assert_eq!(written["hash_secret"], true);
    request(admin, "DELETE", "/keeper-words/form", &[], b"").unwrap().expect(204);
    request(admin, "DELETE", "/keeper/words/a", &[], b"").unwrap().expect(204);
    get(admin, "/keeper-words/a").expect(404);
}

#[test]
fn endpoints_of_a_plugin_see_requests_whole() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    let admin = node.admin();
    let lines = [
        ("X-A", "v"),
        ("X-B", "1"),
        ("X-B", "2"),
        ("Cookie", "a=b; c=d%20e"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let seen =
        request(admin, "POST", "/keeper/request/a%20b?q=1&q=2", &lines, b"p=2&x=%41").unwrap().expect(200).json();
    let expected = json!({
        "header": "v", "again": "v", "method": "POST", "of_kit": "v", "several": ["1", "2"], "cookie": "d e",
        "raw": "p=2&x=%41", "data": "p=2&x=%41", "body": { "p": "2", "x": "A" }, "address": "127.0.0.1",
        "remote": "127.0.0.1", "of_nginx": "127.0.0.1", "uri": "/keeper/request/a b",
        "line": "/keeper/request/a%20b?q=1&q=2", "args": "q=1&q=2", "of_arg": "1", "of_header": "v", "last": "2",
        "named": "a b", "query": ["1", "2"], "host": "127.0.0.1", "port": admin.port(),
        "path": "/keeper/request/a%20b", "timer": 1, "fired": "yes", "kind": "application/x-www-form-urlencoded",
    });
    let seen_of = |name: &str| seen.get(name).cloned().unwrap_or_default();
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(seen_of(name), *value, "{name}");
    }
    let answer = get(admin, "/keeper/headers").expect(202);
    assert_eq!(answer.header("X-Z"), Some("1"));
    assert_eq!(answer.json(), json!({ "kept": true }));
    let text = get(admin, "/keeper/text").expect(200);
    assert_eq!(text.body, b"one two");
    assert_eq!(text.header("X-Z"), Some("2"));
    assert_eq!(text.header("Content-Type"), Some("text/html"));
    assert_eq!(get(admin, "/keeper/elsewhere").expect(302).header("Location"), Some("/keeper/text"));
    assert!(get(admin, "/keeper/nothing").expect(200).body.is_empty());
}

/// Whose rights end at a workspace gets no further by a plugin's endpoints.
#[test]
fn endpoints_of_a_plugin_act_in_the_workspace_of_the_path() {
    let settings = [("plugins", "bundled, keeper"), ("lua_package_path", PATH)];
    let node = Node::start(&[("enforce_rbac", "on"), ("password", "root"), settings[0], settings[1]]);
    let ask = |token: &str, method: &str, path: &str, content: Value| {
        let lines = [("Kong-Admin-Token", token), ("Content-Type", "application/json")];
        let content = if content.is_null() { Vec::new() } else { content.to_string().into_bytes() };
        request(node.admin(), method, path, &lines, &content).unwrap()
    };
    let id = ask("root", "POST", "/workspaces", json!({ "name": "w2" })).expect(201).json()["id"].clone();
    ask("root", "POST", "/w2/rbac/roles", json!({ "name": "all" })).expect(201);
    let rule = json!({ "endpoint": "*", "workspace": "w2", "actions": "*" });
    ask("root", "POST", "/w2/rbac/roles/all/endpoints", rule).expect(201);
    ask("root", "POST", "/w2/rbac/users", json!({ "name": "u2", "user_token": "u2" })).expect(201);
    ask("root", "POST", "/w2/rbac/users/u2/roles", json!({ "roles": "all" })).expect(201);
    for (workspace, word) in [("", "here"), ("", "both"), ("/w2", "both")] {
        let given = json!({ "word": word, "meaning": format!("of{workspace}") });
        ask("root", "POST", &format!("{workspace}/keeper-words"), given).expect(201);
    }
    ask("root", "POST", "/rbac/roles", json!({ "name": "all" })).expect(201);
    let rule = json!({ "endpoint": "*", "workspace": "default", "actions": "*" });
    ask("root", "POST", "/rbac/roles/all/endpoints", rule).expect(201);
    ask("root", "POST", "/rbac/users", json!({ "name": "u1", "user_token": "u1" })).expect(201);
    ask("root", "POST", "/rbac/users/u1/roles", json!({ "roles": "all" })).expect(201);
    ask("u1", "GET", "/keeper/words", Value::Null).expect(200);
    ask("u1", "GET", "/w2/keeper/words", Value::Null).expect(403);
    ask("u2", "GET", "/keeper/words", Value::Null).expect(403);
    ask("u2", "GET", "/default/keeper/where/both", Value::Null).expect(403);
    let seen = ask("u2", "GET", "/w2/keeper/where/both", Value::Null).expect(200).json();
    let key = format!("keeper_words:both:::::{}", id.as_str().unwrap());
    let (found, name) = (&seen["found"], &seen["name"]);
    assert_eq!(found["meaning"], "of/w2");
    assert_eq!(seen, json!({ "id": id, "ctx": id, "name": name, "key": key, "found": found }));
    assert_eq!(*name, "w2");
    ask("u2", "GET", "/w2/keeper/words/here", Value::Null).expect(404);
    ask("u2", "DELETE", "/w2/keeper/words/both", Value::Null).expect(204);
    ask("u2", "POST", "/w2/keeper/words", json!({ "word": "there" })).expect(201);
    assert_eq!(ask("u2", "GET", "/w2/keeper/count", Value::Null).expect(200).json()["count"], 1);
    ask("root", "GET", "/nowhere/keeper/count", Value::Null).expect(404);
    let seen = ask("root", "GET", "/keeper/where/both", Value::Null).expect(200).json();
    assert_eq!(seen["found"]["meaning"], "of");
    assert!(seen["key"].as_str().unwrap().ends_with(seen["id"].as_str().unwrap()), "{seen}");
    ask("root", "GET", "/keeper/words/there", Value::Null).expect(404);
}

#[test]
fn records_are_transformed_when_they_are_written() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    let word = json!({ "word": "four", "hash_secret": true, "secret": "dog" });
    let written = json(node.admin(), "POST", "/keeper-words", &word).expect(201).json();
    // The MD5 of "dog".
    assert_eq!(written["secret"], "06d80eb0c50b49a509b49f2424e8c805");
    assert_eq!(written["length"], 4);
    let alone = json(node.admin(), "PATCH", "/keeper-words/four", &json!({ "secret": "cat" })).expect(400).json();
    assert_eq!(alone["fields"]["@entity"][0], "all or none of these fields must be set: 'hash_secret', 'secret'");
}

#[test]
fn a_plugin_stands_in_the_place_of_an_endpoint() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    let admin = node.admin();
    let printed = get(admin, "/keeper/print").expect(201);
    assert_eq!(printed.text(), "printed");
    assert_eq!(printed.header("X-Kept"), Some("yes"));
    let all = get(admin, "/services").expect(200);
    assert_eq!(all.header("X-Kept"), Some("all"));
    assert!(all.json()["data"].is_array());
    let created = json(admin, "POST", "/services", &json!({ "name": "new", "url": "http://a.test" })).expect(201);
    assert_eq!(created.json()["retries"], 3);
    json(admin, "POST", "/services", &json!({ "name": "forbidden", "url": "http://a.test" })).expect(403);
    json(admin, "POST", "/services", &json!({ "name": "bad", "url": "nowhere" })).expect(400);
}

#[test]
fn requests_write_and_read_records() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    let ask = |query: &str| get(node.proxy(), &format!("/?do={query}"));
    let written = ask("write&word=b&meaning=x").expect(200).json();
    assert_eq!(written["meaning"], "x");
    let twice = ask("write&word=b").expect(400).json();
    assert_eq!(twice["code"], 5);
    assert_eq!(ask("change&word=b&meaning=y").expect(200).json()["meaning"], "y");
    assert_eq!(ask("change&word=none&meaning=y").expect(400).json()["code"], 6);
    assert_eq!(ask("put&word=c&meaning=z").expect(200).json()["meaning"], "z");
    let options = ask("options&word=d").expect(200).json();
    assert!((45..=50).contains(&options["ttl"].as_i64().unwrap()), "{options}");
    assert!((495..=500).contains(&options["longer"].as_i64().unwrap()), "{options}");
    assert_eq!((&options["code"], &options["all"], &options["none"]), (&json!(11), &json!(2), &json!(0)), "{options}");
    assert_eq!([&options["both"], &options["either"], &options["neither"]], [1, 1, 0], "{options}");
    assert_eq!(options["size"], "size must be an integer between 1 and 50000");
    assert_eq!(options["key"], "primary_key must be a table");
    assert_eq!(options["page"], "size must be a number");
    assert!(options["err"].as_str().unwrap().ends_with("invalid option (ttl: cannot be used with 'consumers')"));
    assert_eq!(ask("read&word=c").expect(200).json()["asked"], true);
    assert_eq!(get(node.admin(), "/keeper-words/b").expect(200).json()["meaning"], "y");
    let list = ask("list").expect(200).json();
    assert_eq!(list["all"], json!(["b", "c"]));
    assert_eq!(list["services"], 1);
    assert_eq!(list["none"], true);
    assert_eq!(ask("remove&word=b").expect(200).json()["deleted"], true);
    ask("read&word=b").expect(404);
}

#[test]
fn what_is_kept_of_a_record_goes_with_its_change() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    let admin = node.admin();
    let meaning =
        |word: &str| get(node.proxy(), &format!("/?do=cached&word={word}")).expect(200).json()["meaning"].clone();
    assert_eq!(meaning("a"), Value::Null);
    json(admin, "POST", "/keeper-words", &json!({ "word": "a", "meaning": "first" })).expect(201);
    assert_eq!(meaning("a"), "first");
    json(admin, "PATCH", "/keeper-words/a", &json!({ "meaning": "second" })).expect(200);
    assert_eq!(meaning("a"), "second");
    json(admin, "PATCH", "/keeper-words/a", &json!({ "word": "b" })).expect(200);
    assert_eq!(meaning("a"), Value::Null);
    assert_eq!(meaning("b"), "second");
    request(admin, "DELETE", "/keeper-words/b", &[], b"").unwrap().expect(204);
    assert_eq!(meaning("b"), Value::Null);
    // An endpoint of the plugin itself has the keys that requests have.
    let loads = || get(node.proxy(), "/?do=cached&word=b").expect(200).json()["loads"].as_u64().unwrap();
    let before = loads();
    request(admin, "DELETE", "/keeper/where/b", &[], b"").unwrap().expect(204);
    assert!(loads() > before);
}

#[test]
fn workers_are_told_what_has_happened_to_a_record() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    let admin = node.admin();
    let ask = |what: &str| get(node.proxy(), &format!("/?do={what}")).expect(200).json();
    json(admin, "POST", "/keeper-words", &json!({ "word": "a", "meaning": "first" })).expect(201);
    json(admin, "PATCH", "/keeper-words/a", &json!({ "meaning": "second" })).expect(200);
    request(admin, "DELETE", "/keeper-words/a", &[], b"").unwrap().expect(204);
    let expected = "keeper_words:create a nil,keeper_words:update a first,keeper_words:delete a nil,";
    eventually("a worker is told", || ask("told")["told"] == expected);
    eventually("of all records, too", || ask("told")["heard"] == "delete delete keeper_words");
}

#[test]
fn records_are_found_by_the_keys_of_caches() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    let answer = get(node.proxy(), "/?do=by_key&word=ann").expect(200).json();
    let expected = json!({
        "group": "g", "none": true, "credential": "ann:x", "own": "ann:x", "key": true, "kid": "ann",
        "public": "-----BEGIN PUBLIC KEY", "private": "-----BEGIN PRIVATE KEY", "fields": "nobody", "services": 0,
        "why": "[postgres] could not find the entity with '{username=\"nobody\"}'", "name": "name must be a string",
        "entity": "entity must be a table", "foreign": "foreign_key must be a table",
        "options": "options must be a table when specified",
    });
    assert_eq!(answer, expected);
}

#[test]
fn what_plugins_keep_is_shown_and_purged() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    let admin = node.admin();
    let kept = |value: &str| get(node.proxy(), &format!("/?do=kept&{value}")).expect(200).json()["value"].clone();
    get(admin, "/cache/keeper:a").expect(404);
    assert_eq!(kept("word=a&value=one"), "one");
    assert_eq!(kept("word=a&value=two"), "one");
    assert_eq!(get(admin, "/cache/keeper:a").expect(200).json(), json!({ "message": "one" }));
    request(admin, "DELETE", "/cache/keeper:a", &[], b"").unwrap().expect(204);
    get(admin, "/cache/keeper:a").expect(404);
    assert_eq!(kept("word=a&value=two"), "two");
    assert_eq!(kept("word=b&value=b&whole=1"), json!({ "word": "b" }));
    assert_eq!(get(admin, "/cache/keeper:b").expect(200).json(), json!({ "word": "b" }));
    request(admin, "DELETE", "/cache", &[], b"").unwrap().expect(204);
    get(admin, "/cache/keeper:b").expect(404);
    assert_eq!(kept("word=a&value=three"), "three");
}

#[test]
fn records_are_found_by_what_they_are_for_and_all_deleted() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    let ask = |what: &str| get(node.proxy(), &format!("/?do={what}")).expect(200).json();
    assert_eq!(ask("of_service&word=a"), json!({ "word": "a", "has": true, "lacks": true }));
    let twice = ask("of_service&word=b");
    assert!(twice["err"].as_str().unwrap().contains("UNIQUE violation detected on '{service={id="), "{twice}");
    assert_eq!(twice["word"], "a");
    let cleared = ask("clear");
    assert_eq!(cleared["ok"], true);
    assert_eq!(cleared["left"], 0);
    assert_eq!(cleared["literal"], "'it''s'");
    assert!(cleared["err"].as_str().unwrap().starts_with("cannot perform queries"), "{cleared}");
}

#[test]
fn a_copy_of_a_bundled_plugin_shares_what_that_keeps() {
    let backend = Backend::start("a");
    for plugins in ["bundled, lookalike", "lookalike, bundled", "lookalike"] {
        let node = Node::start(&[("plugins", plugins), ("lua_package_path", PATH)]);
        let admin = node.admin();
        json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) }))
            .expect(201);
        json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
        json(admin, "POST", "/plugins", &json!({ "name": "lookalike" })).expect(201);
        json(admin, "POST", "/consumers", &json!({ "username": "ann" })).expect(201);
        json(admin, "POST", "/consumers/ann/key-auth", &json!({ "key": "k" })).expect(201);
        assert_eq!(get(node.proxy(), "/?key=k").expect(200).json()["consumer"], "ann", "{plugins}");
        get(node.proxy(), "/?key=l").expect(401);
    }
}

#[test]
fn records_are_there_when_a_worker_begins() {
    let backend = Backend::start("a");
    let mut node = keeper(&backend);
    json(node.admin(), "POST", "/keeper-words", &json!({ "word": "a" })).expect(201);
    node.end(Signal::TERM);
    node.revive();
    eventually("all workers have read the records", || {
        get(node.proxy(), "/?do=list").expect(200).json()["at_start"] == 1
    });
}

/// Requests that sleep in Lua cost memory and nothing else: others are served, and those who wake up are answered.
#[test]
fn requests_that_sleep_are_in_nobodys_way() {
    let count = longer(1000).min(10_000);
    let files = u32::try_from(count + count / 4 + 500).unwrap();
    let of_ours = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: of_ours.maximum, ..of_ours }).unwrap();
    let settings = [("plugins", "bundled, sleeper"), ("lua_package_path", PATH)];
    let node = Node::with_files(files, &settings);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": "http://127.0.0.1:1" })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "sleeper" })).expect(201);
    let counts = || get(node.proxy(), "/").expect(200).json();
    let before = Usage::of(node.pid()).memory;
    let ask = |seconds: u32| {
        let mut client = Connection::open(node.proxy()).unwrap();
        client.send("GET", &format!("/?sleep={seconds}"), &[], b"").unwrap();
        client
    };
    let mut sleeping = Vec::new();
    while sleeping.len() < count {
        // No more at once than wait to be accepted: the system has others try again, later and later.
        sleeping.extend((0..100).map(|_| ask(3600)));
        eventually("all sleep", || counts()["asleep"] == sleeping.len());
    }
    let more = Usage::of(node.pid()).memory.saturating_sub(before);
    println!("{count} requests that sleep in Lua: {more} KiB");
    assert!(more < 64 * count, "{more} KiB");
    let mut other = Connection::open(node.proxy()).unwrap();
    for _ in 0..20 {
        other.send("GET", "/", &[], b"").unwrap();
        assert_eq!(other.receive(false).unwrap().json(), json!({ "asleep": count, "awake": 0 }));
    }
    let waking: Vec<_> = (0..5).map(|_| ask(0)).collect();
    waking.into_iter().for_each(|mut client| drop(client.receive(false).unwrap().expect(200)));
    assert_eq!(counts()["awake"], 5);
    drop(sleeping);
}

#[test]
fn a_plugin_that_cannot_be_loaded_stops_the_start() {
    let mut node = Node::start(&[("lua_package_path", PATH)]);
    node.end(Signal::TERM);
    node.set("plugins", "bundled,nowhere");
    let said = node.refusal();
    assert!(said.contains("on plugin 'nowhere': nowhere plugin is enabled but not installed"), "{said}");
    node.set("plugins", "broken");
    let said = node.refusal();
    assert!(said.contains("error loading module 'kong.plugins.broken.handler'"), "{said}");
}

/// A node whose responses a plugin sees whole, on a route to that service.
fn holding_node(service: SocketAddr) -> Node {
    let node = Node::start(&[("plugins", "bundled, whole"), ("lua_package_path", PATH)]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{service}") })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "whole" })).expect(201);
    node
}

#[test]
fn a_plugin_sees_whole_responses_first() {
    let (plain, secret, fail) = ("5\r\nplain\r\n", "3\r\nsec\r\n3\r\nret\r\n", "4\r\nfail\r\n");
    let answering = |chunks: &str| {
        Scripted::start(format!(
            "HTTP/1.1 201 Created\r\nX-Own: yes\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        ))
    };
    let service = answering(plain);
    let answer = get(holding_node(service.address).proxy(), "/").expect(203);
    assert_eq!(answer.body, b"plain");
    assert_eq!(answer.header("Content-Length"), Some("5"));
    assert_eq!(answer.header("X-Length"), Some("5"));
    assert_eq!(answer.header("X-Own"), Some("yes"));
    assert_eq!(answer.header("X-Service-Status"), Some("201"));
    let service = answering(secret);
    let answer = get(holding_node(service.address).proxy(), "/").expect(451);
    assert_eq!(answer.json()["message"], "withheld");
    assert_eq!(answer.header("X-Own"), Some("yes"), "as in Kong");
    assert_eq!(answer.header("Content-Type"), Some("application/json; charset=utf-8"));
    let service = answering(fail);
    get(holding_node(service.address).proxy(), "/").expect(500);
}

#[test]
fn what_is_no_whole_response_is_a_failure_of_the_service() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort";
    let service = Service::start();
    let node = holding_node(service.address);
    let proxy = node.proxy();
    let asking = std::thread::spawn(move || get(proxy, "/"));
    let (mut connection, _) = service.asked();
    connection.send_raw(head).unwrap();
    drop(connection);
    asking.join().unwrap().expect(502);
    json(node.admin(), "PATCH", "/services/s", &json!({ "read_timeout": 50 })).expect(200);
    let asking = std::thread::spawn(move || get(proxy, "/"));
    let (mut connection, _) = service.asked();
    connection.send_raw(head).unwrap();
    asking.join().unwrap().expect(504);
}

#[test]
fn a_plugin_adds_to_the_status_api() {
    let backend = Backend::start("a");
    let node = keeper(&backend);
    assert_eq!(get(node.status(), "/keeper/alive").expect(200).json()["alive"], true);
    assert_eq!(get(node.status(), "/keeper/count").expect(200).json()["count"], "of the Status API");
    assert_eq!(get(node.admin(), "/keeper/count").expect(200).json()["count"], 0);
    get(node.admin(), "/keeper/alive").expect(404);
    get(node.status(), "/keeper/words/a").expect(404);
}

#[test]
fn timers_run_early_when_the_node_ends() {
    let mut node =
        Node::start(&[("plugins", "bundled, openresty"), ("lua_package_path", PATH), ("log_level", "notice")]);
    node.signal(Signal::QUIT);
    assert!(node.ends_within(std::time::Duration::from_secs(60)));
    let log = node.log();
    assert!(log.contains("a timer that waits: true word true"), "{log}");
    assert!(log.contains("another one: process exiting"), "{log}");
    assert!(log.contains("the last one"), "{log}");
}

#[test]
fn arguments_that_are_edited_before_routing_go_to_the_service() {
    let backend = Backend::start("a");
    let node = Node::start(&[]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    let code = "local args = ngx.req.get_uri_args()
        if args.none then ngx.req.set_uri_args('') end
        if args.x then args.y = args.x .. '2' ngx.req.set_uri_args(args) end
        kong.ctx.shared.args = ngx.var.args";
    let access = "kong.response.set_header('X-Args', tostring(kong.ctx.shared.args) .. ' ' .. tostring(ngx.var.args))";
    let config = json!({ "rewrite": [code], "access": [access] });
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": config })).expect(201);
    for (asked, sent, told) in [
        ("/a?x=1", "/a?x=1&y=12", "x=1&y=12 x=1&y=12"),
        ("/a?none", "/a", "nil nil"),
        ("/a?b=c", "/a?b=c", "b=c b=c"),
        ("/a", "/a", "nil nil"),
    ] {
        let answer = get(node.proxy(), asked).expect(200);
        assert_eq!(answer.json()["head"][0], format!("GET {sent} HTTP/1.1"), "{asked}");
        assert_eq!(answer.header("X-Args"), Some(told), "{asked}");
    }
}

#[test]
fn code_sees_and_changes_where_requests_go() {
    let (backend, other) = (Backend::start("a"), Backend::start("b"));
    let node = Node::start(&[]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    let access = "local data = ngx.ctx.balancer_data
        if kong.request.get_query_arg('port') then data.port = tonumber(kong.request.get_query_arg('port')) end
        data.own = data.type .. ' ' .. data.host .. ' ' .. data.scheme .. ' ' .. data.try_count";
    let filter = "local data = ngx.ctx.balancer_data
        ngx.header['X-Data'] = data.own .. ' ' .. data.try_count .. ' ' .. data.ip .. ' ' .. data.tries[1].port";
    let config = json!({ "access": [access], "header_filter": [filter] });
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": config })).expect(201);
    for (service, query) in [(&backend, String::new()), (&other, format!("?port={}", other.address.port()))] {
        let answer = get(node.proxy(), &format!("/{query}")).expect(200);
        let expected = format!("ipv4 127.0.0.1 http 0 1 127.0.0.1 {}", service.address.port());
        assert_eq!(answer.header("X-Data"), Some(&*expected));
    }
}

#[test]
fn filters_see_how_long_an_answer_is() {
    let backend = Backend::start("a");
    let node = Node::start(&[]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    let access = "return kong.response.exit(200, kong.request.get_query_arg('say') or '')";
    let filter = "ngx.header['X-Length'] = ngx.resp.get_headers()['content-length']";
    let config = json!({ "access": [access], "header_filter": [filter] });
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": config })).expect(201);
    for (asked, length) in [("/", "0"), ("/?say=hello", "5")] {
        let answer = get(node.proxy(), asked).expect(200);
        assert_eq!(answer.header("X-Length"), Some(length));
        assert_eq!(answer.header("Content-Length"), Some(length));
    }
}
