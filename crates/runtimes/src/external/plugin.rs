//! Plugins of servers as the gateway knows them before they are configured.

use super::PluginServer;
use super::connection::Server;
use super::instance::{self, Configured, Instance};
use super::query::{Described, query};
use sdk::{Env, LocalBoxFuture, MemoryBudget, Plugin, PluginKind, entities};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// A plugin of a server. It lasts as long as the process.
struct Definition {
    server: &'static Server,
    described: Described,
    changes: watch::Sender<u64>,
    /// What events about exchanges that are over may hold.
    logging: MemoryBudget,
}

/// The same as one of the node's kinds of plugins.
struct ServedPlugin(&'static Definition);

/// How many octets these are, for each plugin.
const LOGGING: usize = 32 << 20;

/// What has been asked of query commands: settings are checked more than once.
static LOADED: Mutex<Vec<(String, Vec<&'static ServedPlugin>)>> = Mutex::new(Vec::new());

/// The plugins of these servers. The error says whose cannot be had, and why.
pub fn load(servers: &[PluginServer]) -> Result<Vec<&'static dyn PluginKind>, String> {
    let mut kinds: Vec<&'static dyn PluginKind> = Vec::new();
    for server in servers {
        for definition in definitions(server)? {
            let name = &definition.0.described.name;
            if kinds.iter().any(|kind| kind.name() == name) {
                return Err(format!("plugin server {}: there are two plugins {name}", server.name));
            }
            kinds.push(definition);
        }
    }
    Ok(kinds)
}

fn definitions(server: &PluginServer) -> Result<Vec<&'static ServedPlugin>, String> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = loaded.iter().find(|(command, _)| *command == server.query_command) {
        return Ok(known.clone());
    }
    let described = query(server)?;
    let server = Server::of(server);
    let leaked = described.into_iter().map(|described| {
        let (changes, logging) = (watch::Sender::new(0), MemoryBudget::new(LOGGING));
        let definition: &'static Definition = Box::leak(Box::new(Definition { server, described, changes, logging }));
        let kind: &'static ServedPlugin = Box::leak(Box::new(ServedPlugin(definition)));
        kind
    });
    let leaked: Vec<_> = leaked.collect();
    loaded.push((server.settings.query_command.clone(), leaked.clone()));
    Ok(leaked)
}

impl PluginKind for ServedPlugin {
    fn name(&self) -> &'static str {
        &self.0.described.name
    }

    fn priority(&self) -> i32 {
        self.0.described.priority
    }

    fn version(&self) -> &'static str {
        &self.0.described.version
    }

    fn schema(&self) -> &'static str {
        &self.0.described.schema
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let Described { phases, protocol, .. } = &self.0.described;
        let shared = (self.0.changes.clone(), self.0.logging.clone());
        let configured = Configured::new(self.name(), self.0.server, *protocol, phases.clone(), plugin, shared);
        Ok(Box::new(Instance::new(Arc::new(configured))))
    }

    fn start_worker(&self, _index: usize) {
        let mut changes = self.0.changes.subscribe();
        tokio::task::spawn_local(async move {
            while changes.changed().await.is_ok() {
                instance::close_unused().await;
            }
        });
    }

    fn end_worker(&self) -> LocalBoxFuture<'static, ()> {
        Box::pin(instance::finish())
    }
}
