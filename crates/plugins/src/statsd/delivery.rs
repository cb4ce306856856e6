//! How metrics are sent: an entry of the queue holds those of a request, a line each.

use sdk::{BoxFuture, Bytes, Deliver, Env, KeptConnection, Network, Server};
use std::time::Duration;

/// To one server.
pub struct Delivery {
    host: String,
    port: u16,
    way: Way,
}

enum Way {
    /// Over one connection.
    Tcp(KeptConnection),
    /// In datagrams of so many octets; 0: a line each.
    Udp(Network, usize),
}

/// As Kong's: for connecting and sending.
const TCP_LIMIT: Duration = Duration::from_secs(1);
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Looking a name up takes no longer.
const UDP_LIMIT: Duration = Duration::from_secs(10);

impl Delivery {
    /// To that server, over TCP or in packets of that size.
    pub fn new(env: &Env, host: &str, port: u16, tcp: bool, packet: usize) -> Delivery {
        let (host, network) = (host.to_owned(), env.network().clone());
        let way = if tcp {
            let server = Server { host: host.clone(), port, tls: None };
            Way::Tcp(KeptConnection::new(network, server, TCP_LIMIT, TCP_KEEPALIVE))
        } else {
            Way::Udp(network, packet)
        };
        Delivery { host, port, way }
    }
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let Delivery { host, port, way } = self;
            let sent = match way {
                Way::Tcp(connection) => connection.send(&batch.concat()).await,
                Way::Udp(network, size) => {
                    let packets = packets(batch, *size);
                    network.send_datagrams(host, *port, UDP_LIMIT, packets.iter().map(Vec::as_slice)).await
                }
            };
            sent.map_err(|error| format!("{host}:{port}: {error}"))
        })
    }
}

/// Lines put together as long as they fit; one that does not goes alone.
fn packets(batch: &[Bytes], size: usize) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let lines = batch.iter().flat_map(|entry| entry.split(|&b| b == b'\n')).filter(|line| !line.is_empty());
    for line in lines {
        match packets.last_mut() {
            Some(last) if last.len() + 1 + line.len() <= size => {
                last.push(b'\n');
                last.extend_from_slice(line);
            }
            _ => packets.push(line.to_vec()),
        }
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_as_long_as_they_fit() {
        let batch = [Bytes::from_static(b"aa\nbb\n"), Bytes::from_static(b"cccccccc\ndd\n")];
        let packets = |size| {
            packets(&batch, size).into_iter().map(|packet| String::from_utf8(packet).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(packets(0), ["aa", "bb", "cccccccc", "dd"]);
        assert_eq!(packets(5), ["aa\nbb", "cccccccc", "dd"]);
        assert_eq!(packets(100), ["aa\nbb\ncccccccc\ndd"]);
    }
}
