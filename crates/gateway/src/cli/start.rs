//! `bascule start`: starts a node in the background and returns when it is ready.

use super::{KongFlags, Outcome, Place, Verbosity};
use crate::app::succession::Manner;
use crate::app::{self, Launch, prefix};
use crate::program::Program;
use crate::settings::Settings;
use proxy::log_writer::Destination;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// Start a node in the background; returns when it is ready
#[derive(clap::Args, Clone)]
pub struct Start {
    #[command(flatten)]
    pub(super) place: Place,
    #[command(flatten)]
    pub(super) kong: KongFlags,
}

/// What the node writes to its standard output when it is ready; anything else is why it is not.
pub const READY: &str = "ready\n";

impl Start {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        self.kong.check()?;
        let settings = self.place.load_checked(verbosity)?;
        if !settings.daemon {
            return app::run(settings, &Launch::alone(Manner::Foreground), |_| {}).map(|()| ExitCode::SUCCESS);
        }
        verbosity.verbose(|| format!("preparing prefix directory at {}", settings.prefix.display()));
        prefix::prepare(&settings)?;
        self.spawn(&settings, verbosity)?;
        let program = Program::current();
        if program == Program::Bascule && !settings.is_given("prefix") {
            println!("prefix: {}", settings.prefix.display());
        }
        println!("{program} started");
        Ok(ExitCode::SUCCESS)
    }

    /// Starts this program again, in the background, and waits for its word.
    fn spawn(&self, settings: &Settings, verbosity: Verbosity) -> Result<(), String> {
        let log = match prefix::error_log(settings, "proxy_error_log")? {
            None | Some(Destination::Syslog(_)) => "/dev/null".into(),
            Some(Destination::File(path)) => path,
            Some(Destination::Stdout) => "/dev/stdout".into(),
            Some(Destination::Stderr) => "/dev/stderr".into(),
        };
        let stderr = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|e| format!("cannot write {}: {e}", log.display()))?;
        let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
        let mut command = Command::new(program);
        command.arg0(Program::current().command());
        command.arg("run").arg("--detached").arg("--prefix").arg(&settings.prefix);
        if let Some(conf) = &self.place.conf {
            command.arg("--conf").arg(conf);
        }
        verbosity.debug(|| format!("starting {command:?}, its messages go to {}", log.display()));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|e| format!("could not start: {e}"))?;
        verbosity.verbose(|| format!("waiting for process {} to be ready", child.id()));
        let mut word = String::new();
        if let Some(mut stdout) = child.stdout.take() {
            stdout.read_to_string(&mut word).map_err(|e| format!("could not start: {e}"))?;
        }
        if word == READY {
            return Ok(());
        }
        // It has closed its output without being ready: it is ending.
        let status = child.wait().map_err(|e| format!("could not start: {e}"))?;
        match word.trim() {
            "" => Err(format!("the node ended before it was ready ({status}); see {}", log.display())),
            error => Err(error.to_owned()),
        }
    }
}
