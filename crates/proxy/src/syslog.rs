//! Lines as messages to a syslog server (RFC 3164), in nginx's syntax and form:
//! `syslog:server=HOST[:PORT]|unix:/PATH[,facility=F][,severity=S][,tag=T][,nohostname]`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// A server, and what messages to it say of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    server: Server,
    /// Facility and severity.
    priority: usize,
    tag: String,
    hostname: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Server {
    /// Host and port.
    Udp(String, u16),
    Unix(PathBuf),
}

/// A socket by which messages go.
#[derive(Debug)]
pub(crate) struct SyslogSocket {
    socket: Socket,
    syslog: Syslog,
    host: String,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

const PORT: u16 = 514;
/// nginx's own.
const FACILITY: usize = 23;
const SEVERITY: usize = 6;
const TAG: &str = "nginx";
const LONGEST_TAG: usize = 32;

/// By their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp",
    "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];

impl Syslog {
    /// What stands behind `syslog:` in a setting.
    pub fn parse(text: &str) -> Result<Syslog, String> {
        let (mut server, mut facility, mut severity) = (None, FACILITY, SEVERITY);
        let (mut tag, mut hostname) = (TAG.to_owned(), true);
        let number = |list: &[&str], value: &str| list.iter().position(|known| *known == value);
        for parameter in text.split(',') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "server" => server = Some(Server::parse(value)?),
                "facility" => {
                    facility =
                        number(&FACILITIES, value).ok_or_else(|| format!("unknown syslog facility '{value}'"))?;
                }
                "severity" => {
                    severity =
                        number(&SEVERITIES, value).ok_or_else(|| format!("unknown syslog severity '{value}'"))?;
                }
                "tag" if value.is_empty() || value.len() > LONGEST_TAG => {
                    return Err(format!("a syslog tag has 1 to {LONGEST_TAG} characters: '{value}'"));
                }
                "tag" if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                    return Err(format!("a syslog tag is made of letters, digits and underscores: '{value}'"));
                }
                "tag" => tag = value.to_owned(),
                "nohostname" => hostname = false,
                _ => return Err(format!("unknown syslog parameter '{parameter}'")),
            }
        }
        let server = server.ok_or("no syslog server is given (server=)")?;
        Ok(Syslog { server, priority: facility * 8 + severity, tag, hostname })
    }

    /// A socket towards the server, whether or not it is there.
    pub(crate) fn open(&self) -> io::Result<SyslogSocket> {
        let socket = match &self.server {
            Server::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                // It may come later: then messages are lost until the log is opened anew.
                let _ = socket.connect(path);
                Socket::Unix(socket)
            }
            Server::Udp(host, port) => {
                let mut addresses = (host.as_str(), *port).to_socket_addrs()?;
                let address = addresses.next().ok_or_else(|| io::Error::other("no such host"))?;
                let any = match address {
                    SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                    SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Socket::Udp(socket)
            }
        };
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy().into_owned();
        Ok(SyslogSocket { socket, syslog: self.clone(), host })
    }
}

impl Server {
    fn parse(text: &str) -> Result<Server, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Server::Unix(path.into()));
        }
        let invalid = || format!("not a syslog server: '{text}'");
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| invalid())?)
            }
            _ => (text, PORT),
        };
        let host = host.trim_matches(['[', ']']);
        if host.is_empty() { Err(invalid()) } else { Ok(Server::Udp(host.to_owned(), port)) }
    }
}

impl fmt::Display for Syslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Server::Udp(host, port) => write!(f, "syslog at {host}:{port}"),
            Server::Unix(path) => write!(f, "syslog at unix:{}", path.display()),
        }
    }
}

impl SyslogSocket {
    /// Sends each line as a message; the error is that of the last one that could not be sent.
    pub(crate) fn write_all(&self, lines: &[u8]) -> io::Result<()> {
        let Syslog { priority, tag, hostname, .. } = &self.syslog;
        let now = Timestamp::now().to_zoned_datetime(TimeZone::system());
        let time = now.strftime("%b %e %H:%M:%S").to_string();
        let host = if *hostname { format!(" {}", self.host) } else { String::new() };
        let head = format!("<{priority}>{time}{host} {tag}: ");
        let mut outcome = Ok(());
        for line in lines.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            let message = [head.as_bytes(), line].concat();
            let sent = match &self.socket {
                Socket::Udp(socket) => socket.send(&message),
                Socket::Unix(socket) => socket.send(&message),
            };
            outcome = sent.map(drop).and(outcome);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_nginxs() {
        let log = Syslog::parse("server=127.0.0.1:5140,facility=local0,tag=gate,severity=warn,nohostname").unwrap();
        assert_eq!(log.server, Server::Udp("127.0.0.1".to_owned(), 5140));
        assert_eq!(log.priority, 16 * 8 + 4);
        assert_eq!(log.tag, "gate");
        assert!(!log.hostname);
        let server = |text: &str| Syslog::parse(text).map(|log| log.server);
        assert_eq!(server("server=log.test"), Ok(Server::Udp("log.test".to_owned(), 514)));
        assert_eq!(server("server=[::1]:9"), Ok(Server::Udp("::1".to_owned(), 9)));
        assert_eq!(server("server=unix:/dev/log"), Ok(Server::Unix("/dev/log".into())));
        for wrong in
            ["", "server=", "server=h:x", "facility=local0", "server=h,facility=x", "server=h,tag=a-b", "server=h,x"]
        {
            assert!(Syslog::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_line_is_a_message() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let text = format!("server={},nohostname", server.local_addr().unwrap());
        let socket = Syslog::parse(&text).unwrap().open().unwrap();
        socket.write_all(b"one\ntwo\n").unwrap();
        for expected in ["one", "two"] {
            let mut message = [0; 100];
            let length = server.recv(&mut message).unwrap();
            let message = String::from_utf8_lossy(&message[..length]).into_owned();
            assert!(message.starts_with("<190>") && message.ends_with(&format!(" nginx: {expected}")), "{message}");
        }
    }
}
