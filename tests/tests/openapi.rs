//! `/openapi.json`: it says what the Admin API does, and its examples are good.

use blackbox::Node;
use blackbox::http::{get, json, request};
use serde_json::Value;
use std::collections::BTreeSet;

fn document(node: &Node) -> Value {
    let answer = get(node.admin(), "/openapi.json");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    answer.json()
}

/// Names of components with an example each; of an entity with kinds of records, those of each kind.
fn examples(document: &Value) -> Vec<(&str, &Value)> {
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let is_new = |name: &str, schema: &Value| {
        let of_kind = name.split_once('.').is_some_and(|(entity, kind)| {
            ["partials", "plugins", "vaults"].contains(&entity) && !["change", "new"].contains(&kind)
        });
        schema.get("oneOf").is_none() && (of_kind || name.ends_with(".new"))
    };
    schemas.iter().filter(|(name, schema)| is_new(name, schema)).map(|(name, schema)| (name.as_str(), schema)).collect()
}

#[test]
fn every_endpoint_is_described() {
    let node = Node::start(&[]);
    let document = document(&node);
    let listed = get(node.admin(), "/endpoints").json();
    let listed = listed["data"].as_array().expect("a list").iter().filter_map(Value::as_str);
    // These answer nothing but that they are not there.
    let nothing =
        |path: &str| path.contains("/filter") || path.starts_with("/targets") || path.ends_with("/certificate");
    for path in listed.filter(|path| !nothing(path)) {
        let described = &document["paths"][path.replace("/*", "/{rest}")];
        let allowed = request(node.admin(), "OPTIONS", path, &[], b"").expect("an answer");
        let allowed: BTreeSet<String> =
            allowed.header("allow").unwrap_or_default().split(", ").map(str::to_lowercase).collect();
        let methods = described.as_object().expect(path).keys().filter(|key| *key != "parameters").cloned();
        let follow = ["head".to_owned(), "options".to_owned()];
        let expected: BTreeSet<String> = allowed.into_iter().filter(|method| !follow.contains(method)).collect();
        assert_eq!(methods.collect::<BTreeSet<_>>(), expected, "{path}");
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let node = Node::start(&[]);
    let document = document(&node);
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for operation in item.as_object().expect("operations").values().filter(|value| value.is_object()) {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name), "{path}: {name}");
        }
    }
}

#[test]
fn references_lead_somewhere() {
    fn check(document: &Value, part: &Value) {
        match part {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
                }
                map.values().for_each(|value| check(document, value));
            }
            Value::Array(items) => items.iter().for_each(|item| check(document, item)),
            _ => {}
        }
    }
    let node = Node::start(&[]);
    let document = document(&node);
    check(&document, &document);
}

#[test]
fn there_is_a_valid_example_of_every_record() {
    let node = Node::start(&[]);
    let document = document(&node);
    let examples = examples(&document);
    assert!(examples.len() > 50, "{}", examples.len());
    for (name, schema) in examples {
        let example = &schema["examples"][0];
        assert!(example.is_object(), "{name} has no example; its schema should have one under the key `example`");
        let entity = name.split('.').next().unwrap_or(name);
        // Workspaces are written by hand.
        if entity == "workspaces" {
            continue;
        }
        let path = format!("/schemas/{entity}/validate");
        let answer = json(node.admin(), "POST", &path, example);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
}

#[test]
fn records_are_as_described() {
    let node = Node::start(&[]);
    let document = document(&node);
    let schemas = &document["components"]["schemas"];
    let service = serde_json::json!({ "url": "http://service.test/", "tags": ["a"] });
    let made = json(node.admin(), "POST", "/services", &service).expect(201);
    let described = schemas["services"]["properties"].as_object().expect("properties");
    for field in made.json().as_object().expect("a record").keys() {
        assert!(described.contains_key(field), "{field}");
    }
    assert!(schemas["services.new"]["properties"]["url"].is_object(), "shorthands are taken");
}
