//! Which workers there are, and what they run.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Lease, LongRun, Progress, QueueError};
use crate::message::MessageId;

/// A queue that knows its workers: an optional ability, see
/// [`QueueAdapter::workers`](super::QueueAdapter::workers).
///
/// Nothing of this is written for a job: what a worker runs is what it has
/// leased and handed to a lane.
pub trait Workers {
    /// Shows a worker of this process to others, in place of what was said of
    /// it before. `number` tells apart the workers that one process runs on the
    /// same queue. To be called again now and then: a queue may have forgotten
    /// it, and writes only what is new.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn report_worker(&self, number: u64, report: &WorkerReport) -> Result<(), QueueError>;

    /// That worker has ended.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn remove_worker(&self, number: u64) -> Result<(), QueueError>;

    /// All workers that live, on all hosts, the oldest first: one entry for
    /// each process. One that was killed is left out within seconds.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn read_workers(&self) -> Result<Vec<WorkerEntry>, QueueError>;

    /// Keeps the progress of these runs of this process, for as long as they
    /// last, and returns the leases among them whose messages are
    /// [cancelled](super::Inspection::cancel). A worker calls it with the runs
    /// that last, about twice a second, and with progress once a second.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    fn follow_runs(&self, runs: &[LongRun]) -> Result<Vec<Lease>, QueueError>;
}

/// What a worker says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WorkerReport {
    /// The machine that it runs on.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// The program.
    pub program: String,
    /// The version of the program, if it is known.
    pub program_version: Option<String>,
    /// The version of pulpo that it is built with.
    pub pulpo_version: String,
    /// When it was started.
    pub since: DateTime<Utc>,
    /// The queues that it works.
    pub queues: Vec<String>,
    /// How many jobs it runs at the same time.
    pub lanes: usize,
    /// The request types that it has handlers for. What is in one of its queues
    /// and of one of these types is left to it by workers that do not know the
    /// type.
    pub types: Vec<String>,
}

/// A living worker process.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WorkerEntry {
    /// What its leases begin with: random, and of this process alone.
    pub id: String,
    /// What it says of itself.
    #[serde(flatten)]
    pub report: WorkerReport,
    /// What it runs, the oldest run first.
    pub running: Vec<RunningJob>,
}

/// A job that runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunningJob {
    /// Its message.
    pub id: MessageId,
    /// Its request type.
    pub request_type: String,
    /// The queue that it came from.
    pub queue: String,
    /// Which run of the message this is, from 1.
    pub attempt: u32,
    /// Since when it runs.
    pub since: DateTime<Utc>,
    /// How far it is, if its handler has said so.
    pub progress: Option<Progress>,
    /// Whether it was cancelled.
    pub cancelled: bool,
}

impl RunningJob {
    /// The first run of this message, of which nothing else is known.
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
    /// What these reports of one process say together; `None` without any.
    #[must_use]
    pub fn of(id: impl Into<String>, reports: impl IntoIterator<Item = WorkerReport>) -> Option<Self> {
        let mut reports = reports.into_iter();
        let mut report = reports.next()?;
        let mut queues: BTreeSet<String> = std::mem::take(&mut report.queues).into_iter().collect();
        let mut types: BTreeSet<String> = std::mem::take(&mut report.types).into_iter().collect();
        for other in reports {
            queues.extend(other.queues);
            types.extend(other.types);
            report.lanes = report.lanes.saturating_add(other.lanes);
            report.since = report.since.min(other.since);
        }
        report.queues = queues.into_iter().collect();
        report.types = types.into_iter().collect();
        Some(Self { id: id.into(), report, running: Vec::new() })
    }

    /// Entries in the order in which they are listed, each with its runs in
    /// theirs.
    #[must_use]
    pub fn sorted(mut all: Vec<Self>) -> Vec<Self> {
        all.sort_by(|one, other| (one.report.since, &one.id).cmp(&(other.report.since, &other.id)));
        for entry in &mut all {
            entry.running.sort_by_key(|job| job.since);
        }
        all
    }
}
