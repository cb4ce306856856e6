//! Looks for what other nodes write without saying it themselves: Kong nodes, and our own where they cannot be heard.

use super::Shared;
use super::events::{CACHE, CORE_CACHE, Neighbour, TARGETS, UPSTREAMS};
use super::follow::Heard;
use super::named::{is_of_record_in_snapshot, named};
use crate::backend::failure;
use crate::feed::Announcement;
use model::{Code, Error};
use std::collections::HashSet;
use std::sync::Arc;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// Looks for events.
pub struct Poller {
    shared: Arc<Shared>,
    neighbour: Neighbour,
    heard: Arc<Heard>,
    /// The events that were seen last, by their ids.
    seen: HashSet<Uuid>,
    /// The server's time at the last look, in microseconds since 1970.
    at: Option<i64>,
}

/// How many events are looked at one by one.
const PAGE: i64 = 1000;

/// What has changed is none of these channels' business.
const OTHER: [&str; 1] = ["clustering:push_config"];
/// What is said on these is about records; on all others, about anything else.
const RECORDS: [&str; 4] = [CACHE, CORE_CACHE, TARGETS, UPSTREAMS];

impl Poller {
    pub fn new(shared: Arc<Shared>, neighbour: Neighbour, heard: Arc<Heard>) -> Poller {
        Poller { shared, neighbour, heard, seen: HashSet::new(), at: None }
    }

    /// Looks for ever.
    pub async fn run(mut self) {
        if self.neighbour.frequency.is_zero() {
            return;
        }
        loop {
            match self.look().await {
                Err(error) if error.code != Code::DatabaseUnavailable => {
                    tracing::warn!("cannot look for changes of other nodes: {error}");
                }
                _ => {}
            }
            tokio::time::sleep(self.neighbour.frequency).await;
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let now = self.ask("SELECT (EXTRACT(EPOCH FROM CURRENT_TIMESTAMP(3)) * 1000000)::bigint", &[]).await?;
        let now: i64 = now.first().map(|row| row.try_get(0)).transpose().map_err(failure)?.unwrap_or_default();
        let Some(at) = self.at else {
            self.at = Some(now);
            return Ok(());
        };
        // Events may become visible a little after their time.
        let from = at - 1_000_000 - i64::try_from(self.neighbour.propagation.as_micros()).unwrap_or_default();
        let sql = "SELECT id, node_id, channel, data FROM cluster_events WHERE at > TO_TIMESTAMP($1 / 1000000.0) \
                   AND (nbf IS NULL OR nbf <= CURRENT_TIMESTAMP) AND channel <> ALL ($2) ORDER BY at LIMIT $3";
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&from, Type::INT8), (&&OTHER[..], Type::TEXT_ARRAY), (&PAGE, Type::INT8)];
        let events = self.ask(sql, &parameters).await?;
        self.at = Some(now);
        let mut seen = HashSet::with_capacity(events.len());
        let mut new: Vec<(String, String)> = Vec::new();
        let mut announced = Vec::new();
        let in_doubt = self.shared.is_in_doubt();
        for event in &events {
            let text = |place| event.try_get::<_, Option<String>>(place).map(Option::unwrap_or_default);
            let id: Uuid = event.try_get(0).map_err(failure)?;
            let node: Uuid = event.try_get(1).map_err(failure)?;
            let (channel, data) = (text(2).map_err(failure)?, text(3).map_err(failure)?);
            let is_new = !self.seen.contains(&id);
            let is_of_record = RECORDS.contains(&channel.as_str());
            // Plugins keep values of their own by such keys.
            let is_of_plugin = channel == CACHE && !is_of_record_in_snapshot(&self.shared.layout, &data);
            if is_new && (!is_of_record || is_of_plugin) && node != self.neighbour.node {
                announced.push(Announcement { channel: channel.clone(), data: data.clone() });
            }
            if is_new && is_of_record && (!self.heard.has(node) || (node == self.neighbour.node && in_doubt)) {
                new.push((channel, data));
            }
            seen.insert(id);
        }
        self.seen = seen;
        let whole = events.len() < PAGE as usize;
        let named = named(&self.shared.layout, new.iter().map(|(channel, data)| (channel.as_str(), data.as_str())));
        let taken = match named.filter(|_| whole) {
            Some(named) => named.is_empty() || self.shared.clone().reread(named).await.is_ok(),
            None => false,
        };
        if !taken {
            self.shared.feed.lose();
        }
        // They may be about records that were new.
        announced.into_iter().for_each(|announcement| self.shared.feed.announce(announcement));
        Ok(())
    }

    async fn ask(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        let lease = self.shared.pool.lease().await?;
        let answer = tokio::time::timeout(self.shared.pool.timeout(), lease.client.query_typed(sql, parameters)).await;
        let Ok(answer) = answer else {
            lease.discard();
            return Err(self.shared.pool.reach().lost("timeout"));
        };
        let answer = answer.map_err(|error| self.shared.pool.reach().failed(&error))?;
        self.shared.pool.reach().found();
        Ok(answer)
    }
}
