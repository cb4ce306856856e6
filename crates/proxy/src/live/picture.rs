//! What a watch shows at one moment, as the Admin API gives it out.

use super::tally::Sum;
use super::watch::Counted;
use super::{Kind, Named, Subject};
use crate::balancer::{Ring, Standing};
use crate::shared::{Counters, Shared};
use crate::snapshot::Snapshot;
use foldhash::fast::RandomState;
use model::entities::{Upstream, Uuid};
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The picture. Counts are those since the watch began, rates and latencies those since the last picture, in
/// milliseconds.
pub struct Picture {
    pub json: Map<String, Value>,
    /// Upstreams that were wanted, busiest first.
    pub upstreams: Vec<Value>,
}

/// Whose targets a picture is to show: each of them costs a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedUpstreams {
    All,
    /// By id or name.
    Named(HashSet<String>),
}

/// So many records of a kind are shown, those with the most requests; the others are summed up.
const MOST: usize = 200;
/// The name of the rest.
const OTHER: &str = "other";

type CountedBySubject = HashMap<Subject, Counted, RandomState>;

/// What a picture is made of.
struct Scene<'a> {
    snapshot: &'a Snapshot,
    counted: &'a CountedBySubject,
    open: HashMap<SocketAddr, u64, RandomState>,
    seconds: f64,
}

/// A line of a list.
struct Line<'a> {
    id: Option<Uuid>,
    named: &'a Named,
    all: Sum,
    last: Sum,
}

impl Picture {
    /// `interval`, the requests that began in it, and what the listeners have counted.
    pub(super) fn new(
        shared: &Shared,
        counted: &CountedBySubject,
        (interval, requests, counters): (Duration, u64, Counters),
        wanted: &WantedUpstreams,
    ) -> Picture {
        let mut open = HashMap::default();
        shared.live.connections.iter().for_each(|connections| connections.add_to(&mut open));
        let snapshot = shared.snapshot.load();
        let scene = Scene { snapshot: &snapshot, counted, open, seconds: interval.as_secs_f64().max(1e-3) };
        let all = scene.sums(Subject::Requests);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let json = json!({
            "time": now.as_millis() as f64 / 1e3,
            "interval": rounded(scene.seconds),
            "connections": {
                "active": counters.active,
                "reading": 0,
                "writing": counters.active.saturating_sub(counters.idle),
                "waiting": counters.idle,
            },
            "requests": {
                "total": counters.requests,
                "per_second": scene.rate(requests),
                "in_flight": counters.requests.saturating_sub(counters.answered),
                "statuses": statuses(&all.0),
                "errors": all.0.errors(),
            },
            "latency": latency(&all.1),
            "kong_latency": latency(&scene.sums(Subject::Gateway).1),
            "upstream_latency": latency(&scene.sums(Subject::Services).1),
            "services": scene.list(Kind::Service, "name"),
            "routes": scene.list(Kind::Route, "name"),
            "consumers": scene.list(Kind::Consumer, "username"),
        });
        let Value::Object(json) = json else { unreachable!("an object was written") };
        Picture { json, upstreams: scene.upstreams(wanted) }
    }
}

impl WantedUpstreams {
    fn has(&self, upstream: &Upstream) -> bool {
        match self {
            WantedUpstreams::All => true,
            WantedUpstreams::Named(names) => names.contains(&upstream.name) || names.contains(&upstream.id.to_string()),
        }
    }
}

impl Scene<'_> {
    /// Since the beginning, and since the last picture.
    fn sums(&self, subject: Subject) -> (Sum, Sum) {
        self.counted.get(&subject).map(|counted| (counted.all.clone(), counted.last.clone())).unwrap_or_default()
    }

    fn rate(&self, requests: u64) -> f64 {
        rounded(requests as f64 / self.seconds)
    }

    fn workspace(&self, id: &Uuid) -> Value {
        self.snapshot.workspaces.get(id).map_or(json!("default"), |name| json!(&**name))
    }

    /// The records of a kind, busiest first.
    fn list(&self, kind: Kind, name: &str) -> Vec<Value> {
        let none = Named::default();
        let mut lines = Vec::new();
        for (subject, counted) in self.counted {
            let id = match (kind, subject) {
                (Kind::Service, Subject::Service(id)) => Some(*id),
                (Kind::Route, Subject::Route(id)) => Some(*id),
                (Kind::Consumer, Subject::Consumer(id)) => Some(*id),
                (_, Subject::Rest(of)) if *of == kind => None,
                _ => continue,
            };
            let named = if id.is_some() { &counted.named } else { &none };
            lines.push(Line { id, named, all: counted.all.clone(), last: counted.last.clone() });
        }
        lines.sort_by_key(|line| (line.id.is_none(), Reverse(line.all.requests()), line.id));
        let mut other = Line { id: None, named: &none, all: Sum::default(), last: Sum::default() };
        let shown = lines.iter().filter(|line| line.id.is_some()).count().min(MOST);
        for line in lines.drain(shown..) {
            other.all.and(&line.all);
            other.last.and(&line.last);
        }
        lines.extend((other.all.requests() > 0).then_some(other));
        lines.iter().map(|line| self.line(line, name)).collect()
    }

    fn line(&self, line: &Line<'_>, name: &str) -> Value {
        let mut shown = match line.id {
            Some(id) => json!({
                "id": id.to_string(),
                name: line.named.name,
                "workspace": self.workspace(&line.named.workspace),
            }),
            None => json!({ "id": OTHER, name: OTHER, "workspace": null }),
        };
        shown["requests"] = json!(line.all.requests());
        shown["per_second"] = json!(self.rate(line.last.requests()));
        shown["errors"] = json!(line.all.errors());
        shown["p50"] = json!(line.last.percentile(0.5).map(rounded));
        shown["p99"] = json!(line.last.percentile(0.99).map(rounded));
        shown
    }

    /// The upstreams, busiest first; what is not shown of them is nobody's.
    fn upstreams(&self, wanted: &WantedUpstreams) -> Vec<Value> {
        if matches!(wanted, WantedUpstreams::Named(names) if names.is_empty()) {
            return Vec::new();
        }
        let mut requests: HashMap<Uuid, u64, RandomState> = HashMap::default();
        for (subject, counted) in self.counted {
            if let Subject::Target(upstream, _) = subject {
                *requests.entry(*upstream).or_default() += counted.all.requests();
            }
        }
        let is_wanted = |ring: &&Arc<Ring>| wanted.has(ring.upstream());
        let mut rings: Vec<&Arc<Ring>> = self.snapshot.rings.all().filter(is_wanted).collect();
        let busy = |ring: &Ring| requests.get(&ring.upstream().id).copied().unwrap_or_default();
        rings.sort_by(|a, b| busy(b).cmp(&busy(a)).then_with(|| a.name().cmp(b.name())));
        rings.truncate(MOST);
        rings.into_iter().map(|ring| self.upstream(ring)).collect()
    }

    fn upstream(&self, ring: &Ring) -> Value {
        let upstream = ring.upstream();
        let mut targets: Vec<(Standing, Sum, Sum)> = ring
            .standings()
            .into_iter()
            .map(|standing| {
                let subject = standing.address.map(|address| Subject::Target(upstream.id, address));
                let (all, last) = subject.map(|subject| self.sums(subject)).unwrap_or_default();
                (standing, all, last)
            })
            .collect();
        targets.sort_by_key(|(_, all, _)| Reverse(all.requests()));
        let all = |sum: fn(&(Standing, Sum, Sum)) -> u64| targets.iter().map(sum).sum::<u64>();
        let (ever, lately) = (all(|(_, all, _)| all.requests()), all(|(_, _, last)| last.requests()));
        let share = |all: &Sum, last: &Sum| match (ever, lately) {
            (0, 0) => 0.0,
            (_, 0) => rounded(all.requests() as f64 / ever as f64),
            _ => rounded(last.requests() as f64 / lately as f64),
        };
        let target = |(standing, all, last): &(Standing, Sum, Sum)| {
            let connections = standing.address.and_then(|address| self.open.get(&address));
            json!({
                "id": standing.target.to_string(),
                "target": standing.name,
                "address": standing.address.map(|address| address.to_string()),
                "weight": standing.weight,
                "health": standing.health,
                "connections": connections.copied().unwrap_or_default(),
                "requests": all.requests(),
                "per_second": self.rate(last.requests()),
                "share": share(all, last),
                "failures": all.errors(),
                "latency": last.average().or(all.average()).map(rounded),
            })
        };
        let mut shown: Vec<Value> = targets.iter().take(MOST).map(target).collect();
        if targets.len() > MOST {
            let (mut all, mut last) = (Sum::default(), Sum::default());
            for (_, of_all, of_last) in &targets[MOST..] {
                all.and(of_all);
                last.and(of_last);
            }
            shown.push(json!({
                "id": OTHER, "target": OTHER, "address": null, "weight": null, "health": null, "connections": null,
                "requests": all.requests(), "per_second": self.rate(last.requests()), "share": share(&all, &last),
                "failures": all.errors(), "latency": last.average().map(rounded),
            }));
        }
        json!({
            "id": upstream.id.to_string(),
            "name": upstream.name,
            "workspace": self.workspace(&upstream.workspace),
            "algorithm": upstream.algorithm.as_str(),
            "targets": shown,
        })
    }
}

fn statuses(sum: &Sum) -> Value {
    let [a, b, c, d, e, _] = sum.statuses;
    json!({ "1xx": a, "2xx": b, "3xx": c, "4xx": d, "5xx": e })
}

fn latency(sum: &Sum) -> Value {
    let part = |part| sum.percentile(part).map(rounded);
    json!({ "p50": part(0.5), "p90": part(0.9), "p99": part(0.99), "max": sum.longest().map(rounded) })
}

/// Three digits are enough for eyes.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
