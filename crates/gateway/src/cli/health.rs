//! `bascule health`: says whether a node runs.

use super::{Outcome, existing_prefix, running};
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
    pub(super) fn execute(&self) -> Outcome {
        let prefix = existing_prefix(self.prefix.as_deref())?;
        let node = running(&prefix);
        println!("bascule.....{}\n", if node.is_ok() { "running" } else { "not running" });
        node?;
        println!("Bascule is healthy at {}", prefix.display());
        Ok(ExitCode::SUCCESS)
    }
}
