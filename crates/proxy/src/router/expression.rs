//! Routes that say in an `expression` what they match: the conditions, compiled, and what an index can know of them.

use super::Query;
use super::keys::{self, Key, KeyValue, Network};
use super::literals;
use super::rule;
use super::segments::{segment_range, segments};
use super::subject::Subject;
use model::address::Cidr;
use model::entities::Uuid;
use model::expression::{Expression, Literal, Operator, Predicate};
use model::hostname::{self, HostnamePattern};
use model::regex_budget::RegexBudget;
use regex::Regex;
use sdk::{Args, Exchange};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::IpAddr;

/// A compiled expression.
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Test(Test),
}

/// A comparison of a field with a constant.
pub struct Test {
    field: Field,
    lower: bool,
    /// One of several values is enough; else all must fit.
    any: bool,
    check: Check,
}

/// What the tests that held say about the path and its groups.
#[derive(Default)]
pub struct Findings<'r> {
    /// How long the text was that the last test of the path found: it is cut off by `strip_path`.
    pub matched_path: Option<usize>,
    /// Regexes that matched, with what they matched.
    pub regexes: Vec<(&'r Regex, Subject<'static>)>,
}

/// Where alone a request can be for an expression to hold: with such a host (`None`: any), and a path that begins so
/// and has these texts in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub host: Option<HostnamePattern>,
    pub prefix: Box<[u8]>,
    pub texts: Vec<Box<[u8]>>,
}

enum Field {
    Protocol,
    Sni,
    Method,
    Host,
    Path,
    /// The segments from and to these positions, joined by slashes; the second only when there are several.
    Segments(usize, Option<usize>),
    SegmentCount,
    Header(Box<str>),
    Query(Box<str>),
    SourceIp,
    SourcePort,
    DestinationIp,
    DestinationPort,
    Exchange(ExchangeField),
}

/// What is known of a request that has been routed.
#[derive(Clone, Copy)]
enum ExchangeField {
    ConsumerId,
    ConsumerUsername,
    ConsumerCustomId,
    RouteId,
    RouteName,
    ServiceId,
    ServiceName,
}

enum Check {
    Text(TextOperator, Box<str>),
    Regex(Regex),
    Integer(Operator, i64),
    Ip { is: bool, ip: IpAddr },
    Network { inside: bool, network: Cidr },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TextOperator {
    Equals,
    NotEquals,
    Prefix,
    Postfix,
    Contains,
}

/// In more places a route is not listed; it is tried for all requests then.
const MAX_PLACES: usize = 64;

impl Condition {
    /// Compiles the text of an expression; `stream`: for connections instead of requests.
    pub fn parse(text: &str, stream: bool, budget: &mut RegexBudget) -> Result<Condition, String> {
        Condition::compile(&Expression::parse(text, stream)?, budget)
    }

    /// Compiles the text of a plugin's condition.
    pub fn of_plugin(text: &str) -> Result<Condition, String> {
        Condition::compile(&Expression::parse_condition(text)?, &mut RegexBudget::new())
    }

    /// Compiles an expression. Chains of one operator become one list, so that depth is that of the parentheses.
    pub fn compile(tree: &Expression, budget: &mut RegexBudget) -> Result<Condition, String> {
        match tree {
            Expression::And(..) => chain(tree, true, budget).map(Condition::All),
            Expression::Or(..) => chain(tree, false, budget).map(Condition::Any),
            Expression::Not(inner) => Ok(Condition::Not(Box::new(Condition::compile(inner, budget)?))),
            Expression::Predicate(predicate) => Test::compile(predicate, budget).map(Condition::Test),
        }
    }

    /// Whether the condition holds; what it found on the way goes to `findings`.
    pub fn holds<'r>(&'r self, query: &Query<'_>, findings: &mut Option<&mut Findings<'r>>) -> bool {
        match self {
            Condition::All(list) => list.iter().all(|c| c.holds(query, findings)),
            Condition::Any(list) => list.iter().any(|c| c.holds(query, findings)),
            Condition::Not(inner) => !inner.holds(query, findings),
            Condition::Test(test) => test.holds(query, findings),
        }
    }

    /// Where a request must be for the condition to hold.
    pub fn places(&self) -> Vec<Place> {
        match self {
            Condition::All(list) => list.iter().fold(Condition::anywhere(), |so_far, condition| {
                let places = condition.places();
                if so_far.len() * places.len() > MAX_PLACES {
                    return so_far;
                }
                places.iter().flat_map(|b| so_far.iter().map(move |a| a.and(b))).collect()
            }),
            Condition::Any(list) => {
                let mut places: Vec<Place> = Vec::new();
                for place in list.iter().flat_map(Condition::places) {
                    if !places.contains(&place) {
                        places.push(place);
                    }
                    if places.len() > MAX_PLACES {
                        return Condition::anywhere();
                    }
                }
                places
            }
            Condition::Not(_) => Condition::anywhere(),
            Condition::Test(test) => vec![test.place()],
        }
    }

    /// Values of which a request must have one for the condition to hold; a list for each way to say so.
    pub fn values(&self) -> Vec<Vec<KeyValue>> {
        match self {
            Condition::All(list) => list.iter().flat_map(Condition::values).take(literals::MOST).collect(),
            Condition::Any(list) => {
                let mut all = Vec::new();
                for condition in list {
                    let Some(values) = condition.values().into_iter().min_by_key(Vec::len) else { return Vec::new() };
                    all.extend(values);
                    if all.len() > keys::MOST {
                        return Vec::new();
                    }
                }
                all.sort_unstable();
                all.dedup();
                vec![all]
            }
            Condition::Not(_) => Vec::new(),
            Condition::Test(test) => test.value().map(|value| vec![value]).into_iter().collect(),
        }
    }

    /// The place where all requests are.
    fn anywhere() -> Vec<Place> {
        vec![Place::default()]
    }
}

impl Test {
    fn compile(predicate: &Predicate, budget: &mut RegexBudget) -> Result<Test, String> {
        let Predicate { field, lower, any, operator, value } = predicate;
        let field = Field::parse(field)?;
        // Names of hosts compare without regard to case, whatever the expression says.
        let no_case = matches!(field, Field::Host | Field::Sni);
        let check = match (value, operator) {
            (Literal::Text(pattern), Operator::Regex) => {
                let regex = budget.compile(pattern, no_case);
                Check::Regex(regex.map_err(|e| format!("expression: '{pattern}': {e}"))?)
            }
            (Literal::Text(text), operator) => {
                let operator = match operator {
                    Operator::NotEquals => TextOperator::NotEquals,
                    Operator::Prefix => TextOperator::Prefix,
                    Operator::Postfix => TextOperator::Postfix,
                    Operator::Contains => TextOperator::Contains,
                    _ => TextOperator::Equals,
                };
                Check::Text(operator, if no_case { text.to_lowercase() } else { text.clone() }.into())
            }
            (Literal::Integer(n), operator) => Check::Integer(*operator, *n),
            (Literal::Ip(ip), operator) => Check::Ip { is: *operator != Operator::NotEquals, ip: *ip },
            (Literal::Cidr(network), operator) => {
                Check::Network { inside: *operator != Operator::NotIn, network: *network }
            }
        };
        Ok(Test { field, lower: *lower || no_case, any: *any, check })
    }

    fn holds<'r>(&'r self, query: &Query<'_>, findings: &mut Option<&mut Findings<'r>>) -> bool {
        match &self.check {
            Check::Integer(operator, wanted) => self.field.integer(query).is_some_and(|n| match operator {
                Operator::NotEquals => n != *wanted,
                Operator::Greater => n > *wanted,
                Operator::GreaterOrEqual => n >= *wanted,
                Operator::Less => n < *wanted,
                Operator::LessOrEqual => n <= *wanted,
                _ => n == *wanted,
            }),
            Check::Ip { is, ip } => self.field.ip(query).is_some_and(|found| (found == *ip) == *is),
            Check::Network { inside, network } => {
                self.field.ip(query).is_some_and(|found| network.contains(found) == *inside)
            }
            Check::Text(..) | Check::Regex(_) => {
                let values = self.field.texts(query);
                let mut fits = |value: &Subject<'_>| self.text_fits(value, findings);
                !values.is_empty() && if self.any { values.iter().any(&mut fits) } else { values.iter().all(fits) }
            }
        }
    }

    fn text_fits<'r>(&'r self, value: &Subject<'_>, findings: &mut Option<&mut Findings<'r>>) -> bool {
        let lowered = self.lower.then(|| value.to_lowercase());
        let value = lowered.as_ref().unwrap_or(value);
        let (fits, matched) = match &self.check {
            Check::Text(operator, wanted) => {
                let (octets, wanted) = (value.octets(), wanted.as_bytes());
                match operator {
                    TextOperator::Equals => (*octets == *wanted, Some(wanted.len())),
                    TextOperator::NotEquals => (*octets != *wanted, None),
                    TextOperator::Prefix => (octets.starts_with(wanted), Some(wanted.len())),
                    // As Kong: so much is cut off at the start.
                    TextOperator::Postfix => (octets.ends_with(wanted), Some(wanted.len())),
                    TextOperator::Contains => (memchr::memmem::find(&octets, wanted).is_some(), None),
                }
            }
            Check::Regex(regex) => match regex.find(value.text()) {
                Some(found) => (true, Some(found.len())),
                None => (false, None),
            },
            Check::Integer(..) | Check::Ip { .. } | Check::Network { .. } => (false, None),
        };
        if let Some(findings) = findings.as_deref_mut().filter(|_| fits) {
            if matches!(self.field, Field::Path) {
                findings.matched_path = matched.or(findings.matched_path);
            }
            if let Check::Regex(regex) = &self.check {
                findings.regexes.push((regex, value.to_owned()));
            }
        }
        fits
    }

    fn place(&self) -> Place {
        let mut place = Place::default();
        match (&self.field, &self.check) {
            (Field::Host, Check::Text(TextOperator::Equals, host)) => {
                place.host = Some(HostnamePattern::Exact(host.clone()));
            }
            (Field::Host, Check::Text(TextOperator::Postfix, end)) => {
                place.host = Some(HostnamePattern::Suffix(end.clone()));
            }
            (Field::Host, Check::Text(TextOperator::Prefix, start)) => {
                place.host = Some(HostnamePattern::Prefix(start.clone()));
            }
            (Field::Path, Check::Text(TextOperator::Equals | TextOperator::Prefix, text)) if !self.lower => {
                place.prefix = text.as_bytes().into();
            }
            (Field::Path, Check::Text(TextOperator::Postfix | TextOperator::Contains, text)) if !self.lower => {
                place.texts.extend(literals::is_telling(text.as_bytes()).then(|| text.as_bytes().into()));
            }
            (Field::Path, Check::Regex(regex)) if !self.lower => {
                (place.prefix, place.texts) = literals::of_regex(regex.as_str());
            }
            _ => {}
        }
        place
    }
}

impl Test {
    /// The value that a request must have.
    fn value(&self) -> Option<KeyValue> {
        let network = match self.check {
            Check::Ip { is: true, ip } => Some(Network::of_address(ip)),
            Check::Network { inside: true, network } => Some(Network::of(network)),
            _ => None,
        };
        let key = match (&self.field, network) {
            (Field::SourceIp, Some((network, value))) => return Some((Key::Source(network), value)),
            (Field::DestinationIp, Some((network, value))) => return Some((Key::Destination(network), value)),
            (Field::Header(name), None) => Key::Header(name.clone()),
            (Field::Query(name), None) => Key::Query(name.clone()),
            (Field::Segments(from, to), None) => Key::Segments(*from, *to),
            (Field::Sni, None) => Key::Sni,
            _ => return None,
        };
        let Check::Text(TextOperator::Equals, text) = &self.check else { return None };
        let value = key.of_text(text);
        Some((key, value))
    }
}

impl Place {
    /// A place that holds all requests that are in both.
    fn and(&self, other: &Place) -> Place {
        let prefix = if self.prefix.len() >= other.prefix.len() { &self.prefix } else { &other.prefix };
        let texts = self.texts.iter().chain(&other.texts).take(literals::MOST).cloned();
        let is_exact = |host: &Option<HostnamePattern>| matches!(host, Some(HostnamePattern::Exact(_)));
        let host = if is_exact(&other.host) && !is_exact(&self.host) {
            &other.host
        } else if self.host.is_some() {
            &self.host
        } else {
            &other.host
        };
        Place { host: host.clone(), prefix: prefix.clone(), texts: texts.collect() }
    }
}

impl Field {
    fn parse(name: &str) -> Result<Field, String> {
        Ok(match name {
            "net.protocol" => Field::Protocol,
            "tls.sni" => Field::Sni,
            "http.method" => Field::Method,
            "http.host" => Field::Host,
            "http.path" => Field::Path,
            "http.path.segments.len" => Field::SegmentCount,
            "net.src.ip" => Field::SourceIp,
            "net.src.port" => Field::SourcePort,
            "net.dst.ip" => Field::DestinationIp,
            "net.dst.port" | "net.port" => Field::DestinationPort,
            "consumer.id" => Field::Exchange(ExchangeField::ConsumerId),
            "consumer.username" => Field::Exchange(ExchangeField::ConsumerUsername),
            "consumer.custom_id" => Field::Exchange(ExchangeField::ConsumerCustomId),
            "route.id" => Field::Exchange(ExchangeField::RouteId),
            "route.name" => Field::Exchange(ExchangeField::RouteName),
            "service.id" => Field::Exchange(ExchangeField::ServiceId),
            "service.name" => Field::Exchange(ExchangeField::ServiceName),
            _ => {
                let segments = |range: &str| match range.split_once('_') {
                    Some((from, to)) => Some(Field::Segments(from.parse().ok()?, Some(to.parse().ok()?))),
                    None => Some(Field::Segments(range.parse().ok()?, None)),
                };
                let field = if let Some(name) = name.strip_prefix("http.headers.") {
                    Some(Field::Header(rule::header_name(name)))
                } else if let Some(name) = name.strip_prefix("http.queries.") {
                    Some(Field::Query(name.into()))
                } else {
                    name.strip_prefix("http.path.segments.").and_then(segments)
                };
                field.ok_or_else(|| format!("expression: unknown field '{name}'"))?
            }
        })
    }

    fn integer(&self, query: &Query<'_>) -> Option<i64> {
        match self {
            Field::SegmentCount => Some(segments(query.path).count() as i64),
            Field::SourcePort => query.source.map(|s| s.port().into()),
            Field::DestinationPort => Some(hostname::split_port(query.host).1.map_or(query.port.into(), i64::from)),
            _ => None,
        }
    }

    fn ip(&self, query: &Query<'_>) -> Option<IpAddr> {
        match self {
            Field::SourceIp => query.source.map(|s| s.ip().to_canonical()),
            Field::DestinationIp => query.destination.map(|ip| ip.to_canonical()),
            _ => None,
        }
    }

    fn texts<'a>(&'a self, query: &'a Query<'_>) -> SmallVec<[Subject<'a>; 2]> {
        let one = |text: Option<&'a str>| text.map(Subject::from_text).into_iter().collect();
        match self {
            Field::Protocol => one(Some(match query.stream {
                Some(protocol) => protocol.as_str(),
                None if query.tls => "https",
                None => "http",
            })),
            Field::Sni => one(query.sni),
            Field::Method => one(Some(query.method)),
            Field::Host => {
                let host = hostname::split_port(query.host).0;
                if host.is_empty() { SmallVec::new() } else { [Subject::from_octets(host)].into_iter().collect() }
            }
            Field::Path => [Subject::of_path(query.path)].into_iter().collect(),
            Field::Segments(from, to) => {
                segment_range(query.path, *from, *to).map(Subject::of_path).into_iter().collect()
            }
            Field::Header(name) => rule::values_of(name, query.fields).map(Subject::from_octets).collect(),
            Field::Query(name) => {
                let values = Args::find(query.query.unwrap_or_default(), &**name);
                values.map(|value| Subject::from_octets(value.unwrap_or(Cow::Borrowed(b"")))).collect()
            }
            Field::Exchange(field) => query.exchange.and_then(|exchange| field.of(exchange)).into_iter().collect(),
            _ => SmallVec::new(),
        }
    }
}

impl ExchangeField {
    fn of(self, exchange: &Exchange) -> Option<Subject<'_>> {
        let id = |id: Uuid| Subject::from_octets(id.to_string().into_bytes());
        let (consumer, route, service) = (&exchange.consumer, &exchange.route, &exchange.service);
        match self {
            ExchangeField::ConsumerId => {
                let shown = exchange.shown_id(&consumer.as_ref()?.id);
                Some(Subject::from_octets(shown.into_bytes()))
            }
            ExchangeField::ConsumerUsername => consumer.as_ref()?.username.as_deref().map(Subject::from_text),
            ExchangeField::ConsumerCustomId => consumer.as_ref()?.custom_id.as_deref().map(Subject::from_text),
            ExchangeField::RouteId => Some(id(route.as_ref()?.id)),
            ExchangeField::RouteName => route.as_ref()?.name.as_deref().map(Subject::from_text),
            ExchangeField::ServiceId => Some(id(service.as_ref()?.id)),
            ExchangeField::ServiceName => service.as_ref()?.name.as_deref().map(Subject::from_text),
        }
    }
}

/// The conditions of a chain like `a && b && c`, in order.
fn chain(tree: &Expression, and: bool, budget: &mut RegexBudget) -> Result<Vec<Condition>, String> {
    let (mut list, mut rest) = (Vec::new(), tree);
    loop {
        match rest {
            Expression::And(left, right) if and => {
                list.push(Condition::compile(right, budget)?);
                rest = left;
            }
            Expression::Or(left, right) if !and => {
                list.push(Condition::compile(right, budget)?);
                rest = left;
            }
            first => {
                list.push(Condition::compile(first, budget)?);
                list.reverse();
                return Ok(list);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::tests::{Ask, route};
    use crate::router::{Flavor, Router};
    use model::entities::Route;
    use std::sync::Arc;

    fn parse(text: &str) -> Condition {
        Condition::parse(text, false, &mut RegexBudget::new()).unwrap()
    }

    fn holds(text: &str, ask: &Ask) -> bool {
        parse(text).holds(&ask.query(), &mut None)
    }

    #[test]
    fn fields_and_operators() {
        let mut ask = Ask::get("A.Test:81", "/a/b/c/").header("X-A", "One").header("x-a", "two");
        ask.search = Some("q=1&q=%32+&flag&k%65y=v");
        for (text, expected) in [
            (r#"net.protocol == "http" && http.method == "GET" && http.host == "a.test""#, true),
            (r#"http.host != "a.TEST" || tls.sni != "x""#, false),
            (r#"http.host ~ "^A\\.T""#, true),
            ("net.dst.port == 81 && net.port > 80 && net.dst.port <= 81", true),
            (
                "net.src.ip in 10.0.0.0/8 && net.src.ip == 10.1.2.3 && net.src.port == 99 && net.src.ip not in \
                    10.2.0.0/16",
                true,
            ),
            ("net.dst.ip in 10.0.0.0/8", false),
            (r#"http.headers.x_a == "One""#, false),
            (
                "any(http.headers.x_a) == \"One\" && any(lower(http.headers.x_a)) == \"one\" && \
                 http.headers.x_a != \"three\"",
                true,
            ),
            (r#"http.headers.x_b != "1""#, false),
            (r#"http.queries.q == "1""#, false),
            (r#"any(http.queries.q) == "2 " && http.queries.flag == "" && http.queries.key == "v""#, true),
            (r#"http.path.segments.0 == "a" && http.path.segments.1_2 == "b/c" && http.path.segments.len == 3"#, true),
            (r#"http.path.segments.3 == "" || http.path.segments.1_3 ^= "b""#, false),
            (r#"http.path =^ "/c/" && http.path contains "/b/" && !(http.path == "/")"#, true),
            (r#"lower(http.path) ~ "^/a" || http.path == "x""#, true),
        ] {
            assert_eq!(holds(text, &ask), expected, "{text}");
        }
        assert_eq!(segments("/").count(), 0);
        assert_eq!(segments("/a//b//").count(), 3);
    }

    #[test]
    fn long_chains_are_flat() {
        let text = vec!["net.dst.port == 1"; 2000].join(" || ");
        assert!(!holds(&text, &Ask::get("", "/")));
        assert_eq!(parse(&text).places().len(), 1);
    }

    #[test]
    fn places_follow_from_what_must_hold() {
        let places = |text: &str| {
            let places = parse(text).places();
            places
                .iter()
                .map(|place| {
                    let host = match &place.host {
                        None => "*".to_owned(),
                        Some(HostnamePattern::Exact(name)) => name.to_string(),
                        Some(HostnamePattern::Suffix(end)) => format!("*{end}"),
                        Some(HostnamePattern::Prefix(start)) => format!("{start}*"),
                    };
                    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
                    let texts = place.texts.iter().map(|octets| format!(" {}", text(octets)));
                    host + &text(&place.prefix) + &texts.collect::<String>()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(places(r#"http.host == "A" && (http.path ^= "/x" || http.path ~ "^/y/[0-9]")"#), ["a/x", "a/y/"]);
        assert_eq!(places(r#"http.path ^= "/x" && !(http.host == "a") && http.path == "/xyz""#), ["*/xyz"]);
        assert_eq!(places(r#"lower(http.path) == "/x" || http.host =^ ".a""#), ["*", "*.a"]);
        assert_eq!(places(r#"http.host =^ ".A" && http.path =^ "/end" && http.path ^= "/x""#), ["*.a/x /end"]);
        assert_eq!(places(r#"http.host ^= "a." && http.host == "a.b" && http.path contains "mid""#), ["a.b mid"]);
        assert_eq!(places(r#"http.path ~ "^/x/[0-9]+/y7$""#), ["*/x/ /y7"]);
    }

    #[test]
    fn routes_by_expression_go_before_others_and_by_priority() {
        let by = |id, expression: &str, priority| Route { expression: Some(expression.into()), priority, ..route(id) };
        let routes = [
            by(1, r#"http.path ^= "/""#, 1),
            by(2, r#"http.path ^= "/a""#, 100),
            by(3, r#"http.path ^= "/a/b" && http.host == "h""#, 50),
            by(4, r#"http.path ~ "^/re/(?<n>[0-9]+)" && http.headers.x ~ "(a)""#, 200),
            by(5, r#"http.path contains "needle""#, 300),
            Route { paths: vec!["/a".into()], hosts: vec!["h".into()], ..route(6) },
            Route {
                methods: vec!["PATCH".into()],
                sources: vec![model::entities::Address { ip: Some("10.0.0.0/8".into()), port: None }],
                ..route(7)
            },
        ];
        let put: Vec<_> = routes.into_iter().map(|r| (Arc::new(r), None)).collect();
        let (router, errors) = Router::new(Flavor::Expressions).apply(&put, &[]);
        assert_eq!(errors, []);
        let found = |ask: Ask| router.find(&ask.query()).map(|m| (m.route().id.as_u128(), m.matched_path, m.captures));
        assert_eq!(found(Ask::get("h", "/a/b")), Some((2, Some(2), vec![])));
        assert_eq!(found(Ask::get("h", "/z")), Some((1, Some(1), vec![])));
        assert_eq!(found(Ask::get("h", "/a/needle")), Some((5, None, vec![])));
        let groups = [("0", "a"), ("1", "a"), ("n", "7")].map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()));
        assert_eq!(found(Ask::get("h", "/re/7/x").header("X", "bab")), Some((4, Some(5), groups.to_vec())));
        let gone: Vec<_> = (1..=6).map(model::entities::Uuid::from_u128).collect();
        let (router, _) = router.apply(&[], &gone);
        let mut ask = Ask::get("", "/");
        ask.method = "PATCH";
        assert_eq!(ask.id(&router), Some(7));
        ask.source = "11.1.1.1:1";
        assert_eq!(ask.id(&router), None);
        assert_eq!(router.len(), 1);
    }
}
