//! The token with which requests from elsewhere ask for their timing.

use super::prefix;
use crate::settings::Settings;

/// Where it lies in the prefix, as in Kong.
const FILE: &str = ".request_debug_token";

/// The token of this process; `None` where no request may ask.
pub fn token(settings: &Settings) -> Option<String> {
    let configured = settings.text("request_debug_token");
    settings.flag("request_debug").then(|| match configured {
        "" => uuid::Uuid::new_v4().to_string(),
        _ => configured.to_owned(),
    })
}

/// Leaves it where only the node's own user can read it. Requests from this machine need none, so that a node runs
/// without the file, too.
pub fn keep(settings: &Settings, token: Option<&str>) {
    let Some(token) = token else { return };
    let path = settings.prefix.join(FILE);
    match prefix::write_private(&path, token) {
        Ok(()) => tracing::info!("[request-debug] the token for request debugging is in {}", path.display()),
        Err(error) => tracing::warn!("[request-debug] cannot write {}: {error}", path.display()),
    }
}
