//! What can be asked of an endpoint, and what is answered.

use super::components::{self, name, reference};
use super::summaries;
use crate::endpoint::{Endpoint, Method};
use crate::resource::Subject;
use model::Catalog;
use model::schema::Usage;
use serde_json::{Map, Value, json};

/// What an endpoint deals in.
enum Deals<'a> {
    /// All records of an entity, or those that belong to a record.
    Collection {
        of: &'a str,
        tagged: bool,
    },
    Record {
        of: &'a str,
    },
    /// Whatever its summary says.
    Other,
}

/// The path of an endpoint as OpenAPI writes it, and its operations.
pub fn path_item(catalog: &Catalog, path: &str, endpoint: &Endpoint) -> (String, Value) {
    let path = path.replace("/*", "/{rest}");
    let deals = deals(endpoint.subject.as_ref(), &path);
    let mut item = Map::new();
    for method in endpoint.methods() {
        let operation = operation(catalog, &path, method, &deals);
        item.insert(method.name().to_ascii_lowercase(), operation);
    }
    let parameters: Vec<Value> = path.split('/').filter_map(parameter).collect();
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), Value::Array(parameters));
    }
    (path, Value::Object(item))
}

fn deals<'a>(subject: Option<&'a Subject>, path: &str) -> Deals<'a> {
    let Some(Subject { outer, inner, field }) = subject else { return Deals::Other };
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let last = segments.last().copied().unwrap_or_default();
    let asked = inner.as_deref().unwrap_or(outer);
    if !components::has(asked) {
        return Deals::Other;
    }
    match (inner.as_deref(), segments.len()) {
        (None, 1) => Deals::Collection { of: &asked.name, tagged: asked.tagged },
        (None, 2) if last.starts_with('{') => Deals::Record { of: &asked.name },
        (Some(_), 4) if last.starts_with('{') => Deals::Record { of: &asked.name },
        (Some(_), 3) if last == field => Deals::Record { of: &asked.name },
        // A filter by tags has no effect there.
        (Some(inner), 3) if last == inner.nested_path => Deals::Collection { of: &asked.name, tagged: false },
        _ => Deals::Other,
    }
}

fn parameter(segment: &str) -> Option<Value> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }))
}

fn operation(catalog: &Catalog, path: &str, method: Method, deals: &Deals) -> Value {
    let family = path.split('/').nth(1).filter(|family| !family.is_empty()).unwrap_or("node");
    let mut operation = json!({
        "operationId": id(path, method),
        "tags": [family],
        "summary": summaries::of(path, method).map_or_else(|| summary(method, deals), str::to_owned),
    });
    if let (Method::Get, Deals::Collection { tagged, .. }) = (method, deals) {
        let names = ["size", "offset", "search"].into_iter().chain(tagged.then_some("tags"));
        operation["parameters"] = names.map(|name| reference("parameters", name)).collect();
    }
    if method.has_body() {
        operation["requestBody"] = body(catalog, method, deals);
    }
    operation["responses"] = responses(path, method, deals);
    operation
}

/// `get-services-services-routes` of `GET /services/{services}/routes`.
fn id(path: &str, method: Method) -> String {
    let words = path.split('/').filter(|segment| !segment.is_empty());
    let words = words.map(|segment| {
        segment
            .strip_prefix('{')
            .and_then(|s| s.strip_suffix('}'))
            .map_or_else(|| segment.to_owned(), |name| format!("by-{name}"))
    });
    std::iter::once(method.name().to_ascii_lowercase()).chain(words).collect::<Vec<_>>().join("-")
}

fn summary(method: Method, deals: &Deals) -> String {
    let entity = match deals {
        Deals::Collection { of, .. } | Deals::Record { of } => of.replace('_', " "),
        Deals::Other => return method.name().to_owned(),
    };
    match (method, deals) {
        (Method::Get, Deals::Collection { .. }) => format!("A page of {entity}"),
        (Method::Get, _) => format!("One of {entity}"),
        (Method::Post, _) => format!("Create one of {entity}"),
        (Method::Put, _) => format!("Create or replace one of {entity}"),
        (Method::Patch, _) => format!("Change one of {entity}"),
        (Method::Delete, _) => format!("Delete one of {entity}"),
    }
}

fn body(catalog: &Catalog, method: Method, deals: &Deals) -> Value {
    let usage = if method == Method::Patch { Usage::Change } else { Usage::New };
    let entity = match deals {
        Deals::Collection { of, .. } | Deals::Record { of } => Some(*of).filter(|of| catalog.entity(of).is_some()),
        Deals::Other => None,
    };
    let json = entity.map_or_else(|| json!({ "type": "object" }), |of| reference("schemas", &name(of, usage)));
    let form = json!({
        "schema": {
            "type": "object",
            "description": "The same fields, under names such as `config.minute`, `tags[]` and `sources[1].ip`.",
        },
    });
    json!({
        "content": {
            "application/json": { "schema": json },
            "application/x-www-form-urlencoded": form,
            "multipart/form-data": form,
        },
    })
}

fn responses(path: &str, method: Method, deals: &Deals) -> Value {
    let json = |description: &str, schema: Value| {
        let content = json!({ "application/json": { "schema": schema } });
        json!({ "description": description, "content": content })
    };
    let record = |of: &str| json("The record", reference("schemas", &name(of, Usage::Answer)));
    let mut responses = Map::new();
    let mut add = |status: &str, response: Value| drop(responses.insert(status.to_owned(), response));
    match (method, deals) {
        (Method::Get, Deals::Collection { of, .. }) => add("200", json("A page", page(of))),
        (Method::Post, Deals::Collection { of, .. }) => add("201", record(of)),
        (Method::Delete, Deals::Collection { .. } | Deals::Record { .. }) => {
            add("204", json!({ "description": "It is not there (any more)" }));
        }
        (_, Deals::Record { of }) => add("200", record(of)),
        (_, Deals::Other) if summaries::is_text(path) => {
            let text = json!({ "text/plain": { "schema": { "type": "string" } } });
            add("200", json!({ "description": "Text", "content": text }));
        }
        (_, Deals::Collection { .. } | Deals::Other) => {
            add("200", json("Done", json!({ "type": "object" })));
            if method != Method::Get {
                add("201", json("Created", json!({ "type": "object" })));
                add("204", json!({ "description": "Done" }));
            }
        }
    }
    let mut errors = vec![("400", "invalid"), ("401", "unauthorized"), ("403", "forbidden"), ("404", "absent")];
    if method != Method::Get {
        errors.extend([("405", "not_allowed"), ("409", "conflict")]);
    }
    if method.has_body() {
        errors.extend([("408", "late"), ("413", "too_large"), ("415", "media_type")]);
    }
    errors.into_iter().for_each(|(status, name)| add(status, reference("responses", name)));
    summaries::answers(path).iter().for_each(|(status, text)| add(status, json!({ "description": text })));
    Value::Object(responses)
}

fn page(of: &str) -> Value {
    json!({
        "type": "object",
        "required": ["data", "next"],
        "properties": {
            "data": { "type": "array", "items": reference("schemas", &name(of, Usage::Answer)) },
            "next": { "type": ["string", "null"], "description": "The path of the next page" },
            "offset": { "type": "string", "description": "Where the next page begins" },
        },
    })
}
