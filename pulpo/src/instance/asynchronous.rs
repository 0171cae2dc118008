//! Publishing from async code: never on the executor's own thread, since it
//! waits for the disk or the network.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::job::IntoMessage;
use crate::message::Message;
use crate::producer::PublishError;
use crate::runtime;

use super::Pulpo;

impl Pulpo {
    /// [`publish`](Self::publish) for async code: it does not block the
    /// executor. If the future is dropped once it has been polled, the job may
    /// be published all the same.
    ///
    /// # Errors
    /// If it is not in the queue.
    pub fn publish_async<J: Send + 'static>(&self, message: impl IntoMessage<J>) -> Publishing<Message<J>> {
        let (pulpo, draft) = (self.clone(), message.into_draft());
        Publishing::new(move || pulpo.producer().publish(draft))
    }

    /// [`publish_all`](Self::publish_all) for async code: it does not block
    /// the executor. If the future is dropped once it has been polled, the jobs
    /// may be published all the same.
    ///
    /// # Errors
    /// If they are not all in the queue.
    pub fn publish_all_async<J: Send + 'static>(
        &self,
        messages: impl IntoIterator<Item = impl IntoMessage<J>>,
    ) -> Publishing<Vec<Message<J>>> {
        let drafts: Vec<_> = messages.into_iter().map(IntoMessage::into_draft).collect();
        let pulpo = self.clone();
        Publishing::new(move || pulpo.producer().publish_all(drafts))
    }
}

/// A publication on its way: what `publish_async` returns. It borrows nothing,
/// so that it can be spawned. Nothing is done before it is polled.
#[must_use = "nothing is published until it is awaited"]
pub struct Publishing<R>(Pin<Box<dyn Future<Output = Result<R, PublishError>> + Send>>);

impl<R: Send + 'static> Publishing<R> {
    pub(crate) fn new(publish: impl FnOnce() -> Result<R, PublishError> + Send + 'static) -> Self {
        Self(Box::pin(blocking(publish)))
    }
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

/// Runs what publishes where it may block.
async fn blocking<R: Send + 'static>(
    publish: impl FnOnce() -> Result<R, PublishError> + Send + 'static,
) -> Result<R, PublishError> {
    match runtime::blocking(publish).await {
        Ok(Some(published)) => published,
        Ok(None) => Err(PublishError::Runtime("it is being shut down".into())),
        Err(error) => Err(PublishError::Runtime(Box::new(error))),
    }
}
