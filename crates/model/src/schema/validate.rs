//! Checking values and records. Every message here is one that Kong's clients know.

use super::checks::quoted;
use super::declared::References;
use super::field::{Field, FieldType, Rules};
use super::process::{self, Context};
use super::{Schema, Shape, pattern};
use crate::{Catalog, Error, Record, pretty};
use serde_json::{Number, Value, json};

pub(super) const REQUIRED: &str = "required field missing";
const UNKNOWN: &str = "unknown field";

/// What checking needs to know beside schema and value.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub catalog: &'a Catalog,
    /// A partial update is checked: messages say so.
    pub updating: bool,
    pub references: References,
}

impl<'a> Scope<'a> {
    pub fn new(catalog: &'a Catalog) -> Scope<'a> {
        Scope { catalog, updating: false, references: References::Keys }
    }

    pub fn at_least_one_of(self) -> &'static str {
        match self.updating {
            true => "when updating, at least one of these fields must be non-empty: %s",
            false => "at least one of these fields must be non-empty: %s",
        }
    }
}

/// A shape, refined by a subschema when there is one.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub base: &'a Shape,
    pub sub: Option<&'a Shape>,
}

impl<'a> View<'a> {
    pub fn of(base: &'a Shape) -> View<'a> {
        View { base, sub: None }
    }

    pub fn fields(self) -> impl Iterator<Item = &'a Field> {
        self.base.fields().iter().map(move |field| self.sub.and_then(|sub| sub.field(&field.name)).unwrap_or(field))
    }

    pub fn field(self, name: &str) -> Option<&'a Field> {
        let field = self.base.field(name)?;
        Some(self.sub.and_then(|sub| sub.field(name)).unwrap_or(field))
    }

    /// Whether records have a field only where it is not null. What a subschema says of it does not change that.
    pub fn omits_null(self, field: &Field) -> bool {
        field.omit_null || self.sub.is_some() && self.base.field(&field.name).is_some_and(|base| base.omit_null)
    }
}

/// All errors of a record of `schema`; empty when it is valid. `full`: absent fields count as missing.
pub(super) fn record(scope: Scope, schema: &Schema, input: &Record, full: bool) -> Record {
    match schema.view(scope.catalog, input) {
        Ok(view) => shape(scope, view, schema.ttl(), input, full),
        Err((field, words)) => Record::from_iter([(field, words.into())]),
    }
}

/// All errors of a record of that shape.
pub(super) fn shape(scope: Scope, view: View, ttl: bool, input: &Record, full: bool) -> Record {
    let mut errors = Record::new();
    for (name, value) in input {
        // Time stamps of the gateway's own making are not the client's fault.
        if name == "updated_at" || (name == "ttl" && ttl) {
            continue;
        }
        match view.field(name) {
            None => drop(errors.insert(name.clone(), UNKNOWN.into())),
            Some(known) => {
                if let Err(error) = field(scope, known, value)
                    && !also_takes(scope, view, known, value, input)
                {
                    errors.insert(name.clone(), error);
                }
            }
        }
    }
    // Of the schema itself, not of the subschema.
    for required in view.base.fields().iter().filter(|f| f.required && !scope.references.leave_out(f)) {
        if input.get(&required.name).map_or(full, Value::is_null) {
            errors.insert(required.name.clone(), REQUIRED.into());
        }
    }
    for judged in view.base.fields() {
        if let Some(check) = judged.rules.record_validator.filter(|_| errors.is_empty())
            && let Err(words) = check.check(input)
        {
            errors.insert(judged.name.clone(), words.into());
        }
    }
    for check in &view.base.checks {
        check.run(scope, &[view.base], input, full, &mut errors);
    }
    if let Some(sub) = view.sub {
        for check in &sub.checks {
            check.run(scope, &[sub, view.base], input, full, &mut errors);
        }
    }
    errors
}

/// Whether it is a value of which clients are told nothing, with the field that goes with it; or a set that has such
/// values, whatever a subschema says of it, and others that are fine.
fn also_takes(scope: Scope, view: View, known: &Field, value: &Value, input: &Record) -> bool {
    let (Value::Array(items), Some(elements)) = (value, view.base.field(&known.name).and_then(Field::elements)) else {
        let other = known.rules.also_one_of.as_ref().and_then(|also| also.get(value.as_str()?)?.as_str());
        return other.and_then(|other| input.get(other)).is_some_and(|value| !value.is_null());
    };
    let others: Vec<Value> = items.iter().filter(|item| !elements.rules.also_takes(item)).cloned().collect();
    let may_mix = known.rules.subsets.is_empty();
    may_mix && others.len() < items.len() && (others.is_empty() || field(scope, known, &Value::Array(others)).is_ok())
}

/// Checks one value; the error is a text, or a tree for collections and records.
pub(super) fn field(scope: Scope, field: &Field, value: &Value) -> Result<(), Value> {
    let rules = &field.rules;
    let own = |words: String| Err(Value::String(rules.err.clone().unwrap_or(words)));
    if scope.references.leave_out(field) {
        return if value.is_null() { Ok(()) } else { Err("value must be null".into()) };
    }
    if value.is_null() {
        if rules.ne == Some(Value::Null) {
            return own("value must not be null".to_owned());
        }
        return match &rules.eq {
            Some(wanted) if !wanted.is_null() => Err(format!("value must be {}", show(wanted)).into()),
            _ if field.required => Err(REQUIRED.into()),
            _ => Ok(()),
        };
    }
    if rules.eq == Some(Value::Null) {
        return own("value must be null".to_owned());
    }
    if field.is_abstract {
        return Err("error in schema definition: abstract field was not specialized".into());
    }
    if field.referenceable && matches!(field.kind, FieldType::String) && is_reference(value) {
        return Ok(());
    }
    if let Some(words) = mistyped(&field.kind, value) {
        return Err(words.into());
    }
    match &field.kind {
        FieldType::Array(elements) | FieldType::Set(elements) => list(scope, elements, value)?,
        FieldType::Map(keys, values) => map(scope, keys, values, value)?,
        FieldType::Record(inner) => {
            let listed;
            let input = match value {
                Value::Object(map) => map,
                other => {
                    listed = numbered(other.as_array().map_or(&[], Vec::as_slice));
                    &listed
                }
            };
            let completed =
                process::shape(scope, View::of(inner), input.clone(), Context::Insert).map_err(Value::Object)?;
            let errors = shape(scope, View::of(inner), false, &completed, true);
            if !errors.is_empty() {
                return Err(tree(errors, value));
            }
        }
        FieldType::Foreign(_) if scope.references == References::Names => match value.as_str() {
            None => return Err("expected a string".into()),
            Some("") => return Err("length must be at least 1".into()),
            Some(_) => {}
        },
        FieldType::Foreign(entity) => foreign(scope, entity, value)?,
        _ => {}
    }
    match (broken(field, value), unstorable(&field.kind, value)) {
        (Some(words), _) => own(words),
        (None, Some(words)) => Err(words.into()),
        (None, None) => Ok(()),
    }
}

/// What is wrong with the type of a value. A list can stand for a map or a record, and nothing is told of an empty one.
pub(super) fn mistyped(kind: &FieldType, value: &Value) -> Option<&'static str> {
    let is_list = || value.is_array() || value.as_object().is_some_and(Record::is_empty);
    let (fits, words) = match kind {
        FieldType::Any | FieldType::Json | FieldType::Foreign(_) => return None,
        FieldType::String => (value.is_string(), "expected a string"),
        FieldType::Integer => {
            (value.as_f64().is_some_and(|n| n.fract() == 0.0 && n.is_finite()), "expected an integer")
        }
        FieldType::Number => (value.is_number(), "expected a number"),
        FieldType::Boolean => (value.is_boolean(), "expected a boolean"),
        FieldType::Array(_) => (is_list(), "expected an array"),
        FieldType::Set(_) => (is_list(), "expected a set"),
        FieldType::Map(..) => (value.is_object() || value.is_array(), "expected a map"),
        FieldType::Record(_) => (value.is_object() || value.is_array(), "expected a record"),
    };
    (!fits).then_some(words)
}

/// Whether a value stands for a secret that a vault holds: `{vault://...}`.
pub(super) fn is_reference(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() > 10 && text.starts_with("{vault://") && text.ends_with('}'))
}

/// Whether two scalars are the same; collections never are.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(_) | Value::Object(_), _) => false,
        (a, b) => a == b,
    }
}

/// The errors of a primary key given as a record; fields beside it are ignored.
pub(super) fn primary_key(scope: Scope, schema: &Schema, key: &Value) -> Record {
    let mut errors = Record::new();
    for name in schema.primary_key() {
        let Some(known) = schema.field(name) else { continue };
        let error = match key.get(name) {
            None | Some(Value::Bool(false)) => Some("missing primary key".into()),
            Some(Value::Null) if known.required || known.auto => Some(REQUIRED.into()),
            Some(value) => field(scope, known, value).err(),
        };
        if let Some(error) = error {
            errors.insert(name.clone(), error);
        }
    }
    errors
}

fn foreign(scope: Scope, entity: &str, value: &Value) -> Result<(), Value> {
    let Some(schema) = scope.catalog.entity(entity) else {
        // An entity of an edition that this node lacks: nothing more is known of its keys.
        return if value.get("id").is_some_and(Value::is_string) {
            Ok(())
        } else {
            Err(json!({ "id": "missing primary key" }))
        };
    };
    let errors = primary_key(scope, schema, value);
    if errors.is_empty() {
        return Ok(());
    }
    if let Value::Object(given) = value {
        let foreign = record(scope, schema, given, false);
        if !foreign.is_empty() {
            return Err(Value::Object(foreign));
        }
    }
    Err(Value::Object(errors))
}

fn list(scope: Scope, elements: &Field, value: &Value) -> Result<(), Value> {
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    let mut errors = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let result = if item.is_null() && elements.rules.ne.is_none() && elements.rules.eq.is_none() {
            Err(REQUIRED.into())
        } else {
            field(scope, elements, item)
        };
        if let Err(error) = result {
            errors.resize(i, Value::Null);
            errors.push(error);
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Value::Array(errors)) }
}

fn map(scope: Scope, keys: &Field, values: &Field, value: &Value) -> Result<(), Value> {
    if let Value::Object(map) = value {
        for (key, item) in map {
            field(scope, keys, &Value::String(key.clone()))?;
            if item.is_null() {
                return Err(REQUIRED.into());
            }
            field(scope, values, item)?;
        }
        return Ok(());
    }
    // A list is a map with numbers as keys, to which names must not be numbers.
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        field(scope, keys, &json!(i + 1))?;
        field(scope, values, item)?;
    }
    Ok(())
}

/// The message of the first rule that the value breaks.
fn broken(field: &Field, value: &Value) -> Option<String> {
    let rules = &field.rules;
    let listed = |options: &[Value]| options.iter().map(show).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = &rules.eq
        && !same(value, wanted)
    {
        return Some(format!("value must be {}", show(wanted)));
    }
    if let Some(unwanted) = &rules.ne
        && same(value, unwanted)
    {
        return Some(format!("value must not be {}", show(value)));
    }
    if let Some(options) = &rules.not_one_of
        && options.iter().chain(rules.also_not_one_of.iter().flatten()).any(|o| same(o, value))
    {
        return Some(format!("must not be one of: {}", listed(options)));
    }
    if let Some(options) = &rules.one_of
        && !options.iter().any(|o| same(o, value))
        && !rules.also_takes(value)
    {
        return Some(format!("expected one of: {}", listed(options)));
    }
    number(rules, value)
        .or_else(|| length(field, value))
        .or_else(|| text(rules, value))
        .or_else(|| {
            let wanted = rules.contains.as_ref()?;
            let found = value.as_array()?.iter().any(|item| same(item, wanted));
            (!found).then(|| format!("expected to contain: {}", show(wanted)))
        })
        .or_else(|| rules.validator?.validate(value).err())
        .or_else(|| exclusive_subsets(field, value))
}

/// What Postgres has no room for: such a record is none elsewhere, either.
fn unstorable(kind: &FieldType, value: &Value) -> Option<String> {
    match kind {
        FieldType::Integer if !fits_64_bits(value) => {
            Some(format!("value should be between {} and {}", i64::MIN, i64::MAX))
        }
        FieldType::String | FieldType::Any | FieldType::Json if has_nul(value) => {
            Some("must not contain the character U+0000".to_owned())
        }
        _ => None,
    }
}

fn fits_64_bits(value: &Value) -> bool {
    let limit = -(i64::MIN as f64);
    value.is_i64() || (!value.is_u64() && value.as_f64().is_some_and(|n| (-limit..limit).contains(&n)))
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

fn number(rules: &Rules, value: &Value) -> Option<String> {
    if let (Some(limit), Some(n)) = (rules.gt, value.as_f64())
        && n <= limit
    {
        return Some(format!("value must be greater than {}", pretty::float(limit)));
    }
    if rules.timestamp && value.as_f64().is_some_and(|n| n <= 0.0) {
        return Some("expected a valid timestamp".to_owned());
    }
    if rules.uuid && !value.as_str().is_some_and(is_uuid) {
        return Some("expected a valid UUID".to_owned());
    }
    if rules.is_regex && value.as_str().is_some_and(|text| regex::Regex::new(text).is_err()) {
        return Some(format!("not a valid regex: {}", show(value)));
    }
    if let (Some((low, high)), Some(n)) = (rules.between, value.as_f64())
        && (n < low || n > high)
    {
        return Some(format!("value should be between {} and {}", low.trunc() as i64, high.trunc() as i64));
    }
    None
}

fn length(field: &Field, value: &Value) -> Option<String> {
    let rules = &field.rules;
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(map) if matches!(field.kind, FieldType::Map(..)) => map.len(),
        Value::Object(_) => 0,
        _ => return None,
    };
    // Strings are not empty unless the schema says so.
    let least = rules.len_min.or_else(|| matches!(field.kind, FieldType::String).then_some(1));
    match (rules.len_eq, least, rules.len_max) {
        (Some(n), _, _) if length != n => Some(format!("length must be {n}")),
        (_, Some(n), _) if length < n => Some(format!("length must be at least {n}")),
        (_, _, Some(n)) if length > n => Some(Error::too_long(n)),
        _ => None,
    }
}

fn text(rules: &Rules, value: &Value) -> Option<String> {
    let text = value.as_str()?;
    if let Some(start) = &rules.starts_with
        && !text.starts_with(start.as_str())
    {
        return Some(format!("should start with: {start}"));
    }
    if rules.not_match.as_ref().is_some_and(|p| pattern::matches(text, p)) {
        return Some(format!("invalid value: {text}"));
    }
    if let Some((_, err)) = rules.match_none.iter().find(|(p, _)| pattern::matches(text, p)) {
        return Some(err.clone());
    }
    if rules.pattern.as_ref().is_some_and(|p| !pattern::matches(text, p)) {
        return Some(format!("invalid value: {text}"));
    }
    if let Some((_, err)) = rules.match_all.iter().find(|(p, _)| !pattern::matches(text, p)) {
        return Some(err.clone());
    }
    let (patterns, err) = rules.match_any.as_ref()?;
    let any = patterns.iter().any(|p| pattern::matches(text, p));
    (!any).then(|| err.clone().unwrap_or_else(|| format!("invalid value: {text}")))
}

/// What clients are told nothing of is a subset, too.
fn exclusive_subsets(field: &Field, value: &Value) -> Option<String> {
    let items = value.as_array().filter(|_| !field.rules.subsets.is_empty())?;
    let also = field.elements().and_then(|elements| elements.rules.also_one_of.as_ref());
    let also = also.map(|also| also.keys().map(|value| Value::from(value.as_str())).collect());
    let subsets: Vec<Vec<Value>> = field.rules.subsets.iter().cloned().chain(also).collect();
    let mut members: Vec<usize> = Vec::new();
    for item in items {
        if let Some(i) = subsets.iter().position(|subset| subset.contains(item))
            && !members.contains(&i)
        {
            members.push(i);
        }
    }
    if members.len() <= 1 {
        return None;
    }
    let sets: Vec<_> =
        members.iter().map(|&i| format!("({})", quoted(&subsets[i].iter().map(show).collect::<Vec<_>>()))).collect();
    Some(format!("these sets are mutually exclusive: {}", sets.join(", ")))
}

/// Whether it has the form of a UUID, in either case of letters.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// A value inside a message.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(n) => pretty::number(n),
        other => pretty::compact(other),
    }
}

/// The number without a needless fraction: `2.0` is `2`. What no signed integer holds is a float, as it is when it
/// comes out of the database.
pub(super) fn integral(value: Value) -> Value {
    match value.as_f64() {
        Some(n) if value.is_u64() && !value.is_i64() => Number::from_f64(n).map_or(value, Value::Number),
        Some(n) if !value.is_i64() && !value.is_u64() && n.fract() == 0.0 && n.abs() < 9e15 => {
            Value::Number(Number::from(n as i64))
        }
        _ => value,
    }
}

/// A list taken for a record has its positions as names.
fn numbered(items: &[Value]) -> Record {
    items.iter().enumerate().map(|(i, item)| ((i + 1).to_string(), item.clone())).collect()
}

/// Errors of a list that was taken for a record go back into a list when there are no others.
fn tree(errors: Record, value: &Value) -> Value {
    match value {
        Value::Array(items) if !items.is_empty() && errors.keys().all(|k| k.parse::<usize>().is_ok()) => Value::Array(
            (1..=items.len()).map(|i| errors.get(&i.to_string()).cloned().unwrap_or(Value::Null)).collect(),
        ),
        _ => Value::Object(errors),
    }
}
