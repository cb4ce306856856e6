//! How traces travel in header lines: which formats are read, which are written, and what becomes of the lines that
//! came. One place for all plugins that trace, with the settings that Kong gives them in common.

mod extract;
mod inject;

use super::TraceContext;
use crate::log::LogValue;
use crate::{Config, Exchange, Fields};
use serde_json::{Map, Value};

/// A plugin's settings for it.
#[derive(Clone, Debug)]
pub struct Propagation {
    extract: Vec<Format>,
    inject: Vec<Injection>,
    clear: Vec<String>,
    default: Format,
}

/// A way to write a context into header lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    W3c,
    B3,
    B3Single,
    Jaeger,
    OpenTracing,
    Datadog,
    Aws,
    Gcp,
    Instana,
}

/// What a request brought along.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extracted {
    pub context: TraceContext,
    pub from: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Injection {
    /// In the format that came.
    Preserve,
    In(Format),
}

/// The trace's id as each format has it that was written for a request: several plugins may write some.
#[derive(Default)]
struct Written(Map<String, Value>);

/// The order in which formats were looked for before it could be chosen.
const EVERY: [Format; 8] = [
    Format::B3,
    Format::W3c,
    Format::Jaeger,
    Format::OpenTracing,
    Format::Datadog,
    Format::Aws,
    Format::Gcp,
    Format::Instana,
];

impl Format {
    /// By the name that configurations have for it.
    pub fn parse(name: &str) -> Result<Format, String> {
        Ok(match name {
            "w3c" => Format::W3c,
            "b3" => Format::B3,
            "b3-single" => Format::B3Single,
            "jaeger" => Format::Jaeger,
            "ot" => Format::OpenTracing,
            "datadog" => Format::Datadog,
            "aws" => Format::Aws,
            "gcp" => Format::Gcp,
            "instana" => Format::Instana,
            other => return Err(format!("unknown format '{other}' of tracing headers")),
        })
    }
}

impl Propagation {
    /// The settings in a plugin's configuration. As in Kong, `propagation` counts when it says more than the default
    /// format; else the older `header_type` and `default_header_type` do.
    pub fn of(config: Config<'_>) -> Result<Propagation, String> {
        let section = config.section("propagation");
        let named = |field: &str| -> Result<Vec<Format>, String> {
            section.texts(field).iter().map(|name| Format::parse(name)).collect()
        };
        let injection = |name: &String| match name.as_str() {
            "preserve" => Ok(Injection::Preserve),
            name => Format::parse(name).map(Injection::In),
        };
        let default = section.text("default_format").map_or(Ok(Format::W3c), Format::parse)?;
        if ["extract", "inject", "clear"].iter().any(|field| section.is_set(field)) {
            return Ok(Propagation {
                extract: named("extract")?,
                inject: section.texts("inject").iter().map(injection).collect::<Result<_, _>>()?,
                clear: section.texts("clear"),
                default,
            });
        }
        let default = config.text("default_header_type").map_or(Ok(default), Format::parse)?;
        let every = EVERY.to_vec();
        let (extract, inject) = match config.text("header_type") {
            None => (Vec::new(), Vec::new()),
            Some("preserve") => (every, vec![Injection::Preserve]),
            Some("ignore") => (Vec::new(), vec![Injection::In(default)]),
            Some(name) => (every, vec![Injection::Preserve, Injection::In(Format::parse(name)?)]),
        };
        Ok(Propagation { extract, inject, clear: Vec::new(), default })
    }

    /// What the lines of a request say, in the first of the formats that says anything.
    pub fn extract(&self, fields: &Fields) -> Extracted {
        let found = self.extract.iter().find_map(|format| Some((extract::context(*format, fields)?, *format)));
        found.map_or_else(Extracted::default, |(context, from)| Extracted { context, from: Some(from) })
    }

    /// Writes a context into the request for the service, after the lines that are to go have gone. `from`: the format
    /// in which the request brought one along.
    pub fn inject(&self, exchange: &mut Exchange, from: Option<Format>, context: &TraceContext) {
        self.clear.iter().for_each(|name| {
            exchange.request.fields.remove(name);
        });
        let mut written = exchange.take::<Written>().unwrap_or_default();
        for injection in &self.inject {
            let format = match injection {
                Injection::In(format) => *format,
                Injection::Preserve => match from.unwrap_or(self.default) {
                    Format::B3 if context.b3_single => Format::B3Single,
                    format => format,
                },
            };
            if let Some((name, id)) = inject::write(format, context, &mut exchange.request.fields) {
                written.0.insert(name.to_owned(), Value::String(id));
            }
        }
        if !written.0.is_empty() {
            exchange.log_values.retain(|value| value.key != LOGGED);
            exchange.log_values.push(LogValue::set(LOGGED, Value::Object(written.0.clone())));
        }
        exchange.put(written);
    }
}

/// Where log entries have the ids.
const LOGGED: &str = "trace_id";

#[cfg(test)]
mod tests;
