//! The contract between the gateway and its plugins.

use crate::{
    AdminAnswer, AdminEndpoint, AdminRequest, Answer, BoxFuture, Bytes, CertificateRequest, CertifiedKey,
    CredentialEntity, Env, Exchange, Handshake, LocalBoxFuture, WebSocketMessage,
};
use model::{Catalog, Function, PluginMigrations, PluginSchema, Schema, entities};
use std::sync::Arc;

/// A plugin as the gateway knows it before anybody has configured it. One static instance per plugin, in one list.
pub trait PluginKind: Send + Sync {
    /// The name in `plugins.name` and in URLs, such as `key-auth`.
    fn name(&self) -> &'static str;

    /// Kong's priority: plugins with a larger one act first in every phase.
    fn priority(&self) -> i32;

    /// As `GET /` shows it.
    fn version(&self) -> &'static str {
        crate::KONG_VERSION
    }

    /// The schema of its configuration, as JSON in the schema language of `model`.
    fn schema(&self) -> &'static str;

    /// Functions that its schemas name, beside those that `model` has for everybody.
    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[]
    }

    /// The credential entities that it brings along.
    fn credentials(&self) -> &'static [CredentialEntity] {
        &[]
    }

    /// The schemas of other entities of its own ([`crate::Records`]), as JSON: with `"in_snapshot": false` where
    /// requests write their records, and for counters. They may refer to the credentials.
    fn entities(&self) -> &'static [&'static str] {
        &[]
    }

    /// What makes the tables of its entities in Postgres, where that is not the gateway itself.
    fn migrations(&self) -> Option<PluginMigrations> {
        None
    }

    /// Makes an instance from a complete valid record. Called when a snapshot is compiled, never on the request
    /// path; state that must survive a change of configuration is fetched from `env`.
    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String>;

    /// Called on each worker's own thread, within its event loop, before it serves.
    fn start_worker(&self, _index: usize) {}

    /// Called on each worker's own thread when it serves no more: ends when others have been told what they still have
    /// to know of its exchanges. It may take a moment, not longer.
    fn end_worker(&self) -> LocalBoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    /// The paths of the Admin API that it answers, beside those of its credential entities.
    fn endpoints(&self) -> &'static [AdminEndpoint] {
        &[]
    }

    /// Answers a request to one of its endpoints. Runs on the control runtime.
    fn admin(&self, _request: AdminRequest, _env: &Env) -> BoxFuture<'static, AdminAnswer> {
        Box::pin(std::future::ready(AdminAnswer::not_found()))
    }

    /// The channel on which nodes tell each other of what its endpoints have done.
    fn channel(&self) -> Option<&'static str> {
        None
    }

    /// Does what another node has announced there; the instances are those of all workspaces. Runs on the control
    /// runtime.
    fn hear(&self, _data: &str, _instances: &[entities::Plugin], _env: &Env) {}
}

/// The names of the kinds that run the filters of `filter_chains`, for chains of services and for those of routes. The
/// proxy makes plugins of chains where it has such kinds; no record of `plugins` has such a name.
pub const FILTERS_OF_SERVICE: &str = "filters of a service";
pub const FILTERS_OF_ROUTE: &str = "filters of a route";

/// Makes a plugin and its entities known to a catalog. The error names the schema and its mistake.
pub fn register(kind: &dyn PluginKind, catalog: &mut Catalog) -> Result<(), String> {
    let parse = |name: &str, text: &str| {
        Schema::parse_with(text, kind.functions()).map_err(|e| format!("schema of {name}: {e}"))
    };
    for credential in kind.credentials() {
        catalog.add_entity(parse(credential.entity, credential.schema)?);
    }
    for text in kind.entities() {
        let entity = parse("an entity", text)?;
        if let Some((_, absent)) = entity.foreign_fields().find(|(_, to)| catalog.entity(to).is_none()) {
            return Err(format!("entity {} refers to {absent}, which is not there", entity.name));
        }
        if let Some(known) = catalog.entity(&entity.name) {
            // A plugin that was made out of a bundled one shares what that one keeps.
            if entity.fields().iter().all(|field| known.field(&field.name).is_some()) {
                continue;
            }
            return Err(format!("there is an entity {} already, with other fields", entity.name));
        }
        catalog.add_entity(entity);
    }
    if let Some(migrations) = kind.migrations() {
        catalog.add_migrations(migrations);
    }
    let schema = Arc::new(parse(kind.name(), kind.schema())?);
    catalog.add_plugin(
        kind.name(),
        PluginSchema { priority: kind.priority(), version: kind.version().to_owned(), schema },
    );
    Ok(())
}

/// A configured plugin. Its methods run on the workers: they share nothing mutable with a lock, allocate little and
/// never block. Only the phases named by [`Plugin::phases`] are called. A panic in one is caught, logged, and answers
/// 500; in a filter it cuts the client off, as [`Exchange::fail_filter`] does.
pub trait Plugin: Send + Sync {
    /// The phases in which it takes part.
    fn phases(&self) -> Phases;

    /// What it cannot do although its configuration asks for it, in plain words: the node says so as long as the
    /// instance is in force.
    fn degraded(&self) -> Option<String> {
        None
    }

    /// What the clients of its requests are asked for when they connect by TLS. Whether they show it, and what that is
    /// worth, is for the plugin to see ([`crate::Client::certificate`]).
    fn certificate_request(&self) -> Option<CertificateRequest> {
        None
    }

    /// While a client connects: the certificate for a server name, in lower case, for which the configuration has none,
    /// in place of the listener's own. Only global instances of the default workspace are called. The client waits:
    /// what takes long is given up.
    fn certificate<'a>(&'a self, _server_name: &'a str) -> LocalBoxFuture<'a, Option<Arc<CertifiedKey>>> {
        Box::pin(std::future::ready(None))
    }

    /// While a client connects by TLS, after certificates have been looked for. Only global instances of the default
    /// workspace are called. An error ends the connection. Clients of HTTP/3 do not come by here, and are refused.
    fn handshake<'a>(&'a self, _handshake: &'a mut Handshake) -> LocalBoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Before routing. Only global instances are called; route, service and consumer are not known yet.
    fn rewrite<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        Step::Next
    }

    /// After routing, before a target is chosen. May edit the request that goes upstream, set the consumer, or answer
    /// in its place. Of a stream (where it is called for plugins whose protocols say so) there is only the client, and
    /// an answer ends it.
    fn access<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        Step::Next
    }

    /// Whether the service's response, whose head alone is there, is held for the response phase. One that nobody wants
    /// streams, and comes to no such phase.
    fn wants_response(&self, _exchange: &Exchange) -> bool {
        true
    }

    /// The service's response is there whole, and the client has nothing of it yet: `exchange.response` and
    /// [`Exchange::response_body`] may be edited, or an answer takes the place of both. Called for responses of
    /// services only, before the header filters, and neither for gRPC nor for upgraded connections.
    fn response<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        Step::Next
    }

    /// An answer that is given in place of the service's, by a plugin or by the gateway itself ([`Answer::source`]):
    /// what is sent in its place, before the header filters. Called for what would have acted on the request, even
    /// where it came to no access phase; for a request without a route that is the global instances.
    fn exit(&self, _exchange: &mut Exchange, answer: Answer) -> Answer {
        answer
    }

    /// The head of the response (the service's or our own) is known and not sent yet: `exchange.response` may be
    /// edited. Where that cannot be done, [`Exchange::fail_filter`] keeps the response back.
    fn header_filter(&self, _exchange: &mut Exchange) {}

    /// The header filter of a plugin that may have to wait before the client gets the head: called in the place of
    /// [`Plugin::header_filter`] where [`Plugin::phases`] has [`Phases::HEADER_FILTER_WAITS`].
    fn header_filter_waiting<'a>(&'a self, exchange: &'a mut Exchange) -> Filtered<'a, ()> {
        self.header_filter(exchange);
        Filtered::Done(())
    }

    /// A piece of the response's content on its way to the client; returns what is sent in its place.
    /// `last` marks the end and comes exactly once, possibly with an empty piece. A plugin that changes the
    /// length drops `Content-Length` in its header filter.
    fn body_filter(&self, _exchange: &mut Exchange, piece: Bytes, _last: bool) -> Bytes {
        piece
    }

    /// The body filter of a plugin that may have to wait for what it sends: called in the place of
    /// [`Plugin::body_filter`] where [`Plugin::phases`] has [`Phases::BODY_FILTER_WAITS`]. No other piece is taken from
    /// the service meanwhile, and the client goes on being sent what came before.
    fn body_filter_waiting<'a>(&'a self, exchange: &'a mut Exchange, piece: Bytes, last: bool) -> Filtered<'a, Bytes> {
        Filtered::Done(self.body_filter(exchange, piece, last))
    }

    /// A message of the client of a WebSocket on its way to the service, a ping, pong or close included; it may be
    /// edited, dropped, or be the end. With a plugin that takes part in this phase or the next one, frames are read and
    /// written anew, and extensions of WebSocket are not offered to the service.
    fn ws_client_frame(&self, _exchange: &mut Exchange, _message: &mut WebSocketMessage) {}

    /// The same for a message of the service on its way to the client.
    fn ws_upstream_frame(&self, _exchange: &mut Exchange, _message: &mut WebSocketMessage) {}

    /// The exchange is over; nothing can be changed. Runs after the client has its last byte. What takes longer than
    /// noting something down goes through a [`crate::Queue`].
    fn log(&self, _exchange: &mut Exchange) {}
}

/// What follows from a phase.
pub enum Step<'a> {
    /// Go on with the next plugin.
    Next,
    /// Send this to the client; the remaining plugins of the phase and the service are skipped.
    Answer(Answer),
    /// Not decided yet: waits for something, without blocking the worker.
    Wait(LocalBoxFuture<'a, Step<'static>>),
}

/// What follows from a filter that may wait.
pub enum Filtered<'a, T> {
    /// Go on with this.
    Done(T),
    /// Not known yet: waits for something, without blocking the worker, and not for ever. An error, in words for the
    /// log, ends the response: the client is cut off, for it must not take what it has for the whole.
    Wait(LocalBoxFuture<'a, Result<T, String>>),
}

impl<T> Filtered<'_, T> {
    /// Follows a filter to its end.
    pub async fn settled(self) -> Result<T, String> {
        match self {
            Filtered::Done(done) => Ok(done),
            Filtered::Wait(waits) => waits.await,
        }
    }
}

/// A set of phases and of things a plugin needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Phases(u16);

impl Phases {
    pub const NONE: Phases = Phases(0);
    pub const REWRITE: Phases = Phases(1);
    pub const ACCESS: Phases = Phases(2);
    pub const HEADER_FILTER: Phases = Phases(4);
    pub const BODY_FILTER: Phases = Phases(8);
    pub const LOG: Phases = Phases(16);
    /// The whole request content must be in [`Exchange::body`] before the access phase.
    pub const READS_BODY: Phases = Phases(32);
    /// Content is read when [`Exchange::body`] is asked for it ([`crate::RequestBody::demand`]) in the rewrite or
    /// access phase; what has come with the head, or is read for another plugin, is there before.
    pub const MAY_READ_BODY: Phases = Phases(32768);
    /// [`Exchange::kept_lines`] (and [`Exchange::kept_content`] with what plugins have read) is filled in before the
    /// request becomes one for a service.
    pub const KEEPS_LINES: Phases = Phases(64);
    /// [`Plugin::certificate`] is called.
    pub const CERTIFICATE: Phases = Phases(128);
    /// Responses of services are held until [`Plugin::response`] has seen them, as [`Plugin::wants_response`] says.
    pub const RESPONSE: Phases = Phases(256);
    /// Answers in place of the service's go through [`Plugin::exit`].
    pub const EXIT: Phases = Phases(512);
    pub const WS_CLIENT_FRAME: Phases = Phases(1024);
    pub const WS_UPSTREAM_FRAME: Phases = Phases(2048);
    /// [`Plugin::handshake`] is called.
    pub const HANDSHAKE: Phases = Phases(4096);
    /// [`Phases::HEADER_FILTER`], by [`Plugin::header_filter_waiting`].
    pub const HEADER_FILTER_WAITS: Phases = Phases(4 | 8192);
    /// [`Phases::BODY_FILTER`], by [`Plugin::body_filter_waiting`].
    pub const BODY_FILTER_WAITS: Phases = Phases(8 | 16384);

    /// Both sets together.
    pub const fn and(self, other: Phases) -> Phases {
        Phases(self.0 | other.0)
    }

    /// With [`Phases::KEEPS_LINES`] where there is a phase after a service has been asked: for code that may look at
    /// the request in any of them.
    pub const fn looking_back(self) -> Phases {
        let later = Phases::HEADER_FILTER.and(Phases::BODY_FILTER).and(Phases::RESPONSE).and(Phases::LOG);
        let messages = Phases::WS_CLIENT_FRAME.and(Phases::WS_UPSTREAM_FRAME);
        if self.has_any(later.and(messages)) { self.and(Phases::KEEPS_LINES) } else { self }
    }

    /// Whether anything of `other` is in the set.
    pub const fn has_any(self, other: Phases) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all of `other` is in the set.
    pub const fn has(self, other: Phases) -> bool {
        self.0 & other.0 == other.0
    }
}
