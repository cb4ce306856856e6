//! Making the next snapshot from the last one and what has changed.
//!
//! The compiler runs on the control runtime, and makes everything aside: as long as [`Prepared`] has not been
//! activated, nothing has happened. A record that cannot be used costs nothing but itself; should making a snapshot
//! fail altogether, the compiler says so, and wants all records anew before it goes on.

use super::consumers::Consumers;
use super::credentials::Credentials;
use super::groups::Groups;
use super::state::{Batch, State};
use super::{Chains, Map, Prepared, Replacement, Snapshot};
use crate::balancer::{Balancers, Rings};
use crate::panic;
use crate::router::{Matching, Router};
use crate::tls::{self, Certificates, Identity, Outbound};
use model::Record;
use sdk::{Env, ErrorPages, PluginKind};
use std::sync::Arc;

/// One record that was put (created or changed) or deleted.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub deleted: bool,
    /// The entity's name, such as `routes`.
    pub entity: &'a str,
    /// What the record is; for a deletion, what it was.
    pub record: &'a Record,
}

/// Holds what is needed to make the next snapshot.
pub struct Compiler {
    matching: Matching,
    balancers: Balancers,
    state: State,
    /// `state` has not been left half changed by a failure.
    intact: bool,
    kinds: &'static [&'static dyn PluginKind],
    env: Env,
    current: Arc<Snapshot>,
}

impl Compiler {
    /// A compiler whose current snapshot is empty.
    pub fn new(
        matching: Matching,
        kinds: &'static [&'static dyn PluginKind],
        env: Env,
        balancers: Balancers,
        certificates: Certificates,
        outbound: Outbound,
        error_pages: ErrorPages,
    ) -> Compiler {
        balancers.secure(&outbound, &certificates);
        let current = Arc::new(empty(matching, certificates, outbound, Arc::new(error_pages)));
        let state = State::new(kinds, env.clone());
        Compiler { matching, balancers, state, intact: true, kinds, env, current }
    }

    /// The snapshot in force.
    pub fn current(&self) -> &Arc<Snapshot> {
        &self.current
    }

    /// The snapshot after a batch of changes, in their order. After an error the last snapshot goes on, and only a
    /// [`Replacement`] leads to another one.
    pub fn apply(&mut self, changes: &[Change<'_>]) -> Result<Prepared, String> {
        if !std::mem::take(&mut self.intact) {
            return Err("an earlier change has failed".to_owned());
        }
        let Compiler { state, current, balancers, .. } = self;
        let prepared = panic::caught(|| {
            let mut next = Snapshot::clone(current);
            let mut batch = Batch::default();
            for change in changes {
                state.take(change, &mut next, &mut batch);
            }
            finish(state, None, current, next, batch, balancers)
        })??;
        self.intact = true;
        self.current = Arc::clone(&prepared.snapshot);
        Ok(prepared)
    }

    /// Begins to take in all records, to replace whatever there was. Nothing changes until [`Compiler::replace`].
    pub fn replacement(&self) -> Replacement {
        let mut state = State::new(self.kinds, self.env.clone());
        state.former_certificates = Some(self.current.certificates.clone());
        let current = &self.current;
        let next = empty(
            self.matching,
            current.certificates.emptied(),
            current.outbound.emptied(),
            Arc::clone(&current.error_pages),
        );
        Replacement { state, next, batch: Batch { all_records: true, all_chains: true, ..Batch::default() } }
    }

    /// The snapshot of exactly the records that were taken in. What outlives changes outlives this one too: counters of
    /// plugins, health and position of upstreams that are still there, and what stands in for records that cannot be
    /// used.
    pub fn replace(&mut self, replacement: Replacement) -> Result<Prepared, String> {
        let Replacement { mut state, mut next, batch } = replacement;
        let (state, prepared) = panic::caught(|| {
            // Settings of TLS may have been renewed while records came in.
            next.certificates = next.certificates.with_default_of(&self.current.certificates);
            next.outbound = self.current.outbound.emptied();
            state.trust.follow(&self.state.trust);
            state.former_certificates = None;
            let prepared = finish(&mut state, Some(&self.state), &self.current, next, batch, &self.balancers);
            prepared.map(|prepared| (state, prepared))
        })??;
        self.state = state;
        self.intact = true;
        self.current = Arc::clone(&prepared.snapshot);
        Ok(prepared)
    }

    /// The snapshot with the same configuration and other settings of TLS: what clients get who name no known server,
    /// and how services are connected to.
    pub fn reload_tls(&mut self, default: Option<Arc<Identity>>, services: tls::Services) -> Result<Prepared, String> {
        if !self.intact {
            return Err("the configuration has to be read anew first".to_owned());
        }
        let state = &mut self.state;
        let mut next = Snapshot::clone(&self.current);
        next.certificates.reload_tls(default);
        next.outbound = self.current.outbound.with_settings(services)?;
        let same = next.outbound.asks_same(&self.current.outbound);
        state.trust.reload_tls(state.services.values().map(Arc::as_ref), same);
        state.finish_trust(&mut next);
        self.current = Arc::new(next);
        let snapshot = Arc::clone(&self.current);
        Ok(Prepared { snapshot, upstreams: Default::default(), certificates: None, secure: true })
    }
}

/// `former` are the records there were, when all of them are replaced.
fn finish(
    state: &mut State,
    former: Option<&State>,
    current: &Snapshot,
    mut next: Snapshot,
    mut batch: Batch,
    balancers: &Balancers,
) -> Result<Prepared, String> {
    let all = batch.all_records;
    state.settle(former, current, &mut next, &mut batch);
    let stray = if all { state.stray_plugin(&next) } else { None };
    if let Some(reason) = batch.refusal.take().or(stray) {
        return Err(reason);
    }
    state.finish_routes(current, &mut next, &batch);
    state.finish_chains(&mut next, &batch);
    state.finish_requests(&mut next, &batch);
    state.finish_trust(&mut next);
    let upstreams = state.rings.finish(&current.rings, &mut next.rings, all, balancers);
    let touched = if all { None } else { Some(batch.certificates) };
    let changed = touched.as_ref().is_none_or(|touched| !touched.is_empty());
    let certificates = changed.then(|| (current.certificates.clone(), touched));
    Ok(Prepared { snapshot: Arc::new(next), upstreams, certificates, secure: changed })
}

/// A snapshot of nothing.
fn empty(matching: Matching, certificates: Certificates, outbound: Outbound, error_pages: Arc<ErrorPages>) -> Snapshot {
    Snapshot {
        router: Router::new(matching),
        chains: Chains::default(),
        rings: Rings::default(),
        consumers: Consumers::default(),
        groups: Groups::default(),
        workspaces: Map::default(),
        credentials: Credentials::default(),
        certificates,
        requests: Arc::default(),
        authorities: Map::default(),
        outbound,
        error_pages,
        degraded: Map::default(),
    }
}
