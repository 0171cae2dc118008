//! One call of a handler: the bodies, and its other parameters.

use std::cell::RefCell;
use std::collections::HashMap;

use serde::de::DeserializeOwned;

use super::Context;
use crate::guard;
use crate::job::{Never, Undecided};
use crate::message::{MessageError, WireBody};
use crate::state::{Needed, State};

/// One call of a handler: the source of its parameters.
#[doc(hidden)]
#[derive(Debug)]
pub struct Run<'run> {
    /// One body, or those of a batch.
    bodies: &'run [WireBody<'run>],
    pub(crate) context: &'run Context,
    /// The bodies of a batch that do not fit, by their position.
    unfit: RefCell<HashMap<usize, UnfitBody>>,
}

/// Why the handler was not called with a body of its batch.
#[derive(Debug)]
pub(crate) enum UnfitBody {
    Unreadable(MessageError),
    /// Reading it panicked, with this text.
    Panicked(String),
}

impl<'run> Run<'run> {
    pub(crate) fn new(bodies: &'run [WireBody<'run>], context: &'run Context) -> Self {
        Self { bodies, context, unfit: RefCell::default() }
    }

    /// Returns the body of the only message.
    pub(crate) fn body(&self) -> WireBody<'run> {
        self.bodies.first().copied().unwrap_or(WireBody::unmarked(None))
    }

    /// Returns the bodies that fit; `None` if none does.
    pub(crate) fn bodies<B: DeserializeOwned>(&self) -> Option<Vec<B>> {
        let mut all = Vec::with_capacity(self.bodies.len());
        for (index, body) in self.bodies.iter().enumerate() {
            let unfit = match guard::catch(|| body.decode()) {
                Ok(Ok(body)) => {
                    all.push(body);
                    continue;
                }
                Ok(Err(error)) => UnfitBody::Unreadable(error),
                // The other bodies of the batch can still be read.
                Err(text) => UnfitBody::Panicked(text),
            };
            self.unfit.borrow_mut().insert(index, unfit);
        }
        (!all.is_empty()).then_some(all)
    }

    pub(crate) fn into_unfit(self) -> HashMap<usize, UnfitBody> {
        self.unfit.into_inner()
    }
}

/// Types that all threads of a worker can share, as one trait, so that a type that cannot be shared has one error.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a state: the threads of a worker share it",
    label = "expected a type that is `Send`, `Sync` and `'static`",
    note = "what is not `Sync` goes into a `Mutex`; a trait object says so itself: `Box<dyn Trait + Send + Sync>`"
)]
pub trait Shared: Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Send + Sync + 'static> Shared for T {}

// Never holds: see `Coded`.
#[diagnostic::do_not_recommend]
impl<T> Shared for T
where
    Never<T>: Undecided,
    T: Shared,
{
}

/// Types that a handler may take after the body: [`&Context`](Context) and [`State<T>`](State).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a handler",
    label = "expected `&pulpo::Context` or `pulpo::State<T>` after the body",
    note = "a handler takes the body first; what all jobs share comes as `pulpo::State<T>`, \
            and what is of this run comes from `&pulpo::Context`"
)]
#[doc(hidden)]
pub trait Parameter<'run>: Sized {
    /// Returns the state that it needs, if it is a state.
    fn needed() -> Option<Needed>;

    /// Returns its value for one call.
    fn of(run: &Run<'run>) -> Self;
}

#[diagnostic::do_not_recommend]
impl<'run> Parameter<'run> for &'run Context {
    fn needed() -> Option<Needed> {
        None
    }

    fn of(run: &Run<'run>) -> Self {
        run.context
    }
}

// Recommended to rustc, since the usual mistake is that `T` is not `Sync`.
impl<T: Shared> Parameter<'_> for State<T> {
    fn needed() -> Option<Needed> {
        Some(Needed::of::<T>())
    }

    fn of(run: &Run<'_>) -> Self {
        run.context.env.states.get().expect("a worker does not start without a state that a handler needs")
    }
}
