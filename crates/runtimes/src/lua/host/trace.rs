//! `kong.tracing`: the spans of the exchange, which code reads and adds to. What it does to spans of others is done to
//! them. `kong.telemetry`: records for those who are told what the node logs.

use super::{Arguments, Host, maybe, octets, unknown};
use crate::lua::surroundings;
use crate::lua::value::{number, text};
use mlua::{Error, IntoLua, Lua, Result, Table, Value};
use sdk::{Attribute, LogMessage, Span, SpanEvent, SpanId, SpanKind, SpanStatus, TraceId};
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is kept of a span's attributes and events, each, at most.
const MOST: usize = 128;
/// How deep attributes are nested.
const DEEPEST: usize = 4;

impl Host {
    pub(super) fn trace(&mut self, lua: &Lua, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        let Some(trace) = self.exchange.trace.as_deref_mut() else { return Ok(Value::Nil) };
        match function {
            "id" => return octets(lua, trace.id.octets()),
            "is_sampled" => return Ok(Value::Boolean(trace.sampled)),
            "sample" => trace.sampled = arguments.value(0).as_boolean() == Some(true),
            "active" => return maybe(lua, trace.active().map(|id| id.0)),
            "set_active" => trace.set_active(id(arguments.value(0))),
            "spans" => {
                let spans = trace.spans().iter().map(|span| described(lua, span)).collect::<Result<Vec<_>>>()?;
                return spans.into_lua(lua);
            }
            "add" => {
                let (name, attributes) = (arguments.str(2)?, attributes_of(arguments.value(5))?);
                trace.add(Span {
                    name: Cow::Owned(name),
                    id: own_id(arguments)?,
                    parent: id(arguments.value(1)),
                    kind: kind(arguments.value(3)),
                    start: time(arguments.value(4)),
                    end: 0,
                    attributes,
                    events: Vec::new(),
                    status: SpanStatus::Unset,
                });
            }
            "set_attribute" => {
                let (name, value) = (arguments.str(1)?, arguments.value(2));
                let Some(span) = trace.span(own_id(arguments)?) else { return Ok(Value::Nil) };
                match attribute(&name, value, DEEPEST)? {
                    Some(value) if span.attributes.len() < MOST => span.set(&name, value),
                    Some(_) => {}
                    None => span.attributes.retain(|(known, _)| *known != name),
                }
            }
            "add_event" => {
                let (name, attributes) = (arguments.str(1)?, attributes_of(arguments.value(3))?);
                let Some(span) = trace.span(own_id(arguments)?) else { return Ok(Value::Nil) };
                if span.events.len() < MOST {
                    span.events.push(SpanEvent { name, time: time(arguments.value(2)), attributes });
                }
            }
            "finish" => {
                let own = own_id(arguments)?;
                if let (Some(span), Value::Table(_)) = (trace.span(own), arguments.value(2)) {
                    // What code has put there without telling.
                    for (name, value) in attributes_of(arguments.value(2))? {
                        span.set(&name, value);
                    }
                }
                trace.finish(own, Some(time(arguments.value(1))));
            }
            "assign" => {
                let (field, value) = (arguments.str(1)?, arguments.value(2));
                if field == "trace_id" {
                    trace.id = text(value).map_or(trace.id, |octets| TraceId::received(&octets));
                    return Ok(Value::Nil);
                }
                let Some(span) = trace.span(own_id(arguments)?) else { return Ok(Value::Nil) };
                match field.as_str() {
                    "parent_id" => span.parent = id(value),
                    "status" => span.status = SpanStatus::of(number(value).unwrap_or_default() as u64),
                    "name" => span.name = Cow::Owned(arguments.str(2)?),
                    "kind" => span.kind = kind(value),
                    "start_time_ns" => span.start = time(value),
                    _ => {}
                }
            }
            _ => return Err(unknown(arguments.name)),
        }
        Ok(Value::Nil)
    }
}

impl Host {
    /// `kong.telemetry.log`: the message, attributes, and the place in the code.
    pub(super) fn tell(&mut self, arguments: &Arguments<'_>) -> Result<Value> {
        let id = self.is_lent.then(|| self.exchange.id_str().to_owned());
        let trace = self.exchange.trace.as_deref().filter(|_| self.is_lent);
        let trace = trace.map(|trace| (trace.id, trace.active(), trace.sampled));
        telemetry(arguments.value(0), arguments.value(1), id.as_deref(), trace)?;
        Ok(Value::Nil)
    }
}

/// Tells those who listen to the node's log of something that is not in it.
pub fn telemetry(
    message: &Value,
    attributes: &Value,
    request_id: Option<&str>,
    trace: Option<(TraceId, Option<SpanId>, bool)>,
) -> Result<()> {
    let Some(env) = surroundings::env() else { return Ok(()) };
    let text = text(message).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    let attributes = attributes_of(attributes)?;
    env.log().tell(&LogMessage {
        time,
        text: &text,
        request_id,
        attributes: &attributes,
        trace,
        ..LogMessage::default()
    });
    Ok(())
}

fn id(value: &Value) -> Option<SpanId> {
    text(value).map(|octets| SpanId::received(&octets))
}

/// The id of the span that the call is about.
fn own_id(arguments: &Arguments<'_>) -> Result<SpanId> {
    id(arguments.value(0)).ok_or_else(|| Error::runtime("a span has no id"))
}

fn kind(value: &Value) -> SpanKind {
    number(value).map_or(SpanKind::Internal, |kind| SpanKind::of(kind as u64))
}

/// A time in nanoseconds since 1970.
fn time(value: &Value) -> u64 {
    number(value).unwrap_or_default() as u64
}

/// The attributes in a table, by name.
fn attributes_of(value: &Value) -> Result<Vec<(Cow<'static, str>, Attribute)>> {
    let Value::Table(table) = value else { return Ok(Vec::new()) };
    Ok(pairs(table, DEEPEST)?.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect())
}

fn pairs(table: &Table, deeper: usize) -> Result<Vec<(String, Attribute)>> {
    let mut pairs = Vec::new();
    for pair in table.pairs::<Value, Value>().take(MOST) {
        let (name, value) = pair?;
        let name = text(&name).map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default();
        if let Some(value) = attribute(&name, &value, deeper)? {
            pairs.push((name, value));
        }
    }
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(pairs)
}

/// A value as Kong tells collectors of it: numbers are fractions, but for the status of an answer.
fn attribute(name: &str, value: &Value, deeper: usize) -> Result<Option<Attribute>> {
    Ok(match value {
        Value::String(text) => Some(Attribute::Text(text.to_string_lossy())),
        Value::Boolean(is_so) => Some(Attribute::Bool(*is_so)),
        Value::Table(_) if deeper == 0 => None,
        Value::Table(table) if table.raw_len() > 0 => {
            let values = table.sequence_values::<Value>().take(MOST);
            let values = values.map(|value| attribute("", &value?, deeper - 1));
            let values = values.collect::<Result<Vec<_>>>()?;
            Some(Attribute::List(values.into_iter().flatten().collect()))
        }
        Value::Table(table) => Some(Attribute::Map(pairs(table, deeper - 1)?)),
        other => number(other).map(|number| match name {
            "http.status_code" => Attribute::Integer(number as i64),
            _ => Attribute::Number(number),
        }),
    })
}

fn described(lua: &Lua, span: &Span) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("span_id", lua.create_string(span.id.0)?)?;
    table.raw_set("parent_id", maybe(lua, span.parent.map(|parent| parent.0))?)?;
    table.raw_set("name", &*span.name)?;
    table.raw_set("kind", span.kind as u8)?;
    table.raw_set("start_time_ns", span.start as f64)?;
    table.raw_set("end_time_ns", (span.end > 0).then_some(span.end as f64))?;
    table.raw_set("status", (span.status != SpanStatus::Unset).then_some(span.status as u8))?;
    let attributes = lua.create_table()?;
    for (name, value) in &span.attributes {
        attributes.raw_set(&**name, value_of(lua, value)?)?;
    }
    table.raw_set("attributes", attributes)?;
    Ok(table)
}

fn value_of(lua: &Lua, attribute: &Attribute) -> Result<Value> {
    match attribute {
        Attribute::Text(text) => octets(lua, text),
        Attribute::Integer(number) => Ok(Value::Number(*number as f64)),
        Attribute::Number(number) => Ok(Value::Number(*number)),
        Attribute::Bool(is_so) => Ok(Value::Boolean(*is_so)),
        Attribute::List(values) => {
            values.iter().map(|one| value_of(lua, one)).collect::<Result<Vec<_>>>()?.into_lua(lua)
        }
        Attribute::Map(pairs) => {
            let table = lua.create_table()?;
            pairs.iter().try_for_each(|(name, one)| table.raw_set(name.as_str(), value_of(lua, one)?))?;
            Ok(Value::Table(table))
        }
    }
}
