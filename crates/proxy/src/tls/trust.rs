//! What servers must prove before we talk to them.

use super::verify::{Requirement, ServerVerifier};
use super::{Chain, Identity, next_number, provider};
use model::entities::AlternativeNames;
use rustls::client::{ClientConfig, Resumption};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, SupportedCipherSuite, SupportedProtocolVersion};
use std::sync::Arc;

/// How many sessions are kept for terms; a server gives up to eight.
const SESSIONS: usize = 2048;

/// TLS towards services, as the settings of the node have it.
#[derive(Debug, Default)]
pub struct Services {
    pub requests: Peers,
    pub probes: Peers,
    /// Whether certificates of services of https and wss are verified where the service does not say.
    pub verify: bool,
    /// Who may vouch for services of grpcs, and through how many others; `None`: they are not verified.
    pub grpc: Option<(Arc<RootCertStore>, usize)>,
    /// What we show to services and targets that have no certificate of their own to be shown.
    pub identity: Option<Chain>,
}

/// What servers must be able to do and to prove, where nothing else is said.
#[derive(Debug)]
pub struct Peers {
    /// Who may vouch for them.
    pub roots: Arc<RootCertStore>,
    /// The most certificates between that of a server and that of its authority.
    pub depth: usize,
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Empty: all there are.
    pub suites: Vec<SupportedCipherSuite>,
}

/// Settings for connections that are made in the same way; they share sessions.
#[derive(Debug)]
pub struct Trust {
    number: u64,
    config: Arc<ClientConfig>,
    /// What is verified; `None`: nothing.
    pub(super) verified: Option<Verified>,
}

/// Who vouches for servers, through how many others, and for what beside their names.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub roots: Arc<RootCertStore>,
    pub depth: usize,
    pub names: AlternativeNames,
}

impl Peers {
    /// Terms under which certificates must be vouched for by one of `roots`, through at most so many others, and be for
    /// the host or one of these names.
    pub(super) fn verifying(
        &self,
        roots: &Arc<RootCertStore>,
        depth: usize,
        names: AlternativeNames,
    ) -> Result<Trust, rustls::Error> {
        // Terms of the node are those of many servers, others are those of a few.
        let sessions = if Arc::ptr_eq(roots, &self.roots) { SESSIONS } else { SESSIONS / 8 };
        let verified = Verified { roots: Arc::clone(roots), depth, names: names.clone() };
        let mut trust = self.trust(Requirement::Ca { roots: Arc::clone(roots), depth, names }, sessions)?;
        trust.verified = Some(verified);
        Ok(trust)
    }

    /// Terms under which nobody looks at certificates.
    pub(super) fn unverified(&self) -> Result<Trust, rustls::Error> {
        self.trust(Requirement::NoVerification, SESSIONS)
    }

    /// Whether terms made by both are the same.
    pub(super) fn same(&self, other: &Peers) -> bool {
        self.roots.roots == other.roots.roots
            && self.depth == other.depth
            && self.versions == other.versions
            && self.suites == other.suites
    }

    fn trust(&self, required: Requirement, sessions: usize) -> Result<Trust, rustls::Error> {
        let provider = provider(&self.suites);
        let verifier = Arc::new(ServerVerifier { required, provider: Arc::clone(&provider) });
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&self.versions)?;
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(sessions);
        Ok(Trust { number: next_number(), config: Arc::new(config), verified: None })
    }
}

impl Default for Peers {
    fn default() -> Peers {
        Peers { roots: Arc::new(RootCertStore::empty()), depth: 1, versions: vec![&TLS13, &TLS12], suites: Vec::new() }
    }
}

impl Trust {
    /// Different for all that were ever made.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Settings for a connection on which we prove ourselves by that. A session of another identity is not resumed:
    /// rustls compares who is to be shown before it takes one.
    pub fn config(&self, identity: Option<&Arc<Identity>>) -> Arc<ClientConfig> {
        let Some(identity) = identity else { return Arc::clone(&self.config) };
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::clone(identity) as Arc<dyn rustls::client::ResolvesClientCert>;
        Arc::new(config)
    }
}
