//! The processes of plugin servers: each is kept running by a thread, what it writes goes into our log, and it ends
//! with the node.

use super::PluginServer;
use super::connection::Server;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io::{self, BufRead, BufReader, PipeReader, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Who has run for that long is not one that cannot run: it is started again at once.
const STEADY: Duration = Duration::from_secs(10);
/// The longest pause before a server that does not stay is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a server may take to listen.
const STARTING: Duration = Duration::from_secs(10);
/// How long it may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(2);
/// Octets of a line in the log.
const LONGEST_LINE: u64 = 8192;

/// The processes of a node; they end when this is dropped, at the latest.
pub struct Processes(Vec<Supervisor>);

/// Whether a server runs.
#[derive(Debug, Default)]
pub struct State {
    running: Mutex<Option<Running>>,
    /// The process that had the socket when the first one was started: that of a node whose place this one takes.
    former: OnceLock<Option<i32>>,
    /// Whether the first one is about to be started.
    is_due: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    pid: Pid,
    since: Instant,
}

struct Supervisor {
    state: Arc<State>,
    /// Dropped to end it; `ended` says when it has.
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the servers that have a command for it.
pub fn start(servers: &[PluginServer]) -> Processes {
    let with_command = servers.iter().filter_map(|server| Some((server, server.start_command.clone()?)));
    Processes(with_command.map(|(server, command)| Supervisor::start(server, command)).collect())
}

impl Drop for Processes {
    /// Blocks for two seconds at most.
    fn drop(&mut self) {
        for supervisor in &mut self.0 {
            supervisor.stop = None;
            supervisor.state.signal(Signal::TERM);
        }
        let until = Instant::now() + GRACE;
        for supervisor in &mut self.0 {
            let left = until.saturating_duration_since(Instant::now());
            if supervisor.ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                supervisor.state.signal(Signal::KILL);
            }
            if let Some(thread) = supervisor.thread.take() {
                // It has nothing to tell.
                let _ = thread.join();
            }
        }
    }
}

impl State {
    /// Whether the process has begun a moment ago, so that it may not listen yet.
    pub fn is_starting(&self) -> bool {
        let has_begun = self.running().is_some_and(|running| running.since.elapsed() < STARTING);
        has_begun || self.is_due.load(Ordering::Acquire)
    }

    /// Whether a process is the one that had the socket before, and goes with its node.
    pub fn is_former(&self, peer: Option<i32>) -> bool {
        peer.is_some() && self.former.get() == Some(&peer)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal to the process and those that it has started.
    fn signal(&self, signal: Signal) {
        if let Some(running) = &*self.running() {
            // It may have ended just now.
            let _ = kill_process_group(running.pid, signal);
        }
    }
}

impl Supervisor {
    fn start(server: &PluginServer, command: String) -> Supervisor {
        let state = Arc::clone(&Server::of(server).state);
        state.is_due.store(true, Ordering::Release);
        let (stop, stopped) = mpsc::channel();
        let (done, ended) = mpsc::channel();
        let (name, socket, shared) = (server.name.clone(), server.socket.clone(), Arc::clone(&state));
        let thread = std::thread::Builder::new().name("plugin-server".to_owned()).spawn(move || {
            shared.former.get_or_init(|| listening(&socket));
            keep_running(&name, &command, &shared, &stopped);
            drop(done);
        });
        if let Err(error) = &thread {
            tracing::error!(server = server.name, "a plugin server cannot be started: {error}");
            state.is_due.store(false, Ordering::Release);
        }
        Supervisor { state, stop: Some(stop), ended, thread: thread.ok() }
    }
}

/// The process that listens on a socket.
fn listening(socket: &Path) -> Option<i32> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    Some(peer.pid.as_raw_nonzero().get())
}

/// Starts a server again and again, until it is told to stop.
fn keep_running(name: &str, command: &str, state: &State, stopped: &Receiver<()>) {
    let mut short = 0;
    loop {
        let began = Instant::now();
        let spawned = spawn(name, command, state);
        state.is_due.store(false, Ordering::Release);
        match spawned {
            Ok(child) => wait(name, child, state),
            Err(error) => tracing::error!(server = name, "a plugin server cannot be started: {error}"),
        }
        short = if began.elapsed() < STEADY { short + 1 } else { 0 };
        if stopped.recv_timeout(pause(short)) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// The pause after so many runs that were short.
fn pause(short: u32) -> Duration {
    match short {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(1 << (more - 2).min(5)).min(LONGEST_PAUSE),
    }
}

fn spawn(name: &str, command: &str, state: &State) -> io::Result<Child> {
    let (output, written) = io::pipe()?;
    // Held while it is started, so that nobody who wants it to end misses it.
    let mut running = state.running();
    let child = Command::new("/bin/sh")
        .args(["-c", &format!("exec {command}")])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(written.try_clone()?)
        .stderr(written)
        .spawn()?;
    let number = child.id();
    *running = Pid::from_raw(number.cast_signed()).map(|pid| Running { pid, since: Instant::now() });
    drop(running);
    tracing::info!(server = name, pid = number, "plugin server started");
    let name = name.to_owned();
    std::thread::Builder::new().name("plugin-log".to_owned()).spawn(move || copy_log(&name, number, output))?;
    Ok(child)
}

/// Waits for the end of a server, and ends what it has left behind.
fn wait(name: &str, mut child: Child, state: &State) {
    if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
        // Its number stays its own until it is asked how it has ended.
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {
        }
        state.signal(Signal::KILL);
    }
    *state.running() = None;
    match child.wait() {
        Ok(status) => tracing::warn!(server = name, pid = child.id(), "plugin server ended: {status}"),
        Err(error) => tracing::error!(server = name, "a plugin server cannot be waited for: {error}"),
    }
}

fn copy_log(name: &str, pid: u32, output: PipeReader) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                // Colours, and what moves a terminal's cursor.
                let shown: String = String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).collect();
                if !shown.trim().is_empty() {
                    tracing::info!(server = name, pid, "{}", shown.trim());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::test_kill_process;

    #[test]
    fn pauses_grow() {
        let seconds: Vec<u64> = (0..9).map(|short| pause(short).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn a_server_is_started_again_and_ends_with_the_node() {
        let folder = std::env::temp_dir().join(format!("bascule-process-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let started = folder.join("started");
        let server = PluginServer {
            name: "test-process".to_owned(),
            socket: "/nowhere".into(),
            // The second run does not want to end.
            start_command: Some(format!(
                "sh -c 'test -e {0} && echo $$ > {0}.2 && trap \"\" TERM && exec sleep 1000; touch {0}'",
                started.display()
            )),
            query_command: String::new(),
            timeout: GRACE,
        };
        let processes = start(std::slice::from_ref(&server));
        let second = folder.join("started.2");
        let pid = loop {
            let text = std::fs::read_to_string(&second).unwrap_or_default();
            match text.strip_suffix('\n').and_then(|pid| pid.parse().ok()) {
                Some(pid) => break Pid::from_raw(pid).unwrap(),
                None => std::thread::yield_now(),
            }
        };
        drop(processes);
        assert_eq!(test_kill_process(pid), Err(rustix::io::Errno::SRCH));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
