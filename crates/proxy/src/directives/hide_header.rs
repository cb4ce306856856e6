//! `proxy_hide_header` and `proxy_pass_header`: lines of services' responses that clients do not get.

use wire::{Fields, Known};

/// What nginx hides unless it is passed: words of services to a proxy before them. `Date` and `Server` are not among
/// them, which Kong passes.
const USUAL: [Known; 6] = [
    Known::XAccelBuffering,
    Known::XAccelCharset,
    Known::XAccelExpires,
    Known::XAccelLimitRate,
    Known::XAccelRedirect,
    Known::XPad,
];

/// Names of lines that are taken out of a service's response.
#[derive(Clone, Debug)]
pub struct HiddenFields {
    names: Vec<String>,
    usual: Vec<Known>,
}

impl Default for HiddenFields {
    fn default() -> HiddenFields {
        HiddenFields::new(&[], &[])
    }
}

impl HiddenFields {
    /// Hides these names, and those that are hidden anyway, but those that are passed.
    pub fn new(hidden: &[&str], passed: &[&str]) -> HiddenFields {
        let is_passed = |name: &str| passed.iter().any(|passed| passed.eq_ignore_ascii_case(name));
        HiddenFields {
            names: hidden.iter().filter(|name| !is_passed(name)).map(|name| (*name).to_owned()).collect(),
            usual: USUAL.into_iter().filter(|known| !is_passed(known.name())).collect(),
        }
    }

    /// Takes them out of the lines of a service's response.
    pub fn apply(&self, fields: &mut Fields) {
        if fields.may_have(&USUAL) {
            for known in &self.usual {
                fields.remove_known(*known);
            }
        }
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
        let told = [("X-Accel-Redirect", "/a"), ("X-Accel-Charset", "b"), ("x-pad", "c"), ("X-Accel-Limit-Rate", "1")];
        let left = |hidden: HiddenFields| {
            let mut fields: Fields = told.into_iter().collect();
            hidden.apply(&mut fields);
            fields.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        assert!(left(HiddenFields::default()).is_empty());
        assert_eq!(left(HiddenFields::new(&["x-accel-charset"], &["X-Accel-Redirect"])), ["X-Accel-Redirect"]);
    }
}
