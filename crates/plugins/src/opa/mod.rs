//! `opa`: asks an Open Policy Agent whether a request may go on.

mod decision;
mod input;
#[cfg(test)]
mod tests;

use decision::Decision;
use input::Includes;
use sdk::{
    Answer, Bytes, Config, Env, Exchange, Fields, HttpClient, HttpOptions, HttpRequest, Phases, Plugin, PluginKind,
    Step, Url, entities,
};

/// The plugin as the gateway knows it.
pub struct Opa;

struct Instance {
    url: Url,
    client: HttpClient,
    includes: Includes,
}

/// Octets of an answer.
const MAX_ANSWER: usize = 64 << 10;

impl PluginKind for Opa {
    fn name(&self) -> &'static str {
        "opa"
    }

    fn priority(&self) -> i32 {
        920
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let protocol = config.text("opa_protocol").unwrap_or("http");
        let host = config.text("opa_host").unwrap_or("localhost");
        let port: u16 = config.integer("opa_port").unwrap_or(8181);
        let path = config.text("opa_path").ok_or("config.opa_path: missing")?;
        // An address of IPv6 stands in brackets.
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let url =
            Url::parse(&format!("{protocol}://{host}:{port}{path}")).map_err(|e| format!("config.opa_host: {e}"))?;
        let verify = !config.is_set("ssl_verify") || config.flag("ssl_verify");
        let options = HttpOptions { verify, max_content: MAX_ANSWER, ..HttpOptions::default() };
        Ok(Box::new(Instance { url, client: HttpClient::new(env, options), includes: Includes::read(&config) }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        if self.includes.content() { Phases::ACCESS.and(Phases::READS_BODY) } else { Phases::ACCESS }
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.includes.content() && exchange.body.bytes().is_none() {
            return Step::Answer(Answer::error(exchange, 413, "Request body is too large to be judged"));
        }
        Step::Wait(Box::pin(self.ask(exchange)))
    }
}

impl Instance {
    async fn ask(&self, exchange: &mut Exchange) -> Step<'static> {
        let content = Bytes::from(self.includes.describe(exchange));
        let fields: Fields =
            [("Accept", "application/json"), ("Content-Type", "application/json")].into_iter().collect();
        let request = HttpRequest { method: "POST".to_owned(), url: self.url.clone(), fields, content };
        let decision = match self.client.send(request).await {
            Ok(response) if response.status == 200 => Decision::read(&response.content),
            Ok(response) => Err(format!("the policy agent has answered {}", response.status)),
            Err(error) => Err(format!("the policy agent: {error}")),
        };
        match decision {
            Ok(Decision::Allow(fields)) => {
                fields.iter().for_each(|(name, value)| exchange.request.fields.set(name, value));
                Step::Next
            }
            Ok(Decision::Refuse { status, fields, message }) => {
                Step::Answer(refuse(exchange, status, fields, &message))
            }
            // Nobody has allowed it.
            Err(why) => {
                tracing::error!(request_id = exchange.id_str(), "opa: {why}");
                Step::Answer(Answer::unexpected(exchange))
            }
        }
    }
}

fn refuse(exchange: &Exchange, status: u16, fields: Fields, message: &serde_json::Value) -> Answer {
    let mut answer = match message.as_str() {
        Some(words) => Answer::message(exchange, status, words),
        None => Answer::json(status, &serde_json::json!({ "message": message })),
    };
    fields.iter().for_each(|(name, value)| answer.fields.set(name, value));
    answer
}
