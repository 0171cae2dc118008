//! Publishing from async code. A queue that supports it wakes the task when it is done; any other queue is waited for
//! on a thread that may block.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::job::{Draft, IntoMessage};
use crate::message::Message;
use crate::producer::{Producer, PublishError, blocking};

use super::Pulpo;
use super::default::Chosen;

impl Pulpo {
    /// Publishes like [`publish`](Self::publish), without blocking the
    /// executor. If the future is dropped after it has been polled, the job may
    /// still be published.
    ///
    /// # Errors
    /// If it is not in the queue.
    pub fn publish_async<J: Send + 'static>(&self, message: impl IntoMessage<J>) -> Publishing<Message<J>> {
        let (producer, draft) = (self.producer().clone(), message.into_draft());
        Publishing::new(producer.publish_async(draft))
    }

    /// Publishes like [`publish_all`](Self::publish_all), without blocking the
    /// executor. If the future is dropped after it has been polled, the jobs
    /// may still be published.
    ///
    /// # Errors
    /// If they are not all in the queue.
    pub fn publish_all_async<J: Send + 'static>(
        &self,
        messages: impl IntoIterator<Item = impl IntoMessage<J>>,
    ) -> Publishing<Vec<Message<J>>> {
        let drafts: Vec<_> = messages.into_iter().map(IntoMessage::into_draft).collect();
        Publishing::new(all(self.producer().clone(), drafts))
    }
}

/// A publication in progress, returned by `publish_async`. It borrows nothing, so it can be spawned. Nothing happens
/// before it is polled.
#[must_use = "nothing is published until it is awaited"]
pub struct Publishing<R>(Pin<Box<dyn Future<Output = Result<R, PublishError>> + Send>>);

impl<R> Publishing<R> {
    fn new(publishing: impl Future<Output = Result<R, PublishError>> + Send + 'static) -> Self {
        Self(Box::pin(publishing))
    }
}

/// Publishes like [`publish_async`](crate::publish_async), with the default of the caller.
pub(crate) fn publish<J: Send + 'static>(default: Chosen, draft: Draft<J>) -> Publishing<Message<J>> {
    Publishing::new(async move { default.get_async().await?.producer().clone().publish_async(draft).await })
}

/// Publishes several jobs, with the default of the caller.
pub(crate) fn publish_all<J: Send + 'static>(default: Chosen, drafts: Vec<Draft<J>>) -> Publishing<Vec<Message<J>>> {
    Publishing::new(async move { all(default.get_async().await?.producer().clone(), drafts).await })
}

/// Number of bodies from which on writing them takes too long for the executor's thread.
const MANY: usize = 64;

async fn all<J: Send + 'static>(producer: Producer, drafts: Vec<Draft<J>>) -> Result<Vec<Message<J>>, PublishError> {
    if drafts.len() > MANY {
        return blocking(move || producer.publish_all(drafts)).await;
    }
    producer.publish_all_async(drafts).await
}

impl<R> Future for Publishing<R> {
    type Output = Result<R, PublishError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(task)
    }
}

impl<R> fmt::Debug for Publishing<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publishing").finish_non_exhaustive()
    }
}
