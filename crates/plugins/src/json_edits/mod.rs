//! Edits to JSON, for the plugins that transform requests and responses. What nobody edits stays as it was written.

mod path;

pub use path::{Path, Segment};

use sdk::{Bytes, JsonObject, json};
use std::borrow::Cow;

/// What is done to an object or list, in this order. Values are texts of JSON.
#[derive(Default)]
pub struct JsonEdits {
    /// Other members of an object go, where this says something.
    pub allow: Option<Vec<String>>,
    pub remove: Vec<Path>,
    /// New names.
    pub rename: Vec<(Path, Vec<u8>)>,
    pub replace: Vec<(Path, Vec<u8>)>,
    pub add: Vec<(Path, Vec<u8>)>,
    pub append: Vec<(Path, Vec<u8>)>,
    /// What is `false` keeps its name: in Lua it is not there.
    pub keeps_false: bool,
}

/// What a value in a configuration is as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonType {
    #[default]
    Text,
    Number,
    Boolean,
}

/// What is done at the end of a path.
#[derive(Clone, Copy)]
enum Edit<'a> {
    Remove,
    Rename { name: &'a [u8], keeps_false: bool },
    Replace(&'a [u8]),
    Add(&'a [u8]),
    Append(&'a [u8]),
}

impl JsonEdits {
    /// Whether nothing is done at all.
    pub fn is_empty(&self) -> bool {
        self.allow.is_none() && self.edits().next().is_none()
    }

    /// Edits an object that has been taken apart.
    pub fn apply_to(&self, object: &mut JsonObject) {
        if let Some(allow) = &self.allow {
            let names: Vec<Vec<u8>> = object.iter().map(|(name, _)| name.into_owned()).collect();
            for name in names.iter().filter(|name| !allow.iter().any(|allowed| allowed.as_bytes() == **name)) {
                object.remove(name);
            }
        }
        self.edits().for_each(|(path, edit)| edit_object(object, &path.0, edit));
    }

    fn edits(&self) -> impl Iterator<Item = (&Path, Edit<'_>)> {
        let keeps_false = self.keeps_false;
        let remove = self.remove.iter().map(|path| (path, Edit::Remove));
        let rename = self.rename.iter().map(move |(path, name)| (path, Edit::Rename { name, keeps_false }));
        let replace = self.replace.iter().map(|(path, value)| (path, Edit::Replace(value)));
        let add = self.add.iter().map(|(path, value)| (path, Edit::Add(value)));
        let append = self.append.iter().map(|(path, value)| (path, Edit::Append(value)));
        remove.chain(rename).chain(replace).chain(add).chain(append)
    }
}

/// The text after several edits; `None` when it is no JSON object, nor a list that paths lead into.
pub fn apply(all: &[&JsonEdits], text: &Bytes) -> Option<Vec<u8>> {
    if let Some(mut object) = JsonObject::parse(text) {
        all.iter().for_each(|edits| edits.apply_to(&mut object));
        return Some(object.encode());
    }
    let mut list = None;
    for (path, edit) in all.iter().flat_map(|edits| edits.edits()) {
        if !matches!(path.0[..], [Segment::Member(_), ..]) {
            list = edit_value(list.as_deref().unwrap_or(text), &path.0, edit).or(list);
        }
    }
    list
}

impl JsonType {
    /// As configurations name it.
    pub fn parse(name: &str) -> JsonType {
        match name {
            "number" => JsonType::Number,
            "boolean" => JsonType::Boolean,
            _ => JsonType::Text,
        }
    }

    /// The text of a value; `None` for a number that is none.
    pub fn encode(self, value: &[u8]) -> Option<Vec<u8>> {
        match self {
            JsonType::Number => {
                let text = std::str::from_utf8(value).ok()?.trim();
                Some(match text.parse::<i64>() {
                    Ok(integer) => integer.to_string().into(),
                    Err(_) => serde_json::Number::from_f64(text.parse().ok()?)?.to_string().into(),
                })
            }
            JsonType::Boolean => Some(if value == b"true" { b"true".to_vec() } else { b"false".to_vec() }),
            JsonType::Text => {
                let mut quoted = Vec::with_capacity(value.len() + 2);
                json::quote(value, &mut quoted);
                Some(quoted)
            }
        }
    }
}

fn edit_object(object: &mut JsonObject, path: &[Segment], edit: Edit<'_>) {
    let [Segment::Member(name), rest @ ..] = path else { return };
    if !rest.is_empty() {
        if let Some(edited) = object.get(name).and_then(|value| edit_value(value, rest, edit)) {
            object.set(name, &edited);
        }
        return;
    }
    match edit {
        Edit::Remove => {
            object.remove(name);
        }
        Edit::Rename { name: new, keeps_false } => {
            if name.as_bytes() != new && (!keeps_false || object.is_present(name)) {
                object.rename(name, new);
            }
        }
        Edit::Replace(value) => {
            if object.is_present(name) {
                object.set(name, value);
            }
        }
        Edit::Add(value) => {
            if !object.is_present(name) {
                object.set(name, value);
            }
        }
        Edit::Append(value) => object.append(name, value),
    }
}

/// The edited text of a value; `None` when nothing is edited in it.
fn edit_value(text: &[u8], path: &[Segment], edit: Edit<'_>) -> Option<Vec<u8>> {
    let (first, rest) = path.split_first()?;
    if let Segment::Member(_) = first {
        let mut object = JsonObject::parse(&Bytes::copy_from_slice(text))?;
        edit_object(&mut object, path, edit);
        return Some(object.encode());
    }
    let is_meant = |at: usize| match first {
        Segment::Element(index) => *index == at,
        _ => true,
    };
    let mut elements = Vec::new();
    for (at, element) in json::elements(text)?.into_iter().enumerate() {
        elements.push(match (rest, edit) {
            _ if !is_meant(at) => Cow::Borrowed(element),
            ([], Edit::Remove) => continue,
            ([], Edit::Replace(value)) => Cow::Owned(value.to_vec()),
            ([], _) => Cow::Borrowed(element),
            _ => edit_value(element, rest, edit).map_or(Cow::Borrowed(element), Cow::Owned),
        });
    }
    Some([b"[", &elements.join(&b","[..])[..], b"]"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn apply(edits: &JsonEdits, before: Value) -> Value {
        serde_json::from_slice(&super::apply(&[edits], &before.to_string().into()).unwrap()).unwrap()
    }

    fn typed(kind: JsonType, value: &str) -> Vec<u8> {
        kind.encode(value.as_bytes()).unwrap()
    }

    #[test]
    fn values_have_types() {
        assert_eq!(typed(JsonType::Number, "-1.5"), b"-1.5");
        assert_eq!(typed(JsonType::Number, " 5"), b"5");
        assert_eq!(JsonType::Number.encode(b"five"), None);
        assert_eq!(typed(JsonType::Boolean, "yes"), b"false");
        assert_eq!(typed(JsonType::Text, "5"), b"\"5\"");
    }

    #[test]
    fn members_are_edited_in_order() {
        let edits = JsonEdits {
            remove: vec![Path::member("gone")],
            rename: vec![(Path::member("old"), b"new".to_vec())],
            replace: vec![(Path::member("x"), b"-1.5".to_vec()), (Path::member("none"), b"1".to_vec())],
            add: vec![(Path::member("n"), b"5".to_vec()), (Path::member("x"), b"6".to_vec())],
            append: vec![(Path::member("l"), b"1".to_vec())],
            ..JsonEdits::default()
        };
        let after = json!({ "x": -1.5, "new": 2, "n": 5, "l": [1] });
        assert_eq!(apply(&edits, json!({ "x": 1, "gone": 1, "old": 2 })), after);
        assert!(super::apply(&[&edits], &Bytes::from_static(b"[1]")).is_none());
    }

    #[test]
    fn names_with_dots_are_names_unless_they_are_paths() {
        let edits = JsonEdits {
            remove: vec![Path::member("a.b"), Path::member("list[*].secret")],
            add: vec![(Path::member("a.c"), b"1".to_vec())],
            ..JsonEdits::default()
        };
        let before = json!({ "a": { "b": 1 }, "list": [{ "secret": 1 }] });
        assert_eq!(apply(&edits, before.clone()), json!({ "a": { "b": 1 }, "list": [{ "secret": 1 }], "a.c": 1 }));
        let edits = JsonEdits {
            remove: vec![Path::parse("a.b"), Path::parse("list[*].secret")],
            add: vec![(Path::parse("a.c"), b"1".to_vec()), (Path::parse("none.c"), b"1".to_vec())],
            ..JsonEdits::default()
        };
        assert_eq!(apply(&edits, before), json!({ "a": { "c": 1 }, "list": [{}] }));
    }

    #[test]
    fn paths_lead_into_lists() {
        let path = |text: &str| vec![Path::parse(text)];
        let before = || json!({ "l": [{ "a": 1, "b": [1, 2] }, { "a": 2 }, 3] });
        let remove = |text: &str| apply(&JsonEdits { remove: path(text), ..JsonEdits::default() }, before());
        assert_eq!(remove("l[*].a"), json!({ "l": [{ "b": [1, 2] }, {}, 3] }));
        assert_eq!(remove("l[1].b[2]"), json!({ "l": [{ "a": 1, "b": [1] }, { "a": 2 }, 3] }));
        assert_eq!(remove("l[2]"), json!({ "l": [{ "a": 1, "b": [1, 2] }, 3] }));
        assert_eq!(remove("l[9].a"), before());
        let edits = JsonEdits {
            rename: vec![(Path::parse("l[*].a"), b"c".to_vec())],
            replace: vec![(Path::parse("l[3]"), b"4".to_vec())],
            append: vec![(Path::parse("l[1].b"), b"3".to_vec())],
            ..JsonEdits::default()
        };
        assert_eq!(apply(&edits, before()), json!({ "l": [{ "b": [1, 2, 3], "c": 1 }, { "c": 2 }, 4] }));
        let list = JsonEdits { remove: path("[*].a"), ..JsonEdits::default() };
        assert_eq!(apply(&list, json!([{ "a": 1, "b": 2 }])), json!([{ "b": 2 }]));
    }

    #[test]
    fn other_members_go_first() {
        let edits = JsonEdits {
            allow: Some(vec!["a".to_owned()]),
            add: vec![(Path::member("c"), b"1".to_vec())],
            ..JsonEdits::default()
        };
        assert_eq!(apply(&edits, json!({ "a": 1, "b": 2, "a.b": 3 })), json!({ "a": 1, "c": 1 }));
    }

    #[test]
    fn what_nobody_edits_stays_as_it_was_written() {
        let edits = JsonEdits { remove: vec![Path::parse("o.x")], ..JsonEdits::default() };
        let text = Bytes::from_static(b"{\"n\":1.10,\"o\":{\"x\":1,\"l\":\"\xe9\", \"e\":1e2}}");
        assert_eq!(super::apply(&[&edits], &text).unwrap(), b"{\"n\":1.10,\"o\":{\"l\":\"\xe9\",\"e\":1e2}}");
    }
}
