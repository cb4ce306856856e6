//! What `/metrics` shows: the state of the node, and what was counted. Names, labels and words are Kong's, for the
//! dashboards that know them.

use super::series::{Families, Wanted};
use model::health::UpstreamHealth;
use sdk::metrics::{Exposition, Kind};
use sdk::{Env, Exchange, Facts, KONG_VERSION};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The metrics of a node, over all changes of its configuration.
#[derive(Default)]
pub struct Exporter {
    families: OnceLock<Families>,
    /// The instances that there are, and those of them that want upstreams to be shown.
    instances: AtomicUsize,
    showing_upstreams: AtomicUsize,
    showing_filters: AtomicUsize,
}

/// What an instance wants to be shown beside what is counted.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub upstreams: bool,
    /// What filters in WebAssembly count.
    pub filters: bool,
}

/// Kong tells its HTTP and its stream side apart.
const SUBSYSTEM: &str = "http";
const STREAMS: &str = "stream";

/// What an address of an upstream can be.
const STATES: [&str; 4] = ["healthchecks_off", "healthy", "unhealthy", "dns_error"];

impl Exporter {
    /// An instance was configured.
    pub fn enter(&self, env: &Env, shows: Shown) {
        self.families.get_or_init(|| Families::new(env.metrics()));
        self.instances.fetch_add(1, Relaxed);
        self.showing_upstreams.fetch_add(usize::from(shows.upstreams), Relaxed);
        self.showing_filters.fetch_add(usize::from(shows.filters), Relaxed);
    }

    /// An instance is gone.
    pub fn leave(&self, shows: Shown) {
        self.instances.fetch_sub(1, Relaxed);
        self.showing_upstreams.fetch_sub(usize::from(shows.upstreams), Relaxed);
        self.showing_filters.fetch_sub(usize::from(shows.filters), Relaxed);
    }

    /// Counts a request that is over.
    pub fn count(&self, exchange: &Exchange, wanted: Wanted) {
        if let Some(families) = self.families.get() {
            families.count(exchange, wanted);
        }
    }

    /// All metrics as text. What was counted is shown as long as there is an instance.
    pub async fn text(&self, env: &Env) -> String {
        let mut out = Exposition::default();
        if let Some(facts) = env.facts() {
            let reachable = facts.database_reachable().await;
            node(&mut out, env, &*facts, reachable);
            if self.showing_upstreams.load(Relaxed) > 0 {
                upstreams(&mut out, facts.upstreams());
            }
        }
        if let Some(families) = self.families.get().filter(|_| self.instances.load(Relaxed) > 0) {
            for family in [
                &families.requests,
                &families.sessions,
                &families.own_latency,
                &families.upstream_latency,
                &families.request_latency,
                &families.session_duration,
            ] {
                out.counted(&[family]);
            }
            out.counted(&[&families.bandwidth, &families.session_bandwidth]);
            let errors = "kong_nginx_metric_errors_total";
            out.begin(errors, Kind::Counter, "Number of nginx-lua-prometheus errors");
            out.sample(errors, &[], env.metrics().refused() as f64);
        }
        let mut text = out.finish();
        if self.showing_filters.load(Relaxed) > 0 {
            text.push_str(&sdk::filters::metrics().unwrap_or_default());
        }
        text
    }
}

/// There is no shared memory here and no Lua heap per worker: `kong` is the memory of the process within that of the
/// machine, as on `/status`, and the process is one for all workers.
fn node(out: &mut Exposition, env: &Env, facts: &dyn Facts, database_reachable: bool) {
    let id = env.node().id.to_string();
    let node = ("node_id", id.as_str());
    let gauge = |out: &mut Exposition, name: &str, help: &str, samples: &[(&[(&str, &str)], u64)]| {
        out.begin(name, Kind::Gauge, help);
        for (labels, number) in samples {
            out.sample(name, labels, *number as f64);
        }
    };
    let help = "Datastore reachable from Kong, 0 is unreachable";
    out.gauge("kong_datastore_reachable", help, f64::from(u8::from(database_reachable)));
    let connections = facts.connections();
    let states = [
        ("accepted", connections.accepted),
        ("active", connections.active),
        ("handled", connections.handled),
        ("reading", connections.reading),
        ("total", connections.requests),
        ("waiting", connections.waiting),
        ("writing", connections.writing),
    ];
    // As in nginx, both subsystems show the numbers of the node as a whole.
    let streams = facts.has_streams().then_some(STREAMS);
    let subsystems = || std::iter::once(SUBSYSTEM).chain(streams);
    let name = "kong_nginx_connections_total";
    out.begin(name, Kind::Gauge, "Number of connections by subsystem");
    for subsystem in subsystems() {
        for (state, number) in states {
            out.sample(name, &[node, ("subsystem", subsystem), ("state", state)], number as f64);
        }
    }
    let name = "kong_nginx_requests_total";
    out.begin(name, Kind::Gauge, "Number of requests total");
    for subsystem in subsystems() {
        out.sample(name, &[node, ("subsystem", subsystem)], connections.requests as f64);
    }
    let running = env.tasks().running() as u64;
    let timers: &[(&[(&str, &str)], u64)] = &[(&[("state", "pending")], 0), (&[("state", "running")], running)];
    gauge(out, "kong_nginx_timers", "Number of nginx timers", timers);
    gauge(out, "kong_node_info", "Kong Node metadata information", &[(&[node, ("version", KONG_VERSION)], 1)]);
    let memory = facts.memory();
    let of_kong: &[(&str, &str)] = &[node, ("shared_dict", "kong"), ("kong_subsystem", SUBSYSTEM)];
    let help = "Allocated slabs in bytes in a shared_dict";
    gauge(out, "kong_memory_lua_shared_dict_bytes", help, &[(of_kong, memory.resident)]);
    let help = "Total capacity in bytes of a shared_dict";
    gauge(out, "kong_memory_lua_shared_dict_total_bytes", help, &[(of_kong, memory.total)]);
    let pid = std::process::id().to_string();
    let of_process: &[(&str, &str)] = &[node, ("pid", &pid), ("kong_subsystem", SUBSYSTEM)];
    let help = "Allocated bytes in worker Lua VM";
    gauge(out, "kong_memory_workers_lua_vms_bytes", help, &[(of_process, memory.resident)]);
}

/// A one for the state of each address, and zeros for the states that it is not in. Upstreams of two workspaces that
/// have the same name and targets would be one series twice: the first one is shown, as the format demands.
fn upstreams(out: &mut Exposition, mut upstreams: Vec<(String, UpstreamHealth)>) {
    let name = "kong_upstream_target_health";
    upstreams.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut addresses: Vec<(&str, String, String, &str)> = Vec::new();
    for (upstream, health) in &upstreams {
        for host in &health.hosts {
            let target = format!("{}:{}", host.host, host.port);
            for address in &host.addresses {
                // As in `/upstreams/…/health`: what takes no requests is not checked.
                let state = match (health.checked && address.weight > 0, address.healthy) {
                    (false, _) => "healthchecks_off",
                    (true, true) => "healthy",
                    (true, false) => "unhealthy",
                };
                addresses.push((upstream, target.clone(), format!("{}:{}", address.ip, address.port), state));
            }
            if host.addresses.is_empty() {
                addresses.push((upstream, target, String::new(), "dns_error"));
            }
        }
    }
    addresses.sort();
    addresses.dedup_by(|a, b| (a.0, &a.1, &a.2) == (b.0, &b.1, &b.2));
    if addresses.is_empty() {
        return;
    }
    let help = "Health status of targets of upstream. States = healthchecks_off|healthy|unhealthy|dns_error, value is \
                1 when state is populated.";
    out.begin(name, Kind::Gauge, help);
    for (upstream, target, address, state) in &addresses {
        let labels = |state| {
            [
                ("upstream", *upstream),
                ("target", target),
                ("address", address),
                ("state", state),
                ("subsystem", SUBSYSTEM),
            ]
        };
        for known in STATES {
            out.sample(name, &labels(known), if known == *state { 1.0 } else { 0.0 });
        }
    }
}
