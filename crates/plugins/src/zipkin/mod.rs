//! `zipkin`: tells a Zipkin server of each request that is traced, in spans of its own: one for the request, one for
//! its way through the gateway, and one for each try at the service. A stream is traced like a request.

mod report;
mod spans;
mod tags;

use report::Delivery;
use sdk::{
    Config, Env, Exchange, Fields, Function, HttpClient, HttpOptions, Phases, Plugin, PluginKind, Propagation, Queue,
    QueueSettings, SnapshotRef, Step, TraceContext, Url, entities,
};
use serde_json::Value;
use spans::Spans;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The plugin as the gateway knows it.
pub struct Zipkin;

struct Instance {
    node: String,
    service_name: String,
    default_service_name: Option<String>,
    sample_ratio: f64,
    trace_id_length: usize,
    include_credential: bool,
    tags_header: String,
    static_tags: Vec<(String, String)>,
    name_has_path: bool,
    /// Phases are annotations; else tags say how long they took.
    annotates: bool,
    response_header: Option<String>,
    propagation: Propagation,
    queue: Option<Queue>,
}

impl PluginKind for Zipkin {
    fn name(&self) -> &'static str {
        "zipkin"
    }

    fn priority(&self) -> i32 {
        100_000
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("zipkin_static_tags", Function::Validator(tags::check_static))]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let text = |field: &str| config.text(field).map(str::to_owned);
        let static_tags = config.list("static_tags").iter().filter_map(Value::as_object).map(|tag| {
            let tag = Config::new(tag);
            (tag.text("name").unwrap_or_default().to_owned(), tag.text("value").unwrap_or_default().to_owned())
        });
        Ok(Box::new(Instance {
            node: env.node().id.to_string(),
            service_name: text("local_service_name").unwrap_or_else(|| "kong".to_owned()),
            default_service_name: text("default_service_name"),
            sample_ratio: config.number("sample_ratio").unwrap_or(0.001),
            trace_id_length: config.integer("traceid_byte_count").unwrap_or(16),
            include_credential: config.flag("include_credential"),
            tags_header: text("tags_header").unwrap_or_else(|| "Zipkin-Tags".to_owned()),
            static_tags: static_tags.collect(),
            name_has_path: config.text("http_span_name") == Some("method_path"),
            annotates: config.text("phase_duration_flavor") != Some("tags"),
            response_header: text("http_response_header_for_traceid"),
            propagation: Propagation::of(config)?,
            queue: queue(plugin, config, env)?,
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::HEADER_FILTER).and(Phases::LOG)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        // A stream has no lines to read or to write.
        if exchange.stream.is_none() {
            let extracted = self.propagation.extract(&exchange.request.fields);
            let spans = Spans::begin(self, exchange, &extracted.context);
            let context = spans.context(extracted.context);
            self.propagation.inject(exchange, extracted.from, &context);
            exchange.put(spans);
        } else {
            exchange.put(Spans::begin(self, exchange, &TraceContext::default()));
        }
        Step::Next
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        let mut spans = self.spans(exchange);
        spans.filtered = Some(Instant::now());
        if let Some(name) = self.response_header.as_deref().filter(|name| Fields::is_valid_name(name.as_bytes())) {
            exchange.response.fields.append(name, spans.trace_id.to_string().as_bytes());
        }
        exchange.put(spans);
    }

    fn log(&self, exchange: &mut Exchange) {
        let spans = self.spans(exchange);
        if let Some(queue) = self.queue.as_ref().filter(|_| spans.sampled) {
            report::entries(self, &spans, exchange).into_iter().for_each(|entry| queue.put(entry));
        }
    }
}

impl Instance {
    /// Those of a request that has come so far without an access phase are begun now.
    fn spans(&self, exchange: &mut Exchange) -> Spans {
        exchange.take().unwrap_or_else(|| {
            let extracted = self.propagation.extract(&exchange.request.fields);
            Spans::begin(self, exchange, &extracted.context)
        })
    }
}

/// The service and the route of an exchange, where they count for tags.
fn target(exchange: &Exchange) -> (Option<&SnapshotRef<entities::Service>>, Option<&SnapshotRef<entities::Route>>) {
    (exchange.service.as_ref(), exchange.route.as_ref())
}

/// `None` without a server that wants to know.
fn queue(plugin: &entities::Plugin, config: Config<'_>, env: &Env) -> Result<Option<Queue>, String> {
    let Some(endpoint) = config.text("http_endpoint") else { return Ok(None) };
    let url = Url::parse(endpoint).map_err(|e| format!("config.http_endpoint: {e}"))?;
    let timeouts = ["connect_timeout", "send_timeout", "read_timeout"].map(|field| config.integer(field));
    let timeout = Duration::from_millis(timeouts.into_iter().flatten().max().unwrap_or(5000));
    let settings = QueueSettings::of(config);
    let key = format!("{endpoint} {timeout:?} {settings:?}");
    let options = HttpOptions { timeout, ..HttpOptions::default() };
    Ok(Some(Queue::open(env, plugin, &key, settings, || {
        Arc::new(Delivery { client: HttpClient::new(env, options), url })
    })))
}

#[cfg(test)]
mod tests;
