//! TLS as QUIC has it (RFC 9001).

use super::SuiteOrder;
use model::hostname;
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::{Error, ServerConfig};
use sdk::Tls;
use std::sync::Arc;

/// How connections of QUIC are secured.
pub(crate) type QuicTls = QuicServerConfig;

/// The same settings for QUIC: version 1.3, HTTP/3, and nothing in the first flight that could be replayed.
pub(crate) fn quic_tls(config: &ServerConfig, order: SuiteOrder) -> Result<Arc<QuicTls>, Error> {
    let lacking = |what: &str| Error::General(format!("a listener has the flag 'quic', but there is no {what}"));
    if !config.crypto_provider().cipher_suites.iter().any(|suite| suite.tls13().is_some()) || !speaks_tls13(config) {
        return Err(lacking("TLS 1.3"));
    }
    let mut config = config.clone();
    config.alpn_protocols = vec![wire::h3::ALPN.to_vec()];
    config.max_early_data_size = 0;
    config.ignore_client_order = order.is_ours();
    // First packets are protected by this one, whatever is agreed on then (RFC 9001, section 5.2).
    let initial = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite());
    let initial = initial.ok_or_else(|| lacking("cipher suite for its first packets"))?;
    QuicTls::with_initial(Arc::new(config), initial).map(Arc::new).map_err(|e| Error::General(e.to_string()))
}

/// The server name that a client has asked for, in lower case.
pub(crate) fn quic_server_name(connection: &quinn::Connection) -> Option<Arc<str>> {
    let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
    Some(Arc::from(hostname::without_root(&data.server_name?).to_ascii_lowercase()))
}

/// How a connection of QUIC is secured; which cipher and group its ends have agreed on is not told.
pub(crate) fn describe_quic(client_verify: &'static str) -> Tls {
    Tls { version: "TLSv1.3", cipher: "", group: "", alpn: "h3", resumed: false, client_verify }
}

fn speaks_tls13(config: &ServerConfig) -> bool {
    rustls::quic::ServerConnection::new(Arc::new(config.clone()), rustls::quic::Version::V1, Vec::new()).is_ok()
}
