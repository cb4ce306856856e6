//! How values are put out: as jq does, by the options of its command.

use jaq_json::{Num, Val};
use std::io::Write;

/// The options of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// On one line, without blanks.
    pub compact: bool,
    /// Strings as they are, without quotes.
    pub raw: bool,
    /// The same, and nothing between values.
    pub join: bool,
    /// Only characters of ASCII.
    pub ascii: bool,
    /// Members of objects by their names.
    pub sorted: bool,
}

/// Gathers what is put out.
pub struct Printer {
    style: Style,
    text: Vec<u8>,
    most: usize,
}

/// There is more than may be.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Printer {
    pub fn new(style: Style, most: usize) -> Printer {
        Printer { style, text: Vec::new(), most }
    }

    /// Adds a value, and the end of its line.
    pub fn print(&mut self, value: &Val) -> Result<(), TooLarge> {
        let Style { raw, join, ascii, .. } = self.style;
        match value {
            // As jq's own command has it, text is not raw where it has to be ASCII.
            Val::TStr(text) | Val::BStr(text) if join || (raw && !ascii) => self.put(text)?,
            value => self.value(value, 0)?,
        }
        if join { Ok(()) } else { self.put(b"\n") }
    }

    pub fn into_text(self) -> Vec<u8> {
        self.text
    }

    fn value(&mut self, value: &Val, level: usize) -> Result<(), TooLarge> {
        match value {
            Val::Null => self.put(b"null"),
            Val::Bool(true) => self.put(b"true"),
            Val::Bool(false) => self.put(b"false"),
            Val::Num(number) => self.number(number),
            Val::TStr(text) | Val::BStr(text) => self.string(text),
            Val::Arr(items) if items.is_empty() => self.put(b"[]"),
            Val::Arr(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.put(if at == 0 { b"[" } else { b"," })?;
                    self.line(level + 1)?;
                    self.value(item, level + 1)?;
                }
                self.line(level)?;
                self.put(b"]")
            }
            Val::Obj(members) if members.is_empty() => self.put(b"{}"),
            Val::Obj(members) => {
                let mut members: Vec<(&Val, &Val)> = members.iter().collect();
                if self.style.sorted {
                    members.sort_by_key(|(name, _)| *name);
                }
                for (at, (name, value)) in members.into_iter().enumerate() {
                    self.put(if at == 0 { b"{" } else { b"," })?;
                    self.line(level + 1)?;
                    match name {
                        Val::TStr(text) | Val::BStr(text) => self.string(text)?,
                        // The library lets names be any value; JSON does not.
                        name => self.string(name.to_string().as_bytes())?,
                    }
                    self.put(if self.style.compact { b":" } else { b": " })?;
                    self.value(value, level + 1)?;
                }
                self.line(level)?;
                self.put(b"}")
            }
        }
    }

    /// What JSON has no number for is what jq puts in its place; a whole number has no point.
    fn number(&mut self, number: &Num) -> Result<(), TooLarge> {
        const WHOLE: f64 = 1e17;
        match number {
            Num::Float(float) if float.is_nan() => self.put(b"null"),
            Num::Float(float) if float.is_infinite() => {
                let sign = if *float < 0.0 { "-" } else { "" };
                self.put(format!("{sign}{:e}", f64::MAX).replace('e', "e+").as_bytes())
            }
            Num::Float(float) if float.fract() == 0.0 && float.abs() < WHOLE => {
                self.put(format!("{float:.0}").as_bytes())
            }
            number => self.put(number.to_string().as_bytes()),
        }
    }

    fn string(&mut self, text: &[u8]) -> Result<(), TooLarge> {
        self.put(b"\"")?;
        for chunk in text.utf8_chunks() {
            let valid = chunk.valid();
            let mut plain = 0;
            let ascii = self.style.ascii;
            for (at, character) in valid.char_indices().filter(|(_, c)| is_escaped(*c, ascii)) {
                self.put(&valid.as_bytes()[plain..at])?;
                self.escape(character)?;
                plain = at + character.len_utf8();
            }
            self.put(&valid.as_bytes()[plain..])?;
            match chunk.invalid() {
                [] => {}
                _ if self.style.ascii => self.escape(char::REPLACEMENT_CHARACTER)?,
                octets => self.put(octets)?,
            }
        }
        self.put(b"\"")
    }

    fn escape(&mut self, character: char) -> Result<(), TooLarge> {
        match character {
            '"' => self.put(b"\\\""),
            '\\' => self.put(b"\\\\"),
            '\n' => self.put(b"\\n"),
            '\r' => self.put(b"\\r"),
            '\t' => self.put(b"\\t"),
            '\x08' => self.put(b"\\b"),
            '\x0c' => self.put(b"\\f"),
            other => {
                let units =
                    other.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
                self.put(units.as_bytes())
            }
        }
    }

    /// A new line, where values are spread over several.
    fn line(&mut self, level: usize) -> Result<(), TooLarge> {
        if self.style.compact {
            return Ok(());
        }
        self.put(b"\n")?;
        (0..level).try_for_each(|_| self.put(b"  "))
    }

    fn put(&mut self, octets: &[u8]) -> Result<(), TooLarge> {
        if self.text.len() + octets.len() > self.most {
            return Err(TooLarge);
        }
        // Writing to memory does not fail.
        self.text.write_all(octets).map_err(|_| TooLarge)
    }
}

fn is_escaped(character: char, ascii: bool) -> bool {
    matches!(character, '"' | '\\' | '\0'..='\x1f' | '\x7f') || (ascii && !character.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jaq_json::read;

    const PLAIN: Style = Style { compact: true, raw: false, join: false, ascii: false, sorted: false };

    fn print(style: Style, json: &str) -> String {
        let mut printer = Printer::new(style, 1 << 20);
        for value in read::parse_many(json.as_bytes()) {
            printer.print(&value.unwrap()).unwrap();
        }
        String::from_utf8(printer.into_text()).unwrap()
    }

    #[test]
    fn values_stand_on_lines_of_their_own() {
        assert_eq!(print(PLAIN, r#"{"b":1,"a":[]} "x\ty" 1.0 1e3"#), "{\"b\":1,\"a\":[]}\n\"x\\ty\"\n1.0\n1e3\n");
        let sorted = Style { sorted: true, ..PLAIN };
        assert_eq!(
            print(sorted, r#"{"b":{"d":1,"c":2},"a":[{"f":1,"e":2}]}"#),
            "{\"a\":[{\"e\":2,\"f\":1}],\"b\":{\"c\":2,\"d\":1}}\n"
        );
    }

    #[test]
    fn spread_values_are_indented() {
        let pretty = Style { compact: false, ..PLAIN };
        assert_eq!(
            print(pretty, r#"{"a":[1,{}],"b":{"c":[]}}"#),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {\n    \"c\": []\n  }\n}\n"
        );
    }

    #[test]
    fn strings_can_be_raw() {
        let raw = Style { raw: true, ..PLAIN };
        assert_eq!(print(raw, r#""a\nb" ["c"]"#), "a\nb\n[\"c\"]\n");
        let join = Style { join: true, ..PLAIN };
        assert_eq!(print(join, r#""a" 1 "é""#), "a1é");
    }

    #[test]
    fn text_can_be_ascii() {
        let ascii = Style { ascii: true, raw: true, ..PLAIN };
        assert_eq!(print(ascii, "\"é😀\u{7f}\""), "\"\\u00e9\\ud83d\\ude00\\u007f\"\n");
    }

    #[test]
    fn numbers_are_those_of_json() {
        let number = |float: f64| {
            let mut printer = Printer::new(PLAIN, 100);
            printer.print(&Val::from(float)).unwrap();
            String::from_utf8(printer.into_text()).unwrap()
        };
        assert_eq!(number(3.0), "3\n");
        assert_eq!(number(-0.5), "-0.5\n");
        assert_eq!(number(f64::NAN), "null\n");
        assert_eq!(number(f64::NEG_INFINITY), "-1.7976931348623157e+308\n");
    }
}
