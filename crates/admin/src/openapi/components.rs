//! What operations share: the schemas of records, parameters, and the answers that say what went wrong.

use crate::resource::Resource;
use crate::workspace;
use model::schema::Usage;
use model::{Catalog, Schema};
use serde_json::{Map, Value, json};

/// The name of an entity's schema.
pub fn name(entity: &str, usage: Usage) -> String {
    match usage {
        Usage::Answer => entity.to_owned(),
        Usage::New => format!("{entity}.new"),
        Usage::Change => format!("{entity}.change"),
    }
}

/// Whether records of an entity are shown and taken as its schema says. Those of users and what they may do have forms
/// of their own.
pub fn has(resource: &Resource) -> bool {
    resource.generated && resource.name != "filter_chains" || resource.name == workspace::ENTITY
}

/// A reference to a component.
pub fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

pub fn all(catalog: &Catalog) -> Value {
    json!({
        "securitySchemes": { "token": { "type": "apiKey", "in": "header", "name": "Kong-Admin-Token" } },
        "parameters": {
            "size": query("size", "Records of a page", json!({ "type": "integer", "minimum": 1, "maximum": 1000 })),
            "offset": query("offset", "Where a page begins, as the one before says", json!({ "type": "string" })),
            "tags": query(
                "tags",
                "Only records with these tags: all of `a,b`, or any of `a/b`",
                json!({ "type": "string", "minLength": 1 }),
            ),
            "search": query("search", "Only records with all of these words", json!({ "type": "string" })),
        },
        "responses": {
            "invalid": error("The request or the record is not valid", "violation"),
            "unauthorized": error("The request does not say whose it is", "message"),
            "forbidden": error("It is not allowed to this user or this client", "message"),
            "absent": error("There is no such record", "message"),
            "not_allowed": error("The endpoint does not have this method, or not without a database", "message"),
            "late": error("The content did not come in time", "message"),
            "conflict": error("Another record has a value that must be unique", "violation"),
            "too_large": error("The content is too large", "message"),
            "media_type": error("Content of this type is not read", "message"),
        },
        "schemas": schemas(catalog),
    })
}

fn query(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn error(description: &str, schema: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": reference("schemas", schema) } },
    })
}

fn schemas(catalog: &Catalog) -> Map<String, Value> {
    let mut schemas = Map::new();
    schemas.insert(
        "message".to_owned(),
        json!({ "type": "object", "required": ["message"], "properties": { "message": { "type": "string" } } }),
    );
    schemas.insert(
        "violation".to_owned(),
        json!({
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": { "type": "string" },
                "name": { "type": "string", "description": "What kind of error it is" },
                "code": { "type": "integer", "description": "The number of that kind" },
                "fields": { "description": "What is wrong, by field" },
            },
        }),
    );
    for resource in Resource::all(catalog).values().filter(|resource| has(resource)) {
        if let Some(entity) = catalog.entity(&resource.name) {
            add(&mut schemas, catalog, entity);
        }
    }
    schemas
}

fn add(schemas: &mut Map<String, Value>, catalog: &Catalog, entity: &Schema) {
    for usage in [Usage::Answer, Usage::Change] {
        schemas.insert(name(&entity.name, usage), entity.json_schema(None, usage));
    }
    let mut new = with_example(entity.json_schema(None, Usage::New), catalog, entity, None);
    let refinements = catalog.refinements(entity);
    if let Some(key) = entity.subschema_key().filter(|_| !refinements.is_empty()) {
        let mut mapping = Map::new();
        for (kind, refinement) in refinements {
            let mut refined = entity.json_schema(Some(refinement), Usage::New);
            refined["properties"][key] = json!({ "const": kind });
            let component = format!("{}.{kind}", entity.name);
            mapping.insert(kind.to_owned(), Value::String(format!("#/components/schemas/{component}")));
            schemas.insert(component, with_example(refined, catalog, entity, Some((kind, refinement))));
        }
        let kinds: Vec<Value> = mapping.values().map(|to| json!({ "$ref": to })).collect();
        new = json!({ "oneOf": kinds, "discriminator": { "propertyName": key, "mapping": mapping } });
    }
    schemas.insert(name(&entity.name, Usage::New), new);
}

fn with_example(
    mut described: Value,
    catalog: &Catalog,
    entity: &Schema,
    refinement: Option<(&str, &Schema)>,
) -> Value {
    if let Some(example) = entity.example(catalog, refinement) {
        described["examples"] = json!([example]);
    }
    described
}
