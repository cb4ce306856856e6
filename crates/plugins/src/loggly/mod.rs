//! `loggly`: sends an entry for each request to Loggly, in a syslog datagram.

use crate::datagrams::Datagrams;
use crate::log_entries::LogEntries;
use crate::severity::Severities;
use jiff::Timestamp;
use sdk::{Config, Env, Exchange, Function, Phases, Plugin, PluginKind, Queue, entities};
use std::sync::Arc;

/// The plugin as the gateway knows it.
pub struct Loggly;

struct Instance {
    entries: LogEntries,
    severities: Severities,
    hostname: String,
    /// The token and the tags, as structured data (RFC 5424, section 6.3).
    account: String,
    queue: Queue,
}

/// The facility `user`.
const FACILITY: u8 = 1;

impl PluginKind for Loggly {
    fn name(&self) -> &'static str {
        "loggly"
    }

    fn priority(&self) -> i32 {
        6
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
        let token = config.text("key").ok_or("config.key: missing")?;
        let tags: Vec<String> = config.texts("tags").iter().map(|tag| format!("tag=\"{tag}\"")).collect();
        let key = datagrams.key();
        let queue = Queue::open(env, plugin, &key, LogEntries::queue_settings(), || Arc::new(datagrams));
        Ok(Box::new(Instance {
            entries: LogEntries::of(config, env)?,
            severities: Severities::of(config),
            hostname: env.node().hostname.clone(),
            account: format!("[{token}@41058 {}]", tags.join(" ")),
            queue,
        }))
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
        let Some(severity) = self.severities.of_status(exchange.response.status) else { return };
        let (priority, time) = (FACILITY * 8 + severity, Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ"));
        let head = format!("<{priority}>1 {time} {} kong - - {} ", self.hostname, self.account);
        self.queue.put([head.as_bytes(), &self.entries.write(exchange)].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};
    use tokio::net::UdpSocket;

    #[tokio::test]
    async fn a_datagram_has_priority_token_and_tags() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let config = json!({
            "host": "127.0.0.1", "port": server.local_addr().unwrap().port(), "key": "tok-1", "tags": ["a", "b"],
            "log_level": "warning", "server_errors_severity": "crit"
        });
        let env = Env::default();
        let plugin = testing::configure(&Loggly, config, &env);
        for status in [200, 500] {
            testing::respond(&*plugin, &mut testing::exchange("GET", "/a", &[]), status, &[], &[]);
        }
        let mut space = [0; 65_536];
        let length = server.recv(&mut space).await.unwrap();
        let text = String::from_utf8(space[..length].to_vec()).unwrap();
        let (head, entry) = text.split_at(text.find('{').unwrap());
        let words: Vec<&str> = head.split(' ').collect();
        assert_eq!(words[0], "<10>1");
        assert!(words[1].parse::<Timestamp>().is_ok(), "{head}");
        assert_eq!(words[2], env.node().hostname);
        assert_eq!(words[3..].join(" "), "kong - - [tok-1@41058 tag=\"a\" tag=\"b\"] ");
        assert_eq!(serde_json::from_str::<Value>(entry).unwrap()["response"]["status"], 500);
    }
}
