//! `azure-functions`: a function of Azure answers in place of the service.

use sdk::{
    Answer, Args, Bytes, Config, Env, Exchange, Fields, HttpClient, HttpOptions, HttpRequest, HttpResponse, Known,
    Phases, Plugin, PluginKind, Step, Url, entities,
};
use serde_json::json;
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct AzureFunctions;

struct Instance {
    client: HttpClient,
    /// Without query.
    url: String,
    key: Option<String>,
    client_id: Option<String>,
}

/// The largest content of a response.
const MAX_CONTENT: usize = 128 << 20;
/// What is about a connection, or said anew.
const OWN: [Known; 6] = [
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Upgrade,
    Known::TransferEncoding,
    Known::ContentLength,
];

impl PluginKind for AzureFunctions {
    fn name(&self) -> &'static str {
        "azure-functions"
    }

    fn priority(&self) -> i32 {
        749
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let millis = |field, usual| Duration::from_millis(config.integer(field).unwrap_or(usual));
        let options = HttpOptions {
            timeout: millis("timeout", 600_000),
            keepalive: millis("keepalive", 60_000),
            verify: config.flag("https_verify"),
            max_content: MAX_CONTENT,
        };
        let url = url(&config);
        Url::parse(&url)?;
        Ok(Box::new(Instance {
            client: HttpClient::new(env, options),
            url,
            key: config.header_value("apikey")?.map(str::to_owned),
            client_id: config.header_value("clientid")?.map(str::to_owned),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::READS_BODY)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if exchange.body.is_too_large() {
            return Step::Answer(Answer::error(exchange, 413, &Answer::status_message(413)));
        }
        let request = self.request(exchange);
        Step::Wait(Box::pin(async move {
            let response = match request {
                Ok(request) => self.client.send(request).await.map_err(|error| error.to_string()),
                Err(error) => Err(error),
            };
            Step::Answer(match response {
                Ok(response) => answer(response),
                Err(error) => {
                    tracing::error!(request_id = exchange.id_str(), "a function could not be called: {error}");
                    Answer::json(500, &json!({ "message": "An unexpected error occurred" }))
                }
            })
        }))
    }
}

impl Instance {
    fn request(&self, exchange: &Exchange) -> Result<HttpRequest, String> {
        let query = Args::parse(exchange.request.query().unwrap_or_default()).to_query();
        let url = query.map_or_else(|| self.url.clone(), |query| format!("{}?{query}", self.url));
        let mut fields: Fields = exchange.request.fields.clone();
        for name in OWN.into_iter().chain([Known::Host, Known::Expect]) {
            fields.remove_known(name);
        }
        for (name, value) in [("x-functions-key", &self.key), ("x-functions-clientid", &self.client_id)] {
            // What the client says of these counts for nothing.
            fields.remove(name);
            value.iter().for_each(|value| fields.append(name, value.as_bytes()));
        }
        Ok(HttpRequest {
            method: exchange.request.method.as_str().to_owned(),
            url: Url::parse(&url)?,
            fields,
            content: exchange.body.bytes().map_or_else(Bytes::new, Bytes::clone),
        })
    }
}

fn url(config: &Config<'_>) -> String {
    let scheme = if config.flag("https") { "https" } else { "http" };
    let text = |field| config.text(field).unwrap_or_default();
    let (prefix, function) = (text("routeprefix").trim_matches('/'), text("functionname").trim_matches('/'));
    let path = if prefix.is_empty() { format!("/{function}") } else { format!("/{prefix}/{function}") };
    format!("{scheme}://{}.{}{path}", text("appname"), text("hostdomain"))
}

fn answer(response: HttpResponse) -> Answer {
    let HttpResponse { status, mut fields, content } = response;
    for name in OWN {
        fields.remove_known(name);
    }
    Answer { fields, ..Answer::new(status, content) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::Value;

    fn instance(config: &Value) -> Instance {
        let config = config.as_object().unwrap();
        let config = Config::new(config);
        let (key, client_id) = (config.text("apikey").map(str::to_owned), config.text("clientid").map(str::to_owned));
        Instance { client: HttpClient::new(&Env::default(), HttpOptions::default()), url: url(&config), key, client_id }
    }

    #[test]
    fn functions_are_called_with_the_request() {
        let config = json!({
            "https": true, "appname": "a", "hostdomain": "b.test", "routeprefix": "/api/", "functionname": "/f",
            "apikey": "k"
        });
        let lines = [("Host", "x"), ("X-Functions-Key", "mine"), ("X-Functions-ClientId", "me"), ("X-A", "1")];
        let mut exchange = testing::exchange("PUT", "/a?q=1", &lines);
        exchange.body = Bytes::from_static(b"content").into();
        let request = instance(&config).request(&exchange).unwrap();
        assert_eq!(request.method, "PUT");
        assert_eq!(request.url.uri().to_string(), "https://a.b.test/api/f?q=1");
        assert_eq!(request.content, "content");
        let lines: Vec<_> = request.fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        let expected = [("X-A", "1"), ("x-functions-key", "k")];
        assert_eq!(lines, expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
    }

    #[test]
    fn a_prefix_is_not_needed() {
        let config = json!({ "appname": "a", "hostdomain": "b.test", "routeprefix": "", "functionname": "f" });
        assert_eq!(url(&Config::new(config.as_object().unwrap())), "http://a.b.test/f");
    }
}
