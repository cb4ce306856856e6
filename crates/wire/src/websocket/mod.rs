//! Frames of WebSocket (RFC 6455) and the messages that they make up, from either side of a connection.

mod frame;
mod messages;

pub use frame::{Opcode, Side, push_close, push_frame};
pub use messages::{Messages, Received, Violation, is_close_status};
