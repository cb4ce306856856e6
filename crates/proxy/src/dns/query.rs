//! One question to the name servers: UDP, and TCP when the answer is too long for it.

use super::answer::Failure;
use super::files::ResolvConf;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// More than any answer without EDNS can have.
const UDP_SIZE: usize = 4096;

/// The servers to ask, and how patiently.
pub struct Servers {
    conf: ResolvConf,
    next: AtomicUsize,
}

impl Servers {
    pub fn new(conf: ResolvConf) -> Servers {
        Servers { conf, next: AtomicUsize::new(0) }
    }

    pub fn conf(&self) -> &ResolvConf {
        &self.conf
    }

    /// Asks one server after the other until one gives an answer that can be used. "No such name" and "no such record"
    /// are such answers; a server that fails or refuses is passed over while there are others.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Result<Message, Failure> {
        let servers = &self.conf.servers;
        if servers.is_empty() {
            return Err(Failure::Network("no name servers are configured".to_owned()));
        }
        let first = if self.conf.rotate { self.next.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let mut failure = Failure::Network("no name server answered".to_owned());
        for attempt in 0..self.conf.attempts.max(servers.len()) {
            let server = servers[(first + attempt) % servers.len()];
            match self.exchange(server, name, kind).await {
                Ok(message) => match message.response_code() {
                    ResponseCode::NoError => return Ok(message),
                    ResponseCode::NXDomain => return Err(Failure::NotFound),
                    code => {
                        failure = Failure::Server(code.into(), code.to_str());
                        if attempt + 1 >= servers.len() {
                            return Err(failure);
                        }
                    }
                },
                Err(error) => failure = Failure::Network(format!("name server {server}: {error}")),
            }
        }
        Err(failure)
    }

    async fn exchange(&self, server: SocketAddr, name: &Name, kind: RecordType) -> io::Result<Message> {
        // Half of what keeps forged answers out is the id, the other half the port that the system picks.
        let id = uuid::Uuid::new_v4().as_u128() as u16;
        let mut message = Message::new();
        message.set_id(id).set_message_type(MessageType::Query).set_op_code(OpCode::Query).set_recursion_desired(true);
        message.add_query(Query::query(name.clone(), kind));
        let question = message.to_vec().map_err(io::Error::other)?;
        let answer = timeout(self.conf.timeout, over_udp(server, &question, name, kind, id)).await??;
        if !answer.truncated() {
            return Ok(answer);
        }
        timeout(self.conf.timeout, over_tcp(server, &question, name, kind, id)).await?
    }
}

async fn over_udp(server: SocketAddr, question: &[u8], name: &Name, kind: RecordType, id: u16) -> io::Result<Message> {
    let local: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; UDP_SIZE];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Anything that is not the answer to this question may be forged: wait on.
        if let Some(message) = Message::from_vec(&buffer[..length]).ok().filter(|m| answers(m, name, kind, id)) {
            return Ok(message);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8], name: &Name, kind: RecordType, id: u16) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(question);
    stream.write_all(&framed).await?;
    let mut buffer = vec![0; stream.read_u16().await? as usize];
    stream.read_exact(&mut buffer).await?;
    let message = Message::from_vec(&buffer).map_err(io::Error::other)?;
    if answers(&message, name, kind, id) { Ok(message) } else { Err(io::Error::other("answer to another question")) }
}

fn answers(message: &Message, name: &Name, kind: RecordType, id: u16) -> bool {
    let question = |q: &Query| q.name() == name && q.query_type() == kind && q.query_class() == DNSClass::IN;
    message.id() == id && message.message_type() == MessageType::Response && message.query().is_some_and(question)
}
