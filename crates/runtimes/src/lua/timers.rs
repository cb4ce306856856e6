//! `ngx.timer`: functions that run later, or again and again, beside requests.

use super::Phase;
use super::operations::{seconds, wake};
use super::turn::Job;
use super::vm::{Vm, words};
use mlua::{Function, Lua, MultiValue, Result, Table, Value};
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
    let timer = |_: &Lua, (again, delay, function, arguments): (bool, Value, Function, MultiValue)| {
        if WORKER.get().is_none() {
            return Ok((None, Some("no request")));
        }
        if PENDING.get() + RUNNING.get() >= MOST {
            return Ok((None, Some("too many pending timers")));
        }
        PENDING.set(PENDING.get() + 1);
        tokio::task::spawn_local(keep(again, seconds(Some(&delay)), function, arguments));
        Ok((Some(1), None))
    };
    native.raw_set("timer", lua.create_function(timer)?)
}

async fn keep(again: bool, delay: Duration, function: Function, arguments: MultiValue) {
    loop {
        tokio::time::sleep(delay).await;
        PENDING.set(PENDING.get() - 1);
        RUNNING.set(RUNNING.get() + 1);
        if let Err(error) = fire(&function, &arguments).await {
            tracing::error!(code = "lua", "a timer has failed: {}", words(&error));
        }
        RUNNING.set(RUNNING.get() - 1);
        if !again {
            return;
        }
        PENDING.set(PENDING.get() + 1);
    }
}

async fn fire(function: &Function, arguments: &MultiValue) -> Result<()> {
    let vm = Vm::of_thread()?;
    let context = Some(vm.new_context()?);
    let job = Job { phase: Phase::Timer, instance: 0, plugin_id: None, context, host: None, is_plugin: true };
    let mut given = arguments.clone();
    // It is not cut short: the event loop goes on as long as there is a worker.
    given.push_front(Value::Boolean(false));
    let (_, waits) = vm.turn(&job, None, None, || vm.begin.call((function, given)))?;
    vm.follow(&job, None, waits?).await.map(drop)
}
