//! The node's messages: one line per event in the form of nginx's error log, with Kong's levels.
//!
//! The code has five levels (`tracing`'s); Kong has eight. Errors are `error`, warnings `warn`, information `notice`,
//! debugging `info`, traces `debug`; `crit`, `alert` and `emerg` as thresholds let nothing through.
//!
//! Lines are written by a thread of their own, as access logs are: nobody waits for a disk, a pipe or a terminal. What
//! comes too fast for it is dropped and counted.

mod limiter;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use limiter::{LeftOut, Limiter, PERIOD, Verdict};
use proxy::log_writer::{Destination, LogWriter, Report, Sink};
use sdk::{LogMessage, NodeLog};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

/// The names of the levels, from the most talkative.
pub const LEVELS: [&str; 8] = ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];

/// Octets of lines that may wait to be written.
const QUEUED: usize = 1 << 20;
/// The longest text of a message; what is beyond it is cut off.
const LONGEST: usize = 4096;
/// How long the last lines may take at the end.
const FINISH: Duration = Duration::from_secs(2);

/// Changes what is logged while the node runs. Cheap to clone.
#[derive(Clone)]
pub struct Logging {
    filter: reload::Handle<Targets, Registry>,
    lines: Arc<Lines>,
    writer: Arc<LogWriter>,
    /// The one in force: an index into [`LEVELS`].
    level: Arc<AtomicUsize>,
    settled: Arc<Mutex<Settled>>,
}

/// What the level in force follows from.
struct Settled {
    /// That of the settings.
    configured: usize,
    /// Another one holds for a while.
    changed: bool,
    /// Counts such changes, so that only the end of the last one takes effect.
    changes: u64,
}

/// Where messages go; `None`: where those of the node go.
#[derive(Clone, Debug)]
pub struct Destinations {
    pub node: Destination,
    pub admin: Option<Destination>,
    pub status: Option<Destination>,
    pub manager: Option<Destination>,
}

/// Makes lines of events.
struct Lines {
    node: Sink,
    admin: Option<Sink>,
    status: Option<Sink>,
    manager: Option<Sink>,
    limiter: Limiter,
    /// For plugins that send messages on.
    node_log: NodeLog,
}

impl Logging {
    /// Starts logging, panics too. Called once. The error names the file.
    pub fn start(level: &str, destinations: &Destinations) -> Result<Logging, String> {
        let (writer, lines) = open(destinations)?;
        let index = position(level);
        let (filter, handle) = reload::Layer::new(targets(index));
        let subscriber = tracing_subscriber::registry().with(EventLayer(Arc::clone(&lines)).with_filter(filter));
        // Fails when something else has begun to log in this process, which only tests do.
        let _ = subscriber.try_init();
        let settled = Arc::new(Mutex::new(Settled { configured: index, changed: false, changes: 0 }));
        let level = Arc::new(AtomicUsize::new(index));
        let logging = Logging { filter: handle, lines, writer: Arc::new(writer), level, settled };
        let of_panics = logging.clone();
        std::panic::set_hook(Box::new(move |panic| of_panics.log_panic(panic)));
        Ok(logging)
    }

    /// The same messages for plugins.
    pub fn node_log(&self) -> NodeLog {
        self.lines.node_log.clone()
    }

    /// The level in force.
    pub fn level(&self) -> &'static str {
        LEVELS[self.level.load(Ordering::Relaxed)]
    }

    /// Takes the level of the settings, which waits where another one holds for a while.
    pub fn configure(&self, level: &str) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.configured = position(level);
        if !settled.changed {
            self.apply(settled.configured);
        }
    }

    /// Takes another level into force, until the change of that number ends.
    pub fn change(&self, level: &str) -> u64 {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.changed = true;
        settled.changes += 1;
        self.apply(position(level));
        settled.changes
    }

    /// Returns to the level of the settings, unless there was another change since; `None`: in any case.
    pub fn restore(&self, change: Option<u64>) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if change.is_none_or(|change| change == settled.changes) {
            settled.changed = false;
            settled.changes += 1;
            self.apply(settled.configured);
        }
    }

    fn apply(&self, index: usize) {
        self.level.store(index, Ordering::Relaxed);
        if let Err(e) = self.filter.reload(targets(index)) {
            tracing::error!("cannot change the log level: {e}");
        }
    }

    /// Opens files anew, after they have been moved away.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// Says from time to time, for ever, which messages were left out: to be spawned once.
    pub async fn run_reports(self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            self.lines.report_left_out();
        }
    }

    /// Writes what has been logged so far; nothing is logged afterwards.
    pub fn finish(&self) {
        self.lines.report_left_out();
        // Whoever does not take the lines in that time does not get them.
        let _ = self.writer.finish(FINISH);
    }

    fn log_panic(&self, panic: &std::panic::PanicHookInfo<'_>) {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)");
        let thread = std::thread::current();
        let (name, place) = (thread.name().unwrap_or("(no name)"), panic.location().map(ToString::to_string));
        let place = place.as_deref().unwrap_or("(no place)");
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => tracing::error!("thread {name} panicked at {place}: {text} {backtrace}"),
            _ => tracing::error!("thread {name} panicked at {place}: {text}"),
        }
        // The process ends with its main thread; others end alone, or not at all.
        if name == "main" {
            self.finish();
        }
    }
}

impl Lines {
    /// `span` is the name of the one that the message was logged in.
    fn sink(&self, target: &str, span: Option<&str>) -> &Sink {
        let own = match span {
            Some("admin_gui") => &self.manager,
            Some("status") => &self.status,
            _ if target.starts_with("admin") => &self.admin,
            _ => &None,
        };
        own.as_ref().unwrap_or(&self.node)
    }

    fn write(&self, metadata: &Metadata<'_>, span: Option<&str>, text: &str) {
        self.sink(metadata.target(), span).put(line(word(metadata), text).into_bytes(), 1);
    }

    /// Tells those who listen.
    fn tell(&self, metadata: &'static Metadata<'static>, text: &str, request_id: Option<&str>) {
        if self.node_log.is_heard() {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.node_log.tell(&LogMessage {
                level: word(metadata),
                time: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
                text,
                request_id,
                file: metadata.file(),
                line: metadata.line(),
                ..LogMessage::default()
            });
        }
    }

    fn report_left_out(&self) {
        for LeftOut { metadata, count, sample } in self.limiter.take_left_out() {
            self.write(metadata, None, &format!("{count} more messages were left out, the first of them: {sample}"));
        }
    }
}

/// Takes events as `tracing` gives them.
struct EventLayer(Arc<Lines>);

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for EventLayer {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let verdict = self.0.limiter.admit(metadata);
        if verdict == Verdict::LeaveOut {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let request_id = text.request_id;
        let text = text.message + &text.fields;
        match verdict {
            Verdict::Sample => self.0.limiter.keep_sample(metadata, text),
            _ => {
                let span = context.event_span(event).map(|span| span.name());
                self.0.write(metadata, span, &text);
                self.0.tell(metadata, &text, request_id.as_deref());
            }
        }
    }
}

/// The parts of an event.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
    request_id: Option<String>,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name}: {value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "request_id" {
            self.request_id = Some(value.to_owned());
        }
        match field.name() {
            "message" => self.message.push_str(value),
            // As Kong has it, so that it is found by what looks for it there.
            "request_id" => self.fields.push_str(&format!(", request_id: \"{value}\"")),
            name => self.fields.push_str(&format!(", {name}: {value}")),
        }
    }
}

/// Opens the logs and starts the thread that writes them.
fn open(destinations: &Destinations) -> Result<(LogWriter, Arc<Lines>), String> {
    let Destinations { node, admin, status, manager } = destinations;
    let own = [admin, status, manager].map(|own| own.as_ref().filter(|own| *own != node));
    let all = std::iter::once(node).chain(own.into_iter().flatten()).cloned().collect();
    let report: Report =
        Box::new(|destination, failure| Some(line("warn", &failure.describe(&format!("the log {destination}")))));
    let (writer, sinks) = LogWriter::start("log", all, QUEUED, report)?;
    let mut sinks = sinks.into_iter();
    let node = sinks.next().ok_or("no log was opened")?;
    let [admin, status, manager] = own.map(|own| own.and_then(|_| sinks.next()));
    let (limiter, node_log) = (Limiter::new(), NodeLog::default());
    Ok((writer, Arc::new(Lines { node, admin, status, manager, limiter, node_log })))
}

/// One event, one line, whatever a client made its way into it.
fn line(level: &str, text: &str) -> String {
    let mut line = format!("{} [{}] {}#0: ", timestamp(Timestamp::now()), level, std::process::id());
    let end = (0..=LONGEST.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    line.extend(text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }));
    if end < text.len() {
        line.push_str("...");
    }
    line.push('\n');
    line
}

fn position(level: &str) -> usize {
    LEVELS.iter().position(|l| *l == level).unwrap_or(2)
}

/// Our crates and operators' code at the level, others at most at `warn`; `h2` at most at `error`, which warns of what
/// services do, as often as they do it.
fn targets(index: usize) -> Targets {
    let filter = match LEVELS[index] {
        "debug" => LevelFilter::TRACE,
        "info" => LevelFilter::DEBUG,
        "notice" => LevelFilter::INFO,
        "warn" => LevelFilter::WARN,
        "error" => LevelFilter::ERROR,
        _ => LevelFilter::OFF,
    };
    let ours =
        ["wire", "model", "store", "sdk", "plugins", "runtimes", "vaults", "proxy", "admin", "manager", "gateway"];
    let ours = ours.into_iter().chain([sdk::LOG_OF_CODE]).map(|name| (name, filter));
    let theirs = [("h2", filter.min(LevelFilter::ERROR))];
    let severe = sdk::SEVERE_LOGS_OF_CODE.into_iter().filter(|(level, _)| index <= position(level));
    let severe = severe.map(|(_, name)| (name, filter.max(LevelFilter::ERROR)));
    let all = Targets::new().with_default(filter.min(LevelFilter::WARN)).with_targets(ours);
    all.with_targets(theirs).with_targets(severe)
}

/// Whether a message is of operators' code.
fn is_of_code(target: &str) -> bool {
    target == sdk::LOG_OF_CODE || severity(target).is_some()
}

/// The level of a message that is worse than an error.
fn severity(target: &str) -> Option<&'static str> {
    sdk::SEVERE_LOGS_OF_CODE.into_iter().find(|(_, name)| *name == target).map(|(level, _)| level)
}

fn word(metadata: &Metadata<'_>) -> &'static str {
    if let Some(severity) = severity(metadata.target()) {
        return severity;
    }
    match *metadata.level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "notice",
        Level::DEBUG => "info",
        Level::TRACE => "debug",
    }
}

/// `2026/11/23 13:34:06`, where the node is.
pub fn timestamp(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y/%m/%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use admin::Interface;
    use std::path::Path;
    use tracing::subscriber::with_default;

    const LONG: Duration = Duration::from_secs(10);

    /// What is in the node's log, in that of the Admin API and in that of the manager after some work.
    fn logged(level: &str, work: impl FnOnce(&Lines)) -> [String; 3] {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["node", "admin", "manager"].map(|name| folder.path().join(name));
        let [node, admin, manager] = paths.each_ref().map(|path| Destination::of(path));
        let destinations =
            Destinations { status: Some(node.clone()), node, admin: Some(admin), manager: Some(manager) };
        let (writer, lines) = open(&destinations).unwrap();
        let layer = EventLayer(Arc::clone(&lines)).with_filter(targets(position(level)));
        with_default(tracing_subscriber::registry().with(layer), || work(&lines));
        assert!(writer.finish(LONG));
        paths.each_ref().map(|path: &std::path::PathBuf| read(path))
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn levels_and_targets() {
        let [node, admin, manager] = logged("notice", |_| {
            tracing::info!(target: "proxy", route = "r", "one\nline");
            tracing::debug!(target: "proxy", "not this");
            tracing::info!(target: "hyper", "nor this");
            tracing::warn!(target: "admin::server", "elsewhere");
            Interface::Manager.span().in_scope(|| tracing::warn!(target: "admin::server", "of the pages"));
        });
        assert!(manager.ends_with("#0: of the pages\n"), "{manager}");
        assert_eq!(manager.lines().count(), 1);
        assert!(admin.ends_with("#0: elsewhere\n"), "{admin}");
        assert!(node.ends_with("#0: one line, route: \"r\"\n") || node.ends_with("#0: one line, route: r\n"), "{node}");
        assert_eq!(node.lines().count(), 1);
        assert!(node.contains(" [notice] "), "{node}");
    }

    #[test]
    fn what_is_worse_than_an_error_is_called_so() {
        let log = |level: &str| {
            let [node, ..] = logged(level, |_| {
                tracing::error!(target: "code", "an error");
                tracing::error!(target: "code::crit", "critical");
                tracing::error!(target: "code::alert", "an alert");
            });
            node.lines().map(|line| line.split(' ').nth(2).unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(log("notice"), ["[error]", "[crit]", "[alert]"]);
        assert_eq!(log("crit"), ["[crit]", "[alert]"]);
        assert_eq!(log("alert"), ["[alert]"]);
        assert_eq!(log("emerg"), [] as [&str; 0]);
    }

    #[test]
    fn a_flood_of_one_kind_leaves_room_for_others() {
        let [node, ..] = logged("notice", |lines| {
            for number in 0..5000 {
                tracing::info!(target: "proxy", "a request was refused: {number}");
            }
            tracing::warn!(target: "proxy", "something else");
            lines.report_left_out();
        });
        let refused = node.lines().filter(|line| line.contains("#0: a request was refused")).count();
        assert_eq!(refused, 100);
        assert!(node.contains("[warn] ") && node.contains("something else"), "{node}");
        let told = "4900 more messages were left out, the first of them: a request was refused: 100\n";
        assert!(node.ends_with(told), "{node}");
    }

    #[test]
    fn long_messages_are_cut() {
        let [node, ..] = logged("notice", |_| tracing::info!(target: "proxy", "{}", "é".repeat(LONGEST)));
        assert!(node.len() < LONGEST + 100, "{}", node.len());
        assert!(node.ends_with("é...\n"), "{node}");
    }
}
