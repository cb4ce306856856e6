//! The node's messages: one line per event in the form of nginx's error log, with Kong's levels.
//!
//! The code has five levels (`tracing`'s); Kong has eight. Errors are `error`, warnings `warn`, information `notice`,
//! debugging `info`, traces `debug`; `crit`, `alert` and `emerg` as thresholds let nothing through.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proxy::access_log::Destination;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

/// The names of the levels, from the most talkative.
pub const LEVELS: [&str; 8] = ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];

/// Changes what is logged while the node runs. Cheap to clone.
#[derive(Clone)]
pub struct Logging {
    filter: reload::Handle<Targets, Registry>,
    sinks: Arc<Sinks>,
    /// Index into [`LEVELS`].
    level: Arc<AtomicUsize>,
}

/// Where messages go: those of the Admin API, and all others.
#[derive(Clone, Debug)]
pub struct Destinations {
    pub node: Destination,
    /// `None`: where the others go.
    pub admin: Option<Destination>,
}

struct Sinks {
    node: Sink,
    admin: Option<Sink>,
}

enum Sink {
    Stderr,
    Stdout,
    File { path: PathBuf, file: Mutex<File> },
}

/// Writes events to their sinks.
struct Lines(Arc<Sinks>);

impl Logging {
    /// Starts logging. Called once.
    pub fn start(level: &str, destinations: &Destinations) -> io::Result<Logging> {
        let admin = destinations.admin.as_ref().map(Sink::open).transpose()?;
        let sinks = Arc::new(Sinks { node: Sink::open(&destinations.node)?, admin });
        let index = position(level);
        let (filter, handle) = reload::Layer::new(targets(index));
        let subscriber = tracing_subscriber::registry().with(Lines(Arc::clone(&sinks)).with_filter(filter));
        // Fails when something else has begun to log in this process, which only tests do.
        let _ = subscriber.try_init();
        Ok(Logging { filter: handle, sinks, level: Arc::new(AtomicUsize::new(index)) })
    }

    /// The level in force.
    pub fn level(&self) -> &'static str {
        LEVELS[self.level.load(Ordering::Relaxed)]
    }

    /// Takes another level into force.
    pub fn set_level(&self, level: &str) {
        let index = position(level);
        self.level.store(index, Ordering::Relaxed);
        if let Err(e) = self.filter.reload(targets(index)) {
            tracing::error!("cannot change the log level: {e}");
        }
    }

    /// Opens files anew, after they have been moved away.
    pub fn reopen(&self) {
        for sink in [Some(&self.sinks.node), self.sinks.admin.as_ref()].into_iter().flatten() {
            if let Err((path, error)) = sink.reopen() {
                tracing::error!("cannot open {}: {error}", path.display());
            }
        }
    }
}

impl Sink {
    fn open(destination: &Destination) -> io::Result<Sink> {
        Ok(match destination {
            Destination::File(path) => Sink::File { path: path.clone(), file: Mutex::new(append(path)?) },
            Destination::Stdout => Sink::Stdout,
            Destination::Stderr => Sink::Stderr,
        })
    }

    fn reopen(&self) -> Result<(), (&Path, io::Error)> {
        if let Sink::File { path, file } = self {
            *file.lock().unwrap_or_else(PoisonError::into_inner) = append(path).map_err(|e| (path.as_path(), e))?;
        }
        Ok(())
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        match self {
            Sink::Stdout => io::stdout().lock().write_all(line),
            Sink::Stderr => io::stderr().lock().write_all(line),
            Sink::File { file, .. } => file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line),
        }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line =
            format!("{} [{}] {}#0: ", timestamp(Timestamp::now()), word(*event.metadata().level()), std::process::id());
        let mut text = Text::default();
        event.record(&mut text);
        line.push_str(&text.message);
        line.push_str(&text.fields);
        // One event, one line, whatever a client made its way into it.
        let mut line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        line.push('\n');
        let sink =
            self.0.admin.as_ref().filter(|_| event.metadata().target().starts_with("admin")).unwrap_or(&self.0.node);
        // There is nowhere to report a failure to.
        drop(sink.write(line.as_bytes()));
    }
}

/// The parts of an event.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name}: {value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            name => self.fields.push_str(&format!(", {name}: {value}")),
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn position(level: &str) -> usize {
    LEVELS.iter().position(|l| *l == level).unwrap_or(2)
}

/// Our crates at the level, others at most at `warn`.
fn targets(index: usize) -> Targets {
    let filter = match LEVELS[index] {
        "debug" => LevelFilter::TRACE,
        "info" => LevelFilter::DEBUG,
        "notice" => LevelFilter::INFO,
        "warn" => LevelFilter::WARN,
        "error" => LevelFilter::ERROR,
        _ => LevelFilter::OFF,
    };
    let ours = ["wire", "model", "store", "sdk", "plugins", "proxy", "admin", "bascule"];
    Targets::new().with_default(filter.min(LevelFilter::WARN)).with_targets(ours.map(|name| (name, filter)))
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "notice",
        Level::DEBUG => "info",
        Level::TRACE => "debug",
    }
}

/// `2026/11/23 13:34:06`, where the node is.
fn timestamp(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y/%m/%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        use tracing::subscriber::with_default;
        let (path, admin) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let sink = |path: &tempfile::NamedTempFile| Sink::open(&Destination::File(path.path().to_owned())).unwrap();
        let sinks = Arc::new(Sinks { node: sink(&path), admin: Some(sink(&admin)) });
        let subscriber = tracing_subscriber::registry().with(Lines(sinks).with_filter(targets(position("notice"))));
        with_default(subscriber, || {
            tracing::info!(target: "proxy", route = "r", "one\nline");
            tracing::debug!(target: "proxy", "not this");
            tracing::info!(target: "hyper", "nor this");
            tracing::warn!(target: "admin::server", "elsewhere");
        });
        assert!(std::fs::read_to_string(admin.path()).unwrap().ends_with("#0: elsewhere\n"));
        let text = std::fs::read_to_string(path.path()).unwrap();
        assert!(text.ends_with("#0: one line, route: \"r\"\n") || text.ends_with("#0: one line, route: r\n"), "{text}");
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains(" [notice] "));
    }
}
