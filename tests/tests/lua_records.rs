//! Records as plugins in Lua get them, in a file of SQLite.

use blackbox::http::{get, json, request};
use blackbox::{Backend, Node, eventually};
use serde_json::json;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");

#[test]
fn keys_of_several_fields_are_keys() {
    let node = Node::start(&[("plugins", "bundled, ledger"), ("lua_package_path", PATH)]);
    let admin = node.admin();
    let service = json(admin, "POST", "/services", &json!({ "name": "s", "url": "http://127.0.0.1:1" }));
    let id = service.expect(201).json()["id"].as_str().unwrap().to_owned();
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "ledger" })).expect(201);
    let said = get(node.proxy(), "/?do=records").expect(200).json();
    let why = format!(
        "[postgres] could not find the entity with primary key '{{account=\"c\",day=1700000000,service=\"{id}\"}}'"
    );
    let key = format!("ledger_entries:a:1700000000:{id}:::");
    assert_eq!(
        said,
        json!({ "inserted": 1, "twice": "primary key violation", "ttl": said["ttl"], "updated": 5, "upserted": 7,
            "sum": 12, "of_service": 2, "err": why, "short": "invalid primary key", "key": key, "deleted": true,
            "left": 1 })
    );
    assert!((58..=60).contains(&said["ttl"].as_i64().unwrap()), "{said}");
    let refused = get(node.proxy(), "/?do=query").expect(200).json();
    assert!(refused["err"].as_str().unwrap().starts_with("cannot perform queries: SQLite"), "{refused}");
}

#[test]
fn pages_are_of_the_size_that_is_asked_for() {
    let node = Node::start(&[("plugins", "bundled, ledger"), ("lua_package_path", PATH)]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": "http://127.0.0.1:1" })).expect(201);
    for path in ["/", "/b", "/c"] {
        json(admin, "POST", "/services/s/routes", &json!({ "paths": [path] })).expect(201);
    }
    json(admin, "POST", "/plugins", &json!({ "name": "ledger" })).expect(201);
    json(admin, "POST", "/workspaces", &json!({ "name": "team" })).expect(201);
    json(admin, "POST", "/team/consumers", &json!({ "username": "ann" })).expect(201);
    for n in 0..1010 {
        json(admin, "POST", "/consumers", &json!({ "username": format!("c{n}") })).expect(201);
    }
    let said = get(node.proxy(), "/?do=pages").expect(200).json();
    let why = |words: &str| format!("[postgres] {words}");
    assert_eq!(
        said,
        json!({ "all": 1010, "none": true, "first": 1005, "rest": 5, "last": true, "count": 1010, "routes": 2,
            "others": 1, "over": true, "distinct": 3, "account": "k", "team": 1,
            "size": why("size must be an integer between 1 and 50000"), "kind": "size must be a number",
            "tags": why("invalid option (tags_cond: must be a either 'and' or 'or' when more than one tag is \
                specified)"),
            "workspace": why("invalid option (workspace: invalid workspace)"),
            "ttl": why("invalid option (ttl: must be an integer between 0 and 100000000)") })
    );
}

/// Kong's plugins leave the whole record of a credential to those that come after them.
#[test]
fn credentials_are_whole_records() {
    let node = Node::start(&[]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": "http://127.0.0.1:1" })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "name": "r", "paths": ["/"] })).expect(201);
    json(admin, "POST", "/consumers", &json!({ "username": "ann" })).expect(201);
    let given = json!({ "username": "ann", "password": "secret", "tags": ["a"] });
    let mut record = json(admin, "POST", "/consumers/ann/basic-auth", &given).expect(201).json();
    json(admin, "POST", "/routes/r/plugins", &json!({ "name": "basic-auth" })).expect(201);
    let code = json!({
        "header_filter": ["ngx.header['X-Late'] = kong.client.get_credential().username .. ' ' .. \
            tostring(kong.client.get_credential().created_at)"],
        "access": ["if kong.request.get_query_arg('ask') then \
            kong.response.exit(200, ngx.ctx.authenticated_credential) end kong.response.exit(200)"],
    });
    json(admin, "POST", "/routes/r/plugins", &json!({ "name": "post-function", "config": code })).expect(201);
    let ask = |path: &str| {
        request(node.proxy(), "GET", path, &[("Authorization", "Basic YW5uOnNlY3JldA==")], b"").unwrap().expect(200)
    };
    let whole = ask("/?ask=1");
    assert_eq!(whole.json(), record);
    assert_eq!(whole.header("X-Late").unwrap(), format!("ann {}", record["created_at"]));
    assert_eq!(ask("/").header("X-Late"), Some("ann nil"), "filters cannot wait");
    let path = format!("/consumers/ann/basic-auth/{}", record["id"].as_str().unwrap());
    json(admin, "PATCH", &path, &json!({ "tags": ["b"] })).expect(200);
    record["tags"] = json!(["b"]);
    assert_eq!(ask("/?ask=1").json(), record);
}

/// Callers that code has made itself, whose ids are no UUIDs, are not taken for one another.
#[test]
fn callers_of_any_id_are_told_apart() {
    let backend = Backend::start("a");
    let node = Node::start(&[]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) })).expect(201);
    for route in ["cached", "limited", "keyless"] {
        let given = json!({ "name": route, "paths": [format!("/{route}")] });
        json(admin, "POST", "/services/s/routes", &given).expect(201);
    }
    let code = json!({
        "access": ["if kong.request.get_query_arg('seen') then \
            return kong.response.exit(200, ngx.shared.kong:get('seen') or '') end \
            local u = kong.request.get_header('x-user') \
            if kong.request.get_path() == '/keyless' then kong.client.authenticate(nil, { name = u }) \
            else kong.client.authenticate({ id = u, username = u }, { id = u }) end"],
        "log": ["if kong.request.get_header('x-user') then local entry = kong.log.serialize() \
            ngx.shared.kong:set('seen', entry.consumer.id .. ' ' .. entry.authenticated_entity.id .. ' ' \
            .. entry.authenticated_entity.consumer_id) end"],
    });
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": code })).expect(201);
    let ask = |path: &str, user: &str| request(node.proxy(), "GET", path, &[("X-User", user)], b"").unwrap();
    for route in ["limited", "keyless"] {
        let limit = json!({ "minute": 1, "policy": "local", "limit_by": "credential" });
        let given = json!({ "name": "rate-limiting", "config": limit });
        json(admin, "POST", &format!("/routes/{route}/plugins"), &given).expect(201);
    }
    ask("/limited", "ann").expect(200);
    ask("/limited", "ann").expect(429);
    ask("/limited", "joe").expect(200);
    ask("/keyless", "ann").expect(200);
    ask("/keyless", "joe").expect(429);
    let kinds = ["application/json", "text/plain"];
    let config = json!({ "strategy": "memory", "content_type": kinds });
    json(admin, "POST", "/routes/cached/plugins", &json!({ "name": "proxy-cache", "config": config })).expect(201);
    for (user, status) in [("ann", "Miss"), ("ann", "Hit"), ("joe", "Miss"), ("joe", "Hit")] {
        let answer = ask("/cached", user).expect(200);
        assert_eq!(answer.header("X-Cache-Status"), Some(status), "{user}");
    }
    eventually("the log names the caller as the code has", || {
        get(node.proxy(), "/cached?seen=1").expect(200).text() == "joe joe joe"
    });
}
