//! What every text has in it that a regular expression matches: by that, an index finds the expression.

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, HirKind, Look};

/// So many texts of a path are known.
pub const MOST: usize = 8;

/// What every matching text begins with, and what it has in it beside that.
pub fn of_regex(pattern: &str) -> (Box<[u8]>, Vec<Box<[u8]>>) {
    let Ok(hir) = regex_syntax::parse(pattern) else { return Default::default() };
    // In an unanchored one (`^/a|/b`) a match may start anywhere.
    let is_anchored = hir.properties().look_set_prefix().contains(Look::Start);
    let prefix = match is_anchored {
        true => Extractor::new().extract(&hir).longest_common_prefix().unwrap_or_default().into(),
        false => Box::default(),
    };
    let mut search = Search { is_at_start: is_anchored, texts: Vec::new() };
    search.visit(&hir);
    (prefix, search.texts)
}

/// Whether a text says much about a path: nearly every one has a single octet.
pub fn is_telling(text: &[u8]) -> bool {
    text.len() > 1
}

/// A look for the literals that must be there, but the one at the start.
struct Search {
    is_at_start: bool,
    texts: Vec<Box<[u8]>>,
}

impl Search {
    fn visit(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Literal(literal) => {
                if !self.is_at_start && is_telling(&literal.0) && self.texts.len() < MOST {
                    self.texts.push(literal.0.clone());
                }
                self.is_at_start = false;
            }
            HirKind::Capture(capture) => self.visit(&capture.sub),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.visit(part)),
            HirKind::Repetition(repetition) if repetition.min > 0 => {
                self.visit(&repetition.sub);
                self.is_at_start = false;
            }
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Repetition(_) | HirKind::Class(_) | HirKind::Alternation(_) => self.is_at_start = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_that_every_match_has() {
        for (pattern, prefix, texts) in [
            ("^/api/7/users/[0-9]+$", "/api/7/users/", ""),
            ("^/api/(?<id>[0-9]+)/users/7$", "/api/", "/users/7"),
            ("^/a/[^/]+/b1/[^/]+/c1", "/a/", "/b1/ /c1"),
            ("^/a(/b/c)+/d", "/a/b/c", "/b/c /d"),
            ("^/a(/b/c)*/d7", "/a/", "/d7"),
            ("^/a/(?:x1|x2)/", "/a/x", ""),
            ("^.*/end$", "", "/end"),
            ("/mid/", "", "/mid/"),
            ("^/a|/b", "", ""),
            ("(?i)^/a/[0-9]/bc", "/", ""),
            ("^/é/[0-9]/éé", "/é/", "/éé"),
            ("(", "", ""),
        ] {
            let (found, within) = of_regex(pattern);
            let within: Vec<_> = within.iter().map(|octets| String::from_utf8_lossy(octets)).collect();
            assert_eq!(String::from_utf8_lossy(&found), prefix, "{pattern}");
            assert_eq!(within.join(" "), texts, "{pattern}");
        }
    }
}
