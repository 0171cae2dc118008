//! Connections of the client crate beanstalkc, for programs that already have one. The server has no transactions, so
//! the job is published when the call returns Ok.

use std::time::Duration;

use ::beanstalkc::Beanstalkc;

use super::{Prepared, PublishIn, TransactionError};
use crate::clock::{Clock as _, SystemClock};
use crate::message::MessageId;
use crate::queue::{Enqueued, NewMessage, QueueError, tube_delay, tube_name_problem, tube_seconds};

/// Puts the job into the tube of its queue, and then switches the connection back to its previous tube. A message is
/// sent once; if the client reports an error after that, the server may still have the message.
impl PublishIn for Beanstalkc {
    fn publish(&mut self, job: &Prepared) -> Result<Enqueued, TransactionError> {
        let NewMessage { queue, priority, delay, ttr, text, unique, .. } = job.new_message();
        if unique.is_some() {
            return Err(refused(QueueError::NO_UNIQUE_KEYS));
        }
        if let Some(problem) = tube_name_problem(queue) {
            return Err(refused(QueueError::BadQueueName { name: queue.clone(), problem }));
        }
        let wait = tube_delay(*delay, SystemClock::new().now()).map_err(refused)?;
        let used = self.using().map_err(refused)?;
        if used != *queue {
            self.use_tube(queue).map_err(refused)?;
        }
        let [wait, ttr] = [wait, tube_seconds(*ttr).max(1)].map(|seconds| Duration::from_secs(seconds.into()));
        let put = self.put(text.as_bytes(), priority.get(), wait, ttr);
        // Switch back after a refusal too; if the connection has ended, the next call says so.
        let back = if used == *queue { Ok(used) } else { self.use_tube(&used) };
        let id = put.map_err(refused)?;
        if let Err(error) = back {
            tracing::warn!(%error, "the job is published, but the connection could not return to its tube");
        }
        Ok(Enqueued::new(MessageId::from(id)))
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> TransactionError {
    TransactionError::Refused(Box::new(error))
}
