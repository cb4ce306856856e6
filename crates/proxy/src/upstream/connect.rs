//! Making a connection to a service.

use super::PoolKey;
use crate::worker::Worker;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpStream;
use wire::h1::ClientConnection;
use wire::net::{Stream, Timer};

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    TimedOut,
    /// Refused, unreachable, or the TLS handshake failed.
    Failed(io::Error),
}

/// A new connection, within the time allowed.
pub(crate) async fn connect(
    worker: &Worker,
    timer: &Timer,
    key: &PoolKey,
    limit: Duration,
) -> Result<ClientConnection, ConnectError> {
    let mut connecting = pin!(open(key));
    match timer.limit(limit, |cx| connecting.as_mut().poll(cx)).await {
        Ok(Ok(stream)) => Ok(ClientConnection::new(stream, &worker.buffers)),
        Ok(Err(error)) => Err(ConnectError::Failed(error)),
        Err(_) => Err(ConnectError::TimedOut),
    }
}

async fn open(key: &PoolKey) -> io::Result<Stream> {
    let socket = TcpStream::connect(key.address).await?;
    socket.set_nodelay(true)?;
    let Some(tls) = &key.tls else { return Ok(Stream::Plain(socket)) };
    let name = match ServerName::try_from(tls.name.as_ref()) {
        Ok(name) => name.to_owned(),
        // A name that is no server name is not sent; the handshake goes by the address.
        Err(_) => ServerName::IpAddress(key.address.ip().into()),
    };
    let handshake = tokio_rustls::TlsConnector::from(tls.terms.config()).connect(name, socket).await;
    let stream = handshake.inspect_err(
        |error| tracing::warn!(address = %key.address, name = %tls.name, "no TLS with a service: {error}"),
    )?;
    Ok(Stream::TlsClient(Box::new(stream)))
}
