//! Shares transactions among threads: requests that arrive while one transaction
//! is in progress go together in the next one.
//!
//! A thread that finds no leader becomes the leader: it takes all waiting
//! requests, its own included, and carries them out. A single thread waits for
//! no other.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// Threads that were just answered mostly make their next request at once. So
/// the next leader waits up to this long for as many requests as the last time.
const GATHERING: Duration = Duration::from_micros(300);

pub(super) struct Group<T, R> {
    state: Mutex<State<T, R>>,
    changed: Condvar,
}

struct State<T, R> {
    next: u64,
    waiting: Vec<(u64, T)>,
    /// `None`: the leader panicked.
    answers: HashMap<u64, Option<R>>,
    is_led: bool,
    /// How many requests to wait for: those of the last time, and those that were pending when it was done.
    expected_requests: usize,
}

impl<T, R> Default for Group<T, R> {
    fn default() -> Self {
        let state =
            State { next: 0, waiting: Vec::new(), answers: HashMap::new(), is_led: false, expected_requests: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T, R> fmt::Debug for Group<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl<T, R> Group<T, R> {
    /// Has `run` carry out `request` together with those of other threads, and
    /// returns the answer: `None` if `run` panicked on another thread. `run`
    /// returns one answer for each request, in order.
    pub(super) fn submit(&self, request: T, run: impl FnOnce(Vec<T>) -> Vec<R>) -> Option<R> {
        let mut state = lock(&self.state);
        let number = state.next;
        state.next += 1;
        state.waiting.push((number, request));
        if state.is_led {
            self.changed.notify_all();
        }
        loop {
            if let Some(answer) = state.answers.remove(&number) {
                return answer;
            }
            if !state.is_led {
                break;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_led = true;
        let state = self.gather(state);
        self.lead(state, number, run)
    }

    /// Waits a moment for the threads that may come.
    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State<T, R>>) -> MutexGuard<'a, State<T, R>> {
        let end = Instant::now() + GATHERING;
        let expected_requests = state.expected_requests;
        while state.waiting.len() < expected_requests {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn lead<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T, R>>,
        number: u64,
        run: impl FnOnce(Vec<T>) -> Vec<R>,
    ) -> Option<R> {
        let (numbers, requests): (Vec<_>, Vec<_>) = state.waiting.drain(..).unzip();
        drop(state);
        let mut led = Led { group: self, numbers, answers: Vec::new() };
        led.answers = run(requests);
        drop(led);
        lock(&self.state).answers.remove(&number).flatten()
    }
}

/// Hands out the answers when the leader is done, or when it panics.
struct Led<'a, T, R> {
    group: &'a Group<T, R>,
    numbers: Vec<u64>,
    answers: Vec<R>,
}

impl<T, R> Drop for Led<'_, T, R> {
    fn drop(&mut self) {
        let mut state = lock(&self.group.state);
        let mut answers = std::mem::take(&mut self.answers).into_iter();
        for number in &self.numbers {
            state.answers.insert(*number, answers.next());
        }
        state.is_led = false;
        state.expected_requests = self.numbers.len() + state.waiting.len();
        drop(state);
        self.group.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn each_request_has_its_own_answer() {
        let group = Group::<u32, u32>::default();
        let runs = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (group, runs) = (&group, &runs);
                scope.spawn(move || {
                    for n in 0..50 {
                        let request = thread * 1000 + n;
                        let answer = group.submit(request, |all| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            all.into_iter().map(|one| one * 2).collect()
                        });
                        assert_eq!(answer, Some(request * 2));
                    }
                });
            }
        });
        assert!(runs.into_inner() <= 400, "each led at most for itself");
    }

    #[test]
    fn a_leader_that_panics_leaves_no_thread_waiting() {
        let group = Group::<u32, u32>::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            group.submit(1, |_| panic!("led into a wall"));
        }));
        assert!(panicked.is_err());
        assert_eq!(group.submit(2, |all| all), Some(2), "the next one leads");
    }
}
