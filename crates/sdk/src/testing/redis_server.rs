//! A Redis of a test's own on the loopback interface: Debian's `redis-server`, with nothing kept on disk.

use crate::redis::Value;
use serde_json::{Map, Value as Json, json};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server; it ends with the test.
#[derive(Debug)]
pub struct RedisServer {
    process: Child,
    port: u16,
    /// Where a node of a cluster writes what it knows of the others.
    nodes: Option<PathBuf>,
}

impl RedisServer {
    /// A server that lets everybody in.
    pub fn start() -> RedisServer {
        RedisServer::start_with(&[])
    }

    /// A server with these options, such as `--requirepass`.
    pub fn start_with(options: &[&str]) -> RedisServer {
        RedisServer::run(options, false)
    }

    /// The only node of a cluster; it has all slots.
    pub fn start_cluster() -> RedisServer {
        let server = RedisServer::run(&["--cluster-enabled", "yes"], true);
        server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        // It looks at its slots every now and then.
        while !server.text(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        server
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The record that names it in a configuration, with these fields in addition.
    pub fn record(&self, fields: Json) -> Json {
        let mut record = Map::new();
        record.insert("host".to_owned(), json!("127.0.0.1"));
        record.insert("port".to_owned(), json!(self.port));
        if let Json::Object(fields) = fields {
            record.extend(fields);
        }
        Json::Object(record)
    }

    /// What a command comes to, on a connection of its own.
    pub fn command(&self, words: &[&str]) -> Value {
        let client = redis::Client::open((Ipv4Addr::LOCALHOST.to_string(), self.port));
        let connection = client.and_then(|client| client.get_connection());
        let mut connection = connection.unwrap_or_else(|e| panic!("no connection to Redis: {e}"));
        let (name, arguments) = words.split_first().unwrap_or_else(|| panic!("no command"));
        let answer = crate::redis::cmd(name).arg(arguments).query(&mut connection);
        answer.unwrap_or_else(|e| panic!("{words:?}: {e}"))
    }

    /// As [`RedisServer::command`], for what is a text.
    pub fn text(&self, words: &[&str]) -> String {
        redis::from_redis_value(self.command(words)).unwrap_or_else(|e| panic!("{words:?}: {e}"))
    }

    /// All keys, sorted.
    pub fn keys(&self) -> Vec<String> {
        let keys = redis::from_redis_value::<Vec<String>>(self.command(&["KEYS", "*"]));
        let mut keys = keys.unwrap_or_else(|e| panic!("the keys are no texts: {e}"));
        keys.sort_unstable();
        keys
    }

    fn run(options: &[&str], cluster: bool) -> RedisServer {
        // It cannot choose a free port itself: one that was free a moment ago is taken, and another one when it was
        // not.
        for _ in 0..10 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
            let port = port.unwrap_or_else(|e| panic!("no free port: {e}")).port();
            let nodes = cluster.then(|| std::env::temp_dir().join(format!("redis-nodes-{port}.conf")));
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
            command
                .args(options)
                .args(nodes.iter().flat_map(|nodes| ["--cluster-config-file".as_ref(), nodes.as_os_str()]));
            let started = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
            let process =
                started.unwrap_or_else(|e| panic!("redis-server (Debian package redis-server) cannot be started: {e}"));
            let mut server = RedisServer { process, port, nodes };
            if server.is_ready() {
                return server;
            }
        }
        panic!("redis-server does not start with {options:?}");
    }

    /// Follows what it says until it accepts connections, or ends.
    fn is_ready(&mut self) -> bool {
        let Some(output) = self.process.stdout.take() else { return false };
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let ready = lines.any(|line| line.contains("Ready to accept connections"));
        // It goes on to say things, which nobody may keep it from.
        std::thread::spawn(move || lines.for_each(drop));
        ready
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(nodes) = &self.nodes {
            let _ = std::fs::remove_file(nodes);
        }
    }
}
