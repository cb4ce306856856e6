//! Completing records: shorthands, defaults, automatic fields, merging.

use super::declared::References;
use super::field::{Field, FieldType};
use super::path;
use super::shape::Shorthand;
use super::validate::{self, Scope, View};
use crate::Record;
use serde_json::{Number, Value};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a record is processed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    Insert,
    Update,
    Upsert,
    /// To be shown: everything filled in, nothing unknown kept.
    Select,
}

/// A record of that shape with shorthands replaced and, except for updates, everything missing filled in. The error
/// is the tree of fields. Unknown fields stay (but not in `Select`): validation names them.
pub(super) fn shape(scope: Scope, view: View, mut data: Record, context: Context) -> Result<Record, Record> {
    if context == Context::Select && shape_in_place(scope, view, &mut data)? {
        return Ok(data);
    }
    let mut errors = Record::new();
    for shorthand in &view.base.shorthands {
        if let Err(error) = shorthand.replace(scope, view, &mut data)
            && context != Context::Select
        {
            errors.insert(shorthand.field.name.clone(), error);
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut out = Record::with_capacity(view.fields().count());
    for field in view.fields() {
        let mut value = data.remove(&field.name);
        if context != Context::Select && field.auto {
            value = automatic(field, value, context);
        }
        if let Some(value) = adjust(scope, field, value, context)?
            && !(context != Context::Update && value.is_null() && view.omits_null(field))
        {
            out.insert(field.name.clone(), value);
        }
    }
    if context != Context::Select {
        out.extend(data);
        return Ok(out);
    }
    // Deprecated names go on being shown with the values of what replaced them.
    for shorthand in &view.base.shorthands {
        if let Some(value) = shorthand.replaced_with.first().and_then(|p| path::get_list(&out, p)).cloned() {
            out.insert(shorthand.field.name.clone(), value);
        }
    }
    Ok(out)
}

/// [`shape`] for a record to be shown that has exactly the fields of its shape in their order, as stored ones have:
/// only values change, and no name is touched. `false`: it is none of these.
pub(super) fn shape_in_place(scope: Scope, view: View, data: &mut Record) -> Result<bool, Record> {
    let plain =
        view.base.shorthands.iter().all(|s| s.replaced_with.is_empty() && view.base.field(&s.field.name).is_none());
    if !plain || !is_in_order(view, data) {
        return Ok(false);
    }
    let mut absent = Vec::new();
    let mut fields = view.fields();
    for (name, value) in data.iter_mut() {
        let Some(field) = fields.by_ref().find(|field| field.name == *name) else { continue };
        match adjust(scope, field, Some(value.take()), Context::Select)? {
            Some(adjusted) if !(adjusted.is_null() && view.omits_null(field)) => *value = adjusted,
            _ => absent.push(&field.name),
        }
    }
    for name in absent {
        data.shift_remove(name);
    }
    Ok(true)
}

/// Whether a record has the fields of its shape in their order, but for those that it may leave out.
fn is_in_order(view: View, data: &Record) -> bool {
    let mut names = data.keys().peekable();
    let fits = |field: &Field| names.next_if(|name| **name == field.name).is_some() || view.omits_null(field);
    view.fields().all(fits) && names.next().is_none()
}

/// `top` laid over `bottom`: records merge, everything else is replaced.
pub(super) fn merge(view: View, top: Record, bottom: &Record) -> Record {
    let mut out = bottom.clone();
    for (name, value) in top {
        let below = bottom.get(&name).and_then(Value::as_object);
        let value = match (value, view.field(&name).filter(|f| !f.is_abstract).map(|f| &f.kind), below) {
            (Value::Object(value), Some(FieldType::Record(inner)), Some(below)) => {
                Value::Object(merge(View::of(inner), value, below))
            }
            (value, ..) => value,
        };
        out.insert(name, value);
    }
    out
}

/// Takes the names out again that [`Context::Select`] adds for show.
pub(super) fn strip_shorthands(view: View, record: &mut Record) {
    let shown =
        |name: &str| view.base.shorthands.iter().any(|s| s.field.name == name && view.base.field(name).is_none());
    record.retain(|name, _| !shown(name));
    for (name, value) in record.iter_mut() {
        if let (Some(FieldType::Record(inner)), Value::Object(map)) = (view.field(name).map(|f| &f.kind), value) {
            strip_shorthands(View::of(inner), map);
        }
    }
}

impl Shorthand {
    fn replace(&self, scope: Scope, view: View, data: &mut Record) -> Result<(), Value> {
        let name = &self.field.name;
        let Some(value) = data.get(name).cloned() else { return Ok(()) };
        // In a file it is the field of that name that is wrong, with all others.
        if scope.references == References::Keys || view.base.field(name).is_none() {
            validate::field(scope, &self.field, &value)?;
        }
        if !value.is_null()
            && let Some((path, new)) = self.replaced_with.iter().find_map(|p| Some((p, path::get_list(data, p)?)))
            && !new.is_null()
            && *new != Value::Bool(false)
            && integral(new) != integral(&value)
        {
            let (old, new, path) = (validate::show(&value), validate::show(new), path.join("."));
            return Err(format!(
                "both deprecated and new field are used but their values mismatch: {name} = {old} vs {path} = {new}"
            )
            .into());
        }
        data.remove(name);
        match self.expand {
            Some(expand) => {
                for (key, new) in expand.expand(&value)?.into_iter().flatten() {
                    self.lay(data, key, new);
                }
            }
            None => {
                for path in &self.replaced_with {
                    if path::get_list(data, path).is_none_or(Value::is_null) {
                        path::set_list(data, path, value.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// Sets one of the fields that the shorthand stands for. What replaces a deprecated name wins over it.
    fn lay(&self, data: &mut Record, key: String, new: Value) {
        let current = data.get(&key).filter(|v| !v.is_null());
        let value = match (new, current) {
            (Value::Object(mut new), Some(Value::Object(current))) => {
                if self.deprecated {
                    for (k, v) in current {
                        if !v.is_null() || !new.contains_key(k) {
                            new.insert(k.clone(), v.clone());
                        }
                    }
                    Value::Object(new)
                } else {
                    let mut merged = current.clone();
                    merged.extend(new);
                    Value::Object(merged)
                }
            }
            (_, Some(current)) if self.deprecated => current.clone(),
            (new, _) => new,
        };
        data.insert(key, value);
    }
}

fn automatic(field: &Field, value: Option<Value>, context: Context) -> Option<Value> {
    let creating = matches!(context, Context::Insert | Context::Upsert);
    let unset = value.as_ref().is_none_or(Value::is_null);
    if field.is_uuid() {
        return if creating && unset { Some(uuid::Uuid::new_v4().to_string().into()) } else { value };
    }
    match (&field.kind, field.name.as_str()) {
        (FieldType::String, _) if creating && value.is_none() => Some(random_string().into()),
        (FieldType::Integer, "created_at") if creating && unset => Some(now().as_secs().into()),
        (FieldType::Number, "created_at") if creating && unset => Some(creation_time()),
        (FieldType::Integer, "updated_at") => Some(now().as_secs().into()),
        (FieldType::Number, "updated_at") => Some(milliseconds()),
        _ => value,
    }
}

fn adjust(scope: Scope, field: &Field, value: Option<Value>, context: Context) -> Result<Option<Value>, Record> {
    if context == Context::Select && field.required && matches!(value, Some(Value::Null)) {
        return missing(scope, field, value);
    }
    if field.is_abstract {
        return Ok(value);
    }
    let each = |elements: &Field, items: Vec<Value>| -> Result<Vec<Value>, Record> {
        items.into_iter().map(|item| Ok(adjust(scope, elements, Some(item), context)?.unwrap_or(Value::Null))).collect()
    };
    Ok(Some(match (&field.kind, value) {
        (FieldType::Record(_), None) if context != Context::Update && field.required => {
            let default = missing(scope, field, None)?;
            match (&field.kind, default) {
                (FieldType::Record(inner), Some(Value::Object(map))) => {
                    Value::Object(shape(scope, View::of(inner), map, context)?)
                }
                (_, Some(default)) => default,
                (_, None) => return Ok(None),
            }
        }
        (FieldType::Record(inner), Some(Value::Object(map))) => {
            Value::Object(shape(scope, View::of(inner), map, context)?)
        }
        (FieldType::Record(inner), Some(Value::Array(items))) if items.is_empty() => {
            Value::Object(shape(scope, View::of(inner), Record::new(), context)?)
        }
        (FieldType::Array(elements), Some(Value::Array(items))) => Value::Array(each(elements, items)?),
        (FieldType::Set(elements), Some(Value::Array(items))) => Value::Array(each(elements, distinct(items))?),
        (FieldType::Array(_) | FieldType::Set(_), Some(Value::Object(map))) if map.is_empty() => {
            Value::Array(Vec::new())
        }
        (FieldType::Map(_, values), Some(Value::Object(map))) => {
            let adjusted: Result<Record, Record> = map
                .into_iter()
                .map(|(key, item)| Ok((key, adjust(scope, values, Some(item), context)?.unwrap_or(Value::Null))))
                .collect();
            Value::Object(adjusted?)
        }
        (FieldType::Map(..), Some(Value::Array(items))) if items.is_empty() => Value::Object(Record::new()),
        (FieldType::Foreign(entity), Some(Value::Object(map))) if context == Context::Select => {
            Value::Object(key_only(scope, entity, map))
        }
        (FieldType::Integer | FieldType::Number, Some(value)) => validate::integral(value),
        (_, Some(value)) => value,
        (_, None) if context != Context::Update => return missing(scope, field, None),
        (_, None) => return Ok(None),
    }))
}

/// What takes the place of a field that was not given.
fn missing(scope: Scope, field: &Field, value: Option<Value>) -> Result<Option<Value>, Record> {
    if let Some(default) = &field.default {
        return Ok(Some(default.clone()));
    }
    if !field.required {
        return Ok(Some(Value::Null));
    }
    match &field.kind {
        _ if field.is_abstract => Ok(None),
        FieldType::Record(inner) => {
            shape(scope, View::of(inner), Record::new(), Context::Insert).map(|map| Some(Value::Object(map)))
        }
        // Validation will say that it is missing.
        _ => Ok(value.filter(|v| !v.is_null())),
    }
}

fn key_only(scope: Scope, entity: &str, map: Record) -> Record {
    match scope.catalog.entity(entity) {
        Some(schema) if schema.primary_key().iter().all(|k| map.contains_key(k)) => {
            map.into_iter().filter(|(k, _)| schema.primary_key().contains(k)).collect()
        }
        _ => map,
    }
}

/// Drops repeated scalars and keeps the order.
fn distinct(items: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    items
        .into_iter()
        .filter(|item| item.is_array() || item.is_object() || item.is_null() || seen.insert(integral(item)))
        .collect()
}

fn integral(value: &Value) -> Value {
    validate::integral(value.clone())
}

fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn milliseconds() -> Value {
    let now = now();
    let seconds = now.as_secs() as f64 + f64::from(now.subsec_millis()) / 1000.0;
    Number::from_f64(seconds).map_or(Value::Null, Value::Number)
}

/// The time, to the microsecond; no two creations of this process have the same, so that their order shows.
fn creation_time() -> Value {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = u64::try_from(now().as_micros()).unwrap_or(u64::MAX);
    let after = |last: u64| now.max(last.saturating_add(1));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
    let seconds = after(last.unwrap_or_default()) as f64 / 1e6;
    Number::from_f64(seconds).map_or(Value::Null, Value::Number)
}

/// 32 random letters and digits.
fn random_string() -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut out = String::with_capacity(32);
    while out.len() < 32 {
        let id = uuid::Uuid::new_v4();
        // Bytes 6 and 8 of a UUID are not all random; bytes past the largest multiple of 62 would favour some letters.
        let random = id.as_bytes().iter().enumerate().filter(|(i, b)| ![6, 8].contains(i) && **b < 248);
        out.extend(random.map(|(_, b)| char::from(ALPHABET[usize::from(b % 62)])).take(32 - out.len()));
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::Record;
    use crate::schema::tests::{accepted, insert, record, update, with_plugin};
    use serde_json::{Value, json};

    #[test]
    fn some_fields_are_there_only_where_they_are_set() {
        let catalog = with_plugin();
        let schema = catalog.entity("plugins").unwrap();
        let group = json!({"id": "5b1484f2-5209-49d9-b43e-92ba09dd9d52"});
        for (name, config) in [("empty", json!({})), ("limits", json!({"minute": 1}))] {
            let plugin = accepted(insert(&catalog, "plugins", json!({"name": name, "config": config})));
            assert_eq!(plugin.get("consumer_group"), None);
            let scoped = accepted(update(&catalog, "plugins", &plugin, json!({"name": name, "consumer_group": group})));
            assert_eq!(scoped["consumer_group"], group);
            let cleared = accepted(update(&catalog, "plugins", &scoped, json!({"name": name, "consumer_group": null})));
            assert_eq!(cleared.get("consumer_group"), None);
            // As rows of a database have it.
            let order = schema.fields().iter().map(|field| field.name.as_str());
            let stored: Record =
                order.map(|name| (name.to_owned(), plugin.get(name).cloned().unwrap_or_default())).collect();
            let mut shown = stored.clone();
            schema.process_select_in_place(&catalog, &mut shown);
            assert_eq!(shown, record(plugin.clone()));
            assert_eq!(schema.process_select(&catalog, stored), record(plugin));
        }
        let described = schema.describe().to_string();
        assert!(described.contains("consumer_group") && !described.contains("omit_null"), "{described}");
    }

    #[test]
    fn no_value_is_too_odd() {
        let catalog = with_plugin();
        let deep = (0..100).fold(json!(1), |inner, i| if i % 2 == 0 { json!([inner]) } else { json!({ "id": inner }) });
        let odd = [
            Value::Null,
            json!(true),
            json!(-1),
            json!(1.5),
            json!(u64::MAX),
            json!(1e308),
            json!(""),
            json!("\u{0}*%{[("),
            json!("é".repeat(300)),
            json!("~/("),
            json!([]),
            json!({}),
            json!([null]),
            json!([[{}], "a", 1]),
            json!({"id": null, "": {}}),
            json!({"id": "x", "name": ["limits"], "1": 2}),
            deep,
        ];
        for schema in catalog.entities() {
            let names = schema.fields().iter().map(|f| f.name.as_str()).chain(["url", "ttl", "nope"]);
            for name in names {
                for value in &odd {
                    let mut input = record(json!({"name": "limits", "protocols": ["http"]}));
                    input.insert(name.to_owned(), value.clone());
                    let coerced = schema.coerce_form(&catalog, input.clone());
                    let inputs = if coerced == input { vec![input] } else { vec![input, coerced] };
                    for input in inputs {
                        let shown = schema.process_select(&catalog, input.clone());
                        // In order it is changed in place, in any other order it is made anew.
                        let (mut in_place, reversed) = (shown.clone(), shown.clone().into_iter().rev().collect());
                        schema.process_select_in_place(&catalog, &mut in_place);
                        assert_eq!(in_place, schema.process_select(&catalog, reversed));
                        let results = [
                            schema.process_insert(&catalog, input.clone()),
                            schema.process_update(&catalog, input, &shown),
                        ];
                        for error in results.into_iter().filter_map(Result::err) {
                            assert!(error.message.contains("schema violation"), "{error}");
                        }
                    }
                }
            }
        }
    }
}
