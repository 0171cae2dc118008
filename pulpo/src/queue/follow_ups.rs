//! Follow-ups for queues that cannot store them together with the commit.

use super::{NewMessage, QueueAdapter, QueueError};

/// Enqueues the follow-ups of a job and removes those that the queue has stored. Use it in a queue that cannot store
/// them together with the commit. Renew the lease first, so that a run that has lost its message to another worker
/// publishes nothing, and commit afterwards, so that no follow-up is lost. If the process dies in between, the
/// follow-ups are published again; so are those that may or may not have been stored ([`QueueError::UnknownOutcome`]).
///
/// # Errors
/// If the queue does not accept all of them, or cannot be reached.
pub fn enqueue_follow_ups(queue: &dyn QueueAdapter, follow_ups: &mut Vec<NewMessage>) -> Result<(), QueueError> {
    if follow_ups.is_empty() {
        return Ok(());
    }
    match queue.enqueue(follow_ups.clone()) {
        Ok(_) => {
            follow_ups.clear();
            Ok(())
        }
        // The first messages are stored: a second try is for the others.
        Err(QueueError::PartOfBatch { ids, source, .. }) => {
            follow_ups.drain(..ids.len().min(follow_ups.len()));
            Err(once_more(*source))
        }
        Err(error) => Err(once_more(error)),
    }
}

/// Makes an unknown outcome retriable: publishing a follow-up twice is better than losing it, or than running a
/// finished job again.
fn once_more(error: QueueError) -> QueueError {
    match error {
        QueueError::UnknownOutcome { doing, source } => QueueError::Unavailable { doing, source },
        error => error,
    }
}
