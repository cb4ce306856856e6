//! Where connections come in: listening sockets with nginx's flags, which connections may stay, and what comes before
//! HTTP on them.

mod admission;
mod descriptors;
mod handshake;
mod inherited;
mod socket;

pub(crate) use admission::{Admission, Shortage};
pub use descriptors::Descriptors;
pub(crate) use handshake::{Expected, handshake};
pub use inherited::{Inherited, Offer};
pub(crate) use socket::{Listener, Listening};
pub use socket::{SocketOptions, TcpKeepalive, listen_alone};
