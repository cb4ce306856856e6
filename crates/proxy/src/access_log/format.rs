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
    absent: Vec<(String, &'static str)>,
}

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Variable(Variable),
}

const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
                        \"$http_referer\" \"$http_user_agent\"";
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

    /// From the words that follow `log_format` in nginx's configuration: `name [escape=default|json|none] text …`.
    pub fn define(words: &[String]) -> Result<(String, Format), String> {
        let (name, words) = words.split_first().ok_or("it has no name")?;
        let (escape, words) = match words.split_first() {
            Some((word, rest)) if word.starts_with("escape=") => {
                let escape = Escape::parse(&word["escape=".len()..]);
                (escape.ok_or_else(|| format!("unknown parameter '{word}'"))?, rest)
            }
            _ => (Escape::Default, words),
        };
        let text = words.concat();
        if text.is_empty() {
            return Err(format!("'{name}' is empty"));
        }
        Ok((name.clone(), Format::compile(&text, escape)?))
    }

    /// A value with variables, as `add_header` has them: nothing is escaped, and what is missing is nothing.
    pub fn value(text: &str) -> Result<Format, String> {
        let format = Format::compile(text, Escape::None)?;
        match format.unknown.first() {
            Some(name) => Err(format!("unknown \"{name}\" variable")),
            None => Ok(format),
        }
    }

    /// The text, when it has no variables.
    pub fn constant(&self) -> Option<&[u8]> {
        match &self.pieces[..] {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it needs the content of requests.
    pub fn needs_content(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Variable(variable) if variable.is_content()))
    }

    /// Whether it has what clients offer in TLS.
    pub fn tells_offers(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Variable(variable) if variable.is_offer()))
    }

    /// Variables that never have a value here, and why.
    pub fn absent(&self) -> &[(String, &'static str)] {
        &self.absent
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
        self.write_value(entry, out);
        out.push(b'\n');
    }

    /// The same without its end.
    pub fn write_value(&self, entry: &Record<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Variable(variable) => entry.write(variable, self.escape, out),
            }
        }
    }

    fn compile(text: &str, escape: Escape) -> Result<Format, String> {
        let mut format =
            Format { pieces: Vec::new(), escape, kept: Vec::new(), unknown: Vec::new(), absent: Vec::new() };
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
        if let Some(why) = variable.absence() {
            self.absent.push((name.to_owned(), why));
        }
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

    fn define(words: &[&str]) -> Result<(String, Format), String> {
        Format::define(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn definitions() {
        let (name, format) =
            define(&["main", "escape=json", r#"{"a":"$status","#, r#""b":"${request_id}x"}"#]).unwrap();
        assert_eq!(name.as_str(), "main");
        assert_eq!(format.escape, Escape::Json);
        assert_eq!(text(&format), r#"{"a":"<Status>","b":"<RequestId>x"}"#);
        let (_, format) = define(&["two", "$nope\t$http_host"]).unwrap();
        assert_eq!(text(&format), "-\t<RequestField(\"host\")>");
        assert_eq!(format.unknown(), &["nope".to_owned()][..]);
        assert_eq!(format.kept, vec!["host".to_owned()]);
        assert_eq!(text(&define(&["plain", "$status$status"]).unwrap().1), "<Status><Status>");
        let (_, format) = define(&["three", "$tcpinfo_rtt $ssl_curves"]).unwrap();
        assert!(format.unknown().is_empty());
        assert!(format.tells_offers());
        assert_eq!(format.absent()[0].0, "tcpinfo_rtt");
    }

    #[test]
    fn values() {
        assert_eq!(Format::value("a b").unwrap().constant(), Some(&b"a b"[..]));
        assert_eq!(Format::value("").unwrap().constant(), Some(&b""[..]));
        assert_eq!(Format::value("a$status").unwrap().constant(), None);
        assert_eq!(Format::value("$nope").unwrap_err(), "unknown \"nope\" variable");
    }

    #[test]
    fn mistakes() {
        for wrong in [
            &[][..],
            &["name"],
            &["name", ""],
            &["name", "escape=xml", "$status"],
            &["name", "$"],
            &["name", "${status"],
        ] {
            assert!(define(wrong).is_err(), "{wrong:?}");
        }
        assert!(Format::known("main").is_none());
        assert!(
            ["combined", "basic", "kong_log_format"]
                .iter()
                .all(|name| Format::known(name).unwrap().unknown().is_empty())
        );
    }
}
