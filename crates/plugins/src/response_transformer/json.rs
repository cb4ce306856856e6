//! Edits to the top-level members of a JSON object.

use sdk::{Bytes, JsonObject, json};

/// What is done to an object, in this order.
pub struct JsonEdits {
    pub remove: Vec<String>,
    pub rename: Vec<(String, String)>,
    pub replace: Vec<Typed>,
    pub add: Vec<Typed>,
    pub append: Vec<Typed>,
}

/// A member's name and the text of its value in the wanted type.
pub struct Typed {
    name: String,
    value: Vec<u8>,
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
    pub fn apply(&self, text: &Bytes) -> Option<Vec<u8>> {
        let mut object = JsonObject::parse(text)?;
        for name in &self.remove {
            object.remove(name);
        }
        for (old, new) in &self.rename {
            object.rename(old, new);
        }
        for edit in &self.replace {
            if object.is_present(&edit.name) {
                object.set(&edit.name, &edit.value);
            }
        }
        for edit in &self.add {
            if !object.is_present(&edit.name) {
                object.set(&edit.name, &edit.value);
            }
        }
        for edit in &self.append {
            object.append(&edit.name, &edit.value);
        }
        Some(object.encode())
    }
}

impl Typed {
    /// A member from its text; `None` for a number that is none.
    pub fn new((name, text): (String, String), kind: Option<&str>) -> Option<Typed> {
        let value = match kind {
            Some("number") => match text.trim().parse::<i64>() {
                Ok(integer) => integer.to_string().into(),
                Err(_) => serde_json::Number::from_f64(text.trim().parse().ok()?)?.to_string().into(),
            },
            Some("boolean") => {
                if text == "true" {
                    b"true".to_vec()
                } else {
                    b"false".to_vec()
                }
            }
            _ => {
                let mut quoted = Vec::new();
                json::quote(text.as_bytes(), &mut quoted);
                quoted
            }
        };
        Some(Typed { name, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn typed(name: &str, text: &str, kind: &str) -> Option<Typed> {
        Typed::new((name.to_owned(), text.to_owned()), Some(kind))
    }

    fn apply(edits: &JsonEdits, before: Value) -> Value {
        serde_json::from_slice(&edits.apply(&before.to_string().into()).unwrap()).unwrap()
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
        assert!(typed("n", "five", "number").is_none());
        assert!(edits.apply(&Bytes::from_static(b"[1]")).is_none());
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
