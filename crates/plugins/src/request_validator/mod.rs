//! `request-validator`: lets requests through whose body and parameters conform to schemas.

mod body;
#[cfg(test)]
mod tests;

use crate::json_schema::{Draft, JsonSchema, Location, Parameter, Style};
use body::BodySchema;
use sdk::{
    Answer, Args, Config, Env, Exchange, Function, Known, MediaType, Phases, Plugin, PluginKind, Record, RequestBody,
    Step, entities,
};
use serde_json::{Value, json};
use std::fmt;

/// The plugin as the gateway knows it.
pub struct RequestValidator;

struct Instance {
    body: Option<BodySchema>,
    /// The types that a body may have; `None` for any.
    content_types: Option<Vec<MediaType>>,
    /// Whether the parameters of types count.
    type_parameters: bool,
    parameters: Vec<Parameter>,
    verbose: bool,
}

/// Why a request goes no further.
#[derive(Debug, PartialEq)]
enum Refusal {
    ContentType,
    TooLarge,
    Body(Value),
    Parameter(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::ContentType => f.write_str("content of a type that is not allowed"),
            Refusal::TooLarge => f.write_str("too large content"),
            Refusal::Body(why) => write!(f, "invalid content: {why}"),
            Refusal::Parameter(why) => f.write_str(why),
        }
    }
}

impl PluginKind for RequestValidator {
    fn name(&self) -> &'static str {
        "request-validator"
    }

    fn priority(&self) -> i32 {
        999
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[
            ("request_validator_body", Function::Check(check_body_schema)),
            ("parameter_style", Function::Check(check_style)),
            ("parameter_schema", Function::Validator(check_parameter_schema)),
            ("media_type", Function::Validator(|value| media_type(value.as_str().unwrap_or_default()).map(drop))),
        ]
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let version = config.text("version").unwrap_or("kong");
        let body = config.text("body_schema").map(|text| BodySchema::parse(version, text));
        let content_types = config.texts("allowed_content_types");
        let parameters = config.list("parameter_schema").iter().filter_map(Value::as_object);
        Ok(Box::new(Instance {
            body: body.transpose().map_err(|error| format!("config.body_schema: {error}"))?,
            content_types: if config.is_set("allowed_content_types") {
                Some(content_types.iter().map(|text| media_type(text)).collect::<Result<_, _>>()?)
            } else {
                None
            },
            type_parameters: config.flag("content_type_parameter_validation"),
            parameters: parameters
                .map(|record| parameter(&Config::new(record)).map_err(|e| format!("config.parameter_schema: {e}")))
                .collect::<Result<_, _>>()?,
            verbose: config.flag("verbose_response"),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        if self.body.is_some() { Phases::ACCESS.and(Phases::READS_BODY) } else { Phases::ACCESS }
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        match self.validate(exchange) {
            Ok(()) => Step::Next,
            Err(refusal) => {
                tracing::debug!(request_id = exchange.id_str(), "request-validator: {refusal}");
                Step::Answer(self.refuse(exchange, refusal))
            }
        }
    }
}

impl Instance {
    fn validate(&self, exchange: &Exchange) -> Result<(), Refusal> {
        if let Some(schema) = &self.body {
            let content_type = exchange.request.fields.known(Known::ContentType).and_then(MediaType::parse);
            if !self.allows(content_type.as_ref()) {
                return Err(Refusal::ContentType);
            }
            // Without a type it is not known to be something else.
            if content_type.is_none_or(|kind| kind.is_json()) {
                validate_body(schema, &exchange.body)?;
            }
        }
        if self.parameters.is_empty() {
            return Ok(());
        }
        let args = Args::parse(exchange.request.query().unwrap_or_default());
        for parameter in &self.parameters {
            parameter.validate(exchange, &exchange.captures, &args).map_err(|error| {
                let (location, name) = (parameter.location.name(), &parameter.name);
                Refusal::Parameter(format!("{location} '{name}' validation failed: {error}"))
            })?;
        }
        Ok(())
    }

    fn allows(&self, content_type: Option<&MediaType>) -> bool {
        let Some(allowed) = &self.content_types else { return true };
        let Some(content_type) = content_type else { return false };
        let mut content_type = content_type.clone();
        lower_charset(&mut content_type);
        allowed.iter().any(|one| {
            let mut one = one.clone();
            if !self.type_parameters {
                one.parameters.clone_from(&content_type.parameters);
            }
            one.matches(&content_type)
        })
    }

    fn refuse(&self, exchange: &Exchange, refusal: Refusal) -> Answer {
        let verbose = self.verbose;
        match refusal {
            Refusal::ContentType => Answer::message(exchange, 400, "specified Content-Type is not allowed"),
            Refusal::TooLarge => Answer::error(exchange, 413, "Request body is too large to be validated"),
            Refusal::Body(Value::String(words)) if verbose => Answer::message(exchange, 400, &words),
            Refusal::Body(fields) if verbose => Answer::json(400, &json!({ "message": fields })),
            Refusal::Body(_) => Answer::message(exchange, 400, "request body doesn't conform to schema"),
            Refusal::Parameter(words) if verbose => Answer::message(exchange, 400, &words),
            Refusal::Parameter(_) => Answer::message(exchange, 400, "request param doesn't conform to schema"),
        }
    }
}

fn validate_body(schema: &BodySchema, body: &RequestBody) -> Result<(), Refusal> {
    let octets = body.bytes().ok_or(Refusal::TooLarge)?;
    let value = serde_json::from_slice(octets).map_err(|_| Refusal::Body("body is not valid JSON".into()))?;
    schema.validate(value).map_err(Refusal::Body)
}

fn parameter(config: &Config<'_>) -> Result<Parameter, String> {
    let location = config.text("in").and_then(Location::parse).ok_or("in: missing")?;
    let name = config.text("name").ok_or("name: missing")?;
    let parameter = Parameter::new(location, name, config.flag("required"));
    let Some(schema) = config.text("schema") else { return Ok(parameter) };
    let style = config.text("style").and_then(Style::parse).ok_or("style: missing")?;
    let schema = serde_json::from_str(schema).map_err(|_| "schema: failed decoding schema".to_owned())?;
    parameter.with_schema(style, config.flag("explode"), Draft::Draft4, &schema)
}

/// A media type or range. The name of a charset has no case.
fn media_type(text: &str) -> Result<MediaType, String> {
    let mut kind = MediaType::parse(text).ok_or_else(|| format!("'{text}' is not a media type"))?;
    lower_charset(&mut kind);
    Ok(kind)
}

fn lower_charset(kind: &mut MediaType) {
    kind.parameters
        .iter_mut()
        .filter(|(name, _)| name == "charset")
        .for_each(|(_, value)| value.make_ascii_lowercase());
}

fn check_body_schema(record: &Record) -> Result<(), String> {
    let Some(config) = record.get("config").and_then(Value::as_object).map(Config::new) else { return Ok(()) };
    let Some(text) = config.text("body_schema") else { return Ok(()) };
    BodySchema::parse(config.text("version").unwrap_or("kong"), text).map(drop)
}

fn check_style(record: &Record) -> Result<(), String> {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let (style, location) = (text("style").and_then(Style::parse), text("in").and_then(Location::parse));
    match (style, location) {
        (Some(style), Some(location)) => style.check(location),
        _ => Ok(()),
    }
}

fn check_parameter_schema(value: &Value) -> Result<(), String> {
    JsonSchema::parse(Draft::Draft4, value.as_str().unwrap_or_default()).map(drop)
}
