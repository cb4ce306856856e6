//! When addresses are probed: available ones and the others each at an interval of their own.

use super::Endpoint;
use super::ring::{Ring, Task};
use crate::health::probe::Probe;
use futures_util::{StreamExt, stream};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;

/// The probes of one upstream; they end when dropped.
pub(super) struct Probes {
    probe: Arc<Probe>,
    _tasks: Vec<Task>,
}

/// Probes of one upstream do not follow each other faster than that.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);
/// The first probes come within this time, so that a thousand upstreams are not probed at one moment.
const SPREAD: Duration = Duration::from_secs(1);

impl Probes {
    /// Starts what the configuration asks for; `None` when that is nothing.
    pub fn start(probe: Probe, ring: &Weak<Ring>, control: &Handle) -> Option<Probes> {
        let probe = Arc::new(probe);
        let rounds = [(true, probe.checks.healthy_interval), (false, probe.checks.unhealthy_interval)];
        let round = |(available, interval): (bool, Duration)| {
            Task(control.spawn(rounds_of(Arc::clone(&probe), ring.clone(), available, interval)).abort_handle())
        };
        let tasks: Vec<Task> = rounds.into_iter().filter(|(_, interval)| !interval.is_zero()).map(round).collect();
        (!tasks.is_empty()).then_some(Probes { probe, _tasks: tasks })
    }

    pub fn probe(&self) -> &Probe {
        &self.probe
    }
}

/// Probes the addresses that are available (or are not), round after round. A round that takes longer than the interval
/// delays the next one.
async fn rounds_of(probe: Arc<Probe>, ring: Weak<Ring>, available: bool, interval: Duration) {
    let interval = interval.max(LEAST_INTERVAL);
    let spread = interval.min(SPREAD);
    tokio::time::sleep(spread.mul_f64(f64::from(uuid::Uuid::new_v4().as_u128() as u16) / 65_536.0)).await;
    loop {
        let Some(strong) = ring.upgrade() else { return };
        let context = Arc::clone(strong.context());
        let endpoints: Vec<Arc<Endpoint>> = strong
            .plan()
            .slots()
            .iter()
            .map(|s| &s.endpoint)
            .filter(|e| e.is_available() == available)
            .cloned()
            .collect();
        drop(strong);
        let probe_one = |endpoint: Arc<Endpoint>| {
            let (probe, context) = (Arc::clone(&probe), Arc::clone(&context));
            async move { endpoint.count(true, probe.run(endpoint.address(), endpoint.host(), &context.tls).await) }
        };
        stream::iter(endpoints.into_iter().map(probe_one))
            .buffer_unordered(probe.checks.concurrency.max(1))
            .for_each(|()| async {})
            .await;
        tokio::time::sleep(interval).await;
    }
}
