//! The manager in a browser: the Get Started guide by clicks alone, with a login and without, and a look at every page.
//! Needs Chromium, node and npm, which `cargo xtask test` installs; two packages of npm come into the target directory.

use blackbox::http::{form, json, request};
use blackbox::tls::Pair;
use blackbox::{Backend, Node};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// What drives the browser, what looks for faults that keep people out, and where people have accounts.
const PACKAGES: [&str; 3] = ["playwright-core@1.65.1", "axe-core@4.14.1", "oidc-provider@8.8.1"];

/// Where the packages are.
fn packages() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let own = std::env::current_exe().unwrap();
        let target = own.ancestors().find(|folder| folder.ends_with("deps")).and_then(|deps| deps.parent()?.parent());
        let folder = target.unwrap().join("browser");
        let there = |package: &&str| folder.join("node_modules").join(package.split('@').next().unwrap()).exists();
        if !PACKAGES.iter().all(there) {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("package.json"), "{}").unwrap();
            let mut install = Command::new("npm");
            install.args(["install", "--silent", "--prefix"]).arg(&folder).args(PACKAGES);
            assert!(install.status().expect("npm runs").success(), "npm installs {PACKAGES:?}");
        }
        folder
    })
}

/// An issuer of OpenID Connect, and a server whose addresses lead to the node's.
struct Issuer {
    process: Child,
    /// Stays open: a word that it cannot write would end it.
    _output: BufReader<ChildStdout>,
    issuer: String,
    front: String,
}

impl Issuer {
    fn start() -> Issuer {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("manager/issuer.mjs");
        let mut command = Command::new("node");
        command.arg(script).env("BROWSER", packages()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("node runs");
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).expect("it says where it is");
        let address = |name: &str| told[name].as_str().unwrap().to_owned();
        Issuer { issuer: address("issuer"), front: address("gateway"), process, _output: output }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A node with the manager, whose pages may call nobody else.
fn node(settings: &[(&str, &str)]) -> Node {
    let gui = [("admin_gui_listen", "127.0.0.1:0"), ("admin_gui_csp_header", "on")];
    Node::start(&gui.into_iter().chain(settings.iter().copied()).collect::<Vec<_>>())
}

/// Runs a script of `tests/manager`.
fn run(script: &str, node: &Node, more: &[(&str, &str)]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("manager").join(script);
    let mut command = Command::new("node");
    command.arg(script).env("BROWSER", packages());
    for (name, address) in [("MANAGER", node.manager()), ("ADMIN", node.admin()), ("PROXY", node.proxy())] {
        command.env(name, format!("http://{address}"));
    }
    let output = command.envs(more.iter().copied()).output().expect("node runs");
    assert!(output.status.success(), "{}{}", node.log(), String::from_utf8_lossy(&output.stderr));
}

fn guide(settings: &[(&str, &str)], password: Option<&str>) {
    let node = node(settings);
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let (one, two) = (one.address.to_string(), two.address.to_string());
    let password = password.map(|password| ("PASSWORD", password));
    let more: Vec<_> = [("FIRST", one.as_str()), ("SECOND", &two)].into_iter().chain(password).collect();
    run("guide.mjs", &node, &more);
}

#[test]
fn the_guide_by_clicks() {
    guide(&[], None);
}

#[test]
fn the_guide_by_clicks_of_somebody_who_has_logged_in() {
    let session = r#"{ "secret": "s", "cookie_secure": false }"#;
    let settings = [
        ("enforce_rbac", "on"),
        ("password", "secret"),
        ("admin_gui_auth", "basic-auth"),
        ("admin_gui_session_conf", session),
    ];
    guide(&settings, Some("secret"));
}

#[test]
fn every_page_is_for_everybody() {
    let node = node(&[("audit_log", "on")]);
    let backend = Backend::start("one");
    form(node.admin(), "POST", "/upstreams", "name=u").expect(201);
    form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services", "name=s&host=u&tags[]=a").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/r&hosts[]=h.test").expect(201);
    form(node.admin(), "POST", "/groups", "name=g").expect(201);
    form(node.admin(), "POST", "/consumer_groups", "name=g").expect(201);
    form(node.admin(), "POST", "/vaults", "name=env&prefix=my-env").expect(201);
    form(node.admin(), "POST", "/consumers", "username=c").expect(201);
    form(node.admin(), "POST", "/consumers/c/key-auth", "key=secret").expect(201);
    let limit = json!({ "name": "rate-limiting", "config": { "minute": 5, "policy": "local" } });
    json(node.admin(), "POST", "/services/s/plugins", &limit).expect(201);
    run("pages.mjs", &node, &[]);
}

#[test]
fn a_recent_request_is_picked_and_traced() {
    let node = node(&[]);
    let backend = Backend::start("one");
    let service = format!("name=s&url=http://{}", backend.address);
    form(node.admin(), "POST", "/services", &service).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/r").expect(201);
    let limit = json!({ "name": "rate-limiting", "config": { "minute": 500, "policy": "local" } });
    json(node.admin(), "POST", "/services/s/plugins", &limit).expect(201);
    run("requests.mjs", &node, &[]);
}

#[test]
fn secrets_are_shown_to_whoever_asks() {
    let node = node(&[("audit_log", "on")]);
    let pair = Pair::authority("authority").issue(&["a.test"]);
    run("secrets.mjs", &node, &[("CERTIFICATE", &pair.chain), ("KEY", &pair.key)]);
}

#[test]
fn targets_keep_their_weights() {
    let node = node(&[]);
    form(node.admin(), "POST", "/upstreams", "name=u").expect(201);
    form(node.admin(), "POST", "/upstreams/u/targets", "target=127.0.0.1:9&weight=300").expect(201);
    run("weights.mjs", &node, &[]);
}

#[test]
fn answers_of_others_are_told_from_those_of_the_node() {
    run("foreign.mjs", &node(&[]), &[]);
}

#[test]
fn one_workspace_is_enough_to_work_in() {
    let node = node(&[("enforce_rbac", "on"), ("password", "secret")]);
    let write = |path: &str, record: &str| {
        let token = [("kong-admin-token", "secret"), ("content-type", "application/x-www-form-urlencoded")];
        request(node.admin(), "POST", path, &token, record.as_bytes()).unwrap().expect(201);
    };
    write("/workspaces", "name=team-b");
    write("/team-b/rbac/users", "name=dora&user_token=of-dora");
    write("/team-b/rbac/roles", "name=own");
    write("/team-b/rbac/roles/own/endpoints", "endpoint=*&workspace=team-b&actions=*");
    write("/team-b/rbac/users/dora/roles", "roles=own");
    run("workspace.mjs", &node, &[("TOKEN", "of-dora")]);
}

#[test]
fn lists_are_found_as_they_were_left() {
    let node = node(&[]);
    for number in 0..60 {
        form(node.admin(), "POST", "/services", &format!("name=s-{number}&host=a.test")).expect(201);
    }
    form(node.admin(), "POST", "/services/s-17/routes", "name=r&paths[]=/r").expect(201);
    form(node.admin(), "POST", "/workspaces", "name=full").expect(201);
    form(node.admin(), "POST", "/full/services", "name=only&host=a.test").expect(201);
    form(node.admin(), "POST", "/workspaces", "name=overview").expect(201);
    form(node.admin(), "POST", "/overview/services", "name=alone&host=a.test").expect(201);
    run("places.mjs", &node, &[]);
}

#[test]
fn records_are_written_as_text() {
    run("editing.mjs", &node(&[]), &[]);
}

#[test]
fn forms_send_what_was_changed() {
    run("forms.mjs", &node(&[]), &[]);
}

#[test]
fn roles_have_rules_and_groups_have_roles() {
    let node = node(&[]);
    form(node.admin(), "POST", "/services", "name=secret&host=a.test").expect(201);
    run("roles.mjs", &node, &[]);
}

#[test]
fn what_cannot_be_written_is_not_offered() {
    let file = json!({
        "_format_version": "3.0",
        "services": [{ "name": "s", "host": "u", "plugins": [{ "name": "cors" }] }],
        "upstreams": [{ "name": "u", "targets": [{ "target": "127.0.0.1:9" }] }],
        "consumers": [{ "username": "c", "keyauth_credentials": [{ "key": "k" }] }],
    });
    let file = file.to_string();
    run("reading.mjs", &node(&[("database", "off"), ("declarative_config_string", &file)]), &[]);
}

#[test]
fn pages_stay_small_where_the_configuration_is_large() {
    let targets = (0..1000).map(|n| json!({ "target": format!("10.0.{}.{}:80", n / 250, n % 250) }));
    let targets: Vec<_> = targets.collect();
    let upstreams = (0..100).map(|n| {
        let targets = if n == 0 { &targets[..] } else { &targets[..10] };
        json!({ "name": format!("u-{n}"), "targets": targets })
    });
    let services = (0..500).map(|n| {
        let route = |r| json!({ "name": format!("route-{}", 10 * n + r), "paths": [format!("/r{n}/{r}")] });
        let routes: Vec<_> = (0..10).map(route).collect();
        json!({ "name": format!("s-{n}"), "host": format!("u-{}", n % 100), "routes": routes })
    });
    let (upstreams, services): (Vec<_>, Vec<_>) = (upstreams.collect(), services.collect());
    let content = json!({ "_format_version": "3.0", "services": services, "upstreams": upstreams });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kong.json");
    std::fs::write(&file, content.to_string()).unwrap();
    let settings = [("database", "off"), ("declarative_config", file.to_str().unwrap())];
    run("many.mjs", &node(&settings), &[]);
}

#[test]
fn no_text_becomes_markup() {
    let node = node(&[("audit_log", "on")]);
    let backend = Backend::start("one");
    let (host, port) = (backend.address.ip().to_string(), backend.address.port().to_string());
    run("injection.mjs", &node, &[("FIRST_HOST", &host), ("FIRST_PORT", &port)]);
}

#[test]
fn pages_of_others_get_nowhere() {
    let settings = [
        ("enforce_rbac", "on"),
        ("password", "secret"),
        ("admin_gui_auth", "basic-auth"),
        ("admin_gui_session_conf", r#"{ "secret": "s", "cookie_secure": false }"#),
        ("admin_gui_auth_login_attempts", "3"),
    ];
    run("attacks.mjs", &node(&settings), &[("PASSWORD", "secret")]);
}

#[test]
fn people_log_in_with_an_account_elsewhere() {
    let issuer = Issuer::start();
    let conf = json!({
        "issuer": issuer.issuer, "client_id": ["manager"], "client_secret": ["of-manager"], "admin_auto_create": false,
        "redirect_uri": [format!("{}/auth", issuer.front)], "login_redirect_uri": [issuer.front],
        "scopes": ["openid", "email"]
    });
    let conf = conf.to_string();
    let settings = [
        ("enforce_rbac", "on"),
        ("password", "secret"),
        ("admin_gui_auth", "openid-connect"),
        ("admin_gui_auth_conf", &conf),
    ];
    let more = [("TOKEN", "secret"), ("ISSUER", &issuer.issuer), ("FRONT", &issuer.front)];
    run("provider.mjs", &node(&settings), &more);
}

#[test]
fn pages_need_no_mouse_and_lose_nothing() {
    run("keyboard.mjs", &node(&[]), &[]);
}
