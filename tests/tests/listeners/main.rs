//! Where connections come in: flags of listeners, the PROXY protocol, what begins TLS, the Admin API, the manager.

mod admin;
mod flags;
mod handshakes;
mod local;
mod pages;
mod proxy_protocol;
