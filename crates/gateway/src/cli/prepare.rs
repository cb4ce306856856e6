//! `bascule prepare`: makes what a node needs in its directory, without starting it.

use super::{Outcome, Place, Verbosity};
use crate::app::instance::Running;
use crate::app::{certificates, prefix};
use crate::settings::Settings;
use std::path::PathBuf;
use std::process::ExitCode;

/// Make the directories, certificates and settings of a node, without starting it
#[derive(clap::Args)]
pub struct Prepare {
    #[command(flatten)]
    place: Place,
    /// Refused: there is no nginx
    #[arg(long, value_name = "FILE", hide = true)]
    nginx_conf: Option<PathBuf>,
    /// What Kong's container hands on
    #[arg(hide = true)]
    rest: Vec<String>,
}

impl Prepare {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        if self.nginx_conf.is_some() {
            return Err("--nginx-conf: there is no nginx here, and no template of its configuration".to_owned());
        }
        prepare(&self.place.load_checked(verbosity)?, verbosity)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes what is not there yet.
pub(super) fn prepare(settings: &Settings, verbosity: Verbosity) -> Result<(), String> {
    verbosity.verbose(|| format!("preparing prefix directory at {}", settings.prefix.display()));
    prefix::prepare(settings)?;
    certificates::prepare(settings)?;
    if Running::find(&settings.prefix).is_none() {
        let file = settings.own_file();
        verbosity.debug(|| format!("writing {}", file.display()));
        prefix::write_private(&file, &settings.to_file())
            .map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    }
    Ok(())
}
