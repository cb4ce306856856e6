//! Servers on the loopback interface that a test plays itself.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that says what the test says.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// A connection of the plugin's to a [`Server`].
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Server {
    /// Listens on a port that the system chooses.
    pub async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|e| panic!("cannot listen: {e}"));
        let address = listener.local_addr().unwrap_or_else(|e| panic!("no address: {e}"));
        Server { listener, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection.
    pub async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap_or_else(|e| panic!("cannot accept: {e}"));
        Peer { stream, received: Vec::new() }
    }

    /// A request on a connection of its own, answered with that status.
    pub async fn answer(&self, status: u16) -> (String, String) {
        let mut peer = self.accept().await;
        let request = peer.request().await;
        let answer = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        peer.send(answer.as_bytes()).await;
        request
    }
}

impl Peer {
    /// Everything up to that text, and the text.
    pub async fn read_until(&mut self, end: &str) -> String {
        loop {
            let found = self.received.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let rest = self.received.split_off(at + end.len());
                return text(std::mem::replace(&mut self.received, rest));
            }
            self.receive().await;
        }
    }

    /// An HTTP request: its head and its content.
    pub async fn request(&mut self) -> (String, String) {
        let head = self.read_until("\r\n\r\n").await;
        let length = head.to_ascii_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let length = length.unwrap_or_default();
        while self.received.len() < length {
            self.receive().await;
        }
        let rest = self.received.split_off(length);
        (head, text(std::mem::replace(&mut self.received, rest)))
    }

    /// Sends octets.
    pub async fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap_or_else(|e| panic!("cannot send: {e}"));
    }

    async fn receive(&mut self) {
        let count = self.stream.read_buf(&mut self.received).await.unwrap_or_else(|e| panic!("cannot receive: {e}"));
        assert_ne!(count, 0, "the connection ended after {:?}", String::from_utf8_lossy(&self.received));
    }
}

fn text(octets: Vec<u8>) -> String {
    String::from_utf8(octets).unwrap_or_else(|e| panic!("no text: {e}"))
}
