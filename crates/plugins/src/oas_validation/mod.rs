//! `oas-validation`: lets requests through that conform to an OpenAPI document, and looks at responses.

mod compile;
mod spec;
#[cfg(test)]
mod tests;

use crate::gzip;
use crate::json_schema::{Fault, Location};
use sdk::{
    Answer, Args, Config, Env, Exchange, Function, Known, MediaType, MemoryBudget, Phases, Plugin, PluginKind, Record,
    Step, entities,
};
use serde_json::{Value, json};
use spec::{Found, Missing, Spec};

/// The plugin as the gateway knows it.
pub struct OasValidation;

struct Instance {
    spec: Spec,
    verbose: bool,
    /// Clients are told of faults one by one.
    structured: bool,
    /// How many faults are looked for.
    most_faults: usize,
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
    Invalid(Vec<Fault>),
}

/// More faults of one request or response are not looked for.
const MOST_FAULTS: usize = 1000;
/// Contents that become larger are not validated.
const MOST_UNZIPPED: usize = 64 << 20;
/// Lines that other plugins add, for the service.
const ADDED: [&str; 3] = ["x-consumer-", "x-credential-", "x-anonymous-"];

/// What is wrong, in one line.
fn joined(faults: &[Fault]) -> String {
    faults.iter().map(|fault| fault.words.as_str()).collect::<Vec<_>>().join("; ")
}

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
        let verbose = config.flag("verbose_response");
        let structured = verbose && config.flag("structured_errors");
        let several = structured || config.flag("collect_all_errors");
        let most = config.integer("max_structured_errors").filter(|_| structured).unwrap_or(MOST_FAULTS);
        Ok(Box::new(Instance {
            spec: parse(&config).map_err(|error| format!("config.api_spec: {error}"))?,
            verbose,
            structured,
            most_faults: if several { most.clamp(1, MOST_FAULTS) } else { 1 },
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
            phases = phases.and(Phases::RESPONSE);
        }
        phases
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Err(refusal) = self.validate(exchange) else { return Step::Next };
        let id = exchange.id_str();
        let why = match &refusal {
            Refusal::TooLarge => "the content is too large".to_owned(),
            Refusal::Invalid(faults) => joined(faults),
        };
        tracing::warn!(request_id = id, refused = !self.notify_only, "oas-validation: {why}");
        if self.notify_only {
            return Step::Next;
        }
        Step::Answer(match refusal {
            Refusal::TooLarge => Answer::error(exchange, 413, "Request body is too large to be validated"),
            Refusal::Invalid(faults) => {
                self.answer(exchange, 400, "request doesn't conform to api specification", &faults)
            }
        })
    }

    /// What the gateway itself or a plugin says is not the service's, and comes to no such phase.
    fn wants_response(&self, exchange: &Exchange) -> bool {
        let kind = exchange.response.fields.known(Known::ContentType).and_then(MediaType::parse);
        let is_head = exchange.request.method.as_bytes() == b"HEAD";
        self.response && !is_head && kind.is_some_and(|kind| kind.is_json())
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if !self.wants_response(exchange) {
            return Step::Next;
        }
        let Err(faults) = self.validate_response(exchange) else { return Step::Next };
        let id = exchange.id_str();
        let (refused, why) = (!self.notify_only_response, joined(&faults));
        tracing::warn!(request_id = id, refused, "oas-validation: response: {why}");
        if self.notify_only_response {
            return Step::Next;
        }
        Step::Answer(self.answer(exchange, 406, "response doesn't conform to api specification", &faults))
    }
}

impl Instance {
    /// A refusal: what is wrong is told to who is to know it.
    fn answer(&self, exchange: &Exchange, status: u16, message: &str, faults: &[Fault]) -> Answer {
        if !self.verbose {
            return Answer::message(exchange, status, message);
        }
        if !self.structured {
            return Answer::message(exchange, status, &joined(faults));
        }
        let entry = |fault: &Fault| match &fault.place {
            Some((value, schema)) => {
                json!({ "instanceLocation": value, "keywordLocation": schema, "error": fault.words })
            }
            None => json!({ "error": fault.words }),
        };
        let errors: Vec<Value> = faults.iter().map(entry).collect();
        Answer::json(status, &json!({ "message": message, "errors": errors }))
    }

    fn validate(&self, exchange: &Exchange) -> Result<(), Refusal> {
        let invalid = |words: String| Refusal::Invalid(vec![words.into()]);
        let mut faults = Vec::new();
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
                let (location, name) = (parameter.location.name(), &parameter.name);
                let found = parameter.faults(exchange, &captures, &args, self.most_faults - faults.len());
                faults.extend(found.into_iter().map(|fault| {
                    let words = format!("{location} '{name}' validation failed with error: '{}'", fault.words);
                    Fault { words, ..fault }
                }));
                if faults.len() >= self.most_faults {
                    return Err(Refusal::Invalid(faults));
                }
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
        if self.body {
            faults.extend(self.body_faults(exchange, operation, self.most_faults - faults.len())?);
        }
        if faults.is_empty() { Ok(()) } else { Err(Refusal::Invalid(faults)) }
    }

    fn body_faults(
        &self,
        exchange: &Exchange,
        operation: &spec::Operation,
        most: usize,
    ) -> Result<Vec<Fault>, Refusal> {
        let Some(expected) = &operation.body else { return Ok(Vec::new()) };
        let body = exchange.body.bytes().ok_or(Refusal::TooLarge)?;
        let words = |words: &str| format!("body validation failed with error: '{words}'");
        let failed = |what: &str| Refusal::Invalid(vec![words(what).into()]);
        if body.is_empty() {
            return if expected.required { Err(failed("request body is required")) } else { Ok(Vec::new()) };
        }
        let kind = exchange.request.fields.known(Known::ContentType).and_then(MediaType::parse);
        let kind = kind.ok_or_else(|| failed("there is no content type"))?;
        let schema = expected.contents.of(&kind);
        let Some(schema) = schema.ok_or_else(|| failed("content type is not in api specification"))? else {
            return Ok(Vec::new());
        };
        if !kind.is_json() {
            return Ok(Vec::new());
        }
        let value = serde_json::from_slice::<Value>(body).map_err(|_| failed("body is not valid json"))?;
        let found = schema.faults(&value, most).into_iter();
        Ok(found.map(|fault| Fault { words: words(&fault.words), ..fault }).collect())
    }

    fn validate_response(&self, exchange: &Exchange) -> Result<(), Vec<Fault>> {
        let words = |words: &str| format!("response body validation failed with error: '{words}'");
        let failed = |what: &str| vec![words(what).into()];
        let response = &exchange.response;
        let found = self.spec.find(&method(exchange), &exchange.path());
        let operation = found.map_err(|_| failed("it is not in api specification"))?.operation;
        let contents =
            operation.response(response.status).ok_or_else(|| failed("its status is not in api specification"))?;
        let json = MediaType { kind: "application".into(), subtype: "json".into(), parameters: Vec::new() };
        let Some(Some(schema)) = contents.of(&json) else { return Ok(()) };
        let content = exchange.response_body.clone().unwrap_or_default();
        let encoding = response.fields.get("Content-Encoding").map(<[u8]>::trim_ascii);
        let plain = match encoding {
            Some(encoding) if encoding.eq_ignore_ascii_case(b"gzip") => {
                gzip::unzip(&content, &self.memory, MOST_UNZIPPED)
            }
            _ => Some(content),
        };
        let value = plain.and_then(|plain| serde_json::from_slice::<Value>(&plain).ok());
        let faults = schema.faults(&value.ok_or_else(|| failed("it is not valid json"))?, self.most_faults).into_iter();
        let faults: Vec<_> = faults.map(|fault| Fault { words: words(&fault.words), ..fault }).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
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
