//! Media types (RFC 2045): `type/subtype; parameter=value`.

/// A media type or range, in lower case but for the values of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaType {
    pub kind: String,
    pub subtype: String,
    /// Sorted by name.
    pub parameters: Vec<(String, String)>,
}

impl MediaType {
    /// A media type, or `*` for any; `None` when it is not one.
    pub fn parse(text: &str) -> Option<MediaType> {
        let mut parts = split(text).into_iter();
        let range = parts.next()?.trim();
        let (kind, subtype) = if range == "*" { ("*", "*") } else { range.split_once('/')? };
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut parameters = Vec::new();
        for part in parts {
            let (name, value) = part.trim().split_once('=')?;
            let value = match value.strip_prefix('"') {
                Some(quoted) => quoted.strip_suffix('"')?,
                None => Some(value).filter(|v| is_token(v))?,
            };
            parameters.push((Some(name).filter(|n| is_token(n))?.to_ascii_lowercase(), value.to_owned()));
        }
        parameters.sort();
        Some(MediaType { kind: kind.to_ascii_lowercase(), subtype: subtype.to_ascii_lowercase(), parameters })
    }

    /// Whether `other` is of this type or range, and has the same parameters.
    pub fn matches(&self, other: &MediaType) -> bool {
        let part = |mine: &str, theirs: &str| mine == "*" || mine == theirs;
        part(&self.kind, &other.kind) && part(&self.subtype, &other.subtype) && self.parameters == other.parameters
    }

    /// Whether it is JSON, by itself or by its suffix (`application/problem+json`).
    pub fn is_json(&self) -> bool {
        self.kind == "application" && (self.subtype == "json" || self.subtype.ends_with("+json"))
    }
}

/// Splits at semicolons outside quotes.
fn split(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    })
    .collect()
}

fn is_token(text: &str) -> bool {
    crate::Fields::is_valid_name(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_matches() {
        let parse = |text| MediaType::parse(text).unwrap();
        assert!(
            parse("image/*").matches(&parse("IMAGE/png"))
                && parse("*").matches(&parse("a/b"))
                && parse("*/*").matches(&parse("a/b"))
        );
        assert!(parse("a/b; x=1; y=\"2;3\"").matches(&parse("A/B;y=\"2;3\" ;X=1")));
        assert!(!parse("a/b").matches(&parse("a/b; x=1")) && !parse("a/b; x=1").matches(&parse("a/b; x=2")));
        assert!(
            parse("application/json; charset=utf-8").is_json()
                && parse("application/hal+json").is_json()
                && !parse("text/json").is_json()
        );
        assert!(
            ["", "a", "a/", "a/b/c", "a/b; x", "a/b; x=\"1", "a b/c"]
                .iter()
                .all(|text| MediaType::parse(text).is_none())
        );
    }
}
