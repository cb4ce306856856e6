//! A node needs nothing but its prefix: the rest of the file system may be read-only, as in containers, and any user
//! may run it.

use blackbox::http::{form, get, request};
use blackbox::{Backend, bascule, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Nobody's: no file says anything of this user.
const USER: &str = "54321";

/// Makes everything read-only but the prefix, and goes on as the user. The program is where everybody may run it.
const SCRIPT: &str = r#"
set -e
directory=$1 program=$2 user=$3
shift 3
mount --make-rprivate /
mount --bind "$program" "$directory/bascule"
mount --bind "$directory/prefix" "$directory/prefix"
while read -r _ point _; do
    case $point in
        "$directory"/*|/proc*|/dev*|/sys*) ;;
        *) mount -o remount,bind,ro "$point" || : ;;
    esac
done </proc/mounts
if touch "$directory/written" 2>/dev/null; then exit 1; fi
exec setpriv --reuid="$user" --regid="$user" --clear-groups "$directory/bascule" "$@"
"#;

/// Where a node may write, in a directory where it may not.
struct Prison {
    directory: TempDir,
}

impl Prison {
    /// `None`: this process may not change what is mounted.
    fn build() -> Option<Prison> {
        let script = "mount --make-rprivate / && mount -o remount,bind,ro /";
        let allowed = Command::new("unshare").args(["--mount", "sh", "-c", script]).output();
        if !rustix::process::geteuid().is_root() || !allowed.is_ok_and(|done| done.status.success()) {
            println!("not tested: no mount namespace can be made here");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("prefix")).unwrap();
        std::fs::write(directory.path().join("bascule"), "").unwrap();
        let prison = Prison { directory };
        run(Command::new("chmod").arg("755").arg(prison.directory.path()));
        run(Command::new("chown").arg(format!("{USER}:{USER}")).arg(prison.prefix()));
        Some(prison)
    }

    fn prefix(&self) -> PathBuf {
        self.directory.path().join("prefix")
    }

    /// The program inside.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", SCRIPT, "prison"]).arg(self.directory.path());
        command.arg(bascule().get_program()).arg(USER).args(arguments).env("KONG_PREFIX", self.prefix());
        for (name, value) in [
            ("PROXY_LISTEN", "127.0.0.1:0"),
            ("ADMIN_LISTEN", "127.0.0.1:0"),
            ("STATUS_LISTEN", "off"),
            ("ADMIN_GUI_LISTEN", "off"),
            ("NGINX_WORKER_PROCESSES", "1"),
        ] {
            command.env(format!("KONG_{name}"), value);
        }
        command
    }

    /// Where the proxy and the Admin API of the running node are.
    fn addresses(&self) -> Option<[SocketAddr; 2]> {
        let text = std::fs::read(self.prefix().join("pids/bascule.json")).ok()?;
        let all: Value = serde_json::from_slice(&text).ok()?;
        let address = |interface: &str| all[interface][0].as_str()?.parse().ok();
        Some([address("proxy")?, address("admin")?])
    }
}

impl Drop for Prison {
    /// Where a test has failed, the node still runs.
    fn drop(&mut self) {
        let process = std::fs::read_to_string(self.prefix().join("pids/nginx.pid")).unwrap_or_default();
        if let Some(pid) = process.trim().parse().ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let done = command.output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}

/// Has the node keep records, and content that does not fit in memory.
fn serve(proxy: SocketAddr, admin: SocketAddr, backend: &Backend) {
    form(admin, "PUT", "/services/s", &format!("url=http://{}", backend.address)).expect(200);
    form(admin, "PUT", "/services/s/routes/r", "paths[]=/").expect(200);
    get(proxy, "/").expect(200);
    request(proxy, "POST", "/", &[], &vec![b'x'; 4 << 20]).unwrap().expect(200);
}

#[test]
fn a_node_writes_nowhere_but_in_its_prefix() {
    let Some(prison) = Prison::build() else { return };
    let backend = Backend::start("b");
    run(&mut prison.command(&["start"]));
    let [proxy, admin] = prison.addresses().unwrap();
    serve(proxy, admin, &backend);
    run(prison.command(&["reload"]).env("KONG_LOG_LEVEL", "debug"));
    run(&mut prison.command(&["health"]));
    run(&mut prison.command(&["stop"]));
    assert!(is_owned(&prison.prefix().join("bascule.db")), "what it has written is its own");
}

#[test]
fn a_container_starts_with_any_user() {
    let Some(prison) = Prison::build() else { return };
    let backend = Backend::start("b");
    let mut node = prison.command(&["docker-start"]).spawn().unwrap();
    eventually("it listens", || {
        assert_eq!(node.try_wait().unwrap(), None, "it has ended");
        prison.addresses().is_some()
    });
    let [proxy, admin] = prison.addresses().unwrap();
    serve(proxy, admin, &backend);
    kill_process(Pid::from_child(&node), Signal::TERM).unwrap();
    assert!(node.wait().unwrap().success());
}

fn is_owned(file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.uid().to_string() == USER)
}
