//! What the schema language promises, on the core schemas and on small ones.

use super::*;
use crate::catalog::{PluginSchema, RouterFlavor};
use serde_json::json;
use std::sync::Arc;

pub(super) fn record(value: Value) -> Record {
    value.as_object().cloned().unwrap_or_default()
}

pub(crate) fn insert(catalog: &Catalog, entity: &str, input: Value) -> Result<Value, Error> {
    let schema = catalog.entity(entity).unwrap_or_else(|| panic!("no entity {entity}"));
    schema.process_insert(catalog, record(input)).map(Value::Object)
}

pub(super) fn update(catalog: &Catalog, entity: &str, current: &Value, input: Value) -> Result<Value, Error> {
    let schema = catalog.entity(entity).unwrap_or_else(|| panic!("no entity {entity}"));
    schema.process_update(catalog, record(input), &record(current.clone())).map(Value::Object)
}

pub(crate) fn fields(result: Result<Value, Error>) -> Value {
    result.map_or_else(|e| e.fields, |ok| json!({ "accepted": ok }))
}

pub(crate) fn accepted(result: Result<Value, Error>) -> Value {
    result.unwrap_or_else(|e| panic!("{e}"))
}

/// A catalog with a plugin made of what real plugins use.
pub(super) fn with_plugin() -> Catalog {
    const LIMITS: &str = r#"{
        "supported_partials": {"redis-ce": ["config.redis"]}, "fields": [
            {"consumer": {"type": "foreign", "reference": "consumers", "eq": null}},
            {"protocols": {"type": "set", "required": true, "default": ["grpc", "grpcs", "http", "https"],
                "elements": {"type": "string", "one_of": ["grpc", "grpcs", "http", "https"]}}},
            {"config": {"type": "record", "required": true, "validator": "order", "fields": [
                {"second": {"type": "number", "gt": 0}},
                {"minute": {"type": "number", "gt": 0}},
                {"limit_by": {"type": "string", "default": "consumer", "one_of": ["consumer", "header"]}},
                {"header_name": {"type": "string"}},
                {"policy": {"type": "string", "default": "local", "len_min": 0, "one_of": ["local", "redis"]}},
                {"redis": {"type": "record", "required": true, "fields": [
                    {"host": {"type": "string", "validator": "host"}},
                    {"port": {"type": "integer", "default": 6379, "between": [0, 65535]}},
                    {"password": {"type": "string", "len_min": 0, "referenceable": true, "match": "^p"}}
                ]}}
            ], "shorthand_fields": [
                {"redis_host": {"type": "string",
                    "deprecation": {"message": "m", "replaced_with": [{"path": ["redis", "host"]}]}}},
                {"redis_port": {"type": "integer",
                    "deprecation": {"message": "m", "replaced_with": [{"path": ["redis", "port"]}]}}}
            ]}}
        ],
        "entity_checks": [
            {"at_least_one_of": ["config.second", "config.minute"]},
            {"conditional": {"if_field": "config.policy", "if_match": {"eq": "redis"},
                "then_field": "config.redis.host", "then_match": {"required": true}}},
            {"conditional": {"if_field": "config.limit_by", "if_match": {"eq": "header"},
                "then_field": "config.header_name", "then_match": {"required": true}}}
        ]
    }"#;
    fn order(config: &Value) -> Result<(), String> {
        match (config["second"].as_f64(), config["minute"].as_f64()) {
            (Some(second), Some(minute)) if minute < second => Err("out of order".to_owned()),
            _ => Ok(()),
        }
    }
    let mut catalog = Catalog::core();
    let schema = Schema::parse_with(LIMITS, &[("order", Function::Validator(order))]).unwrap_or_else(|e| panic!("{e}"));
    catalog.add_plugin("limits", PluginSchema { priority: 1, version: "1.0.0".to_owned(), schema: Arc::new(schema) });
    let empty = Schema::parse(r#"{"fields": [{"config": {"type": "record", "required": true, "fields": []}}]}"#)
        .unwrap_or_else(|e| panic!("{e}"));
    catalog.add_plugin("empty", PluginSchema { priority: 1, version: "1.0.0".to_owned(), schema: Arc::new(empty) });
    catalog
}

#[test]
fn services_are_completed() {
    let service = accepted(insert(
        &Catalog::core(),
        "services",
        json!({"name": "s", "url": "https://a.test/p", "port": 99.0, "tags": ["b", "a", "b"]}),
    ));
    assert!(validate::is_uuid(service["id"].as_str().unwrap_or_default()));
    assert!(service["created_at"].as_i64() > Some(1_700_000_000) && service["created_at"] == service["updated_at"]);
    let names: Vec<_> = service.as_object().map(|s| s.keys().map(String::as_str).collect()).unwrap_or_default();
    assert_eq!(names.len(), 18);
    assert_eq!(service["port"].to_string(), "443");
    assert_eq!(service["protocol"], json!("https"));
    assert_eq!(service["host"], json!("a.test"));
    assert_eq!(service["path"], json!("/p"));
    assert_eq!(service["tags"], json!(["b", "a"]));
    assert_eq!(service["client_certificate"], Value::Null);
    assert_eq!(service["retries"], json!(5));
}

#[test]
fn every_error_of_a_record_is_reported_at_once() {
    let catalog = Catalog::core();
    let Err(error) =
        insert(&catalog, "services", json!({"name": "a b", "port": -1, "protocol": "ftp", "retries": "x", "foo": 1}))
    else {
        panic!("accepted")
    };
    assert_eq!(
        error.message,
        "6 schema violations (foo: unknown field; host: required field missing; name: invalid value 'a b': the only \
         accepted ascii characters are alphanumerics or ., -, _, and ~; port: value should be between 0 and 65535; \
         protocol: expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp; retries: expected an \
         integer)"
    );
    let host = |host: Value| fields(insert(&catalog, "services", json!({ "host": host })))["host"].clone();
    assert_eq!(host(Value::Null), "required field missing");
    assert_eq!(host(json!("")), "length must be at least 1");
    assert_eq!(host(json!(12)), "expected a string");
    assert_eq!(
        fields(insert(&catalog, "services", json!({"host": "h", "tags": "x"}))),
        json!({"tags": "expected a set"})
    );
    assert_eq!(
        fields(insert(&catalog, "services", json!({"host": "h", "tags": ["a", 1]}))),
        json!({"tags": [null, "expected a string"]})
    );
    assert_eq!(
        fields(insert(&catalog, "services", json!({"host": "h", "tags": [null]}))),
        json!({"tags": ["required field missing"]})
    );
    assert_eq!(
        fields(insert(&catalog, "services", json!({"host": "h", "url": ""}))),
        json!({"url": "length must be at least 1"})
    );
}

#[test]
fn conditions_between_fields() {
    let catalog = Catalog::core();
    let failed = "failed conditional validation given value of field 'protocol'";
    assert_eq!(
        fields(insert(&catalog, "services", json!({"host": "h", "protocol": "tcp", "path": "/x"}))),
        json!({"@entity": [failed], "path": "value must be null"})
    );
    let certificate = json!({"host": "h", "client_certificate": "x"});
    assert_eq!(
        fields(insert(&catalog, "services", certificate)),
        json!({"@entity": [failed], "client_certificate": "value must be null"})
    );
    let service = accepted(insert(
        &catalog,
        "services",
        json!({"host": "h", "protocol": "https", "tls_verify": true, "tls_verify_depth": 3}),
    ));
    let Err(error) = update(&catalog, "services", &service, json!({"protocol": "tcp"})) else { panic!("accepted") };
    assert_eq!(
        error.fields,
        json!({"@entity": [failed, failed],
            "tls_verify": "value must be null", "tls_verify_depth": "value must be null"})
    );
}

#[test]
fn references() {
    let catalog = Catalog::core();
    let route = |service: Value| {
        fields(insert(&catalog, "routes", json!({"paths": ["/a"], "service": service})))["service"].clone()
    };
    assert_eq!(route(json!({})), json!({"id": "missing primary key"}));
    assert_eq!(route(json!("x")), json!({"id": "missing primary key"}));
    assert_eq!(route(json!({"id": "x"})), json!({"id": "expected a valid UUID"}));
    assert_eq!(route(json!({"foo": 1})), json!({"foo": "unknown field"}));
    let id = "11111111-1111-4111-8111-111111111111";
    let routes = catalog.entity("routes").unwrap_or_else(|| panic!("no routes"));
    let mut input = record(json!({"paths": ["/a"], "service": {"name": "s"}}));
    let mut lookup = |entity: &str, field: &str, value: &Value| {
        assert_eq!(entity, "services");
        assert_eq!(field, "name");
        assert_eq!(value, &json!("s"));
        Ok(Some(record(json!({"id": id, "name": "s"}))))
    };
    assert_eq!(routes.resolve_foreign(&catalog, &mut input, &mut lookup), Ok(()));
    assert_eq!(input["service"], json!({ "id": id }));
    let mut input = record(json!({"service": {"name": "nope"}}));
    let Err(error) = routes.resolve_foreign(&catalog, &mut input, &mut |_, _, _| Ok(None)) else { panic!("resolved") };
    assert_eq!(
        error.fields,
        json!({"service": {"name": "the foreign key cannot be resolved with '{name=\"nope\"}' for an existing \
            'services' entity"}})
    );
}

#[test]
fn routes_for_websockets_are_taken_and_not_told_of() {
    let catalog = Catalog::core();
    let errors = |input: Value| fields(insert(&catalog, "routes", input));
    let route = accepted(insert(&catalog, "routes", json!({"protocols": ["wss", "ws"], "paths": ["/a"]})));
    assert_eq!(route["protocols"], json!(["wss", "ws"]));
    accepted(insert(&catalog, "routes", json!({"protocols": ["wss"], "snis": ["a.test"]})));
    assert_eq!(
        errors(json!({"protocols": ["ws"]})),
        json!({"@entity": ["must set one of 'hosts', 'headers', 'paths' when 'protocols' is 'ws'"]})
    );
    assert_eq!(errors(json!({"protocols": ["ws"], "paths": ["/a"], "snis": ["a.test"]}))["snis"], "length must be 0");
    assert_eq!(
        errors(json!({"protocols": ["http", "ws"], "paths": ["/a"]})),
        json!({"protocols": "these sets are mutually exclusive: ('http', 'https'), ('ws', 'wss')"})
    );
    let secure = json!({"protocol": "wss", "host": "h", "path": "/p", "tls_verify": true});
    accepted(insert(&catalog, "services", secure));
    let plain = fields(insert(&catalog, "services", json!({"protocol": "ws", "host": "h", "tls_verify": true})));
    assert_eq!(plain["tls_verify"], "value must be null");
    for entity in ["routes", "services"] {
        assert!(!catalog.entity(entity).unwrap().describe().to_string().contains("\"ws"));
    }
}

#[test]
fn routes_need_something_to_match_by() {
    let catalog = Catalog::core();
    let errors = |input: Value| fields(insert(&catalog, "routes", input));
    let one_of = |words: &str| json!({"@entity": [words]});
    assert_eq!(
        errors(json!({})),
        one_of("must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'")
    );
    assert_eq!(
        errors(json!({"protocols": ["http"]})),
        one_of("must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'")
    );
    assert_eq!(
        errors(json!({"protocols": ["tls"]})),
        one_of("must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'")
    );
    assert_eq!(
        errors(json!({"protocols": ["tls_passthrough"]})),
        one_of("must set snis when 'protocols' is 'tls_passthrough'")
    );
    assert_eq!(errors(json!({"protocols": []})), json!({"protocols": "unknown type: nil"}));
    assert_eq!(errors(json!({"protocols": ["ftp"], "paths": ["/a"]})), json!({"protocols": "unknown type: ftp"}));
    assert_eq!(errors(json!({"protocols": "http", "paths": ["/a"]})), json!({"protocols": "expected a set"}));
    assert_eq!(
        errors(json!({"protocols": ["http", "tcp"], "paths": ["/a"]})),
        json!({"protocols": "these sets are mutually exclusive: ('http', 'https'), ('tcp', 'tls', 'udp')"})
    );
    assert_eq!(
        errors(json!({"protocols": ["http"], "snis": ["a.test"]})),
        json!({
            "@entity": [
                "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'",
                "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'"
            ],
            "snis": "length must be 0"
        })
    );
    assert_eq!(
        errors(json!({"protocols": ["grpc"], "paths": ["/a"], "strip_path": true})),
        json!({"strip_path": "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'"})
    );
    let grpc = accepted(insert(&catalog, "routes", json!({"protocols": ["grpc"], "paths": ["/a"]})));
    assert_eq!(grpc["strip_path"], false);
    let tcp = |source: Value| errors(json!({"protocols": ["tcp"], "sources": [source]}))["sources"].clone();
    assert_eq!(tcp(json!({"ip": "10.0.0.0/33"})), json!([{"ip": "invalid ip or cidr range: '10.0.0.0/33'"}]));
    assert_eq!(tcp(json!({})), json!([{"@entity": ["at least one of these fields must be non-empty: 'ip', 'port'"]}]));
    let headers = |headers: Value| errors(json!({ "headers": headers }))["headers"].clone();
    assert_eq!(headers(json!({"x-a": "a"})), "expected an array");
    assert_eq!(
        headers(json!({"Host": ["a"]})),
        "cannot contain 'host' header, which must be specified in the 'hosts' attribute"
    );
    assert_eq!(headers(json!(["x"])), "expected a string");
    assert_eq!(headers(json!({"x-a": [1]})), json!(["expected a string"]));
}

#[test]
fn what_no_database_has_room_for_is_refused() {
    let catalog = Catalog::core();
    for priority in [json!(i64::MIN), json!(i64::MAX), json!(-9.2e18), json!(9.2e18)] {
        accepted(insert(&catalog, "routes", json!({"paths": ["/"], "regex_priority": priority})));
    }
    for priority in [json!(u64::MAX), json!(i64::MAX as f64), json!(1e308), json!(-1e19)] {
        assert_eq!(
            fields(insert(&catalog, "routes", json!({"paths": ["/"], "regex_priority": priority}))),
            json!({"regex_priority": "value should be between -9223372036854775808 and 9223372036854775807"})
        );
    }
    let words = "must not contain the character U+0000";
    for (input, errors) in [
        (json!({"username": "a\0b"}), json!({"username": words})),
        (json!({"username": "a", "custom_id": "\0"}), json!({"custom_id": words})),
    ] {
        assert_eq!(fields(insert(&catalog, "consumers", input)), errors);
    }
}

#[test]
fn updates_merge_records_and_replace_lists() {
    let catalog = Catalog::core();
    let upstream = accepted(insert(
        &catalog,
        "upstreams",
        json!({"name": "u", "healthchecks": {"active": {"healthy": {"interval": 5}}}}),
    ));
    assert_eq!(
        upstream["healthchecks"]["active"]["healthy"],
        json!({"interval": 5, "successes": 0, "http_statuses": [200, 302]})
    );
    assert_eq!(upstream["healthchecks"]["active"]["headers"], Value::Null);
    let changed = accepted(update(
        &catalog,
        "upstreams",
        &upstream,
        json!({"healthchecks": {"active": {"healthy": {"http_statuses": [204]}, "timeout": 2.5}}}),
    ));
    assert_eq!(
        changed["healthchecks"]["active"]["healthy"],
        json!({"interval": 5, "successes": 0, "http_statuses": [204]})
    );
    assert_eq!(changed["healthchecks"]["active"]["timeout"], json!(2.5));
    assert_eq!(changed["id"], upstream["id"]);
    assert_eq!(changed["slots"], json!(10000));
    assert_eq!(changed["healthchecks"]["passive"], upstream["healthchecks"]["passive"]);
    let error = update(&catalog, "upstreams", &upstream, json!({"healthchecks": {"active": {"timeout": -1}}}))
        .map_err(|e| e.message);
    assert_eq!(
        error,
        Err("schema violation (healthchecks.active: {\n  timeout = \"value should be between 0 and 65535\"\n})"
            .to_owned())
    );
    let consumer = accepted(insert(&catalog, "consumers", json!({"username": "u"})));
    let moved =
        accepted(update(&catalog, "consumers", &consumer, json!({"id": "11111111-1111-4111-8111-111111111111"})));
    assert_eq!(moved["id"], consumer["id"]);
    assert_eq!(
        fields(update(&catalog, "consumers", &consumer, json!({"username": null}))),
        json!({"@entity": ["when updating, at least one of these fields must be non-empty: 'custom_id', 'username'"]})
    );
}

#[test]
fn hashing_and_algorithm_follow_each_other() {
    let catalog = Catalog::core();
    let upstream = |mut input: Value| {
        input["name"] = json!("u");
        accepted(insert(&catalog, "upstreams", input))
    };
    assert_eq!(upstream(json!({"hash_on": "ip"}))["algorithm"], "consistent-hashing");
    assert_eq!(upstream(json!({"hash_on": "none"}))["algorithm"], "round-robin");
    let least = upstream(json!({"algorithm": "least-connections"}));
    assert_eq!(least["algorithm"], json!("least-connections"));
    assert_eq!(least["hash_on"], json!("none"));
    let same = json!({"name": "u", "hash_on": "header", "hash_on_header": "x-a",
        "hash_fallback": "header", "hash_fallback_header": "x-a"});
    assert_eq!(
        fields(insert(&catalog, "upstreams", same)),
        json!({"@entity": ["values of these fields must be distinct: 'hash_on_header', 'hash_fallback_header'"]})
    );
}

#[test]
fn targets_are_written_in_full() {
    let catalog = Catalog::core();
    let id = "11111111-1111-4111-8111-111111111111";
    let target = accepted(insert(&catalog, "targets", json!({"target": "::1", "upstream": {"id": id, "name": "u"}})));
    assert_eq!(target["target"], json!("[0000:0000:0000:0000:0000:0000:0000:0001]:8000"));
    assert_eq!(target["upstream"], json!({ "id": id }));
    assert!(target["created_at"].is_f64());
    let created = |_| {
        let target = accepted(insert(&catalog, "targets", json!({"target": "h.test", "upstream": {"id": id}})));
        target["created_at"].as_f64().unwrap_or_default()
    };
    assert!((0..1000).map(created).collect::<Vec<_>>().is_sorted_by(|a, b| a < b), "creations keep their order");
    let bad = json!({"target": "Invalid target; not a valid hostname or ip address"});
    for text in ["", "a b", "h.test:x"] {
        assert_eq!(fields(insert(&catalog, "targets", json!({"target": text, "weight": "x"}))), bad);
    }
    assert_eq!(
        fields(insert(&catalog, "targets", json!({"upstream": {"id": id}}))),
        json!({"target": "required field missing"})
    );
}

#[test]
fn plugins_are_checked_by_their_own_schema() {
    let catalog = with_plugin();
    let errors = |config: Value| fields(insert(&catalog, "plugins", json!({"name": "limits", "config": config})));
    assert_eq!(fields(insert(&catalog, "plugins", json!({}))), json!({"name": "required field missing"}));
    assert_eq!(
        fields(insert(&catalog, "plugins", json!({"name": "nope"}))),
        json!({"name": "plugin 'nope' not enabled; add it to the 'plugins' configuration property"})
    );
    assert_eq!(
        errors(json!({})),
        json!({"@entity": ["at least one of these fields must be non-empty: 'config.second', 'config.minute'"]})
    );
    assert_eq!(errors(json!(1))["config"], "expected a record");
    assert_eq!(errors(json!({"minute": 0})), json!({"config": {"minute": "value must be greater than 0"}}));
    assert_eq!(errors(json!({"second": 2, "minute": 1})), json!({"config": "out of order"}));
    assert_eq!(
        errors(json!({"minute": 1, "policy": "redis"})),
        json!({"@entity": ["failed conditional validation given value of field 'config.policy'"],
            "config": {"redis": {"host": "required field missing"}}})
    );
    let consumer =
        json!({"name": "limits", "config": {"minute": 1}, "consumer": {"id": "11111111-1111-4111-8111-111111111111"}});
    assert_eq!(fields(insert(&catalog, "plugins", consumer)), json!({"consumer": "value must be null"}));
    assert_eq!(
        fields(insert(&catalog, "plugins", json!({"name": "limits", "config": {"minute": 1}, "protocols": ["tcp"]}))),
        json!({"protocols": ["expected one of: grpc, grpcs, http, https"]})
    );
    assert_eq!(
        errors(json!({"minute": 1, "redis": {"password": "x"}})),
        json!({"config": {"redis": {"password": "invalid value: x"}}})
    );
    let vault = accepted(insert(
        &catalog,
        "plugins",
        json!({"name": "limits", "config": {"minute": 5.0, "redis": {"password": "{vault://env/x}"}}}),
    ));
    assert_eq!(vault["config"]["minute"].to_string(), "5");
    assert_eq!(
        fields(update(&catalog, "plugins", &vault, json!({"name": "empty"})))["config"]["minute"],
        "unknown field"
    );
}

#[test]
fn deprecated_names_are_taken_and_shown() {
    let catalog = with_plugin();
    let plugin = accepted(insert(
        &catalog,
        "plugins",
        json!({"name": "limits", "config": {"minute": 1, "redis_host": "h", "redis_port": 1}}),
    ));
    let config = &plugin["config"];
    assert_eq!(config["redis"]["host"], json!("h"));
    assert_eq!(config["redis"]["port"], json!(1));
    assert_eq!(config["redis_host"], json!("h"));
    assert_eq!(config["redis_port"], json!(1));
    let changed = accepted(update(&catalog, "plugins", &plugin, json!({"config": {"redis": {"host": "i"}}})));
    assert_eq!(changed["config"]["redis_host"], json!("i"));
    assert_eq!(changed["config"]["redis"]["port"], json!(1));
    let changed = accepted(update(&catalog, "plugins", &changed, json!({"config": {"redis_host": "j"}})));
    assert_eq!(changed["config"]["redis"]["host"], "j");
    let both = insert(
        &catalog,
        "plugins",
        json!({"name": "limits", "config": {"minute": 1, "redis_host": "h", "redis": {"host": "i"}}}),
    );
    assert_eq!(
        fields(both),
        json!({"redis_host": "both deprecated and new field are used but their values mismatch: redis_host = h vs \
            redis.host = i"})
    );
}

#[test]
fn forms_become_values() {
    let catalog = with_plugin();
    let coerce = |entity: &str, input: Value| {
        Value::Object(
            catalog.entity(entity).unwrap_or_else(|| panic!("no {entity}")).coerce_form(&catalog, record(input)),
        )
    };
    let service = coerce(
        "services",
        json!({"port": "80", "enabled": "true", "tags": "a", "retries": "", "name": "7", "connect_timeout": "abc"}),
    );
    assert_eq!(
        service,
        json!({"port": 80, "enabled": true, "tags": ["a"], "retries": null, "name": "7", "connect_timeout": "abc"})
    );
    let plugin = coerce(
        "plugins",
        json!({"name": "limits", "config": {"minute": "5", "redis_port": "1", "redis": {"port": "0x10"}},
            "consumer": {"username": "ada"}}),
    );
    assert_eq!(
        plugin,
        json!({"name": "limits", "config": {"minute": 5, "redis_port": 1, "redis": {"port": 16}},
            "consumer": {"username": "ada"}})
    );
    assert_eq!(
        coerce("routes", json!({"headers": {"x-a": "1"}, "paths": ["/a", ""]})),
        json!({"headers": {"x-a": ["1"]}, "paths": ["/a", null]})
    );
}

#[test]
fn keys_in_paths_are_checked() {
    let catalog = Catalog::core();
    let schema = catalog.entity("services").unwrap_or_else(|| panic!("no services"));
    assert!(schema.check_unique(&catalog, "name", &json!("good")).is_ok());
    let Err(error) = schema.check_unique(&catalog, "name", &json!("not a name")) else { panic!("accepted") };
    assert_eq!(error.name().as_str(), "invalid unique name");
    assert_eq!(error.code as u8, 10);
    let Err(error) = schema.check_primary_key(&catalog, &record(json!({"id": "x"}))) else { panic!("accepted") };
    assert_eq!(error.message, "invalid primary key: '{id=\"expected a valid UUID\"}'");
    assert_eq!(schema.endpoint_key(), Some("name"));
    assert_eq!(schema.path_name(), "services");
    assert_eq!(schema.primary_key(), &["id".to_owned()][..]);
}

#[test]
fn put_takes_its_key_from_the_path() {
    let catalog = Catalog::core();
    let schema = catalog.entity("services").unwrap_or_else(|| panic!("no services"));
    let id = "11111111-1111-4111-8111-111111111111";
    let put = schema
        .process_upsert(
            &catalog,
            record(json!({"host": "h", "name": "old"})),
            &record(json!({"id": id, "name": "new"})),
        )
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(put["id"], json!(id));
    assert_eq!(put["name"], json!("new"));
    assert_eq!(put["port"], json!(80));
}

#[test]
fn descriptions_hide_what_is_the_gateways_own() {
    for flavor in [RouterFlavor::Traditional, RouterFlavor::Expressions] {
        let catalog = Catalog::core_with(flavor);
        for schema in catalog.entities() {
            let description = schema.describe();
            assert_eq!(description.as_object().map(|d| d.len()), Some(2), "{}", schema.name);
            let text = description.to_string();
            assert!(
                ["validator", "\"func\"", "\"check\"", "primary_key"].iter().all(|hidden| !text.contains(hidden)),
                "{}",
                schema.name
            );
        }
    }
    let plugin = with_plugin();
    let described = plugin.plugin("limits").map(|p| p.schema.describe()).unwrap_or_default();
    let shorthand = &described["fields"][2]["config"]["shorthand_fields"][0];
    assert_eq!(shorthand["redis_host"]["deprecation"]["replaced_with"][0]["path"], json!(["redis", "host"]));
}

#[test]
fn schemas_with_mistakes_are_refused() {
    for (text, words) in [
        ("[]", "a schema is a JSON object"),
        (r#"{"fields": [{"a": {"type": "strin"}}]}"#, "a: unknown type 'strin'"),
        (r#"{"fields": [{"a": {"type": "string", "validator": "nope"}}]}"#, "a: no validator 'nope'"),
        (r#"{"fields": [{"a": {"type": "array"}}]}"#, "a: no 'elements'"),
        (r#"{"fields": [], "entity_checks": [{"nope": []}]}"#, "unknown entity check 'nope'"),
    ] {
        assert_eq!(Schema::parse(text).map(|_| ()), Err(words.to_owned()));
    }
}
