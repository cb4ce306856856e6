//! OpenSSL's names for what a connection with a client uses.

use rustls::{CipherSuite, HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection};
use sdk::{ClientCertificate, Tls};
use std::sync::Arc;

/// How a connection is secured whose client's certificate came to that; `None` before the handshake is over.
pub fn describe(connection: &ServerConnection, client_verify: &'static str) -> Option<Tls> {
    let version = match connection.protocol_version()? {
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => return None,
    };
    let cipher = name(connection.negotiated_cipher_suite()?.suite());
    let group = connection.negotiated_key_exchange_group().map_or("", |group| group_name(group.name()));
    let alpn = match connection.alpn_protocol() {
        Some(b"h2") => "h2",
        Some(b"http/1.1") => "http/1.1",
        _ => "",
    };
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    Some(Tls { version, cipher, group, alpn, resumed, client_verify })
}

/// What the client has shown.
pub fn shown(connection: &ServerConnection) -> Option<Arc<ClientCertificate>> {
    let chain = connection.peer_certificates()?.iter().map(|certificate| certificate.clone().into_owned());
    ClientCertificate::new(chain.collect()).map(Arc::new)
}

pub(super) fn name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        other => other.as_str().unwrap_or_default(),
    }
}

pub(super) fn group_name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::secp256r1 => "prime256v1",
        NamedGroup::FFDHE2048 => "ffdhe2048",
        NamedGroup::FFDHE3072 => "ffdhe3072",
        NamedGroup::FFDHE4096 => "ffdhe4096",
        NamedGroup::FFDHE6144 => "ffdhe6144",
        NamedGroup::FFDHE8192 => "ffdhe8192",
        other => other.as_str().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::aws_lc_rs;

    #[test]
    fn every_suite_has_openssls_name() {
        for suite in aws_lc_rs::ALL_CIPHER_SUITES {
            let name = name(suite.suite());
            assert!(name.starts_with("TLS_") || name.starts_with("ECDHE-"), "{name}");
        }
    }
}
