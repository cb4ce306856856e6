//! `bascule reload`: makes a running node take new settings. Connections are not disturbed.

use super::{KongFlags, Outcome, Place, running};
use crate::app::certificates;
use crate::app::prefix::write_private;
use crate::settings::{Settings, Sources};
use rustix::process::Signal;
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
    pub(super) fn execute(&self) -> Outcome {
        self.kong.check()?;
        let new = self.place.load()?;
        if !new.prefix.is_dir() {
            return Err(format!("no such prefix: {}", new.prefix.display()));
        }
        let node = running(&new.prefix)?;
        certificates::check(&new)?;
        // What the node was started with stays, unless the file or the environment of this command says otherwise.
        let file = new.own_file();
        let old = Sources { file: Some(file.clone()), ..Sources::default() };
        let old = Settings::load(&old).map_err(|errors| errors.join("\n"))?;
        write_private(&file, &old.to_file_with(&new)).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
        node.signal(Signal::HUP).map_err(|e| format!("cannot reach process {}: {e}", node.pid))?;
        println!("Bascule reloaded");
        Ok(ExitCode::SUCCESS)
    }
}
