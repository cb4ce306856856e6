//! One request and its response, as plugins see and edit them.

use crate::log::LogValue;
use crate::recording::Recording;
use crate::{
    Bytes, ClientCertificate, ClientSocket, Continuation, Directory, Fields, GivenIds, RequestBody, RequestDebug,
    SnapshotRef, Timeouts, Trace, Try, UpstreamRequest, path,
};
use model::entities::{Consumer, ConsumerGroup, Credential, DEFAULT_WORKSPACE, Protocol, Route, Service, Uuid};
use std::any::Any;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::h1::Traffic;
use wire::{RequestHead, ResponseHead};

/// An exchange: made by the gateway when the head of a request has been read, dropped after the log phase. A connection
/// of a stream (layer 4) is one too, with an empty request.
///
/// What is large is boxed, and stays so for the next one: an exchange is handed to code in Lua and back in each phase.
pub struct Exchange {
    /// 32 hexadecimal digits; goes to the service and to the client as `X-Kong-Request-Id`.
    pub id: [u8; 32],
    pub client: Box<Client>,
    /// What is known of it as a stream, where it is one.
    pub stream: Option<StreamSession>,
    /// Method, target and version are what the client sent; `fields` are what the service will get, and may be edited.
    pub request: Box<RequestHead>,
    /// The lines of the request before they became those of a request to a service, when the log phase wants them
    /// ([`crate::Phases::KEEPS_LINES`]).
    pub kept_lines: Option<Box<Fields>>,
    /// The content of the request, when a plugin asked for it; other content that is set here is sent in its place.
    pub body: RequestBody,
    /// How much content the client may send, where a plugin says so ([`Exchange::limit_content`]).
    pub content_limit: Option<ContentLimit>,
    /// The connection of a stream's client, while plugins may read and write there: in the access phase (Kong's
    /// `preread`).
    pub socket: Option<ClientSocket>,
    pub route: Option<SnapshotRef<Route>>,
    pub service: Option<SnapshotRef<Service>>,
    /// Groups of a regex path by name and position (0: all of it) in octets, for `uri_capture` and transformers.
    pub captures: Vec<(String, Vec<u8>)>,
    pub consumer: Option<SnapshotRef<Consumer>>,
    pub credential: Option<SnapshotRef<Credential>>,
    /// What code has called the caller where that is no UUID.
    pub given_ids: GivenIds,
    /// The groups of the caller, where an authentication plugin has learnt them elsewhere than from our own records.
    pub authenticated_groups: Option<Vec<String>>,
    /// The consumer groups of the caller, sorted by name, where an authentication plugin has learnt them elsewhere.
    /// They take the place of those of the consumer ([`Exchange::consumer_groups`]).
    pub authenticated_consumer_groups: Option<Vec<SnapshotRef<ConsumerGroup>>>,
    /// The signed token by which the caller is known, for plugins that want to read it.
    pub token: Option<Box<[u8]>>,
    pub upstream: Box<UpstreamRequest>,
    /// Valid from the header filter on.
    pub response: Box<ResponseHead>,
    /// Whether the service's response is held as for the response phase, though nobody takes part in that.
    pub holds_response: bool,
    /// See [`Exchange::fail_filter`].
    filter_failed: bool,
    /// See [`Exchange::replace_response`].
    replaced: bool,
    /// All content of the service's response, where it is held for the response phase
    /// ([`crate::Phases::RESPONSE`]); other content that is set there is sent in its place.
    pub response_body: Option<Bytes>,
    /// What makes the content of an answer after its head, where a plugin sends it piece by piece: the answer has none.
    pub continuation: Option<Box<dyn Continuation>>,
    /// What the service says of buffering (`X-Accel-Buffering`), which its client is not told.
    pub buffering: Option<bool>,
    /// The trailers of the service's response, as soon as its last piece of content is filtered.
    pub trailers: Option<Box<Fields>>,
    pub source: Source,
    /// Lines that the response will have in any case; set in the rewrite and access phases, they replace those of the
    /// service.
    pub reply: Box<Fields>,
    pub timing: Timing,
    /// What request and response took on the client's connection; known in the log phase.
    pub traffic: Traffic,
    /// Tries at services, in order.
    pub tries: Vec<Try>,
    /// What plugins want in log entries beside what all have ([`crate::log::serialize`]).
    pub log_values: Vec<LogValue>,
    /// The response has been sent to its end.
    pub complete: bool,
    /// Octets of the response's content before and after it was compressed here, where it was.
    pub compressed: Option<(u64, u64)>,
    /// The content of the request, where it fits in memory and a log or a line asks for it.
    pub kept_content: Option<Bytes>,
    /// What was timed, where the node traces.
    pub trace: Option<Box<Trace>>,
    /// What was timed, where the client has asked for it.
    pub debug: Option<Box<RequestDebug>>,
    /// Its course, where somebody wants to see it.
    pub recording: Option<Box<Recording>>,
    /// The configuration this exchange runs under.
    pub directory: Directory,
    state: Vec<Box<dyn Any + Send>>,
    /// Memory for the next [`Exchange::keep_lines`].
    spare_lines: Option<Box<Fields>>,
}

/// Who sent the request.
#[derive(Clone, Debug)]
pub struct Client {
    /// The address the connection comes from.
    pub peer: IpAddr,
    pub peer_port: u16,
    /// The address of the client itself: `peer`, or what a trusted proxy in front of us says.
    pub ip: IpAddr,
    /// The port with it; 0 when the proxy does not tell it.
    pub port: u16,
    /// Whether `peer` is in `trusted_ips`.
    pub trusted: bool,
    /// `https` when the client used TLS, or a trusted proxy says so.
    pub https: bool,
    /// The address and port of ours that was connected to.
    pub local_ip: IpAddr,
    pub local_port: u16,
    /// The port by which clients reach ours (`port_maps`).
    pub public_port: u16,
    /// How the connection is secured, where it is.
    pub tls: Option<Tls>,
    /// What the client has shown, where it was asked and has shown something.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Whether it was asked.
    pub certificate_asked: bool,
    /// When the connection was accepted.
    pub connected: Instant,
    /// The number of the connection on its worker, and that of the request on the connection, both from 1.
    pub connection: u64,
    pub request: u64,
    /// The server name the client asked for in TLS.
    pub sni: Option<Arc<str>>,
}

/// How a client's connection is secured, in OpenSSL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.3`, say.
    pub version: &'static str,
    /// Empty where it is not known, as of QUIC.
    pub cipher: &'static str,
    /// The group of the key exchange (`X25519`, say); empty where it is not known.
    pub group: &'static str,
    /// The protocol that was agreed on by ALPN; empty without one.
    pub alpn: &'static str,
    /// Whether it goes on with a session of before.
    pub resumed: bool,
    /// What the client's certificate came to: `SUCCESS`, `FAILED`, or `NONE` without one.
    pub client_verify: &'static str,
}

/// Who made the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The service behind the gateway.
    Service,
    /// A plugin's answer.
    Exit,
    /// The gateway itself (no route, no target, a failed service).
    Error,
}

/// A limit for the content of a request, and what a client is told whose content goes beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentLimit {
    pub octets: u64,
    pub status: u16,
    pub message: &'static str,
}

/// A connection that is relayed instead of read: what Kong calls a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSession {
    /// tcp, tls, tls_passthrough or udp.
    pub protocol: Protocol,
    /// Octets from the service, and to it.
    pub from_service: u64,
    pub to_service: u64,
}

/// When things happened.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The head of the request had been read.
    pub started: Instant,
    /// The same as milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Spent waiting for the service, from the first try to the head of the response; or for what a plugin has asked
    /// for the answer, which nobody was tried for ([`Timing::proxy`] is `None` then).
    pub upstream: Option<Duration>,
    /// Spent in the gateway before that.
    pub proxy: Option<Duration>,
}

impl Exchange {
    /// An exchange whose request has just arrived.
    pub fn new(id: [u8; 32], client: Client, request: RequestHead, timing: Timing, directory: Directory) -> Exchange {
        Exchange {
            id,
            client: Box::new(client),
            stream: None,
            request: Box::new(request),
            kept_lines: None,
            body: RequestBody::Unread,
            content_limit: None,
            socket: None,
            route: None,
            service: None,
            captures: Vec::new(),
            consumer: None,
            credential: None,
            given_ids: GivenIds::default(),
            authenticated_groups: None,
            authenticated_consumer_groups: None,
            token: None,
            upstream: Box::new(UpstreamRequest::new()),
            response: Box::default(),
            holds_response: false,
            filter_failed: false,
            replaced: false,
            response_body: None,
            continuation: None,
            buffering: None,
            trailers: None,
            source: Source::Error,
            reply: Box::default(),
            timing,
            traffic: Traffic::default(),
            tries: Vec::new(),
            log_values: Vec::new(),
            complete: false,
            compressed: None,
            kept_content: None,
            trace: None,
            debug: None,
            recording: None,
            directory,
            state: Vec::new(),
            spare_lines: None,
        }
    }

    /// An exchange of nobody, for what has to hold one.
    pub fn empty() -> Exchange {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let client = Client {
            peer: nowhere,
            peer_port: 0,
            ip: nowhere,
            port: 0,
            trusted: false,
            https: false,
            local_ip: nowhere,
            local_port: 0,
            public_port: 0,
            tls: None,
            certificate: None,
            certificate_asked: false,
            connected: Instant::now(),
            connection: 0,
            request: 0,
            sni: None,
        };
        let timing = Timing { started: Instant::now(), started_unix_ms: 0, upstream: None, proxy: None };
        Exchange::new([b'0'; 32], client, RequestHead::default(), timing, Directory::empty())
    }

    /// Forgets everything of an exchange that is over and keeps the memory, and the directory, for another one.
    pub fn clear(&mut self) {
        self.stream = None;
        self.request.fields.clear();
        self.request.target.clear();
        self.spare_lines = self.kept_lines.take().or(self.spare_lines.take());
        self.body = RequestBody::Unread;
        self.content_limit = None;
        self.socket = None;
        self.route = None;
        self.service = None;
        self.captures.clear();
        self.consumer = None;
        self.credential = None;
        self.given_ids.clear();
        self.authenticated_groups = None;
        self.authenticated_consumer_groups = None;
        self.token = None;
        self.upstream.method = None;
        self.upstream.host = None;
        self.upstream.path.clear();
        self.upstream.query = None;
        self.upstream.host_header = None;
        self.upstream.forwarded.clear();
        self.upstream.timeouts = None;
        self.upstream.retries = None;
        self.upstream.on_retry = None;
        self.upstream.tls = None;
        self.response.fields.clear();
        self.response.status = 0;
        self.holds_response = false;
        self.filter_failed = false;
        self.replaced = false;
        self.response_body = None;
        self.continuation = None;
        self.buffering = None;
        self.trailers = None;
        self.source = Source::Error;
        self.reply.clear();
        (self.timing.upstream, self.timing.proxy) = (None, None);
        self.traffic = Traffic::default();
        self.tries.clear();
        self.log_values.clear();
        self.complete = false;
        self.compressed = None;
        self.kept_content = None;
        self.trace = None;
        self.debug = None;
        self.recording = None;
        self.state.clear();
    }

    /// A copy for what goes on after the exchange, without contents and what plugins have kept.
    pub fn copied(&self) -> Exchange {
        Exchange {
            id: self.id,
            client: self.client.clone(),
            stream: self.stream,
            request: self.request.clone(),
            kept_lines: self.kept_lines.clone(),
            body: RequestBody::Unread,
            content_limit: self.content_limit,
            socket: None,
            route: self.route.clone(),
            service: self.service.clone(),
            captures: self.captures.clone(),
            consumer: self.consumer.clone(),
            credential: self.credential.clone(),
            given_ids: self.given_ids.clone(),
            authenticated_groups: self.authenticated_groups.clone(),
            authenticated_consumer_groups: self.authenticated_consumer_groups.clone(),
            token: self.token.clone(),
            upstream: self.upstream.clone(),
            response: self.response.clone(),
            holds_response: false,
            filter_failed: false,
            replaced: false,
            response_body: None,
            continuation: None,
            buffering: self.buffering,
            trailers: self.trailers.clone(),
            source: self.source,
            reply: self.reply.clone(),
            timing: self.timing.clone(),
            traffic: self.traffic,
            tries: self.tries.clone(),
            log_values: self.log_values.clone(),
            complete: self.complete,
            compressed: self.compressed,
            kept_content: None,
            trace: None,
            debug: None,
            recording: None,
            directory: self.directory.clone(),
            state: Vec::new(),
            spare_lines: None,
        }
    }

    /// Lets go of the configuration, for an exchange that goes on for long: what it has of it are copies from now on,
    /// and nothing more can be looked up.
    pub fn detach(&mut self) {
        self.route = self.route.take().map(|route| route.detached());
        self.service = self.service.take().map(|service| service.detached());
        self.consumer = self.consumer.take().map(|consumer| consumer.detached());
        self.credential = self.credential.take().map(|credential| credential.detached());
        let groups = self.authenticated_consumer_groups.take();
        self.authenticated_consumer_groups = groups.map(|groups| groups.iter().map(SnapshotRef::detached).collect());
        self.directory = Directory::empty();
    }

    /// How long the service may take.
    pub fn timeouts(&self) -> Timeouts {
        let of_record = |service: &Service| Timeouts {
            connect: service.connect_timeout,
            read: service.read_timeout,
            write: service.write_timeout,
        };
        let none = Timeouts { connect: Duration::ZERO, read: Duration::ZERO, write: Duration::ZERO };
        self.upstream.timeouts.unwrap_or_else(|| self.service.as_deref().map_or(none, of_record))
    }

    /// The workspace of the route; without a route, the default one.
    pub fn workspace(&self) -> Uuid {
        self.route.as_ref().map_or(DEFAULT_WORKSPACE, |route| route.workspace)
    }

    /// [`Directory::credential`] in the exchange's workspace.
    pub fn find_credential(&self, entity: &str, key: &[u8]) -> Option<SnapshotRef<Credential>> {
        self.directory.credential(&self.workspace(), entity, key)
    }

    /// [`Directory::consumer`] in the exchange's workspace.
    pub fn find_consumer(&self, id: &Uuid) -> Option<SnapshotRef<Consumer>> {
        self.directory.consumer(&self.workspace(), id)
    }

    /// [`Directory::consumer_by_username`] in the exchange's workspace.
    pub fn find_consumer_by_username(&self, username: &str) -> Option<SnapshotRef<Consumer>> {
        self.directory.consumer_by_username(&self.workspace(), username)
    }

    /// The consumer groups of the caller, sorted by name.
    pub fn consumer_groups(&self) -> Vec<SnapshotRef<ConsumerGroup>> {
        match (&self.authenticated_consumer_groups, &self.consumer) {
            (Some(groups), _) => groups.clone(),
            (None, Some(consumer)) => self.directory.consumer_groups(&consumer.id),
            (None, None) => Vec::new(),
        }
    }

    /// The request id as text.
    pub fn id_str(&self) -> &str {
        std::str::from_utf8(&self.id).unwrap_or_default()
    }

    /// Keeps a value of the plugin's own type for its later phases, replacing one of the same type.
    pub fn put<T: Any + Send>(&mut self, value: T) {
        let value: Box<dyn Any + Send> = Box::new(value);
        match self.state.iter_mut().find(|s| s.is::<T>()) {
            Some(slot) => *slot = value,
            None => self.state.push(value),
        }
    }

    /// The value that was [`put`](Exchange::put), if there is one of that type.
    pub fn state<T: Any + Send>(&mut self) -> Option<&mut T> {
        self.state.iter_mut().find_map(|s| s.downcast_mut())
    }

    /// Takes the value that was [`put`](Exchange::put) out again.
    pub fn take<T: Any + Send>(&mut self) -> Option<T> {
        let at = self.state.iter().position(|s| s.is::<T>())?;
        self.state.swap_remove(at).downcast().ok().map(|b| *b)
    }

    /// The path in the normal form in which routes see it, without query (`kong.request.get_path`).
    pub fn path(&self) -> Cow<'_, str> {
        let path = self.request.path();
        // What has no normal form gets no further than to an answer of ours.
        path::normalise(path).unwrap_or(Cow::Borrowed(path))
    }

    /// The host that was asked, in lower case and without port (`kong.request.get_host`).
    pub fn host(&self) -> String {
        let line = self.client_lines().get_str("Host").unwrap_or("kong");
        let port = line.rfind(':').filter(|at| line[at + 1..].bytes().all(|b| b.is_ascii_digit()));
        line[..port.unwrap_or(line.len())].to_ascii_lowercase()
    }

    /// Keeps the lines of the request as they are now, for phases after they have become those of a request to a
    /// service.
    pub fn keep_lines(&mut self) {
        let mut lines = self.spare_lines.take().unwrap_or_default();
        (*lines).clone_from(&self.request.fields);
        self.kept_lines = Some(lines);
    }

    /// The lines of the client's request, with the edits of plugins: also when a service has been told others
    /// ([`crate::Phases::KEEPS_LINES`]).
    pub fn client_lines(&self) -> &Fields {
        self.kept_lines.as_deref().unwrap_or(&self.request.fields)
    }

    /// Lets the client send no more content than that, in the access phase: the request is refused with that status as
    /// soon as there is more, whether its length was announced or not. Of several limits the lowest holds.
    pub fn limit_content(&mut self, octets: u64, status: u16, message: &'static str) {
        if self.content_limit.is_none_or(|limit| octets < limit.octets) {
            self.content_limit = Some(ContentLimit { octets, status, message });
        }
    }

    /// Says in a filter that it cannot do its work. What it was to see does not go on: no later filter runs, and the
    /// client is cut off without the rest of the response, as in Kong. The log phase still comes.
    pub fn fail_filter(&mut self) {
        self.filter_failed = true;
    }

    /// Says in a header filter that the client gets other content than the service's, which the body filter gives at
    /// the end: nothing more of the service is waited for. A connection that was to be upgraded is not.
    pub fn replace_response(&mut self) {
        self.replaced = true;
    }

    /// Whether a header filter has said that.
    pub fn response_is_replaced(&self) -> bool {
        self.replaced
    }

    /// Whether a filter has failed.
    pub fn filter_has_failed(&self) -> bool {
        self.filter_failed
    }

    /// The id of the consumer or the credential as it is shown: what code has given, or the UUID.
    pub fn shown_id(&self, id: &Uuid) -> String {
        self.given_ids.text(id).map_or_else(|| id.to_string(), str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{self, Entries};

    #[test]
    fn the_next_exchange_knows_nothing_of_the_last_one() {
        let mut exchange = testing::exchange("GET", "/", &[]);
        let id = exchange.given_ids.take("ann");
        exchange.traffic.sent = 5;
        exchange.clear();
        assert_eq!((exchange.given_ids.text(&id), exchange.traffic.sent), (None, 0));
    }

    #[test]
    fn identity_lines_of_the_client_are_replaced() {
        let mut entries = Entries::default();
        let ada = entries.consumer("ada", None);
        let credential = entries.credential("keyauth_credentials", "k", &ada);
        let fake =
            [("X-Consumer-Custom-ID", "fake"), ("x-anonymous-consumer", "true"), ("X-Credential-Identifier", "fake")];
        let mut exchange = testing::exchange("GET", "/", &fake);
        exchange.authenticate(Some(ada.clone()), Some(credential.clone()));
        let get = |name: &str| exchange.request.fields.get_str(name).map(str::to_owned);
        assert_eq!(get("X-Consumer-ID"), Some(ada.id.to_string()));
        assert_eq!(get("X-Consumer-Username"), Some("ada".to_owned()));
        assert_eq!(get("X-Consumer-Custom-ID"), None);
        assert_eq!(get("X-Anonymous-Consumer"), None);
        assert_eq!(get("X-Credential-Identifier"), Some(credential.id.to_string()));
        exchange.authenticate(Some(ada), None);
        let get = |name: &str| exchange.request.fields.get_str(name);
        assert_eq!(get("X-Credential-Identifier"), None);
        assert_eq!(get("X-Anonymous-Consumer"), Some("true"));
    }

    #[test]
    fn a_credential_without_its_consumer_is_worth_nothing() {
        let mut entries = Entries::default();
        let ada = entries.consumer("ada", None);
        let credential = entries.credential("keyauth_credentials", "k", &ada);
        let mut exchange = testing::exchange("GET", "/", &[]);
        assert!(!exchange.authenticate_by(credential.clone()));
        assert!(exchange.credential.is_none());
        exchange.directory = entries.into();
        assert!(exchange.authenticate_by(credential));
        assert_eq!(exchange.request.fields.get_str("X-Consumer-Username"), Some("ada"));
    }

    #[test]
    fn paths_are_normal() {
        assert_eq!(testing::exchange("GET", "//a/x/../%62?q=/./", &[]).path(), "/a/b");
        assert_eq!(testing::exchange("OPTIONS", "*", &[]).path(), "*");
    }

    #[test]
    fn the_host_has_no_port() {
        let host = |line: &str| testing::exchange("GET", "/", &[("Host", line)]).host();
        assert_eq!(host("A.test:8000"), "a.test");
        assert_eq!(host("[::1]:80"), "[::1]");
        assert_eq!(host("a"), "a");
    }

    #[test]
    fn state_is_kept_by_type() {
        let mut exchange = testing::exchange("GET", "/", &[]);
        exchange.put(1u8);
        exchange.put(2u8);
        exchange.put("text");
        assert_eq!(exchange.state::<u8>().copied(), Some(2));
        assert_eq!(exchange.take::<&str>(), Some("text"));
        assert_eq!(exchange.take::<&str>(), None);
    }
}
