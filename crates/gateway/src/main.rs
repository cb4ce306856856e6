//! The program `bascule`: an API gateway and load balancer.

mod app;
mod cli;
mod logging;
mod quickstart;
mod settings;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::execute(cli::Cli::parse())
}
