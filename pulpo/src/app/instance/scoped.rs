//! The default of the test that a thread runs, in place of the process's.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Inner, Pulpo, SetupError};

thread_local! {
    /// The defaults of this thread; the last one counts. Weak, so that none outlives its test, and a test need not end
    /// on its first thread.
    static SCOPED: RefCell<Vec<(u64, Weak<Inner>)>> = const { RefCell::new(Vec::new()) };
}

/// The number of the next default of any thread.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Whether this process has ever run a test with a queue of its own.
static TESTS: AtomicBool = AtomicBool::new(false);

/// Returns the default of this thread, if it has one.
pub(super) fn current() -> Option<Pulpo> {
    SCOPED.with_borrow(|all| all.iter().rev().find_map(|(_, inner)| inner.upgrade().map(Pulpo)))
}

/// Refuses a publication to the real queue by test code that runs on a foreign thread.
pub(super) fn refuse_after_a_test() -> Result<(), SetupError> {
    if TESTS.load(Ordering::SeqCst) { Err(SetupError::OutsideOfTest) } else { Ok(()) }
}

/// Makes the value the default of this thread until it is dropped.
pub(crate) fn install(pulpo: &Pulpo) {
    push(pulpo);
}

/// Makes the value the default of this thread until the returned guard is dropped.
pub(crate) fn enter(pulpo: &Pulpo) -> Entered {
    Entered { number: push(pulpo), thread: PhantomData }
}

fn push(pulpo: &Pulpo) -> u64 {
    TESTS.store(true, Ordering::SeqCst);
    SCOPED.with_borrow_mut(|all| {
        all.retain(|(_, inner)| inner.strong_count() > 0);
        // Never a number that a guard of an earlier test may still have.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        all.push((number, Arc::downgrade(&pulpo.0)));
        number
    })
}

/// Makes its thread part of a test for as long as it lives: `pulpo::publish` there goes to the queue of the test.
#[derive(Debug)]
#[must_use = "the thread belongs to the test until this is dropped"]
pub struct Entered {
    number: u64,
    /// Keeps it on its thread.
    thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Fails at the end of the thread, when the list may be gone.
        let _ = SCOPED.try_with(|all| all.borrow_mut().retain(|(number, _)| *number != self.number));
    }
}
