//! Host names: patterns with a wildcard at one end, and what is a port in a `Host` line or is not.
//!
//! A wildcard in a route (`hosts`, `snis`) stands for any number of labels; in the name of a certificate (`snis`) for
//! one.

/// A host name, exact or with a wildcard at one end, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostnamePattern {
    Exact(Box<str>),
    /// `*.example.test`: what follows the asterisk.
    Suffix(Box<str>),
    /// `example.*`: what precedes the asterisk.
    Prefix(Box<str>),
}

impl HostnamePattern {
    /// Reads a name with at most one asterisk, at an end.
    pub fn parse(text: &str) -> HostnamePattern {
        let text = text.to_ascii_lowercase();
        if let Some(suffix) = text.strip_prefix('*') {
            HostnamePattern::Suffix(suffix.into())
        } else if let Some(prefix) = text.strip_suffix('*') {
            HostnamePattern::Prefix(prefix.into())
        } else {
            HostnamePattern::Exact(text.into())
        }
    }
}

/// Several patterns, of which one must match.
#[derive(Clone, Debug, Default)]
pub struct HostnameSet {
    /// Sorted.
    exact: Vec<Box<str>>,
    suffixes: Vec<Box<str>>,
    prefixes: Vec<Box<str>>,
}

impl HostnameSet {
    /// Whether nothing can match.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty()
    }

    /// Whether a name matches, in whatever case.
    pub fn contains(&self, name: &str) -> bool {
        let name = name.as_bytes();
        let lower = || name.iter().map(u8::to_ascii_lowercase);
        let same = |part: Option<&[u8]>, text: &str| part.is_some_and(|p| p.eq_ignore_ascii_case(text.as_bytes()));
        self.exact.binary_search_by(|exact| exact.bytes().cmp(lower())).is_ok()
            || self.suffixes.iter().any(|text| same(name.len().checked_sub(text.len()).map(|at| &name[at..]), text))
            || self.prefixes.iter().any(|text| same(name.get(..text.len()), text))
    }
}

impl FromIterator<HostnamePattern> for HostnameSet {
    fn from_iter<I: IntoIterator<Item = HostnamePattern>>(patterns: I) -> HostnameSet {
        let mut set = HostnameSet::default();
        for pattern in patterns {
            match pattern {
                HostnamePattern::Exact(name) => set.exact.push(name),
                HostnamePattern::Suffix(suffix) => set.suffixes.push(suffix),
                HostnamePattern::Prefix(prefix) => set.prefixes.push(prefix),
            }
        }
        set.exact.sort_unstable();
        set
    }
}

/// A server name without the dot that ends a fully qualified one.
pub fn without_root(name: &str) -> &str {
    name.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(name)
}

/// The names under which a certificate for a server may be kept, the most specific first: the name in lower case, then
/// with a wildcard for its first label (when it has at least three) or for its last one, then `*`.
pub fn certificate_names(server: &str) -> impl Iterator<Item = String> {
    let name = without_root(server).to_ascii_lowercase();
    let left = name.split_once('.').filter(|(_, rest)| rest.contains('.')).map(|(_, rest)| format!("*.{rest}"));
    let right = name.rsplit_once('.').map(|(rest, _)| format!("{rest}.*"));
    [Some(name), left, right, Some("*".to_owned())].into_iter().flatten()
}

/// Splits a decimal port off a host; a colon with nothing behind it goes away, anything else stays with the name.
pub fn split_port(host: &[u8]) -> (&[u8], Option<u32>) {
    let colon = match host.starts_with(b"[") {
        true => host.windows(2).position(|pair| pair == b"]:").map(|at| at + 1),
        false => host.iter().position(|&b| b == b':'),
    };
    let Some(colon) = colon else { return (host, None) };
    match &host[colon + 1..] {
        b"" => (&host[..colon], None),
        port if port.len() <= 9 && port.iter().all(u8::is_ascii_digit) => {
            (&host[..colon], Some(port.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))))
        }
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_of_a_set_stand_for_any_number_of_labels() {
        let set: HostnameSet = ["A.test", "*.b.test", "c.*"].into_iter().map(HostnamePattern::parse).collect();
        for (name, contained) in [
            ("a.test", true),
            ("x.a.test", false),
            ("x.y.b.test", true),
            ("b.test", false),
            ("C.x.y", true),
            ("X.B.Test", true),
            ("c", false),
        ] {
            assert_eq!(set.contains(name), contained, "{name}");
        }
    }

    #[test]
    fn names_of_certificates_from_the_most_specific_on() {
        let names = |server| certificate_names(server).collect::<Vec<_>>();
        assert_eq!(names("A.B.test"), ["a.b.test", "*.b.test", "a.b.*", "*"]);
        assert_eq!(names("b.test"), ["b.test", "b.*", "*"]);
        assert_eq!(names("local"), ["local", "*"]);
    }

    #[test]
    fn ports_are_decimal() {
        for (host, expected) in [
            ("a.test:80", ("a.test", Some(80))),
            ("a.test:", ("a.test", None)),
            ("a.test:x", ("a.test:x", None)),
            ("a.test", ("a.test", None)),
            ("[::1]:9", ("[::1]", Some(9))),
            ("[::1]", ("[::1]", None)),
            ("a:1234567890", ("a:1234567890", None)),
        ] {
            let (name, port): (&str, _) = expected;
            assert_eq!(split_port(host.as_bytes()), (name.as_bytes(), port), "{host}");
        }
    }

    #[test]
    fn the_dot_of_the_root_goes_away() {
        assert_eq!(without_root("a.test."), "a.test");
        assert_eq!(without_root("."), ".");
    }
}
