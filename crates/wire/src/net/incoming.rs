//! Listening sockets: of TCP, and in the file system.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// A socket from which connections come in.
pub enum Incoming {
    Tcp(TcpListener),
    Local(UnixListener),
}

/// Stands for either end of a connection that has come by a socket in the file system, which has no address.
pub const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Incoming {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        match self {
            Incoming::Tcp(listener) => listener.local_addr().unwrap_or(LOCAL),
            Incoming::Local(_) => LOCAL,
        }
    }

    /// The next connection, and whom it is from.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self {
            Incoming::Tcp(listener) => listener.accept().await,
            Incoming::Local(listener) => {
                let (stream, _) = listener.accept().await?;
                // What is done on connections is the same system calls for both kinds, and the type of TCP's asks for
                // no more: only addresses, options of TCP and the like fail, as they may on any socket.
                let socket = std::net::TcpStream::from(OwnedFd::from(stream.into_std()?));
                Ok((TcpStream::from_std(socket)?, LOCAL))
            }
        }
    }
}

impl From<TcpListener> for Incoming {
    fn from(listener: TcpListener) -> Incoming {
        Incoming::Tcp(listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Buffer, BufferPool, Stream};
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn connections_in_the_file_system_are_as_others() {
        let path = std::env::temp_dir().join(format!("bascule-incoming-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let incoming = Incoming::Local(UnixListener::bind(&path).unwrap());
        let mut client = UnixStream::connect(&path).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let (socket, peer) = incoming.accept().await.unwrap();
        assert_eq!(peer, LOCAL);
        let mut server = Stream::Plain(socket);
        client.write_all(b"question").await.unwrap();
        let mut buffer = Buffer::new(&BufferPool::default());
        assert_eq!(poll_fn(|cx| server.poll_fill(cx, &mut buffer, 100)).await.unwrap(), 8);
        assert_eq!(poll_fn(|cx| server.poll_write_last(cx, b"answer")).await.unwrap(), 6);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        drop(client);
        assert!(server.is_disturbed() || poll_fn(|cx| server.poll_readable(cx)).await.is_ok());
    }
}
