//! A virtual machine: one filter with one configuration on one worker. Exchanges are contexts in it.

use super::engine::{self, TICKS_OF_CALL};
use super::filter::Filter;
use super::host::{self, Call, Exited, Host, ROOT, Stage, Stream};
use sdk::{Answer, Bytes, Exchange, HttpClient, HttpResponse};
use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use wasmtime::{Func, Instance, Store, Trap, TypedFunc, Val};

/// A machine. After a call has failed it is of no use any more.
pub struct Vm {
    pub number: u64,
    store: RefCell<Store<Host>>,
    callbacks: Callbacks,
    filter: &'static Filter,
    broken: Cell<bool>,
    last_context: Cell<u32>,
}

/// What the gateway calls; a filter has those that it wants.
struct Callbacks {
    context_create: Option<Func>,
    request_headers: Option<Func>,
    request_body: Option<Func>,
    response_headers: Option<Func>,
    response_body: Option<Func>,
    response_trailers: Option<Func>,
    http_call_response: Option<Func>,
    tick: Option<Func>,
    queue_ready: Option<Func>,
    done: Option<Func>,
    log: Option<Func>,
    delete: Option<Func>,
}

/// Which of them a filter has, as far as it decides on what it is called for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    pub request_body: bool,
    pub response_headers: bool,
    pub response_body: bool,
    pub response_trailers: bool,
}

/// What has come of a call about an exchange.
#[derive(Default)]
pub struct Turn {
    /// The exchange waits until the filter says otherwise.
    pub paused: bool,
    /// The filter has said that it goes on.
    pub resumed: bool,
    pub answer: Option<Answer>,
    /// The exchange ends without an answer.
    pub reset: bool,
    /// Requests of the filter to others.
    pub calls: Vec<Call>,
}

/// `Action::Pause`.
const PAUSE: i32 = 1;

impl Vm {
    /// Starts a filter with a configuration. The error says what it does not take, or what has gone wrong. Without a
    /// client it is only a rehearsal.
    pub fn start(filter: &'static Filter, config: &Arc<[u8]>, client: Option<HttpClient>) -> Result<Vm, String> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Relaxed);
        let mut store = Store::new(engine::engine()?, Host::new(filter, Arc::clone(config), client, number));
        store.limiter(|host| &mut host.limits);
        store.set_epoch_deadline(TICKS_OF_CALL);
        let begun = |error: wasmtime::Error| format!("filter {} cannot be started: {}", filter.name, words(&error));
        let instance = filter.instance.instantiate(&mut store).map_err(begun)?;
        let memory = instance.get_memory(&mut store, "memory");
        let allocate = ["proxy_on_memory_allocate", "malloc"]
            .iter()
            .find_map(|name| instance.get_typed_func::<u32, u32>(&mut store, name).ok());
        (store.data_mut().memory, store.data_mut().allocate) = (memory, allocate);
        for name in ["_initialize", "_start"] {
            if let Ok(start) = instance.get_typed_func::<(), ()>(&mut store, name) {
                match begin(&mut store, &start) {
                    Ok(()) => break,
                    Err(error) => return Err(begun(error)),
                }
            }
        }
        let callbacks = Callbacks::of(&instance, &mut store);
        let [vm_start, configure] =
            ["proxy_on_vm_start", "proxy_on_configure"].map(|name| instance.get_func(&mut store, name));
        let vm = Vm {
            number,
            store: RefCell::new(store),
            callbacks,
            filter,
            broken: Cell::new(false),
            last_context: Cell::new(ROOT),
        };
        let root = ROOT as i32;
        vm.call(vm.callbacks.context_create, "proxy_on_context_create", &[root, 0])?;
        let refused = |what: &str| format!("filter {} refuses in {what}", filter.name);
        if vm.call(vm_start, "proxy_on_vm_start", &[root, 0])? == Some(0) {
            return Err(refused("on_vm_start"));
        }
        let size = i32::try_from(config.len()).map_err(|_| refused("on_configure"))?;
        if vm.call(configure, "proxy_on_configure", &[root, size])? == Some(0) {
            return Err(refused("on_configure"));
        }
        Ok(vm)
    }

    pub fn wants(&self) -> Wants {
        Wants {
            request_body: self.callbacks.request_body.is_some(),
            response_headers: self.callbacks.response_headers.is_some(),
            response_body: self.callbacks.response_body.is_some(),
            response_trailers: self.callbacks.response_trailers.is_some(),
        }
    }

    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Begins a context for an exchange.
    pub fn open(&self) -> Result<u32, String> {
        let context = self.last_context.get().checked_add(1).filter(|context| *context < i32::MAX as u32);
        let context = context.ok_or("there are no more contexts")?;
        self.last_context.set(context);
        self.store.borrow_mut().data_mut().streams.insert(context, Stream::default());
        self.call(self.callbacks.context_create, "proxy_on_context_create", &[context as i32, ROOT as i32])?;
        Ok(context)
    }

    pub fn request_headers(&self, context: u32, exchange: &mut Exchange, ends: bool) -> Result<Turn, String> {
        let callback = self.callbacks.request_headers;
        self.lines(callback, "proxy_on_request_headers", context, exchange, Stage::RequestHeaders, ends)
    }

    pub fn request_body(&self, context: u32, exchange: &mut Exchange, size: u32) -> Result<Turn, String> {
        let callback = self.callbacks.request_body;
        let arguments = [context as i32, size as i32, 1];
        self.turn(callback, "proxy_on_request_body", context, exchange, Stage::RequestBody, &arguments)
    }

    pub fn response_headers(&self, context: u32, exchange: &mut Exchange, ends: bool) -> Result<Turn, String> {
        let callback = self.callbacks.response_headers;
        self.lines(callback, "proxy_on_response_headers", context, exchange, Stage::ResponseHeaders, ends)
    }

    /// The piece comes back as the filter leaves it.
    pub fn response_body(
        &self,
        context: u32,
        exchange: &mut Exchange,
        piece: &mut Bytes,
        last: bool,
    ) -> Result<Turn, String> {
        let callback = self.callbacks.response_body;
        if callback.is_none() {
            return Ok(Turn::default());
        }
        let size = i32::try_from(piece.len()).map_err(|_| "a piece is too long")?;
        self.store.borrow_mut().data_mut().piece = mem::take(piece);
        let arguments = [context as i32, size, last.into()];
        let turn = self.turn(callback, "proxy_on_response_body", context, exchange, Stage::ResponseBody, &arguments);
        *piece = mem::take(&mut self.store.borrow_mut().data_mut().piece);
        turn
    }

    pub fn response_trailers(&self, context: u32, exchange: &mut Exchange) -> Result<Turn, String> {
        let callback = self.callbacks.response_trailers;
        self.lines(callback, "proxy_on_response_trailers", context, exchange, Stage::ResponseTrailers, true)
    }

    /// The response to a call of the filter has come, or there is none.
    pub fn call_response(
        &self,
        context: u32,
        exchange: Option<(&mut Exchange, Stage)>,
        token: u32,
        response: Option<HttpResponse>,
    ) -> Result<Turn, String> {
        let counts = response.as_ref().map_or((0, 0), |response| {
            // With its status.
            (response.fields.len() as i32 + 1, i32::try_from(response.content.len()).unwrap_or(i32::MAX))
        });
        self.store.borrow_mut().data_mut().response = response;
        let (callback, name) = (self.callbacks.http_call_response, "proxy_on_http_call_response");
        let arguments = [context as i32, token as i32, counts.0, counts.1, 0];
        let turn = match exchange {
            Some((exchange, stage)) => self.turn(callback, name, context, exchange, stage, &arguments),
            None => self.call(callback, name, &arguments).map(|_| Turn::default()),
        };
        self.store.borrow_mut().data_mut().response = None;
        turn
    }

    /// The exchange is over.
    pub fn close(&self, context: u32, exchange: &mut Exchange) -> Result<(), String> {
        let done = self.callbacks.done;
        let may_end = done.is_none()
            || self.store.borrow_mut().data_mut().unfinished.insert(context)
                && self.within(done, "proxy_on_done", context, exchange, Stage::Log, &[context as i32])? != Some(0);
        if may_end {
            self.store.borrow_mut().data_mut().unfinished.remove(&context);
        }
        self.within(self.callbacks.log, "proxy_on_log", context, exchange, Stage::Log, &[context as i32])?;
        if may_end { self.delete(context) } else { Ok(()) }
    }

    /// Forgets a context.
    pub fn delete(&self, context: u32) -> Result<(), String> {
        let deleted = self.call(self.callbacks.delete, "proxy_on_delete", &[context as i32]);
        self.store.borrow_mut().data_mut().streams.remove(&context);
        deleted.map(drop)
    }

    pub fn tick(&self) -> Result<(), String> {
        self.call(self.callbacks.tick, "proxy_on_tick", &[ROOT as i32]).map(drop)
    }

    pub fn queue_ready(&self, queue: u32) -> Result<(), String> {
        self.call(self.callbacks.queue_ready, "proxy_on_queue_ready", &[ROOT as i32, queue as i32]).map(drop)
    }

    /// How often the filter wants to be called beside exchanges.
    pub fn period(&self) -> Option<Duration> {
        self.store.borrow().data().tick.filter(|_| self.callbacks.tick.is_some() && !self.is_broken())
    }

    /// Requests that were begun beside exchanges, or that nobody waits for.
    pub fn take_calls(&self) -> Vec<Call> {
        mem::take(&mut self.store.borrow_mut().data_mut().calls)
    }

    /// What is told when a filter has something to say about an exchange that waits.
    pub fn wake(&self, context: u32) -> Rc<Notify> {
        self.store.borrow().data().streams.get(&context).map(|stream| Rc::clone(&stream.wake)).unwrap_or_default()
    }

    /// What a filter has said about an exchange from elsewhere.
    pub fn said(&self, context: u32) -> Turn {
        let mut store = self.store.borrow_mut();
        let stream = store.data_mut().streams.get_mut(&context);
        stream.map_or_else(Turn::default, |stream| Turn {
            resumed: mem::take(&mut stream.resumed),
            answer: stream.answer.take(),
            reset: mem::take(&mut stream.reset),
            ..Turn::default()
        })
    }

    /// A callback that is told how many lines there are.
    fn lines(
        &self,
        callback: Option<Func>,
        name: &str,
        context: u32,
        exchange: &mut Exchange,
        stage: Stage,
        ends: bool,
    ) -> Result<Turn, String> {
        if callback.is_none() {
            return Ok(Turn::default());
        }
        // How many is found out when the exchange is on loan.
        self.turn(callback, name, context, exchange, stage, &[context as i32, COUNTED, ends.into()])
    }

    /// A callback about an exchange, and what has come of it.
    fn turn(
        &self,
        callback: Option<Func>,
        name: &str,
        context: u32,
        exchange: &mut Exchange,
        stage: Stage,
        arguments: &[i32],
    ) -> Result<Turn, String> {
        if callback.is_none() {
            return Ok(Turn::default());
        }
        drop(self.said(context));
        let action = self.within(callback, name, context, exchange, stage, arguments)?;
        let said = self.said(context);
        Ok(Turn { paused: action == Some(PAUSE) && !said.resumed, calls: self.calls_of(context), ..said })
    }

    fn calls_of(&self, context: u32) -> Vec<Call> {
        let mut store = self.store.borrow_mut();
        let calls = &mut store.data_mut().calls;
        let (own, others) = mem::take(calls).into_iter().partition(|call| call.context == context);
        *calls = others;
        own
    }

    /// Calls with an exchange on loan.
    fn within(
        &self,
        callback: Option<Func>,
        name: &str,
        context: u32,
        exchange: &mut Exchange,
        stage: Stage,
        arguments: &[i32],
    ) -> Result<Option<i32>, String> {
        let swap = |stage: Stage, exchange: &mut Exchange| {
            let mut store = self.store.borrow_mut();
            let host = store.data_mut();
            mem::swap(&mut host.exchange, exchange);
            (host.stage, host.context) = (stage, context);
        };
        swap(stage, exchange);
        let result = self.call_about(callback, name, context, arguments);
        swap(Stage::Root, exchange);
        result
    }

    fn call(&self, callback: Option<Func>, name: &str, arguments: &[i32]) -> Result<Option<i32>, String> {
        self.call_about(callback, name, ROOT, arguments)
    }

    /// Calls a function, where there is one, with as many of the arguments as it takes.
    fn call_about(
        &self,
        callback: Option<Func>,
        name: &str,
        context: u32,
        arguments: &[i32],
    ) -> Result<Option<i32>, String> {
        let Some(function) = callback else { return Ok(None) };
        if self.broken.get() {
            return Err(format!("filter {} has failed before", self.filter.name));
        }
        let mut store = self.store.try_borrow_mut().map_err(|_| "the filter is called already")?;
        store.data_mut().context = context;
        store.set_epoch_deadline(TICKS_OF_CALL);
        let kind = function.ty(&*store);
        let mut given = [Val::I32(0), Val::I32(0), Val::I32(0), Val::I32(0), Val::I32(0)];
        for (place, argument) in given.iter_mut().zip(arguments) {
            let counted = *argument == COUNTED;
            let value = if counted { lines_of(store.data_mut()) } else { *argument };
            *place = Val::I32(value);
        }
        let given = &given[..kind.params().len().min(arguments.len())];
        let mut result = [Val::I32(0)];
        let results = kind.results().len().min(1);
        let called = function.call(&mut *store, given, &mut result[..results]);
        let host = store.data_mut();
        let finished = mem::take(&mut host.finished);
        drop(store);
        if let Err(error) = called {
            self.broken.set(true);
            return Err(format!("filter {}: {} in {name}", self.filter.name, words(&error)));
        }
        for context in finished {
            // The end of a context that was put off has come.
            self.delete(context)?;
        }
        Ok((results == 1).then(|| result[0].i32()).flatten())
    }
}

/// Stands for the number of lines among arguments.
const COUNTED: i32 = i32::MIN;

fn lines_of(host: &mut Host) -> i32 {
    let map = host::map_of(host.stage);
    host::count(host, map) as i32
}

impl Drop for Vm {
    fn drop(&mut self) {
        host::forget(self.number);
    }
}

impl Callbacks {
    fn of(instance: &Instance, store: &mut Store<Host>) -> Callbacks {
        let mut find = |name: &str| instance.get_func(&mut *store, &format!("proxy_on_{name}"));
        Callbacks {
            context_create: find("context_create"),
            request_headers: find("request_headers"),
            request_body: find("request_body"),
            response_headers: find("response_headers"),
            response_body: find("response_body"),
            response_trailers: find("response_trailers"),
            http_call_response: find("http_call_response"),
            tick: find("tick"),
            queue_ready: find("queue_ready"),
            done: find("done"),
            log: find("log"),
            delete: find("delete"),
        }
    }
}

/// Runs what a language has before anything else; some of them end it with an exit.
fn begin(store: &mut Store<Host>, start: &TypedFunc<(), ()>) -> wasmtime::Result<()> {
    match start.call(&mut *store, ()) {
        Err(error) if error.downcast_ref::<Exited>().is_some_and(|exited| exited.0 == 0) => Ok(()),
        result => result,
    }
}

/// Why a call has failed, in one line.
fn words(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => "it has run too long".to_owned(),
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    }
}
