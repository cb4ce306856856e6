//! Secrets in vaults: references in records and settings, and what becomes of them when secrets change or are missing.

use blackbox::http::{get, json as send};
use blackbox::tls::{Client, Offer, Pair};
use blackbox::{Node, Scripted, eventually};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

/// The names in the certificate that the node shows.
fn shown(node: &Node) -> Option<String> {
    let client = Client::new(&Offer::default());
    client.get(node.proxy_tls(), Some("a.test"), "/").ok().map(|answer| answer.server)
}

/// A file with a certificate and its key, as the vault is to find it.
fn keep(folder: &Path, pair: &Pair) {
    // In one step: the vault reads whenever it likes.
    std::fs::write(folder.join("new"), pair.record().to_string()).unwrap();
    std::fs::rename(folder.join("new"), folder.join("pair.json")).unwrap();
}

/// Where vaults in Lua are.
fn path() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures");
    format!("{folder}/?.lua;{folder}/?/init.lua;;")
}

fn degraded(node: &Node) -> Vec<Value> {
    get(node.status(), "/status").expect(200).json()["degraded"].as_array().cloned().unwrap_or_default()
}

fn vault_get(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = blackbox::bascule();
    command.args(["vault", "get"]).args(arguments).envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn a_certificate_in_a_vault_is_there_late_and_changes_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&[]);
    let config = json!({ "prefix": folder.path(), "ttl": 1, "neg_ttl": 1 });
    let vault = json!({ "name": "fs", "prefix": "my-files", "config": config });
    send(node.admin(), "POST", "/vaults", &vault).expect(201);
    let cert = "{vault://my-files/pair.json/cert}";
    let certificate = json!({ "cert": cert, "key": "{vault://my-files/pair.json/key}", "snis": ["a.test"] });
    let made = send(node.admin(), "POST", "/certificates", &certificate).expect(201).json();
    assert_eq!(made["cert"], cert);
    assert_eq!(shown(&node), None, "another certificate is no answer");
    let entry = degraded(&node);
    assert_eq!(entry.len(), 1, "{entry:?}");
    assert_eq!(entry[0]["entity"], "certificates");
    let authority = Pair::authority("authority");
    for name in ["first.test", "second.test"] {
        keep(folder.path(), &authority.issue(&[name]));
        eventually("the certificate in the vault is shown", || shown(&node).as_deref() == Some(name));
        assert_eq!(degraded(&node), [] as [Value; 0]);
    }
    std::fs::remove_file(folder.path().join("pair.json")).unwrap();
    let id = made["id"].as_str().unwrap();
    assert_eq!(get(node.admin(), &format!("/certificates/{id}")).expect(200).json()["cert"], cert);
    assert_eq!(shown(&node).as_deref(), Some("second.test"), "what was known goes on");
    assert!(!node.log().contains("BEGIN"), "{}", node.log());
}

#[test]
fn a_plugin_has_the_secret_and_nobody_sees_it() {
    let vault = Scripted::answering("application/json", br#"{"data": {"data": {"token": "planted-secret"}}}"#);
    let collector = Scripted::answering("text/plain", b"");
    let port = vault.address.port().to_string();
    let settings = [
        ("vault_hcv_port", port.as_str()),
        ("vault_hcv_kv", "v2"),
        ("vault_hcv_token", "{vault://env/KONG_LOG_LEVEL}"),
        ("log_level", "debug"),
    ];
    let node = Node::start(&settings);
    let config = json!({
        "http_endpoint": format!("http://{}/", collector.address),
        "headers": { "X-Token": "{vault://hcv/logs/token}" },
        "queue": { "max_coalescing_delay": 0.01 },
    });
    let plugin = json!({ "name": "http-log", "config": config });
    let made = send(node.admin(), "POST", "/plugins", &plugin).expect(201).json();
    assert_eq!(made["config"]["headers"]["X-Token"], "{vault://hcv/logs/token}");
    assert_eq!(vault.last().header("X-Vault-Token"), Some("debug"), "settings of vaults may be references");
    get(node.proxy(), "/").expect(404);
    eventually("the line of the log arrives", || !collector.requests().is_empty());
    assert_eq!(collector.last().header("X-Token"), Some("planted-secret"));
    assert!(!get(node.admin(), "/plugins").text().contains("planted"));
    assert!(!get(node.admin(), "/config").text().contains("planted"));
    assert!(!node.log().contains("planted"), "{}", node.log());
}

#[test]
fn a_plugin_goes_without_a_secret_that_cannot_be_had() {
    let collector = Scripted::answering("text/plain", b"");
    let node = Node::start(&[]);
    let config = json!({
        "http_endpoint": format!("http://{}/", collector.address),
        "headers": { "X-Token": "{vault://env/no-such-variable}" },
        "queue": { "max_coalescing_delay": 0.01 },
    });
    let plugin = json!({ "name": "http-log", "config": config });
    let id = send(node.admin(), "POST", "/plugins", &plugin).expect(201).json()["id"].clone();
    let entry = degraded(&node);
    assert_eq!(entry[0]["ids"][0], id, "{entry:?}");
    assert_eq!(entry[0]["reason"], "{vault://env/no-such-variable} cannot be resolved: no value found");
    get(node.proxy(), "/").expect(404);
    eventually("the line of the log arrives", || !collector.requests().is_empty());
    assert_eq!(collector.last().header("X-Token"), Some(""));
    let path = format!("/plugins/{}", id.as_str().unwrap());
    send(node.admin(), "PATCH", &path, &json!({ "config": { "headers": { "X-Token": "plain" } } })).expect(200);
    assert_eq!(degraded(&node), [] as [Value; 0]);
}

#[test]
fn the_command_line_looks_into_vaults() {
    let vault = Scripted::answering("application/json", br#"{"data": {"user": "me"}}"#);
    let port = vault.address.port().to_string();
    let variables = [("KONG_VAULT_HCV_PORT", port.as_str()), ("KONG_VAULT_HCV_TOKEN", "t")];
    let output = vault_get(&["hcv/db/user"], &variables);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "me\n");
    let node = Node::start(&[]);
    let config = json!({ "port": vault.address.port(), "token": "t" });
    let record = json!({ "name": "hcv", "prefix": "my-hcv", "config": config });
    send(node.admin(), "POST", "/vaults", &record).expect(201);
    let prefix = node.prefix().to_str().unwrap();
    let output = vault_get(&["my-hcv/db/user", "--prefix", prefix], &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "me\n", "{}", String::from_utf8_lossy(&output.stderr));
    let output = vault_get(&["their-hcv/db/user", "--prefix", prefix], &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("could not find vault (their-hcv)"), "{said}");
    let file = node.prefix().join("vaults.yml");
    let text = "_format_version: '3.0'\nvaults: [{name: env, prefix: my-env, config: {prefix: SECRETS_}}]\n";
    std::fs::write(&file, text).unwrap();
    let declared =
        [("KONG_DATABASE", "off"), ("KONG_DECLARATIVE_CONFIG", file.to_str().unwrap()), ("SECRETS_A", "of a file")];
    let elsewhere = node.prefix().join("elsewhere");
    let output = vault_get(&["my-env/a", "--prefix", elsewhere.to_str().unwrap()], &declared);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "of a file\n", "{}", String::from_utf8_lossy(&output.stderr));
    let output = vault_get(&["{vault://hcv/db/none}"], &variables);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let why = "could not get value from external vault (could not get subfield value: subfield none not found";
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_vault_in_lua_gives_secrets_to_settings_plugins_and_code() {
    let secrets = br#"{"level": "debug", "token": "planted-secret"}"#;
    let service = Scripted::answering("application/json", secrets);
    let (port, path) = (service.address.port().to_string(), path());
    let settings = [
        ("vaults", "bundled, ledger"),
        ("lua_package_path", &*path),
        ("vault_ledger_port", &*port),
        ("log_level", "{vault://ledger/all/level}"),
        ("untrusted_lua", "on"),
    ];
    let node = Node::start(&settings);
    let configuration = get(node.admin(), "/").expect(200).json()["configuration"].clone();
    assert_eq!(configuration["loaded_vaults"]["ledger"], true);
    assert_eq!(configuration["log_level"], "debug");

    let vault = json!({ "name": "ledger", "prefix": "my-ledger", "config": { "port": service.address.port() } });
    let made = send(node.admin(), "POST", "/vaults", &vault).expect(201).json();
    assert_eq!(made["config"]["prefix"], "usual");
    let wrong = json!({ "name": "ledger", "prefix": "other-ledger", "config": { "port": 65536 } });
    let refused = send(node.admin(), "POST", "/vaults", &wrong).expect(400).json();
    assert_eq!(refused["fields"]["config"]["port"], "value should be between 0 and 65535");
    let taken = json!({ "name": "ledger", "prefix": "ledger" });
    let refused = send(node.admin(), "POST", "/vaults", &taken).expect(400).json();
    assert!(refused["fields"]["prefix"].is_string(), "{refused}");
    let absent = send(node.admin(), "POST", "/vaults", &json!({ "name": "nope", "prefix": "a-b" })).expect(400);
    assert!(absent.text().contains("vault 'nope' is not installed"), "{}", absent.text());

    let collector = Scripted::answering("text/plain", b"");
    let headers = json!({ "X-Token": "{vault://my-ledger/all/token}", "X-Count": "{vault://my-ledger/counted/}" });
    let http = format!("http://{}/", collector.address);
    let queue = json!({ "max_coalescing_delay": 0.01 });
    let config = json!({ "http_endpoint": http, "headers": headers, "queue": queue });
    send(node.admin(), "POST", "/plugins", &json!({ "name": "http-log", "config": config })).expect(201);
    get(node.proxy(), "/").expect(404);
    eventually("the line of the log arrives", || !collector.requests().is_empty());
    assert_eq!(collector.last().header("X-Token"), Some("planted-secret"));
    let first = collector.last().header("X-Count").unwrap().to_owned();
    eventually("the vault's own time to live is over, and the plugin has the new value", || {
        get(node.proxy(), "/").expect(404);
        collector.last().header("X-Count").is_some_and(|count| count != first)
    });

    let code = "local values = {} for _, name in ipairs { 'ledger/all/token', 'my-ledger/told#3', 'ledger/raised', \
        'ledger/number', 'ledger/told?prefix=mine', 'my-ledger/none/nothing', 'nope/a', 'ledger' } do \
        local value, err = kong.vault.get('{vault://' .. name .. '}') values[#values + 1] = value or err end \
        return kong.response.exit(200, values)";
    send(node.admin(), "POST", "/services", &json!({ "name": "s", "url": http })).expect(201);
    send(node.admin(), "POST", "/services/s/routes", &json!({ "paths": ["/code"] })).expect(201);
    let plugin = json!({ "name": "pre-function", "config": { "access": [code] } });
    send(node.admin(), "POST", "/services/s/plugins", &plugin).expect(201);
    let values = get(node.proxy(), "/code").expect(200).json();
    let failed = |why: &str| format!("could not get value from external vault ({why})");
    assert_eq!(values[0], "planted-secret");
    assert_eq!(values[1], "usual 3 nil");
    assert!(values[2].as_str().unwrap().contains("the ledger is lost"), "{values}");
    let not_a_text = "no value found (value returned from vault has invalid type (number), string expected)";
    assert_eq!(values[3], *failed(not_a_text));
    assert_eq!(values[4], "mine nil nil");
    let absent = "could not get subfield value: subfield nothing not found in JSON secret";
    assert_eq!(values[5], *failed(absent));
    assert_eq!(values[6], "could not find vault (nope)");
    assert_eq!(values[7], "reference url is missing path [{vault://ledger}]");
    assert!(!node.log().contains("planted"), "{}", node.log());

    let prefix = node.prefix().join("elsewhere");
    let variables = [("KONG_VAULTS", "ledger"), ("KONG_LUA_PATH", ""), ("KONG_LUA_PACKAGE_PATH", &*path)];
    let told = vault_get(&["ledger/told", "--prefix", prefix.to_str().unwrap()], &variables);
    assert_eq!(String::from_utf8_lossy(&told.stdout), "usual nil nil\n", "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn a_vault_in_lua_that_does_not_answer_keeps_nobody_waiting() {
    let path = path();
    let node = Node::start(&[("vaults", "ledger"), ("lua_package_path", &path)]);
    let collector = Scripted::answering("text/plain", b"");
    let headers = json!({ "X-Token": "{vault://ledger/endless/}" });
    let http = format!("http://{}/", collector.address);
    let config = json!({ "http_endpoint": http, "headers": headers, "queue": { "max_coalescing_delay": 0.01 } });
    send(node.admin(), "POST", "/plugins", &json!({ "name": "http-log", "config": config })).expect(201);
    get(node.proxy(), "/").expect(404);
    eventually("the line of the log arrives", || !collector.requests().is_empty());
    let entry = degraded(&node);
    assert_eq!(entry[0]["entity"], "plugins");
    assert!(entry[0].to_string().contains("the vault takes too long"), "{entry:?}");
}

#[test]
fn a_vault_that_is_not_installed_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kong.conf");
    std::fs::write(&file, "vaults = bundled,absent\n").unwrap();
    let output = blackbox::bascule().arg("check").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    let why = "error loading vault schemas: on vault 'absent': absent vault is enabled but not installed";
    assert!(said.contains(why), "{said}");
}
