//! State that handlers share, provided once when the worker is set up.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;

use crate::guard;

/// A handler parameter for a value that all jobs of a worker share, such as a
/// connection pool, a client or a setting. It is found by its type.
///
/// Provide it in the `setup` of [`main!`](crate::main!), or with
/// [`Worker::state`](crate::worker::Worker::state). A worker does not start if
/// any is missing.
///
/// ```
/// use pulpo::State;
/// # use serde::{Deserialize, Serialize};
/// struct Mailer { from: String }
///
/// # #[derive(Serialize, Deserialize)]
/// # struct SendEmail { to: String }
/// #[pulpo::handler("send_email")]
/// fn send_email(email: SendEmail, mailer: State<Mailer>) {
///     println!("from {} to {}", mailer.from, email.to);
/// }
///
/// // In a test of the handler:
/// send_email(SendEmail { to: "a@b.c".into() }, State::new(Mailer { from: "me".into() }));
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct State<T: ?Sized>(Arc<T>);

impl<T> State<T> {
    /// Creates a state directly, to call a handler in a test.
    pub fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: ?Sized> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        #[cfg(feature = "testing")]
        interleave::reached();
        &self.0
    }
}

/// Lets a test run something while a handler runs: where it uses its state or its context, publishes, or awaits.
#[cfg(feature = "testing")]
pub(crate) mod interleave {
    use std::cell::{Cell, RefCell};

    /// The code to run, after this number of further points.
    type Planned = (u8, Box<dyn FnOnce()>);

    thread_local! {
        static PLANNED: RefCell<Option<Planned>> = const { RefCell::new(None) };
        static AFTER: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
        static IS_ACTIVE: Cell<bool> = const { Cell::new(false) };
    }

    /// Returns whether this thread runs handlers among faults, so that all that they do is to happen on it, in order.
    pub(crate) fn is_active() -> bool {
        IS_ACTIVE.try_with(Cell::get).unwrap_or(false)
    }

    /// Says whether this thread runs handlers among faults.
    pub(crate) fn set_active(is_active: bool) {
        IS_ACTIVE.set(is_active);
    }

    /// Plans to run `run` on this thread, when the handler that runs next on it has passed this number of points; and
    /// to run `after` when that handler has ended, whether it has come to that or not.
    pub(crate) fn plan(points: u8, run: impl FnOnce() + 'static, after: impl FnOnce() + 'static) {
        PLANNED.set(Some((points, Box::new(run))));
        AFTER.set(Some(Box::new(after)));
    }

    /// Ends the plan: the handler has ended.
    pub(crate) fn finish() {
        drop(PLANNED.take());
        if let Some(after) = AFTER.take() {
            after();
        }
    }

    /// Runs what is planned for this point.
    pub(crate) fn reached() {
        let due = PLANNED.try_with(|planned| {
            let mut planned = planned.borrow_mut();
            match &mut *planned {
                None => None,
                Some((0, _)) => planned.take(),
                Some((points, _)) => {
                    *points -= 1;
                    None
                }
            }
        });
        if let Ok(Some((_, run))) = due {
            run();
        }
    }
}

/// Clones the reference; the value is shared.
impl<T: ?Sized> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// All states of a worker, by type.
#[derive(Clone, Default)]
pub(crate) struct States {
    values: HashMap<TypeId, (Arc<dyn Any + Send + Sync>, Given)>,
    again: Vec<(Given, Given)>,
}

/// The type of a state, and the place in the code that provided it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) type_name: &'static str,
    pub(crate) place: &'static Location<'static>,
}

impl States {
    /// Adds a state. A second one of the same type is recorded as a mistake and not used.
    #[track_caller]
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        let given = Given { type_name: type_name::<T>(), place: Location::caller() };
        let id = TypeId::of::<T>();
        if let Some((_, first)) = self.values.get(&id) {
            self.again.push((*first, given));
        } else {
            self.values.insert(id, (Arc::new(value), given));
        }
    }

    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<State<T>> {
        let (value, _) = self.values.get(&TypeId::of::<T>())?;
        value.clone().downcast().ok().map(State)
    }

    pub(crate) fn has(&self, needed: &Needed) -> bool {
        self.values.contains_key(&needed.id)
    }

    /// Returns the states that were provided twice.
    pub(crate) fn given_again(&self) -> &[(Given, Given)] {
        &self.again
    }
}

impl Drop for States {
    /// Drops each state separately, and ignores panics: the last reference may go in a lane, or as the program ends.
    fn drop(&mut self) {
        self.values.drain().for_each(guard::discard);
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.values().map(|(_, given)| given.type_name)).finish()
    }
}

/// A state that a handler takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub struct Needed {
    id: TypeId,
    pub(crate) type_name: &'static str,
}

impl Needed {
    pub(crate) fn of<T: 'static>() -> Self {
        Self { id: TypeId::of::<T>(), type_name: type_name::<T>() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_found_by_its_type() {
        let mut states = States::default();
        states.insert(7_u32);
        states.insert("text");
        assert_eq!(*states.get::<u32>().expect("given"), 7);
        assert_eq!(states.get::<&str>().expect("given").len(), 4);
        assert!(states.get::<u64>().is_none());
        assert!(states.has(&Needed::of::<u32>()) && !states.has(&Needed::of::<u64>()));
    }

    #[test]
    fn a_second_one_of_a_type_is_a_mistake_with_both_places() {
        let mut states = States::default();
        states.insert(7_u32);
        states.insert(8_u32);
        assert_eq!(*states.get::<u32>().expect("given"), 7);
        let [(first, second)] = states.given_again() else { panic!("one mistake") };
        assert_eq!((first.type_name, first.place.line() + 1), ("u32", second.place.line()));
    }
}
