//! Which origins may read responses.

use regex::Regex;

/// The configured origins.
pub enum Origins {
    /// Everybody.
    All,
    /// That one is always named, whoever asks.
    One(String),
    /// The one that asks is named if it is among these; with a star, everybody is.
    Some { rules: Vec<Rule>, star: bool },
}

/// What a request is told.
pub enum Verdict<'a> {
    /// `*`.
    All,
    Named(&'a str),
    /// That origin, normalised.
    Asked(String),
    Refused,
}

/// One of several origins.
pub enum Rule {
    Plain(String),
    /// Over the whole origin, or its host alone.
    Pattern(Regex, Subject),
}

/// What a pattern looks at: without a colon in it, it cannot mean more than a host.
#[derive(PartialEq)]
pub enum Subject {
    Origin,
    Host,
}

impl Origins {
    /// From the configuration.
    pub fn parse(list: &[String]) -> Result<Origins, String> {
        match list {
            [] => return Ok(Origins::All),
            [one] if one == "*" => return Ok(Origins::All),
            [one] if is_plain(one) => return Ok(Origins::One(one.clone())),
            _ => {}
        }
        let rule = |entry: &String| {
            if is_plain(entry) {
                return Ok(Rule::Plain(normalise(entry).0));
            }
            let subject = if entry.contains(':') { Subject::Origin } else { Subject::Host };
            // Kong's patterns hold for the whole subject.
            Regex::new(&format!("^(?:{entry})$"))
                .map(|regex| Rule::Pattern(regex, subject))
                .map_err(|e| format!("'{entry}': {e}"))
        };
        let star = list.iter().any(|entry| entry == "*");
        let rules = list.iter().filter(|entry| *entry != "*").map(rule).collect::<Result<_, _>>()?;
        Ok(Origins::Some { rules, star })
    }

    /// What a request from that origin is told (empty: it names none).
    pub fn judge(&self, asked: &[u8]) -> Verdict<'_> {
        match self {
            Origins::All => Verdict::All,
            Origins::One(one) => Verdict::Named(one),
            Origins::Some { .. } if asked.is_empty() => Verdict::Refused,
            Origins::Some { star: true, .. } => Verdict::All,
            Origins::Some { rules, .. } => {
                // Rules are text: no other origin is among them.
                let Ok(asked) = std::str::from_utf8(asked) else { return Verdict::Refused };
                let (origin, host) = normalise(asked);
                let matches = |rule: &Rule| match rule {
                    Rule::Plain(plain) => *plain == origin,
                    Rule::Pattern(regex, subject) => {
                        regex.is_match(if *subject == Subject::Host { &host } else { &origin })
                    }
                };
                if rules.iter().any(matches) { Verdict::Asked(origin) } else { Verdict::Refused }
            }
        }
    }
}

/// Whether text stands for itself and is no pattern.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'/' | b'-'))
}

/// An origin without a port that its scheme implies, and its host; what is no origin stands for both.
fn normalise(text: &str) -> (String, String) {
    let Some((scheme, rest)) = text.split_once("://") else { return (text.to_owned(), text.to_owned()) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    let port = if matches!((scheme, port), ("http", "80") | ("https", "443") | (_, "")) {
        String::new()
    } else {
        format!(":{port}")
    };
    (format!("{scheme}://{host}{port}"), host.trim_matches(['[', ']']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(list: &[&str], asked: &str) -> Option<String> {
        let list: Vec<_> = list.iter().map(|o| o.to_string()).collect();
        match Origins::parse(&list).unwrap().judge(asked.as_bytes()) {
            Verdict::All => Some("*".to_owned()),
            Verdict::Named(origin) => Some(origin.to_owned()),
            Verdict::Asked(origin) => Some(origin),
            Verdict::Refused => None,
        }
    }

    #[test]
    fn few_origins() {
        assert_eq!(told(&[], ""), Some("*".into()));
        assert_eq!(told(&["*"], "http://a.test"), Some("*".into()));
        assert_eq!(told(&["http://one.test"], "http://other.test"), Some("http://one.test".into()));
        assert_eq!(told(&["http://one.test", "*"], "http://x.test"), Some("*".into()));
        assert_eq!(told(&["http://one.test", "*"], ""), None);
        let pattern = Origins::parse(&[".*".to_owned(), "x.test".to_owned()]).unwrap();
        assert!(matches!(pattern.judge(b"http://\xe9.test"), Verdict::Refused));
    }

    #[test]
    fn several_origins() {
        let list = ["http://one.test", "https://two.test", "three.test", "http://four.test:8080"];
        for (asked, answer) in [
            ("http://one.test", Some("http://one.test")),
            ("http://one.test:80", Some("http://one.test")),
            ("https://two.test:443", Some("https://two.test")),
            ("http://two.test", None),
            ("http://four.test:8080", Some("http://four.test:8080")),
            ("http://four.test", None),
            ("http://three.test", None),
            ("three.test", Some("three.test")),
            ("", None),
        ] {
            assert_eq!(told(&list, asked).as_deref(), answer, "{asked}");
        }
    }

    #[test]
    fn patterns_hold_for_the_whole() {
        let list = [r".*\.reg\.test", r"^https?://(www\.)?full\.test$"];
        for (asked, allowed) in [
            ("http://a.reg.test", true),
            ("https://b.reg.test:9000", true),
            ("http://reg.test", false),
            ("http://a.reg.test.evil.test", false),
            ("https://www.full.test", true),
            ("http://xfull.test", false),
        ] {
            assert_eq!(told(&list, asked), allowed.then(|| asked.to_owned()), "{asked}");
        }
        assert!(Origins::parse(&["([".to_owned()]).is_err());
    }
}
