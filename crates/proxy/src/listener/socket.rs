//! Listening sockets: their options, and who may share an address.
//!
//! An address belongs to one node, unless `reuseport` is among the flags: the kernel then spreads connections over all
//! processes of the user that listen there, which is how a node takes over from one in another directory. The sockets
//! of our own workers share an address in any case (SO_REUSEPORT); so that another node does not slip in between them,
//! the first one is bound and listens before it may be joined. A process that takes the place of another one of the
//! same node has that one's sockets ([`Inherited`]), with the connections that wait in them.

use super::inherited::{Inherited, Offer};
use super::{ListenAddress, unix};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;
use wire::net::Incoming;

/// How a listening socket is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Length of the queue of connections not accepted yet.
    pub backlog: u32,
    /// An IPv6 socket takes no connections of IPv4.
    pub ipv6_only: bool,
    /// `None`: as the system has it.
    pub keepalive: Option<TcpKeepalive>,
    /// Other processes of the user may listen on the same address.
    pub reuse_port: bool,
}

/// Whether the kernel probes idle connections, and how; what is not set is as the system has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpKeepalive {
    Off,
    On { idle: Option<Duration>, interval: Option<Duration>, count: Option<u32> },
}

/// The sockets of one address, at least one for each worker.
pub(crate) struct Listening {
    setting: &'static str,
    /// As the settings have it.
    wanted: ListenAddress,
    address: ListenAddress,
    backlog: i32,
    sockets: Vec<Socket>,
    quic: bool,
}

/// One socket that is ready.
pub(crate) enum Listener {
    Connections(TcpListener),
    /// In the file system.
    Local(UnixListener),
    Datagrams(UdpSocket),
    Quic(UdpSocket),
}

/// One socket that no other process shares.
pub enum Alone {
    Tcp(TcpListener),
    Local(UnixListener),
}

/// As nginx has them.
impl Default for SocketOptions {
    fn default() -> SocketOptions {
        SocketOptions { backlog: 511, ipv6_only: true, keepalive: None, reuse_port: false }
    }
}

impl Listening {
    /// Binds the address of a setting for a number of workers, where its sockets are not inherited. `own` are the
    /// addresses that this process has bound before. Where the address may be shared, connections come in only after
    /// [`Listening::listen`], so that a node that does not get that far takes none from another one.
    pub fn bind(
        (setting, wanted): (&'static str, &ListenAddress),
        options: &SocketOptions,
        workers: usize,
        own: &[ListenAddress],
        inherited: &mut Inherited,
    ) -> io::Result<Listening> {
        let mut sockets = inherited.take(setting, wanted);
        let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
        let named = wanted.clone();
        let wanted = match wanted {
            ListenAddress::Ip(address) => *address,
            ListenAddress::Unix(path) => {
                if sockets.is_empty() {
                    sockets.push(unix::bind(path, unix::EVERYBODY)?);
                }
                // There is no more than one of a path: workers share it.
                while sockets.len() < workers {
                    sockets.push(sockets[0].try_clone()?);
                }
                return Ok(Listening { setting, wanted: named.clone(), address: named, backlog, sockets, quic: false });
            }
        };
        let failed = |error: io::Error| in_use(wanted, options.reuse_port, error);
        for socket in &sockets {
            adapt(socket, wanted, options).map_err(failed)?;
        }
        if sockets.is_empty() {
            sockets.push(bind_first(wanted, options, own)?);
        }
        // With port 0 the first socket's port is everybody's.
        let address = sockets[0].local_addr()?.as_socket().unwrap_or(wanted);
        while sockets.len() < workers {
            let socket = open(address, options)?;
            socket.set_reuse_port(true).and_then(|()| socket.bind(&address.into())).map_err(failed)?;
            sockets.push(socket);
        }
        Ok(Listening { setting, wanted: named, address: address.into(), backlog, sockets, quic: false })
    }

    /// Binds an address for datagrams, which come in from then on.
    pub fn bind_datagrams(
        (setting, wanted): (&'static str, SocketAddr),
        options: &SocketOptions,
        workers: usize,
        inherited: &mut Inherited,
    ) -> io::Result<Listening> {
        let failed = |error: io::Error| in_use(wanted, options.reuse_port, error);
        let mut sockets = inherited.take(setting, &wanted.into());
        if sockets.is_empty() {
            let first = open_datagrams(wanted, options)?;
            match first.bind(&wanted.into()) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && options.reuse_port => {
                    first.set_reuse_port(true).and_then(|()| first.bind(&wanted.into())).map_err(failed)?;
                }
                bound => bound.map_err(failed)?,
            }
            first.set_reuse_port(true)?;
            sockets.push(first);
        }
        let address = sockets[0].local_addr()?.as_socket().unwrap_or(wanted);
        while sockets.len() < workers {
            let socket = open_datagrams(address, options)?;
            socket.set_reuse_port(true).and_then(|()| socket.bind(&address.into())).map_err(failed)?;
            sockets.push(socket);
        }
        let (wanted, address) = (wanted.into(), address.into());
        Ok(Listening { setting, wanted, address, backlog: 0, sockets, quic: false })
    }

    /// Binds an address for QUIC: one socket, whose connections are given to all workers.
    pub fn bind_quic(
        (setting, wanted): (&'static str, SocketAddr),
        options: &SocketOptions,
        inherited: &mut Inherited,
    ) -> io::Result<Listening> {
        let failed = |error: io::Error| in_use(wanted, options.reuse_port, error);
        let mut sockets = inherited.take(setting, &wanted.into());
        if sockets.is_empty() {
            let socket = open_datagrams(wanted, options)?;
            socket.set_reuse_port(options.reuse_port).and_then(|()| socket.bind(&wanted.into())).map_err(failed)?;
            sockets.push(socket);
        }
        let address = sockets[0].local_addr()?.as_socket().unwrap_or(wanted);
        let (wanted, address) = (wanted.into(), address.into());
        Ok(Listening { setting, wanted, address, backlog: 0, sockets, quic: true })
    }

    /// Where it is, with the port that was really bound.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Lets connections come in; at least one socket for each worker, or one for all of QUIC.
    pub fn listen(&self) -> io::Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        for socket in &self.sockets {
            let own = socket.try_clone()?;
            if self.quic {
                listeners.push(Listener::Quic(own.into()));
            } else if own.r#type()? == Type::DGRAM {
                listeners.push(Listener::Datagrams(own.into()));
            } else {
                let failed = |error| match self.address {
                    ListenAddress::Ip(address) => in_use(address, true, error),
                    ListenAddress::Unix(_) => error,
                };
                own.listen(self.backlog).map_err(failed)?;
                listeners.push(match self.address {
                    ListenAddress::Ip(_) => Listener::Connections(own.into()),
                    ListenAddress::Unix(_) => Listener::Local(own.into()),
                });
            }
        }
        Ok(listeners)
    }

    /// The sockets, for a process that takes this one's place.
    pub fn offer(&self) -> io::Result<Offer> {
        let sockets = self.sockets.iter().map(|socket| socket.try_clone().map(Into::into));
        Ok(Offer::new(self.setting, &self.wanted, sockets.collect::<io::Result<_>>()?))
    }

    /// Takes what stands for it in the file system away: nobody accepts there any more.
    pub fn remove(&self) {
        if let ListenAddress::Unix(path) = &self.address {
            unix::remove(path);
        }
    }
}

/// A socket for the address of a setting that no other process shares, whatever the options say. One in the file
/// system is for the user and the group of the node.
pub fn listen_alone(
    (setting, address): (&'static str, &ListenAddress),
    options: &SocketOptions,
    inherited: &mut Inherited,
) -> io::Result<Alone> {
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    let inherited = inherited.take(setting, address).pop();
    let address = match address {
        ListenAddress::Ip(address) => *address,
        ListenAddress::Unix(path) => {
            let socket = inherited.map_or_else(|| unix::bind(path, unix::GROUP), Ok)?;
            socket.listen(backlog)?;
            return Ok(Alone::Local(socket.into()));
        }
    };
    let failed = |error| in_use(address, false, error);
    let socket = match inherited {
        Some(socket) => adapt(&socket, address, options).map(|()| socket),
        None => open(address, options).and_then(|socket| socket.bind(&address.into()).map(|()| socket)),
    };
    let socket = socket.and_then(|socket| socket.listen(backlog).map(|()| socket)).map_err(failed)?;
    Ok(Alone::Tcp(socket.into()))
}

impl Alone {
    /// Another handle to it.
    pub fn try_clone(&self) -> io::Result<Alone> {
        match self {
            Alone::Tcp(listener) => listener.try_clone().map(Alone::Tcp),
            Alone::Local(listener) => listener.try_clone().map(Alone::Local),
        }
    }

    /// Where it is, if it is an address of TCP.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Alone::Tcp(listener) => listener.local_addr().map(Some),
            Alone::Local(_) => Ok(None),
        }
    }
}

impl From<Alone> for OwnedFd {
    fn from(socket: Alone) -> OwnedFd {
        match socket {
            Alone::Tcp(listener) => listener.into(),
            Alone::Local(listener) => listener.into(),
        }
    }
}

/// For an event loop: to be called on one.
impl TryFrom<Alone> for Incoming {
    type Error = io::Error;

    fn try_from(socket: Alone) -> io::Result<Incoming> {
        match socket {
            Alone::Tcp(listener) => tokio::net::TcpListener::from_std(listener).map(Incoming::Tcp),
            Alone::Local(listener) => tokio::net::UnixListener::from_std(listener).map(Incoming::Local),
        }
    }
}

/// The first socket of an address, which others of this process may join.
fn bind_first(address: SocketAddr, options: &SocketOptions, own: &[ListenAddress]) -> io::Result<Socket> {
    let failed = |error: io::Error| in_use(address, options.reuse_port, error);
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    let first = open(address, options).map_err(failed)?;
    if own.iter().filter_map(ListenAddress::ip).any(|other| overlap(other, address)) {
        first.set_reuse_port(true).and_then(|()| first.bind(&address.into())).map_err(failed)?;
    } else if options.reuse_port {
        match first.bind(&address.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                first.set_reuse_port(true).and_then(|()| first.bind(&address.into())).map_err(failed)?;
                tracing::warn!(
                    "another process listens on {address} too: each of them gets a part of the connections \
                            (reuseport)"
                );
            }
            bound => bound.map_err(failed)?,
        }
    } else {
        // Of two that are bound, only one can listen.
        first.bind(&address.into()).and_then(|()| first.listen(backlog)).map_err(failed)?;
    }
    first.set_reuse_port(true)?;
    Ok(first)
}

fn open(address: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a former process that are just ending are no hindrance.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(options.ipv6_only)?;
    }
    // Accepted connections inherit what follows, which saves a call for each of them. Without the first one small
    // responses would wait for acknowledgements.
    socket.set_tcp_nodelay(true)?;
    set_keepalive(&socket, options)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Gives an inherited socket these options.
fn adapt(socket: &Socket, address: SocketAddr, options: &SocketOptions) -> io::Result<()> {
    if address.is_ipv6() && socket.only_v6()? != options.ipv6_only {
        let why = "ipv6only cannot change while connections come in: it takes a stop and a start";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    set_keepalive(socket, options)
}

fn set_keepalive(socket: &Socket, options: &SocketOptions) -> io::Result<()> {
    match &options.keepalive {
        None => {}
        Some(TcpKeepalive::Off) => socket.set_keepalive(false)?,
        Some(TcpKeepalive::On { idle, interval, count }) => {
            socket.set_keepalive(true)?;
            let mut keepalive = socket2::TcpKeepalive::new();
            keepalive = idle.map_or(keepalive.clone(), |time| keepalive.with_time(time));
            keepalive = interval.map_or(keepalive.clone(), |time| keepalive.with_interval(time));
            keepalive = count.map_or(keepalive.clone(), |count| keepalive.with_retries(count));
            if idle.is_some() || interval.is_some() || count.is_some() {
                socket.set_tcp_keepalive(&keepalive)?;
            }
        }
    }
    Ok(())
}

fn open_datagrams(address: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(options.ipv6_only)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Whether a connection could belong to both.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

fn in_use(address: SocketAddr, may_be_shared: bool, error: io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse if may_be_shared => {
            "the address is in use by another process, which does not share it: it has no 'reuseport' among its flags, \
             or is another user's"
                .to_owned()
        }
        io::ErrorKind::AddrInUse => "the address is in use by another process".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    fn bind(
        address: SocketAddr,
        options: &SocketOptions,
        workers: usize,
        own: &[ListenAddress],
    ) -> io::Result<Listening> {
        Listening::bind(("proxy_listen", &address.into()), options, workers, own, &mut Inherited::default())
    }

    fn alone(address: SocketAddr, options: &SocketOptions) -> io::Result<TcpListener> {
        match listen_alone(("admin_listen", &address.into()), options, &mut Inherited::default())? {
            Alone::Tcp(listener) => Ok(listener),
            Alone::Local(_) => unreachable!(),
        }
    }

    fn address_of(listening: &Listening) -> SocketAddr {
        listening.address().ip().unwrap()
    }

    fn shared() -> SocketOptions {
        SocketOptions { reuse_port: true, ..SocketOptions::default() }
    }

    #[test]
    fn an_address_is_taken_before_connections_are_accepted() {
        let first = bind(free(), &SocketOptions::default(), 3, &[]).unwrap();
        let error = bind(address_of(&first), &SocketOptions::default(), 1, &[]).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().ends_with("is in use by another process"), "{error}");
        assert_eq!(alone(address_of(&first), &shared()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(first.listen().unwrap().len(), 3);
    }

    #[test]
    fn a_node_takes_no_connections_from_another_before_it_serves() {
        let serving = bind(free(), &shared(), 1, &[]).unwrap();
        let address = address_of(&serving);
        let Listener::Connections(serving) = serving.listen().unwrap().remove(0) else { unreachable!() };
        serving.set_nonblocking(false).unwrap();
        let joining = bind(address, &shared(), 2, &[]).unwrap();
        for _ in 0..20 {
            let client = std::net::TcpStream::connect(address).unwrap();
            assert_eq!(serving.accept().unwrap().1, client.local_addr().unwrap());
        }
        assert_eq!(joining.listen().unwrap().len(), 2);
    }

    #[test]
    fn a_node_may_listen_on_all_addresses_and_on_one_of_them() {
        let all = bind("0.0.0.0:0".parse().unwrap(), &SocketOptions::default(), 2, &[]).unwrap();
        let one = SocketAddr::new("127.0.0.1".parse().unwrap(), address_of(&all).port());
        assert!(bind(one, &SocketOptions::default(), 2, &[]).is_err());
        assert!(bind(one, &SocketOptions::default(), 2, &[all.address().clone()]).is_ok());
    }

    #[test]
    fn options_reach_the_socket() {
        let on = TcpKeepalive::On {
            idle: Some(Duration::from_secs(77)),
            interval: Some(Duration::from_secs(7)),
            count: Some(3),
        };
        let options = SocketOptions { keepalive: Some(on), ipv6_only: false, ..SocketOptions::default() };
        let listener = alone("[::]:0".parse().unwrap(), &options).unwrap();
        let address = SocketAddr::new("127.0.0.1".parse().unwrap(), listener.local_addr().unwrap().port());
        listener.set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let accepted = Socket::from(listener.accept().unwrap().0);
        assert!(accepted.tcp_nodelay().unwrap());
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_secs(77));
        assert_eq!(accepted.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
        assert_eq!(accepted.tcp_keepalive_retries().unwrap(), 3);
        let only = alone("[::]:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let address = SocketAddr::new("127.0.0.1".parse().unwrap(), only.local_addr().unwrap().port());
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn inherited_sockets_keep_the_connections_that_wait() {
        let first = bind(free(), &SocketOptions::default(), 1, &[]).unwrap();
        let listening = first.listen().unwrap();
        let client = std::net::TcpStream::connect(address_of(&first)).unwrap();
        let mut inherited = Inherited::default();
        inherited.put(first.offer().unwrap());
        drop((first, listening));
        let free = free().into();
        let name = ("proxy_listen", &free);
        let second = Listening::bind(name, &SocketOptions::default(), 2, &[], &mut inherited).unwrap();
        let Listener::Connections(socket) = second.listen().unwrap().remove(0) else { unreachable!() };
        socket.set_nonblocking(false).unwrap();
        assert_eq!(socket.accept().unwrap().1, client.local_addr().unwrap());
        assert_eq!(client.peer_addr().unwrap(), address_of(&second));
    }
}
