//! How a process takes the place of another one as the node of a prefix, without a connection refused or cut: for a new
//! program, and for settings that no process takes while it runs.
//!
//! The node starts its successor as a child of its own, and the two talk over a pair of sockets (`line`), which is the
//! child's standard input. The node hands over its listening sockets, with the connections that wait in them. The
//! successor makes everything ready (`predecessor` is how it sees the other side) and says so; then the node closes the
//! Admin API, gives up its claim to the prefix and gives the word. When the successor serves, the node accepts nothing
//! more, finishes what it has, within the time that a `quit` has, and ends. Whatever goes wrong before that, the node
//! goes on as if nothing had been.
//!
//! Where a terminal, a service manager or a container waits for the first process, it stays: when it has nothing more
//! to finish it is the `attendant` of its successors, which hands signals on and ends with the last of them.

mod attendant;
mod line;
mod predecessor;
mod successor;

pub use attendant::attend;
pub use predecessor::Predecessor;
pub use successor::{Manner, Successor, ended};

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// How long a successor may take until it is ready, and a node until it gives the word.
const PATIENCE: Duration = Duration::from_secs(50);

/// The file that this program was started from, as it was named then: another one may be in its place by now.
pub fn program() -> Result<PathBuf, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let find = || std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"));
    PROGRAM.get_or_init(find).clone()
}
