//! Files, and what becomes of them.

use super::*;
use model::{Catalog, PluginSchema, Schema};
use serde_json::json;
use std::sync::Arc;

/// The core entities, a plugin, and one that must not be told its consumer.
fn catalog() -> Catalog {
    let mut catalog = Catalog::core();
    let mut add = |name: &str, fields: &str| {
        let text = format!(
            r#"{{"name": "{name}", "fields": [{fields} {{"config": {{"type": "record", "fields": [
            {{"key": {{"type": "string", "required": true, "referenceable": true, "len_min": 3}}}}]}}}}]}}"#
        );
        let schema = Arc::new(Schema::parse(&text).unwrap());
        catalog.add_plugin(name, PluginSchema { priority: 1, version: "1".to_owned(), schema });
    };
    add("any", "");
    add("all", r#"{"consumer": {"type": "foreign", "reference": "consumers", "eq": null}},"#);
    catalog
}

fn read(mut document: Value) -> Result<Entities, Rejection> {
    document.as_object_mut().unwrap().entry("_format_version").or_insert_with(|| "3.0".into());
    Document::of_fields(document.as_object().unwrap().clone()).read(&catalog())
}

#[track_caller]
fn records(document: Value) -> Record {
    let entities = read(document).unwrap_or_else(|rejection| panic!("{}", rejection.describe()));
    let list =
        |records: Vec<flatten::Declared>| records.into_iter().map(|declared| Value::Object(declared.record)).collect();
    entities.lists.into_iter().map(|(entity, records)| (entity, list(records))).collect()
}

#[track_caller]
fn rejection(document: Value) -> Rejection {
    read(document).err().expect("it is refused")
}

#[track_caller]
fn fields(document: Value) -> Value {
    rejection(document).error().fields
}

#[test]
fn consumers_name_their_groups_and_groups_their_consumers() {
    let found = records(json!({
        "consumers": [{"username": "ada", "groups": [{"name": "gold"}]}, {"username": "bob"}],
        "consumer_groups": [{"name": "gold", "consumers": [{"username": "bob"}],
            "plugins": [{"name": "any", "config": {"key": "abc"}}]}, {"name": "silver"}],
        "consumer_group_consumers": [{"consumer": "ada", "consumer_group": "silver"}],
        "consumer_group_plugins": [{"name": "any", "consumer_group": "silver", "config": {"key": "abc"}}],
    }));
    let id = |entity: &str, n: usize| found[entity][n]["id"].as_str().unwrap().to_owned();
    let pair =
        |record: &Value| ["consumer", "consumer_group"].map(|field| record[field]["id"].as_str().map(str::to_owned));
    let mut pairs: Vec<_> = found["consumer_group_consumers"].as_array().unwrap().iter().map(pair).collect();
    let mut expected = [(0, 0), (1, 0), (0, 1)]
        .map(|(consumer, group)| [Some(id("consumers", consumer)), Some(id("consumer_groups", group))])
        .to_vec();
    pairs.sort();
    expected.sort();
    assert_eq!(pairs, expected);
    let groups: Vec<_> =
        found["plugins"].as_array().unwrap().iter().map(|plugin| &plugin["consumer_group"]["id"]).collect();
    assert_eq!(groups, [&json!(id("consumer_groups", 0)), &json!(id("consumer_groups", 1))]);
    assert_eq!(
        fields(json!({"consumers": [{"username": "ada", "groups": ["gold"]}]})),
        json!({"consumers": [{"groups": "unknown field"}]})
    );
    let unknown = rejection(json!({"consumers": [{"username": "ada", "groups": [{"name": "nope"}]}]}));
    assert!(unknown.describe().contains("nope"), "{}", unknown.describe());
}

#[test]
fn what_stands_inside_refers_to_what_is_around_it() {
    let found = records(json!({
        "services": [{"name": "s", "host": "h.test", "_comment": "c", "_ignore": [1],
            "routes": [{"name": "r", "paths": ["/a"], "plugins": [{"name": "any", "config": {"key": "abc"}}]}]}],
    }));
    let key = |entity: &str| json!({ "id": found[entity][0]["id"] });
    assert_eq!(found["routes"][0]["service"], key("services"));
    assert_eq!(found["plugins"][0]["route"], key("routes"));
    assert_eq!(found["plugins"][0]["service"], Value::Null);
    assert_eq!(found["services"][0].get("_comment"), None);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["services", "routes", "plugins"]);
}

#[test]
fn references_are_names_or_ids() {
    let id = "0A000000-0000-4000-8000-000000000001";
    let found = records(json!({
        "routes": [{"name": "r", "paths": ["/a"], "service": "s"}, {"name": "q", "paths": ["/b"], "service": id}],
        "services": [{"name": "s", "host": "h.test", "id": id}],
    }));
    assert_eq!(found["routes"][0]["service"]["id"], id.to_lowercase());
    assert_eq!(found["routes"][1]["service"]["id"], id.to_lowercase());
}

#[test]
fn entries_inside_of_others_can_refer_to_more() {
    let plugin = |consumer: Value| {
        json!({
            "consumers": [{"username": "u"}],
            "routes": [{"name": "r", "paths": ["/a"],
                "plugins": [{"name": "any", "config": {"key": "abc"}, "consumer": consumer}]}],
        })
    };
    let found = records(plugin(json!("u")));
    assert_eq!(found["plugins"][0]["consumer"]["id"], found["consumers"][0]["id"]);
    assert_eq!(found["plugins"][0]["route"]["id"], found["routes"][0]["id"]);
    assert_eq!(
        fields(plugin(json!("nobody"))),
        json!({"routes": [{"plugins": [{"consumer": {"id": "missing primary key"}}]}]})
    );
}

#[test]
fn plugins_that_have_no_consumer_refuse_one() {
    let plugin = json!({"name": "all", "config": {"key": "abc"}, "consumer": "u"});
    let document = json!({"consumers": [{"username": "u"}], "plugins": [plugin]});
    assert_eq!(fields(document), json!({"plugins": [{"consumer": "value must be null"}]}));
}

#[test]
fn checks_see_what_is_around_an_entry() {
    // A filter chain needs a route or a service, and has one by where it stands.
    let chain = json!({"name": "f", "filters": [{"name": "x"}]});
    let document = json!({"services": [{"name": "s", "host": "h.test", "filter_chains": [chain]}]});
    let errors = fields(document);
    assert_eq!(errors, json!({"services": [{"filter_chains": [{"filters": [{"name": "no such filter"}]}]}]}));
}

#[test]
fn lists_and_entries_have_their_form() {
    let document = json!({"foo": 1, "services": {"a": 1}, "consumers": [{"username": "u"}, 5],
        "routes": [{"name": "r", "paths": ["/a"], "plugins": {"x": 1}, "_comment": 1}]});
    assert_eq!(
        fields(document),
        json!({
            "foo": "unknown field",
            "services": "expected an array",
            "consumers": [null, "expected a record"],
            "routes": [{"plugins": "expected an array", "_comment": "expected a string"}],
        })
    );
    assert!(read(json!({"services": {}, "routes": null})).unwrap().is_empty());
}

#[test]
fn names_ids_and_other_values_are_unique() {
    let service = |name: &str, id: u32| {
        json!({"name": name, "host": "h.test",
        "id": format!("{id:08}-0000-4000-8000-000000000001")})
    };
    assert_eq!(
        fields(json!({"services": [service("a", 1), service("a", 2), service("b", 1)]})),
        json!({"services": [
            null,
            "uniqueness violation: 'services' entity with name set to 'a' already declared",
            "uniqueness violation: 'services' entity with primary key set to '00000001-0000-4000-8000-000000000001' \
             already declared",
        ]})
    );
    let consumers = json!([{"username": "a", "custom_id": "c"}, {"username": "b", "custom_id": "c"}]);
    assert_eq!(
        fields(json!({ "consumers": consumers })),
        json!({"consumers": {
            "b": "uniqueness violation: 'consumers' entity with custom_id set to 'c' already declared",
        }})
    );
    let plugin = |id: u32| {
        json!({"name": "any", "config": {"key": "abc"},
        "id": format!("{id:08}-0000-4000-8000-000000000001")})
    };
    let errors = fields(json!({"plugins": [plugin(1), plugin(2)]}));
    assert_eq!(
        errors["plugins"]["00000002-0000-4000-8000-000000000001"],
        "uniqueness violation: 'plugins' entity with name, route, service, consumer set to 'any, , , ' already declared"
    );
}

#[test]
fn references_to_nothing_are_told_by_the_name_of_the_entry() {
    let document = json!({"routes": [{"name": "r", "paths": ["/a"], "service": "nope"}]});
    let words = "invalid reference 'service: nope' (no such entry in 'services')";
    let rejection = rejection(document);
    assert_eq!(rejection.error().fields, json!({"routes": {"r": [words]}}));
    let listed = &rejection.flattened()["flattened_errors"][0];
    assert_eq!(listed["errors"], json!([{"type": "field", "field": "service", "message": words}]));
    assert_eq!(listed["entity_name"], "r");
}

#[test]
fn entries_inside_of_others_cannot_belong_elsewhere() {
    let (one, two) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
    let document = |id: &str| {
        let route = json!({"name": "r", "paths": ["/a"], "service": {"id": id}});
        json!({"services": [{"id": one, "name": "s", "host": "h.test", "routes": [route]}]})
    };
    let words = format!("invalid reference 'service: {{\"id\":\"{two}\"}}' (no such entry in 'services')");
    assert_eq!(rejection(document(two)).error().fields, json!({"routes": {"r": [words]}}));
    assert_eq!(read(document(one)).unwrap().len(), 2);
}

#[test]
fn errors_are_listed_by_entry() {
    let id = "11111111-1111-4111-8111-111111111111";
    let rejection = rejection(json!({
        "bar": 1,
        "services": [
            {"name": "s", "id": id, "tags": ["t"], "port": -1, "routes": [{"name": "r", "paths": ["a", "/b", "c"]}]},
            {"name": "t", "host": "h.test", "protocol": "tcp", "path": "/x"},
        ],
        "consumers": [{"username": "u", "keyauth_credentials": 1}],
    }));
    let body = rejection.flattened();
    assert_eq!(body["fields"], json!({"bar": "unknown field"}));
    let listed = body["flattened_errors"].as_array().unwrap();
    let types: Vec<_> = listed.iter().map(|item| item["entity_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["service", "route", "service", "consumer"]);
    let conditional = "failed conditional validation given value of field 'protocol'";
    assert_eq!(
        listed[0]["errors"],
        json!([
            {"type": "field", "field": "path", "message": "value must be null"},
            {"type": "entity", "message": conditional},
        ])
    );
    assert_eq!(listed[1]["entity"]["service"], json!({ "id": id }));
    let paths: Vec<_> = listed[1]["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
    assert_eq!(paths, ["paths.3", "paths.1"]);
    assert_eq!(listed[2]["entity_id"], id);
    assert_eq!(listed[2]["entity_tags"], json!(["t"]));
    assert_eq!(listed[2]["entity"].get("routes"), None);
    assert_eq!(
        listed[3]["errors"],
        json!([{"type": "field", "field": "keyauth_credentials", "message": "unknown field"}])
    );
}

#[test]
fn entries_that_are_there_twice_are_listed_with_their_ids() {
    let listed = |document: Value| rejection(document).flattened()["flattened_errors"].clone();
    let twice = listed(json!({"services": [{"name": "a", "host": "h"}, {"name": "a", "host": "i", "tags": ["z"]}]}));
    let id = twice[0]["entity_id"].as_str().unwrap();
    assert_eq!(twice[0]["entity"], json!({"id": id, "name": "a", "host": "i", "tags": ["z"]}));
    let targets = json!([{"target": "h.test:1"}, {"target": "h.test:1"}]);
    let inner = listed(json!({"upstreams": [{"name": "u", "targets": targets}]}))[0].clone();
    assert_eq!((&inner["entity_type"], &inner["entity"]["id"]), (&json!("target"), &inner["entity_id"]));
    assert!(inner["entity_id"].is_string() && inner["entity"]["upstream"]["id"].is_string(), "{inner}");
}

#[test]
fn an_entry_in_place_of_a_reference_is_listed_by_itself() {
    let certificate = json!({"id": "11111111-1111-4111-8111-111111111111", "cert": "bad"});
    let service = json!({"host": "h.test", "protocol": "https", "client_certificate": certificate, "port": -1});
    let body = rejection(json!({"services": [service]})).flattened();
    let types: Vec<_> = body["flattened_errors"].as_array().unwrap().iter().map(|e| e["entity_type"].clone()).collect();
    assert_eq!(types, ["service"]);
    assert_eq!(body["flattened_errors"][0]["entity"]["client_certificate"], json!({"id": certificate["id"]}));
}

#[test]
fn references_to_vaults_are_kept() {
    let found = records(json!({"plugins": [{"name": "any", "config": {"key": "{vault://env/x}"}}]}));
    assert_eq!(found["plugins"][0]["config"]["key"], "{vault://env/x}");
}

#[test]
fn older_versions_are_brought_up_to_date() {
    for version in ["1.1", "2.1"] {
        let found = records(json!({
            "_format_version": version,
            "routes": [{"name": "q", "paths": ["/a//b"]}],
            "services": [{"name": "s", "host": "h.test", "routes": [{"name": "r", "paths": [r"/a/\d+"]}]}],
        }));
        assert_eq!(found["routes"][0]["paths"], json!(["/a/b"]));
        assert_eq!(found["routes"][1]["paths"], json!([r"~/a/\d+"]));
    }
    assert!(read(json!({"_format_version": "3.0", "_transform": false})).is_ok_and(|entities| !entities.transform));
}

#[test]
fn texts_are_json_or_yaml() {
    let parse = |text: &str, notation| Document::parse(text, notation).map_err(|rejection| rejection.describe());
    let text = "_format_version: '3.0'\n";
    let document = parse(text, Notation::Either).unwrap();
    assert_eq!(document.hash(), "d77d2ce3e8823b105929691c9b13ae54");
    assert!(parse(r#"{"_format_version": "3.0"}"#, Notation::Either).is_ok());
    assert!(parse("{\"_format_version\": \"3.0\",}", Notation::Either).is_ok(), "it is YAML");
    assert!(parse(text, Notation::Json).is_err());
    let words = "failed parsing declarative configuration: expected an object";
    assert_eq!(parse("12", Notation::Either).unwrap_err(), words);
    assert_eq!(parse("", Notation::Either).unwrap_err(), words);
    assert!(parse("x: [1", Notation::Either).unwrap_err().starts_with("failed parsing declarative configuration: "));
    assert_eq!(Notation::of_file("a/kong.yml"), Some(Notation::Yaml));
    assert_eq!(Notation::of_file("kong.json"), Some(Notation::Json));
    assert_eq!(Notation::of_file("kong.txt"), None);
}

#[test]
fn the_same_object_has_the_same_hash() {
    let hash = |text: &str| Document::of_fields(serde_json::from_str(text).unwrap()).hash().to_owned();
    assert_eq!(hash(r#"{"a": 1, "b": [2]}"#), hash(r#"{ "a":1,"b":[ 2 ] }"#));
    assert_ne!(hash(r#"{"a": 1}"#), hash(r#"{"a": 2}"#));
}
