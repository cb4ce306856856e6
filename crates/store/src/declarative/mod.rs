//! Declarative configuration: whole files of entities, as `kong.yml` has them.
//!
//! A text or a JSON object becomes a [`Document`], whose entries stand inside of each other and refer to each other by
//! name; [`Document::read`] makes [`Entities`] of it, records as the store keeps them.

mod export;
mod flatten;
mod format;
mod groups;
mod ids;
mod load;
mod records;
mod rejection;
mod version;

pub use export::Export;
pub use flatten::{Declared, Entities};
pub use records::Records;
pub use rejection::Rejection;

pub use model::yaml;

use format::Format;
use md5::{Digest, Md5};
use model::declarative::EXPECTED_OBJECT;
use model::{Catalog, Record};
use serde_json::Value;
use std::fmt::Write as _;

/// A file that has been read, but not been looked at.
#[derive(Clone, Debug)]
pub struct Document {
    fields: Record,
    hash: String,
}

/// What keys of `parameters` begin with that are about one database: no file has them.
pub const OWN_PARAMETER: &str = "bascule:";

/// What the hash of a configuration is that has no entities.
pub const EMPTY_HASH: &str = "00000000000000000000000000000000";

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    Json,
    Yaml,
    /// JSON if it is that, else YAML.
    Either,
}

impl Notation {
    /// By the ending of a file's name; `None`: files of that kind are not read.
    pub fn of_file(name: &str) -> Option<Notation> {
        match name {
            _ if name.ends_with("json") => Some(Notation::Json),
            _ if name.ends_with("yml") || name.ends_with("yaml") => Some(Notation::Yaml),
            _ => None,
        }
    }
}

impl Document {
    /// Reads a text.
    pub fn parse(text: &str, notation: Notation) -> Result<Document, Rejection> {
        let json = || serde_json::from_str::<Value>(text);
        let value = match notation {
            Notation::Json => json().map_err(|e| e.to_string()),
            Notation::Yaml => yaml::read(text),
            Notation::Either => json().ok().filter(Value::is_object).map_or_else(|| yaml::read(text), Ok),
        };
        match value.map_err(|why| Rejection::unreadable(&why))? {
            Value::Object(fields) => Ok(Document { fields, hash: hash(text.as_bytes()) }),
            _ => Err(Rejection::unreadable(EXPECTED_OBJECT)),
        }
    }

    /// A document that came as an object.
    pub fn of_fields(fields: Record) -> Document {
        let hash = hash(serde_json::to_string(&fields).unwrap_or_default().as_bytes());
        Document { fields, hash }
    }

    /// What it says, entry by entry.
    pub fn into_fields(self) -> Record {
        self.fields
    }

    /// The MD5 of what it was read from, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What [`Document::hash`] is of a text.
    pub fn hash_of(text: &str) -> String {
        hash(text.as_bytes())
    }

    /// The records that it stands for, or everything that is wrong with it.
    pub fn read(&mut self, catalog: &Catalog) -> Result<Entities, Rejection> {
        version::upgrade(&mut self.fields);
        groups::spread(&mut self.fields);
        Entities::read(&Format::new(catalog), &self.fields)
    }
}

fn hash(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(32);
    for byte in Md5::digest(bytes) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests;
