//! The successor of a node, as the node sees it.

use super::line::{DESCRIPTORS, Line};
use crate::program::Program;
use proxy::listener::Offer;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open, set_child_subreaper};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// How a process is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// In the foreground of a terminal, a service manager or a container.
    Foreground,
    /// In the background.
    Detached,
    /// In the background, for as long as the process that has started it is there.
    Attended,
}

/// A process that is to take this one's place.
pub struct Successor {
    process: Child,
    line: Arc<Line>,
}

impl Successor {
    /// Starts a program with the settings of a file. To be called on the thread that lasts as long as the process: what
    /// is attended ends with its parent thread.
    pub fn start(program: &Path, prefix: &Path, settings: &Path, manner: Manner) -> Result<Successor, String> {
        let failed = |e: std::io::Error| format!("cannot start {}: {e}", program.display());
        let (line, theirs) = Line::pair().map_err(failed)?;
        // Successors of this successor too are to have a parent that waits for them.
        let _ = set_child_subreaper(Some(getpid()));
        let mut command = Command::new(program);
        command.arg0(Program::current().command());
        command.args(["run", "--successor", "--prefix"]).arg(prefix).arg("--conf").arg(settings);
        command.args(manner.flag());
        let process = command.stdin(Stdio::from(theirs)).spawn().map_err(failed)?;
        Ok(Successor { process, line: Arc::new(line) })
    }

    /// Hands the sockets over and waits until it is ready to serve.
    pub async fn prepare(&self, offers: Vec<Offer>) -> Result<(), String> {
        let line = Arc::clone(&self.line);
        let hand_over = move || {
            for offer in offers {
                for (number, some) in offer.sockets.chunks(DESCRIPTORS).enumerate() {
                    let named = format!("socket {}", offer.name);
                    line.send(if number == 0 { &named } else { "more" }, some)?;
                }
            }
            line.send("all", &[])
        };
        self.converse(hand_over).await
    }

    /// Gives it the word and waits until it serves.
    pub async fn begin(&self) -> Result<(), String> {
        let line = Arc::clone(&self.line);
        self.converse(move || line.send("go", &[])).await
    }

    /// Says something, and waits for the answer.
    async fn converse(&self, say: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<(), String> {
        let line = Arc::clone(&self.line);
        let conversation = move || {
            let answer = say().and_then(|()| line.receive());
            let answer = match answer {
                // Who has ended before it has heard all has said why; the system tells of the end first, and only once.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    line.receive().map_err(|_| error)
                }
                answer => answer,
            };
            answer.map(|(answer, _)| answer)
        };
        let answer = spawn_blocking(conversation).await.map_err(|e| e.to_string())?;
        match answer {
            Ok(answer) => match answer.strip_prefix("failed ") {
                Some(why) => Err(why.to_owned()),
                None => Ok(()),
            },
            Err(error) => Err(format!("process {}: {error}", self.process.id())),
        }
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it, for it is not to take over.
    pub fn kill(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until a process has ended.
pub async fn ended(pid: u32) {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH);
    let waited = spawn_blocking(move || {
        let process = match process.and_then(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            Err(Errno::SRCH) => return Ok(()),
            process => process?,
        };
        retry_on_intr(|| poll(&mut [PollFd::new(&process, PollFlags::IN)], None)).map(drop)
    });
    if !matches!(waited.await, Ok(Ok(()))) {
        // Then its end is not noticed, and the time that requests have counts alone.
        std::future::pending().await
    }
}

impl Manner {
    fn flag(self) -> Option<&'static str> {
        match self {
            Manner::Foreground => None,
            Manner::Detached => Some("--detached"),
            Manner::Attended => Some("--attended"),
        }
    }
}
