//! The bundled plugins, one folder each: code, schema, credential entities, tests.

mod key_auth;
mod proxy_cache;
mod rate_limiting;
mod request_termination;

use sdk::PluginKind;

/// Every bundled plugin.
pub fn bundled() -> &'static [&'static dyn PluginKind] {
    &[&key_auth::KeyAuth, &proxy_cache::ProxyCache, &rate_limiting::RateLimiting, &request_termination::RequestTermination]
}

#[cfg(test)]
mod tests;
