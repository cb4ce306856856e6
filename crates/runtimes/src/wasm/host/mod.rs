//! What filters ask of the gateway (proxy-wasm, ABI 0.1.0 to 0.2.1), and what is kept for that of one virtual machine.

mod buffers;
mod calls;
mod control;
mod fields;
mod memory;
mod metrics;
mod properties;
mod shared;
mod wasi;

pub use calls::Call;
pub use metrics::text as metrics_text;
pub use shared::{limit as limit_shared, listen};
pub use wasi::Exited;

pub(super) use fields::{count, map_of};
pub(super) use shared::forget;

use super::filter::Filter;
use sdk::{Answer, Bytes, Exchange, HttpClient, HttpResponse};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use wasmtime::{Caller, Engine, Linker, Memory, StoreLimits, StoreLimitsBuilder, TypedFunc};

/// What a function of the host comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    ParseFailure = 4,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
    Unimplemented = 12,
}

/// How far an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// There is no exchange.
    Root,
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
    Log,
}

/// The context that a machine begins with; all others are of exchanges.
pub const ROOT: u32 = 1;
/// How much memory a machine may have.
const MAX_MEMORY: usize = 64 << 20;
/// How many entries a table of functions may have.
const MAX_TABLE: usize = 100_000;

/// One machine's side of the gateway.
pub struct Host {
    pub limits: StoreLimits,
    pub memory: Option<Memory>,
    /// What the filter allocates memory by, for what the gateway gives it.
    pub allocate: Option<TypedFunc<u32, u32>>,
    pub filter: &'static Filter,
    pub config: Arc<[u8]>,
    pub client: Option<HttpClient>,
    /// It is only found out whether the filter takes its configuration: nothing is sent, and nothing runs later.
    pub rehearses: bool,
    /// The exchange that a call is about, lent by whoever makes the call; else an empty one.
    pub exchange: Exchange,
    pub stage: Stage,
    /// The context that functions are about.
    pub context: u32,
    pub streams: HashMap<u32, Stream>,
    /// The response to a call of the filter's own, while it is told of it.
    pub response: Option<HttpResponse>,
    /// The piece of a response's content that a call is about.
    pub piece: Bytes,
    /// Calls that the filter has begun and nobody waits for yet.
    pub calls: Vec<Call>,
    pub last_call: u32,
    /// How often the filter wants to be called beside exchanges.
    pub tick: Option<Duration>,
    /// Contexts whose end the filter has put off, and those whose end it says has come.
    pub unfinished: HashSet<u32>,
    pub finished: Vec<u32>,
    /// Which machine this is, for queues that it listens to.
    pub machine: u64,
}

/// What is kept of an exchange that a filter takes part in.
#[derive(Default)]
pub struct Stream {
    /// The filter wants it to go on.
    pub resumed: bool,
    /// The client is to get this in place of an answer of the service.
    pub answer: Option<Answer>,
    /// The filter wants it to end without one.
    pub reset: bool,
    /// Told when any of that is set while the exchange waits.
    pub wake: Rc<Notify>,
}

impl Host {
    pub fn new(filter: &'static Filter, config: Arc<[u8]>, client: Option<HttpClient>, machine: u64) -> Host {
        let limits = StoreLimitsBuilder::new().memory_size(MAX_MEMORY).table_elements(MAX_TABLE);
        Host {
            limits: limits.instances(1).memories(1).build(),
            memory: None,
            allocate: None,
            filter,
            config,
            rehearses: client.is_none(),
            client,
            exchange: Exchange::empty(),
            stage: Stage::Root,
            context: ROOT,
            streams: HashMap::new(),
            response: None,
            piece: Bytes::new(),
            calls: Vec::new(),
            last_call: 0,
            tick: None,
            unfinished: HashSet::new(),
            finished: Vec::new(),
            machine,
        }
    }

    /// The exchange that functions are about, where that is the one on loan.
    fn has_exchange(&self) -> bool {
        self.stage != Stage::Root && self.streams.contains_key(&self.context)
    }

    /// Writes a line to the node's log.
    fn log(&self, level: u32, message: &str) {
        if self.rehearses && level < 3 {
            return;
        }
        let (filter, id) = (&*self.filter.name, self.exchange.id_str());
        match (level, self.has_exchange()) {
            (0 | 1, true) => tracing::debug!(filter, request_id = id, "{message}"),
            (0 | 1, false) => tracing::debug!(filter, "{message}"),
            (2, true) => tracing::info!(filter, request_id = id, "{message}"),
            (2, false) => tracing::info!(filter, "{message}"),
            (3, true) => tracing::warn!(filter, request_id = id, "{message}"),
            (3, false) => tracing::warn!(filter, "{message}"),
            (_, true) => tracing::error!(filter, request_id = id, "{message}"),
            (_, false) => tracing::error!(filter, "{message}"),
        }
    }

    /// Says that a function was called where it makes no sense.
    fn misplaced(&self, words: &str) -> Status {
        self.log(4, words);
        Status::BadArgument
    }
}

/// All functions that filters may import.
pub fn linker(engine: &Engine) -> Result<Linker<Host>, String> {
    let mut linker = Linker::new(engine);
    let add = |linker: &mut Linker<Host>| {
        control::add(linker)?;
        fields::add(linker)?;
        buffers::add(linker)?;
        properties::add(linker)?;
        shared::add(linker)?;
        metrics::add(linker)?;
        calls::add(linker)?;
        wasi::add(linker)
    };
    add(&mut linker).map_err(|error| format!("wasm: {error:#}"))?;
    Ok(linker)
}

/// What a function comes to, for the filter.
fn code(result: Result<(), Status>) -> i32 {
    match result {
        Ok(()) => Status::Ok as i32,
        Err(status) => status as i32,
    }
}

type Guest<'c> = Caller<'c, Host>;
