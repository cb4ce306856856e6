//! What belongs to a workspace is for its own requests only.

use super::*;
use sdk::Directory;

const OTHER: usize = 90;

impl Stage {
    /// Puts a record of the workspace [`OTHER`].
    fn put_other(&mut self, entity: &str, mut record: Value) {
        record["ws_id"] = text(OTHER).into();
        self.put(entity, record).unwrap();
    }

    /// A service and the route `/other`, both of the workspace [`OTHER`].
    fn with_other() -> Stage {
        let mut stage = Stage::new();
        stage.put_other("services", json!({"id": text(2), "protocol": "http", "host": "h"}));
        let route = json!({"id": text(13), "protocols": ["http"], "paths": ["/other"], "service": {"id": text(2)}});
        stage.put_other("routes", route);
        stage
    }

    fn plugin_of_other(&mut self, n: usize, mode: &str, more: Value) {
        let mut record = json!({"ws_id": text(OTHER)});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.plugin(n, mode, record);
    }

    fn directory(&self) -> Directory {
        View::of(&self.published).directory()
    }

    /// The port of the target that requests of a workspace for the host `u` go to.
    fn port(&self, workspace: &Uuid) -> u16 {
        let view = View::of(&self.published);
        let destination = view.destination(&self.balancers, workspace, "u", 80);
        let exchange = testing::exchange_with("GET", "/", &[], view.directory());
        destination.try_pick(&self.balancers, &exchange, &[]).unwrap().unwrap().address.port()
    }
}

#[test]
fn global_plugins_act_on_requests_of_their_workspace() {
    let mut stage = Stage::with_other();
    stage.plugin(21, "default", json!({}));
    assert_eq!(stage.ask("/one", None), "default");
    assert_eq!(stage.ask("/other", None), "none");
    stage.plugin_of_other(22, "other", json!({}));
    assert_eq!(stage.ask("/one", None), "default");
    assert_eq!(stage.ask("/other", None), "other");
    stage.delete("plugins", 22);
    assert_eq!(stage.ask("/other", None), "none");
    stage.plugin_of_other(22, "fail", json!({}));
    assert_eq!(stage.ask("/one", None), "default", "what refuses stays in its workspace, too");
    assert_eq!(stage.ask("/other", None), "500");
}

#[test]
fn a_chain_of_a_route_or_service_has_the_global_plugins_of_its_workspace() {
    for scope in [json!({"route": {"id": text(13)}}), json!({"service": {"id": text(2)}})] {
        let mut stage = Stage::new();
        stage.put("consumers", json!({"id": text(31), "username": "u", "ws_id": text(OTHER)})).unwrap();
        // For one consumer only, so that the global one remains for all the rest; it comes before service and route.
        let mut own = scope;
        own["consumer"] = json!({"id": text(31)});
        stage.plugin_of_other(23, "own", own);
        stage.plugin(21, "default", json!({}));
        stage.plugin_of_other(22, "other", json!({}));
        stage.put_other("services", json!({"id": text(2), "protocol": "http", "host": "h"}));
        let route = json!({"id": text(13), "protocols": ["http"], "paths": ["/other"], "service": {"id": text(2)}});
        stage.put_other("routes", route);
        assert_eq!(stage.ask("/other", None), "other");
        assert_eq!(stage.ask("/one", None), "default");
    }
}

#[test]
fn equal_keys_and_names_of_two_workspaces_are_those_of_two_consumers() {
    let mut stage = Stage::new();
    let (default, other) = (DEFAULT_WORKSPACE, id(OTHER));
    stage.put("consumers", json!({"id": text(31), "username": "ada"})).unwrap();
    stage.put_other("consumers", json!({"id": text(32), "username": "ada"}));
    stage.put(ENTITY, json!({"id": text(41), "key": "k", "consumer": {"id": text(31)}})).unwrap();
    stage.put_other(ENTITY, json!({"id": text(42), "key": "k", "consumer": {"id": text(32)}}));
    stage.put_other(ENTITY, json!({"id": text(43), "key": "own", "consumer": {"id": text(32)}}));
    let credential = |stage: &Stage, workspace, key: &str| {
        stage.directory().credential(workspace, ENTITY, key.as_bytes()).map(|found| found.id)
    };
    let named = |stage: &Stage, workspace| stage.directory().consumer_by_username(workspace, "ada").map(|c| c.id);
    assert_eq!(credential(&stage, &default, "k"), Some(id(41)));
    assert_eq!(credential(&stage, &other, "k"), Some(id(42)));
    assert_eq!(credential(&stage, &default, "own"), None);
    assert_eq!(named(&stage, &default), Some(id(31)));
    assert_eq!(named(&stage, &other), Some(id(32)));
    assert!(stage.directory().consumer(&default, &id(32)).is_none());
    assert!(stage.directory().consumer(&other, &id(32)).is_some());
    stage.delete("consumers", 32);
    stage.delete(ENTITY, 42);
    assert_eq!(named(&stage, &other), None);
    assert_eq!(named(&stage, &default), Some(id(31)));
    assert_eq!(credential(&stage, &other, "k"), None);
    assert_eq!(credential(&stage, &default, "k"), Some(id(41)));
}

#[test]
fn equal_names_of_upstreams_are_two_upstreams() {
    let mut stage = Stage::new();
    let (default, other) = (DEFAULT_WORKSPACE, id(OTHER));
    let target = |n: usize, of: usize, port: u16| {
        json!({"id": text(n), "upstream": {"id": text(of)},
        "target": format!("127.0.0.1:{port}")})
    };
    stage.put("upstreams", json!({"id": text(51), "name": "u"})).unwrap();
    stage.put_other("upstreams", json!({"id": text(52), "name": "u"}));
    stage.put("targets", target(61, 51, 1)).unwrap();
    stage.put_other("targets", target(62, 52, 2));
    assert_eq!(stage.port(&default), 1);
    assert_eq!(stage.port(&other), 2);
    let view = View::of(&stage.published);
    for workspace in [&default, &other, &default] {
        let destination = view.destination(&stage.balancers, workspace, "u", 80);
        assert!(destination.is_upstream());
        let exchange = testing::exchange("GET", "/", &[]);
        let peer = destination.try_pick(&stage.balancers, &exchange, &[]).unwrap().unwrap();
        assert_eq!(peer.address.port(), if *workspace == default { 1 } else { 2 }, "what one view remembers");
    }
    stage.delete("upstreams", 52);
    assert_eq!(stage.port(&default), 1);
    assert!(!View::of(&stage.published).destination(&stage.balancers, &other, "u", 80).is_upstream());
    // Of the upstream nothing but its name is known, and in whose workspace it is.
    stage.put_other("upstreams", json!({"id": text(52), "name": "u", "slots": "many"}));
    assert!(View::of(&stage.published).destination(&stage.balancers, &other, "u", 80).is_upstream());
    assert_eq!(stage.port(&default), 1);
}
