//! `traffic-mirror`: copies a share of the requests to another server, whose answers are dropped. Our own.
//!
//! The request itself waits for nothing of it: copies are sent beside it, so many at once, and what would be too many,
//! too large or too late is left out.

use sdk::{
    Config, Env, Exchange, Fields, HttpClient, HttpError, HttpOptions, HttpRequest, Phases, Plugin, PluginKind, Step,
    Tasks, Url, entities,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct TrafficMirror;

struct Instance {
    client: HttpClient,
    tasks: Tasks,
    /// `scheme://host:port/path`, without a slash at its end.
    base: String,
    percentage: f64,
    methods: Vec<String>,
    preserve_host: bool,
    max_body_size: usize,
    max_pending: usize,
    pending: Arc<AtomicUsize>,
}

/// A copy that is on its way.
struct Pending(Arc<AtomicUsize>);

/// By which copies are known: a copy that comes back is not copied again.
const MARK: &str = "X-Traffic-Mirror";

impl PluginKind for TrafficMirror {
    fn name(&self) -> &'static str {
        "traffic-mirror"
    }

    /// After what refuses and edits requests.
    fn priority(&self) -> i32 {
        19
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let text = config.text("url").unwrap_or_default();
        let url = Url::parse(text).map_err(|e| format!("config.url: {e}"))?;
        if url.uri().query().is_some() || url.userinfo().is_some() {
            return Err("config.url: has a query or a user".to_owned());
        }
        let options = HttpOptions {
            timeout: Duration::from_millis(config.integer("timeout").unwrap_or(10_000)),
            verify: config.flag("ssl_verify"),
            // Answers are dropped; of a longer one the connection is closed.
            max_content: 64 << 10,
            ..HttpOptions::default()
        };
        Ok(Box::new(Instance {
            client: HttpClient::new(env, options),
            tasks: env.tasks().clone(),
            base: url.uri().to_string().trim_end_matches('/').to_owned(),
            percentage: config.number("percentage").unwrap_or(100.0),
            methods: config.texts("methods"),
            preserve_host: config.flag("preserve_host"),
            max_body_size: config.integer("max_body_size").unwrap_or(1 << 20),
            max_pending: config.integer("max_pending").unwrap_or(100),
            pending: Arc::default(),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::READS_BODY)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if !self.is_chosen(exchange) {
            return Step::Next;
        }
        let Some(place) = self.place() else {
            tracing::warn!("traffic-mirror: {} copies are on their way already, others are left out", self.max_pending);
            return Step::Next;
        };
        match self.copy(exchange) {
            Ok(request) => {
                let client = self.client.clone();
                self.tasks.spawn("a copy of a request", async move {
                    let server = request.url.to_string();
                    match client.send(request).await {
                        Ok(_) | Err(HttpError::TooLarge) => {}
                        Err(error) => tracing::warn!("traffic-mirror: {server}: {error}"),
                    }
                    drop(place);
                });
            }
            Err(error) => tracing::warn!("traffic-mirror: a request cannot be copied: {error}"),
        }
        Step::Next
    }
}

impl Instance {
    fn is_chosen(&self, exchange: &Exchange) -> bool {
        let method = exchange.request.method.as_str();
        let content = exchange.body.bytes().map(|content| content.len());
        (self.methods.is_empty() || self.methods.iter().any(|listed| listed == method))
            && content.is_some_and(|length| length <= self.max_body_size)
            && !exchange.request.fields.contains(MARK)
            && !exchange.request.fields.contains("Upgrade")
            && fastrand::f64() * 100.0 < self.percentage
    }

    fn place(&self) -> Option<Pending> {
        let one_more = |pending| (pending < self.max_pending).then_some(pending + 1);
        let taken = self.pending.fetch_update(Relaxed, Relaxed, one_more);
        taken.ok().map(|_| Pending(Arc::clone(&self.pending)))
    }

    /// The request as the service gets it.
    fn copy(&self, exchange: &Exchange) -> Result<HttpRequest, String> {
        let upstream = &exchange.upstream;
        let query = upstream.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let url = Url::parse(&format!("{}{}{query}", self.base, upstream.path))?;
        let kept = |name: &str| {
            let single = ["Connection", "Content-Length", "Expect", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding"];
            !single.iter().any(|of| name.eq_ignore_ascii_case(of))
                && (self.preserve_host || !name.eq_ignore_ascii_case("Host"))
        };
        let lines = exchange.request.fields.iter().filter(|(name, _)| kept(name));
        let mut fields: Fields = lines.collect();
        fields.set(MARK, b"1");
        fields.set("X-Forwarded-For", exchange.client.ip.to_string().as_bytes());
        let method = upstream.method.clone().unwrap_or_else(|| exchange.request.method.as_str().to_owned());
        Ok(HttpRequest { method, url, fields, content: exchange.body.bytes().cloned().unwrap_or_default() })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing::{self, Server};
    use serde_json::{Value, json};

    fn plugin(server: &Server, changes: Value) -> Box<dyn Plugin> {
        let mut config = json!({ "url": format!("http://{}/shadow/", server.address()), "percentage": 100 });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        testing::configure(&TrafficMirror, config, &Env::default())
    }

    fn send(plugin: &dyn Plugin, lines: &[(&str, &str)], content: &'static str) {
        let mut exchange = testing::exchange("POST", "/a?b=1", lines);
        exchange.body = content.into();
        assert!(testing::access(plugin, &mut exchange).is_none());
    }

    #[tokio::test]
    async fn copies_are_the_request_as_the_service_gets_it() {
        let server = Server::start().await;
        let plugin = plugin(&server, json!({}));
        let lines = [("Host", "a.test"), ("X-A", "1"), ("Transfer-Encoding", "chunked")];
        send(&*plugin, &lines, "hello");
        let (head, content) = server.answer(500).await;
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("post /shadow/a?b=1 http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nx-a: 1\r\n"), "{head}");
        assert!(head.contains("\r\nx-traffic-mirror: 1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nhost: {}\r\n", server.address())), "{head}");
        assert!(!head.contains("chunked"), "{head}");
        assert_eq!(content, "hello");
    }

    #[tokio::test]
    async fn what_is_not_to_be_copied_is_not() {
        let server = Server::start().await;
        let none = plugin(&server, json!({ "percentage": 0 }));
        let small = plugin(&server, json!({ "max_body_size": 3, "methods": ["POST"] }));
        let other = plugin(&server, json!({ "methods": ["GET"] }));
        send(&*none, &[], "a");
        send(&*other, &[], "b");
        send(&*small, &[], "four");
        send(&*small, &[(MARK, "1")], "c");
        send(&*small, &[], "d");
        assert_eq!(server.answer(200).await.1, "d");
    }

    #[tokio::test]
    async fn only_so_many_are_on_their_way() {
        let server = Server::start().await;
        let plugin = plugin(&server, json!({ "max_pending": 1 }));
        send(&*plugin, &[], "a");
        send(&*plugin, &[], "b");
        assert_eq!(server.answer(200).await.1, "a");
    }
}
