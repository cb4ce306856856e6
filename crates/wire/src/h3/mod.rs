//! HTTP/3 (RFC 9114): connections from clients over QUIC. The `quinn` crate speaks QUIC; the frames, and how field
//! lines are written in them (`qpack`), are our own: a head is bounded while it arrives, and refused for the same
//! reasons as one of HTTP/1.1.

mod connection;
mod control;
mod frame;
mod head;
mod qpack;
mod receiving;
mod sending;
mod stream;

pub use connection::{Connection, Driver};
pub use frame::{ALPN, NO_ERROR};
pub use stream::{ServerStream, Unread};
