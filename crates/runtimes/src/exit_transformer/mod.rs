//! `exit-transformer`: functions in Lua over the answers that are given in place of a service's.

#[cfg(test)]
mod tests;

use crate::functions::is_code;
use crate::lua::{Code, call};
use sdk::{
    Answer, Bytes, Config, Env, Exchange, Fields, Function, Known, MediaType, Phases, Plugin, PluginKind, Source,
    entities,
};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The plugin as the gateway knows it.
pub struct ExitTransformer;

struct Instance {
    functions: Vec<Code>,
    handles_unknown: bool,
    handles_unexpected: bool,
}

const FUNCTIONS: &[(&str, Function)] = &[("lua_code", Function::Validator(is_code))];

/// What an answer in JSON says of its type unless somebody says something else.
const JSON: &[u8] = b"application/json; charset=utf-8";

impl PluginKind for ExitTransformer {
    fn name(&self) -> &'static str {
        "exit-transformer"
    }

    fn priority(&self) -> i32 {
        9999
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        FUNCTIONS
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let functions = config.texts("functions").iter().map(|text| Code::new(text)).collect::<Result<_, _>>();
        Ok(Box::new(Instance {
            functions: functions.map_err(|error| format!("config.functions: {error}"))?,
            handles_unknown: config.flag("handle_unknown"),
            handles_unexpected: config.flag("handle_unexpected"),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::EXIT
    }

    fn exit(&self, exchange: &mut Exchange, answer: Answer) -> Answer {
        if !self.handles(exchange, &answer) {
            return answer;
        }
        self.functions.iter().fold(answer, |answer, function| match transformed(function, exchange, &answer) {
            Ok(transformed) => transformed,
            Err(error) => {
                let request_id = exchange.id_str();
                tracing::error!(plugin = "exit-transformer", request_id, "an answer stays as it was: {error}");
                answer
            }
        })
    }
}

impl Instance {
    fn handles(&self, exchange: &Exchange, answer: &Answer) -> bool {
        let is_unknown = exchange.route.is_none();
        let is_unexpected = answer.source == Source::Error && !(is_unknown && answer.status == 404);
        (!is_unknown || self.handles_unknown) && (!is_unexpected || self.handles_unexpected)
    }
}

/// What a function makes of an answer.
fn transformed(function: &Code, exchange: &mut Exchange, answer: &Answer) -> Result<Answer, String> {
    let content = content(answer)?;
    let fields = fields(answer, !matches!(content, Value::Null | Value::String(_)));
    let returned = call(function, 0, exchange, &[answer.status.into(), content, fields])?;
    let status = returned.first().and_then(Value::as_u64).filter(|status| (100..=599).contains(status));
    let status = status.ok_or("the function returns no status between 100 and 599")? as u16;
    let (body, is_json): (Bytes, bool) = match returned.get(1) {
        None | Some(Value::Null) => (Bytes::new(), false),
        Some(Value::String(text)) => (text.clone().into(), false),
        Some(value) => (value.to_string().into(), true),
    };
    let mut made = Answer { source: answer.source, ..Answer::new(status, body) };
    if is_json {
        made.fields.set_known(Known::ContentType, JSON);
    }
    set_lines(&mut made.fields, returned.get(2).unwrap_or(&Value::Null))?;
    Ok(made)
}

/// The content as a function gets it: JSON as the values that it is, nothing of an empty one.
fn content(answer: &Answer) -> Result<Value, String> {
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    let content_type = answer.fields.known(Known::ContentType).and_then(MediaType::parse);
    if content_type.is_some_and(|kind| kind.is_json())
        && let Ok(value) = serde_json::from_slice(&answer.body)
    {
        return Ok(value);
    }
    let text = std::str::from_utf8(&answer.body).map_err(|_| "its content is no text")?;
    Ok(text.into())
}

/// The lines as a function gets them: those of the answer, without what follows from its content.
fn fields(answer: &Answer, is_json: bool) -> Value {
    let mut lines: Map<String, Value> = Map::new();
    for (name, value) in answer.fields.iter() {
        if is_json && name.eq_ignore_ascii_case("content-type") && value == JSON {
            continue;
        }
        let value = Value::String(String::from_utf8_lossy(value).into_owned());
        match lines.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, Value::Array(values))) => values.push(value),
            Some((_, known)) => *known = Value::Array(vec![known.take(), value]),
            None => {
                lines.insert(name.to_string(), value);
            }
        }
    }
    if lines.is_empty() { Value::Null } else { Value::Object(lines) }
}

/// Takes over what a function returns as lines. The gateway says how long the content is.
fn set_lines(fields: &mut Fields, returned: &Value) -> Result<(), String> {
    let lines = match returned {
        Value::Null => return Ok(()),
        Value::Array(none) if none.is_empty() => return Ok(()),
        Value::Object(lines) => lines,
        _ => return Err("the function returns lines that are no table".to_owned()),
    };
    for (name, value) in lines {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        if !Fields::is_valid_name(name.as_bytes()) {
            return Err("the function returns a line whose name is none".to_owned());
        }
        if ["content-length", "transfer-encoding"].iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
            continue;
        }
        fields.remove(name);
        for value in values {
            let text = text(value).filter(|text| Fields::is_valid_value(text.as_bytes()));
            fields
                .append(name, text.ok_or_else(|| format!("the function returns no value for line {name}"))?.as_bytes());
        }
    }
    Ok(())
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(_) | Value::Bool(_) => Some(Cow::Owned(value.to_string())),
        _ => None,
    }
}
