//! The listeners: accept, TLS, HTTP/1.1, and a drain at the end.

use crate::http::{Interface, refuse, respond};
use crate::node::{Answered, Origin};
use crate::{Admin, Limits, Tls};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::error::Elapsed;
use tokio_rustls::TlsAcceptor;

/// More connections wait to be accepted.
const MAX_CONNECTIONS: u32 = 4096;
/// How long a client may take for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);
/// hyper takes no smaller one.
const LEAST_BUFFER: usize = 8192;
/// How long requests under way may take once the node stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failed accept (out of file descriptors): accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` resolves and the requests under way are answered.
pub async fn serve(
    admin: Arc<Admin>,
    interface: Interface,
    listener: TcpListener,
    tls: Option<Arc<dyn Tls>>,
    shutdown: impl Future<Output = ()> + Send,
) {
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
        let origin = Origin { peer, local, tls: tls.is_some(), connection: number };
        let (admin, tls, stopped) = (admin.clone(), tls.clone(), stopped.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(admin, interface, stream, origin, None, stopped).await,
                Some(tls) => match handshake(&*tls, stream).await {
                    Ok(Ok(stream)) => {
                        let unverified = tls.judge(stream.get_ref().1.peer_certificates()).err();
                        connection(admin, interface, stream, origin, unverified, stopped).await;
                    }
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

async fn handshake(
    tls: &dyn Tls,
    stream: TcpStream,
) -> Result<io::Result<tokio_rustls::server::TlsStream<TcpStream>>, Elapsed> {
    tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls.config()).accept(stream)).await
}

/// `unverified`: why the client is not served.
async fn connection<S>(
    admin: Arc<Admin>,
    interface: Interface,
    stream: S,
    origin: Origin,
    unverified: Option<&'static str>,
    mut stopped: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requests = AtomicU64::new(0);
    let limits = *admin.options.limits_of(interface);
    let service = service_fn(move |request| {
        let admin = admin.clone();
        let number = requests.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            let client = Client { origin, number, unverified };
            let mut response = if admin.node.looks_on(interface) {
                noted(&admin, interface, client, request).await
            } else {
                answer(&admin, interface, client, request).await
            };
            keep(&mut response, &limits, number);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // An idle connection waits for a head too.
        .header_read_timeout(match limits.keepalive_timeout {
            Duration::ZERO => limits.client_header_timeout,
            idle => limits.client_header_timeout.min(idle),
        })
        .max_buf_size(limits.head.max(LEAST_BUFFER))
        .keep_alive(!limits.keepalive_timeout.is_zero())
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

/// Whose request it is.
#[derive(Clone, Copy)]
struct Client {
    origin: Origin,
    /// The number of the request on its connection, from 1.
    number: u64,
    unverified: Option<&'static str>,
}

/// Answers a request, unless the client may not be served.
async fn answer(
    admin: &Arc<Admin>,
    interface: Interface,
    client: Client,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    if let Some(message) = client.unverified {
        return refuse(admin, interface, request.headers(), 400, message);
    }
    if !admin.node.allows(interface, client.origin.peer, request.headers()) {
        return refuse(admin, interface, request.headers(), 403, "Forbidden");
    }
    respond(admin, interface, request).await
}

/// The same, with the lines that the node adds, and written to the access log.
async fn noted(
    admin: &Arc<Admin>,
    interface: Interface,
    client: Client,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let started = Instant::now();
    let (method, uri, version, headers) =
        (request.method().clone(), request.uri().clone(), request.version(), request.headers().clone());
    let mut response = answer(admin, interface, client, request).await;
    let content = if method == Method::HEAD { 0 } else { response.body().size_hint().exact().unwrap_or_default() };
    let mut answered = Answered {
        origin: client.origin,
        request: client.number,
        method: method.as_str(),
        target: uri.path_and_query().map_or("*", |target| target.as_str()),
        http_1_0: version == Version::HTTP_10,
        request_headers: &headers,
        response_headers: response.headers(),
        status: response.status().as_u16(),
        content,
        took: started.elapsed(),
    };
    let added = admin.node.added(interface, &answered);
    let mut all = response.headers().clone();
    for (name, value) in &added {
        all.append(name, value.clone());
    }
    answered.response_headers = &all;
    admin.node.note(interface, &answered);
    *response.headers_mut() = all;
    response
}

/// Says whether the connection goes on, and for how long.
fn keep(response: &mut Response<Full<Bytes>>, limits: &Limits, number: u64) {
    let headers = response.headers_mut();
    if limits.keepalive_timeout.is_zero() || number >= limits.keepalive_requests {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let close = headers.get(CONNECTION).is_some_and(|value| value == "close");
    if let (Some(seconds), false) = (limits.keepalive_header, close)
        && let Ok(value) = HeaderValue::from_str(&format!("timeout={seconds}"))
    {
        headers.insert(HeaderName::from_static("keep-alive"), value);
    }
}
