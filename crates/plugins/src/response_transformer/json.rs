//! Edits to the top-level members of a JSON object.

use serde_json::{Map, Number, Value};

/// What is done to an object, in this order.
pub struct JsonEdits {
    pub remove: Vec<String>,
    pub rename: Vec<(String, String)>,
    pub replace: Vec<Typed>,
    pub add: Vec<Typed>,
    pub append: Vec<Typed>,
}

/// A member's name and its value in the wanted type.
pub struct Typed {
    name: String,
    value: Value,
}

impl JsonEdits {
    /// Whether nothing is done at all.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.replace.is_empty()
            && self.add.is_empty()
            && self.append.is_empty()
    }

    /// The edited text; `None` when it is no JSON object.
    pub fn apply(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut members: Map<String, Value> = serde_json::from_slice(text).ok()?;
        for name in &self.remove {
            members.shift_remove(name);
        }
        for (old, new) in &self.rename {
            if let Some(value) = members.shift_remove(old) {
                members.insert(new.clone(), value);
            }
        }
        // In Lua, false does not count as present; null does.
        let present =
            |members: &Map<String, Value>, name: &str| !matches!(members.get(name), None | Some(Value::Bool(false)));
        for edit in &self.replace {
            if present(&members, &edit.name) {
                members.insert(edit.name.clone(), edit.value.clone());
            }
        }
        for edit in &self.add {
            if !present(&members, &edit.name) {
                members.insert(edit.name.clone(), edit.value.clone());
            }
        }
        for edit in &self.append {
            let value = edit.value.clone();
            let appended = match members.get_mut(&edit.name).map(Value::take) {
                Some(first @ Value::String(_)) => Value::Array(vec![first, value]),
                Some(Value::Array(mut values)) => {
                    values.push(value);
                    Value::Array(values)
                }
                _ => Value::Array(vec![value]),
            };
            members.insert(edit.name.clone(), appended);
        }
        serde_json::to_vec(&members).ok()
    }
}

impl Typed {
    /// A member from its text; `None` for a number that is none.
    pub fn new((name, text): (String, String), kind: Option<&str>) -> Option<Typed> {
        let value = match kind {
            Some("number") => Value::Number(match text.trim().parse::<i64>() {
                Ok(integer) => integer.into(),
                Err(_) => Number::from_f64(text.trim().parse().ok()?)?,
            }),
            Some("boolean") => Value::Bool(text == "true"),
            _ => Value::String(text),
        };
        Some(Typed { name, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn typed(name: &str, text: &str, kind: &str) -> Option<Typed> {
        Typed::new((name.to_owned(), text.to_owned()), Some(kind))
    }

    fn apply(edits: &JsonEdits, before: Value) -> Value {
        serde_json::from_slice(&edits.apply(before.to_string().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn types() {
        let edits = JsonEdits {
            remove: Vec::new(),
            rename: Vec::new(),
            replace: typed("x", "-1.5", "number").into_iter().collect(),
            add: [("n", "5", "number"), ("b", "true", "boolean"), ("s", "5", "string")]
                .into_iter()
                .filter_map(|(n, t, k)| typed(n, t, k))
                .collect(),
            append: typed("l", "1", "number").into_iter().collect(),
        };
        assert_eq!(apply(&edits, json!({ "x": 1 })), json!({ "x": -1.5, "n": 5, "b": true, "s": "5", "l": [1] }));
        assert!(typed("n", "five", "number").is_none() && edits.apply(b"[1]").is_none());
    }

    #[test]
    fn names_are_those_of_top_level_members() {
        let edits = JsonEdits {
            remove: vec!["a.b".to_owned(), "list[*].secret".to_owned()],
            rename: Vec::new(),
            replace: Vec::new(),
            add: typed("a.c", "new", "string").into_iter().collect(),
            append: Vec::new(),
        };
        let before = json!({ "a": { "b": 1 }, "list": [{ "secret": 1 }] });
        assert_eq!(apply(&edits, before), json!({ "a": { "b": 1 }, "list": [{ "secret": 1 }], "a.c": "new" }));
    }
}
