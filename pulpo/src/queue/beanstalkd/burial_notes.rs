//! Records why messages were buried, in notes in a separate tube: a job on the server has no field for a reason, and
//! its body cannot change.
//!
//! A note is a job with a delay longer than anyone lives, so no worker ever gets it. It is put before its message is
//! buried, so its id is always greater than the message's. A note that is left over is harmless: it is ignored unless
//! its message is buried, and a list that comes across it deletes it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::connection::Connection;
use super::fault::Fault;
use super::limits::REASONS_TUBE;
use super::protocol::{Answer, Commands};
use super::queries::{ask_each, job_stats, tube_stats};
use crate::queue::MessageState;
use crate::report::limited_to;

/// The maximum length of a stored reason, in bytes. A worker's reasons are shorter, and even escaped in JSON this fits
/// into a job of a server with default options.
const LONGEST_REASON: usize = 8192;

/// The maximum number of stale notes to delete in one call.
const LONGEST_SWEEP: usize = 10_000;

/// Why and when a message was buried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The id of the message.
    pub(super) of: u64,
    pub(super) reason: String,
    pub(super) at: DateTime<Utc>,
    /// Whether the reservation for the burial does not count as an attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) uncounted: bool,
}

impl Note {
    pub(super) fn new(of: u64, reason: &str, at: DateTime<Utc>, uncounted: bool) -> Self {
        Self { of, reason: limited_to(reason.to_owned(), LONGEST_REASON), at, uncounted }
    }

    /// Parses a note; `None` if another program has put something else into the tube.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

/// Returns the note as the body of a job.
pub(super) fn text(note: &Note) -> String {
    serde_json::to_string(note).expect("numbers and texts are JSON")
}

/// Returns the number of notes.
pub(super) fn count(connection: &mut Connection) -> Result<u64, Fault> {
    Ok(tube_stats(connection, REASONS_TUBE)?.unwrap_or_default().jobs.iter().sum())
}

/// Deletes notes that are left over. Failures are ignored: the notes are only an aid, and must not hide that the actual
/// work was done.
pub(super) fn remove(connection: &mut Connection, notes: &[u64]) {
    let delete = |commands: &mut Commands, id: &u64| _ = commands.delete(*id);
    let _ = ask_each(connection, notes, delete, |_, answer| answer.done(&Answer::Deleted).map(drop));
}

/// Returns the oldest note.
pub(super) fn oldest(connection: &mut Connection) -> Result<Option<(u64, Vec<u8>)>, Fault> {
    let mut commands = Commands::new();
    commands.use_tube(REASONS_TUBE).peek_first("delayed");
    connection.now_uses(REASONS_TUBE);
    connection.send(&commands)?;
    connection.answer()?.expect(&Answer::Using)?;
    connection.answer()?.peeked()
}

/// Deletes stale notes, from the oldest up to the first that is not stale: the server shows the oldest one without a
/// search.
pub(super) fn sweep(connection: &mut Connection) -> Result<(), Fault> {
    for _ in 0..LONGEST_SWEEP {
        let Some((id, text)) = oldest(connection)? else { break };
        let Some(note) = Note::read(&text) else { break };
        if !is_over(job_stats(connection, note.of)?.map(|job| job.state)) {
            break;
        }
        connection.ask_one(|commands| commands.delete(id))?.done(&Answer::Deleted)?;
    }
    Ok(())
}

/// Returns whether notes are stale that were seen before their message was in this state, or gone (`None`). For a
/// reserved message, a worker may just have put the note and be about to bury the message. For one that is free again,
/// the worker that put the note has lost its lease, or the message was kicked since.
pub(super) fn is_over(state: Option<MessageState>) -> bool {
    !matches!(state, Some(MessageState::Reserved | MessageState::Buried))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_fits_into_a_job_whatever_the_reason_is() {
        let at = "2026-11-23T09:00:00.5Z".parse().unwrap();
        let note = Note::new(7, &"\u{1}".repeat(1_000_000), at, true);
        let text = serde_json::to_string(&note).unwrap();
        assert!(text.len() < 65_535, "{} bytes", text.len());
        assert_eq!(Note::read(text.as_bytes()), Some(note));
        let short = |uncounted| serde_json::to_string(&Note::new(7, "gone \"now\"", at, uncounted)).unwrap();
        assert_eq!(short(false), r#"{"of":7,"reason":"gone \"now\"","at":"2026-11-23T09:00:00.500Z"}"#);
        assert_eq!(short(true), r#"{"of":7,"reason":"gone \"now\"","at":"2026-11-23T09:00:00.500Z","uncounted":true}"#);
        assert!(
            [false, true]
                .iter()
                .all(|uncounted| Note::read(short(*uncounted).as_bytes()).unwrap().uncounted == *uncounted)
        );
    }

    #[test]
    fn notes_outlive_only_messages_that_are_buried_or_about_to_be() {
        assert!([None, Some(MessageState::Ready), Some(MessageState::Delayed)].into_iter().all(is_over));
        assert!(![Some(MessageState::Reserved), Some(MessageState::Buried)].into_iter().any(is_over));
    }
}
