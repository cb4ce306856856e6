//! Which Admin API a command asks.

use super::{Place, Verbosity};
use crate::app::instance::Addresses;
use crate::app::peer_tls;
use crate::settings::Settings;
use crate::sync::Remote;
use sdk::Env;
use std::path::Path;

/// The Admin API of a node, this one's or another's.
#[derive(clap::Args)]
pub(super) struct AdminApi {
    /// The Admin API [default: that of the node in the prefix]
    #[arg(long, value_name = "URL", alias = "kong-addr")]
    admin: Option<String>,
    /// A header that goes with each request, such as `Kong-Admin-Token: …`
    #[arg(long = "headers", value_name = "NAME: VALUE", alias = "header")]
    headers: Vec<String>,
    /// The Admin API need not prove who it is
    #[arg(long)]
    tls_skip_verify: bool,
    #[command(flatten)]
    place: Place,
}

impl AdminApi {
    /// The settings of the node in the prefix.
    pub fn settings(&self, verbosity: Verbosity) -> Result<Settings, String> {
        self.place.load_quietly(verbosity)
    }

    /// The API, or one workspace of it.
    pub fn remote(&self, workspace: Option<&str>, verbosity: Verbosity) -> Result<Remote, String> {
        let settings = self.settings(verbosity)?;
        let url = match &self.admin {
            Some(url) => url.clone(),
            None => own(&settings.prefix)?,
        };
        verbosity.verbose(|| format!("asking {url}"));
        let env = Env::default();
        env.network().renew_tls(peer_tls(&settings)?);
        Remote::new(&env, &url, workspace, &self.headers, !self.tls_skip_verify)
    }
}

/// The API of the node that runs there.
fn own(prefix: &Path) -> Result<String, String> {
    let addresses = Addresses::of(prefix).unwrap_or_default();
    let none = || format!("no node runs in {}: name an Admin API with --admin", prefix.display());
    Ok(format!("http://{}", addresses.admin.first().ok_or_else(none)?))
}
