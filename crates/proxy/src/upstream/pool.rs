//! Idle connections to services, per worker.

use super::Upstream;
use crate::settings::Keepalive;
use crate::tls::Terms;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// What connections must have in common to stand in for each other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PoolKey {
    pub address: SocketAddr,
    pub tls: Option<Tls>,
}

/// How a connection is secured.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tls {
    /// The server name that is asked for.
    pub name: Arc<str>,
    pub terms: Terms,
}

/// Connections on which nothing is under way.
pub struct Pool {
    #[expect(clippy::vec_box, reason = "they are lent out as boxes: moving one must not copy it")]
    idle: HashMap<PoolKey, Vec<Box<Upstream>>, foldhash::fast::RandomState>,
    limits: Keepalive,
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: Keepalive) -> Pool {
        Pool { idle: HashMap::default(), limits }
    }

    /// The connection that was used last and that the service has not closed.
    pub fn take(&mut self, key: &PoolKey) -> Option<Box<Upstream>> {
        let list = self.idle.get_mut(key)?;
        while let Some(upstream) = list.pop() {
            if !upstream.is_disturbed() {
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
        if !upstream.is_reusable() || worn || self.limits.pool_size == 0 {
            return;
        }
        let Some(list) = self.idle.get_mut(upstream.key()) else {
            let key = upstream.key().clone();
            self.idle.insert(key, vec![upstream]);
            return;
        };
        if list.len() >= self.limits.pool_size {
            list.remove(0);
        }
        list.push(upstream);
    }

    /// Closes the connections that have been idle longest, half of those to each address; how many.
    pub fn close_oldest(&mut self) -> usize {
        let mut closed = 0;
        self.idle.retain(|_, list| {
            closed += list.drain(..list.len().div_ceil(2)).count();
            !list.is_empty()
        });
        closed
    }

    /// Closes what has been idle for too long, was closed by the service, or shows a certificate that is no longer to
    /// be shown.
    pub fn sweep(&mut self) {
        let limit = self.limits.idle_timeout;
        self.idle.retain(|key, list| {
            if key.tls.as_ref().is_some_and(|tls| tls.terms.are_over()) {
                return false;
            }
            list.retain(|idle| (limit.is_zero() || idle.since().elapsed() < limit) && !idle.is_disturbed());
            !list.is_empty()
        });
    }
}
