//! `bascule drain`: has a node say that it is not ready, so that balancers send it no more requests.

use super::{Outcome, Place, Verbosity, running};
use crate::app::instance::Addresses;
use crate::program::Program;
use crate::quickstart::client;
use crate::settings::{Settings, Sources};
use std::process::ExitCode;
use std::time::Duration;

/// Have a node say on its Status API (`/status/ready`) that it takes no more requests
#[derive(clap::Args)]
pub struct Drain {
    #[command(flatten)]
    place: Place,
}

const PATIENCE: Duration = Duration::from_secs(10);

impl Drain {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        let settings = self.place.load_quietly(verbosity)?;
        running(&settings.prefix)?;
        let node = Sources { file: Some(settings.own_file()), ..Sources::default() };
        let node = Settings::load(&node).map_err(|errors| errors.join("\n"))?;
        let plain = node.status_listen.iter().any(|listener| !listener.ssl);
        let addresses = Addresses::of(&settings.prefix).unwrap_or_default();
        let address = addresses.status.first().filter(|_| plain).ok_or(
            "no status listener without TLS found: POST '{\"status\": \"draining\"}' to /status/ready of the one \
             there is",
        )?;
        verbosity.verbose(|| format!("asking http://{address}/status/ready"));
        let fields = [("status", "draining".to_owned())];
        let request = client::request(*address, "POST", "/status/ready", &fields);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| format!("cannot start a runtime: {e}"))?;
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, request).await });
        let answer = answer.map_err(|_| format!("no answer from http://{address}/status/ready"))??;
        if answer.status != 204 {
            return Err(format!("Unexpected response status from http://{address}/status/ready: {}", answer.status));
        }
        println!("{}'s status successfully changed to 'draining'", Program::current());
        Ok(ExitCode::SUCCESS)
    }
}
