//! Finding jobs at a server that cannot enumerate them: it is asked for one id
//! after the other, from the newest down.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::client::Client;
use super::consumer::number;
use super::fault::{Fault, found};
use super::job::JobStats;
use super::limits::{LONGEST_DELAY, PROBE_TUBE, REASONS_TUBE, is_own};
use super::reasons::{self, Met, Note};
use super::{ago, ahead};
use crate::message::{Incoming, Priority};
use crate::queue::{Filter, MessageState, StoredMessage};

/// How many ids a list asks for at most, and a peek for the reason of a
/// burial: some seconds' worth.
pub const LONGEST_WALK: u64 = 200_000;

/// How many messages are looked at one by one, when their ids are given. More
/// are found faster by a walk.
const FEW: usize = 8;

/// A message that was found, with the notes of why it was buried, if it is, the
/// newest first.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: u64,
    pub(super) message: StoredMessage,
    pub(super) notes: Vec<(u64, Note)>,
}

impl Found {
    fn new(id: u64, job: JobStats, text: Vec<u8>, now: DateTime<Utc>) -> Self {
        let counts = job.counts();
        let waits = matches!(job.state, MessageState::Delayed | MessageState::Reserved);
        let until = waits.then(|| ahead(now, job.time_left));
        let due_since = if job.state == MessageState::Delayed { until } else { Some(ago(now, job.waited())) };
        let since = match job.state {
            MessageState::Delayed => Some(ago(now, job.delay.saturating_sub(job.time_left))),
            // The server does not tell when a job was put back, kicked or reserved.
            MessageState::Ready if job.reserves == 0 && job.kicks == 0 => due_since,
            // A note may tell.
            MessageState::Ready | MessageState::Reserved | MessageState::Buried => None,
        };
        let message = StoredMessage {
            id: id.into(),
            since,
            request_type: request_type(&text),
            state: job.state,
            priority: Priority::new(job.priority),
            until,
            lease: None,
            attempts: counts.attempts,
            abandoned: counts.lost,
            kicks: Some(counts.kicks),
            enqueued_at: Some(ago(now, job.age)),
            due_since,
            ttr: Some(job.ttr),
            last_error: None,
            last_error_at: None,
            queue: job.tube,
            text,
        };
        Self { id, message, notes: Vec::new() }
    }

    fn with_notes(mut self, notes: Vec<(u64, Note)>) -> Self {
        if let Some((_, note)) = notes.first() {
            self.message.last_error = Some(note.reason.clone());
            self.message.last_error_at = Some(note.at);
            self.message.since = Some(note.at);
        }
        self.notes = notes;
        self
    }

    /// Whether it is in the queue and state that the filter wants: these are
    /// what the server counts.
    fn counts(&self, filter: &Filter) -> bool {
        filter.has_state(self.message.state) && filter.queue.as_ref().is_none_or(|queue| self.message.queue == *queue)
    }
}

fn request_type(text: &[u8]) -> String {
    Incoming::read(text).map(|message| message.header.request_type).unwrap_or_default()
}

/// Whether the filter says no more than which queue and states, and how many.
pub(super) fn is_by_queue(filter: &Filter) -> bool {
    let rest = Filter { states: Vec::new(), queue: None, limit: None, ..filter.clone() };
    rest == Filter::all()
}

/// What a walk over the ids brought, the newest first.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) found: Vec<Found>,
    pub(super) missing: u64,
    /// How many would fit, if it were known since when they are in their state.
    pub(super) ageless: u64,
}

/// The ids that the filter names, if they are few enough to be looked at one by
/// one; the newest first.
pub(super) fn few(filter: &Filter) -> Option<Vec<u64>> {
    let mut ids = numbers(filter)?;
    ids.sort_unstable_by(|a, b| b.cmp(a));
    (ids.len() <= FEW).then_some(ids)
}

fn numbers(filter: &Filter) -> Option<Vec<u64>> {
    filter.ids.as_ref().map(|ids| ids.iter().filter_map(number).collect())
}

/// Those of the messages with these ids that fit the filter. Of those that are
/// buried the note is looked for among so many ids.
pub(super) fn named(
    client: &mut Client,
    ids: &[u64],
    filter: &Filter,
    now: DateTime<Utc>,
    most: u64,
) -> Result<Vec<Found>, Fault> {
    let whatever_reason = Filter { reason: None, older_than: None, newer_than: None, ..filter.clone() };
    let mut all = Vec::new();
    for &id in ids {
        if filter.limit.is_some_and(|limit| all.len() >= limit) {
            break;
        }
        let Some((job, text)) = look(client, id)?.filter(|(job, _)| !is_own(&job.tube)) else { continue };
        let seen = Found::new(id, job.clone(), text, now);
        if !whatever_reason.fits(&seen.message) {
            continue;
        }
        let note = note_of(client, id, &job, most)?;
        let seen = seen.with_notes(note.into_iter().collect());
        if filter.fits(&seen.message) {
            all.push(seen);
        }
    }
    Ok(all)
}

/// Asks for one id after the other, from the newest down, until all are found
/// that the server counts.
pub(super) fn all(client: &mut Client, filter: &Filter, now: DateTime<Utc>) -> Result<Walk, Fault> {
    // Else nothing would remove the last notes of a server without messages.
    reasons::sweep(client, &HashSet::new(), 0)?;
    let mut missing = count(client, filter)?;
    let limit = filter.limit.unwrap_or(usize::MAX);
    let mut walk = Walk::default();
    if missing == 0 || limit == 0 {
        return Ok(walk);
    }
    let newest = newest_id(client)?;
    // Also from the newest down if only older ones are meant, since their notes
    // are met before them.
    let lowest_named = numbers(filter).and_then(|ids| ids.into_iter().min());
    let last = newest.saturating_sub(LONGEST_WALK).saturating_add(1).max(lowest_named.unwrap_or(0));
    let whatever_age = Filter { older_than: None, newer_than: None, ..filter.clone() };
    let mut met = Met::default();
    let mut noted_up_to = newest;
    for id in (last..=newest).rev() {
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
        let mut notes = met.of(client, id, Some(job.state));
        if job.state == MessageState::Buried && notes.is_empty() && reasons::count(client)? > 0 {
            meet_new_notes(client, &mut met, &mut noted_up_to)?;
            notes = met.of(client, id, Some(job.state));
        }
        let seen = Found::new(id, job, text, now).with_notes(notes);
        if !seen.counts(filter) {
            continue;
        }
        missing -= 1;
        if filter.fits(&seen.message) {
            walk.found.push(seen);
        } else if seen.message.since.is_none() && whatever_age.fits(&seen.message) {
            walk.ageless += 1;
        }
        if missing == 0 || walk.found.len() >= limit {
            return Ok(walk);
        }
    }
    // Jobs that were settled meanwhile are not missing.
    walk.missing = if newest > LONGEST_WALK && lowest_named.is_none() { missing } else { 0 };
    Ok(walk)
}

/// A message that was buried while the walk goes on has its note above the id
/// where that began.
fn meet_new_notes(client: &mut Client, met: &mut Met, up_to: &mut u64) -> Result<(), Fault> {
    let Some(newest) = newest_id_if_told(client)? else { return Ok(()) };
    for id in (*up_to + 1..=newest).rev() {
        if let Some((job, text)) = look(client, id)?
            && job.tube == REASONS_TUBE
        {
            met.note(id, &text);
        }
    }
    *up_to = newest.max(*up_to);
    Ok(())
}

/// The newest note of a buried message. Notes are newer than their messages:
/// of so many ids those above it are asked for, from the newest down.
pub(super) fn note_of(client: &mut Client, id: u64, job: &JobStats, most: u64) -> Result<Option<(u64, Note)>, Fault> {
    if job.state != MessageState::Buried {
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
        let counts = client.stats_tube(&tube)?.unwrap_or_default().jobs;
        all += MessageState::ALL
            .into_iter()
            .zip(counts)
            .filter(|(state, _)| filter.has_state(*state))
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
