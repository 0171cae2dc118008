//! Publishing: checks, stamps and enqueues messages.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::job::Draft;
#[cfg(feature = "cli")]
use crate::job::{DraftKeys, MessageKeys};
use crate::keys::{Publication, Unique};
use crate::message::{Header, Message, MessageError, MessageId, When, WriteError};
use crate::policy::{HandlerOptions, Policy};
#[cfg(feature = "tokio")]
use crate::queue::EnqueueAsync;
use crate::queue::{Enqueued, NewMessage, QueueAdapter, QueueError};
#[cfg(feature = "cli")]
use crate::shape::ShapeId;
use crate::telemetry;
use crate::transaction::TransactionError;

/// Puts messages into a queue.
#[derive(Clone)]
pub(crate) struct Producer {
    queue: Arc<dyn QueueAdapter>,
    default_queue: Arc<str>,
    /// Configured overrides for single jobs, by request type.
    changed: Arc<BTreeMap<String, HandlerOptions>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Producer {
    pub(crate) fn new(
        queue: Arc<dyn QueueAdapter>,
        default_queue: &str,
        changed: &BTreeMap<String, HandlerOptions>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { queue, default_queue: default_queue.into(), changed: Arc::new(changed.clone()), clock }
    }

    pub(crate) fn publish<J>(&self, draft: Draft<J>) -> Result<Message<J>, PublishError> {
        let mut one = self.publish_all(vec![draft])?;
        Ok(one.pop().expect("a queue that kept a message names it"))
    }

    pub(crate) fn publish_all<J>(&self, drafts: Vec<Draft<J>>) -> Result<Vec<Message<J>>, PublishError> {
        let (messages, new) = self.stamp_all(drafts)?;
        let first = kind_of_first(&new);
        let enqueued = self.queue.enqueue(new)?;
        Ok(published(messages, first, enqueued))
    }

    /// Does the same as [`publish`](Self::publish), for async code.
    #[cfg(feature = "tokio")]
    pub(crate) async fn publish_async<J>(self, draft: Draft<J>) -> Result<Message<J>, PublishError> {
        let mut one = self.publish_all_async(vec![draft]).await?;
        Ok(one.pop().expect("a queue that kept a message names it"))
    }

    /// Does the same as [`publish_all`](Self::publish_all), for async code.
    #[cfg(feature = "tokio")]
    pub(crate) async fn publish_all_async<J>(self, drafts: Vec<Draft<J>>) -> Result<Vec<Message<J>>, PublishError> {
        let (messages, new) = self.stamp_all(drafts)?;
        let first = kind_of_first(&new);
        let enqueued = match self.queue.enqueue_async(new) {
            EnqueueAsync::Pending(enqueued) => enqueued.await?,
            EnqueueAsync::Blocks(new) => {
                let queue = self.queue.clone();
                blocking(move || Ok(queue.enqueue(new)?)).await?
            }
        };
        Ok(published(messages, first, enqueued))
    }

    fn stamp_all<J>(&self, drafts: Vec<Draft<J>>) -> Result<(Vec<Message<J>>, Vec<NewMessage>), PublishError> {
        let now = self.clock.now();
        let mut messages = Vec::with_capacity(drafts.len());
        let mut new = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let (message, ready) = self.stamp(draft, now)?;
            messages.push(message);
            new.push(ready);
        }
        Ok((messages, new))
    }

    /// Prepares the message for its queue, without enqueueing it.
    pub(crate) fn prepare<J>(&self, draft: Draft<J>) -> Result<(Message<J>, NewMessage), PublishError> {
        self.stamp(draft, self.clock.now())
    }

    /// Publishes bodies of any kind under a request type. The caller has checked that they fit.
    #[cfg(feature = "cli")]
    pub(crate) fn enqueue<B: serde::Serialize>(
        &self,
        request_type: &'static str,
        policy: &'static Policy,
        shape: ShapeId,
        messages: Vec<(Message<B>, MessageKeys)>,
    ) -> Result<Vec<Message<B>>, PublishError> {
        let draft = |(message, keys)| {
            let keys = DraftKeys::Known(keys);
            Draft { message, request_type, policy, write_body: Message::write_body, shape, keys }
        };
        self.publish_all(messages.into_iter().map(draft).collect())
    }

    /// Fills in what the message leaves to its job, and writes it as JSON.
    fn stamp<J>(&self, draft: Draft<J>, now: DateTime<Utc>) -> Result<(Message<J>, NewMessage), PublishError> {
        let Draft { mut message, request_type, policy, write_body, shape, keys } = draft;
        let changed = self.changed.get(request_type).map(|changed| changed.apply(policy));
        let policy = changed.as_ref().unwrap_or(policy);
        let encode = |source| PublishError::Encode { request_type: request_type.to_owned(), source };
        let keys = keys.of(message.body()).map_err(encode)?;
        let header = message.header_mut();
        if let Some(key) = Header::OWN_KEYS.into_iter().find(|key| header.extra.contains(key)) {
            return Err(PublishError::ReservedHeader { key });
        }
        request_type.clone_into(&mut header.request_type);
        header.attempts = 0;
        header.shape = Some(shape);
        header.priority.get_or_insert(policy.priority);
        header.delay = header.delay.map(|delay| When::At(delay.from(now)));
        header.expiration = header.expiration.map(|expiration| When::At(expiration.from(now)));
        let (priority, delay) = (header.priority(), header.delay());
        let unique = self.unique(header, keys.unique, policy)?;
        let text = write_body(&message).and_then(|body| message.to_json_with(&body));
        let text = text.map_err(|error| PublishError::of_writing(error, request_type))?;
        let new = NewMessage {
            queue: policy.queue.unwrap_or(&self.default_queue).to_owned(),
            request_type: request_type.to_owned(),
            priority,
            delay,
            ttr: policy.ttr,
            outbox_id: None,
            unique,
            limit_keys: keys.limits,
            text,
        };
        Ok((message, new))
    }

    /// Returns the unique key and its options: those of the message, or else of its job.
    fn unique(
        &self,
        header: &mut Header,
        key: Option<String>,
        policy: &Policy,
    ) -> Result<Option<Unique>, PublishError> {
        header.unique.key = header.unique.key.take().or(key);
        let unique = header.unique.read((policy.unique_for, policy.on_duplicate));
        let unique = unique.map_err(|problem| PublishError::Unique { problem })?;
        if let Some(unique) = &unique {
            if !self.queue.capabilities().unique_keys {
                return Err(QueueError::NO_UNIQUE_KEYS.into());
            }
            header.unique.unique_for = Some(unique.unique_for.to_string());
            header.unique.on_duplicate = Some(unique.on_duplicate.to_string());
        }
        Ok(unique)
    }
}

/// Returns the request type and the queue of the first message, which all of a batch share.
fn kind_of_first(new: &[NewMessage]) -> Option<(String, String)> {
    new.first().map(|first| (first.request_type.clone(), first.queue.clone()))
}

/// Counts the enqueued messages, and sets their ids.
fn published<J>(
    mut messages: Vec<Message<J>>,
    kind: Option<(String, String)>,
    enqueued: Vec<Enqueued>,
) -> Vec<Message<J>> {
    if let Some((request_type, queue)) = kind {
        let new = enqueued.iter().filter(|one| one.publication == Publication::New).count();
        telemetry::published(&request_type, &queue, new);
    }
    for (message, enqueued) in messages.iter_mut().zip(enqueued) {
        message.set_published(enqueued.id, enqueued.publication);
    }
    messages
}

/// Runs a publication on a thread that may block.
#[cfg(feature = "tokio")]
pub(crate) async fn blocking<R: Send + 'static>(
    publish: impl FnOnce() -> Result<R, PublishError> + Send + 'static,
) -> Result<R, PublishError> {
    match crate::runtime::blocking(publish).await {
        Ok(Some(published)) => published,
        Ok(None) => Err(PublishError::Runtime("it is being shut down".into())),
        Err(error) => Err(PublishError::Runtime(Box::new(error))),
    }
}

/// Returns what to do instead of setting a header that pulpo reserves.
fn instead_of_header(key: &str) -> &'static str {
    if Header::CHOSEN_KEYS.contains(&key) {
        "set it with the message's method of that name"
    } else {
        "leave it to pulpo, which sets it itself"
    }
}

/// Errors of publishing. The message is not in the queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A header of the producer has a name that pulpo reserves.
    #[error("the header `{key}` is reserved by pulpo: {}, or choose another name", instead_of_header(key))]
    #[non_exhaustive]
    ReservedHeader {
        /// The name.
        key: &'static str,
    },
    /// The body cannot be written as JSON.
    #[error("the body of the job `{request_type}` cannot be written as JSON")]
    #[non_exhaustive]
    Encode {
        /// The job.
        request_type: String,
        /// The error of serde.
        source: serde_json::Error,
    },
    /// The body can be written as JSON, but no worker of this version could
    /// read it back: its type's `Deserialize` refuses it.
    #[error("the body of the job `{request_type}` cannot be read back from what is written")]
    #[non_exhaustive]
    Unreadable {
        /// The job.
        request_type: String,
        /// Names the field.
        source: MessageError,
    },
    /// The options of its unique key cannot be combined.
    #[error("the message cannot be unique: {problem}")]
    #[non_exhaustive]
    Unique {
        /// The wrong key of its header, and the expected value.
        problem: String,
    },
    /// Another message has its unique key, and the job has
    /// `on_duplicate = "reject"`. No message of its batch is published.
    #[error("not published: message {id} has the same unique key")]
    #[non_exhaustive]
    Duplicate {
        /// The message that has the key.
        id: MessageId,
    },
    /// The queue did not accept it.
    #[error("the queue did not accept the message")]
    Queue(#[source] QueueError),
    /// The transaction did not accept it.
    #[error("the message was not published in the transaction")]
    Transaction(#[source] TransactionError),
    /// The async runtime did not run it.
    #[cfg(feature = "tokio")]
    #[error("the message was not published: there is no runtime to do it")]
    Runtime(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no queue: the process-wide configuration is wrong, or its queue
    /// cannot be opened.
    #[error("no queue to publish to")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<TransactionError> for PublishError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Duplicate { id, .. } => Self::Duplicate { id },
            error => Self::Transaction(error),
        }
    }
}

impl From<QueueError> for PublishError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Duplicate { id } => Self::Duplicate { id },
            error => Self::Queue(error),
        }
    }
}

impl PublishError {
    fn of_writing(error: WriteError, request_type: &str) -> Self {
        let request_type = request_type.to_owned();
        match error {
            WriteError::Encode(source) => Self::Encode { request_type, source },
            WriteError::Unreadable(source) => Self::Unreadable { request_type, source },
        }
    }
}
