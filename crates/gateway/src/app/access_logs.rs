//! The access logs of a node: files and the thread that writes them, and those that are sent to OTLP servers.

use super::Console;
use crate::settings::{AccessLogFile, Settings};
use plugins::OtlpLines;
use proxy::access_log::{AccessLog, TakesLines};
use proxy::log_writer::{Destination, LogWriter, Report};
use sdk::Env;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Octets of lines that may wait to be written.
const QUEUED: usize = 16 << 20;
/// How long the last lines may take at the end.
const FINISH: Duration = Duration::from_secs(5);

/// The access logs that are open.
#[derive(Default)]
pub struct AccessLogs {
    pub proxy: Option<AccessLog>,
    pub stream: Option<AccessLog>,
    pub admin: Option<AccessLog>,
    pub status: Option<AccessLog>,
    pub manager: Option<AccessLog>,
    writer: Option<LogWriter>,
    sent: Vec<Arc<SentLog>>,
}

/// A log whose lines are sent.
#[derive(Debug)]
struct SentLog {
    server: String,
    /// There before anything is answered.
    lines: OnceLock<OtlpLines>,
}

impl TakesLines for SentLog {
    fn put(&self, lines: Vec<u8>, _: u64) {
        if let Some(sent) = self.lines.get() {
            sent.put(&lines);
        }
    }
}

impl AccessLogs {
    /// Opens what the settings name.
    pub fn open(settings: &Settings, console: Console) -> Result<AccessLogs, String> {
        let logs = &settings.access_logs;
        let (mut destinations, mut sent) = (Vec::new(), Vec::new());
        let add = |file: &Option<AccessLogFile>| {
            let file = file.as_ref()?;
            let Some(destination) = file.destination() else {
                let server = file.otlp_server()?.to_owned();
                let log = Arc::new(SentLog { server, lines: OnceLock::new() });
                sent.push(Arc::clone(&log));
                let sink: Arc<dyn TakesLines> = log;
                return Some((Arc::clone(&file.format), Some(sink)));
            };
            if console == Console::Left && destination == Destination::Stdout {
                tracing::warn!("there is no access log on standard output: a node in the background has none");
                return None;
            }
            destinations.push(destination);
            Some((Arc::clone(&file.format), None))
        };
        let logs = [&logs.proxy, &logs.stream, &logs.admin, &logs.status, &logs.manager].map(add);
        let report: Report = Box::new(|destination, failure| {
            tracing::warn!("{}", failure.describe(&format!("the access log {destination}")));
            None
        });
        let (mut writer, mut sinks) = (None, Vec::new().into_iter());
        if !destinations.is_empty() {
            let (started, written) = LogWriter::start("access-log", destinations, QUEUED, report)?;
            (writer, sinks) = (Some(started), written.into_iter());
        }
        let mut written = || Some(Arc::new(sinks.next()?) as Arc<dyn TakesLines>);
        let [proxy, stream, admin, status, manager] = logs.map(|log| {
            let (format, sink) = log?;
            Some(AccessLog { format, sink: sink.or_else(&mut written)? })
        });
        Ok(AccessLogs { proxy, stream, admin, status, manager, writer, sent })
    }

    /// Begins to send what is sent, now that other servers can be reached.
    pub fn connect(&self, env: &Env) -> Result<(), String> {
        for log in &self.sent {
            let lines = OtlpLines::open(&log.server, env).map_err(|e| format!("the access log over OTLP: {e}"))?;
            log.lines.get_or_init(|| lines);
        }
        Ok(())
    }

    /// Opens the files anew, after they have been moved away.
    pub fn reopen(&self) {
        if let Some(writer) = &self.writer {
            writer.reopen();
        }
    }

    /// Writes the last lines.
    pub fn finish(self) {
        if self.writer.is_some_and(|writer| !writer.finish(FINISH)) {
            tracing::warn!("the last lines of the access logs could not be written");
        }
    }
}
