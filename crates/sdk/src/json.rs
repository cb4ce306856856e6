//! JSON objects whose members plugins read and edit.
//!
//! Strings are octets, as in Kong (lua-cjson): text in Latin-1 is read and passed on. Only the outermost object is
//! taken apart; what is inside a member is checked and otherwise left as it was written, numbers and escapes included.

use crate::Bytes;
use memchr::memchr2;
use std::borrow::Cow;
use std::ops::Range;

/// An object, in the order of its members. Of members of one name the last counts, as in Lua; editing one drops the
/// others.
#[derive(Clone, Debug, Default)]
pub struct JsonObject {
    /// What was parsed.
    text: Bytes,
    /// What edits have added: offsets go on behind those of `text`.
    added: Vec<u8>,
    members: Vec<Member>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    /// The octets between the quotes, escaped.
    name: Span,
    value: Span,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

/// Values inside each other (lua-cjson's limit).
const MAX_DEPTH: usize = 1_000;
/// An object with more members is not taken apart: each costs memory.
const MAX_MEMBERS: usize = 1 << 20;

impl JsonObject {
    /// Takes an object apart; `None` when the text is something else.
    pub fn parse(text: &Bytes) -> Option<JsonObject> {
        // Edits need some room behind it.
        if u32::try_from(text.len()).is_err() || text.len() > 1 << 31 {
            return None;
        }
        let mut scanner = Scanner { text, at: 0 };
        let mut members = Vec::new();
        scanner.space();
        scanner.expect(b'{')?;
        scanner.space();
        if scanner.peek() == Some(b'}') {
            scanner.at += 1;
        } else {
            loop {
                if members.len() == MAX_MEMBERS {
                    return None;
                }
                let name = scanner.name()?;
                scanner.space();
                let start = scanner.at;
                scanner.value()?;
                members.push(Member { name: Span::new(name), value: Span::new(start..scanner.at) });
                scanner.space();
                match scanner.next()? {
                    b',' => {}
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        scanner.space();
        scanner.peek().is_none().then(|| JsonObject { text: text.clone(), added: Vec::new(), members })
    }

    /// The text of a member's value.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.position(name.as_ref()).map(|at| self.octets(self.members[at].value))
    }

    /// Names and the texts of values, in order; a name can come several times.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, [u8]>, &[u8])> {
        self.members.iter().map(|member| (unescape(self.octets(member.name)), self.octets(member.value)))
    }

    /// Whether there is such a member, and not `false`: what Lua takes for present. Null is.
    pub fn is_present(&self, name: impl AsRef<[u8]>) -> bool {
        self.get(name).is_some_and(|value| value != b"false")
    }

    /// Drops a member; says whether it was there.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> bool {
        let before = self.members.len();
        self.retain(|object, member| !object.is(member, name.as_ref()));
        self.members.len() != before
    }

    /// Gives the value of `old` to `new`, in place of the one that `new` had; says whether `old` was there.
    pub fn rename(&mut self, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> bool {
        let Some(at) = self.position(old.as_ref()) else { return false };
        let value = self.members[at].value;
        self.remove(old.as_ref());
        self.put(new.as_ref(), value);
        true
    }

    /// Gives a member a value, which must be the text of one.
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: &[u8]) {
        let value = self.add(value);
        self.put(name.as_ref(), value);
    }

    /// Adds a value to a list; a string becomes a list of both, and anything else a list of the value alone.
    pub fn append(&mut self, name: impl AsRef<[u8]>, value: &[u8]) {
        let name = name.as_ref();
        let before = self.get(name).unwrap_or_default();
        let list = match before {
            [b'"', ..] => [b"[", before, b",", value, b"]"].concat(),
            [b'[', items @ .., b']'] if items.trim_ascii().is_empty() => [b"[", value, b"]"].concat(),
            [b'[', items @ .., b']'] => [b"[", items, b",", value, b"]"].concat(),
            _ => [b"[", value, b"]"].concat(),
        };
        self.set(name, &list);
    }

    /// As it is sent: without white space between the members.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len() + self.added.len() + 2);
        out.push(b'{');
        for (at, member) in self.members.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(self.octets(member.name));
            out.extend_from_slice(b"\":");
            out.extend_from_slice(self.octets(member.value));
        }
        out.push(b'}');
        out
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.members.iter().rposition(|member| self.is(member, name))
    }

    fn is(&self, member: &Member, name: &[u8]) -> bool {
        let escaped = self.octets(member.name);
        // An escape is longer than what it stands for.
        escaped.len() >= name.len() && *unescape(escaped) == *name
    }

    fn put(&mut self, name: &[u8], value: Span) {
        match self.position(name) {
            Some(at) => {
                self.members[at].value = value;
                let mut index = 0;
                self.retain(|object, member| {
                    index += 1;
                    index == at + 1 || !object.is(member, name)
                });
            }
            None => {
                let mut quoted = Vec::new();
                quote(name, &mut quoted);
                let name = self.add(&quoted[1..quoted.len() - 1]);
                self.members.push(Member { name, value });
            }
        }
    }

    fn add(&mut self, octets: &[u8]) -> Span {
        let start = self.text.len() + self.added.len();
        self.added.extend_from_slice(octets);
        Span::new(start..start + octets.len())
    }

    fn octets(&self, span: Span) -> &[u8] {
        let (start, end) = (span.start as usize, span.end as usize);
        match start.checked_sub(self.text.len()) {
            Some(start) => &self.added[start..end - self.text.len()],
            None => &self.text[start..end],
        }
    }

    fn retain(&mut self, mut keep: impl FnMut(&JsonObject, &Member) -> bool) {
        let mut members = std::mem::take(&mut self.members);
        members.retain(|member| keep(self, member));
        self.members = members;
    }
}

/// The octets of a string, from its text; `None` for a value of another kind.
pub fn string(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value {
        [b'"', inner @ .., b'"'] => Some(unescape(inner)),
        _ => None,
    }
}

/// The texts of a list's elements; `None` for a value of another kind.
pub fn elements(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut scanner = Scanner { text, at: 0 };
    let mut elements = Vec::new();
    scanner.space();
    scanner.expect(b'[')?;
    scanner.space();
    if scanner.peek() == Some(b']') {
        scanner.at += 1;
    } else {
        loop {
            if elements.len() == MAX_MEMBERS {
                return None;
            }
            scanner.space();
            let start = scanner.at;
            scanner.value()?;
            elements.push(&text[start..scanner.at]);
            scanner.space();
            match scanner.next()? {
                b',' => {}
                b']' => break,
                _ => return None,
            }
        }
    }
    scanner.space();
    scanner.peek().is_none().then_some(elements)
}

/// Appends the text of a string. What JSON has no octet for is escaped; octets beyond ASCII stay as they are.
pub fn quote(octets: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &octet in octets {
        match octet {
            b'"' | b'\\' => out.extend([b'\\', octet]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f | 0x7f => out.extend_from_slice(format!("\\u{octet:04x}").as_bytes()),
            _ => out.push(octet),
        }
    }
    out.push(b'"');
}

impl Span {
    /// Offsets were checked when the text was parsed; edits of gigabytes are not.
    fn new(range: Range<usize>) -> Span {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { start: offset(range.start), end: offset(range.end) }
    }
}

/// Goes through a text and checks it.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.at += 1;
        Some(octet)
    }

    fn expect(&mut self, octet: u8) -> Option<()> {
        (self.next()? == octet).then_some(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// A member's name with the colon behind it; where the octets between the quotes are.
    fn name(&mut self) -> Option<Range<usize>> {
        self.space();
        let start = self.at + 1;
        self.string()?;
        let end = self.at - 1;
        self.space();
        self.expect(b':')?;
        Some(start..end)
    }

    /// A value of any kind.
    fn value(&mut self) -> Option<()> {
        // The brackets that will close what is open.
        let mut open = Vec::new();
        loop {
            self.space();
            match self.peek()? {
                b'{' | b'[' if open.len() == MAX_DEPTH => return None,
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    self.space();
                    let closing = bracket + 2;
                    if self.peek()? == closing {
                        self.at += 1;
                    } else {
                        open.push(closing);
                        if closing == b'}' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            loop {
                let Some(&closing) = open.last() else { return Some(()) };
                self.space();
                match self.next()? {
                    b',' => {
                        if closing == b'}' {
                            self.name()?;
                        }
                        break;
                    }
                    octet if octet == closing => {
                        open.pop();
                    }
                    _ => return None,
                }
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            self.at += memchr2(b'"', b'\\', self.text.get(self.at..)?)?;
            if self.next()? == b'"' {
                return Some(());
            }
            match self.next()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' => match self.unit()? {
                    0xd800..=0xdbff => {
                        self.expect(b'\\')?;
                        self.expect(b'u')?;
                        (0xdc00..=0xdfff).contains(&self.unit()?).then_some(())?;
                    }
                    0xdc00..=0xdfff => return None,
                    _ => {}
                },
                _ => return None,
            }
        }
    }

    /// The four hexadecimal digits of an escape.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, &b| Some(unit << 4 | char::from(b).to_digit(16)?))
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let found = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        found.then_some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Some(())
    }

    fn some_digits(&mut self) -> Option<()> {
        self.next().filter(u8::is_ascii_digit)?;
        self.digits();
        Some(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }
}

/// The octets that a string's text, which was checked, stands for.
fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut scanner = Scanner { text, at: 0 };
    while let Some(octet) = scanner.next() {
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        match scanner.next() {
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'u') => {
                let mut code = scanner.unit().unwrap_or_default();
                if (0xd800..=0xdbff).contains(&code) {
                    scanner.at += 2;
                    let low = scanner.unit().unwrap_or_default();
                    code = 0x10000 + ((code - 0xd800) << 10) + (low & 0x3ff);
                }
                let mut buffer = [0; 4];
                out.extend_from_slice(char::from_u32(code).unwrap_or('\0').encode_utf8(&mut buffer).as_bytes());
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Option<JsonObject> {
        JsonObject::parse(&Bytes::copy_from_slice(text))
    }

    fn shown(object: &JsonObject) -> String {
        object.encode().escape_ascii().to_string()
    }

    #[test]
    fn members_that_nobody_edits_stay_as_they_were_written() {
        let text = b" { \"n\" : 1.50e+2,\"big\":12345678901234567890, \"s\":\"\\u00e9\\/\xe9\", \"l\":[ 1 , \
            {\"x\":null} ] , \"b\":false}\n";
        let mut object = parse(text).unwrap();
        assert_eq!(
            shown(&object),
            [
                r#"{\"n\":1.50e+2,\"big\":12345678901234567890,\"s\":\"\\u00e9\\/\xe9\","#,
                r#"\"l\":[ 1 , {\"x\":null} ],\"b\":false}"#
            ]
            .concat()
        );
        assert_eq!(string(object.get("s").unwrap()).unwrap().into_owned(), b"\xc3\xa9/\xe9");
        assert!(object.is_present("l") && !object.is_present("b") && object.get("b").is_some());
        assert!(object.remove("n") && object.remove("big") && object.remove("l") && !object.remove("none"));
        assert_eq!(shown(&object), r#"{\"s\":\"\\u00e9\\/\xe9\",\"b\":false}"#);
    }

    #[test]
    fn edits() {
        let mut object = parse(br#"{"a":"1","l":[],"m":[2],"o":{"x":1},"z":0}"#).unwrap();
        object.append("a", b"3");
        object.append("l", b"3");
        object.append("m", b"3");
        object.append("o", b"3");
        object.append("new", b"3");
        assert!(object.rename("z", "q\"\u{e9}") && !object.rename("none", "x"));
        object.set("m", b"null");
        assert_eq!(
            shown(&object),
            r#"{\"a\":[\"1\",3],\"l\":[3],\"m\":null,\"o\":[3],\"new\":[3],\"q\\\"\xc3\xa9\":0}"#
        );
        let mut empty = JsonObject::default();
        empty.set("a", b"1");
        assert_eq!(empty.encode(), br#"{"a":1}"#);
    }

    #[test]
    fn of_members_of_one_name_the_last_counts() {
        let text = br#"{"k":"first","x":1,"\u006b":"last"}"#;
        let mut object = parse(text).unwrap();
        assert_eq!(object.get("k"), Some(&br#""last""#[..]));
        object.set("k", b"0");
        assert_eq!(shown(&object), r#"{\"x\":1,\"\\u006b\":0}"#);
        assert!(parse(text).unwrap().remove("k"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in [
            "",
            "[1]",
            "1",
            "{",
            "{}x",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":-}",
            "{\"a\":+1}",
            "{\"a\":1e}",
            "{\"a\":tru}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\udc00\"}",
            "{\"a\":[1}",
            "{\"a\":{]}",
            "{\"a\":\"b}",
            "{\"a\":[1,]}",
        ] {
            assert!(parse(text.as_bytes()).is_none(), "{text}");
        }
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_some());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).is_none());
        assert!(parse(nested(1_000_000).as_bytes()).is_none());
        for text in ["{}", " {\"\":-0.5E-1,\"b\":[[],{}]}\r\n\t", "{\"a\":\"\\ud83d\\ude00 \u{1}\"}"] {
            assert!(parse(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn elements_stay_as_they_were_written() {
        let text: &[u8] = b" [ 1.50, {\"a\":[1, 2]} ,\"\xe9]\"]\n";
        assert_eq!(elements(text).unwrap(), [&b"1.50"[..], b"{\"a\":[1, 2]}", b"\"\xe9]\""]);
        assert_eq!(elements(b"[ ]").unwrap().len(), 0);
        for text in ["{}", "[1,]", "[,1]", "[1 2]", "[1", "[1]x", ""] {
            assert!(elements(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn strings_there_and_back() {
        let octets: Vec<u8> = (0..=255).collect();
        let mut text = Vec::new();
        quote(&octets, &mut text);
        assert_eq!(string(&text).unwrap().into_owned(), octets);
        assert_eq!(string(b"\"\\ud83d\\ude00\"").unwrap().into_owned(), "\u{1f600}".as_bytes());
        assert!(string(b"1").is_none());
    }
}
