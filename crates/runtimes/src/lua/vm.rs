//! The virtual machine of a worker: what has been loaded, and the memory and time that code may take.
//!
//! LuaJIT's compiler is off, for compiled code never asks whether it has to end.

use super::host::{Host, asks};
use super::plugins::Instances;
use super::{Phase, Trust, modules, natives, permissions, sockets, turn};
use mlua::VmState;
use mlua::{
    AnyUserData, Error, Function, HookTriggers, Lua, LuaOptions, MultiValue, RegistryKey, StdLib, Table, Value,
};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How much memory all code of a worker may hold, in octets.
pub const MOST_MEMORY: usize = 256 << 20;
const NEARLY_ALL: usize = MOST_MEMORY / 8 * 7;
/// Why code is ended.
const TOO_LONG: &str = "the code takes too long";
/// After so many instructions it is seen whether code has to end.
const INSTRUCTIONS: u32 = 10_000;
/// The run time's own code, in the order in which it is run; the last one gives what sandboxed code sees.
const OWN: [(&str, &str); 18] = [
    ("=bounded", include_str!("code/bounded.lua")),
    ("=patterns", include_str!("code/patterns.lua")),
    ("=scheduler", include_str!("code/scheduler.lua")),
    ("=pdk/phases", include_str!("code/pdk/phases.lua")),
    ("=pdk/log", include_str!("code/pdk/log.lua")),
    ("=pdk/client", include_str!("code/pdk/client.lua")),
    ("=pdk/request", include_str!("code/pdk/request.lua")),
    ("=pdk/response", include_str!("code/pdk/response.lua")),
    ("=pdk/service", include_str!("code/pdk/service.lua")),
    ("=pdk/websocket", include_str!("code/pdk/websocket.lua")),
    ("=pdk/tracing", include_str!("code/pdk/tracing.lua")),
    ("=pdk/telemetry", include_str!("code/pdk/telemetry.lua")),
    ("=pdk/kong", include_str!("code/pdk/kong.lua")),
    ("=pdk/kept", include_str!("code/pdk/kept.lua")),
    ("=pdk/timings", include_str!("code/pdk/timings.lua")),
    ("=ngx", include_str!("code/ngx.lua")),
    ("=sockets", include_str!("code/sockets.lua")),
    ("=sandbox", include_str!("code/sandbox.lua")),
];

/// The same, of what needs modules.
const LATER: [(&str, &str); 10] = [
    ("=db_checks", include_str!("code/db_checks.lua")),
    ("=db_entities", include_str!("code/db_entities.lua")),
    ("=db", include_str!("code/db.lua")),
    ("=db_connector", include_str!("code/db_connector.lua")),
    ("=dns", include_str!("code/dns.lua")),
    ("=cache", include_str!("code/cache.lua")),
    ("=events", include_str!("code/events.lua")),
    ("=admin_host", include_str!("code/admin_host.lua")),
    ("=admin", include_str!("code/admin.lua")),
    ("=vault", include_str!("code/vault.lua")),
];

/// Code of one phase. Each worker loads it when it first runs there.
#[derive(Clone, Debug)]
pub struct Code(Arc<Source>);

#[derive(Debug)]
struct Source {
    number: u64,
    text: String,
    /// The plugin in whose configuration it is.
    plugin: Option<&'static str>,
}

/// Code that a worker has loaded.
struct Loaded {
    source: Weak<Source>,
    function: Function,
    /// Whether it has run, and so has shown whether it returns the function that is meant.
    settled: bool,
    /// The same for code that may wait, which finds that out itself.
    waits: Option<Function>,
}

/// A virtual machine; one per thread.
pub struct Vm {
    pub lua: Lua,
    /// What the run time's own code looks at: `asks`, `shared`, `plugin`, `ngx_ctx`, `phase` and so on.
    pub slot: Table,
    /// Starts a function in a coroutine; goes on with one that has waited.
    pub begin: Function,
    pub go_on: Function,
    /// The same with an error for what it has waited for.
    pub fail: Function,
    /// Says what phase it is, and of which plugin.
    pub enter: Function,
    /// What runs a phase of an instance, by the phase's place among them.
    pub runners: Vec<Function>,
    /// The instances of plugins that have run here.
    pub instances: Instances,
    pub host: Rc<RefCell<Host>>,
    /// What code may know of each phase, by its place among them.
    pub phases: Vec<Table>,
    /// Whether light threads have begun that are not waited for yet.
    pub started: Rc<Cell<bool>>,
    pub arg: Table,
    time: Rc<Time>,
    sandbox: Table,
    loaded: RefCell<HashMap<u64, Loaded>>,
}

/// How long code may take. The clock is read only when it has run for a while, and what the thread has worked later.
#[derive(Default)]
struct Time {
    allowed: Cell<Option<Duration>>,
    began: Cell<Option<Instant>>,
    /// What the thread had worked when a tenth of it was over, if that is known.
    worked: Cell<Option<Option<Duration>>>,
}

/// How many times as long as it may work code may take where others have the processor, too.
const WORST_SHARE: u32 = 3;

thread_local! {
    static VM: RefCell<Option<Rc<Vm>>> = const { RefCell::new(None) };
    pub(super) static CONTEXTS: RefCell<HashMap<u64, RegistryKey>> = RefCell::new(HashMap::new());
}

impl Code {
    /// Code, if Lua can read it.
    pub fn new(text: &str) -> Result<Code, String> {
        Code::of(None, text)
    }

    /// The same in the configuration of that plugin.
    pub fn of(plugin: Option<&'static str>, text: &str) -> Result<Code, String> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        if permissions().trust == Trust::Off {
            return Err("loading of untrusted Lua code disabled because 'untrusted_lua' config option is set to 'off'"
                .to_owned());
        }
        let lua = Lua::new_with(StdLib::NONE, LuaOptions::default()).map_err(|error| error.to_string())?;
        lua.load(text)
            .set_name("=code")
            .into_function()
            .map_err(|error| words(&error).replacen("syntax error: code:", &format!("{}:", chunk(text)), 1))?;
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Ok(Code(Arc::new(Source { number, text: text.to_owned(), plugin })))
    }

    /// The plugin whose it is.
    pub fn plugin(&self) -> Option<&'static str> {
        self.0.plugin
    }

    /// Whether it may look at the content of requests.
    pub fn reads_content(&self) -> bool {
        super::reads_content(&self.0.text)
    }

    /// Whether it may put something in the place of a response's content.
    pub fn replaces_content(&self) -> bool {
        super::replaces_content(&self.0.text)
    }
}

impl Vm {
    /// That of this thread.
    pub fn of_thread() -> mlua::Result<Rc<Vm>> {
        VM.with(|vm| match &mut *vm.borrow_mut() {
            Some(vm) => Ok(vm.clone()),
            none => Ok(none.insert(Rc::new(Vm::new()?)).clone()),
        })
    }

    /// A new machine.
    pub fn new() -> mlua::Result<Vm> {
        let permissions = permissions();
        let trusted = permissions.trust == Trust::On;
        let basic = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::BIT | StdLib::JIT;
        let lua = Lua::new_with(basic | StdLib::OS | StdLib::IO | StdLib::PACKAGE, LuaOptions::default())?;
        lua.load("jit.off() jit.flush()").exec()?;
        // Without a limit of the allocator's own, one call of a function in C could take all memory.
        lua.set_memory_limit(MOST_MEMORY)?;
        let slot = lua.create_table()?;
        slot.raw_set("null", Value::NULL)?;
        slot.raw_set("sandbox_modules", permissions.modules.as_slice())?;
        slot.raw_set("sandbox_globals", permissions.globals.as_slice())?;
        let (host, started) = (Rc::new(RefCell::new(Host::empty())), Rc::<Cell<bool>>::default());
        let native = natives::table(&lua)?;
        let asked = host.clone();
        native.raw_set("ask", lua.create_function(move |lua, name: String| asks::function(lua, &asked, name))?)?;
        natives::log::add(&lua, &native, &host)?;
        let time: Rc<Time> = Rc::default();
        let (clock, over) = (time.clone(), slot.clone());
        natives::patterns::add(&lua, &native, move || clock.is_over() && over.raw_set("over", true).is_ok())?;
        let (clock, over) = (time.clone(), slot.clone());
        let check_time = move |_: &Lua, ()| match clock.is_over() {
            true => over.raw_set("over", true).and(Err(Error::runtime(TOO_LONG))),
            false => Ok(()),
        };
        native.raw_set("check_time", lua.create_function(check_time)?)?;
        slot.raw_set("native", &native)?;
        slot.raw_set("started", lua.create_table()?)?;
        let mut sandbox = Value::Nil;
        for (name, text) in OWN {
            sandbox = lua.load(text).set_name(name).call(&slot)?;
        }
        slot.raw_set("ffi", hidden_ffi(&lua)?)?;
        modules::install(&lua, &slot)?;
        for (name, text) in LATER {
            lua.load(text).set_name(name).call::<()>(&slot)?;
        }
        let (clock, over) = (time.clone(), slot.clone());
        lua.set_global_hook(HookTriggers::new().every_nth_instruction(INSTRUCTIONS), move |lua, _| {
            let ended = clock.is_over();
            if ended || is_full(lua)? {
                over.raw_set("over", true)?;
                let why = if ended { TOO_LONG } else { "the code takes too much memory" };
                return Err(Error::runtime(why));
            }
            Ok(VmState::Continue)
        })?;
        let sandbox = match sandbox {
            Value::Table(sandbox) if !trusted => sandbox,
            _ => lua.globals(),
        };
        slot.raw_set("sandboxed", &sandbox)?;
        let (begin, go_on, fail) = (slot.raw_get("begin")?, slot.raw_get("go_on")?, slot.raw_get("fail")?);
        let (enter, new_context): (Function, Function) = (slot.raw_get("enter")?, slot.raw_get("new_context")?);
        let instances = Instances::new(slot.raw_get("instances")?);
        let lent = host.clone();
        native.raw_set("context", lua.create_function(move |lua, ()| lent_context(lua, &lent, &new_context))?)?;
        let asking = host.clone();
        let own = move |_: &Lua, socket: AnyUserData| sockets::own(&asking, &socket);
        native.raw_set("own_socket", lua.create_function(own)?)?;
        let flag = started.clone();
        let note = move |_: &Lua, ()| {
            flag.set(true);
            Ok(())
        };
        native.raw_set("started", lua.create_function(note)?)?;
        let phases = Phase::ALL.iter().map(|phase| phase.described(&lua)).collect::<mlua::Result<Vec<Table>>>()?;
        let runner: Function = slot.raw_get("runner")?;
        let runners = phases.iter().map(|phase| runner.call(phase)).collect::<mlua::Result<_>>()?;
        let arg = lua.globals().get::<Table>("ngx")?.get("arg")?;
        Ok(Vm {
            lua,
            slot,
            begin,
            go_on,
            fail,
            enter,
            runners,
            instances,
            host,
            phases,
            started,
            arg,
            time,
            sandbox,
            loaded: RefCell::default(),
        })
    }

    /// Gives code so much time from now on.
    pub fn limit(&self, time: Option<Duration>) {
        self.time.allowed.set(time);
        self.time.began.set(None);
        self.time.worked.set(None);
    }

    /// Has the time that code may take begin anew, whenever that is called.
    pub fn clock(&self) -> impl Fn() + use<> {
        let time = self.time.clone();
        move || {
            time.began.set(None);
            time.worked.set(None);
        }
    }

    /// Calls code, or the function that it returned when it was called first.
    pub fn call(&self, code: &Code) -> mlua::Result<()> {
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

    /// Starts code that may wait in a coroutine.
    pub fn begin_code(&self, code: &Code) -> mlua::Result<MultiValue> {
        let known = self.loaded.borrow().get(&code.0.number).and_then(|loaded| loaded.waits.clone());
        if let Some(known) = known {
            return self.begin.call(known);
        }
        let (function, _) = self.function(code)?;
        let made: Function = self.slot.raw_get::<Function>("once")?.call(function)?;
        if let Some(loaded) = self.loaded.borrow_mut().get_mut(&code.0.number) {
            loaded.waits = Some(made.clone());
        }
        self.begin.call(made)
    }

    /// The function that code returns, made once.
    pub fn returned(&self, code: &Code) -> mlua::Result<Function> {
        let (function, settled) = self.function(code)?;
        if settled {
            return Ok(function);
        }
        let Value::Function(meant) = function.call(())? else {
            return Err(Error::runtime("the code returns no function"));
        };
        if let Some(loaded) = self.loaded.borrow_mut().get_mut(&code.0.number) {
            (loaded.settled, loaded.function) = (true, meant.clone());
        }
        Ok(meant)
    }

    /// Code that is loaded, and whether it has shown what it returns.
    pub fn function(&self, code: &Code) -> mlua::Result<(Function, bool)> {
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
        loaded.insert(code.0.number, Loaded { source, function: function.clone(), settled: false, waits: None });
        Ok(function)
    }
}

impl Time {
    /// Whether it is over. It begins when this is asked for the first time, after a few instructions.
    fn is_over(&self) -> bool {
        let Some(allowed) = self.allowed.get() else { return false };
        let Some(began) = self.began.get() else {
            self.began.set(Some(Instant::now()));
            return false;
        };
        let (taken, first) = (began.elapsed(), allowed / 10);
        if taken < first {
            return false;
        }
        let Some(before) = self.worked.get() else {
            self.worked.set(Some(worked()));
            return false;
        };
        // How busy the machine is says nothing about the code.
        let is_at_work = || match (before, worked()) {
            (Some(before), Some(now)) => now.saturating_sub(before) < allowed - first,
            _ => false,
        };
        taken >= allowed && (taken >= allowed * WORST_SHARE || !is_at_work())
    }
}

/// How long this thread has had a processor, where the system says so.
fn worked() -> Option<Duration> {
    let said = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    said.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// What code has kept of the exchange that is lent; without one, nothing that lasts.
fn lent_context(lua: &Lua, host: &RefCell<Host>, new: &Function) -> mlua::Result<Table> {
    let host = host.try_borrow_mut();
    let mut host = host.map_err(|_| Error::runtime("the gateway is asked already"))?;
    if host.is_lent { turn::context_of(lua, &mut host.exchange, new) } else { new.call(()) }
}

/// LuaJIT's own `ffi`, which reaches any memory: the first number of 64 bits in a text loads it, for all to find. After
/// that it is found by nobody but our module of that name.
fn hidden_ffi(lua: &Lua) -> mlua::Result<Table> {
    lua.load("local one = 1ULL local ffi = package.loaded.ffi package.loaded.ffi = nil return ffi").eval()
}

/// What Lua calls code that comes from no file: its first line, as far as that is short.
fn chunk(code: &str) -> String {
    const LONGEST: usize = 45;
    let line = code.split(char::is_control).next().unwrap_or_default();
    if line.len() == code.len() && line.len() <= LONGEST + 3 {
        return format!("[string \"{line}\"]");
    }
    let end = (0..=LONGEST.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    format!("[string \"{}...\"]", &line[..end])
}

/// Whether there is little left of the memory that code may hold, even after what nobody needs has been freed: it is
/// ended before each of its wishes fails, which it could go on having.
fn is_full(lua: &Lua) -> mlua::Result<bool> {
    if lua.used_memory() <= NEARLY_ALL {
        return Ok(false);
    }
    lua.gc_collect()?;
    Ok(lua.used_memory() > NEARLY_ALL)
}

/// An error for the log: without the trace of calls, most of which are ours.
pub fn words(error: &Error) -> String {
    let text = match error {
        Error::CallbackError { cause, .. } => words(cause),
        Error::RuntimeError(message) => message.clone(),
        other => other.to_string(),
    };
    text.split("\nstack traceback:").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Time, worked};
    use std::time::{Duration, Instant};

    #[test]
    fn code_is_given_time_to_work() {
        let limit = Duration::from_millis(500);
        let time = Time::default();
        time.allowed.set(Some(limit));
        assert!(!time.is_over());
        let pause = |long: Duration| {
            // As where others have the processor.
            let began = Instant::now();
            while began.elapsed() < long {
                std::thread::park_timeout(limit);
            }
        };
        pause(limit / 5);
        assert!(!time.is_over());
        pause(limit);
        assert!(!time.is_over());
        let before = worked().unwrap();
        while worked().unwrap() - before < limit {
            std::hint::spin_loop();
        }
        assert!(time.is_over());
    }
}
