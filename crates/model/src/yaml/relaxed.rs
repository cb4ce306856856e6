//! What libyaml takes, by which Kong reads YAML, and YAML itself does not: lines of quoted texts and of flow
//! collections that are indented less than what they are in, and tabs where there should be blanks.

/// How much longer than the text the other one may be, and what is never too much.
const GROWTH: usize = 8;
const USUAL: usize = 64 << 10;

/// The text with such lines indented further, and such tabs as blanks, which changes nothing of what it means; `None`:
/// there are none. Lines keep their numbers.
pub fn relax(text: &str) -> Option<String> {
    let mut scanner = Scanner::default();
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        scanner.line(line, &mut out);
        // What nobody would indent so far would take far more room than it does.
        if out.len() > GROWTH * text.len() + USUAL {
            return None;
        }
    }
    (out != text).then_some(out)
}

/// Where a text is between its lines.
#[derive(Default)]
struct Scanner {
    /// The mark that ends the quoted text that has begun.
    quote: Option<u8>,
    /// Flow collections that have begun.
    depth: usize,
    /// How far their lines are indented at least.
    margin: usize,
    /// The text of a block has begun: all lines that are indented further than that are its own.
    block: Option<Option<usize>>,
}

impl Scanner {
    fn line(&mut self, line: &str, out: &mut String) {
        let content = line.trim_end_matches(['\n', '\r']);
        let rest = content.trim_start_matches([' ', '\t']);
        let spaces = content.len() - content.trim_start_matches(' ').len();
        if let Some(outer) = self.block {
            if rest.is_empty() || outer.is_none_or(|outer| spaces > outer) {
                return out.push_str(line);
            }
            self.block = None;
        }
        let is_inside = self.quote.is_some() || self.depth > 0;
        if is_inside && rest.is_empty() {
            return out.push_str(&line[content.len()..]);
        }
        if rest.is_empty() || (is_inside && is_marker(content)) {
            return out.push_str(line);
        }
        let mut indent = content.len() - rest.len();
        if is_inside && (indent < self.margin || spaces < indent) {
            indent = self.margin;
            out.extend(std::iter::repeat_n(' ', indent));
        } else {
            out.push_str(&content[..indent]);
        }
        self.scan(rest, indent, out);
        out.push_str(&line[content.len()..]);
    }

    /// Looks for what begins and ends in a line from its indentation on.
    fn scan(&mut self, line: &str, indent: usize, out: &mut String) {
        let octets = line.as_bytes();
        let is_blank = |at: usize| octets.get(at).is_none_or(|octet| matches!(octet, b' ' | b'\t'));
        // Whether something may begin here, and where the entry began whose value it is.
        let (mut begins, mut key, mut outer) = (true, None, indent.checked_sub(1));
        let (mut at, mut copied) = (0, 0);
        while let Some(&octet) = octets.get(at) {
            if let Some(quote) = self.quote {
                match octet {
                    b'\\' if quote == b'"' => at += 1,
                    b'\'' if quote == octet && octets.get(at + 1) == Some(&octet) => at += 1,
                    _ if octet == quote => self.quote = None,
                    _ => {}
                }
                at += 1;
                continue;
            }
            match octet {
                b' ' | b'\t' => {}
                b'#' if at == 0 || is_blank(at - 1) => break,
                b'"' | b'\'' if begins => {
                    self.quote = Some(octet);
                    if self.depth == 0 {
                        self.margin = indent + at + 1;
                        key.get_or_insert(at);
                    }
                    begins = false;
                }
                b'[' | b'{' if begins || self.depth > 0 => {
                    if self.depth == 0 {
                        self.margin = indent + at + 1;
                        key.get_or_insert(at);
                    }
                    self.depth += 1;
                    begins = true;
                }
                b']' | b'}' if self.depth > 0 => {
                    self.depth -= 1;
                    begins = false;
                }
                b',' if self.depth > 0 => begins = true,
                b':' if is_blank(at + 1) || self.depth > 0 => {
                    begins = true;
                    outer = key.take().map_or(outer, |key| Some(indent + key));
                    let tabs = octets[at + 1..].iter().take_while(|octet| **octet == b'\t').count();
                    if tabs > 0 {
                        out.push_str(&line[copied..=at]);
                        out.extend(std::iter::repeat_n(' ', tabs));
                        at += tabs;
                        copied = at + 1;
                    }
                }
                b'-' | b'?' if begins && self.depth == 0 && is_blank(at + 1) => outer = Some(indent + at),
                b'|' | b'>' if begins && self.depth == 0 && is_header(&line[at + 1..]) => {
                    self.block = Some(outer);
                    break;
                }
                // Tags, anchors and aliases stand before what begins.
                b'&' | b'!' | b'*' if begins => {
                    let ends = |octet: u8| self.depth > 0 && matches!(octet, b',' | b'[' | b']' | b'{' | b'}');
                    while !is_blank(at + 1) && !ends(octets[at + 1]) {
                        at += 1;
                    }
                }
                _ => {
                    if self.depth == 0 {
                        key.get_or_insert(at);
                    }
                    begins = false;
                }
            }
            at += 1;
        }
        out.push_str(&line[copied..]);
    }
}

/// Whether a line ends or begins a document, wherever it stands.
fn is_marker(line: &str) -> bool {
    ["---", "..."].iter().any(|marker| line.strip_prefix(marker).is_some_and(|rest| !rest.starts_with(|c| c > ' ')))
}

/// Whether that may follow the mark by which the text of a block begins.
fn is_header(rest: &str) -> bool {
    let rest = rest.trim_start_matches(|c: char| matches!(c, '+' | '-' | '0'..='9'));
    let after = rest.trim_start_matches([' ', '\t']);
    after.is_empty() || (after.starts_with('#') && after.len() < rest.len())
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::relax;
    use serde_json::json;

    #[test]
    fn quoted_texts_and_flow_collections_may_begin_anywhere_in_a_line() {
        for (text, expected) in [
            ("- username: \"a\n  b\"\n", json!([{ "username": "a b" }])),
            ("- username: 'a\nb\n\n it''s'\n  n: 1\n", json!([{ "username": "a b\nit's", "n": 1 }])),
            (
                "cs:\n- cert: \"-----BEGIN\n\nMI=\n\n-----END\"\n  key: \"x\\\"\ny\"\n",
                json!({ "cs": [{ "cert": "-----BEGIN\nMI=\n-----END", "key": "x\" y" }] }),
            ),
            ("- username: a\n  tags: [x,\n    y\n]\n", json!([{ "username": "a", "tags": ["x", "y"] }])),
            ("- tags: [x, # it's\n  y]\n  n: 1\n", json!([{ "tags": ["x", "y"], "n": 1 }])),
            (
                "services:\n- {\nname: s,\nhost: h\n}\n- {name: t}\n",
                json!({ "services": [{ "name": "s", "host": "h" }, { "name": "t" }] }),
            ),
            ("cs: [\n{\n \"username\":\t\"a\"\n}\n]\n", json!({ "cs": [{ "username": "a" }] })),
            ("tags: [\n\tx ]\n", json!({ "tags": ["x"] })),
            ("host:\ta.test\nb: {a:\tb}\n", json!({ "host": "a.test", "b": { "a": "b" } })),
            ("a: \"x\n\ty\"\n", json!({ "a": "x y" })),
            ("- a: \"x\ny\n\t\nz\"\n", json!([{ "a": "x y\nz" }])),
            ("- a: [&i 1, *i]\n- b: \"x\ny\"\n", json!([{ "a": [1, 1] }, { "b": "x y" }])),
        ] {
            assert!(relax(text).is_some(), "{text}");
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn texts_of_blocks_and_plain_ones_are_left_alone() {
        let code =
            "a:\n- |\n  local t = {\n  [\n\n   'x\n- >-\n \"y\n  [\nb: it's [\nc: &x 'd'\ne: |+2\n  {\nf: 'g\nh'\n";
        let relaxed = relax(code).expect("the last line is moved");
        assert_eq!(relaxed.replace("\n    h'", "\nh'"), code);
        for text in ["a: b\n", "a: |\n  x:\ty\n  [\n", "# [ '\na: 1\n", "- 'x'\n- [y,\n   z]\n"] {
            assert_eq!(relax(text), None, "{text}");
        }
    }

    #[test]
    fn little_does_not_become_much() {
        let far = format!("{}a: [\n{}]\n", " ".repeat(100_000), "x,\n".repeat(100_000));
        assert_eq!(relax(&far), None);
    }

    #[test]
    fn what_is_wrong_stays_wrong_where_it_is() {
        for (text, place) in
            [("a: \"x\n---\nb\"\n", ""), ("a: 1\nb: [1\nc: 2\n", "3:"), ("a:\n\tx: 1", "2:"), ("a: 'x\nb: 1\n", "")]
        {
            assert!(read(text).is_err_and(|why| why.starts_with(place)), "{text}");
        }
    }
}
