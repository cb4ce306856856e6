//! What the texts of parameters stand for, by the types that a schema names.

use serde_json::Value;

/// What text is to become before it is validated.
pub enum Shape {
    Plain(Types),
    List(Types),
    Object { properties: Vec<(String, Types)>, others: Types },
}

/// The types that a schema lets a plain value have.
#[derive(Clone, Copy, Default)]
pub struct Types {
    string: bool,
    number: bool,
    boolean: bool,
    null: bool,
}

/// References inside each other, in a schema.
const MAX_DEPTH: usize = 8;

impl Shape {
    /// The shape of the values that conform to a schema, which is `root` or a part of it.
    pub fn of(schema: &Value, root: &Value) -> Shape {
        let resolved = resolve(schema, root);
        let types = |schema: Option<&Value>| schema.map_or(Types::default(), |s| Types::of(s, root, MAX_DEPTH));
        if has_type(resolved, "array", root, MAX_DEPTH) {
            Shape::List(types(resolved.get("items")))
        } else if has_type(resolved, "object", root, MAX_DEPTH) {
            let properties = resolved.get("properties").and_then(Value::as_object).into_iter().flatten();
            Shape::Object {
                properties: properties.map(|(name, schema)| (name.clone(), types(Some(schema)))).collect(),
                others: types(resolved.get("additionalProperties")),
            }
        } else {
            Shape::Plain(types(Some(resolved)))
        }
    }

    /// The types of an object's member.
    pub fn member(&self, name: &str) -> Types {
        match self {
            Shape::Plain(types) | Shape::List(types) => *types,
            Shape::Object { properties, others } => {
                properties.iter().find(|(known, _)| known == name).map_or(*others, |(_, types)| *types)
            }
        }
    }
}

impl Types {
    fn of(schema: &Value, root: &Value, depth: usize) -> Types {
        let is = |name: &str| has_type(schema, name, root, depth);
        let nullable = schema.get("nullable").and_then(Value::as_bool).unwrap_or(false);
        Types {
            string: is("string"),
            number: is("number") || is("integer"),
            boolean: is("boolean"),
            null: is("null") || nullable,
        }
    }

    /// What a text stands for; text, where nothing else is expected of it.
    pub fn convert(self, text: &str) -> Value {
        if self.string {
            return text.into();
        }
        if self.number
            && let Ok(number) = serde_json::from_str::<serde_json::Number>(text)
        {
            return Value::Number(number);
        }
        match text {
            "true" if self.boolean => Value::Bool(true),
            "false" if self.boolean => Value::Bool(false),
            "" | "null" if self.null => Value::Null,
            _ => text.into(),
        }
    }
}

/// What a reference within the same text refers to.
fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..MAX_DEPTH {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        let Some(target) = target.and_then(|pointer| root.pointer(pointer)) else { break };
        schema = target;
    }
    schema
}

/// Whether a schema, or one that it consists of, names that type.
fn has_type(schema: &Value, name: &str, root: &Value, depth: usize) -> bool {
    let schema = resolve(schema, root);
    let named = match schema.get("type") {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(name)),
        _ => false,
    };
    let within = |key: &str| {
        let parts = schema.get(key).and_then(Value::as_array).into_iter().flatten();
        depth > 0 && parts.into_iter().any(|part| has_type(part, name, root, depth - 1))
    };
    named || ["allOf", "anyOf", "oneOf"].into_iter().any(within)
}
