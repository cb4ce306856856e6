//! A connection over which batches are sent, one after the other, as long as it lasts.

use crate::network::{Connection, Network, Server};
use futures_util::FutureExt;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// A connection to a server that says nothing of its own accord; made when it is needed.
pub struct KeptConnection {
    network: Network,
    server: Server,
    /// For connecting, and for sending.
    limit: Duration,
    /// How long it is kept while it is not used.
    keepalive: Duration,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    connection: Connection,
    used: Instant,
}

impl KeptConnection {
    /// None yet.
    pub fn new(network: Network, server: Server, limit: Duration, keepalive: Duration) -> KeptConnection {
        KeptConnection { network, server, limit, keepalive, kept: Mutex::default() }
    }

    /// Sends octets. When a connection that was kept fails, another one is tried.
    pub async fn send(&self, octets: &[u8]) -> io::Result<()> {
        let mut kept = self.kept.lock().await;
        if let Some(mut former) = kept.take()
            && former.is_usable(self.keepalive).await
            && self.write(&mut former.connection, octets).await.is_ok()
        {
            *kept = Some(Kept { used: Instant::now(), ..former });
            return Ok(());
        }
        let mut connection = self.network.connect(&self.server, self.limit).await?;
        self.write(&mut connection, octets).await?;
        *kept = Some(Kept { connection, used: Instant::now() });
        Ok(())
    }

    async fn write(&self, connection: &mut Connection, octets: &[u8]) -> io::Result<()> {
        let sent = timeout(self.limit, async {
            connection.write_all(octets).await?;
            connection.flush().await
        });
        sent.await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "sending took too long"))?
    }
}

impl Kept {
    /// Whether the server has neither closed it nor had to.
    async fn is_usable(&mut self, keepalive: Duration) -> bool {
        // The event loop gets to know of an end that has just come.
        tokio::task::yield_now().await;
        let mut said = [0; 256];
        self.used.elapsed() < keepalive
            && loop {
                match self.connection.read(&mut said).now_or_never() {
                    None => break true,
                    Some(Ok(0) | Err(_)) => break false,
                    // What it says is of no interest.
                    Some(Ok(_)) => {}
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    async fn start(limit: Duration, keepalive: Duration) -> (testing::Server, KeptConnection) {
        let server = testing::Server::start().await;
        let to = Server { host: "127.0.0.1".to_owned(), port: server.address().port(), tls: None };
        let connection = KeptConnection::new(Network::default(), to, limit, keepalive);
        (server, connection)
    }

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn one_connection_is_used_as_long_as_it_lasts() {
        let (server, connection) = start(LONG, LONG).await;
        connection.send(b"a\n").await.unwrap();
        let mut peer = server.accept().await;
        assert_eq!(peer.read_until("\n").await, "a\n");
        peer.send(b"welcome").await;
        connection.send(b"b\n").await.unwrap();
        assert_eq!(peer.read_until("\n").await, "b\n");
        drop(peer);
        connection.send(b"c\n").await.unwrap();
        assert_eq!(server.accept().await.read_until("\n").await, "c\n");
    }

    #[tokio::test]
    async fn an_idle_connection_is_not_kept_for_ever() {
        let (server, connection) = start(LONG, Duration::ZERO).await;
        for text in ["a\n", "b\n"] {
            connection.send(text.as_bytes()).await.unwrap();
            assert_eq!(server.accept().await.read_until("\n").await, text);
        }
    }

    #[tokio::test]
    async fn a_server_that_reads_nothing_costs_no_more_than_the_limit() {
        let (server, connection) = start(Duration::from_millis(50), LONG).await;
        let much = vec![b'x'; 64 << 20];
        let (sent, _peer) = tokio::join!(connection.send(&much), server.accept());
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
