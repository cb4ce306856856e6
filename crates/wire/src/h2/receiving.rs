//! Frames that a client sends (RFC 9113, section 6).

use super::frame::{self, ACK, Code, END_HEADERS, END_STREAM, Header, PADDED, PING, PRIORITIZED, SETTINGS};
use super::frame::{CONTINUATION, DATA, GOAWAY, HEADERS, MOST, PRIORITY, PUSH_PROMISE, RST_STREAM, WINDOW_UPDATE};
use super::shared::{LEAVING, Leaving, Shared, State};
use super::windows::{self, Window};
use super::{Limits, section};
use crate::hpack::Decoder;
use crate::message::Fields;
use crate::net::Overhead;
use bytes::BytesMut;
use std::cell::{Cell, RefCell};

/// How many streams may be busy for each that may be open: those that the client has reset may not have noticed yet.
const BUSY: usize = 2;
/// Octets that a head may have in excess before its connection is ended, since it cannot be refused unread.
const EXCESS: usize = 64 << 10;

/// Reads frames, and does what they say.
pub(super) struct Receiving {
    limits: Limits,
    decoder: Decoder,
    overhead: Overhead,
    /// The client's settings have come, which are to come first.
    begun: bool,
    /// A section of which more comes.
    section: Option<Section>,
}

/// Field lines that come in several frames.
struct Section {
    stream: u32,
    ends: bool,
    /// The stream depends on itself.
    circular: bool,
    octets: Vec<u8>,
}

/// The code with which the connection ends.
type Done = Result<(), Code>;

impl Receiving {
    pub fn new(limits: Limits) -> Receiving {
        let (decoder, overhead) = (Decoder::default(), Overhead::default());
        Receiving { limits, decoder, overhead, begun: false, section: None }
    }

    /// So much has come.
    pub fn received(&self, octets: usize) -> Done {
        if self.overhead.receive(octets) { Err(Code::ENHANCE_YOUR_CALM) } else { Ok(()) }
    }

    /// So much serves a request: what is sent does, too, as who takes much of it says so in frames of its own.
    pub fn serve(&self, octets: usize) {
        self.overhead.serve(octets);
    }

    /// Takes the frames that have come whole; how many octets they are.
    pub fn take(&mut self, octets: &[u8], shared: &mut Shared) -> Result<usize, Code> {
        let mut rest = octets;
        while let Some(header) = Header::read(rest) {
            if header.length > MOST {
                return Err(Code::FRAME_SIZE_ERROR);
            }
            let Some(content) = rest.get(frame::HEADER..frame::HEADER + header.length) else { break };
            rest = &rest[frame::HEADER + header.length..];
            self.frame(header, content, shared)?;
        }
        Ok(octets.len() - rest.len())
    }

    fn frame(&mut self, header: Header, content: &[u8], shared: &mut Shared) -> Done {
        if !self.begun && (header.kind != SETTINGS || header.has(ACK)) {
            return Err(Code::PROTOCOL_ERROR);
        }
        self.begun = true;
        let continued = self.section.as_ref().map(|section| section.stream);
        if continued.is_some_and(|stream| header.kind != CONTINUATION || header.stream != stream) {
            return Err(Code::PROTOCOL_ERROR);
        }
        // Of these two levels, each frame belongs to one.
        let of_stream = match header.kind {
            DATA | HEADERS | PRIORITY | RST_STREAM | CONTINUATION => Some(true),
            SETTINGS | PING | GOAWAY => Some(false),
            _ => None,
        };
        if of_stream.is_some_and(|of_stream| of_stream != (header.stream != 0)) {
            return Err(Code::PROTOCOL_ERROR);
        }
        // Heads that come when no more streams are taken serve nobody.
        if header.kind == DATA || (matches!(header.kind, HEADERS | CONTINUATION) && shared.leaving != Leaving::Final) {
            self.overhead.serve(content.len());
        }
        match header.kind {
            DATA => self.data(header, content, shared),
            HEADERS => self.headers(header, content, shared),
            CONTINUATION => self.continuation(header, content, shared),
            PRIORITY => priority(header, content, shared),
            RST_STREAM => reset(header, content, shared),
            SETTINGS => settings(header, content, shared),
            PING => ping(header, content, shared),
            WINDOW_UPDATE => window_update(header, content, shared),
            PUSH_PROMISE => Err(Code::PROTOCOL_ERROR),
            // A client that leaves has its answers first. What we do not know means nothing (section 5.5).
            _ => Ok(()),
        }
    }

    fn data(&mut self, header: Header, content: &[u8], shared: &mut Shared) -> Done {
        let piece = unpadded(header, content)?;
        if !shared.window.receive(content.len()) {
            return Err(Code::FLOW_CONTROL_ERROR);
        }
        let Some(state) = shared.find(header.stream) else {
            shared.release(content.len());
            return late(header.stream, shared);
        };
        let mut window = state.window.get();
        let allowed = window.receive(content.len());
        state.window.set(window);
        let wrong = match state.announced.get() {
            _ if state.ended.get() => Some(Code::STREAM_CLOSED),
            _ if !allowed => Some(Code::FLOW_CONTROL_ERROR),
            Some(left) if left < piece.len() as u64 => Some(Code::PROTOCOL_ERROR),
            left => {
                state.announced.set(left.map(|left| left - piece.len() as u64));
                None
            }
        };
        if let Some(code) = wrong {
            shared.consume(&state, content.len());
            return shared.refuse(&state, code);
        }
        if content.len() > piece.len() {
            shared.consume(&state, content.len() - piece.len());
        }
        state.content.borrow_mut().extend_from_slice(piece);
        if header.has(END_STREAM) {
            end(&state, shared)
        } else {
            state.wake_reader();
            Ok(())
        }
    }

    fn headers(&mut self, header: Header, content: &[u8], shared: &mut Shared) -> Done {
        let mut octets = unpadded(header, content)?;
        let mut circular = false;
        if header.has(PRIORITIZED) {
            let (priority, rest) = octets.split_at_checked(5).ok_or(Code::FRAME_SIZE_ERROR)?;
            circular = depends_on(priority) == Some(header.stream);
            octets = rest;
        }
        let (stream, ends) = (header.stream, header.has(END_STREAM));
        if header.has(END_HEADERS) {
            return self.section(stream, ends, circular, octets, shared);
        }
        self.section = Some(Section { stream, ends, circular, octets: octets.to_vec() });
        Ok(())
    }

    fn continuation(&mut self, header: Header, content: &[u8], shared: &mut Shared) -> Done {
        let mut section = self.section.take().ok_or(Code::PROTOCOL_ERROR)?;
        section.octets.extend_from_slice(content);
        if section.octets.len() > self.limits.heads.head + EXCESS {
            return Err(Code::ENHANCE_YOUR_CALM);
        }
        if header.has(END_HEADERS) {
            return self.section(section.stream, section.ends, section.circular, &section.octets, shared);
        }
        self.section = Some(section);
        Ok(())
    }

    /// The lines of a head, or of trailers.
    fn section(&mut self, id: u32, ends: bool, circular: bool, octets: &[u8], shared: &mut Shared) -> Done {
        if id <= shared.last {
            return self.trailers(id, ends, octets, shared);
        }
        if id.is_multiple_of(2) {
            return Err(Code::PROTOCOL_ERROR);
        }
        if shared.leaving == Leaving::Final {
            return self.skip(octets);
        }
        shared.last = id;
        let limit = self.limits.streams;
        if circular {
            self.skip(octets)?;
            shared.push_reset(id, Code::PROTOCOL_ERROR);
            return shared.count_mistake();
        }
        if shared.open().len() >= limit as usize || shared.busy >= BUSY * limit as usize {
            self.skip(octets)?;
            shared.refuse_stream(id, limit);
            return Ok(());
        }
        let mut head = shared.pool.head();
        let read = section::request(&mut self.decoder, octets, ends, &self.limits.heads, &mut head)
            .map_err(|_| Code::COMPRESSION_ERROR)?;
        let length = section::length(&head).filter(|_| read.is_ok());
        shared.open_stream(State {
            id,
            malformed: read.is_err(),
            head: RefCell::new(Some((head, read))),
            content: RefCell::new(BytesMut::new()),
            trailers: RefCell::new(None),
            announced: Cell::new(length),
            ended: Cell::new(ends),
            finished: Cell::new(false),
            reset: Cell::new(false),
            window: Cell::new(Window::new(windows::STREAM, windows::STREAM)),
            room: Cell::new(shared.initial_room),
            reader: RefCell::new(None),
            writer: RefCell::new(None),
            watcher: RefCell::new(None),
        });
        Ok(())
    }

    fn trailers(&mut self, id: u32, ends: bool, octets: &[u8], shared: &mut Shared) -> Done {
        let Some(state) = shared.find(id) else {
            self.skip(octets)?;
            return match shared.was_open(id) {
                // It was on its way when we reset the stream.
                Some(true) => Ok(()),
                Some(false) => Err(Code::STREAM_CLOSED),
                None => Err(Code::PROTOCOL_ERROR),
            };
        };
        let mut fields = Fields::new();
        let read = section::trailers(&mut self.decoder, octets, &self.limits.heads, &mut fields)
            .map_err(|_| Code::COMPRESSION_ERROR)?;
        if state.ended.get() {
            return shared.refuse(&state, Code::STREAM_CLOSED);
        }
        if !ends || read.is_err() {
            return shared.refuse(&state, Code::PROTOCOL_ERROR);
        }
        *state.trailers.borrow_mut() = Some(fields);
        end(&state, shared)
    }

    /// Reads lines that nobody wants: later ones may refer to them.
    fn skip(&mut self, octets: &[u8]) -> Done {
        self.decoder.decode(octets, |_, _| {}).map_err(|_| Code::COMPRESSION_ERROR)
    }
}

/// The client has sent all of a stream.
fn end(state: &State, shared: &mut Shared) -> Done {
    if state.announced.get().is_some_and(|left| left > 0) {
        return shared.refuse(state, Code::PROTOCOL_ERROR);
    }
    state.ended.set(true);
    state.wake_reader();
    if state.finished.get() {
        shared.close(state, false);
    }
    Ok(())
}

/// What is said of a stream that is not open.
fn late(id: u32, shared: &mut Shared) -> Done {
    if id > shared.last {
        return if shared.leaving == Leaving::Final && id % 2 == 1 { Ok(()) } else { Err(Code::PROTOCOL_ERROR) };
    }
    // What was on its way when we reset the stream is no mistake.
    if shared.was_open(id) == Some(true) {
        return Ok(());
    }
    shared.push_reset(id, Code::STREAM_CLOSED);
    shared.count_mistake()
}

/// A frame's content without padding.
fn unpadded(header: Header, content: &[u8]) -> Result<&[u8], Code> {
    if !header.has(PADDED) {
        return Ok(content);
    }
    let (&padding, rest) = content.split_first().ok_or(Code::FRAME_SIZE_ERROR)?;
    let length = rest.len().checked_sub(padding.into()).ok_or(Code::PROTOCOL_ERROR)?;
    Ok(&rest[..length])
}

/// The stream that a priority depends on (RFC 7540, section 5.3).
fn depends_on(priority: &[u8]) -> Option<u32> {
    frame::number(priority).map(|number| number & 0x7fff_ffff)
}

/// Priorities mean nothing to us (section 5.3.2), but what is wrong is wrong.
fn priority(header: Header, content: &[u8], shared: &mut Shared) -> Done {
    let code = match content.len() {
        5 if depends_on(content) == Some(header.stream) => Code::PROTOCOL_ERROR,
        5 => return Ok(()),
        _ => Code::FRAME_SIZE_ERROR,
    };
    match shared.find(header.stream) {
        Some(state) => shared.refuse(&state, code),
        None => Err(code),
    }
}

fn reset(header: Header, content: &[u8], shared: &mut Shared) -> Done {
    if content.len() != 4 {
        return Err(Code::FRAME_SIZE_ERROR);
    }
    if header.stream > shared.last && shared.leaving != Leaving::Final {
        return Err(Code::PROTOCOL_ERROR);
    }
    let Some(state) = shared.find(header.stream) else { return Ok(()) };
    shared.close(&state, false);
    state.cut();
    // It was not looked at yet. It will be: a request was begun, and is logged as one that was given up.
    let is_new = state.head.borrow().is_some();
    if is_new { shared.count_mistake() } else { Ok(()) }
}

fn settings(header: Header, content: &[u8], shared: &mut Shared) -> Done {
    if header.has(ACK) {
        return if content.is_empty() { Ok(()) } else { Err(Code::FRAME_SIZE_ERROR) };
    }
    if !content.len().is_multiple_of(6) {
        return Err(Code::FRAME_SIZE_ERROR);
    }
    for setting in content.chunks_exact(6) {
        let (id, value) = (u16::from_be_bytes([setting[0], setting[1]]), frame::number(&setting[2..]).unwrap_or(0));
        match id {
            frame::ENABLE_PUSH if value > 1 => return Err(Code::PROTOCOL_ERROR),
            frame::MAX_FRAME_SIZE if !(16_384..1 << 24).contains(&value) => return Err(Code::PROTOCOL_ERROR),
            frame::INITIAL_WINDOW_SIZE if value > 0x7fff_ffff => return Err(Code::FLOW_CONTROL_ERROR),
            frame::INITIAL_WINDOW_SIZE => {
                let by = i64::from(value) - shared.initial_room;
                shared.initial_room = value.into();
                if shared.open().iter().fold(false, |too_much, state| state.widen(by) | too_much) {
                    return Err(Code::FLOW_CONTROL_ERROR);
                }
            }
            _ => {}
        }
    }
    frame::push_header(shared.out.frames(), 0, SETTINGS, ACK, 0);
    Ok(())
}

fn ping(header: Header, content: &[u8], shared: &mut Shared) -> Done {
    if content.len() != 8 {
        return Err(Code::FRAME_SIZE_ERROR);
    }
    if !header.has(ACK) {
        let out = shared.out.frames();
        frame::push_header(out, content.len(), PING, ACK, 0);
        out.extend_from_slice(content);
    } else if content == LEAVING && shared.leaving == Leaving::Announced {
        shared.leaving = Leaving::Final;
        shared.push_goaway(Code::NO_ERROR);
    }
    Ok(())
}

fn window_update(header: Header, content: &[u8], shared: &mut Shared) -> Done {
    let by = match frame::number(content) {
        Some(number) if content.len() == 4 => i64::from(number & 0x7fff_ffff),
        _ => return Err(Code::FRAME_SIZE_ERROR),
    };
    if header.stream == 0 {
        shared.room += by;
        if by == 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        if shared.room > i64::from(i32::MAX) {
            return Err(Code::FLOW_CONTROL_ERROR);
        }
        shared.wake_writers();
        return Ok(());
    }
    match shared.find(header.stream) {
        Some(state) if by == 0 => shared.refuse(&state, Code::PROTOCOL_ERROR),
        Some(state) if state.widen(by) => shared.refuse(&state, Code::FLOW_CONTROL_ERROR),
        None if header.stream > shared.last && shared.leaving != Leaving::Final => Err(Code::PROTOCOL_ERROR),
        _ => Ok(()),
    }
}
