//! The HTTP engine of the gateway: the message model shared by every protocol version, the
//! HTTP/1.1 codec and connections, HTTP/2 (towards services over the `h2` crate), HTTP/3 over QUIC by `quinn`, and the
//! PROXY protocol. It knows nothing of routes, services or plugins.

pub mod h1;
pub mod h2;
pub mod h3;
mod hpack;
pub mod message;
pub mod net;
pub mod proxy_protocol;
mod pseudo;
pub mod websocket;

pub use message::{Fields, Framing, Known, Method, RequestHead, ResponseHead, Version, field_value};
