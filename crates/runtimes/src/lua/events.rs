//! `kong.worker_events`: what one worker tells the others. Each has a queue, which a task of its own empties.

use super::Phase;
use super::timers::worker;
use super::turn::Job;
use super::vm::{Vm, words};
use mlua::{Function, Lua, Result, Table};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Events that wait for one worker, at most; what is older is dropped.
const MOST: usize = 1024;
/// Octets of what an event says, at most.
const LONGEST: usize = 64 << 10;

/// Its source, its name, and what it says, as JSON.
#[derive(Clone)]
struct Event {
    source: String,
    name: String,
    data: String,
}

#[derive(Default)]
struct Queue {
    events: Mutex<VecDeque<Event>>,
    came: Notify,
}

static QUEUES: Mutex<Vec<Arc<Queue>>> = Mutex::new(Vec::new());

thread_local! {
    static LISTENS: Cell<bool> = const { Cell::new(false) };
}

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("listen", lua.create_function(|_, ()| Ok(listen()))?)?;
    let post = |_: &Lua, (source, name, data): (String, String, String)| Ok(post(&source, &name, data));
    native.raw_set("post_event", lua.create_function(post)?)
}

/// Whether any worker listens at all.
pub fn is_listened_to() -> bool {
    !queues().is_empty()
}

/// Tells all workers; false where that is too long.
pub fn post(source: &str, name: &str, data: String) -> bool {
    if data.len() > LONGEST {
        return false;
    }
    let event = Event { source: source.to_owned(), name: name.to_owned(), data };
    for queue in queues().iter() {
        let mut events = queue.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() >= MOST {
            events.pop_front();
            tracing::warn!(code = "lua", "a worker is behind with events, and the oldest is dropped");
        }
        events.push_back(event.clone());
        queue.came.notify_one();
    }
    true
}

/// Begins to take events on this worker; false on threads that are none.
fn listen() -> bool {
    if worker().is_none() {
        return false;
    }
    if !LISTENS.replace(true) {
        let queue = Arc::new(Queue::default());
        queues().push(Arc::clone(&queue));
        tokio::task::spawn_local(async move {
            loop {
                queue.came.notified().await;
                while let Some(event) = next(&queue) {
                    if let Err(error) = deliver(event).await {
                        tracing::error!(code = "lua", "an event cannot be taken: {}", words(&error));
                    }
                }
            }
        });
    }
    true
}

fn next(queue: &Queue) -> Option<Event> {
    queue.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

async fn deliver(event: Event) -> Result<()> {
    let vm = Vm::of_thread()?;
    let context = Some(vm.new_context()?);
    let job = Job { phase: Phase::Timer, instance: 0, plugin_id: None, context, host: None, is_plugin: true };
    let take: Function = vm.slot.raw_get("take_event")?;
    let given = (take, event.source, event.name, event.data);
    let (_, waits) = vm.turn(&job, None, None, || vm.begin.call(given))?;
    vm.follow(&job, None, waits?).await.map(drop)
}

fn queues() -> std::sync::MutexGuard<'static, Vec<Arc<Queue>>> {
    QUEUES.lock().unwrap_or_else(PoisonError::into_inner)
}
