//! Octets both ways between a client and a service, until one side or both have ended.

use crate::worker::Worker;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use wire::net::{BUFFER_SIZE, Buffer, Pipe, Stream, Timer};

/// Octets that are let into a pipe at most: more than it holds.
const PIECE: usize = 1 << 30;

/// Both ends of a tunnel.
pub(crate) struct Tunnel {
    pub client: Stream,
    /// What the client has sent already.
    pub client_sent: Buffer,
    pub service: Stream,
    /// What the service has sent already.
    pub service_sent: Buffer,
    /// For how long nothing may move.
    pub idle: Duration,
    /// When one side has ended, the other one goes on (`proxy_half_close`).
    pub half_close: bool,
}

/// What went through a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Octets from the client.
    pub up: u64,
    /// Octets from the service.
    pub down: u64,
}

impl Tunnel {
    /// Relays. As nginx, ends when either has ended and the other has what came before, when one of them fails, or when
    /// nothing moves for too long.
    pub async fn run(self, worker: &Worker, timer: &Timer) -> Moved {
        let Tunnel { mut client, client_sent, mut service, service_sent, idle, half_close } = self;
        let idle = idle.max(Duration::from_secs(1));
        let plain = matches!((&client, &service), (Stream::Plain(_), Stream::Plain(_)));
        let mut up = Way::new(worker, client_sent, plain);
        let mut down = Way::new(worker, service_sent, plain);
        let mut moved = u64::MAX;
        std::future::poll_fn(|cx| {
            let first = up.poll(cx, &mut client, &mut service);
            let second = down.poll(cx, &mut service, &mut client);
            match (first, second) {
                (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(()),
                (Poll::Ready(_), Poll::Ready(_)) => return Poll::Ready(()),
                (Poll::Ready(_), _) | (_, Poll::Ready(_)) if !half_close => return Poll::Ready(()),
                _ => {}
            }
            if moved != up.moved + down.moved {
                moved = up.moved + down.moved;
                timer.arm(idle);
            }
            if timer.poll_expired(cx) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Moved { up: up.octets, down: down.octets }
    }
}

/// One direction. What comes in bulk goes through a pipe, which is lent as long as it does.
struct Way<'a> {
    worker: &'a Worker,
    buffer: Buffer,
    pipe: Option<Pipe>,
    /// Neither end has TLS.
    plain: bool,
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
    fn new(worker: &'a Worker, buffer: Buffer, plain: bool) -> Way<'a> {
        Way { worker, buffer, pipe: None, plain, state: State::Open, moved: 0, octets: 0 }
    }

    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<io::Result<()>> {
        loop {
            while let Some(pipe) = self.pipe.as_mut().filter(|pipe| !pipe.is_empty()) {
                let n = ready!(pipe.poll_send(cx, to.tcp()))?;
                self.moved += 1;
                self.octets += n as u64;
            }
            while !self.buffer.is_empty() {
                let n = ready!(to.poll_write(cx, self.buffer.data()))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.buffer.consume(n);
                self.moved += 1;
                self.octets += n as u64;
            }
            match self.state {
                State::Open => {
                    if let Some(pipe) = &mut self.pipe {
                        let filled = pipe.poll_fill(cx, from.tcp(), PIECE);
                        if filled.is_pending() {
                            self.give_pipe();
                        }
                        if ready!(filled)? == 0 {
                            self.give_pipe();
                            self.state = State::Closing;
                        }
                        continue;
                    }
                    let read = from.poll_fill(cx, &mut self.buffer, BUFFER_SIZE);
                    if read.is_pending() {
                        // What TLS has gathered leaves while we wait.
                        if let Poll::Ready(Err(error)) = to.poll_flush(cx) {
                            return Poll::Ready(Err(error));
                        }
                        return Poll::Pending;
                    }
                    match ready!(read)? {
                        0 => self.state = State::Closing,
                        // There is more than that.
                        BUFFER_SIZE if self.plain => self.pipe = self.worker.pipe(),
                        _ => {}
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
