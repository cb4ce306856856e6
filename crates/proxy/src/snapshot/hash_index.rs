//! Records found by something in them.

use foldhash::fast::RandomState;
use immutable_chunkmap::map::MapS;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Records by the hash of what they are found by, which stays in the records: a few octets each, for millions of them.
/// Clones share what does not change.
pub(super) struct HashIndex<T> {
    records: MapS<u64, Bucket<T>>,
    hasher: RandomState,
}

/// The records with one hash: one, but for accidents.
enum Bucket<T> {
    One(Arc<T>),
    Several(Arc<[Arc<T>]>),
}

impl<T> HashIndex<T> {
    /// The record with that key; `is` tells it from others with the same hash.
    pub fn find<K: Hash>(&self, key: &K, is: impl Fn(&T) -> bool) -> Option<&Arc<T>> {
        self.records.get(&self.hasher.hash_one(key))?.records().iter().find(|record| is(record))
    }

    /// Adds a record, in place of the one with the same key.
    pub fn insert<K: Hash>(&mut self, key: &K, record: Arc<T>, is: impl Fn(&T) -> bool) {
        let hash = self.hasher.hash_one(key);
        let bucket = match self.records.get(&hash).map(|bucket| bucket.without(is)) {
            None => Bucket::One(record),
            Some(others) if others.is_empty() => Bucket::One(record),
            Some(mut others) => {
                others.push(record);
                Bucket::Several(others.into())
            }
        };
        self.records.insert_cow(hash, bucket);
    }

    /// Removes the record with that key.
    pub fn remove<K: Hash>(&mut self, key: &K, is: impl Fn(&T) -> bool) {
        let hash = self.hasher.hash_one(key);
        let Some(mut others) = self.records.get(&hash).map(|bucket| bucket.without(is)) else { return };
        match (others.pop(), others.is_empty()) {
            (None, _) => drop(self.records.remove_cow(&hash)),
            (Some(last), true) => drop(self.records.insert_cow(hash, Bucket::One(last))),
            (Some(last), false) => {
                others.push(last);
                self.records.insert_cow(hash, Bucket::Several(others.into()));
            }
        }
    }
}

impl<T> Clone for HashIndex<T> {
    fn clone(&self) -> HashIndex<T> {
        HashIndex { records: self.records.clone(), hasher: self.hasher.clone() }
    }
}

impl<T> Default for HashIndex<T> {
    fn default() -> HashIndex<T> {
        HashIndex { records: MapS::new(), hasher: RandomState::default() }
    }
}

impl<T> Bucket<T> {
    fn records(&self) -> &[Arc<T>] {
        match self {
            Bucket::One(record) => std::slice::from_ref(record),
            Bucket::Several(records) => records,
        }
    }

    fn without(&self, is: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        self.records().iter().filter(|record| !is(record)).cloned().collect()
    }
}

impl<T> Clone for Bucket<T> {
    fn clone(&self) -> Bucket<T> {
        match self {
            Bucket::One(record) => Bucket::One(Arc::clone(record)),
            Bucket::Several(records) => Bucket::Several(Arc::clone(records)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;

    /// A key whose hash says nothing.
    struct Colliding;

    impl Hash for Colliding {
        fn hash<H: Hasher>(&self, _: &mut H) {}
    }

    #[test]
    fn records_are_found_by_their_keys() {
        let mut index = HashIndex::default();
        for n in 0..2_000 {
            index.insert(&n, Arc::new(n), |other| *other == n);
        }
        let before = index.clone();
        index.remove(&7, |other| *other == 7);
        assert!(index.find(&7, |other| *other == 7).is_none());
        assert_eq!(index.find(&8, |other| *other == 8).map(|n| **n), Some(8));
        assert_eq!(before.find(&7, |other| *other == 7).map(|n| **n), Some(7));
    }

    #[test]
    fn records_whose_hashes_collide_are_kept_apart() {
        let mut index = HashIndex::default();
        for n in [1, 2, 3, 2] {
            index.insert(&Colliding, Arc::new(n), |other| *other == n);
        }
        let has = |index: &HashIndex<i32>, n| index.find(&Colliding, |other| *other == n).is_some();
        for gone in [2, 1, 3] {
            assert!(has(&index, gone));
            index.remove(&Colliding, |other| *other == gone);
            assert!(!has(&index, gone));
        }
        assert!(index.records.get(&index.hasher.hash_one(Colliding)).is_none());
    }
}
