//! Modules that code may `require`: ours, and files in the operator's `lua_package_path`.

use mlua::{Function, Lua, Result, Table};
use std::sync::OnceLock;

/// The modules of the run time: texts, and the names that each stands for. It gets the name that was asked for, and
/// `slot`.
const OWN: &[(&str, &[&str])] = &[
    (include_str!("code/modules/cjson.lua"), &["cjson", "cjson.safe"]),
    (include_str!("code/modules/constants.lua"), &["kong.constants"]),
    (include_str!("code/modules/http.lua"), &["resty.http"]),
    (include_str!("code/modules/ngx.lua"), OPENRESTY),
    (include_str!("code/modules/redis.lua"), &["resty.redis"]),
    (include_str!("code/modules/tools.lua"), TOOLS),
    (include_str!("code/modules/typedefs.lua"), &["kong.db.schema.typedefs"]),
];
/// Those that are used where the operator has none of that name.
const SPARE: &[(&str, &[&str])] = &[(include_str!("code/modules/pl.lua"), PENLIGHT)];

const OPENRESTY: &[&str] = &[
    "ngx.semaphore",
    "ngx.re",
    "ngx.base64",
    "ngx.errlog",
    "ngx.process",
    "ngx.req",
    "ngx.resp",
    "resty.core",
    "resty.core.base",
    "resty.random",
    "resty.string",
    "resty.jit-uuid",
    "resty.uuid",
    "kong.meta",
    "socket.url",
    "resty.md5",
    "resty.sha1",
    "resty.sha224",
    "resty.sha256",
    "resty.sha384",
    "resty.sha512",
    "resty.openssl.digest",
    "resty.openssl.hmac",
    "resty.openssl.rand",
    "resty.hmac",
    "resty.lrucache",
    "resty.lrucache.pureffi",
    "resty.lock",
];
const TOOLS: &[&str] = &[
    "kong.tools.string",
    "kong.tools.table",
    "kong.tools.uuid",
    "kong.tools.rand",
    "kong.tools.sha256",
    "kong.tools.ip",
    "kong.tools.time",
    "kong.tools.http",
    "kong.tools.uri",
    "kong.tools.module",
    "kong.tools.cjson",
    "kong.tools.timestamp",
    "kong.tools.utils",
];
const PENLIGHT: &[&str] = &["pl.stringx", "pl.tablex", "pl.pretty", "pl.utils", "pl.path", "pl.file", "inspect"];

static PATH: OnceLock<String> = OnceLock::new();

/// Says where the operator's modules are (`lua_package_path`), once.
pub fn search(path: &str) {
    // Another node in this process, which only tests have, goes by the first one's.
    let _ = PATH.set(path.to_owned());
}

/// Makes modules known to a machine.
pub fn install(lua: &Lua, slot: &Table) -> Result<()> {
    let install: Function = lua.load(include_str!("code/modules.lua")).set_name("=modules").call(slot)?;
    let texts = |modules: &[(&'static str, &[&'static str])]| {
        let named = modules.iter().flat_map(|(text, names)| names.iter().map(move |name| (*name, *text)));
        lua.create_table_from(named)
    };
    install.call((texts(OWN)?, texts(SPARE)?, PATH.get().map(String::as_str)))
}
