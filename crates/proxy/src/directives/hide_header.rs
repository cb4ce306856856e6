//! `proxy_hide_header` and `proxy_pass_header`: lines of services' responses that clients do not get.

use wire::Fields;

/// Names of lines that are taken out of a service's response.
#[derive(Clone, Debug, Default)]
pub struct HiddenFields {
    names: Vec<String>,
}

impl HiddenFields {
    /// Hides these names but those that are passed.
    pub fn new(hidden: &[&str], passed: &[&str]) -> HiddenFields {
        let is_passed = |name: &str| passed.iter().any(|passed| passed.eq_ignore_ascii_case(name));
        HiddenFields { names: hidden.iter().filter(|name| !is_passed(name)).map(|name| (*name).to_owned()).collect() }
    }

    /// Takes them out of the lines of a service's response.
    pub fn apply(&self, fields: &mut Fields) {
        for name in &self.names {
            fields.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_lines() {
        let mut fields: Fields =
            [("X-Powered-By", "x"), ("Date", "d"), ("x-powered-by", "y"), ("X-B", "b")].into_iter().collect();
        HiddenFields::new(&["x-powered-by", "X-B"], &["x-b"]).apply(&mut fields);
        assert_eq!(fields.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["Date", "X-B"]);
    }
}
