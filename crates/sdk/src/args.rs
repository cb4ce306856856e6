//! Query strings and form bodies: lists of names and values, as nginx decodes and encodes them.

use std::borrow::Cow;
use std::ops::Range;

/// A list of arguments, in order. Names and values are octets; those that nobody edits keep the escapes with which they
/// were sent. An argument without `=` has no value.
#[derive(Clone, Default)]
pub struct Args {
    /// What was sent, and behind it what edits have added; all of it escaped.
    text: Vec<u8>,
    list: Vec<Argument>,
}

#[derive(Clone)]
struct Argument {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

impl Args {
    /// The arguments of `a=1&b=2&c`; empty names are skipped.
    pub fn parse(text: impl AsRef<[u8]>) -> Args {
        let text = text.as_ref().to_vec();
        let mut list = Vec::new();
        let mut at = 0;
        for pair in text.split(|&b| b == b'&') {
            let end = at + pair.len();
            let argument = match memchr::memchr(b'=', pair) {
                Some(equals) => Argument { name: at..at + equals, value: Some(at + equals + 1..end) },
                None => Argument { name: at..end, value: None },
            };
            if !argument.name.is_empty() {
                list.push(argument);
            }
            at = end + 1;
        }
        Args { text, list }
    }

    /// The values of an argument.
    pub fn get_all<'a, N: AsRef<[u8]> + ?Sized>(
        &'a self,
        name: &'a N,
    ) -> impl Iterator<Item = Option<Cow<'a, [u8]>>> + 'a {
        self.list.iter().filter(|a| self.is(a, name.as_ref())).map(|a| self.value(a))
    }

    /// Whether the argument is there.
    pub fn contains(&self, name: impl AsRef<[u8]>) -> bool {
        self.list.iter().any(|a| self.is(a, name.as_ref()))
    }

    /// All arguments in order.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, [u8]>, Option<Cow<'_, [u8]>>)> {
        self.list.iter().map(|a| (decode(&self.text[a.name.clone()]), self.value(a)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Drops an argument; says whether it was there.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> bool {
        let before = self.list.len();
        self.retain(|args, a| !args.is(a, name.as_ref()));
        self.list.len() != before
    }

    /// Gives all values of `old` to `new`, in place of those that `new` had and escaped anew; says whether `old` was
    /// there.
    pub fn rename(&mut self, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> bool {
        let (old, new) = (old.as_ref(), new.as_ref());
        if old == new || !self.contains(old) {
            return false;
        }
        self.remove(new);
        let name = self.add(new);
        for at in 0..self.list.len() {
            if self.is(&self.list[at], old) {
                let value = self.value(&self.list[at]).map(Cow::into_owned);
                let value = value.map(|value| self.add(&value));
                self.list[at] = Argument { name: name.clone(), value };
            }
        }
        true
    }

    /// Gives an argument one value in the place of the first, or at the end.
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        let Some(at) = self.list.iter().position(|a| self.is(a, name)) else { return self.append(name, Some(value)) };
        self.list[at].value = Some(self.add(value));
        let mut first = true;
        self.retain(|args, a| !args.is(a, name) || std::mem::take(&mut first));
    }

    /// Adds a value behind those that the argument has, or at the end.
    pub fn append(&mut self, name: impl AsRef<[u8]>, value: Option<&[u8]>) {
        let name = name.as_ref();
        let at = self.list.iter().rposition(|a| self.is(a, name)).map_or(self.list.len(), |last| last + 1);
        let argument = Argument { name: self.add(name), value: value.map(|value| self.add(value)) };
        self.list.insert(at, argument);
    }

    /// As it is sent: what was edited with everything but unreserved characters escaped (a space as `%20`), the rest as
    /// it came.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, argument) in self.list.iter().enumerate() {
            if at > 0 {
                out.push(b'&');
            }
            out.extend_from_slice(&self.text[argument.name.clone()]);
            if let Some(value) = &argument.value {
                out.push(b'=');
                out.extend_from_slice(&self.text[value.clone()]);
            }
        }
        out
    }

    /// As [`Args::encode`], for a request target: nothing when there are no arguments. Octets that are no text are
    /// escaped; they can come from a form only, for a target is text.
    pub fn to_query(&self) -> Option<String> {
        let mut query = String::new();
        for chunk in self.encode().utf8_chunks() {
            query.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|&octet| escape(octet, |b| query.push(char::from(b))));
        }
        (!query.is_empty()).then_some(query)
    }

    /// The values of an argument in a raw query, without looking at anything else.
    pub fn find<'q, N: AsRef<[u8]> + ?Sized>(
        query: &'q str,
        name: &'q N,
    ) -> impl Iterator<Item = Option<Cow<'q, [u8]>>> + 'q {
        let pairs = query.as_bytes().split(|&b| b == b'&').map(split).filter(|(n, _)| !n.is_empty());
        pairs.filter(|(n, _)| is(n, name.as_ref())).map(|(_, value)| value.map(decode))
    }

    /// A raw query without an argument, otherwise as it was.
    pub fn without(query: &str, name: impl AsRef<[u8]>) -> String {
        let kept = query.split('&').filter(|pair| !is(split(pair.as_bytes()).0, name.as_ref()));
        kept.collect::<Vec<_>>().join("&")
    }

    fn is(&self, argument: &Argument, name: &[u8]) -> bool {
        is(&self.text[argument.name.clone()], name)
    }

    fn value(&self, argument: &Argument) -> Option<Cow<'_, [u8]>> {
        argument.value.clone().map(|value| decode(&self.text[value]))
    }

    fn retain(&mut self, mut keep: impl FnMut(&Args, &Argument) -> bool) {
        let mut list = std::mem::take(&mut self.list);
        list.retain(|argument| keep(self, argument));
        self.list = list;
    }

    fn add(&mut self, plain: &[u8]) -> Range<usize> {
        let start = self.text.len();
        for &octet in plain {
            match octet {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => self.text.push(octet),
                _ => escape(octet, |b| self.text.push(b)),
            }
        }
        start..self.text.len()
    }
}

impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Args").field(&self.encode().escape_ascii().to_string()).finish()
    }
}

/// Percent decoding with `+` for a space.
pub fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = |at: usize| text.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (text[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (other, ..) => out.push(other),
        }
        at += 1;
    }
    Cow::Owned(out)
}

/// Name and value of a pair, escaped as they are.
fn split(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], Some(&pair[at + 1..])),
        None => (pair, None),
    }
}

/// Whether a name that was sent is that one.
fn is(sent: &[u8], name: &[u8]) -> bool {
    // What needs decoding is longer, or has a plus for a space.
    sent.len() >= name.len() && *decode(sent) == *name
}

fn escape(octet: u8, mut push: impl FnMut(u8)) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    [b'%', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]].into_iter().for_each(&mut push);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(args: &Args) -> String {
        String::from_utf8(args.encode()).unwrap()
    }

    fn shown(args: &Args) -> Vec<(String, Option<String>)> {
        let text = |octets: Cow<'_, [u8]>| octets.escape_ascii().to_string();
        args.iter().map(|(name, value)| (text(name), value.map(text))).collect()
    }

    #[test]
    fn arguments_are_decoded_to_octets() {
        let args = Args::parse("a=1&b=x+y%26&c&=z&a=%zz&d%e9=%E9");
        let expected =
            [("a", Some("1")), ("b", Some("x y&")), ("c", None), ("a", Some("%zz")), (r"d\xe9", Some(r"\xe9"))];
        let expected: Vec<_> = expected.iter().map(|(n, v)| (n.to_string(), v.map(str::to_owned))).collect();
        assert_eq!(shown(&args), expected);
        assert!(args.contains(b"d\xe9"));
        assert!(!args.contains("d\u{fffd}"));
        assert!(Args::parse("a+b=1").contains("a b"));
        let found: Vec<_> = Args::find("x=1&%61=2&a=%E9", "a").map(|v| v.unwrap().into_owned()).collect();
        assert_eq!(found, [b"2", &b"\xe9"[..]]);
        assert_eq!(Args::without("a=1&x=%20&%61", "a"), "x=%20");
    }

    #[test]
    fn what_nobody_edits_is_sent_as_it_came() {
        let mut args = Args::parse("q=a+b%2f%E9&drop=1&%6e=%zz&flag&e=");
        assert!(args.remove("drop"));
        args.append("new", Some(b"a b/\xe8"));
        assert_eq!(text(&args), "q=a+b%2f%E9&%6e=%zz&flag&e=&new=a%20b%2F%E8");
        assert!(args.rename("n", "m"));
        assert_eq!(text(&args), "q=a+b%2f%E9&m=%25zz&flag&e=&new=a%20b%2F%E8");
    }

    #[test]
    fn edits_keep_the_order() {
        let mut args = Args::parse("a=1&b=2&a=3");
        args.append("a", Some(b"4"));
        args.set("b", "5");
        assert_eq!(text(&args), "a=1&b=5&a=3&a=4");
        args.set("a", "9");
        assert_eq!(text(&args), "a=9&b=5");
        assert!(args.rename("a", "b") && !args.rename("none", "x"));
        assert_eq!(text(&args), "b=9");
        assert!(args.remove("b") && args.is_empty());
        assert_eq!(args.to_query(), None);
    }

    #[test]
    fn no_argument_is_too_many() {
        let many = "a&".repeat(5_000) + "last=1";
        assert!(Args::parse(&many).contains("last"));
        assert_eq!(Args::find(&many, "last").count(), 1);
    }

    #[test]
    fn raw_octets_of_a_form_are_escaped_in_a_query() {
        let mut form = Args::parse(b"a=\xe9\xc3\xa9");
        form.append("b", None);
        assert_eq!(form.encode(), b"a=\xe9\xc3\xa9&b");
        assert_eq!(form.to_query().as_deref(), Some("a=%E9\u{e9}&b"));
    }
}
