//! What other servers have said of callers, for a while: found by hashes, so that no secret is kept for that.

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Answers of any kind, one such cache for a whole node ([`crate::Env::shared`]).
#[derive(Debug, Default)]
pub struct AnswerCache {
    answers: papaya::HashMap<Question, Kept>,
    octets: AtomicUsize,
}

/// The hash of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question([u8; 32]);

#[derive(Debug)]
struct Kept {
    answer: Value,
    octets: usize,
    ends: Instant,
}

/// How much is kept, as JSON.
const MOST_OCTETS: usize = 32 << 20;
/// What an answer takes beside its JSON.
const OVERHEAD: usize = 256;

impl Question {
    /// Of these parts, each with its length, so that no two lists are the same question. The first one is the plugin's
    /// name.
    pub fn of(parts: &[&[u8]]) -> Question {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Question(hash)
    }
}

impl AnswerCache {
    /// An answer that is still good.
    pub fn find(&self, question: &Question) -> Option<Value> {
        let answers = self.answers.pin();
        let kept = answers.get(question)?;
        (kept.ends > Instant::now()).then(|| kept.answer.clone())
    }

    /// Keeps an answer. Where there is no room, those that are over make it, or else all.
    pub fn put(&self, question: Question, answer: Value, time: Duration) {
        if time.is_zero() {
            return;
        }
        let octets = answer.to_string().len() + OVERHEAD;
        let answers = self.answers.pin();
        if self.octets.load(Relaxed) + octets > MOST_OCTETS {
            let now = Instant::now();
            answers.retain(|_, kept| kept.ends > now);
            let left: usize = answers.iter().map(|(_, kept)| kept.octets).sum();
            if left + octets > MOST_OCTETS {
                answers.clear();
            }
            self.octets.store(if left + octets > MOST_OCTETS { 0 } else { left }, Relaxed);
        }
        self.octets.fetch_add(octets, Relaxed);
        let ends = Instant::now() + time;
        if let Some(former) = answers.insert(question, Kept { answer, octets, ends }) {
            self.octets.fetch_sub(former.octets.min(self.octets.load(Relaxed)), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn question(part: &str) -> Question {
        Question::of(&[part.as_bytes()])
    }

    #[test]
    fn answers_are_kept_for_a_while_and_within_bounds() {
        let cache = AnswerCache::default();
        cache.put(question("a"), json!({ "a": 1 }), Duration::from_secs(60));
        cache.put(question("b"), json!({ "b": 1 }), Duration::ZERO);
        assert_eq!(cache.find(&question("a")), Some(json!({ "a": 1 })));
        assert_eq!(cache.find(&question("b")), None);
        for n in 0..40 {
            cache.put(question(&n.to_string()), json!("x".repeat(1 << 20)), Duration::from_secs(60));
        }
        let kept: usize = cache.answers.pin().iter().map(|(_, kept)| kept.octets).sum();
        assert!(kept <= MOST_OCTETS);
        assert_eq!(cache.octets.load(Relaxed), kept);
    }

    #[test]
    fn questions_are_told_apart() {
        assert_ne!(Question::of(&[b"ab", b"c"]), Question::of(&[b"a", b"bc"]));
    }
}
