//! How plugins reach servers: names by the node's resolver, TLS with the authorities that the node trusts. For the
//! control runtime only.

use crate::BoxFuture;
use model::pem;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, SignatureScheme};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UdpSocket, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The way to other servers. Clones share it.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
    certificate: Option<OwnCertificate>,
}

struct Inner {
    resolver: Arc<dyn Resolve>,
    /// `None`: nothing is secured here, as in tests.
    tls: RwLock<Option<PeerTls>>,
}

/// Finds the addresses of names.
pub trait Resolve: Send + Sync {
    /// Addresses of a name (or an address), in the order in which they are to be tried; at least one. They have that
    /// port, unless an SRV record says another.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, Result<Vec<SocketAddr>, String>>;
}

/// What servers must prove.
#[derive(Clone, Debug)]
pub struct PeerTls {
    /// Somebody whom the node trusts vouches for them.
    pub verified: Arc<ClientConfig>,
    /// Nothing.
    pub unverified: Arc<ClientConfig>,
}

/// What servers are shown that ask who this is.
#[derive(Clone, Debug)]
pub struct OwnCertificate(Arc<dyn ResolvesClientCert>);

/// A server to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub tls: Option<ServerTls>,
}

/// How a connection to a server is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The name that the server is asked for, where it is not that of the host.
    pub name: Option<String>,
    /// Whether it must prove that it has that name.
    pub verify: bool,
}

/// A connection to a server.
#[derive(Debug)]
pub enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Network {
    /// A way by that resolver and under those terms.
    pub fn new(resolver: Arc<dyn Resolve>, tls: PeerTls) -> Network {
        Network { inner: Arc::new(Inner { resolver, tls: RwLock::new(Some(tls)) }), certificate: None }
    }

    /// The same way for one who shows a certificate.
    pub fn showing(&self, certificate: OwnCertificate) -> Network {
        Network { inner: Arc::clone(&self.inner), certificate: Some(certificate) }
    }

    /// Takes other terms for connections that are made from now on.
    pub fn renew_tls(&self, tls: PeerTls) {
        *self.inner.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(tls);
    }

    /// Connects, TLS included, within that time.
    pub async fn connect(&self, server: &Server, limit: Duration) -> io::Result<Connection> {
        self.connect_from(None, server, limit).await
    }

    /// The same from an address of this machine, where one is given.
    pub async fn connect_from(&self, own: Option<IpAddr>, server: &Server, limit: Duration) -> io::Result<Connection> {
        match tokio::time::timeout(limit, self.connect_to(server, own)).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "connecting took too long")),
        }
    }

    /// The addresses of a name, within that time: in the order in which they are to be tried, with that port unless an
    /// SRV record says another.
    pub async fn resolve(&self, host: &str, port: u16, limit: Duration) -> io::Result<Vec<SocketAddr>> {
        let resolved = tokio::time::timeout(limit, self.addresses(host, port)).await;
        resolved.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "resolving took too long"))?
    }

    /// Connects to a socket in the file system, within that time. TLS can follow ([`Network::start_tls`]).
    pub async fn connect_local(&self, path: &str, limit: Duration) -> io::Result<Connection> {
        let connected = tokio::time::timeout(limit, UnixStream::connect(path)).await;
        let stream = connected.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "connecting took too long"))??;
        // The system calls of both kinds of streams are the same; only addresses and options of TCP fail.
        let stream = std::net::TcpStream::from(OwnedFd::from(stream.into_std()?));
        Ok(Connection::Plain(TcpStream::from_std(stream)?))
    }

    /// Goes on with TLS on a connection that began without, when the server's protocol has it so.
    pub async fn start_tls(&self, connection: Connection, server: &Server, limit: Duration) -> io::Result<Connection> {
        let Connection::Plain(stream) = connection else { return Ok(connection) };
        match tokio::time::timeout(limit, self.secure(stream, server)).await {
            Ok(secured) => secured,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")),
        }
    }

    /// Sends datagrams to a server. Whether they arrive, nobody knows.
    pub async fn send_datagrams<'a>(
        &self,
        host: &str,
        port: u16,
        limit: Duration,
        datagrams: impl Iterator<Item = &'a [u8]>,
    ) -> io::Result<()> {
        let socket = self.datagrams(host, port, limit).await?;
        for datagram in datagrams {
            let sent = match socket.send(datagram).await {
                // That is about an earlier one; this one has not been sent.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => socket.send(datagram).await,
                sent => sent,
            };
            sent?;
        }
        Ok(())
    }

    /// A socket from which datagrams go to a server, and on which its answers arrive.
    pub async fn datagrams(&self, host: &str, port: u16, limit: Duration) -> io::Result<UdpSocket> {
        self.datagrams_from(None, host, port, limit).await
    }

    /// The same from an address of this machine, where one is given.
    pub async fn datagrams_from(
        &self,
        from: Option<IpAddr>,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> io::Result<UdpSocket> {
        let addresses = self.resolve(host, port, limit).await?;
        let mut last = None;
        for address in addresses {
            let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind(SocketAddr::new(from.unwrap_or(any), 0)).await?;
            match socket.connect(address).await {
                Ok(()) => return Ok(socket),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("the name has no address")))
    }

    async fn connect_to(&self, server: &Server, own: Option<IpAddr>) -> io::Result<Connection> {
        let mut last = None;
        for address in self.addresses(&server.host, server.port).await? {
            let connected = match own {
                None => TcpStream::connect(address).await,
                Some(own) => connect_bound(own, address).await,
            };
            match connected {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return self.secure(stream, server).await;
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("the name has no address")))
    }

    async fn secure(&self, stream: TcpStream, server: &Server) -> io::Result<Connection> {
        let Some(tls) = &server.tls else { return Ok(Connection::Plain(stream)) };
        let name = tls.name.as_deref().unwrap_or(&server.host).to_owned();
        let name = ServerName::try_from(name).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let mut config = self.config(tls.verify).ok_or_else(|| io::Error::other("there is no TLS here"))?;
        if let Some(certificate) = &self.certificate {
            let config = Arc::make_mut(&mut config);
            config.client_auth_cert_resolver = Arc::clone(&certificate.0);
            // Sessions of others say nothing of who this is.
            config.resumption = Resumption::disabled();
        }
        let secured = TlsConnector::from(config).connect(name, stream).await?;
        Ok(Connection::Tls(Box::new(secured)))
    }

    fn config(&self, verify: bool) -> Option<Arc<ClientConfig>> {
        let terms = self.inner.tls.read().unwrap_or_else(PoisonError::into_inner);
        let terms = terms.as_ref()?;
        Some(Arc::clone(if verify { &terms.verified } else { &terms.unverified }))
    }

    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.inner.resolver.resolve(host, port).await.map_err(|why| io::Error::new(io::ErrorKind::NotFound, why))
    }
}

impl OwnCertificate {
    /// What that resolver gives.
    pub fn new(resolver: Arc<dyn ResolvesClientCert>) -> OwnCertificate {
        OwnCertificate(resolver)
    }

    /// The certificate for a server that names such authorities and can verify such signatures.
    pub fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.resolve(hints, schemes)
    }

    /// From PEM: the certificate, with what stands between it and its authority, and its key.
    pub fn parse(chain: &str, key: &str) -> Result<OwnCertificate, String> {
        let chain = pem::certificates(chain)?;
        if chain.is_empty() {
            return Err("there is no certificate".to_owned());
        }
        OwnCertificate::from_der(chain, pem::private_key(key)?)
    }

    /// The same from DER.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<OwnCertificate, String> {
        let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| error.to_string())?;
        Ok(OwnCertificate(Arc::new(SingleCertAndKey::from(key))))
    }
}

async fn connect_bound(own: IpAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(own, 0))?;
    socket.connect(address).await
}

impl Connection {
    /// What carries it.
    pub fn stream(&self) -> &TcpStream {
        match self {
            Connection::Plain(stream) => stream,
            Connection::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// By the system's resolver, and without TLS: for tests.
impl Default for Network {
    fn default() -> Network {
        Network { inner: Arc::new(Inner { resolver: Arc::new(System), tls: RwLock::new(None) }), certificate: None }
    }
}

struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, Result<Vec<SocketAddr>, String>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, port)).await.map_err(|e| e.to_string())?;
            Ok(found.collect())
        })
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_read(cx, space),
            Connection::Tls(stream) => Pin::new(stream).poll_read(cx, space),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_write(cx, data),
            Connection::Tls(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Connection::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Connection::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::ServerConfig;
    use rustls::server::WebPkiClientVerifier;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    fn server(host: &str, port: u16, tls: bool) -> Server {
        let tls = tls.then_some(ServerTls { name: None, verify: false });
        Server { host: host.to_owned(), port, tls }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_costs_no_more_than_the_limit() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let provider = Arc::new(default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth());
        let tls = PeerTls { verified: Arc::clone(&config), unverified: config };
        let network = Network::new(Arc::new(System), tls);
        let limit = Duration::from_millis(50);
        assert!(network.connect(&server("127.0.0.1", port, false), limit).await.is_ok());
        let error = network.connect(&server("127.0.0.1", port, true), limit).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_certificate_is_shown_to_who_asks() {
        let provider = Arc::new(default_provider());
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = own.signing_key.serialize_pem();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_client_cert_verifier(clients.build().unwrap());
        let key_der = pem::private_key(&key).unwrap();
        let acceptor =
            TlsAcceptor::from(Arc::new(config.with_single_cert(vec![own.cert.der().clone()], key_der).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let network = Network::new(Arc::new(System), PeerTls { verified: Arc::clone(&config), unverified: config });
        let certificate = OwnCertificate::parse(&own.cert.pem(), &key).unwrap();
        for (network, welcome) in [(network.clone(), false), (network.showing(certificate), true), (network, false)] {
            let server = Server { host: "localhost".to_owned(), port, tls: server("", 0, true).tls };
            let long = Duration::from_secs(10);
            let accept = async { acceptor.accept(listener.accept().await.unwrap().0).await.is_ok() };
            let (accepted, _) = tokio::join!(accept, network.connect(&server, long));
            assert_eq!(accepted, welcome);
        }
        assert!(OwnCertificate::parse("", &key).is_err());
        assert!(OwnCertificate::parse(&own.cert.pem(), "").is_err());
    }

    #[tokio::test]
    async fn sockets_in_the_file_system_are_connected_to() {
        let path = std::env::temp_dir().join(format!("bascule-network-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let (network, long) = (Network::default(), Duration::from_secs(10));
        let mut connected = network.connect_local(path.to_str().unwrap(), long).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut connected, b"x").await.unwrap();
        let mut space = [0];
        tokio::io::AsyncReadExt::read_exact(&mut accepted, &mut space).await.unwrap();
        assert_eq!(&space, b"x");
        std::fs::remove_file(&path).unwrap();
        let absent = network.connect_local(path.to_str().unwrap(), long).await.unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_connection_comes_from_the_address_that_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let asked = server("127.0.0.1", listener.local_addr().unwrap().port(), false);
        let own = IpAddr::from([127, 0, 0, 9]);
        let _connected = Network::default().connect_from(Some(own), &asked, Duration::from_secs(10)).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().1.ip(), own);
    }

    #[tokio::test]
    async fn datagrams_are_sent_one_by_one() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let (network, long) = (Network::default(), Duration::from_secs(10));
        network.send_datagrams("127.0.0.1", port, long, [&b"a"[..], b"bb"].into_iter()).await.unwrap();
        let mut space = [0; 8];
        assert_eq!(server.recv(&mut space).await.unwrap(), 1);
        assert_eq!(server.recv(&mut space).await.unwrap(), 2);
        let much = vec![0; 70_000];
        assert!(network.send_datagrams("127.0.0.1", port, long, [&much[..]].into_iter()).await.is_err());
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let network = Network::default();
        let long = Duration::from_secs(10);
        let refused = network.connect(&server("127.0.0.1", 1, false), long).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let unknown = network.connect(&server("no.such.invalid", 1, false), long).await.unwrap_err();
        assert_eq!(unknown.kind(), io::ErrorKind::NotFound);
    }
}
