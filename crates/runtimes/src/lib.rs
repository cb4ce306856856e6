//! Run times for plugins, and parts of plugins, that are written in other languages: Lua as Kong has it, servers of
//! plugins in whatever language, and filters in WebAssembly.

#[cfg(feature = "lua")]
mod exit_transformer;
#[cfg(feature = "lua")]
pub mod external;
#[cfg(feature = "lua")]
mod functions;
#[cfg(any(feature = "lua", feature = "wasm"))]
mod json_type;
#[cfg(feature = "lua")]
pub mod lua;

#[cfg(feature = "wasm")]
pub mod wasm;

use sdk::PluginKind;

/// The bundled plugins that run code from their configuration.
pub fn bundled() -> &'static [&'static dyn PluginKind] {
    #[cfg(feature = "lua")]
    return &[&exit_transformer::ExitTransformer, &functions::PreFunction, &functions::PostFunction];
    #[cfg(not(feature = "lua"))]
    return &[];
}
