//! The successor of a node, as the node sees it.

use super::line::{DESCRIPTORS, Line};
use crate::app::signals::Request;
use crate::program::Program;
use proxy::listener::Offer;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, getpid, kill_process, pidfd_open, set_child_subreaper};
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
        self.converse(move || {
            for offer in offers {
                for (number, some) in offer.sockets.chunks(DESCRIPTORS).enumerate() {
                    let named = format!("socket {}", offer.name);
                    line.send(if number == 0 { &named } else { "more" }, some)?;
                }
            }
            line.send("all", &[])?;
            line.receive().map(|(answer, _)| answer)
        })
        .await
    }

    /// Gives it the word and waits until it serves.
    pub async fn begin(&self) -> Result<(), String> {
        let line = Arc::clone(&self.line);
        self.converse(move || line.send("go", &[]).and_then(|()| line.receive()).map(|(answer, _)| answer)).await
    }

    async fn converse(
        &self,
        conversation: impl FnOnce() -> std::io::Result<String> + Send + 'static,
    ) -> Result<(), String> {
        let answer = spawn_blocking(conversation).await.map_err(|e| e.to_string())?;
        match answer {
            Ok(answer) => match answer.strip_prefix("failed ") {
                Some(why) => Err(why.to_owned()),
                None => Ok(()),
            },
            Err(error) => Err(format!("process {}: {error}", self.process.id())),
        }
    }

    /// Hands on what is asked of the node.
    pub fn ask(&self, request: Request) {
        // It may have ended; who waits for it is told.
        let _ = kill_process(Pid::from_child(&self.process), request.signal());
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        let process = pidfd_open(Pid::from_child(&self.process), PidfdFlags::empty());
        let waited = spawn_blocking(move || {
            let process = process?;
            rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&process, PollFlags::IN)], None))
        });
        if !matches!(waited.await, Ok(Ok(_))) {
            // Then its end is not noticed, and the time that requests have counts alone.
            std::future::pending().await
        }
    }

    /// Ends it, for it is not to take over.
    pub fn kill(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
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
