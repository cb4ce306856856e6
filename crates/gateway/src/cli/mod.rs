//! The command line: one file per command, with Kong's names and flags.

mod admin_api;
mod check;
mod completions;
mod config;
mod docker_start;
mod drain;
mod health;
mod hybrid;
mod jq_runner;
mod migrations;
mod prepare;
mod quickstart;
mod quit;
mod reload;
mod restart;
mod run;
mod settings;
mod start;
mod stop;
mod sync;
mod top;
mod vault;
mod verbosity;
mod version;

use crate::app::instance::Running;
use crate::app::preflight;
use crate::program::Program;
use crate::settings::{Settings, Sources};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use verbosity::Verbosity;

/// API gateway and load balancer, a drop-in for Kong Gateway.
#[derive(Parser)]
#[command(name = "bascule", version = env!("CARGO_PKG_VERSION"), disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Subcommand)]
enum Command {
    Start(start::Start),
    Run(run::Run),
    Stop(stop::Stop),
    Quit(quit::Quit),
    Reload(reload::Reload),
    Restart(restart::Restart),
    Check(check::Check),
    Config(config::Config),
    Dump(sync::Dump),
    Diff(sync::Diff),
    Sync(sync::Sync),
    Health(health::Health),
    Prepare(prepare::Prepare),
    DockerStart(docker_start::DockerStart),
    Drain(drain::Drain),
    Hybrid(hybrid::Hybrid),
    Top(top::Top),
    Vault(vault::Vault),
    Version(version::Version),
    Quickstart(quickstart::Quickstart),
    #[command(hide = true)]
    Echo(quickstart::Echo),
    #[command(hide = true, name = plugins::JQ_RUNNER)]
    JqRunner(jq_runner::JqRunner),
    Migrations(migrations::Migrations),
    Settings(settings::PrintSettings),
    Completions(completions::Completions),
}

/// Where the settings of a node come from.
#[derive(Args, Clone, Default)]
struct Place {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    conf: Option<PathBuf>,
    /// Directory of the node, in place of the one in the settings
    #[arg(short, long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

/// Flags that mean something to Kong only.
#[derive(Args, Clone, Default)]
struct KongFlags {
    /// Refused: there is no nginx
    #[arg(long, value_name = "FILE", hide = true)]
    nginx_conf: Option<PathBuf>,
    /// Refused: there is no nginx
    #[arg(long, value_name = "FLAGS", hide = true)]
    nginx_conf_flags: Option<String>,
    /// Prepare the database first (SQLite needs no preparation)
    #[arg(long)]
    run_migrations: bool,
    /// Seconds for operations of the database
    #[arg(long, value_name = "SECONDS", hide = true)]
    db_timeout: Option<f64>,
    /// Seconds to wait for other nodes that prepare the database
    #[arg(long, value_name = "SECONDS", hide = true)]
    lock_timeout: Option<f64>,
}

impl KongFlags {
    /// Fails for what would be missed.
    fn check(&self) -> Result<(), String> {
        let refused =
            [("--nginx-conf", self.nginx_conf.is_some()), ("--nginx-conf-flags", self.nginx_conf_flags.is_some())];
        match refused.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((flag, _)) => Err(format!(
                "{flag}: there is no nginx here, and no template of its configuration; give directives by settings \
                 (nginx_<context>_<directive>)"
            )),
        }
    }
}

/// The end of a command: nothing more to say, or why it failed.
type Outcome = Result<ExitCode, String>;

/// Runs the command of the process' arguments.
pub fn execute() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let verbosity = cli.verbosity;
    verbosity.verbose(|| format!("Bascule: {}", env!("CARGO_PKG_VERSION")));
    verbosity.debug(|| format!("stands in for Kong: {}", crate::app::KONG_VERSION));
    let outcome = match cli.command {
        Command::Start(command) => command.execute(verbosity),
        Command::Run(command) => command.execute(verbosity),
        Command::Stop(command) => command.execute(verbosity),
        Command::Quit(command) => command.execute(verbosity),
        Command::Reload(command) => command.execute(verbosity),
        Command::Restart(command) => command.execute(verbosity),
        Command::Check(command) => command.execute(verbosity),
        Command::Config(command) => command.execute(verbosity),
        Command::Dump(command) => command.execute(verbosity),
        Command::Diff(command) => command.execute(verbosity),
        Command::Sync(command) => command.execute(verbosity),
        Command::Health(command) => command.execute(verbosity),
        Command::Prepare(command) => command.execute(verbosity),
        Command::DockerStart(command) => command.execute(verbosity),
        Command::Drain(command) => command.execute(verbosity),
        Command::Hybrid(command) => command.execute(),
        Command::Top(command) => command.execute(verbosity),
        Command::Vault(command) => command.execute(verbosity),
        Command::Version(command) => command.execute(),
        Command::Quickstart(command) => command.execute(),
        Command::Echo(command) => command.execute(),
        Command::JqRunner(command) => command.execute(),
        Command::Migrations(command) => command.execute(verbosity),
        Command::Settings(command) => command.execute(),
        Command::Completions(command) => command.execute(),
    };
    outcome.unwrap_or_else(|error| {
        tell(&format!("Error: {error}\n{}", verbosity.hint()));
        ExitCode::FAILURE
    })
}

/// A line for people; a reader that has gone is no error.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What is said of arguments that make no command. Help goes to standard output, whoever asks for it and however.
fn usage(error: &clap::Error) -> ExitCode {
    let (help, code) = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => (true, ExitCode::SUCCESS),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => (true, ExitCode::FAILURE),
        _ => (false, ExitCode::FAILURE),
    };
    if let Some(unknown) = unknown_command(error) {
        tell(&format!("{unknown}\n"));
    }
    // A reader that has seen enough is no error.
    let _ = if help { write!(std::io::stdout(), "{}", error.render()) } else { error.print() };
    code
}

/// Under the name of Kong, its words for a command that there is not.
fn unknown_command(error: &clap::Error) -> Option<String> {
    let name = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::InvalidSubcommand, _) => error.get(ContextKind::InvalidSubcommand)?,
        (ErrorKind::InvalidValue, Some(ContextValue::String(of))) if of == "<COMMAND>" => {
            error.get(ContextKind::InvalidValue)?
        }
        _ => return None,
    };
    let name = name.to_string();
    let first = std::env::args().skip(1).find(|argument| !argument.starts_with('-'))?;
    let of = if first == name { String::new() } else { format!(" for {first}") };
    (Program::current() == Program::Kong).then(|| format!("No such command{of}: {name}"))
}

impl Place {
    fn sources(&self) -> Sources {
        Sources::of_process(self.conf.as_deref(), self.prefix.as_deref())
    }

    /// The settings, with what they warn of on standard error.
    fn load(&self, verbosity: Verbosity) -> Result<Settings, String> {
        let settings = self.load_quietly(verbosity)?;
        for warning in &settings.warnings {
            tell(&format!("Warning: {warning}"));
        }
        Ok(settings)
    }

    /// The same, when a node would start with them.
    fn load_checked(&self, verbosity: Verbosity) -> Result<Settings, String> {
        let settings = self.load(verbosity)?;
        preflight::check(&settings).map(|()| settings).map_err(|errors| errors.join("\n"))
    }

    fn load_quietly(&self, verbosity: Verbosity) -> Result<Settings, String> {
        let sources = self.sources();
        match sources.path() {
            Some(file) => verbosity.verbose(|| format!("reading config file at {}", file.display())),
            None => verbosity.verbose(|| "no config file found, skipping loading".to_owned()),
        }
        let settings = Settings::load(&sources).map_err(|errors| errors.join("\n"))?;
        for (key, value) in settings.given_by_environment() {
            verbosity.debug(|| format!("KONG_{} ENV found with \"{value}\"", key.to_ascii_uppercase()));
        }
        verbosity.verbose(|| format!("prefix in use: {}", settings.prefix.display()));
        for (key, value) in settings.values_shown() {
            verbosity.debug(|| format!("{key} = {value}"));
        }
        Ok(settings)
    }
}

/// The directory of a node that is to be acted on; it must exist.
fn existing_prefix(prefix: Option<&Path>, verbosity: Verbosity) -> Result<PathBuf, String> {
    // Whoever names it can stop a node whatever its settings have become.
    let prefix = match prefix {
        Some(prefix) => std::path::absolute(prefix).map_err(|e| format!("{}: {e}", prefix.display()))?,
        None => Place::default().load_quietly(verbosity)?.prefix,
    };
    if prefix.is_dir() { Ok(prefix) } else { Err(format!("no such prefix: {}", prefix.display())) }
}

/// The node that runs there.
fn running(prefix: &Path) -> Result<Running, String> {
    Running::find(prefix).ok_or_else(|| match Program::current() {
        Program::Bascule => format!("Bascule is not running in {}", prefix.display()),
        Program::Kong => format!("nginx not running in prefix: {}", prefix.display()),
    })
}
