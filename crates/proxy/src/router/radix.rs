//! A persistent radix tree over byte strings: all keys that are a prefix of a given string are found in one walk.
//!
//! Cloning a tree is one reference count. Changing a clone copies the nodes on the way to the key, unless nobody
//! else holds them; all others stay shared.

use std::sync::Arc;

/// A map from byte strings to `V`.
#[derive(Clone)]
pub struct Tree<V> {
    root: Arc<Node<V>>,
}

#[derive(Clone)]
struct Node<V> {
    /// What the key has here beyond the parent's; empty in the root only.
    label: Box<[u8]>,
    value: Option<V>,
    /// The first byte of each child's label, in the order of `children`.
    firsts: Vec<u8>,
    children: Vec<Arc<Node<V>>>,
}

impl<V> Tree<V> {
    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.root.value.is_none() && self.root.children.is_empty()
    }

    /// Visits the values of all keys that `text` starts with, shortest first, with the length of the key.
    pub fn walk<'a>(&'a self, text: &[u8], mut visit: impl FnMut(usize, &'a V)) {
        let mut node = &*self.root;
        let mut depth = 0;
        loop {
            if let Some(value) = &node.value {
                visit(depth, value);
            }
            let Some(child) = text.get(depth).and_then(|&b| node.child(b)) else { return };
            if !text[depth..].starts_with(&child.label) {
                return;
            }
            depth += child.label.len();
            node = child;
        }
    }

    /// Visits all values.
    #[cfg(test)]
    pub fn for_each(&self, visit: &mut impl FnMut(&V)) {
        fn visit_all<V>(node: &Node<V>, visit: &mut impl FnMut(&V)) {
            node.value.iter().for_each(&mut *visit);
            node.children.iter().for_each(|child| visit_all(child, visit));
        }
        visit_all(&self.root, visit);
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        let mut found = None;
        self.walk(key, |depth, value| {
            if depth == key.len() {
                found = Some(value);
            }
        });
        found
    }

    /// The indices of the children on the way to a key.
    fn trail(&self, key: &[u8]) -> Option<Vec<usize>> {
        let mut node = &*self.root;
        let (mut rest, mut trail) = (key, Vec::new());
        while let Some(&first) = rest.first() {
            let at = node.position(first)?;
            node = &node.children[at];
            rest = rest.strip_prefix(&*node.label)?;
            trail.push(at);
        }
        node.value.as_ref().map(|_| trail)
    }
}

impl<V: Clone> Tree<V> {
    /// The value of a key, put there by `make` when there is none.
    pub fn entry(&mut self, key: &[u8], make: impl FnOnce() -> V) -> &mut V {
        let mut node = Arc::make_mut(&mut self.root);
        let mut rest = key;
        while let Some(&first) = rest.first() {
            let at = match node.position(first) {
                Some(at) => at,
                None => {
                    node.push(Node { label: rest.into(), value: None, firsts: Vec::new(), children: Vec::new() });
                    node.children.len() - 1
                }
            };
            let child = &mut node.children[at];
            let common = child.label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < child.label.len() {
                let mut lower = Node::clone(child);
                let mut upper =
                    Node { label: child.label[..common].into(), value: None, firsts: Vec::new(), children: Vec::new() };
                lower.label = lower.label[common..].into();
                upper.push(lower);
                *child = Arc::new(upper);
            }
            rest = &rest[common..];
            node = Arc::make_mut(child);
        }
        node.value.get_or_insert_with(make)
    }

    /// Changes the value of a key; it goes away when `change` says that nothing is left of it.
    pub fn change(&mut self, key: &[u8], change: impl FnOnce(&mut V) -> bool) {
        let Some(trail) = self.trail(key) else { return };
        let mut node = Arc::make_mut(&mut self.root);
        for &at in &trail {
            node = Arc::make_mut(&mut node.children[at]);
        }
        let Some(value) = &mut node.value else { return };
        if !change(value) {
            self.prune(&trail);
        }
    }

    /// Takes away the value at the end of the trail, and the nodes that are not needed any more.
    fn prune(&mut self, trail: &[usize]) {
        let mut node = Arc::make_mut(&mut self.root);
        let Some((&last, way)) = trail.split_last() else {
            node.value = None;
            return;
        };
        for &at in way {
            node = Arc::make_mut(&mut node.children[at]);
        }
        let target = Arc::make_mut(&mut node.children[last]);
        target.value = None;
        match target.children.len() {
            0 => {
                node.firsts.swap_remove(last);
                node.children.swap_remove(last);
                // The root keeps its empty label; any other node without value needs two children to be of use.
                if !way.is_empty() {
                    node.absorb();
                }
            }
            _ => target.absorb(),
        }
    }
}

impl<V> Node<V> {
    fn position(&self, first: u8) -> Option<usize> {
        // Most have so few that a general search is not worth its beginning.
        match self.firsts.len() {
            ..=8 => self.firsts.iter().position(|&b| b == first),
            _ => memchr::memchr(first, &self.firsts),
        }
    }

    fn child(&self, first: u8) -> Option<&Node<V>> {
        self.position(first).map(|at| &*self.children[at])
    }

    fn push(&mut self, child: Node<V>) {
        self.firsts.push(child.label[0]);
        self.children.push(Arc::new(child));
    }
}

impl<V: Clone> Node<V> {
    /// Becomes one with its only child, when it has no value of its own.
    fn absorb(&mut self) {
        if self.value.is_some() || self.children.len() != 1 {
            return;
        }
        let Some(child) = self.children.pop() else { return };
        let mut child = Arc::unwrap_or_clone(child);
        child.label = [&*self.label, &*child.label].concat().into();
        *self = child;
    }
}

impl<V> Default for Tree<V> {
    fn default() -> Tree<V> {
        Tree { root: Arc::new(Node { label: Box::default(), value: None, firsts: Vec::new(), children: Vec::new() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn found(tree: &Tree<u32>, text: &str) -> Vec<(usize, u32)> {
        let mut out = Vec::new();
        tree.walk(text.as_bytes(), |depth, value| out.push((depth, *value)));
        out
    }

    #[test]
    fn walks_all_prefixes() {
        let mut tree = Tree::default();
        for (i, key) in ["/", "/a", "/ab/c", "/ab/d", "", "/b"].into_iter().enumerate() {
            tree.entry(key.as_bytes(), || i as u32);
        }
        assert_eq!(found(&tree, "/ab/c/x"), [(0, 4), (1, 0), (2, 1), (5, 2)]);
        assert_eq!(found(&tree, "/ab"), [(0, 4), (1, 0), (2, 1)]);
        assert_eq!(found(&tree, "x"), [(0, 4)]);
    }

    #[test]
    fn agrees_with_a_map_and_leaves_old_versions_alone() {
        let mut seed = 7u64;
        let mut next = move |n: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        let (mut tree, mut map) = (Tree::default(), BTreeMap::<Vec<u8>, u32>::new());
        for round in 0..4000u32 {
            let key: Vec<u8> = (0..next(6)).map(|_| b'a' + next(3) as u8).collect();
            let (before, before_map) = (tree.clone(), map.clone());
            if next(2) == 0 {
                *tree.entry(&key, || 0) = round;
                map.insert(key.clone(), round);
            } else {
                tree.change(&key, |_| false);
                map.remove(&key);
            }
            for (tree, map) in [(&tree, &map), (&before, &before_map)] {
                for (key, value) in map {
                    assert_eq!(tree.get(key), Some(value));
                }
                assert_eq!(tree.is_empty(), map.is_empty());
            }
            assert_eq!(tree.get(&key), map.get(&key));
        }
        for key in map.keys() {
            tree.change(key, |_| false);
        }
        assert!(tree.is_empty() && tree.root.firsts.is_empty());
    }

    #[test]
    fn a_change_copies_only_the_way_to_it() {
        let mut tree = Tree::default();
        for i in 0..1000 {
            tree.entry(format!("/{i:03}/x").as_bytes(), || i);
        }
        let mut changed = tree.clone();
        *changed.entry(b"/500/x", || 0) = 7;
        let shared = |a: &Node<i32>, b: &Node<i32>| {
            a.children.iter().zip(&b.children).filter(|(a, b)| Arc::ptr_eq(a, b)).count()
        };
        let (a, b) = (&tree.root.children[0], &changed.root.children[0]);
        assert_eq!(a.children.len(), 10);
        assert_eq!(shared(a, b), 9);
        assert_eq!(tree.get(b"/500/x"), Some(&500));
        assert_eq!(changed.get(b"/500/x"), Some(&7));
    }
}
