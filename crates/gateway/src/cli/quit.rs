//! `bascule quit`: lets a node finish its requests, then ends it.

use super::stop::end;
use super::{Outcome, Verbosity, existing_prefix, running};
use crate::program::Program;
use rustix::process::Signal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Let a node finish its requests, then stop it
#[derive(clap::Args)]
pub struct Quit {
    /// Directory of the node
    #[arg(short, long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Seconds after which it is stopped by force
    #[arg(short, long, default_value_t = 10.0)]
    timeout: f64,
    /// Seconds to wait before it is told
    #[arg(short, long, default_value_t = 0.0)]
    wait: f64,
}

impl Quit {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        let program = Program::current();
        let node = running(&existing_prefix(self.prefix.as_deref(), verbosity)?)?;
        let failed = |e: std::io::Error| format!("cannot stop process {}: {e}", node.pid);
        if self.wait > 0.0 {
            verbosity.verbose(|| format!("waiting {} seconds before quitting", self.wait));
            if node.wait(seconds(self.wait)).map_err(failed)? {
                return Err(format!("{program} stopped while waiting (unexpected)"));
            }
        }
        verbosity.verbose(|| format!("sending SIGQUIT to process {}", node.pid));
        node.signal(Signal::QUIT).map_err(failed)?;
        verbosity.verbose(|| "waiting for the node to finish its requests".to_owned());
        if node.wait(seconds(self.timeout.max(1.0))).map_err(failed)? {
            println!("{program} stopped (gracefully)");
        } else {
            end(&node, verbosity)?;
            println!("Timeout, {program} stopped forcefully");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or_default()
}
