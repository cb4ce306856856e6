//! `ngx.timer`: functions that run later, or again and again, beside requests.

use super::Phase;
use super::operations::{seconds, wake};
use super::turn::Job;
use super::vm::{Vm, words};
use mlua::{Lua, MultiValue, RegistryKey, Result, Table, Value, Variadic};
use std::cell::Cell;
use std::time::Duration;

/// How many a worker has at once.
const MOST: usize = 16_384;

thread_local! {
    /// Whether this thread is a worker, and which.
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
    static PENDING: Cell<usize> = const { Cell::new(0) };
    static RUNNING: Cell<usize> = const { Cell::new(0) };
}

/// Says that this thread is a worker, whose event loop runs timers.
pub fn become_worker(index: usize) {
    WORKER.set(Some(index));
}

/// Which worker this thread is, if it is one.
pub fn worker() -> Option<usize> {
    WORKER.get()
}

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("wake", lua.create_function(|_, number: u64| Ok(wake(number)))?)?;
    native.raw_set("worker", lua.create_function(|_, ()| Ok(WORKER.get().unwrap_or_default()))?)?;
    native.raw_set("timer_counts", lua.create_function(|_, ()| Ok((RUNNING.get(), PENDING.get())))?)?;
    // The function and what it is given wait in the registry: of values held outside there are some thousands at most.
    let timer = |lua: &Lua, (again, delay, given): (bool, Value, Variadic<Value>)| {
        if WORKER.get().is_none() {
            return Ok((None, Some("no request")));
        }
        if PENDING.get() + RUNNING.get() >= MOST {
            return Ok((None, Some("too many pending timers")));
        }
        let given = given.into_iter().map(|value| lua.create_registry_value(value)).collect::<Result<_>>()?;
        PENDING.set(PENDING.get() + 1);
        tokio::task::spawn_local(keep(again, seconds(Some(&delay)), given));
        Ok((Some(1), None))
    };
    native.raw_set("timer", lua.create_function(timer)?)
}

async fn keep(again: bool, delay: Duration, given: Vec<RegistryKey>) {
    loop {
        tokio::time::sleep(delay).await;
        PENDING.set(PENDING.get() - 1);
        RUNNING.set(RUNNING.get() + 1);
        if let Err(error) = fire(&given).await {
            tracing::error!(code = "lua", "a timer has failed: {}", words(&error));
        }
        RUNNING.set(RUNNING.get() - 1);
        if !again {
            return;
        }
        PENDING.set(PENDING.get() + 1);
    }
}

async fn fire(given: &[RegistryKey]) -> Result<()> {
    let vm = Vm::of_thread()?;
    vm.lua.expire_registry_values();
    let context = Some(vm.new_context()?);
    let (plugin_id, plugin, host) = (None, None, None);
    let job =
        Job { phase: Phase::Timer, instance: 0, plugin_id, plugin, context, host, is_plugin: true, may_wait: true };
    let mut given: MultiValue = given.iter().map(|key| vm.lua.registry_value::<Value>(key)).collect::<Result<_>>()?;
    let function = given.pop_front();
    // It is not cut short: the event loop goes on as long as there is a worker.
    given.push_front(Value::Boolean(false));
    let (_, waits) = vm.turn(&job, None, None, || vm.begin.call((function, given)))?;
    vm.follow(&job, None, waits?).await.map(drop)
}
