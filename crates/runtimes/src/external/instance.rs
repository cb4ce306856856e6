//! A configured plugin of a server, as workers run it.

use super::connection::{Connection, Failure, Server};
use super::host::{Event, Host, Subject};
use super::query::Protocol;
use super::{msgpack, protobuf};
use crate::lua::{self, Phase};
use sdk::entities;
use sdk::{Answer, Bytes, Exchange, Handshake, LocalBoxFuture, MemoryBudget, Phases, Plugin, Step};
use serde_json::Value as Json;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, watch};

/// A record of `plugins` for a plugin of a server.
pub struct Configured {
    pub plugin: &'static str,
    pub server: &'static Server,
    pub protocol: Protocol,
    pub phases: Vec<String>,
    pub id: String,
    pub number: u64,
    /// As JSON.
    config: String,
    /// Told when it is no longer in force.
    changes: watch::Sender<u64>,
    logging: MemoryBudget,
}

/// The same as one of the gateway's plugins.
pub struct Instance(Arc<Configured>);

/// An instance that a server has started for this worker.
#[derive(Clone, Copy)]
struct Started {
    number: i64,
    /// The process that knows it.
    peer: Option<i32>,
}

/// What a worker knows of a record; locked while an instance is started or ended.
struct Known {
    configured: Weak<Configured>,
    server: &'static Server,
    protocol: Protocol,
    started: Rc<Mutex<Option<Started>>>,
}

/// How often an event is begun: with a connection that was kept, with an instance that is gone, and anew.
const TRIES: usize = 3;
/// How long the end of an instance may take.
const CLOSING: Duration = Duration::from_secs(5);

/// The events about exchanges that are over, on one worker.
#[derive(Default)]
struct LastEvents {
    left: Cell<usize>,
    ended: Notify,
}

/// One of them, as long as it lasts.
struct LastEvent(Rc<LastEvents>);

thread_local! {
    static KNOWN: RefCell<HashMap<u64, Known>> = RefCell::new(HashMap::new());
    static LAST_EVENTS: Rc<LastEvents> = Rc::default();
}

impl LastEvent {
    fn new() -> LastEvent {
        let events = LAST_EVENTS.with(Rc::clone);
        events.left.update(|left| left + 1);
        LastEvent(events)
    }
}

impl Drop for LastEvent {
    fn drop(&mut self) {
        self.0.left.update(|left| left - 1);
        self.0.ended.notify_waiters();
    }
}

/// Waits until no event about an exchange that is over is left on this worker.
pub async fn finish() {
    let events = LAST_EVENTS.with(Rc::clone);
    while events.left.get() > 0 {
        events.ended.notified().await;
    }
}

impl Configured {
    pub fn new(
        plugin: &'static str,
        server: &'static Server,
        protocol: Protocol,
        phases: Vec<String>,
        record: &entities::Plugin,
        (changes, logging): (watch::Sender<u64>, MemoryBudget),
    ) -> Configured {
        // Not those of plugins in Lua, whose contexts are kept in the same place.
        static NUMBERS: AtomicU64 = AtomicU64::new(1 << 48);
        let mut config = Json::Object(lua::given_config(record));
        drop_nulls(&mut config);
        Configured {
            plugin,
            server,
            protocol,
            phases,
            id: record.id.to_string(),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            config: config.to_string(),
            changes,
            logging,
        }
    }

    fn has(&self, phase: Phase) -> bool {
        self.phases.iter().any(|own| own == phase.name())
    }

    /// Runs a phase, within its time.
    async fn run(
        self: &Arc<Configured>,
        subject: Subject<'_>,
        phase: Phase,
        entry: Option<Bytes>,
    ) -> Result<Event, String> {
        let limit = self.server.settings.timeout;
        match tokio::time::timeout(limit, self.tell(subject, phase, entry)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("it has not come to an end within {} ms", limit.as_millis())),
        }
    }

    async fn tell(
        self: &Arc<Configured>,
        mut subject: Subject<'_>,
        phase: Phase,
        entry: Option<Bytes>,
    ) -> Result<Event, String> {
        for _ in 0..TRIES {
            let mut connection = match self.server.connection().await {
                Ok(connection) => connection,
                Err(failure) => return Err(failure.words()),
            };
            let outcome = match self.instance(&mut connection).await {
                Ok(instance) => {
                    let host = Host::new(self, phase, subject.again(), entry.clone())?;
                    event(self.protocol, &mut connection, instance, phase, host).await
                }
                Err(failure) => Err(failure),
            };
            match outcome {
                Ok(event) => {
                    // An answer leaves an event of that protocol in the middle.
                    if self.protocol == Protocol::MsgPack || matches!(event, Event::Done) {
                        self.server.give_back(connection);
                    }
                    return Ok(event);
                }
                Err(Failure::Closed) => {
                    self.server.forget_connections();
                    self.forget(connection.peer).await;
                }
                Err(Failure::NoInstance) => {
                    self.forget(connection.peer).await;
                    self.server.give_back(connection);
                }
                Err(failed) => return Err(failed.words()),
            }
        }
        Err("it closes connections without a word".to_owned())
    }

    /// The instance in the process that this connection leads to; started if there is none.
    async fn instance(self: &Arc<Configured>, connection: &mut Connection) -> Result<i64, Failure> {
        let slot = self.slot();
        let mut slot = slot.lock().await;
        if let Some(started) = slot.filter(|started| started.peer == connection.peer) {
            return Ok(started.number);
        }
        let started = match self.protocol {
            Protocol::MsgPack => msgpack::start(connection, self.plugin, &self.config).await,
            Protocol::ProtoBuf => protobuf::start(connection, self.plugin, &self.config).await,
        };
        let number = started?;
        *slot = Some(Started { number, peer: connection.peer });
        Ok(number)
    }

    /// That process does not know the instance; another one may by now.
    async fn forget(self: &Arc<Configured>, peer: Option<i32>) {
        let slot = self.slot();
        slot.lock().await.take_if(|started| started.peer == peer);
    }

    fn slot(self: &Arc<Configured>) -> Rc<Mutex<Option<Started>>> {
        KNOWN.with_borrow_mut(|known| {
            let known = known.entry(self.number).or_insert_with(|| Known {
                configured: Arc::downgrade(self),
                server: self.server,
                protocol: self.protocol,
                started: Rc::default(),
            });
            Rc::clone(&known.started)
        })
    }

    fn report(&self, phase: Phase, error: &str) {
        let server = &*self.server.settings.name;
        tracing::error!(plugin = self.plugin, server, id = self.id, phase = phase.name(), "plugin server: {error}");
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

async fn event(
    protocol: Protocol,
    connection: &mut Connection,
    instance: i64,
    phase: Phase,
    host: Host<'_>,
) -> Result<Event, Failure> {
    match protocol {
        Protocol::MsgPack => msgpack::event(connection, instance, phase.name(), host).await,
        Protocol::ProtoBuf => protobuf::event(connection, instance, phase.name(), host).await,
    }
}

/// Ends the instances of this worker whose configuration is no longer in force.
pub async fn close_unused() {
    let unused: Vec<Known> = KNOWN.with_borrow_mut(|known| {
        let gone = |known: &Known| known.configured.strong_count() == 0;
        let numbers: Vec<u64> = known.iter().filter(|(_, known)| gone(known)).map(|(number, _)| *number).collect();
        numbers.into_iter().filter_map(|number| known.remove(&number)).collect()
    });
    for Known { server, protocol, started, .. } in unused {
        let Some(started) = started.lock().await.take() else { continue };
        let close = async {
            let mut connection = server.connection().await?;
            // Another process has never had it.
            if connection.peer == started.peer {
                match protocol {
                    Protocol::MsgPack => msgpack::close(&mut connection, started.number).await?,
                    Protocol::ProtoBuf => protobuf::close(&mut connection, started.number).await?,
                }
            }
            server.give_back(connection);
            Ok::<(), Failure>(())
        };
        if let Ok(Err(failure)) = tokio::time::timeout(CLOSING, close).await {
            tracing::info!(server = server.settings.name, "an instance could not be ended: {}", failure.words());
        }
    }
}

impl Instance {
    pub fn new(configured: Arc<Configured>) -> Instance {
        Instance(configured)
    }

    fn step<'a>(&'a self, exchange: &'a mut Exchange, phase: Phase) -> Step<'a> {
        if !self.0.has(phase) {
            return Step::Next;
        }
        Step::Wait(Box::pin(async move {
            match self.0.run(Subject::Exchange(exchange), phase, None).await {
                Ok(Event::Done) => Step::Next,
                Ok(Event::Answer(answer)) => Step::Answer(answer),
                Err(error) => {
                    self.0.report(phase, &error);
                    Step::Answer(Answer::error(exchange, 500, &Answer::status_message(500)))
                }
            }
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        let mut phases = Phases::NONE;
        for (phase, own) in [
            (Phase::Certificate, Phases::HANDSHAKE),
            // What it reads of requests is not known before it asks.
            (Phase::Rewrite, Phases::REWRITE.and(Phases::MAY_READ_BODY)),
            (Phase::Access, Phases::ACCESS.and(Phases::MAY_READ_BODY)),
            (Phase::Preread, Phases::ACCESS),
            (Phase::Response, Phases::RESPONSE),
            (Phase::Log, Phases::LOG),
        ] {
            if self.0.has(phase) {
                phases = phases.and(own);
            }
        }
        let phases = phases.looking_back();
        // What is in memory anyway is kept for later phases.
        if phases.has(Phases::KEEPS_LINES) { phases.and(Phases::MAY_READ_BODY) } else { phases }
    }

    fn handshake<'a>(&'a self, handshake: &'a mut Handshake) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.0.run(Subject::Handshake(handshake), Phase::Certificate, None).await.map(drop) })
    }

    fn rewrite<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.step(exchange, Phase::Rewrite)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let phase = if exchange.stream.is_some() { Phase::Preread } else { Phase::Access };
        self.step(exchange, phase)
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.step(exchange, Phase::Response)
    }

    fn log(&self, exchange: &mut Exchange) {
        let entry = Bytes::from(sdk::log::serialize(exchange));
        // Its lines are in the entry and in the copy.
        let Some(lease) = self.0.logging.try_take(4096 + 3 * entry.len()) else {
            self.0.report(Phase::Log, "too many events wait: one is left out");
            return;
        };
        let mut copy = exchange.copied();
        lua::share_context(exchange, &mut copy);
        let (configured, event) = (Arc::clone(&self.0), LastEvent::new());
        tokio::task::spawn_local(async move {
            if let Err(error) = configured.run(Subject::Exchange(&mut copy), Phase::Log, Some(entry)).await {
                configured.report(Phase::Log, &error);
            }
            drop((lease, event));
        });
    }
}

/// What is not set is not there, as plugins of Kong's have it.
fn drop_nulls(value: &mut Json) {
    match value {
        Json::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Json::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
