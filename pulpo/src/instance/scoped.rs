//! The default of the test that a thread runs, in the place of the process's.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Inner, Pulpo, SetupError};

thread_local! {
    /// Those of this thread, the one that holds last. Weak, so that none
    /// outlives its test, and that a test need not end on its first thread.
    static SCOPED: RefCell<Vec<(u64, Weak<Inner>)>> = const { RefCell::new(Vec::new()) };
}

/// The number of the next default of any thread.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Whether this process has ever run a test with a queue of its own.
static TESTS: AtomicBool = AtomicBool::new(false);

/// The default of this thread, if it has one.
pub(super) fn current() -> Option<Pulpo> {
    SCOPED.with_borrow(|all| all.iter().rev().find_map(|(_, inner)| inner.upgrade().map(Pulpo)))
}

/// Code of a test that got to a foreign thread must not publish to the real
/// queue.
pub(super) fn refuse_after_a_test() -> Result<(), SetupError> {
    if TESTS.load(Ordering::SeqCst) { Err(SetupError::OutsideOfTest) } else { Ok(()) }
}

/// Makes it the default of this thread until it is dropped.
pub(crate) fn install(pulpo: &Pulpo) {
    push(pulpo);
}

/// Makes it the default of this thread until the returned value is dropped.
pub(crate) fn enter(pulpo: &Pulpo) -> Entered {
    Entered { number: push(pulpo), thread: PhantomData }
}

fn push(pulpo: &Pulpo) -> u64 {
    TESTS.store(true, Ordering::SeqCst);
    SCOPED.with_borrow_mut(|all| {
        all.retain(|(_, inner)| inner.strong_count() > 0);
        // Never one that a guard of an earlier test may still have.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        all.push((number, Arc::downgrade(&pulpo.0)));
        number
    })
}

/// A thread that belongs to a test for as long as this lives: `pulpo::publish`
/// on it goes to the queue of the test.
#[derive(Debug)]
#[must_use = "the thread belongs to the test until this is dropped"]
pub struct Entered {
    number: u64,
    /// It is of its thread.
    thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Not at the end of the thread, when the list may be gone.
        let _ = SCOPED.try_with(|all| all.borrow_mut().retain(|(number, _)| *number != self.number));
    }
}
