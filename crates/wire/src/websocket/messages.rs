//! Messages out of the frames of one side (RFC 6455, section 5.4), whatever pieces they come in.

use super::frame::{self, Header, Opcode, Side};

/// Room that is kept for the next message.
const KEPT: usize = 16 << 10;

/// Reads what one side sends.
pub struct Messages {
    from: Side,
    /// The most octets of a message's payload.
    limit: usize,
    /// The beginning of a frame that is not complete yet.
    begun: Vec<u8>,
    /// The frame that is being read, and how much of it has been.
    frame: Option<(Header, u64)>,
    /// The payload of a control frame.
    control: Vec<u8>,
    /// What the message is of which fragments have come.
    kind: Option<Opcode>,
    payload: Vec<u8>,
    /// The payload up to there is checked as text.
    checked: usize,
    /// The last message was handed out, and is of no use any more.
    whole: bool,
    closed: bool,
}

/// What has come whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A text or binary message, or a ping or pong.
    Message(Opcode, &'a [u8]),
    /// The end, with its status where it has one, and its reason.
    Close(Option<u16>, &'a str),
}

/// What was sent is none of the protocol, or too much: the status with which the connection is to be closed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    pub status: u16,
    pub reason: &'static str,
}

impl Messages {
    /// What that side sends, from its first frame on. `limit`: the most octets of a message.
    pub fn new(from: Side, limit: usize) -> Messages {
        Messages {
            from,
            limit,
            begun: Vec::new(),
            frame: None,
            control: Vec::new(),
            kind: None,
            payload: Vec::new(),
            checked: 0,
            whole: false,
            closed: false,
        }
    }

    /// Takes octets from the front of `octets` until something has come whole, or all are taken.
    pub fn read(&mut self, octets: &mut &[u8]) -> Result<Option<Received<'_>>, Violation> {
        self.release();
        loop {
            let (header, read) = match self.frame {
                Some(frame) => frame,
                None => match self.begin(octets)? {
                    Some(header) => (header, 0),
                    None => return Ok(None),
                },
            };
            let n = usize::try_from(header.length - read).map_or(octets.len(), |left| left.min(octets.len()));
            let (piece, rest) = octets.split_at(n);
            *octets = rest;
            let payload = if header.opcode.is_control() { &mut self.control } else { &mut self.payload };
            let before = payload.len();
            payload.extend_from_slice(piece);
            if let Some(key) = header.mask {
                frame::mask(&mut payload[before..], key, read);
            }
            let read = read + n as u64;
            let whole = read == header.length;
            self.frame = (!whole).then_some((header, read));
            if self.kind == Some(Opcode::Text) && !header.opcode.is_control() {
                self.check_text(whole && header.last)?;
            }
            if !whole {
                return Ok(None);
            }
            if header.opcode == Opcode::Close {
                return self.close().map(Some);
            }
            if header.opcode.is_control() {
                return Ok(Some(Received::Message(header.opcode, &self.control)));
            }
            if header.last {
                let kind = self.kind.take().unwrap_or(Opcode::Binary);
                self.whole = true;
                return Ok(Some(Received::Message(kind, &self.payload)));
            }
        }
    }

    /// Lets go of the message that was handed out last. The next [`Messages::read`] does so, too: before a wait, this
    /// is to be called.
    pub fn release(&mut self) {
        if std::mem::take(&mut self.whole) {
            self.payload.clear();
            self.payload.shrink_to(KEPT);
        }
    }

    /// How many octets are held of a message.
    pub fn held(&self) -> usize {
        self.payload.len()
    }

    /// Begins the next frame, once its header is there.
    fn begin(&mut self, octets: &mut &[u8]) -> Result<Option<Header>, Violation> {
        loop {
            if self.closed {
                // Section 5.5.1: nothing follows.
                *octets = &[];
                return Ok(None);
            }
            if let Some((header, _)) = Header::parse(&self.begun, self.from).map_err(Violation::protocol)? {
                self.begun.clear();
                self.admit(header)?;
                self.frame = Some((header, 0));
                return Ok(Some(header));
            }
            let Some((first, rest)) = octets.split_first() else { return Ok(None) };
            self.begun.push(*first);
            *octets = rest;
        }
    }

    /// Whether a frame may stand where it does.
    fn admit(&mut self, header: Header) -> Result<(), Violation> {
        if header.opcode.is_control() {
            self.control.clear();
            return Ok(());
        }
        match (self.kind, header.opcode) {
            (None, Opcode::Continuation) => return Err(Violation::protocol("a continuation of nothing")),
            (Some(_), Opcode::Text | Opcode::Binary) => {
                return Err(Violation::protocol("a message within the fragments of another"));
            }
            (None, kind) => {
                self.kind = Some(kind);
                self.checked = 0;
            }
            _ => {}
        }
        // Before anything of it is read.
        let fits = usize::try_from(header.length).is_ok_and(|n| n <= self.limit - self.payload.len());
        if fits { Ok(()) } else { Err(Violation { status: 1009, reason: "Payload Too Large" }) }
    }

    /// Checks what has come of a text as soon as it has (section 8.1); a character may still be incomplete.
    fn check_text(&mut self, last: bool) -> Result<(), Violation> {
        const WRONG: Violation = Violation { status: 1007, reason: "a text that is not UTF-8" };
        match std::str::from_utf8(&self.payload[self.checked..]) {
            Ok(_) => self.checked = self.payload.len(),
            Err(error) if error.error_len().is_none() && !last => self.checked += error.valid_up_to(),
            Err(_) => return Err(WRONG),
        }
        Ok(())
    }

    fn close(&mut self) -> Result<Received<'_>, Violation> {
        self.closed = true;
        let Some((status, reason)) = self.control.split_first_chunk() else {
            let empty = self.control.is_empty();
            return if empty { Ok(Received::Close(None, "")) } else { Err(Violation::protocol("half a status")) };
        };
        let status = u16::from_be_bytes(*status);
        if !is_close_status(status) {
            return Err(Violation::protocol("a status that none may send"));
        }
        match std::str::from_utf8(reason) {
            Ok(reason) => Ok(Received::Close(Some(status), reason)),
            Err(_) => Err(Violation { status: 1007, reason: "a reason that is not UTF-8" }),
        }
    }
}

impl Violation {
    fn protocol(reason: &'static str) -> Violation {
        Violation { status: 1002, reason }
    }
}

/// Whether a close frame may have that status (section 7.4, and what is registered since).
pub fn is_close_status(status: u16) -> bool {
    matches!(status, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests;
