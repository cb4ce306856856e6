//! How much a command says of what it does: `--v`, `--vv`. On standard error, so that it is no part of what a command
//! prints.

use crate::logging;
use clap::Args;

/// How much a command says.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct Verbosity {
    /// Say what is done
    #[arg(short, long = "v", global = true)]
    v: bool,
    /// Say everything
    #[arg(long = "vv", global = true)]
    vv: bool,
}

impl Verbosity {
    /// What is done.
    pub fn verbose(self, text: impl FnOnce() -> String) {
        if self.v || self.vv {
            say("verbose", &text());
        }
    }

    /// The details.
    pub fn debug(self, text: impl FnOnce() -> String) {
        if self.vv {
            say("debug", &text());
        }
    }

    /// How to learn more of a failure, while there is more.
    pub fn hint(self) -> &'static str {
        if self.v || self.vv { "" } else { "\n  Run with --v (verbose) or --vv (debug) for more details\n" }
    }
}

fn say(level: &str, text: &str) {
    eprintln!("{} [{level}] {text}", logging::timestamp(jiff::Timestamp::now()));
}
