//! Targets that others stand in for, and sessions that stay with theirs.

use super::*;

const ONE: &str = "10.0.0.1:80";
const TWO: &str = "10.0.0.2:80";
const THREE: &str = "10.0.0.3:80";

fn failing_over(target: Arc<Target>) -> Arc<Target> {
    Arc::new(Target { failover: true, ..(*target).clone() })
}

fn of_priority(target: Arc<Target>, priority: u16) -> Arc<Target> {
    Arc::new(Target { priority, ..(*target).clone() })
}

#[tokio::test]
async fn targets_for_failure_wait_for_the_failure_of_all_others() {
    for algorithm in ["round-robin", "least-connections", "latency"] {
        let stage = stage(&Stub::default()).await;
        let mut settings = passive(json!({ "tcp_failures": 1 }));
        settings["algorithm"] = json!(algorithm);
        let up = upstream("u", settings);
        let spare = failing_over(target(&up, THREE, 100));
        stage.apply(&[up.clone()], &[spare, target(&up, ONE, 100), target(&up, TWO, 1)], &[], &[]);
        assert!(!picks(&stage, "u", 200).contains(&THREE.to_owned()), "{algorithm}");
        fail(&stage, "u", ONE);
        assert_eq!(shares(&picks(&stage, "u", 5)), BTreeMap::from([(TWO, 5)]), "{algorithm}");
        fail(&stage, "u", TWO);
        assert_eq!(shares(&picks(&stage, "u", 5)), BTreeMap::from([(THREE, 5)]), "{algorithm}");
        stage.rings.borrow().set_health(up.id, "u", "10.0.0.2", 80, None, true).unwrap();
        assert_eq!(shares(&picks(&stage, "u", 5)), BTreeMap::from([(TWO, 5)]), "{algorithm}: and back");
    }
}

#[tokio::test]
async fn where_a_key_decides_targets_for_failure_are_never_asked() {
    let stage = stage(&Stub::default()).await;
    let mut settings = passive(json!({ "tcp_failures": 1 }));
    settings["algorithm"] = json!("consistent-hashing");
    settings["hash_on"] = json!("ip");
    let up = upstream("u", settings);
    stage.apply(&[up.clone()], &[target(&up, ONE, 100), failing_over(target(&up, TWO, 100))], &[], &[]);
    fail(&stage, "u", ONE);
    assert_eq!(stage.peer("u").unwrap_err(), PickError::NoPeer);
}

#[tokio::test]
async fn priorities_fail_over_and_back() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", passive(json!({ "tcp_failures": 1 })));
    let targets = [
        of_priority(target(&up, THREE, 100), 2),
        of_priority(target(&up, TWO, 100), 1),
        of_priority(target(&up, ONE, 100), 0),
    ];
    stage.apply(&[up.clone()], &targets, &[], &[]);
    for (address, next) in [(ONE, TWO), (TWO, THREE)] {
        assert_eq!(shares(&picks(&stage, "u", 4)), BTreeMap::from([(address, 4)]));
        fail(&stage, "u", address);
        assert_eq!(shares(&picks(&stage, "u", 4)), BTreeMap::from([(next, 4)]));
    }
    stage.rings.borrow().set_health(up.id, "u", "10.0.0.1", 80, None, true).unwrap();
    assert_eq!(shares(&picks(&stage, "u", 4)), BTreeMap::from([(ONE, 4)]));
    // Another try of a request goes on to the next group.
    let destination = stage.destination("u", 80);
    let tried = [ONE.parse().unwrap()];
    assert_eq!(try_pick(&stage, &destination, &tried).unwrap().unwrap().address.to_string(), THREE);
}

#[tokio::test]
async fn sessions_stay_with_their_target() {
    let stage = stage(&Stub::default()).await;
    let mut settings = passive(json!({ "tcp_failures": 1 }));
    settings["algorithm"] = json!("sticky-sessions");
    settings["sticky_sessions_cookie"] = json!("s");
    let up = upstream("u", settings);
    let (one, two) = (target(&up, ONE, 100), target(&up, TWO, 100));
    stage.apply(&[up.clone()], &[one.clone(), two.clone()], &[], &[]);
    let pick = |cookie: &str| {
        let exchange = exchange(&[("Cookie", cookie)]);
        stage.destination("u", 80).try_pick(&stage.balancers, &exchange, &[]).unwrap().unwrap()
    };
    assert_eq!(shares(&picks(&stage, "u", 4)), BTreeMap::from([(ONE, 2), (TWO, 2)]), "new sessions are spread");
    let first = pick("");
    let line = first.set_cookie.clone().unwrap();
    assert!(line.ends_with("; Path=/; SameSite=Lax; HttpOnly"), "{line}");
    let cookie = line.split(';').next().unwrap().to_owned();
    for _ in 0..4 {
        let again = pick(&cookie);
        assert_eq!(again.address, first.address);
        assert_eq!(again.set_cookie, None);
    }
    // It drains: sessions stay, and no new ones come.
    let (own, other) = if first.address.to_string() == ONE { (one, two) } else { (two, one) };
    stage.apply(&[], &[reweighed(&own, 0)], &[], &[]);
    assert_eq!(pick(&cookie).address, first.address);
    assert_eq!(shares(&picks(&stage, "u", 4)), BTreeMap::from([(other.target.as_str(), 4)]));
    stage.apply(&[], &[], &[], &[own.id]);
    let moved = pick(&cookie);
    assert_eq!(moved.address.to_string(), other.target);
    assert_ne!(moved.set_cookie, None, "the cookie of a target that is gone is replaced");
    assert_ne!(pick("s=made-up").set_cookie, None);
}
