//! Content that nobody looks at on its way from socket to socket: the system moves it through a pipe, without copying
//! it into this process and out again (splice(2)).

use bytes::Bytes;
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Octets that one is made to hold, where the system allows as many.
const SIZE: usize = 256 * 1024;

/// A pipe, which is filled and emptied in turns.
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    /// Octets in it.
    held: usize,
}

impl Pipe {
    /// An empty one.
    pub fn new() -> io::Result<Pipe> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A smaller one is as good, only slower.
        let _ = rustix::pipe::fcntl_setpipe_size(&write, SIZE);
        Ok(Pipe { read, write, held: 0 })
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// How many octets are in it.
    pub fn len(&self) -> usize {
        self.held
    }

    /// Lets in up to `most` octets that the socket has received. It has to be empty, so that it cannot be full. Zero:
    /// the peer has closed its side.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream, most: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || splice(from, &self.write, most)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    self.held = *result.as_ref().unwrap_or(&0);
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Sends some of what it holds; how many octets.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            match to.try_io(Interest::WRITABLE, || splice(&self.read, to, self.held)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(to.poll_write_ready(cx))?,
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                result => {
                    self.held -= result.as_ref().unwrap_or(&0);
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Takes out what it holds.
    pub fn take(&mut self) -> io::Result<Bytes> {
        let mut octets = vec![0; self.held];
        let mut taken = 0;
        while taken < octets.len() {
            match rustix::io::retry_on_intr(|| rustix::io::read(&self.read, &mut octets[taken..]))? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => taken += n,
            }
        }
        self.held = 0;
        Ok(octets.into())
    }
}

impl AsRawFd for Pipe {
    /// Its writing end, which was opened last.
    fn as_raw_fd(&self) -> RawFd {
        self.write.as_raw_fd()
    }
}

fn splice(from: &impl AsFd, to: &impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(rustix::io::retry_on_intr(|| rustix::pipe::splice(from, None, to, None, most, flags))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn octets_pass_and_the_end_shows() {
        let ((mut service, from), (mut client, to)) = (connected().await, connected().await);
        let mut pipe = Pipe::new().unwrap();
        service.write_all(b"some octets").await.unwrap();
        // No more than it was asked for.
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, 4)).await.unwrap(), 4);
        assert!(!pipe.is_empty());
        assert_eq!(poll_fn(|cx| pipe.poll_send(cx, &to)).await.unwrap(), 4);
        assert!(pipe.is_empty());
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, 100)).await.unwrap(), 7);
        assert_eq!(pipe.take().unwrap(), " octets");
        assert!(pipe.is_empty());
        drop(service);
        assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &from, 100)).await.unwrap(), 0);
        let mut octets = [0; 4];
        client.read_exact(&mut octets).await.unwrap();
        assert_eq!(&octets, b"some");
    }

    #[tokio::test]
    async fn what_a_slow_client_does_not_take_can_be_taken_out() {
        let ((mut service, from), (mut client, to)) = (connected().await, connected().await);
        let sent = (0..8_000_000u32).map(|n| n as u8).collect::<Vec<_>>();
        let all = sent.clone();
        let sending = tokio::spawn(async move { service.write_all(&all).await });
        let mut pipe = Pipe::new().unwrap();
        let mut passed = 0;
        let waker = std::task::Waker::noop();
        loop {
            passed += poll_fn(|cx| pipe.poll_fill(cx, &from, usize::MAX >> 1)).await.unwrap();
            while !pipe.is_empty() && pipe.poll_send(&mut Context::from_waker(waker), &to).is_ready() {}
            if !pipe.is_empty() {
                break;
            }
        }
        let rest = pipe.take().unwrap();
        assert_eq!(rest, sent[passed - rest.len()..passed]);
        let mut received = vec![0; passed - rest.len()];
        client.read_exact(&mut received).await.unwrap();
        assert_eq!(received, sent[..passed - rest.len()]);
        sending.abort();
    }
}
