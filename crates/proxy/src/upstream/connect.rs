//! Making a connection to a service.

use super::PoolKey;
use crate::listener::Descriptors;
use crate::settings::Limits;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use wire::h1::ClientConnection;
use wire::net::{Buffer, BufferPool, Stream, Timer, is_local_fault};

/// The most octets of a response's head, where no directive says it.
const HEAD: u32 = 64 << 10;

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    TimedOut,
    /// We lack what a connection needs (descriptors, memory, ports): the service is not to blame.
    Local(io::Error),
    /// Refused, unreachable, or the TLS handshake failed.
    Failed(io::Error),
}

/// What connections are made with.
pub(crate) struct Connector<'a> {
    pub descriptors: Descriptors,
    pub buffers: &'a BufferPool,
    pub limits: &'a Limits,
}

impl Connector<'_> {
    /// A new connection for HTTP, within the time allowed.
    pub async fn connect(
        &self,
        timer: &Timer,
        key: &PoolKey,
        limit: Duration,
    ) -> Result<ClientConnection, ConnectError> {
        let stream = self.stream(timer, key, None, limit).await?;
        Ok(ClientConnection::new(stream, self.buffers, self.limits.proxy_buffer_size))
    }

    /// A new connection for HTTP/2, within the time allowed.
    pub async fn connect_http2(
        &self,
        timer: &Timer,
        key: &PoolKey,
        limit: Duration,
    ) -> Result<(wire::h2::ClientConnection, wire::h2::Driver), ConnectError> {
        let stream = self.stream(timer, key, None, limit).await?;
        let head = self.limits.proxy_buffer_size.map_or(HEAD, |size| u32::try_from(size).unwrap_or(u32::MAX));
        let mut beginning = pin!(wire::h2::ClientConnection::begin(stream, Buffer::new(self.buffers), head));
        match timer.limit(limit, |cx| beginning.as_mut().poll(cx)).await {
            Ok(begun) => begun.map_err(|error| ConnectError::Failed(io::Error::other(error))),
            Err(_) => Err(ConnectError::TimedOut),
        }
    }

    /// A new connection, within the time allowed; `header` is sent first, before TLS.
    pub async fn stream(
        &self,
        timer: &Timer,
        key: &PoolKey,
        header: Option<&[u8]>,
        limit: Duration,
    ) -> Result<Stream, ConnectError> {
        let mut connecting = pin!(self.open(key, header));
        match timer.limit(limit, |cx| connecting.as_mut().poll(cx)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) if is_local_fault(&error) => Err(ConnectError::Local(error)),
            Ok(Err(error)) => Err(ConnectError::Failed(error)),
            Err(_) => Err(ConnectError::TimedOut),
        }
    }

    async fn open(&self, key: &PoolKey, header: Option<&[u8]>) -> io::Result<Stream> {
        let socket = self.descriptors.service_socket(key.address)?;
        if let Some(address) = self.limits.proxy_bind.filter(|ip| ip.is_ipv4() == key.address.is_ipv4()) {
            socket.bind(SocketAddr::new(address, 0))?;
        }
        let mut socket = socket.connect(key.address).await?;
        socket.set_nodelay(true)?;
        if self.limits.proxy_socket_keepalive {
            SockRef::from(&socket).set_keepalive(true)?;
        }
        if let Some(header) = header {
            socket.write_all(header).await?;
        }
        let Some(tls) = &key.tls else { return Ok(Stream::Plain(socket)) };
        let name = match ServerName::try_from(tls.name.as_ref()) {
            Ok(name) => name.to_owned(),
            // A name that is no server name is not sent; the handshake goes by the address.
            Err(_) => ServerName::IpAddress(key.address.ip().into()),
        };
        let mut config = tls.terms.config();
        if key.http2 {
            Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
        }
        let handshake = tokio_rustls::TlsConnector::from(config).connect(name, socket).await;
        let stream = handshake.inspect_err(
            |error| tracing::warn!(address = %key.address, name = %tls.name, "no TLS with a service: {error}"),
        )?;
        Ok(Stream::TlsClient(Box::new(stream)))
    }
}
