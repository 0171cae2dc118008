//! The state that all pages share.

use std::sync::Arc;

use super::access::Access;
use super::ask::Questions;
use super::counts::SharedCounts;
use super::hosts::Hosts;
use super::html::Problem;
use super::pulse::Pulse;
use super::tasks::Tasks;
use crate::instance::Pulpo;
use crate::queue::{QueueAdapter, QueueError};
use crate::registry::Registry;

/// The state that all pages share.
pub(super) struct Site {
    pub(super) pulpo: Pulpo,
    /// The handlers of this program.
    pub(super) registry: Registry,
    /// The path that a proxy removes from its requests, without a slash at its end.
    pub(super) path: String,
    pub(super) changes: bool,
    pub(super) bodies: bool,
    pub(super) hosts: Hosts,
    pub(super) access: Access,
    pub(super) questions: Questions,
    pub(super) counts: Arc<SharedCounts>,
    pub(super) pulse: Pulse,
    pub(super) tasks: Tasks,
}

impl Site {
    /// Queries the queue on a thread that may block. A query that never returns keeps its permit, so that threads do
    /// not pile up.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn QueueAdapter) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.ask_pulpo(move |pulpo| question(&**pulpo.queue())).await
    }

    /// Like [`ask`](Self::ask), for queries that need more than the queue.
    pub(super) async fn ask_pulpo<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Pulpo) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.questions.ask(&self.pulpo, question).await
    }
}
