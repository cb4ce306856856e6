//! When addresses are probed: available ones and the others each at an interval of their own.

use super::Endpoint;
use super::state::UpstreamState;
use super::target::Task;
use crate::health::probe::Probe;
use crate::health::state::Checks;
use futures_util::{StreamExt, stream};
use std::sync::{Arc, Weak};
use std::time::Duration;

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
    pub fn start(probe: Probe, checks: &Arc<Checks>, upstream: &UpstreamState) -> Option<Probes> {
        let probe = Arc::new(probe);
        let rounds = [(true, probe.checks.healthy_interval), (false, probe.checks.unhealthy_interval)];
        let round = |(available, interval): (bool, Duration)| {
            let rounds = Rounds { probe: Arc::clone(&probe), checks: Arc::clone(checks), available };
            Task(upstream.context().control.spawn(rounds.run(upstream.weak(), interval)).abort_handle())
        };
        let tasks: Vec<Task> = rounds.into_iter().filter(|(_, interval)| !interval.is_zero()).map(round).collect();
        (!tasks.is_empty()).then_some(Probes { probe, _tasks: tasks })
    }

    pub fn probe(&self) -> &Probe {
        &self.probe
    }
}

/// Probes of the addresses that are available, or are not.
struct Rounds {
    probe: Arc<Probe>,
    checks: Arc<Checks>,
    available: bool,
}

impl Rounds {
    /// Round after round. One that takes longer than the interval delays the next one.
    async fn run(self, upstream: Weak<UpstreamState>, interval: Duration) {
        let interval = interval.max(LEAST_INTERVAL);
        let spread = interval.min(SPREAD);
        tokio::time::sleep(spread.mul_f64(f64::from(uuid::Uuid::new_v4().as_u128() as u16) / 65_536.0)).await;
        loop {
            let Some(strong) = upstream.upgrade() else { return };
            let context = Arc::clone(strong.context());
            let endpoints = strong.newest().map(|ring| ring.endpoints(self.available)).unwrap_or_default();
            drop(strong);
            let probe = |endpoint: Arc<Endpoint>| {
                let (probe, checks, context) = (&self.probe, &self.checks, &context);
                async move {
                    let outcome = probe.run(endpoint.address(), endpoint.host(), &context.tls).await;
                    endpoint.count(&checks.active, true, outcome);
                }
            };
            stream::iter(endpoints.into_iter().map(probe))
                .buffer_unordered(self.probe.checks.concurrency.max(1))
                .for_each(|()| async {})
                .await;
            tokio::time::sleep(interval).await;
        }
    }
}
