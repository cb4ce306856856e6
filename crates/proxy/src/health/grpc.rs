//! A probe of a gRPC service: it asks `grpc.health.v1.Health` how the server as a whole is.

use super::Outcome;
use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{SendRequest, handshake};
use http::{HeaderMap, Request};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// Octets of an answer that are looked at.
const MOST: usize = 1024;
/// Statuses of gRPC.
const OK: &str = "0";
const UNIMPLEMENTED: &str = "12";
/// What a probe counts as, as if it had been one of HTTP.
const UNAVAILABLE: Outcome = Outcome::Status(503);

/// Asks over a connection that is made already. `lines` go with the request.
pub async fn check<S>(stream: S, authority: &str, tls: bool, lines: &[(String, Vec<String>)]) -> io::Result<Outcome>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sender, connection) = handshake(stream).await.map_err(io::Error::other)?;
    let asked = ask(sender, request(authority, tls, lines)?);
    tokio::pin!(asked);
    tokio::pin!(connection);
    tokio::select! {
        biased;
        outcome = &mut asked => outcome,
        ended = &mut connection => {
            ended.map_err(io::Error::other)?;
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

fn request(authority: &str, tls: bool, lines: &[(String, Vec<String>)]) -> io::Result<Request<()>> {
    let scheme = if tls { "https" } else { "http" };
    let mut request = Request::post(format!("{scheme}://{authority}{METHOD}"));
    for (name, value) in lines.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value))) {
        request = request.header(name, value);
    }
    request = request.header("content-type", "application/grpc").header("te", "trailers");
    request.body(()).map_err(io::Error::other)
}

async fn ask(sender: SendRequest<Bytes>, request: Request<()>) -> io::Result<Outcome> {
    let mut sender = sender.ready().await.map_err(io::Error::other)?;
    let (response, mut body) = sender.send_request(request, false).map_err(io::Error::other)?;
    // A message without fields: not compressed, of no length.
    body.send_data(Bytes::from_static(&[0; 5]), true).map_err(io::Error::other)?;
    let (head, body) = response.await.map_err(io::Error::other)?.into_parts();
    if head.status != 200 {
        return Ok(Outcome::Status(head.status.as_u16()));
    }
    let (message, trailers) = read(body).await?;
    let status = |lines: &HeaderMap| lines.get("grpc-status").and_then(|s| s.to_str().ok()).map(str::to_owned);
    // Without a message, the head is all there is.
    let status = trailers.as_ref().and_then(status).or_else(|| status(&head.headers));
    Ok(match status.as_deref() {
        Some(OK) if is_serving(&message) => Outcome::Connected,
        // It answers, and has nothing to say of its health.
        Some(UNIMPLEMENTED) => Outcome::Connected,
        _ => UNAVAILABLE,
    })
}

async fn read(mut body: RecvStream) -> io::Result<(Bytes, Option<HeaderMap>)> {
    let mut message = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(io::Error::other)?;
        body.flow_control().release_capacity(piece.len()).map_err(io::Error::other)?;
        if message.len() + piece.len() > MOST {
            return Err(io::Error::other("the answer is too long"));
        }
        message.put(piece);
    }
    let trailers = body.trailers().await.map_err(io::Error::other)?;
    Ok((message.freeze(), trailers))
}

/// Whether a message of `HealthCheckResponse` has its only field, `status`, at 1.
fn is_serving(message: &[u8]) -> bool {
    message.get(5..) == Some(&[0x08, 0x01])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    /// What a probe finds at a server that answers with this message and this status.
    async fn seen(message: &'static [u8], status: &'static str) -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                assert_eq!(request.uri().path(), METHOD);
                assert_eq!(request.headers()["content-type"], "application/grpc");
                let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                let mut body = respond.send_response(head, false).unwrap();
                body.send_data(Bytes::from_static(message), false).unwrap();
                let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
                body.send_trailers(trailers).unwrap();
            }
        });
        let stream = TcpStream::connect(address).await.unwrap();
        check(stream, "h.test", false, &[]).await.unwrap()
    }

    #[tokio::test]
    async fn a_server_says_how_it_is() {
        assert_eq!(seen(&[0, 0, 0, 0, 2, 8, 1], "0").await, Outcome::Connected);
        assert_eq!(seen(&[0, 0, 0, 0, 2, 8, 2], "0").await, UNAVAILABLE, "not serving");
        assert_eq!(seen(&[0, 0, 0, 0, 0], "0").await, UNAVAILABLE, "unknown");
        assert_eq!(seen(&[], "14").await, UNAVAILABLE);
        assert_eq!(seen(&[], "12").await, Outcome::Connected, "it has no such service");
    }

    #[tokio::test]
    async fn what_speaks_no_http2_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
        let stream = TcpStream::connect(address).await.unwrap();
        assert!(check(stream, "h.test", false, &[]).await.is_err());
    }
}
