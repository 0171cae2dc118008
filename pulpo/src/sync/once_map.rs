//! A map that only grows, and that no thread can leave locked.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};

use once_cell::race::OnceBox;

/// More than most programs have entries, so that a look-up compares about one key.
const BUCKETS: usize = 64;

/// Keeps each value that was ever put into it. No thread waits for another one here, so a fork can use it whatever the
/// threads of its parent were doing.
pub(crate) struct OnceMap<K, V> {
    buckets: [OnceBox<Entry<K, V>>; BUCKETS],
}

/// An entry, followed by the later ones of its bucket.
struct Entry<K, V> {
    key: K,
    value: V,
    next: OnceBox<Self>,
}

impl<K: Eq + Hash, V> OnceMap<K, V> {
    pub(crate) const fn new() -> Self {
        Self { buckets: [const { OnceBox::new() }; BUCKETS] }
    }

    /// Returns the value of this key, which is created at the first call. Several threads may create it at once: the
    /// value of the first to finish stays, and the others are dropped.
    pub(crate) fn get_or_insert_with(&self, key: K, make: impl FnOnce(&K) -> V) -> &V {
        let mut place = self.bucket(&key);
        while let Some(entry) = place.get() {
            if entry.key == key {
                return &entry.value;
            }
            place = &entry.next;
        }
        let value = make(&key);
        let mut ours = Box::new(Entry { key, value, next: OnceBox::new() });
        loop {
            let set = place.set(ours);
            let entry = place.get().expect("it was just filled, here or by another thread");
            ours = match set {
                Err(ours) if entry.key != ours.key => ours,
                _ => return &entry.value,
            };
            place = &entry.next;
        }
    }

    fn bucket(&self, key: &K) -> &OnceBox<Entry<K, V>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        &self.buckets[usize::try_from(hash % BUCKETS as u64).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn each_key_has_the_value_that_was_made_first() {
        let map = OnceMap::new();
        for round in 0..3 {
            for key in 0..1000_u32 {
                assert_eq!(*map.get_or_insert_with(key, |key| (*key, round)), (key, 0));
            }
        }
    }

    #[test]
    fn threads_that_insert_together_agree() {
        let map = OnceMap::new();
        let all: Vec<Vec<u32>> = std::thread::scope(|scope| {
            let insert = |thread| (0..500_u32).map(|key| *map.get_or_insert_with(key, |_| thread)).collect();
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || insert(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(all.iter().all(|values| *values == all[0]));
    }

    /// As a fork finds the map, if it is made at that moment.
    #[test]
    fn no_thread_waits_for_one_that_is_making_a_value() {
        let map = OnceMap::new();
        let (begun, is_begun) = mpsc::channel();
        let (finish, may_finish) = mpsc::channel();
        std::thread::scope(|scope| {
            let map = &map;
            let slow = scope.spawn(move || {
                *map.get_or_insert_with("one", |_| {
                    begun.send(()).expect("waited for");
                    may_finish.recv().expect("told");
                    1
                })
            });
            is_begun.recv().expect("begun");
            assert_eq!(*map.get_or_insert_with("one", |_| 2), 2);
            assert_eq!(*map.get_or_insert_with("other", |_| 3), 3);
            finish.send(()).expect("waited for");
            assert_eq!(slow.join().expect("no panic"), 2);
        });
    }
}
