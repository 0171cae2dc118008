//! Runs one message at a time on the calling thread, for tests. It takes the path of a lane, but without a monitor:
//! leases are not renewed and timeouts are not enforced, since the clock of a test stands still during a run.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Worker;
use super::error::WorkError;
use super::lane::Lane;
use super::services::scheduler::SchedulerError;
use crate::context::Cancellation;
use crate::message::Incoming;
use crate::queue::{Consumer, Delivery, DequeueFilter, Progress, QueueError};
use crate::registry::Handler;
use crate::report::chain;
use crate::state::States;

/// The maximum number of times in a row that the queue of a test does not answer.
const MOST_OUTAGES: u32 = 3;

impl Worker {
    /// Provides all these states.
    pub(crate) fn states(mut self, states: States) -> Self {
        self.states = states;
        self
    }

    /// Takes the next message that is due, or the next batch, and runs it. False if nothing is due. Before each run,
    /// `begins` gets the means to cancel it; after it, `reported` gets the last progress that its handler reported.
    pub(crate) fn step(
        &self,
        begins: impl Fn(&Arc<Cancellation>),
        mut reported: impl FnMut(Option<Progress>),
    ) -> Result<bool, StepError> {
        let shared = self.share(Vec::new())?;
        let mut consumer = shared.queue.consumer(&shared.queues).map_err(WorkError::Queue)?;
        let Some(first) = dequeue(&mut *consumer, &shared.filter())? else { return Ok(false) };
        let mut lane = Lane::new(shared, consumer);
        let mut next = Some(first);
        while let Some(delivery) = next {
            self.check_states(&delivery)?;
            begins(&lane.cancellation);
            lane.process(delivery);
            reported(lane.progress.take());
            next = lane.pending.take();
        }
        // A test checks the result at once.
        lane.flush();
        Ok(true)
    }

    /// Returns when a message may start, if none may start now; `None` if only a publication can change that.
    pub(crate) fn next_start(&self) -> Result<Option<DateTime<Utc>>, StepError> {
        let shared = self.share(Vec::new())?;
        let mut consumer = shared.queue.consumer(&shared.queues).map_err(WorkError::Queue)?;
        Ok(consumer.next_start(&shared.filter()).map_err(WorkError::Queue)?)
    }

    /// Checks only the states of the handler that is to run: a test provides what it needs, and not what all other
    /// handlers of the program need.
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

/// Asks again if the queue does not answer, as a lane does after a pause: the clock of a test stands still.
fn dequeue(consumer: &mut dyn Consumer, filter: &DequeueFilter) -> Result<Option<Delivery>, StepError> {
    let mut left = MOST_OUTAGES;
    loop {
        match consumer.dequeue(filter, Duration::ZERO) {
            Err(QueueError::Unavailable { .. }) if left > 0 => left -= 1,
            found => return found.map_err(|error| WorkError::Queue(error).into()),
        }
    }
}

/// Why a message was not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("missing state `{type_name}`, which is needed by {handler}: provide it with `.state(…)`")]
    NoState { type_name: &'static str, handler: String },
    #[error(transparent)]
    Work(#[from] WorkError),
    #[error("{}", chain(.0))]
    Schedule(#[from] SchedulerError),
}
