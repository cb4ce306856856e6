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
fn each_server_has_a_base_path() {
    let document = json!({
        "openapi": "3.0.3", "servers": [{ "url": "/v1" }, { "url": "https://h.test/{env}/v2/" }, { "url": "/" }],
        "paths": { "/p": { "get": {} } }
    });
    let plugin = configure(&document, json!({ "include_base_path": true }));
    for path in ["/v1/p", "/live/v2/p", "/p"] {
        assert_eq!(ask(&*plugin, "GET", path, &[], ""), None, "{path}");
    }
    assert!(ask(&*plugin, "GET", "/v3/p", &[], "").is_some());
}

#[test]
fn discriminators() {
    let animal = |own: &str| json!({ "type": "object", "required": ["t", own] });
    let body = |mapping: Value| {
        let options = json!([{ "$ref": "#/components/schemas/Cat" }, { "$ref": "#/components/schemas/Dog" }]);
        let schema = json!({ "oneOf": options, "discriminator": { "propertyName": "t", "mapping": mapping } });
        json!({
            "openapi": "3.0.3", "components": { "schemas": { "Cat": animal("m"), "Dog": animal("b") } },
            "paths": { "/p": { "post": {
                "requestBody": { "content": { "application/json": { "schema": schema } } }
            } } }
        })
    };
    let post = |document: &Value, body: &str| {
        let plugin = configure(document, json!({}));
        ask(&*plugin, "POST", "/p", &[("Content-Type", "application/json")], body).is_none()
    };
    let mapped = body(json!({ "c": "#/components/schemas/Cat", "d": "Dog" }));
    assert!(post(&mapped, r#"{"t":"c","m":1}"#));
    assert!(post(&mapped, r#"{"t":"d","b":1}"#));
    assert!(post(&mapped, r#"{"t":"c","m":1,"b":1}"#), "it says what it is");
    assert!(!post(&mapped, r#"{"t":"c","b":1}"#));
    assert!(!post(&mapped, r#"{"t":"zz","m":1}"#));
    let named = body(json!({}));
    assert!(post(&named, r#"{"t":"Dog","b":1}"#));
    assert!(!post(&named, r#"{"t":"Cat","b":1}"#));
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

/// The status and the message of what takes the place of a response.
fn respond(changes: Value, lines: &[(&str, &str)], body: impl Into<sdk::Bytes>) -> Option<(u16, String)> {
    let plugin = configure(&pets(), changes);
    let mut exchange = testing::exchange("GET", "/pets/5", &[("X-Trace", "t")]);
    assert!(testing::access(&*plugin, &mut exchange).is_none());
    exchange.response.status = 200;
    exchange.response.fields = lines.iter().copied().collect();
    exchange.response_body = Some(body.into());
    match plugin.response(&mut exchange) {
        Step::Answer(answer) => {
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            Some((answer.status, body["message"].as_str().unwrap().to_owned()))
        }
        _ => None,
    }
}

#[test]
fn responses() {
    const JSON: (&str, &str) = ("Content-Type", "application/json");
    let validates = json!({ "validate_response_body": true });
    assert_eq!(respond(validates.clone(), &[JSON], r#"{"name":"a"}"#), None);
    let words = "response body validation failed with error: 'property name validation failed: wrong type: \
        expected string, got number'";
    assert_eq!(respond(validates.clone(), &[JSON], r#"{"name":1}"#), Some((406, words.to_owned())));
    assert_eq!(respond(validates.clone(), &[JSON], "broken").unwrap().0, 406);
    assert_eq!(respond(validates.clone(), &[("Content-Type", "text/html")], "broken"), None);
    let zipped = [JSON, ("Content-Encoding", "gzip")];
    assert_eq!(respond(validates.clone(), &zipped, gzip::zip(br#"{"name":"a"}"#)), None);
    assert_eq!(respond(validates.clone(), &zipped, gzip::zip(br#"{"name":1}"#)).unwrap().0, 406);
    let silent = json!({ "validate_response_body": true, "verbose_response": false });
    let message = "response doesn't conform to api specification".to_owned();
    assert_eq!(respond(silent, &[JSON], r#"{"name":1}"#), Some((406, message)));
    let notifies = json!({ "validate_response_body": true, "notify_only_response_body_validation_failure": true });
    assert_eq!(respond(notifies, &[JSON], r#"{"name":1}"#), None);
}

#[test]
fn all_faults_can_be_told() {
    let refuse = |changes: Value| {
        let plugin = configure(&pets(), changes);
        let lines = [("X-Trace", "t"), ("Content-Type", "application/json")];
        let mut exchange = testing::exchange("PUT", "/pets/five", &lines);
        exchange.body = r#"{"name":1,"owner":2}"#.into();
        let answer = testing::access(&*plugin, &mut exchange).unwrap();
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let first = refuse(json!({}))["message"].as_str().unwrap().to_owned();
    let all = refuse(json!({ "collect_all_errors": true }))["message"].as_str().unwrap().to_owned();
    assert!(all.starts_with(&first), "{all}");
    assert_eq!(all.matches("validation failed with error").count(), 3, "{all}");
    let structured = refuse(json!({ "structured_errors": true }));
    assert_eq!(structured["message"], "request doesn't conform to api specification");
    let errors = structured["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 3);
    let owner = errors.iter().find(|error| error["instanceLocation"] == "/owner").unwrap();
    assert_eq!(owner["keywordLocation"], "/$ref/properties/owner/type", "the schema refers to another one");
    let capped = refuse(json!({ "structured_errors": true, "max_structured_errors": 2 }));
    assert_eq!(capped["errors"].as_array().unwrap().len(), 2);
    let plugin = configure(&pets(), json!({ "structured_errors": true }));
    let answer = testing::access(&*plugin, &mut testing::exchange("GET", "/cats", &[])).unwrap();
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["errors"], json!([{ "error": "validation failed, path not found in api specification" }]));
}

#[test]
fn requests_that_are_only_told_of() {
    let plugin = configure(&pets(), json!({ "notify_only_request_validation_failure": true }));
    assert_eq!(ask(&*plugin, "GET", "/pets/five", &[], ""), None);
}
