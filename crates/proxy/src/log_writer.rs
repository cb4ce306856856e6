//! The thread that writes logs: the node's messages, and access logs. Whoever has lines to write puts them into a queue
//! and goes on, whatever the disk, the pipe or the terminal at the other end does.

use crate::syslog::{Syslog, SyslogSocket};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many texts may wait for the thread.
const QUEUE: usize = 256;
/// How often lost lines are reported.
const REPORT: Duration = Duration::from_secs(1);

/// The end of a log that lines are put into. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sink {
    index: usize,
    queue: SyncSender<Message>,
    state: Arc<State>,
}

/// Writes what the sinks are given; see [`LogWriter::finish`] for its end.
#[derive(Debug)]
pub struct LogWriter {
    queue: SyncSender<Message>,
    state: Arc<State>,
    ended: Mutex<Receiver<()>>,
}

/// Where lines can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    File(PathBuf),
    Stdout,
    Stderr,
    /// To a server.
    Syslog(Syslog),
}

/// What a log is written to.
#[derive(Debug)]
enum Output {
    File(File),
    Syslog(SyslogSocket),
}

/// What goes wrong with a log.
#[derive(Debug)]
pub enum Failure {
    /// So many lines were dropped, for they came faster than they could be written.
    Dropped(u64),
    /// So many lines could not be written.
    Lost(u64),
    /// The first of them.
    Write(io::Error),
    /// The file cannot be opened anew; the old one stays in use.
    Open(io::Error),
}

/// Is told of failures, and gives what is to be written to that log about them.
pub type Report = Box<dyn FnMut(&Destination, &Failure) -> Option<String> + Send>;

#[derive(Debug)]
struct State {
    /// Lines of each log that were dropped since the last report.
    dropped: Vec<AtomicU64>,
    /// Octets in the queue, and how many there may be.
    queued: AtomicUsize,
    limit: usize,
    reopen: AtomicBool,
    end: AtomicBool,
}

#[derive(Debug)]
enum Message {
    Lines {
        index: usize,
        text: Vec<u8>,
        count: u64,
    },
    /// The state has changed.
    Wake,
}

impl LogWriter {
    /// Opens all destinations and starts the thread; one sink for each. At most `limit` octets wait for the thread.
    /// The error names the destination.
    pub fn start(
        name: &str,
        destinations: Vec<Destination>,
        limit: usize,
        report: Report,
    ) -> Result<(LogWriter, Vec<Sink>), String> {
        let open = |d: Destination| {
            d.open()
                .map(|output| Log { output, lost: 0, destination: d.clone() })
                .map_err(|e| format!("cannot open {d}: {e}"))
        };
        let logs = destinations.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let (queue, messages) = sync_channel(QUEUE);
        let (done, ended) = sync_channel(1);
        let state = Arc::new(State {
            dropped: logs.iter().map(|_| AtomicU64::new(0)).collect(),
            queued: AtomicUsize::new(0),
            limit,
            reopen: AtomicBool::new(false),
            end: AtomicBool::new(false),
        });
        let sinks =
            (0..logs.len()).map(|index| Sink { index, queue: queue.clone(), state: Arc::clone(&state) }).collect();
        let thread = Thread { logs, messages, state: Arc::clone(&state), reported: Instant::now(), report };
        let run = move || {
            thread.run();
            // Nobody may be waiting.
            let _ = done.send(());
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|e| format!("cannot start the thread {name}: {e}"))?;
        Ok((LogWriter { queue, state, ended: Mutex::new(ended) }, sinks))
    }

    /// Opens all files anew, after they have been moved away.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Ordering::Relaxed);
        // When the queue is full, the thread wakes soon enough.
        let _ = self.queue.try_send(Message::Wake);
    }

    /// Writes what was put into the sinks so far, and nothing after it; whether that could be done in time.
    pub fn finish(&self, time: Duration) -> bool {
        self.state.end.store(true, Ordering::Relaxed);
        let _ = self.queue.try_send(Message::Wake);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // Disconnected: it has ended before.
        !matches!(ended.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}

impl Sink {
    /// Takes lines to be written. Never waits: when the thread cannot keep up they are dropped and counted.
    pub fn put(&self, text: Vec<u8>, count: u64) {
        let length = text.len();
        let queued = self.state.queued.fetch_add(length, Ordering::Relaxed) + length;
        let sent = if queued <= self.state.limit {
            self.queue.try_send(Message::Lines { index: self.index, text, count })
        } else {
            Err(TrySendError::Full(Message::Wake))
        };
        if let Err(error) = sent {
            self.state.queued.fetch_sub(length, Ordering::Relaxed);
            if matches!(error, TrySendError::Full(_)) {
                self.state.dropped[self.index].fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

impl Destination {
    /// From a path; also a link to standard output or error stands for it, since the node's own must not be opened a
    /// second time.
    pub fn of(path: &Path) -> Destination {
        let target = std::fs::read_link(path).ok();
        let named = |names: &[&str]| {
            names.iter().any(|name| path == Path::new(name) || target.as_deref() == Some(Path::new(name)))
        };
        if named(&["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"]) {
            Destination::Stdout
        } else if named(&["/dev/stderr", "/proc/self/fd/2", "/dev/fd/2"]) {
            Destination::Stderr
        } else {
            Destination::File(path.to_owned())
        }
    }

    fn open(&self) -> io::Result<Output> {
        let file = match self {
            Destination::File(path) => OpenOptions::new().create(true).append(true).open(path),
            Destination::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            Destination::Stderr => io::stderr().as_fd().try_clone_to_owned().map(File::from),
            Destination::Syslog(syslog) => return syslog.open().map(Output::Syslog),
        };
        file.map(Output::File)
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Destination::File(path) => path.display().fmt(f),
            Destination::Stdout => f.write_str("standard output"),
            Destination::Stderr => f.write_str("standard error"),
            Destination::Syslog(syslog) => write!(f, "{syslog}"),
        }
    }
}

impl Output {
    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Output::File(file) => file.write_all(lines),
            Output::Syslog(socket) => socket.write_all(lines),
        }
    }
}

/// What the thread works with.
struct Thread {
    logs: Vec<Log>,
    messages: Receiver<Message>,
    state: Arc<State>,
    reported: Instant,
    report: Report,
}

struct Log {
    destination: Destination,
    output: Output,
    /// Lines that could not be written since the last report.
    lost: u64,
}

impl Thread {
    fn run(mut self) {
        loop {
            let message = if self.state.end.load(Ordering::Relaxed) {
                match self.messages.try_recv() {
                    Ok(message) => message,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => return self.report_losses(),
                }
            } else {
                // What is to be reported is, even when nothing more comes.
                let time = if self.has_losses() { REPORT } else { Duration::MAX };
                match self.messages.recv_timeout(time) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => Message::Wake,
                    Err(RecvTimeoutError::Disconnected) => return self.report_losses(),
                }
            };
            if self.state.reopen.swap(false, Ordering::Relaxed) {
                (0..self.logs.len()).for_each(|index| self.reopen(index));
            }
            if let Message::Lines { index, text, count } = message {
                self.state.queued.fetch_sub(text.len(), Ordering::Relaxed);
                self.write(index, &text, count);
            }
            if self.reported.elapsed() >= REPORT {
                self.report_losses();
            }
        }
    }

    fn write(&mut self, index: usize, text: &[u8], count: u64) {
        let log = &mut self.logs[index];
        if let Err(error) = log.output.write_all(text) {
            let first = log.lost == 0;
            log.lost += count;
            if first {
                self.report(index, &Failure::Write(error));
            }
        }
    }

    fn reopen(&mut self, index: usize) {
        match self.logs[index].destination.open() {
            Ok(output) => self.logs[index].output = output,
            Err(error) => self.report(index, &Failure::Open(error)),
        }
    }

    fn has_losses(&self) -> bool {
        self.state.dropped.iter().any(|dropped| dropped.load(Ordering::Relaxed) > 0)
            || self.logs.iter().any(|log| log.lost > 0)
    }

    fn report_losses(&mut self) {
        self.reported = Instant::now();
        for index in 0..self.logs.len() {
            match self.state.dropped[index].swap(0, Ordering::Relaxed) {
                0 => {}
                dropped => self.report(index, &Failure::Dropped(dropped)),
            }
            match std::mem::take(&mut self.logs[index].lost) {
                0 => {}
                lost => self.report(index, &Failure::Lost(lost)),
            }
        }
    }

    fn report(&mut self, index: usize, failure: &Failure) {
        let log = &mut self.logs[index];
        if let Some(line) = (self.report)(&log.destination, failure) {
            // When that cannot be written either, there is nowhere left to say so.
            let _ = log.output.write_all(line.as_bytes());
        }
    }
}

impl Failure {
    /// What has happened to the log of that description.
    pub fn describe(&self, log: &str) -> String {
        match self {
            Failure::Dropped(count) => {
                format!("{count} lines of {log} were dropped: they cannot be written fast enough")
            }
            Failure::Lost(count) => format!("{count} lines of {log} could not be written"),
            Failure::Write(error) => format!("cannot write to {log}: {error}"),
            Failure::Open(error) => format!("cannot open {log}: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    const LIMIT: usize = 1 << 20;

    fn start(path: &Path) -> (LogWriter, Vec<Sink>) {
        let report: Report = Box::new(|_, failure| Some(failure.describe("the log") + "\n"));
        LogWriter::start("log", vec![Destination::of(path)], LIMIT, report).unwrap()
    }

    fn wait_for(path: &Path, text: &str) {
        let end = Instant::now() + LONG;
        while std::fs::read_to_string(path).unwrap_or_default() != text {
            assert!(Instant::now() < end, "{:?}", std::fs::read_to_string(path));
            std::thread::yield_now();
        }
    }

    #[test]
    fn lines_are_written_and_files_reopened() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
        let (writer, sinks) = start(&path);
        sinks[0].put(b"one\n".to_vec(), 1);
        wait_for(&path, "one\n");
        std::fs::rename(&path, &moved).unwrap();
        sinks[0].put(b"two\n".to_vec(), 1);
        wait_for(&moved, "one\ntwo\n");
        writer.reopen();
        wait_for(&path, "");
        let end = Instant::now() + LONG;
        while !path.exists() {
            assert!(Instant::now() < end);
            std::thread::yield_now();
        }
        sinks[0].put(b"three\n".to_vec(), 1);
        assert!(writer.finish(LONG));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_slow_reader_costs_lines_and_no_time() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let (writer, sinks) = start(&pipe);
        // More octets than the pipe and the queue hold together, and then more texts; nobody reads.
        for _ in 0..QUEUE {
            sinks[0].put(vec![b'x'; 65_536], 3);
        }
        let dropped = || writer.state.dropped[0].load(Ordering::Relaxed);
        assert!(dropped() >= 3);
        assert!(writer.state.queued.load(Ordering::Relaxed) <= LIMIT);
        let before = dropped();
        for _ in 0..2 * QUEUE {
            sinks[0].put(vec![b'y'], 1);
        }
        assert!(dropped() > before);
        assert!(!writer.finish(Duration::from_millis(1)));
        drop(reader);
    }

    #[test]
    fn what_was_lost_is_told_when_there_is_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let mut reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let (writer, sinks) = start(&pipe);
        for _ in 0..40 {
            sinks[0].put(vec![b'x'; 65_536], 1);
        }
        let lost = writer.state.dropped[0].load(Ordering::Relaxed);
        let told = format!("{lost} lines of the log were dropped");
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains(&told) {
            let mut part = [0; 65_536];
            let length = io::Read::read(&mut reader, &mut part).unwrap();
            text.extend_from_slice(&part[..length]);
        }
        assert!(writer.finish(LONG));
    }

    #[test]
    fn destinations() {
        assert_eq!(Destination::of(Path::new("/dev/stdout")), Destination::Stdout);
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("access.log");
        std::os::unix::fs::symlink("/dev/stderr", &link).unwrap();
        assert_eq!(Destination::of(&link), Destination::Stderr);
        let missing = Destination::File(folder.path().join("no/such"));
        let error = LogWriter::start("log", vec![missing], LIMIT, Box::new(|_, _| None)).unwrap_err();
        assert!(error.contains("no/such"), "{error}");
    }
}
