//! Balancers as the gateway uses them: configuration in, peers out.

mod groups;
mod limits;
mod reported;
mod shares;

use super::*;
use crate::dns::Settings;
use crate::dns::tests::Stub;
use crate::health::Outcome;
use model::entities::{DEFAULT_WORKSPACE, Target, Upstream, Uuid};
use model::health::UpstreamHealth;
use sdk::{Exchange, testing};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

fn exchange(fields: &[(&str, &str)]) -> Exchange {
    testing::exchange("GET", "/a?k=1", fields)
}

fn upstream(name: &str, more: Value) -> Arc<Upstream> {
    let mut record = json!({ "id": Uuid::new_v4().to_string(), "name": name });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Arc::new(Upstream::from_record(record.as_object().unwrap()).unwrap())
}

fn target(upstream: &Upstream, address: &str, weight: u16) -> Arc<Target> {
    thread_local!(static CREATED: std::cell::Cell<f64> = const { std::cell::Cell::new(1.0) });
    let created_at = CREATED.replace(CREATED.get() + 1.0);
    Arc::new(Target {
        id: Uuid::new_v4(),
        upstream: upstream.id,
        target: address.to_owned(),
        weight,
        failover: false,
        priority: 0,
        created_at,
        tags: Vec::new(),
    })
}

fn reweighed(target: &Target, weight: u16) -> Arc<Target> {
    Arc::new(Target { weight, ..target.clone() })
}

/// Balancers with a compiler, and the rings that are in force.
struct Stage {
    balancers: Balancers,
    compiler: RefCell<RingCompiler>,
    rings: RefCell<Rings>,
}

async fn stage(stub: &Stub) -> Stage {
    let settings = Settings {
        servers: vec![stub.start().await],
        hosts_file: "/nonexistent".into(),
        resolv_conf: "/nonexistent".into(),
        ..Settings::default()
    };
    let balancers = Balancers::new(settings, Handle::current());
    Stage { balancers, compiler: RefCell::default(), rings: RefCell::default() }
}

impl Stage {
    /// Takes a batch into force.
    fn apply(
        &self,
        put_upstreams: &[Arc<Upstream>],
        put_targets: &[Arc<Target>],
        removed_upstreams: &[Uuid],
        removed_targets: &[Uuid],
    ) {
        self.prepare(put_upstreams, put_targets, removed_upstreams, removed_targets).run();
    }

    fn prepare(
        &self,
        put_upstreams: &[Arc<Upstream>],
        put_targets: &[Arc<Target>],
        removed_upstreams: &[Uuid],
        removed_targets: &[Uuid],
    ) -> Activation {
        let mut compiler = self.compiler.borrow_mut();
        removed_upstreams.iter().for_each(|id| compiler.remove_upstream(id));
        removed_targets.iter().for_each(|id| compiler.remove_target(id));
        put_upstreams.iter().for_each(|upstream| compiler.put_upstream(Arc::clone(upstream)));
        put_targets.iter().for_each(|target| compiler.put_target(Arc::clone(target)));
        let former = self.rings.borrow().clone();
        compiler.finish(&former, &mut self.rings.borrow_mut(), false, &self.balancers)
    }

    /// As a worker has it that looks under the newest snapshot.
    fn destination(&self, host: &str, port: u16) -> Destination {
        Places::default().find(&self.rings.borrow(), &self.balancers, &DEFAULT_WORKSPACE, host, port)
    }

    fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth> {
        self.rings.borrow().health(upstream)
    }

    fn peer(&self, host: &str) -> Result<Peer, PickError> {
        try_pick(self, &self.destination(host, 80), &[]).map(|peer| peer.expect("everything is resolved"))
    }
}

fn try_pick(stage: &Stage, destination: &Destination, tried: &[SocketAddr]) -> Result<Option<Peer>, PickError> {
    destination.try_pick(&stage.balancers, &exchange(&[]), tried)
}

fn picks(stage: &Stage, host: &str, n: usize) -> Vec<String> {
    (0..n).map(|_| stage.peer(host).unwrap().address.to_string()).collect()
}

fn shares(picks: &[String]) -> BTreeMap<&str, usize> {
    let mut shares = BTreeMap::new();
    picks.iter().for_each(|p| *shares.entry(p.as_str()).or_default() += 1);
    shares
}

/// Fails the peers of an address until none is chosen any more.
fn fail(stage: &Stage, host: &str, address: &str) {
    while let Some(peer) = (0..8).filter_map(|_| stage.peer(host).ok()).find(|p| p.address.to_string() == address) {
        peer.report(Outcome::TcpFailure);
    }
}

/// Lets the tasks of the control runtime run until the condition holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what} has not come");
        tokio::task::yield_now().await;
    }
}

fn passive(failures: Value) -> Value {
    let mut unhealthy = json!({ "http_statuses": [429, 500, 503] });
    unhealthy.as_object_mut().unwrap().extend(failures.as_object().unwrap().clone());
    let healthy = json!({ "successes": 1, "http_statuses": [200] });
    json!({ "healthchecks": { "passive": { "healthy": healthy, "unhealthy": unhealthy } } })
}

#[tokio::test]
async fn requests_alternate_and_follow_the_weights() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", json!({}));
    let (one, two) = (target(&up, "10.0.0.1:80", 100), target(&up, "10.0.0.2:80", 100));
    stage.apply(&[up.clone()], &[one.clone(), two.clone()], &[], &[]);
    for pair in picks(&stage, "u", 10).chunks(2) {
        assert_ne!(pair[0], pair[1]);
    }
    stage.apply(&[], &[reweighed(&one, 300), target(&up, "10.0.0.3:80", 0)], &[], &[]);
    for cycle in picks(&stage, "u", 12).chunks(4) {
        assert_eq!(shares(cycle), BTreeMap::from([("10.0.0.1:80", 3), ("10.0.0.2:80", 1)]));
    }
    stage.apply(&[], &[], &[], &[one.id]);
    assert_eq!(shares(&picks(&stage, "u", 5)), BTreeMap::from([("10.0.0.2:80", 5)]));
    stage.apply(&[], &[reweighed(&two, 0)], &[], &[]);
    assert_eq!(stage.peer("u").unwrap_err(), PickError::NoPeer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shares_are_exact_over_all_workers() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", json!({}));
    stage.apply(
        &[up.clone()],
        &[target(&up, "10.0.0.1:80", 10), target(&up, "10.0.0.2:80", 20), target(&up, "10.0.0.3:80", 70)],
        &[],
        &[],
    );
    let worker = |_| {
        let (balancers, rings) = (stage.balancers.clone(), stage.rings.borrow().clone());
        let pick = move || {
            let destination = Places::default().find(&rings, &balancers, &DEFAULT_WORKSPACE, "u", 80);
            let peer = || destination.try_pick(&balancers, &exchange(&[]), &[]).unwrap().unwrap();
            (0..1000).map(|_| peer().address.to_string()).collect::<Vec<_>>()
        };
        tokio::task::spawn_blocking(pick)
    };
    let all: Vec<String> =
        futures_util::future::join_all((0..4).map(worker)).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(shares(&all), BTreeMap::from([("10.0.0.1:80", 400), ("10.0.0.2:80", 800), ("10.0.0.3:80", 2800)]));
}

#[tokio::test]
async fn upstreams_come_go_and_change_their_names() {
    let stub = Stub::default();
    let stage = stage(&stub).await;
    assert!(!stage.destination("late.test", 80).is_upstream());
    let up = upstream("late.test", json!({}));
    stage.apply(&[up.clone()], &[], &[], &[]);
    assert_eq!(stage.peer("late.test").unwrap_err(), PickError::NoPeer);
    stage.apply(&[], &[target(&up, "10.0.0.1:80", 100)], &[], &[]);
    let held = stage.destination("late.test", 80);
    let renamed = Arc::new(Upstream { name: "other.test".to_owned(), ..(*up).clone() });
    stage.apply(&[renamed], &[], &[], &[]);
    assert!(!stage.destination("late.test", 80).is_upstream());
    assert!(stage.peer("other.test").is_ok());
    stage.apply(&[], &[], &[up.id], &[]);
    assert!(!stage.destination("other.test", 80).is_upstream());
    assert!(stage.upstream_health(up.id).is_none());
    assert!(
        held.try_pick(&stage.balancers, &exchange(&[]), &[]).unwrap().is_some(),
        "a request that runs is not cut off"
    );
}

#[tokio::test]
async fn tried_addresses_are_avoided_while_there_are_others() {
    for algorithm in ["round-robin", "least-connections", "latency", "consistent-hashing"] {
        let stage = stage(&Stub::default()).await;
        let up = upstream("u", json!({ "algorithm": algorithm, "hash_on": "ip" }));
        let targets: Vec<Arc<Target>> =
            (1..=3).map(|i| target(&up, &format!("10.0.0.{i}:80"), if i == 1 { 1000 } else { 1 })).collect();
        stage.apply(&[up.clone()], &targets, &[], &[]);
        let destination = stage.destination("u", 80);
        for _ in 0..50 {
            let mut tried = Vec::new();
            for _ in 0..3 {
                let peer = destination.try_pick(&stage.balancers, &exchange(&[]), &tried).unwrap().unwrap();
                assert!(!tried.contains(&peer.address), "{algorithm}");
                tried.push(peer.address);
            }
            assert!(destination.try_pick(&stage.balancers, &exchange(&[]), &tried).unwrap().is_some(), "{algorithm}");
        }
    }
}

#[tokio::test]
async fn failures_take_a_target_out_and_other_changes_keep_it_out() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", passive(json!({ "http_failures": 2, "tcp_failures": 1 })));
    let (one, two) = (target(&up, "10.0.0.1:80", 100), target(&up, "10.0.0.2:80", 100));
    stage.apply(&[up.clone()], &[one.clone(), two.clone()], &[], &[]);
    let of = |ip: &str| (0..4).map(|_| stage.peer("u").unwrap()).find(|p| p.address.ip().to_string() == ip).unwrap();
    let bad = of("10.0.0.1");
    bad.report(Outcome::Status(500));
    bad.report(Outcome::Status(200));
    bad.report(Outcome::Status(500));
    bad.report(Outcome::Status(404));
    assert_eq!(shares(&picks(&stage, "u", 4)).len(), 2, "a success between forgets the failure");
    bad.report(Outcome::Status(503));
    assert_eq!(shares(&picks(&stage, "u", 4)), BTreeMap::from([("10.0.0.2:80", 4)]), "at once, before any rebuild");
    stage.apply(&[up.clone()], &[target(&up, "10.0.0.3:80", 100), reweighed(&two, 50), reweighed(&one, 500)], &[], &[]);
    let all = picks(&stage, "u", 30);
    assert_eq!(shares(&all), BTreeMap::from([("10.0.0.2:80", 10), ("10.0.0.3:80", 20)]));
    let view = stage.upstream_health(up.id).unwrap();
    assert!(view.checked && view.healthy);
    assert_eq!(view.weight.total, 650);
    assert_eq!(view.weight.available, 150);
    assert_eq!(view.weight.unavailable, 500);
    assert_eq!(view.hosts.iter().map(|h| h.addresses[0].healthy).collect::<Vec<_>>(), [false, true, true]);
    let off = Arc::new(Upstream { id: up.id, ..(*upstream("u", json!({}))).clone() });
    stage.apply(&[off], &[], &[], &[]);
    assert_eq!(shares(&picks(&stage, "u", 13)).len(), 3, "with the checks off all are usable");
    assert!(!stage.upstream_health(up.id).unwrap().checked);
}

#[tokio::test]
async fn an_upstream_made_anew_starts_afresh() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", passive(json!({ "tcp_failures": 1 })));
    let one = target(&up, "10.0.0.1:80", 100);
    stage.apply(&[up.clone()], &[one.clone()], &[], &[]);
    stage.peer("u").unwrap().report(Outcome::TcpFailure);
    until("the rebuild", || stage.peer("u").is_err()).await;
    stage.apply(&[], &[], &[up.id], &[one.id]);
    stage.apply(&[up.clone()], &[one.clone()], &[], &[]);
    assert!(stage.peer("u").is_ok());
}

#[tokio::test]
async fn health_is_set_by_hand() {
    let stage = stage(&Stub::default()).await;
    let mut settings = passive(json!({ "http_failures": 1 }));
    settings["healthchecks"]["threshold"] = json!(60);
    let up = upstream("u", settings);
    let plain = upstream("plain", json!({}));
    let targets =
        [target(&up, "10.0.0.1:80", 100), target(&up, "10.0.0.2:80", 100), target(&plain, "10.0.0.1:80", 100)];
    stage.apply(&[up.clone(), plain.clone()], &targets, &[], &[]);
    let set = |ip, healthy| stage.rings.borrow().set_health(up.id, "u", "10.0.0.1", 80, ip, healthy);
    set(Some("10.9.9.9"), false).unwrap();
    assert!(stage.peer("u").is_ok());
    set(Some("10.0.0.1"), false).unwrap();
    assert_eq!(stage.peer("u").unwrap_err(), PickError::NoPeer, "half of the weight is not more than 60 percent");
    assert!(!stage.upstream_health(up.id).unwrap().healthy);
    set(None, true).unwrap();
    assert_eq!(shares(&picks(&stage, "u", 4)).len(), 2);
    let error = stage.rings.borrow().set_health(plain.id, "plain", "10.0.0.1", 80, None, false).unwrap_err();
    assert_eq!(error, "no healthchecker found for plain");
    assert!(stage.rings.borrow().set_health(Uuid::nil(), "x", "h", 1, None, true).is_err());
}

#[tokio::test]
async fn health_is_set_by_what_is_shown_of_a_service() {
    let stub = Stub::default();
    stub.service("s.test", &[(81, "one.test."), (82, "two.test.")]);
    stub.a("one.test", &["10.0.0.1"]);
    stub.a("two.test", &["10.0.0.2"]);
    let stage = stage(&stub).await;
    let up = upstream("u", passive(json!({ "http_failures": 1 })));
    stage.apply(&[up.clone()], &[target(&up, "s.test:80", 100)], &[], &[]);
    let shown = || stage.upstream_health(up.id).map(|health| health.hosts[0].addresses.clone()).unwrap_or_default();
    until("the look-up", || shown().len() == 2).await;
    let set = |address, port, healthy| stage.rings.borrow().set_health(up.id, "u", "s.test", port, address, healthy);
    let healthy = || shown().iter().map(|address| address.healthy).collect::<Vec<_>>();
    let (first, second) = (shown()[0].clone(), shown()[1].clone());
    assert_eq!(first.ip, "one.test");
    set(Some(&first.ip), first.port, false).unwrap();
    assert_eq!(healthy(), [false, true]);
    set(Some(&second.ip), first.port, false).unwrap();
    assert_eq!(healthy(), [false, true], "no address has that port");
    set(Some("s.test"), 80, true).unwrap();
    assert_eq!(healthy(), [true, true], "the target's own name stands for all");
}

#[tokio::test]
async fn busy_targets_are_avoided() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", json!({ "algorithm": "least-connections" }));
    stage.apply(&[up.clone()], &[target(&up, "10.0.0.1:80", 100), target(&up, "10.0.0.2:80", 300)], &[], &[]);
    let open: Vec<Peer> = (0..8).map(|_| stage.peer("u").unwrap()).collect();
    let addresses: Vec<String> = open.iter().map(|p| p.address.to_string()).collect();
    assert_eq!(shares(&addresses), BTreeMap::from([("10.0.0.1:80", 2), ("10.0.0.2:80", 6)]));
    let kept = open[0].clone();
    drop(open);
    assert_eq!(kept.endpoint().unwrap().open(), 1, "a clone counts, and what is dropped does not");
}

#[tokio::test]
async fn the_faster_target_gets_most() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", json!({ "algorithm": "latency" }));
    stage.apply(&[up.clone()], &[target(&up, "10.0.0.1:80", 100), target(&up, "10.0.0.2:80", 100)], &[], &[]);
    for _ in 0..20 {
        let peer = stage.peer("u").unwrap();
        let slow = peer.address.ip().to_string() == "10.0.0.1";
        peer.endpoint().unwrap().took(Duration::from_millis(if slow { 200 } else { 2 }));
    }
    assert_eq!(shares(&picks(&stage, "u", 10)), BTreeMap::from([("10.0.0.2:80", 10)]));
}

#[tokio::test]
async fn keys_stay_with_their_target_and_a_cookie_is_given() {
    let stage = stage(&Stub::default()).await;
    let up = upstream(
        "u",
        json!({
            "algorithm": "consistent-hashing", "hash_on": "header", "hash_on_header": "x-k",
            "hash_fallback": "cookie", "hash_on_cookie": "c"
        }),
    );
    stage.apply(&[up.clone()], &[1, 2, 3].map(|i| target(&up, &format!("10.0.0.{i}:80"), 100)), &[], &[]);
    let destination = stage.destination("u", 80);
    let pick =
        |fields: &[(&str, &str)]| destination.try_pick(&stage.balancers, &exchange(fields), &[]).unwrap().unwrap();
    let servers: Vec<SocketAddr> = (0..60).map(|i| pick(&[("X-K", &i.to_string())]).address).collect();
    assert_eq!(servers, (0..60).map(|i| pick(&[("X-K", &i.to_string())]).address).collect::<Vec<_>>());
    assert_eq!(servers.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    let first = pick(&[]);
    let cookie = first.set_cookie.clone().unwrap();
    assert!(cookie.starts_with("c=") && cookie.ends_with("; Path=/; SameSite=Lax; HttpOnly"), "{cookie}");
    assert_eq!(pick(&[]).set_cookie, first.set_cookie, "another try of the same exchange");
    let again = pick(&[("Cookie", cookie.split(';').next().unwrap())]);
    assert_eq!(again.address, first.address);
    assert_eq!(again.set_cookie.as_deref(), None);
}

#[tokio::test]
async fn requests_without_a_key_stay_together() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", json!({ "algorithm": "consistent-hashing", "hash_on": "header", "hash_on_header": "x-k" }));
    stage.apply(&[up.clone()], &[1, 2, 3].map(|i| target(&up, &format!("10.0.0.{i}:80"), 100)), &[], &[]);
    assert_eq!(shares(&picks(&stage, "u", 10)).into_values().collect::<Vec<_>>(), [10]);
}

#[tokio::test]
async fn names_of_targets_are_resolved_and_share_the_weight() {
    let stub = Stub::default();
    stub.a("two.test", &["10.0.0.1", "10.0.0.2"]);
    let stage = stage(&stub).await;
    let up = upstream("u", json!({}));
    let named = target(&up, "two.test:81", 100);
    stage.apply(&[up.clone()], &[named.clone()], &[], &[]);
    let destination = stage.destination("u", 80);
    assert!(
        matches!(destination.try_pick(&stage.balancers, &exchange(&[]), &[]), Ok(None)),
        "the name is not known yet"
    );
    let first = destination.pick(&stage.balancers, &exchange(&[]), &[]).await.unwrap();
    assert_eq!(&**first.host(), "two.test");
    stage.apply(&[], &[target(&up, "10.0.0.3:80", 100)], &[], &[]);
    let all = picks(&stage, "u", 9);
    assert_eq!(shares(&all), BTreeMap::from([("10.0.0.1:81", 3), ("10.0.0.2:81", 3), ("10.0.0.3:80", 3)]));
    let view = stage.upstream_health(up.id).unwrap();
    assert_eq!(view.hosts[0].host.as_str(), "two.test");
    assert_eq!(view.hosts[0].dns.as_str(), "A");
    assert_eq!(view.hosts[0].weight.total, 200);
    // The records change, and after their time the new ones are used.
    stub.a("two.test", &["10.0.0.2", "10.0.0.4"]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    until("the new address", || picks(&stage, "u", 3).contains(&"10.0.0.4:81".to_owned())).await;
    assert!(!picks(&stage, "u", 3).contains(&"10.0.0.1:81".to_owned()));
}

#[tokio::test]
async fn a_request_goes_on_with_the_upstream_it_has_found() {
    let stub = Stub::default();
    stub.a("slow.test", &["10.0.0.1"]);
    for change in ["removed", "renamed"] {
        let stage = stage(&stub).await;
        let up = upstream("u", json!({}));
        stage.apply(&[up.clone()], &[target(&up, "slow.test:81", 100)], &[], &[]);
        let destination = stage.destination("u", 80);
        let exchange = exchange(&[]);
        let waiting = destination.pick(&stage.balancers, &exchange, &[]);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = waiting.as_mut() => panic!("the name cannot be known yet"),
            () = std::future::ready(()) => {}
        }
        match change {
            "removed" => stage.apply(&[], &[], &[up.id], &[]),
            _ => stage.apply(&[Arc::new(Upstream { name: "v".to_owned(), ..(*up).clone() })], &[], &[], &[]),
        }
        assert_eq!(waiting.await.unwrap().address.to_string(), "10.0.0.1:81", "{change}");
        assert!(!stage.destination("u", 80).is_upstream());
    }
}

#[tokio::test]
async fn two_upstreams_exchange_their_names() {
    let stage = stage(&Stub::default()).await;
    let (one, two) = (upstream("one", json!({})), upstream("two", json!({})));
    let targets = [target(&one, "10.0.0.1:80", 100), target(&two, "10.0.0.2:80", 100)];
    stage.apply(&[one.clone(), two.clone()], &targets, &[], &[]);
    let before = stage.destination("one", 80);
    let named = |upstream: &Upstream, name: &str| Arc::new(Upstream { name: name.to_owned(), ..upstream.clone() });
    for _ in 0..8 {
        // In no particular order: the names must not depend on which of the two is looked at first.
        stage.apply(&[named(&one, "two"), named(&two, "one")], &[], &[], &[]);
        assert_eq!(picks(&stage, "one", 2), ["10.0.0.2:80"; 2]);
        assert_eq!(picks(&stage, "two", 2), ["10.0.0.1:80"; 2]);
        let held = try_pick(&stage, &before, &[]).unwrap().unwrap();
        assert_eq!(held.address.to_string(), "10.0.0.1:80", "who began before goes on as it began");
        stage.apply(&[named(&one, "one"), named(&two, "two")], &[], &[], &[]);
        assert_eq!(picks(&stage, "one", 2), ["10.0.0.1:80"; 2]);
    }
}

#[tokio::test]
async fn a_target_that_goes_over_to_another_upstream_leaves_its_own() {
    let stage = stage(&Stub::default()).await;
    let (one, two) = (upstream("one", passive(json!({ "tcp_failures": 1 }))), upstream("two", json!({})));
    let (goes, stays) = (target(&one, "10.0.0.1:80", 100), target(&one, "10.0.0.2:80", 100));
    stage.apply(&[one.clone(), two.clone()], &[goes.clone(), stays], &[], &[]);
    let before = stage.destination("one", 80);
    stage.apply(&[], &[Arc::new(Target { upstream: two.id, ..(*goes).clone() })], &[], &[]);
    assert_eq!(picks(&stage, "one", 4), ["10.0.0.2:80"; 4]);
    assert_eq!(picks(&stage, "two", 4), ["10.0.0.1:80"; 4]);
    let held: Vec<_> = (0..2).map(|_| try_pick(&stage, &before, &[]).unwrap().unwrap().address).collect();
    assert_ne!(held[0], held[1], "a request of before has the targets of before");
    stage.apply(&[], &[], &[], &[goes.id]);
    assert_eq!(stage.peer("two").unwrap_err(), PickError::NoPeer);
}

#[tokio::test]
async fn nothing_takes_effect_before_its_snapshot_does() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", passive(json!({ "tcp_failures": 1 })));
    let (one, two) = (target(&up, "10.0.0.1:80", 100), target(&up, "10.0.0.2:80", 100));
    stage.apply(&[up.clone()], &[one.clone(), two.clone()], &[], &[]);
    let in_force = stage.destination("u", 80);
    let off = Arc::new(Upstream { id: up.id, ..(*upstream("u", json!({}))).clone() });
    let before = stage.rings.borrow().clone();
    let abandoned = stage.prepare(&[off], &[reweighed(&two, 0)], &[], &[one.id]);
    drop(abandoned);
    *stage.rings.borrow_mut() = before;
    let pick = || try_pick(&stage, &in_force, &[]).unwrap().unwrap();
    let peers = [pick(), pick()];
    assert_ne!(peers[0].address, peers[1].address);
    peers[0].report(Outcome::TcpFailure);
    until("the rebuild", || stage.upstream_health(up.id).unwrap().weight.unavailable == 100).await;
    assert_eq!(pick().address, peers[1].address, "checks and targets are those of before");
}

#[tokio::test]
async fn who_runs_under_a_former_snapshot_hears_of_health_and_addresses() {
    let stub = Stub::default();
    stub.a("two.test", &["10.0.0.1", "10.0.0.2"]);
    let stage = stage(&stub).await;
    let up = upstream("u", passive(json!({ "tcp_failures": 1 })));
    let named = target(&up, "two.test:80", 100);
    stage.apply(&[up.clone()], &[named.clone()], &[], &[]);
    let before = stage.destination("u", 80);
    let first = before.pick(&stage.balancers, &exchange(&[]), &[]).await.unwrap();
    stage.apply(&[], &[reweighed(&named, 50)], &[], &[]);
    first.report(Outcome::TcpFailure);
    let now: Vec<SocketAddr> = (0..4).map(|_| stage.peer("u").unwrap().address).collect();
    assert!(!now.contains(&first.address), "what a former request has seen counts for all");
    assert_ne!(try_pick(&stage, &before, &[]).unwrap().unwrap().address, first.address);
    stub.a("two.test", &["10.0.0.3"]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let new = "10.0.0.3:80".parse().unwrap();
    until("the new address", || try_pick(&stage, &before, &[]).unwrap().unwrap().address == new).await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_tried_again() {
    let stub = Stub::default();
    let stage = stage(&stub).await;
    let up = upstream("u", passive(json!({ "http_failures": 1 })));
    stage.apply(&[up.clone()], &[target(&up, "late.test:81", 100)], &[], &[]);
    let destination = stage.destination("u", 80);
    assert_eq!(destination.pick(&stage.balancers, &exchange(&[]), &[]).await.unwrap_err(), PickError::NoPeer);
    let view = stage.upstream_health(up.id).unwrap();
    assert_eq!(view.hosts[0].dns, "dns server error: 3 name error");
    assert!(view.hosts[0].addresses.is_empty());
    stub.a("late.test", &["10.0.0.1"]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    until("the address", || stage.peer("u").is_ok()).await;
}

#[tokio::test]
async fn hosts_are_looked_up_and_taken_in_turn() {
    let stub = Stub::default();
    stub.a("multi.test", &["10.0.0.1", "10.0.0.2"]);
    let stage = stage(&stub).await;
    let destination = stage.destination("multi.test", 81);
    let first = destination.pick(&stage.balancers, &exchange(&[]), &[]).await.unwrap();
    assert_eq!(&**first.host(), "multi.test");
    assert_eq!(shares(&picks(&stage, "multi.test", 4)).len(), 2);
    let unknown = stage.destination("nx.test", 81);
    assert_eq!(unknown.pick(&stage.balancers, &exchange(&[]), &[]).await.unwrap_err(), PickError::NameResolution);
    let six = stage.peer("::1").unwrap();
    assert_eq!(six.address.to_string().as_str(), "[::1]:80");
    assert_eq!(&**six.host(), "[::1]");
    assert_eq!(&**stage.peer("[::1]").unwrap().host(), "[::1]");
}

#[tokio::test]
async fn the_host_of_an_upstream_is_its_own_or_the_targets() {
    let stub = Stub::default();
    stub.a("name.test", &["10.0.0.1"]);
    let stage = stage(&stub).await;
    let (plain, fixed) = (upstream("plain", json!({})), upstream("fixed", json!({ "host_header": "other.test" })));
    let targets = [target(&plain, "[::1]:81", 100), target(&fixed, "name.test:81", 100)];
    stage.apply(&[plain, fixed], &targets, &[], &[]);
    assert_eq!(&**stage.peer("plain").unwrap().host(), "[::1]");
    let peer = stage.destination("fixed", 80).pick(&stage.balancers, &exchange(&[]), &[]).await.unwrap();
    assert_eq!(&**peer.host(), "other.test");
}

#[tokio::test]
async fn probes_take_a_target_out_and_bring_it_back() {
    let stage = stage(&Stub::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let checks = json!({ "healthchecks": { "active": {
        "type": "tcp", "timeout": 5,
        "healthy": { "interval": 0.1, "successes": 1 },
        "unhealthy": { "interval": 0.1, "tcp_failures": 1 }
    } } });
    let up = upstream("u", checks);
    stage.apply(&[up.clone()], &[target(&up, &address.to_string(), 100), target(&up, "127.0.0.1:1", 100)], &[], &[]);
    let healthy = |i: usize| stage.upstream_health(up.id).unwrap().hosts[i].addresses[0].healthy;
    until("the dead target to be found", || !healthy(1)).await;
    assert!(healthy(0));
    drop(listener);
    until("the target to be found dead", || !healthy(0)).await;
    until("the rebuild", || stage.peer("u").is_err()).await;
    let _again = TcpListener::bind(address).await.unwrap();
    until("the target to come back", || healthy(0)).await;
    until("the rebuild", || stage.peer("u").is_ok()).await;
    // Without probes in the configuration there are none.
    let off = Arc::new(Upstream { id: up.id, ..(*upstream("u", json!({}))).clone() });
    stage.apply(&[off], &[], &[], &[]);
    assert!(healthy(0) && healthy(1));
}
