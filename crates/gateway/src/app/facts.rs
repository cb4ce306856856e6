//! What the node tells plugins of itself.

use super::plane::Plane;
use model::health::UpstreamHealth;
use sdk::entities::Uuid;
use sdk::{BoxFuture, Connections, Facts, Memory, OwnCertificate};
use std::sync::Arc;
use store::Store;

/// The node of this process.
pub struct NodeFacts {
    pub plane: Arc<Plane>,
    pub store: Store,
    pub workers: usize,
}

impl Facts for NodeFacts {
    fn connections(&self) -> Connections {
        let counted = self.plane.counters();
        Connections {
            accepted: counted.connections_accepted,
            handled: counted.connections_handled,
            active: counted.connections_active,
            reading: counted.connections_reading,
            writing: counted.connections_writing,
            waiting: counted.connections_waiting,
            requests: counted.total_requests,
        }
    }

    fn memory(&self) -> Memory {
        Memory {
            resident: kibibytes("/proc/self/status", "VmRSS:") * 1024,
            total: kibibytes("/proc/meminfo", "MemTotal:") * 1024,
        }
    }

    fn workers(&self) -> (usize, u32) {
        (self.workers, std::process::id())
    }

    fn upstreams(&self) -> Vec<(String, UpstreamHealth)> {
        self.plane.upstreams()
    }

    fn certificate(&self, id: &Uuid) -> Option<OwnCertificate> {
        self.plane.certificate(id)
    }

    fn has_streams(&self) -> bool {
        self.plane.has_streams()
    }

    fn database_reachable(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.store.is_reachable())
    }
}

/// A number that the kernel reports in kB; 0 where there is no such file.
fn kibibytes(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_memory() {
        assert!(kibibytes("/proc/self/status", "VmRSS:") > 0);
        assert_eq!(kibibytes("/nowhere", "VmRSS:"), 0);
    }
}
