//! Runs plugins without sockets: exchanges made from a few words, a directory made from lists, and the phases in order.
//! What plugins reach outside is played by a [`Server`].

mod kept;
mod redis_server;
mod server;

pub use kept::{Kept, records};
pub use redis_server::RedisServer;
pub use server::{Peer, Server};

use crate::{
    Answer, Bytes, CertificateDer, Client, Configuration, CredentialEntity, Directory, Env, Exchange, Fields, Parsed,
    Phases, Plugin, PluginKind, Portion, RequestHead, SnapshotRef, Source, Step, Timing,
};
use model::Record;
use model::entities::{
    Consumer, ConsumerGroup, Credential, DEFAULT_WORKSPACE, GroupRates, Protocol, Route, Service, Uuid,
};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use wire::Method;

/// The request id of every exchange made here.
pub const ID: &str = "0123456789abcdef0123456789abcdef";

/// A directory that holds what it is given.
#[derive(Default)]
pub struct Entries {
    pub consumers: Vec<SnapshotRef<Consumer>>,
    /// Entity, key, credential.
    pub credentials: Vec<(String, SnapshotRef<Credential>)>,
    /// Groups, and a consumer in each.
    pub consumer_groups: Vec<(SnapshotRef<ConsumerGroup>, Uuid)>,
    /// Records of `ca_certificates`.
    pub authorities: Vec<(Uuid, CertificateDer<'static>)>,
}

/// A request from 127.0.0.1 as the gateway has it after routing to a service at `/`.
pub fn exchange(method: &str, target: &str, lines: &[(&str, &str)]) -> Exchange {
    exchange_with(method, target, lines, Directory::empty())
}

/// As [`exchange`], with consumers and credentials.
pub fn exchange_with(method: &str, target: &str, lines: &[(&str, &str)], directory: Directory) -> Exchange {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let client = Client {
        peer: ip,
        peer_port: 40000,
        port: 40000,
        ip,
        trusted: false,
        https: false,
        local_ip: ip,
        local_port: 8000,
        public_port: 8000,
        tls: None,
        certificate: None,
        certificate_asked: false,
        connected: Instant::now(),
        connection: 1,
        request: 1,
        sni: None,
    };
    let request = RequestHead {
        method: Method::new(method.as_bytes()),
        target: target.to_owned(),
        fields: lines.iter().copied().collect(),
        ..RequestHead::default()
    };
    let mut id = [0; 32];
    id.copy_from_slice(ID.as_bytes());
    let started_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    let timing = Timing { started: Instant::now(), started_unix_ms, upstream: None, proxy: None };
    let mut exchange = Exchange::new(id, client, request, timing, directory);
    exchange.upstream.path = exchange.request.path().to_owned();
    exchange.upstream.query = exchange.request.query().map(str::to_owned);
    exchange.upstream.protocol = Protocol::Http;
    exchange.source = Source::Service;
    exchange
}

/// A route with these fields, and an id and protocols where they name none.
pub fn route(fields: Value) -> SnapshotRef<Route> {
    let record = completed(fields, json!({ "id": Uuid::from_u128(2).to_string(), "protocols": ["http"] }));
    SnapshotRef::from(Route::from_record(&record).unwrap_or_else(|e| panic!("route: {e}")))
}

/// A service with these fields, and an id, a protocol and a host where they name none.
pub fn service(fields: Value) -> SnapshotRef<Service> {
    let usual = json!({ "id": Uuid::from_u128(3).to_string(), "protocol": "http", "host": "service.test" });
    SnapshotRef::from(Service::from_record(&completed(fields, usual)).unwrap_or_else(|e| panic!("service: {e}")))
}

fn completed(fields: Value, mut usual: Value) -> Record {
    let (Value::Object(fields), Some(record)) = (fields, usual.as_object_mut()) else { panic!("no record") };
    record.extend(fields);
    std::mem::take(record)
}

/// What a future gives that has nothing to wait for.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for something that a test without sockets does not have"),
    }
}

/// An instance with that configuration; its schema is not consulted, so `config` has to be complete.
pub fn configure(kind: &dyn PluginKind, config: Value, env: &Env) -> Box<dyn Plugin> {
    let record = json!({
        "id": Uuid::from_u128(1).to_string(), "name": kind.name(), "protocols": ["http"], "enabled": true,
        "config": config
    });
    let Value::Object(record) = record else { unreachable!("the literal above is an object") };
    let plugin = model::entities::Plugin::from_record(&record).unwrap_or_else(|e| panic!("record: {e}"));
    kind.configure(&plugin, env).unwrap_or_else(|e| panic!("{}: {e}", kind.name()))
}

/// Runs the access phase; the answer, if the plugin gave one.
pub fn access(plugin: &dyn Plugin, exchange: &mut Exchange) -> Option<Answer> {
    let answer = finish(plugin.access(exchange));
    note(exchange, answer.as_ref());
    answer
}

/// As [`access`], for a plugin that waits for something outside.
pub async fn access_waiting(plugin: &dyn Plugin, exchange: &mut Exchange) -> Option<Answer> {
    let mut answer = settle(plugin.access(exchange)).await;
    // All that it sends, as one.
    if let (Some(answer), Some(mut continuation)) = (&mut answer, exchange.continuation.take()) {
        let mut content = answer.body.to_vec();
        while let Portion::Content(piece) | Portion::Last(piece) = continuation.next(exchange).await {
            content.extend_from_slice(&piece);
        }
        answer.body = content.into();
    }
    note(exchange, answer.as_ref());
    answer
}

/// Gives a response of the service to the plugin's filters and the log phase; returns the content that the client gets.
pub fn respond(
    plugin: &dyn Plugin,
    exchange: &mut Exchange,
    status: u16,
    lines: &[(&str, &str)],
    body: &[&str],
) -> String {
    let body: Vec<&[u8]> = body.iter().map(|piece| piece.as_bytes()).collect();
    let octets = respond_octets(plugin, exchange, status, lines, &body);
    String::from_utf8(octets).unwrap_or_else(|e| panic!("the content is no text: {e}"))
}

/// As [`respond`], for content that is no text.
pub fn respond_octets(
    plugin: &dyn Plugin,
    exchange: &mut Exchange,
    status: u16,
    lines: &[(&str, &str)],
    body: &[&[u8]],
) -> Vec<u8> {
    ready(respond_waiting(plugin, exchange, status, lines, body)).unwrap_or_else(|e| panic!("a filter failed: {e}"))
}

/// As [`respond_octets`], for a plugin whose filters wait for something outside; an error is that of a filter.
pub async fn respond_waiting(
    plugin: &dyn Plugin,
    exchange: &mut Exchange,
    status: u16,
    lines: &[(&str, &str)],
    body: &[&[u8]],
) -> Result<Vec<u8>, String> {
    exchange.response.status = status;
    exchange.response.fields = lines.iter().copied().collect::<Fields>();
    apply_reply(exchange);
    let phases = plugin.phases();
    match phases.has(Phases::HEADER_FILTER_WAITS) {
        true => plugin.header_filter_waiting(exchange).settled().await?,
        false => plugin.header_filter(exchange),
    }
    if exchange.filter_has_failed() {
        return Err("the header filter has failed".to_owned());
    }
    let mut out = Vec::new();
    let pieces = body.iter().map(|piece| (Bytes::copy_from_slice(piece), false)).chain([(Bytes::new(), true)]);
    for (piece, last) in pieces {
        let filtered = match phases.has(Phases::BODY_FILTER_WAITS) {
            true => plugin.body_filter_waiting(exchange, piece, last).settled().await?,
            false => plugin.body_filter(exchange, piece, last),
        };
        if exchange.filter_has_failed() {
            return Err("the body filter has failed".to_owned());
        }
        out.extend_from_slice(&filtered);
    }
    plugin.log(exchange);
    Ok(out)
}

impl Entries {
    /// Adds a consumer.
    pub fn consumer(&mut self, username: &str, custom_id: Option<&str>) -> SnapshotRef<Consumer> {
        let id = Uuid::new_v4();
        let consumer = SnapshotRef::from(Consumer {
            id,
            workspace: DEFAULT_WORKSPACE,
            username: Some(username.to_owned()),
            custom_id: custom_id.map(str::to_owned),
            created_at: 1_700_000_000,
            updated_at: 1_700_000_000,
            tags: Box::default(),
        });
        self.consumers.push(consumer.clone());
        consumer
    }

    /// Adds a group that the consumer is in.
    pub fn consumer_group(&mut self, name: &str, consumer: &Consumer) -> SnapshotRef<ConsumerGroup> {
        self.group_with_rates(name, consumer, None)
    }

    /// As [`Entries::consumer_group`], with limits of its own.
    pub fn group_with_rates(
        &mut self,
        name: &str,
        consumer: &Consumer,
        rates: Option<GroupRates>,
    ) -> SnapshotRef<ConsumerGroup> {
        let (id, name) = (Uuid::new_v4(), name.to_owned());
        let group = ConsumerGroup { id, workspace: DEFAULT_WORKSPACE, name, tags: Vec::new(), rates };
        let group = SnapshotRef::from(group);
        self.consumer_groups.push((group.clone(), consumer.id));
        group
    }

    /// Adds a credential of a consumer, found by `key`.
    pub fn credential(&mut self, entity: &str, key: &str, consumer: &Consumer) -> SnapshotRef<Credential> {
        self.put(entity, key, consumer, None)
    }

    /// As [`Entries::credential`], with fields of which the plugin makes what it makes of records.
    pub fn credential_of(
        &mut self,
        entity: &CredentialEntity,
        key: &str,
        consumer: &Consumer,
        fields: Value,
    ) -> SnapshotRef<Credential> {
        let Value::Object(record) = fields else { panic!("a record is an object") };
        let parsed = entity.parse.map(|parse| parse(&record).unwrap_or_else(|e| panic!("{}: {e}", entity.entity)));
        self.put(entity.entity, key, consumer, parsed)
    }

    fn put(&mut self, entity: &str, key: &str, consumer: &Consumer, parsed: Option<Parsed>) -> SnapshotRef<Credential> {
        let credential = SnapshotRef::from(Credential {
            id: Uuid::new_v4(),
            workspace: DEFAULT_WORKSPACE,
            consumer: Some(consumer.id),
            expiry: None,
            key: key.into(),
            parsed,
        });
        self.credentials.push((entity.to_owned(), credential.clone()));
        credential
    }
}

impl Configuration for Entries {
    fn credential(self: Rc<Self>, workspace: &Uuid, entity: &str, key: &[u8]) -> Option<SnapshotRef<Credential>> {
        let is = |(e, c): &&(String, SnapshotRef<Credential>)| {
            e == entity && c.key.as_bytes() == key && c.workspace == *workspace
        };
        self.credentials.iter().find(is).map(|(_, credential)| credential.clone())
    }

    fn credentials_of(self: Rc<Self>, entity: &str, consumer: &Uuid) -> Option<SnapshotRef<[Arc<Credential>]>> {
        let owned = |c: &&(String, SnapshotRef<Credential>)| c.0 == entity && c.1.consumer == Some(*consumer);
        let all: Vec<_> = self.credentials.iter().filter(owned).map(|c| Arc::new(Credential::clone(&c.1))).collect();
        (!all.is_empty()).then(|| SnapshotRef::from(all).part(|all| all.as_slice()))
    }

    fn consumer(self: Rc<Self>, workspace: &Uuid, id: &Uuid) -> Option<SnapshotRef<Consumer>> {
        self.consumers.iter().find(|c| c.workspace == *workspace && c.id == *id).cloned()
    }

    fn consumer_by_username(self: Rc<Self>, workspace: &Uuid, username: &str) -> Option<SnapshotRef<Consumer>> {
        let is = |c: &&SnapshotRef<Consumer>| c.workspace == *workspace && c.username.as_deref() == Some(username);
        self.consumers.iter().find(is).cloned()
    }

    fn consumer_groups(self: Rc<Self>, consumer: &Uuid) -> Vec<SnapshotRef<ConsumerGroup>> {
        let of_consumer = self.consumer_groups.iter().filter(|(_, of)| of == consumer);
        let mut groups: Vec<_> = of_consumer.map(|(group, _)| group.clone()).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        groups
    }

    fn authority(self: Rc<Self>, id: &Uuid) -> Option<SnapshotRef<CertificateDer<'static>>> {
        let found = self.authorities.iter().find(|(known, _)| known == id);
        found.map(|(_, authority)| SnapshotRef::from(authority.clone()))
    }

    fn consumer_group_by_name(self: Rc<Self>, workspace: &Uuid, name: &str) -> Option<SnapshotRef<ConsumerGroup>> {
        let found = self.consumer_groups.iter().find(|(g, _)| g.workspace == *workspace && g.name == name);
        found.map(|(group, _)| group.clone())
    }
}

impl From<Entries> for Directory {
    fn from(entries: Entries) -> Directory {
        Directory::new(Rc::new(entries))
    }
}

/// What the gateway does with [`Exchange::reply`]: its lines replace those of the same name.
fn apply_reply(exchange: &mut Exchange) {
    for (name, _) in exchange.reply.iter() {
        exchange.response.fields.remove(name);
    }
    for (name, value) in exchange.reply.iter() {
        exchange.response.fields.append(name, value);
    }
}

/// Takes an answer for the response.
fn note(exchange: &mut Exchange, answer: Option<&Answer>) {
    let Some(answer) = answer else { return };
    exchange.source = answer.source;
    exchange.response.status = answer.status;
    exchange.response.fields = answer.fields.clone();
    apply_reply(exchange);
}

/// Follows a step to its end.
async fn settle(mut step: Step<'_>) -> Option<Answer> {
    loop {
        step = match step {
            Step::Next => return None,
            Step::Answer(answer) => return Some(answer),
            Step::Wait(future) => future.await,
        }
    }
}

/// Follows a step to its end; plugins that wait for something outside cannot be tested this way.
fn finish(step: Step<'_>) -> Option<Answer> {
    ready(settle(step))
}
