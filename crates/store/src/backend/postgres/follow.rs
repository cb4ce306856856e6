//! Follows what other nodes write: our own say what has changed.

use super::events::{CHANNEL, Neighbour, Notice};
use super::named::Named;
use super::poll::Poller;
use super::pool::{Lease, Server};
use super::reach::{describe, is_away};
use super::session::READ;
use super::{Shared, tls};
use crate::backend::{Reader, Row, failure};
use crate::feed::Changes;
use crate::{Change, Operation};
use futures_util::{StreamExt, stream};
use model::{Error, Record};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_postgres::AsyncMessage;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// How long a connection that failed is not made again.
const PAUSE: Duration = Duration::from_secs(1);
/// The same where a pooler is in the way, which stays there.
const LONG_PAUSE: Duration = Duration::from_secs(300);
/// How often a connection on which nothing is said is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(20);

/// Follows for as long as the tasks are kept.
pub fn start(shared: &Arc<Shared>, server: &Server, neighbour: &Neighbour) -> JoinSet<()> {
    let heard = Arc::new(Heard { own: neighbour.node, nodes: Mutex::default() });
    let mut tasks = JoinSet::new();
    let listener = Listener { shared: shared.clone(), server: server.clone(), heard: heard.clone() };
    tasks.spawn(listener.run(neighbour.frequency));
    tasks.spawn(Poller::new(shared.clone(), neighbour.clone(), heard).run());
    tasks
}

/// The nodes that say themselves what they have changed, while they can be heard.
pub struct Heard {
    /// This node.
    own: Uuid,
    nodes: Mutex<HashSet<Uuid>>,
}

impl Heard {
    pub fn has(&self, node: Uuid) -> bool {
        node == self.own || self.nodes.lock().unwrap_or_else(PoisonError::into_inner).contains(&node)
    }

    fn add(&self, node: Uuid) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).insert(node);
    }

    fn forget(&self) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Listens to our own nodes.
struct Listener {
    shared: Arc<Shared>,
    server: Server,
    heard: Arc<Heard>,
}

/// Why the node does not listen any more.
enum Deaf {
    /// The server is away, which is said elsewhere.
    Away(String),
    Failed(String),
    /// What is said does not get here: a pooler gives the server's connection to others in between.
    Pooled,
}

impl Listener {
    async fn run(self, frequency: Duration) {
        let (mut first, mut told) = (true, false);
        loop {
            let heard = self.listen(first, &mut told).await;
            self.heard.forget();
            first = false;
            let instead = match frequency.is_zero() {
                true => "and does not ask for it, as db_update_frequency is 0".to_owned(),
                false => format!("and asks for it every {} seconds", frequency.as_secs_f64()),
            };
            let (why, pause) = match heard {
                Deaf::Away(why) => {
                    self.shared.pool.reach().lost(&why);
                    (None, PAUSE)
                }
                Deaf::Failed(why) => (Some(why), PAUSE),
                Deaf::Pooled => {
                    let why = "notifications do not get through, as behind a pooler in transaction mode";
                    (Some(why.to_owned()), LONG_PAUSE)
                }
            };
            if let Some(why) = why.filter(|_| !std::mem::replace(&mut told, true)) {
                tracing::warn!("the node does not hear at once what other nodes write, {instead}: {why}");
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Until the connection ends. `told` is set back where it can listen.
    async fn listen(&self, first: bool, told: &mut bool) -> Deaf {
        let tls = match tls::connector(self.server.tls.as_ref()) {
            Ok(tls) => tls,
            Err(why) => return Deaf::Failed(why),
        };
        let deaf = |error: tokio_postgres::Error| {
            let why = describe(&error);
            if is_away(&error) { Deaf::Away(why) } else { Deaf::Failed(why) }
        };
        let timeout = || Deaf::Away("timeout".to_owned());
        let config = match self.server.config_of_now().await {
            Ok(config) => config,
            Err(why) => return Deaf::Away(why),
        };
        let (client, mut connection) = match tokio::time::timeout(self.server.timeout, config.connect(tls)).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return deaf(error),
            Err(_) => return timeout(),
        };
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
        let ask = async |sql: &str| match tokio::time::timeout(self.server.timeout, client.batch_execute(sql)).await {
            Ok(done) => done.map_err(deaf),
            Err(_) => Err(timeout()),
        };
        if let Err(deaf) = ask(&format!("LISTEN {CHANNEL}")).await {
            return deaf;
        }
        if !first {
            // What was said meanwhile is lost.
            self.shared.feed.lose();
        }
        let call = Uuid::new_v4().to_string();
        if self.call(&call).await.is_err() {
            return Deaf::Away("it cannot be asked".to_owned());
        }
        let mut called = false;
        loop {
            let patience = if called { QUIET } else { self.server.timeout };
            match tokio::time::timeout(patience, heard.recv()).await {
                Ok(Some(payload)) if payload == call => {
                    called = true;
                    *told = false;
                    self.shared.pool.reach().found();
                }
                Ok(Some(payload)) => self.hear(&payload).await,
                Ok(None) => return Deaf::Away("the connection has ended".to_owned()),
                Err(_) if !called => return Deaf::Pooled,
                Err(_) => {
                    if let Err(deaf) = ask("SELECT 1").await {
                        return deaf;
                    }
                }
            }
        }
    }

    /// Says something on another connection, to hear whether it gets through.
    async fn call(&self, call: &str) -> Result<(), Error> {
        let lease = self.shared.pool.lease().await?;
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&CHANNEL, Type::TEXT), (&call, Type::TEXT)];
        let asked = lease.client.query_typed("SELECT pg_notify($1, $2)", &parameters);
        let answer = tokio::time::timeout(self.server.timeout, asked).await;
        let answer = answer.map_err(|_| self.shared.pool.reach().lost("timeout"))?;
        answer.map(drop).map_err(|error| self.shared.pool.reach().failed(&error))
    }

    async fn hear(&self, payload: &str) {
        let Some(notice) = Notice::parse(payload) else { return };
        let is_known = notice.node == self.heard.own && !self.shared.is_in_doubt();
        if is_known || self.shared.schema().await.is_ok_and(|own| *own != notice.schema) {
            return;
        }
        self.heard.add(notice.node);
        let taken = match notice.changed {
            Some(changed) => self.shared.clone().retell(changed).await,
            None => Err(Error::database("it is not said what has changed")),
        };
        if taken.is_err() {
            self.shared.feed.lose();
        }
    }
}

impl Shared {
    /// Reads what another of our own nodes has changed, and tells the feed. No write of this node comes between.
    async fn retell(self: Arc<Shared>, changed: Vec<(String, String, Option<Record>)>) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let known = changed.into_iter().filter_map(|(entity, id, gone)| {
            let table = self.layout.table(&entity).filter(|table| table.in_snapshot)?;
            Some((Named::id(table, &id), gone))
        });
        let (named, gone): (Vec<Named>, Vec<Option<Record>>) = known.unzip();
        let found = self.clone().rows(named).await?;
        let mut changes = Changes::default();
        for ((named, row), gone) in found.into_iter().zip(gone) {
            let table = self.layout.at(named.table);
            let (operation, record) = match (row, gone) {
                (Some(row), _) => (Operation::Put, (self.publish)(table, row)),
                (None, Some(gone)) => (Operation::Delete, gone),
                // Whoever has removed it tells.
                (None, None) => continue,
            };
            changes.push(Change::new(operation, table.name.clone(), record));
        }
        self.feed.publish(changes);
        Ok(())
    }

    /// The same for what a Kong has changed, which does not say what was removed: that is an error.
    pub(super) async fn reread(self: Arc<Shared>, named: Vec<Named>) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let found = self.clone().rows(named).await?;
        let mut changes = Changes::default();
        for (named, row) in found {
            let table = self.layout.at(named.table);
            let row = row.ok_or_else(|| Error::database("a record is gone"))?;
            let (operation, entity) = (Operation::Put, table.name.clone());
            changes.push(Change::new(operation, entity, (self.publish)(table, row)));
        }
        self.feed.publish(changes);
        Ok(())
    }

    async fn rows(self: Arc<Shared>, named: Vec<Named>) -> Result<Vec<(Named, Option<Row>)>, Error> {
        let (lease, handle): (Lease, Handle) = (self.pool.lease().await?, Handle::current());
        let done = spawn_blocking(move || {
            let mut session = self.session(lease, handle, READ);
            let wanted: Vec<_> = named.iter().map(|named| named.wanted(&self.layout)).collect();
            let found = session.find(&wanted);
            session.end();
            Ok(named.into_iter().zip(found?).collect())
        });
        done.await.map_err(failure)?
    }
}
