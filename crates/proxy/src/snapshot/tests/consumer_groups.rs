//! Plugins of consumer groups, and what becomes of them when records cannot be used.

use super::*;

const GOLD: usize = 71;
const SILVER: usize = 72;
const ADA: usize = 31;

fn group(n: usize, name: Value) -> (&'static str, Value) {
    ("consumer_groups", json!({"id": text(n), "name": name}))
}

fn membership(n: usize, group: usize) -> (&'static str, Value) {
    let record = json!({"id": text(n), "consumer": {"id": text(ADA)}, "consumer_group": {"id": text(group)}});
    ("consumer_group_consumers", record)
}

fn plugin_of(n: usize, mode: &str, group: usize) -> (&'static str, Value) {
    let config = json!({"mode": mode});
    let record = json!({"id": text(n), "name": "moody", "protocols": ["http"], "config": config,
        "consumer_group": {"id": text(group)}});
    ("plugins", record)
}

impl Stage {
    /// With `ada` in both groups, and a plugin for each of these.
    fn with_groups() -> Stage {
        let mut stage = Stage::new();
        let records = [
            ("consumers", json!({"id": text(ADA), "username": "ada"})),
            group(GOLD, json!("gold")),
            group(SILVER, json!("silver")),
            membership(81, SILVER),
            membership(82, GOLD),
            plugin_of(21, "silver", SILVER),
            plugin_of(22, "gold", GOLD),
        ];
        stage.batch(&records).unwrap();
        stage
    }
}

#[test]
fn the_first_group_by_name_counts() {
    let mut stage = Stage::with_groups();
    assert_eq!(stage.ask("/one", Some(ADA)), "gold");
    assert_eq!(stage.ask("/one", None), "none");
    stage.batch(&[group(GOLD, json!("zinc"))]).unwrap();
    assert_eq!(stage.ask("/one", Some(ADA)), "silver");
    stage.delete("consumer_group_consumers", 81);
    assert_eq!(stage.ask("/one", Some(ADA)), "gold");
    stage.batch(&[membership(82, SILVER)]).unwrap();
    assert_eq!(stage.ask("/one", Some(ADA)), "silver");
}

#[test]
fn what_a_group_asks_is_not_left_out() {
    let mut stage = Stage::with_groups();
    stage.batch(&[plugin_of(22, "fail", GOLD)]).unwrap();
    assert_eq!(stage.ask("/one", Some(ADA)), "gold", "the former one goes on");
    stage.batch(&[plugin_of(21, "fail", GOLD), plugin_of(22, "silver", SILVER)]).unwrap();
    assert_eq!(stage.ask("/one", Some(ADA)), "500");
    assert_eq!(stage.ask("/one", None), "none");
}

#[test]
fn a_group_keeps_its_plugins_whatever_its_record_is() {
    let mut stage = Stage::with_groups();
    stage.batch(&[group(GOLD, json!(1))]).unwrap();
    assert_eq!(stage.ask("/one", Some(ADA)), "gold");
    assert_eq!(stage.effects(), [("consumer_groups".to_owned(), GOLD as u128, Effect::Former)]);
    let mut stage = Stage::new();
    let ada = ("consumers", json!({"id": text(ADA), "username": "ada"}));
    stage.batch(&[ada, group(GOLD, json!(1)), membership(81, GOLD), plugin_of(21, "gold", GOLD)]).unwrap();
    assert_eq!(stage.ask("/one", Some(ADA)), "gold");
    assert_eq!(stage.effects(), [("consumer_groups".to_owned(), GOLD as u128, Effect::Limited)]);
}

#[test]
fn nobody_gets_by_without_a_group_that_is_not_known() {
    let mut stage = Stage::with_groups();
    let lost = ("consumer_group_consumers", json!({"id": text(82), "consumer": {"id": text(ADA)}}));
    stage.batch(std::slice::from_ref(&lost)).unwrap();
    assert_eq!(stage.ask("/one", Some(ADA)), "gold", "the former one goes on");
    let ada = ("consumers", json!({"id": text(ADA), "username": "ada"}));
    let mut fresh = Stage::new();
    assert_eq!(
        fresh.replace(&[ada, group(GOLD, json!("gold")), lost]),
        Err(format!("consumer_group_consumers {}: consumer_group: missing", text(82)))
    );
    let mut fresh = Stage::new();
    let stray = fresh.replace(&[plugin_of(21, "gold", GOLD)]);
    assert_eq!(stray, Err(format!("plugins {} (moody): there is no consumer group {}", text(21), text(GOLD))));
}
