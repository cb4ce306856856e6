//! `bascule health`: says whether a node runs.

use super::{Outcome, Verbosity, existing_prefix};
use crate::app::instance::Running;
use crate::program::Program;
use std::path::PathBuf;
use std::process::ExitCode;

/// Say whether a node runs
#[derive(clap::Args)]
pub struct Health {
    /// Directory of the node
    #[arg(short, long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

impl Health {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        let program = Program::current();
        let prefix = existing_prefix(self.prefix.as_deref(), verbosity)?;
        let node = Running::find(&prefix);
        let process = match program {
            Program::Bascule => "bascule",
            Program::Kong => "nginx",
        };
        println!("{process:.<12}{}\n", if node.is_some() { "running" } else { "not running" });
        let node = node.ok_or_else(|| format!("{program} is not running at {}", prefix.display()))?;
        verbosity.verbose(|| format!("process {}", node.pid));
        println!("{program} is healthy at {}", prefix.display());
        Ok(ExitCode::SUCCESS)
    }
}
