//! What the Admin API asks of the running node.

use super::plane::Plane;
use super::prefix;
use super::publisher::Progress;
use crate::logging::Logging;
use crate::settings::Settings;
use admin::{Answered, Counters, Interface, Node, Pids, PluginRequest, TargetMark};
use model::Degradation;
use model::health::UpstreamHealth;
use proxy::access_log::{AccessLog, Record, Stamp};
use sdk::entities::{Plugin, Uuid};
use sdk::{AdminRequest, BoxFuture, Fields, PluginKind, Version};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::{PageQuery, Revision, Store};
use tokio::sync::watch;

/// How long the answer to a write waits for the proxy. Compiling takes milliseconds; this is for when it cannot be
/// done.
const PATIENCE: Duration = Duration::from_secs(30);

/// The node of this process.
pub struct RunningNode {
    id: Uuid,
    hostname: String,
    workers: usize,
    settings: Value,
    kinds: &'static [&'static dyn PluginKind],
    env: sdk::Env,
    store: Store,
    plane: Arc<Plane>,
    progress: watch::Receiver<Progress>,
    logging: Logging,
    admin_log: Option<AccessLog>,
    status_log: Option<AccessLog>,
    /// Counts changes of the log level, so that only the last one's timeout takes effect.
    level_changes: Arc<AtomicU64>,
}

impl RunningNode {
    /// The node's facts, gathered once.
    pub fn new(
        settings: &Settings,
        kinds: &'static [&'static dyn PluginKind],
        env: sdk::Env,
        store: Store,
        plane: Arc<Plane>,
        progress: watch::Receiver<Progress>,
        logging: Logging,
    ) -> Result<RunningNode, String> {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        Ok(RunningNode {
            id: prefix::node_id(settings).map_err(|e| format!("cannot keep the node's id: {e}"))?,
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            workers: settings.workers,
            settings: settings.describe(&names),
            kinds,
            env,
            store,
            plane,
            progress,
            logging,
            admin_log: None,
            status_log: None,
            level_changes: Arc::default(),
        })
    }

    /// Notes requests to the Admin and the Status API.
    pub fn with_access_logs(self, admin_log: Option<AccessLog>, status_log: Option<AccessLog>) -> RunningNode {
        RunningNode { admin_log, status_log, ..self }
    }

    fn access_log(&self, interface: Interface) -> Option<&AccessLog> {
        match interface {
            Interface::Admin => self.admin_log.as_ref(),
            Interface::Status => self.status_log.as_ref(),
        }
    }

    /// The configured instances of a plugin.
    async fn instances(&self, name: &str) -> Result<Vec<Plugin>, String> {
        let mut query = PageQuery { size: 1000, ..PageQuery::default() };
        let mut found = Vec::new();
        loop {
            let page = self.store.page("plugins", &query).await.map_err(|e| e.message)?;
            let named = page.data.iter().filter(|record| record.get("name").and_then(Value::as_str) == Some(name));
            found.extend(named.filter_map(|record| Plugin::from_record(record).ok()));
            match page.offset {
                Some(offset) => query.offset = Some(offset),
                None => return Ok(found),
            }
        }
    }
}

impl Node for RunningNode {
    fn id(&self) -> Uuid {
        self.id
    }

    fn hostname(&self) -> String {
        self.hostname.clone()
    }

    fn pids(&self) -> Pids {
        Pids { master: std::process::id(), workers: vec![std::process::id(); self.workers] }
    }

    fn settings(&self) -> Value {
        self.settings.clone()
    }

    fn counters(&self) -> Counters {
        self.plane.counters()
    }

    fn applied(&self, revision: Revision) -> BoxFuture<'_, ()> {
        let mut progress = self.progress.clone();
        Box::pin(async move {
            // What cannot be taken into force is said on `/status`: it may take for ever.
            match tokio::time::timeout(PATIENCE, progress.wait_for(|at| at.tried >= revision)).await {
                Ok(Ok(_)) => {}
                // The node is ending.
                Ok(Err(_)) => {}
                Err(_) => tracing::error!("a change that was written does not reach the proxy"),
            }
        })
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn degraded(&self) -> Vec<Arc<Degradation>> {
        self.progress.borrow().degraded().into_iter().chain(self.plane.degraded()).collect()
    }

    fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth> {
        self.plane.upstream_health(upstream)
    }

    fn set_target_health(&self, mark: &TargetMark) -> Result<(), String> {
        self.plane.set_target_health(mark)
    }

    fn log_level(&self) -> String {
        self.logging.level().to_owned()
    }

    fn set_log_level(&self, level: &str, timeout: Duration) {
        let before = self.logging.level();
        let number = self.level_changes.fetch_add(1, Ordering::Relaxed) + 1;
        self.logging.set_level(level);
        if timeout.is_zero() {
            return;
        }
        let (logging, changes) = (self.logging.clone(), Arc::clone(&self.level_changes));
        tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            if changes.load(Ordering::Relaxed) == number {
                logging.set_level(before);
            }
        });
    }

    fn notes(&self, interface: Interface) -> bool {
        self.access_log(interface).is_some()
    }

    fn note(&self, interface: Interface, answered: &Answered<'_>) {
        let Some(log) = self.access_log(interface) else { return };
        let fields = |map: &admin::HeaderMap| {
            map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect::<Fields>()
        };
        let client = answered.origin.peer.ip().to_canonical().to_string();
        let mut now = Stamp::default();
        now.set(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or_default()),
        );
        let entry = Record {
            client: &client,
            client_port: answered.origin.peer.port(),
            peer: answered.origin.peer,
            local: answered.origin.local,
            tls: answered.origin.tls,
            sni: None,
            server: match interface {
                Interface::Admin => "kong_admin",
                Interface::Status => "kong_status",
            },
            connection: answered.origin.connection,
            connection_requests: answered.request,
            method: answered.method,
            target: answered.target,
            version: if answered.http_1_0 { Version::Http10 } else { Version::Http11 },
            request: &fields(answered.request_headers),
            kept: None,
            response: &fields(answered.response_headers),
            status: answered.status,
            sent: None,
            content_sent: answered.content,
            received: None,
            id: None,
            elapsed: answered.took,
            tries: &[],
            since_last_try: Duration::ZERO,
            now: &now,
        };
        let mut line = Vec::new();
        log.format.write(&entry, &mut line);
        log.sink.put(line, 1);
    }

    fn plugin_admin(&self, request: PluginRequest) -> Option<BoxFuture<'_, (u16, Value)>> {
        let request = AdminRequest {
            method: request.method,
            path: request.path,
            query: request.query,
            body: request.body,
            instances: Vec::new(),
        };
        // Whose it is shows without the instances, which have to be fetched first.
        let kind = *self.kinds.iter().find(|kind| kind.admin(&request, &self.env).is_some())?;
        Some(Box::pin(async move {
            let instances = match self.instances(kind.name()).await {
                Ok(instances) => instances,
                Err(error) => {
                    tracing::error!("cannot read the instances of {}: {error}", kind.name());
                    return (500, json!({ "message": "An unexpected error occurred" }));
                }
            };
            match kind.admin(&AdminRequest { instances, ..request }, &self.env) {
                Some(answer) => {
                    let answer = answer.await;
                    (answer.status, answer.body)
                }
                None => (404, json!({ "message": "Not found" })),
            }
        }))
    }
}
