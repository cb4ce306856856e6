//! The listeners: accept, TLS, HTTP/1.1, and a drain at the end.

use crate::Admin;
use crate::http::{Face, respond};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// More connections wait to be accepted.
const MAX_CONNECTIONS: u32 = 4096;
/// How long a client may take for a TLS handshake or a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests under way may take once the node stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failed accept (out of file descriptors): accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` resolves and the requests under way are answered.
pub async fn serve(admin: Arc<Admin>, face: Face, listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, shutdown: impl Future<Output = ()> + Send) {
    let acceptor = tls.map(TlsAcceptor::from);
    let (stop, stopped) = watch::channel(());
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, slot) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => match accepted {
                Some(accepted) => accepted,
                None => continue,
            },
        };
        let (admin, acceptor, stopped) = (admin.clone(), acceptor.clone(), stopped.clone());
        tokio::spawn(async move {
            match acceptor {
                None => connection(admin, face, stream, stopped).await,
                Some(acceptor) => match tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => connection(admin, face, stream, stopped).await,
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed on the admin listener"),
                    Err(_) => tracing::debug!("TLS handshake timed out on the admin listener"),
                },
            }
            drop(slot);
        });
    }
    drop((listener, stop));
    // every connection holds a slot: all of them are free when the last one has ended
    if tokio::time::timeout(DRAIN_TIMEOUT, slots.acquire_many(MAX_CONNECTIONS)).await.is_err() {
        tracing::warn!("requests to the admin listener were still under way at the end");
    }
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY on an admin connection");
            }
            Some((stream, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept on the admin listener");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection<S>(admin: Arc<Admin>, face: Face, stream: S, mut stopped: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(respond(&admin, face, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // nothing is ever sent: the channel closes when the listener stops
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "admin connection ended early");
    }
}
