//! HTTP/2 (RFC 9113): connections from clients and to services, which carry many requests at once. The `h2` crate
//! speaks the protocol; what is here turns its messages into those of every other version.

mod client;
mod connection;
mod frames;
mod head;
mod io;
mod rounds;
mod sending;
mod stream;
mod windows;

pub use client::{ClientConnection, ClientStream, Driver};
pub use connection::{Connection, Limits, PREFACE};
pub use stream::ServerStream;
