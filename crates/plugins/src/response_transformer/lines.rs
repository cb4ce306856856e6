//! Edits to header lines, as configurations list them.

use regex::bytes::{Regex, RegexBuilder};
use sdk::{Fields, Known, MediaType, field_value};
use serde_json::Value;
use std::borrow::Cow;

/// Lines that go, or values in them.
pub struct Removal {
    pub name: String,
    values: Option<Values>,
}

/// Which values of a list go.
enum Values {
    Text(Vec<u8>),
    Pattern(Regex),
}

/// Octets that a compiled pattern may take.
const PATTERN_SIZE: usize = 1 << 20;

impl Removal {
    /// All lines of that name.
    pub fn all(name: &str) -> Removal {
        Removal { name: name.to_owned(), values: None }
    }

    /// `name`, `name:value` or `name:/pattern/`.
    pub fn parse(entry: &str) -> Result<Removal, String> {
        let Some((line, value)) = pair(entry) else { return Ok(Removal::all(name(entry))) };
        let pattern = value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|p| !p.is_empty());
        let values = match pattern {
            Some(pattern) => {
                let built = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build();
                Values::Pattern(built.map_err(|error| format!("'{pattern}' is not a valid pattern: {error}"))?)
            }
            None => Values::Text(value.into_bytes()),
        };
        Ok(Removal { name: line, values: Some(values) })
    }

    /// Takes them out.
    pub fn apply(&self, fields: &mut Fields) {
        let Some(values) = &self.values else {
            fields.remove(&self.name);
            return;
        };
        // The comma in a cookie is part of its date.
        let is_list = !self.name.eq_ignore_ascii_case("Set-Cookie");
        let lines: Vec<Vec<u8>> = fields.get_all(&self.name).map(<[u8]>::to_vec).collect();
        let kept: Vec<Cow<'_, [u8]>> = lines.iter().filter_map(|line| values.keep(line, is_list)).collect();
        if kept.iter().any(|line| matches!(line, Cow::Owned(_))) || kept.len() != lines.len() {
            fields.remove(&self.name);
            kept.iter().for_each(|line| fields.append(&self.name, line));
        }
    }
}

impl Values {
    /// What is left of a line, if anything.
    fn keep<'l>(&self, line: &'l [u8], is_list: bool) -> Option<Cow<'l, [u8]>> {
        if !is_list {
            return (!self.has(line)).then_some(Cow::Borrowed(line));
        }
        let values: Vec<&[u8]> = field_value::list(line).collect();
        let kept: Vec<&[u8]> = values.iter().copied().filter(|value| !self.has(value)).collect();
        match kept.len() {
            0 if !values.is_empty() => None,
            n if n == values.len() => Some(Cow::Borrowed(line)),
            _ => Some(Cow::Owned(kept.join(&b","[..]))),
        }
    }

    fn has(&self, value: &[u8]) -> bool {
        match self {
            Values::Text(text) => text == value,
            Values::Pattern(pattern) => pattern.is_match(value),
        }
    }
}

/// The check that the schema names for lines that go.
pub fn is_removal(entry: &Value) -> Result<(), String> {
    Removal::parse(entry.as_str().unwrap_or_default()).map(drop)
}

/// The check that the schema names, for `old:new`.
pub fn are_header_names(entry: &Value) -> Result<(), String> {
    let entry = entry.as_str().unwrap_or_default();
    let value = entry[name(entry).len()..].trim_start_matches(':');
    match [name(entry), value].into_iter().find(|n| !is_header_name(n)) {
        None => Ok(()),
        Some(wrong) => Err(format!("'{wrong}' is not a valid header")),
    }
}

/// Whether an entry can become a header line.
pub fn is_line(entry: &str) -> Result<(), String> {
    let Some((name, value)) = pair(entry) else { return Ok(()) };
    if !Fields::is_valid_name(name.as_bytes()) {
        return Err(format!("'{}' is not a valid header", name.escape_debug()));
    }
    if !Fields::is_valid_value(value.as_bytes()) {
        let value = value.escape_debug();
        return Err(format!("bad header value '{value}', control characters are not allowed"));
    }
    Ok(())
}

/// What stands before the first colon.
pub fn name(entry: &str) -> &str {
    entry.split(':').next().unwrap_or_default()
}

/// Name and value of `name:value`; `None` when the value is empty.
pub fn pair(entry: &str) -> Option<(String, String)> {
    let value = entry[name(entry).len()..].trim_start_matches(':');
    (!value.is_empty()).then(|| (name(entry).to_owned(), value.to_owned()))
}

/// Kong allows fewer characters than HTTP does.
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether the content is JSON.
pub fn is_json(fields: &Fields) -> bool {
    let content_type = fields.known(Known::ContentType).unwrap_or_default();
    field_value::list(content_type).filter_map(MediaType::parse).any(|kind| kind.is_json())
}
