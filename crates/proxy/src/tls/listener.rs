//! What clients may use: protocol versions, cipher suites, resumption of sessions.

use super::{Certificates, ClientVerification, Names, QuicTls, provider_with, quic_tls};
use rustls::crypto::{SupportedKxGroup, aws_lc_rs};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache,
    StoresServerSessions,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many tickets a client is sent that does not say how many it wants, as by Go's crypto/tls: each costs, and most
/// clients use none. Those with a use for more can ask (RFC 9149).
const TICKETS: usize = 1;
/// The most that a client is sent who asks for more.
const MOST_TICKETS: usize = 4;

/// TLS as the listeners of an interface speak it.
#[derive(Clone, Debug)]
pub struct Policy {
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// In order of preference; empty: all there are.
    pub suites: Vec<SupportedCipherSuite>,
    /// Key exchanges, in order of preference; empty: all there are.
    pub groups: Vec<&'static dyn SupportedKxGroup>,
    /// Whose order of suites counts.
    pub order: SuiteOrder,
    /// Sessions are resumed by tickets that clients keep.
    pub tickets: bool,
    /// For how long sessions can be resumed. Keys of tickets are thrown away after 12 hours in any case.
    pub lifetime: Duration,
    /// Sessions that the node keeps, for clients without tickets.
    pub sessions: usize,
    /// Certificates that clients must show.
    pub clients: ClientVerification,
    /// HTTP/2 is offered (ALPN, RFC 7301).
    pub http2: bool,
    /// QUIC is spoken, too.
    pub quic: bool,
}

/// Whose order decides which of the suites that both sides have is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SuiteOrder {
    #[default]
    Client,
    Server,
    /// AES-128-GCM before AES-256-GCM, and ChaCha20 for clients that would rather have it than AES: they lack hardware
    /// for that. So do Go's crypto/tls and BoringSSL. SHA-256, which comes with AES-128, makes handshakes cheaper.
    Cheapest,
}

impl SuiteOrder {
    /// Whether clients have no say.
    pub(super) fn is_ours(self) -> bool {
        self != SuiteOrder::Client
    }
}

/// The TLS of the listeners. All parts are renewed by a reload.
pub(crate) struct ListenerTls {
    pub config: Arc<ServerConfig>,
    pub clients: ClientVerification,
    /// For streams: nothing is said of what they carry, and clients need prove nothing.
    pub streams: Arc<ServerConfig>,
    policy: Policy,
    /// For clients whom plugins ask for a certificate. Their sessions are no others': one who was not asked has shown
    /// nothing.
    asking: Arc<ServerConfig>,
    /// Both for QUIC, where it is spoken.
    quic: Option<[Arc<QuicTls>; 2]>,
}

impl ListenerTls {
    /// By the policy, with a configuration that was made of it for those clients.
    pub fn new(
        policy: &Policy,
        config: ServerConfig,
        clients: ClientVerification,
    ) -> Result<ListenerTls, rustls::Error> {
        let mut streams = policy.with_clients(&config, ClientVerification::default())?;
        streams.alpn_protocols.clear();
        let asking = Policy { clients: ClientVerification::asking(Names::new()), ..policy.clone() };
        let asking = Arc::new(asking.server_config(Arc::clone(&config.cert_resolver))?);
        // Which suites a client of QUIC prefers is not seen in time: browsers know what suits their machine.
        let order = if policy.order == SuiteOrder::Cheapest { SuiteOrder::Client } else { policy.order };
        let quic = if policy.quic { Some([quic_tls(&config, order)?, quic_tls(&asking, order)?]) } else { None };
        Ok(ListenerTls {
            config: Arc::new(config),
            clients,
            streams: Arc::new(streams),
            policy: policy.clone(),
            asking,
            quic,
        })
    }

    /// The settings for a client that begins like this.
    pub fn suiting(&self, hello: &ClientHello<'_>, config: Arc<ServerConfig>) -> Arc<ServerConfig> {
        if self.policy.order != SuiteOrder::Cheapest || !prefers_chacha20(hello.cipher_suites()) {
            return config;
        }
        let mut config = ServerConfig::clone(&config);
        config.ignore_client_order = false;
        Arc::new(config)
    }

    /// Whether all clients are asked for a certificate, whatever plugins want.
    pub fn asks(&self) -> bool {
        self.clients.asks()
    }

    /// For QUIC, where it is spoken. `plugins`: some of them may want to see a client's certificate.
    pub fn quic(&self, plugins: bool) -> Option<Arc<QuicTls>> {
        let [usual, asking] = self.quic.as_ref()?;
        Some(Arc::clone(if plugins && !self.clients.asks() { asking } else { usual }))
    }

    /// For clients who are asked for a certificate by plugins, and told these names of authorities.
    pub fn asking(&self, names: Names) -> Result<Arc<ServerConfig>, rustls::Error> {
        match names.is_empty() {
            _ if self.clients.asks() => Ok(Arc::clone(&self.config)),
            true => Ok(Arc::clone(&self.asking)),
            false => self.policy.with_clients(&self.asking, ClientVerification::asking(names)).map(Arc::new),
        }
    }

    /// The same for streams.
    pub fn asking_streams(&self, names: Names) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = match names.is_empty() {
            true => ServerConfig::clone(&self.asking),
            false => self.policy.with_clients(&self.asking, ClientVerification::asking(names))?,
        };
        config.alpn_protocols.clear();
        Ok(Arc::new(config))
    }
}

impl Policy {
    /// The settings of a listener. Certificates are chosen by `resolver` at each handshake.
    pub fn server_config(&self, resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
        let mut provider = provider_with(&self.suites, &self.groups);
        if self.order == SuiteOrder::Cheapest {
            // What is equal stays in its order.
            Arc::make_mut(&mut provider).cipher_suites.sort_by_key(|suite| cost(suite.suite()));
        }
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&self.versions)?;
        let builder = match self.clients.verifier() {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(resolver);
        let versions: &[&[u8]] = if self.http2 { &[b"h2"] } else { &[] };
        config.alpn_protocols = [versions, &[b"http/1.1", b"http/1.0"]].concat().iter().map(|v| v.to_vec()).collect();
        config.ignore_client_order = self.order.is_ours();
        let lifetime = self.lifetime.as_secs().max(1);
        if self.tickets {
            config.ticketer = Arc::new(Expiring { kept: aws_lc_rs::Ticketer::new()?, lifetime });
        }
        (config.send_tls13_tickets, config.max_tls13_tickets) = (TICKETS, MOST_TICKETS);
        config.session_storage = match self.sessions {
            0 => Arc::new(NoServerSessionStorage {}),
            n => Arc::new(Expiring { kept: ServerSessionMemoryCache::new(n), lifetime }),
        };
        Ok(config)
    }

    /// The same settings with another verification of clients; sessions and tickets go on.
    pub fn with_clients(
        &self,
        former: &ServerConfig,
        clients: ClientVerification,
    ) -> Result<ServerConfig, rustls::Error> {
        let policy = Policy { clients, ..self.clone() };
        let mut config = policy.server_config(Arc::clone(&former.cert_resolver))?;
        config.ticketer = Arc::clone(&former.ticketer);
        config.session_storage = Arc::clone(&former.session_storage);
        Ok(config)
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            versions: vec![&TLS13, &TLS12],
            suites: Vec::new(),
            groups: Vec::new(),
            order: SuiteOrder::Client,
            tickets: true,
            lifetime: Duration::from_secs(24 * 60 * 60),
            sessions: 1024,
            clients: ClientVerification::default(),
            http2: false,
            quic: false,
        }
    }
}

/// Suites with AES-128 come first, those with ChaCha20 last.
fn cost(suite: CipherSuite) -> u8 {
    use CipherSuite as Suite;
    match suite {
        Suite::TLS13_AES_128_GCM_SHA256
        | Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
        suite if is_chacha20(suite) => 2,
        _ => 1,
    }
}

fn is_chacha20(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

/// Whether the first suite that can be meant is one with ChaCha20; others are GREASE (RFC 8701) and what nobody uses.
fn prefers_chacha20(offered: &[CipherSuite]) -> bool {
    let known = |suite: &&CipherSuite| aws_lc_rs::ALL_CIPHER_SUITES.iter().any(|ours| ours.suite() == **suite);
    offered.iter().find(known).copied().is_some_and(is_chacha20)
}

/// Chooses by the certificates in force at each handshake.
pub(crate) struct Resolver<F>(pub F);

impl<F> fmt::Debug for Resolver<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl<F: Fn() -> Certificates + Send + Sync> ResolvesServerCert for Resolver<F> {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (self.0)().for_server(hello.server_name())?.for_client(hello.signature_schemes())
    }
}

/// Puts the time before what is kept, and hands out nothing that is too old.
#[derive(Debug)]
struct Expiring<K> {
    kept: K,
    /// Seconds.
    lifetime: u64,
}

impl<K> Expiring<K> {
    fn stamped(value: &[u8]) -> Vec<u8> {
        [&now().to_be_bytes()[..], value].concat()
    }

    fn fresh(&self, stamped: Vec<u8>) -> Option<Vec<u8>> {
        let (stamp, value) = stamped.split_first_chunk::<8>()?;
        let age = now().saturating_sub(u64::from_be_bytes(*stamp));
        (age < self.lifetime).then(|| value.to_vec())
    }
}

impl ProducesTickets for Expiring<Arc<dyn ProducesTickets>> {
    fn enabled(&self) -> bool {
        self.kept.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.kept.lifetime().min(u32::try_from(self.lifetime).unwrap_or(u32::MAX))
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.kept.encrypt(&Self::stamped(plain))
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.fresh(self.kept.decrypt(cipher)?)
    }
}

impl StoresServerSessions for Expiring<Arc<ServerSessionMemoryCache>> {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.kept.put(key, Self::stamped(&value))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(self.kept.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(self.kept.take(key)?)
    }

    fn can_cache(&self) -> bool {
        self.kept.can_cache()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_suite_that_is_known_tells_of_the_client() {
        use CipherSuite as Suite;
        let (chacha20, aes) = (Suite::TLS13_CHACHA20_POLY1305_SHA256, Suite::TLS13_AES_256_GCM_SHA384);
        assert!(prefers_chacha20(&[Suite::from(0x2a2a), chacha20, aes]));
        assert!(!prefers_chacha20(&[aes, chacha20]));
        assert!(!prefers_chacha20(&[Suite::from(0x2a2a)]));
    }

    #[test]
    fn sessions_perish() {
        let cache = |lifetime| Expiring { kept: ServerSessionMemoryCache::new(8), lifetime };
        let kept = cache(60);
        assert!(kept.put(b"k".to_vec(), b"v".to_vec()));
        assert_eq!(kept.get(b"k").as_deref(), Some(&b"v"[..]));
        assert_eq!(kept.take(b"k").as_deref(), Some(&b"v"[..]));
        assert_eq!(kept.get(b"k"), None);
        let spoiled = cache(0);
        assert!(spoiled.put(b"k".to_vec(), b"v".to_vec()));
        assert_eq!(spoiled.get(b"k"), None);
        let tickets = Expiring { kept: aws_lc_rs::Ticketer::new().unwrap(), lifetime: 10 };
        assert_eq!(tickets.lifetime(), 10);
        let ticket = tickets.encrypt(b"session").unwrap();
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(Expiring { kept: tickets.kept, lifetime: 0 }.decrypt(&ticket), None);
    }
}
