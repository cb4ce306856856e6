//! TLS towards clients and towards services.
//!
//! `identity` is what we prove ourselves by, `stapling` what authorities say of it, `certificates` finds one for a
//! server name, `listener` is what clients may use, `quic` the same for HTTP/3, `offered` what they offer, `clients`
//! what they must prove, `requests` and `handshake` what plugins have a say in; `verify` and `trust` are what services
//! must prove, `outbound` says which of all that applies to a service.

mod certificates;
mod clients;
mod handshake;
mod identity;
mod listener;
mod names;
mod offered;
mod outbound;
mod quic;
mod requests;
mod secp521r1;
mod stapling;
#[cfg(test)]
mod testing;
mod trust;
mod verify;

pub use certificates::Certificates;
pub use clients::{ClientVerification, ClientVerificationMode};
pub(crate) use handshake::{server_name, settings, stream_settings};
pub use identity::{Chain, Identity};
pub(crate) use listener::{ListenerTls, Resolver};
pub use listener::{Policy, SuiteOrder};
pub(crate) use names::{describe, shown};
pub use offered::Offered;
pub use outbound::{Outbound, Terms, TrustCompiler};
pub(crate) use quic::{QuicTls, describe_quic, quic_server_name, quic_tls};
pub(crate) use requests::{CertificateRequests, Names};
pub use secp521r1::SECP521R1;
pub(crate) use stapling::run as run_stapling;
pub use trust::{Peers, Services, Trust};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The algorithms there are, with these cipher suites only; all of them when there are none.
fn provider(suites: &[rustls::SupportedCipherSuite]) -> Arc<CryptoProvider> {
    provider_with(suites, &[])
}

/// The same with these key exchanges.
fn provider_with(
    suites: &[rustls::SupportedCipherSuite],
    groups: &[&'static dyn rustls::crypto::SupportedKxGroup],
) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.push(SECP521R1);
    if !suites.is_empty() {
        provider.cipher_suites = suites.to_vec();
    }
    if !groups.is_empty() {
        provider.kx_groups = groups.to_vec();
    }
    Arc::new(provider)
}

/// Tells things that are made once apart, for as long as the process lives.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
