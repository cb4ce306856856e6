//! Where connections come in: listening sockets with nginx's flags, and how many descriptors connections may take.

mod descriptors;
mod socket;

pub use descriptors::Descriptors;
pub(crate) use socket::Listening;
pub use socket::{SocketOptions, TcpKeepalive, listen_alone};
