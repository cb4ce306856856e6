//! The thread on which schemas of plugins are read and their functions called: in a machine of its own, so that it does
//! not matter which thread asks.

use super::loading::{Loaded, Reader};
use crate::lua::vaults::Described;
use crate::lua::vm::{Vm, words};
use sdk::entities::Uuid;
use sdk::{Foreign, InWorkspace, MigrationStep, Record, RunStatements};
use serde_json::Value as Json;
use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// How long a function of a schema may take from one wait to the next.
pub const LONGEST: Duration = Duration::from_secs(1);
/// How long it may take in all, with what it waits for.
pub const LONGEST_IN_ALL: Duration = Duration::from_secs(10);
/// How long loading a plugin may take.
pub const LONGEST_LOAD: Duration = Duration::from_secs(10);

/// A function of a schema, by its number in the machine.
pub struct SchemaFunction {
    pub number: usize,
    /// The fields that it is given in place of a whole record: what it is about, then what else it needs.
    pub input: Vec<String>,
}

/// What a function of a schema has returned: two values.
pub type Returned = (Json, Json);

enum Work {
    Load(String, SyncSender<Result<Loaded, String>>),
    LoadVault(String, SyncSender<Result<Described, String>>),
    Call(usize, Vec<Json>, Option<Uuid>, SyncSender<Result<Returned, String>>),
    Migrate(usize, SyncSender<Migrating>),
}

/// What a part of a migration comes to, bit by bit.
pub enum Migrating {
    /// Statements are to be run; the code waits for their outcomes.
    Run(String, SyncSender<Result<Vec<Json>, String>>),
    Done(Result<(), String>),
}

static THREAD: Mutex<Option<mpsc::Sender<Work>>> = Mutex::new(None);

/// Loads a plugin.
pub fn load(name: &str) -> Result<Loaded, String> {
    let (reply, loaded) = sync_channel(1);
    ask(Work::Load(name.to_owned(), reply), loaded)
}

/// Loads a vault.
pub fn load_vault(name: &str) -> Result<Described, String> {
    let (reply, loaded) = sync_channel(1);
    ask(Work::LoadVault(name.to_owned(), reply), loaded)
}

fn ask<T>(work: Work, reply: Receiver<Result<T, String>>) -> Result<T, String> {
    hand(work)?;
    reply.recv().map_err(|_| ended())?
}

fn ended() -> String {
    "the thread of Lua's schemas has ended".to_owned()
}

fn hand(work: Work) -> Result<(), String> {
    let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    let sender = match &*thread {
        Some(sender) => sender.clone(),
        None => {
            let (sender, work) = channel();
            std::thread::Builder::new()
                .name("lua-schemas".to_owned())
                .stack_size(sdk::STACK)
                .spawn(move || serve(&work))
                .map_err(|error| format!("cannot start the thread of Lua's schemas: {error}"))?;
            thread.insert(sender).clone()
        }
    };
    drop(thread);
    sender.send(work).map_err(|_| ended())
}

/// The thread that asks may be one of those on which the database answers what the function asks: another one takes its
/// place meanwhile.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}

fn serve(work: &Receiver<Work>) {
    let reader = Vm::new().and_then(Reader::new).map_err(|error| words(&error));
    while let Ok(work) = work.recv() {
        // Who asked may have gone.
        match (work, &reader) {
            (Work::Load(name, reply), Ok(reader)) => drop(reply.send(reader.load(&name))),
            (Work::LoadVault(name, reply), Ok(reader)) => drop(reply.send(reader.load_vault(&name))),
            (Work::Call(number, given, workspace, reply), Ok(reader)) => {
                drop(reply.send(reader.call(number, &given, workspace)));
            }
            (Work::Migrate(number, tell), Ok(reader)) => {
                drop(tell.send(Migrating::Done(reader.migrate(number, &tell))))
            }
            (Work::Load(_, reply), Err(error)) => drop(reply.send(Err(error.clone()))),
            (Work::LoadVault(_, reply), Err(error)) => drop(reply.send(Err(error.clone()))),
            (Work::Call(_, _, _, reply), Err(error)) => drop(reply.send(Err(error.clone()))),
            (Work::Migrate(_, tell), Err(error)) => drop(tell.send(Migrating::Done(Err(error.clone())))),
        }
    }
}

impl SchemaFunction {
    /// The name by which its schema has it.
    pub fn name(&self) -> String {
        format!("lua:{}", self.number)
    }

    fn call(&self, given: Vec<Json>) -> Result<Returned, String> {
        let (reply, returned) = sync_channel(1);
        aside(|| ask(Work::Call(self.number, given, InWorkspace::current(), reply), returned))
    }

    /// A function that says whether something is right, and if not, why.
    fn judge(&self, given: Json, usual: &str) -> Result<(), String> {
        let (verdict, why) = self.call(vec![given])?;
        if verdict.is_null() || verdict == Json::Bool(false) {
            return Err(why.as_str().unwrap_or(usual).to_owned());
        }
        Ok(())
    }
}

impl fmt::Debug for SchemaFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl MigrationStep for SchemaFunction {
    fn run(&self, run: RunStatements<'_>) -> Result<(), String> {
        let (tell, told) = sync_channel(1);
        hand(Work::Migrate(self.number, tell))?;
        loop {
            match told.recv().map_err(|_| ended())? {
                // The code may have been ended.
                Migrating::Run(text, reply) => drop(reply.send(run(text))),
                Migrating::Done(done) => return done,
            }
        }
    }
}

impl Foreign for SchemaFunction {
    fn validate(&self, value: &Json) -> Result<(), String> {
        self.judge(value.clone(), "invalid value")
    }

    fn check(&self, record: &Record) -> Result<(), String> {
        self.judge(Json::Object(record.clone()), "entity check failed")
    }

    fn expand(&self, value: &Json) -> Result<Option<Record>, String> {
        match self.call(vec![value.clone()])? {
            (Json::Object(fields), _) => Ok(Some(fields)),
            (Json::Array(items), _) if items.is_empty() => Ok(None),
            (Json::Null, Json::String(why)) => Err(why),
            _ => Ok(None),
        }
    }

    fn derive(&self, record: &mut Record) -> Result<(), String> {
        let given = match self.input.is_empty() {
            true => vec![Json::Object(record.clone())],
            false => self.input.iter().map(|path| at(record, path).cloned().unwrap_or_default()).collect(),
        };
        match self.call(given)? {
            (Json::Object(fields), _) => {
                lay(record, fields);
                Ok(())
            }
            (Json::Null, Json::String(why)) => Err(why),
            _ => Ok(()),
        }
    }
}

/// The value at a dotted path.
fn at<'r>(record: &'r Record, path: &str) -> Option<&'r Json> {
    match path.split_once('.') {
        None => record.get(path),
        Some((head, rest)) => at(record.get(head)?.as_object()?, rest),
    }
}

/// Lays fields over those that there are: records merge, all else is replaced.
fn lay(record: &mut Record, fields: Record) {
    for (name, value) in fields {
        match (record.get_mut(&name), value) {
            (Some(Json::Object(below)), Json::Object(over)) => lay(below, over),
            (_, value) => drop(record.insert(name, value)),
        }
    }
}
