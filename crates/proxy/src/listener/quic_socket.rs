//! The socket of an endpoint of QUIC, which several processes may have when one takes another's place. The one that
//! leaves keeps what its clients send: by sockets of its own, connected with each of them, which the kernel prefers.

use futures_util::task::AtomicWaker;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::collections::HashSet;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A socket that can be left to others, but for the clients that are there.
#[derive(Debug)]
pub(crate) struct QuicSocket {
    socket: UdpSocket,
    /// The same for quinn.
    shared: Arc<dyn AsyncUdpSocket>,
    /// Where datagrams come from once the socket is left to others.
    own: OnceLock<Mutex<mpsc::Receiver<Datagram>>>,
    /// Who waits for datagrams meanwhile.
    waker: AtomicWaker,
}

/// A client, and the address of ours that it sends to, where that is known.
pub(crate) type QuicPeer = (SocketAddr, Option<IpAddr>);

#[derive(Debug)]
struct Datagram {
    octets: Vec<u8>,
    peer: QuicPeer,
}

/// Datagrams of clients that wait to be taken, and octets of the longest: quinn takes none beyond 1472.
const WAITING: usize = 256;
const LONGEST: usize = 2048;

impl QuicSocket {
    /// To be called on the event loop of its endpoint.
    pub fn new(socket: UdpSocket) -> io::Result<Arc<QuicSocket>> {
        let shared = TokioRuntime.wrap_udp_socket(socket.try_clone()?)?;
        Ok(Arc::new(QuicSocket { socket, shared, own: OnceLock::new(), waker: AtomicWaker::new() }))
    }

    /// From now on only what these clients send comes in here, as long as the tasks that are given back run.
    pub fn keep_only(&self, peers: &HashSet<QuicPeer>) -> io::Result<JoinSet<()>> {
        let main = SockRef::from(&self.socket);
        let is_shared = main.reuse_port()?;
        main.set_reuse_port(true)?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        for peer in peers {
            match self.connect(*peer) {
                Ok(socket) => {
                    tasks.spawn_local(read(socket, *peer, sender.clone()));
                }
                Err(error) => tracing::warn!("a client of HTTP/3 cannot be kept: {error}"),
            }
        }
        main.set_reuse_port(is_shared)?;
        if self.own.set(Mutex::new(receiver)).is_ok() {
            self.waker.wake();
        }
        Ok(tasks)
    }

    fn connect(&self, (client, ip): QuicPeer) -> io::Result<tokio::net::UdpSocket> {
        let bound = self.socket.local_addr()?;
        let socket = Socket::new(Domain::for_address(bound), Type::DGRAM, Some(Protocol::UDP))?;
        let ip = match ip {
            Some(IpAddr::V4(ip)) if bound.is_ipv6() => IpAddr::V6(ip.to_ipv6_mapped()),
            Some(ip) => ip,
            None => bound.ip(),
        };
        if bound.is_ipv6() {
            socket.set_only_v6(SockRef::from(&self.socket).only_v6()?)?;
        }
        socket.set_nonblocking(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SocketAddr::new(ip, bound.port()).into())?;
        socket.connect(&client.into())?;
        tokio::net::UdpSocket::from_std(socket.into())
    }
}

impl AsyncUdpSocket for QuicSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.shared).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.shared.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.own.get().is_none() {
            self.waker.register(cx.waker());
        }
        let Some(own) = self.own.get() else { return self.shared.poll_recv(cx, buffers, meta) };
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        match ready!(own.lock().unwrap_or_else(PoisonError::into_inner).poll_recv(cx)) {
            // No client is left.
            None => Poll::Pending,
            Some(Datagram { octets, peer: (client, ip) }) => {
                let length = octets.len().min(buffer.len());
                buffer[..length].copy_from_slice(&octets[..length]);
                *meta = RecvMeta { addr: client, len: length, stride: length, ecn: None, dst_ip: ip };
                Poll::Ready(Ok(1))
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.shared.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.shared.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.shared.may_fragment()
    }
}

/// Passes on what a client sends.
async fn read(socket: tokio::net::UdpSocket, peer: QuicPeer, sender: mpsc::Sender<Datagram>) {
    let mut buffer = [0; LONGEST];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(0) => {}
            Ok(length) => {
                let datagram = Datagram { octets: buffer[..length].to_vec(), peer };
                if sender.send(datagram).await.is_err() {
                    return;
                }
            }
            // What the network says of what was sent before: the connection finds out by itself.
            Err(error) => tracing::debug!("a client of HTTP/3: {error}"),
        }
    }
}
