//! Functions of the configuration over JSON.

use super::status::Statuses;
use crate::json_edits::{Path, Segment};
use sdk::{Config, Env, Exchange, Script};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Functions over JSON, for some statuses.
pub struct Transform {
    pub statuses: Statuses,
    functions: Vec<Arc<dyn Script>>,
    /// The values that they get; all of it at once, where this names none.
    places: Vec<Path>,
}

/// Longer texts are not taken apart: their values take many times the memory.
const MOST: usize = 8 << 20;

/// How long all calls for one response may take together: the worker does nothing else meanwhile.
const LONGEST: Duration = Duration::from_secs(1);

impl Transform {
    /// As the configuration wants it; `None` without functions.
    pub fn of(config: &Config<'_>, path: fn(&str) -> Path, env: &Env) -> Result<Option<Transform>, String> {
        let transform = config.section("transform");
        let texts = transform.texts("functions");
        if texts.is_empty() {
            return Ok(None);
        }
        let scripts = env.scripts().ok_or("config.transform.functions: this program has no Lua")?;
        let functions = texts.iter().map(|text| scripts.load(text)).collect::<Result<_, _>>();
        Ok(Some(Transform {
            statuses: super::statuses(config, "transform")?,
            functions: functions.map_err(|error| format!("config.transform.functions: {error}"))?,
            places: transform.texts("json").iter().map(|text| path(text)).collect(),
        }))
    }

    /// The text that the functions make of one; the error is why they do not.
    pub fn apply(&self, exchange: &mut Exchange, text: &[u8]) -> Result<Vec<u8>, String> {
        if text.len() > MOST {
            return Err("the content is too large for functions".to_owned());
        }
        let mut whole: Value = serde_json::from_slice(text).map_err(|_| "the content is no JSON")?;
        let until = Instant::now() + LONGEST;
        let mut call = |value: &mut Value| {
            for function in &self.functions {
                if Instant::now() >= until {
                    return Err("the functions take too long".to_owned());
                }
                let returned = function.call(exchange, &[value.take()])?;
                *value = returned.into_iter().next().unwrap_or_default();
            }
            Ok(())
        };
        if self.places.is_empty() {
            call(&mut whole)?;
        }
        for place in &self.places {
            visit(&mut whole, &place.0, &mut call)?;
        }
        Ok(whole.to_string().into())
    }
}

/// Calls a function with each value at the end of a path. A member of which it makes nothing goes.
fn visit(
    value: &mut Value,
    path: &[Segment],
    call: &mut dyn FnMut(&mut Value) -> Result<(), String>,
) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else { return call(value) };
    match (first, value) {
        (Segment::Member(name), Value::Object(members)) => {
            let Some(member) = members.get_mut(name) else { return Ok(()) };
            visit(member, rest, call)?;
            if rest.is_empty() && member.is_null() {
                members.shift_remove(name);
            }
            Ok(())
        }
        (Segment::All, Value::Array(elements)) => {
            elements.iter_mut().try_for_each(|element| visit(element, rest, call))
        }
        (Segment::Element(at), Value::Array(elements)) => {
            elements.get_mut(*at).map_or(Ok(()), |element| visit(element, rest, call))
        }
        _ => Ok(()),
    }
}
