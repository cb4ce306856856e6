//! What is left of a process that its starter waits for, when its successor is the node: it hands signals on, and ends
//! with the last node of the prefix.

use crate::app::instance::Running;
use crate::app::signals::{Request, Signals};
use crate::logging::Logging;
use rustix::process::{WaitOptions, wait};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for the end of all nodes that are children of this process; the error is that the last one has ended badly.
pub async fn attend(prefix: &Path, signals: &mut Signals, logging: &Logging) -> Result<(), String> {
    let mut children = signal(SignalKind::child()).map_err(|e| format!("cannot wait for the node: {e}"))?;
    tracing::info!("waiting for the node that has taken over");
    let (mut last, mut ended) = (None, Ok(()));
    loop {
        last = Running::find(prefix).map(|node| node.pid).or(last);
        // First, for those that have ended before anybody listened.
        loop {
            let Ok(found) = rustix::io::retry_on_intr(|| wait(WaitOptions::NOHANG)) else {
                // No child is left.
                return ended;
            };
            let Some((pid, status)) = found else { break };
            ended = match status.exit_status() {
                Some(0) => Ok(()),
                status => Err(format!("the node that had taken over has ended badly (status {status:?})")),
            };
            // Programs that it has started may be left.
            if last == Some(pid.as_raw_nonzero().get().unsigned_abs()) && Running::find(prefix).is_none() {
                return ended;
            }
        }
        tokio::select! {
            request = signals.next() => {
                if request == Request::Reopen {
                    logging.reopen();
                }
                if let Some(node) = Running::find(prefix) {
                    // It may have ended meanwhile, which is told next.
                    let _ = node.signal(request.signal());
                }
            }
            _ = children.recv() => {}
        }
    }
}
