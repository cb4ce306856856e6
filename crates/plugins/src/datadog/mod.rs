//! `datadog`: sends metrics of each request to a Datadog agent, a datagram each.

use crate::measures::{ConsumerName, Measure, letters, part, rate};
use sdk::log::Latencies;
use sdk::{
    BoxFuture, Bytes, Config, Deliver, Env, Exchange, Network, Phases, Plugin, PluginKind, Queue, QueueSettings,
    entities,
};
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct Datadog;

struct Instance {
    prefix: String,
    service_tag: String,
    status_tag: String,
    consumer_tag: String,
    route_tag: Option<String>,
    metrics: Vec<Metric>,
    queue: Queue,
}

struct Metric {
    measure: Measure,
    /// Letters and rate.
    kind: String,
    consumer: Option<ConsumerName>,
    tags: Vec<String>,
}

/// How metrics are sent: an entry of the queue holds those of a request, a line each.
struct Delivery {
    network: Network,
    host: String,
    port: u16,
}

/// Looking a name up takes no longer.
const LIMIT: Duration = Duration::from_secs(10);

impl PluginKind for Datadog {
    fn name(&self) -> &'static str {
        "datadog"
    }

    fn priority(&self) -> i32 {
        10
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let variable = |name: &str| std::env::var(name).ok();
        let host = config.text("host").map(str::to_owned).or_else(|| variable("KONG_DATADOG_AGENT_HOST"));
        let host = host.unwrap_or_else(|| "localhost".to_owned());
        let port = config.integer("port").or_else(|| variable("KONG_DATADOG_AGENT_PORT")?.parse().ok());
        let port = port.unwrap_or(8125);
        let metrics = config.list("metrics").iter().filter_map(Value::as_object);
        let metrics = metrics.map(|metric| Metric::of(Config::new(metric))).collect::<Result<_, _>>()?;
        let settings = QueueSettings::of(config);
        let key = format!("{host} {port} {settings:?}");
        let text = |field: &str, usual: &str| config.text(field).unwrap_or(usual).to_owned();
        let queue = Queue::open(env, plugin, &key, settings, || {
            Arc::new(Delivery { network: env.network().clone(), host, port })
        });
        Ok(Box::new(Instance {
            prefix: text("prefix", "kong"),
            service_tag: text("service_name_tag", "name"),
            status_tag: text("status_tag", "status"),
            consumer_tag: text("consumer_tag", "consumer"),
            route_tag: config.text("route_name_tag").map(str::to_owned),
            metrics,
            queue,
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::LOG
    }

    fn log(&self, exchange: &mut Exchange) {
        let latencies = Latencies::of(exchange);
        let service = exchange.service.as_deref();
        let service = service.map(|s| part(s.name.as_deref().unwrap_or(&s.host))).unwrap_or_default();
        let mut common = format!("{}:{service},{}:{}", self.service_tag, self.status_tag, exchange.response.status);
        if let (Some(tag), Some(route)) = (&self.route_tag, exchange.route.as_deref()) {
            let name = route.name.clone().unwrap_or_else(|| route.id.to_string());
            common.extend([",", tag, ":", &part(&name)]);
        }
        let mut lines = String::new();
        for metric in &self.metrics {
            // As in Kong, -1 stands for a service that was not asked.
            let value = metric.measure.of(exchange, &latencies).map_or(-1, u64::cast_signed);
            let (prefix, name, kind) = (&self.prefix, metric.measure.name(), &metric.kind);
            // Writing to a string does not fail.
            let _ = write!(lines, "{prefix}.{name}:{value}|{kind}|#{common}");
            if let Some(consumer) = metric.consumer.and_then(|consumer| consumer.of(exchange)) {
                let consumer =
                    if metric.consumer == Some(ConsumerName::Id) { consumer.replace('-', "_") } else { consumer };
                let _ = write!(lines, ",{}:{consumer}", self.consumer_tag);
            }
            metric.tags.iter().for_each(|tag| lines.extend([",", tag]));
            lines.push('\n');
        }
        if !lines.is_empty() {
            self.queue.put(lines.into_bytes());
        }
    }
}

impl Metric {
    fn of(config: Config<'_>) -> Result<Metric, String> {
        let name = config.text("name").unwrap_or_default();
        Ok(Metric {
            measure: Measure::parse(name).ok_or_else(|| format!("config.metrics: unknown '{name}'"))?,
            kind: letters(config.text("stat_type").unwrap_or_default())?.to_owned() + &rate(config),
            consumer: config.text("consumer_identifier").map(ConsumerName::parse).transpose()?,
            tags: config.texts("tags"),
        })
    }
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let Delivery { network, host, port } = self;
            let lines = batch.iter().flat_map(|entry| entry.split(|&b| b == b'\n')).filter(|line| !line.is_empty());
            let sent = network.send_datagrams(host, *port, LIMIT, lines).await;
            sent.map_err(|error| format!("{host}:{port}: {error}"))
        })
    }
}

#[cfg(test)]
mod tests;
