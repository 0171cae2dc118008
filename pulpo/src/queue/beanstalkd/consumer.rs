//! A consumer of the server. All consumers of a process share one connection
//! ([`LeaseConnection`](super::lease_connection::LeaseConnection)).

use std::sync::Arc;
use std::time::Duration;

use super::burial_notes::{self, Note};
use super::fault::Fault;
use super::lease_connection::{Expect, Kind, Reserved, Want};
use super::limits::{LONGEST_DELAY, REASONS_TUBE, seconds};
use super::protocol::Answer;
use super::queries::read_job;
use super::shared::Shared;
use super::values::{ago, number};
use crate::process::fork::Birthplace;
use crate::queue::{
    Consumer, Delivery, DequeueFilter, Lease, MessageState, NewMessage, QueueAdapter, QueueError, Settlement,
    enqueue_follow_ups,
};
use crate::report::chain;

pub(super) struct BeanstalkdConsumer {
    /// The queue that receives the follow-up messages of a job.
    queue: Arc<dyn QueueAdapter>,
    shared: Arc<Shared>,
    queues: Arc<[String]>,
    birthplace: Birthplace,
    number: u64,
}

impl BeanstalkdConsumer {
    pub(super) fn new(queue: Arc<dyn QueueAdapter>, shared: Arc<Shared>, queues: Arc<[String]>) -> Self {
        let number = shared.leases.join();
        Self { queue, shared, queues, birthplace: Birthplace::here(), number }
    }

    /// Refuses to take or settle anything in a fork: the server tells clients apart by their connections, and ours is
    /// the parent's.
    fn check_process(&self) -> Result<(), QueueError> {
        let refused = |source| QueueError::Forked { place: self.shared.place.clone(), source };
        self.birthplace.check().map_err(refused)
    }

    fn delivery(&self, reserved: Reserved) -> Delivery {
        let Reserved { lease, job, text } = reserved;
        let due_since = ago(self.shared.clock.now(), job.waited());
        let counts = job.counts();
        let mut delivery = Delivery::new(lease, job.tube, due_since, job.ttr, text);
        (delivery.attempts, delivery.abandoned, delivery.kicks) = (counts.attempts, counts.lost, counts.kicks);
        delivery
    }

    /// Converts a fault of a command about this lease into the queue's error.
    fn error(&self, doing: &str, lease: &Lease, fault: Fault) -> QueueError {
        match fault {
            Fault::NotFound => QueueError::LeaseLost { id: lease.id.clone() },
            fault => self.shared.error(doing, fault),
        }
    }

    /// Deletes the job, if this process still has the lease.
    fn delete(&self, lease: &Lease) -> Result<(), QueueError> {
        let done = || -> Result<(), Fault> {
            let id = number(&lease.id).ok_or(Fault::NotFound)?;
            let holding = self.shared.leases.holding(lease, id);
            // The server lets any client delete a job that is not reserved: after the lease has ended, that would take
            // the job away from the next worker.
            if let Some(holding) = holding.filter(|holding| !holding.certain) {
                let asks = |_| vec![Expect::stats(id)];
                let answer = self.shared.leases.ask_about(lease, id, Kind::Stats, asks)?.pop();
                let job = answer.map(|answer| read_job(id, answer)).transpose()?.flatten().ok_or(Fault::NotFound)?;
                if job.state != MessageState::Reserved || job.reserves != holding.reserves {
                    self.shared.leases.forget(lease, id);
                    return Err(Fault::NotFound);
                }
            }
            last(
                self.shared.leases.ask_about(lease, id, Kind::Delete, |_| vec![Expect::deleted(id)])?,
                &Answer::Deleted,
            )
        };
        done().map_err(|fault| self.error("delete a message from", lease, fault))
    }

    /// Publishes the follow-ups and deletes the job. The server cannot do both atomically, so the follow-ups go first
    /// and none is lost.
    fn commit(&mut self, lease: &Lease, follow_ups: &mut Vec<NewMessage>) -> Result<(), QueueError> {
        if !follow_ups.is_empty() {
            // Not for a run whose message another worker has by now.
            if self.touch(std::slice::from_ref(lease))?.contains(lease) {
                return Err(QueueError::LeaseLost { id: lease.id.clone() });
            }
            enqueue_follow_ups(&*self.queue, follow_ups)?;
        }
        self.delete(lease)
    }

    /// Defers the deletion to the next call: the round trip that takes the next message deletes this one first.
    fn defer_commit(&self, lease: &Lease) -> Result<(), QueueError> {
        let id = number(&lease.id).ok_or(Fault::NotFound);
        let deferred = id.and_then(|id| self.shared.leases.defer_delete(lease, id));
        deferred.map_err(|fault| self.error("delete a message from", lease, fault))
    }

    fn rollback(&self, lease: &Lease, delay: Duration, counted: bool) -> Result<(), QueueError> {
        let released = || -> Result<(), Fault> {
            let id = number(&lease.id).ok_or(Fault::NotFound)?;
            let (leases, delay) = (&self.shared.leases, seconds(delay));
            let uncounted = !counted && delay == 0;
            if uncounted && leases.holding(lease, id).is_some_and(|holding| !holding.certain) {
                let renewed = (lease.clone(), id);
                if leases.touch(std::slice::from_ref(&renewed))?.contains(lease) {
                    return Err(Fault::NotFound);
                }
            }
            let asks = |holding: super::lease_connection::Holding| match uncounted {
                true => Expect::uncounted(id, holding.priority).into(),
                false => vec![Expect::released(id, holding.priority, delay)],
            };
            // Another program may have kicked it already, so the answer to the kick does not matter.
            let answers = leases.ask_about(lease, id, Kind::Release, asks)?;
            answers.into_iter().next().ok_or(Fault::NotFound)?.expect(&Answer::Released)
        };
        released().map_err(|fault| self.error("give a message back to", lease, fault))
    }

    fn bury(&self, lease: &Lease, reason: &str, counted: bool) -> Result<(), QueueError> {
        let buried = || -> Result<(), Fault> {
            let id = number(&lease.id).ok_or(Fault::NotFound)?;
            let note = burial_notes::text(&Note::new(id, reason, self.shared.clock.now(), !counted));
            // The note goes first: one too many is harmless, one too few is not.
            let asks = |holding: super::lease_connection::Holding| {
                let note = Expect::put(note, u32::MAX, LONGEST_DELAY);
                vec![Expect::use_tube(REASONS_TUBE), note, Expect::buried(id, holding.priority)]
            };
            let answers = self.shared.leases.ask_about(lease, id, Kind::Bury, asks)?;
            let note = answers.get(1).cloned();
            let buried = last(answers, &Answer::Buried(None));
            match (note, &buried) {
                (Some(Answer::Inserted(note)), Err(Fault::NotFound)) => {
                    // Another worker has the message now, and its note is no longer ours to write.
                    let _ = self.shared.leases.ask(vec![Expect::deleted(note)]);
                }
                (Some(Answer::Inserted(_)), _) => {}
                (refused, _) => tracing::debug!(id, ?refused, "no note of the reason was kept"),
            }
            buried
        };
        buried().map_err(|fault| self.error("bury a message in", lease, fault))
    }
}

/// Checks that the last answer is this one.
fn last(mut answers: Vec<Answer>, expected: &Answer) -> Result<(), Fault> {
    answers.pop().ok_or(Fault::NotFound)?.expect(expected)
}

impl Consumer for BeanstalkdConsumer {
    fn dequeue(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.check_process()?;
        let tubes: Arc<[String]> = if filter.except_queues.is_empty() {
            self.queues.clone()
        } else {
            self.queues.iter().filter(|queue| !filter.except_queues.contains(queue)).cloned().collect()
        };
        if tubes.is_empty() {
            // No message will come, so no request for one would carry out the deferred work.
            self.flush()?;
        }
        let want = Want { tubes, more: filter.more, wait };
        let taken = self.shared.leases.take(self.number, want, |tubes| self.shared.has_ready(tubes));
        let taken = taken.map_err(|fault| self.shared.error("take a message from", fault))?;
        Ok(taken.map(|reserved| self.delivery(reserved)))
    }

    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        self.check_process()?;
        match settlement {
            Settlement::Commit { follow_ups, deferrable: true, .. } if follow_ups.is_empty() => {
                self.defer_commit(lease)
            }
            Settlement::Commit { follow_ups, .. } => self.commit(lease, follow_ups),
            Settlement::Expire => self.delete(lease),
            Settlement::Rollback { delay, counted, .. } => self.rollback(lease, *delay, *counted),
            Settlement::LeaveToOthers { delay, .. } => self.rollback(lease, *delay, false),
            Settlement::Bury { reason, counted, .. } => self.bury(lease, reason, *counted),
        }
    }

    fn touch(&mut self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError> {
        self.check_process()?;
        let (numbered, mut lost): (Vec<_>, Vec<_>) =
            leases.iter().map(|lease| (lease.clone(), number(&lease.id))).partition(|(_, id)| id.is_some());
        let numbered: Vec<_> = numbered.into_iter().filter_map(|(lease, id)| Some((lease, id?))).collect();
        let gone = self.shared.leases.touch(&numbered);
        let gone = gone.map_err(|fault| self.shared.error("renew a lease at", fault))?;
        Ok(lost.drain(..).map(|(lease, _)| lease).chain(gone).collect())
    }

    fn flush(&mut self) -> Result<(), QueueError> {
        self.check_process()?;
        self.shared.leases.flush().map_err(|fault| self.shared.error("delete a message from", fault))
    }

    fn take_lost_leases(&mut self) -> Vec<Lease> {
        self.shared.leases.take_lost()
    }
}

impl Drop for BeanstalkdConsumer {
    fn drop(&mut self) {
        // The parent cleans up what a fork leaves behind.
        if !self.birthplace.is_here() {
            return;
        }
        if let Err(error) = self.flush() {
            tracing::warn!(error = chain(&error), "cannot settle the last job: it will run again");
        }
        self.shared.leases.leave(self.number);
    }
}
