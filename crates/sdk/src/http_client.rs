//! An HTTP/1.1 client for plugins: connections are kept, every wait has an end, and nothing runs on a worker.

use crate::network::{Connection, OwnCertificate, Server, ServerTls};
use crate::{BoxFuture, Bytes, Env, Fields, Network, Tasks, Url};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::http::{Method, Request, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection as Pooled};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tower_service::Service;

/// A client with connections of its own. Clones share them.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<Connector, Full<Bytes>>,
    connector: Connector,
    tasks: Tasks,
    options: HttpOptions,
}

/// How a client treats servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// For connecting, then for the exchange up to the head of the response, then for its content.
    pub timeout: Duration,
    /// How long a connection is kept that nobody uses.
    pub keepalive: Duration,
    /// Whether servers must prove who they are.
    pub verify: bool,
    /// Octets of a response's content.
    pub max_content: usize,
}

/// Proxies by which servers are reached, as host and port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` URLs.
    pub http: Option<(String, u16)>,
    /// For `https` URLs, by CONNECT.
    pub https: Option<(String, u16)>,
    /// What they are told of who asks (`Proxy-Authorization`).
    pub http_authorization: Option<String>,
    pub https_authorization: Option<String>,
    /// Hosts that are reached without: names, with those below them, or `*`.
    pub exempt: Vec<String>,
}

/// A request; `Host` and `Content-Length` are added.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    pub method: String,
    pub url: Url,
    pub fields: Fields,
    pub content: Bytes,
}

/// A response, whole.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    pub status: u16,
    pub fields: Fields,
    pub content: Bytes,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// It is no request: sending it again is of no use.
    Invalid(String),
    /// There is no connection; nothing was sent.
    Connect(String),
    /// The server takes too long.
    TimedOut,
    /// The connection has failed, or the server does not speak HTTP.
    Broken(String),
    /// The content of the response is too large.
    TooLarge,
    /// The node ends.
    Stopped,
}

/// Makes connections for the client.
#[derive(Clone)]
struct Connector {
    network: Network,
    timeout: Duration,
    verify: bool,
    proxies: Arc<Proxies>,
}

/// A connection to a server, or to a proxy that wants to be told whole URLs.
struct Reached {
    connection: TokioIo<Connection>,
    by_proxy: bool,
}

/// The longest head of a proxy's answer.
const PROXY_HEAD: usize = 8 << 10;

impl HttpClient {
    /// A client that reaches servers as the node does.
    pub fn new(env: &Env, options: HttpOptions) -> HttpClient {
        let (network, proxies) = (env.network().clone(), Arc::default());
        let connector = Connector { network, timeout: options.timeout, verify: options.verify, proxies };
        HttpClient { client: client(&connector, options), connector, tasks: env.tasks().clone(), options }
    }

    /// The same by way of proxies, with connections of its own.
    pub fn through(self, proxies: Proxies) -> HttpClient {
        let connector = Connector { proxies: Arc::new(proxies), ..self.connector };
        HttpClient { client: client(&connector, self.options), connector, ..self }
    }

    /// The same for one who shows a certificate, with connections of its own.
    pub fn showing(self, certificate: OwnCertificate) -> HttpClient {
        let connector = Connector { network: self.connector.network.showing(certificate), ..self.connector };
        HttpClient { client: client(&connector, self.options), connector, ..self }
    }

    /// Sends a request and reads the response, on the control runtime. May be awaited by a worker; ends when the future
    /// is dropped.
    pub async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (client, options) = (self.client.clone(), self.options);
        if let Some((_, Some(authorization))) = self.connector.proxies.of(&request.url)
            && !request.url.is_https()
        {
            request.fields.set("Proxy-Authorization", authorization.as_bytes());
        }
        let exchange = exchange(client, options, request);
        self.tasks.call("a request of a plugin", exchange).await.unwrap_or(Err(HttpError::Stopped))
    }
}

impl Proxies {
    /// The proxy for a URL, and what it is told of who asks.
    fn of(&self, url: &Url) -> Option<(&(String, u16), Option<&str>)> {
        let (proxy, authorization) = match url.is_https() {
            true => (&self.https, &self.https_authorization),
            false => (&self.http, &self.http_authorization),
        };
        let is_exempt = |exempt: &String| {
            let (host, exempt) = (url.host().as_bytes(), exempt.trim_start_matches('.').as_bytes());
            let parts = host.len().checked_sub(exempt.len()).map(|at| host.split_at(at));
            let is_below =
                |(below, name): (&[u8], &[u8])| name.eq_ignore_ascii_case(exempt) && matches!(below, [] | [.., b'.']);
            exempt == b"*" || parts.is_some_and(is_below)
        };
        let proxy = proxy.as_ref().filter(|_| !self.exempt.iter().any(is_exempt))?;
        Some((proxy, authorization.as_deref()))
    }
}

impl Default for HttpOptions {
    fn default() -> HttpOptions {
        HttpOptions {
            timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(60),
            verify: true,
            max_content: 1 << 20,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Invalid(why) => write!(f, "the request cannot be sent: {why}"),
            HttpError::Connect(why) => write!(f, "no connection: {why}"),
            HttpError::TimedOut => f.write_str("no answer in time"),
            HttpError::Broken(why) => write!(f, "no answer: {why}"),
            HttpError::TooLarge => f.write_str("the answer is too large"),
            HttpError::Stopped => f.write_str("the node ends"),
        }
    }
}

impl std::error::Error for HttpError {}

impl Service<Uri> for Connector {
    type Response = Reached;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Reached, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let url = Url::parse(&uri.to_string()).map_err(io::Error::other)?;
            connector.connect(&url).await
        })
    }
}

impl Connector {
    async fn connect(&self, url: &Url) -> io::Result<Reached> {
        let tls = url.is_https().then_some(ServerTls { name: None, verify: self.verify });
        let server = Server { host: url.host().to_owned(), port: url.port(), tls };
        let Some(((host, port), authorization)) = self.proxies.of(url) else {
            let connection = TokioIo::new(self.network.connect(&server, self.timeout).await?);
            return Ok(Reached { connection, by_proxy: false });
        };
        let proxy = Server { host: host.clone(), port: *port, tls: None };
        let mut connection = self.network.connect(&proxy, self.timeout).await?;
        if server.tls.is_some() {
            timeout(self.timeout, tunnel(&mut connection, url, authorization)).await??;
            connection = self.network.start_tls(connection, &server, self.timeout).await?;
        }
        Ok(Reached { connection: TokioIo::new(connection), by_proxy: server.tls.is_none() })
    }
}

impl Pooled for Reached {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.by_proxy)
    }
}

impl Read for Reached {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, space: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_read(cx, space)
    }
}

impl Write for Reached {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().connection).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_shutdown(cx)
    }
}

fn client(connector: &Connector, options: HttpOptions) -> Client<Connector, Full<Bytes>> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(options.keepalive)
        .build(connector.clone())
}

/// Has a proxy join the connection with a server (RFC 9110, section 9.3.6).
async fn tunnel(connection: &mut Connection, url: &Url, authorization: Option<&str>) -> io::Result<()> {
    let place = format!("{}:{}", url.uri().host().unwrap_or_default(), url.port());
    let authorization = authorization.map(|value| format!("Proxy-Authorization: {value}\r\n")).unwrap_or_default();
    let head = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{authorization}\r\n");
    connection.write_all(head.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_HEAD {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        // Octet by octet: what follows is the server's.
        head.push(connection.read_u8().await?);
    }
    let status = head.split(|&octet| octet == b' ').nth(1).unwrap_or_default();
    match status {
        [b'2', ..] => Ok(()),
        _ => Err(io::Error::other("the proxy does not connect")),
    }
}

async fn exchange(
    client: Client<Connector, Full<Bytes>>,
    options: HttpOptions,
    request: HttpRequest,
) -> Result<HttpResponse, HttpError> {
    let request = prepare(request)?;
    let asked = timeout(options.timeout * 2, client.request(request)).await;
    let response = asked.map_err(|_| HttpError::TimedOut)?.map_err(|error| failure(&error))?;
    let (head, content) = response.into_parts();
    let limited = Limited::new(content, options.max_content);
    let read = timeout(options.timeout, limited.collect()).await.map_err(|_| HttpError::TimedOut)?;
    let content = read.map_err(|error| match error.is::<LengthLimitError>() {
        true => HttpError::TooLarge,
        false => HttpError::Broken(error.to_string()),
    })?;
    let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    Ok(HttpResponse { status: head.status.as_u16(), fields, content: content.to_bytes() })
}

fn prepare(request: HttpRequest) -> Result<Request<Full<Bytes>>, HttpError> {
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|e| HttpError::Invalid(e.to_string()))?;
    let mut built = Request::builder().method(method).uri(request.url.uri().clone());
    for (name, value) in request.fields.iter() {
        built = built.header(name, value);
    }
    built.body(Full::new(request.content)).map_err(|e| HttpError::Invalid(e.to_string()))
}

fn failure(error: &Error) -> HttpError {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        why = cause.to_string();
        source = cause.source();
    }
    match error.is_connect() {
        true => HttpError::Connect(why),
        false => HttpError::Broken(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    const SHORT: Duration = Duration::from_millis(100);

    fn client(timeout: Duration) -> HttpClient {
        HttpClient::new(&Env::default(), HttpOptions { timeout, max_content: 100, ..HttpOptions::default() })
    }

    async fn listen() -> (TcpListener, HttpRequest) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user:secret@{}/in?x=1", listener.local_addr().unwrap());
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: Url::parse(&url).unwrap(),
            fields: [("X-A", "1")].into_iter().collect(),
            content: Bytes::from_static(b"hello"),
        };
        (listener, request)
    }

    /// What comes until the content of [`listen`]'s request has come.
    async fn read(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"hello") {
            assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0);
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn requests_share_a_connection() {
        let (listener, request) = listen().await;
        let serve = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let first = read(&mut stream).await;
            stream.write_all(b"HTTP/1.1 201 Made\r\nX-B: 2\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            read(&mut stream).await;
            stream.write_all(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            first
        });
        let client = client(Duration::from_secs(10));
        let response = client.send(request.clone()).await.unwrap();
        assert_eq!(response.status, 201);
        assert_eq!(response.fields.get_str("x-b"), Some("2"));
        assert_eq!(response.content, "ok");
        assert_eq!(client.send(request).await.unwrap().status, 500);
        let first = serve.await.unwrap();
        assert!(first.starts_with("POST /in?x=1 HTTP/1.1\r\n"), "{first}");
        assert!(first.contains("\r\nx-a: 1\r\n") && first.contains("\r\ncontent-length: 5\r\n"), "{first}");
        assert!(!first.contains("secret"), "{first}");
    }

    #[tokio::test]
    async fn a_server_that_is_away_silent_or_talks_nonsense() {
        let (listener, request) = listen().await;
        let asked = tokio::spawn({
            let request = request.clone();
            async move { client(SHORT).send(request).await }
        });
        let (silent, _) = listener.accept().await.unwrap();
        assert_eq!(asked.await.unwrap().unwrap_err(), HttpError::TimedOut);
        drop(silent);
        for (answer, told) in [
            (&b"SSH-2.0-x\r\n\r\n"[..], "no answer: "),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "no answer: "),
            (b"", "no answer: "),
            (
                &[b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", &[b'x'; 101][..]].concat(),
                "the answer is too large",
            ),
        ] {
            let asked = tokio::spawn({
                let request = request.clone();
                async move { client(Duration::from_secs(10)).send(request).await }
            });
            let (mut stream, _) = listener.accept().await.unwrap();
            read(&mut stream).await;
            stream.write_all(answer).await.unwrap();
            drop(stream);
            let error = asked.await.unwrap().unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
        drop(listener);
        let error = client(Duration::from_secs(10)).send(request).await.unwrap_err();
        assert!(matches!(error, HttpError::Connect(_)), "{error}");
    }
}
