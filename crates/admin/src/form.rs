//! Kong's way to write nested values as form fields: `paths[]=/a`, `paths[1]=/a`, `config.minute=5`,
//! `config[minute]=5`, `sources[1].ip=..`, and repeated fields. Types come later, from the schema.

use model::Record;
use serde_json::Value;

/// More fields than this are refused.
pub const MAX_FIELDS: usize = 1000;
/// Deeper names than this are refused.
const MAX_DEPTH: usize = 32;

/// Why a form was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    TooManyFields,
    TooDeep,
    /// Octets that are no text: records hold text, and something else in their place would be something else.
    NotText,
}

impl FormError {
    /// What the client is told.
    pub fn message(self) -> &'static str {
        match self {
            FormError::TooManyFields => "Too many arguments",
            FormError::TooDeep => "Arguments are nested too deeply",
            FormError::NotText => "Arguments are not valid UTF-8",
        }
    }
}

/// The pairs of a URL-encoded body or a query, at most one more than [`MAX_FIELDS`]. A field without `=` has no value.
pub fn parse_pairs(text: &[u8]) -> Result<Vec<(String, Option<String>)>, FormError> {
    text.split(|&b| b == b'&')
        .filter(|part| !part.is_empty())
        .map(|part| match part.iter().position(|&b| b == b'=') {
            Some(at) => (&part[..at], Some(&part[at + 1..])),
            None => (part, None),
        })
        .filter(|(name, _)| !name.is_empty())
        .take(MAX_FIELDS + 1)
        .map(|(name, value)| {
            let value = value.map(|value| unescape(value).ok_or(FormError::NotText)).transpose()?;
            Ok((unescape(name).ok_or(FormError::NotText)?, value))
        })
        .collect()
}

/// A value from a URL: percent sequences decoded, `+` taken for a space; `None` when it is no text.
pub fn unescape(text: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = text.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    String::from_utf8(percent_encoding::percent_decode(&spaced).collect()).ok()
}

/// The nested record that form fields describe. A field without a value is `true`, as in Kong.
pub fn nest(pairs: Vec<(String, Option<String>)>) -> Result<Record, FormError> {
    if pairs.len() > MAX_FIELDS {
        return Err(FormError::TooManyFields);
    }
    let mut root = Table::default();
    for (name, value) in pairs {
        let path = parse_name(&name)?;
        let leaf = match value {
            Some(text) => Value::String(text),
            None => Value::Bool(true),
        };
        root.put(&path, leaf);
    }
    Ok(root.into_record())
}

/// A step into a nested value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(u32),
    /// `[]`: behind the last element.
    Append,
}

/// A value under construction, like a Lua table: names and indices side by side.
#[derive(Debug, Default)]
struct Table {
    entries: Vec<(Step, FormValue)>,
}

#[derive(Debug)]
enum FormValue {
    Leaf(Value),
    Table(Table),
}

impl Table {
    fn put(&mut self, path: &[Step], value: Value) {
        let Some((first, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            return self.put_leaf(first, value);
        }
        // an unnumbered element in the middle of a name is the first one, as in Kong
        let step = if *first == Step::Append { Step::Index(1) } else { first.clone() };
        self.table(step).put(rest, value);
    }

    fn put_leaf(&mut self, step: &Step, value: Value) {
        if *step == Step::Append {
            return self.append(value);
        }
        match self.entries.iter_mut().find(|(key, _)| key == step) {
            None => self.entries.push((step.clone(), FormValue::Leaf(value))),
            // the field is repeated: its values become a list
            Some((_, FormValue::Table(table))) => table.append(value),
            Some((_, node @ FormValue::Leaf(_))) => {
                node.as_table().append(value);
            }
        }
    }

    fn append(&mut self, value: Value) {
        let last = self
            .entries
            .iter()
            .filter_map(|(key, _)| if let Step::Index(n) = key { Some(*n) } else { None })
            .max()
            .unwrap_or(0);
        self.entries.push((Step::Index(last.saturating_add(1)), FormValue::Leaf(value)));
    }

    fn table(&mut self, step: Step) -> &mut Table {
        let at = match self.entries.iter().position(|(key, _)| *key == step) {
            Some(at) => at,
            None => {
                self.entries.push((step, FormValue::Table(Table::default())));
                self.entries.len() - 1
            }
        };
        self.entries[at].1.as_table()
    }

    fn into_record(self) -> Record {
        self.entries
            .into_iter()
            .map(|(key, node)| {
                let name = match key {
                    Step::Name(name) => name,
                    Step::Index(n) => n.to_string(),
                    Step::Append => String::new(),
                };
                (name, node.into_value())
            })
            .collect()
    }

    fn into_value(mut self) -> Value {
        let list = !self.entries.is_empty() && self.entries.iter().all(|(key, _)| matches!(key, Step::Index(_)));
        if !list {
            return Value::Object(self.into_record());
        }
        self.entries.sort_by_key(|(key, _)| if let Step::Index(n) = key { *n } else { 0 });
        Value::Array(self.entries.into_iter().map(|(_, node)| node.into_value()).collect())
    }
}

impl FormValue {
    /// Makes a table of a leaf, with the leaf as its first element.
    fn as_table(&mut self) -> &mut Table {
        if let FormValue::Leaf(value) = self {
            let first = std::mem::take(value);
            *self = FormValue::Table(Table { entries: vec![(Step::Index(1), FormValue::Leaf(first))] });
        }
        match self {
            FormValue::Table(table) => table,
            FormValue::Leaf(_) => unreachable!("just made a table"),
        }
    }

    fn into_value(self) -> Value {
        match self {
            FormValue::Leaf(value) => value,
            FormValue::Table(table) => table.into_value(),
        }
    }
}

/// The steps of a field's name. A name that starts or ends with a dot, or whose brackets do not close, is taken as it
/// is.
fn parse_name(name: &str) -> Result<Vec<Step>, FormError> {
    let whole = || Ok(vec![Step::Name(name.to_owned())]);
    if name.starts_with('.') || name.ends_with('.') {
        return whole();
    }
    let unescaped;
    let mut rest = match name.contains('%') {
        true => {
            unescaped = name.replace("%5B", "[").replace("%5b", "[").replace("%5D", "]").replace("%5d", "]");
            unescaped.as_str()
        }
        false => name,
    };
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() >= MAX_DEPTH {
            return Err(FormError::TooDeep);
        }
        // a bracket opens an index only behind a name
        if !steps.is_empty() && rest.starts_with('[') {
            let Some(end) = rest.find(']') else { return whole() };
            steps.push(parse_index(&rest[1..end]));
            rest = &rest[end + 1..];
            continue;
        }
        let word = rest.trim_start_matches('.');
        // the first character belongs to the name whatever it is
        let skip = word.chars().next().map_or(0, char::len_utf8);
        let end = word[skip..].find(['.', '[']).map_or(word.len(), |at| at + skip);
        if end == 0 {
            break;
        }
        steps.push(Step::Name(word[..end].to_owned()));
        rest = &word[end..];
    }
    Ok(steps)
}

fn parse_index(text: &str) -> Step {
    match text.parse::<u32>() {
        _ if text.is_empty() => Step::Append,
        Ok(n) => Step::Index(n),
        Err(_) => Step::Name(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(text: &str) -> Value {
        Value::Object(nest(parse_pairs(text.as_bytes()).unwrap()).unwrap())
    }

    #[test]
    fn plain_and_repeated_fields() {
        assert_eq!(
            form("name=a&host=h%2Fx+y&flag&empty="),
            json!({"name": "a", "host": "h/x y", "flag": true, "empty": ""})
        );
        assert_eq!(form("tags=x&tags=y&tags=z"), json!({"tags": ["x", "y", "z"]}));
        assert_eq!(form("&&=x&a=1"), json!({"a": "1"}));
    }

    #[test]
    fn arrays() {
        assert_eq!(form("paths[]=/a&paths[]=/b"), json!({"paths": ["/a", "/b"]}));
        assert_eq!(form("paths[2]=/b&paths[1]=/a"), json!({"paths": ["/a", "/b"]}));
        assert_eq!(form("paths%5B%5D=/a"), json!({"paths": ["/a"]}));
        assert_eq!(form("paths%255B1%255D=/a"), json!({"paths": ["/a"]}));
        assert_eq!(form("paths[]="), json!({"paths": [""]}));
    }

    #[test]
    fn nested_names() {
        assert_eq!(
            form("config.redis.host=h&config.redis.port=1"),
            json!({"config": {"redis": {"host": "h", "port": "1"}}})
        );
        assert_eq!(form("config[allow][]=g&config[hide]=true"), json!({"config": {"allow": ["g"], "hide": "true"}}));
        assert_eq!(form("headers[x.y]=1"), json!({"headers": {"x.y": "1"}}));
        assert_eq!(form("sources[1].ip=i&sources[1].port=80"), json!({"sources": [{"ip": "i", "port": "80"}]}));
        assert_eq!(form("headers.x-a[]=1&headers.x-a[]=2"), json!({"headers": {"x-a": ["1", "2"]}}));
        assert_eq!(
            form("config.add.headers[1]=a:b&config.add.headers[2]=c"),
            json!({"config": {"add": {"headers": ["a:b", "c"]}}})
        );
    }

    #[test]
    fn odd_names_are_kept() {
        assert_eq!(form(".a=1"), json!({".a": "1"}));
        assert_eq!(form("a.=1"), json!({"a.": "1"}));
        assert_eq!(form("a[b=1"), json!({"a[b": "1"}));
        assert_eq!(form("a..b=1"), json!({"a": {"b": "1"}}));
        assert_eq!(form("[x]=1"), json!({"[x]": "1"}));
        assert_eq!(form("a=1&a.b=2"), json!({"a": {"1": "1", "b": "2"}}));
    }

    #[test]
    fn octets_that_are_no_text_are_refused() {
        for text in ["%FF=1", "a=caf%E9"] {
            assert_eq!(parse_pairs(text.as_bytes()), Err(FormError::NotText), "{text}");
        }
        assert_eq!(parse_pairs(b"a=\xe9"), Err(FormError::NotText));
        assert_eq!(unescape(b"caf%C3%A9+"), Some("caf\u{e9} ".to_owned()));
    }

    #[test]
    fn limits() {
        assert_eq!(parse_pairs("a&".repeat(1_000_000).as_bytes()).unwrap().len(), MAX_FIELDS + 1);
        let many = (0..=MAX_FIELDS).map(|n| (format!("f{n}"), None)).collect();
        assert_eq!(nest(many), Err(FormError::TooManyFields));
        let deep = "a.".repeat(100) + "a";
        assert_eq!(nest(vec![(deep, None)]), Err(FormError::TooDeep));
        assert_eq!(form("a[4294967295]=1&a=2"), json!({"a": ["1", "2"]}));
    }
}
