//! Values inside records by dotted path.

use crate::Record;
use serde_json::Value;

/// The value at `config.redis.host`; `None` when a step leads nowhere.
pub fn get<'a>(record: &'a Record, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => record.get(path),
        Some((head, rest)) => get(record.get(head)?.as_object()?, rest),
    }
}

/// The value at a path given as a list of names.
pub fn get_list<'a>(record: &'a Record, path: &[String]) -> Option<&'a Value> {
    match path {
        [] => None,
        [name] => record.get(name),
        [head, rest @ ..] => get_list(record.get(head)?.as_object()?, rest),
    }
}

/// Sets the value at a dotted path, making the records on the way. A path through something that is no record
/// changes nothing.
pub fn set(record: &mut Record, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(record.insert(path.to_owned(), value)),
        Some((head, rest)) => {
            if let Some(inner) = inner(record, head) {
                set(inner, rest, value);
            }
        }
    }
}

/// [`set`] for a path given as a list of names.
pub fn set_list(record: &mut Record, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => drop(record.insert(name.clone(), value)),
        [head, rest @ ..] => {
            if let Some(inner) = inner(record, head) {
                set_list(inner, rest, value);
            }
        }
    }
}

fn inner<'a>(record: &'a mut Record, name: &str) -> Option<&'a mut Record> {
    let slot = record.entry(name).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Record::new());
    }
    slot.as_object_mut()
}
