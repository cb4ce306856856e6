//! `bascule reload`: makes a running node take new settings. Connections are not disturbed.

use super::{KongFlags, Outcome, Place, Verbosity, running};
use crate::app::reload;
use crate::program::Program;
use crate::settings::{Settings, Sources};
use std::process::ExitCode;

/// Make a running node take new settings
#[derive(clap::Args)]
pub struct Reload {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    kong: KongFlags,
}

impl Reload {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        self.kong.check()?;
        let new = self.place.load_quietly(verbosity)?;
        if !new.prefix.is_dir() {
            return Err(format!("no such prefix: {}", new.prefix.display()));
        }
        let node = running(&new.prefix)?;
        // What the node was started with stays, unless the file or the environment of this command says otherwise.
        let old = Sources { file: Some(new.own_file()), ..Sources::default() };
        let old = Settings::load(&old).map_err(|errors| errors.join("\n"))?;
        verbosity.verbose(|| format!("handing the new settings to process {}", node.pid));
        let mut warnings = reload::request(&node, &new, &old.to_file_with(&new))?;
        // Keys that nothing knows have not been handed on.
        warnings.extend(new.warnings.iter().filter(|warning| !warnings.contains(warning)).cloned().collect::<Vec<_>>());
        for warning in warnings {
            eprintln!("Warning: {warning}");
        }
        println!("{} reloaded", Program::current());
        Ok(ExitCode::SUCCESS)
    }
}
