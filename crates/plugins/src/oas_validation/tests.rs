//! What conforms to documents of each version, without sockets.

use super::*;
use sdk::testing;
use serde_json::json;

/// A document of OpenAPI 3.
fn pets() -> Value {
    let pet = json!({ "schema": { "$ref": "#/components/schemas/pet" } });
    json!({
        "openapi": "3.0.3", "info": { "title": "pets", "version": "1" }, "servers": [{ "url": "https://api.test/v1" }],
        "paths": {
            "/pets/mine": { "get": { "responses": { "200": { "description": "" } } } },
            "/pets/{id}": {
                "parameters": [{ "$ref": "#/components/parameters/id" }],
                "get": {
                    "parameters": [
                        {
                            "name": "tags", "in": "query",
                            "schema": { "type": "array", "items": { "type": "integer" } }
                        },
                        { "name": "X-Trace", "in": "header", "required": true, "schema": { "type": "string" } }
                    ],
                    "responses": {
                        "200": { "description": "", "content": { "application/json": pet } },
                        "default": { "description": "" }
                    }
                },
                "put": {
                    "requestBody": {
                        "required": true,
                        "content": { "application/json": pet, "text/plain": {} }
                    },
                    "responses": {}
                }
            }
        },
        "components": {
            "parameters": { "id": { "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } } },
            "schemas": {
                "pet": {
                    "type": "object", "required": ["name"],
                    "properties": {
                        "name": { "type": "string" }, "owner": { "type": "string", "nullable": true },
                        "friends": { "type": "array", "items": { "$ref": "#/components/schemas/pet" } }
                    }
                }
            }
        }
    })
}

fn configure(document: &Value, changes: Value) -> Box<dyn Plugin> {
    let mut config = json!({ "api_spec": document.to_string(), "verbose_response": true });
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    testing::configure(&OasValidation, config, &Env::default())
}

/// The message of the refusal.
fn ask(plugin: &dyn Plugin, method: &str, target: &str, lines: &[(&str, &str)], body: &str) -> Option<String> {
    let mut exchange = testing::exchange(method, target, lines);
    exchange.body = body.to_owned().into();
    let answer = testing::access(plugin, &mut exchange)?;
    assert_eq!(answer.status, 400);
    serde_json::from_slice::<Value>(&answer.body).unwrap()["message"].as_str().map(str::to_owned)
}

#[test]
fn parameters() {
    let plugin = configure(&pets(), json!({}));
    let trace = [("X-Trace", "t")];
    let get = |target: &str| ask(&*plugin, "GET", target, &trace, "");
    assert_eq!(get("/pets/5?tags=1&tags=2"), None);
    assert_eq!(get("/pets/mine"), None, "what is literal goes first");
    assert!(get("/pets/five").unwrap().starts_with("path 'id' validation failed with error: 'wrong type"));
    assert!(get("/pets/5?tags=x").unwrap().starts_with("query 'tags' validation failed"));
    assert_eq!(
        ask(&*plugin, "GET", "/pets/5", &[], "").unwrap(),
        "header 'X-Trace' validation failed with error: 'required parameter value not found in request'"
    );
    assert_eq!(get("/cats").unwrap(), "validation failed, path not found in api specification");
    assert_eq!(
        ask(&*plugin, "DELETE", "/pets/5", &trace, "").unwrap(),
        "validation failed, method not found in api specification"
    );
    let lenient =
        configure(&pets(), json!({ "validate_request_uri_params": false, "validate_request_header_params": false }));
    assert_eq!(ask(&*lenient, "GET", "/pets/five", &[], ""), None);
}

#[test]
fn bodies() {
    let plugin = configure(&pets(), json!({}));
    let put = |kind: &str, body: &str| ask(&*plugin, "PUT", "/pets/5", &[("Content-Type", kind)], body);
    assert_eq!(put("application/json; charset=utf-8", r#"{"name":"a","owner":null,"friends":[{"name":"b"}]}"#), None);
    let words = put("application/json", r#"{"name":"a","friends":[{}]}"#).unwrap();
    assert!(words.ends_with("failed to validate item 1: property name is required'"), "{words}");
    assert!(put("application/json", "{").unwrap().contains("not valid json"));
    assert!(put("application/json", "").unwrap().contains("request body is required"));
    assert!(put("application/xml", "<a/>").unwrap().contains("content type is not in api specification"));
    assert_eq!(put("text/plain", "hello"), None);
    let mut exchange = testing::exchange("PUT", "/pets/5", &[("Content-Type", "application/json")]);
    exchange.body = sdk::RequestBody::TooLarge;
    assert_eq!(testing::access(&*plugin, &mut exchange).unwrap().status, 413);
}

#[test]
fn what_the_document_does_not_have() {
    let changes = json!({
        "query_parameter_check": true, "header_parameter_check": true, "allowed_header_parameters": "Host, Accept"
    });
    let plugin = configure(&pets(), changes);
    let lines = [("X-Trace", "t"), ("host", "a"), ("X-Consumer-ID", "1")];
    assert_eq!(ask(&*plugin, "GET", "/pets/5?tags=1", &lines, ""), None);
    assert!(ask(&*plugin, "GET", "/pets/5?x=1", &lines, "").unwrap().contains("query parameter 'x'"));
    let more = [("X-Trace", "t"), ("X-More", "1")];
    assert!(ask(&*plugin, "GET", "/pets/5", &more, "").unwrap().contains("header parameter 'x-more'"));
}

#[test]
fn base_paths() {
    let own = configure(&pets(), json!({ "include_base_path": true }));
    assert_eq!(ask(&*own, "GET", "/v1/pets/mine", &[], ""), None);
    assert!(ask(&*own, "GET", "/pets/mine", &[], "").is_some());
    let custom = configure(&pets(), json!({ "custom_base_path": "/shop/" }));
    assert_eq!(ask(&*custom, "GET", "/shop/pets/mine", &[], ""), None);
}

#[test]
fn other_versions() {
    let swagger = json!({
        "swagger": "2.0", "basePath": "/v2", "paths": { "/pets/{id}": { "post": {
            "parameters": [
                { "name": "id", "in": "path", "required": true, "type": "integer" },
                { "name": "ids", "in": "query", "type": "array", "items": { "type": "integer" } },
                { "name": "pet", "in": "body", "required": true, "schema": { "$ref": "#/definitions/pet" } }
            ],
            "responses": { "200": { "description": "", "schema": { "$ref": "#/definitions/pet" } } }
        } } },
        "definitions": { "pet": { "type": "object", "required": ["name"] } }
    });
    let plugin = configure(&swagger, json!({ "include_base_path": true }));
    let post = |target: &str, body: &str| ask(&*plugin, "POST", target, &[("Content-Type", "application/json")], body);
    assert_eq!(post("/v2/pets/5?ids=1,2", r#"{"name":1}"#), None);
    assert!(post("/v2/pets/5?ids=1,x", r#"{"name":1}"#).is_some());
    assert!(post("/v2/pets/5", "{}").is_some());
    let newer = json!({ "openapi": "3.1.0", "paths": { "/": { "get": { "parameters": [
        { "name": "q", "in": "query", "schema": { "type": ["integer", "null"], "exclusiveMinimum": 3 } }
    ] } } } });
    let plugin = configure(&newer, json!({}));
    assert_eq!(ask(&*plugin, "GET", "/?q=4", &[], ""), None);
    assert!(ask(&*plugin, "GET", "/?q=3", &[], "").is_some());
}

#[test]
fn documents_are_checked() {
    let parse = |text: &str| Spec::parse(text, true, None, false).map(drop);
    assert!(parse("openapi: 3.0.0\npaths:\n  /a:\n    get: {}\n").is_ok());
    assert!(parse("%7B%22openapi%22%3A%223.0.0%22%2C%22paths%22%3A%7B%7D%7D").is_ok());
    for text in [
        "",
        "hello",
        "{}",
        r#"{"openapi":"4.0"}"#,
        r#"{"openapi":"3.0.0"}"#,
        r##"{"openapi":"3.0.0","paths":{"/a":{"$ref":"#/paths/~1a"}}}"##,
        r#"{"openapi":"3.0.0","paths":{"/a":{"$ref":"http://a.test/b.json"}}}"#,
        r##"{"swagger":"2.0","paths":{"/":{"get":{"parameters":[{"name":"","in":"body","schema":{"$ref":"#/x"}}]}}}}"##,
        r#"{"openapi":"3.0.0","paths":{"/{a":{}}}"#,
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn responses() {
    let respond = |changes: Value, body: &str| {
        let plugin = configure(&pets(), changes);
        let mut exchange = testing::exchange("GET", "/pets/5", &[("X-Trace", "t")]);
        assert!(testing::access(&*plugin, &mut exchange).is_none());
        let lines = [("Content-Type", "application/json"), ("Content-Length", "9")];
        let body = testing::respond(&*plugin, &mut exchange, 200, &lines, &[body]);
        (exchange.response.fields.has(Known::ContentLength), body)
    };
    let validates = json!({ "validate_response_body": true });
    assert_eq!(respond(validates.clone(), r#"{"name":"a"}"#), (false, r#"{"name":"a"}"#.to_owned()));
    assert_eq!(respond(validates.clone(), r#"{"name":1}"#).1, "");
    assert_eq!(respond(validates, "broken").1, "");
    let notifies = json!({ "validate_response_body": true, "notify_only_response_body_validation_failure": true });
    assert_eq!(respond(notifies, r#"{"name":1}"#).1, r#"{"name":1}"#);
}

#[test]
fn requests_that_are_only_told_of() {
    let plugin = configure(&pets(), json!({ "notify_only_request_validation_failure": true }));
    assert_eq!(ask(&*plugin, "GET", "/pets/five", &[], ""), None);
}
