//! `ngx.socket`: connections to other servers, and those that are kept for others of the worker.

use super::datagrams::{self, Datagrams};
use super::host::Host;
use super::operations::seconds;
use super::owners;
use super::surroundings;
use super::value::{number, text};
use mlua::{AnyUserData, Error, IntoLuaMulti, Lua, LuaString, MultiValue, Result, Table, UserData, Value};
use rustix::net::sockopt;
use sdk::{
    CertificateDer, ClientSocket, Connection, LocalBoxFuture, Network, OwnCertificate, PrivateKeyDer, Server, ServerTls,
};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What is read before it is asked for, or without that, in octets.
const MAX_BUFFER: usize = 64 << 20;
/// Connections of a worker that wait to be used again.
const MAX_KEPT: usize = 1024;
/// Octets of a client that can be looked at without being taken: nginx's `preread_buffer_size`.
const MAX_PEEKED: usize = 16 << 10;

/// A connection as code holds it; taken out while something is done with it.
pub struct Socket(Rc<RefCell<Option<Open>>>);

/// The connection of a stream's client, which is the gateway's again when the phase is over.
pub struct Client(pub ClientSocket);

struct Open<C = Connection> {
    connection: C,
    /// What has been read and not been asked for.
    read: Vec<u8>,
    server: Server,
}

/// What is called on sockets and waits.
enum Call {
    Send,
    Receive,
    ReceiveAny,
    ReceivePiece,
    ReceiveUntil,
    Peek,
}

struct Kept {
    socket: Open,
    times: u64,
    until: Instant,
}

impl Socket {
    fn of(open: Open) -> Socket {
        Socket(Rc::new(RefCell::new(Some(open))))
    }
}

/// Has a socket end with the exchange, or the job, that it was made for.
pub fn own(host: &RefCell<Host>, socket: &AnyUserData) -> Result<()> {
    if let Ok(socket) = socket.borrow::<Socket>() {
        owners::own(host, &socket.0);
    } else {
        owners::own(host, &socket.borrow::<Datagrams>()?.0);
    }
    Ok(())
}

impl UserData for Client {}
impl UserData for Socket {}

thread_local! {
    static KEPT: RefCell<HashMap<String, VecDeque<Kept>>> = RefCell::new(HashMap::new());
}

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("kept_socket", lua.create_function(kept_socket)?)?;
    native.raw_set("keep_socket", lua.create_function(keep_socket)?)?;
    native.raw_set("datagrams", lua.create_function(|_, ()| Ok(Datagrams(Rc::default())))?)?;
    let close = |_: &Lua, socket: AnyUserData| {
        socket.borrow::<Socket>()?.0.take();
        Ok(())
    };
    native.raw_set("close_socket", lua.create_function(close)?)?;
    native.raw_set("socket_option", lua.create_function(socket_option)?)
}

/// The value of an option, after it has been set where one is given; or nil and why not.
fn socket_option(
    _: &Lua,
    (socket, option, value): (AnyUserData, String, Option<i64>),
) -> Result<(Option<u64>, Option<String>)> {
    let socket = socket.borrow::<Socket>()?.0.clone();
    let socket = socket.borrow();
    let Some(open) = &*socket else { return Ok((None, Some("closed".to_owned()))) };
    let stream = open.connection.stream();
    let size = |value: i64| usize::try_from(value).unwrap_or_default();
    let done = match (option.as_str(), value) {
        ("keepalive", Some(value)) => sockopt::set_socket_keepalive(stream, value != 0),
        ("reuseaddr", Some(value)) => sockopt::set_socket_reuseaddr(stream, value != 0),
        ("tcp-nodelay", Some(value)) => sockopt::set_tcp_nodelay(stream, value != 0),
        ("sndbuf", Some(value)) => sockopt::set_socket_send_buffer_size(stream, size(value)),
        ("rcvbuf", Some(value)) => sockopt::set_socket_recv_buffer_size(stream, size(value)),
        _ => Ok(()),
    };
    let asked = done.and_then(|()| match option.as_str() {
        "keepalive" => sockopt::socket_keepalive(stream).map(u64::from),
        "reuseaddr" => sockopt::socket_reuseaddr(stream).map(u64::from),
        "tcp-nodelay" => sockopt::tcp_nodelay(stream).map(u64::from),
        "sndbuf" => sockopt::socket_send_buffer_size(stream).map(|size| size as u64),
        _ => sockopt::socket_recv_buffer_size(stream).map(|size| size as u64),
    });
    Ok(match asked {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(words(&error.into()))),
    })
}

/// A connection that waits, and how often it has been used.
fn kept_socket(_: &Lua, pool: String) -> Result<(Option<Socket>, u64)> {
    let now = Instant::now();
    KEPT.with_borrow_mut(|pools| {
        let Some(kept) = pools.get_mut(&pool) else { return Ok((None, 0)) };
        while let Some(last) = kept.pop_back() {
            if last.until > now && last.socket.is_alive() {
                return Ok((Some(Socket::of(last.socket)), last.times));
            }
        }
        pools.remove(&pool);
        Ok((None, 0))
    })
}

fn keep_socket(
    lua: &Lua,
    (socket, pool, idle, size, times): (AnyUserData, String, Value, usize, u64),
) -> Result<MultiValue> {
    let Some(socket) = socket.borrow::<Socket>()?.0.take() else {
        return (Value::Nil, "closed").into_lua_multi(lua);
    };
    if !socket.read.is_empty() || !socket.is_alive() {
        return (Value::Nil, "unread data in buffer").into_lua_multi(lua);
    }
    let idle = seconds(Some(&idle));
    let until = Instant::now() + if idle.is_zero() { Duration::from_secs(3600) } else { idle };
    KEPT.with_borrow_mut(|pools| {
        let now = Instant::now();
        pools.values_mut().for_each(|kept| kept.retain(|kept| kept.until > now));
        pools.retain(|_, kept| !kept.is_empty());
        if pools.values().map(VecDeque::len).sum::<usize>() >= MAX_KEPT {
            return;
        }
        let kept = pools.entry(pool).or_default();
        kept.push_back(Kept { socket, times, until });
        while kept.len() > size.max(1) {
            kept.pop_front();
        }
    });
    1.into_lua_multi(lua)
}

/// Does something with a socket; failures are values, as in OpenResty.
pub fn operation(lua: &Lua, name: &str, arguments: MultiValue) -> LocalBoxFuture<'static, Result<MultiValue>> {
    let (lua, name) = (lua.clone(), name.to_owned());
    Box::pin(async move {
        if name == "tcp.connect" {
            return connect(&lua, &arguments).await;
        }
        let Some(Value::UserData(socket)) = arguments.front() else { return Err(Error::runtime("there is no socket")) };
        if let Some(call) = name.strip_prefix("client.") {
            return of_client(&lua, call, socket, &arguments).await;
        }
        if name.starts_with("udp.") {
            return datagrams::operation(&lua, &name, socket, &arguments).await;
        }
        let Some(mut open) = socket.borrow::<Socket>()?.0.take() else {
            return (Value::Nil, "closed").into_lua_multi(&lua);
        };
        if name == "tcp.secure" {
            let (secured, values) = secure(&lua, open, &arguments).await;
            socket.borrow::<Socket>()?.0.replace(secured);
            return values;
        }
        let (values, is_open) = open.call(&lua, Call::parse(name.trim_start_matches("tcp."))?, &arguments).await?;
        if is_open {
            socket.borrow::<Socket>()?.0.replace(Some(open));
        }
        Ok(values)
    })
}

/// Does something with the connection of a stream's client. What it does not take stays for the next call, and for the
/// service; so does the connection when the client has ended its side.
async fn of_client(lua: &Lua, call: &str, socket: &AnyUserData, arguments: &MultiValue) -> Result<MultiValue> {
    let call = Call::parse(call)?;
    let client = socket.borrow::<Client>()?.0.clone();
    let Some(mut connection) = client.take() else { return (Value::Nil, "closed").into_lua_multi(lua) };
    let read = connection.take_unread();
    let server = Server { host: String::new(), port: 0, tls: None };
    let mut open = Open { connection, read, server };
    let done = open.call(lua, call, arguments).await;
    open.connection.set_unread(open.read);
    client.give_back(open.connection);
    Ok(done?.0)
}

async fn connect(lua: &Lua, arguments: &MultiValue) -> Result<MultiValue> {
    let host = arguments.front().and_then(text).unwrap_or_default();
    let host = String::from_utf8_lossy(&host).into_owned();
    let port = arguments.get(1).and_then(number).unwrap_or_default() as u16;
    let limit = seconds(arguments.get(2));
    let own = arguments.get(3).and_then(text).and_then(|own| String::from_utf8_lossy(&own).parse().ok());
    let server = Server { host: host.trim_matches(['[', ']']).to_owned(), port, tls: None };
    let asked = server.clone();
    let connecting = |network: Network| async move {
        match asked.host.strip_prefix("unix:") {
            Some(path) => network.connect_local(path, limit).await,
            None => network.connect_from(own, &asked, limit).await,
        }
    };
    let connected = match surroundings::env() {
        Some(env) => {
            let connecting = connecting(env.network().clone());
            env.tasks().call("a connection of Lua", connecting).await.unwrap_or(Err(io::Error::other("the node ends")))
        }
        None => connecting(Network::default()).await,
    };
    match connected {
        Ok(connection) => Socket::of(Open { connection, read: Vec::new(), server }).into_lua_multi(lua),
        Err(error) => (Value::Nil, words(&error)).into_lua_multi(lua),
    }
}

async fn secure(lua: &Lua, open: Open, arguments: &MultiValue) -> (Option<Open>, Result<MultiValue>) {
    let name = arguments.get(1).and_then(text).map(|name| String::from_utf8_lossy(&name).into_owned());
    let verify = arguments.get(2).and_then(Value::as_boolean).unwrap_or_default();
    let limit = seconds(arguments.get(3));
    let Some(env) = surroundings::env() else {
        return (None, (Value::Nil, "there is no TLS here").into_lua_multi(lua));
    };
    let network = match shown(arguments) {
        Ok(None) => env.network().clone(),
        Ok(Some(certificate)) => env.network().showing(certificate),
        Err(why) => return (None, (Value::Nil, why).into_lua_multi(lua)),
    };
    let server = Server { tls: Some(ServerTls { name, verify }), ..open.server };
    let asked = server.clone();
    let securing = async move { network.start_tls(open.connection, &asked, limit).await };
    match env.tasks().call("a TLS handshake of Lua", securing).await {
        Some(Ok(connection)) => (Some(Open { connection, read: Vec::new(), server }), true.into_lua_multi(lua)),
        Some(Err(error)) => (None, (Value::Nil, words(&error)).into_lua_multi(lua)),
        None => (None, (Value::Nil, "the node ends").into_lua_multi(lua)),
    }
}

/// The certificate that the server is shown: its chain and its key in DER, behind the other arguments.
fn shown(arguments: &MultiValue) -> std::result::Result<Option<OwnCertificate>, String> {
    let (Some(Value::Table(chain)), Some(key)) = (arguments.get(4), arguments.get(5).and_then(text)) else {
        return Ok(None);
    };
    let chain = chain.sequence_values::<LuaString>().map(|der| Ok(CertificateDer::from(der?.as_bytes().to_vec())));
    let chain = chain.collect::<Result<Vec<_>>>().map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::try_from(key).map_err(str::to_owned)?;
    OwnCertificate::from_der(chain, key).map(Some)
}

impl Call {
    fn parse(name: &str) -> Result<Call> {
        Ok(match name {
            "send" => Call::Send,
            "receive" => Call::Receive,
            "receive_any" => Call::ReceiveAny,
            "receive_piece" => Call::ReceivePiece,
            "receive_until" => Call::ReceiveUntil,
            "peek" => Call::Peek,
            other => return Err(Error::runtime(format!("nothing waits for {other}"))),
        })
    }
}

impl Open {
    /// Whether nothing has come that nobody has asked for, and the server has not closed.
    fn is_alive(&self) -> bool {
        let waiting = self.connection.stream().try_read(&mut [0]);
        waiting.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Open<C> {
    /// The values of a call, and whether the connection can still be used.
    async fn call(&mut self, lua: &Lua, call: Call, arguments: &MultiValue) -> Result<(MultiValue, bool)> {
        match call {
            Call::Send => self.send(lua, arguments).await,
            Call::Receive => self.receive(lua, arguments).await,
            Call::ReceiveAny => self.receive_any(lua, arguments).await,
            Call::ReceivePiece => self.receive_piece(lua, arguments).await,
            Call::ReceiveUntil => self.receive_until(lua, arguments).await,
            Call::Peek => self.peek(lua, arguments).await,
        }
    }

    /// The first octets, which stay.
    async fn peek(&mut self, lua: &Lua, arguments: &MultiValue) -> Result<(MultiValue, bool)> {
        let size = arguments.get(1).and_then(number).map_or(0, |size| size as usize);
        if size > MAX_PEEKED {
            return Ok(((Value::Nil, "preread buffer overflow").into_lua_multi(lua)?, true));
        }
        let limit = seconds(arguments.get(2));
        while self.read.len() < size {
            let why = match tokio::time::timeout(limit, self.connection.read_buf(&mut self.read)).await {
                Ok(Ok(0)) => "closed".to_owned(),
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => words(&error),
                Err(_) => "timeout".to_owned(),
            };
            return Ok(((Value::Nil, why).into_lua_multi(lua)?, true));
        }
        Ok((lua.create_string(&self.read[..size])?.into_lua_multi(lua)?, true))
    }

    async fn send(&mut self, lua: &Lua, arguments: &MultiValue) -> Result<(MultiValue, bool)> {
        let content = arguments.get(1).and_then(text).unwrap_or_default();
        let sending = async {
            self.connection.write_all(&content).await?;
            self.connection.flush().await
        };
        match tokio::time::timeout(seconds(arguments.get(2)), sending).await {
            Ok(Ok(())) => Ok((content.len().into_lua_multi(lua)?, true)),
            Ok(Err(error)) => Ok(((Value::Nil, words(&error)).into_lua_multi(lua)?, false)),
            Err(_) => Ok(((Value::Nil, "timeout").into_lua_multi(lua)?, false)),
        }
    }

    /// Reads on until `enough` says how many octets are wanted and how many of them are skipped, or nothing follows.
    async fn read_until(
        &mut self,
        limit: Duration,
        enough: impl Fn(&[u8], bool) -> Option<(usize, usize)>,
    ) -> std::result::Result<Vec<u8>, (String, Vec<u8>)> {
        loop {
            if let Some((wanted, skipped)) = enough(&self.read, false) {
                let content = self.read[..wanted].to_vec();
                self.read.drain(..wanted + skipped);
                return Ok(content);
            }
            if self.read.len() > MAX_BUFFER {
                return Err(("too much to read".to_owned(), Vec::new()));
            }
            match tokio::time::timeout(limit, self.connection.read_buf(&mut self.read)).await {
                Ok(Ok(0)) => {
                    let rest = std::mem::take(&mut self.read);
                    let all = enough(&rest, true);
                    return all.map_or_else(|| Err(("closed".to_owned(), rest.clone())), |_| Ok(rest.clone()));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err((words(&error), std::mem::take(&mut self.read))),
                Err(_) => return Err(("timeout".to_owned(), std::mem::take(&mut self.read))),
            }
        }
    }

    async fn receive(&mut self, lua: &Lua, arguments: &MultiValue) -> Result<(MultiValue, bool)> {
        let limit = seconds(arguments.get(2));
        let pattern = arguments.get(1).cloned().unwrap_or(Value::Nil);
        let size = number(&pattern).map(|size| size as usize);
        let came = match (size, text(&pattern).as_deref()) {
            (Some(size), _) => self.read_until(limit, |read, _| (read.len() >= size).then_some((size, 0))).await,
            (None, Some(b"*a" | b"a")) => self.read_until(limit, |read, ended| ended.then_some((read.len(), 0))).await,
            (None, Some(b"*l" | b"l")) => {
                let line = |read: &[u8], _| read.iter().position(|octet| *octet == b'\n').map(|end| (end, 1));
                self.read_until(limit, line).await.map(|mut line| {
                    line.retain(|octet| *octet != b'\r');
                    line
                })
            }
            _ => return Err(Error::runtime("bad argument #1 to 'receive' (bad pattern argument)")),
        };
        received(lua, came)
    }

    async fn receive_any(&mut self, lua: &Lua, arguments: &MultiValue) -> Result<(MultiValue, bool)> {
        let max = arguments.get(1).and_then(number).map_or(usize::MAX, |max| (max as usize).max(1));
        let some = |read: &[u8], _| (!read.is_empty()).then_some((read.len().min(max), 0));
        received(lua, self.read_until(seconds(arguments.get(2)), some).await)
    }

    /// So much of what comes before a pattern; less than that at its end, which is the pattern's.
    async fn receive_piece(&mut self, lua: &Lua, arguments: &MultiValue) -> Result<(MultiValue, bool)> {
        let pattern = arguments.get(1).and_then(text).unwrap_or_default();
        let size = arguments.get(2).and_then(number).map_or(1, |size| (size as usize).max(1));
        if pattern.is_empty() {
            return Err(Error::runtime("pattern is empty"));
        }
        let piece = |read: &[u8], _| match read.windows(pattern.len()).position(|window| window == pattern) {
            Some(at) if at < size => Some((at, pattern.len())),
            Some(_) => Some((size, 0)),
            // The pattern could still begin before that.
            None => (read.len() >= size + pattern.len() - 1).then_some((size, 0)),
        };
        received(lua, self.read_until(seconds(arguments.get(3)), piece).await)
    }

    async fn receive_until(&mut self, lua: &Lua, arguments: &MultiValue) -> Result<(MultiValue, bool)> {
        let pattern = arguments.get(1).and_then(text).unwrap_or_default();
        if pattern.is_empty() {
            return Err(Error::runtime("pattern is empty"));
        }
        let inclusive = arguments.get(2).and_then(Value::as_boolean).unwrap_or_default();
        let found = |read: &[u8], _| {
            let at = read.windows(pattern.len()).position(|window| window == pattern)?;
            Some(if inclusive { (at + pattern.len(), 0) } else { (at, pattern.len()) })
        };
        received(lua, self.read_until(seconds(arguments.get(3)), found).await)
    }
}

/// What was read, or why it was not, and what there was of it; whether the connection can still be used.
fn received(lua: &Lua, came: std::result::Result<Vec<u8>, (String, Vec<u8>)>) -> Result<(MultiValue, bool)> {
    match came {
        Ok(content) => Ok((lua.create_string(content)?.into_lua_multi(lua)?, true)),
        Err((why, partial)) => {
            let is_open = why == "timeout";
            Ok(((Value::Nil, why, lua.create_string(partial)?).into_lua_multi(lua)?, is_open))
        }
    }
}

/// A failure as OpenResty words it.
pub(super) fn words(error: &io::Error) -> String {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return refused(tls).to_owned();
    }
    match error.kind() {
        io::ErrorKind::TimedOut => "timeout".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
            "closed".to_owned()
        }
        // The words of the system, in lower case and without its number.
        _ if error.raw_os_error().is_some() => {
            error.to_string().split(" (os error").next().unwrap_or_default().to_ascii_lowercase()
        }
        _ => error.to_string(),
    }
}

/// Why a handshake has failed, in the words of OpenSSL.
fn refused(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Certificate;
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            Certificate::Expired | Certificate::ExpiredContext { .. } => "10: certificate has expired",
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => "9: certificate is not yet valid",
            Certificate::Revoked => "23: certificate revoked",
            Certificate::UnknownIssuer => "20: unable to get local issuer certificate",
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => "certificate host mismatch",
            Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
                "26: unsuitable certificate purpose"
            }
            _ => "1: unspecified certificate verification error",
        },
        _ => "handshake failed",
    }
}
