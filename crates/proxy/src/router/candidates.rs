//! The paths of routes that share a place in the index: the same host pattern and the same path prefix, best first.

use super::Query;
use super::keys::{Key, KeyValue};
use super::radix::Tree;
use super::rank::Rank;
use super::rule::{PathKind, PathPattern, Rule};
use foldhash::fast::RandomState;
use model::entities::Uuid;
use rpds::HashTrieMapSync;
use smallvec::SmallVec;
use std::sync::Arc;

/// One path of a route, under one of its hosts or under the list of all of them.
#[derive(Clone)]
pub struct Candidate {
    pub rule: Arc<Rule>,
    /// Which of the rule's paths.
    pub path: u32,
    /// How specific the host pattern is; zero where the place in the index says it.
    pub host_specificity: u32,
    /// The port that the host pattern asks for.
    pub port: Option<u32>,
}

/// Candidates in order of rank. Those that need one of a few values (of a header, say) are found by the value, or,
/// where their paths have some text in them, by that, so that many routes that differ only there do not slow each other
/// down.
#[derive(Clone, Default)]
pub struct Candidates {
    plain: List,
    by_text: Option<Tree<List>>,
    by_value: Vec<ValueIndex>,
}

type List = SmallVec<[Candidate; 1]>;

#[derive(Clone)]
struct ValueIndex {
    key: Key,
    values: HashTrieMapSync<Box<[u8]>, List, RandomState>,
}

/// How a place in the index was reached.
#[derive(Clone, Copy)]
pub struct Reached {
    /// The port of the request, as the host patterns here see it.
    pub port: u32,
    /// How specific the host pattern is that led here, where candidates do not say it themselves.
    pub host_specificity: u32,
}

/// The best candidate so far.
#[derive(Default)]
pub struct Best<'r> {
    found: Option<(Rank, &'r Candidate, usize)>,
    /// How many candidates were looked at.
    #[cfg(test)]
    pub looked_at: usize,
}

impl Candidates {
    /// Adds a candidate.
    pub fn insert(&mut self, candidate: Candidate) {
        let rule = Arc::clone(&candidate.rule);
        // The way by which the fewest others are found: what all have in common tells nothing.
        let texts = &rule.paths[candidate.path as usize].texts;
        let text = texts.iter().map(|text| (self.found_by(text), text)).min_by_key(|(others, _)| *others);
        let found_by = |list: &Vec<KeyValue>| list.iter().map(|value| self.found_by_value(value)).sum::<usize>();
        let values = rule.values.iter().map(|list| (found_by(list), list)).min_by_key(|(others, _)| *others);
        match (text, values) {
            (None, None) => insert(&mut self.plain, candidate),
            (Some((by_text, _)), Some((by_value, list))) if by_value <= by_text => self.insert_by(list, &candidate),
            (None, Some((_, list))) => self.insert_by(list, &candidate),
            (Some((_, text)), _) => {
                insert(self.by_text.get_or_insert_default().entry(text, List::default), candidate);
            }
        }
    }

    fn insert_by(&mut self, list: &[KeyValue], candidate: &Candidate) {
        for (key, value) in list {
            let at = match self.by_value.iter().position(|index| index.key == *key) {
                Some(at) => at,
                None => {
                    let values = HashTrieMapSync::new_with_hasher_and_ptr_kind(RandomState::default());
                    self.by_value.push(ValueIndex { key: key.clone(), values });
                    self.by_value.len() - 1
                }
            };
            let lists = &mut self.by_value[at].values;
            match lists.get_mut(value) {
                Some(list) => insert(list, candidate.clone()),
                None => lists.insert_mut(value.clone(), List::from_iter([candidate.clone()])),
            }
        }
    }

    /// Takes away the candidates of a path of a rule.
    pub fn remove(&mut self, rule: &Rule, path: &PathPattern) {
        let id = rule.route.id;
        if path.texts.is_empty() && rule.values.is_empty() {
            return remove(&mut self.plain, id);
        }
        if let Some(by_text) = &mut self.by_text {
            // What it does not stand in is shared with former routers, and stays so.
            let stands_in = |by_text: &Tree<List>, text| by_text.get(text).is_some_and(|list| has(list, id));
            for text in path.texts.iter().filter(|text| stands_in(by_text, text)).collect::<SmallVec<[_; 8]>>() {
                by_text.change(text, |list| {
                    remove(list, id);
                    !list.is_empty()
                });
            }
            if by_text.is_empty() {
                self.by_text = None;
            }
        }
        for (key, value) in rule.values.iter().flatten() {
            let Some(at) = self.by_value.iter().position(|index| index.key == *key) else { continue };
            let lists = &mut self.by_value[at].values;
            if !lists.get(value).is_some_and(|list| has(list, id)) {
                continue;
            }
            if let Some(list) = lists.get_mut(value) {
                remove(list, id);
                if list.is_empty() {
                    lists.remove_mut(value);
                }
            }
            if lists.is_empty() {
                self.by_value.remove(at);
            }
        }
    }

    fn found_by_value(&self, (key, value): &KeyValue) -> usize {
        let index = self.by_value.iter().find(|index| index.key == *key);
        index.and_then(|index| index.values.get(value)).map_or(0, |list| list.len())
    }

    fn found_by(&self, text: &[u8]) -> usize {
        self.by_text.as_ref().and_then(|by_text| by_text.get(text)).map_or(0, |list| list.len())
    }

    /// Whether there is no candidate.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.by_text.is_none() && self.by_value.is_empty()
    }

    /// Puts the best candidate that fits into `best` when it beats what is there. `depth` is the length of the path
    /// prefix.
    pub fn search<'r>(&'r self, query: &Query<'_>, reached: Reached, depth: usize, best: &mut Best<'r>) {
        best.search(&self.plain, query, reached, depth);
        if let Some(by_text) = &self.by_text {
            let path = query.path.as_bytes();
            for at in 0..path.len() {
                by_text.walk(&path[at..], |_, list| best.search(list, query, reached, depth));
            }
        }
        for index in &self.by_value {
            index.key.each_value(query, |value| {
                if let Some(list) = index.values.get(value) {
                    best.search(list, query, reached, depth);
                }
            });
        }
    }
}

#[cfg(test)]
impl Candidates {
    /// How many there are, by how many ways they are found.
    pub fn len(&self) -> usize {
        let mut found_by_text = 0;
        self.by_text.iter().for_each(|by_text| by_text.for_each(&mut |list| found_by_text += list.len()));
        let found_by_value = self.by_value.iter().flat_map(|index| index.values.values());
        self.plain.len() + found_by_text + found_by_value.map(|list| list.len()).sum::<usize>()
    }
}

impl Candidate {
    fn rank(&self, host_specificity: u32) -> Rank {
        self.rule.paths[self.path as usize].rank.with_host(self.host_specificity.max(host_specificity))
    }

    fn fits(&self, query: &Query<'_>, port: u32) -> bool {
        self.port.is_none_or(|p| p == port)
            && self.rule.fits(query)
            && match &self.rule.paths[self.path as usize].kind {
                PathKind::Any | PathKind::Prefix => true,
                PathKind::Regex(regex) => regex.is_match(query.path),
            }
    }
}

impl<'r> Best<'r> {
    /// The candidate, and how long the path prefix was under which it was found.
    pub fn candidate(self) -> Option<(&'r Candidate, usize)> {
        self.found.map(|(_, candidate, depth)| (candidate, depth))
    }

    /// The candidate with its rank.
    pub fn ranked(self) -> Option<(Rank, &'r Candidate)> {
        self.found.map(|(rank, candidate, _)| (rank, candidate))
    }

    fn search(&mut self, list: &'r [Candidate], query: &Query<'_>, reached: Reached, depth: usize) {
        for candidate in list {
            #[cfg(test)]
            (self.looked_at += 1);
            let rank = candidate.rank(reached.host_specificity);
            if self.found.as_ref().is_some_and(|(best, ..)| *best >= rank) {
                return;
            }
            if candidate.fits(query, reached.port) {
                self.found = Some((rank, candidate, depth));
                return;
            }
        }
    }
}

fn insert(list: &mut List, candidate: Candidate) {
    let rank = candidate.rank(0);
    let at = list.partition_point(|c| c.rank(0) > rank);
    list.insert(at, candidate);
}

fn has(list: &List, id: Uuid) -> bool {
    list.iter().any(|candidate| candidate.rule.route.id == id)
}

fn remove(list: &mut List, id: Uuid) {
    list.retain(|candidate| candidate.rule.route.id != id);
}
