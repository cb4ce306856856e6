//! What a connection from a client and its streams have in common.

use super::frame::{self, Code, GOAWAY, PING, RST_STREAM, WINDOW_UPDATE};
use super::outgoing::Outgoing;
use super::pool::StreamPool;
use super::windows::{self, Wide, Window};
use crate::h1::HeadError;
use crate::message::{Fields, RequestHead};
use bytes::BytesMut;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

/// Octets of responses' content that wait for the socket, of all streams: beyond, services are waited for.
pub(super) const SEND_BUFFER: usize = 64 << 10;
/// Streams that a client has opened and reset before they were looked at, and those that we had to reset for its
/// mistakes: whoever has more is disconnected (CVE-2023-44487 and its kin). Streams that come to a good end count
/// against them.
const MISTAKES: usize = 64;
/// Streams that were refused since there were too many: likewise, but for a client that has not heard of the limit yet.
const REFUSED: usize = 100;
/// How many streams that are over are remembered, since frames of them may be on their way.
const REMEMBERED: usize = 128;
/// What we recognize the answer to our `PING` by.
pub(super) const LEAVING: [u8; 8] = *b"leaving.";

/// The state of a connection.
pub(super) struct Shared {
    pub out: Outgoing,
    /// Streams that are open at least to one side, in the order of their numbers.
    streams: Vec<Rc<State>>,
    /// Those that nobody has taken yet.
    pub opened: VecDeque<Rc<State>>,
    /// How many streams somebody is busy with, those that are over for the client included.
    pub busy: usize,
    /// The latest that the client has opened.
    pub last: u32,
    /// Numbers of streams that are over, and whether we had reset them.
    over: VecDeque<(u32, bool)>,
    /// What we may send, and what each new stream may.
    pub room: i64,
    pub initial_room: i64,
    pub window: Window,
    used: u64,
    wide: Option<Wide>,
    pub leaving: Leaving,
    mistakes: usize,
    refused: usize,
    pub pool: StreamPool,
    /// The connection's task.
    waker: Option<Waker>,
    /// Streams that wait for room in the connection's window or in the buffer.
    writers: Vec<Waker>,
    /// Those that wait until something has left, and up to where.
    leavers: Vec<(u64, Waker)>,
    /// Nothing will come or go any more.
    lost: bool,
}

/// How far the end of a connection has come that we end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// The client is told, and may not have heard of it.
    Announced,
    /// It has. Later streams are not looked at.
    Final,
}

/// One stream, as its connection sees it.
pub(super) struct State {
    pub id: u32,
    /// Until it is taken; and whether it can be.
    pub head: RefCell<Option<(Box<RequestHead>, Result<(), HeadError>)>>,
    /// The head was none. The stream ends with an error, behind the answer.
    pub malformed: bool,
    pub content: RefCell<BytesMut>,
    pub trailers: RefCell<Option<Fields>>,
    /// Octets of content that are still to come, where the head says how many there are.
    pub announced: Cell<Option<u64>>,
    /// The client has sent all.
    pub ended: Cell<bool>,
    /// We have, as far as it is queued.
    pub finished: Cell<bool>,
    /// Nothing more comes or goes.
    pub reset: Cell<bool>,
    pub window: Cell<Window>,
    pub room: Cell<i64>,
    pub reader: RefCell<Option<Waker>>,
    pub writer: RefCell<Option<Waker>>,
    pub watcher: RefCell<Option<Waker>>,
}

/// Keeps the waker of a task that waits.
pub(super) fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn wake(place: &RefCell<Option<Waker>>) {
    if let Some(waker) = place.borrow_mut().take() {
        waker.wake();
    }
}

impl State {
    pub fn wake_reader(&self) {
        wake(&self.reader);
    }

    /// Changes how much may be sent; whether that is more than there can be.
    pub fn widen(&self, by: i64) -> bool {
        let room = self.room.get() + by;
        self.room.set(room);
        if room > 0 {
            wake(&self.writer);
        }
        room > i64::from(i32::MAX)
    }

    /// Nothing more comes or goes.
    pub fn cut(&self) {
        self.reset.set(true);
        [&self.reader, &self.writer, &self.watcher].into_iter().for_each(wake);
    }
}

impl Shared {
    pub fn new(out: Outgoing, pool: StreamPool) -> Shared {
        Shared {
            out,
            streams: Vec::new(),
            opened: VecDeque::new(),
            busy: 0,
            last: 0,
            over: VecDeque::new(),
            room: windows::INITIAL.into(),
            initial_room: windows::INITIAL.into(),
            window: Window::new(windows::CONNECTION, windows::CONNECTION),
            used: 0,
            wide: None,
            leaving: Leaving::No,
            mistakes: 0,
            refused: 0,
            pool,
            waker: None,
            writers: Vec::new(),
            leavers: Vec::new(),
            lost: false,
        }
    }

    /// Streams that are open at least to one side.
    pub fn open(&self) -> &[Rc<State>] {
        &self.streams
    }

    /// A stream that is open.
    pub fn find(&self, id: u32) -> Option<Rc<State>> {
        let place = self.streams.binary_search_by_key(&id, |state| state.id).ok()?;
        Some(Rc::clone(&self.streams[place]))
    }

    /// Whether such a stream was over a moment ago, and whether we had reset it.
    pub fn was_open(&self, id: u32) -> Option<bool> {
        self.over.iter().rev().find(|(over, _)| *over == id).map(|(_, ours)| *ours)
    }

    /// A stream whose head has come.
    pub fn open_stream(&mut self, state: State) {
        let state = Rc::new(state);
        self.busy += 1;
        self.streams.push(Rc::clone(&state));
        self.opened.push_back(state);
    }

    /// A stream is over for both sides.
    pub fn close(&mut self, state: &State, ours: bool) {
        if let Ok(place) = self.streams.binary_search_by_key(&state.id, |state| state.id) {
            self.streams.remove(place);
            if self.over.len() == REMEMBERED {
                self.over.pop_front();
            }
            self.over.push_back((state.id, ours));
        }
        if self.streams.is_empty() && self.wide.take().is_some() {
            self.used = 0;
            self.window.target = windows::CONNECTION;
        }
    }

    /// Ends a stream with an error, or with none.
    pub fn reset(&mut self, state: &State, code: Code) {
        self.push_reset(state.id, code);
        self.close(state, true);
        state.cut();
    }

    /// The same for a mistake of the client's; the error: it has made too many.
    pub fn refuse(&mut self, state: &State, code: Code) -> Result<(), Code> {
        self.reset(state, code);
        self.count_mistake()
    }

    /// The client has made a mistake that costs; the error: it has made too many.
    pub fn count_mistake(&mut self) -> Result<(), Code> {
        self.mistakes += 1;
        if self.mistakes > MISTAKES { Err(Code::ENHANCE_YOUR_CALM) } else { Ok(()) }
    }

    /// A stream has come to a good end.
    pub fn count_success(&mut self) {
        self.mistakes = self.mistakes.saturating_sub(1);
        self.refused = self.refused.saturating_sub(1);
    }

    /// A stream is one too many. When there were too many of those, the connection takes no more: those that are under
    /// way come to their end.
    pub fn refuse_stream(&mut self, id: u32, limit: u32) {
        self.push_reset(id, Code::REFUSED_STREAM);
        self.over.push_back((id, true));
        if self.over.len() > REMEMBERED {
            self.over.pop_front();
        }
        self.refused += 1;
        if self.refused > REFUSED.max(limit as usize) {
            self.leaving = Leaving::Final;
            self.push_goaway(Code::ENHANCE_YOUR_CALM);
        }
    }

    pub fn push_reset(&mut self, id: u32, code: Code) {
        frame::push_numbers(self.out.frames(), RST_STREAM, id, &[code.0]);
    }

    /// Octets of a stream's content were used.
    pub fn consume(&mut self, state: &State, octets: usize) {
        self.used += octets as u64;
        if self.wide.is_none() && self.used >= u64::from(windows::STREAM) {
            self.wide = Wide::take();
            if self.wide.is_some() {
                self.window.target = windows::WIDE_CONNECTION;
            }
        }
        let mut window = state.window.get();
        if self.wide.is_some() {
            window.target = windows::WIDE_STREAM;
        }
        let more = window.consume(octets);
        state.window.set(window);
        if let Some(more) = more.filter(|_| !state.ended.get() && !state.reset.get()) {
            frame::push_numbers(self.out.frames(), WINDOW_UPDATE, state.id, &[more]);
        }
        self.release(octets);
    }

    /// Octets of content were used, or are of no use.
    pub fn release(&mut self, octets: usize) {
        if let Some(more) = self.window.consume(octets) {
            frame::push_numbers(self.out.frames(), WINDOW_UPDATE, 0, &[more]);
        }
        if !self.out.waiting().is_empty() {
            self.wake();
        }
    }

    /// Tells the client that the connection ends; streams that it opens before it hears of it are served.
    pub fn leave(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Announced;
            let out = self.out.frames();
            frame::push_numbers(out, GOAWAY, 0, &[0x7fff_ffff, Code::NO_ERROR.0]);
            frame::push_header(out, LEAVING.len(), PING, 0, 0);
            out.extend_from_slice(&LEAVING);
            self.wake();
        }
    }

    /// Names the last stream that is served.
    pub fn push_goaway(&mut self, code: Code) {
        let last = self.last;
        frame::push_numbers(self.out.frames(), GOAWAY, 0, &[last, code.0]);
    }

    /// Whether there is nothing more to do on a connection that ends.
    pub fn is_over(&self) -> bool {
        self.leaving == Leaving::Final && self.busy == 0
    }

    /// The connection's task has something to do.
    pub fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The task that is woken then.
    pub fn keep_waker(&mut self, cx: &Context<'_>) {
        keep(&mut self.waker, cx);
    }

    /// Octets of content that can be queued for a stream.
    pub fn room_for(&self, state: &State) -> usize {
        let buffer = SEND_BUFFER.saturating_sub(self.out.waiting().len());
        usize::try_from(self.room.min(state.room.get())).unwrap_or(0).min(buffer)
    }

    /// A stream waits until there is room for some.
    pub fn await_room(&mut self, state: &State, cx: &Context<'_>) {
        if state.room.get() <= 0 {
            keep(&mut state.writer.borrow_mut(), cx);
        } else {
            self.writers.push(cx.waker().clone());
        }
    }

    /// There is more room for all.
    pub fn wake_writers(&mut self) {
        self.writers.drain(..).for_each(Waker::wake);
    }

    /// A stream waits until all has left that is queued up to there; whether that is so.
    pub fn has_left(&mut self, position: u64, cx: &Context<'_>) -> bool {
        let has = self.lost || self.out.left() >= position;
        if !has {
            self.leavers.push((position, cx.waker().clone()));
        }
        has
    }

    /// Octets have left.
    pub fn advance(&mut self, octets: usize) {
        self.out.advance(octets);
        let left = self.out.left();
        if !self.leavers.is_empty() {
            self.leavers.extract_if(.., |(position, _)| *position <= left).for_each(|(_, waker)| waker.wake());
        }
        if self.out.waiting().len() <= SEND_BUFFER / 2 {
            self.wake_writers();
        }
    }

    /// Nothing will come or go any more.
    pub fn lose(&mut self) {
        self.lost = true;
        self.streams.drain(..).for_each(|state| state.cut());
        self.wake_writers();
        self.leavers.drain(..).for_each(|(_, waker)| waker.wake());
    }
}
