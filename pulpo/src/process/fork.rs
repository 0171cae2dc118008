//! Detects that a process is a fork of the one that opened something.
//!
//! A fork copies the memory of a process and shares its files and sockets, but has none of its threads. So two
//! processes would use one connection, a lock that another thread held stays locked forever, and a thread that is
//! waited for does not exist. Nothing here takes a lock that a thread of the parent could have held at the moment of
//! the fork.
//!
//! - [`Birthplace`] remembers a process: compare it before you take a lock or
//!   use a connection, and refuse with [`Forked`] or open a new one.
//! - [`Unforked`] holds a value that must not be dropped in a fork, because closing it there would take it away from
//!   the parent, or wait for a thread.
//! - [`PerProcess`] is a static or a field with a value for each process.
//! - [`FirstUse`] is for a library that sets something up once in a program, under a lock of its own: a fork that was made
//!   at that moment is refused, since it would wait for a thread that it does not have.
//! - [`OnceMap`](crate::sync::OnceMap) and the cells of `once_cell::race` are never locked. Data that all processes
//!   of a program may read and add to is in these, not in a `Mutex`, a `OnceLock` or a `LazyLock`.
//!
//! A process is identified by its id. A grandchild that gets the id of its dead grandparent is not detected if no
//! process between the two has used pulpo.

use std::ops::{Deref, DerefMut};
#[cfg(any(feature = "tokio", feature = "http", feature = "postgres", test))]
use std::sync::atomic::{AtomicBool, Ordering};

use once_cell::race::OnceBox;

/// The error of an operation that is refused in a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process was forked from process {parent}, which had opened it: fork before the first use of the queue, or \
     start the child as a program of its own (`exec`, `std::process::Command`)"
)]
pub struct Forked {
    parent: u32,
}

/// The process in which something was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Birthplace(u32);

impl Birthplace {
    /// Returns this process.
    pub(crate) fn here() -> Self {
        Self(std::process::id())
    }

    /// Returns the process with this id.
    #[cfg(any(feature = "file", all(feature = "cli", test)))]
    pub(crate) fn of(id: u32) -> Self {
        Self(id)
    }

    /// Returns whether this process is the one remembered, and not a fork of it. Costs one system call, about 100 ns.
    pub(crate) fn is_here(self) -> bool {
        self == Self::here()
    }

    /// Returns an error in a fork.
    #[cfg_attr(
        not(any(feature = "file", feature = "beanstalkd")),
        allow(dead_code, reason = "for what opens connections")
    )]
    pub(crate) fn check(self) -> Result<(), Forked> {
        if self.is_here() { Ok(()) } else { Err(Forked { parent: self.0 }) }
    }
}

/// Returns whether this process is a fork of one that had used pulpo before: anything it finds may belong to threads
/// that it does not have. Call it early, because the first process to call it counts as the parent.
pub(crate) fn in_fork() -> bool {
    static FIRST: OnceBox<Birthplace> = OnceBox::new();
    !FIRST.get_or_init(|| Box::new(Birthplace::here())).is_here()
}

/// A value that is dropped only by the process that created it; a fork leaks its copy.
#[derive(Debug)]
pub(crate) struct Unforked<T> {
    birthplace: Birthplace,
    /// Present until it is dropped.
    value: Option<T>,
}

impl<T> Unforked<T> {
    #[cfg_attr(not(feature = "file"), allow(dead_code, reason = "for what must not be closed in a fork"))]
    pub(crate) fn new(value: T) -> Self {
        Self { birthplace: Birthplace::here(), value: Some(value) }
    }

    pub(crate) fn birthplace(&self) -> Birthplace {
        self.birthplace
    }
}

impl<T> Deref for Unforked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is taken out only by the drop")
    }
}

impl<T> DerefMut for Unforked<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is taken out only by the drop")
    }
}

impl<T> Drop for Unforked<T> {
    fn drop(&mut self) {
        if !self.birthplace.is_here() {
            std::mem::forget(self.value.take());
        }
    }
}

/// A value for each process: a fork does not see its parent's, and creates its own when it first asks. Creating one
/// must not open anything: two threads may do so at once, and one of the values is thrown away.
#[derive(Debug)]
pub(crate) struct PerProcess<T>(OnceBox<Generation<T>>);

/// The value of one process, followed by those of its forks.
#[derive(Debug)]
struct Generation<T> {
    value: Unforked<T>,
    next: OnceBox<Self>,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceBox::new())
    }

    /// Returns the value of this process.
    pub(crate) fn get_or_init(&self, make: impl Fn() -> T) -> &T {
        self.get_in(Birthplace::here(), make)
    }

    /// Returns the value of this process, if it has been created.
    #[cfg(any(feature = "postgres", feature = "http"))]
    pub(crate) fn of_this_process(&self) -> Option<&T> {
        let mut generation = self.0.get()?;
        while let Some(next) = generation.next.get() {
            generation = next;
        }
        generation.value.birthplace().is_here().then(|| &*generation.value)
    }

    fn get_in(&self, process: Birthplace, make: impl Fn() -> T) -> &T {
        let fresh = || {
            let value = Unforked { birthplace: process, value: Some(make()) };
            Box::new(Generation { value, next: OnceBox::new() })
        };
        let mut generation = self.0.get_or_init(fresh);
        // Only the newest one counts: an earlier one with our id belongs to an ancestor that has died.
        loop {
            generation = match generation.next.get() {
                Some(next) => next,
                None if generation.value.birthplace() == process => return &generation.value,
                None => generation.next.get_or_init(fresh),
            };
        }
    }
}

impl<T: Default> PerProcess<T> {
    /// Returns the value of this process.
    pub(crate) fn get(&self) -> &T {
        self.get_or_init(T::default)
    }
}

/// The first use of a library that then sets something up, once in a program and under a lock of its own.
///
/// A fork that is made while a thread of its parent holds that lock finds it locked forever. So this remembers which
/// process began.
#[cfg(any(feature = "tokio", feature = "http", feature = "postgres", test))]
#[derive(Debug)]
pub(crate) struct FirstUse {
    begun: OnceBox<Birthplace>,
    is_done: AtomicBool,
}

/// The first runtime with sockets, for which Tokio sets up the receipt of signals if any crate of the program uses that.
#[cfg(any(feature = "tokio", feature = "http", feature = "postgres"))]
pub(crate) static RUNTIMES: FirstUse = FirstUse::new();

#[cfg(any(feature = "tokio", feature = "http", feature = "postgres", test))]
impl FirstUse {
    const fn new() -> Self {
        Self { begun: OnceBox::new(), is_done: AtomicBool::new(false) }
    }

    /// Calls `make`, which uses the library.
    ///
    /// # Errors
    /// Those of `make`, or [`Forked`] in a fork of a process that had begun with its first use and had not finished.
    pub(crate) fn run<R, E>(
        &self,
        refused: impl FnOnce(Forked) -> E,
        make: impl FnOnce() -> Result<R, E>,
    ) -> Result<R, E> {
        if !self.is_done.load(Ordering::Acquire) {
            self.begun.get_or_init(|| Box::new(Birthplace::here())).check().map_err(refused)?;
        }
        let made = make()?;
        self.is_done.store(true, Ordering::Release);
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn a_value_of_another_process_is_refused() {
        assert_eq!(Birthplace::here().check(), Ok(()));
        let parent = std::process::id().wrapping_add(1);
        let refused = Birthplace(parent).check().expect_err("made elsewhere").to_string();
        assert!(refused.starts_with(&format!("this process was forked from process {parent}, ")), "{refused}");
    }

    #[test]
    fn a_fork_leaks_its_copy_of_what_its_parent_opened() {
        let open = Arc::new(());
        drop(Unforked::new(open.clone()));
        assert_eq!(Arc::strong_count(&open), 1, "closed by the process that opened it");
        drop(Unforked { birthplace: Birthplace(0), value: Some(open.clone()) });
        assert_eq!(Arc::strong_count(&open), 2, "left alone by another");
    }

    #[test]
    fn a_fork_is_refused_that_was_made_during_the_first_use_of_a_library() {
        let use_it = |library: &FirstUse| library.run(|refused| refused, || Ok::<_, Forked>(7));
        let parent = Birthplace(std::process::id().wrapping_add(1));
        let begun = FirstUse { begun: OnceBox::with_value(Box::new(parent)), ..FirstUse::new() };
        assert_eq!(use_it(&begun), Err(Forked { parent: parent.0 }));
        let done = FirstUse { is_done: AtomicBool::new(true), ..begun };
        assert_eq!(use_it(&done), Ok(7), "nothing holds the lock any more");
        let fresh = FirstUse::new();
        let failed = fresh.run(|refused| refused, || Err::<u8, _>(Forked { parent: 0 }));
        assert_eq!((failed, use_it(&fresh)), (Err(Forked { parent: 0 }), Ok(7)), "another try in the same process");
        assert!(fresh.is_done.into_inner());
    }

    #[test]
    fn each_process_of_a_line_of_forks_has_a_value_of_its_own() {
        static VALUES: PerProcess<u32> = PerProcess::new();
        let made = AtomicU32::new(0);
        let value_in = |process| *VALUES.get_in(Birthplace(process), || made.fetch_add(1, Ordering::Relaxed));
        assert_eq!((value_in(7), value_in(7)), (0, 0));
        assert_eq!((value_in(8), value_in(8)), (1, 1));
        // The first process has died, and its id is used again.
        assert_eq!((value_in(7), value_in(7)), (2, 2));
    }
}
