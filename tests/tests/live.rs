//! The live view: what goes through a node, as it says itself.

use blackbox::http::{Connection, form, get, request};
use blackbox::{Backend, Node, bascule};
use serde_json::{Value, json};
use std::io::BufRead;
use std::net::TcpStream;

/// The events of a node, as they come.
struct Events(std::io::BufReader<TcpStream>);

impl Events {
    fn open(node: &Node) -> Events {
        Events::of(node, "/bascule/live")
    }

    fn of(node: &Node, path: &str) -> Events {
        let mut connection = Connection::open(node.admin()).unwrap();
        connection.send("GET", path, &[("Accept", "text/event-stream")], b"").unwrap();
        let head = connection.receive_head().unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.header("Content-Type"), Some("text/event-stream"));
        Events(std::io::BufReader::new(connection.stream().try_clone().unwrap()))
    }

    /// The next picture; `None`: the node has ended the stream.
    fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap_or_default() == 0 {
                return None;
            }
            if let Some(data) = line.trim_end().strip_prefix("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The first picture for which the condition holds.
    fn until(&mut self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let pictures = std::iter::from_fn(|| self.next()).take(20);
        pictures.into_iter().find(condition).unwrap_or_else(|| panic!("no picture shows {what}"))
    }
}

fn balanced(node: &Node, targets: &[&Backend]) {
    form(node.admin(), "POST", "/upstreams", "name=up").expect(201);
    for target in targets {
        form(node.admin(), "POST", "/upstreams/up/targets", &format!("target={}", target.address)).expect(201);
    }
    form(node.admin(), "POST", "/services", "name=shop&host=up&retries=0").expect(201);
    form(node.admin(), "POST", "/services/shop/routes", "name=all&paths[]=/shop").expect(201);
}

#[test]
fn requests_are_counted_while_somebody_watches() {
    let node = Node::start(&[]);
    let (one, mut two) = (Backend::start("one"), Backend::start("two"));
    balanced(&node, &[&one, &two]);
    let mut before = Connection::open(node.proxy()).unwrap();
    before.send("GET", "/shop", &[("Connection", "close")], b"").unwrap();
    before.receive(false).unwrap().expect(200);
    // A request is counted at its end, which is before its connection closes.
    assert_eq!(before.rest().unwrap(), b"");
    let mut events = Events::open(&node);
    let first = events.next().unwrap();
    assert_eq!(first["requests"]["total"], 1);
    assert_eq!(first["requests"]["statuses"]["2xx"], 0, "nobody watched");
    for _ in 0..10 {
        get(node.proxy(), "/shop").expect(200);
    }
    get(node.proxy(), "/nowhere").expect(404);
    let shown = events.until("all requests", |shown| shown["requests"]["total"] == 12);
    assert_eq!(shown["requests"]["statuses"], json!({ "1xx": 0, "2xx": 10, "3xx": 0, "4xx": 1, "5xx": 0 }));
    assert_eq!(shown["requests"]["in_flight"], 0);
    assert_eq!(shown["services"][0]["name"], "shop");
    assert_eq!(shown["services"][0]["workspace"], "default");
    assert_eq!(shown["services"][0]["requests"], 10);
    assert_eq!(shown["routes"][0]["name"], "all");
    assert_eq!(shown["routes"][0]["requests"], 10);
    assert!(shown["latency"]["p50"].is_f64(), "{shown}");
    let targets = &shown["upstreams"][0]["targets"];
    assert_eq!(targets[0]["requests"], 5);
    assert_eq!(targets[1]["requests"], 5);
    assert_eq!(targets[0]["share"], 0.5);
    assert!(targets[0]["connections"].as_u64() >= Some(1), "{targets}");
    two.kill();
    let answers = (0..4).map(|_| get(node.proxy(), "/shop").status).filter(|status| *status == 502).count();
    assert_eq!(answers, 2);
    let shown = events.until("the failures", |shown| shown["requests"]["total"] == 16);
    assert_eq!(shown["requests"]["errors"], 2);
    assert_eq!(shown["services"][0]["errors"], 2);
    let failed = |target: &&Value| target["target"] == two.address.to_string();
    let targets = shown["upstreams"][0]["targets"].as_array().unwrap();
    assert_eq!(targets.iter().find(failed).unwrap()["failures"], 2);
}

#[test]
fn the_stream_ends_with_the_node() {
    let mut node = Node::start(&[]);
    let mut events = Events::open(&node);
    events.next().unwrap();
    assert!(node.end(rustix::process::Signal::TERM));
    assert!(events.next().is_none());
}

#[test]
fn so_many_may_watch_and_no_more() {
    let node = Node::start(&[]);
    let mut watching: Vec<Events> = (0..32).map(|_| Events::open(&node)).collect();
    let refused = get(node.admin(), "/bascule/live").expect(503).json();
    assert_eq!(refused["message"], "too many clients watch this node already");
    watching.pop();
    blackbox::eventually("room for another", || get(node.admin(), "/bascule/live").status == 200);
}

#[test]
fn who_may_not_watch_is_told_so() {
    let node = Node::start(&[("enforce_rbac", "on"), ("password", "secret")]);
    get(node.admin(), "/bascule/live").expect(401);
    let header = ["--headers", "Kong-Admin-Token: secret"];
    let top = |header: &[&str]| {
        let url = format!("http://{}", node.admin());
        bascule().args(["top", "--once", "--admin", &url]).args(header).output().unwrap()
    };
    let allowed = top(&header);
    assert!(allowed.status.success(), "{allowed:?}");
    assert!(String::from_utf8_lossy(&allowed.stdout).contains("requests     0.0/s, 0 in flight, 0 in all, 0 errors"));
    let refused = top(&[]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401: Invalid RBAC credentials"), "{refused:?}");
    let token = ("Kong-Admin-Token", "secret");
    request(node.admin(), "GET", "/bascule/live", &[token], b"").unwrap().expect(200);
}

/// The requests that a stream shows until there are so many of them, in the order in which they ended.
fn shown(events: &mut Events, many: usize) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    while all.len() < many {
        let event = events.next().expect("the stream goes on");
        all.extend(event["requests"].as_array().unwrap().iter().cloned());
    }
    all
}

#[test]
fn requests_are_shown_one_by_one() {
    let node = Node::start(&[]);
    let backend = Backend::start("one");
    balanced(&node, &[&backend]);
    form(node.admin(), "POST", "/services/shop/plugins", "name=key-auth").expect(201);
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    form(node.admin(), "POST", "/consumers/ada/key-auth", "key=hidden-value").expect(201);
    let mut all = Events::of(&node, "/bascule/requests");
    let mut failing = Events::of(&node, "/bascule/requests?status=4xx&route=all");
    let head = [("Host", "shop.test"), ("apikey", "hidden-value"), ("Accept", "text/html")];
    request(node.proxy(), "GET", "/shop/cart?page=2", &head, b"").unwrap().expect(200);
    get(node.proxy(), "/nowhere").expect(404);
    get(node.proxy(), "/shop?apikey=wrong-value").expect(401);
    let mut requests = shown(&mut all, 3);
    requests.sort_by_key(|request| request["status"].as_u64());
    let good = &requests[0];
    assert_eq!(good["method"], "GET");
    assert_eq!(good["host"], "shop.test");
    assert_eq!(good["target"], "/shop/cart?page=2");
    assert_eq!(good["route"]["name"], "all");
    assert_eq!(good["service"]["name"], "shop");
    assert_eq!(good["consumer"]["name"], "ada");
    assert_eq!(good["answered_by"], "service");
    assert_eq!(good["tries"][0]["address"], backend.address.to_string());
    assert!(good["timings"]["upstream"].is_f64(), "{good}");
    let lines = good["headers"].as_array().unwrap();
    assert!(lines.contains(&json!(["apikey", null])), "{good}");
    assert!(lines.contains(&json!(["Accept", "text/html"])), "{good}");
    assert_eq!(requests[1]["answered_by"], "plugin");
    assert_eq!(requests[2]["route"], Value::Null);
    let everything = json!(requests).to_string();
    assert!(!everything.contains("hidden-value"), "{everything}");
    assert!(!everything.contains("wrong-value"), "{everything}");
    assert_eq!(shown(&mut failing, 1)[0]["status"], 401, "what has no route, or another status, is left out");
}

#[test]
fn so_many_look_at_requests_and_no_more() {
    let node = Node::start(&[]);
    let mut looking: Vec<Events> = (0..8).map(|_| Events::of(&node, "/bascule/requests")).collect();
    get(node.admin(), "/bascule/requests").expect(503);
    looking.pop();
    blackbox::eventually("room for another", || get(node.admin(), "/bascule/requests").status == 200);
    let wrong = get(node.admin(), "/bascule/requests?status=5").expect(400).json();
    assert_eq!(wrong["message"], "status: expected a status, or 1xx to 5xx, not '5'");
}

#[test]
fn who_may_not_look_at_requests_is_told_so() {
    let node = Node::start(&[("enforce_rbac", "on"), ("password", "secret")]);
    get(node.admin(), "/bascule/requests").expect(401);
    let token = ("Kong-Admin-Token", "secret");
    request(node.admin(), "GET", "/bascule/requests", &[token], b"").unwrap().expect(200);
}

#[test]
fn upstreams_are_shown_to_who_wants_them() {
    let node = Node::start(&[]);
    let backend = Backend::start("one");
    balanced(&node, &[&backend]);
    form(node.admin(), "POST", "/upstreams", "name=other").expect(201);
    let names = |picture: &Value| {
        let upstreams = picture["upstreams"].as_array().unwrap().iter();
        upstreams.map(|upstream| upstream["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut none = Events::of(&node, "/bascule/live?upstreams=");
    let mut one = Events::of(&node, "/bascule/live?upstreams=up,nobody");
    assert_eq!(names(&none.next().unwrap()), [""; 0]);
    assert_eq!(names(&one.next().unwrap()), ["up"]);
    assert_eq!(names(&get(node.admin(), "/bascule/live").expect(200).json()), ["other", "up"]);
    assert_eq!(names(&none.next().unwrap()), [""; 0], "whatever others want");
}
