//! Starts the lanes of a worker, and retries when the system provides no thread for one.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::crew::LaneHandle;
use super::error::WorkError;
use super::lane::Lane;
use super::outage::OutageBackoff;
use super::shared::Shared;
use crate::queue::{Consumer, QueueError};
use crate::report::{chain, rough};
use crate::sync::lock;

/// Starts lanes, and retries after growing pauses if that fails. Used only by the monitor's thread.
pub(super) struct Recruiter {
    /// Consumers of lanes that ended or were abandoned.
    spare: Vec<Box<dyn Consumer>>,
    outage: OutageBackoff,
    /// Not before this time, in uptime.
    try_at: Option<Duration>,
    /// Since when the system has provided no thread.
    no_thread_since: Option<Duration>,
}

/// Why a lane did not start.
enum Failure {
    Queue(QueueError),
    Thread(io::Error),
}

impl Recruiter {
    pub(super) fn new(spare: Vec<Box<dyn Consumer>>) -> Self {
        Self { spare, outage: OutageBackoff::default(), try_at: None, no_thread_since: None }
    }

    /// Takes a consumer for a new lane.
    pub(super) fn reuse(&mut self, consumer: Box<dyn Consumer>) {
        self.spare.push(consumer);
    }

    /// Starts the missing lanes. Returns when to retry if some could not be started.
    ///
    /// # Errors
    /// If the system has provided no thread for the grace period of a stop: the worker then runs with fewer lanes than
    /// configured, and an operator should know.
    pub(super) fn fill(&mut self, shared: &Arc<Shared>, uptime: Duration) -> Result<Option<Duration>, WorkError> {
        let missing = shared.crew.missing();
        if missing == 0 {
            self.try_at = None;
        }
        for _ in 0..missing {
            if self.try_at.is_some_and(|at| uptime < at) {
                break;
            }
            match self.start(shared) {
                Ok(()) => (self.try_at, self.no_thread_since) = (None, None),
                Err(failure) => {
                    shared.crew.is_short(true);
                    self.failed(failure, uptime, shared.options.shutdown_grace)?;
                    break;
                }
            }
        }
        if self.try_at.is_none() && self.outage.is_on() {
            self.outage.over();
            shared.crew.is_short(false);
            tracing::info!("all lanes are running again");
        }
        Ok(self.try_at)
    }

    fn start(&mut self, shared: &Arc<Shared>) -> Result<(), Failure> {
        let consumer = match self.spare.pop() {
            Some(consumer) => consumer,
            None => shared.queue.consumer(&shared.queues).map_err(Failure::Queue)?,
        };
        let lane = Lane::new(shared.clone(), consumer);
        let watched = LaneHandle::new(lane.slot.clone(), lane.empty.clone(), lane.last_seen.clone());
        // If no thread starts, the consumer is kept.
        let ours = Arc::new(Mutex::new(Some(lane)));
        let theirs = ours.clone();
        let work = move || {
            let lane = lock(&theirs).take();
            drop(theirs);
            if let Some(lane) = lane {
                lane.work();
            }
        };
        shared.crew.add(watched);
        if let Err(error) = thread::Builder::new().name("pulpo-lane".to_owned()).spawn(work) {
            let lane = lock(&ours).take();
            self.spare.extend(lane.and_then(|mut lane| lane.consumer.take()));
            return Err(Failure::Thread(error));
        }
        Ok(())
    }

    fn failed(&mut self, failure: Failure, uptime: Duration, grace: Duration) -> Result<(), WorkError> {
        let first = !self.outage.is_on();
        self.try_at = Some(uptime.saturating_add(self.outage.next()));
        match failure {
            Failure::Queue(error) => {
                if first {
                    tracing::error!(error = chain(&error), "cannot start a lane, retrying");
                }
            }
            Failure::Thread(source) => {
                let since = *self.no_thread_since.get_or_insert(uptime);
                if first {
                    let waited = tracing::field::display(rough(grace));
                    tracing::error!(error = chain(&source), waited, "no thread available for a lane, retrying");
                }
                let end = since.saturating_add(grace);
                if uptime >= end {
                    return Err(WorkError::NoThread { waited: grace, source });
                }
                self.try_at = self.try_at.map(|at| at.min(end));
            }
        }
        Ok(())
    }
}
