//! What has become of a job.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::instance::{self, Pulpo};
use crate::message::MessageId;
use crate::producer::PublishError;
use crate::queue::{MessageState, Progress, QueueError, StoredMessage};

/// What has become of a job: see [`status`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// It waits: for a worker, for its time, or for its next attempt. One that
    /// was published in a transaction waits once that is committed.
    Waiting,
    /// A worker has it.
    #[non_exhaustive]
    Running {
        /// How far it is, if its handler has said so.
        progress: Option<Progress>,
    },
    /// It is done. The queue knows that for the time that the key `keep_done`
    /// says.
    #[non_exhaustive]
    Done {
        /// What its handler has [said](crate::Context::result) that it came to.
        result: Option<Value>,
    },
    /// It has failed for good, and waits for a person.
    #[non_exhaustive]
    Buried {
        /// Why, if the queue knows.
        reason: Option<String>,
    },
    /// Its expiration had passed, and it was not run. The queue knows that as
    /// long as of one that is done.
    Expired,
    /// The queue does not know it: it is done or was deleted, and not kept, or it
    /// never was in this queue.
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
                // Written by us; one that was damaged is none.
                Self::Done { result: message.result.and_then(|result| serde_json::from_str(&result).ok()) }
            }
        }
    }

    /// Whether nothing will become of it any more, unless a person kicks it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running { .. })
    }

    /// The result as this type; `None` if it is not done, or has none.
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
    /// If it does not fit the type.
    pub fn result<R: DeserializeOwned>(self) -> Result<Option<R>, serde_json::Error> {
        match self {
            Self::Done { result: Some(result) } => serde_json::from_value(result).map(Some),
            _ => Ok(None),
        }
    }
}

/// What has become of the job with this id, in the process-wide default queue:
/// see [`Pulpo::status`].
///
/// # Errors
/// If the queue cannot be opened or reached.
pub fn status(id: &MessageId) -> Result<Status, StatusError> {
    let pulpo = instance::default().map_err(|error| match error {
        PublishError::Setup(error) => StatusError::Setup(error),
        other => StatusError::Setup(Box::new(other)),
    })?;
    Ok(pulpo.status(id)?)
}

impl Pulpo {
    /// What has become of the job with this id: of one that
    /// [`publish_in`](crate::publish_in) gave the id `outbox/N`, and of one that
    /// waits in a spool, `spool/17`, too. It may block, as it asks the queue.
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
    /// A row of an outbox that has not reached the queue yet looks like one that
    /// was rolled back: both are [`Unknown`](Status::Unknown). So is a message
    /// that has left the spool, where it has another id.
    ///
    /// # Errors
    /// If the queue cannot be reached.
    pub fn status(&self, id: &MessageId) -> Result<Status, QueueError> {
        let Some(id) = self.resolve(id)? else { return Ok(Status::Unknown) };
        Ok(self.queue().peek(&id)?.map_or(Status::Unknown, Status::of))
    }
}

/// Why nobody can say what has become of a job.
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
