//! Entity checks: rules that span several fields of a record.

use super::field::Field;
use super::functions::{Function, Functions};
use super::shape::named;
use super::validate::{self, Scope};
use super::{Shape, path};
use crate::Record;
use serde_json::{Map, Value};

/// One entry of `entity_checks`.
#[derive(Clone, Debug)]
pub(super) struct Check {
    rule: Rule,
    run_with_missing: bool,
    run_with_invalid: bool,
}

#[derive(Clone, Debug)]
enum Rule {
    AtLeastOneOf(Vec<String>),
    OnlyOneOf(Vec<String>),
    Distinct(Vec<String>),
    MutuallyRequired(Vec<String>),
    MutuallyExclusive(Vec<String>),
    MutuallyExclusiveSets(Vec<String>, Vec<String>),
    Conditional {
        condition: Condition,
        then_field: String,
        then_required: bool,
        then_rule: Box<Field>,
        then_err: Option<String>,
    },
    ConditionalAtLeastOneOf {
        condition: Condition,
        then: Vec<String>,
        then_err: Option<String>,
        otherwise: Option<Otherwise>,
    },
    Custom {
        sources: Vec<String>,
        check: Function,
    },
}

/// A field that must have values of some kind for the rest of a check to apply.
#[derive(Clone, Debug)]
struct Condition {
    field: String,
    rule: Box<Field>,
}

#[derive(Clone, Debug)]
struct Otherwise {
    rule: Box<Field>,
    fields: Vec<String>,
    err: Option<String>,
}

/// Why a check failed: Kong's words around a list of fields, or words of the schema's own.
enum Failure {
    Fields(&'static str, String),
    Words(String),
}

impl Check {
    /// Reads an entry of `entity_checks`; `None` for a check that names no function and so checks nothing.
    pub fn parse(
        raw: &Value,
        schema: &Map<String, Value>,
        parent: Option<&Map<String, Value>>,
        functions: &Functions,
        depth: usize,
    ) -> Result<Option<Check>, String> {
        let entry = raw.as_object().ok_or("an entity check is not an object")?;
        let (kind, arg) = entry.iter().find(|(name, _)| *name != "check").ok_or("an empty entity check")?;
        let text = |key: &str| arg.get(key).and_then(Value::as_str).map(str::to_owned);
        let need = |key: &str| text(key).ok_or_else(|| format!("{kind}: no '{key}'"));
        // A condition is the field's own description with the condition's rules laid over it.
        let overlay = |field: &str, rules: &str| -> Result<Box<Field>, String> {
            let rules = arg.get(rules).and_then(Value::as_object).ok_or_else(|| format!("{kind}: no '{rules}'"))?;
            let mut laid = raw_field(schema, field)
                .or_else(|| raw_field(parent?, field))
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            if rules.contains_key("one_of") {
                laid.remove("also_one_of");
            }
            laid.extend(rules.clone());
            Field::parse("", &Value::Object(laid), functions, depth).map(Box::new)
        };
        let condition = || -> Result<Condition, String> {
            let field = need("if_field")?;
            Ok(Condition { rule: overlay(&field, "if_match")?, field })
        };
        let rule = match kind.as_str() {
            "at_least_one_of" => Rule::AtLeastOneOf(strings(arg)),
            "only_one_of" => Rule::OnlyOneOf(strings(arg)),
            "distinct" => Rule::Distinct(strings(arg)),
            "mutually_required" => Rule::MutuallyRequired(strings(arg)),
            "mutually_exclusive" => Rule::MutuallyExclusive(strings(arg)),
            "mutually_exclusive_sets" => Rule::MutuallyExclusiveSets(strings(&arg["set1"]), strings(&arg["set2"])),
            "conditional" => {
                let then_field = need("then_field")?;
                Rule::Conditional {
                    condition: condition()?,
                    then_required: arg["then_match"]["required"] == Value::Bool(true),
                    then_rule: overlay(&then_field, "then_match")?,
                    then_field,
                    then_err: text("then_err"),
                }
            }
            "conditional_at_least_one_of" => {
                let condition = condition()?;
                let otherwise = match arg.get("else_match") {
                    Some(_) => Some(Otherwise {
                        rule: overlay(&condition.field, "else_match")?,
                        fields: strings(&arg["else_then_at_least_one_of"]),
                        err: text("else_then_err"),
                    }),
                    None => None,
                };
                Rule::ConditionalAtLeastOneOf {
                    condition,
                    then: strings(&arg["then_at_least_one_of"]),
                    then_err: text("then_err"),
                    otherwise,
                }
            }
            "custom_entity_check" => {
                let name = arg.get("check").or_else(|| entry.get("check")).and_then(Value::as_str);
                let Some(name) = name else { return Ok(None) };
                match functions.find(name) {
                    Some(check) if check.is_check() => {
                        Rule::Custom { sources: strings(&arg["field_sources"]), check: *check }
                    }
                    _ => return Err(format!("no check '{name}'")),
                }
            }
            other => return Err(format!("unknown entity check '{other}'")),
        };
        let flag = |key: &str, default: bool| arg.get(key).and_then(Value::as_bool).unwrap_or(default);
        let (missing, invalid) = match rule {
            Rule::AtLeastOneOf(_) | Rule::ConditionalAtLeastOneOf { .. } => (true, true),
            Rule::OnlyOneOf(_) | Rule::Distinct(_) | Rule::Conditional { .. } => (false, true),
            Rule::MutuallyRequired(_) | Rule::MutuallyExclusive(_) | Rule::MutuallyExclusiveSets(..) => (true, false),
            Rule::Custom { .. } => (false, false),
        };
        // The checks that run on missing fields by nature also run when all of them are absent.
        Ok(Some(Check {
            rule,
            run_with_missing: flag("run_with_missing_fields", missing),
            run_with_invalid: flag("run_with_invalid_fields", invalid),
        }))
    }

    /// Runs the check on `input` and adds what it finds to `errors`. `full`: the record is complete, absent fields
    /// count as empty. `shapes` describe the fields, the first one that knows a field decides.
    pub fn run(&self, scope: Scope, shapes: &[&Shape], input: &Record, full: bool, errors: &mut Record) {
        let mut missing = Vec::new();
        let (mut all_absent, mut all_valid) = (true, true);
        for (field, required) in self.sources() {
            match path::get(input, field) {
                None if required && !self.run_with_missing => missing.push(field),
                None => {}
                Some(value) => {
                    all_absent = false;
                    let field = shapes.iter().find_map(|shape| shape.field_at(field));
                    if field.is_some_and(|f| f.referenceable) && validate::is_reference(value) {
                        return;
                    }
                }
            }
            all_valid &= !errors.contains_key(field);
        }
        let by_nature = !matches!(self.rule, Rule::Custom { .. });
        if (!all_valid && !self.run_with_invalid) || (all_absent && !(self.run_with_missing && by_nature && full)) {
            return;
        }
        if !missing.is_empty() {
            let words = if scope.updating {
                "field required for entity check when updating"
            } else {
                "field required for entity check"
            };
            missing.iter().for_each(|field| path::set(errors, field, words.into()));
            return;
        }
        let words = match self.rule.failure(scope, input, errors) {
            None => return,
            Some(Failure::Words(words)) => words,
            Some(Failure::Fields(words, fields)) => words.replacen("%s", &fields, 1),
        };
        if let Value::Array(list) = errors.entry("@entity").or_insert_with(|| Value::Array(Vec::new())) {
            list.push(words.into());
        }
    }

    /// The fields that the check looks at, and whether it needs them.
    fn sources(&self) -> Vec<(&str, bool)> {
        fn all(fields: &[String], required: bool) -> impl Iterator<Item = (&str, bool)> {
            fields.iter().map(move |f| (f.as_str(), required))
        }
        match &self.rule {
            Rule::AtLeastOneOf(f)
            | Rule::OnlyOneOf(f)
            | Rule::Distinct(f)
            | Rule::MutuallyRequired(f)
            | Rule::MutuallyExclusive(f) => all(f, true).collect(),
            Rule::MutuallyExclusiveSets(a, b) => all(a, true).chain(all(b, true)).collect(),
            Rule::Conditional { condition, then_field, .. } => vec![(&condition.field, true), (then_field, false)],
            Rule::ConditionalAtLeastOneOf { condition, then, otherwise, .. } => {
                let otherwise = otherwise.as_ref().map_or(&[][..], |o| &o.fields);
                std::iter::once((condition.field.as_str(), true))
                    .chain(all(then, false))
                    .chain(all(otherwise, false))
                    .collect()
            }
            Rule::Custom { sources, .. } => all(sources, true).collect(),
        }
    }
}

impl Rule {
    fn failure(&self, scope: Scope, input: &Record, errors: &mut Record) -> Option<Failure> {
        let filled = |field: &String| is_filled(path::get(input, field));
        let count = |fields: &[String]| fields.iter().filter(|f| filled(f)).count();
        let fail = |words, fields: &[String]| Some(Failure::Fields(words, quoted(fields)));
        match self {
            Rule::AtLeastOneOf(fields) if count(fields) == 0 => fail(scope.at_least_one_of(), fields),
            Rule::OnlyOneOf(fields) if count(fields) != 1 => {
                fail("exactly one of these fields must be non-empty: %s", fields)
            }
            Rule::Distinct(fields) => {
                let values: Vec<_> = fields.iter().filter(|f| filled(f)).filter_map(|f| path::get(input, f)).collect();
                let repeated = values.iter().enumerate().any(|(i, v)| values[..i].iter().any(|w| validate::same(v, w)));
                if repeated { fail("values of these fields must be distinct: %s", fields) } else { None }
            }
            Rule::MutuallyRequired(fields) if ![0, fields.len()].contains(&count(fields)) => {
                fail("all or none of these fields must be set: %s", fields)
            }
            Rule::MutuallyExclusive(fields) if count(fields) > 1 => {
                fail("only one or none of these fields must be set: %s", fields)
            }
            Rule::MutuallyExclusiveSets(a, b) if count(a) > 0 && count(b) > 0 => {
                let set = |fields: &[String]| quoted(&fields.iter().filter(|f| filled(f)).cloned().collect::<Vec<_>>());
                Some(Failure::Fields("these sets are mutually exclusive: %s", format!("({}), ({})", set(a), set(b))))
            }
            Rule::Conditional { condition, then_field, then_required, then_rule, then_err } => {
                if !condition.holds(scope, input) {
                    return None;
                }
                let value = path::get(input, then_field).unwrap_or(&Value::Null);
                let failed = |words: Option<&String>| match words {
                    Some(words) => Failure::Words(words.replacen("%s", &condition.field, 1)),
                    None => Failure::Fields(
                        "failed conditional validation given value of field '%s'",
                        condition.field.clone(),
                    ),
                };
                if *then_required && value.is_null() {
                    path::set(errors, then_field, validate::REQUIRED.into());
                    return Some(failed(None));
                }
                let error = validate::field(scope, then_rule, value).err()?;
                path::set(errors, then_field, error);
                Some(failed(then_err.as_ref()))
            }
            Rule::ConditionalAtLeastOneOf { condition, then, then_err, otherwise } => {
                let value = path::get(input, &condition.field)?;
                let (fields, err) = if validate::field(scope, &condition.rule, value).is_ok() {
                    (then, then_err)
                } else {
                    let otherwise = otherwise.as_ref().filter(|o| validate::field(scope, &o.rule, value).is_ok())?;
                    (&otherwise.fields, &otherwise.err)
                };
                if count(fields) > 0 {
                    return None;
                }
                match err {
                    Some(err) => Some(Failure::Words(err.replacen("%s", &quoted(fields), 1))),
                    None => fail(scope.at_least_one_of(), fields),
                }
            }
            Rule::Custom { check, .. } => check.check(input).err().map(Failure::Words),
            _ => None,
        }
    }
}

impl Condition {
    fn holds(&self, scope: Scope, input: &Record) -> bool {
        path::get(input, &self.field).is_some_and(|value| validate::field(scope, &self.rule, value).is_ok())
    }
}

/// `'a', 'b'`.
pub(super) fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ")
}

fn is_filled(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().map_or_else(Vec::new, |list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// A field's description by dotted path.
fn raw_field<'a>(schema: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    let field = named(schema, "fields").ok()?.into_iter().find(|(name, _)| *name == head)?.1;
    match rest {
        Some(rest) => raw_field(field.as_object()?, rest),
        None => Some(field),
    }
}
