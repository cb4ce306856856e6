//! `add_header`: lines added to responses.

use crate::access_log::{Format, Record};
use wire::Fields;

/// Lines that are added. Those without variables are put together at the start.
#[derive(Clone, Debug, Default)]
pub struct AddHeaders {
    /// For all responses, and for those with one of [`STATUSES`].
    always: Fields,
    usual: Fields,
    /// With variables.
    variable: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    name: String,
    value: std::sync::Arc<Format>,
    always: bool,
}

/// The responses that lines are added to which are not to be added always.
const STATUSES: [u16; 10] = [200, 201, 204, 206, 301, 302, 303, 304, 307, 308];

impl AddHeaders {
    /// Adds `add_header name value [always]`.
    pub fn add(&mut self, words: &[String]) -> Result<(), String> {
        let (name, value, always) = match words {
            [name, value] => (name, value, false),
            [name, value, always] if always == "always" => (name, value, true),
            [_, _, other] => return Err(format!("invalid parameter \"{other}\"")),
            _ => return Err("invalid number of arguments".to_owned()),
        };
        if !Fields::is_valid_name(name.as_bytes()) {
            return Err(format!("invalid name \"{name}\""));
        }
        let value = Format::value(value)?;
        match value.constant() {
            None => {
                self.variable.push(Line { name: name.clone(), value: std::sync::Arc::new(value), always });
            }
            // As nginx: a line without value is none.
            Some(b"") => {}
            Some(text) if !Fields::is_valid_value(text) => {
                return Err(format!("the value of \"{name}\" has a control character"));
            }
            Some(text) => {
                self.usual.append(name, text);
                if always {
                    self.always.append(name, text);
                }
            }
        }
        Ok(())
    }

    /// Whether there is nothing to add.
    pub fn is_empty(&self) -> bool {
        self.usual.is_empty() && self.variable.is_empty()
    }

    /// Whether there are lines with variables, which [`AddHeaders::render`] makes.
    pub fn has_variables(&self) -> bool {
        !self.variable.is_empty()
    }

    /// Whether a value has what clients offer in TLS.
    pub fn tells_offers(&self) -> bool {
        self.variable.iter().any(|line| line.value.tells_offers())
    }

    /// Whether a value has the content of requests.
    pub fn needs_content(&self) -> bool {
        self.variable.iter().any(|line| line.value.needs_content())
    }

    /// Adds the lines without variables to a response.
    pub fn apply(&self, fields: &mut Fields, status: u16) {
        // Those that are always added are among them.
        if self.usual.is_empty() {
            return;
        }
        fields.append_all(if STATUSES.contains(&status) { &self.usual } else { &self.always });
    }

    /// The lines with variables of a response.
    pub fn render(&self, record: &Record<'_>) -> Fields {
        let (mut lines, mut value) = (Fields::new(), Vec::new());
        let usual = STATUSES.contains(&record.status);
        for line in self.variable.iter().filter(|line| line.always || usual) {
            value.clear();
            line.value.write_value(record, &mut value);
            // Variables hold what clients and services sent: nothing of it may begin a line of its own.
            if !value.is_empty() && Fields::is_valid_value(&value) {
                lines.append(&line.name, &value);
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::record;
    use super::*;

    fn headers(lines: &[&[&str]]) -> AddHeaders {
        let mut headers = AddHeaders::default();
        for line in lines {
            headers.add(&line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).unwrap();
        }
        headers
    }

    fn names(fields: &Fields) -> Vec<&str> {
        fields.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn constant_lines() {
        let headers = headers(&[&["X-A", "1"], &["X-B", "2", "always"], &["X-Empty", ""], &["X-A", "3"]]);
        assert!(!headers.has_variables());
        for (status, expected) in
            [(200, &["X-A", "X-B", "X-A"][..]), (308, &["X-A", "X-B", "X-A"]), (404, &["X-B"]), (202, &["X-B"])]
        {
            let mut fields = Fields::new();
            headers.apply(&mut fields, status);
            assert_eq!(names(&fields), expected, "{status}");
        }
    }

    #[test]
    fn lines_with_variables() {
        let headers = headers(&[&["X-A", "$status-$arg_a"], &["X-B", "$arg_b", "always"], &["X-C", "$uri"]]);
        let with = |target: &str, status| record(target, status, |record| headers.render(record));
        let fields = with("/?a=1&b=2", 200);
        assert_eq!(names(&fields), ["X-A", "X-B", "X-C"]);
        assert_eq!(fields.get_str("x-a"), Some("200-1"));
        assert_eq!(fields.get_str("x-b"), Some("2"));
        assert_eq!(names(&with("/?a=1&b=2", 404)), ["X-B"]);
        // `$uri` is decoded.
        assert_eq!(names(&with("/%0d%0aX-Evil:1", 200)), ["X-A"]);
    }

    #[test]
    fn mistakes() {
        for words in [&["X-A"][..], &["X-A", "1", "never"], &["X A", "1"], &["X-A", "a\nb"], &["X-A", "$nope"]] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(AddHeaders::default().add(&words).is_err(), "{words:?}");
        }
    }
}
