//! What targets get, by counts.

use super::*;

#[tokio::test]
async fn hardly_more_keys_move_than_those_of_a_target_that_leaves() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", json!({ "algorithm": "consistent-hashing", "hash_on": "header", "hash_on_header": "k" }));
    let targets: Vec<Arc<Target>> = (1..=10).map(|i| target(&up, &format!("10.0.0.{i}:80"), 100)).collect();
    stage.apply(&[up.clone()], &targets, &[], &[]);
    let of = |key: usize| {
        let exchange = exchange(&[("K", &key.to_string())]);
        stage.destination("u", 80).try_pick(&stage.balancers, &exchange, &[]).unwrap().unwrap().address
    };
    let keys = 10_000;
    let before: Vec<SocketAddr> = (0..keys).map(of).collect();
    stage.apply(&[], &[], &[], &[targets[4].id]);
    let moved = (0..keys).filter(|&key| of(key) != before[key]).count();
    assert!(moved as f64 <= 1.1 * keys as f64 / 10.0, "{moved} of {keys}");
}

#[tokio::test]
async fn a_target_ten_times_slower_gets_little() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", json!({ "algorithm": "latency" }));
    let targets = [1, 2, 3].map(|i| target(&up, &format!("10.0.0.{i}:80"), 100));
    stage.apply(&[up.clone()], &targets, &[], &[]);
    let mut slow = 0;
    for _ in 0..1000 {
        let peer = stage.peer("u").unwrap();
        let is_slow = peer.address.to_string() == "10.0.0.3:80";
        slow += usize::from(is_slow);
        peer.endpoint().unwrap().took(Duration::from_millis(if is_slow { 50 } else { 5 }));
    }
    assert!(slow < 100, "{slow} of 1000");
}

#[tokio::test]
async fn a_target_that_becomes_slow_is_avoided_at_once() {
    let stage = stage(&Stub::default()).await;
    let up = upstream("u", json!({ "algorithm": "latency" }));
    let targets = [1, 2, 3].map(|i| target(&up, &format!("10.0.0.{i}:80"), 100));
    stage.apply(&[up.clone()], &targets, &[], &[]);
    for _ in 0..100 {
        stage.peer("u").unwrap().endpoint().unwrap().took(Duration::from_millis(5));
    }
    let slow = stage.peer("u").unwrap();
    slow.endpoint().unwrap().took(Duration::from_millis(500));
    assert!(!picks(&stage, "u", 100).contains(&slow.address.to_string()));
}
