//! A worker: one thread with its own event loop, listening sockets, buffers, timers, counters and connections to
//! services.

use crate::access_log;
use crate::http;
use crate::listener::{Admission, Expected, Shortage, handshake};
use crate::plane::{Counters, Phase, Shared};
use crate::snapshot::View;
use crate::upstream::Pool;
use sdk::{Client, Exchange, RequestHead, Timing};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::sync::{Notify, watch};
use wire::net::{BufferPool, Clock, FreeList, Lingering, LogLimiter, Stream, Timers};
use wire::proxy_protocol;

/// What everything on a worker has at hand.
pub(crate) struct Worker {
    pub shared: Arc<Shared>,
    pub buffers: BufferPool,
    pub timers: Timers,
    /// The time of the event loop, by which the timers go.
    time: Arc<Clock>,
    /// Requests since one of them set it.
    since_set: Cell<u32>,
    pub pool: RefCell<Pool>,
    pub gauges: Arc<Gauges>,
    pub access_log: Option<access_log::Buffer>,
    pub draining: Cell<bool>,
    view: RefCell<Rc<View>>,
    /// Sessions that are over, for their memory; none holds configuration older than the last request's.
    spare: FreeList<Session>,
    random: RefCell<fastrand::Rng>,
    date: RefCell<(u64, String)>,
    /// A moment and what it was in milliseconds since 1970; made anew every second.
    clock: Cell<(Instant, u64)>,
    /// For putting values together; empty between uses.
    pub scratch: RefCell<Vec<u8>>,
    open: Cell<usize>,
    closed: Notify,
    admission: Admission,
    failed_accepts: LogLimiter,
    pub failed_connects: LogLimiter,
    refused_handshakes: LogLimiter,
}

/// What a request needs from its head to its log: the exchange, and the configuration that it runs under.
pub(crate) struct Session {
    pub exchange: Box<Exchange>,
    pub view: Rc<View>,
}

/// A worker's counters; written by it alone, read by whoever asks.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Gauges {
    accepted: AtomicU64,
    closed: AtomicU64,
    idle: AtomicU64,
    requests: AtomicU64,
}

/// How often idle connections to services, and memory that waits to be used again, are looked over.
const SWEEP: Duration = Duration::from_secs(5);
/// After how many requests the time is looked up, even if the event loop was never woken between them.
const LOOKS: u32 = 32;
/// How many sessions are kept for their memory at most.
const SPARE: usize = 128;
/// The pause after an accept that failed: the next one would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Stands for an address that the system does not tell.
const UNKNOWN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// The life of a worker: ends when the data plane has been drained.
pub(crate) fn run(
    index: usize,
    shared: &Arc<Shared>,
    sockets: Vec<std::net::TcpListener>,
    phase: watch::Receiver<Phase>,
) {
    let clock = Clock::new();
    let ticking = Arc::clone(&clock);
    // As many tasks as there are events in one go: each turn of the event loop costs a system call.
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(256)
        .on_thread_unpark(move || ticking.set(Instant::now()))
        .build_local(LocalOptions::default());
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("worker {index} cannot start: {error}");
            return;
        }
    };
    let worker = Rc::new(Worker {
        buffers: BufferPool::default(),
        timers: Timers::new(Arc::clone(&clock)),
        time: clock,
        since_set: Cell::new(0),
        pool: RefCell::new(Pool::new(shared.settings.keepalive)),
        gauges: Arc::clone(&shared.gauges[index]),
        access_log: shared.settings.access_log.clone().map(access_log::Buffer::new),
        draining: Cell::new(false),
        view: RefCell::new(View::of(&shared.snapshot)),
        random: RefCell::new(fastrand::Rng::new()),
        date: RefCell::new((0, String::new())),
        clock: Cell::new((Instant::now(), unix_millis())),
        scratch: RefCell::default(),
        spare: FreeList::new(SPARE),
        open: Cell::new(0),
        closed: Notify::new(),
        admission: Admission::new(shared.settings.limits.connections, shared.descriptors),
        failed_accepts: LogLimiter::default(),
        failed_connects: LogLimiter::default(),
        refused_handshakes: LogLimiter::default(),
        shared: Arc::clone(shared),
    });
    runtime.block_on(worker.serve(sockets, phase));
}

impl Worker {
    async fn serve(self: &Rc<Self>, sockets: Vec<std::net::TcpListener>, mut phase: watch::Receiver<Phase>) {
        let keeper = tokio::task::spawn_local(self.timers.clone().keep());
        let sweeper = tokio::task::spawn_local(Rc::clone(self).sweep());
        let logger = tokio::task::spawn_local(Rc::clone(self).keep_log());
        let mut accepting = Vec::new();
        for (index, socket) in sockets.into_iter().enumerate() {
            match TcpListener::from_std(socket) {
                Ok(listener) => accepting.push(tokio::task::spawn_local(Rc::clone(self).accept(listener, index))),
                Err(error) => tracing::error!("cannot serve a listener: {error}"),
            }
        }
        // An error means that the data plane is gone, which ends the worker too.
        let _ = phase.wait_for(|p| *p != Phase::Serving).await;
        accepting.iter().for_each(tokio::task::JoinHandle::abort);
        self.draining.set(true);
        self.timers.expire_idle();
        let ended = async {
            while self.open.get() > 0 {
                self.closed.notified().await;
            }
        };
        tokio::select! {
            () = ended => {}
            _ = phase.wait_for(|p| *p == Phase::Ended) => {}
        }
        keeper.abort();
        sweeper.abort();
        logger.abort();
        if let Some(log) = &self.access_log {
            log.flush();
        }
    }

    /// `index` is that of the listener in the settings.
    async fn accept(self: Rc<Self>, listener: TcpListener, index: usize) {
        let bound = listener.local_addr().unwrap_or(UNKNOWN);
        let port = self.shared.settings.public_port(bound.port());
        let tls = self.shared.settings.listen[index].tls;
        loop {
            match listener.accept().await {
                Ok((socket, _)) if !self.admission.admit(&socket, self.open.get(), |what| self.reclaim(what)) => {}
                Ok((socket, peer)) => {
                    self.open.set(self.open.get() + 1);
                    let number = self.gauges.accept();
                    // A socket bound to all addresses does not know which one was asked for.
                    let local = if bound.ip().is_unspecified() { socket.local_addr().unwrap_or(bound) } else { bound };
                    let origin = http::Origin::new(&self.shared, (peer, local), port, tls, number);
                    // Boxed: whatever moves a task within the event loop then moves a pointer.
                    tokio::task::spawn_local(Box::pin(Rc::clone(&self).connection(socket, origin, index)));
                    if self.admission.is_pressed() {
                        tokio::task::yield_now().await;
                    }
                }
                // The client was faster.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.failed_accepts.note(|n| tracing::error!("cannot accept connections ({n} times): {error}"));
                    self.reclaim(Shortage::Descriptors);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Closes some connections on which nothing happens; how many.
    fn reclaim(&self, shortage: Shortage) -> usize {
        let clients = self.timers.expire_oldest_idle();
        match shortage {
            Shortage::Descriptors if clients == 0 => self.pool.borrow_mut().close_oldest(),
            _ => clients,
        }
    }

    async fn connection(self: Rc<Self>, socket: TcpStream, mut origin: Box<http::Origin>, index: usize) {
        let _open = Open(&self);
        let settings = &self.shared.settings;
        let tls = origin.tls.then(|| self.shared.listener_tls.load_full());
        let expected = Expected {
            proxy_protocol: settings.listen[index].proxy_protocol,
            tls: tls.as_ref().map(|tls| Arc::clone(&tls.config).into()),
            limit: settings.limits.client_header_timeout,
            lingering: Lingering { time: settings.limits.lingering_time, pause: settings.limits.lingering_timeout },
        };
        let established = match handshake(socket, expected, &self.timers).await {
            Ok(established) => established,
            Err(error) => {
                let client = origin.peer.as_str();
                self.refused_handshakes.note(|n| {
                    if error.get_ref().is_some_and(|e| e.is::<proxy_protocol::Malformed>()) {
                        tracing::warn!(client, "{n} connections ended before HTTP: {error}");
                    } else {
                        tracing::info!(client, "{n} connections ended before HTTP: {error}");
                    }
                });
                return;
            }
        };
        origin.client.sni = established.sni;
        if let (Stream::TlsServer(stream), Some(tls)) = (&established.stream, &tls) {
            origin.unverified = tls.clients.judge(stream.get_ref().1.peer_certificates()).err();
        }
        origin.proxied = established.proxied;
        http::serve(&self, established.stream, origin).await;
    }

    async fn sweep(self: Rc<Self>) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            self.pool.borrow_mut().sweep();
            self.admission.flush();
            // Without requests too: nothing that is no longer in force is held for long.
            self.refresh_view();
            // Memory that was needed for a burst goes back.
            self.buffers.shrink();
            self.spare.shrink();
        }
    }

    async fn keep_log(self: Rc<Self>) {
        if let Some(log) = &self.access_log {
            log.keep().await;
        }
    }

    /// A session to read a head into; [`Worker::refresh_snapshot`] is to be called when the head has come.
    pub fn session(&self, client: &Client) -> Session {
        self.spare.take().unwrap_or_else(|| {
            let view = Rc::clone(&self.view.borrow());
            let timing = Timing { started: Instant::now(), started_unix_ms: 0, upstream: None, proxy: None };
            Session {
                exchange: Box::new(Exchange::new(
                    [b'0'; 32],
                    client.clone(),
                    RequestHead::default(),
                    timing,
                    view.directory(),
                )),
                view,
            }
        })
    }

    /// Puts a session under the configuration in force.
    pub fn refresh_snapshot(&self, session: &mut Session) {
        let current = self.refresh_view();
        if !Rc::ptr_eq(&current, &session.view) {
            session.exchange.directory = current.directory();
            session.view = current;
        }
    }

    /// Takes a session that is over back.
    pub fn give_back(&self, mut session: Session) {
        if Rc::ptr_eq(&self.view.borrow(), &session.view) {
            session.exchange.clear();
            self.spare.give(session);
        }
    }

    /// The view of the configuration in force.
    fn refresh_view(&self) -> Rc<View> {
        let mut view = self.view.borrow_mut();
        if !view.is_current(&self.shared.snapshot) {
            // Those that wait hold what is no longer in force.
            self.spare.clear();
            *view = View::of(&self.shared.snapshot);
        }
        Rc::clone(&view)
    }

    /// A fresh request id: 32 hexadecimal digits.
    pub fn request_id(&self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let bytes = self.random.borrow_mut().u128(..).to_le_bytes();
        let mut id = [0; 32];
        for (pair, byte) in id.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        id
    }

    /// The time of the event loop, and the same in milliseconds since 1970. Each request calls this: a loop that always
    /// finds something to do is never woken, so that its time must be set by those who keep it busy.
    pub fn now(&self) -> (Instant, u64) {
        let requests = self.since_set.get();
        self.since_set.set((requests + 1) % LOOKS);
        if requests == 0 {
            self.update_time();
        }
        let now = self.time.now();
        let (at, unix) = self.clock.get();
        let since = now.saturating_duration_since(at);
        if since < Duration::from_secs(1) {
            return (now, unix + u64::from(since.subsec_millis()));
        }
        let unix = unix_millis();
        self.clock.set((now, unix));
        (now, unix)
    }

    /// Sets the time of the event loop to now: after something that may have computed for long.
    pub fn update_time(&self) {
        self.time.set(Instant::now());
    }

    /// The time of the event loop: when it was woken last, as nginx has it. What happens at once takes no time.
    pub fn loop_time(&self) -> Instant {
        self.time.now()
    }

    /// Now, as `Date` has it (RFC 9110, section 5.6.7).
    pub fn date(&self, write: impl FnOnce(&str)) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut date = self.date.borrow_mut();
        if date.0 != second {
            *date = (second, httpdate::fmt_http_date(now));
        }
        write(&date.1);
    }
}

impl Gauges {
    /// A connection was accepted; its number, from 1.
    fn accept(&self) -> u64 {
        add(&self.accepted, 1);
        self.accepted.load(Ordering::Relaxed)
    }

    /// A request has begun.
    pub fn request(&self) {
        add(&self.requests, 1);
    }

    /// A connection has become idle, or is no longer.
    pub fn idle(&self, idle: bool) {
        add(&self.idle, if idle { 1 } else { u64::MAX });
    }

    /// The sum with these counters.
    pub fn add_to(&self, sum: Counters) -> Counters {
        let accepted = self.accepted.load(Ordering::Relaxed);
        Counters {
            accepted: sum.accepted + accepted,
            active: sum.active + accepted.saturating_sub(self.closed.load(Ordering::Relaxed)),
            idle: sum.idle + self.idle.load(Ordering::Relaxed),
            requests: sum.requests + self.requests.load(Ordering::Relaxed),
        }
    }
}

/// Adds (wrapping) to a counter that only this thread writes: no bus lock needed.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// Counts a connection as open until it is dropped, however its task ends.
struct Open<'a>(&'a Worker);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        add(&self.0.gauges.closed, 1);
        if self.0.draining.get() {
            self.0.closed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_a_connection_is_small() {
        let size = size_of_future(Worker::connection);
        assert!(size <= 3072, "{size} octets: is there something large in `http::serve` that could be boxed?");
    }
}
