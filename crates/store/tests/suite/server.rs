//! A Postgres server for tests, in a directory of its own, that ends with the process that has asked for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use store::backend::postgres::Server;

/// The server of this process.
struct Running {
    directory: PathBuf,
    /// Ends with its standard input.
    _keeper: Child,
}

/// Waits until nobody holds its standard input, then ends the server and removes its directory.
const KEEPER: &str = r#"
directory=$1; shift
"$@" >"$directory/log" 2>&1 &
cat >/dev/null
kill -INT $!
wait $!
rm -rf "$directory"
"#;

/// How often it is looked whether the server answers.
const TRIES: u32 = 600;

/// A schema that nobody else uses, on the server of this process.
pub fn server() -> Server {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let running = RUNNING.get_or_init(Running::start);
    Server {
        host: running.directory.display().to_string(),
        port: 5432,
        user: "kong".to_owned(),
        password: String::new(),
        passwords: None,
        database: "postgres".to_owned(),
        schema: format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
        timeout: Duration::from_secs(30),
        tls: None,
        pool_size: 4,
        backlog: None,
        keepalive: Duration::from_secs(60),
        max_queries: None,
        semaphore_timeout: Duration::from_secs(60),
        writable: true,
        replica: None,
    }
}

impl Running {
    fn start() -> Running {
        let programs = programs();
        let directory = tempfile::Builder::new().prefix("bascule-postgres").tempdir().unwrap().keep();
        let data = directory.join("data");
        let root = rustix::process::geteuid().is_root();
        if root {
            run(Command::new("chown").arg("postgres").arg(&directory));
        }
        // The server refuses to be root.
        let command = |program: &str| {
            let program = programs.join(program);
            let mut command = Command::new(if root { Path::new("setpriv") } else { &program });
            if root {
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(&program);
            }
            command.current_dir(&directory);
            command
        };
        run(command("initdb").args(["-U", "kong", "-A", "trust", "--no-sync", "-D"]).arg(&data));
        let mut server = command("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(&directory);
        for setting in ["listen_addresses=", "fsync=off", "max_connections=300", "shared_buffers=32MB"] {
            server.args(["-c", setting]);
        }
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&directory).arg(server.get_program()).args(server.get_args());
        let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let ready = || {
            let asked = command("pg_isready").arg("-q").arg("-h").arg(&directory).status();
            asked.is_ok_and(|status| status.success())
        };
        let started = (0..TRIES).any(|_| {
            std::thread::yield_now();
            ready()
        });
        assert!(started, "{}", std::fs::read_to_string(directory.join("log")).unwrap_or_default());
        Running { directory, _keeper: keeper }
    }
}

/// Debian keeps the programs of each version apart.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("Debian's package postgresql is installed");
    versions.map(|version| version.unwrap().path().join("bin")).max().expect("a version of Postgres")
}

fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
