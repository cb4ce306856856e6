//! Who goes to the new version, without sockets.

use super::*;
use crate::groups::{ACLS, parse};
use sdk::testing::{self, Entries};
use sdk::{CredentialEntity, CredentialKey};
use serde_json::{Value, json};

fn plugin(config: Value) -> Box<dyn Plugin> {
    let mut usual = json!({ "upstream_host": "new", "duration": 3600, "steps": 1000 });
    usual.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    testing::configure(&Canary, usual, &Env::default())
}

/// Whether a request goes to the new version.
fn goes(plugin: &dyn Plugin, mut exchange: Exchange) -> bool {
    assert!(testing::access(plugin, &mut exchange).is_none());
    exchange.upstream.host.as_deref() == Some("new")
}

fn request(number: u32) -> Exchange {
    let mut exchange = testing::exchange("GET", "/", &[]);
    exchange.id.copy_from_slice(format!("{:032x}", u128::from(number) * 0x9e37_79b9_7f4a_7c15).as_bytes());
    exchange
}

#[test]
fn a_share_of_the_requests() {
    let share = |config: Value| {
        let plugin = plugin(config);
        (0..1_000).filter(|number| goes(&*plugin, request(*number))).count()
    };
    let quarter = share(json!({ "percentage": 25, "hash": "none" }));
    assert!((150..350).contains(&quarter), "{quarter}");
    assert_eq!(share(json!({ "percentage": 0, "hash": "none" })), 0);
    assert_eq!(share(json!({ "percentage": 100, "hash": "none" })), 1_000);
    let by_address = share(json!({ "percentage": 50, "hash": "ip" }));
    assert!([0, 1_000].contains(&by_address), "they have one address");
}

#[test]
fn a_share_that_grows() {
    let at = |start: f64| {
        let plugin = plugin(json!({ "start": now() - start, "duration": 1000, "steps": 10, "hash": "none" }));
        (0..1_000).filter(|number| goes(&*plugin, request(*number))).count()
    };
    assert_eq!(at(-10.0), 0);
    assert_eq!(at(99.0), 0, "the first step is not over");
    let half = at(550.0);
    assert!((400..600).contains(&half), "{half}");
    assert_eq!(at(1_001.0), 1_000);
    assert!(plugin(json!({})).degraded().is_some());
    assert!(plugin(json!({ "percentage": 1 })).degraded().is_none());
}

#[test]
fn callers_stay_where_they_are() {
    let plugin = plugin(json!({ "percentage": 50, "hash": "header", "hash_header": "X-User" }));
    let user = |name: &str, number| {
        let mut exchange = request(number);
        exchange.request.fields.set("X-User", name.as_bytes());
        goes(&*plugin, exchange)
    };
    let first: Vec<bool> = (0..20).map(|number| user(&format!("user{number}"), 1)).collect();
    let second: Vec<bool> = (0..20).map(|number| user(&format!("user{number}"), 2)).collect();
    assert_eq!(first, second);
    assert!(first.contains(&true) && first.contains(&false));
}

#[test]
fn groups_decide() {
    let mut entries = Entries::default();
    let ada = entries.consumer("ada", None);
    let entity = CredentialEntity { schema: "", entity: ACLS, key: CredentialKey::Consumer, parse: Some(parse) };
    entries.credential_of(&entity, &ada.id.to_string(), &ada, json!({ "group": "beta" }));
    let directory = sdk::Directory::from(entries);
    let go = |hash: &str, known: bool| {
        let plugin = plugin(json!({ "hash": hash, "groups": ["beta"] }));
        let mut exchange = testing::exchange_with("GET", "/", &[], directory.clone());
        exchange.consumer = known.then(|| ada.clone());
        goes(&*plugin, exchange)
    };
    assert!(go("allow", true));
    assert!(!go("allow", false));
    assert!(!go("deny", true));
    assert!(go("deny", false));
}

#[test]
fn clients_choose_for_themselves() {
    let plugin = plugin(json!({ "percentage": 0, "canary_by_header_name": "X-Canary" }));
    let ask = |value: &str| goes(&*plugin, testing::exchange("GET", "/", &[("X-Canary", value)]));
    assert!(ask("always"));
    assert!(!ask("never"));
    assert!(!ask("maybe"));
}

#[test]
fn the_new_version_has_host_port_and_path() {
    let plugin = plugin(json!({ "percentage": 100, "upstream_port": 81, "upstream_uri": "v2" }));
    let mut exchange = testing::exchange("GET", "/a?x=1", &[]);
    assert!(testing::access(&*plugin, &mut exchange).is_none());
    assert_eq!(exchange.upstream.port, 81);
    assert_eq!(exchange.upstream.path, "/v2");
    assert_eq!(exchange.upstream.query.as_deref(), Some("x=1"));
    assert!(path("/a b").is_err() && path("/a?b").is_err());
}
