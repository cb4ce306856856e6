//! `ngx.socket.udp`: datagrams to other servers, and to programs of the machine by Unix sockets.

use super::operations::seconds;
use super::sockets::words;
use super::surroundings;
use super::value::{number, text};
use mlua::{AnyUserData, IntoLuaMulti, Lua, MultiValue, Result, UserData, Value};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use tokio::net::{UdpSocket, UnixDatagram};

/// A socket for datagrams, once it knows to whom.
pub struct Datagrams(pub Rc<RefCell<Option<Peer>>>);

/// Who gets them.
pub enum Peer {
    Udp(UdpSocket),
    Local(UnixDatagram),
}

impl UserData for Datagrams {}

impl Peer {
    async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        match self {
            Peer::Udp(socket) => socket.send(datagram).await,
            Peer::Local(socket) => socket.send(datagram).await,
        }
    }

    async fn recv(&self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Peer::Udp(socket) => socket.recv(space).await,
            Peer::Local(socket) => socket.recv(space).await,
        }
    }
}

fn local(path: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

/// Does something with a socket for datagrams; failures are values.
pub async fn operation(lua: &Lua, name: &str, socket: &AnyUserData, arguments: &MultiValue) -> Result<MultiValue> {
    let limit = seconds(arguments.iter().last());
    if name == "udp.connect" {
        let host = arguments.get(1).and_then(text).unwrap_or_default();
        let host = String::from_utf8_lossy(&host).into_owned();
        let port = arguments.get(2).and_then(number).unwrap_or_default() as u16;
        let own = arguments.get(3).and_then(text).and_then(|own| String::from_utf8_lossy(&own).parse().ok());
        let network = surroundings::env().map(|env| env.network().clone()).unwrap_or_default();
        let connected = match host.strip_prefix("unix:") {
            Some(path) => local(path).map(Peer::Local),
            None => network.datagrams_from(own, &host, port, limit).await.map(Peer::Udp),
        };
        return match connected {
            Ok(connected) => {
                socket.borrow::<Datagrams>()?.0.replace(Some(connected));
                1.into_lua_multi(lua)
            }
            Err(error) => (Value::Nil, words(&error)).into_lua_multi(lua),
        };
    }
    let Some(open) = socket.borrow::<Datagrams>()?.0.take() else {
        return (Value::Nil, "closed").into_lua_multi(lua);
    };
    let values = match name {
        // Programs of the machine may leave a queue full.
        "udp.send" => {
            let datagram = arguments.get(1).and_then(text).unwrap_or_default();
            match tokio::time::timeout(limit, open.send(&datagram)).await {
                Ok(Ok(_)) => 1.into_lua_multi(lua),
                Ok(Err(error)) => (Value::Nil, words(&error)).into_lua_multi(lua),
                Err(_) => (Value::Nil, "timeout").into_lua_multi(lua),
            }
        }
        _ => {
            let mut space = vec![0; 65_536];
            match tokio::time::timeout(limit, open.recv(&mut space)).await {
                Ok(Ok(count)) => lua.create_string(&space[..count]).and_then(|read| read.into_lua_multi(lua)),
                Ok(Err(error)) => (Value::Nil, words(&error)).into_lua_multi(lua),
                Err(_) => (Value::Nil, "timeout").into_lua_multi(lua),
            }
        }
    };
    socket.borrow::<Datagrams>()?.0.replace(Some(open));
    values
}
