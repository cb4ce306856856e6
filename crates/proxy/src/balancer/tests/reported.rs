//! What users have met with other gateways: counts that do not come back, keys that move, health that spreads.

use super::*;

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

#[tokio::test]
async fn open_exchanges_are_counted_right_whatever_happens() {
    let stage = stage(&Stub::default()).await;
    let mut fields = passive(json!({ "tcp_failures": 3 }));
    fields["algorithm"] = "least-connections".into();
    let up = upstream("u", fields);
    let mut targets: Vec<Arc<Target>> = (1..=5).map(|i| target(&up, &format!("10.0.0.{i}:80"), 100)).collect();
    stage.apply(&[up.clone()], &targets, &[], &[]);
    let (mut random, mut open) = (Random(7), Vec::<Peer>::new());
    let mut seen: BTreeMap<SocketAddr, Arc<Endpoint>> = BTreeMap::new();
    for _ in 0..5000 {
        match random.below(10) {
            // A request with up to three tries, of which the last one goes on.
            0..=3 => {
                let destination = stage.destination("u", 80);
                let mut tried = Vec::new();
                for _ in 0..=random.below(3) {
                    let Ok(Some(peer)) = try_pick(&stage, &destination, &tried) else { break };
                    tried.push(peer.address);
                    seen.insert(peer.address, Arc::clone(peer.endpoint().unwrap()));
                    peer.report(if random.below(4) == 0 { Outcome::TcpFailure } else { Outcome::Status(200) });
                    open.push(peer);
                }
            }
            4 if !open.is_empty() => {
                let again = open[random.below(open.len())].clone();
                open.push(again);
            }
            5 => {
                let at = random.below(targets.len());
                targets[at] = reweighed(&targets[at], [0, 1, 100, 500][random.below(4)]);
                stage.apply(&[], &[Arc::clone(&targets[at])], &[], &[]);
            }
            6 => {
                let host = format!("10.0.0.{}", 1 + random.below(5));
                stage.rings.borrow().set_health(up.id, "u", &host, 80, None, random.below(4) > 0).unwrap();
            }
            _ if !open.is_empty() => drop(open.swap_remove(random.below(open.len()))),
            _ => {}
        }
        let mut counted: BTreeMap<SocketAddr, u32> = BTreeMap::new();
        open.iter().for_each(|peer| *counted.entry(peer.address).or_default() += 1);
        for (address, endpoint) in &seen {
            assert_eq!(endpoint.open(), counted.get(address).copied().unwrap_or_default(), "{address}");
        }
    }
    drop(open);
    assert!(seen.len() == 5 && seen.values().all(|endpoint| endpoint.open() == 0));
}

#[tokio::test]
async fn keys_stay_where_they_are_while_records_come_in_another_order() {
    let stub = Stub::default();
    stub.a("many.test", &["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    let stage = stage(&stub).await;
    let up = upstream("u", json!({ "algorithm": "consistent-hashing", "hash_on": "header", "hash_on_header": "k" }));
    stage.apply(&[up.clone()], &[target(&up, "many.test:81", 100)], &[], &[]);
    let destination = stage.destination("u", 80);
    destination.pick(&stage.balancers, &exchange(&[]), &[]).await.unwrap();
    let of = |key: usize| {
        let exchange = exchange(&[("K", &key.to_string())]);
        stage.destination("u", 80).try_pick(&stage.balancers, &exchange, &[]).unwrap().unwrap().address
    };
    let owners = || (0..500).map(of).collect::<Vec<_>>();
    let before = owners();
    let asked = stub.asked.lock().unwrap().len();
    stub.a("many.test", &["10.0.0.3", "10.0.0.1", "10.0.0.4", "10.0.0.2"]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    until("another look-up", || {
        // Requests keep the name in use.
        let _ = of(0);
        stub.asked.lock().unwrap().len() > asked
    })
    .await;
    assert_eq!(owners(), before);
}

#[tokio::test]
async fn one_address_in_two_upstreams_has_a_health_in_each() {
    let stage = stage(&Stub::default()).await;
    let fields = || passive(json!({ "tcp_failures": 1 }));
    let (one, two) = (upstream("one", fields()), upstream("two", fields()));
    let targets = [target(&one, "[2001:db8::1]:80", 100), target(&two, "[2001:db8::1]:80", 100)];
    stage.apply(&[one.clone(), two.clone()], &targets, &[], &[]);
    stage.peer("one").unwrap().report(Outcome::TcpFailure);
    until("the first one is down", || stage.peer("one").is_err()).await;
    assert_eq!(stage.peer("two").unwrap().address.to_string(), "[2001:db8::1]:80");
    // Other names and weights change nothing of it, and a success elsewhere brings nobody back.
    stage.peer("two").unwrap().report(Outcome::Status(200));
    stage.apply(&[], &[reweighed(&targets[0], 50)], &[], &[]);
    assert!(stage.peer("one").is_err());
    stage.rings.borrow().set_health(one.id, "one", "[2001:db8::1]", 80, None, true).unwrap();
    assert!(stage.peer("one").is_ok());
}

#[tokio::test]
async fn a_last_try_without_an_answer_counts_as_502_beside_what_it_was() {
    let stage = stage(&Stub::default()).await;
    for (rules, is_down) in [
        (json!({ "http_failures": 2, "http_statuses": [502] }), true),
        (json!({ "http_failures": 2, "http_statuses": [500] }), false),
        (json!({ "tcp_failures": 2 }), true),
    ] {
        let name = rules.to_string();
        let up = upstream(&name, passive(rules));
        stage.apply(&[up.clone()], &[target(&up, "10.0.0.1:80", 100)], &[], &[]);
        for _ in 0..2 {
            let peer = stage.peer(&name).unwrap();
            peer.report(Outcome::TcpFailure);
            peer.report_given_up();
        }
        assert_eq!(stage.peer(&name).is_err(), is_down, "{name}");
    }
}
