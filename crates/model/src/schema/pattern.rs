//! Lua patterns, in which schemas describe strings.
//!
//! Kong's schemas are read by programs, so the patterns in them stay as they are instead of becoming regular
//! expressions. Matching is by bytes, as in Lua, and gives up (no match) after a fixed number of steps.

/// Steps after which a match is abandoned: enough for any honest value, little enough for a hostile one.
const STEPS: u32 = 200_000;
const DEPTH: u32 = 200;

/// Whether `pattern` matches somewhere in `text` (at the start only, when it begins with `^`).
pub fn matches(text: &str, pattern: &str) -> bool {
    let (anchored, pattern) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest.as_bytes()),
        None => (false, pattern.as_bytes()),
    };
    let text = text.as_bytes();
    let mut matcher = Matcher { text, pattern, steps: STEPS };
    (0..=if anchored { 0 } else { text.len() }).any(|start| matcher.run(start, 0, 0).is_some())
}

/// The regular expression that matches the same, for those who have no Lua; `None` for what has no counterpart there.
pub fn to_regex(pattern: &str) -> Option<String> {
    let mut regex = String::new();
    let mut chars = pattern.chars().peekable();
    let mut in_set = false;
    // Whether a quantifier can follow.
    let mut item = false;
    while let Some(c) = chars.next() {
        match c {
            '%' => {
                let class = chars.next()?;
                let members = match class {
                    'a' => "a-zA-Z",
                    'd' => "0-9",
                    'l' => "a-z",
                    'u' => "A-Z",
                    'w' => "a-zA-Z0-9",
                    'x' => "a-fA-F0-9",
                    's' => "\\s",
                    _ if class.is_ascii_alphanumeric() => return None,
                    _ => "",
                };
                match (members, in_set) {
                    ("", _) => regex.push_str(&regex::escape(&class.to_string())),
                    (_, true) => regex.push_str(members),
                    (_, false) => regex.extend(["[", members, "]"]),
                }
            }
            '[' if !in_set => {
                in_set = true;
                regex.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    regex.push('^');
                }
            }
            ']' if in_set => {
                in_set = false;
                regex.push(']');
            }
            '[' | '\\' if in_set => regex.extend(['\\', c]),
            _ if in_set => regex.push(c),
            '.' => regex.push_str("[\\s\\S]"),
            // The shortest match, where another character stands before it.
            '-' if item => regex.push_str("*?"),
            '^' if regex.is_empty() => regex.push('^'),
            '$' if chars.peek().is_none() => regex.push('$'),
            '(' | ')' | '*' | '+' | '?' => regex.push(c),
            _ => regex.push_str(&regex::escape(&c.to_string())),
        }
        item = in_set || !matches!(c, '^' | '(' | '*' | '+' | '-' | '?');
    }
    Some(regex)
}

struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    steps: u32,
}

impl Matcher<'_> {
    /// The end of a match of the pattern from `p` on at `s`.
    fn run(&mut self, mut s: usize, mut p: usize, depth: u32) -> Option<usize> {
        if depth > DEPTH {
            return None;
        }
        loop {
            self.steps = self.steps.checked_sub(1)?;
            let Some(&c) = self.pattern.get(p) else { return Some(s) };
            match c {
                // Captures only group in the patterns of schemas; their values are never used.
                b'(' | b')' => {
                    p += 1;
                    continue;
                }
                b'$' if p + 1 == self.pattern.len() => return (s == self.text.len()).then_some(s),
                b'%' if self.pattern.get(p + 1) == Some(&b'b') => {
                    s = self.balanced(s, *self.pattern.get(p + 2)?, *self.pattern.get(p + 3)?)?;
                    p += 4;
                    continue;
                }
                b'%' if self.pattern.get(p + 1) == Some(&b'f') => {
                    let set = p + 2;
                    let end = self.item_end(set)?;
                    let before = if s == 0 { 0 } else { self.text[s - 1] };
                    let after = self.text.get(s).copied().unwrap_or(0);
                    if self.item_matches(before, set, end) || !self.item_matches(after, set, end) {
                        return None;
                    }
                    p = end;
                    continue;
                }
                _ => {}
            }
            let end = self.item_end(p)?;
            match self.pattern.get(end) {
                Some(b'?') => {
                    if self.single(s, p, end)
                        && let Some(found) = self.run(s + 1, end + 1, depth + 1)
                    {
                        return Some(found);
                    }
                    p = end + 1;
                }
                Some(b'+') => return if self.single(s, p, end) { self.longest(s + 1, p, end, depth) } else { None },
                Some(b'*') => return self.longest(s, p, end, depth),
                Some(b'-') => loop {
                    if let Some(found) = self.run(s, end + 1, depth + 1) {
                        return Some(found);
                    }
                    if !self.single(s, p, end) {
                        return None;
                    }
                    s += 1;
                },
                _ => {
                    if !self.single(s, p, end) {
                        return None;
                    }
                    s += 1;
                    p = end;
                }
            }
        }
    }

    fn longest(&mut self, start: usize, p: usize, end: usize, depth: u32) -> Option<usize> {
        let mut s = start;
        while self.single(s, p, end) {
            s += 1;
        }
        loop {
            if let Some(found) = self.run(s, end + 1, depth + 1) {
                return Some(found);
            }
            if s == start || self.steps == 0 {
                return None;
            }
            s -= 1;
        }
    }

    fn balanced(&self, s: usize, open: u8, close: u8) -> Option<usize> {
        if *self.text.get(s)? != open {
            return None;
        }
        let mut level = 1usize;
        for (i, &c) in self.text.iter().enumerate().skip(s + 1) {
            if c == close {
                level -= 1;
                if level == 0 {
                    return Some(i + 1);
                }
            } else if c == open {
                level += 1;
            }
        }
        None
    }

    /// Where the single-character item at `p` ends.
    fn item_end(&self, p: usize) -> Option<usize> {
        match self.pattern.get(p)? {
            b'%' => self.pattern.get(p + 1).map(|_| p + 2),
            b'[' => {
                let mut i = p + 1;
                if self.pattern.get(i) == Some(&b'^') {
                    i += 1;
                }
                // A bracket right at the start stands for itself.
                let first = i;
                loop {
                    match self.pattern.get(i)? {
                        b']' if i > first => return Some(i + 1),
                        b'%' => i += 2,
                        _ => i += 1,
                    }
                }
            }
            _ => Some(p + 1),
        }
    }

    fn single(&mut self, s: usize, p: usize, end: usize) -> bool {
        self.steps = self.steps.saturating_sub(1);
        self.text.get(s).is_some_and(|&c| self.item_matches(c, p, end))
    }

    fn item_matches(&self, c: u8, p: usize, end: usize) -> bool {
        match self.pattern[p] {
            b'.' => true,
            b'%' => class(c, self.pattern[p + 1]),
            b'[' => self.set_matches(c, p + 1, end - 1),
            literal => literal == c,
        }
    }

    fn set_matches(&self, c: u8, mut i: usize, end: usize) -> bool {
        let negated = self.pattern[i] == b'^';
        if negated {
            i += 1;
        }
        while i < end {
            let item = self.pattern[i];
            if item == b'%' && i + 1 < end {
                if class(c, self.pattern[i + 1]) {
                    return !negated;
                }
                i += 2;
            } else if i + 2 < end && self.pattern[i + 1] == b'-' {
                if (item..=self.pattern[i + 2]).contains(&c) {
                    return !negated;
                }
                i += 3;
            } else {
                if item == c {
                    return !negated;
                }
                i += 1;
            }
        }
        negated
    }
}

fn class(c: u8, class: u8) -> bool {
    let found = match class.to_ascii_lowercase() {
        b'a' => c.is_ascii_alphabetic(),
        b'c' => c.is_ascii_control(),
        b'd' => c.is_ascii_digit(),
        b'g' => c.is_ascii_graphic(),
        b'l' => c.is_ascii_lowercase(),
        b'p' => c.is_ascii_punctuation(),
        b's' => c.is_ascii_whitespace() || c == 0x0b,
        b'u' => c.is_ascii_uppercase(),
        b'w' => c.is_ascii_alphanumeric(),
        b'x' => c.is_ascii_hexdigit(),
        b'z' => c == 0,
        _ => return class == c,
    };
    found != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::{matches, to_regex};

    #[test]
    fn patterns_of_the_schemas() {
        let vault = "^[a-z][a-z%d-]-[a-z%d]+$";
        assert!(["env2", "my-env", "abc"].iter().all(|t| matches(t, vault)));
        assert!(!["a", "1a", "a b", "-ab", "A1"].iter().any(|t| matches(t, vault)));
        assert!(matches("GET", "^%u+$") && !matches("get", "^%u+$") && !matches("A B", "^%u+$"));
        assert!(matches("hOsT", "^[Hh][Oo][Ss][Tt]$"));
        assert!(matches("*.a.test", "^[^*]*%*?[^*]*$") && !matches("*.a.*", "^[^*]*%*?[^*]*$"));
        assert!(matches("*.a", "^%*%.") && matches("a.*", "%.%*$") && !matches("a*", "%.%*$"));
        assert!(matches("3.10.0-dev", "^%d+[%.%d]*%-?.*$"));
    }

    #[test]
    fn items_and_repetitions() {
        assert!(matches("xaab", "a-b") && matches("b", "a*b") && !matches("b", "a+b"));
        assert!(matches("f(a(b)c)", "%b()$") && !matches("f(a(b c", "%b()"));
        assert!(matches("THE (quick) fox", "%f[%a]%a+%f[%A]"));
        assert!(matches("a]b", "[]]") && matches("a-b", "[a%-]b") && matches("x", "[^%d]"));
        assert!(matches("a%b", "%%") && !matches("ab", "%%") && matches("ab", "(a)(b)"));
    }

    #[test]
    fn hostile_values_end() {
        let text = "a".repeat(5_000);
        assert!(!matches(&text, "a*a*a*a*b"));
        assert!(!matches("a", "[a") && !matches("a", "%"));
    }

    #[test]
    fn regular_expressions_match_the_same() {
        let patterns = [
            ("^%u+$", ["GET", "get"]),
            ("^[^%s@]+@[^%s@]+$", ["a@b", "a b@c"]),
            ("^[^*]*%*?[^*]*$", ["*.a", "*.a.*"]),
            ("^[%a_-][%a%d_-]*$", ["a-1", "1a"]),
            ("%.%.", ["a..b", "a.b"]),
            ("^[Hh][Oo]%-st$", ["Ho-st", "Host"]),
            ("^.*[^:]$", ["a:b", "a:"]),
        ];
        for (lua, [fits, differs]) in patterns {
            let regex = regex::Regex::new(&to_regex(lua).unwrap()).unwrap();
            for text in [fits, differs] {
                assert_eq!(regex.is_match(text), matches(text, lua), "{lua} {text}");
            }
        }
        assert_eq!(to_regex("%bxy"), None);
    }
}
