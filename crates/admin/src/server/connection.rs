//! What comes before HTTP on a connection: PROXY protocol, TLS, and which version of HTTP the client speaks.

use super::connections::Place;
use super::requests::Requests;
use super::{Listener, http1, http2};
use crate::http::Admin;
use crate::node::{Interface, Origin};
use bytes::{Bytes, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use wire::h2::PREFACE;
use wire::net::{LOCAL, Lingering, begins_tls, refuse_plain_http};
use wire::proxy_protocol::{self, Proxied};

/// A connection's octets, plain or through TLS.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// A connection on which HTTP can begin.
struct Established {
    stream: Box<dyn Transport>,
    /// What has been read of it.
    begun: Bytes,
    http2: bool,
    proxied: Option<Proxied>,
    unverified: Option<&'static str>,
}

/// Serves a connection until either side ends it, or it has to make room for another one.
pub async fn run(
    admin: Arc<Admin>,
    interface: Interface,
    listener: Arc<Listener>,
    (socket, peer): (TcpStream, SocketAddr),
    place: Place,
    stopped: watch::Receiver<()>,
) {
    let limits = *admin.state.options.limits_of(interface);
    let local = socket.local_addr().unwrap_or(LOCAL);
    let tls = listener.tls.is_some();
    // The limit is for the whole: what trickles in does not put it off.
    let established = establish(&listener, limits.lingering, socket, stopped.clone());
    let established = tokio::select! {
        established = timeout(limits.client_header_timeout, established) => established,
        () = place.activity().evicted() => return,
    };
    let Established { stream, begun, http2, proxied, unverified } =
        match established.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(established) => established,
            Err(error) => {
                return tracing::debug!(%error, client = %peer, "a connection to the admin listener ended before HTTP");
            }
        };
    let requests = Requests {
        admin,
        interface,
        origin: Origin { peer, local, proxied, tls, connection: place.number() },
        unverified,
        activity: Arc::clone(place.activity()),
        stopped,
        count: AtomicU64::new(0),
    };
    if http2 {
        Box::pin(http2::serve(requests, stream, begun)).await;
    } else {
        Box::pin(http1::serve(requests, stream, begun)).await;
    }
}

async fn establish(
    listener: &Listener,
    lingering: Lingering,
    mut socket: TcpStream,
    stopped: watch::Receiver<()>,
) -> io::Result<Established> {
    // Without it small answers wait for acknowledgements; a failure only costs time.
    let _ = socket.set_nodelay(true);
    let proxied = if listener.proxy_protocol { proxy_protocol::read(&socket).await? } else { None };
    let Some(tls) = &listener.tls else {
        let begun = if listener.http2 { beginning(&mut socket, stopped).await? } else { Bytes::new() };
        let http2 = begun == PREFACE;
        return Ok(Established { stream: Box::new(socket), begun, http2, proxied, unverified: None });
    };
    let mut first = [0];
    if socket.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if !begins_tls(first[0]) {
        refuse_plain_http(&mut socket, lingering).await;
        return Err(io::Error::other("plain HTTP on a port for TLS"));
    }
    let stream = TlsAcceptor::from(tls.config()).accept(socket).await?;
    let session = stream.get_ref().1;
    let unverified = tls.verify_client(session.peer_certificates()).err();
    let http2 = session.alpn_protocol() == Some(b"h2");
    Ok(Established { stream: Box::new(stream), begun: Bytes::new(), http2, proxied, unverified })
}

/// As nginx: without TLS the first octets tell. Reads what HTTP/2 begins with, or up to where that is not what comes.
async fn beginning(socket: &mut TcpStream, mut stopped: watch::Receiver<()>) -> io::Result<Bytes> {
    let mut begun = BytesMut::with_capacity(PREFACE.len());
    while begun.len() < PREFACE.len() && PREFACE.starts_with(&begun) {
        let mut rest = (&mut *socket).take((PREFACE.len() - begun.len()) as u64);
        tokio::select! {
            biased;
            read = rest.read_buf(&mut begun) => if read? == 0 { break },
            // Whoever has asked for something is answered.
            _ = stopped.changed(), if begun.is_empty() => return Err(io::Error::other("the node ends")),
        }
    }
    Ok(begun.freeze())
}
