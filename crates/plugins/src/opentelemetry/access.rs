//! A log record for each request on its way to an OTLP server (`access_logs`).

use super::delivery::Delivery;
use super::encode;
use sdk::log::{self, Latencies};
use sdk::{Attribute, Config, Env, Exchange, Queue, QueueSettings, Script, Source, entities};
use serde_json::Value;
use std::sync::Arc;

/// The records of an instance.
pub struct AccessLog {
    queue: Queue,
    /// Code by the attribute that its value becomes (`custom_attributes_by_lua`).
    custom: Vec<(String, Arc<dyn Script>)>,
    pub degraded: Option<&'static str>,
}

impl AccessLog {
    /// To the server of `access_logs`; `None`: there is none.
    pub fn open(config: Config<'_>, plugin: &entities::Plugin, env: &Env) -> Result<Option<AccessLog>, String> {
        let section = config.section("access_logs");
        let Some(endpoint) = section.text("endpoint") else { return Ok(None) };
        let settings = QueueSettings::of(config);
        let delivery = Delivery::new(endpoint, config, env)?;
        let key = format!("access logs {settings:?} {}", delivery.key());
        let queue = Queue::open(env, plugin, &key, settings, || Arc::new(delivery));
        let mut log = AccessLog { queue, custom: Vec::new(), degraded: None };
        for (name, code) in section.section("custom_attributes_by_lua").pairs() {
            let Some(scripts) = env.scripts() else {
                log.degraded = Some("custom_attributes_by_lua has no effect: this program has no Lua");
                break;
            };
            let script = scripts.load(code.as_str().unwrap_or_default());
            let script = script.map_err(|e| format!("config.access_logs.custom_attributes_by_lua.{name}: {e}"))?;
            log.custom.push((name.to_owned(), script));
        }
        Ok(Some(log))
    }

    /// Sends the record of an exchange that is over.
    pub fn put(&self, exchange: &mut Exchange) {
        let mut attributes: Vec<(&str, Attribute)> = attributes(exchange);
        for (name, script) in &self.custom {
            match script.value(exchange) {
                Ok(Value::Null) => {}
                Ok(Value::String(text)) => attributes.push((name, Attribute::Text(text))),
                Ok(other) => attributes.push((name, Attribute::Text(other.to_string()))),
                Err(error) => tracing::error!(name, "custom_attributes_by_lua: {error}"),
            }
        }
        let time = exchange.timing.started_unix_ms.saturating_mul(1_000_000);
        self.queue.put(encode::access_record(time, &attributes));
    }
}

/// What a request was about, in Kong's names.
fn attributes(exchange: &Exchange) -> Vec<(&'static str, Attribute)> {
    let text = |text: &str| Attribute::Text(text.to_owned());
    let octets = |octets: &[u8]| Attribute::Text(String::from_utf8_lossy(octets).into_owned());
    let number = |number: u64| Attribute::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let source = match exchange.source {
        Source::Service => "service",
        Source::Exit => "exit",
        Source::Error => "error",
    };
    let took = Latencies::of(exchange);
    let (workspace, workspace_name) = log::workspace(exchange);
    let request = &exchange.request;
    let mut all = vec![
        ("client.address", text(&exchange.client.ip.to_string())),
        ("http.request.method", text(request.method.as_str())),
        ("url.path", text(request.path())),
        ("http.request.size", number(exchange.traffic.received)),
        ("http.response.size", number(exchange.traffic.sent)),
        ("http.response.status_code", number(u64::from(exchange.response.status))),
        ("kong.request.id", text(exchange.id_str())),
        ("kong.request.started_at", number(exchange.timing.started_unix_ms)),
        ("kong.response.source", text(source)),
        ("kong.workspace.id", text(&workspace.to_string())),
        ("kong.latency.total", number(took.request)),
        ("kong.latency.internal", number(took.kong)),
        ("kong.latency.receive", number(took.receive)),
    ];
    all.extend(request.query().map(|query| ("url.query", text(query))));
    all.extend(request.fields.get("User-Agent").map(|agent| ("user_agent.original", octets(agent))));
    all.extend(workspace_name.map(|name| ("kong.workspace.name", text(name))));
    all.extend(took.proxy.map(|upstream| ("kong.latency.upstream", number(upstream))));
    if let Some(route) = exchange.route.as_deref() {
        all.push(("kong.route.id", text(&route.id.to_string())));
        all.extend(route.name.as_deref().map(|name| ("kong.route.name", text(name))));
    }
    if let Some(service) = exchange.service.as_deref() {
        all.push(("kong.service.id", text(&service.id.to_string())));
        all.extend(service.name.as_deref().map(|name| ("kong.service.name", text(name))));
    }
    if let Some(consumer) = exchange.consumer.as_deref() {
        all.push(("kong.auth.consumer.id", text(&exchange.shown_id(&consumer.id))));
        all.extend(consumer.username.as_deref().map(|name| ("kong.auth.consumer.name", text(name))));
    }
    if let Some(last) = exchange.tries.last() {
        all.push(("kong.upstream.status_code", number(u64::from(last.status))));
        all.push(("kong.upstream.uri", text(&exchange.upstream.path)));
    }
    all
}
