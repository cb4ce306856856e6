//! `bascule jq-runner`: the process in which a node runs programs of the plugin jq.

use super::Outcome;
use std::process::ExitCode;

/// Run programs of jq for a node that has started this
#[derive(clap::Args)]
pub struct JqRunner {}

impl JqRunner {
    pub(super) fn execute(&self) -> Outcome {
        plugins::serve_jq().map(|()| ExitCode::SUCCESS).map_err(|error| error.to_string())
    }
}
