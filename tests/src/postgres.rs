//! A Postgres server in a directory of its own, that ends with the process that has asked for it.

use crate::eventually;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A server with any number of databases.
pub struct Postgres {
    directory: PathBuf,
    /// Starts the server for each line of its standard input, and ends it with that.
    keeper: Child,
}

/// The end of the standard input is the end of the tests.
const KEEPER: &str = r#"
directory=$1; shift
while read -r line; do
    "$@" >>"$directory/log" 2>&1 &
done
kill -INT $!
wait $!
rm -rf "$directory"
"#;

impl Postgres {
    /// The server that all tests of a program share.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Postgres::start(&[]))
    }

    /// Starts one with these settings.
    pub fn start(settings: &[&str]) -> Postgres {
        let directory = tempfile::Builder::new().prefix("bascule-postgres").tempdir().expect("a directory").keep();
        if as_another() {
            run(Command::new("chown").arg("postgres").arg(&directory));
        }
        let data = directory.join("data");
        run(server_command("initdb", &directory).args(["-U", "kong", "-A", "trust", "--no-sync", "-D"]).arg(&data));
        let mut server = server_command("postgres", &directory);
        server.arg("-D").arg(&data).arg("-k").arg(&directory);
        // The tests kill the server, not the system.
        let usual = ["listen_addresses=", "fsync=off", "max_connections=100", "shared_buffers=32MB"];
        for setting in usual.iter().chain(settings) {
            server.args(["-c", setting]);
        }
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&directory).arg(server.get_program()).args(server.get_args());
        let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut postgres = Postgres { directory, keeper: keeper.spawn().expect("a shell") };
        postgres.revive();
        postgres
    }

    /// Makes an empty database; the settings with which a node uses it.
    pub fn database(&self) -> Vec<(String, String)> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("kong{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        let settings =
            [("database", "postgres"), ("pg_host", &self.host()), ("pg_user", "kong"), ("pg_database", &name)];
        settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// The directory of its socket, which is also the one of its data.
    pub fn host(&self) -> String {
        self.directory.display().to_string()
    }

    /// Runs statements; what they say, values in lines and separated by `|`.
    pub fn sql(&self, database: &str, text: &str) -> String {
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "kong", "-d", database, "-h"]);
        run(psql.arg(&self.directory).args(["-c", text])).trim_end().to_owned()
    }

    /// Ends it as `kill -9` does, with its children.
    pub fn kill(&self) {
        let pid = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        run(Command::new("kill").args(["-9", &pid.to_string()]));
        let gone =
            |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(" Z "));
        eventually("the server's processes end", || !children.split_whitespace().any(gone));
    }

    /// Starts it again.
    pub fn revive(&mut self) {
        self.keeper.stdin.as_mut().expect("it is piped").write_all(b"start\n").expect("the keeper reads");
        eventually("the server answers", || {
            let mut asked = Command::new(programs().join("pg_isready"));
            asked.arg("-q").arg("-h").arg(&self.directory).status().is_ok_and(|status| status.success())
        });
    }

    fn pid(&self) -> u32 {
        let file = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).expect("it runs");
        file.lines().next().and_then(|line| line.trim().parse().ok()).expect("a number")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The server refuses to be root.
fn as_another() -> bool {
    rustix::process::geteuid().is_root()
}

fn server_command(program: &str, directory: &Path) -> Command {
    let program = programs().join(program);
    let mut command = Command::new(if as_another() { Path::new("setpriv") } else { &program });
    if as_another() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(&program);
    }
    command.current_dir(directory);
    command
}

/// Debian keeps the programs of each version apart.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("Debian's package postgresql is installed");
    versions.map(|version| version.unwrap().path().join("bin")).max().expect("a version of Postgres")
}

fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}
