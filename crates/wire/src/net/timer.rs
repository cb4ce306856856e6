//! Coarse deadlines: one sleeping task per worker instead of one timer per wait.
//!
//! Whoever waits notes its deadline and its waker in a slot; the worker's timekeeper sleeps until the earliest deadline
//! it knows of, then wakes those that are due. A wait that ends in time costs a few stores.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Deadlines are kept to this precision.
const GRAIN: Duration = Duration::from_millis(10);
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

/// A place for one deadline at a time; one per connection. Clones share it.
#[derive(Clone)]
pub struct Timer {
    timers: Timers,
    slot: Rc<TimerEntry>,
}

/// The wait took longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

struct Shared {
    slots: RefCell<Vec<Rc<TimerEntry>>>,
    /// Milliseconds on the clock at which the timekeeper wakes; `NEVER` when it sleeps until told.
    next: Cell<u64>,
    clock: Arc<Clock>,
    sooner: Notify,
}

struct TimerEntry {
    deadline: Cell<u64>,
    /// The timekeeper has seen the deadline pass.
    expired: Cell<bool>,
    /// The wait is for something that nobody has begun: it ends when the worker drains.
    idle: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

const NEVER: u64 = u64::MAX;

impl Clock {
    /// A clock that stands at now.
    pub fn new() -> Arc<Clock> {
        Arc::new(Clock { epoch: Instant::now(), now: AtomicU64::new(0) })
    }

    /// Sets it to a moment that was just taken.
    pub fn set(&self, now: Instant) {
        let since = now.saturating_duration_since(self.epoch);
        // One thread writes and reads; only the type is shared. It lasts for five hundred years.
        self.now.store(since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()), Ordering::Relaxed);
    }

    /// The moment that it shows.
    pub fn now(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.now.load(Ordering::Relaxed))
    }

    fn millis(&self) -> u64 {
        self.now.load(Ordering::Relaxed) / 1_000_000
    }
}

impl Timers {
    /// Timers without any deadline; [`Timers::keep`] must run on the same worker. The clock has to be set by the event
    /// loop whenever it wakes, before it polls anything.
    pub fn new(clock: Arc<Clock>) -> Timers {
        Timers(Rc::new(Shared { slots: RefCell::default(), next: Cell::new(NEVER), clock, sooner: Notify::new() }))
    }

    /// A timer for one connection.
    pub fn timer(&self) -> Timer {
        let slot = Rc::new(TimerEntry {
            deadline: Cell::new(NEVER),
            expired: Cell::new(false),
            idle: Cell::new(false),
            waker: RefCell::default(),
        });
        self.0.slots.borrow_mut().push(Rc::clone(&slot));
        Timer { timers: self.clone(), slot }
    }

    /// Ends all idle waits, now.
    pub fn expire_idle(&self) {
        for slot in self.0.slots.borrow().iter().filter(|slot| slot.idle.get()) {
            slot.deadline.set(0);
        }
        self.wake_due(0);
    }

    /// The timekeeper's task; never ends.
    pub async fn keep(self) {
        loop {
            self.0.clock.set(Instant::now());
            let now = self.0.clock.millis();
            self.0.next.set(self.wake_due(now));
            if self.0.next.get() == NEVER {
                self.0.sooner.notified().await;
                continue;
            }
            let wait = Duration::from_millis(self.0.next.get().saturating_sub(now)).clamp(GRAIN, LOOK);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.0.sooner.notified() => {}
            }
        }
    }

    /// Wakes what is due, forgets what is gone, and says when to look again.
    fn wake_due(&self, now: u64) -> u64 {
        let mut next = NEVER;
        self.0.slots.borrow_mut().retain(|slot| {
            let deadline = slot.deadline.get();
            if deadline <= now {
                slot.expired.set(true);
                slot.deadline.set(NEVER);
                if let Some(waker) = slot.waker.borrow_mut().take() {
                    waker.wake();
                }
            } else {
                next = next.min(deadline);
            }
            Rc::strong_count(slot) > 1
        });
        next
    }
}

impl Timer {
    /// Polls until it is ready, or until `limit` has passed.
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
        let end = self.timers.0.clock.now() + whole;
        let mut armed = false;
        let result = poll_fn(|cx| {
            loop {
                match step(cx) {
                    Poll::Ready(ControlFlow::Break(value)) => return Poll::Ready(Ok(value)),
                    Poll::Ready(ControlFlow::Continue(())) => {
                        armed = false;
                        // Whoever always has something ready must still come to an end.
                        if self.timers.0.clock.now() >= end {
                            return Poll::Ready(Err(TimedOut));
                        }
                    }
                    Poll::Pending => break,
                }
            }
            if !armed {
                armed = true;
                self.arm(pause.min(end.saturating_duration_since(self.timers.0.clock.now())));
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
        self.slot.idle.set(true);
        let result = self.limit(limit, poll).await;
        self.slot.idle.set(false);
        result
    }

    /// Sets the deadline anew: for waits that make progress step by step.
    pub fn arm(&self, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(NEVER / 2).min(NEVER / 2);
        let deadline = self.timers.0.clock.millis() + limit.max(1);
        self.slot.deadline.set(deadline);
        self.slot.expired.set(false);
        let shared = &self.timers.0;
        if deadline < shared.next.get() {
            shared.next.set(deadline);
            shared.sooner.notify_one();
        }
    }

    /// No deadline.
    pub fn disarm(&self) {
        self.slot.deadline.set(NEVER);
        self.slot.expired.set(false);
    }

    /// Whether the deadline has passed; otherwise the task is woken when it does.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> bool {
        if self.slot.expired.get() {
            return true;
        }
        if self.slot.deadline.get() == NEVER {
            return false;
        }
        let mut waker = self.slot.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(timer.limit(Duration::from_millis(30), |_| Poll::<()>::Pending).await, Err(TimedOut));
            assert!(started.elapsed() >= Duration::from_millis(30));
            assert_eq!(timer.limit(Duration::ZERO, |_| Poll::Ready(7)).await, Ok(7));
            // A later, nearer deadline is kept although the timekeeper already sleeps for a farther one.
            let far = timers.timer();
            far.arm(Duration::from_secs(3600));
            tokio::task::yield_now().await;
            assert_eq!(timer.limit(Duration::from_millis(20), |_| Poll::<()>::Pending).await, Err(TimedOut));
            drop(timer);
            timers.wake_due(0);
            assert_eq!(timers.0.slots.borrow().len(), 1);
        });
    }
}
