//! A connection's octets, plain or through TLS.

use super::Buffer;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A connected socket.
pub enum Stream {
    Plain(TcpStream),
    /// We are the server.
    TlsServer(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// We are the client.
    TlsClient(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Stream {
    /// Waits until a read is worth trying; needs no buffer. True at once when decrypted octets may be waiting.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(tcp) => tcp.poll_read_ready(cx),
            // Decrypted octets can wait inside rustls while the socket has none.
            Stream::TlsServer(_) | Stream::TlsClient(_) => Poll::Ready(Ok(())),
        }
    }

    /// Reads behind what the buffer holds, up to `limit` octets in all. Zero: the peer has closed its side, or the
    /// limit is reached.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer, limit: usize) -> Poll<io::Result<usize>> {
        if let Stream::Plain(tcp) = self {
            loop {
                ready!(tcp.poll_read_ready(cx))?;
                let received = receive(tcp, buffer.space(limit));
                buffer.filled(*received.as_ref().unwrap_or(&0));
                match received {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
            }
        }
        let mut space = ReadBuf::new(buffer.space(limit));
        let result = match self {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, &mut space),
            Stream::TlsServer(tls) => Pin::new(tls).poll_read(cx, &mut space),
            Stream::TlsClient(tls) => Pin::new(tls).poll_read(cx, &mut space),
        };
        let filled = space.filled().len();
        buffer.filled(filled);
        match ready!(result) {
            // Many servers end TLS without saying so. Where that matters, the framing of the content shows that
            // something is missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
            result => Poll::Ready(result.map(|()| filled)),
        }
    }

    /// Writes some of the octets.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, data, SendFlags::NOSIGNAL)
    }

    /// As [`Stream::poll_write`], for the last octets before the stream is closed. A plain one's side is closed behind
    /// them, so that its end travels with them rather than in a segment of its own. To leave that to the closing of the
    /// socket would lose them: the system drops what it has held back when the peer has sent something meanwhile.
    pub fn poll_write_last(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.poll_send(cx, data, SendFlags::NOSIGNAL | SendFlags::MORE))?;
        if let Stream::Plain(tcp) = self
            && written == data.len()
        {
            rustix::net::shutdown(tcp, Shutdown::Write)?;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8], flags: SendFlags) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(tcp) => loop {
                match tcp.try_io(Interest::WRITABLE, || send(tcp, data, flags)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(tcp.poll_write_ready(cx))?,
                    result => return Poll::Ready(result),
                }
            },
            Stream::TlsServer(tls) => Pin::new(tls).poll_write(cx, data),
            Stream::TlsClient(tls) => Pin::new(tls).poll_write(cx, data),
        }
    }

    /// Writes some of the octets of several pieces with one call.
    pub fn poll_write_vectored(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, pieces),
            Stream::TlsServer(tls) => Pin::new(tls).poll_write_vectored(cx, pieces),
            Stream::TlsClient(tls) => Pin::new(tls).poll_write_vectored(cx, pieces),
        }
    }

    /// Makes sure that everything written has left this process.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::TlsServer(tls) => Pin::new(tls).poll_flush(cx),
            Stream::TlsClient(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    /// Closes our side: the peer reads an end of file, and we may go on reading.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::TlsServer(tls) => Pin::new(tls).poll_shutdown(cx),
            Stream::TlsClient(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    /// Whether an idle connection has been closed by the peer or has octets that nobody asked for, as far as
    /// the event loop knows: costs no system call when nothing has happened, and no waker.
    pub fn is_disturbed(&self) -> bool {
        is_heard(self.tcp().try_io(Interest::READABLE, || self.peek()))
    }

    /// Asks the kernel whether the peer has closed the connection or sent something.
    pub fn is_closed_now(&self) -> bool {
        // Not through the event loop, which may not have heard of it yet.
        is_heard(self.peek())
    }

    fn peek(&self) -> io::Result<usize> {
        let (octets, _) = rustix::net::recv(self.tcp(), &mut [0u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
        Ok(octets)
    }

    /// The socket underneath.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::TlsServer(tls) => tls.get_ref().0,
            Stream::TlsClient(tls) => tls.get_ref().0,
        }
    }
}

/// Whether that is the end, an error, or octets.
fn is_heard(peeked: io::Result<usize>) -> bool {
    !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Reads what is there. A call of our own rather than tokio's: no detour through the C library, and one look at the
/// readiness.
fn receive(tcp: &TcpStream, space: &mut [u8]) -> io::Result<usize> {
    let room = space.len();
    let mut short = None;
    let result = tcp.try_io(Interest::READABLE, || {
        let (n, _) = rustix::io::retry_on_intr(|| rustix::net::recv(tcp, &mut *space, RecvFlags::empty()))?;
        if 0 < n && n < room {
            // Less than there was room for: the socket is empty now. The event loop is told so here, which saves a call
            // that would only find that out.
            short = Some(n);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(n)
    });
    short.map_or(result, Ok)
}

fn send(tcp: &TcpStream, data: &[u8], flags: SendFlags) -> io::Result<usize> {
    Ok(rustix::io::retry_on_intr(|| rustix::net::send(tcp, data, flags))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_last_octets_arrive_whatever_the_peer_sends_meanwhile() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut server = Stream::Plain(listener.accept().await.unwrap().0);
        poll_fn(|cx| server.poll_write_last(cx, b"the end")).await.unwrap();
        client.write_all(b"more").await.unwrap();
        poll_fn(|cx| server.poll_readable(cx)).await.unwrap();
        drop(server);
        let mut octets = [0; 7];
        client.read_exact(&mut octets).await.unwrap();
        assert_eq!(&octets, b"the end");
    }

    #[tokio::test]
    async fn the_kernel_knows_of_an_end_before_the_event_loop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let client = Stream::Plain(client);
        let (server, _) = listener.accept().await.unwrap();
        assert!(!client.is_closed_now());
        assert!(!client.is_disturbed());
        drop(server);
        // The event loop does not run meanwhile.
        let begun = std::time::Instant::now();
        while !client.is_closed_now() {
            assert!(begun.elapsed().as_secs() < 10);
            std::thread::yield_now();
        }
        poll_fn(|cx| client.poll_readable(cx)).await.unwrap();
        assert!(client.is_disturbed());
    }
}
