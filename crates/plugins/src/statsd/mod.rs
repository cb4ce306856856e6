//! `statsd`: sends metrics of each request to a StatsD server, by datagrams or over TCP.

mod delivery;
mod metric;
mod tags;

use delivery::Delivery;
use metric::Metric;
use sdk::log::Latencies;
use sdk::{Config, Env, Exchange, Phases, Plugin, PluginKind, Queue, QueueSettings, entities};
use serde_json::Value;
use std::sync::Arc;
use tags::TagStyle;

/// The plugin as the gateway knows it.
pub struct Statsd;

struct Instance {
    metrics: Vec<Metric>,
    prefix: String,
    tag_style: Option<TagStyle>,
    hostname: String,
    /// `None`: all.
    statuses: Option<Vec<(u16, u16)>>,
    queue: Queue,
}

impl PluginKind for Statsd {
    fn name(&self) -> &'static str {
        "statsd"
    }

    fn priority(&self) -> i32 {
        11
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let metrics = config.list("metrics").iter().filter_map(Value::as_object);
        let metrics = metrics.map(|metric| Metric::of(Config::new(metric), config)).collect::<Result<Vec<_>, _>>()?;
        let hostname = env.node().hostname.replace('.', "_");
        let tag_style = config.text("tag_style").map(TagStyle::parse).transpose()?;
        let mut prefix = config.text("prefix").unwrap_or("kong").to_owned();
        if config.flag("hostname_in_prefix") && tag_style.is_none() {
            prefix = format!("{prefix}.node.{hostname}");
        }
        let statuses = config.texts("allow_status_codes");
        let statuses = (!statuses.is_empty()).then(|| statuses.iter().filter_map(|text| range(text)).collect());
        let settings = QueueSettings::of(config);
        let host = config.text("host").unwrap_or("localhost");
        let port = config.integer("port").unwrap_or(8125);
        let (tcp, packet) = (config.flag("use_tcp"), config.integer("udp_packet_size").unwrap_or(0));
        let key = format!("{host} {port} {tcp} {packet} {settings:?}");
        let queue = Queue::open(env, plugin, &key, settings, || Arc::new(Delivery::new(env, host, port, tcp, packet)));
        Ok(Box::new(Instance { metrics, prefix, tag_style, hostname, statuses, queue }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::LOG
    }

    fn log(&self, exchange: &mut Exchange) {
        let status = exchange.response.status;
        if self.statuses.as_ref().is_some_and(|all| !all.iter().any(|(low, high)| (*low..=*high).contains(&status))) {
            return;
        }
        let latencies = Latencies::of(exchange);
        let mut lines = String::new();
        for metric in &self.metrics {
            match self.tag_style {
                Some(style) => {
                    metric.write_tagged(style, &self.prefix, &self.hostname, exchange, &latencies, &mut lines)
                }
                None => metric.write(&self.prefix, exchange, &latencies, &mut lines),
            }
        }
        if !lines.is_empty() {
            self.queue.put(lines.into_bytes());
        }
    }
}

/// `200-299`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once('-')?;
    Some((low.parse().ok()?, high.parse().ok()?))
}

#[cfg(test)]
mod tests;
