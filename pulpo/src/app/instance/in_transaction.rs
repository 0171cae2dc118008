//! Publishing in a user's own transaction.

use crate::job::{Draft, IntoMessage};
use crate::message::{Message, MessageId};
use crate::outbox;
use crate::producer::PublishError;
use crate::queue::QueueError;
#[cfg(feature = "tokio")]
use crate::transaction::{self, AsyncSqlClient, Boxed};
use crate::transaction::{OUTBOX_ID, Prepared, PublishIn};

use super::Pulpo;

impl Pulpo {
    /// Publishes a job in your own transaction, or over a connection: the job
    /// exists if and only if the transaction commits. See
    /// [`publish_in`](crate::publish_in).
    ///
    /// # Errors
    /// If the transaction did not accept it.
    pub fn publish_in<J>(
        &self,
        transaction: &mut impl PublishIn,
        message: impl IntoMessage<J>,
    ) -> Result<Message<J>, PublishError> {
        let (mut message, prepared) = self.prepare_draft(message.into_draft())?;
        let published = transaction.publish(&prepared)?;
        message.set_published(published.id, published.publication);
        outbox::announce();
        Ok(message)
    }

    /// Publishes like [`publish_in`](Self::publish_in), with an async client.
    /// See [`publish_in_async`](crate::publish_in_async).
    ///
    /// # Errors
    /// If the transaction did not accept it.
    #[cfg(feature = "tokio")]
    pub fn publish_in_async<'c, J: Send + 'static, Client: 'static>(
        &self,
        transaction: &'c mut impl AsyncSqlClient<Client>,
        message: impl IntoMessage<J>,
    ) -> Boxed<'c, Result<Message<J>, PublishError>> {
        // Convert before creating the future, which would keep the argument.
        let (pulpo, draft) = (self.clone(), message.into_draft());
        Box::pin(async move { pulpo.publish_draft_in(transaction, draft).await })
    }

    #[cfg(feature = "tokio")]
    pub(crate) async fn publish_draft_in<J: Send + 'static, Client>(
        &self,
        transaction: &mut impl AsyncSqlClient<Client>,
        draft: Draft<J>,
    ) -> Result<Message<J>, PublishError> {
        let (mut message, prepared) = self.prepare_draft(draft)?;
        let published = transaction::publish_async(transaction, prepared).await?;
        message.set_published(published.id, published.publication);
        outbox::announce();
        Ok(message)
    }

    /// Prepares a job for publication by your own statement. See
    /// [`prepare`](crate::prepare).
    ///
    /// # Errors
    /// If the body cannot be written, or could not be read again.
    pub fn prepare<J>(&self, message: impl IntoMessage<J>) -> Result<Prepared, PublishError> {
        let (_, prepared) = self.prepare_draft(message.into_draft())?;
        // The statement will run soon.
        outbox::announce();
        Ok(prepared)
    }

    /// Returns the queue's id of a message to which [`publish_in`](Self::publish_in) gave the id `outbox/N`; any other
    /// id is returned as it is. `None`: the row waits in its outbox, was rolled back, or left the queue long ago. The
    /// queue must know which rows it has accepted
    /// ([`QueueAdapter::outbox_ids`](crate::queue::QueueAdapter::outbox_ids)).
    ///
    /// # Errors
    /// If the queue cannot be reached.
    pub fn resolve(&self, id: &MessageId) -> Result<Option<MessageId>, QueueError> {
        let Some(number) = id.as_str().strip_prefix(OUTBOX_ID) else { return Ok(Some(id.clone())) };
        match (self.0.queue.outbox_ids(), number.parse()) {
            (Some(known), Ok(number)) => known.message_of_row(number),
            _ => Ok(None),
        }
    }

    fn prepare_draft<J>(&self, draft: Draft<J>) -> Result<(Message<J>, Prepared), PublishError> {
        let (message, new) = self.0.producer.prepare(draft)?;
        let has_outbox = !self.0.options.outbox.is_empty();
        Ok((message, Prepared::new(new, self.0.queue.in_database(), has_outbox)))
    }
}
