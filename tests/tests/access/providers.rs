//! Administrators who log in with an account elsewhere. The issuer of OpenID Connect is asked in `browser.rs`.

use super::ask;
use blackbox::http::{Response, request};
use blackbox::{Node, bascule, eventually};
use serde_json::{Value, json};
use std::io::copy;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use tempfile::TempDir;

const CONFIGURATION: &str = r#"
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
database mdb
suffix "dc=corp,dc=test"
rootdn "cn=root,dc=corp,dc=test"
rootpw of-root
"#;

const ENTRIES: &str = "
dn: dc=corp,dc=test
objectClass: dcObject
objectClass: organization
dc: corp
o: corp

dn: uid=ada,dc=corp,dc=test
objectClass: inetOrgPerson
uid: ada
cn: Ada
sn: Ada
userPassword: right

dn: uid=bob,dc=corp,dc=test
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Bob
userPassword: right
";

const GROUP: &str = "
dn: cn=operators,dc=corp,dc=test
objectClass: groupOfNames
cn: operators
member: uid=ada,dc=corp,dc=test
";

/// A server of LDAP behind an address that it need not be given: it listens in the file system.
struct Directory {
    folder: TempDir,
    server: Child,
    address: SocketAddr,
}

impl Directory {
    fn start() -> Directory {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("data")).unwrap();
        let configuration = format!("{CONFIGURATION}directory {}\noverlay memberof\n", path("data").display());
        std::fs::write(path("slapd.conf"), configuration).unwrap();
        std::fs::write(path("entries.ldif"), ENTRIES).unwrap();
        // By another name, for some systems let the one that is installed read its own folders only.
        std::fs::copy("/usr/sbin/slapd", path("slapd")).expect("slapd is installed");
        let slapd = |mode: &[&str]| {
            let mut command = Command::new(path("slapd"));
            command.args(mode).arg("-f").arg(path("slapd.conf")).stderr(Stdio::null());
            command
        };
        let added = slapd(&["-Tadd"]).arg("-l").arg(path("entries.ldif")).status().expect("slapd runs");
        assert!(added.success(), "the entries are added");
        let socket = path("socket");
        let name = socket.display().to_string().replace('/', "%2F");
        let server = slapd(&["-d", "0", "-h", &format!("ldapi://{name}")]).spawn().unwrap();
        let directory = Directory { folder, server, address: relay(&socket) };
        eventually("the server of LDAP listens", || UnixStream::connect(&socket).is_ok());
        directory.add(GROUP);
        directory
    }

    /// Adds entries while it runs, so that members of groups know of them.
    fn add(&self, entries: &str) {
        let file = self.folder.path().join("more.ldif");
        std::fs::write(&file, entries).unwrap();
        let mut command = Command::new("ldapadd");
        command.args(["-x", "-D", "cn=root,dc=corp,dc=test", "-w", "of-root", "-H"]);
        command.arg(format!("ldap://{}", self.address)).arg("-f").arg(file).stdout(Stdio::null());
        assert!(command.status().expect("ldapadd runs").success(), "the group is added");
    }

    fn end(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    fn configuration(&self) -> String {
        json!({
            "ldap_host": self.address.ip().to_string(), "ldap_port": self.address.port(), "base_dn": "dc=corp,dc=test",
            "attribute": "uid", "bind_dn": "cn=root,dc=corp,dc=test", "ldap_password": "of-root",
            "group_name_attribute": "cn", "cache_ttl": 0, "header_type": "Basic", "anonymous": ""
        })
        .to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.end();
    }
}

/// An address that leads to a socket in the file system.
fn relay(socket: &Path) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = socket.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let socket = socket.clone();
            thread::spawn(move || both_ways(&client, &UnixStream::connect(&socket).ok()?));
        }
    });
    address
}

fn both_ways(client: &TcpStream, server: &UnixStream) -> Option<()> {
    let (mut from, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let back = thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let (mut from, mut to) = (client, server);
    let _ = copy(&mut from, &mut to);
    let _ = server.shutdown(std::net::Shutdown::Both);
    back.join().ok()
}

fn log_in(node: &Node, pair: &str) -> Response {
    use base64::Engine;
    let shown = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    request(node.admin(), "GET", "/auth", &[("Authorization", &shown)], b"").unwrap()
}

#[test]
fn an_ldap_server_knows_passwords_and_groups() {
    let mut directory = Directory::start();
    let conf = directory.configuration();
    let node = Node::start(&[
        ("enforce_rbac", "on"),
        ("password", "secret"),
        ("admin_gui_auth", "ldap-auth-advanced"),
        ("admin_gui_auth_conf", &conf),
        ("admin_gui_session_conf", r#"{"secret":"s","cookie_secure":false}"#),
        ("admin_gui_auth_login_attempts", "2"),
        ("log_level", "debug"),
    ]);
    let root = |method: &str, path: &str, form: &str| ask(&node, "secret", method, path, form);
    root("POST", "/admins", "username=ada&email=ada%40corp.test").expect(200);
    let group = root("POST", "/groups", "name=operators").expect(201).json();
    let role = root("GET", "/rbac/roles/read-only", "").expect(200).json();
    let workspace = root("GET", "/workspaces/default", "").expect(200).json();
    let ids = [&group, &role, &workspace].map(|record| record["id"].as_str().unwrap());
    let [group, role, workspace] = ids;
    let link = format!("rbac_role_id={role}&workspace_id={workspace}");
    root("POST", &format!("/groups/{group}/roles"), &link).expect(201);

    let session = log_in(&node, "ada:right").expect(200);
    let cookie = session.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let own = [("Cookie", cookie.as_str())];
    let info = request(node.admin(), "GET", "/userinfo", &own, b"").unwrap().expect(200).json();
    assert_eq!(info["groups"], json!(["operators"]));
    request(node.admin(), "GET", "/services", &own, b"").unwrap().expect(200);
    let form = [("Cookie", cookie.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    request(node.admin(), "POST", "/services", &form, b"name=s&host=h.test").unwrap().expect(403);
    for refused in ["ada:wrong", "ada:", "bob:right", "nobody:right", "*:right"] {
        log_in(&node, refused).expect(401);
    }

    directory.end();
    log_in(&node, "ada:right").expect(503);
    request(node.admin(), "GET", "/services", &own, b"").unwrap().expect(200);
    let log = node.log();
    for secret in ["of-root", "right", cookie.as_str()] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[test]
fn an_issuer_that_does_not_answer_is_named() {
    // Whoever connects is cut off.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    let conf = json!({
        "issuer": format!("http://{address}"), "client_id": ["manager"], "client_secret": ["of-manager"],
        "redirect_uri": ["http://127.0.0.1:8001/auth"], "login_redirect_uri": ["http://127.0.0.1:8002"]
    });
    let conf = conf.to_string();
    let node = Node::start(&[
        ("enforce_rbac", "on"),
        ("password", "secret"),
        ("admin_gui_auth", "openid-connect"),
        ("admin_gui_auth_conf", &conf),
    ]);
    let answer = request(node.admin(), "GET", "/auth", &[], b"").unwrap().expect(503);
    assert_eq!(answer.json()["message"], "The identity provider does not answer");
    let answer = request(node.admin(), "GET", "/auth", &[("Accept", "text/html")], b"").unwrap().expect(302);
    assert_eq!(answer.header("Location"), Some("http://127.0.0.1:8002?login=failed"));
    request(node.admin(), "GET", "/services", &[], b"").unwrap().expect(401);
    ask(&node, "secret", "GET", "/services", "").expect(200);
    let shown = ask(&node, "secret", "GET", "/", "").expect(200).json();
    assert_eq!(shown["configuration"]["admin_gui_auth_conf"], "******");
}

#[test]
fn logins_that_would_not_work_stop_the_start() {
    let issuer = |fields: Value| {
        let mut conf = json!({
            "issuer": "http://i.test", "client_id": ["m"], "client_secret": ["s"],
            "redirect_uri": ["http://a.test/auth"], "login_redirect_uri": ["http://g.test"]
        });
        conf.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
        conf
    };
    let ldap = |fields: Value| {
        let mut conf = json!({ "ldap_host": "l.test", "base_dn": "dc=test", "attribute": "uid" });
        conf.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
        conf
    };
    for (plugin, conf, words) in [
        ("openid-connect", json!([]), "must be a JSON object"),
        ("openid-connect", issuer(json!({ "redirect_uri": [] })), "redirect_uri is required"),
        ("openid-connect", issuer(json!({ "login_redirect_uri": [] })), "login_redirect_uri is required"),
        ("openid-connect", issuer(json!({ "client_secret": [] })), "session_secret is required"),
        ("openid-connect", issuer(json!({ "response_mode": "form_post" })), "response_mode must be query"),
        ("openid-connect", issuer(json!({ "admin_claim": ["email"] })), "admin_claim must be a string"),
        ("openid-connect", issuer(json!({ "admin_by": "id" })), "admin_by must be username or custom_id"),
        ("openid-connect", issuer(json!({ "admin_auto_create": "true" })), "admin_auto_create must be a boolean"),
        ("openid-connect", issuer(json!({ "anonymous": "guest" })), "anonymous: administrators have to log in"),
        ("openid-connect", issuer(json!({ "isuer": "x" })), "unknown field"),
        ("openid-connect", issuer(json!({ "client_id": null })), "client_id is missing"),
        ("ldap-auth-advanced", ldap(json!({ "base_dn": null })), "required field missing"),
        ("ldap-auth-advanced", ldap(json!({ "header_type": "ldap" })), "header_type must be Basic"),
    ] {
        let mut check = bascule();
        check.arg("check").arg("/dev/null").env("KONG_ENFORCE_RBAC", "on").env("KONG_ADMIN_GUI_AUTH", plugin);
        check.env("KONG_ADMIN_GUI_SESSION_CONF", r#"{"secret":"s"}"#).env("KONG_ADMIN_GUI_AUTH_CONF", conf.to_string());
        let output = check.output().unwrap();
        assert!(!output.status.success(), "{words}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("admin_gui_auth_conf: ") && said.contains(words), "{words}: {said}");
    }
}
