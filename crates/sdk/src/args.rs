//! Query strings and form bodies: lists of names and values, as nginx decodes and encodes them.

use std::borrow::Cow;

/// A decoded list of arguments, in order. An argument without `=` has no value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args(Vec<(String, Option<String>)>);

impl Args {
    /// More arguments than that are ignored, as Kong does with those of bodies and queries (`lua_max_uri_args` and
    /// `lua_max_post_args` at most).
    pub const LIMIT: usize = 1000;

    /// The arguments of `a=1&b=2&c`; empty names are skipped.
    pub fn parse(text: &str) -> Args {
        Args(
            pairs(text)
                .take(Args::LIMIT)
                .map(|(name, value)| (decode(name).into_owned(), value.map(|v| decode(v).into_owned())))
                .collect(),
        )
    }

    /// The values of an argument.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Option<&'a str>> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_deref())
    }

    /// Whether the argument is there.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// All arguments in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops an argument; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(n, _)| n != name);
        self.0.len() != before
    }

    /// Gives all values of `old` to `new`, in place of those that `new` had; says whether `old` was there.
    pub fn rename(&mut self, old: &str, new: &str) -> bool {
        if old == new || !self.contains(old) {
            return false;
        }
        self.remove(new);
        for (name, _) in self.0.iter_mut().filter(|(name, _)| name == old) {
            *name = new.to_owned();
        }
        true
    }

    /// Gives an argument one value in the place of the first, or at the end.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.0.iter().position(|(n, _)| n == name) {
            Some(at) => {
                self.0[at].1 = Some(value.to_owned());
                let mut i = 0;
                self.0.retain(|(n, _)| {
                    i += 1;
                    n != name || i == at + 1
                });
            }
            None => self.append(name, Some(value)),
        }
    }

    /// Adds a value behind those that the argument has, or at the end.
    pub fn append(&mut self, name: &str, value: Option<&str>) {
        let at = self.0.iter().rposition(|(n, _)| n == name).map_or(self.0.len(), |last| last + 1);
        self.0.insert(at, (name.to_owned(), value.map(str::to_owned)));
    }

    /// As it is sent: everything but unreserved characters is escaped, a space as `%20`.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.0 {
            if !out.is_empty() {
                out.push('&');
            }
            encode(name, &mut out);
            if let Some(value) = value {
                out.push('=');
                encode(value, &mut out);
            }
        }
        out
    }

    /// The values of an argument in a raw query, without decoding anything else.
    pub fn find<'q>(query: &'q str, name: &str) -> impl Iterator<Item = Option<Cow<'q, str>>> {
        pairs(query).take(Args::LIMIT).filter(move |(n, _)| is(n, name)).map(|(_, value)| value.map(decode))
    }

    /// A raw query without an argument, otherwise as it was.
    pub fn without(query: &str, name: &str) -> String {
        query
            .split('&')
            .filter(|pair| !is(pair.split_once('=').map_or(*pair, |(n, _)| n), name))
            .collect::<Vec<_>>()
            .join("&")
    }
}

/// Percent decoding with `+` for a space; bytes that are not UTF-8 are replaced.
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                i += 2;
            }
            (b'+', ..) => out.push(b' '),
            (other, ..) => out.push(other),
        }
        i += 1;
    }
    Cow::Owned(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split('&')
        .map(|pair| pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value))))
        .filter(|(name, _)| !name.is_empty())
}

fn is(raw: &str, name: &str) -> bool {
    raw == name || (raw.len() > name.len() && decode(raw) == name)
}

fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out.extend(['%', HEX[usize::from(byte >> 4)] as char, HEX[usize::from(byte & 15)] as char]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_and_encodes() {
        let args = Args::parse("a=1&b=x+y%26&c&=z&a=%zz");
        assert_eq!(
            args.iter().collect::<Vec<_>>(),
            [("a", Some("1")), ("b", Some("x y&")), ("c", None), ("a", Some("%zz"))]
        );
        assert_eq!(args.encode(), "a=1&b=x%20y%26&c&a=%25zz");
        assert_eq!(Args::find("x=1&%61=2&a=3", "a").collect::<Vec<_>>(), [Some("2".into()), Some("3".into())]);
        assert_eq!(Args::without("a=1&x=%20&%61", "a"), "x=%20");
        assert_eq!(decode("%E2%82%AC"), "€");
    }

    #[test]
    fn edits_keep_the_order() {
        let mut args = Args::parse("a=1&b=2&a=3");
        args.append("a", Some("4"));
        args.set("b", "5");
        assert_eq!(args.encode(), "a=1&b=5&a=3&a=4");
        args.set("a", "9");
        assert_eq!(args.encode(), "a=9&b=5");
        assert!(args.rename("a", "b") && !args.rename("none", "x"));
        assert_eq!(args.encode(), "b=9");
        assert!(args.remove("b") && args.is_empty());
    }
}
