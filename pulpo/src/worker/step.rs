//! One message at a time, on the thread of the caller, for tests. It is the
//! way of a lane with nobody who watches it: leases are not renewed and no
//! timeout is exceeded, since the clock of a test stands still meanwhile.

use std::time::Duration;

use super::Worker;
use super::error::WorkError;
use super::lane::Lane;
use crate::message::Incoming;
use crate::queue::{Delivery, Progress};
use crate::registry::Handler;
use crate::state::States;

impl Worker {
    /// With all these states.
    pub(crate) fn states(mut self, states: States) -> Self {
        self.states = states;
        self
    }

    /// Takes the next message that is due, or the next batch, and runs it.
    /// False if nothing is due. After each run, `reported` gets the last
    /// progress that its handler reported.
    pub(crate) fn step(&self, mut reported: impl FnMut(Option<Progress>)) -> Result<bool, StepError> {
        let shared = self.share(Vec::new())?;
        let mut consumer = shared.queue.consumer(&shared.queues).map_err(WorkError::Queue)?;
        let Some(first) = consumer.dequeue(&shared.filter(), Duration::ZERO).map_err(WorkError::Queue)? else {
            return Ok(false);
        };
        let mut lane = Lane::new(shared, consumer);
        let mut next = Some(first);
        while let Some(delivery) = next {
            self.check_states(&delivery)?;
            lane.process(delivery);
            reported(lane.progress.take());
            next = lane.pending.take();
        }
        // A test looks at once.
        lane.flush();
        Ok(true)
    }

    /// Only of the handler that is to run: a test gives what it needs, and
    /// not what all other handlers of the program need.
    fn check_states(&self, delivery: &Delivery) -> Result<(), StepError> {
        let message = Incoming::read(&delivery.text).ok();
        let handler = message.and_then(|message| self.registry.get(message.header.request_type()));
        let missing = |handler: &'static Handler| {
            let needed = handler.needed().find(|needed| !self.states.has(needed))?;
            Some(StepError::NoState { type_name: needed.type_name, handler: handler.described() })
        };
        handler.and_then(missing).map_or(Ok(()), Err)
    }
}

/// Why a message was not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("missing state `{type_name}`, which is needed by {handler}: provide it with `.state(…)`")]
    NoState { type_name: &'static str, handler: String },
    #[error(transparent)]
    Work(#[from] WorkError),
}
