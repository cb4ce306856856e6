//! `bascule docker-start`: what Kong's container image does to start a node: it stays in the foreground, and its logs
//! are those of the container.

use super::prepare::prepare;
use super::{KongFlags, Outcome, Place, Verbosity};
use crate::app::succession::Manner;
use crate::app::{self, Launch};
use crate::settings::Settings;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::process::ExitCode;

/// Run a node in a container: in the foreground, with its logs on standard output and error
#[derive(clap::Args)]
pub struct DockerStart {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    kong: KongFlags,
}

/// Log files of a node, and where they lead.
const LOGS: [(&str, &str); 3] =
    [("logs/access.log", "/dev/stdout"), ("logs/admin_access.log", "/dev/stdout"), ("logs/error.log", "/dev/stderr")];

impl DockerStart {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        self.kong.check()?;
        let settings = self.place.load_checked(verbosity)?;
        prepare(&settings, verbosity)?;
        lead_to_console(&settings)?;
        let launch = Launch::alone(Manner::Foreground);
        app::run(settings, &launch, |addresses| eprintln!("{}", addresses.describe())).map(|()| ExitCode::SUCCESS)
    }
}

fn lead_to_console(settings: &Settings) -> Result<(), String> {
    for (name, device) in LOGS {
        let path = settings.path(name);
        let failed = |e: std::io::Error| format!("cannot link {} to {device}: {e}", path.display());
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(e)),
            _ => symlink(device, &path).map_err(failed)?,
        }
    }
    Ok(())
}
