//! The status of a job.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::instance::{self, Pulpo};
use crate::message::MessageId;
use crate::producer::PublishError;
use crate::queue::{MessageState, Progress, QueueError, StoredMessage};

/// The status of a job; see [`status`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// It waits for a worker, for its time or for its next attempt. A job that was published in a transaction waits
    /// from the commit on.
    Waiting,
    /// A worker is running it.
    #[non_exhaustive]
    Running {
        /// The latest progress that its handler reported, if any.
        progress: Option<Progress>,
    },
    /// It is done. The queue knows that for the time that the key `keep_done` gives.
    #[non_exhaustive]
    Done {
        /// The [result](crate::Context::result) that its handler kept, if any.
        result: Option<Value>,
    },
    /// It has failed for good, and waits for a person.
    #[non_exhaustive]
    Buried {
        /// The reason, if the queue knows it.
        reason: Option<String>,
    },
    /// It was not run because its expiration had passed. The queue knows that for as long as it remembers jobs that are
    /// done.
    Expired,
    /// The queue does not know it: it was done or deleted and not kept, or was never in this queue. An id
    /// `outbox/N` is unknown until its row is moved to the queue.
    Unknown,
}

impl Status {
    fn of(message: StoredMessage) -> Self {
        match message.state {
            MessageState::Ready | MessageState::Delayed => Self::Waiting,
            MessageState::Reserved => Self::Running { progress: message.progress },
            MessageState::Buried => Self::Buried { reason: message.last_error },
            MessageState::Done if message.has_expired => Self::Expired,
            MessageState::Done => {
                // Written by pulpo; a damaged result counts as missing.
                Self::Done { result: message.result.and_then(|result| serde_json::from_str(&result).ok()) }
            }
        }
    }

    /// Returns whether the status is final unless a person kicks the job.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running { .. })
    }

    /// Returns the result as this type; `None` if the job is not done or has no result.
    ///
    /// ```
    /// # fn ask() -> Result<(), Box<dyn std::error::Error>> {
    /// # let id = pulpo::MessageId::from("1");
    /// let lines: Option<usize> = pulpo::status(&id)?.result()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the result does not fit the type.
    pub fn result<R: DeserializeOwned>(self) -> Result<Option<R>, serde_json::Error> {
        match self {
            Self::Done { result: Some(result) } => serde_json::from_value(result).map(Some),
            _ => Ok(None),
        }
    }
}

/// Returns the status of the job with this id in the process-wide default queue; see [`Pulpo::status`].
///
/// A row of an outbox is [`Unknown`](Status::Unknown) until it is moved to the
/// queue, and a message with the id of a spool (`spool/17`) once it has left
/// the spool.
///
/// # Errors
/// If the queue cannot be opened or reached.
pub fn status(id: &MessageId) -> Result<Status, StatusError> {
    let pulpo = instance::default::get().map_err(|error| match error {
        PublishError::Setup(error) => StatusError::Setup(error),
        other => StatusError::Setup(Box::new(other)),
    })?;
    Ok(pulpo.status(id)?)
}

impl Pulpo {
    /// Returns the status of the job with this id. The ids that [`publish_in`](crate::publish_in) returns (`outbox/N`)
    /// and those of a spool (`spool/17`) work too. It may block, because it asks the queue.
    ///
    /// ```
    /// # mod jobs {
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # pub struct Greet { pub name: String }
    /// # #[pulpo::handler("greet")]
    /// # fn greet(_: Greet) {}
    /// # }
    /// # use jobs::Greet;
    /// # let pulpo = pulpo::Pulpo::new(pulpo::Config::default().queue("memory:")?)?;
    /// let sent = pulpo.publish(Greet { name: "Ada".into() })?;
    /// let id = sent.id().expect("it is published");
    /// assert_eq!(pulpo.status(id)?, pulpo::Status::Waiting);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A row of an outbox that has not reached the queue yet looks like a row that was rolled back: both are
    /// [`Unknown`](Status::Unknown). So is a message that has left the spool, because it has another id in the queue.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    pub fn status(&self, id: &MessageId) -> Result<Status, QueueError> {
        let Some(id) = self.resolve(id)? else { return Ok(Status::Unknown) };
        Ok(self.queue().peek(&id)?.map_or(Status::Unknown, Status::of))
    }
}

/// Errors of [`status`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// There is no queue to ask.
    #[error("there is no queue to ask")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The queue cannot be reached.
    #[error(transparent)]
    Queue(#[from] QueueError),
}
