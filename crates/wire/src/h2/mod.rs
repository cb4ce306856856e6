//! HTTP/2 (RFC 9113): connections from clients and to services, which carry many requests at once.
//!
//! The side of servers is our own, so that a request is refused for the same reasons and with the same answers as in
//! every version, and one that is refused ends no other. Towards services the `h2` crate speaks the protocol.

mod client;
mod connection;
mod empty_frames;
mod frame;
mod head;
mod io;
mod outgoing;
mod pool;
mod receiving;
mod section;
mod sending;
mod settled;
mod shared;
mod stream;
mod unread;
mod windows;

pub use client::{ClientConnection, ClientStream, Driver};
pub use connection::{Connection, Error, Limits, PREFACE};
pub use frame::Code;
pub use pool::StreamPool;
pub use stream::ServerStream;
