//! `bascule run`: runs a node in the foreground, until a signal ends it.

use super::start::READY;
use super::{KongFlags, Outcome, Place, Verbosity};
use crate::app::{self, Console};
use crate::settings::Settings;
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

/// Run a node in the foreground, until a signal ends it
#[derive(clap::Args)]
pub struct Run {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    kong: KongFlags,
    /// Started by `bascule start`: says on standard output when it is ready, then lets go of it
    #[arg(long, hide = true)]
    detached: bool,
    /// Started by `bascule quickstart`: the same, and ends with it
    #[arg(long, hide = true)]
    attended: bool,
}

impl Run {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        self.kong.check()?;
        if !self.detached && !self.attended {
            let settings = self.place.load(verbosity)?;
            return app::run(settings, Console::Kept, |addresses| eprintln!("{}", addresses.describe()))
                .map(|()| ExitCode::SUCCESS);
        }
        match self.in_background(verbosity) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                println!("{error}");
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn in_background(&self, verbosity: Verbosity) -> Result<(), String> {
        let settings: Settings = self.place.load_quietly(verbosity)?;
        if self.attended {
            // Without it, the node would merely outlive a quickstart that is killed.
            let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
        } else {
            // Fails only for the leader of a process group, which then has no terminal to lose.
            let _ = rustix::process::setsid();
        }
        app::run(settings, Console::Left, |_| {
            let mut stdout = std::io::stdout();
            let said = stdout.write_all(READY.as_bytes()).and_then(|()| stdout.flush());
            let closed = File::options().write(true).open("/dev/null").map(|null| rustix::stdio::dup2_stdout(&null));
            if said.is_err() || !matches!(closed, Ok(Ok(()))) {
                tracing::warn!("could not tell the starting process that the node is ready");
            }
        })
    }
}
