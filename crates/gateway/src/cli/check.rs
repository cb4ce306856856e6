//! `bascule check`: says whether a configuration file is valid.

use super::{Outcome, Verbosity};
use crate::app::preflight;
use crate::settings::{Settings, Sources};
use std::path::PathBuf;
use std::process::ExitCode;

/// Check a configuration file
#[derive(clap::Args)]
pub struct Check {
    /// The file
    #[arg(default_value = "/etc/kong/kong.conf")]
    conf: PathBuf,
}

impl Check {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        verbosity.verbose(|| format!("reading config file at {}", self.conf.display()));
        let settings = Settings::load(&Sources::of_process(Some(&self.conf), None));
        match settings.and_then(|settings| preflight::check_with_configuration(&settings).map(|more| (settings, more)))
        {
            Ok((settings, more)) => {
                for warning in settings.warnings.iter().chain(&more) {
                    eprintln!("Warning: {warning}");
                }
                println!("configuration at {} is valid", self.conf.display());
                Ok(ExitCode::SUCCESS)
            }
            Err(errors) => {
                for error in errors {
                    eprintln!("[error] {error}");
                }
                Ok(ExitCode::FAILURE)
            }
        }
    }
}
