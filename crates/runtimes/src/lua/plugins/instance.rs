//! A configured plugin in Lua, as workers run it.

use super::{Definition, loading, sets};
use crate::lua::operations::Operation;
use crate::lua::turn::{self, Job, Outcome, Piece, Waiting};
use crate::lua::value::record;
use crate::lua::vm::{Vm, words};
use crate::lua::{Phase, handshakes, host::Ending};
use mlua::{Error, Function, Table, Value};
use sdk::entities::{self, Protocols, Uuid};
use sdk::{
    Bytes, CloseReason, Exchange, Handshake, LocalBoxFuture, Phases, Plugin, Record, Step, Verdict, WebSocketMessage,
};
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::iter;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A record of `plugins` for a plugin in Lua.
pub struct Configured {
    definition: &'static Definition,
    pub id: Uuid,
    pub number: u64,
    /// What its handler is given.
    config: Json,
    /// Whether its plugin has been told already that it is gone.
    is_forgotten: AtomicBool,
}

/// Numbers of instances; those of code in configurations are below.
static NUMBERS: AtomicU64 = AtomicU64::new(1 << 32);

/// The number that the next instance will have.
pub fn numbers_so_far() -> u64 {
    NUMBERS.load(Ordering::Relaxed)
}

/// The same as one of the gateway's plugins.
pub struct Instance(Arc<Configured>);

/// What a plugin's code is, and what it is for streams if it has asked which of the two it is for.
type Handlers = (Table, Option<Table>);

thread_local! {
    static HANDLERS: RefCell<HashMap<&'static str, Handlers>> = RefCell::new(HashMap::new());
}

/// Runs what a plugin does before the first request of this worker, and then follows its configuration.
pub fn start_worker(definition: &'static Definition) {
    if definition.loaded.acts_in(Phase::InitWorker) {
        report(definition, "init_worker", outside(definition, "init_worker", || Ok(Value::Nil)));
    }
    if definition.loaded.has_configure {
        let mut changes = definition.changes.subscribe();
        tokio::task::spawn_local(async move {
            loop {
                changes.mark_unchanged();
                report(definition, "configure", outside(definition, "configure", || configs(definition)));
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The configurations that there are, as a list; nil for none.
fn configs(definition: &'static Definition) -> mlua::Result<Value> {
    let vm = Vm::of_thread()?;
    let all: Vec<Value> = definition
        .instances()
        .iter()
        .map(|configured| configured.known(&vm)?.raw_get("config"))
        .collect::<mlua::Result<_>>()?;
    if all.is_empty() { Ok(Value::Nil) } else { vm.lua.create_sequence_from(all).map(Value::Table) }
}

/// Calls a function of a handler that is about no exchange. What it waits for goes on beside requests.
fn outside(
    definition: &'static Definition,
    name: &'static str,
    argument: impl Fn() -> mlua::Result<Value>,
) -> mlua::Result<()> {
    let vm = Vm::of_thread()?;
    let (of_http, of_streams) = handler(&vm, definition)?;
    for handler in iter::once(of_http).chain(of_streams) {
        let Some(function) = handler.get::<Option<Function>>(name)? else { continue };
        let vm = Rc::clone(&vm);
        let job = Job::apart(&vm, Phase::InitWorker, Some(definition.name))?;
        let begin = || vm.begin.call((&function, &handler, argument()?));
        let (_, waits) = vm.turn(&job, None, None, begin)?;
        let waits = waits?;
        if !waits.is_empty() {
            tokio::task::spawn_local(async move {
                report(definition, name, vm.follow(&job, waits).await.map(drop));
            });
        }
    }
    Ok(())
}

fn report(definition: &Definition, phase: &str, done: mlua::Result<()>) {
    let (name, Err(error)) = (definition.name, done) else { return };
    match phase {
        "init_worker" => tracing::error!(
            "worker initialization error: failed to execute the \"init_worker\" handler for plugin \"{name}\": {}; \
             this node must be restarted",
            words(&error)
        ),
        _ => tracing::error!(plugin = name, phase, "{}", words(&error)),
    }
}

fn handler(vm: &Vm, definition: &'static Definition) -> mlua::Result<Handlers> {
    if let Some(known) = HANDLERS.with_borrow(|handlers| handlers.get(definition.name).cloned()) {
        return Ok(known);
    }
    let loaded = loading::handler(vm, definition.name)?;
    HANDLERS.with_borrow_mut(|handlers| handlers.insert(definition.name, loaded.clone()));
    Ok(loaded)
}

/// What plugins are given of their records: the configuration, and what Kong adds.
pub(crate) fn given_config(plugin: &entities::Plugin) -> Record {
    let mut config = plugin.config.clone();
    let id = |id: Option<Uuid>| id.map_or(Json::Null, |id| Json::String(id.to_string()));
    for (name, value) in [
        ("__plugin_id", json!(plugin.id.to_string())),
        ("__key__", json!(format!("plugins:{}:{}::::{}", plugin.name, plugin.id, plugin.workspace))),
        ("plugin_instance_name", json!(plugin.instance_name)),
        ("__ws_id", json!(plugin.workspace.to_string())),
        ("route_id", id(plugin.route)),
        ("service_id", id(plugin.service)),
        ("consumer_id", id(plugin.consumer)),
    ] {
        config.insert(name.to_owned(), value);
    }
    config
}

impl Configured {
    pub fn new(definition: &'static Definition, plugin: &entities::Plugin) -> Configured {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (config, is_forgotten) = (Json::Object(given_config(plugin)), AtomicBool::new(false));
        Configured { definition, id: plugin.id, number, config, is_forgotten }
    }

    /// It is gone, though exchanges may still have it.
    pub fn forget(&self) {
        self.is_forgotten.store(true, Ordering::Relaxed);
    }

    /// What it is to the machine of this thread, made once: the configuration is always the same table.
    fn known(self: &Arc<Configured>, vm: &Vm) -> mlua::Result<Table> {
        self.meet(vm)?;
        vm.instances.find(self.number)?.ok_or_else(|| Error::runtime("the instance is gone"))
    }

    /// Where the machine of this thread has it, which makes its acquaintance if it has not met it.
    fn meet(self: &Arc<Configured>, vm: &Vm) -> mlua::Result<u32> {
        if let Some(place) = vm.instances.place(self.number) {
            return Ok(place);
        }
        let known = vm.lua.create_table()?;
        known.raw_set("number", self.number)?;
        known.raw_set("id", self.id.to_string())?;
        known.raw_set("name", self.definition.name)?;
        let config = record(&vm.lua, &self.config)?;
        if let Some(config) = config.as_table() {
            sets::mark(vm, config, self.definition.loaded.schema)?;
        }
        known.raw_set("config", config)?;
        let (handler, of_streams) = handler(vm, self.definition)?;
        known.raw_set("handler", handler)?;
        known.raw_set("of_streams", of_streams)?;
        vm.instances.add(self.number, Arc::downgrade(self), known)
    }

    fn report(&self, phase: Phase, exchange: &Exchange, error: &str) {
        let (plugin, phase, client, request_id) =
            (self.definition.name, phase.name(), exchange.client.ip, exchange.id_str());
        tracing::error!(plugin, id = %self.id, phase, %client, request_id, "{error}");
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        if !*self.is_forgotten.get_mut() {
            self.definition.changed();
        }
    }
}

impl Instance {
    pub fn new(configured: Arc<Configured>) -> Instance {
        Instance(configured)
    }

    /// The first turn of a phase.
    fn begin<'e>(
        &self,
        vm: &Vm,
        phase: Phase,
        exchange: &'e mut Exchange,
        piece: Piece<'e>,
    ) -> (Option<Ending>, mlua::Result<Vec<Operation>>) {
        vm.phase(phase, self.0.number, exchange, piece, || self.0.meet(vm))
    }

    /// What goes on after it.
    fn job(&self, phase: Phase) -> Job {
        let plugin_id = Some(self.0.id.to_string());
        let (instance, plugin) = (self.0.number, Some(self.0.definition.name));
        Job {
            phase,
            instance,
            plugin_id,
            plugin,
            context: None,
            host: None,
            is_plugin: true,
            may_wait: true,
            owner: None,
        }
    }

    /// A phase in which the worker may have something else to do meanwhile.
    fn step<'a>(&'a self, phase: Phase, exchange: &'a mut Exchange) -> Step<'a> {
        let vm = match Vm::of_thread() {
            Ok(vm) => vm,
            Err(error) => return self.end(phase, exchange, Err(words(&error))),
        };
        match self.begin(&vm, phase, exchange, None) {
            (None, Ok(waits)) if !waits.is_empty() => Step::Wait(Box::pin(async move {
                let configured = Arc::clone(&self.0);
                let report = move |exchange: &Exchange, error: &str| configured.report(phase, exchange, error);
                let waiting = Waiting::of_plugin(vm, self.job(phase), waits);
                let outcome = waiting.follow(exchange, report).await;
                self.end(phase, exchange, outcome)
            })),
            (ending, waits) => {
                let outcome = turn::outcome(exchange, ending, waits);
                self.end(phase, exchange, outcome)
            }
        }
    }

    fn end(&self, phase: Phase, exchange: &Exchange, outcome: Result<Outcome, String>) -> Step<'static> {
        match outcome {
            Ok(Outcome::Done) => Step::Next,
            Ok(Outcome::Answer(answer)) => Step::Answer(*answer),
            Err(error) => {
                self.0.report(phase, exchange, &error);
                Step::Answer(turn::failed(exchange))
            }
        }
    }

    fn acts_in(&self, phase: Phase) -> bool {
        self.0.definition.loaded.acts_in(phase)
    }

    /// Whether it is a phase of this one's, and the route one for WebSockets.
    fn acts_on_websocket(&self, phase: Phase, exchange: &Exchange) -> bool {
        let is_websocket = |exchange: &Exchange| {
            exchange.route.as_ref().is_some_and(|r| r.protocols.intersects(Protocols::WEBSOCKETS))
        };
        self.acts_in(phase) && is_websocket(exchange)
    }

    /// A message of a WebSocket. An error ends it: what the code is for cannot be done.
    fn frame(&self, phase: Phase, exchange: &mut Exchange, message: &mut WebSocketMessage) {
        if !self.acts_on_websocket(phase, exchange) {
            return;
        }
        let mut run = || {
            let vm = Vm::of_thread()?;
            let lent = vm.host.borrow_mut().message.replace(message.clone());
            let (ending, waits) = self.begin(&vm, phase, exchange, None);
            let left = std::mem::replace(&mut vm.host.borrow_mut().message, lent);
            *message = left.unwrap_or_else(|| message.clone());
            if ending.is_some() { Ok(()) } else { waits.map(drop) }
        };
        if let Err(error) = run() {
            self.0.report(phase, exchange, &words(&error));
            let reason = CloseReason::new(CloseReason::INTERNAL_ERROR, "");
            message.verdict = Verdict::Close(reason.clone(), reason);
        }
    }

    /// A phase in which code cannot wait. An error keeps what was to be filtered from the client.
    fn filter(&self, phase: Phase, exchange: &mut Exchange, piece: Piece<'_>) {
        let run = |exchange: &mut Exchange| {
            let vm = Vm::of_thread()?;
            let (ending, waits) = self.begin(&vm, phase, exchange, piece);
            match ending {
                Some(Ending::Quiet | Ending::Answer(_)) => Ok(()),
                None => waits.map(drop),
            }
        };
        if let Err(error) = run(exchange) {
            self.0.report(phase, exchange, &words(&error));
            exchange.fail_filter();
        }
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        self.0.definition.loaded.phases
    }

    fn handshake<'a>(&'a self, handshake: &'a mut Handshake) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let begin = |vm: &Vm| {
                let known = self.0.known(vm)?;
                let handler: Table = known.raw_get("handler")?;
                vm.begin.call((handler.get::<Function>("certificate")?, handler, known.raw_get::<Table>("config")?))
            };
            let run = handshakes::run(handshake, self.0.number, self.0.id.to_string(), begin);
            run.await.map_err(|error| words(&error))
        })
    }

    fn rewrite<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.step(Phase::Rewrite, exchange)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let phase = match exchange.stream.is_some() {
            true => Phase::Preread,
            false if self.acts_on_websocket(Phase::WsHandshake, exchange) => Phase::WsHandshake,
            false => Phase::Access,
        };
        if self.acts_in(phase) { self.step(phase, exchange) } else { Step::Next }
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.step(Phase::Response, exchange)
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        self.filter(Phase::HeaderFilter, exchange, None);
        turn::settle_replaced(exchange, self.0.number, self.phases());
    }

    fn body_filter(&self, exchange: &mut Exchange, piece: Bytes, last: bool) -> Bytes {
        turn::in_pieces(exchange, self.0.number, piece, last, |exchange, piece, last| {
            if self.acts_in(Phase::BodyFilter) {
                self.filter(Phase::BodyFilter, exchange, Some((piece, last)));
            }
        })
    }

    fn ws_client_frame(&self, exchange: &mut Exchange, message: &mut WebSocketMessage) {
        self.frame(Phase::WsClientFrame, exchange, message);
    }

    fn ws_upstream_frame(&self, exchange: &mut Exchange, message: &mut WebSocketMessage) {
        self.frame(Phase::WsUpstreamFrame, exchange, message);
    }

    fn log(&self, exchange: &mut Exchange) {
        let phase = match self.acts_on_websocket(Phase::WsClose, exchange) {
            true => Phase::WsClose,
            false => Phase::Log,
        };
        if self.acts_in(phase) {
            self.filter(phase, exchange, None);
        }
    }
}
