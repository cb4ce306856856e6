//! `http-log`: posts an entry for each request to an HTTP server.

use crate::log_entries::LogEntries;
use base64::Engine;
use sdk::{
    BoxFuture, Bytes, Config, Deliver, Env, Exchange, Fields, Function, HttpClient, HttpOptions, HttpRequest, Phases,
    Plugin, PluginKind, Queue, QueueSettings, Url, entities,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct HttpLog;

struct Instance {
    entries: LogEntries,
    queue: Queue,
}

/// How entries are posted.
struct Delivery {
    client: HttpClient,
    /// A request without content.
    request: HttpRequest,
    /// Batches are lists, even those of one entry.
    lists: bool,
}

impl PluginKind for HttpLog {
    fn name(&self) -> &'static str {
        "http-log"
    }

    fn priority(&self) -> i32 {
        12
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("http_log", Function::Validator(check_config)), LogEntries::IS_CODE]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let settings = QueueSettings::of(config);
        let request = template(config)?;
        if config.number("retry_count").is_some_and(|count| count != 10.0) {
            tracing::warn!(id = %plugin.id, "http-log: retry_count has no effect, see queue.max_retry_time");
        }
        let millis = |field: &str, usual| Duration::from_millis(config.integer(field).unwrap_or(usual));
        let options = HttpOptions {
            timeout: millis("timeout", 10_000),
            keepalive: millis("keepalive", 60_000),
            // As Kong: whoever runs the gateway has chosen the server, unless it says otherwise.
            verify: config.flag("ssl_verify"),
            ..HttpOptions::default()
        };
        let lists = settings.max_batch_size > 1;
        let mut what = plugin.config.clone();
        what.remove("custom_fields_by_lua");
        let certificate = config.foreign("client_certificate")?;
        let queue = Queue::open(env, plugin, &Value::Object(what).to_string(), settings, || {
            let client = HttpClient::new(env, options);
            let client = match certificate {
                Some(id) => client.showing(env.certificate(id)),
                None => client,
            };
            Arc::new(Delivery { client, request, lists })
        });
        Ok(Box::new(Instance { entries: LogEntries::of(config, env)?, queue }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        LogEntries::PHASES
    }

    fn degraded(&self) -> Option<String> {
        self.entries.degraded()
    }

    fn log(&self, exchange: &mut Exchange) {
        self.queue.put(self.entries.write(exchange));
    }
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let content = match batch {
                [entry] if !self.lists => entry.clone(),
                _ => [b"[", &batch.join(&b","[..])[..], b"]"].concat().into(),
            };
            let request = HttpRequest { content, ..self.request.clone() };
            let server = &self.request.url;
            let response = self.client.send(request).await.map_err(|error| format!("{server}: {error}"))?;
            match response.status {
                ..300 => Ok(()),
                status => Err(format!("{server} answers with status {status}")),
            }
        })
    }
}

/// The request that all have in common. What the URL and the content say goes before configured lines.
fn template(config: Config<'_>) -> Result<HttpRequest, String> {
    let url = Url::parse(config.text("http_endpoint").unwrap_or_default());
    let url = url.map_err(|e| format!("config.http_endpoint: {e}"))?;
    let mut fields = Fields::new();
    let content_type = config.header_value("content_type")?.unwrap_or("application/json");
    fields.append("Content-Type", content_type.as_bytes());
    if let Some(userinfo) = url.userinfo() {
        let encoded = base64::engine::general_purpose::STANDARD.encode(userinfo);
        fields.append("Authorization", format!("Basic {encoded}").as_bytes());
    }
    let headers = config.section("headers");
    for (name, _) in headers.pairs() {
        if !Fields::is_valid_name(name.as_bytes()) {
            return Err(format!("config.headers: '{}' cannot be the name of a header", name.escape_debug()));
        }
        if let Some(value) = headers.header_value(name)?.filter(|_| !fields.contains(name)) {
            fields.append(name, value.as_bytes());
        }
    }
    let method = config.text("method").unwrap_or("POST").to_owned();
    Ok(HttpRequest { method, url, fields, content: Bytes::new() })
}

/// The check that the schema names: who is to be authorized is said once.
fn check_config(config: &Value) -> Result<(), String> {
    let endpoint = config.get("http_endpoint").and_then(Value::as_str).unwrap_or_default();
    let has_userinfo = Url::parse(endpoint).is_ok_and(|url| url.userinfo().is_some());
    let headers = config.get("headers").and_then(Value::as_object);
    if has_userinfo && headers.is_some_and(|all| all.keys().any(|name| name.eq_ignore_ascii_case("authorization"))) {
        return Err(
            "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed".to_owned()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
