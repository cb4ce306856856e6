//! `bascule vault`: what a reference to a vault stands for.

use super::{Outcome, Place};
use crate::settings::referred_to;
use std::process::ExitCode;

/// Look into vaults
#[derive(clap::Args)]
pub struct Vault {
    #[command(subcommand)]
    command: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Print what a reference stands for: `bascule vault get env/NAME`
    Get {
        /// `{vault://hcv/NAME/KEY}`, or the part between the slashes and the brace
        reference: String,
        #[command(flatten)]
        place: Place,
    },
}

impl Vault {
    pub(super) fn execute(&self) -> Outcome {
        let Action::Get { reference, place } = &self.command;
        println!("{}", referred_to(reference, &place.sources())?);
        Ok(ExitCode::SUCCESS)
    }
}
