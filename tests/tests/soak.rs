//! Long-lived behaviour in short: after thousands of changes, reloads and failures under traffic a node is as it was
//! before.

use blackbox::http::{Connection, Response, form, get, json as send};
use blackbox::{Backend, Node, Usage, bascule, eventually, longer};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Clients that ask again and again on kept connections, and must always be answered well.
struct Traffic {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// One client per method, steady, but not all that the machine can do.
    fn start(proxy: SocketAddr, methods: &'static [&'static str]) -> Traffic {
        Traffic::with_pauses(proxy, methods, Duration::from_micros(500))
    }

    fn with_pauses(proxy: SocketAddr, methods: &'static [&'static str], pause: Duration) -> Traffic {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = methods.iter().map(|method| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                let body = vec![b'x'; if *method == "GET" { 0 } else { 2000 }];
                let mut connection = Connection::open(proxy).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    connection.send(method, "/stay", &[], &body).unwrap();
                    received(&mut connection).expect(200);
                    answered.fetch_add(1, Ordering::SeqCst);
                    if !pause.is_zero() {
                        std::thread::park_timeout(pause);
                    }
                }
            })
        });
        let clients = clients.collect();
        Traffic { stop, answered, clients }
    }

    /// Waits until that many more requests have been answered.
    fn goes_on(&self, more: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        eventually("more traffic", || {
            self.clients.iter().any(JoinHandle::is_finished) || self.answered.load(Ordering::SeqCst) >= before + more
        });
    }

    /// Ends it; how many requests were answered.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().expect("every request was answered well");
        }
        self.answered.load(Ordering::SeqCst)
    }
}

/// Connections of somebody who changes the configuration and tries it at once.
struct Operator {
    admin: Connection,
    proxy: Connection,
    writes: usize,
}

impl Operator {
    fn of(node: &Node) -> Operator {
        Operator {
            admin: Connection::open(node.admin()).unwrap(),
            proxy: Connection::open(node.proxy()).unwrap(),
            writes: 0,
        }
    }

    #[track_caller]
    fn write(&mut self, method: &str, path: &str, body: &Value, status: u16) -> Response {
        self.writes += 1;
        if body.is_null() {
            self.admin.send(method, path, &[], b"").unwrap();
        } else {
            self.admin
                .send(method, path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
                .unwrap();
        }
        received(&mut self.admin).expect(status)
    }

    #[track_caller]
    fn get(&mut self, path: &str, key: &str, status: u16) {
        let headers = [("apikey", key)];
        self.proxy.send("GET", path, if key.is_empty() { &[] } else { &headers }, b"").unwrap();
        received(&mut self.proxy).expect(status);
    }

    /// Makes a bit of everything, changes it, uses it, and takes it away again.
    fn round(&mut self, number: usize, backends: [SocketAddr; 2]) {
        let (upstream, service, route, consumer) =
            (format!("u{number}"), format!("s{number}"), format!("r{number}"), format!("c{number}"));
        let (path, other, key) = (format!("/go/{number}/"), format!("/other/{number}/"), format!("key-{number}"));
        self.write(
            "POST",
            "/upstreams",
            &json!({ "name": upstream, "healthchecks": { "passive": { "unhealthy": { "tcp_failures": 3 } } } }),
            201,
        );
        for backend in backends {
            self.write(
                "POST",
                &format!("/upstreams/{upstream}/targets"),
                &json!({ "target": backend.to_string() }),
                201,
            );
        }
        self.write("POST", "/services", &json!({ "name": service, "host": upstream }), 201);
        self.write("POST", &format!("/services/{service}/routes"), &json!({ "name": route, "paths": [path] }), 201);
        self.get(&path, "", 200);
        let plugin =
            self.write("POST", &format!("/routes/{route}/plugins"), &json!({ "name": "key-auth" }), 201).json();
        self.get(&path, "", 401);
        self.write("POST", "/consumers", &json!({ "username": consumer, "tags": ["soak"] }), 201);
        self.write("POST", &format!("/consumers/{consumer}/key-auth"), &json!({ "key": key }), 201);
        self.get(&path, &key, 200);
        self.write(
            "POST",
            &format!("/services/{service}/plugins"),
            &json!({ "name": "rate-limiting", "config": { "second": 1000, "policy": "local" } }),
            201,
        );
        self.write(
            "POST",
            &format!("/consumers/{consumer}/plugins"),
            &json!({ "name": "request-transformer", "config": { "add": { "headers": ["x-a:b"] } } }),
            201,
        );
        self.get(&path, &key, 200);
        self.write(
            "PATCH",
            &format!("/plugins/{}", plugin["id"].as_str().unwrap()),
            &json!({ "config": { "hide_credentials": true } }),
            200,
        );
        self.write("PATCH", &format!("/routes/{route}"), &json!({ "paths": [path, other] }), 200);
        self.write("PATCH", &format!("/services/{service}"), &json!({ "retries": 2 }), 200);
        self.write("PATCH", &format!("/upstreams/{upstream}/targets/{}", backends[0]), &json!({ "weight": 10 }), 200);
        self.write("PUT", &format!("/upstreams/{upstream}/targets/{}/unhealthy", backends[0]), &Value::Null, 204);
        self.get(&other, &key, 200);
        self.write("DELETE", &format!("/upstreams/{upstream}/targets/{}", backends[0]), &Value::Null, 204);
        self.get(&path, &key, 200);
        self.write("DELETE", &format!("/plugins/{}", plugin["id"].as_str().unwrap()), &Value::Null, 204);
        self.get(&path, "", 200);
        for gone in [
            format!("/routes/{route}"),
            format!("/services/{service}"),
            format!("/consumers/{consumer}"),
            format!("/upstreams/{upstream}"),
        ] {
            self.write("DELETE", &gone, &Value::Null, 204);
        }
        self.get(&path, "", 404);
    }
}

/// The next answer. A connection that ends with it, after `keepalive_requests`, is opened anew.
fn received(connection: &mut Connection) -> Response {
    let answer = connection.receive(false).unwrap();
    if answer.header("Connection") == Some("close") {
        *connection = Connection::open(connection.stream().peer_addr().unwrap()).unwrap();
    }
    answer
}

/// A node with a route to two targets by an upstream.
fn balanced(upstream: &str, backends: [SocketAddr; 2]) -> Node {
    let node = Node::with_exact_memory(&[]);
    form(node.admin(), "POST", "/upstreams", upstream).expect(201);
    for backend in backends {
        form(node.admin(), "POST", "/upstreams/stay/targets", &format!("target={backend}")).expect(201);
    }
    form(node.admin(), "POST", "/services", "name=stay&host=stay").expect(201);
    form(node.admin(), "POST", "/services/stay/routes", "name=stay&paths[]=/stay").expect(201);
    node
}

/// The state of every target of the upstream.
fn health(node: &Node) -> Vec<(String, String)> {
    let all = get(node.admin(), "/upstreams/stay/health").expect(200).json();
    let text = |target: &Value, key: &str| target[key].as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> =
        all["data"].as_array().unwrap().iter().map(|t| (text(t, "target"), text(t, "health"))).collect();
    all.sort();
    all
}

/// How many connections to services are enough for so many requests: one per client of each worker, and another one
/// wherever one has served its `upstream_keepalive_max_requests`.
fn connections(requests: usize) -> usize {
    16 + requests / 10_000
}

/// What a node holds beside its connections to services. Those are bounded by `connections`: each worker keeps its own,
/// and which worker a client comes to is chance.
fn held(node: &Node, services: &[&Backend]) -> Usage {
    let kept: usize = services.iter().map(|service| service.connections()).sum();
    let usage = Usage::of(node.pid());
    Usage { files: usage.files.saturating_sub(kept), ..usage }
}

#[test]
fn thousands_of_changes_leave_nothing_behind() {
    let rounds = longer(150);
    let (first, second, other) = (Backend::start("first"), Backend::start("second"), Backend::start("other"));
    let node = balanced("name=stay&healthchecks.passive.unhealthy.tcp_failures=3", [first.address, second.address]);
    // Somebody has taken a third one out: that must still be so in the end.
    form(node.admin(), "POST", "/upstreams/stay/targets", &format!("target={}", other.address)).expect(201);
    form(node.admin(), "PUT", &format!("/upstreams/stay/targets/{}/unhealthy", other.address), "").expect(204);
    let before = health(&node);
    assert_eq!(before.iter().filter(|(_, health)| health == "UNHEALTHY").count(), 1);
    let traffic = Traffic::start(node.proxy(), &["GET", "POST"]);
    let mut operator = Operator::of(&node);
    let samples: Vec<_> = (0..rounds)
        .map(|number| {
            operator.round(number, [other.address, second.address]);
            held(&node, &[&first, &second, &other])
        })
        .collect();
    traffic.goes_on(100);
    let answered = traffic.end();
    assert!(operator.writes > 3000, "{}", operator.writes);
    assert_eq!(health(&node), before);
    // 2000 writes lie between the thirds. What is allowed is what the allocator keeps; half a kilobyte for each would
    // be too much.
    Usage::assert_flat(&samples, 1024, 6);
    assert!(first.accepted() <= connections(answered), "{} for {answered} requests", first.accepted());
}

#[test]
fn reloads_disturb_nobody() {
    let reloads = longer(60);
    let (first, second) = (Backend::start("first"), Backend::start("second"));
    let node = balanced("name=stay", [first.address, second.address]);
    let traffic = Traffic::start(node.proxy(), &["GET", "POST"]);
    let mut samples = Vec::new();
    for number in 0..reloads {
        let level = ["info", "notice"][number % 2];
        let mut reload = bascule();
        reload.args(["reload", "--prefix"]).arg(node.prefix()).env("KONG_LOG_LEVEL", level);
        assert!(reload.output().unwrap().status.success());
        eventually("the new log level", || get(node.admin(), "/").json()["configuration"]["log_level"] == level);
        traffic.goes_on(20);
        samples.push(held(&node, &[&first, &second]));
    }
    let answered = traffic.end();
    Usage::assert_flat(&samples, 512, 6);
    let accepted = first.accepted() + second.accepted();
    assert!(accepted <= connections(answered), "{accepted} connections for {answered} requests");
}

/// At length, ten minutes of all that the machine can do, with a change every 100 ms and a reload every ten seconds.
#[test]
fn load_is_answered_through_changes_and_reloads() {
    let is_short = longer(1) == 1;
    let (reloads, changes) = (longer(3), if is_short { 10 } else { 100 });
    let pause = if is_short { Duration::from_micros(500) } else { Duration::ZERO };
    let (first, second) = (Backend::start("first"), Backend::start("second"));
    let node = balanced("name=stay", [first.address, second.address]);
    let clients = &["GET", "POST", "GET", "GET"];
    let traffic = Traffic::with_pauses(node.proxy(), clients, pause);
    let mut operator = Operator::of(&node);
    operator.write("POST", "/services/stay/routes", &json!({ "name": "moves", "paths": ["/at/0"] }), 201);
    traffic.goes_on(1000);
    let (mut samples, mut next) = (Vec::new(), Instant::now());
    for number in 1..=reloads * changes {
        operator.write("PATCH", "/routes/moves", &json!({ "paths": [format!("/at/{number}")] }), 200);
        operator.get(&format!("/at/{number}"), "", 200);
        operator.get(&format!("/at/{}/", number - 1), "", 404);
        samples.push(held(&node, &[&first, &second]));
        if number % changes == 0 {
            let mut reload = bascule();
            reload.args(["reload", "--prefix"]).arg(node.prefix());
            assert!(reload.output().unwrap().status.success());
        }
        next += Duration::from_millis(100);
        std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
    }
    let answered = traffic.end();
    Usage::assert_flat(&samples, 4096, 6);
    let accepted = first.accepted() + second.accepted();
    assert!(accepted <= connections(answered) + clients.len() * 2, "{accepted} for {answered} requests");
}

#[test]
fn successors_disturb_nobody() {
    let successions = longer(6);
    let (first, second) = (Backend::start("first"), Backend::start("second"));
    let node = balanced("name=stay", [first.address, second.address]);
    let traffic = Traffic::start(node.proxy(), &["GET", "POST"]);
    let process = || std::fs::read_to_string(node.prefix().join("pids/nginx.pid")).unwrap_or_default();
    let mut samples = Vec::new();
    for number in 0..successions {
        // Its connections with the Admin API end with the process that has them.
        let mut operator = Operator::of(&node);
        for round in 0..5 {
            operator.round(number * 5 + round, [first.address, second.address]);
        }
        traffic.goes_on(20);
        let former = process();
        samples.push(Usage::of(former.trim().parse().unwrap()));
        node.signal(Signal::USR2);
        eventually("a successor serves", || !["", &former].contains(&&*process()));
        traffic.goes_on(20);
    }
    traffic.end();
    // Each process has just begun: what it takes is what the changes of all before it have left in the database.
    Usage::assert_flat(&samples, 4096, 12);
}

/// How many routes configurations have, and how many configurations follow each other.
fn extent() -> (usize, usize) {
    if longer(1) == 1 { (300, 30) } else { (5000, 100) }
}

/// A configuration with that number in its paths.
fn configuration(number: usize, routes: usize, backend: SocketAddr) -> Value {
    let service = |place: usize| {
        let path = if place == 0 { "/stay".to_owned() } else { format!("/{number}/{place}") };
        let route = json!({ "name": format!("r{place}"), "paths": [path] });
        json!({ "name": format!("s{place}"), "url": format!("http://{backend}"), "routes": [route] })
    };
    json!({ "_format_version": "3.0", "services": (0..routes).map(service).collect::<Vec<_>>() })
}

/// Loads one configuration after the other under traffic, in place of the one with the number 0 that is there.
fn load_all(node: &Node, backend: &Backend, load: impl Fn(usize)) {
    let (routes, loads) = extent();
    let traffic = Traffic::start(node.proxy(), &["GET", "POST"]);
    let mut samples = Vec::new();
    for number in 1..=loads {
        load(number);
        eventually("it is in force", || get(node.proxy(), &format!("/{number}/1")).status == 200);
        get(node.proxy(), &format!("/{}/1", number - 1)).expect(404);
        traffic.goes_on(20);
        samples.push(held(node, &[backend]));
    }
    let answered = traffic.end();
    // A route takes some 8 KiB with its service; what it took on its way may be kept for the next one.
    Usage::assert_flat(&samples, 1024 + routes, 6);
    assert!(backend.accepted() <= connections(answered), "{} for {answered} requests", backend.accepted());
}

#[test]
fn configurations_that_follow_each_other_leave_nothing_behind() {
    let backend = Backend::start("backend");
    let node = Node::with_exact_memory(&[("database", "off")]);
    let load = |number: usize| {
        let configuration = configuration(number, extent().0, backend.address);
        send(node.admin(), "POST", "/config", &configuration).expect(201);
    };
    load(0);
    load_all(&node, &backend, load);
}

#[test]
fn files_that_are_read_again_leave_nothing_behind() {
    let backend = Backend::start("backend");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kong.json");
    let write = |number: usize| {
        std::fs::write(&file, configuration(number, extent().0, backend.address).to_string()).unwrap();
    };
    write(0);
    let node = Node::with_exact_memory(&[("database", "off"), ("declarative_config", file.to_str().unwrap())]);
    load_all(&node, &backend, |number| {
        write(number);
        let mut reload = bascule();
        reload.args(["reload", "--prefix"]).arg(node.prefix());
        reload.env("KONG_DATABASE", "off").env("KONG_DECLARATIVE_CONFIG", &file);
        assert!(reload.output().unwrap().status.success());
    });
}

#[test]
fn a_target_that_comes_and_goes_costs_nothing() {
    let flaps = longer(45);
    let (mut flapping, steady) = (Backend::start("flapping"), Backend::start("steady"));
    let checks = "name=stay&healthchecks.active.healthy.interval=0.02&healthchecks.active.unhealthy.interval=0.02\
                  &healthchecks.active.healthy.successes=1&healthchecks.active.unhealthy.tcp_failures=1";
    let node = balanced(checks, [flapping.address, steady.address]);
    // Only what may be sent twice: a request that a dying service has begun to answer is not lost on anyone.
    let traffic = Traffic::start(node.proxy(), &["GET", "GET"]);
    let mut samples = Vec::new();
    let state =
        |address: SocketAddr| health(&node).into_iter().find(|(target, _)| *target == address.to_string()).unwrap().1;
    for _ in 0..flaps {
        let before = flapping.requests();
        eventually("traffic on the flapping target", || flapping.requests() > before + 10);
        flapping.kill();
        eventually("the dead target is unhealthy", || state(flapping.address) == "UNHEALTHY");
        assert_eq!(state(steady.address), "HEALTHY");
        traffic.goes_on(10);
        flapping.revive();
        eventually("the revived target is healthy", || state(flapping.address) == "HEALTHY");
        samples.push(held(&node, &[&flapping, &steady]));
    }
    traffic.end();
    // A step of 544 KiB was seen once, on a busy machine, and nothing after it: what each round costs is looked for.
    Usage::assert_flat(&samples, 1024, 6);
}
