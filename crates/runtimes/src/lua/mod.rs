//! Lua: LuaJIT with Kong's `kong` and what plugins need of OpenResty's `ngx`, one virtual machine per worker.
//!
//! Code sees the exchange through one function that is valid while a phase runs ([`host`]), and the rest through
//! functions of Rust ([`natives`]); everything else is Lua (`code/`). Plugins of the operator ([`plugins`]) may wait
//! ([`operations`]): they run in coroutines that the worker resumes ([`turn`]). [`vm`] ends code after a while.

mod calls;
mod datagrams;
mod events;
mod generations;
mod handshakes;
mod host;
mod kept_values;
mod modules;
mod natives;
mod operations;
mod owners;
mod plugins;
mod records;
mod scripts;
mod sockets;
mod sources;
mod streaming;
mod surroundings;
mod timers;
mod turn;
mod value;
mod vaults;
mod vm;

pub(crate) use calls::{Called, Calls};
pub use events::{INVALIDATIONS, hear, is_listened_to, post};
pub use generations::{invalidate, invalidate_all};
pub(crate) use handshakes::Loan;
pub use handshakes::run_certificate;
pub use kept_values::{forget_value, kept_value};
pub use natives::shared::declare as declare_shared;
pub(crate) use plugins::given_config;
pub use plugins::{Paths, call_dao, has_files, instances_so_far, load, removed, replaced};
pub use scripts::LuaScripts;
pub use surroundings::{FetchSecret, Node, Secret, leave, open_vaults, surround};
pub use timers::{become_worker, end_worker};
pub(crate) use turn::share_context;
pub use turn::{Begun, Outcome, begin, call, evaluate, failed, in_pieces, run, settle_replaced};
pub(crate) use value::{text as octets_of, to_json as json_of};
pub use vaults::{Asked, Described, Told, fetch, load_vaults};
pub use vm::Code;

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

/// What the operator lets code in configurations do.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    pub trust: Trust,
    /// Modules that sandboxed code may load (`untrusted_lua_sandbox_requires`).
    pub modules: Vec<String>,
    /// Global names that it sees beside the usual ones, `name` or `table.name` (`untrusted_lua_sandbox_environment`).
    pub globals: Vec<String>,
}

/// A phase of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    InitWorker,
    /// Of a client that connects by TLS.
    Certificate,
    Rewrite,
    Access,
    /// Of a try that is not the first (`set_target_retry_callback`).
    Balancer,
    Response,
    HeaderFilter,
    BodyFilter,
    Log,
    /// Of a stream: before it is relayed.
    Preread,
    /// Of a WebSocket: in place of access, of each message of the client and of the service, and in place of log.
    WsHandshake,
    WsClientFrame,
    WsUpstreamFrame,
    WsClose,
    /// Of a request of the Admin API.
    AdminApi,
    /// Of no exchange: what runs later, or again and again.
    Timer,
}

impl Trust {
    fn name(self) -> &'static str {
        match self {
            Trust::Off => "off",
            Trust::Sandbox => "sandbox",
            Trust::On => "on",
        }
    }
}

static PERMISSIONS: OnceLock<Permissions> = OnceLock::new();

/// Says what code may do, once, before any is loaded; else it is sandboxed.
pub fn permit(permissions: Permissions) {
    // Another node in this process, which only tests have, goes by the first one's settings.
    let _ = PERMISSIONS.set(permissions);
}

/// What code may do.
pub(crate) fn permissions() -> &'static Permissions {
    static USUAL: Permissions = Permissions { trust: Trust::Sandbox, modules: Vec::new(), globals: Vec::new() };
    // Vaults may have to be asked for settings before it is known what those say.
    PERMISSIONS.get().unwrap_or(&USUAL)
}

/// Whether code may look at the content of requests.
fn reads_content(code: &str) -> bool {
    let names = ["get_raw_body", "get_body", "get_post_args", "request_body", "read_body", "req.socket"];
    names.iter().any(|name| code.contains(name))
}

/// Whether code may answer in a header filter, in place of a response whose content is still to come.
fn replaces_content(code: &str) -> bool {
    ["response.exit", "response.error", "ngx.exit"].iter().any(|name| code.contains(name))
}

impl Phase {
    /// All of them, in their order.
    const ALL: [Phase; 16] = [
        Phase::InitWorker,
        Phase::Certificate,
        Phase::Rewrite,
        Phase::Access,
        Phase::Balancer,
        Phase::Response,
        Phase::HeaderFilter,
        Phase::BodyFilter,
        Phase::Log,
        Phase::Preread,
        Phase::WsHandshake,
        Phase::WsClientFrame,
        Phase::WsUpstreamFrame,
        Phase::WsClose,
        Phase::AdminApi,
        Phase::Timer,
    ];

    /// What code may know of it.
    fn described(self, lua: &mlua::Lua) -> mlua::Result<mlua::Table> {
        let table = lua.create_table()?;
        table.raw_set("bit", self.bit())?;
        table.raw_set("name", self.name())?;
        table.raw_set("context", self.context())?;
        table.raw_set("may_wait", self.may_wait())?;
        table.raw_set("has_frame", self.has_frame())?;
        // Instances run for exchanges only.
        table.raw_set("asks", true)?;
        Ok(table)
    }

    /// As Kong calls it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::InitWorker => "init_worker",
            Phase::Certificate => "certificate",
            Phase::Rewrite => "rewrite",
            Phase::Access => "access",
            Phase::Balancer => "balancer",
            Phase::Response => "response",
            Phase::HeaderFilter => "header_filter",
            Phase::BodyFilter => "body_filter",
            Phase::Log => "log",
            Phase::Preread => "preread",
            Phase::WsHandshake => "ws_handshake",
            Phase::WsClientFrame => "ws_client_frame",
            Phase::WsUpstreamFrame => "ws_upstream_frame",
            Phase::WsClose => "ws_close",
            Phase::AdminApi => "admin_api",
            Phase::Timer => "timer",
        }
    }

    /// As OpenResty calls it where something cannot be done.
    fn context(self) -> &'static str {
        match self {
            Phase::InitWorker => "init_worker_by_lua*",
            Phase::Certificate => "ssl_certificate_by_lua*",
            Phase::Rewrite => "rewrite_by_lua*",
            // Where Kong runs it.
            Phase::Access | Phase::Response | Phase::WsHandshake => "access_by_lua*",
            Phase::Balancer => "balancer_by_lua*",
            Phase::HeaderFilter => "header_filter_by_lua*",
            Phase::BodyFilter => "body_filter_by_lua*",
            Phase::Log | Phase::WsClose => "log_by_lua*",
            Phase::Preread => "preread_by_lua*",
            Phase::AdminApi | Phase::WsClientFrame | Phase::WsUpstreamFrame => "content_by_lua*",
            Phase::Timer => "ngx.timer",
        }
    }

    /// Kong's number for it; timers have none.
    fn bit(self) -> u32 {
        match self {
            Phase::InitWorker => 0x1,
            Phase::Certificate => 0x2,
            Phase::Rewrite => 0x10,
            Phase::Access => 0x20,
            Phase::Balancer => 0x40,
            Phase::Response => 0x80,
            Phase::HeaderFilter => 0x200,
            Phase::BodyFilter => 0x400,
            Phase::Log => 0x2000,
            Phase::Preread => 0x4000,
            Phase::WsHandshake => 0x8000,
            Phase::WsClientFrame => 0x10000,
            Phase::WsUpstreamFrame => 0x20000,
            Phase::WsClose => 0x40000,
            Phase::AdminApi => 0x1000_0000,
            Phase::Timer => 0,
        }
    }

    /// Whether the worker has something else to do meanwhile.
    fn may_wait(self) -> bool {
        !matches!(self, Phase::Balancer | Phase::HeaderFilter | Phase::BodyFilter | Phase::Log | Phase::WsClose)
            && !self.has_frame()
    }

    /// Whether it is about a message of a WebSocket.
    fn has_frame(self) -> bool {
        matches!(self, Phase::WsClientFrame | Phase::WsUpstreamFrame)
    }
}
