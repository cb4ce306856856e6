//! Adding up what the workers count, from one moment to the next.

use super::picture::{Picture, WantedUpstreams};
use super::tally::{Sum, Tally};
use super::{Named, Subject};
use crate::shared::Shared;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Has the workers count until it is dropped. There is one at a time; who shows it to several does so itself.
pub struct Watch {
    shared: Arc<Shared>,
    number: u64,
    counted: HashMap<Subject, Counted, RandomState>,
    /// When the last picture was taken, and how many requests there had been by then.
    last: (Instant, u64),
}

/// One subject, of all workers.
#[derive(Default)]
pub(super) struct Counted {
    pub named: Named,
    tallies: Vec<Arc<Tally>>,
    /// Since the watch began.
    pub all: Sum,
    /// Since the last picture.
    pub last: Sum,
}

impl Watch {
    pub(crate) fn begin(shared: &Arc<Shared>) -> Watch {
        let number = shared.live.begin();
        let requests = shared.counters().requests;
        Watch { shared: Arc::clone(shared), number, counted: HashMap::default(), last: (Instant::now(), requests) }
    }

    /// What has gone through the node since the last picture, or since the beginning, with the upstreams that are
    /// wanted.
    pub fn picture(&mut self, wanted: &WantedUpstreams) -> Picture {
        for begun in self.shared.live.take_begun().into_iter().filter(|begun| begun.watch == self.number) {
            let counted = self.counted.entry(begun.subject).or_default();
            counted.named = begun.named;
            counted.tallies.push(begun.tally);
        }
        for counted in self.counted.values_mut() {
            let mut all = Sum::default();
            counted.tallies.iter().for_each(|tally| tally.add_to(&mut all));
            counted.last = all.since(&counted.all);
            counted.all = all;
        }
        let counters = self.shared.counters();
        let now = Instant::now();
        let interval = now.saturating_duration_since(self.last.0);
        let requests = counters.requests.saturating_sub(self.last.1);
        self.last = (now, counters.requests);
        Picture::new(&self.shared, &self.counted, (interval, requests, counters), wanted)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.live.end(self.number);
    }
}
