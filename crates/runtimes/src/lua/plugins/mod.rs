//! Plugins of the operator, in Lua: `kong/plugins/<name>/handler.lua` and `schema.lua` in `lua_package_path`.

mod admin;
mod daos;
mod functions;
mod instance;
mod instances;
mod loading;
mod migrations;
mod schema;
mod sets;
#[cfg(test)]
mod tests;

pub use admin::call_dao;
pub(super) use daos::of as dao_of;
pub(super) use functions::load_vault;
pub(crate) use instance::given_config;
pub(super) use instances::Instances;

use super::{modules, timers};
use instance::{Configured, Instance};
use loading::Loaded;
use sdk::entities::Uuid;
use sdk::{
    AdminAnswer, AdminEndpoint, AdminRequest, BoxFuture, Env, Function, LocalBoxFuture, Plugin, PluginKind,
    PluginMigrations, entities,
};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::watch;

/// Where modules are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `lua_package_path`: templates with `?`, separated by semicolons.
    pub package: String,
}

/// Where LuaRocks and systems put modules.
const USUAL: &str = "/usr/local/share/lua/5.1/?.lua;/usr/local/share/lua/5.1/?/init.lua;\
    /usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua";

/// A plugin as the gateway knows it before it is configured. It lasts as long as the process.
pub struct Definition {
    name: &'static str,
    loaded: Loaded,
    /// Those of its instances that there are, so that workers learn of changes.
    configured: Mutex<Vec<Weak<Configured>>>,
    changes: watch::Sender<u64>,
}

/// The same as one of the node's kinds of plugins.
struct LuaPlugin(&'static Definition);

/// Plugins that have been loaded, by name: a reload checks settings again.
static LOADED: Mutex<Option<HashMap<String, &'static dyn PluginKind>>> = Mutex::new(None);

/// The same, as they are here.
static DEFINITIONS: Mutex<Vec<&'static Definition>> = Mutex::new(Vec::new());

/// Records of plugins are gone: `configure` is told without them, though exchanges may still have them.
pub fn removed(ids: &[Uuid]) {
    remove(|configured| ids.contains(&configured.id));
}

/// What `replaced` is to be told when a whole configuration has taken the place of another.
pub fn instances_so_far() -> u64 {
    instance::numbers_so_far()
}

/// All records have been configured anew since so many instances: what was there before is gone.
pub fn replaced(before: u64) {
    remove(|configured| configured.number < before);
}

fn remove(is_gone: impl Fn(&Configured) -> bool) {
    let definitions = DEFINITIONS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    definitions.iter().for_each(|definition| definition.remove(&is_gone));
}

/// Loads the plugins of these names. The error says which one cannot be, and why. Code that comes in records finds
/// modules in these paths, too.
pub fn load(names: &[&str], paths: &Paths) -> Result<Vec<&'static dyn PluginKind>, String> {
    paths.search();
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = loaded.get_or_insert_default();
    let mut kinds: Vec<&'static dyn PluginKind> = Vec::new();
    for name in names {
        let kind: &'static dyn PluginKind = match loaded.get(*name) {
            Some(known) => *known,
            None => {
                let of_files = loading::load(name)
                    .map_err(|error| format!("error loading plugin schemas: on plugin '{name}': {error}"))?;
                let definition = Definition::leaked(name, of_files);
                DEFINITIONS.lock().unwrap_or_else(PoisonError::into_inner).push(definition);
                let kind: &'static LuaPlugin = Box::leak(Box::new(LuaPlugin(definition)));
                loaded.insert((*name).to_owned(), kind);
                kind
            }
        };
        kinds.push(kind);
    }
    Ok(kinds)
}

/// Whether the operator's own path, without the usual places, leads to a plugin of that name.
pub fn has_files(name: &str, paths: &Paths) -> bool {
    let module = format!("kong/plugins/{name}/handler");
    let templates = paths.package.split(';').map(str::trim).filter(|template| template.contains('?'));
    templates.map(|template| template.replace('?', &module)).any(|file| Path::new(&file).is_file())
}

impl Paths {
    /// Says where modules are, before any is looked for.
    pub(super) fn search(&self) {
        modules::search(&search_path(&self.package));
    }
}

/// The operator's path, then the usual places; `;;` stands for these, too.
fn search_path(given: &str) -> String {
    let own: Vec<&str> = given.split(';').map(str::trim).filter(|template| !template.is_empty()).collect();
    let usual = USUAL.split(';').map(str::trim);
    own.into_iter().chain(usual).collect::<Vec<_>>().join(";")
}

impl Definition {
    fn leaked(name: &str, loaded: Loaded) -> &'static Definition {
        let name = Box::leak(name.to_owned().into_boxed_str());
        Box::leak(Box::new(Definition { name, loaded, configured: Mutex::default(), changes: watch::Sender::new(0) }))
    }

    /// The instances that there are: of each record the newest.
    fn instances(&self) -> Vec<Arc<Configured>> {
        let mut configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        configured.retain(|instance| instance.strong_count() > 0);
        let mut all: Vec<Arc<Configured>> = configured.iter().filter_map(Weak::upgrade).collect();
        all.sort_by_key(|instance| std::cmp::Reverse(instance.number));
        let mut seen = Vec::new();
        all.retain(|instance| {
            !seen.contains(&instance.id) && {
                seen.push(instance.id);
                true
            }
        });
        all.reverse();
        all
    }

    fn remove(&self, is_gone: impl Fn(&Configured) -> bool) {
        let mut configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        let before = configured.len();
        configured.retain(|instance| {
            let kept = instance.upgrade();
            let is_gone = kept.as_ref().is_some_and(|instance| is_gone(instance));
            if let Some(instance) = kept.filter(|_| is_gone) {
                instance.forget();
            }
            !is_gone
        });
        if configured.len() < before {
            self.changed();
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl PluginKind for LuaPlugin {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn priority(&self) -> i32 {
        self.0.loaded.priority
    }

    fn version(&self) -> &'static str {
        self.0.loaded.version
    }

    fn schema(&self) -> &'static str {
        self.0.loaded.schema
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        self.0.loaded.functions
    }

    fn entities(&self) -> &'static [&'static str] {
        self.0.loaded.entities
    }

    fn migrations(&self) -> Option<PluginMigrations> {
        let Loaded { migrations, entity_names, .. } = &self.0.loaded;
        migrations.map(|list| PluginMigrations { plugin: self.0.name, entities: entity_names, list })
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let configured = Arc::new(Configured::new(self.0, plugin));
        let mut all = self.0.configured.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::downgrade(&configured));
        drop(all);
        self.0.changed();
        Ok(Box::new(Instance::new(configured)))
    }

    fn endpoints(&self) -> &'static [AdminEndpoint] {
        self.0.loaded.endpoints
    }

    fn admin(&self, request: AdminRequest, _env: &Env) -> BoxFuture<'static, AdminAnswer> {
        Box::pin(admin::answer(self.0, request))
    }

    fn start_worker(&self, index: usize) {
        timers::become_worker(index);
        instance::start_worker(self.0);
    }

    fn end_worker(&self) -> LocalBoxFuture<'static, ()> {
        Box::pin(timers::end_worker())
    }
}
