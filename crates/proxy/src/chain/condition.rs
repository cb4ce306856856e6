//! `condition`: on which requests alone a plugin acts.

use crate::router::{Condition, Query};
use sdk::{Exchange, Known};
use std::net::SocketAddr;

/// The condition of an instance.
pub struct PluginCondition {
    text: String,
    condition: Condition,
}

impl PluginCondition {
    /// Compiles its text.
    pub fn parse(text: &str) -> Result<PluginCondition, String> {
        let condition = Condition::of_plugin(text).map_err(|e| format!("condition: {e}"))?;
        Ok(PluginCondition { text: text.to_owned(), condition })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds for a request as the plugins before have left it.
    pub fn holds(&self, exchange: &Exchange) -> bool {
        let (request, client) = (&exchange.request, &exchange.client);
        let path = exchange.path();
        let query = Query {
            stream: exchange.stream.as_ref().map(|session| session.protocol),
            method: request.method.as_str(),
            https: client.https,
            tls: client.tls.is_some(),
            host: request.fields.known(Known::Host).unwrap_or_default(),
            port: client.public_port,
            path: &path,
            query: exchange.upstream.query.as_deref(),
            sni: client.sni.as_deref(),
            source: Some(SocketAddr::new(client.ip, client.port)),
            destination: Some(client.local_ip),
            fields: &request.fields,
            exchange: Some(exchange),
        };
        self.condition.holds(&query, &mut None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing::{self, Entries};

    #[test]
    fn conditions_are_about_the_request_and_its_caller() {
        let mut entries = Entries::default();
        let ada = entries.consumer("ada", Some("7"));
        let mut exchange = testing::exchange("POST", "/a/b?q=1", &[("X-A", "1"), ("Host", "h.test")]);
        let holds = |exchange: &Exchange, text: &str| PluginCondition::parse(text).unwrap().holds(exchange);
        for (text, expected) in [
            (r#"http.method == "POST" && http.path ^= "/a" && http.host == "h.test""#, true),
            (r#"http.headers.x_a == "1" && http.queries.q == "1" && net.src.ip in 127.0.0.0/8"#, true),
            (r#"!(http.path ^= "/a")"#, false),
            (r#"consumer.username == "ada""#, false),
            (r#"consumer.username != "ada""#, false),
            (r#"route.name == "r" || service.id == "x""#, false),
        ] {
            assert_eq!(holds(&exchange, text), expected, "{text}");
        }
        let id = ada.id;
        exchange.consumer = Some(ada);
        assert!(holds(&exchange, r#"consumer.username == "ada" && consumer.custom_id == "7""#));
        assert!(holds(&exchange, &format!("consumer.id == \"{id}\"")));
        exchange.request.fields.set("X-A", b"2");
        assert!(holds(&exchange, r#"http.headers.x_a == "2""#), "as the plugins before have left it");
        assert!(PluginCondition::parse("nonsense").is_err());
    }
}
