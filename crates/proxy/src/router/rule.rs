//! A route, prepared for matching: its patterns compiled, and those criteria checked that no index answers.

use super::expression::{Condition, Findings};
use super::keys::{Key, KeyValue};
use super::literals;
use super::rank::Rank;
use super::subject::Subject;
use super::{Flavor, Matching, Query, protocol};
use model::address::Cidr;
use model::entities::{Address, Protocols, Route, Service};
use model::hostname::{self, HostnamePattern, HostnameSet};
use model::regex_budget::RegexBudget;
use regex::Regex;
use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use wire::Fields;

/// In at most so many places of the index a route stands for each value that it lists.
const MAX_COPIES: usize = 8;

/// A compiled route.
pub struct Rule {
    pub route: Arc<Route>,
    pub service: Option<Arc<Service>>,
    /// In order, without duplicates.
    pub hosts: Arc<[HostPattern]>,
    /// One without pattern when the route has no paths.
    pub paths: Vec<PathPattern>,
    pub headers: Vec<HeaderRule>,
    snis: HostnameSet,
    sources: Vec<AddressRule>,
    destinations: Vec<AddressRule>,
    /// Whether requests must come over TLS, or without; `None`: either way.
    tls: Option<bool>,
    /// In place of all the others.
    expression: Option<Condition>,
    /// Once under the list of its hosts in the index instead of once under each.
    shares_hosts: bool,
    /// Values of which a fitting request has one, by which the rule can stand in the index: a list for each way.
    pub values: Vec<Vec<KeyValue>>,
    /// How much its regular expressions take, compiled (bytes).
    pub regex_size: usize,
    /// Why the route cannot be used. The rule then fits every request that could be the route's, so that none goes to
    /// another route instead.
    pub defect: Option<String>,
}

/// A host of a route, with the port that the request must be for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern {
    pub name: HostnamePattern,
    pub port: Option<u32>,
}

/// A path of a route.
#[derive(Clone)]
pub struct PathPattern {
    pub rank: Rank,
    /// What every fitting path begins with.
    pub prefix: Box<[u8]>,
    /// What it has in it, too, as far as that is known.
    pub texts: Box<[Box<[u8]>]>,
    pub kind: PathKind,
    /// What its regular expression takes, compiled (bytes).
    regex_size: usize,
}

/// How a path is matched beyond its prefix.
#[derive(Clone)]
pub enum PathKind {
    /// The route has no paths, an expression that sees to them, or a pattern that cannot be compiled.
    Any,
    Prefix,
    Regex(Regex),
}

/// An address or network that the connection must be from or to, and its port.
struct AddressRule {
    network: Option<Cidr>,
    port: Option<u16>,
}

/// A header that must have one of some values.
pub struct HeaderRule {
    /// In lower case, with `_` for `-`: Kong does not tell them apart.
    pub name: Box<str>,
    /// In lower case, sorted.
    pub exact: Vec<Box<[u8]>>,
    regexes: Vec<Regex>,
}

impl Rule {
    /// Compiles a route; `old` is an earlier version of it, whose regexes are used again. What is wrong with it is its
    /// [`Rule::defect`]; a route that no request can match is an error.
    pub fn compile(
        matching: Matching,
        route: &Arc<Route>,
        service: Option<&Arc<Service>>,
        old: Option<&Rule>,
    ) -> Result<Rule, String> {
        if let Some(text) = &route.expression {
            let mut rule = Rule::from_expression(text, route, service);
            if matching.flavor != Flavor::Expressions {
                rule.defect.get_or_insert_with(|| "expression: needs router_flavor = expressions".into());
            }
            return Ok(rule);
        }
        let nets = !route.sources.is_empty() || !route.destinations.is_empty();
        let lists = [route.hosts.len(), route.paths.len(), route.methods.len(), route.headers.len(), route.snis.len()];
        if lists == [0; 5] && !nets {
            return Err("nothing to match: none of hosts, paths, methods, headers and snis is set".into());
        }
        let mut defects = Defects::default();
        if nets && matching.flavor != Flavor::Expressions && !route.protocols.intersects(Protocols::STREAMS) {
            defects.add("sources, destinations: need router_flavor = expressions on http routes".into());
        }
        let mut budget = RegexBudget::new();
        let headers: Vec<_> = route
            .headers
            .iter()
            .filter_map(|(name, values)| defects.or_add(HeaderRule::parse(matching.flavor, name, values, &mut budget)))
            .collect();
        let mut paths = Vec::with_capacity(route.paths.len().max(1));
        for (at, path) in route.paths.iter().enumerate() {
            let rank = Rank::new(matching, route, Some(at));
            paths.push(PathPattern::parse(matching.flavor, path, rank, &mut budget, old, &mut defects));
        }
        if paths.is_empty() {
            paths.push(PathPattern::any(Rank::new(matching, route, None), Box::default()));
        }
        let hosts: BTreeSet<_> = route.hosts.iter().map(|host| HostPattern::parse(host)).collect();
        let exact = headers.iter().filter(|header: &&HeaderRule| header.regexes.is_empty());
        let values = exact.map(|header| {
            let key = || Key::Header(header.name.clone());
            header.exact.iter().map(|value| (key(), value.clone())).collect()
        });
        let (shares_hosts, values) = placement(hosts.len(), paths.len(), values.collect());
        let snis = route.snis.iter().map(|sni| HostnamePattern::parse(hostname::without_root(sni)));
        let mut addresses = |list: &[Address]| {
            let rules: Result<Vec<_>, _> = list.iter().map(AddressRule::parse).collect();
            defects.or_add(rules).unwrap_or_default()
        };
        Ok(Rule {
            route: route.clone(),
            service: service.cloned(),
            shares_hosts,
            values,
            hosts: hosts.into_iter().collect(),
            paths,
            headers,
            snis: snis.collect(),
            sources: addresses(&route.sources),
            destinations: addresses(&route.destinations),
            tls: protocol::tls_asked(matching.flavor, route),
            expression: None,
            regex_size: budget.used(),
            defect: defects.first,
        })
    }

    fn from_expression(text: &str, route: &Arc<Route>, service: Option<&Arc<Service>>) -> Rule {
        let mut budget = RegexBudget::new();
        let condition = match Condition::parse(text, route.protocols.are_of_streams(), &mut budget) {
            Ok(condition) => condition,
            // It might be for any request.
            Err(defect) => return Rule::without_patterns(Flavor::Expressions.into(), route, service, defect),
        };
        let places = condition.places();
        // One place without host makes the route one for all hosts.
        let names: Option<BTreeSet<_>> = places.iter().map(|p| p.host.clone()).collect();
        let hosts: Arc<[_]> = names.into_iter().flatten().map(|name| HostPattern { name, port: None }).collect();
        let paths: BTreeSet<_> = places.into_iter().map(|p| (p.prefix, p.texts)).collect();
        let rank = Rank::of_expression(route);
        let pattern =
            |(prefix, texts): (_, Vec<_>)| PathPattern { texts: texts.into(), ..PathPattern::any(rank, prefix) };
        let paths: Vec<_> = paths.into_iter().map(pattern).collect();
        let (shares_hosts, values) = placement(hosts.len(), paths.len(), condition.values());
        Rule {
            route: route.clone(),
            service: service.cloned(),
            shares_hosts,
            values,
            hosts,
            paths,
            headers: Vec::new(),
            snis: HostnameSet::default(),
            sources: Vec::new(),
            destinations: Vec::new(),
            tls: protocol::tls_asked(Flavor::Expressions, route),
            expression: Some(condition),
            regex_size: budget.used(),
            defect: None,
        }
    }

    /// What stands for a route of which nothing can be compiled: it goes by the plain text of its record.
    pub fn without_patterns(
        matching: Matching,
        route: &Arc<Route>,
        service: Option<&Arc<Service>>,
        defect: String,
    ) -> Rule {
        let plain = |(at, path): (usize, &String)| {
            let prefix = path.strip_prefix('~').map_or(&**path, plain_prefix);
            PathPattern::any(Rank::new(matching, route, Some(at)), prefix.as_bytes().into())
        };
        let mut paths: Vec<_> = route.paths.iter().enumerate().map(plain).collect();
        if paths.is_empty() {
            let by_expression = route.expression.is_some();
            let rank = if by_expression { Rank::of_expression(route) } else { Rank::new(matching, route, None) };
            paths.push(PathPattern::any(rank, Box::default()));
        }
        let hosts: BTreeSet<_> = route.hosts.iter().map(|host| HostPattern::parse(host)).collect();
        Rule {
            route: route.clone(),
            service: service.cloned(),
            shares_hosts: placement(hosts.len(), paths.len(), Vec::new()).0,
            values: Vec::new(),
            hosts: hosts.into_iter().collect(),
            paths,
            headers: Vec::new(),
            snis: HostnameSet::default(),
            sources: Vec::new(),
            destinations: Vec::new(),
            tls: protocol::tls_asked(matching.flavor, route),
            expression: None,
            regex_size: 0,
            defect: Some(defect),
        }
    }

    /// Whether anything can match at all.
    pub fn is_active(route: &Route, service: Option<&Arc<Service>>) -> bool {
        route.protocols.intersects(Protocols::ALL) && service.is_none_or(|s| s.enabled)
    }

    /// Whether it is for connections instead of requests.
    pub fn is_for_streams(&self) -> bool {
        self.route.protocols.intersects(Protocols::STREAMS)
    }

    /// Whether it is for requests. One of which that cannot be told is for both.
    pub fn is_for_requests(&self) -> bool {
        self.route.protocols.intersects(Protocols::REQUESTS)
    }

    /// The same rule without its regular expressions, for a router that has no room for them.
    pub fn without_regexes(mut self, defect: String) -> Rule {
        for path in self.paths.iter_mut().filter(|path| matches!(path.kind, PathKind::Regex(_))) {
            path.kind = PathKind::Any;
        }
        self.headers.retain(|header| header.regexes.is_empty());
        self.expression = None;
        self.regex_size = 0;
        self.defect = Some(defect);
        self
    }

    /// Whether it stands under the list of its hosts.
    pub fn shares_hosts(&self) -> bool {
        self.shares_hosts
    }

    /// What one of its hosts adds to its rank.
    pub fn host_specificity(&self, host: &HostPattern) -> u32 {
        if self.route.expression.is_some() { 0 } else { host.specificity() }
    }

    /// Whether everything but host and path fits.
    pub fn fits(&self, query: &Query<'_>) -> bool {
        if query.stream.is_none() && self.tls.is_some_and(|tls| tls != query.tls) {
            return false;
        }
        if let Some(condition) = &self.expression {
            return condition.holds(query, &mut None);
        }
        let methods = &self.route.methods;
        (methods.is_empty() || methods.iter().any(|m| m == query.method))
            && (self.snis.is_empty()
                || !query.tls
                || query.sni.is_some_and(|sni| self.snis.contains(hostname::without_root(sni))))
            && self.headers.iter().all(|h| h.fits(query.fields))
            && (self.sources.is_empty() || self.sources.iter().any(|a| a.fits(query.source)))
            && (self.destinations.is_empty() || {
                let destination = query.destination.map(|ip| SocketAddr::new(ip, query.port));
                self.destinations.iter().any(|a| a.fits(destination))
            })
    }

    /// What an expression found in a request that it fits; `None`: the route has no expression.
    pub fn findings(&self, query: &Query<'_>) -> Option<Findings<'_>> {
        let mut findings = Findings::default();
        self.expression.as_ref()?.holds(query, &mut Some(&mut findings));
        Some(findings)
    }
}

/// How a rule stands in the index, never under the product of all that it lists: whether under the list of its hosts,
/// and those of the values by which it can be found.
fn placement(hosts: usize, paths: usize, mut values: Vec<Vec<KeyValue>>) -> (bool, Vec<Vec<KeyValue>>) {
    let shares_hosts = hosts * paths > MAX_COPIES * (hosts + paths);
    let places = if shares_hosts { paths } else { hosts.max(1) * paths };
    values.retain(|list| places * list.len() <= MAX_COPIES * (hosts + paths + list.len()));
    (shares_hosts, values)
}

/// What is wrong with a route; the first of it is told.
#[derive(Default)]
struct Defects {
    first: Option<String>,
}

impl Defects {
    fn add(&mut self, defect: String) {
        self.first.get_or_insert(defect);
    }

    fn or_add<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|defect| self.add(defect)).ok()
    }
}

impl AddressRule {
    fn parse(address: &Address) -> Result<AddressRule, String> {
        let network = match &address.ip {
            None => None,
            Some(text) => Some(
                Cidr::parse(text).ok_or_else(|| format!("sources, destinations: '{text}' is no address or network"))?,
            ),
        };
        Ok(AddressRule { network, port: address.port })
    }

    fn fits(&self, address: Option<SocketAddr>) -> bool {
        address.is_some_and(|a| {
            self.port.is_none_or(|port| port == a.port())
                && self.network.is_none_or(|network| network.contains(a.ip().to_canonical()))
        })
    }
}

impl HostPattern {
    fn parse(text: &str) -> HostPattern {
        // Requests have brackets around it (RFC 3986, section 3.2.2).
        if text.parse::<Ipv6Addr>().is_ok() {
            return HostPattern { name: HostnamePattern::parse(&format!("[{text}]")), port: None };
        }
        let (name, port) = hostname::split_port(text.as_bytes());
        HostPattern { name: HostnamePattern::parse(&text[..name.len()]), port }
    }

    /// An exact name before a wildcard, the longer before the shorter, with a port before without.
    fn specificity(&self) -> u32 {
        let (exact, len) = match &self.name {
            HostnamePattern::Exact(name) => (1, name.len()),
            HostnamePattern::Suffix(part) | HostnamePattern::Prefix(part) => (0, part.len()),
        };
        1 + (exact << 24 | (len.min(0xffff) as u32) << 1 | self.port.is_some() as u32)
    }
}

impl PathPattern {
    fn any(rank: Rank, prefix: Box<[u8]>) -> PathPattern {
        PathPattern { rank, prefix, texts: Box::default(), kind: PathKind::Any, regex_size: 0 }
    }

    fn parse(
        flavor: Flavor,
        path: &str,
        rank: Rank,
        budget: &mut RegexBudget,
        old: Option<&Rule>,
        defects: &mut Defects,
    ) -> PathPattern {
        let Some(pattern) = path.strip_prefix('~') else {
            return PathPattern { kind: PathKind::Prefix, ..PathPattern::any(rank, path.as_bytes().into()) };
        };
        // Kong's expression router anchors the first alternative only; its traditional one anchors all.
        let pattern = if flavor == Flavor::Traditional { format!("^(?:{pattern})") } else { format!("^{pattern}") };
        let compiled = old.into_iter().flat_map(|rule| &rule.paths).find(|path| match &path.kind {
            PathKind::Regex(regex) => regex.as_str() == pattern,
            _ => false,
        });
        if let Some(compiled) = compiled {
            budget.take(compiled.regex_size);
            return PathPattern { rank, ..compiled.clone() };
        }
        let used = budget.used();
        match budget.compile(&pattern, false) {
            Ok(regex) => {
                let (prefix, texts) = literals::of_regex(&pattern);
                let regex_size = budget.used() - used;
                PathPattern { rank, prefix, texts: texts.into(), kind: PathKind::Regex(regex), regex_size }
            }
            Err(error) => {
                defects.add(format!("paths: '{path}': {error}"));
                PathPattern::any(rank, plain_prefix(&path[1..]).as_bytes().into())
            }
        }
    }
}

impl HeaderRule {
    fn parse(flavor: Flavor, name: &str, values: &[String], budget: &mut RegexBudget) -> Result<HeaderRule, String> {
        let (mut exact, mut regexes) = (Vec::new(), Vec::new());
        for value in values {
            match value.strip_prefix("~*") {
                None => exact.push(value.to_ascii_lowercase().into_bytes().into()),
                Some(pattern) => {
                    regexes.push(budget.compile(pattern, true).map_err(|e| format!("headers: '{name}': {e}"))?)
                }
            }
        }
        exact.sort_unstable();
        exact.dedup();
        let name = match flavor {
            Flavor::Traditional => name.to_ascii_lowercase().into(),
            _ => header_name(name),
        };
        Ok(HeaderRule { name, exact, regexes })
    }

    fn fits(&self, fields: &Fields) -> bool {
        values_of(&self.name, fields).any(|value| {
            let lower = || value.iter().map(u8::to_ascii_lowercase);
            self.exact.binary_search_by(|exact| exact.iter().copied().cmp(lower())).is_ok()
                || (!self.regexes.is_empty() && {
                    let subject = Subject::from_octets(value);
                    self.regexes.iter().any(|regex| regex.is_match(subject.text()))
                })
        })
    }
}

/// The values that a request has for a header, by a rule's spelling of its name. As in Kong, lines with that very name
/// come first; only where there are none, those with `-` for each `_` of it count.
pub fn values_of<'a>(name: &'a str, fields: &'a Fields) -> impl Iterator<Item = &'a [u8]> {
    let as_it_is = name.contains('_') && fields.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name));
    let is_meant = move |sent: &str| if as_it_is { sent.eq_ignore_ascii_case(name) } else { has_dashes(sent, name) };
    fields.iter().filter(move |(sent, _)| is_meant(sent)).map(|(_, value)| value)
}

/// The name of a header as expressions have it: in lower case, with `_` for `-`.
pub fn header_name(name: &str) -> Box<str> {
    name.to_ascii_lowercase().replace('-', "_").into()
}

/// Whether a name that was sent is that of a rule, with `-` for each `_` of it.
fn has_dashes(sent: &str, wanted: &str) -> bool {
    let expected = |w: u8| if w == b'_' { b'-' } else { w };
    sent.len() == wanted.len() && sent.bytes().zip(wanted.bytes()).all(|(s, w)| s.to_ascii_lowercase() == expected(w))
}

/// What a pattern begins with that has no meaning in any dialect of regular expressions.
fn plain_prefix(pattern: &str) -> &str {
    if pattern.contains('|') {
        return "";
    }
    let plain = |c: char| c.is_alphanumeric() || "/_-".contains(c);
    let end = pattern.find(|c| !plain(c)).unwrap_or(pattern.len());
    let prefix = &pattern[..end];
    // What follows may be a quantifier of the last character.
    match (prefix.char_indices().next_back(), pattern[end..].starts_with(['?', '*', '{'])) {
        (Some((last, _)), true) => &prefix[..last],
        _ => prefix,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_headers_are_found_as_they_are_or_with_dashes() {
        let found = |name: &str, lines: &[(&str, &str)]| {
            let fields: Fields = lines.iter().copied().collect();
            values_of(name, &fields).map(|value| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>()
        };
        let all = [("X-B-C", "1"), ("x_b_c", "2"), ("X_B-C", "3"), ("X-B-c", "4"), ("X_B_C", "5")];
        assert_eq!(found("x_b_c", &all), ["2", "5"]);
        assert_eq!(found("x_b_c", &all[..1]), ["1"]);
        assert_eq!(found("x_b_c", &all[2..4]), ["4"]);
        assert_eq!(found("x_b_c", &all[2..3]), [""; 0]);
        assert_eq!(found("x-b-c", &all), ["1", "4"]);
    }

    #[test]
    fn what_a_broken_pattern_begins_with() {
        for (pattern, prefix) in [
            ("/a/b(?=c)", "/a/b"),
            ("/a/bc*(", "/a/b"),
            ("/a/bc{2}(", "/a/b"),
            ("/a/é?(", "/a/"),
            ("/a(b|/c", ""),
            ("(?i)/a(", ""),
            ("/a b(", "/a"),
        ] {
            assert_eq!(plain_prefix(pattern), prefix, "{pattern}");
        }
    }
}
