//! A map whose keys are unique in their workspace only.

use foldhash::fast::RandomState;
use model::entities::Uuid;
use rpds::HashTrieMapSync;
use std::borrow::Borrow;
use std::hash::Hash;

/// Values by workspace and key. Clones share what does not change.
#[derive(Clone)]
pub(crate) struct ByWorkspace<K: Eq + Hash, V>(HashTrieMapSync<Uuid, Keys<K, V>, RandomState>);

type Keys<K, V> = HashTrieMapSync<K, V, RandomState>;

impl<K: Clone + Eq + Hash, V: Clone> ByWorkspace<K, V> {
    /// The value of that key in that workspace.
    pub fn find<Q: Eq + Hash + ?Sized>(&self, workspace: &Uuid, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(workspace)?.get(key)
    }

    /// Adds a value or replaces the one with the same key.
    pub fn insert(&mut self, workspace: Uuid, key: K, value: V) {
        let mut keys = self.0.get(&workspace).cloned().unwrap_or_default();
        keys.insert_mut(key, value);
        self.0.insert_mut(workspace, keys);
    }

    /// Removes a value.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, workspace: &Uuid, key: &Q)
    where
        K: Borrow<Q>,
    {
        let Some(mut keys) = self.0.get(workspace).cloned() else { return };
        keys.remove_mut(key);
        if keys.is_empty() {
            self.0.remove_mut(workspace);
        } else {
            self.0.insert_mut(*workspace, keys);
        }
    }
}

impl<K: Eq + Hash, V> Default for ByWorkspace<K, V> {
    fn default() -> ByWorkspace<K, V> {
        ByWorkspace(HashTrieMapSync::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    #[test]
    fn equal_keys_of_two_workspaces_are_two() {
        let mut map: ByWorkspace<String, u8> = ByWorkspace::default();
        map.insert(A, "k".to_owned(), 1);
        assert_eq!(map.find(&B, "k"), None);
        map.insert(B, "k".to_owned(), 2);
        assert_eq!(map.find(&A, "k"), Some(&1));
        map.remove(&A, "k");
        assert_eq!(map.find(&A, "k"), None);
        assert_eq!(map.find(&B, "k"), Some(&2));
    }
}
