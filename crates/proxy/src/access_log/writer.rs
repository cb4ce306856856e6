//! The one thread that writes access logs.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Buffers that may wait for the thread; each holds about [`super::buffer::FULL`] octets at most.
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

/// Writes what the sinks are given; see [`Writer::finish`] for its end.
#[derive(Debug)]
pub struct Writer {
    queue: SyncSender<Message>,
    state: Arc<State>,
    ended: Receiver<()>,
}

/// Where lines can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    File(PathBuf),
    Stdout,
    Stderr,
}

#[derive(Debug, Default)]
struct State {
    /// Lines that were lost since the last report.
    dropped: AtomicU64,
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
    Look,
}

impl Writer {
    /// Opens all destinations and starts the thread; one sink for each. The error names the destination.
    pub fn start(destinations: Vec<Destination>) -> Result<(Writer, Vec<Sink>), String> {
        let open = |d: Destination| {
            d.open()
                .map(|file| Log { file, lost: 0, destination: d.clone() })
                .map_err(|e| format!("cannot open {d}: {e}"))
        };
        let logs = destinations.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let (queue, messages) = sync_channel(QUEUE);
        let (done, ended) = sync_channel(1);
        let state = Arc::new(State::default());
        let sinks =
            (0..logs.len()).map(|index| Sink { index, queue: queue.clone(), state: Arc::clone(&state) }).collect();
        let thread = Thread { logs, messages, state: Arc::clone(&state), reported: Instant::now() };
        let run = move || {
            thread.run();
            // Nobody may be waiting.
            let _ = done.send(());
        };
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(run)
            .map_err(|e| format!("cannot start the thread for access logs: {e}"))?;
        Ok((Writer { queue, state, ended }, sinks))
    }

    /// Opens all files anew, after they have been moved away.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Ordering::Relaxed);
        // When the queue is full, the thread looks soon enough.
        let _ = self.queue.try_send(Message::Look);
    }

    /// Writes what was put into the sinks so far; whether that could be done in time.
    pub fn finish(self, time: Duration) -> bool {
        self.state.end.store(true, Ordering::Relaxed);
        let _ = self.queue.try_send(Message::Look);
        self.ended.recv_timeout(time).is_ok()
    }
}

impl Sink {
    /// Takes lines to be written. Never waits: when the thread cannot keep up they are dropped and counted.
    pub fn put(&self, text: Vec<u8>, count: u64) {
        if let Err(TrySendError::Full(Message::Lines { count, .. })) =
            self.queue.try_send(Message::Lines { index: self.index, text, count })
        {
            self.state.dropped.fetch_add(count, Ordering::Relaxed);
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

    fn open(&self) -> io::Result<File> {
        match self {
            Destination::File(path) => OpenOptions::new().create(true).append(true).open(path),
            Destination::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            Destination::Stderr => io::stderr().as_fd().try_clone_to_owned().map(File::from),
        }
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Destination::File(path) => path.display().fmt(f),
            Destination::Stdout => f.write_str("standard output"),
            Destination::Stderr => f.write_str("standard error"),
        }
    }
}

/// What the thread works with.
struct Thread {
    logs: Vec<Log>,
    messages: Receiver<Message>,
    state: Arc<State>,
    reported: Instant,
}

struct Log {
    destination: Destination,
    file: File,
    /// Lines that could not be written since the last report.
    lost: u64,
}

impl Thread {
    fn run(mut self) {
        loop {
            let message = if self.state.end.load(Ordering::Relaxed) {
                match self.messages.try_recv() {
                    Ok(message) => message,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => return self.report(),
                }
            } else {
                // What is to be reported is, even when nothing more comes.
                let time = if self.has_report() { REPORT } else { Duration::MAX };
                match self.messages.recv_timeout(time) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => Message::Look,
                    Err(RecvTimeoutError::Disconnected) => return self.report(),
                }
            };
            if self.state.reopen.swap(false, Ordering::Relaxed) {
                self.logs.iter_mut().for_each(Log::reopen);
            }
            if let Message::Lines { index, text, count } = message
                && let Some(log) = self.logs.get_mut(index)
            {
                log.write(&text, count);
            }
            if self.reported.elapsed() >= REPORT {
                self.report();
            }
        }
    }

    fn has_report(&self) -> bool {
        self.state.dropped.load(Ordering::Relaxed) > 0 || self.logs.iter().any(|log| log.lost > 0)
    }

    fn report(&mut self) {
        self.reported = Instant::now();
        match self.state.dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            dropped => {
                tracing::warn!("{dropped} lines of access logs were dropped: they cannot be written fast enough")
            }
        }
        for log in &mut self.logs {
            match std::mem::take(&mut log.lost) {
                0 => {}
                lost => tracing::warn!("{lost} lines could not be written to the access log {}", log.destination),
            }
        }
    }
}

impl Log {
    fn write(&mut self, text: &[u8], count: u64) {
        if let Err(error) = self.file.write_all(text) {
            if self.lost == 0 {
                tracing::error!("cannot write to the access log {}: {error}", self.destination);
            }
            self.lost += count;
        }
    }

    /// On failure the old file stays in use.
    fn reopen(&mut self) {
        match self.destination.open() {
            Ok(file) => self.file = file,
            Err(error) => tracing::error!("cannot open the access log {}: {error}", self.destination),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

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
        let (writer, sinks) = Writer::start(vec![Destination::of(&path)]).unwrap();
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
        let (writer, sinks) = Writer::start(vec![Destination::of(&pipe)]).unwrap();
        // More than the pipe and the queue hold together; nobody reads.
        for _ in 0..QUEUE + 100 {
            sinks[0].put(vec![b'x'; 65_536], 3);
        }
        assert!(writer.state.dropped.load(Ordering::Relaxed) >= 3);
        assert!(!writer.finish(Duration::from_millis(1)));
        drop(reader);
    }

    #[test]
    fn destinations() {
        assert_eq!(Destination::of(Path::new("/dev/stdout")), Destination::Stdout);
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("access.log");
        std::os::unix::fs::symlink("/dev/stderr", &link).unwrap();
        assert_eq!(Destination::of(&link), Destination::Stderr);
        assert!(Writer::start(vec![Destination::File(folder.path().join("no/such"))]).unwrap_err().contains("no/such"));
    }
}
