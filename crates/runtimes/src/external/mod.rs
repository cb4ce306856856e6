//! Plugin servers: plugins in Go, JavaScript, Python or whatever else, in processes of their own that speak one of
//! Kong's two protocols on a Unix socket.
//!
//! What a server has is asked of its query command once ([`query`]); its process is kept running ([`process`]). A
//! worker has connections of its own to it ([`connection`]). For each phase of an exchange a plugin is told of an event
//! ([`instance`]), in [`msgpack`] or [`protobuf`], and calls functions of `kong` until it is done ([`host`]).

mod connection;
mod host;
mod instance;
mod msgpack;
mod plugin;
mod process;
mod protobuf;
mod query;
mod values;

pub use plugin::load;
pub use process::{Processes, start};

use std::path::PathBuf;
use std::time::Duration;

/// A plugin server, as the settings describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginServer {
    pub name: String,
    pub socket: PathBuf,
    /// Without one, somebody else sees to it that the server runs.
    pub start_command: Option<String>,
    /// It writes what plugins there are.
    pub query_command: String,
    /// How long an event may take, with all that the plugin calls meanwhile.
    pub timeout: Duration,
}
