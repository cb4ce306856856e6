//! Connections of QUIC. A socket has one endpoint, on the worker that has the socket: it knows connections by their
//! ids, wherever their datagrams come from, so that a client may change its address. It hands new connections out to
//! all workers, and each is served by one of them from its handshake to its end.

use super::quic_socket::{QuicPeer, QuicSocket};
use crate::settings::Limits;
use crate::tls::QuicTls;
use quinn::{EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use wire::h3::NO_ERROR;

/// Connections that wait for a worker.
const WAITING: usize = 128;
/// Handshakes at a time beyond which clients must show that they receive what is sent to their address (a Retry packet,
/// RFC 9000, section 8.1.2).
const UNVALIDATED: usize = 256;
/// What clients may send of a request's content before any of it is used: of one stream, and of all on a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What may be on its way to a client without its word that it has come.
const SEND_WINDOW: u64 = 1 << 20;
/// Streams of clients beside requests: three are needed, others are refused.
const OTHER_STREAMS: u32 = 8;
/// Connections that have sent their first datagram and wait to be taken, and what they may send meanwhile: each, all.
const INCOMING: usize = 1024;
const INCOMING_OCTETS: (u64, u64) = (16 << 10, 4 << 20);

/// For how long a worker that ends tells clients so.
const FAREWELL: Duration = Duration::from_millis(100);

/// A connection that has begun.
pub(crate) struct Arrival {
    pub incoming: Incoming,
    /// Where it has come to.
    pub bound: SocketAddr,
}

/// The ways to the workers, and what they have in common.
pub(crate) struct QuicArrivals {
    senders: Vec<mpsc::Sender<Arrival>>,
    receivers: Mutex<Vec<Option<mpsc::Receiver<Arrival>>>>,
    next: AtomicUsize,
    /// By which settings connections are accepted, but for their TLS.
    transport: Arc<TransportConfig>,
    retry: bool,
    handshakes: AtomicUsize,
    clients: Mutex<Clients>,
}

#[derive(Default)]
struct Clients {
    by_number: HashMap<u64, Client>,
    next: u64,
}

/// A handshake that counts until it is over.
pub(crate) struct Handshake<'a>(&'a AtomicUsize);

/// A client with a connection, or on its way to one.
struct Client {
    bound: SocketAddr,
    peer: SocketAddr,
    local: Option<IpAddr>,
    /// By which it is known where the client is now.
    connection: Option<quinn::Connection>,
}

/// A client that is known as long as this is.
pub(crate) struct KnownClient<'a> {
    arrivals: &'a QuicArrivals,
    number: u64,
}

impl QuicArrivals {
    /// For that many workers.
    pub fn new(workers: usize, limits: &Limits) -> QuicArrivals {
        let (senders, receivers) = (0..workers).map(|_| mpsc::channel(WAITING)).unzip::<_, _, Vec<_>, Vec<_>>();
        let receivers = Mutex::new(receivers.into_iter().map(Some).collect());
        QuicArrivals {
            senders,
            receivers,
            next: AtomicUsize::new(0),
            transport: Arc::new(transport(limits)),
            retry: limits.quic_retry,
            handshakes: AtomicUsize::new(0),
            clients: Mutex::default(),
        }
    }

    /// What that worker reads; for who asks first.
    pub fn receiver(&self, worker: usize) -> Option<mpsc::Receiver<Arrival>> {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(worker)?.take()
    }

    /// Gives a connection to one of the workers, which take turns. `false`: it was refused, as nobody can take it now.
    pub fn give(&self, incoming: Incoming, bound: SocketAddr) -> bool {
        let crowded = self.handshakes.load(Ordering::Relaxed) >= UNVALIDATED;
        if (self.retry || crowded) && !incoming.remote_address_validated() && incoming.may_retry() {
            // Fails only where it may not.
            let _ = incoming.retry();
            return true;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.senders.len();
        match self.senders[turn].try_send(Arrival { incoming, bound }) {
            Ok(()) => true,
            Err(error) => {
                error.into_inner().incoming.refuse();
                false
            }
        }
    }

    /// The settings of an endpoint, which are those of a connection but for its TLS.
    pub fn config(&self, tls: Arc<QuicTls>) -> ServerConfig {
        let mut config = ServerConfig::with_crypto(tls);
        config.transport_config(Arc::clone(&self.transport));
        config.max_incoming(INCOMING);
        config.incoming_buffer_size(INCOMING_OCTETS.0);
        config.incoming_buffer_size_total(INCOMING_OCTETS.1);
        config
    }

    /// Notes a client that has come.
    pub fn client(&self, incoming: &Incoming, bound: SocketAddr) -> KnownClient<'_> {
        let client = Client { bound, peer: incoming.remote_address(), local: incoming.local_ip(), connection: None };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let number = clients.next;
        clients.next += 1;
        clients.by_number.insert(number, client);
        KnownClient { arrivals: self, number }
    }

    /// Where the clients of a listener are, and where they send to.
    pub fn peers(&self, bound: SocketAddr) -> HashSet<QuicPeer> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = |client: &Client| match &client.connection {
            Some(connection) => (connection.remote_address(), connection.local_ip()),
            None => (client.peer, client.local),
        };
        clients.by_number.values().filter(|client| client.bound == bound).map(peer).collect()
    }

    /// Ends what there still is, whatever is under way on it, and waits until clients are told so or [`FAREWELL`] is
    /// over: no client notices by itself. To be called on every worker, as each sends for connections of its own.
    pub async fn cut_off(&self) {
        let left: Vec<_> = {
            let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            clients.by_number.values().filter_map(|client| client.connection.clone()).collect()
        };
        let sent = |connection: &quinn::Connection| connection.stats().udp_tx.datagrams;
        let before: Vec<_> = left.iter().map(sent).collect();
        left.iter().for_each(|connection| connection.close(NO_ERROR, b""));
        let end = Instant::now() + FAREWELL;
        // Nothing else is sent any more.
        while left.iter().zip(&before).any(|(connection, before)| sent(connection) == *before) && Instant::now() < end {
            tokio::time::sleep(FAREWELL / 100).await;
        }
    }

    /// Counts a handshake that begins.
    pub fn handshake(&self) -> Handshake<'_> {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        Handshake(&self.handshakes)
    }
}

impl KnownClient<'_> {
    /// It has its connection.
    pub fn connected(&self, connection: &quinn::Connection) {
        let mut clients = self.arrivals.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.by_number.get_mut(&self.number) {
            client.connection = Some(connection.clone());
        }
    }
}

impl Drop for KnownClient<'_> {
    fn drop(&mut self) {
        let mut clients = self.arrivals.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = clients.by_number.remove(&self.number);
        drop(clients);
        // The last handle of a connection closes it, for which nobody else waits.
        drop(gone);
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An endpoint on a socket; to be called on the event loop that it shall run on.
pub(crate) fn endpoint(socket: Arc<QuicSocket>, config: ServerConfig) -> io::Result<quinn::Endpoint> {
    let runtime = Arc::new(TokioRuntime);
    quinn::Endpoint::new_with_abstract_socket(EndpointConfig::default(), Some(config), socket, runtime)
}

fn transport(limits: &Limits) -> TransportConfig {
    let mut transport = TransportConfig::default();
    // An exchange may be silent for as long as its service is waited for; idle connections are looked after elsewhere.
    let idle = limits.keepalive_timeout.max(limits.client_header_timeout);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.http3_max_concurrent_streams))
        .max_concurrent_uni_streams(VarInt::from_u32(OTHER_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(idle).ok());
    transport
}
