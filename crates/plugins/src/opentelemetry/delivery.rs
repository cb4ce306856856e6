//! How batches get to the OTLP server: by HTTP, as Protocol Buffers.

use super::encode;
use super::resource;
use sdk::{BoxFuture, Bytes, Config, Deliver, Env, Fields, HttpClient, HttpOptions, HttpRequest, Record, Url};
use std::time::Duration;

/// A server, and what it is told with every batch.
pub struct Delivery {
    client: HttpClient,
    timeout: Duration,
    /// Without content.
    request: HttpRequest,
    resource: Vec<u8>,
    /// Entries have resources of their own ([`resource::with`]).
    is_mixed: bool,
}

impl Delivery {
    /// To that URL, by the rest of the configuration.
    pub fn new(endpoint: &str, config: Config<'_>, env: &Env) -> Result<Delivery, String> {
        let url = Url::parse(endpoint).map_err(|e| format!("config: {endpoint}: {e}"))?;
        let headers = config.section("headers");
        let mut fields = Fields::new();
        for (name, _) in headers.pairs() {
            if !Fields::is_valid_name(name.as_bytes()) {
                return Err(format!("config.headers: '{}' cannot be the name of a header", name.escape_debug()));
            }
            fields.append(name, headers.header_value(name)?.unwrap_or_default().as_bytes());
        }
        if !fields.contains("Content-Type") {
            fields.append("Content-Type", b"application/x-protobuf");
        }
        let timeouts = ["connect_timeout", "send_timeout", "read_timeout"].map(|field| config.integer(field));
        let timeout = Duration::from_millis(timeouts.into_iter().flatten().max().unwrap_or(5000));
        let options = HttpOptions { timeout, ..HttpOptions::default() };
        Ok(Delivery {
            client: HttpClient::new(env, options),
            timeout,
            request: HttpRequest { method: "POST".to_owned(), url, fields, content: Bytes::new() },
            resource: resource::constant(config, env),
            is_mixed: false,
        })
    }

    /// The same for entries that have resources of their own.
    pub fn mixed(self) -> Delivery {
        Delivery { is_mixed: true, ..self }
    }

    /// To that URL, for what no configuration of a plugin is about. Its certificate is verified.
    pub fn of_lines(endpoint: &str, env: &Env) -> Result<Delivery, String> {
        let mut delivery = Delivery::new(endpoint, Config::new(&Record::new()), env)?;
        delivery.client = HttpClient::new(env, HttpOptions { timeout: delivery.timeout, ..HttpOptions::default() });
        Ok(delivery)
    }

    /// All that it follows from.
    pub fn key(&self) -> String {
        let fields: Vec<_> = self.request.fields.iter().collect();
        format!("{} {:?} {fields:?} {:?} {}", self.request.url.uri(), self.timeout, self.resource, self.is_mixed)
    }
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let content = match self.is_mixed {
                true => resource::apart(batch).iter().flat_map(|(of, entries)| encode::request(of, entries)).collect(),
                false => encode::request(&self.resource, batch),
            };
            let content = content.into();
            let request = HttpRequest { content, ..self.request.clone() };
            let server = &self.request.url;
            let response = self.client.send(request).await.map_err(|error| format!("{server}: {error}"))?;
            match response.status {
                200..300 => Ok(()),
                status => Err(format!("{server} answers with status {status}")),
            }
        })
    }
}
