//! Running code in a phase: turns, each of which lasts until the code has ended or waits for something.

use super::Phase;
use super::host::{Ending, Lent};
use super::operations::{self, Operation};
use super::owners::Owner;
use super::streaming;
use super::value::{Nulls, text, to_json, to_lua};
use super::vm::{CONTEXTS, Code, Vm, words};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mlua::{Error, Function, Lua, MultiValue, RegistryKey, Table, Value};
use sdk::{Answer, Bytes, Exchange, Phases, Source};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::cell::Cell;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

/// How long code of a configuration may take in one phase.
const LONGEST: Duration = Duration::from_secs(1);
/// How long a plugin may take from one wait to the next.
const LONGEST_OF_PLUGINS: Duration = Duration::from_secs(5);

/// What a phase has come to.
#[derive(Debug)]
pub enum Outcome {
    Done,
    /// The client is to get this.
    Answer(Box<Answer>),
}

/// Code in a phase.
pub struct Job {
    pub phase: Phase,
    /// Tells the instances of plugins apart.
    pub instance: u64,
    /// The id of the plugin's record.
    pub plugin_id: Option<String>,
    /// The plugin's name, for what it logs.
    pub plugin: Option<&'static str>,
    /// What it keeps where there is no exchange to keep it.
    pub context: Option<RegistryKey>,
    /// What answers where there is no exchange to ask.
    pub host: Option<Function>,
    /// Whether it is code of the operator's own.
    pub is_plugin: bool,
    /// Whether it may wait, where its phase may.
    pub may_wait: bool,
    /// Has what it opens, where there is no exchange to have it.
    pub owner: Option<Owner>,
}

impl Job {
    /// Code that runs by itself, and not for an exchange.
    pub fn apart(vm: &Vm, phase: Phase, plugin: Option<&'static str>) -> mlua::Result<Job> {
        let (context, owner) = (Some(vm.new_context()?), Some(Owner::new()));
        let (plugin_id, host) = (None, None);
        Ok(Job { phase, instance: 0, plugin_id, plugin, context, host, is_plugin: true, may_wait: true, owner })
    }

    /// Code of a configuration, which does not wait.
    fn of_code(phase: Phase, instance: u64, plugin: Option<&'static str>) -> Job {
        let (plugin_id, context, host) = (None, None, None);
        Job { phase, instance, plugin_id, plugin, context, host, is_plugin: false, may_wait: false, owner: None }
    }
}

/// Instances that have ended the content of a response (`ngx.arg[2]`).
struct EndedBy(Vec<u64>);

/// Lists of pieces of content that may be in each other.
const DEEPEST: usize = 32;

/// A piece of content, which may be in a list, or in lists of lists.
fn flattened(value: &Value, deeper: usize) -> Option<Vec<u8>> {
    let Value::Table(list) = value else { return text(value) };
    let deeper = deeper.checked_sub(1)?;
    let pieces = list.sequence_values::<Value>().map(|piece| flattened(&piece.ok()?, deeper));
    Some(pieces.collect::<Option<Vec<_>>>()?.concat())
}

/// What an instance has put in the place of a response's content when only its head was there.
pub struct Replaced {
    pub by: u64,
    pub content: Bytes,
}

/// Content that a body filter gets, and whether it is the last; then what it makes of it.
pub type Piece<'p> = Option<(&'p mut Bytes, bool)>;

/// A coroutine that waits, and what has come of it. What waits for long is in the registry of the machine: of values
/// that are held outside of it there are some thousands at most.
pub type Waited = (RegistryKey, mlua::Result<MultiValue>);

/// What code keeps from phase to phase (`kong.ctx`, `ngx.ctx`): in the machine, as long as the exchange lasts.
struct Kept {
    /// By the number that the exchange has here.
    number: u64,
}

thread_local! {
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// Runs the code of a phase, one after the other, until one of them answers. `instance` tells the plugin's instances
/// apart.
pub fn run(
    codes: &[Code],
    phase: Phase,
    instance: u64,
    exchange: &mut Exchange,
    piece: Piece<'_>,
) -> Result<Outcome, String> {
    let vm = Vm::of_thread().map_err(|error| words(&error))?;
    let job = Job::of_code(phase, instance, codes.first().and_then(Code::plugin));
    let work = || codes.iter().try_for_each(|code| vm.call(code));
    let (ending, ran) = vm.during(&job, Some(&mut *exchange), piece, work).map_err(|error| words(&error))?;
    match (ending, ran) {
        // What code of an earlier phase has said is not for filters to take.
        (None, ran) => ran.map(|()| Outcome::Done).map_err(|error| words(&error)),
        (ending, ran) => outcome(exchange, ending, ran),
    }
}

/// What code of a configuration has come to that may wait.
pub enum Begun<'c> {
    Over(Outcome),
    Waits(Waiting<'c>),
}

/// Code that waits, and what is run after it.
pub struct Waiting<'c> {
    vm: Rc<Vm>,
    job: Job,
    waits: FuturesUnordered<Operation>,
    left: Cow<'c, [Code]>,
}

/// How far code has come that has waited.
pub enum Progress<'c> {
    Over(Outcome),
    /// What it has said is to be sent; then it goes on.
    Sends,
    Waits(Waiting<'c>),
}

/// Why a machine has stopped following what waits.
enum Stopped {
    /// Nothing waits any more, or code has ended the phase.
    Over(Option<Ending>),
    Sends,
}

/// Runs the code of a phase as [`run`] does, and lets it wait.
pub fn begin<'c>(codes: &'c [Code], phase: Phase, instance: u64, exchange: &mut Exchange) -> Result<Begun<'c>, String> {
    let vm = Vm::of_thread().map_err(|error| words(&error))?;
    let job = Job { may_wait: true, ..Job::of_code(phase, instance, codes.first().and_then(Code::plugin)) };
    next(vm, job, Cow::Borrowed(codes), exchange)
}

fn next<'c>(vm: Rc<Vm>, job: Job, codes: Cow<'c, [Code]>, exchange: &mut Exchange) -> Result<Begun<'c>, String> {
    for (at, code) in codes.iter().enumerate() {
        let turn = vm.turn(&job, Some(&mut *exchange), None, || vm.begin_code(code));
        match turn.map_err(|error| words(&error))? {
            (None, Ok(waits)) if waits.is_empty() => {}
            (None, Ok(waits)) => {
                let left = match codes {
                    Cow::Borrowed(codes) => Cow::Borrowed(&codes[at + 1..]),
                    Cow::Owned(mut codes) => Cow::Owned(codes.split_off(at + 1)),
                };
                return Ok(Begun::Waits(Waiting { vm, job, waits: waits.into_iter().collect(), left }));
            }
            (ending, waits) => return outcome(exchange, ending, waits).map(Begun::Over),
        }
    }
    outcome(exchange, None, Ok(())).map(Begun::Over)
}

impl<'c> Waiting<'c> {
    /// The phase of a plugin, which waits.
    pub fn of_plugin(vm: Rc<Vm>, job: Job, waits: Vec<Operation>) -> Waiting<'static> {
        Waiting { vm, job, waits: waits.into_iter().collect(), left: Cow::Borrowed(&[]) }
    }

    /// Goes on until all of it has run, or one has answered, or begun to. What goes wrong after that is reported so.
    pub async fn follow(
        self,
        exchange: &mut Exchange,
        report: impl Fn(&Exchange, &str) + 'static,
    ) -> Result<Outcome, String> {
        let mut waiting = self;
        loop {
            match waiting.go_on(exchange).await? {
                Progress::Over(outcome) => return Ok(outcome),
                Progress::Sends => {
                    let Waiting { vm, job, waits, left } = waiting;
                    let owned = Waiting { vm, job, waits, left: Cow::Owned(left.into_owned()) };
                    return Ok(streaming::begin(exchange, owned, report));
                }
                Progress::Waits(more) => waiting = more,
            }
        }
    }

    /// Goes on until it is over, wants to send something, or the next code waits. It is not to be asked again but where
    /// it sends.
    pub async fn go_on(&mut self, exchange: &mut Exchange) -> Result<Progress<'c>, String> {
        let stopped = self.vm.follow_to(&self.job, Some(&mut *exchange), &mut self.waits).await;
        match stopped.map_err(|error| words(&error))? {
            Stopped::Sends => Ok(Progress::Sends),
            Stopped::Over(Some(ending)) => outcome(exchange, Some(ending), Ok(())).map(Progress::Over),
            Stopped::Over(None) => {
                let (vm, left) = (Rc::clone(&self.vm), mem::take(&mut self.left));
                let job =
                    Job { context: None, host: None, owner: None, plugin_id: self.job.plugin_id.take(), ..self.job };
                Ok(match next(vm, job, left, exchange)? {
                    Begun::Over(outcome) => Progress::Over(outcome),
                    Begun::Waits(waiting) => Progress::Waits(waiting),
                })
            }
        }
    }
}

/// What code makes of an exchange that is over.
pub fn evaluate(code: &Code, instance: u64, exchange: &mut Exchange) -> Result<Json, String> {
    let vm = Vm::of_thread().map_err(|error| words(&error))?;
    let job = Job::of_code(Phase::Log, instance, code.plugin());
    let value = || {
        let (function, _) = vm.function(code)?;
        to_json(&function.call(())?)
    };
    let (_, value) = vm.during(&job, Some(exchange), None, value).map_err(|error| words(&error))?;
    value.map_err(|error| words(&error))
}

/// What the function that code returns makes of values. A null among the arguments themselves is nothing (`nil`).
pub fn call(code: &Code, instance: u64, exchange: &mut Exchange, arguments: &[Json]) -> Result<Vec<Json>, String> {
    let vm = Vm::of_thread().map_err(|error| words(&error))?;
    let job = Job::of_code(Phase::Access, instance, code.plugin());
    let work = || {
        let lists: Table = vm.slot.raw_get::<Table>("native")?.raw_get("array_mt")?;
        let given = arguments.iter().map(|value| match value {
            Json::Null => Ok(Value::Nil),
            value => to_lua(&vm.lua, value, Nulls::Kept, Some(&lists)),
        });
        let given: MultiValue = given.collect::<mlua::Result<_>>()?;
        let returned: MultiValue = vm.returned(code)?.call(given)?;
        returned.iter().map(to_json).collect::<mlua::Result<Vec<Json>>>()
    };
    let (_, values) = vm.during(&job, Some(exchange), None, work).map_err(|error| words(&error))?;
    values.map_err(|error| words(&error))
}

/// The text that the function makes which code returns.
pub fn text_of(code: &Code, instance: u64, exchange: &mut Exchange) -> Result<Vec<u8>, String> {
    let vm = Vm::of_thread().map_err(|error| words(&error))?;
    let job = Job::of_code(Phase::Access, instance, code.plugin());
    let work = || vm.returned(code)?.call::<Value>(());
    let (_, value) = vm.during(&job, Some(exchange), None, work).map_err(|error| words(&error))?;
    let value = value.map_err(|error| words(&error))?;
    text(&value).ok_or_else(|| "the function returns no text".to_owned())
}

/// What an instance has answered in its header filter is sent by its body filter; without one nothing is.
pub fn settle_replaced(exchange: &mut Exchange, instance: u64, phases: Phases) {
    if !phases.has(Phases::BODY_FILTER) && exchange.state::<Replaced>().is_some_and(|replaced| replaced.by == instance)
    {
        exchange.fail_filter();
    }
}

/// Has an instance filter a piece of content; the last one comes empty, as in nginx, whatever came with it. What an
/// instance has put in the place of the content goes before that, and nothing follows what it has ended.
pub fn in_pieces(
    exchange: &mut Exchange,
    instance: u64,
    piece: Bytes,
    last: bool,
    mut filter: impl FnMut(&mut Exchange, &mut Bytes, bool),
) -> Bytes {
    if let Some(replaced) = exchange.state::<Replaced>().filter(|replaced| replaced.by == instance) {
        return mem::take(&mut replaced.content);
    }
    let mut one = |mut piece: Bytes, last: bool| {
        if exchange.state::<EndedBy>().is_some_and(|ended| ended.0.contains(&instance)) {
            return Bytes::new();
        }
        filter(exchange, &mut piece, last);
        piece
    };
    if !last || piece.is_empty() {
        return one(piece, last);
    }
    let (first, rest) = (one(piece, false), one(Bytes::new(), true));
    match (first.is_empty(), rest.is_empty()) {
        (true, _) => rest,
        (_, true) => first,
        _ => [first, rest].concat().into(),
    }
}

/// What clients get where code has failed.
pub fn failed(exchange: &Exchange) -> Answer {
    Answer { source: Source::Error, ..Answer::error(exchange, 500, &Answer::status_message(500)) }
}

/// What a phase has come to whose code has ended.
pub fn outcome<T>(exchange: &mut Exchange, ending: Option<Ending>, ran: mlua::Result<T>) -> Result<Outcome, String> {
    match (ending, ran) {
        // An ending is an error of its own to the code.
        (Some(Ending::Answer(answer)), _) => Ok(Outcome::Answer(answer)),
        (Some(Ending::Quiet), _) => Ok(Outcome::Done),
        (None, Err(error)) => Err(words(&error)),
        (None, Ok(_)) => {
            let said = super::host::said_answer(exchange);
            Ok(said.map_or(Outcome::Done, |answer| Outcome::Answer(Box::new(answer))))
        }
    }
}

impl Vm {
    /// A turn: how code has ended the phase, if it has, and who waits for what after it.
    pub fn turn(
        &self,
        job: &Job,
        exchange: Option<&mut Exchange>,
        piece: Piece<'_>,
        work: impl FnOnce() -> mlua::Result<MultiValue>,
    ) -> mlua::Result<(Option<Ending>, mlua::Result<Vec<Operation>>)> {
        let (ending, came) = self.during(job, exchange, piece, work)?;
        Ok((ending, came.and_then(|came| self.waits(came))))
    }

    /// The same of a plugin's phase, from its beginning. `meet` tells the machine of the instance, and says where it is
    /// there.
    pub fn phase(
        &self,
        phase: Phase,
        instance: u64,
        exchange: &mut Exchange,
        piece: Piece<'_>,
        meet: impl FnOnce() -> mlua::Result<u32>,
    ) -> (Option<Ending>, mlua::Result<Vec<Operation>>) {
        let begin = || {
            let place = match self.instances.place(instance) {
                Some(place) => place,
                None => {
                    // Code is loaded for it, whatever phase has run before.
                    let (nothing, may_wait, is_lent) = (Value::Nil, true, true);
                    let phase = &self.phases[phase as usize];
                    self.enter.call::<()>((phase, instance, &nothing, &nothing, &nothing, may_wait, is_lent))?;
                    meet()?
                }
            };
            self.runners[phase as usize].call::<MultiValue>(place)
        };
        let lent = self.lend((phase, instance), Some(exchange), piece, LONGEST_OF_PLUGINS, begin);
        lent.map_or_else(|error| (None, Err(error)), |(ending, came)| (ending, came.and_then(|came| self.waits(came))))
    }

    /// What the code of a turn waits for: itself, and light threads that it has begun.
    fn waits(&self, came: MultiValue) -> mlua::Result<Vec<Operation>> {
        if came.is_empty() && !self.started.get() {
            return Ok(Vec::new());
        }
        let mut waits = Vec::new();
        if self.started.replace(false) {
            let started: Table = self.slot.raw_get("started")?;
            self.slot.raw_set("started", self.lua.create_table()?)?;
            for entry in started.sequence_values::<Table>() {
                let values: MultiValue = entry?.sequence_values::<Value>().collect::<mlua::Result<_>>()?;
                waits.push(operations::start(&self.lua, values)?);
            }
        }
        if came.front().is_some_and(|first| !first.is_nil()) {
            waits.push(operations::start(&self.lua, came)?);
        }
        Ok(waits)
    }

    /// Does something while code can ask for the exchange; how it has ended the phase, if it has, and what was done.
    pub fn during<T>(
        &self,
        job: &Job,
        exchange: Option<&mut Exchange>,
        piece: Piece<'_>,
        work: impl FnOnce() -> mlua::Result<T>,
    ) -> mlua::Result<(Option<Ending>, mlua::Result<T>)> {
        let longest = if job.is_plugin { LONGEST_OF_PLUGINS } else { LONGEST };
        self.lend((job.phase, job.instance), exchange, piece, longest, || {
            self.enter.call::<()>((
                &self.phases[job.phase as usize],
                job.instance,
                job.plugin_id.as_deref(),
                job.context.as_ref().map(|key| self.lua.registry_value::<Table>(key)).transpose()?,
                job.host.as_ref(),
                job.may_wait,
                self.host.borrow().is_lent,
                job.plugin,
                self.instances.find(job.instance)?,
            ))?;
            match &job.owner {
                Some(owner) => owner.during(work),
                None => work(),
            }
        })
    }

    fn lend<T>(
        &self,
        (phase, instance): (Phase, u64),
        exchange: Option<&mut Exchange>,
        piece: Piece<'_>,
        longest: Duration,
        work: impl FnOnce() -> mlua::Result<T>,
    ) -> mlua::Result<(Option<Ending>, mlua::Result<T>)> {
        let lent = Lent::new(&self.host, exchange, phase, instance);
        if let Some((content, last)) = &piece {
            self.arg.raw_set(1, self.lua.create_string(&content[..])?)?;
            self.arg.raw_set(2, *last)?;
        }
        self.limit(Some(longest));
        let done = work();
        self.limit(None);
        let mut host = self.host.borrow_mut();
        let ending = host.ending.take();
        if matches!(piece, Some((_, false))) && self.arg.raw_get::<Value>(2)? == Value::Boolean(true) {
            if host.exchange.state::<EndedBy>().is_none() {
                host.exchange.put(EndedBy(Vec::new()));
            }
            if let Some(ended) = host.exchange.state::<EndedBy>() {
                ended.0.push(instance);
            }
        }
        drop(host);
        drop(lent);
        if let Some((content, _)) = piece {
            let made: Value = self.arg.raw_get(1)?;
            *content = match &made {
                Value::Nil => Bytes::new(),
                Value::Boolean(_) => return Err(Error::runtime("ngx.arg[1] must be a string, a table or nil")),
                made => flattened(made, DEEPEST)
                    .ok_or_else(|| Error::runtime("ngx.arg[1] must be a string, a table of strings or nil"))?
                    .into(),
            };
        }
        Ok((ending, done))
    }

    /// Tables for `kong.ctx` and `ngx.ctx`.
    pub fn new_context(&self) -> mlua::Result<RegistryKey> {
        let context: Table = self.slot.raw_get::<Function>("new_context")?.call(())?;
        self.lua.create_registry_value(context)
    }

    /// The coroutine that has waited.
    pub fn waited(&self, key: RegistryKey) -> mlua::Result<Value> {
        let coroutine = self.lua.registry_value(&key);
        self.lua.remove_registry_value(key)?;
        coroutine
    }

    /// Goes on with what waits until nothing does.
    pub async fn follow(self: &Rc<Self>, job: &Job, waits: Vec<Operation>) -> mlua::Result<Option<Ending>> {
        let mut waiting = waits.into_iter().collect();
        match self.follow_to(job, None, &mut waiting).await? {
            Stopped::Over(ending) => Ok(ending),
            Stopped::Sends => Ok(None),
        }
    }

    /// The same for an exchange, until the client has been answered, or something is to be sent.
    async fn follow_to(
        self: &Rc<Self>,
        job: &Job,
        mut exchange: Option<&mut Exchange>,
        waiting: &mut FuturesUnordered<Operation>,
    ) -> mlua::Result<Stopped> {
        loop {
            if let Some(exchange) = exchange.as_deref_mut()
                && super::host::is_to_send(exchange)
            {
                return Ok(Stopped::Sends);
            }
            let Some((key, came)) = waiting.next().await else { return Ok(Stopped::Over(None)) };
            let coroutine = self.waited(key)?;
            let killed: Function = self.slot.raw_get("is_killed")?;
            if killed.call::<bool>(&coroutine)? {
                continue;
            }
            let work = || match came {
                Ok(came) => self.go_on.call::<MultiValue>((coroutine, came)),
                Err(error) => self.fail.call((coroutine, words(&error))),
            };
            let (ending, waits) = self.turn(job, exchange.as_deref_mut(), None, work)?;
            if ending.is_some() {
                return Ok(Stopped::Over(ending));
            }
            waiting.extend(waits?);
        }
    }
}

/// What code has kept of an exchange, or nothing yet.
pub fn context_of(lua: &Lua, exchange: &mut Exchange, new: &Function) -> mlua::Result<Table> {
    let number = match exchange.state::<Kept>() {
        Some(kept) => kept.number,
        None => {
            let number = NEXT.replace(NEXT.get() + 1);
            exchange.put(Kept { number });
            number
        }
    };
    let known = CONTEXTS
        .with_borrow(|contexts| contexts.get(&number).map(|key| lua.registry_value::<Table>(key)).transpose())?;
    if let Some(context) = known {
        return Ok(context);
    }
    // What ended exchanges had is freed here, where the machine is at hand.
    lua.expire_registry_values();
    let context: Table = new.call(())?;
    let key = lua.create_registry_value(&context)?;
    CONTEXTS.with_borrow_mut(|contexts| contexts.insert(number, key));
    Ok(context)
}

/// Gives another exchange on this worker what code has kept for the first one; both have it from then on.
pub fn share_context(from: &mut Exchange, to: &mut Exchange) {
    let mut share = || {
        let vm = Vm::of_thread()?;
        let key = vm.lua.create_registry_value(context_of(&vm.lua, from, &vm.slot.raw_get("new_context")?)?)?;
        let number = NEXT.replace(NEXT.get() + 1);
        to.put(Kept { number });
        CONTEXTS.with_borrow_mut(|contexts| contexts.insert(number, key));
        mlua::Result::Ok(())
    };
    if let Err(error) = share() {
        tracing::error!("what plugins keep of a request cannot be handed on: {}", words(&error));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // On another thread, or at the end of this one, there is nothing of it.
        let _ = CONTEXTS.try_with(|contexts| contexts.borrow_mut().remove(&self.number));
    }
}
