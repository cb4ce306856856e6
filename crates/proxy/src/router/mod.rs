//! Finding the route of a request.
//!
//! A [`Router`] is immutable; a change makes a new one that shares what did not change, so that one write costs
//! what it touches and not what exists.
//!
//! Routes are looked up by host (exact names in a hash map, wildcards in radix trees from either end), under each
//! host by path (a radix tree, in which a regex stands under the literal text it begins with), and there in order
//! of rank. What is found is what trying all routes one by one in order of rank would find.

mod expression;
mod protocol;
mod radix;
mod rank;
mod rule;
mod slots;
mod subject;
#[cfg(test)]
mod tests;

use crate::{panic, path};
use foldhash::fast::RandomState;
use model::entities::{PathHandling, Route, Service, Uuid};
pub use protocol::Mismatch;
use radix::Tree;
use rpds::HashTrieMapSync;
pub use rule::Rule;
use rule::{HostPattern, NamePattern, PathKind};
use slots::{Best, Candidate, Slots};
use smallvec::SmallVec;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
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

/// What is matched of a request.
pub struct Query<'a> {
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
}

/// A route that fits.
pub struct Match<'r> {
    pub rule: &'r Rule,
    /// How much of `Query::path` the route's path matched; `None` when it has no paths.
    pub matched_path: Option<usize>,
    /// Groups of a regex path, by name and by position (`"1"`).
    pub captures: Vec<(String, Vec<u8>)>,
    /// The protocol does not fit (an http request for an https route): answer with the route's redirect status.
    /// [`Mismatch::of`] tells this and more.
    pub wrong_protocol: bool,
    /// The path handling in effect; only the traditional flavour obeys the route's.
    pub path_handling: PathHandling,
}

/// All routes, in the order in which they are tried.
#[derive(Clone, Default)]
pub struct Router {
    flavor: Flavor,
    rules: HashTrieMapSync<Uuid, Arc<Rule>, RandomState>,
    exact: HashTrieMapSync<Box<[u8]>, Paths, RandomState>,
    /// Wildcards at the left, by their text from its end to its start.
    suffixes: Tree<Paths>,
    /// Wildcards at the right.
    prefixes: Tree<Paths>,
    /// Routes without hosts.
    hostless: Paths,
}

/// The routes under one host pattern, by path.
type Paths = Tree<Slots>;

/// Longer hosts are nobody's, so they are not looked up (a name has at most 253 bytes).
const MAX_HOST: usize = 512;

impl Router {
    /// No routes.
    pub fn new(flavor: Flavor) -> Router {
        Router { flavor, ..Router::default() }
    }

    /// A router with these routes put (added or replaced, by id) and those removed. Errors name the routes that
    /// could not be compiled and stay what they were, if they were there; the others take effect. Routes of disabled services and routes for
    /// streams are left out silently; when a service changes, all its routes are to be put again.
    pub fn apply(&self, put: &[(Arc<Route>, Option<Arc<Service>>)], remove: &[Uuid]) -> (Router, Vec<(Uuid, String)>) {
        let mut next = self.clone();
        let mut errors = Vec::new();
        for id in remove {
            next.remove(id);
        }
        for (route, service) in put {
            let active = Rule::is_active(route, service.as_ref());
            let old = next.rules.get(&route.id).map(Arc::as_ref);
            let compile = || Rule::compile(self.flavor, route, service.as_ref(), old);
            let rule = active.then(|| panic::caught(compile).unwrap_or_else(|what| Err(format!("panicked: {what}"))));
            match rule.transpose() {
                Ok(rule) => {
                    next.remove(&route.id);
                    rule.into_iter().for_each(|rule| next.insert(Arc::new(rule)));
                }
                Err(error) => errors.push((route.id, error)),
            }
        }
        (next, errors)
    }

    /// How many routes can be found.
    pub fn len(&self) -> usize {
        self.rules.size()
    }

    /// Whether a route can be found.
    pub fn contains(&self, id: &Uuid) -> bool {
        self.rules.contains_key(id)
    }

    /// Whether no route can be found.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The route of a request.
    pub fn find(&self, query: &Query<'_>) -> Option<Match<'_>> {
        let mut best = None;
        let (host, port) = rule::split_port(query.host);
        if !host.is_empty() && host.len() <= MAX_HOST {
            self.find_by_host(query, host, port, &mut best);
        }
        search(&self.hostless, query, 0, &mut best);
        let (slot, depth) = best?;
        Some(self.found(slot, depth, query))
    }

    fn find_by_host<'r>(&'r self, query: &Query<'_>, host: &[u8], port: Option<u32>, best: &mut Best<'r>) {
        let traditional = self.flavor == Flavor::Traditional;
        // A port that is not in `Host` is the listener's; the traditional flavour takes that of the scheme, and only
        // for wildcards.
        let (exact_port, wildcard_port) = match (port, traditional) {
            (Some(port), _) => (port, port),
            (None, false) => (query.port.into(), query.port.into()),
            (None, true) => (0, if query.tls { 443 } else { 80 }),
        };
        if self.exact.is_empty() && self.prefixes.is_empty() && self.suffixes.is_empty() {
            return;
        }
        let mut lower: SmallVec<[u8; 128]> = SmallVec::from_slice(host);
        lower.make_ascii_lowercase();
        if let Some(paths) = self.exact.get(&lower[..]) {
            search(paths, query, exact_port, best);
        }
        let mut wildcard = |len: usize, paths: &'r Paths| {
            // `*.a.test` fits `.a.test` in the compatible flavour only.
            if !traditional || len < host.len() {
                search(paths, query, wildcard_port, best);
            }
        };
        if !self.prefixes.is_empty() {
            self.prefixes.walk(&lower, &mut wildcard);
        }
        if !self.suffixes.is_empty() {
            lower.reverse();
            self.suffixes.walk(&lower, &mut wildcard);
        }
    }

    fn found<'r>(&self, slot: &'r Candidate, depth: usize, query: &Query<'_>) -> Match<'r> {
        let Rule { route, paths, .. } = &*slot.rule;
        let (matched_path, captures) = match &paths[slot.path].kind {
            PathKind::Any => slot.rule.findings(query).map_or((None, Vec::new()), |findings| {
                let groups = findings.regexes.iter().flat_map(|(regex, subject)| captures(regex, subject).1);
                (findings.matched_path.map(|len| up_to_boundary(query.path, len)), distinct(groups))
            }),
            PathKind::Prefix => (Some(depth), Vec::new()),
            PathKind::Regex(regex) => captures(regex, &Subject::of_path(query.path)),
        };
        Match {
            matched_path,
            captures,
            wrong_protocol: !query.https && protocol::needs_https(route),
            path_handling: if self.flavor == Flavor::Traditional { route.path_handling } else { PathHandling::V0 },
            rule: &slot.rule,
        }
    }

    fn insert(&mut self, rule: Arc<Rule>) {
        if rule.hosts.is_empty() {
            insert(&mut self.hostless, &rule, None);
        }
        for host in &rule.hosts {
            let paths = match &host.name {
                NamePattern::Exact(name) => {
                    if !self.exact.contains_key(name.as_bytes()) {
                        self.exact.insert_mut(name.as_bytes().into(), Paths::default());
                    }
                    self.exact.get_mut(name.as_bytes())
                }
                NamePattern::Suffix(text) => Some(self.suffixes.entry(&reversed(text), Paths::default)),
                NamePattern::Prefix(text) => Some(self.prefixes.entry(text.as_bytes(), Paths::default)),
            };
            if let Some(paths) = paths {
                insert(paths, &rule, Some(host));
            }
        }
        self.rules.insert_mut(rule.route.id, rule);
    }

    fn remove(&mut self, id: &Uuid) -> Option<Arc<Rule>> {
        let rule = self.rules.get(id)?.clone();
        self.rules.remove_mut(id);
        if rule.hosts.is_empty() {
            remove(&mut self.hostless, &rule);
        }
        for host in &rule.hosts {
            match &host.name {
                NamePattern::Exact(name) => {
                    if let Some(paths) = self.exact.get_mut(name.as_bytes())
                        && !remove(paths, &rule)
                    {
                        self.exact.remove_mut(name.as_bytes());
                    }
                }
                NamePattern::Suffix(text) => self.suffixes.change(&reversed(text), |paths| remove(paths, &rule)),
                NamePattern::Prefix(text) => self.prefixes.change(text.as_bytes(), |paths| remove(paths, &rule)),
            }
        }
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
        f.debug_struct("Router").field("flavor", &self.flavor).field("routes", &self.len()).finish()
    }
}

fn search<'r>(paths: &'r Paths, query: &Query<'_>, port: u32, best: &mut Best<'r>) {
    paths.walk(query.path.as_bytes(), |depth, slots| slots.search(query, port, depth, best));
}

fn insert(paths: &mut Paths, rule: &Arc<Rule>, host: Option<&HostPattern>) {
    for (at, path) in rule.paths.iter().enumerate() {
        let closeness = host.filter(|_| rule.route.expression.is_none()).map_or(0, HostPattern::closeness);
        let rank = path.rank.with_host(closeness);
        let slot = Candidate { rank, rule: rule.clone(), path: at, port: host.and_then(|h| h.port) };
        paths.entry(&path.prefix, Slots::default).insert(Arc::new(slot));
    }
}

/// Says whether anything is left.
fn remove(paths: &mut Paths, rule: &Rule) -> bool {
    for path in &rule.paths {
        paths.change(&path.prefix, |slots| {
            slots.remove(rule);
            !slots.is_empty()
        });
    }
    !paths.is_empty()
}

fn reversed(text: &str) -> Vec<u8> {
    text.bytes().rev().collect()
}

/// How long the match of a regex is, and its groups.
fn captures(regex: &regex::Regex, subject: &Subject<'_>) -> (Option<usize>, Vec<(String, Vec<u8>)>) {
    let text = subject.text();
    // A regex with several alternatives may match in the middle; as in Kong, that length is counted from the start.
    let len = |found: regex::Match<'_>| up_to_boundary(text, found.len());
    if regex.captures_len() == 1 {
        return (regex.find(text).map(len), Vec::new());
    }
    let Some(found) = regex.captures(text) else { return (None, Vec::new()) };
    let mut groups = Vec::with_capacity(regex.captures_len());
    for (at, name) in regex.capture_names().enumerate().skip(1) {
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
