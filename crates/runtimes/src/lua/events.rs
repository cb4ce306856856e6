//! `kong.worker_events`: what one worker tells the others. Each has a queue, which a task of its own empties.
//! `kong.cluster_events`: what nodes tell each other goes to one worker of each, as with Kong.

use super::Phase;
use super::surroundings;
use super::timers::worker;
use super::turn::Job;
use super::value::text;
use super::vm::{Vm, words};
use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Result, Table, Value};
use sdk::LocalBoxFuture;
use serde_json::Value as Json;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
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

/// The channel on which nodes say which keys of their caches are good no more.
pub const INVALIDATIONS: &str = "invalidations";

/// The source of events that are from other nodes; their names are channels.
const CLUSTER: &str = "cluster_events";

/// Who takes what other nodes say, by channel: the first worker that wants to.
static HEARING: Mutex<BTreeMap<String, Arc<Queue>>> = Mutex::new(BTreeMap::new());

static QUEUES: Mutex<Vec<Arc<Queue>>> = Mutex::new(Vec::new());

thread_local! {
    /// The queue of this worker, if it listens.
    static OWN: RefCell<Option<Arc<Queue>>> = const { RefCell::new(None) };
}

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("listen", lua.create_function(|_, ()| Ok(listen().is_some()))?)?;
    let hear = |_: &Lua, channel: String| {
        listen_to_nodes(channel);
        Ok(())
    };
    native.raw_set("hear", lua.create_function(hear)?)?;
    let announce = |_: &Lua, (channel, data): (String, String)| {
        announce(channel, data);
        Ok(())
    };
    native.raw_set("announce", lua.create_function(announce)?)?;
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
    queues().iter().for_each(|queue| queue.put(event.clone()));
    true
}

/// Another node has said something; false where that is too long.
pub fn hear(channel: &str, data: &str) -> bool {
    let hearing = HEARING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(queue) = hearing.get(channel) else { return true };
    if data.len() > LONGEST {
        return false;
    }
    let data = Json::from(data).to_string();
    queue.put(Event { source: CLUSTER.to_owned(), name: channel.to_owned(), data });
    true
}

/// Begins to take on this worker what nodes say on a channel, unless another one does.
fn listen_to_nodes(channel: String) {
    if let Some(queue) = listen() {
        HEARING.lock().unwrap_or_else(PoisonError::into_inner).entry(channel).or_insert(queue);
    }
}

/// Tells other nodes, beside whatever the code does next; what goes wrong is logged.
fn announce(channel: String, data: String) {
    let Some(env) = surroundings::env() else { return };
    let records = env.records().clone();
    env.tasks().spawn("an announcement of Lua", async move {
        if let Err(error) = records.announce(channel, data).await {
            tracing::warn!(code = "lua", "other nodes are not told: {error}");
        }
    });
}

/// The same where code waits for it: true, or nil and why not.
pub fn broadcast(lua: &Lua, arguments: &MultiValue) -> LocalBoxFuture<'static, Result<MultiValue>> {
    let string = |at: usize| arguments.get(at).and_then(text).map(String::from_utf8);
    let given = (string(0), string(1));
    let lua = lua.clone();
    Box::pin(async move {
        let (Some(Ok(channel)), Some(Ok(data))) = given else {
            return (Value::Nil, "channel and data must be UTF-8").into_lua_multi(&lua);
        };
        if data.len() > LONGEST {
            return (Value::Nil, "the event is too long").into_lua_multi(&lua);
        }
        let Some(env) = surroundings::env() else { return (Value::Nil, "there is no database").into_lua_multi(&lua) };
        match env.records().announce(channel, data).await {
            Ok(()) => true.into_lua_multi(&lua),
            Err(error) => (Value::Nil, error.to_string()).into_lua_multi(&lua),
        }
    })
}

impl Queue {
    fn put(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() >= MOST {
            events.pop_front();
            tracing::warn!(code = "lua", "a worker is behind with events, and the oldest is dropped");
        }
        events.push_back(event);
        self.came.notify_one();
    }
}

/// Begins to take events on this worker: its queue; none on threads that are no workers.
fn listen() -> Option<Arc<Queue>> {
    worker()?;
    if let Some(queue) = OWN.with_borrow(Clone::clone) {
        return Some(queue);
    }
    let own = Arc::new(Queue::default());
    OWN.set(Some(Arc::clone(&own)));
    queues().push(Arc::clone(&own));
    let queue = Arc::clone(&own);
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
    Some(own)
}

fn next(queue: &Queue) -> Option<Event> {
    queue.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

async fn deliver(event: Event) -> Result<()> {
    let vm = Vm::of_thread()?;
    let job = Job::apart(&vm, Phase::Timer, None)?;
    let take: Function = vm.slot.raw_get("take_event")?;
    let given = (take, event.source, event.name, event.data);
    let (_, waits) = vm.turn(&job, None, None, || vm.begin.call(given))?;
    vm.follow(&job, waits?).await.map(drop)
}

fn queues() -> std::sync::MutexGuard<'static, Vec<Arc<Queue>>> {
    QUEUES.lock().unwrap_or_else(PoisonError::into_inner)
}
