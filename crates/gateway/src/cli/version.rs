//! `bascule version`: which version this is, and which Kong it stands in for.

use super::Outcome;
use crate::app::KONG_VERSION;
use crate::program::Program;
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
        let version = env!("CARGO_PKG_VERSION");
        match (Program::current(), self.all) {
            (Program::Bascule, false) => println!("{version}"),
            (Program::Kong, false) => println!("{KONG_VERSION}"),
            (Program::Bascule, true) => {
                println!("Bascule: {version}\ncompatible with Kong: {KONG_VERSION}");
                println!("built for: {} {}", std::env::consts::OS, std::env::consts::ARCH);
            }
            (Program::Kong, true) => {
                println!("Kong: {KONG_VERSION}\nBascule: {version}");
                println!("built for: {} {}", std::env::consts::OS, std::env::consts::ARCH);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
