//! A client that speaks HTTP/2, over plain TCP and over TLS.

use blackbox::socket::Wire;
use blackbox::tls::{Client, Offer};
use blackbox::{Node, PATIENCE, Request as Asked, Service};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How a client reaches the node.
#[derive(Clone, Copy, Debug)]
pub enum Over {
    /// HTTP/2 at once, without TLS.
    Plain,
    /// HTTP/2 agreed on by ALPN.
    Tls,
}

/// A connection with HTTP/2 on it.
pub struct Connection {
    pub requests: SendRequest<Bytes>,
    /// Ends when the connection does, with how.
    pub over: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// A response, whole.
#[derive(Debug)]
pub struct Whole {
    pub head: Response<()>,
    pub content: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

/// Runs a test's client; what takes too long fails.
pub fn play<T>(client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, client).await.expect("the test takes too long") })
}

impl Connection {
    pub async fn open(node: &Node, over: Over) -> Connection {
        match over {
            Over::Plain => Connection::plain(node.proxy()).await,
            Over::Tls => Connection::secure(node.proxy_tls()).await,
        }
    }

    pub async fn plain(address: SocketAddr) -> Connection {
        Connection::begin(TcpStream::connect(address).await.unwrap()).await
    }

    pub async fn secure(address: SocketAddr) -> Connection {
        let client = Client::new(&Offer { alpn: &["h2", "http/1.1"], ..Offer::default() });
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("a.test").unwrap();
        let tls = TlsConnector::from(client.config()).connect(name, tcp).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Connection::begin(tls).await
    }

    async fn begin(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Connection {
        let (requests, connection) = h2::client::handshake(io).await.unwrap();
        Connection { requests, over: tokio::spawn(connection) }
    }

    /// Begins a request; `ends`: it has no content.
    pub async fn send(&self, request: Request<()>, ends: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = self.requests.clone().ready().await.unwrap();
        requests.send_request(request, ends).unwrap()
    }

    /// Sends a request without content and awaits its response.
    pub async fn get(&self, path: &str) -> Whole {
        let (response, _) = self.send(request("GET", path), true).await;
        whole(response.await.unwrap()).await
    }
}

/// The next connection to a service, and the request on it; the client goes on meanwhile.
pub async fn asked(service: &Arc<Service>) -> (blackbox::http::Connection<Wire>, Asked) {
    let service = Arc::clone(service);
    tokio::task::spawn_blocking(move || service.asked()).await.unwrap()
}

/// A request to the node, by any name.
pub fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://a.test{path}")).body(()).unwrap()
}

/// Reads a response until its stream is reset: what came of it, and why; `None` if it came to its end.
pub async fn cut_short(mut stream: RecvStream) -> Option<(Vec<u8>, Reason)> {
    let mut content = Vec::new();
    while let Some(piece) = stream.data().await {
        match piece {
            Ok(piece) => {
                stream.flow_control().release_capacity(piece.len()).unwrap();
                content.extend_from_slice(&piece);
            }
            Err(error) => return error.reason().map(|reason| (content, reason)),
        }
    }
    None
}

/// Reads a response to its end.
pub async fn whole(response: Response<RecvStream>) -> Whole {
    let (head, mut stream) = response.into_parts();
    let mut content = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.unwrap();
        content.extend_from_slice(&piece);
        stream.flow_control().release_capacity(piece.len()).unwrap();
    }
    let trailers = stream.trailers().await.unwrap();
    Whole { head: Response::from_parts(head, ()), content, trailers }
}

impl Whole {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| value.to_str().unwrap())
    }
}
