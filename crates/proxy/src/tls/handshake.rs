//! What plugins have a say in while a client connects: whether it is asked for a certificate, and which one it is shown
//! where the configuration has none for the server name.

use super::ListenerTls;
use crate::panic;
use crate::snapshot::Snapshot;
use futures_util::FutureExt;
use model::hostname;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
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
    name: Option<&str>,
) -> Result<(Arc<ServerConfig>, bool), rustls::Error> {
    let (config, asked) = match snapshot.requests.for_server(name) {
        Some(names) => (tls.asking(names)?, true),
        None => (Arc::clone(&tls.config), tls.asks()),
    };
    let Some(name) = name.filter(|name| !snapshot.certificates.has_server(name)) else { return Ok((config, asked)) };
    match tokio::time::timeout(PATIENCE, certificate(snapshot, name)).await {
        Ok(Some(key)) => {
            let mut config = ServerConfig::clone(&config);
            config.cert_resolver = Arc::new(Chosen(key));
            Ok((Arc::new(config), asked))
        }
        Ok(None) => Ok((config, asked)),
        Err(_) => {
            tracing::warn!("a plugin has not found a certificate in time: the listener's own is shown");
            Ok((config, asked))
        }
    }
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

/// What a plugin has chosen.
struct Chosen(Arc<CertifiedKey>);

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chosen")
    }
}

impl ResolvesServerCert for Chosen {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
