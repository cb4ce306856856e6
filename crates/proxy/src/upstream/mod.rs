//! Connections to services: made, kept, and given back.

mod connect;
mod exchange;
mod pool;
mod shared;
mod tls;

pub use connect::ConnectError;
pub(crate) use connect::Connector;
pub(crate) use exchange::Upstream;
pub use pool::{Pool, PoolKey};
pub(crate) use shared::Shared;
pub use tls::{ServiceTls, Tls};
