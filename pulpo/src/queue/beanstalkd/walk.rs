//! Finding jobs at a server that cannot enumerate them: it is asked for one id
//! after the other, from the newest down.

use std::collections::HashSet;

use super::connection::{Client, Fault, found};
use super::job::JobStats;
use super::limits::{LONGEST_DELAY, PROBE_TUBE, REASONS_TUBE, is_own};
use super::reasons::{self, Met, Note};
use crate::message::Incoming;
use crate::queue::{Filter, State};

/// How many ids a list asks for at most, and a peek for the reason of a
/// burial: some seconds' worth.
pub const LONGEST_WALK: u64 = 200_000;

/// A job that was found, with the notes of why it was buried, if it is, the
/// newest first.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: u64,
    pub(super) job: JobStats,
    pub(super) text: Vec<u8>,
    pub(super) notes: Vec<(u64, Note)>,
}

impl Found {
    pub(super) fn request_type(&self) -> String {
        request_type(&self.text)
    }

    /// Whether it is in the queue and state that the filter wants.
    fn counts(&self, filter: &Filter) -> bool {
        filter.state.is_none_or(|state| self.job.state == state)
            && filter.queue.as_ref().is_none_or(|queue| self.job.tube == *queue)
    }

    /// Whether it is of the type that the filter wants.
    fn is_of_type(&self, filter: &Filter) -> bool {
        filter.request_type.as_ref().is_none_or(|wanted| self.request_type() == *wanted)
    }
}

fn request_type(text: &[u8]) -> String {
    Incoming::read(text).map(|message| message.header.request_type).unwrap_or_default()
}

/// What a walk over the ids brought, the newest first.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) found: Vec<Found>,
    pub(super) missing: u64,
}

/// The message with this id that fits the filter. If it is buried, its note is
/// looked for among so many ids.
pub(super) fn one(client: &mut Client, id: u64, filter: &Filter, most: u64) -> Result<Option<Found>, Fault> {
    let Some((job, text)) = look(client, id)?.filter(|(job, _)| !is_own(&job.tube)) else { return Ok(None) };
    let mut seen = Found { id, job, text, notes: Vec::new() };
    if filter.limit == Some(0) || !seen.counts(filter) || !seen.is_of_type(filter) {
        return Ok(None);
    }
    seen.notes.extend(note_of(client, id, &seen.job, most)?);
    Ok(Some(seen))
}

/// Asks for one id after the other, from the newest down, until all are found
/// that the server counts.
pub(super) fn all(client: &mut Client, filter: &Filter) -> Result<Walk, Fault> {
    // Else nothing would remove the last notes of a server without messages.
    reasons::sweep(client, &HashSet::new(), 0)?;
    let mut missing = count(client, filter)?;
    let limit = filter.limit.unwrap_or(usize::MAX);
    let mut walk = Walk::default();
    if missing == 0 || limit == 0 {
        return Ok(walk);
    }
    let newest = newest_id(client)?;
    let mut met = Met::default();
    for id in (newest.saturating_sub(LONGEST_WALK) + 1..=newest).rev() {
        let Some((job, text)) = look(client, id)? else {
            met.of(client, id, None);
            continue;
        };
        if is_own(&job.tube) {
            if job.tube == REASONS_TUBE {
                met.note(id, &text);
            }
            continue;
        }
        let notes = met.of(client, id, Some(job.state));
        let seen = Found { id, job, text, notes };
        if !seen.counts(filter) {
            continue;
        }
        missing -= 1;
        if seen.is_of_type(filter) {
            walk.found.push(seen);
        }
        if missing == 0 || walk.found.len() >= limit {
            return Ok(walk);
        }
    }
    // Jobs that were settled meanwhile are not missing.
    walk.missing = if newest > LONGEST_WALK { missing } else { 0 };
    Ok(walk)
}

/// The newest note of a buried message. Notes are newer than their messages:
/// of so many ids those above it are asked for, from the newest down.
pub(super) fn note_of(client: &mut Client, id: u64, job: &JobStats, most: u64) -> Result<Option<(u64, Note)>, Fault> {
    if job.state != State::Buried {
        return Ok(None);
    }
    let mut left = reasons::count(client)?;
    if left == 0 {
        return Ok(None);
    }
    // Mostly there is one burial and it is the oldest that somebody sees to:
    // its note can be had without a search.
    client.use_tube(REASONS_TUBE)?;
    if let Some((at, text)) = client.peek_delayed()?
        && let Some(note) = Note::read(&text).filter(|note| note.of == id && job.buries == 1)
    {
        return Ok(Some((at, note)));
    }
    let Some(newest) = newest_id_if_told(client)? else { return Ok(None) };
    for at in (id.max(newest.saturating_sub(most)) + 1..=newest).rev() {
        let Some(note) = client.peek(at)?.as_deref().and_then(Note::read) else { continue };
        // Anybody's message may read like a note.
        if found(client.stats_job(at))?.is_none_or(|job| job.tube != REASONS_TUBE) {
            continue;
        }
        if note.of == id {
            return Ok(Some((at, note)));
        }
        left -= 1;
        if left == 0 {
            break;
        }
    }
    Ok(None)
}

fn look(client: &mut Client, id: u64) -> Result<Option<(JobStats, Vec<u8>)>, Fault> {
    let Some(text) = client.peek(id)? else { return Ok(None) };
    Ok(found(client.stats_job(id))?.map(|job| (job, text)))
}

/// How many jobs there are in the queue and state that the filter wants.
fn count(client: &mut Client, filter: &Filter) -> Result<u64, Fault> {
    let mut all = 0;
    for tube in tubes(client, filter)? {
        let counts = client.stats_tube(&tube)?.unwrap_or_default();
        all += State::ALL
            .into_iter()
            .zip(counts)
            .filter(|(state, _)| filter.state.is_none_or(|wanted| wanted == *state))
            .map(|(_, count)| count)
            .sum::<u64>();
    }
    Ok(all)
}

/// The tubes that are queues, or the one that the filter wants.
pub(super) fn tubes(client: &mut Client, filter: &Filter) -> Result<Vec<String>, Fault> {
    match &filter.queue {
        Some(queue) => Ok(vec![queue.clone()]),
        None => Ok(client.tubes()?.into_iter().filter(|tube| !is_own(tube)).collect()),
    }
}

/// The server tells the newest id only to who puts a job.
fn newest_id(client: &mut Client) -> Result<u64, Fault> {
    client.use_tube(PROBE_TUBE)?;
    let id = client.put("{}", u32::MAX, LONGEST_DELAY, 1)?;
    found(client.delete(id))?;
    Ok(id)
}

/// The same, or `None` from a server that takes no jobs now.
pub(super) fn newest_id_if_told(client: &mut Client) -> Result<Option<u64>, Fault> {
    match newest_id(client) {
        Err(fault) if !fault.ends_connection() => Ok(None),
        id => id.map(Some),
    }
}
