//! What comes before HTTP on a connection: the PROXY protocol and TLS.

use std::io;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use wire::net::{Lingering, Stream, Timers, begins_tls, refuse_plain_http};
use wire::proxy_protocol::{self, Proxied};

/// What a listener expects before HTTP.
pub(crate) struct Expected {
    pub proxy_protocol: bool,
    pub tls: Option<TlsAcceptor>,
    /// `client_header_timeout`: for all of it.
    pub limit: Duration,
    pub lingering: Lingering,
}

/// A connection on which HTTP can begin.
pub(crate) struct Established {
    pub stream: Stream,
    /// The server name that was asked for in TLS, in lower case.
    pub sni: Option<Arc<str>>,
    /// Boxed: few connections have it.
    pub proxied: Option<Box<Proxied>>,
}

/// Takes a connection so far, or closes it; the error says why.
pub(crate) async fn handshake(socket: TcpStream, expected: Expected, timers: &Timers) -> io::Result<Established> {
    if !expected.proxy_protocol && expected.tls.is_none() {
        return Ok(Established { stream: Stream::Plain(socket), sni: None, proxied: None });
    }
    // The limit is for the whole: what trickles in does not put it off.
    tokio::time::timeout(expected.limit, establish(socket, &expected, timers)).await?
}

async fn establish(mut socket: TcpStream, expected: &Expected, timers: &Timers) -> io::Result<Established> {
    // As long as nothing has come the connection is idle, and makes room for others. A look at what has come, since a
    // new socket can be reported as readable when there is nothing to read.
    let begun = |cx: &mut Context<'_>| socket.poll_peek(cx, &mut ReadBuf::new(&mut [0]));
    timers.timer().limit_idle(expected.limit, begun).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let mut proxied = None;
    if expected.proxy_protocol {
        proxied = proxy_protocol::read(&socket).await?.map(Box::new);
    }
    let Some(tls) = &expected.tls else {
        return Ok(Established { stream: Stream::Plain(socket), sni: None, proxied });
    };
    let mut first = [0];
    if socket.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if !begins_tls(first[0]) {
        refuse_plain_http(&mut socket, expected.lingering).await;
        return Err(io::Error::other("plain HTTP on a port for TLS"));
    }
    let stream = tls.accept(socket).await?;
    let sni = stream.get_ref().1.server_name().map(|name| Arc::from(name.to_ascii_lowercase()));
    Ok(Established { stream: Stream::TlsServer(Box::new(stream)), sni, proxied })
}
