//! The HTTP engine of the gateway: the message model shared by every protocol version, the
//! HTTP/1.1 codec and connections, and TLS. It knows nothing of routes, services or plugins.

pub mod h1;
pub mod message;
pub mod net;

pub use message::{Fields, Framing, Known, Method, RequestHead, ResponseHead, Version};
