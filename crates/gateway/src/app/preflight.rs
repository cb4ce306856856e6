//! What a node would refuse at its start, found out without starting one: `check`, `start`, `restart` and `reload` ask
//! here, and so does the node itself, so that none of them takes what another refuses.

use super::login::Login;
use super::{certificates, declarative, filters, plane, prefix};
#[cfg(feature = "lua")]
use crate::settings::nginx;
use crate::settings::{Settings, tls};
use model::{Catalog, Record};
use proxy::log_writer::Destination;
use sdk::aws::Environment;
use sdk::{Env, PluginKind};
use serde_json::Value;
use std::sync::Arc;
use store::declarative::Entities;
use vaults::{Secrets, Surroundings, VaultKind};

/// Reads everything that the settings name, as a start does, and changes nothing. The error is all that is wrong.
pub fn check(settings: &Settings) -> Result<(), Vec<String>> {
    let mut errors = Vec::new();
    match enabled_plugins(settings) {
        Ok(kinds) => errors.extend(catalog(settings, &kinds).err()),
        Err(error) => errors.push(error),
    }
    errors.extend(prefix::check(settings));
    errors.extend(certificates::check(settings));
    errors.extend(plane::check(settings));
    errors.extend(settings.size("mem_cache_size").err());
    errors.extend(unopenable_logs(settings));
    errors.extend(settings.login.as_ref().and_then(|plugin| Login::new(plugin, &Env::default()).err()));
    errors.dedup();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The same, and the declarative configuration: for those who do not load it themselves right away. The result is what
/// the operator should know of it.
pub fn check_with_configuration(settings: &Settings) -> Result<Vec<String>, Vec<String>> {
    check(settings)?;
    if !settings.dbless() {
        return Ok(Vec::new());
    }
    let catalog = enabled_plugins(settings).and_then(|kinds| catalog(settings, &kinds));
    let read = catalog.and_then(|catalog| declarative::read(settings, &catalog)).map_err(|error| vec![error])?;
    Ok(read.iter().filter_map(|(entities, _)| lacking_services(settings, entities)).collect())
}

/// Which services may miss what the settings ask for towards services, and there is not.
fn lacking_services(settings: &Settings, entities: &Entities) -> Option<String> {
    if tls::services(settings).ok()?.absent.is_empty() {
        return None;
    }
    let services = entities.lists.iter().filter(|(entity, _)| entity == "services").flat_map(|(_, list)| list);
    let text = |record: &Record, field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let secure = services.filter(|s| ["https", "tls", "grpcs", "wss"].contains(&&*text(&s.record, "protocol")));
    let named = secure.map(|s| [text(&s.record, "name"), text(&s.record, "id")].into_iter().find(|n| !n.is_empty()));
    let named: Vec<String> = named.map(Option::unwrap_or_default).collect();
    (!named.is_empty())
        .then(|| format!("nginx_proxy_proxy_ssl_*: what is left out may be missed by {}", named.join(", ")))
}

/// The plugins that the setting `plugins` names.
pub fn enabled_plugins(settings: &Settings) -> Result<Vec<&'static dyn PluginKind>, String> {
    share(settings)?;
    let names = settings.list("plugins");
    if names.first().is_some_and(|name| name == "off") {
        return Ok(Vec::new());
    }
    let own = own_plugins(settings);
    let wanted = |kind: &&'static dyn PluginKind| {
        names.iter().any(|name| name == "bundled" || name == kind.name()) && !own.contains(&kind.name())
    };
    Ok(bundled().filter(wanted).chain(of_files(&own, settings)?).collect())
}

/// The plugins of the operator's own that the setting names, by files in `lua_package_path` even where there is a
/// built-in one of that name, as with Kong. Their code is read once by a process.
pub fn own_plugins(settings: &Settings) -> Vec<&str> {
    let is_own = |name: &str| match name {
        "bundled" | "off" => false,
        name => bundled().all(|kind| kind.name() != name) || has_files(name, settings),
    };
    let mut own: Vec<&str> = settings.list("plugins").iter().map(String::as_str).filter(|name| is_own(name)).collect();
    own.sort_unstable();
    own.dedup();
    own
}

/// Plugins of the operator's own: those of plugin servers, and files in Lua.
#[cfg(feature = "lua")]
fn of_files(names: &[&str], settings: &Settings) -> Result<Vec<&'static dyn PluginKind>, String> {
    let mut kinds = match names {
        [] => Vec::new(),
        _ => runtimes::external::load(&settings.plugin_servers)?,
    };
    kinds.retain(|kind| names.contains(&kind.name()));
    let names: Vec<&str> = names.iter().copied().filter(|name| kinds.iter().all(|kind| kind.name() != *name)).collect();
    let paths = runtimes::lua::Paths { package: settings.text("lua_package_path").to_owned() };
    trust(settings);
    kinds.extend(runtimes::lua::load(&names, &paths)?);
    Ok(kinds)
}

/// Whether the operator has a plugin of that name in `lua_package_path`.
#[cfg(feature = "lua")]
fn has_files(name: &str, settings: &Settings) -> bool {
    runtimes::lua::has_files(name, &runtimes::lua::Paths { package: settings.text("lua_package_path").to_owned() })
}

#[cfg(not(feature = "lua"))]
fn has_files(_name: &str, _settings: &Settings) -> bool {
    false
}

/// Makes the memory known that workers share (`nginx_http_lua_shared_dict`).
fn share(settings: &Settings) -> Result<(), String> {
    for (name, size) in settings.injected.named_sizes(nginx::LUA, "lua_shared_dict")? {
        plugins::declare_dictionary(name, size);
        #[cfg(feature = "lua")]
        runtimes::lua::declare_shared(name, size);
    }
    Ok(())
}

#[cfg(not(feature = "lua"))]
fn of_files(names: &[&str], _settings: &Settings) -> Result<Vec<&'static dyn PluginKind>, String> {
    match names.first() {
        Some(name) => Err(format!("plugins: {name} plugin is enabled but not installed")),
        None => Ok(Vec::new()),
    }
}

/// Says what Lua code in configurations may do, and what reads it.
#[cfg(feature = "lua")]
fn trust(settings: &Settings) {
    sdk::scripts::provide(|text| runtimes::lua::Code::new(text).map(drop));
    let trust = match settings.text("untrusted_lua") {
        "off" => runtimes::lua::Trust::Off,
        "on" => runtimes::lua::Trust::On,
        _ => runtimes::lua::Trust::Sandbox,
    };
    let list = |name: &str| settings.list(name).to_vec();
    runtimes::lua::permit(runtimes::lua::Permissions {
        trust,
        modules: list("untrusted_lua_sandbox_requires"),
        globals: list("untrusted_lua_sandbox_environment"),
    });
}

/// All plugins that there are.
pub fn bundled() -> impl Iterator<Item = &'static dyn PluginKind> {
    plugins::bundled().iter().chain(runtimes::bundled()).chain(crate::own_plugins()).copied()
}

/// The kinds of vaults that the setting `vaults` names.
pub fn enabled_vaults(settings: &Settings) -> Result<Vec<&'static VaultKind>, String> {
    let names = settings.list("vaults");
    let wanted = |kind: &&VaultKind| names.iter().any(|name| name == "bundled" || name == kind.name);
    let mut kinds: Vec<_> = vaults::bundled().iter().filter(wanted).collect();
    let own = own_vaults(names);
    if !own.is_empty() {
        #[cfg(feature = "lua")]
        trust(settings);
        kinds.extend(vaults_of_files(&own, settings.text("lua_package_path"))?);
    }
    Ok(kinds)
}

/// The vaults of the operator's own that are among these names.
pub fn own_vaults(names: &[String]) -> Vec<&str> {
    let built_in =
        |name: &str| name == "bundled" || name == "off" || vaults::bundled().iter().any(|kind| kind.name == name);
    let mut own: Vec<&str> = names.iter().map(String::as_str).filter(|name| !built_in(name)).collect();
    own.sort_unstable();
    own.dedup();
    own
}

/// Vaults of the operator's own, which are files in Lua.
#[cfg(feature = "lua")]
pub fn vaults_of_files(names: &[&str], lua_package_path: &str) -> Result<Vec<&'static VaultKind>, String> {
    super::lua_vaults::load(names, lua_package_path)
}

#[cfg(not(feature = "lua"))]
pub fn vaults_of_files(names: &[&str], _lua_package_path: &str) -> Result<Vec<&'static VaultKind>, String> {
    match names.first() {
        Some(name) => Err(format!("vaults: {name} vault is enabled but not installed")),
        None => Ok(Vec::new()),
    }
}

/// What references in records stand for.
pub fn secrets(settings: &Settings, catalog: &Arc<Catalog>, env: Env) -> Result<Secrets, String> {
    let surroundings = Surroundings { env, environment: Environment::of_process() };
    let (kinds, given) = (enabled_vaults(settings)?, settings.of_vaults());
    Ok(Secrets::new(vaults::Sources::new(kinds, Arc::clone(catalog), given, surroundings)))
}

/// The schemas of the node.
pub fn catalog(settings: &Settings, kinds: &[&'static dyn PluginKind]) -> Result<Catalog, String> {
    #[cfg(feature = "lua")]
    trust(settings);
    let flavor = match settings.text("router_flavor") {
        "expressions" => model::RouterFlavor::Expressions,
        _ => model::RouterFlavor::Traditional,
    };
    let mut catalog = Catalog::core_with(flavor);
    if !settings.flag("websocket_protocols") {
        catalog.refuse_websockets();
    }
    for kind in kinds {
        sdk::register(*kind, &mut catalog)?;
    }
    filters::describe(settings, &mut catalog)?;
    vaults::register(&enabled_vaults(settings)?, &mut catalog)?;
    Ok(catalog)
}

/// Logs that cannot be opened, for there is no directory for them. Some in the prefix are made by a start.
fn unopenable_logs(settings: &Settings) -> Vec<String> {
    let made: Vec<_> = prefix::FOLDERS.iter().map(|folder| settings.path(folder)).collect();
    let logs = &settings.access_logs;
    let access_logs = [
        ("proxy_access_log", &logs.proxy),
        ("admin_access_log", &logs.admin),
        ("status_access_log", &logs.status),
        ("admin_gui_access_log", &logs.manager),
    ];
    let access_logs = access_logs.map(|(setting, log)| (setting, log.as_ref().and_then(|log| log.destination())));
    let error_logs = ["proxy_error_log", "admin_error_log", "status_error_log", "admin_gui_error_log"];
    let (error_logs, mistakes): (Vec<_>, Vec<_>) =
        error_logs.into_iter().map(|name| (name, prefix::error_log(settings, name))).partition(|(_, log)| log.is_ok());
    let error_logs = error_logs.into_iter().map(|(name, log)| (name, log.ok().flatten()));
    let mistakes = mistakes.into_iter().filter_map(|(_, log)| log.err());
    let missing = |(setting, destination): (&str, Option<Destination>)| match destination? {
        Destination::File(path) => {
            let folder = path.parent()?;
            let there = folder.is_dir() || folder == settings.prefix || made.iter().any(|made| made == folder);
            (!there).then(|| format!("{setting}: there is no directory {}", folder.display()))
        }
        Destination::Stdout | Destination::Stderr | Destination::Syslog(_) => None,
    };
    access_logs.into_iter().chain(error_logs).filter_map(missing).chain(mistakes).collect()
}
