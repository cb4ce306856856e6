//! `oas-validation`: lets requests through that conform to an OpenAPI document, and looks at responses.

mod compile;
mod spec;
#[cfg(test)]
mod tests;

use crate::json_schema::Location;
use sdk::{
    Answer, Args, Bytes, Config, Env, Exchange, Function, Held, Known, MediaType, MemoryBudget, Phases, Plugin,
    PluginKind, Record, Source, Step, entities,
};
use serde_json::Value;
use spec::{Found, Missing, Spec};

/// The plugin as the gateway knows it.
pub struct OasValidation;

struct Instance {
    spec: Spec,
    verbose: bool,
    body: bool,
    headers: bool,
    query: bool,
    path: bool,
    /// Whether requests that do not conform are only told of in the log.
    notify_only: bool,
    response: bool,
    notify_only_response: bool,
    /// Whether arguments and lines that the document does not have are refused.
    closed_query: bool,
    closed_headers: bool,
    /// Lines in lower case that are let through in any case.
    allowed_headers: Vec<String>,
    memory: MemoryBudget,
}

/// Why a request goes no further.
#[derive(Debug, PartialEq)]
enum Refusal {
    TooLarge,
    Invalid(String),
}

/// Nothing more of a response is sent.
struct Withheld;

/// The content so far of a response that is to be validated, and by what.
struct Gathering {
    content: Held,
    method: String,
    path: String,
    status: u16,
}

/// Larger responses are not validated.
const MOST: usize = 64 << 20;
/// Lines that other plugins add, for the service.
const ADDED: [&str; 3] = ["x-consumer-", "x-credential-", "x-anonymous-"];

impl PluginKind for OasValidation {
    fn name(&self) -> &'static str {
        "oas-validation"
    }

    fn priority(&self) -> i32 {
        840
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("api_specification", Function::Check(check_spec))]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        // What is not said is validated.
        let usually = |field: &str| !config.is_set(field) || config.flag(field);
        let allowed = config.text("allowed_header_parameters").unwrap_or_default();
        Ok(Box::new(Instance {
            spec: parse(&config).map_err(|error| format!("config.api_spec: {error}"))?,
            verbose: config.flag("verbose_response"),
            body: usually("validate_request_body"),
            headers: usually("validate_request_header_params"),
            query: usually("validate_request_query_params"),
            path: usually("validate_request_uri_params"),
            notify_only: config.flag("notify_only_request_validation_failure"),
            response: config.flag("validate_response_body"),
            notify_only_response: config.flag("notify_only_response_body_validation_failure"),
            closed_query: config.flag("query_parameter_check"),
            closed_headers: config.flag("header_parameter_check"),
            allowed_headers: allowed.split(',').map(|name| name.trim().to_ascii_lowercase()).collect(),
            memory: env.memory().clone(),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        let mut phases = Phases::ACCESS;
        if self.body {
            phases = phases.and(Phases::READS_BODY);
        }
        if self.response {
            phases = phases.and(Phases::HEADER_FILTER).and(Phases::BODY_FILTER);
        }
        phases
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Err(refusal) = self.validate(exchange) else { return Step::Next };
        let id = exchange.id_str();
        tracing::warn!(request_id = id, refused = !self.notify_only, "oas-validation: {refusal:?}");
        if self.notify_only {
            return Step::Next;
        }
        Step::Answer(match refusal {
            Refusal::TooLarge => Answer::error(exchange, 413, "Request body is too large to be validated"),
            Refusal::Invalid(words) if self.verbose => Answer::message(exchange, 400, &words),
            Refusal::Invalid(_) => Answer::message(exchange, 400, "request doesn't conform to api specification"),
        })
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        let response = &mut exchange.response;
        let kind = response.fields.known(Known::ContentType).and_then(MediaType::parse);
        // What the gateway itself or a plugin says is not the service's.
        let is_head = exchange.request.method.as_bytes() == b"HEAD";
        if exchange.source != Source::Service || is_head || !kind.is_some_and(|kind| kind.is_json()) {
            return;
        }
        let status = response.status;
        response.fields.remove_known(Known::ContentLength);
        let (method, path) = (method(exchange), exchange.path().into_owned());
        exchange.put(Gathering { content: Held::new(&self.memory), method, path, status });
    }

    fn body_filter(&self, exchange: &mut Exchange, piece: Bytes, last: bool) -> Bytes {
        if exchange.state::<Withheld>().is_some() {
            return Bytes::new();
        }
        let Some(mut gathering) = exchange.take::<Gathering>() else { return piece };
        let content = &mut gathering.content;
        let full = content.octets().len() + piece.len() > MOST || content.try_extend(&piece).is_err();
        if !full && !last {
            exchange.put(gathering);
            return Bytes::new();
        }
        let checked = match full {
            true => Err("it is too large to be validated".to_owned()),
            false => self.validate_response(&gathering),
        };
        if full {
            gathering.content.extend_anyway(&piece);
        }
        let Err(error) = checked else { return gathering.content.into_bytes() };
        let id = exchange.id_str();
        tracing::warn!(request_id = id, withheld = !self.notify_only_response, "oas-validation: response: {error}");
        if self.notify_only_response {
            return gathering.content.into_bytes();
        }
        // The head is with the client already: nothing but the content can be kept back.
        exchange.put(Withheld);
        Bytes::new()
    }
}

impl Instance {
    fn validate(&self, exchange: &Exchange) -> Result<(), Refusal> {
        let invalid = Refusal::Invalid;
        let Found { operation, captures } = self.spec.find(&method(exchange), &exchange.path()).map_err(|missing| {
            invalid(match missing {
                Missing::Path => "validation failed, path not found in api specification".to_owned(),
                Missing::Method => "validation failed, method not found in api specification".to_owned(),
            })
        })?;
        let args = Args::parse(exchange.request.query().unwrap_or_default());
        for parameter in &operation.parameters {
            let wanted = match parameter.location {
                Location::Path => self.path,
                Location::Query => self.query,
                Location::Header | Location::Cookie => self.headers,
            };
            if wanted {
                parameter.validate(exchange, &captures, &args).map_err(|error| {
                    let (location, name) = (parameter.location.name(), &parameter.name);
                    invalid(format!("{location} '{name}' validation failed with error: '{error}'"))
                })?;
            }
        }
        let knows = |location: Location, name: &[u8]| {
            operation.parameters.iter().any(|parameter| parameter.location == location && parameter.covers(name))
        };
        if self.closed_query
            && let Some((name, _)) = args.iter().find(|(name, _)| !knows(Location::Query, name))
        {
            return Err(invalid(format!("query parameter '{}' is not in api specification", name.escape_ascii())));
        }
        let lines = || exchange.request.fields.iter().map(|(name, _)| name.to_ascii_lowercase());
        let is_known = |name: &str| {
            self.allowed_headers.iter().any(|own| own == name)
                || ADDED.iter().any(|prefix| name.starts_with(prefix))
                || knows(Location::Header, name.as_bytes())
        };
        if self.closed_headers
            && let Some(name) = lines().find(|name| !is_known(name))
        {
            return Err(invalid(format!("header parameter '{name}' is not in api specification")));
        }
        if self.body { self.validate_body(exchange, operation) } else { Ok(()) }
    }

    fn validate_body(&self, exchange: &Exchange, operation: &spec::Operation) -> Result<(), Refusal> {
        let Some(expected) = &operation.body else { return Ok(()) };
        let body = exchange.body.bytes().ok_or(Refusal::TooLarge)?;
        let failed = |words: &str| Refusal::Invalid(format!("body validation failed with error: '{words}'"));
        if body.is_empty() {
            return if expected.required { Err(failed("request body is required")) } else { Ok(()) };
        }
        let kind = exchange.request.fields.known(Known::ContentType).and_then(MediaType::parse);
        let kind = kind.ok_or_else(|| failed("there is no content type"))?;
        let schema = expected.contents.of(&kind);
        let Some(schema) = schema.ok_or_else(|| failed("content type is not in api specification"))? else {
            return Ok(());
        };
        if !kind.is_json() {
            return Ok(());
        }
        let value = serde_json::from_slice::<Value>(body).map_err(|_| failed("body is not valid json"))?;
        schema.validate(&value).map_err(|error| failed(&error))
    }

    fn validate_response(&self, gathering: &Gathering) -> Result<(), String> {
        let found = self.spec.find(&gathering.method, &gathering.path).map_err(|_| "it is not in api specification")?;
        let contents = found.operation.response(gathering.status).ok_or("its status is not in api specification")?;
        let json = MediaType { kind: "application".into(), subtype: "json".into(), parameters: Vec::new() };
        let Some(Some(schema)) = contents.of(&json) else { return Ok(()) };
        let value = serde_json::from_slice::<Value>(gathering.content.octets());
        schema.validate(&value.map_err(|_| "it is not valid json")?)
    }
}

fn method(exchange: &Exchange) -> String {
    String::from_utf8_lossy(exchange.request.method.as_bytes()).into_owned()
}

fn parse(config: &Config<'_>) -> Result<Spec, String> {
    let encoded = !config.is_set("api_spec_encoded") || config.flag("api_spec_encoded");
    let text = config.text("api_spec").ok_or("missing")?;
    Spec::parse(text, encoded, config.text("custom_base_path"), config.flag("include_base_path"))
}

/// The check that the schema names.
fn check_spec(record: &Record) -> Result<(), String> {
    let config = record.get("config").and_then(Value::as_object);
    config.map_or(Ok(()), |config| parse(&Config::new(config)).map(drop))
}
