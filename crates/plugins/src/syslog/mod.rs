//! `syslog`: hands an entry for each request to the machine's syslog.

use crate::log_entries::LogEntries;
use crate::severity::Severities;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sdk::{BoxFuture, Bytes, Config, Deliver, Env, Exchange, Function, Phases, Plugin, PluginKind, Queue, entities};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// The plugin as the gateway knows it.
pub struct Syslog;

struct Instance {
    entries: LogEntries,
    severities: Severities,
    facility: u16,
    queue: Queue,
}

/// How messages are handed over: `<priority>` and text each.
struct Delivery(PathBuf);

/// In the order of their numbers (RFC 5424, section 6.2.1).
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "security", "console", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const SOCKET: &str = "/dev/log";
/// A logger that takes nothing any more is not waited for.
const LIMIT: Duration = Duration::from_secs(10);

impl PluginKind for Syslog {
    fn name(&self) -> &'static str {
        "syslog"
    }

    fn priority(&self) -> i32 {
        4
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[LogEntries::IS_CODE]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        Instance::open(plugin, env, SOCKET)
    }
}

impl Instance {
    fn open(plugin: &entities::Plugin, env: &Env, socket: &str) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let name = config.text("facility").unwrap_or("user");
        let facility = FACILITIES.iter().position(|known| *known == name);
        let facility = facility.ok_or_else(|| format!("config.facility: unknown '{name}'"))? as u16;
        let (entries, severities) = (LogEntries::of(config, env)?, Severities::of(config));
        let queue = Queue::open(env, plugin, "", LogEntries::queue_settings(), || Arc::new(Delivery(socket.into())));
        Ok(Box::new(Instance { entries, severities, facility, queue }))
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
        if let Some(severity) = self.severities.of_status(exchange.response.status) {
            let mut message = format!("<{}>", self.facility * 8 + u16::from(severity)).into_bytes();
            message.append(&mut self.entries.write(exchange));
            self.queue.put(message);
        }
    }
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let sent = timeout(LIMIT, send(&self.0, batch)).await;
            let sent = sent.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it takes nothing")));
            sent.map_err(|error| format!("{}: {error}", self.0.display()))
        })
    }
}

async fn send(socket: &Path, batch: &[Bytes]) -> io::Result<()> {
    let logger = UnixDatagram::unbound()?;
    logger.connect(socket)?;
    // As the C library writes it: the machine's time, who we are, and our number.
    let now = Timestamp::now().to_zoned_datetime(TimeZone::system());
    let header = format!("{} kong[{}]: ", now.strftime("%b %e %H:%M:%S"), std::process::id());
    for message in batch {
        let end = message.iter().position(|&b| b == b'>').map_or(0, |at| at + 1);
        let (priority, text) = message.split_at(end);
        logger.send(&[priority, header.as_bytes(), text].concat()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};

    /// The plugin with a logger elsewhere.
    struct At(String);

    impl PluginKind for At {
        fn name(&self) -> &'static str {
            Syslog.name()
        }

        fn priority(&self) -> i32 {
            Syslog.priority()
        }

        fn schema(&self) -> &'static str {
            Syslog.schema()
        }

        fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
            Instance::open(plugin, env, &self.0)
        }
    }

    #[tokio::test]
    async fn a_message_has_priority_time_and_sender() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("log");
        let logger = UnixDatagram::bind(&socket).unwrap();
        let config = json!({ "facility": "local3", "log_level": "info", "successful_severity": "info" });
        let plugin = testing::configure(&At(socket.to_str().unwrap().to_owned()), config, &Env::default());
        testing::respond(&*plugin, &mut testing::exchange("GET", "/", &[]), 200, &[], &[]);
        let mut space = [0; 65_536];
        let length = logger.recv(&mut space).await.unwrap();
        let text = String::from_utf8(space[..length].to_vec()).unwrap();
        let (head, entry) = text.split_at(text.find('{').unwrap());
        assert!(head.starts_with("<158>"), "{head}");
        assert_eq!(head.len(), "<158>Nov  1 10:00:00".len() + format!(" kong[{}]: ", std::process::id()).len());
        assert!(head.ends_with(&format!(" kong[{}]: ", std::process::id())), "{head}");
        assert_eq!(serde_json::from_str::<Value>(entry).unwrap()["request"]["uri"], "/");
    }

    #[tokio::test]
    async fn a_logger_that_is_away_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let told = Delivery(folder.path().join("log")).deliver(&[Bytes::from_static(b"<14>{}")]).await.unwrap_err();
        assert!(told.contains("No such file"), "{told}");
    }

    #[test]
    fn facilities_have_the_numbers_of_the_rfc() {
        let number = |name: &str| FACILITIES.iter().position(|known| *known == name).unwrap();
        assert_eq!(number("user"), 1);
        assert_eq!(number("authpriv"), 10);
        assert_eq!(number("ftp"), 11);
        assert_eq!(number("local3"), 19);
    }
}
