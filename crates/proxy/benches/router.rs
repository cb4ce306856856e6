//! What finding a route costs, with few and with many routes: `cargo bench -p proxy --bench router`.
//!
//! Prints, per shape of a configuration and number of routes, nanoseconds per look-up (the best of some rounds) and
//! octets of memory per route.

use model::entities::{Route, Uuid};
use proxy::router::{Flavor, Query, Router};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use wire::Fields;

type Shape = fn(usize, usize) -> Route;
/// Host, path and tenant of a request for one of so many routes.
type Request = fn(usize, usize) -> (String, String, String);

const COUNTS: [usize; 2] = [100, 100_000];

fn main() {
    let shapes: [(&str, Shape, Request); 7] = [
        ("a host each", by_host, |_, i| (format!("h{i}.test"), "/a/b".into(), String::new())),
        ("a path each", by_path, |_, i| (String::new(), format!("/api/{i}/x/y"), String::new())),
        ("ten hosts, a path each", by_host_and_path, |_, i| {
            (format!("h{}.test", i % 10), format!("/api/{i}/x"), String::new())
        }),
        ("a header value each", by_header, |_, i| (String::new(), "/a/b".into(), format!("T{i}"))),
        ("a regex each", by_regex, |_, i| (String::new(), format!("/api/{i}/users/77"), String::new())),
        ("a regex each, which begin alike", by_late_regex, |_, i| {
            (String::new(), format!("/users/77/orders{i}/lines"), String::new())
        }),
        ("six hosts and six paths each", by_lists, |_, i| {
            (format!("h{}-{i}.test", i % 6), format!("/p{}/x", i % 6), String::new())
        }),
    ];
    // One process per case, so that none finds memory that another one has used.
    let Some(case) = std::env::args().find_map(|argument| argument.strip_prefix("case=").map(str::to_owned)) else {
        let program = std::env::current_exe().expect("the program has a path");
        for case in 0..shapes.len() * COUNTS.len() {
            let status = std::process::Command::new(&program).arg(format!("case={case}")).status();
            assert!(status.is_ok_and(|status| status.success()), "case {case} failed");
        }
        return;
    };
    let case: usize = case.parse().expect("the case is a number");
    let (name, shape, request) = shapes[case / COUNTS.len()];
    measure(name, shape, request, COUNTS[case % COUNTS.len()]);
}

fn measure(name: &str, shape: Shape, request: Request, count: usize) {
    let before = resident();
    let put: Vec<_> = (0..count).map(|i| (Arc::new(shape(count, i)), None)).collect();
    let records = resident();
    let started = Instant::now();
    let (router, errors) = Router::new(Flavor::TraditionalCompatible).apply(&put, &[]);
    let built = started.elapsed();
    assert!(errors.is_empty(), "{errors:?}");
    let memory = resident().saturating_sub(records);
    let requests: Vec<_> = (0..1000)
        .map(|i| {
            let (host, path, tenant) = request(count, i * 7919 % count);
            let mut fields = Fields::new();
            for (name, value) in [("host", &*host), ("user-agent", "curl/8"), ("accept", "*/*"), ("x-tenant", &*tenant)]
            {
                if !value.is_empty() {
                    fields.append(name, value.as_bytes());
                }
            }
            (host, path, fields)
        })
        .collect();
    let mut best = f64::MAX;
    for _ in 0..20 {
        let started = Instant::now();
        for (host, path, fields) in &requests {
            let query = Query {
                stream: None,
                method: "GET",
                https: false,
                tls: false,
                host: host.as_bytes(),
                port: 8000,
                path,
                query: None,
                sni: None,
                source: None,
                destination: None,
                fields,
                exchange: None,
            };
            assert!(router.find(&query).is_some(), "{host} {path}");
        }
        best = best.min(started.elapsed().as_nanos() as f64 / requests.len() as f64);
    }
    println!(
        "{name:32} {count:7} routes: {best:6.0} ns a look-up, built in {:5} ms, {:6} octets a route (records {})",
        built.as_millis(),
        memory / count,
        records.saturating_sub(before) / count,
    );
}

fn by_host(_: usize, i: usize) -> Route {
    Route { hosts: vec![format!("h{i}.test")], paths: vec!["/".into()], ..route(i) }
}

fn by_path(_: usize, i: usize) -> Route {
    Route { paths: vec![format!("/api/{i}/x")], ..route(i) }
}

fn by_host_and_path(_: usize, i: usize) -> Route {
    Route { hosts: vec![format!("h{}.test", i % 10)], paths: vec![format!("/api/{i}/")], ..route(i) }
}

fn by_header(_: usize, i: usize) -> Route {
    Route { paths: vec!["/a".into()], headers: vec![("x-tenant".into(), vec![format!("t{i}")])], ..route(i) }
}

fn by_regex(_: usize, i: usize) -> Route {
    Route { paths: vec![format!("~/api/{i}/users/[0-9]+$")], ..route(i) }
}

fn by_late_regex(_: usize, i: usize) -> Route {
    Route { paths: vec![format!("~/users/[0-9]+/orders{i}/lines$")], ..route(i) }
}

fn by_lists(_: usize, i: usize) -> Route {
    let hosts = (0..6).map(|n| format!("h{n}-{i}.test")).collect();
    Route { hosts, paths: (0..6).map(|n| format!("/p{n}/")).collect(), ..route(i) }
}

fn route(id: usize) -> Route {
    let record = json!({ "id": Uuid::from_u128(id as u128).to_string(), "protocols": ["http", "https"] });
    Route::from_record(record.as_object().expect("a record")).expect("a route")
}

/// Resident memory of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4096
}
