//! The router against a plain list of all routes, tried one by one; and Kong's rules by example.

use super::expression::Condition;
use super::*;
use model::entities::{Protocol, Protocols};
use regex::Regex;
use std::time::Duration;

pub fn route(id: u128) -> Route {
    Route {
        id: Uuid::from_u128(id),
        name: None,
        created_at: 0,
        service: None,
        protocols: protocols(&[Protocol::Http, Protocol::Https]),
        methods: vec![],
        hosts: vec![],
        paths: vec![],
        headers: vec![],
        snis: vec![],
        sources: vec![],
        destinations: vec![],
        regex_priority: 0,
        strip_path: true,
        preserve_host: false,
        path_handling: PathHandling::V0,
        https_redirect_status_code: 426,
        request_buffering: true,
        response_buffering: true,
        expression: None,
        priority: 0,
        tags: vec![],
    }
}

fn protocols(list: &[Protocol]) -> Protocols {
    list.iter().fold(Protocols::default(), |set, &p| set.with(p))
}

fn service(enabled: bool, path: Option<&str>) -> Arc<Service> {
    let second = Duration::from_secs(1);
    Arc::new(Service {
        id: Uuid::from_u128(9),
        name: None,
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
    sni: Option<&'static str>,
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
        }
    }

    pub fn id(&self, router: &Router) -> Option<u128> {
        router.find(&self.query()).map(|m| m.route().id.as_u128())
    }
}

/// The straightforward router: every path of every route, sorted, tried one after the other.
struct Reference {
    flavor: Flavor,
    entries: Vec<(Arc<Route>, Option<usize>, Option<Regex>)>,
}

impl Reference {
    fn new(flavor: Flavor, routes: &[Arc<Route>]) -> Reference {
        let mut entries = Vec::new();
        for route in routes {
            if route.paths.is_empty() {
                entries.push((route.clone(), None, None));
            }
            for (at, path) in route.paths.iter().enumerate() {
                let regex = path.strip_prefix('~').map(|p| match flavor {
                    Flavor::Traditional => Regex::new(&format!("^(?:{p})")).unwrap(),
                    _ => Regex::new(&format!("^{p}")).unwrap(),
                });
                entries.push((route.clone(), Some(at), regex));
            }
        }
        Reference { flavor, entries }
    }

    fn find(&self, ask: &Ask) -> Option<(u128, Option<usize>)> {
        let fitting = self.entries.iter().filter_map(|(route, at, regex)| {
            let closeness = self.host(route, ask)?;
            let path = at.map(|at| route.paths[at].as_str());
            let matched = match (path, regex) {
                (None, _) => None,
                (Some(_), Some(regex)) => {
                    let len = regex.find(&ask.path)?.len();
                    (len..).find(|&at| ask.path.is_char_boundary(at))
                }
                (Some(path), None) => Some(ask.path.starts_with(path).then_some(path.len())?),
            };
            self.others(route, ask).then(|| (self.order(route, path, closeness, *at), route.id.as_u128(), matched))
        });
        fitting.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, id, matched)| (id, matched))
    }

    fn order(&self, route: &Route, path: Option<&str>, closeness: usize, at: Option<usize>) -> (Vec<i64>, Uuid, i64) {
        let flag = |b: bool| b as i64;
        let regex = path.is_some_and(|p| p.starts_with('~'));
        let wild = route.hosts.iter().any(|h| h.contains('*'));
        let plain = flag(!route.hosts.is_empty() && !wild);
        let wild_port = flag(route.hosts.iter().any(|h| h.contains('*') && h.contains(':')));
        let kinds = [
            !route.hosts.is_empty(),
            !route.headers.is_empty(),
            path.is_some(),
            !route.methods.is_empty(),
            !route.snis.is_empty(),
        ]
        .map(flag);
        let mut order = vec![kinds.iter().sum()];
        if self.flavor == Flavor::Traditional {
            order.extend(kinds);
            order.extend([wild_port, plain, flag(regex), route.headers.len() as i64]);
        } else {
            order.extend([plain, route.headers.len() as i64, flag(regex)]);
        }
        order.push(if regex { route.regex_priority } else { 0 });
        order.push(if regex { 0 } else { path.map_or(0, str::len) as i64 });
        order.extend([closeness as i64, -route.created_at]);
        (order, route.id, -(at.unwrap_or(0) as i64))
    }

    /// How closely the best of the route's hosts fits; 0 when it has none.
    fn host(&self, route: &Route, ask: &Ask) -> Option<usize> {
        if route.hosts.is_empty() {
            return Some(0);
        }
        let host = ask.host.escape_ascii().to_string().to_lowercase();
        let (name, port) = host.split_once(':').map_or((&*host, None), |(n, p)| (n, p.parse::<u32>().ok()));
        if name.is_empty() {
            return None;
        }
        let traditional = self.flavor == Flavor::Traditional;
        let fitting = route.hosts.iter().filter_map(|pattern| {
            let (want, want_port) =
                pattern.split_once(':').map_or((&**pattern, None), |(n, p)| (n, p.parse::<u32>().ok()));
            let least = if traditional { want.len() } else { want.len() - 1 };
            let fits = match (want.strip_prefix('*'), want.strip_suffix('*')) {
                (Some(end), _) => name.ends_with(end) && name.len() >= least,
                (_, Some(start)) => name.starts_with(start) && name.len() >= least,
                _ => name == want,
            };
            let implied = match (traditional, want.contains('*')) {
                (false, _) => Some(if ask.tls { 8443 } else { 8000 }),
                (true, true) => Some(if ask.tls { 443 } else { 80 }),
                (true, false) => None,
            };
            let port_fits = want_port.is_none() || want_port == port.or(implied);
            let text = want.trim_matches('*').len();
            (fits && port_fits)
                .then(|| 1 + if want.contains('*') { 0 } else { 1000 } + 2 * text + want_port.is_some() as usize)
        });
        fitting.max()
    }

    fn others(&self, route: &Route, ask: &Ask) -> bool {
        let method = route.methods.is_empty() || route.methods.iter().any(|m| m == ask.method);
        let sni = route.snis.is_empty()
            || !ask.tls
            || ask.sni.is_some_and(|s| route.snis.iter().any(|w| w == s || (w == "*.test" && s.ends_with(".test"))));
        method
            && sni
            && route.headers.iter().all(|(name, values)| {
                ask.fields.get_all(name).any(|sent| {
                    values.iter().any(|want| match want.strip_prefix("~*") {
                        // The only regex that is dealt, without compiling it each time.
                        Some(pattern) => pattern == "^[12]$" && (sent == b"1" || sent == b"2"),
                        None => sent.eq_ignore_ascii_case(want.as_bytes()),
                    })
                })
            })
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.roll(list.len())]
    }

    /// Up to `most` of the list, often none.
    fn some(&mut self, list: &[&str], most: usize) -> Vec<String> {
        if self.roll(2) == 0 {
            return vec![];
        }
        let mut out: Vec<String> = (0..1 + self.roll(most)).map(|_| self.pick(list).to_string()).collect();
        out.sort();
        out.dedup();
        out
    }

    fn route(&mut self, id: u128) -> Route {
        let mut route = route(id);
        const HOSTS: [&str; 14] = [
            "a.test",
            "b.test",
            "x.a.test",
            "*.test",
            "*.a.test",
            "a.*",
            "x.a.*",
            "*",
            "*t",
            "a.test:80",
            "a.test:8000",
            "*.test:443",
            "*.a.test:80",
            "x.*:81",
        ];
        const PATHS: [&str; 14] = [
            "/",
            "/a",
            "/a/b",
            "/ab",
            "/a/b/c",
            "/b",
            r"~/a/\d+",
            "~/a",
            "~/[ab]/.*$",
            "~/(?<n>a|b)/b",
            "~(?i)/A/b",
            "~/a$|/b",
            "~/é+",
            "~/a/b/(c|d)$",
        ];
        route.hosts = self.some(&HOSTS, 3);
        route.paths = self.some(&PATHS, 4);
        if self.roll(3) == 0 {
            route.methods = self.some(&["GET", "POST", "PUT"], 2);
        }
        if self.roll(3) == 0 {
            route.headers = self
                .some(&["x-a", "x-b", "x-c"], 2)
                .into_iter()
                .map(|name| (name, self.some(&["1", "2", "V", "~*^[12]$"], 2)))
                .collect();
            route.headers.retain(|(_, values)| !values.is_empty());
        }
        if self.roll(4) == 0 {
            route.snis = self.some(&["a.test", "b.test", "*.test"], 2);
        }
        if route.hosts.is_empty()
            && route.paths.is_empty()
            && route.methods.is_empty()
            && route.headers.is_empty()
            && route.snis.is_empty()
        {
            route.paths = texts(&["/"]);
        }
        route.regex_priority = self.roll(3) as i64 - 1;
        route.created_at = self.roll(3) as i64;
        route
    }

    fn ask(&mut self) -> Ask {
        const HOSTS: [&str; 13] = [
            "a.test",
            "A.Test",
            "b.test",
            "x.a.test",
            "y.x.a.test",
            "a.com",
            "x.a.com",
            "",
            ".test",
            "a.test:80",
            "a.test:81",
            "x.a.test:443",
            "x.y:81",
        ];
        let segments = ["a", "b", "c", "d", "7", "ab", "A", "é", ""];
        let mut path = String::new();
        for _ in 0..1 + self.roll(4) {
            path.push('/');
            path.push_str(self.pick(&segments));
        }
        let mut ask = Ask::get(self.pick(&HOSTS), &path);
        ask.method = ["GET", "POST", "PATCH"][self.roll(3)];
        ask.tls = self.roll(2) == 0;
        ask.sni = [None, Some("a.test"), Some("c.test"), Some("d.com")][self.roll(4)].filter(|_| ask.tls);
        for _ in 0..self.roll(4) {
            let (name, value) = (self.pick(&["x-a", "X-B", "x-c"]), self.pick(&["1", "2", "3", "v"]));
            ask = ask.header(name, value);
        }
        ask
    }
}

#[test]
fn agrees_with_trying_all_routes() {
    for flavor in [Flavor::TraditionalCompatible, Flavor::Traditional, Flavor::Expressions] {
        let mut dice = Dice(flavor as u64 + 11);
        for _ in 0..25 {
            let mut router = Router::new(flavor);
            let mut routes: Vec<Arc<Route>> = Vec::new();
            // The routes come, change and go in several steps, as they do in life.
            for _ in 0..5 {
                let put: Vec<_> = (0..dice.roll(20))
                    .map(|_| {
                        let id = dice.roll(60) as u128;
                        (Arc::new(dice.route(id)), None)
                    })
                    .collect();
                let gone: Vec<_> = (0..dice.roll(6)).map(|_| Uuid::from_u128(dice.roll(60) as u128)).collect();
                let (next, errors) = router.apply(&put, &gone);
                assert_eq!(errors, []);
                router = next;
                routes.retain(|r| !gone.contains(&r.id));
                for (route, _) in put {
                    routes.retain(|r| r.id != route.id);
                    routes.push(route);
                }
                assert_eq!(router.len(), routes.len());
                let reference = Reference::new(flavor, &routes);
                for _ in 0..60 {
                    let ask = dice.ask();
                    let found = router.find(&ask.query()).map(|m| (m.route().id.as_u128(), m.matched_path));
                    let expected = reference.find(&ask);
                    let show = || {
                        routes
                            .iter()
                            .filter(|r| [found, expected].iter().flatten().any(|(id, _)| *id == r.id.as_u128()))
                            .cloned()
                            .collect::<Vec<_>>()
                    };
                    assert_eq!(
                        found,
                        expected,
                        "{flavor:?} {} {} {} {:?} {:?}\n{:#?}",
                        ask.method,
                        ask.host.escape_ascii(),
                        ask.path,
                        ask.sni,
                        ask.fields,
                        show()
                    );
                }
            }
            let ids: Vec<_> = routes.iter().map(|r| r.id).collect();
            let (empty, _) = router.apply(&[], &ids);
            assert!(
                empty.exact.is_empty()
                    && empty.suffixes.is_empty()
                    && empty.prefixes.is_empty()
                    && empty.hostless.is_empty()
                    && empty.is_empty()
            );
        }
    }
}

impl Dice {
    /// A random expression over what random requests have.
    fn expression(&mut self, depth: usize) -> String {
        const TESTS: [&str; 14] = [
            r#"http.path ^= "/a""#,
            r#"http.path == "/a/b""#,
            r#"http.path ~ "^/(a|b)/""#,
            r#"http.path ~ "^/a/[0-9]|/b""#,
            r#"http.path =^ "b""#,
            r#"lower(http.path) ^= "/a""#,
            r#"http.host == "a.test""#,
            r#"http.host == "X.A.Test""#,
            r#"http.host =^ ".test""#,
            r#"http.method == "GET""#,
            r#"any(http.headers.x_a) == "1""#,
            r#"http.headers.x_b != "2""#,
            "net.dst.port == 8000",
            r#"tls.sni == "a.test""#,
        ];
        match if depth == 0 { 0 } else { self.roll(5) } {
            0 | 1 => self.pick(&TESTS).to_owned(),
            2 => format!("({} && {})", self.expression(depth - 1), self.expression(depth - 1)),
            3 => format!("({} || {})", self.expression(depth - 1), self.expression(depth - 1)),
            _ => format!("!({})", self.expression(depth - 1)),
        }
    }
}

#[test]
fn expressions_agree_with_trying_all_routes() {
    let mut dice = Dice(5);
    for _ in 0..100 {
        let routes: Vec<Route> = (0..20)
            .map(|id| Route {
                expression: Some(dice.expression(3)),
                priority: dice.roll(4) as u64,
                created_at: dice.roll(2) as i64,
                ..route(id)
            })
            .collect();
        let mut order: Vec<_> = routes
            .iter()
            .map(|r| (r.priority, -r.created_at, r.id, Condition::parse(r.expression.as_deref().unwrap()).unwrap()))
            .collect();
        order.sort_by_key(|(priority, age, id, _)| std::cmp::Reverse((*priority, *age, *id)));
        let router = router(Flavor::Expressions, routes.clone());
        for _ in 0..50 {
            let ask = dice.ask();
            let expected = order
                .iter()
                .find(|(.., condition)| condition.holds(&ask.query(), &mut None))
                .map(|(_, _, id, _)| id.as_u128());
            assert_eq!(
                ask.id(&router),
                expected,
                "{} {} {:?}",
                ask.host.escape_ascii(),
                ask.path,
                routes.iter().map(|r| &r.expression).collect::<Vec<_>>()
            );
        }
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
        let slots = |router: &Router| {
            std::ptr::from_ref(router.exact.get(format!("h{i}.test").as_bytes()).unwrap().get(b"/").unwrap())
        };
        assert_eq!(slots(&before), slots(&after));
    }
    let under = |router: &Router, i: usize| {
        let mut at = std::ptr::null();
        router.hostless.walk(format!("/p{i}/x").as_bytes(), |_, slots| at = std::ptr::from_ref(slots));
        at
    };
    let (more, _) = after.apply(&[(Arc::new(Route { paths: texts(&["/p2500/y"]), ..route(5000) }), None)], &[]);
    // The node that it now shares a parent with is split.
    assert_eq!((2000..4000).filter(|&i| under(&after, i) != under(&more, i)).collect::<Vec<_>>(), [2500]);
    assert_eq!((2000..4000).filter(|&i| under(&before, i) != under(&after, i)).count(), 0);
    assert_eq!(Ask::get("h7.test", "/new").id(&before), Some(7), "the old version still has /");
    assert_eq!(Ask::get("h7.test", "/other").id(&after), None);
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

#[test]
fn hosts_with_and_without_ports() {
    let routes = || {
        vec![
            Route { hosts: texts(&["a.test:8080"]), ..route(1) },
            Route { hosts: texts(&["b.test:8000"]), ..route(2) },
            Route { hosts: texts(&["c.test"]), ..route(3) },
            Route { hosts: texts(&["*.d.test:80"]), ..route(4) },
            Route { hosts: texts(&["[::1]"]), ..route(5) },
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
    assert_eq!(found.captures, [("1".into(), b"abc".to_vec()), ("id".into(), b"abc".to_vec())]);
    assert_eq!(found.stripped(&ask.path), Some("/v/abc/"));
    assert_eq!(router.find(&Ask::get("", "/u/12").query()).unwrap().matched_path, Some(5));
    assert_eq!(router.find(&Ask::get("", "/u/12/").query()).unwrap().matched_path, Some(2));
    let found = router.find(&Ask::get("", "/x").query()).unwrap();
    assert_eq!((found.matched_path, found.captures.capacity()), (Some(1), 0));
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
    assert_eq!((router.len(), errors), (2, vec![]));
    assert!(router.find(&Ask::get("", "/s").query()).unwrap().wrong_protocol);
    let tls = |sni| Ask { tls: true, sni, ..Ask::get("", "/s") };
    assert_eq!(tls(Some("two.test")).id(&router), None);
    assert_eq!(tls(None).id(&router), None);
    assert!(!router.find(&tls(Some("ONE.test")).query()).unwrap().wrong_protocol);
    let found = router.find(&Ask::get("", "/a/b/c").query()).unwrap();
    let mut path = String::new();
    found.write_upstream_path("/a/b/c", &mut path);
    assert_eq!((found.route().id.as_u128(), path.as_str()), (4, "/svc/b/c"));
    let (router, _) = router.apply(&[(put[2].0.clone(), Some(on))], &[]);
    assert_eq!(Ask::get("", "/a/b").id(&router), Some(3));
}

#[test]
fn what_does_not_compile_is_named_and_changes_nothing() {
    let good = Route { paths: texts(&["/ok"]), ..route(1) };
    let bad = Route { paths: texts(&["/x", "~/("]), ..route(2) };
    let empty = route(3);
    let expression = Route { expression: Some("http.path == \"/\"".into()), ..route(4) };
    let huge = Route { paths: vec!["~/(a{1000}){1000}".into()], ..route(5) };
    let put: Vec<_> = [good, bad, empty, expression, huge].into_iter().map(|r| (Arc::new(r), None)).collect();
    let (router, errors) = Router::default().apply(&put, &[]);
    assert_eq!(Ask::get("", "/ok").id(&router), Some(1));
    assert_eq!(Ask::get("", "/x").id(&router), None);
    let ids: Vec<_> = errors.iter().map(|(id, _)| id.as_u128()).collect();
    assert_eq!(ids, [2, 3, 4, 5]);
    assert!(errors[0].1.starts_with("paths: '~/(': regex parse error"), "{}", errors[0].1);
    // What cannot be used does not take the place of what can.
    let (router, errors) = router.apply(&[(Arc::new(Route { paths: texts(&["~["]), ..route(1) }), None)], &[]);
    assert_eq!(errors.len(), 1);
    assert_eq!(Ask::get("", "/ok").id(&router), Some(1));
}
