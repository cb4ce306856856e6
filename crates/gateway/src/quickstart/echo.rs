//! A small httpbin-like service: it answers with what it got, and names itself.
//!
//! `/anything…` `/get` `/post` `/headers` `/status/N` `/delay/N`

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Bodies are shown in the answer, so they have to be small.
const MAX_BODY: usize = 1 << 20;
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Serves until the process is told to end. Prints its address when it listens.
pub fn serve(name: &str, listen: SocketAddr) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| format!("cannot start: {e}"))?;
    runtime.block_on(accept(Arc::from(name), listen)).map_err(|e| format!("cannot listen on {listen}: {e}"))
}

async fn accept(name: Arc<str>, listen: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    println!("{}", listener.local_addr()?);
    loop {
        // A failed connection is no reason to end; running out of files is over when connections close.
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let name = Arc::clone(&name);
        let service = service_fn(move |request| {
            let name = Arc::clone(&name);
            async move { Ok::<_, Infallible>(answer(&name, peer, request).await) }
        });
        tokio::spawn(http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(name: &str, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let mut segments = path.trim_start_matches('/').split('/');
    let (first, second) = (segments.next().unwrap_or_default(), segments.next());
    let headers = || {
        let mut shown = Map::new();
        for key in head.headers.keys() {
            let values: Vec<_> =
                head.headers.get_all(key).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
            shown.insert(key.to_string(), json!(values.join(", ")));
        }
        Value::Object(shown)
    };
    let (status, content) = match (first, second) {
        ("status", Some(code)) => match code.parse::<u16>().ok().filter(|code| (200..=599).contains(code)) {
            Some(code) => (code, json!({ "served_by": name, "status": code })),
            None => (400, json!({ "served_by": name, "message": "a status is a number from 200 to 599" })),
        },
        ("delay", Some(seconds)) => match seconds.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok())
        {
            Some(delay) => {
                tokio::time::sleep(delay.min(MAX_DELAY)).await;
                (200, json!({ "served_by": name, "delay": seconds }))
            }
            None => (400, json!({ "served_by": name, "message": "a delay is a number of seconds" })),
        },
        ("headers", None) => (200, json!({ "served_by": name, "headers": headers() })),
        ("get", None) if head.method != Method::GET && head.method != Method::HEAD => {
            (405, json!({ "served_by": name, "message": "GET only" }))
        }
        ("post", None) if head.method != Method::POST => (405, json!({ "served_by": name, "message": "POST only" })),
        ("anything", _) | ("get" | "post", None) => match Limited::new(body, MAX_BODY).collect().await {
            Ok(data) => {
                let data = data.to_bytes();
                let json: Value = serde_json::from_slice(&data).unwrap_or_default();
                let shown = json!({
                    "served_by": name,
                    "method": head.method.as_str(),
                    "url": head.uri.to_string(),
                    "origin": peer.ip().to_string(),
                    "headers": headers(),
                    "data": String::from_utf8_lossy(&data),
                    "json": json,
                });
                (200, shown)
            }
            Err(_) => (413, json!({ "served_by": name, "message": "the body is larger than 1 MiB or incomplete" })),
        },
        ("", None) => (200, json!({ "served_by": name })),
        _ => (404, json!({ "served_by": name, "message": "not found" })),
    };
    let text = serde_json::to_string_pretty(&content).unwrap_or_default() + "\n";
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(value) = HeaderValue::from_str(name) {
        response.headers_mut().insert("x-served-by", value);
    }
    response
}
