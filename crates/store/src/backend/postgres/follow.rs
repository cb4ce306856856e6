//! Follows what other nodes write: our own say what has changed; of a Kong it is known that something has.

use super::events::{CHANNEL, Neighbour, Notice};
use super::pool::{Lease, Server, describe};
use super::{Shared, tls};
use crate::backend::{Reader, Wanted, failure};
use crate::feed::Changes;
use crate::{Change, Operation};
use futures_util::{StreamExt, stream};
use model::Error;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_postgres::AsyncMessage;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// How long a connection that failed is not made again.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a connection on which nothing is said is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(20);
/// How many events are looked at one by one.
const PAGE: i64 = 1000;

/// Follows for as long as the tasks are kept.
pub fn start(shared: &Arc<Shared>, server: &Server, neighbour: &Neighbour) -> JoinSet<()> {
    let heard = Arc::new(Mutex::new(HashSet::from([neighbour.node])));
    let mut tasks = JoinSet::new();
    let listener = Listener { shared: shared.clone(), server: server.clone(), heard: heard.clone() };
    tasks.spawn(listener.run(neighbour.node));
    let poller = Poller { shared: shared.clone(), neighbour: neighbour.clone(), heard, seen: HashSet::new(), at: None };
    tasks.spawn(poller.run());
    tasks
}

/// Listens to our own nodes.
struct Listener {
    shared: Arc<Shared>,
    server: Server,
    /// The nodes that say themselves what they have changed.
    heard: Arc<Mutex<HashSet<Uuid>>>,
}

impl Listener {
    async fn run(self, own: Uuid) {
        let mut first = true;
        loop {
            if let Err(why) = self.listen(own, first).await {
                tracing::warn!("cannot listen to other nodes, asking the database again and again meanwhile: {why}");
            }
            first = false;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Until the connection ends.
    async fn listen(&self, own: Uuid, first: bool) -> Result<(), String> {
        let tls = tls::connector(self.server.tls.as_ref())?;
        let connected = tokio::time::timeout(self.server.timeout, self.server.config().connect(tls)).await;
        let (client, mut connection) = connected.map_err(|_| "timeout")?.map_err(|e| describe(&e))?;
        let (notices, mut heard) = mpsc::unbounded_channel();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(notification) = message
                    && notices.send(notification.payload().to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let ask = async |sql: &str| {
            let asked = tokio::time::timeout(self.server.timeout, client.batch_execute(sql)).await;
            asked.map_err(|_| "timeout".to_owned())?.map_err(|e| describe(&e))
        };
        ask(&format!("LISTEN {CHANNEL}")).await?;
        if !first {
            // What was said meanwhile is lost.
            self.shared.feed.lose();
        }
        loop {
            match tokio::time::timeout(QUIET, heard.recv()).await {
                Ok(Some(payload)) => self.hear(own, &payload).await,
                Ok(None) => return Err("the connection has ended".to_owned()),
                Err(_) => ask("SELECT 1").await?,
            }
        }
    }

    async fn hear(&self, own: Uuid, payload: &str) {
        let Some(notice) = Notice::parse(payload) else { return };
        if notice.node == own || notice.schema != self.shared.schema {
            return;
        }
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(notice.node);
        let taken = match notice.changed {
            Some(changed) => self.shared.clone().reread(changed).await,
            None => {
                self.shared.feed.lose();
                Ok(())
            }
        };
        if taken.is_err() {
            self.shared.feed.lose();
        }
    }
}

/// Looks for events of Kong nodes.
struct Poller {
    shared: Arc<Shared>,
    neighbour: Neighbour,
    heard: Arc<Mutex<HashSet<Uuid>>>,
    /// The events that were seen last, by their ids.
    seen: HashSet<Uuid>,
    /// The server's time at the last look, in microseconds since 1970.
    at: Option<i64>,
}

impl Poller {
    async fn run(mut self) {
        if self.neighbour.frequency.is_zero() {
            return;
        }
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!("cannot look for changes of other nodes: {error}");
            }
            tokio::time::sleep(self.neighbour.frequency).await;
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        const TIME: &str = "(EXTRACT(EPOCH FROM CURRENT_TIMESTAMP(3)) * 1000000)::bigint";
        let lease = self.shared.pool.lease().await?;
        let ask = async |sql: &str, at: i64| {
            let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
                [(&at, Type::INT8), (&PAGE, Type::INT8)];
            let parameters = if sql.contains("$1") { &parameters[..] } else { &[] };
            let answer = tokio::time::timeout(self.shared.pool.timeout(), lease.client.query_typed(sql, parameters));
            answer.await.map_err(|_| failure("timeout"))?.map_err(|error| failure(describe(&error)))
        };
        let now = ask(&format!("SELECT {TIME}"), 0).await?;
        let now: i64 = now.first().map(|row| row.try_get(0)).transpose().map_err(failure)?.unwrap_or_default();
        let Some(at) = self.at.replace(now) else { return Ok(()) };
        // Events may become visible a little after their time.
        let from = at - 1_000_000 - i64::try_from(self.neighbour.propagation.as_micros()).unwrap_or_default();
        let sql = "SELECT id, node_id FROM cluster_events WHERE at > TO_TIMESTAMP($1 / 1000000.0) \
                   AND (nbf IS NULL OR nbf <= CURRENT_TIMESTAMP) AND channel <> 'balancer:post_health' \
                   ORDER BY at LIMIT $2";
        let events = ask(sql, from).await?;
        let mut seen = HashSet::with_capacity(events.len());
        let mut foreign = events.len() as i64 == PAGE;
        for event in events {
            let (id, node): (Uuid, Uuid) = (event.try_get(0).map_err(failure)?, event.try_get(1).map_err(failure)?);
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).contains(&node);
            foreign |= !heard && !self.seen.contains(&id);
            seen.insert(id);
        }
        self.seen = seen;
        if foreign {
            self.shared.feed.lose();
        }
        Ok(())
    }
}

impl Shared {
    /// Reads what another node has changed, and tells the feed. No write of this node comes between.
    async fn reread(self: Arc<Shared>, changed: Vec<(String, String, Option<model::Record>)>) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let (lease, handle): (Lease, Handle) = (self.pool.lease().await?, Handle::current());
        let shared = self.clone();
        let done = spawn_blocking(move || {
            let mut session = shared.session(lease, handle, super::session::READ);
            let known: Vec<_> = changed
                .iter()
                .filter_map(|(entity, id, gone)| Some((shared.layout.table(entity)?, id, gone)))
                .filter(|(table, ..)| table.in_snapshot)
                .collect();
            let wanted: Vec<Wanted<'_>> = known.iter().map(|(table, id, _)| Wanted::id(table, id)).collect();
            let found = session.find(&wanted);
            session.end();
            let mut changes = Changes::default();
            for ((table, _, gone), row) in known.into_iter().zip(found?) {
                let (operation, record) = match (row, gone) {
                    (Some(row), _) => (Operation::Put, (shared.publish)(table, row)),
                    (None, Some(gone)) => (Operation::Delete, gone.clone()),
                    // Whoever has removed it tells.
                    (None, None) => continue,
                };
                changes.push(Change { operation, entity: table.name.clone(), record });
            }
            shared.feed.publish(changes);
            Ok(())
        });
        done.await.map_err(failure)?
    }
}
