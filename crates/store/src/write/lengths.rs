//! What a database has an index on cannot be as long as other text: an entry of an index of Postgres has room for some
//! 2,700 octets. All databases take the same.

use super::Put;
use crate::layout::{ColumnType, Table};
use model::{Error, Record};
use serde_json::Value;

/// The longest text that there may be an index on, in octets: others share the entry with it.
const MOST: usize = 2500;

/// Text that Kong's tables have an index on, although no record is looked up by it.
const INDEXED: [(&str, &str); 6] = [
    ("jwt_secrets", "secret"),
    ("oauth2_authorization_codes", "authenticated_userid"),
    ("oauth2_credentials", "client_secret"),
    ("oauth2_tokens", "authenticated_userid"),
    ("session_metadatas", "audience"),
    ("session_metadatas", "subject"),
];

/// Checks what is new in a row.
pub fn check(table: &Table, put: &Put) -> Result<(), Error> {
    let before = |field: &str| put.old.as_ref().and_then(|old| old.record.get(field));
    let mut errors = Record::new();
    for (field, value) in put.row.record.iter().filter(|(field, value)| before(field) != Some(*value)) {
        let error = match value {
            _ if !is_indexed(table, field) => None,
            Value::Array(values) => values.iter().position(is_long).map(|place| {
                let mut errors = vec![Value::Null; place];
                errors.push(Error::too_long(MOST).into());
                Value::Array(errors)
            }),
            value => is_long(value).then(|| Error::too_long(MOST).into()),
        };
        errors.extend(error.map(|error| (field.clone(), error)));
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::schema_violation(errors)) }
}

fn is_long(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() > MOST)
}

fn is_indexed(table: &Table, field: &str) -> bool {
    let mut lookups = table.lookups.iter().filter(|lookup| lookup.kind == ColumnType::Text);
    field == "tags"
        || table.keys().any(|column| column.field == field)
        || lookups.any(|lookup| lookup.fields.iter().any(|of| of == field))
        || INDEXED.contains(&(table.name.as_str(), field))
}
