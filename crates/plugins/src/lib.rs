//! The bundled plugins, one folder each: code, schema, credential entities, tests.

mod request_termination;

use sdk::PluginKind;

/// Every bundled plugin.
pub fn bundled() -> &'static [&'static dyn PluginKind] {
    &[&request_termination::RequestTermination]
}
