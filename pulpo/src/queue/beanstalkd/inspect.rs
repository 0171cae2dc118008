//! Looking at the jobs of the server, kicking and deleting them.

use super::Shared;
use super::connection::{Client, Fault, found};
use super::consumer::number;
use super::job::JobStats;
use super::limits;
use crate::message::{Incoming, MessageId, Priority};
use crate::queue::{Filter, QueueError, State, Stats, StoredMessage};

/// How many ids a list asks for at most: some seconds' worth.
pub const LONGEST_WALK: u64 = 200_000;

/// Where the job is put that tells which id is the newest. It is delayed for
/// longer than anyone lives, and deleted at once.
const PROBE_TUBE: &str = "pulpo.probe";

impl Shared {
    pub(super) fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        let Some(id) = number(id) else { return Ok(None) };
        let seen = self.talk("look at a message of", move |client| look(client, id))?;
        Ok(seen.map(|(job, text)| self.stored(id, job, text)))
    }

    pub(super) fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        if let Some(id) = &filter.id {
            let message = self.peek(id)?.filter(|message| fits(filter, message) && filter.limit != Some(0));
            return Ok(message.into_iter().collect());
        }
        filter.queue.as_deref().map_or(Ok(()), limits::check_name)?;
        let wanted = filter.clone();
        let walk = self.talk("list the messages of", move |client| walk(client, &wanted))?;
        if walk.missing > 0 {
            tracing::warn!(
                missing = walk.missing,
                "{} cannot list: some messages are older than the newest {LONGEST_WALK} ids; ask for one by its id",
                self.place
            );
        }
        let mut messages: Vec<_> = walk.found.into_iter().map(|(id, job, text)| self.stored(id, job, text)).collect();
        messages.reverse();
        Ok(messages)
    }

    pub(super) fn stats(&self) -> Result<Vec<Stats>, QueueError> {
        self.talk("count the messages of", |client| {
            let mut tubes = client.tubes()?;
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
            let ids: Vec<_> =
                self.list(&filter.clone().state(State::Buried))?.iter().filter_map(|m| number(&m.id)).collect();
            return self.talk("kick messages of", move |client| {
                let mut kicked = 0;
                for id in ids {
                    kicked += u64::from(found(client.kick_job(id))?.is_some());
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
            loop {
                if found(client.delete(number))?.is_some() {
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

    fn stored(&self, id: u64, job: JobStats, text: Vec<u8>) -> StoredMessage {
        let waits = matches!(job.state, State::Delayed | State::Reserved);
        StoredMessage {
            id: id.into(),
            request_type: request_type(&text),
            state: job.state,
            priority: Priority::new(job.priority),
            until: waits.then(|| self.ahead(job.time_left)),
            attempts: job.counts().attempts,
            enqueued_at: Some(self.ago(job.age)),
            last_error: None,
            last_error_at: None,
            queue: job.tube,
            text,
        }
    }
}

fn request_type(text: &[u8]) -> String {
    Incoming::read(text).map(|message| message.header.request_type).unwrap_or_default()
}

fn fits(filter: &Filter, message: &StoredMessage) -> bool {
    filter.state.is_none_or(|state| message.state == state)
        && filter.queue.as_ref().is_none_or(|queue| message.queue == *queue)
        && filter.request_type.as_ref().is_none_or(|wanted| message.request_type == *wanted)
}

fn look(client: &mut Client, id: u64) -> Result<Option<(JobStats, Vec<u8>)>, Fault> {
    let Some(text) = client.peek(id)? else { return Ok(None) };
    Ok(found(client.stats_job(id))?.map(|job| (job, text)))
}

/// What a walk over the ids brought, the newest first.
struct Walk {
    found: Vec<(u64, JobStats, Vec<u8>)>,
    missing: u64,
}

/// Asks for one id after the other, from the newest down, until all are found
/// that the server counts.
fn walk(client: &mut Client, filter: &Filter) -> Result<Walk, Fault> {
    let mut missing = count(client, filter)?;
    let limit = filter.limit.unwrap_or(usize::MAX);
    let mut walk = Walk { found: Vec::new(), missing: 0 };
    if missing == 0 || limit == 0 {
        return Ok(walk);
    }
    let newest = newest_id(client)?;
    for id in (newest.saturating_sub(LONGEST_WALK) + 1..=newest).rev() {
        let Some((job, text)) = look(client, id)? else { continue };
        let counted = filter.state.is_none_or(|state| job.state == state)
            && filter.queue.as_ref().is_none_or(|queue| job.tube == *queue);
        if !counted {
            continue;
        }
        missing -= 1;
        if filter.request_type.as_ref().is_none_or(|wanted| request_type(&text) == *wanted) {
            walk.found.push((id, job, text));
        }
        if missing == 0 || walk.found.len() >= limit {
            return Ok(walk);
        }
    }
    // Jobs that were settled meanwhile are not missing.
    walk.missing = if newest > LONGEST_WALK { missing } else { 0 };
    Ok(walk)
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

fn tubes(client: &mut Client, filter: &Filter) -> Result<Vec<String>, Fault> {
    match &filter.queue {
        Some(queue) => Ok(vec![queue.clone()]),
        None => client.tubes(),
    }
}

/// The server tells the newest id only to who puts a job.
fn newest_id(client: &mut Client) -> Result<u64, Fault> {
    client.use_tube(PROBE_TUBE)?;
    let id = client.put("{}", u32::MAX, u32::MAX, 1)?;
    found(client.delete(id))?;
    Ok(id)
}

/// Kicks one after the other: the command for many kicks delayed jobs if no
/// buried ones are left, which another's kick may bring about.
fn kick_all(client: &mut Client, filter: &Filter) -> Result<u64, Fault> {
    let mut left = filter.limit.map_or(u64::MAX, |limit| limit as u64);
    let mut kicked = 0;
    for tube in tubes(client, filter)? {
        // No more than there are now: a worker may bury them again meanwhile.
        let [.., buried] = client.stats_tube(&tube)?.unwrap_or_default();
        if buried == 0 {
            continue;
        }
        client.use_tube(&tube)?;
        for _ in 0..buried.min(left) {
            let Some(id) = client.peek_buried()? else { break };
            if found(client.kick_job(id))?.is_some() {
                kicked += 1;
                left -= 1;
            }
        }
    }
    Ok(kicked)
}
