//! `bascule settings`: prints a configuration file with every setting and its default, to start from.

use super::Outcome;
use crate::settings::{default_file, documentation};
use std::io::Write;
use std::process::ExitCode;

/// Print a configuration file with every setting and its default
#[derive(clap::Args)]
pub struct PrintSettings {
    /// As a page of documentation
    #[arg(long)]
    markdown: bool,
}

impl PrintSettings {
    pub(super) fn execute(&self) -> Outcome {
        let text = if self.markdown { documentation() } else { default_file() };
        // A reader that has seen enough is no error.
        let _ = std::io::stdout().write_all(text.as_bytes());
        Ok(ExitCode::SUCCESS)
    }
}
