//! The access logs of a node: files and the thread that writes them.

use super::Console;
use crate::settings::{AccessLogFile, Settings};
use proxy::access_log::AccessLog;
use proxy::log_writer::{Destination, LogWriter, Report};
use std::sync::Arc;
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
}

impl AccessLogs {
    /// Opens what the settings name.
    pub fn open(settings: &Settings, console: Console) -> Result<AccessLogs, String> {
        let logs = &settings.access_logs;
        let mut destinations = Vec::new();
        let add = |file: &Option<AccessLogFile>| {
            let file = file.as_ref()?;
            let destination = file.destination();
            if console == Console::Left && destination == Destination::Stdout {
                tracing::warn!("there is no access log on standard output: a node in the background has none");
                return None;
            }
            destinations.push(destination);
            Some(Arc::clone(&file.format))
        };
        let formats = [&logs.proxy, &logs.stream, &logs.admin, &logs.status, &logs.manager].map(add);
        if destinations.is_empty() {
            return Ok(AccessLogs::default());
        }
        let report: Report = Box::new(|destination, failure| {
            tracing::warn!("{}", failure.describe(&format!("the access log {destination}")));
            None
        });
        let (writer, sinks) = LogWriter::start("access-log", destinations, QUEUED, report)?;
        let mut sinks = sinks.into_iter();
        let [proxy, stream, admin, status, manager] =
            formats.map(|format| format.and_then(|format| Some(AccessLog { format, sink: sinks.next()? })));
        Ok(AccessLogs { proxy, stream, admin, status, manager, writer: Some(writer) })
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
