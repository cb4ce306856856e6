//! Tracing a request: it goes through this node's own proxy, and what becomes of it is told.

use super::plane::Plane;
use admin::TracedRequest;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proxy::{Arrival, TracedConnection};
use serde_json::{Map, Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
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
            server_name: wanted.tls.then(|| name.to_owned()),
            port: wanted.port,
        };
        let failed = |error: std::io::Error| (503, format!("the request cannot be sent: {error}"));
        let TracedConnection { stream, told } = self.plane.trace(arrival).await.map_err(failed)?;
        let deadline = Instant::now() + LIMIT;
        let response = match timeout_at(deadline, send(TokioIo::new(stream), request)).await {
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
    let mut request = Request::builder().method(wanted.method.as_str()).uri(&wanted.target);
    let own = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];
    let names_host = wanted.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    request = if names_host { request } else { request.header(HOST, &wanted.host) };
    for (name, value) in &wanted.headers {
        let name: HeaderName = name.parse().map_err(|_| format!("no header: '{name}'"))?;
        if !own.contains(&name) {
            request = request.header(name, value);
        }
    }
    request = request.header(CONNECTION, "close");
    request.body(Full::new(Bytes::from(wanted.body.clone()))).map_err(|error| error.to_string())
}

/// Sends it; the response, as the client gets it.
async fn send(stream: TokioIo<tokio::net::TcpStream>, request: Request<Full<Bytes>>) -> Result<Value, String> {
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

async fn shown(response: Response<Incoming>) -> Value {
    let (head, mut body) = response.into_parts();
    let (mut content, mut octets, mut broken) = (Vec::new(), 0, None);
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => {
                octets += data.len();
                content.extend_from_slice(&data[..data.len().min(SHOWN - content.len())]);
            }
            // Trailers.
            Ok(Err(_)) => {}
            Err(error) => broken = Some(error.to_string()),
        }
        if octets > READ {
            broken = Some("the rest of the content was not read".to_owned());
        }
        if broken.is_some() {
            break;
        }
    }
    let lines =
        head.headers.iter().map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]));
    json!({
        "status": head.status.as_u16(),
        "headers": lines.collect::<Vec<_>>(),
        "body": String::from_utf8_lossy(&content),
        "octets": octets,
        "truncated": octets > content.len(),
        "error": broken,
    })
}
