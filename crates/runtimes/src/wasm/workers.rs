//! The machines of a worker, and what they do beside exchanges: ticks, queues, and requests that no exchange waits for.

use super::host::{self, Call, ROOT};
use super::spec::{self, Spec};
use super::vm::Vm;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

/// How long a filter that cannot be started is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// How many requests a worker's filters may have under way beside exchanges.
const MOST_CALLS: usize = 1024;

/// A machine, and what runs beside it.
pub struct Machine {
    pub vm: Vm,
    /// How often it is called at present.
    period: Cell<Option<Duration>>,
    /// Counts its clocks: only the last one goes on.
    clocks: Cell<u64>,
}

#[derive(Default)]
struct Worker {
    /// By the numbers of what they are for.
    by_spec: HashMap<u64, Rc<Machine>>,
    /// By their own.
    by_number: HashMap<u64, Weak<Machine>>,
    failed: HashMap<u64, (Instant, String)>,
    /// Contexts whose exchanges have gone without coming to an end.
    abandoned: Vec<(u64, u32)>,
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
    /// Whether this thread's event loop runs what goes on beside exchanges.
    static RUNS: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// Says that this thread is a worker. To be called in its event loop.
pub fn start() {
    if RUNS.replace(true) {
        return;
    }
    let mut queues = host::listen();
    tokio::task::spawn_local(async move {
        while let Some((number, queue)) = queues.recv().await {
            if let Some(machine) = find(number) {
                report(&machine, machine.vm.queue_ready(queue));
            }
        }
    });
    let mut changes = spec::changes();
    tokio::task::spawn_local(async move {
        loop {
            changes.mark_unchanged();
            follow(&spec::all());
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
}

/// The worker ends, and its machines with it.
pub fn end() {
    RUNS.set(false);
    let ended = WORKER.with_borrow_mut(std::mem::take);
    drop(ended);
}

/// Has a machine for each of these, and no others.
fn follow(specs: &[std::sync::Arc<Spec>]) {
    let gone: Vec<Rc<Machine>> = WORKER.with_borrow_mut(|worker| {
        let is_there = |number: &u64| specs.iter().any(|spec| spec.number == *number);
        worker.failed.retain(|number, _| is_there(number));
        let gone: Vec<u64> = worker.by_spec.keys().filter(|number| !is_there(number)).copied().collect();
        gone.iter().filter_map(|number| worker.by_spec.remove(number)).collect()
    });
    drop(gone);
    for spec in specs {
        if let Err(error) = machine(spec) {
            tracing::error!(filter = spec.filter.name, "{error}");
        }
    }
}

/// This worker's machine for a filter with its configuration.
pub fn machine(spec: &Spec) -> Result<Rc<Machine>, String> {
    let known = WORKER.with_borrow(|worker| worker.by_spec.get(&spec.number).cloned());
    if let Some(known) = known.filter(|known| !known.vm.is_broken()) {
        return Ok(known);
    }
    let failed = WORKER.with_borrow(|worker| worker.failed.get(&spec.number).cloned());
    if let Some((_, error)) = failed.filter(|(at, _)| at.elapsed() < RETRY) {
        return Err(error);
    }
    let started = Vm::start(spec.filter, &spec.config, Some(spec.client.clone()));
    let machine = WORKER.with_borrow_mut(|worker| match started {
        Ok(vm) => {
            worker.failed.remove(&spec.number);
            let machine = Rc::new(Machine { vm, period: Cell::new(None), clocks: Cell::new(0) });
            worker.by_number.retain(|_, known| known.strong_count() > 0);
            worker.by_number.insert(machine.vm.number, Rc::downgrade(&machine));
            let replaced = worker.by_spec.insert(spec.number, Rc::clone(&machine));
            Ok((machine, replaced))
        }
        Err(error) => {
            worker.failed.insert(spec.number, (Instant::now(), error.clone()));
            Err(error)
        }
    });
    let (machine, _replaced) = machine?;
    settle(&machine);
    Ok(machine)
}

/// A machine by its number, while there is one.
pub fn find(number: u64) -> Option<Rc<Machine>> {
    WORKER.with_borrow(|worker| worker.by_number.get(&number).and_then(Weak::upgrade))
}

/// Its exchange has gone: the context goes when its machine is called next.
pub fn abandon(number: u64, context: u32) {
    // A thread that ends has dropped its machines already.
    let _ = WORKER.try_with(|worker| {
        if let Ok(mut worker) = worker.try_borrow_mut() {
            worker.abandoned.push((number, context));
        }
    });
}

/// Ends contexts whose exchanges have gone.
pub fn sweep() {
    let abandoned = WORKER.with_borrow_mut(|worker| match worker.abandoned.is_empty() {
        true => Vec::new(),
        false => std::mem::take(&mut worker.abandoned),
    });
    for (number, context) in abandoned {
        if let Some(machine) = find(number) {
            report(&machine, machine.vm.delete(context));
        }
    }
}

/// Sees to what a machine wants beside exchanges, after it has been called.
pub fn settle(machine: &Rc<Machine>) {
    if !RUNS.get() {
        return;
    }
    for call in machine.vm.take_calls() {
        wait_for(machine, call);
    }
    let period = machine.vm.period();
    if machine.period.replace(period) != period {
        let clock = machine.clocks.get() + 1;
        machine.clocks.set(clock);
        if let Some(period) = period {
            tokio::task::spawn_local(tick(Rc::downgrade(machine), clock, period));
        }
    }
}

async fn tick(machine: Weak<Machine>, clock: u64, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        let Some(machine) = machine.upgrade().filter(|machine| machine.clocks.get() == clock) else { return };
        report(&machine, machine.vm.tick());
    }
}

/// Tells a filter of the response to a request that no exchange waits for.
fn wait_for(machine: &Rc<Machine>, call: Call) {
    if CALLS.get() >= MOST_CALLS {
        tracing::error!("filters have too many requests under way: one more is not sent");
        return;
    }
    CALLS.set(CALLS.get() + 1);
    let machine = Rc::downgrade(machine);
    tokio::task::spawn_local(async move {
        let response = call.response.await;
        CALLS.set(CALLS.get() - 1);
        // A context that has ended is told of nothing.
        if let Some(machine) = machine.upgrade().filter(|_| call.context == ROOT) {
            report(&machine, machine.vm.call_response(ROOT, None, call.token, response).map(drop));
        }
    });
}

/// Logs what has gone wrong beside exchanges, and sees to the rest.
pub fn report(machine: &Rc<Machine>, result: Result<(), String>) {
    if let Err(error) = result {
        tracing::error!("{error}");
    }
    settle(machine);
}
