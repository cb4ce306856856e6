//! Targets that are slow, full, dead, or stand in for others: what clients see of it.

use blackbox::http::{Connection, Response, form, get, request};
use blackbox::{Backend, Node, Service, eventually};
use std::net::SocketAddr;

fn balanced(settings: &str, targets: &[(SocketAddr, &str)]) -> Node {
    // One worker takes connections in the order in which they were made.
    let node = Node::start(&[("nginx_worker_processes", "1")]);
    form(node.admin(), "POST", "/upstreams", &format!("name=u&{settings}")).expect(201);
    for (address, fields) in targets {
        form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={address}&{fields}")).expect(201);
    }
    form(node.admin(), "POST", "/services", "name=s&host=u").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    node
}

fn backend(answer: &Response) -> &str {
    answer.header("X-Backend").unwrap_or_default()
}

#[test]
fn a_session_stays_with_its_target_while_that_drains() {
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let settings = "algorithm=sticky-sessions&sticky_sessions_cookie=session&sticky_sessions_cookie_path=/shop";
    let node = balanced(settings, &[(one.address, ""), (two.address, "")]);
    let first = get(node.proxy(), "/").expect(200);
    let cookie = first.header("Set-Cookie").unwrap().to_owned();
    assert!(cookie.starts_with("session="), "{cookie}");
    assert!(cookie.ends_with("; Path=/shop; SameSite=Lax; HttpOnly"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let ask = || request(node.proxy(), "GET", "/", &[("Cookie", cookie)], b"").unwrap().expect(200);
    let own = if backend(&first) == "one" { one.address } else { two.address };
    form(node.admin(), "PATCH", &format!("/upstreams/u/targets/{own}"), "weight=0").expect(200);
    for _ in 0..4 {
        let again = ask();
        assert_eq!(backend(&again), backend(&first));
        assert_eq!(again.header("Set-Cookie"), None);
        assert_ne!(backend(&get(node.proxy(), "/").expect(200)), backend(&first), "no new session comes to it");
    }
    request(node.admin(), "DELETE", &format!("/upstreams/u/targets/{own}"), &[], b"").unwrap().expect(204);
    let moved = ask();
    assert_ne!(backend(&moved), backend(&first));
    assert!(moved.header("Set-Cookie").is_some());
}

#[test]
fn requests_beyond_the_limit_of_a_target_wait_or_are_refused() {
    let service = Service::start();
    let settings = "max_connections=1&max_pending_requests=1";
    let node = balanced(settings, &[(service.address, "")]);
    let send = || {
        let mut client = Connection::open(node.proxy()).unwrap();
        client.send("GET", "/", &[], b"").unwrap();
        client
    };
    let mut first = send();
    let (mut under_way, _) = service.asked();
    let mut second = send();
    let refused = eventually_refused(&node);
    assert_eq!(refused.json()["message"], "failure to get a peer from the ring-balancer");
    assert!(service.accept_within(std::time::Duration::ZERO).is_none(), "no other request has come");
    under_way.answer("one").unwrap();
    assert_eq!(first.receive(false).unwrap().text(), "one");
    let request = under_way.request().unwrap();
    assert_eq!(request.method, "GET");
    under_way.answer("two").unwrap();
    assert_eq!(second.receive(false).unwrap().text(), "two");
}

/// An answer to a request that may not even wait.
fn eventually_refused(node: &Node) -> Response {
    let mut found = None;
    eventually("a request that is refused", || {
        let mut client = Connection::open(node.proxy()).unwrap();
        client.stream().set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        client.send("GET", "/", &[], b"").unwrap();
        found = client.receive(false).ok();
        found.as_ref().is_some_and(|answer| answer.status == 503)
    });
    found.unwrap()
}

#[test]
fn a_target_stands_in_for_another_that_dies_until_it_is_back() {
    let (mut one, spare) = (Backend::start("one"), Backend::start("spare"));
    let settings = "recovery_time=0.2&healthchecks.passive.unhealthy.tcp_failures=1";
    let node = balanced(settings, &[(one.address, ""), (spare.address, "failover=true")]);
    for _ in 0..4 {
        assert_eq!(backend(&get(node.proxy(), "/").expect(200)), "one");
    }
    one.kill();
    // No client sees anything of it: a try that failed is repeated at the other one.
    for _ in 0..20 {
        assert_eq!(backend(&get(node.proxy(), "/").expect(200)), "spare");
    }
    one.revive();
    eventually("the first one is back", || backend(&get(node.proxy(), "/").expect(200)) == "one");
    eventually("all goes there", || (0..4).all(|_| backend(&get(node.proxy(), "/").expect(200)) == "one"));
}

#[test]
fn without_any_target_clients_are_told_so() {
    let mut one = Backend::start("one");
    let node = balanced("recovery_time=0.2&healthchecks.passive.unhealthy.tcp_failures=1", &[(one.address, "")]);
    one.kill();
    // Which had a connection, or makes one, sees 502; all later ones 503, but those that try it.
    let statuses: Vec<u16> = (0..10).map(|_| get(node.proxy(), "/").status).collect();
    assert!(statuses.iter().all(|status| [502, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&503), "{statuses:?}");
    one.revive();
    eventually("the target is back", || get(node.proxy(), "/").status == 200);
}

#[test]
fn a_last_try_that_is_refused_or_closed_counts_as_502() {
    let settings = "healthchecks.passive.unhealthy.http_failures=2&healthchecks.passive.unhealthy.http_statuses=502";
    let service = Service::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for target in [service.address, closed] {
        let node = balanced(settings, &[(target, "")]);
        form(node.admin(), "PATCH", "/services/s", "retries=0").expect(200);
        for _ in 0..2 {
            let mut client = Connection::open(node.proxy()).unwrap();
            client.send("POST", "/a?key=secret", &[], b"x").unwrap();
            if target == service.address {
                drop(service.asked());
            }
            assert_eq!(client.receive(false).unwrap().status, 502);
        }
        eventually("it takes no more", || get(node.proxy(), "/").status == 503);
        let health = get(node.admin(), "/upstreams/u/health").expect(200).json();
        assert_eq!(health["data"][0]["health"], "UNHEALTHY");
        let told = format!(
            " while reading response header from upstream, client: 127.0.0.1, server: kong, request: \"POST /a \
             HTTP/1.1\", upstream: \"http://{target}/a\", host: \"127.0.0.1\", request_id: \""
        );
        let told = match target == closed {
            true => told.replace("reading response header from", "connecting to"),
            false => told,
        };
        eventually("the log says so in nginx's words", || node.log().contains(&told));
    }
}

#[test]
fn targets_that_do_not_fit_into_the_slots_are_told_of_and_take_requests() {
    let backends: Vec<Backend> = (0..7).map(|i| Backend::start(&i.to_string())).collect();
    let targets: Vec<(SocketAddr, &str)> = backends.iter().map(|backend| (backend.address, "")).collect();
    let settings = "algorithm=consistent-hashing&hash_on=header&hash_on_header=K&slots=1000";
    let node = balanced(settings, &targets);
    let ask = |key: usize| {
        let key = key.to_string();
        backend(&request(node.proxy(), "GET", "/", &[("K", &key)], b"").unwrap().expect(200)).to_owned()
    };
    let asked: std::collections::HashSet<String> = (0..200).map(ask).collect();
    assert_eq!(asked.len(), 7);
    let told = "[crit]";
    let why = "consistent hashing balancer requires more entries to add the number of hosts requested, please \
               increase the wheel size";
    eventually("the log says so", || node.log().lines().any(|line| line.contains(told) && line.contains(why)));
}
