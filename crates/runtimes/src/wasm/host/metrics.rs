//! What filters count: counters, gauges and histograms, one set for all workers.

use super::memory::{read_name, write};
use super::{Guest, Host, Status, code, memory};
use regex::Regex;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use wasmtime::{Linker, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

struct Metric {
    filter: &'static super::Filter,
    name: String,
    kind: Kind,
    value: AtomicU64,
    /// Of a histogram: how many values need so many bits.
    bins: [AtomicU64; BINS],
}

/// The last bin is for whatever is larger than 32 bits can say.
const BINS: usize = 33;
/// How many there may be; a filter that makes names of what clients send is refused more.
const MOST: usize = 10_000;

/// By their ids, which begin at 1. Only new metrics wait for each other.
static METRICS: RwLock<Vec<Arc<Metric>>> = RwLock::new(Vec::new());

pub fn add(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut guest: Guest<'_>, kind: u32, name: u32, size: u32, place: u32| {
            code((|| {
                let name = read_name(&mut guest, name, size)?;
                let id = define(guest.data(), kind, name)?;
                memory::write_u32(&mut guest, place, id)
            })())
        },
    )?;
    linker.func_wrap("env", "proxy_increment_metric", |_: Guest<'_>, id: u32, offset: i64| {
        code(metric(id).and_then(|metric| metric.increment(offset)))
    })?;
    linker.func_wrap("env", "proxy_record_metric", |_: Guest<'_>, id: u32, value: u64| {
        code(metric(id).and_then(|metric| metric.record(value)))
    })?;
    linker.func_wrap("env", "proxy_get_metric", |mut guest: Guest<'_>, id: u32, place: u32| {
        code((|| {
            let value = metric(id)?.value.load(Relaxed);
            write(&mut guest, place, &value.to_le_bytes())
        })())
    })?;
    Ok(())
}

fn define(host: &Host, kind: u32, name: String) -> Result<u32, Status> {
    let kind = match kind {
        0 => Kind::Counter,
        1 => Kind::Gauge,
        2 => Kind::Histogram,
        _ => return Err(Status::BadArgument),
    };
    let mut all = METRICS.write().unwrap_or_else(PoisonError::into_inner);
    let is_it = |metric: &Arc<Metric>| metric.filter.name == host.filter.name && metric.name == name;
    if let Some(at) = all.iter().position(is_it) {
        return if all[at].kind == kind { Ok(at as u32 + 1) } else { Err(Status::BadArgument) };
    }
    if all.len() >= MOST {
        return Err(Status::InternalFailure);
    }
    let bins = std::array::from_fn(|_| AtomicU64::new(0));
    all.push(Arc::new(Metric { filter: host.filter, name, kind, value: AtomicU64::new(0), bins }));
    Ok(all.len() as u32)
}

fn metric(id: u32) -> Result<Arc<Metric>, Status> {
    let all = METRICS.read().unwrap_or_else(PoisonError::into_inner);
    (id as usize).checked_sub(1).and_then(|at| all.get(at)).cloned().ok_or(Status::NotFound)
}

impl Metric {
    fn increment(&self, offset: i64) -> Result<(), Status> {
        match self.kind {
            Kind::Histogram => return Err(Status::BadArgument),
            Kind::Counter if offset < 0 => return Err(Status::BadArgument),
            Kind::Counter | Kind::Gauge => self.value.fetch_add(offset as u64, Relaxed),
        };
        Ok(())
    }

    fn record(&self, value: u64) -> Result<(), Status> {
        match self.kind {
            Kind::Counter => return Err(Status::BadArgument),
            Kind::Gauge => self.value.store(value, Relaxed),
            Kind::Histogram => {
                let bits = 64 - value.saturating_sub(1).leading_zeros() as usize;
                self.bins[bits.min(BINS - 1)].fetch_add(1, Relaxed);
                self.value.fetch_add(value, Relaxed);
            }
        }
        Ok(())
    }

    /// Its name for Prometheus and its labels, both as Kong makes them.
    fn named(&self) -> (String, Vec<(String, String)>) {
        let key = format!("pw:{}:{}", self.filter.name, self.name);
        let (mut end, mut labels) = (key.len(), Vec::new());
        for (label, pattern) in &self.filter.meta.label_patterns {
            let Ok(pattern) = Regex::new(pattern) else { continue };
            if let Some(found) = pattern.captures(&key)
                && let (Some(whole), Some(value)) = (found.get(1), found.get(2))
            {
                end = end.min(whole.start());
                labels.push((label.clone(), value.as_str().to_owned()));
            }
        }
        let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
        (key[..end].chars().map(letter).collect(), labels)
    }

    fn write(&self, name: &str, labels: &[(String, String)], out: &mut String) {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let braced = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        // Writing to a string does not fail.
        if self.kind != Kind::Histogram {
            let value = self.value.load(Relaxed);
            let _ = match self.kind {
                Kind::Gauge => writeln!(out, "{name}{braced} {}", value as i64),
                _ => writeln!(out, "{name}{braced} {value}"),
            };
            return;
        }
        let bins = self.bins.each_ref().map(|bin| bin.load(Relaxed));
        let mut count = 0;
        for (bits, bin) in bins.iter().enumerate() {
            count += bin;
            let is_last = bits == BINS - 1;
            if *bin == 0 && !is_last {
                continue;
            }
            let bound = if is_last { "+Inf".to_owned() } else { (1u64 << bits).to_string() };
            let all = labels.iter().cloned().chain([format!("le=\"{bound}\"")]).collect::<Vec<_>>().join(",");
            let _ = writeln!(out, "{name}_bucket{{{all}}} {count}");
        }
        let _ = writeln!(out, "{name}_sum{braced} {}\n{name}_count{braced} {count}", self.value.load(Relaxed));
    }
}

/// All metrics of filters, as Prometheus reads them.
pub fn text() -> String {
    let all = METRICS.read().unwrap_or_else(PoisonError::into_inner).clone();
    let mut families: BTreeMap<String, Vec<(Vec<(String, String)>, Arc<Metric>)>> = BTreeMap::new();
    for metric in all {
        let (name, labels) = metric.named();
        families.entry(name).or_default().push((labels, metric));
    }
    let mut out = String::new();
    for (name, metrics) in families {
        let Some(kind) = metrics.first().map(|(_, metric)| metric.kind) else { continue };
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(out, "# HELP {name} {name}\n# TYPE {name} {word}");
        // One family has one type; a filter that says otherwise of the rest is not followed.
        for (labels, metric) in metrics.iter().filter(|(_, metric)| metric.kind == kind) {
            metric.write(&name, labels, &mut out);
        }
    }
    out
}
