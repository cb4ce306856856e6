//! Connections to services: made, kept, and given back.

mod connect;
mod pool;

pub use connect::ConnectError;
pub(crate) use connect::connect;
pub use pool::{Pool, PoolKey, Tls};
