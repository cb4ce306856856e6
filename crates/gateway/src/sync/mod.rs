//! A node's configuration and a file of it, by the Admin API: `dump` writes the file, `diff` says how they differ,
//! `sync` makes the node like the file. What decK does, with decK's files.

mod differences;
mod dump;
mod file;
mod plan;
mod remote;
mod state;

pub use dump::dump;
pub use file::Desired;
pub use plan::{Change, Plan, Step};
pub use remote::Remote;
pub use state::State;
