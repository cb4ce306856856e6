//! What goes through a WebSocket, as plugins see and edit it.

use crate::Bytes;

/// A message of a client or a service, whole, on its way to the other.
#[derive(Clone, Debug)]
pub struct WebSocketMessage {
    pub kind: MessageKind,
    /// Its content. Of a text it must stay UTF-8. Of a close it is the reason; of that, a ping and a pong more than 125
    /// octets are cut off.
    pub payload: Bytes,
    /// The status of a close that has one.
    pub status: Option<u16>,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    Text,
    Binary,
    Ping,
    Pong,
    /// The sender ends the WebSocket.
    Close,
}

/// What becomes of a message. Plugins after one that does not forward it do not see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    #[default]
    Forward,
    /// It goes nowhere.
    Drop,
    /// The WebSocket ends in its place: who sent it is told the first, who would have got it the second.
    Close(CloseReason, CloseReason),
}

/// Why a WebSocket is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    pub status: u16,
    /// At most 123 octets of it are sent.
    pub words: String,
}

/// How many octets a message may have, where an exchange's state ([`crate::Exchange::put`]) says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketLimits {
    pub client: usize,
    pub service: usize,
}

impl WebSocketMessage {
    /// A message that goes on as it is.
    pub fn new(kind: MessageKind, payload: Bytes) -> WebSocketMessage {
        WebSocketMessage { kind, payload, status: None, verdict: Verdict::Forward }
    }
}

impl CloseReason {
    /// The endpoint is going away (RFC 6455, section 7.4.1).
    pub const GOING_AWAY: u16 = 1001;
    /// A message that is not what its kind, or the application, wants.
    pub const INVALID_PAYLOAD: u16 = 1007;
    /// The endpoint cannot go on.
    pub const INTERNAL_ERROR: u16 = 1011;

    /// A status and words for people.
    pub fn new(status: u16, words: &str) -> CloseReason {
        CloseReason { status, words: words.to_owned() }
    }
}

impl Default for WebSocketLimits {
    /// As Kong: 1 MiB from clients and 16 MiB from services.
    fn default() -> WebSocketLimits {
        WebSocketLimits { client: 1 << 20, service: 16 << 20 }
    }
}
