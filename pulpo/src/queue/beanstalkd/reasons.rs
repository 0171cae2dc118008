//! Why messages were buried: notes in a tube of their own, since a job of the
//! server has no field for it and its text cannot change.
//!
//! A note is a job that is delayed for longer than anyone lives, so nobody is
//! handed it. It is put before its message is buried, so its id is always the
//! greater one. One that is left over is harmless: it says nothing of a
//! message that is not buried, and goes when a list meets it.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::fault::{Fault, found};
use super::limits::{LONGEST_DELAY, REASONS_TUBE};
use crate::queue::MessageState;
use crate::report::limited_to;

/// How many bytes of a reason are kept: what a worker gives is shorter, and
/// even escaped in JSON it fits into a job of a server with default options.
const LONGEST_REASON: usize = 8192;

/// How many notes one call removes at most that only take up space.
const LONGEST_SWEEP: usize = 10_000;

/// Why and when a message was buried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The message.
    pub(super) of: u64,
    pub(super) reason: String,
    pub(super) at: DateTime<Utc>,
}

impl Note {
    pub(super) fn new(of: u64, reason: &str, at: DateTime<Utc>) -> Self {
        Self { of, reason: limited_to(reason.to_owned(), LONGEST_REASON), at }
    }

    /// A job of the tube of reasons that another program put may be none.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

/// Leaves the note, and says its id; `None` if the server does not take it.
pub(super) fn leave(client: &mut Client, note: &Note) -> Result<Option<u64>, Fault> {
    let text = serde_json::to_string(note).expect("numbers and texts are JSON");
    client.use_tube(REASONS_TUBE)?;
    match client.put(&text, u32::MAX, LONGEST_DELAY, 1) {
        Err(fault) if !fault.ends_connection() => {
            tracing::debug!(id = note.of, %fault, "no note of the reason was kept");
            Ok(None)
        }
        put => put.map(Some),
    }
}

/// How many notes there are.
pub(super) fn count(client: &mut Client) -> Result<u64, Fault> {
    Ok(client.stats_tube(REASONS_TUBE)?.unwrap_or_default().jobs.iter().sum())
}

/// Removes notes that were left. They are no more than help: their going wrong
/// must not hide that what they were a note of was done.
pub(super) fn remove(client: &mut Client, notes: impl IntoIterator<Item = u64>) {
    for id in notes {
        if found(client.delete(id)).is_err() {
            return;
        }
    }
}

/// Removes notes that say nothing any more, the oldest first, up to one that
/// does: the server shows the oldest without a search. `kicked` are messages
/// whose notes up to the id `before` are known to be over.
pub(super) fn sweep(client: &mut Client, kicked: &HashSet<u64>, before: u64) -> Result<(), Fault> {
    client.use_tube(REASONS_TUBE)?;
    for _ in 0..LONGEST_SWEEP {
        let Some((id, text)) = client.peek_delayed()? else { break };
        let Some(note) = Note::read(&text) else { break };
        let over = (id <= before && kicked.contains(&note.of))
            || is_over(found(client.stats_job(note.of))?.map(|job| job.state));
        if !over {
            break;
        }
        found(client.delete(id))?;
    }
    Ok(())
}

/// Whether notes that were seen before their message was in this state, or not
/// there, say nothing any more. Of a reserved message one may just have been
/// put by who is about to bury it; of one that is free again, whoever put it
/// has lost its lease, or the message was kicked since.
fn is_over(state: Option<MessageState>) -> bool {
    !matches!(state, Some(MessageState::Reserved | MessageState::Buried))
}

/// The notes that were met on the way down the ids, until their messages are.
#[derive(Debug, Default)]
pub(super) struct Met(HashMap<u64, Vec<(u64, Note)>>);

impl Met {
    /// A job of the tube of reasons.
    pub(super) fn note(&mut self, id: u64, text: &[u8]) {
        if let Some(note) = Note::read(text).filter(|note| note.of < id) {
            self.0.entry(note.of).or_default().push((id, note));
        }
    }

    /// The notes of the message with this id, the newest first. Those that say
    /// nothing any more are removed.
    pub(super) fn of(&mut self, client: &mut Client, id: u64, state: Option<MessageState>) -> Vec<(u64, Note)> {
        let notes = self.0.remove(&id).unwrap_or_default();
        if is_over(state) {
            remove(client, notes.iter().map(|(id, _)| *id));
        }
        // Of a message that runs again they would tell an old story.
        if state == Some(MessageState::Buried) { notes } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_fits_into_a_job_whatever_the_reason_is() {
        let at = "2026-11-23T09:00:00.5Z".parse().unwrap();
        let note = Note::new(7, &"\u{1}".repeat(1_000_000), at);
        let text = serde_json::to_string(&note).unwrap();
        assert!(text.len() < 65_535, "{} bytes", text.len());
        assert_eq!(Note::read(text.as_bytes()), Some(note));
        let short = serde_json::to_string(&Note::new(7, "gone \"now\"", at)).unwrap();
        assert_eq!(short, r#"{"of":7,"reason":"gone \"now\"","at":"2026-11-23T09:00:00.500Z"}"#);
    }

    #[test]
    fn notes_outlive_only_messages_that_are_buried_or_about_to_be() {
        assert!([None, Some(MessageState::Ready), Some(MessageState::Delayed)].into_iter().all(is_over));
        assert!(![Some(MessageState::Reserved), Some(MessageState::Buried)].into_iter().any(is_over));
    }
}
