//! Connections of a worker to plugin servers.

use super::PluginServer;
use super::process::State;
use sdk::{Lease, MemoryBudget};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A plugin server as workers know it. It lasts as long as the process.
pub struct Server {
    pub settings: PluginServer,
    pub state: Arc<State>,
}

/// A connection on which nothing is under way, or one event.
pub struct Connection {
    stream: UnixStream,
    /// The process on the other side, as far as the system says.
    pub peer: Option<i32>,
    /// What has come and was not taken.
    pub buffer: Vec<u8>,
    pub sequence: u32,
    /// For what `buffer` has beyond [`KEPT_ROOM`].
    room: Lease,
}

/// Why something that was asked has not come about.
#[derive(Debug)]
pub enum Failure {
    /// The connection has ended before anything came back.
    Closed,
    /// The server does not know that instance.
    NoInstance,
    Failed(String),
}

/// Octets of a message.
const MOST: usize = 32 << 20;
/// Octets of messages that are not whole, or being acted on, on all connections.
const MOST_OF_ALL: usize = 256 << 20;
/// How much room an idle connection keeps, and how many of them a worker keeps for a server.
const KEPT_ROOM: usize = 16 << 10;
const KEPT: usize = 64;
/// How often a server that is starting is tried.
const AGAIN: Duration = Duration::from_millis(20);
/// How long a socket may be gone that another process's server is taking over.
const TAKING_OVER: Duration = Duration::from_millis(500);

static SERVERS: Mutex<Vec<&'static Server>> = Mutex::new(Vec::new());

static ROOM: LazyLock<MemoryBudget> = LazyLock::new(|| MemoryBudget::new(MOST_OF_ALL));

thread_local! {
    static IDLE: RefCell<HashMap<&'static str, Vec<Connection>>> = RefCell::new(HashMap::new());
}

impl Server {
    /// The server of that name; as it was described first.
    pub fn of(settings: &PluginServer) -> &'static Server {
        let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = servers.iter().find(|server| server.settings.name == settings.name).copied();
        known.unwrap_or_else(|| {
            let server = Server { settings: settings.clone(), state: Arc::default() };
            let server: &'static Server = Box::leak(Box::new(server));
            servers.push(server);
            server
        })
    }

    /// A connection that was kept, or a new one.
    pub async fn connection(&'static self) -> Result<Connection, Failure> {
        loop {
            let kept = IDLE.with_borrow_mut(|idle| idle.get_mut(&*self.settings.name).and_then(Vec::pop));
            match kept {
                Some(connection) if connection.is_usable() => return Ok(connection),
                Some(_) => {}
                None => return self.connect().await,
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let socket = &self.settings.socket;
        let began = Instant::now();
        loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => {
                    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
                    if self.state.is_starting() && self.state.is_former(peer) {
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                    return Ok(Connection { stream, peer, buffer: Vec::new(), sequence: 0, room: ROOM.lease() });
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
                        && (self.state.is_starting() || began.elapsed() < TAKING_OVER) =>
                {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(Failure::Failed(format!("cannot connect to {}: {error}", socket.display()))),
            }
        }
    }

    /// Takes back a connection on which nothing is under way.
    pub fn give_back(&'static self, mut connection: Connection) {
        if !connection.buffer.is_empty() {
            return;
        }
        connection.buffer.shrink_to(KEPT_ROOM);
        connection.room.shrink_to(0);
        IDLE.with_borrow_mut(|idle| {
            let idle = idle.entry(&self.settings.name).or_default();
            if idle.len() < KEPT {
                idle.push(connection);
            }
        });
    }

    /// The process is another one: its connections are of no use.
    pub fn forget_connections(&self) {
        IDLE.with_borrow_mut(|idle| idle.remove(&*self.settings.name));
    }
}

impl Connection {
    /// Whether nothing has come, the end included.
    fn is_usable(&self) -> bool {
        matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends octets.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(octets).await.map_err(|error| failure(&error))
    }

    /// Sends octets behind their number, as four octets.
    pub async fn send_frame(&mut self, octets: &[u8]) -> Result<(), Failure> {
        let length = u32::try_from(octets.len()).map_err(|_| Failure::Failed("a message is too large".to_owned()))?;
        self.send(&[&length.to_le_bytes()[..], octets].concat()).await
    }

    /// Octets that come behind their number.
    pub async fn frame(&mut self) -> Result<Vec<u8>, Failure> {
        while self.buffer.len() < 4 {
            self.fill().await?;
        }
        let length = u32::from_le_bytes([self.buffer[0], self.buffer[1], self.buffer[2], self.buffer[3]]) as usize;
        if length > MOST {
            return Err(Failure::Failed(format!("a message of {length} octets is too large")));
        }
        while self.buffer.len() < 4 + length {
            self.fill().await.map_err(Failure::midway)?;
        }
        let rest = self.buffer.split_off(4 + length);
        let mut frame = std::mem::replace(&mut self.buffer, rest);
        frame.drain(..4);
        Ok(frame)
    }

    /// Waits for more octets.
    pub async fn fill(&mut self) -> Result<(), Failure> {
        if self.buffer.len() >= MOST {
            return Err(Failure::Failed("a message is too large".to_owned()));
        }
        let more = self.buffer.len().clamp(4096, 1 << 20);
        let wanted = (self.buffer.len() + more).saturating_sub(KEPT_ROOM);
        if !self.room.try_grow(wanted.saturating_sub(self.room.octets())) {
            return Err(Failure::Failed("there is no room left for its messages".to_owned()));
        }
        self.buffer.reserve(more);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Failure::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(failure(&error)),
        }
    }
}

impl Failure {
    /// What the log has.
    pub fn words(self) -> String {
        match self.midway() {
            Failure::Failed(words) => words,
            Failure::Closed | Failure::NoInstance => String::new(),
        }
    }

    /// The same, where something has come back already.
    pub fn midway(self) -> Failure {
        match self {
            Failure::Closed => Failure::Failed("it has closed the connection".to_owned()),
            Failure::NoInstance => Failure::Failed("it has lost the instance".to_owned()),
            failed @ Failure::Failed(_) => failed,
        }
    }
}

fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Failed(error.to_string()),
    }
}
