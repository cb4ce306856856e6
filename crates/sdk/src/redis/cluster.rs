//! The nodes of a Redis Cluster: each has a part of the 16384 slots into which keys fall.

use super::connection::{Connection, Terms};
use super::settings::Address;
use super::{Cmd, RedisError, Value, cmd, from_redis_value};
use std::sync::{Arc, Mutex, PoisonError};

/// The nodes that are known, and the slots that they say they have.
pub struct Cluster {
    terms: Terms,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: Vec<Arc<Connection>>,
    slots: Vec<Slots>,
}

/// The first and the last slot of a range, and whose they are.
struct Slots {
    first: u16,
    last: u16,
    node: Address,
}

const SLOTS: u16 = 16_384;

impl Cluster {
    /// Nothing is known yet but the nodes of the settings.
    pub fn new(terms: Terms) -> Cluster {
        Cluster { terms, state: Mutex::default() }
    }

    /// Sends a command to the node that has the key, wherever it has moved meanwhile.
    pub async fn send(&self, key: &[u8], command: &Cmd) -> Result<Value, RedisError> {
        let slot = slot(key);
        let mut node = self.node(slot).await?;
        let mut asking = false;
        for _ in 0..self.terms.settings.max_redirections {
            let connection = self.connection(&node);
            let outcome = if asking { connection.send_asking(command).await } else { connection.send(command).await };
            let Err(error) = outcome else { return outcome };
            match (&error, error.code()) {
                (RedisError::Server { detail, .. }, Some(code @ ("MOVED" | "ASK"))) => {
                    let Some(to) = redirection(detail, &node) else { return Err(error) };
                    asking = code == "ASK";
                    if !asking {
                        // Likely not the only slot that has moved.
                        self.forget_slots();
                    }
                    node = to;
                }
                // A replica may have taken over; what may have been carried out is not repeated.
                (RedisError::Connect(_), _) => {
                    self.forget_slots();
                    let now = self.node(slot).await?;
                    if now == node {
                        return Err(error);
                    }
                    (node, asking) = (now, false);
                }
                _ => {
                    if error.is_of_connection() {
                        self.forget_slots();
                    }
                    return Err(error);
                }
            }
        }
        Err(RedisError::Unexpected("too many redirections".to_owned()))
    }

    /// Connections to all nodes that have slots.
    pub async fn all(&self) -> Result<Vec<Arc<Connection>>, RedisError> {
        self.learn_slots().await?;
        let mut nodes: Vec<Address> = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.slots.iter().map(|slots| slots.node.clone()).collect()
        };
        nodes.sort_unstable();
        nodes.dedup();
        Ok(nodes.iter().map(|node| self.connection(node)).collect())
    }

    async fn node(&self, slot: u16) -> Result<Address, RedisError> {
        if let Some(node) = self.known_node(slot) {
            return Ok(node);
        }
        self.learn_slots().await?;
        let uncovered = || RedisError::Connect(format!("no node of the cluster has slot {slot}"));
        self.known_node(slot).ok_or_else(uncovered)
    }

    fn known_node(&self, slot: u16) -> Option<Address> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.slots.iter().find(|slots| (slots.first..=slots.last).contains(&slot)).map(|slots| slots.node.clone())
    }

    async fn learn_slots(&self) -> Result<(), RedisError> {
        let mut last = RedisError::Connect("no node of the cluster is named".to_owned());
        for node in self.terms.settings.cluster.clone() {
            let mut question = cmd("CLUSTER");
            question.arg("SLOTS");
            let learnt = self.connection(&node).send(&question).await.and_then(|answer| read_slots(answer, &node));
            match learnt {
                Ok(slots) => {
                    let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                    let seeds = &self.terms.settings.cluster;
                    state.connections.retain(|known| {
                        seeds.iter().chain(slots.iter().map(|slots| &slots.node)).any(|node| known.is_to(node))
                    });
                    state.slots = slots;
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn forget_slots(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).slots.clear();
    }

    fn connection(&self, node: &Address) -> Arc<Connection> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state.connections.iter().find(|known| known.is_to(node)) {
            return Arc::clone(known);
        }
        let connection = Arc::new(Connection::new(&self.terms, node));
        state.connections.push(Arc::clone(&connection));
        connection
    }
}

/// The answer to `CLUSTER SLOTS`; a node that does not know its own address means that by which it was asked.
fn read_slots(answer: Value, asked: &Address) -> Result<Vec<Slots>, RedisError> {
    let ranges: Vec<Vec<Value>> = from_redis_value(answer)?;
    let mut slots = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut parts = range.into_iter();
        let (Some(first), Some(last), Some(master)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let mut node = from_redis_value::<Vec<Value>>(master)?.into_iter();
        let (Some(host), Some(port)) = (node.next(), node.next()) else { continue };
        let host: Option<String> = from_redis_value(host)?;
        slots.push(Slots {
            first: from_redis_value(first)?,
            last: from_redis_value(last)?,
            node: (host.filter(|host| !host.is_empty()).unwrap_or_else(|| asked.0.clone()), from_redis_value(port)?),
        });
    }
    Ok(slots)
}

/// Where `3999 127.0.0.1:6381` points; without a host, to the one that says so.
fn redirection(detail: &str, from: &Address) -> Option<Address> {
    let (host, port) = detail.split_ascii_whitespace().nth(1)?.rsplit_once(':')?;
    let host = if host.is_empty() { &from.0 } else { host.trim_matches(['[', ']']) };
    Some((host.to_owned(), port.parse().ok()?))
}

/// The slot of a key: by what is between braces, if there is something, so that keys can be kept together.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|octet| *octet == b'{').and_then(|open| {
        let length = key[open + 1..].iter().position(|octet| *octet == b'}')?;
        (length > 0).then(|| &key[open + 1..open + 1 + length])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, as the specification of Redis Cluster has it.
fn crc16(octets: &[u8]) -> u16 {
    octets.iter().fold(0, |crc, octet| {
        (0..8).fold(crc ^ u16::from(*octet) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fall_into_slots() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"{foo}.bar"), slot(b"foo"));
        assert_eq!(slot(b"{}foo"), crc16(b"{}foo") % SLOTS);
    }

    #[test]
    fn redirections_name_a_node() {
        let from = ("10.0.0.1".to_owned(), 7000);
        assert_eq!(redirection("3999 10.0.0.2:7001", &from), Some(("10.0.0.2".to_owned(), 7001)));
        assert_eq!(redirection("3999 :7001", &from), Some(("10.0.0.1".to_owned(), 7001)));
        assert_eq!(redirection("3999", &from), None);
    }
}
