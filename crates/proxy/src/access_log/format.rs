//! Formats: nginx's `log_format` read into pieces, once.

use super::entry::Record;
use super::escape::Escape;
use super::variable::Variable;
use wire::Fields;

/// What a line consists of.
#[derive(Debug)]
pub struct Format {
    pieces: Vec<Piece>,
    escape: Escape,
    /// Names of request lines that must be kept as the client sent them.
    kept: Vec<String>,
    unknown: Vec<String>,
}

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Variable(Variable),
}

const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;
const BASIC: &str = "$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time";

impl Format {
    /// A format that is there without being defined: nginx's `combined`, Kong's `kong_log_format` and `basic`.
    pub fn known(name: &str) -> Option<Format> {
        let text = match name {
            "combined" => COMBINED.to_owned(),
            "kong_log_format" => format!("{COMBINED} kong_request_id: \"$kong_request_id\""),
            "basic" => BASIC.to_owned(),
            _ => return None,
        };
        Format::compile(&text, Escape::Default).ok()
    }

    /// Reads what follows `log_format` in nginx's configuration: `name [escape=default|json|none] 'text' …`. After a
    /// `;` another `log_format` may follow.
    pub fn parse(text: &str) -> Result<Vec<(String, Format)>, String> {
        let mut formats = Vec::new();
        for (index, mut words) in directives(text)?.into_iter().enumerate() {
            if index > 0 && (words.is_empty() || words.remove(0) != "log_format") {
                return Err("only 'log_format' can follow".to_owned());
            }
            let mut words = words.into_iter().peekable();
            let name = words.next().ok_or("it has no name")?;
            let escape = match words.next_if(|word| word.starts_with("escape=")) {
                Some(word) => {
                    Escape::parse(&word["escape=".len()..]).ok_or_else(|| format!("unknown parameter '{word}'"))?
                }
                None => Escape::Default,
            };
            let text = words.collect::<String>();
            if text.is_empty() {
                return Err(format!("'{name}' is empty"));
            }
            formats.push((name, Format::compile(&text, escape)?));
        }
        Ok(formats)
    }

    /// Names of variables that mean nothing here; `-` stands for each.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// The lines of a request that the log needs as they are now; `None` when it needs none.
    pub fn keep(&self, request: &Fields) -> Option<Fields> {
        if self.kept.is_empty() {
            return None;
        }
        let mut kept = Fields::new();
        for name in &self.kept {
            request.get_all(name).for_each(|value| kept.append(name, value));
        }
        Some(kept)
    }

    /// Writes the line of a request.
    pub fn write(&self, entry: &Record<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Variable(variable) => entry.write(variable, self.escape, out),
            }
        }
        out.push(b'\n');
    }

    fn compile(text: &str, escape: Escape) -> Result<Format, String> {
        let mut format = Format { pieces: Vec::new(), escape, kept: Vec::new(), unknown: Vec::new() };
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            format.push_text(&rest[..at]);
            let after = &rest[at + 1..];
            let (name, next) = match after.strip_prefix('{') {
                Some(inner) => inner.split_once('}').ok_or("a '${' without '}'")?,
                None => {
                    after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len()))
                }
            };
            if name.is_empty() {
                return Err("a '$' without a name".to_owned());
            }
            format.push_variable(name);
            rest = next;
        }
        format.push_text(rest);
        Ok(format)
    }

    fn push_variable(&mut self, name: &str) {
        let variable = match Variable::parse(&name.to_ascii_lowercase()) {
            Some(Variable::Hostname) => return self.push_text(&sdk::NodeInfo::default().hostname),
            Some(variable) => variable,
            None => {
                self.unknown.push(name.to_owned());
                return self.push_text("-");
            }
        };
        if let Some(name) = variable.rewritten().filter(|name| !self.kept.iter().any(|k| k == name)) {
            self.kept.push(name.to_owned());
        }
        self.pieces.push(Piece::Variable(variable));
    }

    fn push_text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(before)) => before.extend_from_slice(text.as_bytes()),
            _ if text.is_empty() => {}
            _ => self.pieces.push(Piece::Text(text.as_bytes().to_vec())),
        }
    }
}

/// The words of each directive, with quotes and backslashes taken away as nginx does.
fn directives(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut directives = vec![Vec::new()];
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        let quote = match first {
            ' ' | '\t' | '\r' | '\n' => continue,
            ';' => {
                directives.push(Vec::new());
                continue;
            }
            '\'' | '"' => Some(first),
            _ => None,
        };
        let mut word = String::new();
        let mut next = if quote.is_some() { characters.next() } else { Some(first) };
        loop {
            match (next, quote) {
                (None, Some(quote)) => return Err(format!("a {quote} is not closed")),
                (None, None) => break,
                (Some(c), Some(quote)) if c == quote => break,
                (Some('\\'), _) => match characters.next() {
                    Some('t') => word.push('\t'),
                    Some('r') => word.push('\r'),
                    Some('n') => word.push('\n'),
                    Some(c @ ('"' | '\'' | '\\' | ' ' | ';')) => word.push(c),
                    Some(c) => word.extend(['\\', c]),
                    None => word.push('\\'),
                },
                (Some(c), _) => word.push(c),
            }
            if quote.is_none() && characters.peek().is_none_or(|c| c.is_ascii_whitespace() || *c == ';') {
                break;
            }
            next = characters.next();
        }
        if let Some(words) = directives.last_mut() {
            words.push(word);
        }
    }
    if directives.len() > 1 {
        directives.retain(|words| !words.is_empty());
    }
    Ok(directives)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: &Format) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => String::from_utf8(text.clone()).unwrap(),
            Piece::Variable(variable) => format!("<{variable:?}>"),
        };
        format.pieces.iter().map(piece).collect()
    }

    #[test]
    fn definitions() {
        let formats = Format::parse(
            r#"main escape=json '{"a":"$status",' '"b":"${request_id}x"}'; log_format two "$nope\t$http_host";"#,
        )
        .unwrap();
        let names: Vec<&str> = formats.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["main", "two"]);
        assert_eq!(
            (text(&formats[0].1).as_str(), formats[0].1.escape),
            (r#"{"a":"<Status>","b":"<RequestId>x"}"#, Escape::Json)
        );
        assert_eq!(text(&formats[1].1), "-\t<RequestField(\"host\")>");
        assert_eq!((formats[1].1.unknown(), &formats[1].1.kept), (&["nope".to_owned()][..], &vec!["host".to_owned()]));
        assert_eq!(text(&Format::parse("plain $status$status").unwrap()[0].1), "<Status><Status>");
    }

    #[test]
    fn mistakes() {
        for wrong in [
            "",
            "name",
            "name ''",
            "name 'open",
            "name escape=xml $status",
            "name '$'",
            "name '${status'",
            "a $status; access_log off",
        ] {
            assert!(Format::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Format::known("main").is_none());
        assert!(
            ["combined", "basic", "kong_log_format"]
                .iter()
                .all(|name| Format::known(name).unwrap().unknown().is_empty())
        );
    }
}
