//! Queue adapters of tests that wrap another.

/// Implements `Inspection` for a type, by the queue in its field.
#[macro_export]
macro_rules! inspect_through {
    ($wrapper:ty, $queue:tt) => {
        const _: () = {
            use ::pulpo::MessageId;
            use ::pulpo::queue::{Filter, Inspection, QueueError, Stats, StoredMessage};

            impl Inspection for $wrapper {
                fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
                    self.$queue.peek(id)
                }

                fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
                    self.$queue.list(filter)
                }

                fn stats(&self) -> Result<Stats, QueueError> {
                    self.$queue.stats()
                }

                fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
                    self.$queue.kick(filter)
                }

                fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
                    self.$queue.delete(filter)
                }
            }
        };
    };
}
