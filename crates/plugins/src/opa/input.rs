//! What a policy is told of a request. What is no text goes as it came, as with Kong.

use crate::json_text::{Text, arguments, captures, collect, object, plain, string};
use sdk::{Args, Config, Exchange, JsonObject, Known, MediaType, log, path};
use serde_json::{Value, json};

/// What it is told beside the request's head.
pub struct Includes {
    service: bool,
    route: bool,
    consumer: bool,
    body: bool,
    parsed_body: bool,
    captures: bool,
}

impl Includes {
    pub fn read(config: &Config<'_>) -> Includes {
        Includes {
            service: config.flag("include_service_in_opa_input"),
            route: config.flag("include_route_in_opa_input"),
            consumer: config.flag("include_consumer_in_opa_input"),
            body: config.flag("include_body_in_opa_input"),
            parsed_body: config.flag("include_parsed_json_body_in_opa_input"),
            captures: config.flag("include_uri_captures_in_opa_input"),
        }
    }

    /// Whether it is told the content.
    pub fn content(&self) -> bool {
        self.body || self.parsed_body
    }

    /// The question to the agent.
    pub fn describe(&self, exchange: &Exchange) -> Text {
        let mut input = object([
            ("request", object([("http", self.request(exchange).encode())]).encode()),
            ("client_ip", plain(&exchange.client.ip.to_string().into())),
        ]);
        if let Some(service) = exchange.service.as_deref().filter(|_| self.service) {
            input.set("service", &log::service(service));
        }
        if let Some(route) = exchange.route.as_deref().filter(|_| self.route) {
            input.set("route", &log::route(route));
        }
        if let Some(consumer) = exchange.consumer.as_deref().filter(|_| self.consumer) {
            input.set("consumer", &log::consumer(exchange, consumer));
        }
        object([("input", input.encode())]).encode()
    }

    fn request(&self, exchange: &Exchange) -> JsonObject {
        let request = &exchange.request;
        let headers =
            request.fields.iter().map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), string(value)));
        let mut http = object([
            ("host", plain(&exchange.host().into())),
            ("port", plain(&exchange.client.local_port.into())),
            ("method", string(request.method.as_bytes())),
            ("scheme", string(if exchange.client.https { b"https" } else { b"http" })),
            ("path", string(&path::octets(&exchange.path()))),
            ("querystring", arguments(&Args::parse(request.query().unwrap_or_default()))),
            ("headers", collect(headers)),
            ("tls", tls(exchange)),
        ]);
        if self.captures {
            http.set("uri_captures", &captures(exchange));
        }
        let Some(body) = exchange.body.bytes() else { return http };
        if self.body {
            http.set("body", &string(body));
            http.set("body_size", body.len().to_string().as_bytes());
        }
        let is_json =
            || request.fields.known(Known::ContentType).and_then(MediaType::parse).is_some_and(|k| k.is_json());
        if self.parsed_body
            && is_json()
            && let Ok(value) = serde_json::from_slice::<Value>(body)
        {
            http.set("parsed_body", &plain(&value));
        }
        http
    }
}

fn tls(exchange: &Exchange) -> Text {
    let described = exchange.client.tls.as_ref().map_or_else(
        || json!({}),
        |tls| {
            let (sni, verified) = (exchange.client.sni.as_deref(), tls.client_verify);
            json!({ "version": tls.version, "cipher": tls.cipher, "client_verify": verified, "sni": sni })
        },
    );
    plain(&described)
}
