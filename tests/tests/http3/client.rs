//! A client that speaks HTTP/3, and one that sends frames as a test makes them.

use blackbox::socket::Wire;
use blackbox::tls::{Client, Offer};
use blackbox::{Node, PATIENCE, Request as Asked, Service};
use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3_quinn::{BidiStream, OpenStreams};
use http::{HeaderMap, Request, Response};
use quinn::crypto::rustls::QuicClientConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A connection with HTTP/3 on it.
pub struct Connection {
    pub requests: SendRequest<OpenStreams, Bytes>,
    pub quic: quinn::Connection,
    pub endpoint: quinn::Endpoint,
    /// Ends when the connection does, with how.
    pub over: tokio::task::JoinHandle<h3::error::ConnectionError>,
}

/// A request under way.
pub type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

/// A response, whole.
#[derive(Debug)]
pub struct Whole {
    pub head: Response<()>,
    pub content: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

/// What became of frames that were sent on a stream of their own.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// A response with that status, and its end.
    Answered(u16),
    /// The stream was reset with that code.
    Reset(u64),
    /// The connection was closed with that code.
    Closed(u64),
}

/// Runs a test's client; what takes too long fails.
pub fn play<T>(client: impl Future<Output = T>) -> T {
    play_within(PATIENCE, client)
}

/// The same for what waits several times.
pub fn play_within<T>(longest: Duration, client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(longest, client).await.expect("the test takes too long") })
}

/// A connection of QUIC.
pub async fn connect(address: SocketAddr, offer: &Offer<'_>) -> (quinn::Endpoint, quinn::Connection) {
    let tls = QuicClientConfig::try_from(rustls::ClientConfig::clone(&Client::new(offer).config())).unwrap();
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    let connection = endpoint.connect(address, "a.test").unwrap().await.unwrap();
    (endpoint, connection)
}

/// What a client of HTTP/3 offers.
pub fn offer() -> Offer<'static> {
    static VERSIONS: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    Offer { alpn: &["h3"], versions: &VERSIONS, ..Offer::default() }
}

impl Connection {
    pub async fn open(node: &Node) -> Connection {
        Connection::open_with(node, &offer()).await
    }

    pub async fn open_with(node: &Node, offer: &Offer<'_>) -> Connection {
        let (endpoint, quic) = connect(node.quic(), offer).await;
        let (mut connection, requests) = h3::client::new(h3_quinn::Connection::new(quic.clone())).await.unwrap();
        let over = tokio::spawn(async move { std::future::poll_fn(|cx| connection.poll_close(cx)).await });
        Connection { requests, quic, endpoint, over }
    }

    /// Begins a request.
    pub async fn send(&self, request: Request<()>) -> Stream {
        self.requests.clone().send_request(request).await.unwrap()
    }

    /// Sends a request without content and awaits its response.
    pub async fn get(&self, path: &str) -> Whole {
        let mut stream = self.send(request("GET", path)).await;
        stream.finish().await.unwrap();
        whole(&mut stream).await
    }

    /// Sends frames on a stream of their own, and its end where `ends`; what becomes of them.
    pub async fn play(&self, frames: &[u8], ends: bool) -> Fate {
        let (mut send, mut receive) = self.quic.open_bi().await.unwrap();
        // The node may be done with the stream before it has taken everything.
        let _ = send.write_all(frames).await;
        if ends {
            let _ = send.finish();
        }
        match receive.read_to_end(1 << 20).await {
            Ok(answer) => Fate::Answered(status(&answer)),
            Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => Fate::Reset(code.into_inner()),
            Err(error) => match self.quic.close_reason() {
                Some(quinn::ConnectionError::ApplicationClosed(close)) => Fate::Closed(close.error_code.into_inner()),
                _ => panic!("{error}"),
            },
        }
    }
}

/// The next connection to a service, and the request on it; the client goes on meanwhile.
pub async fn asked(service: &Arc<Service>) -> (blackbox::http::Connection<Wire>, Asked) {
    let service = Arc::clone(service);
    tokio::task::spawn_blocking(move || service.asked()).await.unwrap()
}

/// A request to the node, by any name.
pub fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("https://a.test{path}")).body(()).unwrap()
}

/// Reads a response to its end.
pub async fn whole(stream: &mut Stream) -> Whole {
    let head = stream.recv_response().await.unwrap();
    let mut content = Vec::new();
    while let Some(mut piece) = stream.recv_data().await.unwrap() {
        content.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    let trailers = stream.recv_trailers().await.unwrap();
    Whole { head, content, trailers }
}

impl Whole {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| value.to_str().unwrap())
    }
}

/// A frame with that type and payload.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap() | 0x8000_0000;
    [&[kind][..], &length.to_be_bytes(), payload].concat()
}

/// A frame with these lines, all of them literals.
pub fn headers(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for (name, value) in lines {
        integer(&mut section, 0x20, 3, name.len());
        section.extend_from_slice(name.as_bytes());
        integer(&mut section, 0, 7, value.len());
        section.extend_from_slice(value.as_bytes());
    }
    frame(1, &section)
}

fn integer(out: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        return out.push(flags | u8::try_from(value).unwrap());
    }
    out.push(flags | u8::try_from(most).unwrap());
    let mut left = value - most;
    while left >= 0x80 {
        out.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    out.push(u8::try_from(left).unwrap());
}

/// The status that a response begins with: in its first line, by the static table or as a literal.
pub fn status(answer: &[u8]) -> u16 {
    assert_eq!(answer.first(), Some(&1), "a response begins with its head: {answer:?}");
    let header = 1 + (1 << (answer[1] >> 6));
    match &answer[header + 2..] {
        [0xd9, ..] => 200,
        [0xff, 4, ..] => 400,
        [0x5f, 9, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
        other => panic!("{:?}", &other[..8]),
    }
}
