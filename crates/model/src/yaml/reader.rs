//! From a text to a value. Whoever wrote the text may mean harm: depth is bounded, and so is what aliases make of
//! little.

use super::relaxed::relax;
use super::scalar;
use crate::Record;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;

/// Lists and tables inside each other, as in JSON.
const DEPTH: usize = 128;
/// Octets that anchors and aliases may take beyond the text itself.
const COPIED: usize = 64 << 20;
/// What a value takes beside its text, roughly.
const NODE: usize = 64;
/// The key of what is merged into a table.
const MERGE: &str = "<<";

/// The one document of a text; an empty one is null. The error has its place in front: `line:column: what`.
pub fn read(text: &str) -> Result<Value, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    strictly(text).or_else(|why| relax(text).and_then(|text| strictly(&text).ok()).ok_or(why))
}

/// The same as YAML itself has it.
fn strictly(text: &str) -> Result<Value, String> {
    let end = (!text.ends_with(['\n', '\r'])).then(|| text.chars().count());
    let mut reader = Reader { parser: Parser::new_from_str(text), end, anchors: HashMap::new(), copied: 0 };
    let document = reader.document()?.unwrap_or(Value::Null);
    match reader.document()? {
        None | Some(Value::Null) => Ok(document),
        Some(_) => Err("there is more than one document".to_owned()),
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Where the text ends, in characters, if that is within a line.
    end: Option<usize>,
    /// What aliases stand for, with its size.
    anchors: HashMap<usize, (Value, usize)>,
    /// Octets of what was copied so far.
    copied: usize,
}

/// A list or a table that has begun.
struct Open {
    anchor: usize,
    content: Content,
    /// Octets of what is inside.
    size: usize,
}

enum Content {
    List(Vec<Value>),
    Table { entries: Record, key: Option<Key>, merged: Vec<Value> },
}

enum Key {
    Name(String),
    Merge,
}

impl<'t> Reader<'t> {
    /// The next document, if there is one.
    fn document(&mut self) -> Result<Option<Value>, String> {
        loop {
            match self.event()?.0 {
                Event::StreamEnd => return Ok(None),
                Event::DocumentStart(_) => break,
                _ => {}
            }
        }
        let mut open: Vec<Open> = Vec::new();
        loop {
            let (event, at) = self.event()?;
            let mut merge = false;
            let done = match event {
                Event::Scalar(text, style, anchor, tag) => {
                    merge = style == ScalarStyle::Plain && text == MERGE;
                    let value = scalar_value(text, style, tag.as_deref()).map_err(|why| say(at, &why))?;
                    let size = size_of(&value);
                    Some((self.keep(value, anchor, size, at)?, size))
                }
                Event::Alias(anchor) => Some(self.copy(anchor, at)?),
                Event::SequenceStart(anchor, _) => {
                    begin(&mut open, anchor, Content::List(Vec::new()), at)?;
                    None
                }
                Event::MappingStart(anchor, _) => {
                    let table = Content::Table { entries: Record::new(), key: None, merged: Vec::new() };
                    begin(&mut open, anchor, table, at)?;
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                    Some(Open { anchor, content, size }) => {
                        let value = content.finish().map_err(|why| say(at, &why))?;
                        Some((self.keep(value, anchor, size, at)?, size))
                    }
                    None => None,
                },
                Event::DocumentEnd | Event::StreamEnd => return Ok(Some(Value::Null)),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => None,
            };
            let Some((value, size)) = done else { continue };
            match open.last_mut() {
                Some(outer) => {
                    outer.size += size;
                    outer.content.put(value, merge).map_err(|why| say(at, &why))?;
                }
                None => return Ok(Some(value)),
            }
        }
    }

    fn event(&mut self) -> Result<(Event<'t>, Marker), String> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((self.unended(event, span.end), span.start)),
            Some(Err(error)) => Err(refused(&error)),
            None => Ok((Event::StreamEnd, Marker::default())),
        }
    }

    /// The text of a block that ends within a line has no line break there, which the parser adds.
    fn unended(&self, event: Event<'t>, end: Marker) -> Event<'t> {
        match event {
            Event::Scalar(text, style @ (ScalarStyle::Literal | ScalarStyle::Folded), anchor, tag)
                if self.end.is_some_and(|last| end.index() >= last) =>
            {
                let mut text = text.into_owned();
                if text.ends_with('\n') {
                    text.pop();
                }
                Event::Scalar(text.into(), style, anchor, tag)
            }
            other => other,
        }
    }

    /// Remembers what has an anchor.
    fn keep(&mut self, value: Value, anchor: usize, size: usize, at: Marker) -> Result<Value, String> {
        if anchor > 0 {
            self.spend(size, at)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    fn copy(&mut self, anchor: usize, at: Marker) -> Result<(Value, usize), String> {
        let size = self.anchors.get(&anchor).map(|(_, size)| *size);
        self.spend(size.unwrap_or_default(), at)?;
        self.anchors.get(&anchor).cloned().ok_or_else(|| say(at, "an alias stands inside of what it names"))
    }

    fn spend(&mut self, size: usize, at: Marker) -> Result<(), String> {
        self.copied += size;
        if self.copied > COPIED { Err(say(at, "aliases stand for too much")) } else { Ok(()) }
    }
}

impl Content {
    /// `merge`: where it is a key, it stands for no name but for what is merged.
    fn put(&mut self, value: Value, merge: bool) -> Result<(), String> {
        match self {
            Content::List(items) => items.push(value),
            Content::Table { entries, key, merged } => match key.take() {
                None if merge => *key = Some(Key::Merge),
                None => *key = Some(Key::read(value)?),
                Some(Key::Merge) => merged.push(value),
                Some(Key::Name(name)) if entries.contains_key(&name) => {
                    return Err(format!("the key '{name}' is given twice"));
                }
                Some(Key::Name(name)) => drop(entries.insert(name, value)),
            },
        }
        Ok(())
    }

    fn finish(self) -> Result<Value, String> {
        match self {
            Content::List(items) => Ok(Value::Array(items)),
            Content::Table { mut entries, merged, .. } => {
                // What a table says itself goes before what is merged into it, and that before what is merged later.
                for value in merged {
                    let tables = match value {
                        Value::Array(tables) => tables,
                        table => vec![table],
                    };
                    for table in tables {
                        let Value::Object(table) = table else { return Err("only tables can be merged".to_owned()) };
                        for (name, value) in table {
                            entries.entry(name).or_insert(value);
                        }
                    }
                }
                Ok(Value::Object(entries))
            }
        }
    }
}

impl Key {
    /// Numbers and the like are names, as they are in JSON.
    fn read(value: Value) -> Result<Key, String> {
        match value {
            Value::String(name) => Ok(Key::Name(name)),
            Value::Array(_) | Value::Object(_) => Err("a key is no scalar".to_owned()),
            scalar => Ok(Key::Name(scalar.to_string())),
        }
    }
}

fn begin(open: &mut Vec<Open>, anchor: usize, content: Content, at: Marker) -> Result<(), String> {
    if open.len() >= DEPTH {
        return Err(say(at, "nested too deeply"));
    }
    open.push(Open { anchor, content, size: NODE });
    Ok(())
}

fn scalar_value(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    // Other tags are of no meaning here, as in Kong.
    if let Some(tag) = tag.filter(|tag| tag.is_yaml_core_schema())
        && let Some(value) = scalar::tagged(&tag.suffix, &text)
    {
        return value.ok_or_else(|| format!("invalid '!!{}' value: '{text}'", tag.suffix));
    }
    match style {
        ScalarStyle::Plain => Ok(scalar::plain(&text)),
        _ => Ok(Value::String(text.into_owned())),
    }
}

fn size_of(scalar: &Value) -> usize {
    NODE + scalar.as_str().map_or(0, str::len)
}

fn refused(error: &ScanError) -> String {
    say(*error.marker(), error.info())
}

fn say(at: Marker, what: &str) -> String {
    format!("{}:{}: {what}", at.line(), at.col() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn refusal(text: &str) -> String {
        read(text).expect_err("it is refused")
    }

    #[test]
    fn documents() {
        let text = "_format_version: '3.0'\nservices:\n- name: a\n  tags: [x, y]\n  routes:\n  - paths:\n    - /a\n";
        assert_eq!(
            read(text),
            Ok(json!({"_format_version": "3.0", "services": [
                {"name": "a", "tags": ["x", "y"], "routes": [{"paths": ["/a"]}]},
            ]}))
        );
        assert_eq!(read(""), Ok(Value::Null));
        assert_eq!(read("# nothing\n---\n"), Ok(Value::Null));
        assert_eq!(read("\u{feff}a: 1\n---\n"), Ok(json!({"a": 1})));
        assert_eq!(read("{\"a\": [1, null]}"), Ok(json!({"a": [1, null]})));
        assert_eq!(read("a: |\n  x\n  y\nb: >-\n  x\n  y\n"), Ok(json!({"a": "x\ny\n", "b": "x y"})));
        for (text, expected) in [("|", "x\ny"), ("|+", "x\ny"), (">", "x y"), ("|-", "x\ny")] {
            assert_eq!(read(&format!("a: {text}\n  x\n  y")), Ok(json!({ "a": expected })), "{text}");
        }
        assert_eq!(read("a: |+\n  x\n\n"), Ok(json!({ "a": "x\n\n" })));
        assert_eq!(read("a: |\n  x\nb: c"), Ok(json!({ "a": "x\n", "b": "c" })));
        assert_eq!(refusal("a: 1\n---\nb: 2\n"), "there is more than one document");
    }

    #[test]
    fn mistakes_have_a_place() {
        assert!(refusal("a: 1\nb: [1\nc: 2\n").starts_with("3:"));
        assert!(refusal("x: [1").contains(": "));
        assert!(refusal("a:\n\tx: 1").starts_with("2:"));
        assert!(refusal("a: *nowhere").starts_with("1:"));
    }

    #[test]
    fn keys_are_texts_and_stand_once() {
        assert_eq!(read("1: a\ntrue: b\nyes: c\n~: d\n0x10: e"), Err("3:6: the key 'true' is given twice".to_owned()));
        assert_eq!(read("1: a\nno: b\n'1.0': c\n"), Ok(json!({"1": "a", "false": "b", "1.0": "c"})));
        assert_eq!(refusal("a: 1\nb: 2\na: 3\n"), "3:4: the key 'a' is given twice");
        assert_eq!(refusal("? [a, b]\n: 1\n"), "1:8: a key is no scalar");
        assert_eq!(refusal("{a: 1}: 1\n"), "1:6: a key is no scalar");
    }

    #[test]
    fn tags() {
        assert_eq!(read("[!!str 5, !!int '5', !!float 5, !!bool y, !!null x]"), Ok(json!(["5", 5, 5.0, true, null])));
        assert_eq!(refusal("a: !!int x"), "1:4: invalid '!!int' value: 'x'");
        assert_eq!(read("a: !ours 5\nb: !!python/object:os.system [x]"), Ok(json!({"a": 5, "b": ["x"]})));
    }

    #[test]
    fn aliases_and_merges() {
        let text = "base: &base {a: 1, b: 2}\none:\n  <<: *base\n  b: 3\ntwo: *base\nthree: {<<: [{c: 1}, *base]}\n";
        assert_eq!(
            read(text),
            Ok(json!({
                "base": {"a": 1, "b": 2},
                "one": {"b": 3, "a": 1},
                "two": {"a": 1, "b": 2},
                "three": {"c": 1, "a": 1, "b": 2},
            }))
        );
        assert_eq!(read("'<<': 1\n"), Ok(json!({"<<": 1})));
        assert_eq!(refusal("<<: 1\n"), "2:1: only tables can be merged");
        assert!(refusal("a: &a [*a]").contains("an alias stands inside of what it names"));
    }

    #[test]
    fn aliases_that_multiply_end_early() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..30 {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
        }
        assert!(refusal(&text).ends_with("aliases stand for too much"));
        let merged = format!("x: &x {{y: {}}}\nz: [{}]", "y".repeat(1 << 20), vec!["*x"; 100].join(", "));
        assert!(refusal(&merged).ends_with("aliases stand for too much"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(DEPTH)).is_ok());
        assert!(refusal(&nested(DEPTH + 1)).ends_with("nested too deeply"));
        assert!(read(&nested(1_000_000)).is_err());
        let block: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert!(refusal(&block).ends_with("nested too deeply"));
    }

    #[test]
    fn size_costs_no_more_than_its_length() {
        let text: String = (0..50_000).map(|n| format!("- {{name: s{n}, host: h{n}.test}}\n")).collect();
        assert_eq!(read(&text).unwrap().as_array().map(Vec::len), Some(50_000));
        let long = format!("a: {}\nb: \"{}\"\n", "x".repeat(1 << 20), "y".repeat(1 << 20));
        assert_eq!(read(&long).unwrap()["b"].as_str().map(str::len), Some(1 << 20));
    }

    #[test]
    fn odd_texts_end() {
        for text in [
            "\0",
            "%",
            "%YAML 9.9\n---\n",
            "a: b: c",
            "&",
            "*",
            "!",
            "? ",
            "- - - -",
            "'",
            "\"\\x",
            "[}",
            "{]",
            "---\n...",
        ] {
            let _ = read(text);
        }
    }
}
