//! Tracing a request: it goes through this node's own proxy, and what becomes of it is told.

use super::plane::Plane;
use admin::TracedRequest;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use hyper::http::response::Parts;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use proxy::{Arrival, TracedConnection};
use serde_json::{Map, Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Traces requests.
pub struct Tracer {
    plane: Arc<Plane>,
    places: Semaphore,
}

/// So many requests are traced at once.
const MOST: usize = 4;
/// For all of it; what has been told by then is the answer.
const LIMIT: Duration = Duration::from_secs(60);
/// For the rest of the exchange behind its response.
const REST: Duration = Duration::from_secs(5);
/// Octets of the response's content that are shown, and that are read.
const SHOWN: usize = 64 << 10;
const READ: usize = 16 << 20;

impl Tracer {
    pub fn new(plane: Arc<Plane>) -> Tracer {
        Tracer { plane, places: Semaphore::new(MOST) }
    }

    /// Sends a request through the proxy. The error is a status and what the client is told.
    pub async fn trace(&self, wanted: TracedRequest) -> Result<Value, (u16, String)> {
        let busy = |_| (503, "too many requests are traced already".to_owned());
        let _place = self.places.try_acquire().map_err(busy)?;
        let request = request(&wanted).map_err(|why| (400, why))?;
        let name = wanted.host.rsplit_once(':').map_or(&*wanted.host, |(name, _)| name);
        let arrival = Arrival {
            client: wanted.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            tls: wanted.tls,
            http2: wanted.http2,
            server_name: wanted.tls.then(|| name.to_owned()),
            port: wanted.port,
        };
        let failed = |error: std::io::Error| (503, format!("the request cannot be sent: {error}"));
        let TracedConnection { stream, told } = self.plane.trace(arrival).await.map_err(failed)?;
        let deadline = Instant::now() + LIMIT;
        let sending = async {
            match wanted.http2 {
                true => send_http2(stream, request).await,
                false => send(TokioIo::new(stream), request).await,
            }
        };
        let response = match timeout_at(deadline, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => json!({ "error": error }),
            Err(_) => json!({ "error": "no whole response in time" }),
        };
        // The connection is closed: the exchange ends, if it has not.
        let told = tokio::time::timeout(REST, told).await.ok().and_then(Result::ok);
        let mut course = match told {
            Some(Value::Object(course)) => course,
            _ => Map::new(),
        };
        course.insert("response".to_owned(), response);
        Ok(Value::Object(course))
    }
}

/// The request as it is sent; lines about connections and the length of the content are ours.
fn request(wanted: &TracedRequest) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder().method(wanted.method.as_str());
    request = match wanted.http2 {
        false => request.uri(&wanted.target),
        true => {
            let scheme = if wanted.tls { "https" } else { "http" };
            request.uri(format!("{scheme}://{}{}", wanted.host, wanted.target))
        }
    };
    let own = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];
    let names_host = wanted.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    request = if names_host || wanted.http2 { request } else { request.header(HOST, &wanted.host) };
    for (name, value) in &wanted.headers {
        let name: HeaderName = name.parse().map_err(|_| format!("no header: '{name}'"))?;
        if !own.contains(&name) {
            request = request.header(name, value);
        }
    }
    if !wanted.http2 {
        request = request.header(CONNECTION, "close");
    }
    request.body(Full::new(Bytes::from(wanted.body.clone()))).map_err(|error| error.to_string())
}

/// Sends it; the response, as the client gets it.
async fn send(stream: TokioIo<TcpStream>, request: Request<Full<Bytes>>) -> Result<Value, String> {
    let (mut sender, connection) = handshake(stream).await.map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        Ok(shown(response).await)
    };
    tokio::pin!(exchange);
    tokio::pin!(connection);
    tokio::select! {
        response = &mut exchange => response,
        // The connection can close before its response has been taken from it.
        _ = &mut connection => exchange.await,
    }
}

/// The same over HTTP/2.
async fn send_http2(stream: TcpStream, request: Request<Full<Bytes>>) -> Result<Value, String> {
    let (sender, connection) = h2::client::handshake(stream).await.map_err(|error| error.to_string())?;
    let exchange = async {
        let failed = |error: h2::Error| error.to_string();
        let (head, body) = request.into_parts();
        let content = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let mut sender = sender.ready().await.map_err(failed)?;
        let asked = sender.send_request(Request::from_parts(head, ()), content.is_empty());
        let (response, mut upload) = asked.map_err(failed)?;
        if !content.is_empty() {
            upload.send_data(content, true).map_err(failed)?;
        }
        let (head, mut body) = response.await.map_err(failed)?.into_parts();
        let mut shown = Shown::default();
        while let Some(piece) = body.data().await {
            let taken = piece.and_then(|piece| {
                shown.add(&piece);
                body.flow_control().release_capacity(piece.len())
            });
            shown.broken = shown.broken.or_else(|| taken.err().map(failed));
            if shown.broken.is_some() {
                break;
            }
        }
        let trailers = if shown.broken.is_none() { body.trailers().await.map_err(failed)? } else { None };
        Ok(shown.of(&head, trailers.as_ref()))
    };
    tokio::pin!(exchange);
    tokio::pin!(connection);
    tokio::select! {
        response = &mut exchange => response,
        _ = &mut connection => exchange.await,
    }
}

async fn shown(response: Response<Incoming>) -> Value {
    let (head, mut body) = response.into_parts();
    let (mut shown, mut trailers) = (Shown::default(), None);
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => shown.add(&data),
            Ok(Err(other)) => trailers = other.into_trailers().ok(),
            Err(error) => shown.broken = Some(error.to_string()),
        }
        if shown.broken.is_some() {
            break;
        }
    }
    shown.of(&head, trailers.as_ref())
}

/// What there is to show of a response.
#[derive(Default)]
struct Shown {
    content: Vec<u8>,
    octets: usize,
    broken: Option<String>,
}

impl Shown {
    fn add(&mut self, data: &[u8]) {
        self.octets += data.len();
        self.content.extend_from_slice(&data[..data.len().min(SHOWN - self.content.len())]);
        if self.octets > READ {
            self.broken = Some("the rest of the content was not read".to_owned());
        }
    }

    fn of(self, head: &Parts, trailers: Option<&HeaderMap>) -> Value {
        let lines = |lines: &HeaderMap| {
            let line = |(name, value): (&HeaderName, &hyper::header::HeaderValue)| {
                json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
            };
            lines.iter().map(line).collect::<Vec<_>>()
        };
        json!({
            "status": head.status.as_u16(),
            "headers": lines(&head.headers),
            "body": String::from_utf8_lossy(&self.content),
            "octets": self.octets,
            "truncated": self.octets > self.content.len(),
            "trailers": trailers.map(lines).unwrap_or_default(),
            "error": self.broken,
        })
    }
}
