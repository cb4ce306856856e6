//! A Postgres server in a directory of its own, that ends with the process that has asked for it.

use crate::eventually;
use crate::tls::Pair;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// A server with any number of databases.
pub struct Postgres {
    directory: PathBuf,
    /// Starts the server for each line of its standard input, and ends it with that.
    keeper: Child,
    /// Where it listens beside its socket.
    address: Option<Ipv4Addr>,
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
        let directory = make_directory();
        initialize(&directory);
        Postgres::run(directory, settings)
    }

    /// Starts one that is reached by TCP too, under these rules (`pg_hba.conf`); with a certificate of an
    /// authority, by TLS, and with clients' certificates of the same authority.
    pub fn start_on_network(rules: &str, authority: Option<&Pair>) -> Postgres {
        let directory = make_directory();
        initialize(&directory);
        let data = directory.join("data");
        let put = |name: &str, text: &str| {
            std::fs::write(data.join(name), text).expect("a file");
            run(Command::new("chmod").arg("600").arg(data.join(name)));
            if as_another() {
                run(Command::new("chown").arg("postgres").arg(data.join(name)));
            }
        };
        put("pg_hba.conf", &format!("local all all trust\n{rules}\n"));
        let address = own_address();
        let mut settings = vec![format!("listen_addresses={address}")];
        if let Some(authority) = authority {
            let pair = authority.issue(&[&address.to_string()]);
            put("server.crt", &pair.chain);
            put("server.key", &pair.key);
            put("root.crt", &authority.chain);
            settings.extend(["ssl=on", "ssl_ca_file=root.crt"].map(str::to_owned));
        }
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let mut postgres = Postgres::run(directory, &settings);
        postgres.address = Some(address);
        postgres
    }

    /// Starts one that follows it, and can only be read until it is promoted.
    pub fn standby(&self) -> Postgres {
        let directory = make_directory();
        let mut copy = server_command("pg_basebackup", &directory);
        copy.args(["-U", "kong", "-R", "-X", "stream", "-c", "fast", "-h"]).arg(&self.directory);
        run(copy.arg("-D").arg(directory.join("data")));
        Postgres::run(directory, &[])
    }

    fn run(directory: PathBuf, settings: &[&str]) -> Postgres {
        let mut server = server_command("postgres", &directory);
        server.arg("-D").arg(directory.join("data")).arg("-k").arg(&directory);
        // The tests kill the server, not the system.
        let usual = ["listen_addresses=", "fsync=off", "max_connections=100", "shared_buffers=32MB"];
        for setting in usual.iter().chain(settings) {
            server.args(["-c", setting]);
        }
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&directory).arg(server.get_program()).args(server.get_args());
        let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut postgres = Postgres { directory, keeper: keeper.spawn().expect("a shell"), address: None };
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

    /// The address at which it is reached by TCP.
    pub fn address(&self) -> String {
        self.address.expect("it is on the network").to_string()
    }

    /// Runs statements; what they say, values in lines and separated by `|`.
    pub fn sql(&self, database: &str, text: &str) -> String {
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "kong", "-d", database, "-h"]);
        run(psql.arg(&self.directory).args(["-c", text])).trim_end().to_owned()
    }

    /// Ends it as `kill -9` does, with its children: with one of them left, it does not start again.
    pub fn kill(&self) {
        run(Command::new("kill").args(["-9", &self.pid().to_string()]));
        eventually("the server's processes end", || self.processes().is_empty());
    }

    /// Has it stand still, until [`Postgres::thaw`].
    pub fn freeze(&self) {
        // The first one makes no others then.
        self.signal(Signal::STOP, &[self.pid()]);
        self.signal(Signal::STOP, &self.processes());
    }

    /// Has it go on after [`Postgres::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT, &self.processes());
    }

    /// Whether it refuses to change anything.
    pub fn refuse_writes(&self, refuse: bool) {
        let value = if refuse { "on" } else { "off" };
        self.sql("postgres", &format!("ALTER SYSTEM SET default_transaction_read_only = {value}"));
        self.sql("postgres", "SELECT pg_reload_conf()");
        // Sessions read it anew when they are asked next.
        eventually("the setting has come into force", || {
            self.sql("postgres", "SHOW default_transaction_read_only") == value
        });
    }

    fn signal(&self, signal: Signal, processes: &[u32]) {
        for pid in processes.iter().filter_map(|pid| Pid::from_raw((*pid).try_into().ok()?)) {
            // One that has ended meanwhile needs none.
            let _ = kill_process(pid, signal);
        }
    }

    /// The server and its children.
    fn processes(&self) -> Vec<u32> {
        let data = self.directory.join("data").canonicalize().expect("a directory");
        let is_its =
            |entry: &std::fs::DirEntry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data);
        let entries = std::fs::read_dir("/proc").expect("the system's processes").flatten().filter(is_its);
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// Starts it again.
    pub fn revive(&mut self) {
        self.keeper.stdin.as_mut().expect("it is piped").write_all(b"start\n").expect("the keeper reads");
        eventually("the server answers", || is_ready(&self.directory));
    }

    fn pid(&self) -> u32 {
        let file = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).expect("it runs");
        file.lines().next().and_then(|line| line.trim().parse().ok()).expect("a number")
    }
}

/// A pooler (pgbouncer) before a server, which lends connections for a transaction.
pub struct Pooler {
    directory: PathBuf,
    process: Child,
}

impl Pooler {
    pub fn start(server: &Postgres) -> Pooler {
        let directory = make_directory();
        let (shown, host) = (directory.display(), server.host());
        let file = directory.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={host} user=kong\n[pgbouncer]\nlisten_addr =\nlisten_port = 5432\n\
             unix_socket_dir = {shown}\nauth_type = any\npool_mode = transaction\n"
        );
        std::fs::write(&file, text).expect("a file");
        let process = Pooler::run(&directory);
        Pooler { directory, process }
    }

    fn run(directory: &Path) -> Child {
        let mut pooler = command_of(Path::new("/usr/sbin/pgbouncer"), directory);
        pooler.arg(directory.join("pgbouncer.ini"));
        pooler.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = pooler.spawn().expect("Debian's package pgbouncer is installed");
        eventually("the pooler answers", || is_ready(directory));
        process
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it has ended");
    }

    /// Starts it again.
    pub fn revive(&mut self) {
        // The one before has left it behind.
        let _ = std::fs::remove_file(self.directory.join(".s.PGSQL.5432"));
        self.process = Pooler::run(&self.directory);
    }

    /// The directory of its socket.
    pub fn host(&self) -> String {
        self.directory.display().to_string()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn make_directory() -> PathBuf {
    let directory = tempfile::Builder::new().prefix("bascule-postgres").tempdir().expect("a directory").keep();
    if as_another() {
        run(Command::new("chown").arg("postgres").arg(&directory));
    }
    directory
}

fn initialize(directory: &Path) {
    let mut initdb = server_command("initdb", directory);
    run(initdb.args(["-U", "kong", "-A", "trust", "--no-sync", "-D"]).arg(directory.join("data")));
}

/// An address of loopback that no other server of any test has: Postgres cannot be told to choose a port.
fn own_address() -> Ipv4Addr {
    static NUMBER: AtomicU8 = AtomicU8::new(2);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The server refuses to be root, and so does a pooler.
fn as_another() -> bool {
    rustix::process::geteuid().is_root()
}

fn server_command(program: &str, directory: &Path) -> Command {
    command_of(&programs().join(program), directory)
}

/// A program that runs there, as the user that servers run as.
fn command_of(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(if as_another() { Path::new("setpriv") } else { program });
    if as_another() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    }
    command.current_dir(directory);
    command
}

fn is_ready(directory: &Path) -> bool {
    let mut asked = Command::new(programs().join("pg_isready"));
    asked.arg("-q").arg("-h").arg(directory).status().is_ok_and(|status| status.success())
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
