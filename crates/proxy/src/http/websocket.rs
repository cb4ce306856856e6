//! WebSockets whose messages plugins see: frames are read, whole messages shown to the plugins, and written anew.

use crate::chain::{self, Instance};
use crate::tunnel::{End, Moved};
use sdk::{
    Bytes, CloseReason, Exchange, Lease, MemoryBudget, MessageKind, Phases, Verdict, WebSocketLimits, WebSocketMessage,
};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use wire::net::{BUFFER_SIZE, Timer};
use wire::websocket::{Messages, Opcode, Received, Side, push_close, push_frame};

/// The phases for which frames are read.
pub(super) const FRAMES: Phases = Phases::WS_CLIENT_FRAME.and(Phases::WS_UPSTREAM_FRAME);

/// Both ends, and what is under way between them.
pub(super) struct Relay<'a> {
    client: End<'a>,
    service: End<'a>,
    up: Way,
    down: Way,
    /// Both are told why there is no more.
    closing: bool,
}

/// For how long nothing may move, and how long those who are told the end may take to go.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub idle: Duration,
    pub lingering: Duration,
}

/// One direction.
struct Way {
    from: Side,
    messages: Messages,
    out: Out,
    /// Pays for what is held of messages.
    lease: Lease,
    /// Octets that have come.
    read: u64,
    /// Who sends has ended.
    ended: bool,
    /// Who receives knows that nothing follows.
    shut: bool,
}

/// Frames on their way to an end. What is being written must stay as it is until that is done.
#[derive(Default)]
struct Out {
    writing: Vec<u8>,
    at: usize,
    next: Vec<u8>,
    written: u64,
}

/// Why both ends are closed: for who sent what is wrong, and for the other.
type Closing = (CloseReason, CloseReason);

impl<'a> Relay<'a> {
    /// What follows the handshake of an exchange.
    pub fn new(client: End<'a>, service: End<'a>, exchange: &mut Exchange, memory: &MemoryBudget) -> Relay<'a> {
        let limits = exchange.take::<WebSocketLimits>().unwrap_or_default();
        let way = |from, limit| Way {
            from,
            messages: Messages::new(from, limit),
            out: Out::default(),
            lease: memory.lease(),
            read: 0,
            ended: false,
            shut: false,
        };
        let (up, down) = (way(Side::Client, limits.client), way(Side::Service, limits.service));
        Relay { client, service, up, down, closing: false }
    }

    /// Relays until the service has ended, one of them fails, or nothing moves for too long. A client that has ended
    /// may still be told something.
    pub async fn run(
        mut self,
        exchange: &mut Exchange,
        instances: &[Arc<Instance>],
        timer: &Timer,
        patience: Patience,
    ) -> Moved {
        let mut moved = u64::MAX;
        std::future::poll_fn(|cx| {
            let was_closing = self.closing;
            let over = if self.closing { self.poll_close(cx) } else { self.poll(cx, exchange, instances) };
            if over.is_ready() {
                return Poll::Ready(());
            }
            if self.closing && !was_closing {
                timer.arm(patience.lingering);
            } else if !self.closing && moved != self.moved() {
                moved = self.moved();
                timer.arm(patience.idle.max(Duration::from_secs(1)));
            }
            if timer.poll_expired(cx) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Moved { up: self.up.read, down: self.down.out.written, first: None }
    }

    fn moved(&self) -> u64 {
        self.up.read + self.up.out.written + self.down.read + self.down.out.written
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        instances: &[Arc<Instance>],
    ) -> Poll<io::Result<()>> {
        for from in [Side::Service, Side::Client] {
            let (source, target, way, back) = match from {
                Side::Client => (&mut self.client, &mut self.service, &mut self.up, &mut self.down),
                Side::Service => (&mut self.service, &mut self.client, &mut self.down, &mut self.up),
            };
            match way.poll(cx, source, target, exchange, instances) {
                Poll::Ready(Ok(Some((to_sender, to_receiver)))) => {
                    way.out.close(from, &to_receiver);
                    back.out.close(back.from, &to_sender);
                    self.closing = true;
                    return self.poll_close(cx);
                }
                Poll::Ready(Ok(None)) if from == Side::Client => {}
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    /// Tells both, and drops what they still send, so that what they are told arrives.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let up = self.up.poll_close(cx, &mut self.client, &mut self.service);
        let down = self.down.poll_close(cx, &mut self.service, &mut self.client);
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl Way {
    /// Ready when who sends has ended and the other knows, or with why it cannot go on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut End<'_>,
        target: &mut End<'_>,
        exchange: &mut Exchange,
        instances: &[Arc<Instance>],
    ) -> Poll<io::Result<Option<Closing>>> {
        loop {
            ready!(self.out.poll_write(cx, target))?;
            // What has gone is paid for no more, however long nothing follows.
            self.lease.shrink_to(self.held());
            if self.ended {
                if !self.shut {
                    ready!(target.poll_shutdown(cx))?;
                    self.shut = true;
                }
                return Poll::Ready(Ok(None));
            }
            let n = match source.poll_read(cx)? {
                Poll::Ready(n) => n,
                Poll::Pending => {
                    ready!(target.poll_flush(cx))?;
                    return Poll::Pending;
                }
            };
            self.ended = n == 0;
            let mut octets = source.data(n);
            let closing = self.take(&mut octets, exchange, instances);
            let taken = n - octets.len();
            source.consume(taken);
            self.read += taken as u64;
            if closing.is_some() {
                return Poll::Ready(Ok(closing));
            }
        }
    }

    /// Shows the messages in what has come to the plugins, and queues what they leave.
    fn take(&mut self, octets: &mut &[u8], exchange: &mut Exchange, instances: &[Arc<Instance>]) -> Option<Closing> {
        let going_away = CloseReason::new(CloseReason::GOING_AWAY, "");
        while self.out.next.len() < BUFFER_SIZE {
            let mut message = match self.messages.read(octets) {
                Ok(None) => break,
                Ok(Some(Received::Message(opcode, payload))) => {
                    WebSocketMessage::new(kind(opcode), Bytes::copy_from_slice(payload))
                }
                Ok(Some(Received::Close(status, reason))) => WebSocketMessage {
                    status,
                    ..WebSocketMessage::new(MessageKind::Close, Bytes::copy_from_slice(reason.as_bytes()))
                },
                Err(violation) => return Some((CloseReason::new(violation.status, violation.reason), going_away)),
            };
            self.messages.release();
            chain::run_ws_frame(instances, exchange, self.from, &mut message);
            match message.verdict {
                Verdict::Forward => self.out.forward(self.from, &message),
                Verdict::Drop => {}
                Verdict::Close(to_sender, to_receiver) => return Some((to_sender, to_receiver)),
            }
        }
        let held = self.held();
        self.lease.shrink_to(held);
        if !self.lease.try_grow(held - self.lease.octets()) {
            tracing::warn!(request_id = exchange.id_str(), "a message of a WebSocket finds no room in memory");
            return Some((CloseReason::new(1013, ""), going_away));
        }
        None
    }

    /// Octets of messages beyond what every connection has, when nothing is being written.
    fn held(&self) -> usize {
        (self.messages.held() + self.out.next.len()).saturating_sub(BUFFER_SIZE)
    }

    /// Ready when the receiver has everything, and the sender has gone.
    fn poll_close(&mut self, cx: &mut Context<'_>, source: &mut End<'_>, target: &mut End<'_>) -> Poll<()> {
        if !self.shut {
            let told = match self.out.poll_write(cx, target) {
                Poll::Ready(Ok(())) => target.poll_shutdown(cx),
                failed => failed,
            };
            self.shut = told.is_ready();
        }
        while !self.ended {
            match ready!(source.poll_read(cx)) {
                Ok(n) if n > 0 => source.consume(n),
                _ => self.ended = true,
            }
        }
        if self.shut { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Out {
    fn poll_write(&mut self, cx: &mut Context<'_>, target: &mut End<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.at == self.writing.len() {
                self.at = 0;
                self.writing.clear();
                self.writing.shrink_to(BUFFER_SIZE);
                std::mem::swap(&mut self.writing, &mut self.next);
                if self.writing.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            let n = ready!(target.poll_write(cx, &self.writing[self.at..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.at += n;
            self.written += n as u64;
        }
    }

    /// Queues a message.
    fn forward(&mut self, from: Side, message: &WebSocketMessage) {
        let payload = &*message.payload;
        let short = &payload[..payload.len().min(125)];
        let (opcode, payload) = match (message.kind, message.status) {
            (MessageKind::Text, _) => (Opcode::Text, payload),
            (MessageKind::Binary, _) => (Opcode::Binary, payload),
            (MessageKind::Ping, _) => (Opcode::Ping, short),
            (MessageKind::Pong, _) => (Opcode::Pong, short),
            (MessageKind::Close, Some(status)) => {
                let words = String::from_utf8_lossy(payload);
                return push_close(&mut self.next, from, key(), status, &words);
            }
            (MessageKind::Close, None) => (Opcode::Close, &b""[..]),
        };
        push_frame(&mut self.next, from, key(), opcode, payload);
    }

    /// Queues a close of our own.
    fn close(&mut self, from: Side, reason: &CloseReason) {
        push_close(&mut self.next, from, key(), reason.status, &reason.words);
    }
}

fn kind(opcode: Opcode) -> MessageKind {
    match opcode {
        Opcode::Text => MessageKind::Text,
        Opcode::Ping => MessageKind::Ping,
        Opcode::Pong => MessageKind::Pong,
        Opcode::Close => MessageKind::Close,
        Opcode::Binary | Opcode::Continuation => MessageKind::Binary,
    }
}

/// A mask for a frame.
fn key() -> [u8; 4] {
    fastrand::u32(..).to_ne_bytes()
}
