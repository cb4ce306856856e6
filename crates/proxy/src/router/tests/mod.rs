//! Kong's rules by example, and what the index does with changes, excess and defects.

mod reference;

use super::*;
use model::entities::{DEFAULT_WORKSPACE, Protocol, Protocols};
use serde_json::json;
use std::time::Duration;

pub fn route(id: u128) -> Route {
    let record = json!({ "id": Uuid::from_u128(id).to_string(), "protocols": ["http", "https"] });
    Route::from_record(record.as_object().unwrap()).unwrap()
}

fn protocols(list: &[Protocol]) -> Protocols {
    list.iter().fold(Protocols::default(), |set, &p| set.with(p))
}

fn service(enabled: bool, path: Option<&str>) -> Arc<Service> {
    let second = Duration::from_secs(1);
    Arc::new(Service {
        id: Uuid::from_u128(9),
        name: None,
        created_at: 0,
        updated_at: 0,
        workspace: DEFAULT_WORKSPACE,
        protocol: Protocol::Http,
        host: "up.test".into(),
        port: 80,
        path: path.map(str::to_owned),
        retries: 5,
        connect_timeout: second,
        write_timeout: second,
        read_timeout: second,
        client_certificate: None,
        tls_verify: None,
        tls_verify_depth: None,
        tls_sans: model::entities::AlternativeNames::default(),
        http2: false,
        ca_certificates: vec![],
        enabled,
        tags: vec![],
    })
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| s.to_string()).collect()
}

fn router(flavor: Flavor, routes: Vec<Route>) -> Router {
    let put: Vec<_> = routes.into_iter().map(|r| (Arc::new(r), None)).collect();
    let (router, errors) = Router::new(flavor).apply(&put, &[]);
    assert_eq!(errors, []);
    router
}

/// A request in words.
pub struct Ask {
    pub method: &'static str,
    tls: bool,
    pub host: Vec<u8>,
    path: String,
    pub search: Option<&'static str>,
    pub source: &'static str,
    pub sni: Option<&'static str>,
    pub fields: Fields,
}

impl Ask {
    pub fn get(host: &str, path: &str) -> Ask {
        Ask {
            method: "GET",
            tls: false,
            host: host.into(),
            path: path.into(),
            search: None,
            source: "10.1.2.3:99",
            sni: None,
            fields: Fields::new(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Ask {
        self.fields.append(name, value.as_bytes());
        self
    }

    pub fn query(&self) -> Query<'_> {
        Query {
            stream: None,
            method: self.method,
            https: self.tls,
            tls: self.tls,
            host: &self.host,
            port: if self.tls { 8443 } else { 8000 },
            path: &self.path,
            query: self.search,
            sni: self.sni,
            source: self.source.parse().ok(),
            destination: Some([192, 0, 2, 1].into()),
            fields: &self.fields,
            exchange: None,
        }
    }

    pub fn id(&self, router: &Router) -> Option<u128> {
        router.find(&self.query()).map(|m| m.route().id.as_u128())
    }
}

#[test]
fn one_change_leaves_the_rest_shared() {
    let routes: Vec<_> = (0..2000u128)
        .map(|i| Route { hosts: vec![format!("h{i}.test")], paths: texts(&["/"]), ..route(i) })
        .chain((2000..4000).map(|i| Route { paths: vec![format!("/p{i}/x")], ..route(i) }))
        .collect();
    let before = router(Flavor::default(), routes);
    let changed = Route { hosts: texts(&["h7.test"]), paths: texts(&["/new"]), ..route(7) };
    let (after, _) = before.apply(&[(Arc::new(changed), None)], &[]);
    for i in (0..2000).filter(|&i| i != 7) {
        let candidates = |router: &Router| router.hosts.address_of(Some(&format!("h{i}.test")), "/");
        assert_eq!(candidates(&before), candidates(&after));
    }
    let under = |router: &Router, i: usize| router.hosts.address_of(None, &format!("/p{i}/x"));
    let (more, _) = after.apply(&[(Arc::new(Route { paths: texts(&["/p2500/y"]), ..route(5000) }), None)], &[]);
    // The node that it now shares a parent with is split.
    assert_eq!((2000..4000).filter(|&i| under(&after, i) != under(&more, i)).collect::<Vec<_>>(), [2500]);
    assert_eq!((2000..4000).filter(|&i| under(&before, i) != under(&after, i)).count(), 0);
    assert_eq!(Ask::get("h7.test", "/new").id(&before), Some(7), "the old version still has /");
    assert_eq!(Ask::get("h7.test", "/other").id(&after), None);
}

/// Exact hosts, wildcards, prefixes, and regexes whose paths begin alike or lead elsewhere by their hosts.
fn mixed(flavor: Flavor, i: u128) -> Route {
    let (hosts, path) = match i % 5 {
        0 => (vec![format!("h{i}.test")], "/".to_owned()),
        1 => (vec![format!("*.w{i}.test")], "/v1/".to_owned()),
        2 => (vec![], format!("/api/{i}/x")),
        3 => (vec![], format!("~/users/[0-9]+/orders{i}/[a-z]+/customers$")),
        _ => (vec![format!("g{}.test", i % 10)], format!("~/api/{i}/[a-z]+$")),
    };
    if flavor != Flavor::Expressions {
        return Route { hosts, paths: vec![path], ..route(i + 1) };
    }
    let host = hosts.first().map(|host| match host.strip_prefix('*') {
        Some(end) => format!("http.host =^ \"{end}\" && "),
        None => format!("http.host == \"{host}\" && "),
    });
    let path = match path.strip_prefix('~') {
        Some(regex) => format!("http.path ~ \"^{regex}\""),
        None => format!("http.path ^= \"{path}\""),
    };
    Route { expression: Some(host.unwrap_or_default() + &path), ..route(i + 1) }
}

/// A request for such a route.
fn for_mixed(i: u128) -> Ask {
    match i % 5 {
        0 => Ask::get(&format!("h{i}.test"), "/a/b"),
        1 => Ask::get(&format!("a.w{i}.test"), "/v1/b"),
        2 => Ask::get("other.test", &format!("/api/{i}/x/y")),
        3 => Ask::get("other.test", &format!("/users/77/orders{i}/x/customers")),
        _ => Ask::get(&format!("g{}.test", i % 10), &format!("/api/{i}/abc")),
    }
}

#[test]
fn a_request_looks_at_few_routes_however_many_there_are() {
    for flavor in [Flavor::Traditional, Flavor::TraditionalCompatible, Flavor::Expressions] {
        let [few, many] = [100, 5_000].map(|count: u128| {
            let router = router(flavor, (0..count).map(|i| mixed(flavor, i)).collect());
            let asked = (0..100).map(|n| n * 7919 % count);
            let looked_at = asked.map(|i| {
                let (ask, mut best) = (for_mixed(i), Best::default());
                assert_eq!(ask.id(&router), Some(i + 1), "{flavor:?}");
                let query = ask.query();
                router.hosts.search(flavor, &query, &mut best);
                best.looked_at
            });
            looked_at.sum::<usize>()
        });
        assert!(few < 300, "{few} for a hundred requests");
        assert!(2 * many <= 3 * few, "{flavor:?}: {few} of a hundred routes, {many} of many");
    }
}

/// A route by one thing only, and a request for it.
fn narrow(i: u128) -> (Route, Ask) {
    let mut ask = Ask::get("any.test", "/");
    let address = format!("11.{}.{}.7", i / 250, i % 250);
    let expression = match i % 5 {
        0 => format!(r#"any(http.headers.tenant) == "t{i}" && http.headers.env == "prod""#),
        1 => format!(r#"tls.sni == "n{i}.test" || tls.sni == "m{i}.test""#),
        2 => format!("net.src.ip in 11.{}.{}.0/24", i / 250, i % 250),
        3 => format!("net.src.ip == {address}"),
        _ => format!(r#"http.queries.id == "{i}" && http.path ^= "/""#),
    };
    match i % 5 {
        0 => ask = ask.header("env", "prod").header("Tenant", &format!("t{i}")),
        1 => ask.sni = Some(format!("m{i}.test").leak()),
        2 | 3 => ask.source = format!("{address}:9").leak(),
        _ => ask.search = Some(format!("id={i}").leak()),
    }
    (Route { expression: Some(expression), ..route(i + 1) }, ask)
}

#[test]
fn expressions_that_ask_for_no_host_and_no_path_are_found_as_well() {
    let [few, many] = [100, 5_000].map(|count: u128| {
        let router = router(Flavor::Expressions, (0..count).map(|i| narrow(i).0).collect());
        let looked_at = (0..100).map(|n| n * 7919 % count).map(|i| {
            let (ask, mut best) = (narrow(i).1, Best::default());
            assert_eq!(ask.id(&router), Some(i + 1));
            let query = ask.query();
            router.hosts.search(Flavor::Expressions, &query, &mut best);
            best.looked_at
        });
        looked_at.sum::<usize>()
    });
    assert!(few < 300, "{few} for a hundred requests");
    assert!(2 * many <= 3 * few, "{few} of a hundred routes, {many} of many");
}

#[test]
fn the_more_specific_of_equals_wins_then_the_older() {
    let router = router(
        Flavor::default(),
        vec![
            Route { hosts: texts(&["*.test"]), ..route(3) },
            Route { hosts: texts(&["*.a.test"]), ..route(1) },
            Route { paths: texts(&["/same"]), created_at: 5, ..route(10) },
            Route { paths: texts(&["/same"]), created_at: 4, ..route(11) },
            Route { paths: texts(&["~/q/[a-z]+"]), created_at: 4, ..route(12) },
            Route { paths: texts(&["~/q/[a-c]+"]), created_at: 5, ..route(13) },
            Route { paths: texts(&["~/n"]), regex_priority: -1, ..route(14) },
            Route { paths: texts(&["~/n"]), created_at: 9, ..route(15) },
        ],
    );
    assert_eq!(Ask::get("x.a.test", "/").id(&router), Some(1));
    assert_eq!(Ask::get("X.B.TEST", "/").id(&router), Some(3));
    assert_eq!(Ask::get("", "/same").id(&router), Some(11));
    assert_eq!(Ask::get("", "/q/abc").id(&router), Some(12));
    assert_eq!(Ask::get("", "/n").id(&router), Some(15));
}

/// What more kinds of criteria count beside hosts without wildcards and regular expressions.
#[test]
fn kinds_of_criteria_count_as_they_are_reckoned() {
    let plain = || Route { hosts: texts(&["a.test"]), ..route(1) };
    let regex = || Route { paths: texts(&["~/a"]), ..route(1) };
    let two = |id| Route { paths: texts(&["/a"]), methods: texts(&["GET"]), ..route(id) };
    let three = || Route { hosts: texts(&["*.test"]), ..two(2) };
    let four = || Route { headers: vec![("x-a".into(), texts(&["1"]))], ..three() };
    for (first, second, original, strict) in [
        (plain(), two(2), 1, 2),
        (regex(), two(2), 1, 2),
        (plain(), three(), 1, 2),
        (Route { hosts: texts(&["a.test"]), ..regex() }, three(), 1, 2),
        (plain(), regex(), 1, 1),
        (plain(), four(), 2, 2),
        (regex(), four(), 2, 2),
        (Route { hosts: texts(&["a.test"]), ..two(1) }, three(), 1, 1),
    ] {
        let mut second = second;
        second.id = Uuid::from_u128(2);
        for (calculation, expected) in [(MatchCalculation::Original, original), (MatchCalculation::Strict, strict)] {
            let put = [first.clone(), second.clone()].map(|route| (Arc::new(route), None));
            let (router, errors) = Router::new(Matching { calculation, ..Matching::default() }).apply(&put, &[]);
            assert_eq!(errors, []);
            let found = Ask::get("a.test", "/a").header("x-a", "1").id(&router);
            assert_eq!(found, Some(expected), "{calculation:?} {first:?} {second:?}");
        }
    }
}

#[test]
fn hosts_with_and_without_ports() {
    let routes = || {
        vec![
            Route { hosts: texts(&["a.test:8080"]), ..route(1) },
            Route { hosts: texts(&["b.test:8000"]), ..route(2) },
            Route { hosts: texts(&["c.test"]), ..route(3) },
            Route { hosts: texts(&["*.d.test:80"]), ..route(4) },
            Route { hosts: texts(&["[::1]"]), ..route(5) },
            Route { hosts: texts(&["::2"]), ..route(6) },
        ]
    };
    let compatible = router(Flavor::TraditionalCompatible, routes());
    let traditional = router(Flavor::Traditional, routes());
    for (host, in_compatible, in_traditional) in [
        ("a.test:8080", Some(1), Some(1)),
        ("a.test", None, None),
        ("b.test", Some(2), None),
        ("b.test:8001", None, None),
        ("c.test:9", Some(3), Some(3)),
        ("c.test:", Some(3), Some(3)),
        ("c.test:x", None, None),
        ("c.test.", None, None),
        ("x.d.test", None, Some(4)),
        ("x.d.test:80", Some(4), Some(4)),
        ("[::1]:9", Some(5), Some(5)),
        ("[::2]", Some(6), Some(6)),
        ("[::2]:9", Some(6), Some(6)),
    ] {
        assert_eq!(Ask::get(host, "/").id(&compatible), in_compatible, "{host}");
        assert_eq!(Ask::get(host, "/").id(&traditional), in_traditional, "{host}");
    }
}

#[test]
fn headers_ignore_case_and_underscores() {
    let router = router(
        Flavor::default(),
        vec![
            Route { headers: vec![("x-v".into(), texts(&["1", "Two"]))], ..route(1) },
            Route { headers: vec![("x-v".into(), texts(&["1"])), ("x_w".into(), texts(&["a"]))], ..route(2) },
            Route { headers: vec![("x-z".into(), texts(&[r"~*^abc\D$", "other"]))], ..route(3) },
        ],
    );
    let with = |list: &[(&str, &str)]| list.iter().fold(Ask::get("", "/"), |ask, (n, v)| ask.header(n, v)).id(&router);
    assert_eq!(with(&[("X-V", "tWO")]), Some(1));
    assert_eq!(with(&[("X-V", "3"), ("x-v", "1")]), Some(1));
    assert_eq!(with(&[("X-V", "1,2")]), None);
    assert_eq!(with(&[("X-V", "1"), ("X-W", "A")]), Some(2));
    assert_eq!(with(&[("X_V", "1")]), Some(1));
    assert_eq!(with(&[("X-Z", "ABCd")]), Some(3));
    assert_eq!(with(&[("X-Z", "abc1")]), None);
    assert_eq!(with(&[("X-Z", "other")]), Some(3));
}

#[test]
fn regexes_tell_what_they_matched() {
    let routes = vec![
        Route { paths: texts(&["~/v/(?<id>[a-z]+)/(x)?"]), ..route(1) },
        Route { paths: texts(&[r"~/u/\d+$", "/u"]), ..route(2) },
        Route { paths: texts(&["/"]), ..route(3) },
    ];
    let router = router(Flavor::default(), routes);
    let ask = Ask::get("", "/v/abc/rest");
    let found = router.find(&ask.query()).unwrap();
    assert_eq!(found.matched_path, Some(7));
    let groups = [("0", "/v/abc/"), ("1", "abc"), ("id", "abc")];
    assert_eq!(found.captures, groups.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
    assert_eq!(found.stripped(&ask.path), Some("/v/abc/"));
    assert_eq!(router.find(&Ask::get("", "/u/12").query()).unwrap().matched_path, Some(5));
    assert_eq!(router.find(&Ask::get("", "/u/12/").query()).unwrap().matched_path, Some(2));
    let found = router.find(&Ask::get("", "/x").query()).unwrap();
    assert_eq!(found.matched_path, Some(1));
    assert_eq!(found.captures.capacity(), 0);
}

#[test]
fn protocols_and_services() {
    let https = Route {
        paths: texts(&["/s"]),
        protocols: protocols(&[Protocol::Https]),
        snis: texts(&["One.test."]),
        ..route(1)
    };
    let stream = Route { snis: texts(&["a"]), protocols: protocols(&[Protocol::Tls]), ..route(2) };
    let (on, off) = (service(true, Some("/svc")), service(false, None));
    let put = [
        (Arc::new(https), Some(on.clone())),
        (Arc::new(stream), None),
        (Arc::new(Route { paths: texts(&["/a/b"]), ..route(3) }), Some(off)),
        (Arc::new(Route { paths: texts(&["/a"]), ..route(4) }), Some(on.clone())),
    ];
    let (router, errors) = Router::default().apply(&put, &[]);
    assert_eq!(router.len(), 3);
    assert_eq!(errors, vec![]);
    assert!(router.find(&Ask::get("", "/s").query()).unwrap().wrong_protocol);
    let tls = |sni| Ask { tls: true, sni, ..Ask::get("", "/s") };
    assert_eq!(tls(Some("two.test")).id(&router), None);
    assert_eq!(tls(None).id(&router), None);
    assert!(!router.find(&tls(Some("ONE.test")).query()).unwrap().wrong_protocol);
    let found = router.find(&Ask::get("", "/a/b/c").query()).unwrap();
    let mut path = String::new();
    found.write_upstream_path("/a/b/c", &mut path);
    assert_eq!(found.route().id.as_u128(), 4);
    assert_eq!(path.as_str(), "/svc/b/c");
    let (router, _) = router.apply(&[(put[2].0.clone(), Some(on))], &[]);
    assert_eq!(Ask::get("", "/a/b").id(&router), Some(3));
}

/// In the flavour of expressions what a route's protocols leave out goes to the next route.
#[test]
fn protocols_are_conditions_of_expressions() {
    let on = |protocol, id, expression: bool| Route {
        protocols: protocols(&[protocol]),
        expression: expression.then(|| r#"http.path ^= "/""#.into()),
        paths: if expression { vec![] } else { texts(&["/"]) },
        ..route(id)
    };
    for expression in [true, false] {
        let routes = vec![on(Protocol::Http, 9, expression), on(Protocol::Https, 1, expression)];
        let router = router(Flavor::Expressions, routes);
        assert_eq!(Ask::get("", "/").id(&router), Some(9));
        assert_eq!(Ask { tls: true, ..Ask::get("", "/") }.id(&router), Some(1));
    }
    let compatible = router(Flavor::default(), vec![on(Protocol::Http, 9, false), on(Protocol::Https, 1, false)]);
    assert_eq!(Ask { tls: true, ..Ask::get("", "/") }.id(&compatible), Some(9));
}

#[test]
fn what_does_not_compile_is_named_and_answered_with_an_error() {
    let good = Route { paths: texts(&["/"]), ..route(1) };
    let bad = Route { paths: texts(&["/x", "~/secret/a+("]), ..route(2) };
    let nothing = route(3);
    let expression = Route { expression: Some(r#"http.path == "/by""#.into()), ..route(4) };
    let huge = Route { paths: vec!["~/huge/(a{1000}){1000}".into()], ..route(5) };
    let header = Route {
        paths: texts(&["/header"]),
        headers: vec![("x-a".into(), texts(&["~*("])), ("x-b".into(), texts(&["1"]))],
        ..route(6)
    };
    let put: Vec<_> = [good, bad, nothing, expression, huge, header].into_iter().map(|r| (Arc::new(r), None)).collect();
    let (router, errors) = Router::default().apply(&put, &[]);
    let ids: Vec<_> = errors.iter().map(|(id, _)| id.as_u128()).collect();
    assert_eq!(ids, [2, 3, 4, 5, 6]);
    assert!(errors[0].1.starts_with("paths: '~/secret/a+(': regex parse error"), "{}", errors[0].1);
    let found = |ask: &Ask| router.find(&ask.query()).map(|m| (m.route().id.as_u128(), m.unusable));
    for (path, expected) in [
        ("/ok", (1, false)),
        ("/x", (2, true)),
        ("/secret/aa", (2, true)),
        // What might be matched by the broken pattern is not handed to another route.
        ("/secret/ab", (2, true)),
        ("/secret/", (1, false)),
        ("/by", (4, true)),
        ("/by/x", (1, false)),
        ("/huge/a", (5, true)),
        ("/hug", (1, false)),
        ("/header", (1, false)),
    ] {
        assert_eq!(found(&Ask::get("", path)), Some(expected), "{path}");
    }
    assert_eq!(found(&Ask::get("", "/header").header("x-b", "1")), Some((6, true)));
    // What could be used before was for other requests.
    let (changed, errors) = router.apply(&[(Arc::new(Route { paths: texts(&["~/now["]), ..route(1) }), None)], &[]);
    assert_eq!(errors.len(), 1);
    assert!(changed.find(&Ask::get("", "/ok").query()).is_none());
    assert!(changed.find(&Ask::get("", "/now").query()).unwrap().unusable);
    // What can be used takes the place of what cannot.
    let (router, errors) = router.apply(&[(Arc::new(Route { paths: texts(&["/x"]), ..route(2) }), None)], &[]);
    assert_eq!(errors, []);
    assert_eq!(Ask::get("", "/secret/aa").id(&router), Some(1));
}

#[test]
fn a_route_whose_compilation_panics_stands_for_what_it_might_match() {
    let panics: Compile = |_, _, _, _| panic!("no idea");
    let open = Route { paths: texts(&["/"]), ..route(1) };
    let guarded = Route { paths: texts(&["/a", "~/r/[0-9]+"]), methods: texts(&["GET"]), ..route(2) };
    let before = router(Flavor::default(), vec![open]);
    let mut after = before.clone();
    let put = [(Arc::new(guarded.clone()), None)];
    assert_eq!(after.put(&put, &before, panics), [(put[0].0.id, "panicked: no idea".to_owned())]);
    let found = |router: &Router, ask: &Ask| router.find(&ask.query()).map(|m| (m.route().id.as_u128(), m.unusable));
    for (path, expected) in
        [("/a/b", (2, true)), ("/r/7", (2, true)), ("/r/x", (2, true)), ("/r", (1, false)), ("/z", (1, false))]
    {
        assert_eq!(found(&after, &Ask::get("", path)), Some(expected), "{path}");
    }
    assert_eq!(found(&after, &Ask { method: "POST", ..Ask::get("", "/a/b") }), Some((1, false)));
    // As long as it is for the same requests, it goes on as it was.
    let (before, _) = before.apply(&put, &[]);
    let mut after = before.clone();
    assert_eq!(
        after.put(&[(Arc::new(Route { strip_path: false, ..guarded.clone() }), None)], &before, panics).len(),
        1
    );
    assert_eq!(found(&after, &Ask::get("", "/r/7")), Some((2, false)));
    assert_eq!(after.put(&[(Arc::new(Route { hosts: texts(&["h"]), ..guarded }), None)], &before, panics).len(), 1);
    assert_eq!(found(&after, &Ask::get("h", "/r/7")), Some((2, true)));
    assert_eq!(found(&after, &Ask::get("", "/r/7")), Some((1, false)));
}

#[test]
fn a_route_that_is_refused_stands_for_what_it_matches() {
    let route = Arc::new(Route { paths: texts(&["~/r/[0-9]+"]), hosts: texts(&["h"]), ..route(2) });
    let (mut router, _) = router(Flavor::default(), vec![]).apply(&[(Arc::clone(&route), None)], &[]);
    router.refuse(&route, "its service cannot be used".to_owned());
    assert_eq!(router.defect(&route.id), Some(Some("its service cannot be used")));
    assert!(router.find(&Ask::get("h", "/r/7").query()).unwrap().unusable);
    assert!(router.find(&Ask::get("h", "/r/x").query()).is_none());
    let (router, _) = router.apply(&[(Arc::clone(&route), None)], &[]);
    assert!(!router.find(&Ask::get("h", "/r/7").query()).unwrap().unusable);
    let (router, _) = router.apply(&[], &[route.id]);
    assert!(router.hosts.is_empty());
}

#[test]
fn what_replaces_all_routes_has_these_only() {
    let [one, two] = [1, 2].map(|id| Route { paths: vec![format!("~/{id}/x{{30000}}")], ..route(id) });
    let before = router(Flavor::default(), vec![one.clone(), two]);
    let (after, errors) = before.replace(&[(Arc::new(one), None)]);
    assert_eq!(errors, []);
    assert_eq!(after.len(), 1);
    assert_eq!(after.regex_size, before.regex_size / 2);
}

#[test]
fn an_expression_that_cannot_be_read_might_be_for_any_request() {
    let by = |id, expression: &str, priority| Route { expression: Some(expression.into()), priority, ..route(id) };
    let put = [by(1, r#"http.path ^= "/""#, 1), by(2, r#"http.path ~ "(""#, 2), by(3, r#"http.path ^= "/before""#, 3)];
    let put: Vec<_> = put.into_iter().map(|r| (Arc::new(r), None)).collect();
    let (router, errors) = Router::new(Flavor::Expressions).apply(&put, &[]);
    assert_eq!(errors.len(), 1);
    let found = |path| router.find(&Ask::get("", path).query()).map(|m| (m.route().id.as_u128(), m.unusable));
    assert_eq!(found("/before"), Some((3, false)));
    assert_eq!(found("/x"), Some((2, true)));
}

#[test]
fn what_one_route_lists_does_not_multiply() {
    let list = |what: &str| (0..400).map(|n| format!("{what}{n}")).collect::<Vec<_>>();
    let wide = Route {
        hosts: list("h")
            .into_iter()
            .flat_map(|h| [format!("{h}.test"), format!("*.{h}.test"), format!("{h}.*")])
            .collect(),
        paths: list("/p"),
        headers: vec![("x-a".into(), list("a")), ("x-b".into(), list("b"))],
        methods: list("M"),
        snis: list("s"),
        ..route(1)
    };
    let beside = Route { hosts: texts(&["h7.test"]), paths: texts(&["/p7"]), ..route(2) };
    let router = router(Flavor::default(), vec![wide.clone(), beside]);
    assert!(router.hosts.places() <= 8 * 2000, "{} places", router.hosts.places());
    let ask = |host: &str, a: &str| {
        let mut ask = Ask::get(host, "/p399/x").header("x-a", a).header("x-b", "B0");
        ask.method = "M17";
        ask.id(&router)
    };
    assert_eq!(ask("h399.test", "a17"), Some(1));
    assert_eq!(ask("x.H0.test", "A399"), Some(1));
    assert_eq!(ask("h0.x", "a0"), Some(1));
    assert_eq!(ask("h400.test", "a0"), None);
    assert_eq!(ask("h399.test", "a400"), None);
    assert_eq!(Ask::get("h7.test", "/p7").id(&router), Some(2));
    // Two such routes share the list of their hosts until both are gone.
    let second = Route { id: Uuid::from_u128(3), paths: list("/q"), ..wide };
    let (two, _) = router.apply(&[(Arc::new(second), None)], &[Uuid::from_u128(1)]);
    let mut query = Ask::get("h9.test", "/q9").header("x-a", "a1").header("x-b", "b1");
    query.method = "M0";
    assert_eq!(query.id(&two), Some(3));
    assert_eq!(query.id(&router), None);
    let (none, _) = two.apply(&[], &[Uuid::from_u128(2), Uuid::from_u128(3)]);
    assert!(none.hosts.is_empty());
}

#[test]
fn regexes_are_bounded_by_route_and_charged_once() {
    let large =
        |id, n: usize| Route { paths: (0..n).map(|i| format!(r"~/{id}/{i}/x{{30000}}")).collect(), ..route(id) };
    let few = Arc::new(large(1, 1));
    let (router, errors) = Router::default().apply(&[(Arc::clone(&few), None)], &[]);
    assert_eq!(errors, []);
    let size = router.regex_size;
    assert!(size > 1 << 18, "{size}");
    // Put again, as when its service changes, it keeps what is compiled.
    let (router, _) = router.apply(&[(few, None)], &[]);
    assert_eq!(router.regex_size, size);
    let (router, errors) = router.apply(&[(Arc::new(large(2, 60)), None)], &[]);
    assert_eq!(errors.len(), 1);
    assert!(router.find(&Ask::get("", "/2/59/").query()).unwrap().unusable);
}
