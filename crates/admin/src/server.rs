//! The listeners: accept, TLS, HTTP/1.1, and a drain at the end.

use crate::Admin;
use crate::http::{Interface, respond};
use crate::node::{Answered, Origin};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
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
pub async fn serve(
    admin: Arc<Admin>,
    interface: Interface,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let (stop, stopped) = watch::channel(());
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    let mut shutdown = std::pin::pin!(shutdown);
    for number in 1.. {
        let (stream, peer, slot) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => match accepted {
                Some(accepted) => accepted,
                None => continue,
            },
        };
        let Ok(local) = stream.local_addr() else { continue };
        let origin = Origin { peer, local, tls: acceptor.is_some(), connection: number };
        let (admin, acceptor, stopped) = (admin.clone(), acceptor.clone(), stopped.clone());
        tokio::spawn(async move {
            match acceptor {
                None => connection(admin, interface, stream, origin, stopped).await,
                Some(acceptor) => match tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => connection(admin, interface, stream, origin, stopped).await,
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

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY on an admin connection");
            }
            Some((stream, peer, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept on the admin listener");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection<S>(
    admin: Arc<Admin>,
    interface: Interface,
    stream: S,
    origin: Origin,
    mut stopped: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requests = AtomicU64::new(0);
    let service = service_fn(move |request| {
        let admin = admin.clone();
        let number = requests.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            Ok::<_, Infallible>(if admin.node.notes(interface) {
                noted(&admin, interface, origin, number, request).await
            } else {
                respond(&admin, interface, request).await
            })
        }
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

/// Answers a request and writes it to the access log.
async fn noted(
    admin: &Arc<Admin>,
    interface: Interface,
    origin: Origin,
    number: u64,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let started = Instant::now();
    let (method, uri, version, headers) =
        (request.method().clone(), request.uri().clone(), request.version(), request.headers().clone());
    let response = respond(admin, interface, request).await;
    let content = if method == Method::HEAD { 0 } else { response.body().size_hint().exact().unwrap_or_default() };
    let answered = Answered {
        origin,
        request: number,
        method: method.as_str(),
        target: uri.path_and_query().map_or("*", |target| target.as_str()),
        http_1_0: version == Version::HTTP_10,
        request_headers: &headers,
        response_headers: response.headers(),
        status: response.status().as_u16(),
        content,
        took: started.elapsed(),
    };
    admin.node.note(interface, &answered);
    response
}
