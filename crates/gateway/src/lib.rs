//! The gateway: the program `bascule`, and programs of one's own that have plugins beside the bundled ones.

/// In the place of the standard library's, which panics when its output is closed (`| head`): what a command has begun
/// it finishes, read or unread.
macro_rules! println {
    ($($told:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($told)*);
    }};
}

mod app;
mod cli;
mod logging;
mod program;
mod quickstart;
mod settings;
mod sync;

use sdk::PluginKind;
use std::process::ExitCode;
use std::sync::OnceLock;

/// Gives memory back to the system when a burst is over, which the C library's allocator does not: what 3,000 uploads
/// had needed (1 GB) was gone seconds later, where 700 MB had stayed. In CPU time there is no difference.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

static OWN_PLUGINS: OnceLock<&'static [&'static dyn PluginKind]> = OnceLock::new();

/// Does what the process' arguments say, with these plugins beside the bundled ones. To be called once, first thing.
pub fn run(own_plugins: &'static [&'static dyn PluginKind]) -> ExitCode {
    OWN_PLUGINS.get_or_init(|| own_plugins);
    cli::execute()
}

/// The plugins that this program has beside the bundled ones.
fn own_plugins() -> &'static [&'static dyn PluginKind] {
    OWN_PLUGINS.get().copied().unwrap_or_default()
}
