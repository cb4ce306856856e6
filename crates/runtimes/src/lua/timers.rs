//! `ngx.timer`: functions that run later, or again and again, beside requests; those that wait when the worker ends run
//! then, and are told so.

use super::Phase;
use super::operations::{seconds, wake};
use super::turn::Job;
use super::vm::{Vm, words};
use mlua::{Lua, MultiValue, RegistryKey, Result, Table, Value, Variadic};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How many a worker has at once.
const MOST: usize = 16_384;
/// How long a worker that ends waits for them.
const LAST: Duration = Duration::from_secs(5);

thread_local! {
    /// Whether this thread is a worker, and which.
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
    /// Whether its event loop runs timers.
    static RUNS: Cell<bool> = const { Cell::new(false) };
    static PENDING: Cell<usize> = const { Cell::new(0) };
    static RUNNING: Cell<usize> = const { Cell::new(0) };
    /// Whether the end of the worker has come.
    static ENDING: watch::Sender<bool> = watch::Sender::new(false);
    /// Told each time when a timer is over.
    static OVER: Rc<Notify> = Rc::default();
}

/// Says that this thread is a worker, whose event loop runs timers.
pub fn become_worker(index: usize) {
    WORKER.set(Some(index));
    run_here();
}

/// Says that this thread's event loop runs timers, though it is no worker.
pub fn run_here() {
    RUNS.set(true);
}

/// Has run what still waits, and waits for all that runs.
pub async fn end_worker() {
    ENDING.with(|ending| ending.send_replace(true));
    let over = OVER.with(Rc::clone);
    let all = async {
        while PENDING.get() + RUNNING.get() > 0 {
            over.notified().await;
        }
    };
    if tokio::time::timeout(LAST, all).await.is_err() {
        tracing::warn!("timers of Lua do not come to an end: the worker ends without {} of them", RUNNING.get());
    }
}

fn is_ending() -> bool {
    ENDING.with(|ending| *ending.borrow())
}

/// Which worker this thread is, if it is one.
pub fn worker() -> Option<usize> {
    WORKER.get()
}

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("wake", lua.create_function(|_, number: u64| Ok(wake(number)))?)?;
    // A thread beside the workers that runs timers has no number: code that one of them is to run is not for it.
    let number = || WORKER.get().or_else(|| (!RUNS.get()).then_some(0));
    native.raw_set("worker", lua.create_function(move |_, ()| Ok(number()))?)?;
    native.raw_set("is_ending", lua.create_function(|_, ()| Ok(is_ending()))?)?;
    native.raw_set("timer_counts", lua.create_function(|_, ()| Ok((RUNNING.get(), PENDING.get())))?)?;
    // The function and what it is given wait in the registry: of values held outside there are some thousands at most.
    let timer = |lua: &Lua, (again, delay, given): (bool, Value, Variadic<Value>)| {
        if !RUNS.get() {
            return Ok((None, Some("no request")));
        }
        // As OpenResty, which runs what is due at once to the last.
        if is_ending() && !seconds(Some(&delay)).is_zero() {
            return Ok((None, Some("process exiting")));
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
    let mut told = ENDING.with(watch::Sender::subscribe);
    loop {
        let began = Instant::now();
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            _ = told.wait_for(|is_ending| *is_ending) => {}
        }
        let premature = is_ending() && began.elapsed() < delay;
        PENDING.set(PENDING.get() - 1);
        RUNNING.set(RUNNING.get() + 1);
        if let Err(error) = fire(&given, premature).await {
            tracing::error!(code = "lua", "a timer has failed: {}", words(&error));
        }
        RUNNING.set(RUNNING.get() - 1);
        if !again || is_ending() {
            return OVER.with(|over| over.notify_waiters());
        }
        PENDING.set(PENDING.get() + 1);
    }
}

async fn fire(given: &[RegistryKey], premature: bool) -> Result<()> {
    let vm = Vm::of_thread()?;
    vm.lua.expire_registry_values();
    let job = Job::apart(&vm, Phase::Timer, None)?;
    let mut given: MultiValue = given.iter().map(|key| vm.lua.registry_value::<Value>(key)).collect::<Result<_>>()?;
    let function = given.pop_front();
    given.push_front(Value::Boolean(premature));
    let (_, waits) = vm.turn(&job, None, None, || vm.begin.call((function, given)))?;
    vm.follow(&job, waits?).await.map(drop)
}
