//! Counters in the database, for all nodes that share it: asked before a request is let through, told afterwards, as in
//! Kong. What this node has let through is known here at once, so that on a single node a limit holds exactly.

use super::{Ceiling, Counters, Key, Subject, Usage, Who};
use sdk::{Addition, Counter, Env, Records, RecordsError, Tasks};
use std::sync::Arc;
use std::time::Duration;

/// The entity that `rate-limiting` brings along.
const ENTITY: &str = "ratelimiting_metrics";

/// A database that counts.
#[derive(Clone)]
pub struct DatabaseCounters {
    records: Records,
    tasks: Tasks,
    local: Arc<Counters>,
}

impl DatabaseCounters {
    /// Counters in the node's store.
    pub fn new(env: &Env) -> DatabaseCounters {
        DatabaseCounters { records: env.records().clone(), tasks: env.tasks().clone(), local: env.shared() }
    }

    /// See [`super::SharedCounters::take`].
    pub async fn take(&self, what: &Subject, amount: u32, limits: &[Ceiling], now: u64) -> Result<Usage, RecordsError> {
        let key = Key { route: what.route, service: what.service, who: who(what) };
        let here = self.local.peek(&key, limits, now);
        if here.refused_by.is_some() {
            return Ok(here);
        }
        let counters: Vec<_> = limits.iter().map(|limit| counter(what, limit, now)).collect();
        let counts = self.records.counts(counters.clone()).await?;
        let mut usage = here;
        for ((window, limit), count) in limits.iter().zip(counts) {
            let used = &mut usage.used[*window as usize];
            *used = (*used).max(u32::try_from(count.max(0)).unwrap_or(u32::MAX));
            if *used >= *limit {
                usage.refused_by = usage.refused_by.or(Some(*window));
            }
        }
        if amount == 0 || usage.refused_by.is_some() {
            return Ok(usage);
        }
        // Others may have come first while the database was asked.
        usage.refused_by = self.local.take(&key, amount, limits, now).refused_by;
        if usage.refused_by.is_none() {
            self.tell(counters, amount, limits);
        }
        Ok(usage)
    }

    fn tell(&self, counters: Vec<Counter>, amount: u32, limits: &[Ceiling]) {
        let amount = i64::from(amount);
        let addition = |(counter, (window, _)): (Counter, &Ceiling)| Addition {
            counter,
            amount,
            kept: Duration::from_secs(u64::from(window.longest())),
        };
        let additions = counters.into_iter().zip(limits).map(addition).collect();
        let records = self.records.clone();
        self.tasks.spawn("counting in the database", async move {
            if let Err(error) = records.add(additions).await {
                tracing::error!("counters in the database: {error}");
            }
        });
    }
}

fn counter(what: &Subject, (window, _): &Ceiling, now: u64) -> Counter {
    let period = match &what.name {
        Some(name) => format!("{name}_{}", window.name()),
        None => window.name().to_owned(),
    };
    Counter {
        entity: ENTITY,
        identifier: String::from_utf8_lossy(&what.identifier).into_owned(),
        period,
        began: window.start(now) as i64 * 1_000,
        service: what.service,
        route: what.route,
    }
}

/// Apart from those whom policy `local` counts by the same names, which have no zero octets.
fn who(what: &Subject) -> Who {
    let name = what.name.as_deref().unwrap_or_default();
    Who::of(&[b"database\0", name.as_bytes(), b"\0", &what.identifier].concat())
}
