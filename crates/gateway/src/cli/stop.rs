//! `bascule stop`: ends a node at once and waits for its end.

use super::{Outcome, Verbosity, existing_prefix, running};
use crate::app::instance::Running;
use crate::program::Program;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Stop a running node at once
#[derive(clap::Args, Clone)]
pub struct Stop {
    /// Directory of the node
    #[arg(short, long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

/// How long a node may take to end; it ends by itself long before.
const PATIENCE: Duration = Duration::from_secs(10);

impl Stop {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        stop(&existing_prefix(self.prefix.as_deref(), verbosity)?, verbosity)?;
        println!("{} stopped", Program::current());
        Ok(ExitCode::SUCCESS)
    }
}

/// Ends the node of a prefix.
pub(super) fn stop(prefix: &Path, verbosity: Verbosity) -> Result<(), String> {
    end(&running(prefix)?, verbosity)
}

/// Ends a node by force if need be.
pub(super) fn end(node: &Running, verbosity: Verbosity) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("cannot stop process {}: {e}", node.pid);
    verbosity.verbose(|| format!("sending SIGTERM to process {}", node.pid));
    node.signal(Signal::TERM).map_err(failed)?;
    if node.wait(PATIENCE).map_err(failed)? {
        return Ok(());
    }
    verbosity.verbose(|| format!("process {} does not end, sending SIGKILL", node.pid));
    node.signal(Signal::KILL).map_err(failed)?;
    node.wait(PATIENCE).map_err(failed)?;
    Ok(())
}
