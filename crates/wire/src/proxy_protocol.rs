//! The PROXY protocol, by which a load balancer in front of us says whose connection it passes on: versions 1 (a line)
//! and 2 (binary), as <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt> and nginx have them.

mod additions;

pub use additions::{Addition, Additions};

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::TcpStream;

/// Both ends of the connection that is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// What else is said of it.
    pub additions: Additions,
}

/// What begins a connection is no header of the PROXY protocol, or one that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A whole header: its length, and what it says. Without addresses the connection is the sender's own (a health check),
/// or of a kind that is not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub length: usize,
    pub proxied: Option<Proxied>,
}

/// The longest header, as in nginx; what is longer has more additional data than anybody sends.
const MAX: usize = 4096;
/// The longest line of version 1, with its end.
const MAX_LINE: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const LINE: &[u8] = b"PROXY ";

/// Reads the header from the beginning of a connection, and nothing behind it. Waits as long as it takes to come: the
/// caller has a deadline for it.
pub async fn read(socket: &TcpStream) -> io::Result<Option<Proxied>> {
    let mut header = Vec::new();
    let mut chunk = [0; 128];
    loop {
        let known = header.len();
        let peeked = socket.peek(&mut chunk).await?;
        if peeked == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        header.extend_from_slice(&chunk[..peeked]);
        let found = parse(&header).map_err(io::Error::other)?;
        let mut rest = found.as_ref().map_or(header.len(), |found| found.length) - known;
        while rest > 0 {
            socket.readable().await?;
            match socket.try_read(&mut chunk[..rest]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => rest -= n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(found) = found {
            return Ok(found.proxied);
        }
    }
}

/// The header at the beginning of these octets; `None` when it is not whole yet.
pub fn parse(octets: &[u8]) -> Result<Option<Header>, Malformed> {
    if begins(octets, SIGNATURE) {
        return binary(octets);
    }
    if !begins(octets, LINE) {
        return Err(Malformed);
    }
    let within = &octets[..octets.len().min(MAX_LINE)];
    match memchr::memchr(b'\n', within) {
        None if octets.len() >= MAX_LINE => Err(Malformed),
        None => Ok(None),
        Some(end) => {
            let line = within[..end].strip_suffix(b"\r").ok_or(Malformed)?;
            let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
            Ok(Some(Header { length: end + 1, proxied: text(line)? }))
        }
    }
}

/// Whether one is the beginning of the other.
fn begins(octets: &[u8], with: &[u8]) -> bool {
    let common = octets.len().min(with.len());
    octets[..common] == with[..common]
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`
fn text(line: &str) -> Result<Option<Proxied>, Malformed> {
    let mut words = line.split(' ').skip(1);
    let family = words.next().ok_or(Malformed)?;
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let mut ip = || -> Result<IpAddr, Malformed> {
        let word = words.next().ok_or(Malformed)?;
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Malformed),
            "TCP6" => word.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    };
    let (source, destination) = (ip()?, ip()?);
    let mut port = || -> Result<u16, Malformed> {
        let word = words.next().filter(|word| word.bytes().all(|b| b.is_ascii_digit())).ok_or(Malformed)?;
        word.parse().map_err(|_| Malformed)
    };
    let (source, destination) = (SocketAddr::new(source, port()?), SocketAddr::new(destination, port()?));
    let additions = Additions::default();
    if words.next().is_some() { Err(Malformed) } else { Ok(Some(Proxied { source, destination, additions })) }
}

/// Addresses with their ports.
type Ends<const N: usize> = [([u8; N], u16); 2];

fn binary(octets: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some((&[command, family, high, low], rest)) =
        octets.get(SIGNATURE.len()..).and_then(|rest| rest.split_first_chunk::<4>())
    else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = SIGNATURE.len() + 4 + length;
    if command >> 4 != 2 || command & 0xf > 1 || whole > MAX {
        return Err(Malformed);
    }
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let proxied = match (command & 0xf, family) {
        (1, 0x11) => {
            let ([source, destination], additions) = addresses::<4>(payload)?;
            let of = |(ip, port): ([u8; 4], u16)| SocketAddr::new(Ipv4Addr::from(ip).into(), port);
            Some(Proxied { source: of(source), destination: of(destination), additions })
        }
        (1, 0x21) => {
            let ([source, destination], additions) = addresses::<16>(payload)?;
            let of = |(ip, port): ([u8; 16], u16)| SocketAddr::new(Ipv6Addr::from(ip).into(), port);
            Some(Proxied { source: of(source), destination: of(destination), additions })
        }
        // The sender's own connection (LOCAL), or not one of TCP.
        _ => None,
    };
    Ok(Some(Header { length: whole, proxied }))
}

/// Source and destination (both addresses, then both ports), and what follows them.
fn addresses<const N: usize>(payload: &[u8]) -> Result<(Ends<N>, Additions), Malformed> {
    let (source, rest) = payload.split_first_chunk::<N>().ok_or(Malformed)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    let (ports, rest) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
    let port = |high, low| u16::from_be_bytes([high, low]);
    let ends = [(*source, port(ports[0], ports[1])), (*destination, port(ports[2], ports[3]))];
    Ok((ends, Additions::new(rest)))
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken header of the PROXY protocol")
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, payload].concat()
    }

    fn proxied(octets: &[u8]) -> Option<Proxied> {
        let header = parse(octets).unwrap().unwrap();
        assert_eq!(header.length, octets.len());
        header.proxied
    }

    fn ends(source: &str, destination: &str) -> Option<Proxied> {
        let additions = Additions::default();
        Some(Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap(), additions })
    }

    #[test]
    fn lines() {
        assert_eq!(proxied(b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n"), ends("192.0.2.1:56324", "10.0.0.1:443"));
        assert_eq!(proxied(b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), ends("[2001:db8::1]:1", "[::1]:65535"));
        assert_eq!(proxied(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(proxied(b"PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n"), None);
    }

    #[test]
    fn binary_headers() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 1, 187];
        assert_eq!(proxied(&v2(0x21, 0x11, &v4)), ends("192.0.2.1:4660", "10.0.0.1:443"));
        let more = [&v4[..], &[4, 0, 2, 9, 9]].concat();
        let with = proxied(&v2(0x21, 0x11, &more)).unwrap();
        assert_eq!(with.additions.get(Addition::Value(4)).as_deref(), Some(&[9, 9][..]));
        assert_eq!(Some(Proxied { additions: Additions::default(), ..with }), ends("192.0.2.1:4660", "10.0.0.1:443"));
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 3, 4);
        assert_eq!(proxied(&v2(0x21, 0x21, &v6)), ends("[::1]:3", "[::2]:4"));
        assert_eq!(proxied(&v2(0x20, 0x11, &v4)), None, "LOCAL");
        assert_eq!(proxied(&v2(0x20, 0, &[])), None, "LOCAL without addresses");
        assert_eq!(proxied(&v2(0x21, 0, &[])), None, "unspecified");
        assert_eq!(proxied(&v2(0x21, 0x31, &[0; 216])), None, "of unix sockets");
        assert_eq!(proxied(&v2(0x21, 0x12, &v4)), None, "UDP");
        assert!(proxied(&v2(0x21, 0x11, &[&v4[..], &[0; MAX - 16 - 12]].concat())).is_some());
    }

    #[test]
    fn what_is_broken_is_refused() {
        for octets in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01",
            b"proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
            b"PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n",
            b"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n",
            b"PROXY \r\n",
            &[&b"PROXY UNKNOWN"[..], &[b' '; 93], b"\r\n"].concat(),
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x21, &[0; 35]),
            &v2(0x21, 0x11, &[0; MAX - 15]),
        ] {
            assert_eq!(parse(octets), Err(Malformed), "{:?}", String::from_utf8_lossy(octets));
        }
    }

    #[test]
    fn whatever_is_cut_off_is_awaited() {
        for whole in [b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n".to_vec(), v2(0x21, 0x11, &[0; 40])] {
            for length in 0..whole.len() {
                assert_eq!(parse(&whole[..length]), Ok(None), "{length} of {whole:?}");
            }
            let behind = [&whole[..], b"GET /"].concat();
            assert_eq!(parse(&behind).unwrap().unwrap().length, whole.len());
        }
    }

    #[tokio::test]
    async fn nothing_behind_the_header_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for whole in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x21, 0x11, &[7; 2000])] {
            let mut client = TcpStream::connect(address).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            let reading = tokio::spawn(async move {
                let proxied = read(&server).await;
                let mut rest = Vec::new();
                server.read_to_end(&mut rest).await.unwrap();
                (proxied, rest)
            });
            let sent = [&whole[..], b"rest"].concat();
            for piece in sent.chunks(500) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
            let (proxied, rest) = reading.await.unwrap();
            assert_eq!(proxied.unwrap().is_some(), whole.len() > 100);
            assert_eq!(rest, b"rest");
        }
        let mut client = TcpStream::connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        client.write_all(b"PROX").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read(&server).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
