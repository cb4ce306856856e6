//! What signals ask of a node.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What somebody asks of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM, SIGINT: end soon.
    Stop,
    /// SIGQUIT: end when all requests are finished.
    Quit,
    /// SIGHUP: take new settings.
    Reload,
    /// SIGUSR1: open log files anew.
    Reopen,
    /// SIGUSR2: let the program, as it is on disk now, take this process' place.
    Replace,
}

impl Request {
    /// The signal that asks for it.
    pub fn signal(self) -> rustix::process::Signal {
        match self {
            Request::Stop => rustix::process::Signal::TERM,
            Request::Quit => rustix::process::Signal::QUIT,
            Request::Reload => rustix::process::Signal::HUP,
            Request::Reopen => rustix::process::Signal::USR1,
            Request::Replace => rustix::process::Signal::USR2,
        }
    }
}

/// A process that may open fewer files than this is short of them soon.
const USUAL_FILE_LIMIT: u64 = 4096;

/// The signals that a node takes.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    reopen: Signal,
    replace: Signal,
    /// SIGXFSZ is caught, so that a file that may not grow (`ulimit -f`) fails one write and does not end the node.
    _file_size: Signal,
}

impl Signals {
    /// From now on, these signals no longer end the process.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            replace: signal(SignalKind::user_defined2())?,
            _file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// The next request.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.quit.recv() => Request::Quit,
            _ = self.hangup.recv() => Request::Reload,
            _ = self.reopen.recv() => Request::Reopen,
            _ = self.replace.recv() => Request::Replace,
        }
    }

    /// The next request to end.
    pub async fn end(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.quit.recv() => Request::Quit,
        }
    }
}

/// Lets the process open so many files (connections), or as many as the system allows.
pub fn raise_file_limit(wanted: Option<u64>) {
    let limit = getrlimit(Resource::Nofile);
    let maximum = match (wanted, limit.maximum) {
        (Some(wanted), Some(maximum)) if wanted > maximum => {
            // Only the superuser may raise it.
            let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: Some(wanted) });
            if raised.is_err() {
                tracing::warn!("worker_rlimit_nofile: {wanted} is more than the system allows, which is {maximum}");
            }
            if raised.is_ok() { return } else { Some(maximum) }
        }
        (_, maximum) => maximum,
    };
    let current = match (wanted, maximum) {
        (Some(wanted), Some(maximum)) => Some(wanted.min(maximum)),
        (Some(wanted), None) => Some(wanted),
        (None, maximum) => maximum,
    };
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current, maximum }) {
        tracing::warn!("cannot set the limit of open files: {e}");
    }
    if let Some(few) = getrlimit(Resource::Nofile).current.filter(|limit| *limit < USUAL_FILE_LIMIT) {
        tracing::warn!(
            "ulimit is currently set to \"{few}\". For better performance set it to at least \"{USUAL_FILE_LIMIT}\" \
                using \"ulimit -n\""
        );
    }
}
