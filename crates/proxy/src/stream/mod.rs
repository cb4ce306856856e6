//! Streams (layer 4): connections whose octets are relayed as they are, and datagrams.
//!
//! The route is found by addresses, port and the server name that the client asks for in TLS; a route for `tls` takes
//! TLS off, one for `tls_passthrough` leaves it to the service. Then come the access phase (Kong's preread), a peer,
//! the relay, and the log phase.

mod attempt;
mod client_hello;
mod datagram;
mod session;

pub(crate) use datagram::Datagrams;

use crate::chain;
use crate::http::Origin;
use crate::snapshot::View;
use crate::tls;
use crate::tunnel::{End, Tunnel, Until};
use crate::worker::Worker;
use client_hello::ClientHello;
use model::entities::Protocol;
use sdk::{Handshake, Phases};
use session::{Opened, StatusCode, begin, end, enter};
use std::io;
use std::rc::Rc;
use tokio_rustls::StartHandshake;
use wire::net::{Buffer, Stream, Timer};

/// Serves a connection until it is over. The PROXY protocol's header has been read.
pub(crate) async fn serve(worker: &Rc<Worker>, stream: Stream, origin: Box<Origin>) {
    let timer = worker.timers.timer();
    let Some((stream, hello)) = first_octets(worker, stream, &origin, &timer).await else { return };
    let mut session = worker.session(&origin.client);
    worker.refresh_snapshot(&mut session);
    let (mut exchange, view) = (session.exchange, session.view);
    let kind = if origin.tls { Protocol::Tls } else { Protocol::Tcp };
    begin(worker, &origin, &mut exchange, kind);
    exchange.client.sni = hello.as_ref().and_then(|hello| hello.server_name.clone());
    let mut selected = chain::Selected::new();
    let opened = match enter(&view, &origin, &mut exchange) {
        Ok(chain) => {
            match secure(worker, stream, hello, (&mut exchange, chain.asks_streams()), (&view, &timer)).await {
                Ok(client) => session::open(worker, &view, &mut exchange, (chain, &mut selected), client, &timer).await,
                Err(error) => {
                    tracing::info!(client = origin.peer.as_str(), "no TLS with the client of a stream: {error}");
                    chain::run_access(chain, &mut exchange, &mut selected, false).await;
                    Err(StatusCode(500))
                }
            }
        }
        Err(status) => {
            chain::run_access(view.global_chain(), &mut exchange, &mut selected, false).await;
            Err(status)
        }
    };
    let logging = chain::taking_part(&selected, Phases::LOG);
    drop(selected);
    exchange.detach();
    drop(view);
    let status = match opened {
        Ok(Opened { client: (client, client_sent), service, idle, counts: _counts }) => {
            let half_close = worker.shared.settings.streams.half_close;
            let until = if half_close { Until::BothEnd } else { Until::EitherEnds };
            let (client, service) =
                (End::Socket(client, client_sent), End::Socket(service, Buffer::new(&worker.buffers)));
            let tunnel = Tunnel { client, service, idle, until };
            let moved = tunnel.run(worker, &timer).await;
            session::note(&mut exchange, moved);
            StatusCode(200)
        }
        Err(status) => status,
    };
    end(worker, &origin, &mut exchange, &logging, status);
}

/// On a listener for TLS, the client's first message. `None`: it did not come.
async fn first_octets(
    worker: &Rc<Worker>,
    mut stream: Stream,
    origin: &Origin,
    timer: &Timer,
) -> Option<(Stream, Option<ClientHello>)> {
    if !origin.tls {
        return Some((stream, None));
    }
    let limit = worker.shared.settings.streams.preread_timeout;
    match ClientHello::read(&mut stream, &worker.buffers, timer, limit).await {
        Ok(hello) => Some((stream, Some(hello))),
        Err(error) => {
            tracing::info!(client = origin.peer.as_str(), "a stream ended before its TLS began: {error}");
            None
        }
    }
}

/// The connection as it is relayed, with what has been read of it: TLS is taken off unless the service is to do that,
/// and the client asked for a certificate where a plugin wants one.
async fn secure(
    worker: &Rc<Worker>,
    stream: Stream,
    hello: Option<ClientHello>,
    (exchange, asks): (&mut sdk::Exchange, bool),
    (view, timer): (&View, &Timer),
) -> io::Result<(Stream, Buffer)> {
    let Some(hello) = hello else { return Ok((stream, Buffer::new(&worker.buffers))) };
    let ends_here = exchange.stream.is_some_and(|session| session.protocol == Protocol::Tls);
    let socket = match stream {
        Stream::Plain(socket) if ends_here => socket,
        stream => return Ok((stream, hello.octets)),
    };
    let tls = worker.shared.listener_tls.load_full();
    let client = Handshake::new(hello.server_name, socket.peer_addr()?, socket.local_addr()?);
    let mut handshake = Box::pin(async {
        let settings = tls::stream_settings(&tls, view, client, asks).await;
        let (config, asked) = settings.map_err(io::Error::other)?;
        let begun = StartHandshake::from_parts(hello.accepted, socket);
        let config = tls.suiting(&begun.client_hello(), config);
        io::Result::Ok((begun.into_stream(config).await?, asked))
    });
    let limit = worker.shared.settings.limits.client_header_timeout;
    let secured = timer.limit(limit, |cx| handshake.as_mut().poll(cx)).await;
    let (secured, asked) = secured.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let connection = secured.get_ref().1;
    exchange.client.certificate = tls::shown(connection);
    exchange.client.certificate_asked = asked;
    let verified = if exchange.client.certificate.is_some() { "FAILED" } else { "NONE" };
    exchange.client.tls = tls::describe(connection, verified);
    Ok((Stream::TlsServer(Box::new(secured)), Buffer::new(&worker.buffers)))
}
