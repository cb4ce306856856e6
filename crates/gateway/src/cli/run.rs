//! `bascule run`: runs a node in the foreground, until a signal ends it.

use super::start::READY;
use super::{KongFlags, Outcome, Place, Verbosity};
use crate::app::succession::{Manner, Predecessor};
use crate::app::{self, Launch};
use crate::settings::{Settings, Sources};
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
    /// Started by a node whose place it is to take
    #[arg(long, hide = true)]
    successor: bool,
}

impl Run {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        self.kong.check()?;
        if self.successor {
            return self.succeed();
        }
        if self.manner() == Manner::Foreground {
            let settings = self.place.load(verbosity)?;
            let launch = Launch::alone(Manner::Foreground);
            return app::run(settings, &launch, |addresses| eprintln!("{}", addresses.describe()))
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

    fn manner(&self) -> Manner {
        match (self.detached, self.attended) {
            (_, true) => Manner::Attended,
            (true, false) => Manner::Detached,
            (false, false) => Manner::Foreground,
        }
    }

    fn in_background(&self, verbosity: Verbosity) -> Result<(), String> {
        let settings: Settings = self.place.load_quietly(verbosity)?;
        self.end_with_parent();
        if !self.attended {
            // Fails only for the leader of a process group, which then has no terminal to lose.
            let _ = rustix::process::setsid();
        }
        app::run(settings, &Launch::alone(self.manner()), |_| {
            let mut stdout = std::io::stdout();
            let said = stdout.write_all(READY.as_bytes()).and_then(|()| stdout.flush());
            let closed = File::options().write(true).open("/dev/null").map(|null| rustix::stdio::dup2_stdout(&null));
            if said.is_err() || !matches!(closed, Ok(Ok(()))) {
                tracing::warn!("could not tell the starting process that the node is ready");
            }
        })
    }

    /// Without it, the node would merely outlive a quickstart that is killed.
    fn end_with_parent(&self) {
        if self.attended {
            let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
        }
    }

    /// The node has all settings in the file; what is in the environment was meant for its start.
    fn succeed(&self) -> Outcome {
        self.end_with_parent();
        let launch = Launch { manner: self.manner(), predecessor: Some(Predecessor::of_process()?) };
        let sources = Sources { environment: Vec::new(), ..self.place.sources() };
        let settings = Settings::load(&sources).map_err(|errors| errors.join("\n"));
        let outcome = settings.and_then(|settings| app::run(settings, &launch, |_| {}));
        if let (Err(error), Some(predecessor)) = (&outcome, &launch.predecessor) {
            predecessor.tell_failed(error);
        }
        outcome.map(|()| ExitCode::SUCCESS)
    }
}
