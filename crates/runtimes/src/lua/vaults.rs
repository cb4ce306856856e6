//! Vaults of the operator, in Lua: `kong/vaults/<name>/init.lua` and `schema.lua` in `lua_package_path`. They are asked
//! on a thread with a machine of its own, where their code may wait, so that it keeps no worker from its requests.

use super::plugins::{self, Paths};
use super::turn::Job;
use super::value::{number, record, text};
use super::vm::{Vm, words};
use super::{Phase, surroundings, timers};
use mlua::{Function as LuaFunction, Table, Value};
use sdk::{Env, Function, Record};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

/// How long a vault may take to answer in all.
const LONGEST: Duration = Duration::from_secs(60);
/// Questions that wait for the thread, at most.
const WAITING: usize = 4096;

/// What a vault's files say. It lasts as long as the process.
#[derive(Clone, Copy)]
pub struct Described {
    /// In the schema language of `model`.
    pub schema: &'static str,
    pub functions: &'static [(&'static str, Function)],
}

/// What a vault is asked for.
pub struct Asked {
    pub vault: &'static str,
    pub config: Record,
    pub resource: String,
    pub version: Option<u64>,
}

/// What it has told.
#[derive(Debug, PartialEq)]
pub struct Told {
    pub value: String,
    /// For how many seconds that holds, where it has said so.
    pub ttl: Option<f64>,
}

type Outcome = Result<Option<Told>, String>;

struct Work {
    asked: Asked,
    env: Env,
    reply: oneshot::Sender<Outcome>,
}

static THREAD: Mutex<Option<mpsc::Sender<Work>>> = Mutex::new(None);
/// Vaults that have been loaded: a reload checks settings again.
static LOADED: Mutex<Option<HashMap<String, (&'static str, Described)>>> = Mutex::new(None);

/// Loads the vaults of these names. The error says which ones cannot be, and why.
pub fn load_vaults(names: &[&str], paths: &Paths) -> Result<Vec<(&'static str, Described)>, String> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    paths.search();
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = loaded.get_or_insert_default();
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for name in names {
        if !loaded.contains_key(*name) {
            match plugins::load_vault(name) {
                Ok(described) => {
                    let leaked: &'static str = Box::leak((*name).to_owned().into_boxed_str());
                    loaded.insert((*name).to_owned(), (leaked, described));
                }
                Err(error) => errors.push(format!("on vault '{name}': {error}")),
            }
        }
        all.extend(loaded.get(*name).copied());
    }
    if errors.is_empty() { Ok(all) } else { Err(format!("error loading vault schemas: {}", errors.join("; "))) }
}

/// Asks a vault. `env`: the way to others as long as there is no node.
pub async fn fetch(asked: Asked, env: Env) -> Outcome {
    let (reply, told) = oneshot::channel();
    let thread = thread().map_err(|error| format!("cannot start the thread of vaults in Lua: {error}"))?;
    thread.try_send(Work { asked, env, reply }).map_err(|_| "too many wait for vaults in Lua".to_owned())?;
    told.await.unwrap_or_else(|_| Err("the thread of vaults in Lua has ended".to_owned()))
}

/// What vaults know so far is not of the node that is there now: the next question begins anew.
pub fn forget() {
    THREAD.lock().unwrap_or_else(PoisonError::into_inner).take();
}

fn thread() -> std::io::Result<mpsc::Sender<Work>> {
    let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = &*thread {
        return Ok(sender.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (sender, work) = mpsc::channel::<Work>(WAITING);
    std::thread::Builder::new()
        .name("lua-vaults".to_owned())
        .stack_size(sdk::STACK)
        .spawn(move || runtime.block_on(LocalSet::new().run_until(serve(work))))?;
    Ok(thread.insert(sender).clone())
}

/// Answers until nobody can ask any more, and what has been asked is answered.
async fn serve(mut work: mpsc::Receiver<Work>) {
    // Their code may use timers.
    timers::become_worker(0);
    let mut answering = tokio::task::JoinSet::new();
    while let Some(Work { asked, env, mut reply }) = work.recv().await {
        surroundings::lend(env);
        answering.spawn_local(async move {
            let answer = tokio::time::timeout(LONGEST, ask(asked));
            tokio::select! {
                outcome = answer => drop(reply.send(outcome.unwrap_or_else(|_| Err("timeout".to_owned())))),
                // Nobody waits any more.
                () = reply.closed() => {}
            }
        });
        while answering.try_join_next().is_some() {}
    }
    while answering.join_next().await.is_some() {}
}

async fn ask(asked: Asked) -> Outcome {
    let told = run(asked).await.map_err(|error| words(&error))?;
    let part = |name: &str| told.raw_get::<Value>(name).map_err(|error| words(&error));
    let (value, why) = (part("value")?, part("why")?);
    if value.is_nil() {
        return match why {
            Value::Nil | Value::Boolean(false) => Ok(None),
            why => Err(text(&why).map_or_else(
                || format!("an error of type {}", why.type_name()),
                |why| String::from_utf8_lossy(&why).into_owned(),
            )),
        };
    }
    let Value::String(value) = value else {
        // Numbers are of one type to Lua 5.1.
        let kind = if number(&value).is_some() { "number" } else { value.type_name() };
        return Err(format!("value returned from vault has invalid type ({kind}), string expected"));
    };
    let value = String::from_utf8(value.as_bytes().to_vec()).map_err(|_| "the secret is no text".to_owned())?;
    Ok(Some(Told { value, ttl: part("ttl").ok().and_then(|ttl| number(&ttl)) }))
}

async fn run(asked: Asked) -> mlua::Result<Table> {
    let vm = Vm::of_thread()?;
    // What earlier questions have left behind.
    vm.lua.expire_registry_values();
    let get = match vm.slot.raw_get::<Option<LuaFunction>>("ask_vault")? {
        Some(known) => known,
        None => {
            let made: LuaFunction = vm.lua.load(include_str!("code/vaults.lua")).set_name("=vaults").call(())?;
            vm.slot.raw_set("ask_vault", &made)?;
            made
        }
    };
    let (config, told) = (record(&vm.lua, &Json::Object(asked.config))?, vm.lua.create_table()?);
    let job = Job::apart(&vm, Phase::Timer, None)?;
    let given = (get, asked.vault, config, asked.resource, asked.version, &told);
    let (_, waits) = vm.turn(&job, None, None, || vm.begin.call(given))?;
    vm.follow(&job, waits?).await?;
    Ok(told)
}
