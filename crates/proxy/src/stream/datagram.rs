//! Streams of datagrams (UDP): those from one address of a client are one session, which ends when nothing comes either
//! way for a while.

use super::attempt;
use super::session::{self, StatusCode, admit, begin, end, enter, idle};
use crate::balancer::Peer;
use crate::chain;
use crate::error_log::{OfStream, failed};
use crate::health::Outcome;
use crate::http::Origin;
use crate::tunnel::Moved;
use crate::worker::Worker;
use bytes::Bytes;
use model::entities::Protocol;
use sdk::{Exchange, Phases, Try};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use wire::net::{Timer, out_of_descriptors};

/// The largest datagram there is.
const LARGEST: usize = 65_535;
/// Datagrams that wait for their session to take them: of one, and in octets of all on a socket. More are dropped, as
/// by a full socket.
const WAITING: usize = 64;
const WAITING_OCTETS: usize = 1 << 20;

/// A socket for datagrams, and the sessions on it.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    sessions: RefCell<HashMap<SocketAddr, mpsc::Sender<Waiting>>>,
    /// Octets of the datagrams that wait.
    waiting: Rc<Cell<usize>>,
    /// Where answers are read into, one after the other.
    space: RefCell<Vec<u8>>,
}

/// A datagram that counts as long as it waits.
struct Waiting {
    datagram: Bytes,
    all: Rc<Cell<usize>>,
}

/// A session that has just begun.
pub(crate) struct Arrival {
    pub client: SocketAddr,
    datagrams: mpsc::Receiver<Waiting>,
}

impl Datagrams {
    pub fn new(socket: UdpSocket) -> Datagrams {
        let space = RefCell::new(vec![0; LARGEST]);
        Datagrams { socket, sessions: RefCell::default(), waiting: Rc::default(), space }
    }

    /// Hands datagrams to their sessions until one comes that is of none.
    pub async fn next(&self, space: &mut Vec<u8>) -> io::Result<Arrival> {
        loop {
            space.clear();
            space.reserve(LARGEST);
            let (_, client) = self.socket.recv_buf_from(space).await?;
            if self.waiting.get() + space.len() > WAITING_OCTETS {
                continue;
            }
            let mut datagram = Waiting::new(space, &self.waiting);
            let mut sessions = self.sessions.borrow_mut();
            if let Some(session) = sessions.get(&client) {
                match session.try_send(datagram) {
                    Err(mpsc::error::TrySendError::Closed(unsent)) => datagram = unsent,
                    // Those that do not fit are lost.
                    _ => continue,
                }
            }
            let (sender, datagrams) = mpsc::channel(WAITING);
            let _ = sender.try_send(datagram);
            sessions.insert(client, sender);
            return Ok(Arrival { client, datagrams });
        }
    }

    /// Forgets a session that is not to be.
    pub fn refuse(&self, arrival: Arrival) {
        self.sessions.borrow_mut().remove(&arrival.client);
    }

    /// Serves a session until it is over.
    pub async fn serve(&self, worker: &Rc<Worker>, arrival: Arrival, origin: Box<Origin>) {
        let Arrival { client, mut datagrams } = arrival;
        let timer = worker.timers.timer();
        let mut kept = worker.session(&origin.client);
        worker.refresh_snapshot(&mut kept);
        let (mut exchange, view) = (kept.exchange, kept.view);
        begin(worker, &origin, &mut exchange, Protocol::Udp);
        let mut selected = chain::Selected::new();
        let opened = match enter(&view, &origin, &mut exchange) {
            Ok(chain) => match admit(&mut exchange, (chain, &mut selected)).await {
                Ok(()) => {
                    let destination = attempt::destination(worker, &view, &exchange);
                    match attempt::pick(worker, &exchange, &destination, &[]).await {
                        Ok(peer) => open(worker, &mut exchange, peer).await,
                        Err(_) => Err(StatusCode(503)),
                    }
                }
                Err(status) => Err(status),
            },
            Err(status) => {
                chain::run_access(view.global_chain(), &mut exchange, &mut selected, false).await;
                Err(status)
            }
        };
        let logging = chain::taking_part(&selected, Phases::LOG);
        drop(selected);
        exchange.detach();
        drop(view);
        let status = match opened {
            Ok((service, peer)) => {
                let (moved, ended) = self.relay(client, &mut datagrams, &service, &timer, idle(&exchange)).await;
                session::note(&mut exchange, moved);
                ended.unwrap_or_else(|error| {
                    peer.report(Outcome::TcpFailure);
                    let why = failed("recv()", &error, "proxying and reading from");
                    tracing::error!("{why}{}", OfStream { exchange: &exchange, upstream: Some(peer.address) });
                    StatusCode(502)
                })
            }
            Err(status) => status,
        };
        self.sessions.borrow_mut().remove(&client);
        end(worker, &origin, &mut exchange, &logging, status);
    }

    /// Passes datagrams on, both ways, until nothing comes any more. The error: nobody listens there, so that the next
    /// datagram of the client begins another session, perhaps with another target.
    async fn relay(
        &self,
        client: SocketAddr,
        datagrams: &mut mpsc::Receiver<Waiting>,
        service: &UdpSocket,
        timer: &Timer,
        idle: Duration,
    ) -> (Moved, io::Result<StatusCode>) {
        let idle = idle.max(Duration::from_secs(1));
        let (mut moved, mut sending) = (Moved::default(), None::<Waiting>);
        let mut refusal = pin!(refusal(service));
        timer.arm(idle);
        let ended = poll_fn(|cx| {
            if let Poll::Ready(error) = refusal.as_mut().poll(cx) {
                return Poll::Ready(Err(error));
            }
            loop {
                if sending.is_none() {
                    match datagrams.poll_recv(cx) {
                        Poll::Ready(Some(datagram)) => sending = Some(datagram),
                        _ => break,
                    }
                }
                let Some(waiting) = &sending else { break };
                match service.poll_send(cx, &waiting.datagram) {
                    Poll::Pending => break,
                    // What has become of one before.
                    Poll::Ready(Err(error)) if is_refusal(&error) => return Poll::Ready(Err(error)),
                    // One that cannot be sent, by its size, is lost.
                    Poll::Ready(_) => {}
                }
                let Some(sent) = sending.take() else { break };
                moved.up += sent.datagram.len() as u64;
                timer.arm(idle);
            }
            match self.poll_answers(cx, service, client) {
                Poll::Ready(Ok(octets)) => {
                    moved.down += octets as u64;
                    moved.first.get_or_insert_with(Instant::now);
                    timer.arm(idle);
                    cx.waker().wake_by_ref();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
            if timer.poll_expired(cx) { Poll::Ready(Ok(StatusCode(200))) } else { Poll::Pending }
        })
        .await;
        timer.disarm();
        (moved, ended)
    }

    /// Passes one answer on; its octets.
    fn poll_answers(&self, cx: &mut Context<'_>, service: &UdpSocket, client: SocketAddr) -> Poll<io::Result<usize>> {
        let mut space = self.space.borrow_mut();
        let mut answer = ReadBuf::new(&mut space);
        std::task::ready!(service.poll_recv(cx, &mut answer))?;
        // What there is no room for is lost, as on any way.
        let _ = self.socket.try_send_to(answer.filled(), client);
        Poll::Ready(Ok(answer.filled().len()))
    }
}

/// Waits for the word that what was sent has reached nobody (an ICMP message). It makes a socket neither readable nor
/// writable, and is told once, to whichever call comes first.
async fn refusal(service: &UdpSocket) -> io::Error {
    let told = || match service.take_error() {
        Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(Some(error)) | Err(error) => Ok(error),
    };
    service.async_io(Interest::ERROR, told).await.unwrap_or_else(|error| error)
}

fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

impl Waiting {
    fn new(datagram: &[u8], all: &Rc<Cell<usize>>) -> Waiting {
        all.set(all.get() + datagram.len());
        Waiting { datagram: Bytes::copy_from_slice(datagram), all: Rc::clone(all) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.datagram.len());
    }
}

/// A socket that is connected with a peer.
async fn open(worker: &Worker, exchange: &mut Exchange, peer: Peer) -> Result<(UdpSocket, Peer), StatusCode> {
    let started = worker.loop_time();
    exchange.timing.proxy = Some(started.saturating_duration_since(exchange.timing.started));
    exchange.timing.upstream = Some(Duration::ZERO);
    let any: IpAddr = if peer.address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let connected = async {
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        if !worker.shared.descriptors.allow_service(&socket) {
            return Err(out_of_descriptors());
        }
        socket.connect(peer.address).await?;
        Ok(socket)
    };
    let connected = connected.await;
    let status = if connected.is_ok() { 200 } else { 502 };
    let made = connected.is_ok().then_some(Duration::ZERO);
    exchange.tries.push(Try { status, connected: made, ..Try::new(peer.address, started) });
    match connected {
        Ok(socket) => {
            exchange.source = sdk::Source::Service;
            Ok((socket, peer))
        }
        Err(error) => {
            let why = failed("connect()", &error, "connecting to");
            tracing::error!("{why}{}", OfStream { exchange, upstream: Some(peer.address) });
            Err(StatusCode(502))
        }
    }
}
