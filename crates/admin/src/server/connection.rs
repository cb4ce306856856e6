//! One connection: PROXY protocol, TLS, HTTP/1.1, and an end that lets the client read the last answer.

use super::Listener;
use super::connections::{Activity, Place};
use super::content::Content;
use super::stream::Watched;
use crate::http::Admin;
use crate::node::{Answered, Interface, Origin};
use crate::options::Limits;
use crate::pictures::ResponseBody;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, EXPECT, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use wire::net::{begins_tls, refuse_plain_http};
use wire::proxy_protocol::{self, Proxied};

/// hyper takes no smaller one.
const LEAST_BUFFER: usize = 8192;

/// A connection's octets, plain or through TLS.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// A connection on which HTTP can begin.
struct Established {
    stream: Box<dyn Transport>,
    proxied: Option<Proxied>,
    unverified: Option<&'static str>,
}

/// What the requests of a connection have in common.
struct Shared {
    admin: Arc<Admin>,
    interface: Interface,
    origin: Origin,
    /// Why the client is not served.
    unverified: Option<&'static str>,
    activity: Arc<Activity>,
    stopped: watch::Receiver<()>,
    requests: AtomicU64,
    /// No request follows the present one.
    last: AtomicBool,
    /// The client may still be sending what nobody has read.
    unread: AtomicBool,
}

/// Serves a connection until either side ends it, or it has to make room for another one.
pub async fn run(
    admin: Arc<Admin>,
    interface: Interface,
    listener: Arc<Listener>,
    (socket, peer): (TcpStream, SocketAddr),
    place: Place,
    stopped: watch::Receiver<()>,
) {
    let limits = *admin.state.options.limits_of(interface);
    let Ok(local) = socket.local_addr() else { return };
    let tls = listener.tls.is_some();
    // The limit is for the whole: what trickles in does not put it off.
    let established = tokio::select! {
        established = timeout(limits.client_header_timeout, establish(&listener, limits, socket)) => established,
        () = place.activity().evicted() => return,
    };
    let Established { stream, proxied, unverified } =
        match established.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(established) => established,
            Err(error) => {
                return tracing::debug!(%error, client = %peer, "a connection to the admin listener ended before HTTP");
            }
        };
    let shared = Arc::new(Shared {
        admin,
        interface,
        origin: Origin { peer, local, proxied, tls, connection: place.number() },
        unverified,
        activity: Arc::clone(place.activity()),
        stopped: stopped.clone(),
        requests: AtomicU64::new(0),
        last: AtomicBool::new(false),
        unread: AtomicBool::new(false),
    });
    http(&shared, limits, stream, stopped).await;
}

/// What comes before HTTP.
async fn establish(listener: &Listener, limits: Limits, mut socket: TcpStream) -> io::Result<Established> {
    // Without it small answers wait for acknowledgements; a failure only costs time.
    let _ = socket.set_nodelay(true);
    let proxied = if listener.proxy_protocol { proxy_protocol::read(&socket).await? } else { None };
    let Some(tls) = &listener.tls else {
        return Ok(Established { stream: Box::new(socket), proxied, unverified: None });
    };
    let mut first = [0];
    if socket.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if !begins_tls(first[0]) {
        refuse_plain_http(&mut socket, limits.lingering).await;
        return Err(io::Error::other("plain HTTP on a port for TLS"));
    }
    let stream = TlsAcceptor::from(tls.config()).accept(socket).await?;
    let unverified = tls.verify_client(stream.get_ref().1.peer_certificates()).err();
    Ok(Established { stream: Box::new(stream), proxied, unverified })
}

async fn http(shared: &Arc<Shared>, limits: Limits, stream: Box<dyn Transport>, mut stopped: watch::Receiver<()>) {
    let of_requests = Arc::clone(shared);
    let service = service_fn(move |request| {
        let answered = Arc::clone(&of_requests).answer(request);
        let answered: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async { Ok::<_, Infallible>(answered.await) });
        answered
    });
    let stream = Watched::new(stream, Arc::clone(&shared.activity), limits.send_timeout);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // An idle connection waits for a head too.
        .header_read_timeout(match limits.keepalive_timeout {
            Duration::ZERO => limits.client_header_timeout,
            idle => limits.client_header_timeout.min(idle),
        })
        .max_buf_size(limits.head.max(LEAST_BUFFER))
        .keep_alive(!limits.keepalive_timeout.is_zero())
        // A client that has sent its request and says that no more comes (`nc -N`) waits for the answer; and a write
        // that has begun is not left alone by whoever goes away.
        .half_close(true)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    let ended = loop {
        let last = shared.last.load(Ordering::Relaxed);
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            // Nothing is ever sent: the channel closes when the listener stops.
            _ = stopped.changed(), if !last => {}
            () = shared.activity.evicted() => {
                if shared.activity.is_waiting() {
                    return;
                }
            }
        }
        shared.last.store(true, Ordering::Relaxed);
        Pin::new(&mut connection).graceful_shutdown();
    };
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner();
    let refused = ended.as_ref().is_err_and(hyper::Error::is_parse);
    if let Err(error) = &ended {
        tracing::debug!(%error, client = %shared.origin.peer, "a connection to the admin listener ended early");
    }
    if stream.has_ended() || ended.is_err() && !refused {
        let _ = stream.shutdown().await;
        return;
    }
    if refused || shared.unread.load(Ordering::Relaxed) || !parts.read_buf.is_empty() {
        shared.activity.wait();
        tokio::select! {
            () = limits.lingering.close(&mut stream) => {}
            () = shared.activity.evicted() => {}
        }
    } else {
        let _ = stream.shutdown().await;
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<ResponseBody> {
        self.activity.work();
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let started = Instant::now();
        let (head, content) = request.into_parts();
        let noted = self.admin.state.node.looks_on(self.interface).then(|| head.clone());
        let waits_for_continue = head.headers.contains_key(EXPECT);
        let content = Content::new(content, Arc::clone(&self.activity));
        let mut rest = content.again();
        let mut response = self.respond(Request::from_parts(head, content)).await;
        // An answer can come before the content: it says then whether the connection outlives it. Whoever waits to be
        // told to go on need not send the content at all.
        if rest.is_unread() && (waits_for_continue || !rest.finish().await) {
            self.unread.store(true, Ordering::Relaxed);
            self.last.store(true, Ordering::Relaxed);
        }
        self.keep(&mut response, number);
        if let ResponseBody::Events { stopped, .. } = response.body_mut() {
            let mut stop = self.stopped.clone();
            // Nothing is ever sent: the channel closes.
            *stopped = Box::pin(async move { stop.changed().await.unwrap_or_default() });
        }
        if let Some(request) = noted {
            self.note(number, started, &request, &mut response);
        }
        self.activity.wait();
        response
    }

    /// Answers a request, unless the client may not be served.
    async fn respond(&self, request: Request<Content>) -> Response<ResponseBody> {
        if let Some(message) = self.unverified {
            return self.admin.refuse(self.interface, request.headers(), 400, message);
        }
        if let Some((status, message)) = too_large(&request, self.admin.state.options.limits_of(self.interface)) {
            return self.admin.refuse(self.interface, request.headers(), status, message);
        }
        if !self.admin.state.node.allows(self.interface, self.origin, request.headers()) {
            return self.admin.refuse(self.interface, request.headers(), 403, "Forbidden");
        }
        if self.interface == Interface::Manager {
            return self.admin.page(&request);
        }
        let client = self.admin.state.node.client(self.interface, self.origin, request.headers());
        self.admin.respond(self.interface, client, request).await
    }

    /// Says whether the connection goes on, and for how long.
    fn keep(&self, response: &mut Response<ResponseBody>, number: u64) {
        let limits = self.admin.state.options.limits_of(self.interface);
        let headers = response.headers_mut();
        let worn = limits.keepalive_timeout.is_zero() || number >= limits.keepalive_requests;
        if worn || self.last.load(Ordering::Relaxed) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let close = headers.get(CONNECTION).is_some_and(|value| value == "close");
        if let (Some(seconds), false) = (limits.keepalive_header, close)
            && let Ok(value) = HeaderValue::from_str(&format!("timeout={seconds}"))
        {
            headers.insert(HeaderName::from_static("keep-alive"), value);
        }
    }

    /// Adds the lines of the node to an answer, and writes it to the access log.
    fn note(
        &self,
        number: u64,
        started: Instant,
        request: &hyper::http::request::Parts,
        response: &mut Response<ResponseBody>,
    ) {
        let content = if request.method == Method::HEAD { 0 } else { response.body().size_hint().exact().unwrap_or(0) };
        let mut answered = Answered {
            origin: self.origin,
            request: number,
            method: request.method.as_str(),
            target: request.uri.path_and_query().map_or("*", |target| target.as_str()),
            http_1_0: request.version == Version::HTTP_10,
            request_headers: &request.headers,
            response_headers: response.headers(),
            status: response.status().as_u16(),
            content,
            took: started.elapsed(),
        };
        let added = self.admin.state.node.added(self.interface, &answered);
        let mut all = response.headers().clone();
        for (name, value) in &added {
            all.append(name, value.clone());
        }
        answered.response_headers = &all;
        self.admin.state.node.note(self.interface, &answered);
        *response.headers_mut() = all;
    }
}

/// The answer to a request whose head is larger than allowed. What is far larger has not been read.
fn too_large<B>(request: &Request<B>, limits: &Limits) -> Option<(u16, &'static str)> {
    // With the method, the version and what stands between them.
    let line = request.method().as_str().len() + request.uri().to_string().len() + " HTTP/1.1\r\n".len() + 1;
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    let (longest, sum) = lines.fold((0, line), |(longest, sum), line| (line.max(longest), sum + line));
    if line > limits.line {
        Some((414, "URI too long"))
    } else if longest > limits.line || sum > limits.head {
        Some((400, "Request header or cookie too large"))
    } else {
        None
    }
}
