//! Who sends what goes to an OTLP server: what is usual, and what a configuration says, which may depend on requests.

use super::encode;
use crate::templates::{Scope, Template};
use sdk::{Bytes, Config, Env, Exchange, KONG_VERSION};

/// Attributes of which some depend on requests.
pub struct RequestResource {
    /// The usual ones that are not configured.
    usual: Vec<(&'static str, String)>,
    configured: Vec<(String, String, Template)>,
}

/// The attributes that are the same for all requests. What depends on them is left out.
pub fn constant(config: Config<'_>, env: &Env) -> Vec<u8> {
    let configured = config.section("resource_attributes");
    let usual = usual(config, env);
    let own = configured.pairs().filter_map(|(name, value)| Some((name, value.as_str()?)));
    let own = own.filter(|(_, text)| !depends(text));
    encode::resource(usual.iter().map(|(name, value)| (*name, value.as_str())).chain(own))
}

fn usual(config: Config<'_>, env: &Env) -> Vec<(&'static str, String)> {
    let configured = config.section("resource_attributes");
    let node = env.node().id.to_string();
    let all = [("service.name", "kong".to_owned()), ("service.instance.id", node)];
    let all = all.into_iter().chain([("service.version", KONG_VERSION.to_owned())]);
    all.filter(|(name, _)| !configured.is_set(name)).collect()
}

fn depends(text: &str) -> bool {
    text.contains("$(")
}

impl RequestResource {
    /// Those of a configuration, where some depend on the request.
    pub fn read(config: Config<'_>, env: &Env) -> Result<Option<RequestResource>, String> {
        let configured = config.section("resource_attributes");
        let texts = || configured.pairs().filter_map(|(name, value)| Some((name, value.as_str()?)));
        if !texts().any(|(_, text)| depends(text)) {
            return Ok(None);
        }
        let template = |(name, text): (&str, &str)| {
            let template = Template::parse(text, env.scripts().map(|scripts| &**scripts));
            let template = template.map_err(|why| format!("config.resource_attributes.{name}: {why}"))?;
            Ok::<_, String>((name.to_owned(), text.to_owned(), template))
        };
        let configured = texts().map(template).collect::<Result<_, _>>()?;
        Ok(Some(RequestResource { usual: usual(config, env), configured }))
    }

    /// Those of a request that is over. As in Kong, all stand as they are written where one cannot be evaluated.
    pub fn of(&self, exchange: &mut Exchange) -> Vec<u8> {
        // Templates speak of the lines of the request, and not of those for the service.
        let mut kept = exchange.kept_lines.take();
        if let Some(kept) = &mut kept {
            std::mem::swap(&mut exchange.request.fields, &mut **kept);
        }
        let mut scope = Scope::new(exchange);
        let rendered = self.configured.iter().map(|(_, _, template)| {
            template.render(&mut scope).map(|value| String::from_utf8_lossy(&value).into_owned())
        });
        let rendered = rendered.collect::<Result<Vec<_>, String>>();
        if let Some(kept) = &mut kept {
            std::mem::swap(&mut exchange.request.fields, &mut **kept);
        }
        exchange.kept_lines = kept;
        let rendered = rendered.unwrap_or_else(|why| {
            tracing::warn!(request_id = exchange.id_str(), "opentelemetry: resource_attributes: {why}");
            self.configured.iter().map(|(_, text, _)| text.clone()).collect()
        });
        let usual = self.usual.iter().map(|(name, value)| (*name, value.as_str()));
        let own = self.configured.iter().zip(&rendered).map(|((name, ..), value)| (name.as_str(), value.as_str()));
        encode::resource(usual.chain(own))
    }
}

/// What a queue holds of something that has a resource of its own: that goes before it.
pub fn with(resource: &[u8], entry: &[u8]) -> Vec<u8> {
    let length = u32::try_from(resource.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), resource, entry].concat()
}

/// The resources of a batch with what belongs to each, in the order in which they came.
pub fn apart(batch: &[Bytes]) -> Vec<(Bytes, Vec<Bytes>)> {
    let mut all: Vec<(Bytes, Vec<Bytes>)> = Vec::new();
    for held in batch {
        let Some((length, rest)) = held.split_first_chunk::<4>() else { continue };
        let length = u32::from_be_bytes(*length) as usize;
        if length > rest.len() {
            continue;
        }
        let (resource, entry) = (held.slice(4..4 + length), held.slice(4 + length..));
        match all.iter_mut().find(|(known, _)| *known == resource) {
            Some((_, entries)) => entries.push(entry),
            None => all.push((resource, vec![entry])),
        }
    }
    all
}
