//! Inspects the embedded queue, and changes waiting messages.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::storage::reopening::ReopeningConnection;
use super::storage::values::{after, at_one_moment};
use super::storage::writer::Durability;
use super::{FileQueue, backup, cancel, done, edit, inspect, pauses, unique};
use crate::message::MessageId;
use crate::queue::{
    Cancelled, Edit, Edited, Filter, Inspection, MessageState, QueueError, Stats, StoredMessage, Survey,
};

/// The maximum number of messages to kick or delete in one transaction.
const MAX_CHANGED_AT_ONCE: usize = 1000;

/// The result of the changes in one transaction.
trait Change: Copy + Default + std::ops::AddAssign + Send + 'static {
    /// Returns how many messages were changed.
    fn count(self) -> u64;
}

impl Change for u64 {
    fn count(self) -> u64 {
        self
    }
}

impl Change for Cancelled {
    fn count(self) -> u64 {
        self.total()
    }
}

impl FileQueue {
    /// Changes the matching messages in several transactions, so that workers and publishers get their turn in between.
    /// Finding the messages may take long, so it happens outside of these transactions; each message is checked again
    /// when it is changed.
    fn change<C: Change>(
        &self,
        filter: &Filter,
        find: fn(&Connection, &Filter, i64) -> rusqlite::Result<Vec<MessageId>>,
        change: fn(&Connection, &Filter, i64) -> rusqlite::Result<C>,
    ) -> Result<C, QueueError> {
        self.0.check()?;
        let now = self.0.now();
        let mut rest = filter.clone();
        let mut changed = C::default();
        while rest.limit != Some(0) {
            let part = rest.clone().limit(rest.limit.unwrap_or(MAX_CHANGED_AT_ONCE).min(MAX_CHANGED_AT_ONCE));
            let ids = self.0.inspect(move |connection| find(connection, &part, now))?;
            let Some(last) = ids.last().cloned() else { break };
            let part = Filter { ids: Some(ids.into_iter().collect()), ..rest.clone() };
            let done = self.0.writer.write(Durability::Synced, move |connection| change(connection, &part, now))?;
            changed += done;
            rest.limit =
                rest.limit.map(|limit| limit.saturating_sub(usize::try_from(done.count()).unwrap_or(usize::MAX)));
            rest.after = Some(last);
        }
        Ok(changed)
    }
}

impl Inspection for FileQueue {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        self.0.check()?;
        let (id, now) = (id.clone(), self.0.now());
        self.0.inspect(move |connection| at_one_moment(connection, |connection| inspect::peek(connection, &id, now)))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        Ok(self.survey(filter, true)?.messages)
    }

    fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        self.0.check()?;
        let (filter, now) = (filter.clone(), self.0.now());
        let list = move |connection: &Connection| {
            at_one_moment(connection, |connection| inspect::list(connection, &filter, texts, now))
        };
        Ok(Survey::new(self.0.inspect(list)?, 0))
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        self.0.check()?;
        let now = self.0.now();
        self.0.inspect(move |connection| at_one_moment(connection, |connection| inspect::stats(connection, now)))
    }

    fn change_mark(&self) -> Result<u64, QueueError> {
        self.0.check()?;
        self.0.read(inspect::change_mark)
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        let buried =
            |connection: &Connection, filter: &Filter, now| inspect::ids(connection, filter, inspect::BURIED, now);
        let kicked = self.change(filter, buried, inspect::kick)?;
        if kicked > 0 {
            self.0.notify_all();
        }
        Ok(kicked)
    }

    fn key_taken_by(&self, id: &MessageId) -> Result<Option<MessageId>, QueueError> {
        self.0.check()?;
        let Ok(id) = id.as_str().parse::<i64>() else { return Ok(None) };
        let now = self.0.now();
        let holder = self.0.inspect(move |connection| unique::taken_by(connection, id, now))?;
        Ok(holder.map(|id| MessageId::from(id.cast_unsigned())))
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        let free = |connection: &Connection, filter: &Filter, now| {
            inspect::ids(connection, filter, inspect::NOT_RESERVED, now)
        };
        let deleted = self.change(filter, free, inspect::delete)?;
        if !filter.has_state(MessageState::Done) {
            return Ok(deleted);
        }
        let mut rest = filter.clone();
        rest.limit = rest.limit.map(|limit| limit.saturating_sub(usize::try_from(deleted).unwrap_or(usize::MAX)));
        let done = |connection: &Connection, filter: &Filter, _| done::ids(connection, filter);
        Ok(deleted + self.change(&rest, done, |connection, filter, _| done::delete(connection, filter))?)
    }

    fn edit(&self, id: &MessageId, edit: &Edit) -> Result<Edited, QueueError> {
        self.0.check()?;
        let (shared, id, edit) = (self.0.clone(), id.clone(), edit.clone());
        let edited =
            self.0.writer.write(Durability::Synced, move |connection| edit::edit(connection, &shared, &id, &edit))?;
        if edited == Edited::Changed {
            self.0.notify_all();
        }
        Ok(edited)
    }

    fn cancel(&self, filter: &Filter) -> Result<Cancelled, QueueError> {
        let unburied =
            |connection: &Connection, filter: &Filter, now| inspect::ids(connection, filter, cancel::NOT_BURIED, now);
        let cancelled = self.change(filter, unburied, cancel::cancel)?;
        if cancelled.running > 0 {
            // Messages that this process has leased ahead must not be handed out any more.
            self.0.prefetch.release_all(&self.0).map_err(|error| self.0.error(error))?;
        }
        if cancelled.total() > 0 {
            // Messages that were held back may be free to start now.
            self.0.notify_all();
        }
        Ok(cancelled)
    }

    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        self.0.check()?;
        let until = after(self.0.now(), time);
        let paused = queue.to_owned();
        self.0.writer.write(Durability::Synced, move |connection| pauses::set(connection, &paused, until))?;
        self.0.prefetch.release_all(&self.0).map_err(|error| self.0.error(error))?;
        self.0.notify(&[queue.to_owned()]);
        Ok(())
    }

    fn backup(&self, file: &Path) -> Result<u64, QueueError> {
        self.0.check()?;
        let Some(ours) = &self.0.file else {
            return Err(QueueError::Unsupported("be copied into a file: it is in memory"));
        };
        // On a separate connection, since it may take long.
        backup::write(ReopeningConnection::copier(ours)?.connection(), self.0.place(), file)
    }
}
