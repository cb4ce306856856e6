//! Where responses are kept: in memory, within a budget, without a lock on the way to a hit.
//!
//! There are two generations. New and recently used entries live in the young one; when it has taken half the
//! budget, it becomes the old one and what the old one still held is forgotten. A hit in the old one moves up.

use super::key::Digest;
use arc_swap::ArcSwap;
use sdk::{Bytes, Fields};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// A stored response.
#[derive(Debug)]
pub struct CachedResponse {
    pub status: u16,
    pub fields: Fields,
    pub body: Bytes,
    /// When it was stored, in seconds since 1970.
    pub stored_at: u64,
    /// For how many seconds it may be used.
    pub ttl: u64,
    /// When it is dropped, in milliseconds since 1970.
    pub drop_at_ms: u64,
}

/// The responses under one dictionary name.
pub struct Store {
    generations: ArcSwap<Generations>,
    budget: usize,
}

/// The stores of a node by dictionary name. They outlive changes of the configuration.
#[derive(Default)]
pub struct Stores(Mutex<HashMap<String, Arc<Store>>>);

#[derive(Default)]
struct Generations {
    young: Arc<Generation>,
    old: Arc<Generation>,
}

#[derive(Default)]
struct Generation {
    entries: papaya::HashMap<Digest, Arc<CachedResponse>, foldhash::fast::RandomState>,
    bytes: AtomicUsize,
}

impl Stores {
    /// The store of that name, made with that budget in bytes when it is new.
    pub fn open(&self, name: &str, budget: usize) -> Arc<Store> {
        let mut stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(stores.entry(name.to_owned()).or_insert_with(|| Arc::new(Store::new(budget))))
    }
}

impl Store {
    /// An empty store that holds at most that many bytes.
    pub fn new(budget: usize) -> Store {
        Store { generations: ArcSwap::from_pointee(Generations::default()), budget }
    }

    /// The largest response that is kept, in bytes.
    pub fn largest(&self) -> usize {
        self.budget / 8
    }

    /// The response of that key, unless it is past its time.
    pub fn get(&self, key: &Digest, now_ms: u64) -> Option<Arc<CachedResponse>> {
        let generations = self.generations.load();
        let alive = |generation: &Generation| {
            let entry = generation.entries.pin().get(key).map(Arc::clone)?;
            if entry.drop_at_ms > now_ms {
                return Some(entry);
            }
            generation.remove(key, Some(&entry));
            None
        };
        if let Some(entry) = alive(&generations.young) {
            return Some(entry);
        }
        let entry = alive(&generations.old)?;
        generations.old.remove(key, Some(&entry));
        self.put(*key, Arc::clone(&entry));
        Some(entry)
    }

    /// Keeps a response in place of the one that the key had; one that is too large is not kept.
    pub fn put(&self, key: Digest, entry: Arc<CachedResponse>) {
        if entry.weight() > self.largest() {
            self.remove(&key);
            return;
        }
        let generations = self.generations.load_full();
        generations.old.remove(&key, None);
        generations.young.insert(key, entry);
        if generations.young.bytes.load(Relaxed) > self.budget / 2 {
            let next = Generations { young: Arc::default(), old: Arc::clone(&generations.young) };
            // When somebody else has changed generations meanwhile, that was the change that was due.
            self.generations.compare_and_swap(&generations, Arc::new(next));
        }
    }

    /// Drops a response; says whether it was there.
    pub fn remove(&self, key: &Digest) -> bool {
        let generations = self.generations.load();
        let young = generations.young.remove(key, None);
        generations.old.remove(key, None) || young
    }

    /// Drops everything.
    pub fn clear(&self) {
        self.generations.store(Arc::default());
    }
}

impl Generation {
    fn insert(&self, key: Digest, entry: Arc<CachedResponse>) {
        self.bytes.fetch_add(entry.weight(), Relaxed);
        if let Some(replaced) = self.entries.pin().insert(key, entry) {
            self.bytes.fetch_sub(replaced.weight(), Relaxed);
        }
    }

    /// Removes what is under the key, or only that very entry.
    fn remove(&self, key: &Digest, entry: Option<&Arc<CachedResponse>>) -> bool {
        let entries = self.entries.pin();
        match entries.remove_if(key, |_, found| entry.is_none_or(|entry| Arc::ptr_eq(entry, found))) {
            Ok(Some((_, removed))) => {
                self.bytes.fetch_sub(removed.weight(), Relaxed);
                true
            }
            _ => false,
        }
    }
}

impl CachedResponse {
    /// Roughly what it takes in memory.
    fn weight(&self) -> usize {
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        256 + fields + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(size: usize, drop_at_ms: u64) -> Arc<CachedResponse> {
        Arc::new(CachedResponse {
            status: 200,
            fields: Fields::new(),
            body: vec![0; size].into(),
            stored_at: 0,
            ttl: 0,
            drop_at_ms,
        })
    }

    fn key(n: u16) -> Digest {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&n.to_le_bytes());
        key
    }

    #[test]
    fn entries_end() {
        let store = Store::new(1 << 20);
        store.put(key(1), entry(10, 100));
        assert!(store.get(&key(1), 99).is_some() && store.get(&key(1), 100).is_none());
        store.put(key(1), entry(10, 100));
        assert!(store.remove(&key(1)) && !store.remove(&key(1)));
        store.put(key(2), entry(10, 100));
        store.clear();
        assert!(store.get(&key(2), 0).is_none());
    }

    #[test]
    fn the_budget_holds_and_used_entries_stay() {
        let store = Store::new(100_000);
        store.put(key(0), entry(50_000, 9));
        assert!(store.get(&key(0), 0).is_none(), "too large to be kept");
        for n in 1..1_000 {
            store.put(key(n), entry(1_000, 9));
            assert!(store.get(&key(1), 0).is_some(), "used all the time");
            let generations = store.generations.load();
            assert!(generations.young.bytes.load(Relaxed) + generations.old.bytes.load(Relaxed) <= 102_000);
        }
        let kept = (1..1_000).filter(|n| store.get(&key(*n), 0).is_some()).count();
        assert!((30..=80).contains(&kept), "{kept}");
    }

    #[test]
    fn stores_are_found_again_by_name() {
        let stores = Stores::default();
        stores.open("a", 1 << 20).put(key(1), entry(1, 9));
        assert!(stores.open("a", 5).get(&key(1), 0).is_some() && stores.open("b", 1 << 20).get(&key(1), 0).is_none());
    }
}
