//! Where connections come in: listening sockets with nginx's flags, which connections may stay, and what comes before
//! HTTP on them.

mod address;
mod admission;
mod descriptors;
mod handshake;
mod inherited;
mod quic;
mod quic_socket;
mod socket;
mod unix;

pub use address::ListenAddress;
pub(crate) use admission::{Admission, Shortage};
pub use descriptors::Descriptors;
pub(crate) use handshake::{Expected, handshake};
pub use inherited::{Inherited, Offer};
pub(crate) use quic::{Arrival, QuicArrivals, endpoint};
pub(crate) use quic_socket::QuicSocket;
pub use socket::{Alone, SocketOptions, TcpKeepalive, listen_alone};
pub(crate) use socket::{Listener, Listening};
