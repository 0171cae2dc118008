//! Connections of the client crate beanstalkc, for programs that already have one. The server has no transactions, so
//! the job is published when the call returns Ok.

use std::time::Duration;

use ::beanstalkc::Beanstalkc;

use super::{Prepared, PublishIn, TransactionError};
use crate::clock::{Clock as _, SystemClock};
use crate::message::MessageId;
use crate::queue::{Enqueued, NewMessage, QueueError, tube_name_problem};

/// Puts the job into the tube of its queue, and then switches the connection back to its previous tube. A message is
/// sent once; if the client reports an error after that, the server may still have the message.
impl PublishIn for Beanstalkc {
    fn publish(&mut self, job: &Prepared) -> Result<Enqueued, TransactionError> {
        let NewMessage { queue, priority, delay, ttr, text, .. } = job.new_message();
        if let Some(problem) = tube_name_problem(queue) {
            let refused = QueueError::BadQueueName { name: queue.clone(), problem };
            return Err(TransactionError::Refused(Box::new(refused)));
        }
        let wait = delay.and_then(|until| (until - SystemClock::new().now()).to_std().ok()).unwrap_or_default();
        let refused = |error| TransactionError::Refused(Box::new(error));
        let used = self.using().map_err(refused)?;
        if used != *queue {
            self.use_tube(queue).map_err(refused)?;
        }
        let put = self.put(text.as_bytes(), priority.get(), seconds(wait), seconds(*ttr).max(Duration::from_secs(1)));
        // Switch back after a refusal too; if the connection has ended, the next call says so.
        let back = if used == *queue { Ok(used) } else { self.use_tube(&used) };
        let id = put.map_err(refused)?;
        if let Err(error) = back {
            tracing::warn!(%error, "the job is published, but the connection could not return to its tube");
        }
        Ok(Enqueued::new(MessageId::from(id)))
    }
}

/// Rounds up to whole seconds, which the server counts in.
fn seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}
