//! Content of services that waits for slow clients: in memory, then in a file.

use super::request;
use super::spool::Spool;
use crate::settings::Limits;
use sdk::{Bytes, Exchange, Known, Lease, MemoryBudget};
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};
use wire::field_value;

/// What has come from the service and waits for a slow client, behind the piece that is being sent.
pub(super) struct Waiting<'a> {
    pieces: VecDeque<Bytes>,
    /// Octets of `pieces`, and what is taken of the budget for them.
    octets: usize,
    lease: Option<Lease>,
    budget: &'a MemoryBudget,
    /// What came after that.
    spool: Option<Box<Spool>>,
    /// How much of the spool has been taken.
    taken: u64,
    /// The room that there is; `None`: nothing may wait.
    limits: Option<&'a Limits>,
    /// It is known whether something may.
    decided: bool,
}

impl<'a> Waiting<'a> {
    pub fn new(limits: &'a Limits, budget: &'a MemoryBudget) -> Waiting<'a> {
        let (pieces, limits) = (VecDeque::new(), Some(limits));
        Waiting { pieces, octets: 0, lease: None, budget, spool: None, taken: 0, limits, decided: false }
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.spooled() == 0
    }

    /// Whether more may be taken from the service.
    pub fn has_room(&self) -> bool {
        let Some(limits) = self.limits else { return false };
        let in_memory = self.spooled() == 0 && self.octets < limits.proxy_buffers;
        in_memory || self.spool.as_ref().map_or(0, |spool| spool.len()) < limits.proxy_max_temp_file_size
    }

    /// The same; where a piece is just being stored, the task is woken when there is room.
    pub fn poll_room(&mut self, cx: &mut Context<'_>, exchange: &Exchange) -> bool {
        if !self.decided {
            // Not looked at before, since it does not matter to most.
            self.decided = true;
            self.limits = self.limits.filter(|limits| is_buffered(exchange, limits));
        }
        self.has_room()
            && match &mut self.spool {
                // A failure shows when what was lost is read.
                Some(spool) => matches!(spool.poll_ready(cx), Poll::Ready(Ok(()))),
                None => true,
            }
    }

    pub fn push(&mut self, piece: Bytes) {
        // The order stays: once something is on disk, what comes next follows it there.
        let in_memory = self.spooled() == 0
            && self.limits.is_some_and(|limits| self.octets < limits.proxy_buffers)
            && self.take(piece.len());
        match self.limits.filter(|limits| limits.proxy_max_temp_file_size > 0) {
            Some(limits) if !in_memory => {
                self.spool.get_or_insert_with(|| Box::new(Spool::new(&limits.proxy_temporary_files))).push(&piece);
                return;
            }
            // This one is here already; the next ones stay with the service.
            None if !in_memory => self.limits = None,
            _ => {}
        }
        self.octets += piece.len();
        self.pieces.push_back(piece);
    }

    /// Takes memory from what all exchanges may hold.
    fn take(&mut self, octets: usize) -> bool {
        self.lease.get_or_insert_with(|| self.budget.lease()).try_grow(octets)
    }

    pub fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if let Some(piece) = self.pieces.pop_front() {
            self.octets -= piece.len();
            if let Some(lease) = &mut self.lease {
                lease.shrink_to(self.octets);
            }
            return Poll::Ready(Ok(piece));
        }
        let Some(spool) = &mut self.spool else { return Poll::Ready(Ok(Bytes::new())) };
        let piece = ready!(spool.poll_read(cx, self.taken))?;
        self.taken += piece.len() as u64;
        if self.taken == spool.len() && spool.restart() {
            self.taken = 0;
        }
        Poll::Ready(Ok(piece))
    }

    fn spooled(&self) -> u64 {
        self.spool.as_ref().map_or(0, |spool| spool.len()).saturating_sub(self.taken)
    }
}

/// Whether the response is taken from the service as fast as it comes. Streams of events are not held back, nor what a
/// service says should not be (`X-Accel-Buffering`, as nginx).
fn is_buffered(exchange: &Exchange, limits: &Limits) -> bool {
    if request::is_grpc(exchange) {
        return false;
    }
    let fields = &exchange.response.fields;
    let told = exchange.buffering.filter(|_| !limits.ignore_accel_buffering);
    if told == Some(false) {
        return false;
    }
    let events = fields
        .known(Known::ContentType)
        .is_some_and(|value| field_value::essence(value).eq_ignore_ascii_case(b"text/event-stream"));
    !events && (told == Some(true) || exchange.route.as_ref().is_none_or(|route| route.response_buffering))
}
