//! What plugins have a say in while a client connects: whether it is asked for a certificate, which one it is shown,
//! and whether its session may be resumed.

use super::requests::both;
use super::{ListenerTls, Names};
use crate::panic;
use crate::snapshot::Snapshot;
use futures_util::FutureExt;
use model::hostname;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sdk::Handshake;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// How long a client waits for a plugin that looks for a certificate.
const PATIENCE: Duration = Duration::from_secs(1);

/// By what a handshake goes on whose first message has come, and whether the client is asked for a certificate.
pub(crate) async fn settings(
    tls: &ListenerTls,
    snapshot: &Snapshot,
    mut handshake: Handshake,
) -> Result<(Arc<ServerConfig>, bool), rustls::Error> {
    let name = handshake.server_name.clone();
    if let Some(name) = name.as_deref().filter(|name| !snapshot.certificates.has_server(name)) {
        let found = tokio::time::timeout(PATIENCE, certificate(snapshot, name)).await;
        handshake.certificate = found.unwrap_or_else(|_| {
            tracing::warn!("a plugin has not found a certificate in time: the listener's own is shown");
            None
        });
    }
    let agreed = agree(snapshot, &mut handshake).await;
    let (config, asked) = match requested(snapshot.requests.for_server(name.as_deref()), &mut handshake) {
        Some(names) => (tls.asking(names)?, true),
        None => (Arc::clone(&tls.config), tls.asks()),
    };
    Ok((if agreed { edited(config, handshake) } else { refusing(&config) }, asked))
}

/// The same for a stream whose route's plugins ask for a certificate, or do not.
pub(crate) async fn stream_settings(
    tls: &ListenerTls,
    snapshot: &Snapshot,
    mut handshake: Handshake,
    asks: bool,
) -> Result<(Arc<ServerConfig>, bool), rustls::Error> {
    let agreed = agree(snapshot, &mut handshake).await;
    let (config, asked) = match requested(asks.then(Names::new), &mut handshake) {
        Some(names) => (tls.asking_streams(names)?, true),
        None => (Arc::clone(&tls.streams), false),
    };
    Ok((if agreed { edited(config, handshake) } else { refusing(&config) }, asked))
}

/// The server name that a client asks for, as the configuration has names.
pub(crate) fn server_name(hello: &ClientHello<'_>) -> Option<String> {
    hello.server_name().map(|name| hostname::without_root(name).to_ascii_lowercase())
}

/// The certificate of the first plugin that has one.
async fn certificate(snapshot: &Snapshot, name: &str) -> Option<Arc<CertifiedKey>> {
    for instance in &snapshot.global_chain().certifying {
        let failed =
            |what: String| tracing::error!(plugin = &*instance.name, id = %instance.id, "plugin failed: {what}");
        let Ok(search) = panic::caught(|| instance.plugin.certificate(name)).map_err(failed) else { continue };
        match AssertUnwindSafe(search).catch_unwind().await {
            Ok(Some(key)) => return Some(key),
            Ok(None) => {}
            Err(panic) => failed(panic::message(&*panic).to_owned()),
        }
    }
    None
}

/// Lets plugins decide, one after the other; whether all of them could.
async fn agree(snapshot: &Snapshot, handshake: &mut Handshake) -> bool {
    for instance in &snapshot.global_chain().connecting {
        let deciding = panic::caught(|| instance.plugin.handshake(handshake));
        let decided = match deciding {
            Ok(deciding) => match AssertUnwindSafe(deciding).catch_unwind().await {
                Ok(decided) => decided,
                Err(panic) => Err(panic::message(&*panic).to_owned()),
            },
            Err(panic) => Err(panic),
        };
        if let Err(why) = decided {
            tracing::error!(plugin = &*instance.name, id = %instance.id, phase = "certificate", "{why}");
            return false;
        }
    }
    true
}

/// What the client is asked for, by records and by plugins.
fn requested(known: Option<Names>, handshake: &mut Handshake) -> Option<Names> {
    match handshake.request.take() {
        Some(more) => Some(both(known, &more)),
        None => known,
    }
}

/// The settings for one client as plugins want them.
fn edited(config: Arc<ServerConfig>, handshake: Handshake) -> Arc<ServerConfig> {
    if handshake.certificate.is_none() && handshake.resumes && handshake.http2 {
        return config;
    }
    let mut config = ServerConfig::clone(&config);
    if let Some(key) = handshake.certificate {
        config.cert_resolver = Arc::new(Chosen(Some(key)));
    }
    if !handshake.http2 {
        config.alpn_protocols.retain(|protocol| protocol != b"h2");
    }
    if !handshake.resumes {
        forget_sessions(&mut config);
    }
    Arc::new(config)
}

/// Settings with which no handshake comes to an end: the client is told so.
fn refusing(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = ServerConfig::clone(config);
    config.cert_resolver = Arc::new(Chosen(None));
    forget_sessions(&mut config);
    Arc::new(config)
}

fn forget_sessions(config: &mut ServerConfig) {
    config.ticketer = Arc::new(NoTickets);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    (config.send_tls13_tickets, config.max_tls13_tickets) = (0, 0);
}

/// What a plugin has chosen; none: nothing can be shown.
struct Chosen(Option<Arc<CertifiedKey>>);

#[derive(Debug)]
struct NoTickets;

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chosen")
    }
}

impl ResolvesServerCert for Chosen {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
