//! What is filtered, and what a record may say.

use super::*;
use sdk::testing;
use serde_json::json;

fn configure(changes: Value) -> Box<dyn Plugin> {
    testing::configure(&Jq, changes, &Env::default())
}

#[test]
fn phases_are_those_of_its_programs() {
    let request = configure(json!({ "request_jq_program": "." }));
    assert_eq!(request.phases(), Phases::ACCESS.and(Phases::READS_BODY));
    assert_eq!(configure(json!({ "response_jq_program": "." })).phases(), Phases::RESPONSE);
}

#[test]
fn a_program_with_a_mistake_makes_no_instance() {
    let config =
        json!({ "id": entities::Uuid::nil().to_string(), "name": "jq", "config": { "response_jq_program": ".a |" } });
    let plugin = entities::Plugin::from_record(config.as_object().unwrap()).unwrap();
    let error = Jq.configure(&plugin, &Env::default()).err().unwrap();
    assert_eq!(error, "config.response_jq_program: invalid jq program: expected term at its end");
}

#[test]
fn content_of_other_types_is_left_alone() {
    let plugin = configure(json!({ "request_jq_program": ".", "request_if_media_type": ["application/json"] }));
    for kind in ["text/plain", "application/problem+json", "nonsense"] {
        let mut exchange = testing::exchange("POST", "/", &[("Content-Type", kind)]);
        exchange.body = "{}".into();
        assert!(matches!(plugin.access(&mut exchange), Step::Next), "{kind}");
    }
    let mut exchange = testing::exchange("POST", "/", &[("Content-Type", "Application/JSON; charset=utf-8")]);
    exchange.body = "{}".into();
    assert!(matches!(plugin.access(&mut exchange), Step::Wait(_)));
    exchange.body = RequestBody::TooLarge;
    assert!(matches!(plugin.access(&mut exchange), Step::Next));
}

#[test]
fn responses_are_wanted_by_type_and_status() {
    let wants = |config: Value, status: u16, kind: &str| {
        let mut exchange = testing::exchange("GET", "/", &[]);
        exchange.response.status = status;
        exchange.response.fields = [("Content-Type", kind)].into_iter().collect();
        configure(config).wants_response(&exchange)
    };
    let usual = json!({
        "response_jq_program": ".", "response_if_media_type": ["application/json"],
        "response_if_status_code": [200, 201]
    });
    assert!(wants(usual.clone(), 201, "application/json"));
    assert!(!wants(usual.clone(), 404, "application/json"));
    assert!(!wants(usual, 200, "text/event-stream"));
    let any = json!({
        "response_jq_program": ".", "response_if_media_type": null, "response_if_status_code": null
    });
    assert!(wants(any, 500, "text/plain"));
    let with_parameter = json!({
        "response_jq_program": ".", "response_if_media_type": ["application/*; v=2"], "response_if_status_code": [200]
    });
    assert!(wants(with_parameter.clone(), 200, "application/json; v=2"));
    assert!(!wants(with_parameter, 200, "application/json"));
}
