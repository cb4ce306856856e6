//! What comes before HTTP on a connection: the PROXY protocol and TLS.

use crate::snapshot::Snapshot;
use crate::tls::{self, ListenerTls, Offered};
use model::hostname;
use rustls::server::Acceptor;
use sdk::Handshake;
use std::io;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use wire::net::{Lingering, Stream, Timers, begins_tls, refuse_plain_http};
use wire::proxy_protocol::{self, Proxied};

/// What a listener expects before HTTP.
pub(crate) struct Expected {
    pub proxy_protocol: bool,
    pub tls: Option<Arc<ListenerTls>>,
    /// Where plugins have a say in the handshake.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Somebody wants to know what clients offer.
    pub tells_offers: bool,
    /// `client_header_timeout`: for all of it.
    pub limit: Duration,
    pub lingering: Lingering,
}

/// A connection on which HTTP can begin.
pub(crate) struct Established {
    pub stream: Stream,
    /// The server name that was asked for in TLS, in lower case.
    pub sni: Option<Arc<str>>,
    /// Whether the client was asked for a certificate.
    pub asked: bool,
    /// What the client has offered, where that is told.
    pub offered: Option<Box<Offered>>,
    /// Boxed: few connections have it.
    pub proxied: Option<Box<Proxied>>,
}

/// Takes a connection so far, or closes it; the error says why.
pub(crate) async fn handshake(socket: TcpStream, expected: Expected, timers: &Timers) -> io::Result<Established> {
    if !expected.proxy_protocol && expected.tls.is_none() {
        return Ok(plain(socket, None));
    }
    // The limit is for the whole: what trickles in does not put it off.
    tokio::time::timeout(expected.limit, establish(socket, &expected, timers)).await?
}

async fn establish(mut socket: TcpStream, expected: &Expected, timers: &Timers) -> io::Result<Established> {
    // As long as nothing has come the connection is idle, and makes room for others. A look at what has come, since a
    // new socket can be reported as readable when there is nothing to read.
    let mut first = [0];
    let begun = |cx: &mut Context<'_>| socket.poll_peek(cx, &mut ReadBuf::new(&mut first));
    let mut seen = timers.timer().limit_idle(expected.limit, begun).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let mut proxied = None;
    if expected.proxy_protocol {
        proxied = proxy_protocol::read(&socket).await?.map(Box::new);
    }
    let Some(tls) = &expected.tls else {
        return Ok(plain(socket, proxied));
    };
    if expected.proxy_protocol {
        seen = socket.peek(&mut first).await?;
    }
    if seen == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if !begins_tls(first[0]) {
        refuse_plain_http(&mut socket, expected.lingering).await;
        return Err(io::Error::other("plain HTTP on a port for TLS"));
    }
    let accepted = Box::pin(accept_looking(socket, tls, expected.snapshot.as_deref(), expected.tells_offers));
    let (stream, asked, offered) = accepted.await?;
    let sni = stream.get_ref().1.server_name().map(|name| Arc::from(hostname::without_root(name).to_ascii_lowercase()));
    Ok(Established { stream: Stream::TlsServer(Box::new(stream)), sni, asked, offered, proxied })
}

fn plain(socket: TcpStream, proxied: Option<Box<Proxied>>) -> Established {
    Established { stream: Stream::Plain(socket), sni: None, asked: false, offered: None, proxied }
}

/// A handshake whose first message is looked at, in which plugins may have a say; whether the client was asked for a
/// certificate, and what it has offered.
async fn accept_looking(
    socket: TcpStream,
    tls: &ListenerTls,
    snapshot: Option<&Snapshot>,
    tells_offers: bool,
) -> io::Result<(TlsStream<TcpStream>, bool, Option<Box<Offered>>)> {
    let ends = snapshot.map(|_| Ok::<_, io::Error>((socket.peer_addr()?, socket.local_addr()?))).transpose()?;
    let begun = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
    let offered = tells_offers.then(|| Box::new(Offered::new(&begun.client_hello())));
    let (Some(snapshot), Some((peer, local))) = (snapshot, ends) else {
        let config = tls.suiting(&begun.client_hello(), Arc::clone(&tls.config));
        return Ok((begun.into_stream(config).await?, tls.asks(), offered));
    };
    let name = tls::server_name(&begun.client_hello()).map(Arc::from);
    let handshake = Handshake::new(name, peer, local);
    let (config, asked) = tls::settings(tls, snapshot, handshake).await.map_err(io::Error::other)?;
    let config = tls.suiting(&begun.client_hello(), config);
    Ok((begun.into_stream(config).await?, asked, offered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::time::{Instant, sleep};
    use wire::net::Clock;

    fn tls() -> Arc<ListenerTls> {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let identity = tls::Identity::new(vec![(vec![made.cert.der().clone()], key)]).unwrap();
        let policy = tls::Policy::default();
        let config = policy.server_config(Arc::new(identity)).unwrap();
        Arc::new(ListenerTls::new(&policy, config, tls::ClientVerification::default()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn trickling_does_not_put_the_deadline_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hello = [22, 3, 1, 64, 0, 1, 0, 63, 252];
        let cases: [(bool, bool, &[u8]); 3] = [
            (true, false, b"PROXY UNKNOWN "),
            (false, true, &hello),
            (true, true, b"PROXY UNKNOWN\r\n\x16\x03\x01\x40\x00\x01\x00\x3f\xfc"),
        ];
        for (proxy_protocol, secure, begin) in cases {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            client.write_all(begin).await.unwrap();
            let trickle = tokio::spawn(async move {
                while client.write_all(b"x").await.is_ok() {
                    sleep(Duration::from_secs(10)).await;
                }
            });
            let tls = secure.then(tls);
            let limit = Duration::from_secs(60);
            let lingering = Lingering::default();
            let expected = Expected { proxy_protocol, tls, snapshot: None, tells_offers: false, limit, lingering };
            let began = Instant::now();
            let ended = handshake(server, expected, &Timers::new(Clock::new())).await;
            assert_eq!(ended.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut), "{begin:?}");
            assert_eq!(began.elapsed().as_secs(), 60, "{begin:?}");
            trickle.abort();
        }
    }
}
