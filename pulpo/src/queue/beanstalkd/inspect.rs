//! Looking at the jobs of the server, kicking and deleting them.

use std::collections::HashSet;

use super::Shared;
use super::connection::{Client, Fault, found};
use super::consumer::number;
use super::limits::{self, is_own};
use super::reasons;
use super::walk::{self, Found, LONGEST_WALK};
use crate::message::{MessageId, Priority};
use crate::queue::{Filter, QueueError, State, Stats, StoredMessage};

/// Among how many ids a message's note is looked for that is to go with it.
/// It is only to save space, so not for long; a list finds it later.
const SHORT_WALK: u64 = 10_000;

impl Shared {
    pub(super) fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        Ok(self.list(&Filter::all().id(id.clone()))?.pop())
    }

    pub(super) fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        let found = self.find(filter, LONGEST_WALK)?;
        Ok(found.into_iter().rev().map(|found| self.stored(found)).collect())
    }

    /// What the filter picks, the newest first. The note of one that is picked
    /// by its id is looked for among so many ids.
    fn find(&self, filter: &Filter, most: u64) -> Result<Vec<Found>, QueueError> {
        let wanted = filter.clone();
        if let Some(id) = &filter.id {
            let Some(id) = number(id) else { return Ok(Vec::new()) };
            let seen = self.talk("look at a message of", move |client| walk::one(client, id, &wanted, most))?;
            return Ok(seen.into_iter().collect());
        }
        filter.queue.as_deref().map_or(Ok(()), limits::check_name)?;
        let walk = self.talk("list the messages of", move |client| walk::all(client, &wanted))?;
        if walk.missing > 0 {
            tracing::warn!(
                missing = walk.missing,
                "{} cannot list: some messages are older than the newest {LONGEST_WALK} ids; ask for one by its id",
                self.place
            );
        }
        Ok(walk.found)
    }

    pub(super) fn stats(&self) -> Result<Vec<Stats>, QueueError> {
        self.talk("count the messages of", |client| {
            let mut tubes = walk::tubes(client, &Filter::all())?;
            tubes.sort_unstable();
            let mut all = Vec::new();
            for queue in tubes {
                let Some([ready, delayed, reserved, buried]) = client.stats_tube(&queue)? else { continue };
                let stats = Stats { queue, request_type: String::new(), ready, delayed, reserved, buried };
                if stats.total() > 0 {
                    all.push(stats);
                }
            }
            Ok(all)
        })
    }

    pub(super) fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        if filter.state.is_some_and(|state| state != State::Buried) {
            return Ok(0);
        }
        if filter.id.is_some() || filter.request_type.is_some() {
            // Only their texts tell which jobs are meant.
            let buried = self.find(&filter.clone().state(State::Buried), SHORT_WALK)?;
            return self.talk("kick messages of", move |client| {
                let mut kicked = 0;
                for Found { id, notes, .. } in buried.into_iter().rev() {
                    if found(client.kick_job(id))?.is_some() {
                        kicked += 1;
                        // They are older than the kick: not of another burial since.
                        reasons::remove(client, notes.into_iter().map(|(id, _)| id));
                    }
                }
                Ok(kicked)
            });
        }
        filter.queue.as_deref().map_or(Ok(()), limits::check_name)?;
        let filter = filter.clone();
        self.talk("kick messages of", move |client| kick_all(client, &filter))
    }

    pub(super) fn delete(&self, id: &MessageId) -> Result<bool, QueueError> {
        let Some(number) = number(id) else { return Ok(false) };
        let reserved = self.talk("delete a message from", move |client| {
            let Some(job) = found(client.stats_job(number))?.filter(|job| !is_own(&job.tube)) else {
                return Ok(Ok(false));
            };
            let note = walk::note_of(client, number, &job, SHORT_WALK)?;
            loop {
                if found(client.delete(number))?.is_some() {
                    reasons::remove(client, note.map(|(id, _)| id));
                    return Ok(Ok(true));
                }
                // Not there, or reserved: the answer is the same.
                match found(client.stats_job(number))? {
                    None => return Ok(Ok(false)),
                    Some(job) if job.state == State::Reserved => return Ok(Err(job.ttr)),
                    // It was settled in between.
                    Some(_) => {}
                }
            }
        })?;
        reserved.map_err(|ttr| QueueError::Reserved { id: id.clone(), ttr })
    }

    fn stored(&self, found: Found) -> StoredMessage {
        let request_type = found.request_type();
        let Found { id, job, text, notes } = found;
        let waits = matches!(job.state, State::Delayed | State::Reserved);
        let (last_error, last_error_at) = notes.into_iter().next().map(|(_, note)| (note.reason, note.at)).unzip();
        StoredMessage {
            id: id.into(),
            request_type,
            state: job.state,
            priority: Priority::new(job.priority),
            until: waits.then(|| self.ahead(job.time_left)),
            attempts: job.counts().attempts,
            enqueued_at: Some(self.ago(job.age)),
            last_error,
            last_error_at,
            queue: job.tube,
            text,
        }
    }
}

/// Kicks one after the other: the command for many kicks delayed jobs if no
/// buried ones are left, which another's kick may bring about.
fn kick_all(client: &mut Client, filter: &Filter) -> Result<u64, Fault> {
    let limit = filter.limit.unwrap_or(usize::MAX);
    // A note of a burial after a kick comes after this id.
    let before = if reasons::count(client)? > 0 { walk::newest_id_if_told(client)? } else { None };
    let (mut kicked, mut count) = (HashSet::new(), 0);
    for tube in walk::tubes(client, filter)? {
        // No more than there are now: a worker may bury them again meanwhile.
        let [.., buried] = client.stats_tube(&tube)?.unwrap_or_default();
        if buried == 0 {
            continue;
        }
        client.use_tube(&tube)?;
        for _ in 0..buried {
            if count >= limit {
                break;
            }
            let Some(id) = client.peek_buried()? else { break };
            if found(client.kick_job(id))?.is_some() {
                kicked.insert(id);
                count += 1;
            }
        }
    }
    if let Some(before) = before {
        // What it does not reach is for a list: the kicks are done.
        let _ = reasons::sweep(client, &kicked, before);
    }
    Ok(count as u64)
}
