//! Times.

use mlua::{Lua, Result, Table};
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("now", lua.create_function(|_, ()| Ok(since_1970().as_millis() as f64 / 1000.0))?)?;
    native.raw_set("now_ns", lua.create_function(|_, ()| Ok(since_1970().as_nanos() as f64))?)?;
    native.raw_set("monotonic", lua.create_function(|_, ()| Ok(monotonic()))?)?;
    native.raw_set("uptime", lua.create_function(|_, ()| Ok(uptime()))?)?;
    native.raw_set("parse_http_time", lua.create_function(|_, text: String| Ok(parsed(&text)))?)
}

fn since_1970() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Seconds since some moment of this process.
fn monotonic() -> f64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// Seconds since the machine was started, as far as it says so: what programs on it take for the time that only goes
/// forward.
fn uptime() -> f64 {
    static AT_FIRST: OnceLock<f64> = OnceLock::new();
    let at_first = AT_FIRST.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        let seconds: f64 = text.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
        seconds - monotonic()
    });
    at_first + monotonic()
}

fn parsed(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}
