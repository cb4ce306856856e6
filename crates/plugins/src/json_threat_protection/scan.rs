//! Goes through JSON once, and stops at the first thing that is too much. Takes room for what is open, not for values.

use std::collections::HashSet;
use std::fmt;

/// What JSON may be; `None` for as much as there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Objects and lists inside each other.
    pub depth: Option<usize>,
    pub entries: Option<usize>,
    /// Characters of a member's name.
    pub name: Option<usize>,
    pub elements: Option<usize>,
    /// Characters of a string.
    pub string: Option<usize>,
    pub distinct_names: bool,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It is no JSON.
    Malformed,
    Depth,
    Entries,
    Name,
    Elements,
    Text,
    RepeatedName,
}

/// An object or list that is open.
struct Open {
    object: bool,
    /// Members or elements so far.
    count: usize,
    /// Names of members, where they have to be distinct.
    names: HashSet<Vec<u8>>,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    limits: Limits,
    open: Vec<Open>,
}

impl Limits {
    /// Whether a text is JSON within these limits.
    pub fn check(&self, text: &[u8]) -> Result<(), Violation> {
        let mut scanner = Scanner { text, at: 0, limits: *self, open: Vec::new() };
        scanner.run()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Violation::Malformed => "the content is no JSON",
            Violation::Depth => "objects and lists are nested too deeply",
            Violation::Entries => "an object has too many entries",
            Violation::Name => "the name of an entry is too long",
            Violation::Elements => "a list has too many elements",
            Violation::Text => "a string is too long",
            Violation::RepeatedName => "an object has two entries of one name",
        })
    }
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<(), Violation> {
        loop {
            self.value()?;
            if !self.close()? {
                break;
            }
        }
        self.space();
        if self.peek().is_some() { Err(Violation::Malformed) } else { Ok(()) }
    }

    /// A value, or the beginning of one that goes on.
    fn value(&mut self) -> Result<(), Violation> {
        loop {
            self.space();
            match self.peek().ok_or(Violation::Malformed)? {
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    if self.limits.depth.is_some_and(|most| self.open.len() >= most) {
                        return Err(Violation::Depth);
                    }
                    self.open.push(Open { object: bracket == b'{', count: 0, names: HashSet::new() });
                    self.space();
                    if self.peek() == Some(bracket + 2) {
                        return Ok(());
                    }
                    self.entry()?;
                }
                b'"' => return self.string(self.limits.string, Violation::Text).map(drop),
                b't' => return self.word(b"true"),
                b'f' => return self.word(b"false"),
                b'n' => return self.word(b"null"),
                _ => return self.number(),
            }
        }
    }

    /// What stands behind a value: the next entry, or ends. Whether another value follows.
    fn close(&mut self) -> Result<bool, Violation> {
        loop {
            let Some(open) = self.open.last() else { return Ok(false) };
            let (closing, begun) = (if open.object { b'}' } else { b']' }, open.count > 0);
            self.space();
            match self.next()? {
                b',' if begun => {
                    self.entry()?;
                    return Ok(true);
                }
                octet if octet == closing => {
                    self.open.pop();
                }
                _ => return Err(Violation::Malformed),
            }
        }
    }

    /// Counts an entry of what is open, and reads its name where it is an object's.
    fn entry(&mut self) -> Result<(), Violation> {
        let Some(open) = self.open.last_mut() else { return Err(Violation::Malformed) };
        open.count += 1;
        let (object, count) = (open.object, open.count);
        let (most, violation) = match object {
            true => (self.limits.entries, Violation::Entries),
            false => (self.limits.elements, Violation::Elements),
        };
        if most.is_some_and(|most| count > most) {
            return Err(violation);
        }
        if !object {
            return Ok(());
        }
        self.space();
        let name = self.string(self.limits.name, Violation::Name)?;
        if self.limits.distinct_names
            && let Some(open) = self.open.last_mut()
            && !open.names.insert(name)
        {
            return Err(Violation::RepeatedName);
        }
        self.space();
        if self.next()? == b':' { Ok(()) } else { Err(Violation::Malformed) }
    }

    /// A string of at most so many characters; what it stands for, where names are compared.
    fn string(&mut self, most: Option<usize>, violation: Violation) -> Result<Vec<u8>, Violation> {
        if self.next()? != b'"' {
            return Err(Violation::Malformed);
        }
        let mut characters = 0;
        let mut octets = Vec::new();
        loop {
            let octet = self.next()?;
            let character = match octet {
                b'"' => return Ok(octets),
                b'\\' => self.escape()?,
                // What goes on in a character of several octets is none of its own.
                0x80..=0xbf => {
                    self.keep(&mut octets, octet);
                    continue;
                }
                0..0x20 => return Err(Violation::Malformed),
                _ => {
                    self.keep(&mut octets, octet);
                    None
                }
            };
            if let Some(character) = character {
                character.encode_utf8(&mut [0; 4]).bytes().for_each(|octet| self.keep(&mut octets, octet));
            }
            characters += 1;
            if most.is_some_and(|most| characters > most) {
                return Err(violation);
            }
        }
    }

    fn keep(&self, octets: &mut Vec<u8>, octet: u8) {
        if self.limits.distinct_names {
            octets.push(octet);
        }
    }

    fn escape(&mut self) -> Result<Option<char>, Violation> {
        Ok(Some(match self.next()? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            octet @ (b'"' | b'\\' | b'/') => char::from(octet),
            b'u' => {
                let mut code = self.unit()?;
                if (0xd800..0xdc00).contains(&code) {
                    self.word(b"\\u")?;
                    let low = self.unit()?.checked_sub(0xdc00).filter(|low| *low < 0x400);
                    code = 0x10000 + ((code - 0xd800) << 10) + low.ok_or(Violation::Malformed)?;
                }
                char::from_u32(code).ok_or(Violation::Malformed)?
            }
            _ => return Err(Violation::Malformed),
        }))
    }

    fn unit(&mut self) -> Result<u32, Violation> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit << 4 | char::from(self.next()?).to_digit(16).ok_or(Violation::Malformed)?;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Violation> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let number = serde_json::from_slice::<serde_json::Number>(&self.text[start..self.at]);
        // A number that no machine can hold is one all the same.
        match number {
            Ok(_) => Ok(()),
            Err(error) if error.to_string().starts_with("number out of range") => Ok(()),
            Err(_) => Err(Violation::Malformed),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Violation> {
        let found = self.text[self.at..].starts_with(word);
        self.at += word.len();
        if found { Ok(()) } else { Err(Violation::Malformed) }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Violation> {
        let octet = self.peek().ok_or(Violation::Malformed)?;
        self.at += 1;
        Ok(octet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limits: Limits, text: &str) -> Option<Violation> {
        limits.check(text.as_bytes()).err()
    }

    #[test]
    fn json_is_told_from_what_is_none() {
        for text in
            ["{}", "[]", " [1, -0.5e+3, \"\\u00e9\\ud83d\\ude00\", {\"a\":[{}]}, true, null]\n", "1", "\"x\"", "1e999"]
        {
            assert_eq!(check(Limits::default(), text), None, "{text}");
        }
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1,]",
            "[,1]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "[1 2]",
            "[1]]",
            "{]",
            "[}",
            "01",
            "1.",
            "-",
            "+1",
            "tru",
            "\"a",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\n\"",
            "{\"a\":1,}",
            "{}{}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "[\"a\":1]",
            "nul",
            "1e",
        ] {
            assert_eq!(check(Limits::default(), text), Some(Violation::Malformed), "{text}");
        }
    }

    #[test]
    fn limits_hold() {
        let limits = Limits {
            depth: Some(2),
            entries: Some(2),
            name: Some(3),
            elements: Some(2),
            string: Some(2),
            distinct_names: true,
        };
        assert_eq!(check(limits, r#"{"éöü":[1,"éö"],"b":{"\u0061":1,"b":2}}"#), None);
        assert_eq!(check(limits, "[[[]]]"), Some(Violation::Depth));
        assert_eq!(check(limits, r#"{"a":1,"b":2,"c":3}"#), Some(Violation::Entries));
        assert_eq!(check(limits, r#"{"abcd":1}"#), Some(Violation::Name));
        assert_eq!(check(limits, "[1,2,3]"), Some(Violation::Elements));
        assert_eq!(check(limits, r#""abc""#), Some(Violation::Text));
        assert_eq!(check(limits, r#""\u0061\u0062\u0063""#), Some(Violation::Text));
        assert_eq!(check(limits, r#"{"a":1,"\u0061":2}"#), Some(Violation::RepeatedName));
        assert_eq!(check(limits, r#"[{"a":1},{"a":1}]"#), None);
        assert_eq!(check(Limits::default(), r#"{"a":1,"a":2}"#), None);
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(check(Limits::default(), &deep), None);
        assert_eq!(check(Limits { depth: Some(64), ..Limits::default() }, &deep), Some(Violation::Depth));
    }
}
