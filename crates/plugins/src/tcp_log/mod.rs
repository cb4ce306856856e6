//! `tcp-log`: sends an entry for each request over a TCP connection, a line each.

use crate::log_entries::LogEntries;
use sdk::{
    BoxFuture, Bytes, Config, Deliver, Env, Exchange, Function, KeptConnection, Phases, Plugin, PluginKind, Queue,
    Server, ServerTls, entities,
};
use std::sync::Arc;
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct TcpLog;

struct Instance {
    entries: LogEntries,
    queue: Queue,
}

/// How entries are sent.
struct Delivery {
    connection: KeptConnection,
    /// For the log.
    server: String,
}

impl PluginKind for TcpLog {
    fn name(&self) -> &'static str {
        "tcp-log"
    }

    fn priority(&self) -> i32 {
        7
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[LogEntries::IS_CODE]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let host = config.text("host").ok_or("config.host: missing")?.to_owned();
        let port = config.integer("port").ok_or("config.port: missing")?;
        // As Kong: whoever runs the gateway has chosen the server, unless it says otherwise.
        let verify = config.flag("ssl_verify");
        let tls = config.flag("tls").then(|| ServerTls { name: config.text("tls_sni").map(str::to_owned), verify });
        let millis = |field: &str, usual| Duration::from_millis(config.integer(field).unwrap_or(usual));
        let (timeout, keepalive) = (millis("timeout", 10_000), millis("keepalive", 60_000));
        let key = format!("{host} {port} {tls:?} {timeout:?} {keepalive:?}");
        let queue = Queue::open(env, plugin, &key, LogEntries::queue_settings(), || {
            let address = format!("{host}:{port}");
            let server = Server { host, port, tls };
            let connection = KeptConnection::new(env.network().clone(), server, timeout, keepalive);
            Arc::new(Delivery { connection, server: address })
        });
        Ok(Box::new(Instance { entries: LogEntries::of(config, env)?, queue }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        LogEntries::PHASES
    }

    fn degraded(&self) -> Option<String> {
        self.entries.degraded()
    }

    fn log(&self, exchange: &mut Exchange) {
        let mut entry = self.entries.write(exchange);
        entry.push(b'\n');
        self.queue.put(entry);
    }
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let sent = self.connection.send(&batch.concat()).await;
            sent.map_err(|error| format!("{}: {error}", self.server))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};

    fn log(plugin: &dyn Plugin, target: &str) {
        testing::respond(plugin, &mut testing::exchange("GET", target, &[]), 200, &[], &[]);
    }

    fn uri(line: &str) -> String {
        let entry: Value = serde_json::from_str(line).unwrap();
        entry["request"]["uri"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn lines_share_a_connection_until_the_server_closes_it() {
        let server = testing::Server::start().await;
        let config = json!({ "host": "127.0.0.1", "port": server.address().port() });
        let plugin = testing::configure(&TcpLog, config, &Env::default());
        log(&*plugin, "/a");
        let mut peer = server.accept().await;
        assert_eq!(uri(&peer.read_until("\n").await), "/a");
        log(&*plugin, "/b");
        assert_eq!(uri(&peer.read_until("\n").await), "/b");
        drop(peer);
        log(&*plugin, "/c");
        assert_eq!(uri(&server.accept().await.read_until("\n").await), "/c");
    }

    #[tokio::test]
    async fn a_server_that_is_away_costs_entries_and_nothing_else() {
        let env = Env::default();
        let config = json!({ "host": "127.0.0.1", "port": 1, "timeout": 50 });
        let plugin = testing::configure(&TcpLog, config, &env);
        log(&*plugin, "/a");
        env.tasks().drain(Duration::from_secs(10)).await;
        let silent = testing::Server::start().await;
        let config = json!({ "host": "127.0.0.1", "port": silent.address().port(), "timeout": 50, "tls": true });
        let env = Env::default();
        let plugin = testing::configure(&TcpLog, config, &env);
        log(&*plugin, "/b");
        env.tasks().drain(Duration::from_secs(10)).await;
    }
}
