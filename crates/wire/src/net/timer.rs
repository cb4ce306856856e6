//! Coarse deadlines: one sleeping task per worker instead of one timer per wait.
//!
//! Whoever waits notes its deadline and its waker; the worker's timekeeper sleeps until a bucket of the timing wheel
//! comes due, then wakes those whose time is over. A wait that ends in time costs a few stores: it stays in the wheel
//! with whatever deadline it gets next.

use super::wheel::{Entry, NEVER, Wheel};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long the timekeeper sleeps at most while there are deadlines: a loop that always finds something to do is never
/// woken, and would not set its clock.
const LOOK: Duration = Duration::from_secs(1);

/// The deadlines of one worker.
#[derive(Clone)]
pub struct Timers(Rc<Shared>);

/// The time of one event loop: read whenever the loop wakes, so that a deadline costs no look at the clock.
pub struct Clock {
    epoch: Instant,
    /// Nanoseconds since `epoch`.
    now: AtomicU64,
}

/// A place for one deadline at a time; one per connection. Clones share it. When the last one is dropped, nothing of it
/// remains with the worker's timers.
#[derive(Clone)]
pub struct Timer(Rc<Entry<Place>>);

/// The deadline of one wait among several that a task has at once on one [`Timer`]: only its owner sets it anew,
/// however often the task is woken for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(u64);

/// The wait took longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

struct Shared {
    wheel: RefCell<Wheel<Place>>,
    /// When the timekeeper wakes by itself; `NEVER` when it sleeps until told.
    next: Cell<u64>,
    clock: Arc<Clock>,
    sooner: Notify,
    /// Nobody waits for what has not begun any more.
    idle_is_over: Cell<bool>,
}

/// What a timer has beside its deadline.
struct Place {
    timers: Timers,
    /// The timekeeper has seen the deadline pass.
    expired: Cell<bool>,
    /// The wait is for something that nobody has begun: it ends when the worker drains.
    idle: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Clock {
    /// A clock that stands at now.
    pub fn new() -> Arc<Clock> {
        Arc::new(Clock { epoch: Instant::now(), now: AtomicU64::new(0) })
    }

    /// Sets it to a moment that was just taken.
    pub fn set(&self, now: Instant) {
        // One thread writes and reads; only the type is shared.
        self.now.store(self.nanos_at(now), Ordering::Relaxed);
    }

    /// The moment that it shows.
    pub fn now(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.nanos())
    }

    /// The same in nanoseconds since it was made.
    pub fn nanos(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn nanos_at(&self, moment: Instant) -> u64 {
        nanos_of(moment.saturating_duration_since(self.epoch))
    }
}

impl Timers {
    /// Timers without any deadline; [`Timers::keep`] must run on the same worker. The clock has to be set by the event
    /// loop whenever it wakes, before it polls anything.
    pub fn new(clock: Arc<Clock>) -> Timers {
        Timers(Rc::new(Shared {
            wheel: RefCell::new(Wheel::new()),
            next: Cell::new(NEVER),
            clock,
            sooner: Notify::new(),
            idle_is_over: Cell::new(false),
        }))
    }

    /// A timer for one connection.
    pub fn timer(&self) -> Timer {
        Timer(Entry::new(Place {
            timers: self.clone(),
            expired: Cell::new(false),
            idle: Cell::new(false),
            waker: RefCell::default(),
        }))
    }

    /// Ends all idle waits, now and from now on.
    pub fn expire_idle(&self) {
        self.0.idle_is_over.set(true);
        let mut idle = Vec::new();
        let mut wheel = self.0.wheel.borrow_mut();
        idle.extend(wheel.iter().filter(|e| e.value.idle.get() && e.deadline.get() != NEVER).cloned());
        for entry in &idle {
            wheel.remove(entry);
        }
        drop(wheel);
        wake(idle);
    }

    /// Ends the idle waits that would end first, an eighth of them and 32 at most; how many these were.
    pub fn expire_oldest_idle(&self) -> usize {
        let mut wheel = self.0.wheel.borrow_mut();
        let is_idle = |e: &&Rc<Entry<Place>>| e.value.idle.get() && e.deadline.get() != NEVER;
        let mut idle: Vec<Rc<Entry<Place>>> = wheel.iter().filter(is_idle).cloned().collect();
        let most = (idle.len() / 8).clamp(1, 32).min(idle.len());
        if most < idle.len() {
            idle.select_nth_unstable_by_key(most, |e| e.deadline.get());
            idle.truncate(most);
        }
        for entry in &idle {
            wheel.remove(entry);
        }
        drop(wheel);
        wake(idle);
        most
    }

    /// The timekeeper's task; never ends.
    pub async fn keep(self) {
        loop {
            self.0.clock.set(Instant::now());
            let now = self.0.clock.nanos();
            let next = self.advance(now);
            self.0.next.set(next);
            if next == NEVER {
                self.0.sooner.notified().await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_nanos(next.saturating_sub(now)).min(LOOK)) => {}
                () = self.0.sooner.notified() => {}
            }
        }
    }

    /// Wakes what is due, and says when to look again.
    fn advance(&self, now: u64) -> u64 {
        let mut expired = Vec::new();
        let mut wheel = self.0.wheel.borrow_mut();
        wheel.advance(now, &mut expired);
        let next = wheel.next_due();
        drop(wheel);
        wake(expired);
        next
    }
}

impl Timer {
    /// Polls until it is ready, or until `limit` has passed since it first was not.
    pub async fn limit<T>(
        &self,
        limit: Duration,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, TimedOut> {
        let mut armed = false;
        let result = poll_fn(|cx| {
            if let Poll::Ready(value) = poll(cx) {
                return Poll::Ready(Ok(value));
            }
            if !armed {
                armed = true;
                self.arm(limit);
            }
            if self.poll_expired(cx) { Poll::Ready(Err(TimedOut)) } else { Poll::Pending }
        })
        .await;
        self.disarm();
        result
    }

    /// Polls step after step until one breaks off, until all have taken `whole`, or until one has taken `pause`.
    pub async fn limit_steps<T>(
        &self,
        whole: Duration,
        pause: Duration,
        mut step: impl FnMut(&mut Context<'_>) -> Poll<ControlFlow<T>>,
    ) -> Result<T, TimedOut> {
        let end = self.clock().now() + whole;
        let mut armed = false;
        let result = poll_fn(|cx| {
            loop {
                match step(cx) {
                    Poll::Ready(ControlFlow::Break(value)) => return Poll::Ready(Ok(value)),
                    Poll::Ready(ControlFlow::Continue(())) => {
                        armed = false;
                        // Whoever always has something ready must still come to an end.
                        if self.clock().now() >= end {
                            return Poll::Ready(Err(TimedOut));
                        }
                    }
                    Poll::Pending => break,
                }
            }
            if !armed {
                armed = true;
                self.arm(pause.min(end.saturating_duration_since(self.clock().now())));
            }
            if self.poll_expired(cx) { Poll::Ready(Err(TimedOut)) } else { Poll::Pending }
        })
        .await;
        self.disarm();
        result
    }

    /// As [`Timer::limit`], for a wait that [`Timers::expire_idle`] ends.
    pub async fn limit_idle<T>(
        &self,
        limit: Duration,
        poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, TimedOut> {
        let place = &self.0.value;
        place.idle.set(true);
        let limit = if place.timers.0.idle_is_over.get() { Duration::ZERO } else { limit };
        let result = self.limit(limit, poll).await;
        place.idle.set(false);
        result
    }

    /// The moment when `limit` will have passed, by the time of the event loop.
    pub fn deadline(&self, limit: Duration) -> Deadline {
        Deadline(self.clock().nanos().saturating_add(nanos_of(limit)).min(NEVER - 1))
    }

    /// Sets the deadline anew: for waits that make progress step by step.
    pub fn arm(&self, limit: Duration) {
        self.set(self.deadline(limit).0);
    }

    /// No deadline.
    pub fn disarm(&self) {
        self.0.deadline.set(NEVER);
        self.0.value.expired.set(false);
    }

    /// No deadline, and nobody who waits for one: the timer is kept for somebody else.
    pub(crate) fn rest(&self) {
        self.disarm();
        self.0.value.waker.take();
    }

    /// Whether the deadline has passed; otherwise the task is woken when it does.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> bool {
        if self.0.value.expired.get() {
            return true;
        }
        if self.0.deadline.get() != NEVER {
            self.register(cx);
        }
        false
    }

    fn set(&self, deadline: u64) {
        let Timer(entry) = self;
        entry.deadline.set(deadline);
        entry.value.expired.set(false);
        // The usual deadline lies farther than the one before: the wheel looks when it comes to it.
        if deadline < entry.due() {
            self.place();
        }
    }

    fn place(&self) {
        let Timer(entry) = self;
        let shared = &entry.value.timers.0;
        shared.wheel.borrow_mut().place(entry, shared.clock.nanos());
        if entry.due() < shared.next.get() {
            shared.next.set(entry.due());
            shared.sooner.notify_one();
        }
    }

    fn register(&self, cx: &mut Context<'_>) {
        let mut waker = self.0.value.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    fn clock(&self) -> &Clock {
        &self.0.value.timers.0.clock
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Timer(entry) = self;
        // The other reference is the wheel's.
        if entry.is_linked() && Rc::strong_count(entry) == 2 {
            entry.value.timers.0.wheel.borrow_mut().remove(entry);
        }
    }
}

impl Deadline {
    /// A wait without a deadline.
    pub const NEVER: Deadline = Deadline(NEVER);

    /// Whether it has passed by the time of the event loop; otherwise the task is woken when it does, or earlier. Not
    /// to be mixed with [`Timer::poll_expired`] in one wait: the timer then goes by the earliest of the deadlines.
    #[inline]
    pub fn poll_expired(self, cx: &mut Context<'_>, timer: &Timer) -> bool {
        // Of the deadlines that an exchange can have it mostly has one.
        self.0 != NEVER && self.poll_due(cx, timer)
    }

    fn poll_due(self, cx: &mut Context<'_>, timer: &Timer) -> bool {
        if self.0 <= timer.clock().nanos() {
            return true;
        }
        if self.0 < timer.0.deadline.get() {
            timer.set(self.0);
        }
        timer.register(cx);
        false
    }
}

fn wake(expired: Vec<Rc<Entry<Place>>>) {
    for entry in expired {
        entry.deadline.set(NEVER);
        entry.value.expired.set(true);
        if let Some(waker) = entry.value.waker.take() {
            waker.wake();
        }
    }
}

/// Lasts for five hundred years.
fn nanos_of(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A waker that counts, and the timers of a loop whose time the test sets.
    struct Loop {
        count: Arc<Count>,
        waker: Waker,
        timers: Timers,
    }

    impl Loop {
        fn new() -> Loop {
            let count = Arc::<Count>::default();
            Loop { waker: Waker::from(Arc::clone(&count)), count, timers: Timers::new(Clock::new()) }
        }

        /// The time is now so many milliseconds after the beginning; how often the waker was called till then.
        fn at(&self, millis: u64) -> usize {
            let clock = &self.timers.0.clock;
            clock.set(clock.epoch + Duration::from_millis(millis));
            self.timers.advance(clock.nanos());
            self.count.0.load(Ordering::Relaxed)
        }
    }

    fn pending(_: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    #[test]
    fn the_clock_goes_on_while_the_loop_is_busy() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            let (clock, started) = (Clock::new(), Instant::now());
            let timers = Timers::new(Arc::clone(&clock));
            tokio::task::spawn_local(timers.clone().keep());
            let timer = timers.timer();
            timer.arm(Duration::from_secs(60));
            let set = clock.now();
            while clock.now() < set + LOOK / 2 {
                assert!(started.elapsed() < 10 * LOOK);
                tokio::task::yield_now().await;
            }
        });
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_not_before_when_ready() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let timers = Timers::new(Clock::new());
            tokio::task::spawn_local(timers.clone().keep());
            let timer = timers.timer();
            let started = Instant::now();
            assert_eq!(timer.limit(Duration::from_millis(30), pending).await, Err(TimedOut));
            assert!(started.elapsed() >= Duration::from_millis(30));
            assert_eq!(timer.limit(Duration::ZERO, |_| Poll::Ready(7)).await, Ok(7));
            // A later, nearer deadline is kept although the timekeeper already sleeps for a farther one.
            let far = timers.timer();
            far.arm(Duration::from_secs(3600));
            tokio::task::yield_now().await;
            assert_eq!(timer.limit(Duration::from_millis(20), pending).await, Err(TimedOut));
        });
    }

    #[test]
    fn a_dropped_timer_is_gone_with_its_waker() {
        let looped = Loop::new();
        let unused = Arc::strong_count(&looped.count);
        let timers = (0..100).map(|_| looped.timers.timer()).collect::<Vec<_>>();
        for timer in &timers {
            timer.arm(Duration::from_secs(60));
            assert!(!timer.poll_expired(&mut Context::from_waker(&looped.waker)));
        }
        let clones = timers.clone();
        drop(timers);
        assert_eq!(Arc::strong_count(&looped.count), unused + 100);
        assert_eq!(looped.timers.0.wheel.borrow().iter().count(), 100);
        drop(clones);
        assert_eq!(Arc::strong_count(&looped.count), unused);
        assert_eq!(looped.timers.0.wheel.borrow().iter().count(), 0);
        assert_eq!(looped.at(100_000), 0);
    }

    #[test]
    fn arming_anew_puts_the_deadline_off() {
        let looped = Loop::new();
        let mut cx = Context::from_waker(&looped.waker);
        let timer = looped.timers.timer();
        for second in 0..120 {
            assert_eq!(looped.at(second * 1000), 0);
            timer.arm(Duration::from_secs(60));
            assert!(!timer.poll_expired(&mut cx));
        }
        assert_eq!(looped.at(178_999), 0);
        assert_eq!(looped.at(179_010), 1);
        assert!(timer.poll_expired(&mut cx));
        timer.disarm();
        assert!(!timer.poll_expired(&mut cx));
    }

    #[test]
    fn the_deadline_of_a_whole_is_not_put_off_by_its_parts() {
        let looped = Loop::new();
        let mut cx = Context::from_waker(&looped.waker);
        let timer = looped.timers.timer();
        let whole = timer.deadline(Duration::from_secs(60));
        for second in 1..60 {
            assert_eq!(looped.at(second * 1000), 0);
            assert!(!whole.poll_expired(&mut cx, &timer));
        }
        assert_eq!(looped.at(60_010), 1);
        assert!(whole.poll_expired(&mut cx, &timer));
    }

    #[test]
    fn several_deadlines_of_one_task_are_kept_apart() {
        let looped = Loop::new();
        let mut cx = Context::from_waker(&looped.waker);
        let timer = looped.timers.timer();
        let reading = timer.deadline(Duration::from_secs(5));
        let mut writing = timer.deadline(Duration::from_secs(3));
        let mut over = |deadline: Deadline| deadline.poll_expired(&mut cx, &timer);
        assert!(!over(reading));
        assert!(!over(writing));
        looped.at(2000);
        writing = timer.deadline(Duration::from_secs(30));
        looped.at(4000);
        assert!(!over(reading), "woken for the deadline that was put off");
        assert!(!over(writing));
        looped.at(5010);
        assert!(over(reading));
        assert!(!over(writing));
        let before = looped.at(31_999);
        assert_eq!(looped.at(32_010), before + 1);
        assert!(over(writing));
        assert!(!over(Deadline::NEVER));
    }

    #[test]
    fn the_oldest_idle_waits_make_room() {
        let looped = Loop::new();
        let mut cx = Context::from_waker(&looped.waker);
        let timers: Vec<Timer> = (0..17).map(|_| looped.timers.timer()).collect();
        let busy = looped.timers.timer();
        let mut busy = pin!(busy.limit(Duration::from_secs(1), pending));
        assert!(busy.as_mut().poll(&mut cx).is_pending());
        let mut waits = Vec::new();
        for (number, timer) in timers.iter().enumerate() {
            looped.at(10 * number as u64);
            let mut wait = Box::pin(timer.limit_idle(Duration::from_secs(60), pending));
            assert!(wait.as_mut().poll(&mut cx).is_pending());
            waits.push(wait);
        }
        let mut over = || waits.iter_mut().map(|w| w.as_mut().poll(&mut cx).is_ready()).collect::<Vec<_>>();
        assert_eq!(looped.timers.expire_oldest_idle(), 2);
        assert_eq!(looped.timers.expire_oldest_idle(), 1);
        let over = over();
        assert_eq!(over[..3], [true; 3]);
        assert_eq!(over[3..], [false; 14]);
        assert!(busy.as_mut().poll(&mut cx).is_pending());
    }

    #[test]
    fn draining_ends_idle_waits_and_those_that_follow() {
        let looped = Loop::new();
        let mut cx = Context::from_waker(&looped.waker);
        let (idle, busy, late) = (looped.timers.timer(), looped.timers.timer(), looped.timers.timer());
        let limit = Duration::from_secs(60);
        let mut idle = pin!(idle.limit_idle(limit, pending));
        let mut busy = pin!(busy.limit(limit, pending));
        let mut late = pin!(late.limit_idle(limit, pending));
        assert!(idle.as_mut().poll(&mut cx).is_pending());
        assert!(busy.as_mut().poll(&mut cx).is_pending());
        looped.timers.expire_idle();
        assert_eq!(idle.poll(&mut cx), Poll::Ready(Err(TimedOut)));
        assert!(busy.as_mut().poll(&mut cx).is_pending());
        assert!(late.as_mut().poll(&mut cx).is_pending());
        looped.at(20);
        assert_eq!(late.poll(&mut cx), Poll::Ready(Err(TimedOut)));
    }
}
