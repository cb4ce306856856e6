//! The program under test: building, starting, ending it.

use crate::PATIENCE;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running node on ports that the system chose.
pub struct Node {
    prefix: TempDir,
    settings: Vec<(String, String)>,
    /// How many descriptors it may have (RLIMIT_NOFILE); `None`: as many as the test.
    files: Option<u32>,
    exact_memory: bool,
    process: Option<Child>,
    addresses: Value,
}

/// The program: `$BASCULE`, or the one of this build, brought up to date first.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("BASCULE") {
            return path.into();
        }
        let own = std::env::current_exe().expect("the own path");
        let folder = own.parent().expect("programs are in <target>/<profile>, tests in <target>/<profile>/deps");
        let profile = if folder.ends_with("deps") { folder.parent().expect("<profile>") } else { folder };
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        build
            .args(["build", "--quiet", "--package", "gateway", "--target-dir"])
            .arg(profile.parent().expect("<target>"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        if cfg!(feature = "wasm") {
            build.args(["--features", "wasm"]);
        }
        assert!(build.status().expect("cargo can be run").success(), "the program does not build");
        profile.join("bascule")
    })
}

/// The program, with no settings from the test's own environment.
pub fn bascule() -> Command {
    let mut command = Command::new(binary());
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("KONG_")) {
        command.env_remove(key);
    }
    command
}

/// The same, with that many descriptors at most.
fn bascule_with_files(files: u32) -> Command {
    let program = bascule();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]).arg(program.get_program());
    for (key, _) in program.get_envs() {
        command.env_remove(key);
    }
    command
}

impl Node {
    /// Starts a node with these settings (`kong.conf` names) on top of free ports on loopback.
    pub fn start(settings: &[(&str, &str)]) -> Node {
        Node::try_start(&owned(settings)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same; what it said when it does not start.
    pub fn try_start(settings: &[(String, String)]) -> Result<Node, String> {
        let mut node = Node::new(None);
        node.try_revive(settings)?;
        Ok(node)
    }

    /// As [`Node::start`], with that many descriptors at most.
    pub fn with_files(files: u32, settings: &[(&str, &str)]) -> Node {
        let mut node = Node::new(Some(files));
        node.try_revive(&owned(settings)).unwrap_or_else(|error| panic!("{error}"));
        node
    }

    /// As [`Node::start`]; memory that it no longer needs goes back at once, so that what it has is what it keeps.
    pub fn with_exact_memory(settings: &[(&str, &str)]) -> Node {
        let mut node = Node::new(None);
        node.settings = on_free_ports(&owned(settings));
        node.exact_memory = true;
        node.launch(node.stderr()).unwrap_or_else(|error| panic!("{error}"));
        node
    }

    /// As [`Node::start`], with something else as its standard error.
    pub fn start_with_stderr(settings: &[(&str, &str)], stderr: impl Into<Stdio>) -> Node {
        let mut node = Node::new(None);
        node.settings = on_free_ports(&owned(settings));
        node.launch(stderr.into()).unwrap_or_else(|error| panic!("{error}"));
        node
    }

    fn new(files: Option<u32>) -> Node {
        let prefix = TempDir::new().expect("a directory");
        Node { prefix, settings: Vec::new(), files, exact_memory: false, process: None, addresses: Value::Null }
    }

    /// Starts it again in the same directory, after [`Node::kill`] or [`Node::end`].
    pub fn revive(&mut self) {
        self.launch(self.stderr()).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts it in the same directory with other settings; what it said when it does not start.
    pub fn try_revive(&mut self, settings: &[(String, String)]) -> Result<(), String> {
        self.settings = on_free_ports(settings);
        self.launch(self.stderr())
    }

    /// Gives a setting another value, for the next [`Node::revive`].
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it again, which it must refuse; what it says.
    pub fn refusal(&mut self) -> String {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.process = Some(command.spawn().expect("the program can be run"));
        let process = self.process.as_mut().expect("it runs");
        let (mut stdout, mut stderr) = (process.stdout.take().expect("piped"), process.stderr.take().expect("piped"));
        assert!(!self.ends_within(PATIENCE), "it has started and ended well");
        assert!(self.process.is_none(), "it has started");
        let mut said = String::new();
        stderr.read_to_string(&mut said).expect("text");
        stdout.read_to_string(&mut said).expect("text");
        said
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it runs");
            process.wait().expect("it ends");
        }
    }

    /// Ends it by a signal and waits; whether it ended well.
    pub fn end(&mut self, signal: rustix::process::Signal) -> bool {
        let mut process = self.process.take().expect("it runs");
        rustix::process::kill_process(rustix::process::Pid::from_child(&process), signal).expect("it runs");
        process.wait().expect("it ends").success()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let process = self.process.as_ref().expect("it runs");
        rustix::process::kill_process(rustix::process::Pid::from_child(process), signal).expect("it runs");
    }

    /// Whether it ends within so long, and ends well.
    pub fn ends_within(&mut self, longest: Duration) -> bool {
        let end = Instant::now() + longest;
        while Instant::now() < end {
            let process = self.process.as_mut().expect("it runs");
            if let Some(status) = process.try_wait().expect("it is ours") {
                self.process = None;
                return status.success();
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        false
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().is_ok_and(|status| status.is_none()))
    }

    pub fn prefix(&self) -> &Path {
        self.prefix.path()
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    pub fn proxy(&self) -> SocketAddr {
        self.address("proxy")
    }

    pub fn proxy_tls(&self) -> SocketAddr {
        self.address("proxy_tls")
    }

    /// Where it speaks HTTP/3.
    pub fn quic(&self) -> SocketAddr {
        self.address("quic")
    }

    pub fn admin(&self) -> SocketAddr {
        self.address("admin")
    }

    /// The addresses of streams, in the order of `stream_listen`.
    pub fn stream(&self, at: usize) -> SocketAddr {
        let address = self.addresses["stream"][at].as_str().and_then(|a| a.parse().ok());
        address.unwrap_or_else(|| panic!("no such stream: {}", self.addresses))
    }

    /// The second address of the Admin API; one with TLS comes behind the others.
    pub fn admin_tls(&self) -> SocketAddr {
        self.addresses["admin"][1]
            .as_str()
            .and_then(|a| a.parse().ok())
            .unwrap_or_else(|| panic!("no second one: {}", self.addresses))
    }

    pub fn status(&self) -> SocketAddr {
        self.address("status")
    }

    /// Where the pages of the manager are, for which `admin_gui_listen` is set.
    pub fn manager(&self) -> SocketAddr {
        self.address("manager")
    }

    /// What it has logged, and written to its standard error.
    pub fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.prefix.path().join(name)).unwrap_or_default();
        read("logs/error.log") + &read("stderr")
    }

    /// Waits for words in its log, which is written by a thread of its own; fails with the log where they never come.
    pub fn says(&self, words: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < end, "the log never says {words:?}: {}", self.log());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn command(&self) -> Command {
        let mut command = match self.files {
            None => bascule(),
            Some(files) => bascule_with_files(files),
        };
        command.args(["run", "--attended", "--prefix"]).arg(self.prefix.path());
        if self.exact_memory {
            let allocator = "narenas:1,tcache:false,dirty_decay_ms:0,muzzy_decay_ms:0";
            command.env("_RJEM_MALLOC_CONF", allocator);
        }
        for (key, value) in &self.settings {
            command.env(format!("KONG_{}", key.to_uppercase()), value);
        }
        command
    }

    fn stderr(&self) -> Stdio {
        let file = File::options().create(true).append(true).open(self.prefix.path().join("stderr"));
        file.expect("a file").into()
    }

    fn launch(&mut self, stderr: Stdio) -> Result<(), String> {
        let mut command = self.command();
        let mut child =
            command.stderr(stderr).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program can be run");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("its word");
        self.process = Some(child);
        if line != "ready\n" {
            let ended = self.ends_within(PATIENCE);
            let status = match self.process.take() {
                None if ended => "exit status: 0".to_owned(),
                None => "exit status: not 0".to_owned(),
                Some(mut child) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    "it goes on".to_owned()
                }
            };
            return Err(format!("it does not start ({status}): {line}{}", self.log()));
        }
        let text = std::fs::read(self.prefix.path().join("pids/bascule.json")).expect("where it listens");
        self.addresses = serde_json::from_slice(&text).expect("JSON");
        Ok(())
    }

    fn address(&self, interface: &str) -> SocketAddr {
        self.addresses[interface][0]
            .as_str()
            .and_then(|a| a.parse().ok())
            .unwrap_or_else(|| panic!("no {interface}: {}", self.addresses))
    }
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn on_free_ports(settings: &[(String, String)]) -> Vec<(String, String)> {
    let ports = [
        ("proxy_listen", "127.0.0.1:0, 127.0.0.1:0 ssl"),
        ("admin_listen", "127.0.0.1:0"),
        ("status_listen", "127.0.0.1:0"),
        ("admin_gui_listen", "off"),
        ("nginx_worker_processes", "2"),
    ];
    owned(&ports).into_iter().chain(settings.iter().cloned()).collect()
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("the node's log:\n{}", self.log());
        } else {
            // A panic that the node has survived is still a mistake.
            assert!(!self.log().contains("panicked"), "{}", self.log());
        }
    }
}
