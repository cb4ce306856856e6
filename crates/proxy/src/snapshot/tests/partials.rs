//! Partials, and the plugins that refer to them.

use super::*;

const PARTIAL: usize = 75;

fn partial(mode: Value) -> (&'static str, Value) {
    ("partials", json!({"id": text(PARTIAL), "type": "any", "config": {"mode": mode}}))
}

/// A plugin of which a partial says what it does.
fn plugin() -> (&'static str, Value) {
    let links = json!([{"id": text(PARTIAL), "path": "config"}]);
    ("plugins", json!({"id": text(21), "name": "moody", "protocols": ["http"], "config": {}, "partials": links}))
}

#[test]
fn a_plugin_does_what_its_partial_says() {
    let mut stage = Stage::new();
    stage.batch(&[partial(json!("a")), plugin()]).unwrap();
    assert_eq!(stage.ask("/one", None), "a");
    stage.batch(&[partial(json!("b"))]).unwrap();
    assert_eq!(stage.ask("/one", None), "b");
    stage.replace(&[partial(json!("c")), plugin()]).unwrap();
    assert_eq!(stage.degraded(), []);
    stage.delete("plugins", 21);
    stage.batch(&[partial(json!("fail"))]).unwrap();
    assert_eq!(stage.degraded(), []);
}

#[test]
fn what_a_partial_makes_of_a_plugin_fails_closed() {
    let mut stage = Stage::new();
    stage.batch(&[plugin()]).unwrap();
    assert_eq!(stage.ask("/one", None), "500");
    assert_eq!(stage.degraded()[0].3, format!("there is no partial {}", text(PARTIAL)));
    stage.batch(&[partial(json!("a"))]).unwrap();
    assert_eq!(stage.ask("/one", None), "a");
    stage.batch(&[partial(json!("fail"))]).unwrap();
    assert_eq!(stage.ask("/one", None), "a", "the former one goes on");
    assert_eq!(stage.effects(), [("plugins".to_owned(), 21, Effect::Former)]);
    stage.batch(&[partial(json!("b"))]).unwrap();
    assert_eq!(stage.ask("/one", None), "b");
    assert_eq!(stage.effects(), []);
}
