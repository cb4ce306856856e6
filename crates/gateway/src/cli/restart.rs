//! `bascule restart`: `stop`, then `start`.

use super::start::Start;
use super::stop::stop;
use super::{KongFlags, Outcome, Place, Verbosity};
use crate::app::instance::Running;
use crate::app::preflight;

/// Stop a node and start it again
#[derive(clap::Args)]
pub struct Restart {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    kong: KongFlags,
}

impl Restart {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        self.kong.check()?;
        let settings = self.place.load_quietly(verbosity)?;
        // Better not stopped than not started again.
        preflight::check_with_configuration(&settings).map_err(|errors| errors.join("\n"))?;
        if Running::find(&settings.prefix).is_some() {
            stop(&settings.prefix, verbosity)?;
        }
        Start { place: self.place.clone(), kong: self.kong.clone() }.execute(verbosity)
    }
}
