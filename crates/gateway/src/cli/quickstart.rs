//! `bascule quickstart`: the Get Started guide on one machine, and the small servers that it balances.

use super::Outcome;
use crate::quickstart;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Start a node with two small services behind it and walk through the first steps
#[derive(clap::Args)]
pub struct Quickstart {
    /// Directory of the node; what is in its database is erased [default: ~/.bascule/quickstart]
    #[arg(short, long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Port of the proxy (0: any free one)
    #[arg(long, default_value_t = 8000, value_name = "PORT")]
    proxy_port: u16,
    /// Port of the proxy for TLS
    #[arg(long, default_value_t = 8443, value_name = "PORT")]
    proxy_tls_port: u16,
    /// Port of the Admin API
    #[arg(long, default_value_t = 8001, value_name = "PORT")]
    admin_port: u16,
    /// Port of the manager
    #[arg(long, default_value_t = 8002, value_name = "PORT")]
    manager_port: u16,
}

/// Serve a small httpbin-like service
#[derive(clap::Args)]
pub struct Echo {
    /// What it calls itself
    #[arg(long)]
    name: String,
    /// Where it listens; the address is printed
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Started by `bascule quickstart`: ends with it
    #[arg(long, hide = true)]
    attended: bool,
}

impl Quickstart {
    pub(super) fn execute(&self) -> Outcome {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".bascule/quickstart"));
        let prefix = self.prefix.clone().or_else(home).ok_or("HOME is not set: say where with --prefix")?;
        let prefix = std::path::absolute(&prefix).map_err(|e| e.to_string())?;
        let options = quickstart::Options {
            prefix,
            proxy: self.proxy_port,
            proxy_tls: self.proxy_tls_port,
            admin: self.admin_port,
            manager: self.manager_port,
        };
        quickstart::run(&options).map(|()| ExitCode::SUCCESS)
    }
}

impl Echo {
    pub(super) fn execute(&self) -> Outcome {
        if self.attended {
            // Without it, the service would merely outlive a quickstart that is killed.
            let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
        }
        quickstart::echo::serve(&self.name, self.listen).map(|()| ExitCode::SUCCESS)
    }
}
