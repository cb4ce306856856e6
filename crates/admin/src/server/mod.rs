//! The listeners: accept, serve, and a drain at the end.

mod connection;
mod connections;
mod content;
mod framed;
mod head;
mod http1;
mod http2;
mod requests;
mod stream;

pub use connections::Connections;

use crate::http::Admin;
use crate::node::Interface;
use rustls::pki_types::CertificateDer;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument;
use wire::net::Incoming;

/// How long requests under way may take once the node stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after an accept that failed: the next one would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener of an interface.
pub struct Listener {
    pub socket: Incoming,
    pub tls: Option<Arc<dyn Tls>>,
    /// Connections begin with a header of the PROXY protocol; those that do not are refused.
    pub proxy_protocol: bool,
    /// Clients without TLS may begin with HTTP/2; with it, ALPN decides.
    pub http2: bool,
}

/// The TLS of a listener, which may change while it serves.
pub trait Tls: Send + Sync + 'static {
    /// What is in force.
    fn config(&self) -> Arc<rustls::ServerConfig>;

    /// Whether a client that has shown these certificates is served; else what it is told with status 400.
    fn verify_client(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<(), &'static str>;
}

/// Anybody is served.
impl Tls for Arc<rustls::ServerConfig> {
    fn config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(self)
    }

    fn verify_client(&self, _: Option<&[CertificateDer<'_>]>) -> Result<(), &'static str> {
        Ok(())
    }
}

/// Serves until `shutdown` resolves and the requests under way are answered; to be called within
/// [`Interface::span`].
pub async fn serve(
    admin: Arc<Admin>,
    interface: Interface,
    listener: Listener,
    connections: Arc<Connections>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let listener = Arc::new(listener);
    let (stop, stopped) = watch::channel(());
    let mut tasks = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            _ = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = listener.socket.accept() => accepted,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            // The client was faster.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                connections
                    .failed
                    .note(|n| tracing::error!("cannot accept on the admin listener ({n} times): {error}"));
                connections.evict();
                tokio::select! {
                    () = &mut shutdown => break,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => continue,
                }
            }
        };
        match connections.enter() {
            Some(place) => {
                let (admin, listener, stopped) = (Arc::clone(&admin), Arc::clone(&listener), stopped.clone());
                let served = connection::run(admin, interface, listener, accepted, place, stopped);
                tasks.spawn(served.in_current_span());
            }
            None => connections.refused.note(|n| {
                tracing::warn!(
                    "{n} connections to the admin listener were refused: requests are under way on all others"
                );
            }),
        }
    }
    drop((listener, stop));
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("requests to the admin listener were still under way at the end");
    }
}

/// The time, as responses have it.
fn date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}
