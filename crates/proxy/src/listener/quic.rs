//! Connections of QUIC. A socket has one endpoint, on the worker that has the socket: it knows connections by their
//! ids, wherever their datagrams come from, so that a client may change its address. It hands new connections out to
//! all workers, and each is served by one of them from its handshake to its end.

use crate::settings::Limits;
use crate::tls::QuicTls;
use quinn::{EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

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
}

/// A handshake that counts until it is over.
pub(crate) struct Handshake<'a>(&'a AtomicUsize);

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

    /// Counts a handshake that begins.
    pub fn handshake(&self) -> Handshake<'_> {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        Handshake(&self.handshakes)
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An endpoint on a socket; to be called on the event loop that it shall run on.
pub(crate) fn endpoint(socket: UdpSocket, config: ServerConfig) -> io::Result<quinn::Endpoint> {
    quinn::Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
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
