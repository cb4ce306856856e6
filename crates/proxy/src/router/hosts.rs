//! Where routes are looked up: by host, and under each host by path.
//!
//! A route with some hosts and some paths stands under each of its hosts with each of its paths, as long as that takes
//! memory in proportion to what the route lists. Beyond that, its hosts lead to a list of hosts, which all routes with
//! the same hosts share, and under which each path stands once.

use super::candidates::{Best, Candidate, Candidates, Reached};
use super::radix::Tree;
use super::rule::{HostPattern, Rule};
use super::{Flavor, Query};
use foldhash::fast::RandomState;
use model::hostname::{self, HostnamePattern};
use rpds::HashTrieMapSync;
use smallvec::SmallVec;
use std::sync::Arc;

/// Routes by host and path; persistent, as everything in a router.
#[derive(Clone, Default)]
pub struct HostIndex {
    exact: HashTrieMapSync<Box<[u8]>, Host, RandomState>,
    /// Wildcards at the left, by their text from its end to its start.
    suffixes: Tree<Host>,
    /// Wildcards at the right.
    prefixes: Tree<Host>,
    /// Routes without hosts.
    hostless: Paths,
    lists: HashTrieMapSync<u64, HostList, RandomState>,
    list_ids: HashTrieMapSync<Arc<[HostPattern]>, u64, RandomState>,
    next_list: u64,
}

/// Routes by path.
type Paths = Tree<Candidates>;

/// What one host pattern, apart from its port, leads to.
#[derive(Clone, Default)]
struct Host {
    paths: Paths,
    lists: Vec<ListReference>,
}

#[derive(Clone)]
struct ListReference {
    list: u64,
    specificity: u32,
    port: Option<u32>,
}

#[derive(Clone)]
struct HostList {
    routes: usize,
    paths: Paths,
}

impl HostIndex {
    /// Adds a rule.
    pub fn insert(&mut self, rule: &Arc<Rule>) {
        if rule.hosts.is_empty() {
            return insert(&mut self.hostless, rule, None);
        }
        let list = rule.shares_hosts().then(|| self.take_list(rule));
        for pattern in &*rule.hosts {
            let host = self.host(&pattern.name);
            match list {
                None => insert(&mut host.paths, rule, Some(pattern)),
                Some((list, new)) if new => {
                    let specificity = rule.host_specificity(pattern);
                    host.lists.push(ListReference { list, specificity, port: pattern.port });
                }
                Some(_) => {}
            }
        }
    }

    /// Takes away a rule.
    pub fn remove(&mut self, rule: &Rule) {
        if rule.hosts.is_empty() {
            return remove(&mut self.hostless, rule);
        }
        let shared = rule.shares_hosts();
        let gone = if shared { self.release_list(rule) } else { None };
        if shared && gone.is_none() {
            return;
        }
        for pattern in &*rule.hosts {
            self.change_host(&pattern.name, |host| match gone {
                None => remove(&mut host.paths, rule),
                Some(list) => host.lists.retain(|reference| reference.list != list),
            });
        }
    }

    /// Finds the best route for a request.
    pub fn search<'r>(&'r self, flavor: Flavor, query: &Query<'_>, best: &mut Best<'r>) {
        if !self.has_no_hosts()
            && let (host, port) = hostname::split_port(query.host)
            && !host.is_empty()
        {
            self.search_hosts(flavor, query, host, port, best);
        }
        search(&self.hostless, query, Reached { port: 0, host_specificity: 0 }, best);
    }

    fn search_hosts<'r>(
        &'r self,
        flavor: Flavor,
        query: &Query<'_>,
        name: &[u8],
        port: Option<u32>,
        best: &mut Best<'r>,
    ) {
        let traditional = flavor == Flavor::Traditional;
        // A port that is not in `Host` is the listener's; the traditional flavour takes that of the scheme, and only
        // for wildcards.
        let (exact_port, wildcard_port) = match (port, traditional) {
            (Some(port), _) => (port, port),
            (None, false) => (query.port.into(), query.port.into()),
            (None, true) => (0, if query.tls { 443 } else { 80 }),
        };
        let mut lower: SmallVec<[u8; 128]> = SmallVec::from_slice(name);
        lower.make_ascii_lowercase();
        if let Some(host) = self.exact.get(&lower[..]) {
            self.search_host(host, query, exact_port, best);
        }
        let mut wildcard = |len: usize, host: &'r Host| {
            // `*.a.test` fits `.a.test` in the compatible flavour only.
            if !traditional || len < name.len() {
                self.search_host(host, query, wildcard_port, best);
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

    fn search_host<'r>(&'r self, host: &'r Host, query: &Query<'_>, port: u32, best: &mut Best<'r>) {
        search(&host.paths, query, Reached { port, host_specificity: 0 }, best);
        for reference in host.lists.iter().filter(|reference| reference.port.is_none_or(|p| p == port)) {
            if let Some(list) = self.lists.get(&reference.list) {
                search(&list.paths, query, Reached { port, host_specificity: reference.specificity }, best);
            }
        }
    }

    fn has_no_hosts(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty() && self.suffixes.is_empty()
    }

    /// Adds the paths of a rule under the list of its hosts; the list's number, and whether it is a new one.
    fn take_list(&mut self, rule: &Arc<Rule>) -> (u64, bool) {
        let existing = self.list_ids.get(&rule.hosts).copied();
        let id = existing.unwrap_or(self.next_list);
        if existing.is_none() {
            self.next_list += 1;
            self.list_ids.insert_mut(Arc::clone(&rule.hosts), id);
            self.lists.insert_mut(id, HostList { routes: 0, paths: Paths::default() });
        }
        if let Some(list) = self.lists.get_mut(&id) {
            list.routes += 1;
            insert(&mut list.paths, rule, None);
        }
        (id, existing.is_none())
    }

    /// Takes a rule away from the list of its hosts; the list's number when nothing is left of it.
    fn release_list(&mut self, rule: &Rule) -> Option<u64> {
        let id = *self.list_ids.get(&rule.hosts)?;
        let list = self.lists.get_mut(&id)?;
        list.routes -= 1;
        remove(&mut list.paths, rule);
        if list.routes > 0 {
            return None;
        }
        self.lists.remove_mut(&id);
        self.list_ids.remove_mut(&rule.hosts);
        Some(id)
    }

    fn host(&mut self, name: &HostnamePattern) -> &mut Host {
        match name {
            HostnamePattern::Suffix(text) => self.suffixes.entry(&reversed(text), Host::default),
            HostnamePattern::Prefix(text) => self.prefixes.entry(text.as_bytes(), Host::default),
            HostnamePattern::Exact(name) => {
                if !self.exact.contains_key(name.as_bytes()) {
                    self.exact.insert_mut(name.as_bytes().into(), Host::default());
                }
                self.exact.get_mut(name.as_bytes()).expect("it has just been put there")
            }
        }
    }

    /// Changes what a host pattern leads to; it goes away when nothing is left.
    fn change_host(&mut self, name: &HostnamePattern, change: impl FnOnce(&mut Host)) {
        let change = |host: &mut Host| {
            change(host);
            !(host.paths.is_empty() && host.lists.is_empty())
        };
        match name {
            HostnamePattern::Suffix(text) => self.suffixes.change(&reversed(text), change),
            HostnamePattern::Prefix(text) => self.prefixes.change(text.as_bytes(), change),
            HostnamePattern::Exact(name) => {
                if let Some(host) = self.exact.get_mut(name.as_bytes())
                    && !change(host)
                {
                    self.exact.remove_mut(name.as_bytes());
                }
            }
        }
    }
}

#[cfg(test)]
impl HostIndex {
    /// Whether nothing at all is left.
    pub fn is_empty(&self) -> bool {
        self.has_no_hosts() && self.hostless.is_empty() && self.lists.is_empty() && self.list_ids.is_empty()
    }

    /// In how many places routes stand.
    pub fn places(&self) -> usize {
        let mut places = 0;
        let mut count = |paths: &Paths| paths.for_each(&mut |candidates: &Candidates| places += candidates.len());
        count(&self.hostless);
        self.exact.values().for_each(|host| count(&host.paths));
        self.suffixes.for_each(&mut |host| count(&host.paths));
        self.prefixes.for_each(&mut |host| count(&host.paths));
        self.lists.values().for_each(|list| count(&list.paths));
        places
    }

    /// Where the candidates of a path under an exact host are kept, to see whether two versions share them.
    pub fn address_of(&self, host: Option<&str>, path: &str) -> *const Candidates {
        let paths =
            host.map_or(&self.hostless, |host| &self.exact.get(host.as_bytes()).expect("the host has routes").paths);
        let mut address = std::ptr::null();
        paths.walk(path.as_bytes(), |_, candidates| address = std::ptr::from_ref(candidates));
        address
    }
}

fn search<'r>(paths: &'r Paths, query: &Query<'_>, reached: Reached, best: &mut Best<'r>) {
    paths.walk(query.path.as_bytes(), |depth, candidates| candidates.search(query, reached, depth, best));
}

fn insert(paths: &mut Paths, rule: &Arc<Rule>, host: Option<&HostPattern>) {
    for (at, path) in rule.paths.iter().enumerate() {
        let candidate = Candidate {
            rule: Arc::clone(rule),
            path: at as u32,
            host_specificity: host.map_or(0, |host| rule.host_specificity(host)),
            port: host.and_then(|host| host.port),
        };
        paths.entry(&path.prefix, Candidates::default).insert(candidate);
    }
}

fn remove(paths: &mut Paths, rule: &Rule) {
    for path in &rule.paths {
        paths.change(&path.prefix, |candidates| {
            candidates.remove(rule, path);
            !candidates.is_empty()
        });
    }
}

fn reversed(text: &str) -> Vec<u8> {
    text.bytes().rev().collect()
}
