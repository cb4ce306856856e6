//! Finding the route of a request.
//!
//! A [`Router`] is immutable; a change makes a new one that shares what did not change, so that one write costs
//! what it touches and not what exists.
//!
//! Routes are looked up by host (exact names in a hash map, wildcards in radix trees from either end), under each host
//! by path (a radix tree, in which a regex stands under the literal text it begins with), there by a text that a path
//! has in it or by the value of a header, a server name or an address ([`keys`]), and last in order of rank. What is
//! found is what trying all routes one by one in order of rank would find. Memory is in proportion to what routes list:
//! where their hosts, paths and header values would multiply, they share a place ([`hosts`], [`rule`]). Routes of
//! streams have an index of their own ([`streams`]).

mod candidates;
mod expression;
mod hosts;
mod keys;
mod literals;
mod protocol;
mod radix;
mod rank;
mod rule;
mod segments;
mod streams;
mod subject;
#[cfg(test)]
mod tests;

use crate::{panic, path};
use candidates::{Best, Candidate};
pub use expression::Condition;
use foldhash::fast::RandomState;
use hosts::HostIndex;
use model::entities::{PathHandling, Protocol, Route, Service, Uuid};
pub use protocol::Mismatch;
use rank::Rank;
use rpds::HashTrieMapSync;
use rule::PathKind;
pub use rule::Rule;
use sdk::Exchange;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use streams::StreamIndex;
use subject::Subject;
use wire::Fields;

/// Which of Kong's matching rules apply (`router_flavor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Flavor {
    #[default]
    TraditionalCompatible,
    Traditional,
    Expressions,
}

/// How routes without expressions are ranked among each other, in flavours other than `traditional`
/// (`route_match_calculation`, which Kong has since 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MatchCalculation {
    /// As Kong has always reckoned: the number of kinds of criteria in 32 bits, so that one to three of them count less
    /// than hosts without wildcards and than a regular expression as the path.
    #[default]
    Original,
    /// As Kong's documentation says: more kinds of criteria first.
    Strict,
}

/// The rules by which routes are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Matching {
    pub flavor: Flavor,
    pub calculation: MatchCalculation,
}

impl From<Flavor> for Matching {
    fn from(flavor: Flavor) -> Matching {
        Matching { flavor, ..Matching::default() }
    }
}

/// What is matched of a request, or of a connection that is to be a stream.
pub struct Query<'a> {
    /// What a stream is: tcp, tls or udp. `None`: a request.
    pub stream: Option<Protocol>,
    pub method: &'a str,
    /// Whether it counts as https: with TLS or a trusted `X-Forwarded-Proto: https`.
    pub https: bool,
    /// Whether the connection is TLS; SNIs of routes are looked at only then.
    pub tls: bool,
    /// The `Host` field as sent, possibly with a port; empty when there was none.
    pub host: &'a [u8],
    /// The port that the client reached (after `port_maps`): implied when `host` has none.
    pub port: u16,
    /// The path as routes see it: normalised, without query.
    pub path: &'a str,
    /// What follows the `?` in the target.
    pub query: Option<&'a str>,
    pub sni: Option<&'a str>,
    /// The client's address.
    pub source: Option<SocketAddr>,
    /// The address of ours that was connected to.
    pub destination: Option<IpAddr>,
    pub fields: &'a Fields,
    /// Of a request that has been routed: all that is known of it (for conditions of plugins).
    pub exchange: Option<&'a Exchange>,
}

/// A route that fits.
pub struct Match<'r> {
    pub rule: &'r Rule,
    /// How much of `Query::path` the route's path matched; `None` when it has no paths.
    pub matched_path: Option<usize>,
    /// Groups of a regex path, by name and by position (`"1"`).
    pub captures: Vec<(String, Vec<u8>)>,
    /// The route cannot be used, and the request might be its: answer with an error.
    pub unusable: bool,
    /// The protocol does not fit (an http request for an https route): answer with the route's redirect status.
    /// [`Mismatch::of`] tells this and more.
    pub wrong_protocol: bool,
    /// The path handling in effect; only the traditional flavour obeys the route's.
    pub path_handling: PathHandling,
}

/// All routes, in the order in which they are tried.
#[derive(Clone, Default)]
pub struct Router {
    matching: Matching,
    rules: HashTrieMapSync<Uuid, Arc<Rule>, RandomState>,
    hosts: HostIndex,
    streams: StreamIndex,
    /// What the regular expressions of all routes take, compiled (bytes).
    regex_size: usize,
}

/// [`Rule::compile`], or what takes its place in a test.
type Compile = fn(Matching, &Arc<Route>, Option<&Arc<Service>>, Option<&Rule>) -> Result<Rule, String>;

/// What the regular expressions of all routes may take, compiled (bytes).
const REGEX_LIMIT: usize = 1 << 30;

impl Router {
    /// No routes.
    pub fn new(matching: impl Into<Matching>) -> Router {
        Router { matching: matching.into(), ..Router::default() }
    }

    /// A router with these routes put (added or replaced, by id) and those removed. Errors name the routes that cannot
    /// be used. What could be a request for one of them finds it all the same, as [`Match::unusable`]: else it might
    /// find a route that asks less of it. Routes of disabled services are left out silently; when a service changes,
    /// all its routes are to be put again.
    pub fn apply(&self, put: &[(Arc<Route>, Option<Arc<Service>>)], remove: &[Uuid]) -> (Router, Vec<(Uuid, String)>) {
        let mut next = self.clone();
        for id in remove {
            next.remove(id);
        }
        let errors = next.put(put, self, Rule::compile);
        (next, errors)
    }

    /// As [`Router::apply`], with these routes only.
    pub fn replace(&self, put: &[(Arc<Route>, Option<Arc<Service>>)]) -> (Router, Vec<(Uuid, String)>) {
        let mut next = Router::new(self.matching);
        let errors = next.put(put, self, Rule::compile);
        (next, errors)
    }

    /// Has what could be a request for a route answered with an error, since its record cannot be used.
    pub fn refuse(&mut self, route: &Arc<Route>, defect: String) {
        let old = self.remove(&route.id);
        if !Rule::is_active(route, None) {
            return;
        }
        match panic::caught(|| Rule::compile(self.matching, route, None, old.as_deref())) {
            Ok(Ok(mut rule)) => {
                rule.defect = Some(defect);
                self.insert(rule)
            }
            Ok(Err(_matches_nothing)) => None,
            Err(_) => self.insert(Rule::without_patterns(self.matching, route, None, defect)),
        };
    }

    /// What `former` has of a route is used again. When a route cannot be compiled at all, it goes on in its former
    /// version if that is for the same requests.
    fn put(
        &mut self,
        routes: &[(Arc<Route>, Option<Arc<Service>>)],
        former: &Router,
        compile: Compile,
    ) -> Vec<(Uuid, String)> {
        let mut errors = Vec::new();
        for (route, service) in routes {
            let old = former.rules.get(&route.id);
            self.remove(&route.id);
            if !Rule::is_active(route, service.as_ref()) {
                continue;
            }
            match panic::caught(|| compile(self.matching, route, service.as_ref(), old.map(Arc::as_ref))) {
                Ok(Ok(rule)) => errors.extend(self.insert(rule).map(|defect| (route.id, defect))),
                Ok(Err(error)) => errors.push((route.id, error)),
                Err(what) => {
                    let defect = format!("panicked: {what}");
                    match old.filter(|old| old.defect.is_none() && old.route.covers_same(route)) {
                        Some(old) => self.place(Arc::clone(old)),
                        None => {
                            self.insert(Rule::without_patterns(self.matching, route, service.as_ref(), defect.clone()));
                        }
                    }
                    errors.push((route.id, defect));
                }
            }
        }
        errors
    }

    /// How many routes can be found.
    pub fn len(&self) -> usize {
        self.rules.size()
    }

    /// What is wrong with a route; `None`: it cannot be found at all.
    pub fn defect(&self, id: &Uuid) -> Option<Option<&str>> {
        self.rules.get(id).map(|rule| rule.defect.as_deref())
    }

    /// Whether no route can be found.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The route of a request.
    pub fn find(&self, query: &Query<'_>) -> Option<Match<'_>> {
        let mut best = Best::default();
        self.hosts.search(self.matching.flavor, query, &mut best);
        let (candidate, depth) = best.candidate()?;
        Some(self.found(candidate, depth, query))
    }

    /// The routes that fit a request, best first, and what has put each behind the one before it; so many at most.
    pub fn candidates(&self, query: &Query<'_>, most: usize) -> Vec<(Arc<Route>, Option<&'static str>)> {
        // What would be found without the ones before; what a router shares with others is not copied.
        let (mut others, mut found, mut before) = (self.clone(), Vec::new(), None::<Rank>);
        while found.len() < most {
            let mut best = Best::default();
            others.hosts.search(self.matching.flavor, query, &mut best);
            let Some((rank, candidate)) = best.ranked() else { break };
            let route = Arc::clone(&candidate.rule.route);
            let decided = before.map(|before| before.decided_by(&rank, self.matching));
            before = Some(rank);
            others.remove(&route.id);
            found.push((route, decided));
        }
        found
    }

    /// The flavour in the words of the setting.
    pub fn flavor(&self) -> &'static str {
        match self.matching.flavor {
            Flavor::Traditional => "traditional",
            Flavor::TraditionalCompatible => "traditional_compatible",
            Flavor::Expressions => "expressions",
        }
    }

    /// The route of a stream, by address, port and server name.
    pub fn find_stream(&self, query: &Query<'_>) -> Option<&Rule> {
        self.streams.find(query)
    }

    fn found<'r>(&self, candidate: &'r Candidate, depth: usize, query: &Query<'_>) -> Match<'r> {
        let Rule { route, paths, defect, .. } = &*candidate.rule;
        let (matched_path, captures) = match &paths[candidate.path as usize].kind {
            PathKind::Any => candidate.rule.findings(query).map_or((None, Vec::new()), |findings| {
                let groups = findings.regexes.iter().flat_map(|(regex, subject)| captures(regex, subject).1);
                (findings.matched_path.map(|len| up_to_boundary(query.path, len)), distinct(groups))
            }),
            PathKind::Prefix => (Some(depth), Vec::new()),
            PathKind::Regex(regex) => captures(regex, &Subject::of_path(query.path)),
        };
        Match {
            matched_path,
            captures,
            unusable: defect.is_some(),
            wrong_protocol: !query.https && protocol::needs_https(route),
            path_handling: if self.matching.flavor == Flavor::Traditional {
                route.path_handling
            } else {
                PathHandling::V0
            },
            rule: &candidate.rule,
        }
    }

    /// Adds a rule; what is wrong with it.
    fn insert(&mut self, mut rule: Rule) -> Option<String> {
        if rule.defect.is_none() && self.regex_size + rule.regex_size > REGEX_LIMIT {
            let defect = format!("the regular expressions of all routes exceed the limit of {REGEX_LIMIT} bytes");
            rule = rule.without_regexes(defect);
        }
        let defect = rule.defect.clone();
        self.place(Arc::new(rule));
        defect
    }

    fn place(&mut self, rule: Arc<Rule>) {
        self.regex_size += rule.regex_size;
        if rule.is_for_streams() {
            self.streams.insert(&rule);
        }
        if rule.is_for_requests() {
            self.hosts.insert(&rule);
        }
        self.rules.insert_mut(rule.route.id, rule);
    }

    fn remove(&mut self, id: &Uuid) -> Option<Arc<Rule>> {
        let rule = self.rules.get(id)?.clone();
        self.rules.remove_mut(id);
        if rule.is_for_streams() {
            self.streams.remove(&rule);
        }
        if rule.is_for_requests() {
            self.hosts.remove(&rule);
        }
        self.regex_size -= rule.regex_size;
        Some(rule)
    }
}

impl<'r> Match<'r> {
    pub fn route(&self) -> &'r Route {
        &self.rule.route
    }

    pub fn service(&self) -> Option<&'r Service> {
        self.rule.service.as_deref()
    }

    /// The part of the path that is cut off before the request goes to the service.
    pub fn stripped<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.matched_path.filter(|_| self.route().strip_path).and_then(|len| path.get(..len))
    }

    /// Appends the path for the service, escaped, to `out`; `path` is the one that was matched. The query is the
    /// caller's to add, as it came.
    pub fn write_upstream_path(&self, path: &str, out: &mut String) {
        let base = self.service().and_then(|s| s.path.as_deref()).unwrap_or("/");
        path::join(self.path_handling, base, path, self.matched_path, self.route().strip_path, out);
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("matching", &self.matching).field("routes", &self.len()).finish()
    }
}

/// How long the match of a regex is, and its groups; the whole match is the first of them.
fn captures(regex: &regex::Regex, subject: &Subject<'_>) -> (Option<usize>, Vec<(String, Vec<u8>)>) {
    let text = subject.text();
    // A regex with several alternatives may match in the middle; as in Kong, that length is counted from the start.
    let len = |found: regex::Match<'_>| up_to_boundary(text, found.len());
    if regex.captures_len() == 1 {
        return (regex.find(text).map(len), Vec::new());
    }
    let Some(found) = regex.captures(text) else { return (None, Vec::new()) };
    let mut groups = Vec::with_capacity(regex.captures_len());
    for (at, name) in regex.capture_names().enumerate() {
        if let Some(group) = found.get(at) {
            let value = subject.octets_of(group.as_str());
            groups.push((at.to_string(), value.clone()));
            groups.extend(name.map(|name| (name.to_owned(), value)));
        }
    }
    (Some(len(found.get_match())), groups)
}

/// The groups of several regexes; of those with the same name the last one counts.
fn distinct(groups: impl Iterator<Item = (String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in groups {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => all.push((name, value)),
        }
    }
    all.sort();
    all
}

/// A length that does not end inside a character.
fn up_to_boundary(path: &str, len: usize) -> usize {
    (len..path.len()).find(|&at| path.is_char_boundary(at)).unwrap_or(path.len())
}
