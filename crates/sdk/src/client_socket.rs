//! The connection of a stream's client, lent to plugins before its service is asked.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wire::net::{BUFFER_SIZE, Buffer, BufferPool, Stream};

/// The place of a connection from which a plugin takes it as long as it reads or writes. What it has read and not
/// given back does not reach the service. Clones are the same place.
#[derive(Clone)]
pub struct ClientSocket(Rc<RefCell<Lent>>);

struct Lent {
    socket: Option<LentSocket>,
    /// What is given back now is closed.
    is_over: bool,
}

/// The connection.
pub struct LentSocket {
    stream: Stream,
    /// What has come before anybody has asked for it.
    octets: Buffer,
    /// What was given back: it comes first.
    unread: Vec<u8>,
}

impl ClientSocket {
    /// `octets` are what has been read of the connection.
    pub fn new(stream: Stream, octets: Buffer) -> ClientSocket {
        let socket = Some(LentSocket { stream, octets, unread: Vec::new() });
        ClientSocket(Rc::new(RefCell::new(Lent { socket, is_over: false })))
    }

    /// The connection; `None`: it is in use, or no longer lent.
    pub fn take(&self) -> Option<LentSocket> {
        self.0.borrow_mut().socket.take()
    }

    /// Puts it back.
    pub fn give_back(&self, socket: LentSocket) {
        let mut lent = self.0.borrow_mut();
        if !lent.is_over {
            lent.socket = Some(socket);
        }
    }

    /// The connection is lent no more, whoever keeps this: it is returned, if nobody is using it now, and closed by who
    /// does as soon as they have done.
    pub fn end(&self) -> Option<LentSocket> {
        let mut lent = self.0.borrow_mut();
        lent.is_over = true;
        lent.socket.take()
    }
}

impl LentSocket {
    /// What was given back, to be read again.
    pub fn take_unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// Gives back what has been read and is not wanted.
    pub fn set_unread(&mut self, unread: Vec<u8>) {
        self.unread = unread;
    }

    /// The connection, and what has been read of it and is still to be passed on.
    pub fn into_parts(self, buffers: &BufferPool) -> (Stream, Buffer) {
        if self.unread.is_empty() {
            return (self.stream, self.octets);
        }
        let mut all = Buffer::new(buffers);
        for mut piece in [&self.unread[..], self.octets.data()] {
            while !piece.is_empty() {
                let space = all.space(usize::MAX / 2);
                let fits = space.len().min(piece.len());
                space[..fits].copy_from_slice(&piece[..fits]);
                all.filled(fits);
                piece = &piece[fits..];
            }
        }
        (self.stream, all)
    }
}

impl AsyncRead for LentSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let LentSocket { stream, octets, .. } = self.get_mut();
        if octets.is_empty() {
            ready!(stream.poll_fill(cx, octets, BUFFER_SIZE))?;
        }
        let fits = octets.data().len().min(space.remaining());
        space.put_slice(&octets.data()[..fits]);
        octets.consume(fits);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LentSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().stream.poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_shutdown(cx)
    }
}

impl fmt::Debug for ClientSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSocket").field("is_there", &self.0.borrow().socket.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn what_is_given_back_comes_before_what_was_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (served, _) = listener.accept().await.unwrap();
        let buffers = BufferPool::default();
        let mut octets = Buffer::new(&buffers);
        octets.space(10)[..6].copy_from_slice(b"before");
        octets.filled(6);
        let socket = ClientSocket::new(Stream::Plain(served), octets);
        let mut lent = socket.take().unwrap();
        assert!(socket.take().is_none(), "one has it");
        let mut read = [0; 2];
        lent.read_exact(&mut read).await.unwrap();
        lent.set_unread(read.to_vec());
        lent.write_all(b"answer").await.unwrap();
        socket.give_back(lent);
        let (_, left) = socket.take().unwrap().into_parts(&buffers);
        assert_eq!(left.data(), b"before");
        let mut answer = [0; 6];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    }
}
