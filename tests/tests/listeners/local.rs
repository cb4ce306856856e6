//! Sockets in the file system.

use blackbox::http::{Connection, form};
use blackbox::{Node, PATIENCE, Scripted, eventually};
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A node that listens in a directory, beside its usual addresses, for `a.test`.
struct Local {
    node: Node,
    directory: TempDir,
}

impl Local {
    fn start(settings: &[(&str, &str)]) -> Local {
        let directory = TempDir::new().unwrap();
        let listen = |name: &str| format!("127.0.0.1:0, unix:{}/{name}", directory.path().display());
        let (proxy, admin) = (listen("proxy"), listen("admin"));
        let listen = [("proxy_listen", &*proxy), ("admin_listen", &*admin)];
        let node = Node::start(&[&listen, settings].concat());
        Local { node, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }
}

fn connect(path: &Path) -> Connection<UnixStream> {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Connection::over(stream, "a.test")
}

fn get(path: &Path, headers: &[(&str, &str)]) -> u16 {
    let mut connection = connect(path);
    for _ in 0..2 {
        connection.send("GET", "/services", headers, b"").unwrap();
        assert_eq!(connection.receive(false).unwrap().status, 200);
    }
    connection.send("GET", "/services", &[&[("Connection", "close")], headers].concat(), b"").unwrap();
    let answer = connection.receive(false).unwrap();
    assert_eq!(connection.rest().unwrap(), b"");
    answer.status
}

#[test]
fn clients_come_by_paths() {
    let local = Local::start(&[]);
    let service = Scripted::answering("text/plain", b"ok");
    form(local.node.admin(), "POST", "/services", &format!("name=s&url=http://{}", service.address)).expect(201);
    form(local.node.admin(), "POST", "/services/s/routes", "paths[]=/&hosts[]=a.test").expect(201);
    assert_eq!(get(&local.path("proxy"), &[("X-Forwarded-For", "192.0.2.1")]), 200);
    assert_eq!(service.last().header("X-Forwarded-For"), Some("192.0.2.1, unix:"));
    assert_eq!(service.last().header("X-Real-IP"), Some("unix:"));
    assert_eq!(get(&local.path("admin"), &[]), 200);
    assert_eq!(local.mode("proxy"), 0o666);
    assert_eq!(local.mode("admin"), 0o660);
}

#[test]
fn they_can_be_trusted() {
    let local = Local::start(&[("trusted_ips", "unix:")]);
    let service = Scripted::answering("text/plain", b"ok");
    form(local.node.admin(), "POST", "/services", &format!("name=s&url=http://{}", service.address)).expect(201);
    form(local.node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    assert_eq!(get(&local.path("proxy"), &[("X-Real-IP", "192.0.2.1"), ("X-Forwarded-Proto", "https")]), 200);
    assert_eq!(service.last().header("X-Real-IP"), Some("192.0.2.1"));
    assert_eq!(service.last().header("X-Forwarded-Proto"), Some("https"));
}

#[test]
fn paths_come_and_go_with_the_node() {
    let mut local = Local::start(&[]);
    let other = Node::try_start(&[("proxy_listen".to_owned(), format!("unix:{}", local.path("proxy").display()))]);
    let error = other.err().unwrap();
    assert!(error.contains("it is in use by another process"), "{error}");
    assert_eq!(get(&local.path("admin"), &[]), 200);
    local.node.kill();
    assert!(local.path("admin").exists());
    local.node.revive();
    assert_eq!(get(&local.path("admin"), &[]), 200);
    let pids = local.node.prefix().join("pids/nginx.pid");
    let first = std::fs::read_to_string(&pids).unwrap();
    local.node.signal(Signal::USR2);
    eventually("a successor serves", || std::fs::read_to_string(&pids).is_ok_and(|pid| !["", &first].contains(&&*pid)));
    assert_eq!(get(&local.path("admin"), &[]), 200);
    assert!(local.node.end(Signal::TERM));
    assert!(!local.path("proxy").exists());
    assert!(!local.path("admin").exists());
}
