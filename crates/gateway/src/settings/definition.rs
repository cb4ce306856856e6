//! What a setting is: its name, type, default and meaning.

/// One key of `kong.conf`.
#[derive(Debug)]
pub struct Setting {
    /// As in the file; in the environment it is upper case with `KONG_` in front.
    pub name: &'static str,
    pub kind: ValueType,
    /// As it would be written in the file; empty: not set.
    pub default: &'static str,
    /// One or two sentences of Markdown for the documentation.
    pub doc: &'static str,
    /// Never shown.
    pub secret: bool,
    /// Accepted so that Kong's files can be used, without effect in this version.
    pub inert: bool,
    /// A new value, and what the files that it names hold by then, is taken by a reload. Also true of the keys in
    /// `implies`.
    pub renewed: bool,
    /// An old name; the keys in `implies` have taken its place.
    pub deprecated: bool,
    /// A value that Kong will not have any more.
    pub deprecated_value: Option<&'static str>,
    /// Keys that take this value unless they are given themselves.
    pub implies: &'static [&'static str],
}

/// The type of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    Text,
    /// `on` or `off` (`true`, `false`).
    Boolean,
    /// `on` or `off`, shown as such.
    NginxBoolean,
    Number,
    /// Separated by commas.
    List,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A group of settings in the documentation.
pub struct Section {
    pub title: &'static str,
    pub about: &'static str,
    pub settings: &'static [Setting],
}

impl Setting {
    const fn new(name: &'static str, kind: ValueType, default: &'static str, doc: &'static str) -> Setting {
        Setting {
            name,
            kind,
            default,
            doc,
            secret: false,
            inert: false,
            renewed: false,
            deprecated: false,
            deprecated_value: None,
            implies: &[],
        }
    }

    pub(super) const fn secret(mut self) -> Setting {
        self.secret = true;
        self
    }

    pub(super) const fn inert(mut self) -> Setting {
        self.inert = true;
        self
    }

    pub(super) const fn renewed(mut self) -> Setting {
        self.renewed = true;
        self
    }

    pub(super) const fn implies(mut self, keys: &'static [&'static str]) -> Setting {
        self.implies = keys;
        self
    }

    pub(super) const fn deprecated_value(mut self, value: &'static str) -> Setting {
        self.deprecated_value = Some(value);
        self
    }

    pub(super) const fn deprecated(mut self, by: &'static [&'static str]) -> Setting {
        self.deprecated = true;
        self.implies = by;
        self
    }
}

impl ValueType {
    /// What the type is called in the documentation and in messages.
    pub fn word(self) -> &'static str {
        match self {
            ValueType::Text => "string",
            ValueType::Boolean | ValueType::NginxBoolean => "boolean",
            ValueType::Number => "number",
            ValueType::List => "array",
            ValueType::Choice(_) => "choice",
        }
    }
}

pub(super) const fn text(name: &'static str, default: &'static str, doc: &'static str) -> Setting {
    Setting::new(name, ValueType::Text, default, doc)
}

pub(super) const fn boolean(name: &'static str, default: &'static str, doc: &'static str) -> Setting {
    Setting::new(name, ValueType::Boolean, default, doc)
}

pub(super) const fn nginx_boolean(name: &'static str, default: &'static str, doc: &'static str) -> Setting {
    Setting::new(name, ValueType::NginxBoolean, default, doc)
}

pub(super) const fn number(name: &'static str, default: &'static str, doc: &'static str) -> Setting {
    Setting::new(name, ValueType::Number, default, doc)
}

pub(super) const fn list(name: &'static str, default: &'static str, doc: &'static str) -> Setting {
    Setting::new(name, ValueType::List, default, doc)
}

pub(super) const fn choice(
    name: &'static str,
    default: &'static str,
    words: &'static [&'static str],
    doc: &'static str,
) -> Setting {
    Setting::new(name, ValueType::Choice(words), default, doc)
}
