//! `bascule version`: which version this is, and which Kong it stands in for.

use super::Outcome;
use crate::app::KONG_VERSION;
use std::process::ExitCode;

/// Print the version
#[derive(clap::Args)]
pub struct Version {
    /// Also what it is compatible with and built for
    #[arg(short, long)]
    all: bool,
}

impl Version {
    pub(super) fn execute(&self) -> Outcome {
        println!("{}{}", if self.all { "Bascule: " } else { "" }, env!("CARGO_PKG_VERSION"));
        if self.all {
            println!("compatible with Kong: {KONG_VERSION}");
            println!("built for: {} {}", std::env::consts::OS, std::env::consts::ARCH);
        }
        Ok(ExitCode::SUCCESS)
    }
}
