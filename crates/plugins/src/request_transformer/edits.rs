//! What is done to header lines, arguments and members, as configurations list it.

use super::template::{Scope, Template};
use super::{is_header_name, is_header_value};
use crate::json_edits::JsonType;
use sdk::{Args, Config, Scripts};

/// What is done to named things, in this order.
pub struct Edits<T> {
    pub remove: Vec<String>,
    pub rename: Vec<Entry<T>>,
    pub replace: Vec<Entry<T>>,
    pub add: Vec<Entry<T>>,
    pub append: Vec<Entry<T>>,
}

/// A name and what it gets.
pub struct Entry<T> {
    pub name: String,
    pub value: T,
    /// What the value is in JSON.
    pub kind: JsonType,
}

impl<T> Edits<T> {
    /// Whether nothing is done at all.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.replace.is_empty()
            && self.add.is_empty()
            && self.append.is_empty()
    }
}

impl Edits<Template> {
    /// `scripts` runs what is code in the values.
    pub fn parse(config: &Config<'_>, what: &str, scripts: Option<&dyn Scripts>) -> Result<Edits<Template>, String> {
        let entries = |section: &str| -> Result<Vec<Entry<Template>>, String> {
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

    /// Whether a value may look at the content of requests.
    pub fn reads_content(&self) -> bool {
        let all = [&self.rename, &self.replace, &self.add, &self.append];
        all.into_iter().flatten().any(|entry| entry.value.reads_content())
    }

    pub fn render(&self, scope: &mut Scope<'_>) -> Result<Edits<Vec<u8>>, String> {
        let mut all = |entries: &[Entry<Template>]| -> Result<Vec<Entry<Vec<u8>>>, String> {
            let render = |entry: &Entry<Template>| {
                Ok(Entry { name: entry.name.clone(), value: entry.value.render(scope)?, kind: entry.kind })
            };
            entries.iter().map(render).collect()
        };
        Ok(Edits {
            remove: self.remove.clone(),
            rename: all(&self.rename)?,
            replace: all(&self.replace)?,
            add: all(&self.add)?,
            append: all(&self.append)?,
        })
    }
}

impl Edits<Vec<u8>> {
    pub fn apply(&self, args: &mut Args) {
        for name in &self.remove {
            args.remove(name);
        }
        for Entry { name, value, .. } in &self.rename {
            args.rename(name, value);
        }
        for Entry { name, value, .. } in &self.replace {
            if args.contains(name) {
                args.set(name, value);
            }
        }
        for Entry { name, value, .. } in &self.add {
            if !args.contains(name) {
                args.append(name, Some(value));
            }
        }
        for Entry { name, value, .. } in &self.append {
            args.append(name, Some(value));
        }
    }
}

/// Name and value of `name:value`.
pub fn split(entry: &str) -> (&str, &str) {
    let name = entry.split(':').next().unwrap_or_default();
    (name, entry[name.len()..].trim_start_matches(':'))
}
