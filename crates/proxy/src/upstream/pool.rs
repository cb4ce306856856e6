//! Idle connections to services, per worker.

use super::{Shared, Tls, Upstream};
use crate::settings::Keepalive;
use crate::worker::since;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

/// What connections must have in common to stand in for each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolKey {
    pub address: SocketAddr,
    pub tls: Option<Rc<Tls>>,
    /// HTTP/2 is spoken.
    pub http2: bool,
}

/// Each exchange is looked up twice: the address of a connection of IPv4 is one number to the hasher.
impl Hash for PoolKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let rest = u64::from(self.address.port()) << 1 | u64::from(self.http2);
        match self.address.ip() {
            IpAddr::V4(ip) => state.write_u64(u64::from(ip.to_bits()) << 32 | rest),
            IpAddr::V6(ip) => {
                state.write_u128(ip.to_bits());
                state.write_u64(rest);
            }
        }
        if let Some(tls) = &self.tls {
            tls.hash(state);
        }
    }
}

/// Connections on which nothing is under way.
pub struct Pool {
    #[expect(clippy::vec_box, reason = "they are lent out as boxes: moving one must not copy it")]
    idle: HashMap<PoolKey, Vec<Box<Upstream>>, foldhash::fast::RandomState>,
    /// How many there are under all keys.
    count: usize,
    /// Connections on which several exchanges go on at once.
    shared: HashMap<PoolKey, Vec<Rc<Shared>>, foldhash::fast::RandomState>,
    /// The most there may be: keys can have server names that clients choose (`preserve_host`).
    most: usize,
    limits: Keepalive,
}

/// Idle connections of a worker, whatever their keys; those of one key may be as many as the settings say.
const MOST: usize = 8_192;

impl Pool {
    /// An empty pool.
    pub fn new(limits: Keepalive) -> Pool {
        Pool {
            idle: HashMap::default(),
            count: 0,
            shared: HashMap::default(),
            most: MOST.max(limits.pool_size),
            limits,
        }
    }

    /// The connection that was used last and that the service has not closed; of HTTP/2, one that has room. At `now`,
    /// one that has been idle for too long is of no use, though no sweep has closed it yet.
    pub fn take(&mut self, key: &PoolKey, now: Instant) -> Option<Box<Upstream>> {
        if key.http2 {
            let most = self.limits.max_requests;
            let shared = self.shared.get(key)?.iter().find(|shared| shared.has_room(most))?;
            return Some(Upstream::on(key.clone(), Rc::clone(shared)));
        }
        let list = self.idle.get_mut(key)?;
        while let Some(upstream) = list.pop() {
            self.count -= 1;
            let limit = self.limits.idle_timeout;
            let is_fresh = limit.is_zero() || since(now, upstream.since()) < limit;
            if is_fresh && !upstream.is_disturbed() {
                return Some(upstream);
            }
        }
        None
    }

    /// Keeps a connection whose exchange is over, when it may be used again.
    /// `now` may be some time ago: it counts for how long connections stay idle.
    pub fn give(&mut self, mut upstream: Box<Upstream>, now: Instant) {
        upstream.release(now);
        let worn = self.limits.max_requests > 0 && upstream.exchanges() >= self.limits.max_requests;
        if upstream.is_reusable() && !worn && self.limits.pool_size > 0 {
            self.keep(upstream);
        }
    }

    /// Has others use a connection of HTTP/2 as long as it lasts.
    pub fn share(&mut self, key: &PoolKey, shared: &Rc<Shared>) {
        if self.limits.pool_size == 0 {
            return;
        }
        if self.shared.len() >= self.most {
            self.shared.retain(|_, list| list.iter().any(|shared| shared.is_busy()));
        }
        let list = self.shared.entry(key.clone()).or_default();
        list.retain(|shared| !shared.is_closed());
        if list.len() < self.limits.pool_size {
            list.push(Rc::clone(shared));
        }
    }

    /// Closes the connections that have been idle longest, half of those to each address; how many.
    pub fn close_oldest(&mut self) -> usize {
        let mut closed = 0;
        self.shared.retain(|_, list| {
            let before = list.len();
            list.retain(|shared| shared.is_busy());
            closed += before - list.len();
            !list.is_empty()
        });
        self.idle.retain(|_, list| {
            closed += list.drain(..list.len().div_ceil(2)).count();
            !list.is_empty()
        });
        self.count -= closed;
        closed
    }

    /// Closes what has been idle for too long, was closed by the service, or shows a certificate that is no longer to
    /// be shown.
    pub fn sweep(&mut self) {
        let limit = self.limits.idle_timeout;
        self.shared.retain(|key, list| {
            let over = key.tls.as_ref().is_some_and(|tls| tls.terms.are_over());
            list.retain(|shared| !over && !shared.is_closed() && shared.is_wanted(limit));
            !list.is_empty()
        });
        self.retain(|idle| {
            !idle.key().tls.as_ref().is_some_and(|tls| tls.terms.are_over())
                && (limit.is_zero() || idle.since().elapsed() < limit)
                && !idle.is_disturbed()
        });
    }

    fn keep(&mut self, upstream: Box<Upstream>) {
        if self.count >= self.most || (self.idle.len() >= self.most && !self.idle.contains_key(upstream.key())) {
            self.make_room();
        }
        self.count += 1;
        let Some(list) = self.idle.get_mut(upstream.key()) else {
            self.idle.insert(upstream.key().clone(), vec![upstream]);
            return;
        };
        if list.len() >= self.limits.pool_size {
            list.remove(0);
            self.count -= 1;
        }
        list.push(upstream);
    }

    /// Closes an eighth of all connections, those that have been idle for longest.
    fn make_room(&mut self) {
        let mut times: Vec<_> = self.idle.values().flatten().map(|idle| idle.since()).collect();
        let mut surplus = (self.most / 8).max(1).min(times.len());
        if let Some(last) = surplus.checked_sub(1) {
            let limit = *times.select_nth_unstable(last).1;
            self.retain(|idle| {
                let goes = surplus > 0 && idle.since() <= limit;
                surplus -= usize::from(goes);
                !goes
            });
        } else {
            self.retain(|_| true);
        }
    }

    /// Keeps only the connections for which `keep` holds, and only keys that have one.
    fn retain(&mut self, mut keep: impl FnMut(&Upstream) -> bool) {
        self.count = 0;
        self.idle.retain(|_, list| {
            list.retain(|idle| keep(idle));
            self.count += list.len();
            !list.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use wire::h1::ClientConnection;
    use wire::net::{BufferPool, Stream};

    /// A connection to somewhere, idle since so many seconds after `start`.
    async fn idle(listener: &tokio::net::TcpListener, key: u16, start: Instant, seconds: u64) -> Box<Upstream> {
        let socket = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let connection = ClientConnection::new(Stream::Plain(socket), &BufferPool::default(), None);
        let key = PoolKey { address: SocketAddr::from(([127, 0, 0, 1], key)), tls: None, http2: false };
        let counted = std::sync::Arc::<crate::live::OpenConnections>::default().open(key.address);
        Upstream::new(key, connection, counted, start + Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn many_keys_together_have_a_limit() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let start = Instant::now();
        let mut pool = Pool { most: 16, ..Pool::new(Keepalive { pool_size: 3, ..Keepalive::default() }) };
        for n in 0..40 {
            pool.keep(idle(&listener, n, start, 40 - u64::from(n % 8)).await);
            assert!(pool.count <= 16 && pool.idle.len() <= 16);
        }
        assert_eq!(pool.count, pool.idle.values().map(Vec::len).sum::<usize>());
        // Those that were idle for longest went first: the five that were used last are all there.
        let newest = start + Duration::from_secs(40);
        assert_eq!(pool.idle.values().flatten().filter(|idle| idle.since() == newest).count(), 5);
        let key = PoolKey { address: SocketAddr::from(([127, 0, 0, 1], 99)), tls: None, http2: false };
        for _ in 0..5 {
            pool.keep(idle(&listener, 99, start, 100).await);
        }
        assert_eq!(pool.idle[&key].len(), 3);
        let late = start + Duration::from_secs(100);
        assert!((0..3).all(|_| pool.take(&key, late).is_some()) && pool.take(&key, late).is_none());
        assert_eq!(pool.count, pool.idle.values().map(Vec::len).sum::<usize>());
    }

    #[tokio::test]
    async fn what_was_idle_for_too_long_is_not_used_again() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let start = Instant::now();
        let limits = Keepalive { pool_size: 3, idle_timeout: Duration::from_secs(2), ..Keepalive::default() };
        let mut pool = Pool::new(limits);
        let key = PoolKey { address: SocketAddr::from(([127, 0, 0, 1], 1)), tls: None, http2: false };
        for seconds in [0, 5] {
            pool.keep(idle(&listener, 1, start, seconds).await);
        }
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(pool.take(&key, at(6)).map(|upstream| upstream.since()), Some(at(5)));
        assert!(pool.take(&key, at(6)).is_none());
        assert_eq!(pool.count, 0);
    }
}
