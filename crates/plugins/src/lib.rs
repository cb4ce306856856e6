//! The bundled plugins, one folder each: code, schema, credential entities, tests.

mod key_auth;
mod request_termination;

use sdk::PluginKind;

/// Every bundled plugin.
pub fn bundled() -> &'static [&'static dyn PluginKind] {
    &[&key_auth::KeyAuth, &request_termination::RequestTermination]
}
