//! The resolver against a small name server on loopback.

use super::*;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SRV};
use hickory_proto::rr::{Name, RData, Record as DnsRecord, RecordType};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// Records by name and kind, and the questions that came. A name that is not there does not exist.
#[derive(Clone, Default)]
pub struct Stub {
    zones: Arc<Mutex<HashMap<(String, RecordType), Vec<RData>>>>,
    pub asked: Arc<Mutex<Vec<(String, RecordType)>>>,
    silent: Arc<AtomicBool>,
    truncating: Arc<AtomicBool>,
}

impl Stub {
    /// Starts to answer on a port of its own, over UDP and TCP.
    pub async fn start(&self) -> SocketAddr {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let stub = self.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let mut question = vec![0; stream.read_u16().await.unwrap() as usize];
                stream.read_exact(&mut question).await.unwrap();
                let reply = stub.reply(&Message::from_vec(&question).unwrap()).to_vec().unwrap();
                stream.write_u16(reply.len() as u16).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        });
        let stub = self.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let reply = match stub.truncating.load(Ordering::Relaxed) {
                    true => Stub::default()
                        .reply(&question)
                        .set_response_code(ResponseCode::NoError)
                        .set_truncated(true)
                        .to_vec(),
                    false => stub.reply(&question).to_vec(),
                };
                // A forgery with another id comes first.
                let mut forged = Stub::default().reply(&question);
                forged.set_id(question.id().wrapping_add(1)).set_response_code(ResponseCode::NXDomain);
                udp.send_to(&forged.to_vec().unwrap(), peer).await.unwrap();
                if !stub.silent.load(Ordering::Relaxed) {
                    udp.send_to(&reply.unwrap(), peer).await.unwrap();
                }
            }
        });
        address
    }

    pub fn set(&self, name: &str, kind: RecordType, records: Vec<RData>) {
        self.zones.lock().unwrap().insert((name.to_owned(), kind), records);
    }

    pub fn a(&self, name: &str, ips: &[&str]) {
        self.set(name, RecordType::A, ips.iter().map(|ip| RData::A(A(ip.parse().unwrap()))).collect());
    }

    /// SRV records: ports and names.
    pub fn service(&self, name: &str, targets: &[(u16, &str)]) {
        self.set(name, RecordType::SRV, targets.iter().map(|(port, target)| srv(1, *port, target)).collect());
    }

    pub fn silence(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }

    fn remove(&self, name: &str) {
        self.zones.lock().unwrap().retain(|(n, _), _| n != name);
    }

    fn questions(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn reply(&self, question: &Message) -> Message {
        let query = question.query().unwrap().clone();
        let name = query.name().to_ascii().trim_end_matches('.').to_owned();
        self.asked.lock().unwrap().push((name.clone(), query.query_type()));
        let zones = self.zones.lock().unwrap();
        let known = zones.keys().any(|(n, _)| *n == name);
        let mut reply = Message::new();
        reply.set_id(question.id()).set_message_type(MessageType::Response);
        reply.set_response_code(if known { ResponseCode::NoError } else { ResponseCode::NXDomain });
        for data in zones.get(&(name, query.query_type())).into_iter().flatten() {
            reply.add_answer(DnsRecord::from_rdata(query.name().clone(), 60, data.clone()));
        }
        reply.add_query(query);
        reply
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn srv(weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(1, weight, port, name(target)))
}

async fn resolver(stub: &Stub) -> Arc<Resolver> {
    let settings = Settings {
        servers: vec![stub.start().await],
        hosts_file: "/nonexistent/hosts".into(),
        resolv_conf: "/nonexistent/resolv.conf".into(),
        ..Settings::default()
    };
    Resolver::new(settings, Handle::current())
}

fn ips(answer: &Answer) -> Vec<String> {
    answer.records.iter().map(|r| r.address(1).to_string()).collect()
}

/// Lets the clock jump; between jumps it runs, so that sockets are waited for as usual.
async fn later(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn addresses_and_hosts_need_no_question() {
    let stub = Stub::default();
    let resolver = resolver(&stub).await;
    for (text, ip) in
        [("10.0.0.1", "10.0.0.1:1"), ("::1", "[::1]:1"), ("[::2]", "[::2]:1"), ("LocalHost", "127.0.0.1:1")]
    {
        let CacheState::Fresh(answer) = resolver.read(&resolver.entry(text)) else { panic!("{text} is not known") };
        assert_eq!(ips(&answer), [ip]);
    }
    assert_eq!(stub.questions(), 0);
}

#[tokio::test]
async fn kinds_are_asked_in_order_and_the_last_success_first() {
    let stub = Stub::default();
    stub.a("a.test", &["10.0.0.2", "10.0.0.1"]);
    let resolver = resolver(&stub).await;
    let entry = resolver.entry("a.test");
    let answer = resolver.fresh(&entry).await.unwrap();
    assert_eq!(ips(&answer), ["10.0.0.1:1", "10.0.0.2:1"]);
    resolver.fresh(&entry).await.unwrap();
    let kinds: Vec<RecordType> = stub.asked.lock().unwrap().iter().map(|(_, kind)| *kind).collect();
    assert_eq!(kinds, [RecordType::SRV, RecordType::A, RecordType::A]);
}

#[tokio::test]
async fn answers_too_long_for_udp_are_fetched_over_tcp() {
    let stub = Stub::default();
    stub.a("big.test", &["10.0.0.1", "10.0.0.2"]);
    stub.truncating.store(true, Ordering::Relaxed);
    let resolver = resolver(&stub).await;
    assert_eq!(resolver.fresh(&resolver.entry("big.test")).await.unwrap().records.len(), 2);
}

#[tokio::test]
async fn aliases_are_followed() {
    let stub = Stub::default();
    stub.set("alias.test", RecordType::CNAME, vec![RData::CNAME(CNAME(name("real.test.")))]);
    stub.a("real.test", &["10.0.0.1"]);
    stub.set("loop.test", RecordType::CNAME, vec![RData::CNAME(CNAME(name("loop.test.")))]);
    let resolver = resolver(&stub).await;
    assert_eq!(ips(&resolver.fresh(&resolver.entry("alias.test")).await.unwrap()), ["10.0.0.1:1"]);
    assert!(resolver.fresh(&resolver.entry("loop.test")).await.is_err());
}

#[tokio::test]
async fn aliases_of_services_are_followed() {
    let stub = Stub::default();
    let alias = |target: &str| vec![RData::CNAME(CNAME(name(target)))];
    stub.set("alias.test", RecordType::SRV, alias("service.test."));
    stub.service("service.test", &[(81, "node.test.")]);
    stub.a("node.test", &["10.0.0.1"]);
    // Only addresses stand behind this one, and nothing behind the other.
    stub.set("plain.test", RecordType::SRV, alias("node.test."));
    stub.a("plain.test", &["10.0.0.2"]);
    stub.set("lost.test", RecordType::SRV, alias("nowhere.test."));
    stub.a("lost.test", &["10.0.0.3"]);
    stub.set("loop.test", RecordType::SRV, alias("loop.test."));
    stub.a("loop.test", &["10.0.0.4"]);
    let resolver = resolver(&stub).await;
    for (asked, expected) in [
        ("alias.test", "10.0.0.1:81"),
        ("plain.test", "10.0.0.2:1"),
        ("lost.test", "10.0.0.3:1"),
        ("loop.test", "10.0.0.4:1"),
    ] {
        assert_eq!(ips(&resolver.fresh(&resolver.entry(asked)).await.unwrap()), [expected], "{asked}");
    }
}

#[tokio::test]
async fn services_give_ports_and_weights() {
    let stub = Stub::default();
    stub.set(
        "s.test",
        RecordType::SRV,
        vec![srv(10, 81, "one.test."), srv(0, 82, "two.test."), srv(5, 83, "gone.test.")],
    );
    stub.a("one.test", &["10.0.0.1", "10.0.0.2"]);
    stub.a("two.test", &["10.0.0.3"]);
    let resolver = resolver(&stub).await;
    let answer = resolver.fresh(&resolver.entry("s.test")).await.unwrap();
    assert_eq!(ips(&answer), ["10.0.0.1:81", "10.0.0.2:81", "10.0.0.3:82"]);
    let weights: Vec<u32> = answer.records.iter().map(|r| r.service.as_ref().unwrap().weight).collect();
    assert_eq!(weights, [10, 10, 2], "ten shared by two addresses, and nought counts as one, in the same proportion");
    assert_eq!(answer.kind, QueryType::Srv);
}

#[tokio::test]
async fn services_may_be_at_addresses() {
    let stub = Stub::default();
    stub.service("s.test", &[(81, "10.0.0.9."), (82, "one.test.")]);
    stub.a("one.test", &["10.0.0.1"]);
    let resolver = resolver(&stub).await;
    let answer = resolver.fresh(&resolver.entry("s.test")).await.unwrap();
    assert_eq!(ips(&answer), ["10.0.0.1:82", "10.0.0.9:81"]);
    assert!(!stub.asked.lock().unwrap().iter().any(|(name, _)| name == "10.0.0.9"), "no server is asked for it");
}

#[tokio::test]
async fn unknown_names_fail_for_a_while_and_recover() {
    let stub = Stub::default();
    let resolver = resolver(&stub).await;
    let entry = resolver.entry("late.test");
    assert!(matches!(resolver.read(&entry), CacheState::Unknown));
    assert_eq!(resolver.fresh(&entry).await.unwrap_err(), Failure::NotFound);
    let questions = stub.questions();
    assert!(matches!(resolver.read(&entry), CacheState::Failed));
    assert_eq!(stub.questions(), questions, "a failure is remembered");
    stub.a("late.test", &["10.0.0.9"]);
    later(31).await;
    assert!(matches!(resolver.read(&entry), CacheState::Unknown), "after not_found_ttl it is asked for again");
    assert_eq!(ips(&resolver.fresh(&entry).await.unwrap()), ["10.0.0.9:1"]);
    let [counted] = &resolver.statistics()[..] else { panic!("one name") };
    assert_eq!(counted.name, "late.test");
    assert_eq!(counted.not_found, 1);
    assert_eq!(counted.answered, 1);
    assert_eq!(counted.kind, Some(QueryType::A));
}

#[tokio::test]
async fn stale_addresses_are_used_while_newer_ones_are_asked_for() {
    let stub = Stub::default();
    stub.a("s.test", &["10.0.0.1"]);
    let resolver = resolver(&stub).await;
    let entry = resolver.entry("s.test");
    resolver.fresh(&entry).await.unwrap();
    stub.a("s.test", &["10.0.0.2"]);
    assert!(matches!(resolver.read(&entry), CacheState::Fresh(_)));
    later(61).await;
    let changed = entry.changed();
    tokio::pin!(changed);
    changed.as_mut().enable();
    let CacheState::Stale(answer) = resolver.read(&entry) else { panic!("the old answer may still be used") };
    assert_eq!(ips(&answer), ["10.0.0.1:1"]);
    changed.await;
    let CacheState::Fresh(answer) = resolver.read(&entry) else { panic!("the new answer has come") };
    assert_eq!(ips(&answer), ["10.0.0.2:1"]);
    // A server that fails does not cost the addresses; one that denies the name does.
    stub.set("s.test", RecordType::A, Vec::new());
    assert_eq!(ips(&resolver.fresh(&entry).await.unwrap()), ["10.0.0.2:1"]);
    stub.remove("s.test");
    assert_eq!(resolver.fresh(&entry).await.unwrap_err(), Failure::NotFound);
}

#[tokio::test]
async fn a_silent_server_ends_in_a_failure_in_bounded_time() {
    let stub = Stub::default();
    stub.silence(true);
    let resolver = resolver(&stub).await;
    let entry = resolver.entry("s.test");
    tokio::time::pause();
    let started = Instant::now();
    assert!(matches!(resolver.fresh(&entry).await, Err(Failure::Network(_))));
    assert!(started.elapsed() <= resolver.lookup.patience() + Duration::from_secs(1));
}

#[tokio::test]
async fn one_question_serves_all_who_wait() {
    let stub = Stub::default();
    stub.a("a.test", &["10.0.0.1"]);
    let resolver = resolver(&stub).await;
    let entry = resolver.entry("a.test");
    let all = futures_util::future::join_all((0..20).map(|_| resolver.fresh(&entry))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(stub.questions(), 2, "one for SRV and one for A");
}

#[tokio::test]
async fn the_cache_forgets_what_nobody_uses() {
    let stub = Stub::default();
    let settings = Settings {
        cache_size: 8,
        servers: vec![stub.start().await],
        hosts_file: "/nonexistent".into(),
        ..Settings::default()
    };
    let resolver = Resolver::new(settings, Handle::current());
    let kept = resolver.entry("10.9.9.9");
    for i in 0..200 {
        resolver.entry(&format!("10.0.0.{i}"));
        tokio::task::yield_now().await;
    }
    assert!(resolver.entries.pin().len() <= 16);
    assert!(Arc::ptr_eq(&kept, &resolver.entry("10.9.9.9")));
    let long = "a".repeat(256);
    assert!(!Arc::ptr_eq(&resolver.entry(&long), &resolver.entry(&long)), "no name is so long");
}
