//! The virtual machine of a worker: what has been loaded, and the time that code may take.
//!
//! LuaJIT's compiler is off, for compiled code never asks whether it has to end.

use super::host::Host;
use super::value::{text, to_json};
use super::{Phase, Trust, trusted};
use mlua::{
    Error, Function, HookTriggers, Lua, LuaOptions, LuaString, MultiValue, RegistryKey, StdLib, Table, Value, VmState,
};
use sdk::{Answer, Bytes, Exchange};
use serde_json::Value as Json;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long code may take in one phase.
const LONGEST: Duration = Duration::from_secs(1);
/// How much memory all code of a worker may hold, in octets.
const MOST_MEMORY: usize = 256 << 20;
/// After so many instructions it is seen whether code has to end.
const INSTRUCTIONS: u32 = 10_000;

/// Code of one phase. Each worker loads it when it first runs there.
#[derive(Clone, Debug)]
pub struct Code(Arc<Source>);

#[derive(Debug)]
struct Source {
    number: u64,
    text: String,
}

/// What a phase has come to.
#[derive(Debug)]
pub enum Outcome {
    Done,
    /// The client is to get this.
    Answer(Answer),
}

/// Code that a worker has loaded.
struct Loaded {
    source: Weak<Source>,
    function: Function,
    /// Whether it has run, and so has shown whether it returns the function that is meant.
    settled: bool,
}

struct Vm {
    lua: Lua,
    /// What the prelude looks at: `call`, `shared`, `plugin`, `ngx_ctx`.
    slot: Table,
    sandbox: Table,
    loaded: RefCell<HashMap<u64, Loaded>>,
    deadline: Rc<Cell<Option<Instant>>>,
}

/// What code keeps from phase to phase (`kong.ctx`, `ngx.ctx`): in the machine, as long as the exchange lasts.
struct Kept {
    /// By the number that the exchange has here.
    number: u64,
}

thread_local! {
    static VM: RefCell<Option<Rc<Vm>>> = const { RefCell::new(None) };
    static CONTEXTS: RefCell<HashMap<u64, RegistryKey>> = RefCell::new(HashMap::new());
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

impl Code {
    /// Code, if Lua can read it.
    pub fn new(text: &str) -> Result<Code, String> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        if trusted() == Trust::Off {
            return Err("loading of untrusted Lua code disabled because 'untrusted_lua' config option is set to 'off'"
                .to_owned());
        }
        let lua = Lua::new_with(StdLib::NONE, LuaOptions::default()).map_err(|error| error.to_string())?;
        lua.load(text).set_name("=code").into_function().map_err(|error| words(&error))?;
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Ok(Code(Arc::new(Source { number, text: text.to_owned() })))
    }

    /// Whether it may look at the content of requests.
    pub fn reads_content(&self) -> bool {
        ["get_raw_body", "get_body", "get_body_data", "request_body"].iter().any(|name| self.0.text.contains(name))
    }
}

/// Runs the code of a phase, one after the other, until one of them answers. `instance` tells the plugin's instances
/// apart; `piece` is the content that a body filter gets, and then what it makes of it.
pub fn run(
    codes: &[Code],
    phase: Phase,
    instance: u64,
    exchange: &mut Exchange,
    piece: Option<(&mut Bytes, bool)>,
) -> Result<Outcome, String> {
    let vm = Vm::of_worker().map_err(|error| words(&error))?;
    let ran = vm.during(phase, instance, exchange, piece, || codes.iter().try_for_each(|code| vm.call(code)));
    match ran.map_err(|error| words(&error))? {
        // An answer ends the code by an error of its own.
        (Some(answer), _) => Ok(Outcome::Answer(answer)),
        (None, ran) => ran.map(|()| Outcome::Done).map_err(|error| words(&error)),
    }
}

/// What code makes of an exchange that is over.
pub fn evaluate(code: &Code, instance: u64, exchange: &mut Exchange) -> Result<Json, String> {
    let vm = Vm::of_worker().map_err(|error| words(&error))?;
    let value = || {
        let (function, _) = vm.function(code)?;
        to_json(&function.call(())?)
    };
    let (_, value) = vm.during(Phase::Log, instance, exchange, None, value).map_err(|error| words(&error))?;
    value.map_err(|error| words(&error))
}

impl Vm {
    fn of_worker() -> mlua::Result<Rc<Vm>> {
        VM.with(|vm| match &mut *vm.borrow_mut() {
            Some(vm) => Ok(vm.clone()),
            none => Ok(none.insert(Rc::new(Vm::new()?)).clone()),
        })
    }

    fn new() -> mlua::Result<Vm> {
        let trusted = trusted() == Trust::On;
        let basic = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::BIT | StdLib::JIT;
        let lua = Lua::new_with(basic | StdLib::OS | StdLib::IO | StdLib::PACKAGE, LuaOptions::default())?;
        lua.load("jit.off() jit.flush()").exec()?;
        let slot = lua.create_table()?;
        slot.raw_set("null", Value::NULL)?;
        let sandbox: Table = lua.load(include_str!("prelude.lua")).set_name("=prelude").call(&slot)?;
        let deadline: Rc<Cell<Option<Instant>>> = Rc::default();
        let until = deadline.clone();
        lua.set_hook(HookTriggers::new().every_nth_instruction(INSTRUCTIONS), move |lua, _| {
            if until.get().is_some_and(|until| Instant::now() >= until) {
                return Err(Error::runtime("the code takes too long"));
            }
            if lua.used_memory() > MOST_MEMORY {
                lua.gc_collect()?;
                if lua.used_memory() > MOST_MEMORY {
                    return Err(Error::runtime("the code takes too much memory"));
                }
            }
            Ok(VmState::Continue)
        })?;
        let sandbox = if trusted { lua.globals() } else { sandbox };
        Ok(Vm { lua, slot, sandbox, loaded: RefCell::default(), deadline })
    }

    /// Does something while code can ask for the exchange; what it is answered with, and what was done.
    fn during<T>(
        &self,
        phase: Phase,
        instance: u64,
        exchange: &mut Exchange,
        piece: Option<(&mut Bytes, bool)>,
        work: impl FnOnce() -> mlua::Result<T>,
    ) -> mlua::Result<(Option<Answer>, mlua::Result<T>)> {
        self.enter(exchange, instance)?;
        let until = Instant::now() + LONGEST;
        if let Some((content, last)) = &piece {
            let arg = self.arg()?;
            arg.raw_set(1, self.lua.create_string(&content[..])?)?;
            arg.raw_set(2, *last)?;
        }
        let host = RefCell::new(Host::new(exchange, phase, until));
        self.deadline.set(Some(until));
        let shared = &host;
        let done = self.lua.scope(|scope| {
            let call = scope.create_function(move |lua, (name, arguments): (LuaString, MultiValue)| {
                let mut host = shared.try_borrow_mut().map_err(|_| Error::runtime("the gateway is asked already"))?;
                host.call(lua, &name.to_str()?, arguments)
            })?;
            self.slot.raw_set("call", call)?;
            work()
        });
        self.deadline.set(None);
        self.slot.raw_set("call", Value::Nil)?;
        if let Some((content, _)) = piece {
            let made: Value = self.arg()?.raw_get(1)?;
            *content = text(&made).map(Bytes::from).unwrap_or_default();
        }
        Ok((host.into_inner().answer, done))
    }

    fn arg(&self) -> mlua::Result<Table> {
        self.lua.globals().get::<Table>("ngx")?.get("arg")
    }

    /// Calls code, or the function that it returned when it was called first.
    fn call(&self, code: &Code) -> mlua::Result<()> {
        let number = code.0.number;
        let (function, settled) = self.function(code)?;
        if settled {
            return function.call(());
        }
        let returned: Value = function.call(())?;
        let mut loaded = self.loaded.borrow_mut();
        if let Some(loaded) = loaded.get_mut(&number) {
            loaded.settled = true;
            if let Value::Function(meant) = &returned {
                loaded.function = meant.clone();
            }
        }
        drop(loaded);
        match returned {
            Value::Function(meant) => meant.call(()),
            _ => Ok(()),
        }
    }

    /// Code that is loaded, and whether it has shown what it returns.
    fn function(&self, code: &Code) -> mlua::Result<(Function, bool)> {
        let known = self.loaded.borrow().get(&code.0.number).map(|loaded| (loaded.function.clone(), loaded.settled));
        known.map_or_else(|| Ok((self.load(code)?, false)), Ok)
    }

    /// Loads code into an environment of its own, and forgets what nobody has any more.
    fn load(&self, code: &Code) -> mlua::Result<Function> {
        let metatable = self.lua.create_table()?;
        metatable.raw_set("__index", &self.sandbox)?;
        let environment = self.lua.create_table()?;
        environment.set_metatable(Some(metatable))?;
        environment.raw_set("_G", &environment)?;
        let function = self.lua.load(&code.0.text).set_name("=code").set_environment(environment).into_function()?;
        let mut loaded = self.loaded.borrow_mut();
        loaded.retain(|_, loaded| loaded.source.strong_count() > 0);
        let source = Arc::downgrade(&code.0);
        loaded.insert(code.0.number, Loaded { source, function: function.clone(), settled: false });
        Ok(function)
    }

    /// Puts what an exchange has kept where the prelude looks.
    fn enter(&self, exchange: &mut Exchange, instance: u64) -> mlua::Result<()> {
        let number = match exchange.state::<Kept>() {
            Some(kept) => kept.number,
            None => {
                let number = NEXT.replace(NEXT.get() + 1);
                exchange.put(Kept { number });
                number
            }
        };
        let known = CONTEXTS.with_borrow(|contexts| {
            contexts.get(&number).map(|key| self.lua.registry_value::<Table>(key)).transpose()
        })?;
        let context = match known {
            Some(context) => context,
            None => {
                // What ended exchanges had is freed here, where the machine is at hand.
                self.lua.expire_registry_values();
                let context = self.lua.create_table()?;
                for name in ["shared", "ngx_ctx", "plugins"] {
                    context.raw_set(name, self.lua.create_table()?)?;
                }
                let key = self.lua.create_registry_value(&context)?;
                CONTEXTS.with_borrow_mut(|contexts| contexts.insert(number, key));
                context
            }
        };
        let plugins: Table = context.raw_get("plugins")?;
        let own = match plugins.raw_get::<Value>(instance)? {
            Value::Table(own) => own,
            _ => {
                let own = self.lua.create_table()?;
                plugins.raw_set(instance, &own)?;
                own
            }
        };
        self.slot.raw_set("plugin", own)?;
        for name in ["shared", "ngx_ctx"] {
            self.slot.raw_set(name, context.raw_get::<Table>(name)?)?;
        }
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // On another thread, or at the end of this one, there is nothing of it.
        let _ = CONTEXTS.try_with(|contexts| contexts.borrow_mut().remove(&self.number));
    }
}

/// An error for the log: without the trace of calls, most of which are ours.
fn words(error: &Error) -> String {
    let text = match error {
        Error::CallbackError { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    text.split("\nstack traceback:").next().unwrap_or_default().to_owned()
}
