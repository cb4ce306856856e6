//! The HTTP engine of the gateway: the message model shared by every protocol version, the
//! HTTP/1.1 codec and connections, and TLS. It knows nothing of routes, services or plugins.

pub mod message;

pub use message::{Fields, Known, Method, RequestHead, ResponseHead, Version};
