//! `kconfig.js`: what the pages have to know before they can ask the Admin API, in the form that Kong gives it.

/// A script that sets `window.K_CONFIG`.
pub fn script(values: &[(String, String)]) -> String {
    let lines: Vec<String> = values.iter().map(|(name, value)| format!("  '{name}': '{}'", escape(value))).collect();
    format!("window.K_CONFIG = {{\n{}\n}}\n", lines.join(",\n"))
}

/// A text within quotes: nothing in a setting ends it, or the script.
fn escape(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " :/._-?=,;[]{}\"@+%~!*()|#".contains(c);
    text.chars().fold(String::new(), |mut out, c| {
        if plain(c) {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_within_their_quotes() {
        let values = [("A".to_owned(), "http://a.test:8001".to_owned()), ("B".to_owned(), "';</script>\n".to_owned())];
        let expected = "window.K_CONFIG = {\n  'A': 'http://a.test:8001',\n  \
                        'B': '\\u0027;\\u003c/script\\u003e\\u000a'\n}\n";
        assert_eq!(script(&values), expected);
    }
}
