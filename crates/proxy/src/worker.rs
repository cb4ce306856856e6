//! A worker: what one thread has of its own for the connections that it serves. Buffers, timers, counters, connections
//! to services, and its view of the configuration.

use crate::access_log;
use crate::http::OwnLines;
use crate::live::{Counting, OpenConnection};
use crate::shared::{Gauges, Shared};
use crate::snapshot::View;
use crate::upstream::Pool;
use sdk::{Client, Exchange, RequestHead, Timing};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wire::h2::StreamPool;
use wire::net::{BufferPool, Clock, FreeList, LogLimiter, Pipe, Timers};

/// What everything on a worker has at hand.
pub(crate) struct Worker {
    pub shared: Arc<Shared>,
    pub buffers: BufferPool,
    pub streams: StreamPool,
    pub timers: Timers,
    /// The time of the event loop, by which the timers go.
    time: Arc<Clock>,
    /// What it showed when it was looked at last, in its own nanoseconds and as a moment.
    moment: Cell<(u64, Instant)>,
    /// Requests since one of them set it.
    since_set: Cell<u32>,
    pub pool: RefCell<Pool>,
    pub gauges: Arc<Gauges>,
    index: usize,
    pub counting: Counting,
    pub access_log: Option<access_log::Buffer>,
    pub stream_access_log: Option<access_log::Buffer>,
    /// Whether the content of requests is wanted in lines.
    pub keeps_content: bool,
    pub draining: Cell<bool>,
    view: RefCell<Rc<View>>,
    /// Sessions that are over, for their memory; none holds configuration older than the last request's.
    spare: FreeList<Session>,
    pipes: FreeList<Pipe>,
    random: RefCell<fastrand::Rng>,
    date: RefCell<(u64, String)>,
    /// A moment of the event loop in its own nanoseconds, and the same in milliseconds since 1970; made anew every
    /// second.
    clock: Cell<(u64, u64)>,
    /// For putting values together; empty between uses.
    pub scratch: RefCell<Vec<u8>>,
    pub own_lines: RefCell<OwnLines>,
    pub failed_connects: LogLimiter,
}

/// What a request needs from its head to its log: the exchange, and the configuration that it runs under.
pub(crate) struct Session {
    pub exchange: Box<Exchange>,
    pub view: Rc<View>,
}

/// After how many requests the time is looked up, even if the event loop was never woken between them.
const LOOKS: u32 = 32;
/// How many sessions are kept for their memory at most.
const SPARE: usize = 128;
/// How many free pipes are kept at most.
const PIPES: usize = 32;
/// How long idle connections that are asked to make room have for that.
const ROOM: Duration = Duration::from_millis(5);

impl Worker {
    /// The worker with that number among those of the data plane; `clock` is that of its event loop.
    pub fn new(index: usize, shared: &Arc<Shared>, clock: Arc<Clock>) -> Worker {
        clock.set(Instant::now());
        Worker {
            buffers: BufferPool::default(),
            streams: StreamPool::default(),
            timers: Timers::new(Arc::clone(&clock)),
            moment: Cell::new((clock.nanos(), clock.now())),
            time: Arc::clone(&clock),
            since_set: Cell::new(0),
            pool: RefCell::new(Pool::new(shared.settings.keepalive)),
            gauges: Arc::clone(&shared.gauges[index]),
            index,
            counting: shared.live.counting(index),
            access_log: shared.settings.access_log.clone().map(access_log::Buffer::new),
            stream_access_log: shared.settings.stream_access_log.clone().map(access_log::Buffer::new),
            keeps_content: shared.settings.keeps_content(),
            draining: Cell::new(false),
            view: RefCell::new(View::of(&shared.snapshot)),
            random: RefCell::new(fastrand::Rng::new()),
            date: RefCell::new((0, String::new())),
            clock: Cell::new((clock.nanos(), unix_millis())),
            scratch: RefCell::default(),
            own_lines: RefCell::default(),
            spare: FreeList::new(SPARE),
            pipes: FreeList::new(PIPES),
            failed_connects: LogLimiter::default(),
            shared: Arc::clone(shared),
        }
    }

    /// Lets go of what is not needed any more, now and then.
    pub fn sweep(&self) {
        self.pool.borrow_mut().sweep();
        // Without requests too: nothing that is no longer in force is held for long.
        self.refresh_view();
        self.counting.sweep();
        // Memory that was needed for a burst goes back.
        self.buffers.shrink();
        self.streams.shrink();
        self.spare.shrink();
        self.pipes.shrink();
    }

    /// An empty pipe, unless descriptors are short; content is then copied.
    pub fn pipe(&self) -> Option<Pipe> {
        self.pipes.take().or_else(|| Pipe::new().ok().filter(|pipe| self.shared.descriptors.allow_client(pipe)))
    }

    /// Takes one back.
    pub fn give_pipe(&self, pipe: Pipe) {
        if pipe.is_empty() {
            self.pipes.give(pipe);
        }
    }

    /// Lets go of what is kept for later, where a connection to a service could not be made for want of descriptors or
    /// ports; whether it may be tried again.
    pub async fn make_room(&self, error: &io::Error) -> bool {
        if self.pool.borrow_mut().close_oldest() > 0 {
            return true;
        }
        // Clients have no ports of those that are short.
        if error.kind() == io::ErrorKind::AddrNotAvailable {
            return false;
        }
        self.shared.descriptors_wanted.notify_waiters();
        // They are closed when their tasks run, perhaps on other workers.
        tokio::time::sleep(ROOM).await;
        true
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

    /// Counts a request or a stream that is over.
    pub fn over(&self, exchange: &Exchange) {
        self.gauges.answer();
        if self.counting.is_watched() {
            self.counting.request(exchange);
        }
    }

    /// Counts a connection with that address of a service as long as it is open.
    pub fn opened(&self, address: SocketAddr) -> OpenConnection {
        self.shared.live.connections[self.index].open(address)
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
        let random = self.random.borrow_mut().u128(..).to_le_bytes();
        let mut id = [0; 32];
        for (digits, bytes) in id.as_chunks_mut().0.iter_mut().zip(random.as_chunks().0) {
            *digits = hexadecimal(*bytes);
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
        let (now, nanos) = (self.loop_time(), self.loop_nanos());
        let (at, unix) = self.clock.get();
        let since = nanos.saturating_sub(at);
        if since < 1_000_000_000 {
            return (now, unix + since / 1_000_000);
        }
        let unix = unix_millis();
        self.clock.set((nanos, unix));
        (now, unix)
    }

    /// Sets the time of the event loop to now: after something that may have computed for long.
    pub fn update_time(&self) {
        self.time.set(Instant::now());
    }

    /// The time of the event loop: when it was woken last, as nginx has it. What happens at once takes no time.
    pub fn loop_time(&self) -> Instant {
        let nanos = self.time.nanos();
        let (known, moment) = self.moment.get();
        // It is asked for several times while it stands.
        if known == nanos {
            return moment;
        }
        let now = self.time.now();
        self.moment.set((nanos, now));
        now
    }

    /// The same in nanoseconds, for telling how long something has taken.
    pub fn loop_nanos(&self) -> u64 {
        self.time.nanos()
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

/// How long one moment is after another, by the time of the event loop: often it is the same.
pub(crate) fn since(now: Instant, before: Instant) -> Duration {
    if now == before { Duration::ZERO } else { now.saturating_duration_since(before) }
}

/// The eight digits of four octets, all at once: each request has an id.
fn hexadecimal(octets: [u8; 4]) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Each half of an octet becomes an octet, the first digit the lowest.
    let spread = u64::from(u32::from_le_bytes(octets));
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (spread >> 4 | spread << 8) & (ONES * 15);
    let letters = (nibbles + ONES * 6) >> 4 & ONES;
    (nibbles + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'0' - 10)).to_le_bytes()
}

fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_as_hexadecimal_digits() {
        for octet in 0..=u8::MAX {
            let octets = [octet, !octet, octet.rotate_left(3), 0];
            let expected: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            assert_eq!(hexadecimal(octets), expected.as_bytes());
        }
    }
}
