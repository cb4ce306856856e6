//! Making a connection to a service.

use super::PoolKey;
use rustls::pki_types::ServerName;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpStream;
use wire::h1::ClientConnection;
use wire::net::{BufferPool, Stream, Timer};

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    TimedOut,
    /// We lack what a connection needs (descriptors, memory, ports): the service is not to blame.
    Local(io::Error),
    /// Refused, unreachable, or the TLS handshake failed.
    Failed(io::Error),
}

/// A new connection, within the time allowed.
pub(crate) async fn connect(
    buffers: &BufferPool,
    timer: &Timer,
    key: &PoolKey,
    limit: Duration,
) -> Result<ClientConnection, ConnectError> {
    let mut connecting = pin!(open(key));
    match timer.limit(limit, |cx| connecting.as_mut().poll(cx)).await {
        Ok(Ok(stream)) => Ok(ClientConnection::new(stream, buffers)),
        Ok(Err(error)) if is_local(&error) => Err(ConnectError::Local(error)),
        Ok(Err(error)) => Err(ConnectError::Failed(error)),
        Err(_) => Err(ConnectError::TimedOut),
    }
}

/// Whether this machine, and not the other side, is why there is no connection.
pub fn is_local(error: &io::Error) -> bool {
    use rustix::io::Errno;
    const LOCAL: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|code| LOCAL.into_iter().any(|errno| errno.raw_os_error() == code))
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
