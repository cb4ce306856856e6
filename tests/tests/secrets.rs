//! No secret is in any line of a log, at the level that says most, whatever fails.

use blackbox::http::{get, json, request};
use blackbox::{Backend, Node, eventually};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::Path;

/// Part of every secret here, and of nothing else.
const PLANTED: &str = "planted";

/// Nobody listens here.
const AWAY: &str = "127.0.0.1";

/// Plugins whose counterparts are away. What else their schemas keep secret, [`plant`] adds.
fn plugins() -> Vec<Value> {
    let redis = json!({ "host": AWAY, "port": 1, "username": "planted-user", "password": "planted-redis" });
    let url = |name: &str| format!("http://{name}:planted-password@{AWAY}:1/x");
    vec![
        json!({ "name": "key-auth", "config": { "hide_credentials": true } }),
        json!({ "name": "key-auth-enc" }),
        json!({ "name": "acme", "config": {
            "account_email": "planted@a.test", "api_uri": format!("http://{AWAY}:1/directory"), "tos_accepted": true,
            "domains": ["a.test"], "storage": "redis",
            "storage_config": { "redis": { "host": AWAY, "port": 1 } } } }),
        json!({ "name": "jwt-signer", "config": {
            "access_token_jwks_uri": url("jwks"), "access_token_keyset": url("keys"),
            "channel_token_jwks_uri": url("jwks"), "channel_token_optional": true } }),
        json!({ "name": "proxy-cache-advanced", "config": {
            "strategy": "redis", "content_type": ["application/json"], "redis": redis.clone() } }),
        json!({ "name": "proxy-cache", "config": {
            "strategy": "redis", "content_type": ["application/json"], "redis": redis.clone() } }),
        json!({ "name": "response-ratelimiting", "config": {
            "limits": { "video": { "minute": 10 } }, "policy": "redis", "redis": redis.clone() } }),
        json!({ "name": "service-protection", "config": {
            "limit": [100], "window_size": [60], "strategy": "redis", "sync_rate": 0, "redis": redis.clone() } }),
        json!({ "name": "request-transformer-advanced", "config": {
            "add": { "headers": ["X-Key:planted-header"], "querystring": ["key:planted-argument"] } } }),
        json!({ "name": "basic-auth" }),
        json!({ "name": "jwt" }),
        json!({ "name": "hmac-auth" }),
        json!({ "name": "oauth2", "config": {
            "enable_client_credentials": true, "global_credentials": true, "accept_http_if_already_terminated": true,
            "provision_key": "planted-provision" } }),
        json!({ "name": "ldap-auth-advanced", "config": {
            "ldap_host": AWAY, "ldap_port": 1, "base_dn": "dc=x", "attribute": "uid", "bind_dn": "cn=x",
            "ldap_password": "planted-ldap", "header_type": "basic" } }),
        json!({ "name": "openid-connect", "config": {
            "issuer": url("issuer"), "client_id": ["c"], "client_secret": ["planted-client"],
            "session_secret": "planted-session", "auth_methods": ["password", "bearer", "session"] } }),
        json!({ "name": "oauth2-introspection", "config": {
            "introspection_url": format!("http://{AWAY}:1/"), "authorization_value": "Basic planted-authorization" } }),
        json!({ "name": "session", "config": { "secret": "planted-cookie", "storage": "cookie" } }),
        json!({ "name": "rate-limiting", "config": { "minute": 100, "policy": "redis", "redis": redis.clone() } }),
        json!({ "name": "rate-limiting-advanced", "config": {
            "limit": [100], "window_size": [60], "strategy": "redis", "sync_rate": 0, "redis": redis } }),
        json!({ "name": "http-log", "config": {
            "http_endpoint": url("log"), "headers": { "X-Api-Key": "planted-log" },
            "queue": { "max_retry_time": 0.2 } } }),
        json!({ "name": "opentelemetry", "config": {
            "traces_endpoint": url("traces"), "headers": { "X-Api-Key": "planted-traces" } } }),
        json!({ "name": "loggly", "config": { "key": "planted-loggly", "host": AWAY, "port": 1 } }),
        json!({ "name": "aws-lambda", "config": {
            "host": AWAY, "port": 1, "aws_region": "us-east-1", "function_name": "f", "aws_key": "planted-key",
            "aws_secret": "planted-aws", "disable_https": true } }),
        json!({ "name": "azure-functions", "config": {
            "appname": "a", "hostdomain": "azure.invalid", "functionname": "f", "apikey": "planted-azure",
            "https": false } }),
        json!({ "name": "standard-webhooks", "config": { "secret_v1": "cGxhbnRlZC1ob29rcw==" } }),
    ]
}

/// The fields of a plugin's configuration.
fn fields(node: &Node, plugin: &str) -> Value {
    let schema = get(node.admin(), &format!("/schemas/plugins/{plugin}")).expect(200).json();
    let config = schema["fields"].as_array().unwrap().iter().find_map(|field| field.get("config"));
    config.expect("a configuration")["fields"].clone()
}

/// Whether a field holds what nobody may see.
fn is_secret(name: &str, attributes: &Value) -> bool {
    let words = ["password", "secret", "token", "authorization", "username"];
    let names_one = words.iter().any(|word| name.ends_with(word));
    attributes["encrypted"] == true || (attributes["referenceable"] == true && names_one)
}

/// Gives each secret that a configuration says nothing of a value. Says whether there is a secret at all.
fn plant(fields: &Value, config: &mut Map<String, Value>) -> bool {
    let mut planted = false;
    for (name, attributes) in fields.as_array().unwrap().iter().flat_map(|field| field.as_object().unwrap()) {
        if attributes["fields"].is_array() {
            let mut within = config.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
            if plant(&attributes["fields"], &mut within) {
                config.insert(name.clone(), Value::Object(within));
                planted = true;
            }
        } else if is_secret(name, attributes) || is_secret(name, &attributes["elements"]) {
            let value = format!("planted-{name}");
            let value = if attributes["type"] == "array" { json!([value]) } else { json!(value) };
            config.entry(name.clone()).or_insert(value);
            planted = true;
        }
    }
    planted
}

/// A service and a route `/{name}` with that plugin.
fn install(node: &Node, backend: &Backend, plugin: &Value) {
    let name = plugin["name"].as_str().unwrap();
    let mut plugin = plugin.clone();
    let mut config = plugin["config"].as_object().cloned().unwrap_or_default();
    plant(&fields(node, name), &mut config);
    plugin["config"] = Value::Object(config);
    let service = json!({ "name": name, "url": format!("http://{}", backend.address), "read_timeout": 2000 });
    json(node.admin(), "POST", "/services", &service).expect(201);
    json(node.admin(), "POST", &format!("/services/{name}/routes"), &json!({ "paths": [format!("/{name}")] }))
        .expect(201);
    // This one is for all requests only.
    let path = if name == "acme" { "/plugins".to_owned() } else { format!("/services/{name}/plugins") };
    json(node.admin(), "POST", &path, &plugin).expect(201);
}

/// Credentials, good and bad ones, and what the Admin API refuses.
fn write_credentials(admin: SocketAddr) {
    json(admin, "POST", "/consumers", &json!({ "username": "c" })).expect(201);
    for (kind, record) in [
        ("key-auth", json!({ "key": "planted-key-auth" })),
        ("key-auth-enc", json!({ "key": "planted-key-auth-enc" })),
        ("basic-auth", json!({ "username": "u", "password": "planted-basic" })),
        ("jwt", json!({ "key": "k", "secret": "planted-jwt" })),
        ("hmac-auth", json!({ "username": "h", "secret": "planted-hmac" })),
        ("oauth2", json!({ "name": "app", "client_id": "i", "client_secret": "planted-oauth2" })),
    ] {
        json(admin, "POST", &format!("/consumers/c/{kind}"), &record).expect(201);
        // The same again is a violation of what is unique, and what is no credential at all is one of the schema.
        assert!(matches!(json(admin, "POST", &format!("/consumers/c/{kind}"), &record).status, 400 | 409), "{kind}");
        json(admin, "POST", &format!("/consumers/c/{kind}"), &json!({ "planted": ["planted-field"] })).expect(400);
    }
    let vault = json!({ "name": "hcv", "config": { "host": AWAY, "port": 1, "token": "planted-token" } });
    json(admin, "PUT", "/vaults/secrets", &vault).expect(200);
    let broken = json!({ "cert": "planted-certificate", "key": "planted-private-key" });
    json(admin, "POST", "/certificates", &broken).expect(400);
}

fn ask(node: &Node, name: &str) {
    let basic = |text: &str| format!("Basic {text}");
    // `u:planted-basic` and `u:planted-wrong`.
    let (good, bad) = (basic("dTpwbGFudGVkLWJhc2lj"), basic("dTpwbGFudGVkLXdyb25n"));
    let token = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJwbGFudGVkIn0.cGxhbnRlZA";
    let lines: [&[(&str, &str)]; 7] = [
        &[],
        &[("apikey", "planted-key-auth")],
        &[("apikey", "planted-wrong-key")],
        &[("Authorization", &good)],
        &[("Authorization", &bad)],
        &[("Authorization", token)],
        &[("Cookie", "session=planted-cookie-value"), ("Authorization", "hmac username=\"h\", signature=\"planted\"")],
    ];
    for headers in lines {
        request(node.proxy(), "GET", &format!("/{name}"), headers, b"").unwrap();
    }
    let form = b"grant_type=client_credentials&client_id=i&client_secret=planted-oauth2-wrong";
    let kind = [("Content-Type", "application/x-www-form-urlencoded"), ("X-Forwarded-Proto", "https")];
    request(node.proxy(), "POST", &format!("/{name}/oauth2/token"), &kind, form).unwrap();
}

/// All that is in the files of a folder.
fn texts(folder: &Path) -> Vec<(String, String)> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files
        .map(|path| (path.display().to_string(), String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()))
        .collect()
}

#[test]
fn no_log_tells_a_secret() {
    let backend = Backend::start("b");
    let node = Node::start(&[
        ("log_level", "debug"),
        ("dns_resolver", "127.0.0.1:1"),
        ("pg_password", "planted-database"),
        ("admin_gui_session_conf", r#"{"secret":"planted-gui","storage":"kong"}"#),
        ("vault_hcv_token", "planted-vault"),
        ("tracing_instrumentations", "all"),
    ]);
    write_credentials(node.admin());
    let enabled = get(node.admin(), "/plugins/enabled").expect(200).json()["enabled_plugins"].clone();
    for name in enabled.as_array().unwrap().iter().filter_map(Value::as_str) {
        let has_secrets = plant(&fields(&node, name), &mut Map::new());
        assert!(!has_secrets || plugins().iter().any(|plugin| plugin["name"] == name), "{name} is not looked at");
    }
    for plugin in plugins() {
        install(&node, &backend, &plugin);
        ask(&node, plugin["name"].as_str().unwrap());
    }
    // Whatever comes of it.
    json(node.admin(), "POST", "/acme", &json!({ "host": "a.test" }));
    eventually("http-log gives up", || node.log().contains("http-log"));

    let logs = texts(&node.prefix().join("logs"));
    assert!(logs.iter().any(|(_, text)| text.contains("/key-auth")), "requests are in the access log");
    for (file, text) in logs.into_iter().chain([("stderr".to_owned(), node.log())]) {
        let told: Vec<&str> = text.lines().filter(|line| line.contains(PLANTED)).collect();
        assert!(told.is_empty(), "{file} tells: {told:#?}");
    }
}
