//! Run times for plugins, and parts of plugins, that are written in other languages: Lua as Kong has
//! it, and servers of plugins in whatever language.

#[cfg(feature = "lua")]
mod exit_transformer;
#[cfg(feature = "lua")]
pub mod external;
#[cfg(feature = "lua")]
mod functions;
#[cfg(feature = "lua")]
pub mod lua;

use sdk::PluginKind;

/// The bundled plugins that run code from their configuration.
pub fn bundled() -> &'static [&'static dyn PluginKind] {
    #[cfg(feature = "lua")]
    return &[&exit_transformer::ExitTransformer, &functions::PreFunction, &functions::PostFunction];
    #[cfg(not(feature = "lua"))]
    return &[];
}
