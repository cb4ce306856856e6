//! What compiles filters, and the clock by which their calls come to an end.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;
use wasmtime::{Config, Engine};

/// How long one call of a filter may run. A worker serves nobody else meanwhile.
const LONGEST_CALL: Duration = Duration::from_secs(1);
/// How exactly that is kept.
const TICK: Duration = Duration::from_millis(50);
/// The same in ticks; the one under way counts for nothing.
pub const TICKS_OF_CALL: u64 = (LONGEST_CALL.as_millis() / TICK.as_millis()) as u64 + 1;

/// The engine of the process, made when the first filter is loaded.
pub fn engine() -> Result<&'static Engine, String> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    ENGINE.get_or_init(start).as_ref().map_err(Clone::clone)
}

fn start() -> Result<Engine, String> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config).map_err(|error| format!("wasm: there is no engine: {error:#}"))?;
    let ticking = engine.clone();
    let clock = move || {
        loop {
            thread::park_timeout(TICK);
            ticking.increment_epoch();
        }
    };
    thread::Builder::new()
        .name("wasm-clock".to_owned())
        .spawn(clock)
        .map_err(|error| format!("wasm: there is no clock: {error}"))?;
    Ok(engine)
}
