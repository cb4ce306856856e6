//! Metrics of requests and of the node on their way to an OTLP server, every so often.

use super::delivery::Delivery;
use super::encode::{self, Point};
use super::series::{Series, Wanted};
use sdk::{Bytes, Config, Deliver, Env, Exchange, Facts};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What instances with the same server and the same settings count together.
pub struct Push {
    delivery: Delivery,
    series: Series,
    wanted: Wanted,
    upstreams: bool,
    /// When counting began, in nanoseconds since 1970.
    since: u64,
    env: Env,
}

/// Those of a node. They outlive changes of the configuration that do not concern them.
#[derive(Default)]
struct Pushes(Mutex<HashMap<String, Weak<Push>>>);

impl Push {
    /// To the server of `metrics`, from now on, as long as somebody holds it; `None`: there is none.
    pub fn open(config: Config<'_>, env: &Env) -> Result<Option<Arc<Push>>, String> {
        let metrics = config.section("metrics");
        let Some(endpoint) = metrics.text("endpoint") else { return Ok(None) };
        let wanted = Wanted {
            requests: metrics.flag("enable_request_metrics"),
            latency: metrics.flag("enable_latency_metrics"),
            bandwidth: metrics.flag("enable_bandwidth_metrics"),
            consumer: metrics.flag("enable_consumer_attribute"),
        };
        let upstreams = metrics.flag("enable_upstream_health_metrics");
        let period = metrics.number("push_interval").filter(|seconds| *seconds > 0.0).unwrap_or(60.0);
        let period = Duration::try_from_secs_f64(period).map_err(|e| format!("config.metrics.push_interval: {e}"))?;
        let delivery = Delivery::new(endpoint, config, env)?;
        let key = format!("{wanted:?} {upstreams} {period:?} {}", delivery.key());
        let pushes: Arc<Pushes> = env.shared();
        let mut known = pushes.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(push) = known.get(&key).and_then(Weak::upgrade) {
            return Ok(Some(push));
        }
        let series = Series::new(env.metrics());
        let push = Arc::new(Push { delivery, series, wanted, upstreams, since: now(), env: env.clone() });
        known.retain(|_, push| push.strong_count() > 0);
        known.insert(key, Arc::downgrade(&push));
        let (held, stopping) = (Arc::downgrade(&push), env.tasks().stopping());
        env.tasks().spawn("metrics for OTLP", async move {
            loop {
                let ended = stopping.run_until_cancelled(tokio::time::sleep(period)).await.is_none();
                let Some(push) = held.upgrade() else { break };
                push.send().await;
                if ended {
                    break;
                }
            }
        });
        Ok(Some(push))
    }

    /// Counts a request that is over.
    pub fn count(&self, exchange: &Exchange) {
        self.series.count(exchange, self.wanted);
    }

    async fn send(&self) {
        let batch = self.batch().await;
        if let Err(error) = self.delivery.deliver(&batch).await {
            tracing::error!("opentelemetry: metrics are not delivered: {error}");
        }
    }

    /// All metrics, each as a message.
    pub async fn batch(&self) -> Vec<Bytes> {
        let time = (self.since, now());
        let counted = self.series.metrics.iter().filter_map(|metric| {
            let samples = metric.family.read();
            (!samples.is_empty()).then(|| encode::metric(metric, &samples, time).into())
        });
        let mut batch: Vec<Bytes> = counted.collect();
        if let Some(facts) = self.env.facts() {
            let reachable = facts.database_reachable().await;
            batch.extend(node(&*facts, reachable, time.1));
            if self.upstreams {
                batch.extend(upstreams(&*facts, time.1));
            }
        }
        batch
    }
}

/// The state of the node. There is no shared memory here and no Lua heap per worker.
fn node(facts: &dyn Facts, database: bool, time: u64) -> Vec<Bytes> {
    let connections = facts.connections();
    let states = [
        ("accepted", connections.accepted),
        ("active", connections.active),
        ("handled", connections.handled),
        ("reading", connections.reading),
        ("waiting", connections.waiting),
        ("writing", connections.writing),
    ];
    let points =
        states.map(|(state, number)| Point { attributes: vec![("kong.connection.state", state.to_owned())], number });
    let database = [Point { attributes: Vec::new(), number: u64::from(database) }];
    vec![
        encode::gauge("kong.nginx.connection.count", "{connection}", &points, time).into(),
        encode::gauge("kong.db.connection.status", "1", &database, time).into(),
    ]
}

/// A one for the state of each address of an upstream, and zeros for the states that it is not in.
fn upstreams(facts: &dyn Facts, time: u64) -> Option<Bytes> {
    let mut points = Vec::new();
    for (upstream, health) in facts.upstreams() {
        for host in &health.hosts {
            let target = format!("{}:{}", host.host, host.port);
            let mut addresses: Vec<_> = host
                .addresses
                .iter()
                .map(|address| {
                    (format!("{}:{}", address.ip, address.port), if address.healthy { "healthy" } else { "unhealthy" })
                })
                .collect();
            if addresses.is_empty() {
                addresses.push((String::new(), "dns_error"));
            }
            for (address, state) in addresses {
                for known in ["healthy", "unhealthy", "dns_error"] {
                    let attributes = vec![
                        ("kong.upstream.name", upstream.clone()),
                        ("kong.target.address", target.clone()),
                        ("server.address", address.clone()),
                        ("kong.upstream.state", known.to_owned()),
                        ("kong.subsystem", "http".to_owned()),
                    ];
                    points.push(Point { attributes, number: u64::from(known == state) });
                }
            }
        }
    }
    (!points.is_empty()).then(|| encode::gauge("kong.upstream.target.status", "1", &points, time).into())
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}
