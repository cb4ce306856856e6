//! Lua: LuaJIT with Kong's `kong` and what it needs of OpenResty's `ngx`, one virtual machine per worker.
//!
//! Code sees the exchange through one function that is valid while a phase runs ([`host`]); everything else is Lua
//! (`prelude.lua`). It neither waits nor goes on for long: [`vm`] ends it after a while.

mod host;
mod scripts;
mod value;
mod vm;

pub use scripts::LuaScripts;
pub use vm::{Code, Outcome, evaluate, run};

use std::sync::OnceLock;

/// What code in configurations may do (`untrusted_lua`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nothing: it is refused.
    Off,
    /// What the sandbox lets it.
    #[default]
    Sandbox,
    /// What Lua's own libraries can do, too.
    On,
}

/// A phase of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Rewrite,
    Access,
    HeaderFilter,
    BodyFilter,
    Log,
}

static TRUST: OnceLock<Trust> = OnceLock::new();

/// Says what code may do, once, before any is loaded; else it is sandboxed.
pub fn trust(trust: Trust) {
    // Another node in this process, which only tests have, goes by the first one's settings.
    let _ = TRUST.set(trust);
}

/// What code may do.
pub(crate) fn trusted() -> Trust {
    TRUST.get().copied().unwrap_or_default()
}

impl Phase {
    /// As Kong calls it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Rewrite => "rewrite",
            Phase::Access => "access",
            Phase::HeaderFilter => "header_filter",
            Phase::BodyFilter => "body_filter",
            Phase::Log => "log",
        }
    }
}
