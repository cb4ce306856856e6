//! The first message of TLS: read so far that the server name is known, and kept as it came.

use model::hostname;
use rustls::server::{Accepted, Acceptor};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use wire::net::{Buffer, BufferPool, Stream, Timer};

/// What a client says before anything is decided.
pub(super) struct ClientHello {
    /// In lower case.
    pub server_name: Option<Arc<str>>,
    /// With which the handshake goes on.
    pub accepted: Accepted,
    /// Everything that has been read.
    pub octets: Buffer,
}

/// The longest first message that is read.
const MOST: usize = 64 << 10;

impl ClientHello {
    /// Reads it within the time allowed.
    pub async fn read(
        stream: &mut Stream,
        buffers: &BufferPool,
        timer: &Timer,
        limit: Duration,
    ) -> io::Result<ClientHello> {
        let mut octets = Buffer::new(buffers);
        let mut acceptor = Acceptor::default();
        let accepted = timer
            .limit_steps(limit, limit, |cx| {
                let known = octets.data().len();
                match stream.poll_fill(cx, &mut octets, MOST) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Err(error)) => Poll::Ready(ControlFlow::Break(Err(error))),
                    Poll::Ready(Ok(0)) => {
                        Poll::Ready(ControlFlow::Break(Err(io::Error::from(io::ErrorKind::UnexpectedEof))))
                    }
                    Poll::Ready(Ok(_)) => Poll::Ready(match advance(&mut acceptor, &octets.data()[known..]) {
                        Ok(None) => ControlFlow::Continue(()),
                        Ok(Some(accepted)) => ControlFlow::Break(Ok(accepted)),
                        Err(error) => ControlFlow::Break(Err(error)),
                    }),
                }
            })
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let name = accepted.client_hello().server_name().map(|name| hostname::without_root(name).to_ascii_lowercase());
        Ok(ClientHello { server_name: name.map(Arc::from), accepted, octets })
    }
}

/// Gives the acceptor what has come; `None`: it needs more.
fn advance(acceptor: &mut Acceptor, mut fresh: &[u8]) -> io::Result<Option<Accepted>> {
    while !fresh.is_empty() && acceptor.read_tls(&mut fresh)? > 0 {}
    acceptor.accept().map_err(|(error, _)| io::Error::other(error))
}
