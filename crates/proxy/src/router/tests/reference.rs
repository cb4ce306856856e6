//! The router against a plain list of all routes, tried one by one.

use super::super::expression::Condition;
use super::*;
use model::regex_budget::RegexBudget;
use regex::Regex;

/// The straightforward router: every path of every route, sorted, tried one after the other.
struct Reference {
    matching: Matching,
    entries: Vec<(Arc<Route>, Option<usize>, Option<Regex>)>,
}

impl Reference {
    fn new(matching: Matching, routes: &[Arc<Route>]) -> Reference {
        let mut entries = Vec::new();
        for route in routes {
            if route.paths.is_empty() {
                entries.push((route.clone(), None, None));
            }
            for (at, path) in route.paths.iter().enumerate() {
                let regex = path.strip_prefix('~').map(|p| match matching.flavor {
                    Flavor::Traditional => Regex::new(&format!("^(?:{p})")).unwrap(),
                    _ => Regex::new(&format!("^{p}")).unwrap(),
                });
                entries.push((route.clone(), Some(at), regex));
            }
        }
        Reference { matching, entries }
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
        let (count, headers) = (kinds.iter().sum::<i64>(), route.headers.len() as i64);
        let priority = if regex { route.regex_priority } else { 0 };
        let mut order = match (self.matching.flavor, self.matching.calculation) {
            (Flavor::Traditional, _) => {
                let kinds = [count].into_iter().chain(kinds);
                kinds.chain([wild_port, plain, flag(regex), headers, priority]).collect()
            }
            (_, MatchCalculation::Strict) => vec![count, plain, headers, flag(regex), priority],
            (_, MatchCalculation::Original) if count < 4 => {
                vec![0, plain, flag(regex), count, (headers * 2) | priority.max(0), priority.min(0)]
            }
            (_, MatchCalculation::Original) => vec![1, count, (headers * 2) | priority.max(0), priority.min(0)],
        };
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
        let traditional = self.matching.flavor == Flavor::Traditional;
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
        // So many that hosts, paths and header values do not stand in the index under every combination.
        if self.roll(5) == 0 && !route.hosts.is_empty() && !route.paths.is_empty() {
            let first = self.roll(2);
            route.hosts.extend((first..first + 30).map(|n| format!("many{n}.test")));
            route.paths.extend((first..first + 30).map(|n| format!("/many/{n}")));
        }
        if self.roll(3) == 0 {
            route.methods = self.some(&["GET", "POST", "PUT"], 2);
        }
        if self.roll(3) == 0 {
            route.headers = self
                .some(&["x-a", "x-b", "x-c"], 2)
                .into_iter()
                .map(|name| (name, self.some(&["1", "2", "V", "~*^[12]$"], 2)))
                .collect();
            let many = self.roll(3) == 0;
            for (_, values) in route.headers.iter_mut().filter(|(_, values)| many && !values.is_empty()) {
                values.extend((0..300).map(|n| format!("many{n}")));
            }
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
        if self.roll(6) == 0 {
            ask.host = format!("many{}.test", self.roll(32)).into();
        }
        if self.roll(6) == 0 {
            ask.path = format!("/many/{}", self.roll(32));
        }
        ask.method = ["GET", "POST", "PATCH"][self.roll(3)];
        ask.tls = self.roll(2) == 0;
        ask.sni = [None, Some("a.test"), Some("c.test"), Some("d.com")][self.roll(4)].filter(|_| ask.tls);
        ask.search = [None, Some("q=1"), Some("q=1&q=2")][self.roll(3)];
        ask.source = ["10.1.2.3:99", "10.1.9.9:1", "10.3.0.1:1", "[2001:db8::1]:1"][self.roll(4)];
        for _ in 0..self.roll(4) {
            let (name, value) = (self.pick(&["x-a", "X-B", "x-c"]), self.pick(&["1", "2", "3", "v", "Many7"]));
            ask = ask.header(name, value);
        }
        ask
    }
}

#[test]
fn agrees_with_trying_all_routes() {
    let flavors = [Flavor::TraditionalCompatible, Flavor::Traditional, Flavor::Expressions];
    let strict = flavors.map(|flavor| Matching { flavor, calculation: MatchCalculation::Strict });
    for (seed, matching) in flavors.map(Matching::from).into_iter().chain(strict).enumerate() {
        let mut dice = Dice(seed as u64 + 11);
        for _ in 0..15 {
            let mut router = Router::new(matching);
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
                let reference = Reference::new(matching, &routes);
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
                        "{matching:?} {} {} {} {:?} {:?}\n{:#?}",
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
            assert!(empty.hosts.is_empty(), "nothing is left in the index");
            assert!(empty.is_empty());
            assert_eq!(empty.regex_size, 0);
        }
    }
}

impl Dice {
    /// A random expression over what random requests have.
    fn expression(&mut self, depth: usize) -> String {
        const TESTS: [&str; 22] = [
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
            r#"tls.sni == "c.test""#,
            r#"any(lower(http.headers.x_a)) == "v""#,
            r#"any(http.headers.x_c) == "Many7""#,
            r#"http.queries.q == "1""#,
            r#"http.path.segments.0 == "a""#,
            "net.src.ip in 10.1.0.0/16",
            "net.src.ip == 10.1.2.3",
            "net.src.ip not in 10.2.0.0/15",
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
                updated_at: 0,
                ..route(id)
            })
            .collect();
        let mut order: Vec<_> = routes
            .iter()
            .map(|r| {
                let text = r.expression.as_deref().unwrap();
                (r.priority, -r.created_at, r.id, Condition::parse(text, false, &mut RegexBudget::new()).unwrap())
            })
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
