//! The abilities of a queue beyond the minimum.

use serde::Serialize;

/// Abilities of a queue beyond the minimum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`QueueAdapter::enqueue`](super::QueueAdapter::enqueue) stores all of a batch or nothing.
    pub atomic_batches: bool,
    /// A rollback that does not count leaves the attempts unchanged. Without
    /// it, such a rollback with a delay counts as an attempt.
    pub uncounted_rollbacks: bool,
    /// The last error of a buried message is kept: why and when it was buried.
    pub burial_reasons: bool,
    /// The last error of other messages is kept too: why they were put back.
    pub last_errors: bool,
    /// Done messages can be kept, with their results, through [`QueueAdapter::keeping`](super::QueueAdapter::keeping): they are
    /// [`MessageState::Done`](super::MessageState::Done).
    pub archive: bool,
    /// [`Inspection::peek`](super::Inspection::peek) shows the [failed runs](super::StoredMessage::history) of a
    /// message.
    pub history: bool,
    /// [`Inspection::list`](super::Inspection::list) finds all messages, however many and however old
    /// they are.
    pub complete_lists: bool,
    /// [`Inspection::stats`](super::Inspection::stats) distinguishes request types.
    pub stats_by_type: bool,
    /// [`Inspection::edit`](super::Inspection::edit) works.
    pub edits: bool,
    /// [`Inspection::pause`](super::Inspection::pause) works, in all processes.
    pub pauses: bool,
    /// [`Inspection::backup`](super::Inspection::backup) works.
    pub backups: bool,
    /// [`Consumer::dequeue`](super::Consumer::dequeue) can leave out request types, and take only a given
    /// one.
    pub picks_types: bool,
    /// [`Consumer::dequeue`](super::Consumer::dequeue) can leave out queues.
    pub picks_queues: bool,
    /// [`QueueAdapter::schedules`](super::QueueAdapter::schedules) returns a store for the schedules of
    /// handlers.
    pub schedules: bool,
    /// [`QueueAdapter::activity`](super::QueueAdapter::activity) returns the log of numbers over time.
    pub activity: bool,
    /// [`QueueAdapter::enqueue`](super::QueueAdapter::enqueue) keeps one message of each
    /// [unique key](super::NewMessage::unique).
    pub unique_keys: bool,
    /// [`Consumer::dequeue`](super::Consumer::dequeue) applies the [limits](super::DequeueFilter::limits) across
    /// all processes, and [`QueueAdapter::hold_back`](super::QueueAdapter::hold_back) works.
    pub limits: bool,
    /// [`Inspection::cancel`](super::Inspection::cancel) works.
    pub cancels: bool,
    /// [`QueueAdapter::workers`](super::QueueAdapter::workers) returns the register of workers.
    pub workers: bool,
    /// Order holds over the whole queue: the most urgent message first, then the oldest, and lists show the newest
    /// first. Without it, this holds only for parts of the queue.
    pub total_order: bool,
}
