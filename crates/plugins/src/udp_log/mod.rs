//! `udp-log`: sends an entry for each request in a datagram.

use crate::datagrams::Datagrams;
use crate::log_entries::LogEntries;
use sdk::{Config, Env, Exchange, Function, Phases, Plugin, PluginKind, Queue, entities};
use std::sync::Arc;

/// The plugin as the gateway knows it.
pub struct UdpLog;

struct Instance {
    entries: LogEntries,
    queue: Queue,
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

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[LogEntries::IS_CODE]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let datagrams = Datagrams::of(config, env.network())?;
        let key = datagrams.key();
        let queue = Queue::open(env, plugin, &key, LogEntries::queue_settings(), || Arc::new(datagrams));
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
        self.queue.put(self.entries.write(exchange));
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
}
