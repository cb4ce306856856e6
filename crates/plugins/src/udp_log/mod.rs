//! `udp-log`: sends an entry for each request in a datagram.

use crate::log_entries::LogEntries;
use sdk::{BoxFuture, Bytes, Config, Deliver, Env, Exchange, Network, Phases, Plugin, PluginKind, Queue, entities};
use std::sync::Arc;
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct UdpLog;

struct Instance {
    entries: LogEntries,
    queue: Queue,
}

/// How entries are sent.
struct Delivery {
    network: Network,
    host: String,
    port: u16,
    timeout: Duration,
}

impl PluginKind for UdpLog {
    fn name(&self) -> &'static str {
        "udp-log"
    }

    fn priority(&self) -> i32 {
        8
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let host = config.text("host").ok_or("config.host: missing")?.to_owned();
        let port = config.integer("port").ok_or("config.port: missing")?;
        let timeout = Duration::from_millis(config.integer("timeout").unwrap_or(10_000));
        let key = format!("{host} {port} {timeout:?}");
        let queue = Queue::open(env, plugin, &key, LogEntries::queue_settings(), || {
            Arc::new(Delivery { network: env.network().clone(), host, port, timeout })
        });
        Ok(Box::new(Instance { entries: LogEntries::of(config), queue }))
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
        self.queue.put(self.entries.write(exchange));
    }
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let Delivery { network, host, port, timeout } = self;
            let sent = network.send_datagrams(host, *port, *timeout, batch.iter().map(|entry| &entry[..])).await;
            sent.map_err(|error| format!("{host}:{port}: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};
    use tokio::net::UdpSocket;

    #[tokio::test]
    async fn an_entry_is_a_datagram() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let config = json!({ "host": "127.0.0.1", "port": server.local_addr().unwrap().port() });
        let plugin = testing::configure(&UdpLog, config, &Env::default());
        for target in ["/a", "/b"] {
            testing::respond(&*plugin, &mut testing::exchange("GET", target, &[]), 200, &[], &[]);
            let mut space = [0; 65_536];
            let length = server.recv(&mut space).await.unwrap();
            let entry: Value = serde_json::from_slice(&space[..length]).unwrap();
            assert_eq!(entry["request"]["uri"], target);
        }
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_and_an_entry_that_is_too_large_are_told() {
        let delivery = |host: &str| Delivery {
            network: Network::default(),
            host: host.to_owned(),
            port: 9,
            timeout: Duration::from_secs(10),
        };
        let told = delivery("no.such.invalid").deliver(&[Bytes::from_static(b"{}")]).await.unwrap_err();
        assert!(told.starts_with("no.such.invalid:9: "), "{told}");
        let told = delivery("127.0.0.1").deliver(&[vec![b'x'; 70_000].into()]).await.unwrap_err();
        assert!(told.contains("too long"), "{told}");
    }
}
