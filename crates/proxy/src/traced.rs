//! Connections of the node with itself, for requests whose course is to be seen. They begin in this process: there is
//! no line by which a client could have its request recorded.

use crate::http::Origin;
use crate::settings::Transport;
use crate::shared::Shared;
use sdk::recording::Recording;
use serde_json::Value;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// As whom and where a request comes in.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub client: IpAddr,
    /// Its requests come over HTTP/2.
    pub http2: bool,
    /// As if by TLS, with that server name.
    pub tls: bool,
    pub server_name: Option<String>,
    /// The port that the client means; else that of the listener.
    pub port: Option<u16>,
}

/// Our end of such a connection, and what will be told of the exchange on it.
pub struct TracedConnection {
    pub stream: TcpStream,
    pub told: oneshot::Receiver<Value>,
}

/// A connection on its way to a worker.
pub(crate) struct Traced {
    socket: std::net::TcpStream,
    arrival: Arrival,
    recording: Box<Recording>,
}

/// The way to the worker that serves them.
pub(crate) struct TracedQueue {
    sender: mpsc::Sender<Traced>,
    receiver: Mutex<Option<mpsc::Receiver<Traced>>>,
}

/// Connections that wait for the worker.
const WAITING: usize = 16;

impl TracedQueue {
    /// What the worker reads; for the one that asks first.
    pub fn receiver(&self) -> Option<mpsc::Receiver<Traced>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes a connection.
    pub async fn connect(&self, arrival: Arrival) -> io::Result<TracedConnection> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let own = stream.local_addr()?;
        let socket = loop {
            let (socket, peer) = listener.accept().await?;
            // Any process of the machine may connect.
            if peer == own {
                break socket.into_std()?;
            }
        };
        let (to, told) = oneshot::channel();
        let traced = Traced { socket, arrival, recording: Box::new(Recording::new(to)) };
        self.sender.try_send(traced).map_err(|_| io::Error::other("no worker takes the request"))?;
        Ok(TracedConnection { stream, told })
    }
}

impl Default for TracedQueue {
    fn default() -> TracedQueue {
        let (sender, receiver) = mpsc::channel(WAITING);
        TracedQueue { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Traced {
    /// Whether its requests come over HTTP/2.
    pub fn http2(&self) -> bool {
        self.arrival.http2
    }

    /// The connection as one to the first listener that it could be for; `number` is its number on the worker.
    pub fn open(self, shared: &Arc<Shared>, number: u64) -> io::Result<(TcpStream, Box<Origin>)> {
        let Arrival { client, tls, server_name, port, http2: _ } = self.arrival;
        let listeners = shared.settings.listen.iter().filter(|listen| listen.transport == Transport::Http);
        let bound = listeners.clone().find(|listen| listen.tls == tls).or(listeners.clone().next());
        let bound = bound.and_then(|listen| listen.address.ip()).unwrap_or(SocketAddr::new(client, 0));
        let port = port.unwrap_or_else(|| shared.settings.public_port(bound.port()));
        // The client's port says nothing: it has none.
        let mut origin = Origin::new(shared, (SocketAddr::new(client, 0), bound), port, tls, number);
        origin.client.sni = server_name.map(Arc::from);
        origin.recording.set(Some(self.recording));
        Ok((TcpStream::from_std(self.socket)?, origin))
    }
}
