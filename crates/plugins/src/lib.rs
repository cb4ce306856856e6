//! The bundled plugins, one folder each.

use sdk::PluginKind;

/// Every bundled plugin.
pub fn bundled() -> &'static [&'static dyn PluginKind] {
    &[]
}
