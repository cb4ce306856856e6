//! One request, from its head to the log phase.

use super::attempt::{self, Attempted};
use super::payload::Payload;
use super::{Origin, relay, request, respond, upgrade};
use crate::chain::{self, Chain, Ran};
use crate::forwarded::{self, Address};
use crate::hop_by_hop::Asked;
use crate::path;
use crate::router::{Match, Mismatch, Query};
use crate::snapshot::Snapshot;
use crate::worker::Worker;
use sdk::{Answer, Client, Exchange, Known, Phases, RequestHead, Source, Timing};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use wire::Version;
use wire::h1::ServerConnection;

/// What becomes of the client's connection.
pub(crate) enum After {
    /// It waits for the next request; the head's memory is used again.
    Keep(ServerConnection, RequestHead),
    /// It is closed, gently.
    Linger(ServerConnection),
    /// It is over already.
    Gone,
}

/// What stays the same through an exchange.
pub(crate) struct Scene<'a> {
    pub worker: &'a Rc<Worker>,
    pub origin: &'a Origin,
    /// The client's address, when a trusted proxy in front of us names it.
    pub client: Option<Address>,
    /// What the client asked of the connection.
    pub asked: Asked,
    pub snapshot: Arc<Snapshot>,
    pub ran: Ran,
    /// What the client speaks, for framing.
    pub version: Version,
    pub head_request: bool,
    /// The client's `Host`, when the service gets it too.
    pub kept_host: Option<String>,
    /// The client's connection ends with this exchange.
    pub close: bool,
}

/// Runs an exchange.
pub(crate) async fn run(worker: &Rc<Worker>, mut connection: ServerConnection, origin: &Origin, head: RequestHead, last: bool) -> After {
    let snapshot = worker.snapshot();
    let mut scene = Scene {
        worker,
        origin,
        client: worker.shared.trusted.client(&origin.peer, None, &head.fields),
        asked: Asked::default(),
        ran: Ran::new(),
        version: head.version,
        head_request: head.method.is_head(),
        kept_host: None,
        close: last || wants_close(&head),
        snapshot,
    };
    let mut exchange = begin(&scene, head);
    let served = serve(&mut scene, &mut exchange, &mut connection).await;
    chain::run_log(&scene.ran, &mut exchange);
    let after = match served {
        Ok(Some(upgraded)) => {
            upgrade::relay(connection, upgraded).await;
            return After::Gone;
        }
        Ok(None) => drain(&mut connection).await,
        Err(Broken) => return After::Gone,
    };
    match after {
        true if !scene.close && !worker.draining.get() => After::Keep(connection, exchange.request),
        _ => After::Linger(connection),
    }
}

/// The client's connection broke, or had to be cut because a response could not be completed.
pub(crate) struct Broken;

/// An exchange for a head that has just been read.
pub(crate) fn begin(scene: &Scene<'_>, head: RequestHead) -> Exchange {
    let (worker, origin) = (scene.worker, scene.origin);
    let peer = origin.peer.ip();
    let trusted = worker.shared.trusted.trusts(peer);
    let client = Client {
        peer,
        peer_port: origin.peer.port(),
        ip: scene.client.as_ref().map_or(peer, Address::ip),
        trusted,
        https: forwarded::is_https(trusted, origin.tls, &head.fields),
        local_ip: origin.local.ip(),
        local_port: origin.local.port(),
        connection: origin.connection,
        request: origin.request,
        sni: origin.sni.clone(),
    };
    let timing = Timing {
        started: Instant::now(),
        started_unix_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        upstream: None,
        proxy: None,
    };
    Exchange::new(worker.request_id(), client, head, timing, Arc::clone(&scene.snapshot) as Arc<dyn sdk::Directory>)
}

/// All phases but the last; an upgraded connection to the service is handed back.
async fn serve(scene: &mut Scene<'_>, exchange: &mut Exchange, connection: &mut ServerConnection) -> Result<Option<attempt::Upstream>, Broken> {
    let global = Arc::clone(scene.snapshot.global_chain());
    if let Some(answer) = chain::run_rewrite(&global, exchange).await {
        chain::run_access(&global, exchange, &mut scene.ran, false).await;
        return respond::send(scene, exchange, connection, answer, Source::Exit).await.map(|()| None);
    }
    let (matched, path) = match route(scene, exchange) {
        Ok(found) => found,
        Err(answer) => {
            chain::run_access(&global, exchange, &mut scene.ran, false).await;
            return respond::send(scene, exchange, connection, answer, Source::Error).await.map(|()| None);
        }
    };
    let chain = Arc::clone(scene.snapshot.chain(&matched.route.id, matched.service.as_ref().map(|s| &s.id)));
    let mismatch = Mismatch::of(&matched.route, exchange.client.https, exchange.request.version, &exchange.request.fields);
    let prefix = request::enter(scene, exchange, matched, &path);
    if let Some(mismatch) = mismatch {
        chain::run_access(&chain, exchange, &mut scene.ran, false).await;
        let answer = respond::mismatch(exchange, mismatch);
        return respond::send(scene, exchange, connection, answer, Source::Error).await.map(|()| None);
    }
    proxy(scene, exchange, connection, &chain, prefix).await
}

/// From the access phase on.
async fn proxy(
    scene: &mut Scene<'_>,
    exchange: &mut Exchange,
    connection: &mut ServerConnection,
    chain: &Chain,
    prefix: Option<String>,
) -> Result<Option<attempt::Upstream>, Broken> {
    let limit = scene.worker.shared.settings.limits.max_body;
    let mut payload = match Payload::new(exchange.request.framing, limit) {
        Ok(payload) => payload,
        Err(_) => {
            chain::run_access(chain, exchange, &mut scene.ran, false).await;
            return too_large(scene, exchange, connection).await;
        }
    };
    if chain.has(Phases::READS_BODY) {
        match payload.hold_all(scene, connection).await {
            Ok(()) => exchange.body = payload.whole(),
            Err(relay::Upload::TooLarge) => {
                chain::run_access(chain, exchange, &mut scene.ran, false).await;
                return too_large(scene, exchange, connection).await;
            }
            Err(_) => return bad_content(scene, exchange, connection).await,
        }
    }
    if let Some(answer) = chain::run_access(chain, exchange, &mut scene.ran, true).await {
        return respond::send(scene, exchange, connection, answer, Source::Exit).await.map(|()| None);
    }
    if exchange.service.is_none() {
        let answer = Answer::error(exchange, 503, "no Service found with those values");
        return respond::send(scene, exchange, connection, answer, Source::Error).await.map(|()| None);
    }
    if chain.has(Phases::READS_BODY)
        && let Some(body) = exchange.body.take()
    {
        payload.replace(body);
    }
    let buffering = exchange.route.as_ref().is_none_or(|r| r.request_buffering);
    match payload.hold(scene, connection, buffering).await {
        Ok(()) => {}
        Err(relay::Upload::TooLarge) => return too_large(scene, exchange, connection).await,
        Err(_) => return bad_content(scene, exchange, connection).await,
    }
    let upgrade = request::prepare(scene, exchange, prefix.as_deref(), &payload);
    match attempt::run(scene, exchange, connection, &mut payload, upgrade).await {
        Attempted::Response(upstream) => {
            if exchange.response.status == 101 {
                respond::start_upgrade(scene, exchange, connection).await?;
                return Ok(Some(*upstream));
            }
            relay::response(scene, exchange, connection, *upstream, payload).await.map(|()| None)
        }
        Attempted::Failed(status, message) => {
            let answer = match message {
                Some(message) => Answer::error(exchange, status, message),
                None => Answer::gateway_error(exchange, status, &Answer::gateway_message(status)),
            };
            respond::send(scene, exchange, connection, answer, Source::Error).await.map(|()| None)
        }
        Attempted::TooLarge => too_large(scene, exchange, connection).await,
        Attempted::ClientFailed => bad_content(scene, exchange, connection).await,
    }
}

/// The route for a request, and its path as routes see it; or the answer in its place.
fn route(scene: &Scene<'_>, exchange: &Exchange) -> Result<(Match, String), Answer> {
    let head = &exchange.request;
    if head.method.as_str() == "TRACE" {
        return Err(Answer::gateway_error(exchange, 405, &Answer::gateway_message(405)));
    }
    let target = path::Target::split(&head.target);
    let Ok(path) = path::normalise(target.path) else {
        return Err(Answer::gateway_error(exchange, 400, &Answer::gateway_message(400)));
    };
    let host = head.fields.known(Known::Host).and_then(|h| std::str::from_utf8(h).ok()).unwrap_or_default();
    let client = scene.client.as_ref().unwrap_or(&scene.origin.peer);
    let query = Query {
        method: head.method.as_str(),
        https: exchange.client.https,
        tls: scene.origin.tls,
        port: scene.origin.local.port(),
        host,
        path: &path,
        query: target.query,
        sni: exchange.client.sni.as_deref(),
        source: Some(client.socket_address()),
        destination: Some(scene.origin.local.ip()),
        fields: &head.fields,
    };
    let Some(matched) = scene.snapshot.router.find(&query) else {
        return Err(Answer::error(exchange, 404, "no Route matched with those values"));
    };
    let path = path.into_owned();
    Ok((matched, path))
}

async fn too_large(scene: &mut Scene<'_>, exchange: &mut Exchange, connection: &mut ServerConnection) -> Result<Option<attempt::Upstream>, Broken> {
    scene.close = true;
    let answer = Answer::gateway_error(exchange, 413, &Answer::gateway_message(413));
    respond::send(scene, exchange, connection, answer, Source::Error).await.map(|()| None)
}

async fn bad_content(scene: &mut Scene<'_>, exchange: &mut Exchange, connection: &mut ServerConnection) -> Result<Option<attempt::Upstream>, Broken> {
    scene.close = true;
    let answer = Answer::gateway_error(exchange, 400, &Answer::gateway_message(400));
    respond::send(scene, exchange, connection, answer, Source::Error).await.map(|()| None)
}

/// Whether the client's connection ends after this request (RFC 9112, section 9.3).
fn wants_close(head: &RequestHead) -> bool {
    let mut close = head.version < Version::Http11;
    for value in head.fields.known_all(Known::Connection) {
        for option in value.split(|&b| b == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") {
                return true;
            }
            if option.eq_ignore_ascii_case(b"keep-alive") {
                close = false;
            }
        }
    }
    close
}

/// Reads what is left of a request's content, up to a limit; whether the connection can take another request.
async fn drain(connection: &mut ServerConnection) -> bool {
    const MOST: usize = 64 * 1024;
    if connection.content_is_done() {
        return true;
    }
    relay::discard(connection, MOST).await
}
