//! References to secrets: `{vault://name/resource/key?option=value#version}`.

use percent_encoding::percent_decode_str;
use sdk::{Args, Record};

/// A reference, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The prefix of a vault of the configuration, or the name of a kind of vault.
    pub vault: String,
    /// What the vault is asked for.
    pub resource: String,
    /// The field of the JSON object that the vault answers.
    pub key: Option<String>,
    /// Options of this look-up, in place of the vault's own.
    pub options: Record,
    pub version: Option<u64>,
}

impl Reference {
    /// Takes a reference apart. The last segment of a path of several is the key, unless a slash follows it.
    pub fn parse(text: &str) -> Result<Reference, String> {
        let wrong = |why: &str| format!("{why} [{}]", shown(text));
        let inside = text.strip_prefix("{vault://").and_then(|rest| rest.strip_suffix('}'));
        let inside = inside.ok_or_else(|| wrong("not a reference"))?;
        let (inside, version) = match inside.split_once('#') {
            Some((rest, version)) => {
                let number = version.parse().map_err(|_| wrong("reference url has invalid version"))?;
                (rest, Some(number))
            }
            None => (inside, None),
        };
        let (vault, rest) = inside.split_once('/').ok_or_else(|| wrong("reference url is missing path"))?;
        if vault.is_empty() {
            return Err(wrong("reference url is missing host"));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if path.is_empty() {
            return Err(wrong("reference url has empty path"));
        }
        let mut segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let with_key = segments.len() > 1 && !path.ends_with('/');
        let key = if with_key { segments.pop() } else { None };
        if segments.is_empty() {
            return Err(wrong("reference url has invalid path"));
        }
        let options = Args::parse(query);
        let options = options.iter().map(|(name, value)| (text_of(&name), text_of(&value.unwrap_or_default()).into()));
        let options = options.collect();
        Ok(Reference { vault: vault.to_owned(), resource: segments.join("/"), key, options, version })
    }
}

/// A reference as logs may show it: without options, which may be secrets.
pub fn shown(reference: &str) -> String {
    match reference.split_once('?') {
        Some((before, _)) => format!("{before}?...}}"),
        None => reference.to_owned(),
    }
}

fn text_of(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let reference = Reference::parse("{vault://my-vault/a/%2Fb/key?prefix=SSL_&ttl=5#2}").unwrap();
        assert_eq!(reference.vault, "my-vault");
        assert_eq!(reference.resource, "a//b");
        assert_eq!(reference.key.as_deref(), Some("key"));
        assert_eq!(reference.options["prefix"], "SSL_");
        assert_eq!(reference.options["ttl"], "5");
        assert_eq!(reference.version, Some(2));
    }

    #[test]
    fn a_key_needs_something_before_it_and_nothing_behind_it() {
        let parse = |text: &str| {
            let reference = Reference::parse(text).unwrap();
            (reference.resource, reference.key)
        };
        assert_eq!(parse("{vault://env/name}"), ("name".to_owned(), None));
        assert_eq!(parse("{vault://env//name/}"), ("name".to_owned(), None));
        assert_eq!(parse("{vault://hcv/a/b/}"), ("a/b".to_owned(), None));
        assert_eq!(parse("{vault://hcv/a/b}"), ("a".to_owned(), Some("b".to_owned())));
    }

    #[test]
    fn what_is_none() {
        for (text, why) in [
            ("env/name", "not a reference"),
            ("{vault://env/name", "not a reference"),
            ("{vault://env}", "reference url is missing path"),
            ("{vault:///name}", "reference url is missing host"),
            ("{vault://env/}", "reference url has empty path"),
            ("{vault://env//}", "reference url has invalid path"),
            ("{vault://env/name#new}", "reference url has invalid version"),
        ] {
            assert_eq!(Reference::parse(text).unwrap_err(), format!("{why} [{text}]"));
        }
        assert_eq!(shown("{vault://hcv/a/b?token=planted#1}"), "{vault://hcv/a/b?...}");
    }
}
