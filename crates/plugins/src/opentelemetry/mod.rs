//! `opentelemetry`: sends the spans of requests that are traced, metrics, records of requests and what the node logs to
//! OTLP servers, and tells services of the trace.

mod access;
mod delivery;
mod encode;
mod lines;
mod logs;
mod metrics;
mod protobuf;
mod resource;
mod series;

use access::AccessLog;
use delivery::Delivery;
pub use lines::OtlpLines;
use logs::Forward;
use metrics::Push;
use resource::RequestResource;
use sdk::{
    Config, Env, Exchange, Extracted, Fields, Function, Phases, Plugin, PluginKind, Propagation, Queue, QueueSettings,
    Record, SpanId, Step, TraceId, entities,
};
use serde_json::Value;
use std::sync::Arc;

/// The plugin as the gateway knows it.
pub struct OpenTelemetry;

struct Instance {
    /// `None`: spans are sent nowhere, and services are told of no trace.
    traces: Option<Queue>,
    /// Held so that what the node logs is sent.
    _logs: Option<Arc<Forward>>,
    metrics: Option<Arc<Push>>,
    /// Who sends the spans of a request, where that depends on the request.
    resource: Option<RequestResource>,
    access_log: Option<AccessLog>,
    propagation: Propagation,
    sampling_rate: Option<f64>,
    /// Callers decide in any case, where they say so; else only what they leave out is left out.
    callers_decide: bool,
    response_header: Option<String>,
    /// What is asked for and not done.
    missing: Vec<&'static str>,
}

/// The trace of a request that is passed on, though this node makes no spans.
struct PassedOn(TraceId);

impl PluginKind for OpenTelemetry {
    fn name(&self) -> &'static str {
        "opentelemetry"
    }

    fn priority(&self) -> i32 {
        14
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[
            ("opentelemetry_endpoint", Function::Expand(expand_endpoint)),
            ("opentelemetry_endpoints", Function::Check(has_endpoint)),
        ]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let resource = RequestResource::read(config, env)?;
        let traces = config.text("traces_endpoint").map(|endpoint| {
            let settings = QueueSettings::of(config);
            let delivery = Delivery::new(endpoint, config, env)?;
            let delivery = if resource.is_some() { delivery.mixed() } else { delivery };
            let key = format!("traces {settings:?} {}", delivery.key());
            Ok::<_, String>(Queue::open(env, plugin, &key, settings, || Arc::new(delivery)))
        });
        let mut missing = Vec::new();
        let others = ["metrics", "access_logs"].iter().any(|field| config.section(field).is_set("endpoint"));
        if resource.is_some() && (others || config.is_set("logs_endpoint")) {
            missing.push("templates in resource_attributes are for traces only");
        }
        let access_log = AccessLog::open(config, plugin, env)?;
        missing.extend(access_log.as_ref().and_then(|log| log.degraded));
        let logs = config.text("logs_endpoint").map(|endpoint| Forward::open(endpoint, config, plugin, env));
        Ok(Box::new(Instance {
            traces: traces.transpose()?,
            resource,
            _logs: logs.transpose()?,
            metrics: Push::open(config, env)?,
            access_log,
            propagation: Propagation::of(config)?,
            sampling_rate: config.number("sampling_rate"),
            callers_decide: config.text("sampling_strategy") == Some("parent_probability_fallback"),
            response_header: config.text("http_response_header_for_traceid").map(str::to_owned),
            missing,
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        match self.traces {
            Some(_) if self.resource.is_some() => {
                Phases::ACCESS.and(Phases::HEADER_FILTER).and(Phases::LOG).and(Phases::KEEPS_LINES)
            }
            Some(_) => Phases::ACCESS.and(Phases::HEADER_FILTER).and(Phases::LOG),
            None if self.metrics.is_some() || self.access_log.is_some() => Phases::LOG,
            None => Phases::NONE,
        }
    }

    fn degraded(&self) -> Option<String> {
        (!self.missing.is_empty()).then(|| self.missing.join("; "))
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Extracted { mut context, from } = self.propagation.extract(&exchange.request.fields);
        match exchange.trace.as_deref_mut() {
            Some(trace) => {
                trace.id = context.trace_id.unwrap_or(trace.id);
                match context.sampled.filter(|_| self.callers_decide) {
                    Some(sampled) => trace.sampled = sampled,
                    None => trace.decide(context.sampled, self.sampling_rate),
                }
                let last_try = trace.last_try;
                let root = trace.root();
                root.parent = context.span_id.or(context.parent_id);
                // The service belongs to the try that asks it, where tries have spans.
                let own = root.id;
                context.parent_id = if last_try.is_some() { Some(own) } else { root.parent };
                context.span_id = Some(last_try.unwrap_or(own));
                context.trace_id = Some(trace.id);
                context.sampled = Some(trace.sampled);
            }
            None => {
                let id = context.trace_id.unwrap_or_else(|| TraceId::random(16));
                context.parent_id = context.span_id.or(context.parent_id);
                context.span_id = Some(SpanId::random());
                context.trace_id = Some(id);
                context.sampled = Some(false);
                exchange.put(PassedOn(id));
            }
        }
        self.propagation.inject(exchange, from, &context);
        Step::Next
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        let Some(name) = self.response_header.as_deref().filter(|name| Fields::is_valid_name(name.as_bytes())) else {
            return;
        };
        let own = exchange.trace.as_ref().map(|trace| trace.id);
        if let Some(id) = own.or_else(|| exchange.state::<PassedOn>().map(|passed_on| passed_on.0)) {
            exchange.response.fields.append(name, id.to_string().as_bytes());
        }
    }

    fn log(&self, exchange: &mut Exchange) {
        self.metrics.iter().for_each(|push| push.count(exchange));
        self.access_log.iter().for_each(|log| log.put(exchange));
        let Some(queue) = &self.traces else { return };
        if !exchange.trace.as_deref().is_some_and(|trace| trace.sampled) {
            return;
        }
        let resource = self.resource.as_ref().map(|resource| resource.of(exchange));
        let Some(trace) = exchange.trace.as_deref() else { return };
        for span in trace.spans() {
            let span = encode::span(&trace.id, span);
            queue.put(match &resource {
                Some(resource) => resource::with(resource, &span),
                None => span,
            });
        }
    }
}

/// `traces_endpoint` under its older name.
fn expand_endpoint(value: &Value) -> Option<Record> {
    Some([("traces_endpoint".to_owned(), value.clone())].into_iter().collect())
}

/// The check that the schema names: something is sent somewhere.
fn has_endpoint(config: &Record) -> Result<(), String> {
    let endpoint = |place: &str| config.get(place)?.get("endpoint")?.as_str();
    let named =
        ["traces_endpoint", "logs_endpoint"].iter().any(|field| config.get(*field).is_some_and(Value::is_string));
    if named || endpoint("metrics").is_some() || endpoint("access_logs").is_some() {
        return Ok(());
    }
    // As Kong 3.10, which has no others.
    Err("at least one of these fields must be non-empty: 'traces_endpoint', 'logs_endpoint'".to_owned())
}

#[cfg(test)]
mod tests;
