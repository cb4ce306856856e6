//! Octets both ways between a client and a service, until one side or both have ended.

mod end;

pub(crate) use end::End;

use crate::worker::Worker;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use wire::net::{BUFFER_SIZE, Pipe, Timer};

/// Octets that are let into a pipe at most: more than it holds.
const PIECE: usize = 1 << 30;

/// Both ends of a tunnel.
pub(crate) struct Tunnel<'a> {
    pub client: End<'a>,
    pub service: End<'a>,
    /// For how long nothing may move.
    pub idle: Duration,
    pub until: Until,
}

/// When a tunnel is over, but for failures: which sides have ended, and the other has what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// As nginx.
    EitherEnds,
    /// When one has ended, the other goes on (`proxy_half_close`).
    BothEnd,
    /// A client that has ended may still be told something.
    ServiceEnds,
}

/// What went through a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Octets from the client.
    pub up: u64,
    /// Octets from the service.
    pub down: u64,
    /// When the first of these came.
    pub first: Option<Instant>,
}

impl Tunnel<'_> {
    /// Relays until it is over, one side fails, or nothing moves for too long. Streams that have not got everything are
    /// reset when they are dropped.
    pub async fn run(self, worker: &Worker, timer: &Timer) -> Moved {
        let Tunnel { mut client, mut service, idle, until } = self;
        let idle = idle.max(Duration::from_secs(1));
        let plain = client.plain().is_some() && service.plain().is_some();
        let mut up = Way::new(worker, plain);
        let mut down = Way::new(worker, plain);
        let (mut moved, mut answered) = (u64::MAX, None);
        std::future::poll_fn(|cx| {
            let first = up.poll(cx, &mut client, &mut service);
            let second = down.poll(cx, &mut service, &mut client);
            if answered.is_none() && down.octets > 0 {
                answered = Some(worker.loop_time());
            }
            let over = match (first, second) {
                (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => true,
                (first, second) => match until {
                    Until::EitherEnds => first.is_ready() || second.is_ready(),
                    Until::BothEnd => first.is_ready() && second.is_ready(),
                    Until::ServiceEnds => second.is_ready() || (first.is_ready() && client.poll_closed(cx).is_ready()),
                },
            };
            if over {
                return Poll::Ready(());
            }
            if moved != up.moved + down.moved {
                moved = up.moved + down.moved;
                timer.arm(idle);
            }
            if timer.poll_expired(cx) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Moved { up: up.octets, down: down.octets, first: answered }
    }
}

/// One direction. What comes in bulk goes through a pipe, which is lent as long as it does.
struct Way<'a> {
    worker: &'a Worker,
    pipe: Option<Pipe>,
    /// Neither end has TLS, or is a stream among others.
    plain: bool,
    /// As much has come at once as a buffer holds: there is more than that.
    bulk: bool,
    state: State,
    /// Grows whenever something moves.
    moved: u64,
    octets: u64,
}

#[derive(PartialEq, Eq)]
enum State {
    Open,
    Closing,
    Closed,
}

impl<'a> Way<'a> {
    fn new(worker: &'a Worker, plain: bool) -> Way<'a> {
        Way { worker, pipe: None, plain, bulk: false, state: State::Open, moved: 0, octets: 0 }
    }

    /// Ready when who sends has ended, and the other knows.
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut End<'_>, to: &mut End<'_>) -> Poll<io::Result<()>> {
        loop {
            if let (Some(pipe), Some(source), Some(target)) = (&mut self.pipe, from.plain(), to.plain()) {
                while !pipe.is_empty() {
                    let n = ready!(pipe.poll_send(cx, target))?;
                    self.moved += 1;
                    self.octets += n as u64;
                }
                if self.state == State::Open {
                    let filled = pipe.poll_fill(cx, source, PIECE);
                    if filled.is_pending() {
                        self.give_pipe();
                    }
                    if ready!(filled)? == 0 {
                        self.give_pipe();
                        self.state = State::Closing;
                    }
                    continue;
                }
            }
            match self.state {
                State::Open => {
                    let read = from.poll_read(cx);
                    if read.is_pending() {
                        // What TLS or a stream has gathered leaves while we wait.
                        if let Poll::Ready(Err(error)) = to.poll_flush(cx) {
                            return Poll::Ready(Err(error));
                        }
                        return Poll::Pending;
                    }
                    let n = ready!(read)?;
                    if n == 0 {
                        self.state = State::Closing;
                        continue;
                    }
                    self.bulk |= n == BUFFER_SIZE;
                    let written = ready!(to.poll_write(cx, from.data(n)))?;
                    if written == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    from.consume(written);
                    self.moved += 1;
                    self.octets += written as u64;
                    if written == n && std::mem::take(&mut self.bulk) && self.plain {
                        self.pipe = self.worker.pipe();
                    }
                }
                State::Closing => {
                    ready!(to.poll_shutdown(cx))?;
                    self.state = State::Closed;
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
    }

    fn give_pipe(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            self.worker.give_pipe(pipe);
        }
    }
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        self.give_pipe();
    }
}
