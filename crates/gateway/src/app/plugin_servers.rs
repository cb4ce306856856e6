//! Plugin servers on this node.

use crate::settings::Settings;
use sdk::Tasks;

/// Runs them as long as the node.
#[cfg(feature = "lua")]
pub fn run(settings: &Settings, background: &Tasks) {
    let processes = runtimes::external::start(&settings.plugin_servers);
    let (tasks, stopping) = (background.clone(), background.stopping());
    background.spawn("plugin servers", async move {
        stopping.cancelled().await;
        // Their ends are waited for.
        tasks.blocking(move || drop(processes)).await;
    });
}

#[cfg(not(feature = "lua"))]
pub fn run(_settings: &Settings, _background: &Tasks) {}
