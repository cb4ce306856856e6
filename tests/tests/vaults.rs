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
