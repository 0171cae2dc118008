//! Futures that are part of a test.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use crate::instance::{Pulpo, scoped};

/// A future that is part of a test; see [`TestPulpo::scope`](super::TestPulpo::scope).
#[must_use = "nothing is done before it is awaited"]
pub struct Scoped<F> {
    pub(super) pulpo: Pulpo,
    pub(super) future: Pin<Box<F>>,
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<F::Output> {
        let _in_test = scoped::enter(&self.pulpo);
        self.future.as_mut().poll(task)
    }
}

impl<F> fmt::Debug for Scoped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").finish_non_exhaustive()
    }
}
