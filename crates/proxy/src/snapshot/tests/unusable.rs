//! Routes, services, upstreams, targets and other records that cannot be used: nothing that they are for gets by with
//! less than they ask.

use super::*;
use crate::balancer::PickError;

/// A route, and what makes its record one that cannot be used.
fn route(n: usize, paths: &[&str], more: Value) -> (&'static str, Value) {
    let mut record = json!({"id": text(n), "protocols": ["http"], "paths": paths, "service": {"id": text(1)}});
    merge(&mut record, more);
    ("routes", record)
}

fn service(more: Value) -> (&'static str, Value) {
    let mut record = json!({"id": text(1), "protocol": "http", "host": "h"});
    merge(&mut record, more);
    ("services", record)
}

fn upstream(name: &str, more: Value) -> (&'static str, Value) {
    let mut record = json!({"id": text(51), "name": name});
    merge(&mut record, more);
    ("upstreams", record)
}

fn target(weight: i64) -> (&'static str, Value) {
    ("targets", json!({"id": text(61), "upstream": {"id": text(51)}, "target": "127.0.0.1:81", "weight": weight}))
}

fn merge(record: &mut Value, more: Value) {
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
}

/// What a field cannot be.
fn broken(field: &str) -> Value {
    json!({ field: -1 })
}

const ROUTE: &str = "https_redirect_status_code";
const SERVICE: &str = "port";
const UPSTREAM: &str = "slots";

impl Stage {
    fn take(&mut self, record: (&str, Value)) {
        self.batch(&[record]).unwrap();
    }

    /// The host that requests for a path go to.
    fn host(&self, path: &str) -> String {
        self.find(path).unwrap().service.unwrap().host.to_string()
    }

    /// The port that requests for a host go to.
    fn pick(&self, host: &str) -> Result<Option<u16>, PickError> {
        let view = View::of(&self.published);
        let destination = view.destination(&self.balancers, &DEFAULT_WORKSPACE, host, 80);
        let peer =
            destination.try_pick(&self.balancers, &testing::exchange_with("GET", "/", &[], view.directory()), &[])?;
        Ok(peer.map(|peer| peer.address.port()))
    }
}

#[test]
fn a_route_stands_for_what_it_might_match() {
    let mut stage = Stage::new();
    stage.take(route(13, &["/"], json!({})));
    stage.take(route(14, &["/two/guarded"], broken(ROUTE)));
    assert_eq!(stage.ask("/two/guarded/x", None), "500");
    assert_eq!(stage.ask("/two/x", None), "none");
    assert_eq!(stage.degraded()[0].3, "https_redirect_status_code: out of range");
    assert_eq!(stage.effects(), [("routes".to_owned(), 14, Effect::Refuses)]);
    stage.take(service(json!({"port": 1})));
    assert_eq!(stage.ask("/two/guarded/x", None), "500", "what has to do with it does not mend it");
    stage.take(route(14, &["/two/guarded"], json!({"protocols": ["quic"]})));
    assert_eq!(stage.ask("/two/guarded/x", None), "500", "a protocol that is not known may be any");
    stage.take(route(14, &["/two/guarded"], json!({})));
    assert_eq!(stage.ask("/two/guarded/x", None), "none");
    assert_eq!(stage.effects(), []);
    stage.take(route(14, &["/three"], broken(ROUTE)));
    stage.delete("routes", 14);
    assert_eq!(stage.ask("/three", None), "none", "another route has it");
    assert_eq!(stage.effects(), []);
}

#[test]
fn the_former_route_goes_on_where_it_is_for_the_same_requests() {
    let mut stage = Stage::new();
    stage.take(route(11, &["/one"], broken(ROUTE)));
    assert_eq!(stage.ask("/one", None), "none");
    let former = [("routes".to_owned(), 11, Effect::Former)];
    assert_eq!(stage.effects(), former);
    stage.take(service(json!({"port": 1})));
    assert_eq!(stage.effects(), former, "what has to do with it does not mend it");
    stage.take(route(11, &["/uno"], broken(ROUTE)));
    assert_eq!(stage.ask("/one", None), "404", "it is no longer there");
    assert_eq!(stage.ask("/uno", None), "500", "and cannot be here");
    stage.take(route(11, &["/uno"], broken(ROUTE)));
    assert_eq!(stage.ask("/uno", None), "500", "what refuses is no former version");
    stage.take(route(11, &["~/one/("], json!({})));
    assert_eq!(stage.ask("/one/x", None), "500", "the router finds what the record does not say");
    assert_eq!(stage.effects(), [("routes".to_owned(), 11, Effect::Refuses)]);
}

#[test]
fn routes_of_a_service_that_cannot_be_used_are_refused() {
    let mut stage = Stage::new();
    let other = |more: Value| {
        let (entity, mut record) = service(more);
        merge(&mut record, json!({"id": text(2)}));
        (entity, record)
    };
    let to_other = |n: usize, paths: &[&str]| route(n, paths, json!({"service": {"id": text(2)}}));
    stage.take(route(13, &["/"], json!({})));
    stage.batch(&[other(broken(SERVICE)), to_other(14, &["/three"])]).unwrap();
    assert_eq!(stage.ask("/three", None), "500");
    assert_eq!(stage.ask("/one", None), "none");
    assert_eq!(stage.effects(), [("services".to_owned(), 2, Effect::Refuses)]);
    stage.take(to_other(15, &["/four"]));
    assert_eq!(stage.ask("/four", None), "500");
    stage.take(other(json!({"port": -1, "enabled": false})));
    assert_eq!(stage.ask("/three", None), "none", "a service that is not enabled has no routes");
    assert_eq!(stage.effects(), [("services".to_owned(), 2, Effect::LeftOut)]);
    stage.take(other(json!({"host": "other"})));
    assert_eq!(stage.host("/three"), "other");
    assert_eq!(stage.effects(), []);
    stage.take(other(json!({"host": "new", "port": -1})));
    assert_eq!(stage.host("/three"), "other", "the former version goes on");
    assert_eq!(stage.effects(), [("services".to_owned(), 2, Effect::Former)]);
    stage.take(other(json!({"port": -1, "enabled": false})));
    assert_eq!(stage.ask("/three", None), "none", "that is what the record says");
}

#[test]
fn the_name_of_an_upstream_that_cannot_be_used_is_not_that_of_a_host() {
    let mut stage = Stage::new();
    stage.batch(&[upstream("127.0.0.9", broken(UPSTREAM)), target(100)]).unwrap();
    assert_eq!(stage.pick("127.0.0.9"), Err(PickError::NoPeer));
    let refused = [("upstreams".to_owned(), 51, Effect::NoConnection)];
    assert_eq!(stage.effects(), refused);
    stage.take(target(1));
    assert_eq!(stage.pick("127.0.0.9"), Err(PickError::NoPeer));
    assert_eq!(stage.effects(), refused);
    stage.take(upstream("127.0.0.9", json!({})));
    assert_eq!(stage.pick("127.0.0.9"), Ok(Some(81)));
    stage.take(upstream("127.0.0.9", broken(UPSTREAM)));
    assert_eq!(stage.pick("127.0.0.9"), Ok(Some(81)), "the former version goes on");
    assert_eq!(stage.effects(), [("upstreams".to_owned(), 51, Effect::Former)]);
    stage.take(upstream("127.0.0.8", broken(UPSTREAM)));
    assert_eq!(stage.pick("127.0.0.9"), Ok(Some(80)), "it has another name now");
    assert_eq!(stage.pick("127.0.0.8"), Err(PickError::NoPeer));
    stage.delete("upstreams", 51);
    assert_eq!(stage.pick("127.0.0.8"), Ok(Some(80)));
    assert_eq!(stage.effects(), []);
}

#[test]
fn a_target_that_cannot_be_used_takes_no_requests() {
    let mut stage = Stage::new();
    stage.batch(&[upstream("u", json!({})), target(-1)]).unwrap();
    assert_eq!(stage.pick("u"), Err(PickError::NoPeer));
    assert_eq!(stage.effects(), [("targets".to_owned(), 61, Effect::LeftOut)]);
    stage.take(target(1));
    stage.take(target(-1));
    assert_eq!(stage.pick("u"), Ok(Some(81)), "the former version goes on");
    let (entity, mut record) = target(-1);
    merge(&mut record, json!({"target": "127.0.0.1:82"}));
    stage.take((entity, record));
    assert_eq!(stage.pick("u"), Err(PickError::NoPeer), "it is another one now");
}

#[test]
fn former_versions_go_on_when_all_records_are_read_anew() {
    let rotten =
        ("plugins", json!({"id": text(22), "name": "rotten", "protocols": ["http"], "config": {"mode": "fail"}}));
    for fails in [false, true] {
        let mut stage = Stage::new();
        stage.put("consumers", json!({"id": text(31), "username": "u"})).unwrap();
        stage.batch(&[service(json!({"host": "u"})), upstream("u", json!({})), target(1)]).unwrap();
        stage.plugin(21, "a", json!({"route": {"id": text(11)}}));
        if fails {
            assert!(stage.batch(&[route(12, &["/two"], json!({})), rotten.clone()]).is_err());
        }
        let everything = [
            service(json!({"host": "other", "port": -1})),
            route(11, &["/one"], broken(ROUTE)),
            route(12, &["/due"], broken(ROUTE)),
            upstream("u", broken(UPSTREAM)),
            target(-1),
            (
                "plugins",
                json!({"id": text(21), "name": "moody", "protocols": ["http"], "route": {"id": text(11)},
                    "config": {"mode": "fail"}}),
            ),
        ];
        for _ in 0..2 {
            stage.replace(&everything).unwrap();
            assert_eq!(stage.ask("/one", None), "a");
            assert_eq!(stage.host("/one"), "u");
            assert_eq!(stage.pick("u"), Ok(Some(81)));
            assert_eq!(stage.ask("/two", None), "404");
            assert_eq!(stage.ask("/due", None), "500");
            let former = |entity: &str, n: u128| (entity.to_owned(), n, Effect::Former);
            let expected = [
                former("plugins", 21),
                former("routes", 11),
                ("routes".to_owned(), 12, Effect::Refuses),
                former("services", 1),
                former("targets", 61),
                former("upstreams", 51),
            ];
            assert_eq!(stage.effects(), expected);
        }
        stage.replace(&[route(13, &["/three"], json!({}))]).unwrap();
        assert_eq!(stage.ask("/one", None), "404", "what is not there any more does not go on");
        assert_eq!(stage.ask("/three", None), "500", "a route without its service");
        assert_eq!(stage.pick("127.0.0.1"), Ok(Some(80)));
    }
}

#[test]
fn a_record_that_cannot_be_used_costs_only_itself() {
    let mut stage = Stage::new();
    let gopher = ("services", json!({"id": text(2), "protocol": "gopher", "host": "h"}));
    stage.batch(&[route(11, &["~/one("], json!({})), gopher, route(13, &["/three"], json!({}))]).unwrap();
    assert_eq!(stage.ask("/three", None), "none");
    assert_eq!(stage.ask("/two", None), "none");
    assert_eq!(stage.ask("/one", None), "500");
    let (broken, gopher) = (("routes".to_owned(), 11, Effect::Refuses), ("services".to_owned(), 2, Effect::Refuses));
    assert_eq!(stage.effects(), [broken.clone(), gopher]);
    stage.delete("services", 2);
    assert_eq!(stage.effects(), [broken.clone()]);
    stage.take(service(json!({"port": 1})));
    assert_eq!(stage.effects(), [broken], "what has to do with it does not mend it");
    stage.take(route(11, &["/one"], json!({})));
    assert_eq!(stage.effects(), []);
}

#[test]
fn a_credential_that_cannot_be_used_opens_nothing_any_more() {
    let mut stage = Stage::new();
    let known = |stage: &Stage, key: &str| {
        let directory = View::of(&stage.published).directory();
        directory.credential(&DEFAULT_WORKSPACE, ENTITY, key.as_bytes()).is_some()
    };
    stage.put(ENTITY, json!({"id": text(41), "key": "old"})).unwrap();
    assert!(known(&stage, "old"));
    stage.put(ENTITY, json!({"id": text(41), "key": 7})).unwrap();
    assert!(!known(&stage, "old"));
    assert_eq!(stage.degraded()[0].2, Effect::LeftOut);
    stage.put(ENTITY, json!({"id": text(41), "key": "new"})).unwrap();
    assert!(known(&stage, "new"));
    stage.delete(ENTITY, 41);
    assert!(!known(&stage, "new"));
}
