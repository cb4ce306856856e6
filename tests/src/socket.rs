//! One end of a connection, plain or TLS, with what faults are made of: ending one direction, vanishing, looking
//! whether the peer has gone.

use crate::PATIENCE;
use crate::http::Connection;
use rustix::net::sockopt;
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What a connection goes over.
pub trait Socket: Read + Write + Send {
    fn tcp(&self) -> &TcpStream;

    /// Sends what says that nothing more comes.
    fn finish(&mut self) -> io::Result<()>;
}

/// A connection of which nobody asks whether it is TLS.
pub type Wire = Box<dyn Socket>;

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Socket for StreamOwned<ClientConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }

    fn finish(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()?;
        self.sock.shutdown(Shutdown::Write)
    }
}

impl Socket for StreamOwned<ServerConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }

    fn finish(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()?;
        self.sock.shutdown(Shutdown::Write)
    }
}

impl Connection<Wire> {
    /// A plain one.
    pub fn plain(address: SocketAddr) -> io::Result<Connection<Wire>> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        let mut connection = Connection::over(Box::new(stream) as Wire, &address.to_string());
        connection.waits(PATIENCE)?;
        Ok(connection)
    }

    /// How long a read or a write may take.
    pub fn waits(&mut self, longest: Duration) -> io::Result<()> {
        self.stream().tcp().set_read_timeout(Some(longest))?;
        self.stream().tcp().set_write_timeout(Some(longest))
    }

    /// Sends nothing more: `close_notify` where there is TLS, then FIN.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream_mut().finish()
    }

    /// Vanishes without a word but RST.
    pub fn reset(self) {
        sockopt::set_socket_linger(self.stream().tcp(), Some(Duration::ZERO)).expect("a socket");
    }

    /// Reads and drops what comes until the peer has closed or reset the connection; whether that happens within so
    /// long.
    pub fn closes_within(&mut self, longest: Duration) -> bool {
        self.read_until_closed(longest).is_some()
    }

    /// What comes until the peer has closed or reset the connection; `None` when it does not within so long.
    pub fn read_until_closed(&mut self, longest: Duration) -> Option<Vec<u8>> {
        let end = Instant::now() + longest;
        let mut octets = Vec::new();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.waits(left).is_err() {
                return None;
            }
            match self.read(&mut chunk) {
                Ok(0) => return Some(octets),
                Ok(n) => octets.extend_from_slice(&chunk[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Some(octets),
            }
        }
    }

    /// Writes so many octets, or until the peer does not take any for so long; how many it took, and whether the
    /// connection is still there.
    pub fn flood(&mut self, octets: usize, longest: Duration) -> (usize, bool) {
        let piece = vec![b'x'; 16 * 1024];
        let mut sent = 0;
        self.waits(longest).expect("a socket");
        while sent < octets {
            match self.stream_mut().write(&piece[..piece.len().min(octets - sent)]) {
                Ok(0) => return (sent, false),
                Ok(n) => sent += n,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return (sent, true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return (sent, false),
            }
        }
        (sent, self.stream_mut().flush().is_ok())
    }
}
