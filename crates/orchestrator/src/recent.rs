//! What tasks of orders under way brought lately, so that the next step need not read it back from Postgres.
//! Refuses to be the truth: it holds nothing that was not committed, and forgets everything when Postgres fails,
//! for a crash may have undone the last commits.

use serde_json::Value;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

/// The most that is held, in bytes of text; the oldest goes first.
const MOST_BYTES: usize = 16 << 20;
/// What a result takes besides its text, roughly, in bytes.
const OVERHEAD: usize = 256;

/// Results by task.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    results: HashMap<Uuid, (Value, usize)>,
    /// In the order in which they came; may name what is gone already.
    came: VecDeque<Uuid>,
    bytes: usize,
}

impl Recent {
    /// Keeps what a completed task brought.
    pub(crate) fn keep(&self, id: Uuid, result: &Value) {
        let size = OVERHEAD + weight(result);
        if size > MOST_BYTES / 16 {
            return;
        }
        let mut kept = self.lock();
        kept.remove(id);
        kept.results.insert(id, (result.clone(), size));
        kept.came.push_back(id);
        kept.bytes += size;
        while kept.bytes > MOST_BYTES
            && let Some(oldest) = kept.came.pop_front()
        {
            kept.remove(oldest);
        }
        // What was let go leaves its name behind; it must not gather for ever.
        if kept.came.len() > kept.results.len().saturating_mul(2) + 1024 {
            let Kept { results, came, .. } = &mut *kept;
            came.retain(|id| results.contains_key(id));
        }
    }

    /// Adds what is known of `ids` to `found` and returns the ids of which nothing is known.
    pub(crate) fn find(&self, ids: &[Uuid], found: &mut HashMap<Uuid, Value>) -> Vec<Uuid> {
        let kept = self.lock();
        let mut missing = Vec::new();
        for id in ids.iter().filter(|id| !found.contains_key(id)).collect::<Vec<_>>() {
            match kept.results.get(id) {
                Some((result, _)) => {
                    found.insert(*id, result.clone());
                }
                None => missing.push(*id),
            }
        }
        missing
    }

    /// Lets the tasks of an order that has ended go.
    pub(crate) fn let_go(&self, ids: impl Iterator<Item = Uuid>) {
        let mut kept = self.lock();
        ids.for_each(|id| kept.remove(id));
    }

    /// Forgets everything.
    pub(crate) fn forget(&self) {
        *self.lock() = Kept::default();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, id: Uuid) {
        if let Some((_, size)) = self.results.remove(&id) {
            self.bytes = self.bytes.saturating_sub(size);
        }
    }
}

/// The bytes of all texts in a value.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(weight).sum::<usize>() + list.len() * size_of::<Value>(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + weight(value) + size_of::<Value>()).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_BYTES, Recent};
    use serde_json::json;
    use std::collections::HashMap;
    use uuid::Uuid;

    #[test]
    fn finds_what_it_keeps_and_names_what_it_does_not() {
        let recent = Recent::default();
        let [kept, gone] = [1, 2].map(Uuid::from_u128);
        recent.keep(kept, &json!({ "text": "겨울" }));
        let mut found = HashMap::new();
        assert_eq!(recent.find(&[kept, gone], &mut found), [gone]);
        assert_eq!(found[&kept]["text"], "겨울");
        recent.let_go([kept].into_iter());
        assert_eq!(recent.find(&[kept], &mut HashMap::new()), [kept]);
        recent.keep(kept, &json!({}));
        recent.forget();
        assert_eq!(recent.find(&[kept], &mut HashMap::new()), [kept]);
    }

    #[test]
    fn is_bounded_whatever_comes() {
        let recent = Recent::default();
        let text = "가".repeat(100_000);
        for id in 0..200 {
            recent.keep(Uuid::from_u128(id), &json!({ "text": text }));
        }
        assert!(recent.lock().bytes <= MOST_BYTES);
        assert!(recent.find(&[Uuid::from_u128(199)], &mut HashMap::new()).is_empty(), "the newest stays");
        for id in 0..100_000 {
            recent.keep(Uuid::from_u128(id), &json!({}));
            recent.let_go([Uuid::from_u128(id)].into_iter());
        }
        assert!(recent.lock().came.len() < 10_000, "names of what is gone do not gather");
    }
}
