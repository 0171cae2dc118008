//! The workers of a queue, and the jobs that they run.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Lease, LongRun, Progress, QueueError};
use crate::message::MessageId;

/// A queue that knows its workers: an optional capability, see [`QueueAdapter::workers`](super::QueueAdapter::workers).
///
/// No job causes a write here: the running jobs of a worker are the messages that it has leased and handed to a lane.
pub trait Workers {
    /// Publishes the report of a worker of this process, in place of its previous one. `number` distinguishes the
    /// workers of one process on the same queue. Call it again now and then: the queue may have forgotten it, and
    /// writes only changes.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn report_worker(&self, number: u64, report: &WorkerReport) -> Result<(), QueueError>;

    /// Removes a worker that has ended.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn remove_worker(&self, number: u64) -> Result<(), QueueError>;

    /// Returns all live workers, on all hosts, oldest first: one entry for each process. A killed worker disappears
    /// within seconds.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn read_workers(&self) -> Result<Vec<WorkerEntry>, QueueError>;

    /// Keeps the progress of these runs of this process for as long as they last, and returns the leases among them
    /// whose messages are [cancelled](super::Inspection::cancel). A worker calls it with its long runs, about twice a
    /// second, and with progress once a second.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn follow_runs(&self, runs: &[LongRun]) -> Result<Vec<Lease>, QueueError>;
}

/// A worker's report about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WorkerReport {
    /// The name of its machine.
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// The program.
    pub program: String,
    /// The version of the program, if it is known.
    pub program_version: Option<String>,
    /// The version of pulpo that it is built with.
    pub pulpo_version: String,
    /// The time when it started.
    pub since: DateTime<Utc>,
    /// The queues that it serves.
    pub queues: Vec<String>,
    /// The number of jobs that it runs at the same time.
    pub lanes: usize,
    /// The request types that it has handlers for. Workers that do not know one of these types leave its messages in
    /// these queues to this worker.
    pub types: Vec<String>,
    /// The shapes of the bodies that it reads, by request type or alias, once they are known. Workers that cannot read a
    /// body of one of these shapes leave its message in these queues to this worker.
    pub shapes: BTreeMap<String, String>,
}

/// A living worker process.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WorkerEntry {
    /// The prefix of its leases: random, and unique to this process.
    pub id: String,
    /// Its report about itself.
    #[serde(flatten)]
    pub report: WorkerReport,
    /// The jobs that it is running, oldest run first.
    pub running: Vec<RunningJob>,
}

/// A running job.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunningJob {
    /// Its message.
    pub id: MessageId,
    /// Its request type.
    pub request_type: String,
    /// The queue that it came from.
    pub queue: String,
    /// The number of this run of the message, from 1.
    pub attempt: u32,
    /// The time when the run began.
    pub since: DateTime<Utc>,
    /// The latest progress that its handler reported, if any.
    pub progress: Option<Progress>,
    /// Whether it was cancelled.
    pub cancelled: bool,
}

impl RunningJob {
    /// Creates the entry of the first run of a message, without further details.
    #[must_use]
    pub fn new(
        id: impl Into<MessageId>,
        request_type: impl Into<String>,
        queue: impl Into<String>,
        since: DateTime<Utc>,
    ) -> Self {
        Self {
            id: id.into(),
            request_type: request_type.into(),
            queue: queue.into(),
            attempt: 1,
            since,
            progress: None,
            cancelled: false,
        }
    }
}

impl WorkerEntry {
    /// Merges the reports of one process; `None` without any report.
    #[must_use]
    pub fn of(id: impl Into<String>, reports: impl IntoIterator<Item = WorkerReport>) -> Option<Self> {
        let mut reports = reports.into_iter();
        let mut report = reports.next()?;
        let mut queues: BTreeSet<String> = std::mem::take(&mut report.queues).into_iter().collect();
        let mut types: BTreeSet<String> = std::mem::take(&mut report.types).into_iter().collect();
        for other in reports {
            queues.extend(other.queues);
            types.extend(other.types);
            report.shapes.extend(other.shapes);
            report.lanes = report.lanes.saturating_add(other.lanes);
            report.since = report.since.min(other.since);
        }
        report.queues = queues.into_iter().collect();
        report.types = types.into_iter().collect();
        Some(Self { id: id.into(), report, running: Vec::new() })
    }

    /// Sorts entries, and the runs in each, into the order in which they are listed.
    #[must_use]
    pub fn sorted(mut all: Vec<Self>) -> Vec<Self> {
        all.sort_by(|one, other| (one.report.since, &one.id).cmp(&(other.report.since, &other.id)));
        for entry in &mut all {
            entry.running.sort_by_key(|job| job.since);
        }
        all
    }
}
