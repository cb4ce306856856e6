//! Pieces of content that a service has sent and nobody has read. The `h2` crate keeps each of them by itself, so that
//! small ones cost far more than the windows of flow control say, and ends the connection over too many. Before it
//! would, the stream that has most of them is ended, and the others go on.

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Unread pieces of all streams of a connection together.
pub(super) const MOST: usize = 256 << 10;

/// What is wrong with a stream that was ended.
pub(super) const TOO_MANY: &str = "too many small pieces of content were left unread";

/// The streams of a connection.
#[derive(Default)]
pub(super) struct Unread {
    streams: RefCell<BTreeMap<u32, Rc<Stream>>>,
    /// Pieces of all of them.
    pieces: Cell<usize>,
}

/// One stream: both of its ways, and how much of it is unread.
pub(super) struct Stream {
    pub sending: RefCell<SendStream<Bytes>>,
    /// From the head of the response on, until the stream is ended here.
    pub content: RefCell<Option<RecvStream>>,
    pieces: Cell<usize>,
    ended: Cell<bool>,
}

impl Unread {
    /// Knows a stream until it is forgotten.
    pub fn begin(&self, sending: SendStream<Bytes>) -> Rc<Stream> {
        let id = sending.stream_id().as_u32();
        let (sending, content) = (RefCell::new(sending), RefCell::new(None));
        let stream = Rc::new(Stream { sending, content, pieces: Cell::new(0), ended: Cell::new(false) });
        self.streams.borrow_mut().insert(id, Rc::clone(&stream));
        stream
    }

    /// Nothing of it will be read any more.
    pub fn forget(&self, stream: &Stream) {
        let id = stream.sending.borrow().stream_id().as_u32();
        if self.streams.borrow_mut().remove(&id).is_some() {
            self.pieces.set(self.pieces.get() - stream.pieces.get());
        }
    }

    /// A piece has come.
    pub fn receive(&self, id: u32) {
        if let Some(stream) = self.streams.borrow().get(&id) {
            stream.pieces.set(stream.pieces.get() + 1);
            self.pieces.set(self.pieces.get() + 1);
        }
    }

    /// A piece of a stream was read.
    pub fn read(&self, stream: &Stream) {
        if !stream.ended.get() && stream.pieces.get() > 0 {
            stream.pieces.set(stream.pieces.get() - 1);
            self.pieces.set(self.pieces.get() - 1);
        }
    }

    /// Whether nothing else may be taken from the connection before a stream is ended.
    pub fn is_excessive(&self) -> bool {
        self.pieces.get() > MOST
    }

    /// Ends the stream that has most, with what has come of it; `false`: there is no need.
    pub fn end_greatest(&self) -> bool {
        if !self.is_excessive() {
            return false;
        }
        let mut streams = self.streams.borrow_mut();
        let greatest = streams.iter().max_by_key(|(_, stream)| stream.pieces.get()).map(|(id, _)| *id);
        let Some(stream) = greatest.and_then(|id| streams.remove(&id)) else { return false };
        self.pieces.set(self.pieces.get() - stream.pieces.get());
        stream.ended.set(true);
        stream.sending.borrow_mut().send_reset(Reason::ENHANCE_YOUR_CALM);
        // Its pieces go with it.
        drop(stream.content.take());
        true
    }
}

impl Stream {
    /// Whether it was ended over what was unread.
    pub fn is_ended(&self) -> bool {
        self.ended.get()
    }
}
