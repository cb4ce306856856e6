//! Pages of a collection: what a client asks for, and the opaque offset that leads from one page to the next.

use crate::scope::DEFAULT_ID;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use model::{Error, Record};
use serde_json::{Value, json};

/// Which records of a collection to list.
#[derive(Clone, Debug, Default)]
pub struct PageQuery {
    /// 1 to 1000; 0 means the default of 100.
    pub size: usize,
    /// The opaque `offset` of the page before.
    pub offset: Option<String>,
    pub tags: Option<TagFilter>,
    /// Only records whose foreign key field points at that id.
    pub foreign: Option<(String, String)>,
}

/// A selection by tags: `a,b` (all of them) or `a/b` (any of them).
#[derive(Clone, Debug, PartialEq)]
pub enum TagFilter {
    All(Vec<String>),
    Any(Vec<String>),
}

/// A page and the way to the next.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub data: Vec<Record>,
    /// What `offset` must be for the next page; `None` on the last one.
    pub offset: Option<String>,
}

/// One tag of one record.
#[derive(Clone, Debug, PartialEq)]
pub struct TagEntry {
    pub tag: String,
    /// The entity's name, such as `services`.
    pub entity: String,
    pub id: String,
    /// The tag's place in the record's `tags`, from 0.
    pub place: u32,
}

/// A page of tags and the way to the next.
#[derive(Clone, Debug, Default)]
pub struct TagPage {
    pub data: Vec<TagEntry>,
    pub offset: Option<String>,
}

pub(crate) const DEFAULT_SIZE: usize = 100;
pub(crate) const MAX_SIZE: usize = 1000;

/// The `size` argument of a query string.
pub fn page_size(text: &str) -> Result<usize, Error> {
    let number: f64 = text.trim().parse().map_err(|_| Error::invalid_size(None))?;
    if number.fract() != 0.0 || !(1.0..=MAX_SIZE as f64).contains(&number) {
        return Err(Error::invalid_size(Some(MAX_SIZE)));
    }
    Ok(number as usize)
}

impl PageQuery {
    pub(crate) fn limit(&self) -> Result<usize, Error> {
        match self.size {
            0 => Ok(DEFAULT_SIZE),
            size if size <= MAX_SIZE => Ok(size),
            _ => Err(Error::invalid_size(Some(MAX_SIZE))),
        }
    }
}

impl TagFilter {
    /// The `tags` argument of a query string. At most five tags.
    pub fn parse(text: &str) -> Result<TagFilter, Error> {
        if text.is_empty() {
            return Err(Error::invalid_option("tags", "cannot be null"));
        }
        let filter = match (text.contains(','), text.contains('/')) {
            (true, true) => return Err(Error::invalid_option("tags", "invalid filter syntax")),
            (_, false) => TagFilter::All(text.split(',').map(str::to_owned).collect()),
            (false, true) => TagFilter::Any(text.split('/').map(str::to_owned).collect()),
        };
        if text.chars().any(|c| c.is_ascii_control()) {
            return Err(Error::invalid_option(
                "tags",
                "must only contain printable ascii (except `,` and `/`) or valid utf-8",
            ));
        }
        if filter.tags().len() > 5 {
            return Err(Error::invalid_option("tags", "cannot query more than 5 tags"));
        }
        Ok(filter)
    }

    pub(crate) fn tags(&self) -> &[String] {
        match self {
            TagFilter::All(tags) | TagFilter::Any(tags) => tags,
        }
    }
}

impl TagEntry {
    /// As `GET /tags` shows it: with the name of Kong's table, which differs from the entity's for vaults.
    pub fn body(&self) -> Value {
        let table = if self.entity == "vaults" { "sm_vaults" } else { self.entity.as_str() };
        json!({ "entity_id": self.id, "entity_name": table, "tag": self.tag })
    }
}

/// Kong's encoding: a JSON array of the last row's key, in base64 without padding.
pub(crate) fn encode_offset(key: &Value) -> String {
    BASE64.encode(key.to_string())
}

/// Kong's offset where there is no database: the key in its own store behind which the next page begins.
pub(crate) fn encode_item(entity: &str, foreign: Option<&(String, String)>, id: &str) -> String {
    BASE64.encode(match foreign {
        None => format!("I|{entity}|{DEFAULT_ID}|{id}\0"),
        Some((field, owner)) => format!("F|{entity}|{field}|{owner}|{DEFAULT_ID}|{id}\0"),
    })
}

/// The id inside of such an offset.
pub(crate) fn decode_item(offset: &str) -> Result<String, Error> {
    let bytes = BASE64.decode(offset).map_err(|_| Error::invalid_offset(offset, "bad base64 encoding"))?;
    let key = String::from_utf8(bytes).map_err(|_| Error::invalid_offset(offset, "bad offset string"))?;
    let id = key.strip_suffix('\0').and_then(|key| key.rsplit_once('|')).map(|(_, id)| id.to_owned());
    id.ok_or_else(|| Error::invalid_offset(offset, "bad offset string"))
}

/// The array inside an offset.
pub(crate) fn decode_offset(offset: &str) -> Result<Vec<Value>, Error> {
    let bytes = BASE64.decode(offset).map_err(|_| Error::invalid_offset(offset, "bad base64 encoding"))?;
    serde_json::from_slice(&bytes).map_err(|_| Error::invalid_offset(offset, "bad json encoding"))
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(page_size("1000").unwrap(), 1000);
        assert_eq!(page_size("2").unwrap(), 2);
        for text in ["0", "-1", "1001", "1.5", "1e9", "inf", "nan"] {
            assert_eq!(page_size(text).unwrap_err().message, "size must be an integer between 1 and 1000", "{text}");
        }
        for text in ["", "abc", "1x"] {
            assert_eq!(page_size(text).unwrap_err().message, "size must be a number", "{text}");
        }
    }

    #[test]
    fn offsets() {
        let offset = encode_offset(&json!(["a"]));
        assert_eq!(offset, "WyJhIl0");
        assert_eq!(decode_offset(&offset).unwrap(), vec![json!("a")]);
        let item = encode_item("services", None, "b268827a-8f7f-551f-8769-e6bceb2f3ec6");
        assert!(item.starts_with("SXxzZXJ2aWNlc3wwZGM2ZjQ1Yi04"), "{item}");
        assert_eq!(decode_item(&item).unwrap(), "b268827a-8f7f-551f-8769-e6bceb2f3ec6");
        let item = encode_item("routes", Some(&("service".to_owned(), "s".to_owned())), "r");
        assert_eq!(decode_item(&item).unwrap(), "r");
        assert_eq!(decode_item(&offset).unwrap_err().message, "'WyJhIl0' is not a valid offset: bad offset string");
        assert_eq!(decode_offset("WyJhIl0=").unwrap(), vec![json!("a")]);
        assert_eq!(decode_offset("zzz").unwrap_err().message, "'zzz' is not a valid offset: bad json encoding");
        assert_eq!(decode_offset("").unwrap_err().message, "'' is not a valid offset: bad json encoding");
        assert_eq!(decode_offset("!").unwrap_err().message, "'!' is not a valid offset: bad base64 encoding");
    }

    #[test]
    fn tags_of_vaults_name_their_table() {
        let entry = |entity: &str| TagEntry { tag: "t".into(), entity: entity.into(), id: "i".into(), place: 0 };
        assert_eq!(entry("services").body(), json!({"entity_id": "i", "entity_name": "services", "tag": "t"}));
        assert_eq!(entry("vaults").body()["entity_name"], "sm_vaults");
    }

    #[test]
    fn tag_filters() {
        let all = |tags: &[&str]| TagFilter::All(tags.iter().map(|t| (*t).to_owned()).collect());
        assert_eq!(TagFilter::parse("x,y").unwrap(), all(&["x", "y"]));
        assert_eq!(TagFilter::parse("x,").unwrap(), all(&["x", ""]));
        assert_eq!(TagFilter::parse("x/z").unwrap(), TagFilter::Any(vec!["x".into(), "z".into()]));
        assert_eq!(TagFilter::parse("x/y,z").unwrap_err().message, "invalid option (tags: invalid filter syntax)");
        assert_eq!(TagFilter::parse("").unwrap_err().message, "invalid option (tags: cannot be null)");
        assert_eq!(
            TagFilter::parse("a,b,c,d,e,f").unwrap_err().message,
            "invalid option (tags: cannot query more than 5 tags)"
        );
    }
}
