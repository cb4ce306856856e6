//! The routes that share a host pattern and a path prefix, best first.

use super::Query;
use super::rank::Rank;
use super::rule::{HeaderRule, HeaderValue, PathKind, Rule};
use foldhash::fast::RandomState;
use model::entities::Uuid;
use rpds::HashTrieMapSync;
use smallvec::SmallVec;
use std::sync::Arc;

/// One path of a route under one of its hosts.
pub struct Candidate {
    pub rank: Rank,
    pub rule: Arc<Rule>,
    /// Which of the rule's paths.
    pub path: usize,
    /// The port that the host pattern asks for.
    pub port: Option<u32>,
}

/// Slots in order of rank. Those that need a certain header value are found by it, so that many
/// routes that differ only in a header do not slow each other down.
#[derive(Clone, Default)]
pub struct Slots {
    plain: Vec<Arc<Candidate>>,
    by_header: Vec<HeaderSlots>,
}

#[derive(Clone)]
struct HeaderSlots {
    /// The rule's spelling of the name; the same for all slots here.
    sample: Arc<Rule>,
    header: usize,
    /// By value in lower case.
    values: HashTrieMapSync<Box<[u8]>, Vec<Arc<Candidate>>, RandomState>,
}

/// The best slot so far, and how long the path prefix was under which it was found.
pub type Best<'r> = Option<(&'r Candidate, usize)>;

impl Slots {
    /// Adds a slot.
    pub fn insert(&mut self, slot: Arc<Candidate>) {
        let Some((header, values)) = indexable(&slot.rule) else {
            return insert(&mut self.plain, slot);
        };
        let name = &slot.rule.headers[header].name;
        let at = match self.by_header.iter().position(|h| h.name() == &**name) {
            Some(at) => at,
            None => {
                let values = HashTrieMapSync::new_with_hasher_and_ptr_kind(RandomState::default());
                self.by_header.push(HeaderSlots { sample: slot.rule.clone(), header, values });
                self.by_header.len() - 1
            }
        };
        for value in values {
            let lists = &mut self.by_header[at].values;
            match lists.get_mut(&value) {
                Some(list) => insert(list, slot.clone()),
                None => lists.insert_mut(value, vec![slot.clone()]),
            }
        }
    }

    /// Takes away the slots of a rule.
    pub fn remove(&mut self, rule: &Rule) {
        let id = rule.route.id;
        let Some((header, values)) = indexable(rule) else { return remove(&mut self.plain, id) };
        let name = &rule.headers[header].name;
        let Some(at) = self.by_header.iter().position(|h| h.name() == &**name) else { return };
        let lists = &mut self.by_header[at].values;
        for value in values {
            if let Some(list) = lists.get_mut(&value) {
                remove(list, id);
                if list.is_empty() {
                    lists.remove_mut(&value);
                }
            }
        }
        if lists.is_empty() {
            self.by_header.remove(at);
        }
    }

    /// Whether there is no slot.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.by_header.is_empty()
    }

    /// Puts the best fitting slot into `best` when it beats what is there.
    pub fn search<'r>(&'r self, query: &Query<'_>, port: u32, depth: usize, best: &mut Best<'r>) {
        search(&self.plain, query, port, depth, best);
        for index in &self.by_header {
            for value in index.sample.headers[index.header].values_in(query.fields) {
                let mut lower: SmallVec<[u8; 64]> = SmallVec::from_slice(value);
                lower.make_ascii_lowercase();
                if let Some(list) = index.values.get(&lower[..]) {
                    search(list, query, port, depth, best);
                }
            }
        }
    }
}

impl HeaderSlots {
    fn name(&self) -> &str {
        &self.sample.headers[self.header].name
    }
}

impl Candidate {
    fn fits(&self, query: &Query<'_>, port: u32) -> bool {
        self.port.is_none_or(|p| p == port)
            && self.rule.fits(query)
            && match &self.rule.paths[self.path].kind {
                PathKind::Any | PathKind::Prefix => true,
                PathKind::Regex(regex) => regex.is_match(query.path),
            }
    }
}

/// The first header of a rule that has only literal values, with these in lower case.
fn indexable(rule: &Rule) -> Option<(usize, Vec<Box<[u8]>>)> {
    let values = |header: &HeaderRule| {
        let texts = header.values.iter().map(|value| match value {
            HeaderValue::Exact(text) => Some(text.to_ascii_lowercase().into_bytes().into()),
            HeaderValue::Regex(_) => None,
        });
        texts.collect::<Option<Vec<_>>>()
    };
    rule.headers.iter().enumerate().find_map(|(at, header)| Some((at, values(header)?)))
}

fn insert(list: &mut Vec<Arc<Candidate>>, slot: Arc<Candidate>) {
    let at = list.partition_point(|s| s.rank > slot.rank);
    list.insert(at, slot);
}

fn remove(list: &mut Vec<Arc<Candidate>>, id: Uuid) {
    list.retain(|slot| slot.rule.route.id != id);
}

fn search<'r>(list: &'r [Arc<Candidate>], query: &Query<'_>, port: u32, depth: usize, best: &mut Best<'r>) {
    for slot in list {
        if best.is_some_and(|(b, _)| b.rank >= slot.rank) {
            return;
        }
        if slot.fits(query, port) {
            *best = Some((slot, depth));
            return;
        }
    }
}
