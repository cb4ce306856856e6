//! Tools that Kong's users have, request by request as they make them.

use blackbox::http::{get, json as send, request};
use blackbox::{Backend, Node};
use serde_json::{Value, json};

/// All records of a collection, page by page, as decK and the Ingress Controller read it.
fn all(node: &Node, collection: &str, query: &str) -> Vec<Value> {
    let mut records = Vec::new();
    let mut path = format!("/{collection}?size=1000{query}");
    loop {
        let page = get(node.admin(), &path).expect(200).json();
        records.extend(page["data"].as_array().expect("a page").clone());
        match page["next"].as_str() {
            None => return records,
            Some(_) => {
                let offset = page["offset"].as_str().expect("an offset");
                path = format!("/{collection}?size=1000&offset={offset}{query}");
            }
        }
    }
}

const COLLECTIONS: &[&str] = &[
    "acls",
    "basic-auths",
    "ca_certificates",
    "certificates",
    "consumer_groups",
    "consumers",
    "hmac-auths",
    "jwts",
    "key-auths",
    "key-sets",
    "keys",
    "oauth2",
    "partials",
    "plugins",
    "routes",
    "services",
    "snis",
    "upstreams",
    "vaults",
];

#[test]
fn deck_writes_reads_and_takes_back() {
    let backend = Backend::start("b");
    let node = Node::start(&[]);
    for root in ["/", "/default/kong"] {
        let root = get(node.admin(), root).expect(200).json();
        assert_eq!(root["version"], "3.10.0");
    }
    get(node.admin(), "/workspaces/default").expect(200);
    get(node.admin(), "/workspaces/none").expect(404);
    get(node.admin(), "/tags").expect(200);
    COLLECTIONS.iter().for_each(|name| assert_eq!(all(&node, name, "&tags=shop"), [] as [Value; 0], "{name}"));
    for schema in ["services", "routes", "plugins/key-auth", "plugins/rate-limiting"] {
        let schema = get(node.admin(), &format!("/schemas/{schema}")).expect(200).json();
        assert!(!schema["fields"].as_array().expect("fields").is_empty());
    }
    // It invents ids and puts whole records, the defaults of schemas filled in.
    let id = |number: u8| format!("00000000-0000-4000-8000-00000000000{number}");
    let [service, route, plugin, consumer] = [1, 2, 3, 4].map(id);
    let put = |path: String, record: Value| send(node.admin(), "PUT", &path, &record).expect(200).json();
    let of_service = json!({
        "id": service, "name": "shop", "host": backend.address.ip(), "port": backend.address.port(), "path": null,
        "protocol": "http", "connect_timeout": 60000, "read_timeout": 60000, "write_timeout": 60000, "retries": 5,
        "enabled": true, "tags": ["shop"],
    });
    assert_eq!(put(format!("/services/{service}"), of_service)["id"], service);
    let of_route = json!({
        "id": route, "name": "shop", "paths": ["/shop"], "protocols": ["http", "https"], "strip_path": true,
        "service": { "id": service }, "https_redirect_status_code": 426, "tags": ["shop"],
    });
    put(format!("/routes/{route}"), of_route);
    let of_plugin = json!({
        "id": plugin, "name": "key-auth", "route": { "id": route }, "config": { "key_names": ["apikey"] },
        "enabled": true, "protocols": ["http", "https"], "tags": ["shop"],
    });
    put(format!("/plugins/{plugin}"), of_plugin);
    put(format!("/consumers/{consumer}"), json!({ "id": consumer, "username": "ada", "tags": ["shop"] }));
    let key = json!({ "key": "of-ada", "consumer": { "id": consumer }, "tags": ["shop"] });
    send(node.admin(), "POST", &format!("/consumers/{consumer}/key-auth"), &key).expect(201);
    get(node.proxy(), "/shop").expect(401);
    request(node.proxy(), "GET", "/shop", &[("apikey", "of-ada")], b"").unwrap().expect(200);
    for (name, count) in [("services", 1), ("routes", 1), ("plugins", 1), ("consumers", 1), ("key-auths", 1)] {
        assert_eq!(all(&node, name, "&tags=shop").len(), count, "{name}");
        assert_eq!(all(&node, name, "&tags=other").len(), 0, "{name}");
    }
    // What refers to others is taken back before them; what is gone stays gone.
    let records = [("plugins", &plugin), ("routes", &route), ("services", &service), ("consumers", &consumer)];
    for path in records.map(|(collection, id)| format!("/{collection}/{id}")) {
        for _ in 0..2 {
            request(node.admin(), "DELETE", &path, &[], b"").unwrap().expect(204);
        }
        get(node.admin(), &path).expect(404);
    }
}

#[test]
fn what_deck_is_told_names_fields() {
    let node = Node::start(&[]);
    let bad = json!({ "name": "s", "host": "h.test", "port": 99999, "retries": "x" });
    let refused = send(node.admin(), "PUT", "/services/00000000-0000-4000-8000-000000000001", &bad).expect(400).json();
    assert_eq!(refused["code"], 2);
    assert_eq!(refused["name"], "schema violation");
    assert_eq!(refused["fields"]["port"], "value should be between 0 and 65535");
    assert_eq!(refused["fields"]["retries"], "expected an integer");
    send(node.admin(), "POST", "/services", &json!({ "name": "s", "host": "h.test" })).expect(201);
    let twice = send(node.admin(), "POST", "/services", &json!({ "name": "s", "host": "h.test" })).expect(409).json();
    assert_eq!(twice["name"], "unique constraint violation");
    assert_eq!(twice["fields"]["name"], "s");
}

/// What the Ingress Controller makes of one Ingress.
fn pushed(backend: &Backend, path: &str) -> Value {
    let tags = json!(["k8s-name:shop", "k8s-namespace:default", "k8s-kind:Ingress"]);
    let route = json!({ "name": "default.shop.shop", "paths": [path], "tags": tags, "strip_path": true });
    let target = json!({ "target": backend.address.to_string() });
    json!({
        "_format_version": "3.0",
        "upstreams": [{ "name": "shop.default.80.svc", "algorithm": "round-robin", "targets": [target], "tags": tags }],
        "services": [{ "name": "default.shop.80", "host": "shop.default.80.svc", "tags": tags, "routes": [route] }],
        "consumers": [{ "username": "ada", "tags": tags, "keyauth_credentials": [{ "key": "of-ada" }] }],
    })
}

#[test]
fn the_ingress_controller_pushes_whole_configurations() {
    const PUSH: &str = "/config?check_hash=1&flatten_errors=1";
    let backend = Backend::start("b");
    let node = Node::start(&[("database", "off")]);
    let root = get(node.admin(), "/").expect(200).json();
    assert_eq!(root["configuration"]["database"], "off");
    assert!(root["configuration"]["router_flavor"].is_string());
    assert!(root["node_id"].is_string());
    let hash = || get(node.admin(), "/status").expect(200).json()["configuration_hash"].clone();
    assert_eq!(hash(), "0".repeat(32));
    get(node.status(), "/status/ready").expect(503);
    get(node.admin(), "/schemas/plugins/key-auth").expect(200);
    send(node.admin(), "POST", PUSH, &pushed(&backend, "/shop")).expect(201);
    let first = hash();
    assert_ne!(first, "0".repeat(32));
    get(node.status(), "/status/ready").expect(200);
    get(node.status(), "/metrics").expect(200);
    get(node.proxy(), "/shop").expect(200);
    let config = get(node.admin(), "/config").expect(200).json();
    assert!(config["config"].as_str().expect("a text").contains("default.shop.shop"));
    send(node.admin(), "POST", PUSH, &pushed(&backend, "/other")).expect(201);
    assert_ne!(hash(), first);
    get(node.proxy(), "/shop").expect(404);
    let second = hash();
    let refused = send(node.admin(), "POST", PUSH, &pushed(&backend, "no-slash")).expect(400).json();
    let error = &refused["flattened_errors"][0];
    assert_eq!(error["entity_type"], "route");
    assert_eq!(error["entity_name"], "default.shop.shop");
    assert_eq!(error["entity_tags"][0], "k8s-name:shop");
    assert_eq!(error["errors"][0]["field"], "paths.1");
    assert_eq!(hash(), second);
    get(node.proxy(), "/other").expect(200);
    for name in ["basic-auths", "jwts", "hmac-auths", "key-auths", "consumers", "routes", "services", "upstreams"] {
        all(&node, name, "");
    }
    assert_eq!(all(&node, "key-auths", "").len(), 1);
}

/// The fields of a record, and of records in it, that a schema shows and that are not there.
fn lacking(schema: &Value, record: &Value, path: &str) -> Vec<String> {
    let mut lacking = Vec::new();
    for (name, field) in schema["fields"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten() {
        match record.get(name) {
            None => lacking.push(format!("{path}.{name}")),
            Some(value) if value.is_object() => lacking.extend(self::lacking(field, value, &format!("{path}.{name}"))),
            Some(_) => {}
        }
    }
    lacking
}

/// decK completes a configuration by the schema, fields without defaults with null, before it compares.
#[test]
fn plugins_have_every_field_that_their_schema_shows() {
    let node = Node::start(&[]);
    let plugins = get(node.admin(), "/plugins/enabled").expect(200).json();
    let mut compared = 0;
    for name in plugins["enabled_plugins"].as_array().expect("names").iter().filter_map(Value::as_str) {
        let config = match name {
            "acl" => json!({ "allow": ["a"] }),
            "opentelemetry" => json!({ "traces_endpoint": "http://127.0.0.1:4318" }),
            "rate-limiting-advanced" => json!({ "limit": [1], "window_size": [1], "namespace": "n" }),
            _ => json!({}),
        };
        let record = send(node.admin(), "POST", "/plugins", &json!({ "name": name, "config": config }));
        // Others need more than their defaults.
        if record.status == 201 {
            let schema = get(node.admin(), &format!("/schemas/plugins/{name}")).expect(200).json();
            let config = schema["fields"].as_array().into_iter().flatten().find_map(|field| field.get("config"));
            let missing = lacking(config.unwrap_or(&Value::Null), &record.json()["config"], name);
            assert_eq!(missing, Vec::<String>::new());
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}
