//! The messages that a scan finds, and the notes of their burials.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::message::{Incoming, Priority};
use crate::queue::beanstalkd::burial_notes::{self, Note};
use crate::queue::beanstalkd::job::JobStats;
use crate::queue::beanstalkd::values::{ago, ahead};
use crate::queue::{MessageState, StoredMessage};

/// A message that was found. If it is buried, its notes with the reason, the newest first.
#[derive(Debug)]
pub(in crate::queue::beanstalkd) struct Found {
    pub(in crate::queue::beanstalkd) id: u64,
    pub(in crate::queue::beanstalkd) message: StoredMessage,
    pub(in crate::queue::beanstalkd) notes: Vec<(u64, Note)>,
}

impl Found {
    pub(in crate::queue::beanstalkd) fn new(id: u64, job: JobStats, text: Vec<u8>, now: DateTime<Utc>) -> Self {
        let counts = job.counts();
        let waits = matches!(job.state, MessageState::Delayed | MessageState::Reserved);
        let until = waits.then(|| ahead(now, job.time_left));
        let due_since = if job.state == MessageState::Delayed { until } else { Some(ago(now, job.waited())) };
        let since = match job.state {
            MessageState::Delayed => Some(ago(now, job.delay.saturating_sub(job.time_left))),
            // The server does not report when a job was released, kicked or reserved.
            MessageState::Ready if job.reserves == 0 && job.kicks == 0 => due_since,
            // A note may have the time.
            MessageState::Ready | MessageState::Reserved | MessageState::Buried | MessageState::Done => None,
        };
        let message = StoredMessage {
            since,
            request_type: request_type(&text),
            priority: Priority::new(job.priority),
            until,
            attempts: counts.attempts,
            abandoned: counts.lost,
            kicks: Some(counts.kicks),
            enqueued_at: Some(ago(now, job.age)),
            due_since,
            ttr: Some(job.ttr),
            ..StoredMessage::new(id.into(), job.tube, job.state, text)
        };
        Self { id, message, notes: Vec::new() }
    }

    pub(super) fn with_notes(mut self, notes: Vec<(u64, Note)>) -> Self {
        self.add_notes(notes);
        self
    }

    pub(super) fn lacks_notes(&self) -> bool {
        self.message.state == MessageState::Buried && self.notes.is_empty()
    }

    pub(super) fn add_notes(&mut self, notes: Vec<(u64, Note)>) {
        if let Some((_, note)) = notes.first() {
            self.message.last_error = Some(note.reason.clone());
            self.message.last_error_at = Some(note.at);
            self.message.since = Some(note.at);
            self.message.attempts = self.message.attempts.saturating_sub(u32::from(note.uncounted));
            // The kick of another program looks like a run that was not counted.
            self.message.abandoned = self.message.abandoned.min(self.message.attempts);
        }
        self.notes = notes;
    }
}

fn request_type(text: &[u8]) -> String {
    Incoming::read(text).map(|message| message.header.request_type).unwrap_or_default()
}

/// The notes of burials, until the scan meets their messages.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) of: HashMap<u64, Vec<(u64, Note)>>,
    /// Stale notes.
    pub(super) stale: Vec<u64>,
}

impl Notes {
    /// Adds a job from the tube of reasons.
    pub(super) fn add(&mut self, id: u64, text: &[u8]) {
        if let Some(note) = Note::read(text).filter(|note| note.of < id) {
            self.of.entry(note.of).or_default().push((id, note));
        }
    }

    /// Takes the notes of the message with this id, the newest first.
    pub(super) fn join(&mut self, id: u64, state: Option<MessageState>) -> Vec<(u64, Note)> {
        let mut notes = self.of.remove(&id).unwrap_or_default();
        notes.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        if burial_notes::is_over(state) {
            self.stale.extend(notes.iter().map(|(at, _)| *at));
        }
        // For a message that runs again, they are outdated.
        if state == Some(MessageState::Buried) { notes } else { Vec::new() }
    }
}
