//! Where connections come in: flags of listeners, the PROXY protocol, what begins TLS, the Admin API under pressure.

mod admin;
mod flags;
mod handshakes;
mod proxy_protocol;
