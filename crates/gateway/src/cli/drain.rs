//! `bascule drain`: has a node say that it is not ready, so that balancers send it no more requests.

use super::{Outcome, Place, Verbosity, running};
use crate::app::instance::Addresses;
use crate::app::peer_tls;
use crate::program::Program;
use crate::settings::{Settings, Sources};
use crate::sync::Remote;
use model::Record;
use sdk::Env;
use std::process::ExitCode;

/// Have a node say on its Status API (`/status/ready`) that it takes no more requests
#[derive(clap::Args)]
pub struct Drain {
    #[command(flatten)]
    place: Place,
}

impl Drain {
    pub(super) fn execute(&self, verbosity: Verbosity) -> Outcome {
        let settings = self.place.load_quietly(verbosity)?;
        running(&settings.prefix)?;
        let node = Sources { file: Some(settings.own_file()), ..Sources::default() };
        let node = Settings::load(&node).map_err(|errors| errors.join("\n"))?;
        let Some(url) = url(&node) else {
            let none = "No status listeners found in configuration.";
            return match Program::current() {
                Program::Bascule => Err(none.to_owned()),
                // A success, as there.
                Program::Kong => {
                    println!("{none}");
                    Ok(ExitCode::SUCCESS)
                }
            };
        };
        verbosity.verbose(|| format!("asking {url}/status/ready"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| format!("cannot start a runtime: {e}"))?;
        runtime.block_on(drain(&node, &url))?;
        println!("{}'s status successfully changed to 'draining'", Program::current());
        Ok(ExitCode::SUCCESS)
    }
}

async fn drain(node: &Settings, url: &str) -> Result<(), String> {
    let env = Env::default();
    env.network().renew_tls(peer_tls(node)?);
    // It is this machine's node, whatever certificate it shows.
    let status = Remote::new(&env, url, None, &[], false)?;
    let draining = Record::from_iter([("status".to_owned(), "draining".into())]);
    status.send("POST", "/status/ready", Some(&draining)).await
}

/// Where the Status API of a running node is; one without TLS if there is one.
fn url(node: &Settings) -> Option<String> {
    let addresses = Addresses::of(&node.prefix).unwrap_or_default().status;
    let listeners = node.status_listen.iter().filter(|listener| listener.path().is_none());
    let mut places: Vec<_> = listeners.map(|listener| listener.ssl).zip(addresses).collect();
    places.sort_by_key(|(tls, _)| *tls);
    places.first().map(|(tls, address)| format!("{}://{address}", if *tls { "https" } else { "http" }))
}
