//! A client that connects by TLS, before anything is agreed on.

use rustls::DistinguishedName;
use rustls::sign::CertifiedKey;
use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// What [`crate::Plugin::handshake`] knows of a client, and what it decides.
pub struct Handshake {
    /// The server name that the client asks for, in lower case.
    pub server_name: Option<Arc<str>>,
    /// Where the connection comes from, and the address of ours that was connected to.
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// The client is asked for a certificate, and told these names of authorities. What others ask it for goes with it.
    pub request: Option<Vec<DistinguishedName>>,
    /// What it is shown in place of the certificate that the configuration has for it.
    pub certificate: Option<Arc<CertifiedKey>>,
    /// Its session may be resumed, now and later.
    pub resumes: bool,
    /// HTTP/2 is offered, where the listener speaks it.
    pub http2: bool,
    /// What a run time keeps from one of its plugins to the next.
    pub kept: Option<Rc<dyn Any>>,
}

impl Handshake {
    /// With nothing decided.
    pub fn new(server_name: Option<Arc<str>>, peer: SocketAddr, local: SocketAddr) -> Handshake {
        Handshake { server_name, peer, local, request: None, certificate: None, resumes: true, http2: true, kept: None }
    }
}

impl Default for Handshake {
    fn default() -> Handshake {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Handshake::new(None, nowhere, nowhere)
    }
}
