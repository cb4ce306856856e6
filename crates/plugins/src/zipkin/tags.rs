//! Tags that configurations and requests bring along.

use serde_json::Value;

/// The tags in a line such as `a=1; b=2`. What is none is handed back apart.
pub fn parse<'a>(line: &'a str, into: &mut Vec<(String, String)>, invalid: &mut Vec<&'a str>) {
    for item in line.split(';').filter(|item| !item.is_empty()) {
        match item.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
            Some((name, value)) if !name.is_empty() && !value.is_empty() && !name.contains(char::is_whitespace) => {
                into.push((name.to_owned(), value.to_owned()));
            }
            _ => invalid.push(item),
        }
    }
}

/// The check that the schema names: no name twice.
pub fn check_static(tags: &Value) -> Result<(), String> {
    let names = tags.as_array().into_iter().flatten().filter_map(|tag| tag.get("name")?.as_str());
    let mut seen = Vec::new();
    for name in names {
        if seen.contains(&name) {
            return Err(format!("repeated tags are not allowed: {name}"));
        }
        seen.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_tags() {
        let (mut tags, mut invalid) = (Vec::new(), Vec::new());
        parse("a=1; b = two words ;x;=y;z=", &mut tags, &mut invalid);
        assert_eq!(tags, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "two words".to_owned())]);
        assert_eq!(invalid, ["x", "=y", "z="]);
    }
}
