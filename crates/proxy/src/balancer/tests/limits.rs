//! How much a target gets: connections at a time, when it begins, and after it has failed.

use super::*;

#[tokio::test]
async fn a_target_gets_no_more_than_it_may() {
    for algorithm in ["round-robin", "least-connections", "latency", "consistent-hashing"] {
        let stage = stage(&Stub::default()).await;
        let up = upstream("u", json!({ "algorithm": algorithm, "hash_on": "ip", "max_connections": 2 }));
        let targets = [target(&up, "10.0.0.1:80", 100), target(&up, "10.0.0.2:80", 1)];
        stage.apply(&[up.clone()], &targets, &[], &[]);
        let mut open: Vec<Peer> = (0..4).map(|_| stage.peer("u").unwrap()).collect();
        let addresses: Vec<String> = open.iter().map(|peer| peer.address.to_string()).collect();
        assert_eq!(shares(&addresses), BTreeMap::from([("10.0.0.1:80", 2), ("10.0.0.2:80", 2)]), "{algorithm}");
        assert_eq!(stage.peer("u").unwrap_err(), PickError::NoPeer, "{algorithm}");
        let freed = open.pop().unwrap().address;
        assert_eq!(stage.peer("u").unwrap().address, freed, "{algorithm}");
    }
}

#[tokio::test]
async fn so_many_requests_wait_for_a_place() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", json!({ "max_connections": 1, "max_pending_requests": 1 }));
    stage.apply(&[up.clone()], &[target(&up, "10.0.0.1:80", 100)], &[], &[]);
    let (destination, exchange) = (stage.destination("u", 80), exchange(&[]));
    let open = stage.peer("u").unwrap();
    let pick = || destination.pick(&stage.balancers, &exchange, &[]);
    let mut waiting = Box::pin(pick());
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    assert_eq!(pick().await.unwrap_err(), PickError::NoPeer, "one more is too many");
    drop(open);
    let peer = waiting.await.unwrap();
    assert_eq!(peer.address.to_string(), "10.0.0.1:80");
    tokio::time::pause();
    assert_eq!(pick().await.unwrap_err(), PickError::NoPeer, "the wait has an end");
}

#[tokio::test]
async fn a_new_target_comes_slowly_to_its_share() {
    let stage = stage(&Stub::default()).await;
    let time = Duration::from_millis(400);
    let up = upstream("u", json!({ "slow_start": time.as_secs_f64() }));
    let first = target(&up, "10.0.0.1:80", 100);
    stage.apply(&[up.clone()], &[first.clone()], &[], &[]);
    let began = Instant::now();
    until("the first one to be warm", || began.elapsed() > time).await;
    stage.apply(&[], &[target(&up, "10.0.0.2:80", 100)], &[], &[]);
    let new = Instant::now();
    let share = || picks(&stage, "u", 400).iter().filter(|address| *address == "10.0.0.2:80").count();
    let at_first = share();
    if new.elapsed() < time / 8 {
        assert!((4..=90).contains(&at_first), "{at_first} of 400");
    }
    until("the new one to be warm", || new.elapsed() > time).await;
    assert_eq!(share(), 200);
}

#[tokio::test]
async fn a_target_that_requests_have_found_unhealthy_is_tried_again() {
    let stage = stage(&Stub::default()).await;
    let mut settings = passive(json!({ "tcp_failures": 1 }));
    settings["recovery_time"] = json!(0.05);
    let up = upstream("u", settings);
    stage.apply(&[up.clone()], &[target(&up, "10.0.0.1:80", 100)], &[], &[]);
    let broken = stage.peer("u").unwrap();
    broken.report(Outcome::TcpFailure);
    let found = RefCell::new(None);
    let try_again = || {
        *found.borrow_mut() = stage.peer("u").ok();
        found.borrow().is_some()
    };
    assert!(!try_again(), "not at once");
    until("a trial", try_again).await;
    assert!(stage.peer("u").is_err(), "one request at a time tries it");
    found.take().unwrap().report(Outcome::TcpFailure);
    assert!(stage.peer("u").is_err());
    until("another trial", try_again).await;
    found.take().unwrap().report(Outcome::Status(200));
    until("its return", || stage.peer("u").is_ok()).await;
    assert_eq!(picks(&stage, "u", 3).len(), 3);
    // What was switched off by hand stays off.
    stage.rings.borrow().set_health(up.id, "u", "10.0.0.1", 80, None, false).unwrap();
    let switched = Instant::now();
    until("the time of a trial", || switched.elapsed() > Duration::from_millis(100)).await;
    assert!(stage.peer("u").is_err());
}
