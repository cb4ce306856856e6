//! What plugins put into log entries (`kong.log.set_serialize_value`).

use serde_json::{Map, Value};

/// A value for log entries.
#[derive(Clone, Debug, PartialEq)]
pub struct LogValue {
    /// Where it goes: names with dots between them; `\.` is a dot within a name.
    pub key: String,
    /// `None`: what is there goes away.
    pub value: Option<Value>,
    pub mode: LogMode,
}

/// When a value is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogMode {
    Set,
    /// Where there is none yet.
    Add,
    /// Where there is one.
    Replace,
}

impl LogValue {
    /// A value that takes the place of any other.
    pub fn set(key: &str, value: Value) -> LogValue {
        LogValue { key: key.to_owned(), value: Some(value), mode: LogMode::Set }
    }
}

/// The entry with these values, taken in their order. What is no text is replaced by U+FFFD.
pub(super) fn apply(entry: Vec<u8>, values: &[LogValue]) -> Vec<u8> {
    let Ok(Value::Object(mut root)) = serde_json::from_str(&String::from_utf8_lossy(&entry)) else { return entry };
    for value in values {
        if let Err(name) = put(&mut root, value) {
            tracing::warn!("log: '{}' cannot be set: '{name}' is not a table", value.key);
        }
    }
    Value::Object(root).to_string().into_bytes()
}

/// The error is the name of something on the way that has no members.
fn put(root: &mut Map<String, Value>, value: &LogValue) -> Result<(), String> {
    let names = names(&value.key);
    let Some((last, way)) = names.split_last() else { return Ok(()) };
    let mut at = root;
    for name in way {
        if value.mode == LogMode::Replace && !at.contains_key(name) {
            return Ok(());
        }
        at = match at.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(inner) => inner,
            _ => return Err(name.clone()),
        };
    }
    let wanted = match value.mode {
        LogMode::Set => true,
        LogMode::Add => !at.contains_key(last),
        LogMode::Replace => at.contains_key(last),
    };
    match &value.value {
        _ if !wanted => {}
        Some(value) => drop(at.insert(last.clone(), value.clone())),
        None => drop(at.remove(last)),
    }
    Ok(())
}

fn names(key: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    for (at, c) in key.char_indices() {
        match c {
            '.' if name.ends_with('\\') => {
                name.pop();
                name.push('.');
            }
            // A dot at the beginning is part of the name, as in Kong.
            '.' if at > 0 => names.push(std::mem::take(&mut name)),
            c => name.push(c),
        }
    }
    names.push(name);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edited(values: &[(&str, Option<Value>, LogMode)]) -> Value {
        let entry = json!({ "a": 1, "b": { "c": 2 } }).to_string().into_bytes();
        let values: Vec<_> = values
            .iter()
            .map(|(key, value, mode)| LogValue { key: (*key).to_owned(), value: value.clone(), mode: *mode })
            .collect();
        serde_json::from_slice(&apply(entry, &values)).unwrap()
    }

    #[test]
    fn values_are_set_deep_inside_and_taken_away() {
        use LogMode::Set;
        let edits = [
            ("a", None, Set),
            ("b.c", Some(json!(3)), Set),
            ("b.d.e", Some(json!([true])), Set),
            ("b\\.x", Some(json!("dot")), Set),
        ];
        assert_eq!(edited(&edits), json!({ "b": { "c": 3, "d": { "e": [true] } }, "b.x": "dot" }));
    }

    #[test]
    fn some_are_only_added_or_replaced() {
        use LogMode::{Add, Replace};
        let edits = [
            ("a", Some(json!(9)), Add),
            ("n", Some(json!(1)), Add),
            ("b.c", Some(json!(9)), Replace),
            ("m.n", Some(json!(9)), Replace),
        ];
        assert_eq!(edited(&edits), json!({ "a": 1, "n": 1, "b": { "c": 9 } }));
    }

    #[test]
    fn what_has_no_members_is_left_alone() {
        assert_eq!(edited(&[("a.b", Some(json!(9)), LogMode::Set)]), json!({ "a": 1, "b": { "c": 2 } }));
    }
}
