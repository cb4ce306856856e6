//! What is done to header lines, arguments and members, as configurations list it.

use super::{is_header_name, is_header_value};
use crate::json_edits::JsonType;
use crate::templates::{Scope, Template};
use sdk::{Args, Config, Scripts};
use std::borrow::Cow;

/// What is done to named things, in this order.
pub struct Edits {
    remove: Vec<String>,
    rename: Vec<Entry>,
    replace: Vec<Entry>,
    add: Vec<Entry>,
    append: Vec<Entry>,
}

/// A name and what it gets.
struct Entry {
    name: String,
    value: Template,
    /// What the value is in JSON.
    kind: JsonType,
}

/// The same for one request.
pub struct Rendered<'n> {
    pub remove: &'n [String],
    pub rename: Vec<Named<'n>>,
    pub replace: Vec<Named<'n>>,
    pub add: Vec<Named<'n>>,
    pub append: Vec<Named<'n>>,
}

/// A name and what it gets then.
pub struct Named<'n> {
    pub name: &'n str,
    pub value: Cow<'n, [u8]>,
    pub kind: JsonType,
}

impl Edits {
    /// `scripts` runs what is code in the values.
    pub fn parse(config: &Config<'_>, what: &str, scripts: Option<&dyn Scripts>) -> Result<Edits, String> {
        let entries = |section: &str| -> Result<Vec<Entry>, String> {
            let section_config = config.section(section);
            let types = section_config.texts("json_types");
            let entry = |(at, text): (usize, &String)| {
                let (name, value) = split(text);
                let template = || -> Result<Template, String> {
                    if what == "headers" {
                        is_header_name(name)?;
                        is_header_value(value)?;
                    }
                    Template::parse(value, scripts)
                };
                let kind = types.get(at).map_or(JsonType::Text, |kind| JsonType::parse(kind));
                // An entry without a value does nothing.
                (!value.is_empty()).then(|| {
                    let value = template().map_err(|e| format!("config.{section}.{what}: {e}"))?;
                    Ok(Entry { name: name.to_owned(), value, kind })
                })
            };
            section_config.texts(what).iter().enumerate().filter_map(entry).collect()
        };
        Ok(Edits {
            remove: config.section("remove").texts(what).iter().map(|text| split(text).0.to_owned()).collect(),
            rename: entries("rename")?,
            replace: entries("replace")?,
            add: entries("add")?,
            append: entries("append")?,
        })
    }

    /// Whether nothing is done at all.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.entries().all(<[Entry]>::is_empty)
    }

    /// Whether a value may look at the content of requests.
    pub fn reads_content(&self) -> bool {
        self.entries().flatten().any(|entry| entry.value.reads_content())
    }

    /// What is done for a request. Values that are the same for all are not copied.
    pub fn render(&self, scope: &mut Scope<'_>) -> Result<Rendered<'_>, String> {
        Ok(Rendered {
            remove: &self.remove,
            rename: render(&self.rename, scope)?,
            replace: render(&self.replace, scope)?,
            add: render(&self.add, scope)?,
            append: render(&self.append, scope)?,
        })
    }

    fn entries(&self) -> impl Iterator<Item = &[Entry]> {
        [&*self.rename, &self.replace, &self.add, &self.append].into_iter()
    }
}

impl Rendered<'_> {
    /// Whether nothing is done at all.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.replace.is_empty()
            && self.add.is_empty()
            && self.append.is_empty()
    }

    pub fn apply(&self, args: &mut Args) {
        for name in self.remove {
            args.remove(name);
        }
        for Named { name, value, .. } in &self.rename {
            args.rename(name, value);
        }
        for Named { name, value, .. } in &self.replace {
            if args.contains(name) {
                args.set(name, value);
            }
        }
        for Named { name, value, .. } in &self.add {
            if !args.contains(name) {
                args.append(name, Some(&**value));
            }
        }
        for Named { name, value, .. } in &self.append {
            args.append(name, Some(&**value));
        }
    }
}

fn render<'n>(entries: &'n [Entry], scope: &mut Scope<'_>) -> Result<Vec<Named<'n>>, String> {
    let named = |entry: &'n Entry| Ok(Named { name: &entry.name, value: entry.value.render(scope)?, kind: entry.kind });
    entries.iter().map(named).collect()
}

/// Name and value of `name:value`.
pub fn split(entry: &str) -> (&str, &str) {
    let name = entry.split(':').next().unwrap_or_default();
    (name, entry[name.len()..].trim_start_matches(':'))
}
