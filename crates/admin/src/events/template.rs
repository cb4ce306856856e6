//! Texts with places for what an event has: `{{ entity.name }}`, escaped as where it goes wants it, and
//! `{* entity.name *}` as it is. There is no code in them.

use serde_json::Value;

/// What becomes of the text in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As lua-resty-template does, from which the notation is.
    Html,
    /// For a part of a URL; no place is left as it is then.
    Url,
}

/// A piece of a template: text, or a place with the path of what it stands for.
enum Piece<'t> {
    Text(&'t str),
    Place { path: &'t str, raw: bool },
}

/// Why a text is no template.
pub fn check(text: &str) -> Result<(), String> {
    pieces(text).map(drop)
}

/// The text, with what `data` has in its places; nothing where it has nothing.
pub fn render(text: &str, data: &Value, escape: Escape) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text)? {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Place { path, raw } => {
                let value = path.split('.').try_fold(data, |value, name| value.get(name));
                let text = match value {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                match (escape, raw) {
                    (Escape::Html, true) => out.push_str(&text),
                    (Escape::Html, false) => escape_html(&text, &mut out),
                    (Escape::Url, _) => out.push_str(&crate::page::escape(&text)),
                }
            }
        }
    }
    Ok(out)
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        let (raw, end) = match from.as_bytes().get(1) {
            Some(b'{') => (false, "}}"),
            Some(b'*') => (true, "*}"),
            Some(b'%' | b'(' | b'[') => {
                return Err("only {{ name }} and {* name *} are known in templates, no code".to_owned());
            }
            _ => {
                pieces.push(Piece::Text(&rest[..=start]));
                rest = &from[1..];
                continue;
            }
        };
        let (path, after) = from[2..].split_once(end).ok_or_else(|| format!("a place has no end: {end} is missing"))?;
        let path = path.trim();
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if !path.split('.').all(is_name) {
            return Err("a place must name a field, such as entity.name".to_owned());
        }
        pieces.push(Piece::Text(before));
        pieces.push(Piece::Place { path, raw });
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

fn escape_html(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '/' => out.push_str("&#47;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_filled() {
        let data = json!({ "entity": { "name": "a<b", "port": 80, "path": null }, "operation": "create" });
        let html = |text| render(text, &data, Escape::Html).unwrap();
        assert_eq!(html("{{ entity.name }} {{operation}}d"), "a&lt;b created");
        assert_eq!(html("{* entity.name *}:{{ entity.port }}{{ entity.path }}{{ none.such }}"), "a<b:80");
        assert_eq!(html("{ \"json\": 1 }"), "{ \"json\": 1 }");
        assert_eq!(html("{"), "{");
        assert_eq!(render("/{{ entity.name }}/{* entity.name *}", &data, Escape::Url).unwrap(), "/a%3Cb/a%3Cb");
    }

    #[test]
    fn there_is_no_code_in_them() {
        for text in ["{% os.exit() %}", "{{ entity.name", "{{ f() }}", "{{ }}", "{(file)}", "{[file]}"] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
