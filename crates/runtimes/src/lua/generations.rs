//! Which values of `kong.cache` are still good: numbers that grow when what they stand for changes. All workers look at
//! the same; two keys may share one, and are loaded anew together then.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

const COUNT: usize = 1 << 14;

static ALL: AtomicU64 = AtomicU64::new(0);
static BY_KEY: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];

/// That of a key. A value that was kept under another one is good no more.
pub fn of(key: &[u8]) -> u64 {
    let mut sum = ALL.load(Ordering::Acquire).wrapping_add(counter(key).load(Ordering::Acquire));
    // Keys of records begin with their entity.
    if let Some(end) = key.iter().position(|octet| *octet == b':') {
        sum = sum.wrapping_add(counter(&key[..end + 1]).load(Ordering::Acquire));
    }
    sum
}

/// What is kept under this key, or, where it ends with a colon, under all that begin with it, is good no more.
pub fn invalidate(key: &[u8]) {
    counter(key).fetch_add(1, Ordering::Release);
}

/// Nothing that is kept is good any more.
pub fn invalidate_all() {
    ALL.fetch_add(1, Ordering::Release);
}

fn counter(key: &[u8]) -> &'static AtomicU64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    &BY_KEY[hasher.finish() as usize % COUNT]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_another_generation() {
        let key = b"things:1:::::";
        let before = of(key);
        invalidate(key);
        let after = of(key);
        assert!(after > before);
        invalidate(b"things:");
        assert!(of(key) > after);
    }
}
