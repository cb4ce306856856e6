//! What is known of a name: its addresses in the order they are taken, and until when; or why there are none.

use super::QueryType;
use crate::wheel;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The addresses of a name. Immutable once published.
#[derive(Debug)]
pub struct Answer {
    /// `A`, `Aaaa` or `Srv`.
    pub kind: QueryType,
    /// At least one, each address and port once, sorted.
    pub records: Box<[Record]>,
    /// Indices of `records` in the order they are taken, each as often as its weight asks.
    order: Box<[u32]>,
    /// `None`: for ever (addresses, the hosts file).
    pub expires: Option<Instant>,
}

/// One address of a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub ip: IpAddr,
    /// What an SRV record says.
    pub service: Option<Service>,
}

/// The part of an SRV record that is not an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// 0: the port of who asks.
    pub port: u16,
    /// At least 1.
    pub weight: u32,
    /// The name that the record points to.
    pub name: Arc<str>,
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The servers say that there is no such name.
    NotFound,
    /// The name has no record of the kinds asked for.
    Empty,
    /// A server answered with another error code.
    Server(u16, &'static str),
    /// No server answered.
    Network(String),
    /// It is no name.
    Invalid,
}

impl Answer {
    /// The answer for records found with this time to live.
    pub fn new(kind: QueryType, mut records: Vec<Record>, expires: Option<Instant>) -> Answer {
        records.sort();
        records
            .dedup_by(|a, b| a.ip == b.ip && a.service.as_ref().map(|s| s.port) == b.service.as_ref().map(|s| s.port));
        let weights: Vec<u32> = records.iter().map(|r| r.service.as_ref().map_or(1, |s| s.weight)).collect();
        Answer { kind, order: wheel::build(&weights), records: records.into(), expires }
    }

    /// An address that was given as such.
    pub fn fixed(ip: IpAddr) -> Answer {
        let kind = if ip.is_ipv4() { QueryType::A } else { QueryType::Aaaa };
        Answer::new(kind, vec![Record { ip, service: None }], None)
    }

    /// Whether a newer answer should be asked for.
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Whether it may be used at all.
    pub fn is_usable(&self, now: Instant, stale_ttl: Duration) -> bool {
        self.expires.is_none_or(|at| now < at + stale_ttl)
    }

    /// The address at a position of the endless sequence of turns, not one of `tried` unless there is no other.
    pub fn at(&self, position: usize, port: u16, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let turns = self.order.len();
        let turn = |i: usize| {
            let record = self.records.get(*self.order.get((position + i) % turns)? as usize)?;
            Some(record.address(port))
        };
        let first = turn(0)?;
        if !tried.contains(&first) {
            return Some(first);
        }
        let fresh = self.records.iter().map(|r| r.address(port)).find(|address| !tried.contains(address));
        fresh.or(Some(first))
    }

    /// Whether both give the same addresses, ports and weights.
    pub fn same_records(&self, other: &Answer) -> bool {
        self.kind == other.kind && self.records == other.records
    }
}

impl Record {
    /// The address with the port of the record, or that of who asks.
    pub fn address(&self, port: u16) -> SocketAddr {
        let port = self.service.as_ref().map(|s| s.port).filter(|&p| p != 0).unwrap_or(port);
        SocketAddr::new(self.ip, port)
    }
}

/// In the words that Kong has for the same (they stand in the health endpoint's `dns` field).
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NotFound => write!(f, "dns server error: 3 name error"),
            Failure::Empty => write!(f, "dns client error: 101 empty record received"),
            Failure::Server(code, text) => write!(f, "dns server error: {code} {text}"),
            Failure::Network(text) => write!(f, "{text}"),
            Failure::Invalid => write!(f, "dns client error: invalid name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(ip: &str, port: u16, weight: u32) -> Record {
        Record { ip: ip.parse().unwrap(), service: Some(Service { port, weight, name: "t".into() }) }
    }

    #[test]
    fn turns_follow_the_weights_and_avoid_what_was_tried() {
        let answer = Answer::new(
            QueryType::Srv,
            vec![srv("10.0.0.2", 8, 30), srv("10.0.0.1", 0, 10), srv("10.0.0.1", 0, 10)],
            None,
        );
        assert_eq!(answer.records.len(), 2, "the same address and port counts once");
        let taken: Vec<SocketAddr> = (0..8).map(|i| answer.at(i, 7, &[]).unwrap()).collect();
        assert_eq!(taken.iter().filter(|a| a.to_string() == "10.0.0.1:7").count(), 2);
        assert_eq!(taken.iter().filter(|a| a.to_string() == "10.0.0.2:8").count(), 6);
        let other: SocketAddr = "10.0.0.2:8".parse().unwrap();
        assert!((0..8).all(|i| answer.at(i, 7, &[other]).unwrap() != other));
        let both = [other, "10.0.0.1:7".parse().unwrap()];
        assert!(answer.at(0, 7, &both).is_some(), "with all tried, any will do");
    }
}
