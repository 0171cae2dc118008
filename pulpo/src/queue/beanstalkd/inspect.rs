//! Looking at the jobs of the server, kicking and deleting them.

use std::collections::HashSet;
use std::time::Duration;

use super::client::Client;
use super::fault::{Fault, found};
use super::limits;
use super::reasons;
use super::walk::{self, Found, LONGEST_WALK};
use super::{Shared, ago, ahead};
use crate::message::MessageId;
use crate::queue::{Counts, Filter, MessageState, Paused, QueueError, Stats, StoredMessage, Totals};

/// Among how many ids a message's note is looked for that is to go with it.
/// It is only to save space, so not for long; a list finds it later.
const SHORT_WALK: u64 = 1_000;

impl Shared {
    pub(super) fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        Ok(self.list(&Filter::all().id(id.clone()))?.pop())
    }

    pub(super) fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        let found = self.find(filter, LONGEST_WALK)?;
        Ok(found.into_iter().map(|found| found.message).collect())
    }

    /// What the filter picks, the newest first. The notes of those that are
    /// picked by their ids are looked for among so many ids.
    fn find(&self, filter: &Filter, most: u64) -> Result<Vec<Found>, QueueError> {
        filter.queue.as_deref().map_or(Ok(()), limits::check_name)?;
        let now = self.clock.now();
        if let Some(ids) = walk::few(filter) {
            return self.talk("look at messages of", |client| walk::named(client, &ids, filter, now, most));
        }
        let walk = self.talk("list the messages of", |client| walk::all(client, filter, now))?;
        if walk.missing > 0 {
            tracing::warn!(
                missing = walk.missing,
                "{} cannot list: some messages are older than the newest {LONGEST_WALK} ids; ask for one by its id",
                self.place
            );
        }
        if walk.ageless > 0 {
            tracing::warn!(
                left_out = walk.ageless,
                "{} does not tell since when some messages are in their state: they are left out; \
                 filter by when they were published",
                self.place
            );
        }
        Ok(walk.found)
    }

    /// Of these queues, or of all.
    pub(super) fn stats(&self, queues: Option<&[String]>) -> Result<Stats, QueueError> {
        let now = self.clock.now();
        self.talk("count the messages of", |client| {
            let mut tubes = queues.map_or_else(|| walk::tubes(client, &Filter::all()), |queues| Ok(queues.to_vec()))?;
            tubes.sort_unstable();
            tubes.dedup();
            let mut all = Stats::default();
            for queue in tubes {
                let Some(tube) = client.stats_tube(&queue)? else { continue };
                if !tube.pause_left.is_zero() {
                    all.paused.push(Paused::new(queue.clone(), ahead(now, tube.pause_left)));
                }
                if tube.puts > 0 {
                    all.totals.push(Totals::new(Some(queue.clone()), tube.puts, tube.deletes));
                }
                let mut counts = Counts::new(queue, "");
                [counts.ready, counts.delayed, counts.reserved, counts.buried] = tube.jobs;
                if counts.ready > 0 {
                    client.use_tube(&counts.queue)?;
                    let next = client.peek_ready()?.map_or(Ok(None), |id| found(client.stats_job(id)))?;
                    counts.oldest_ready = next.map(|job| ago(now, job.waited()));
                }
                if counts.total() > 0 {
                    all.counts.push(counts);
                }
            }
            Ok(all)
        })
    }

    pub(super) fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        if !filter.has_state(MessageState::Buried) {
            return Ok(0);
        }
        if !walk::is_by_queue(filter) {
            // Each has to be looked at to tell which jobs are meant.
            let mut buried = filter.clone();
            buried.states = vec![MessageState::Buried];
            let buried = self.find(&buried, SHORT_WALK)?;
            return self.talk("kick messages of", |client| {
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
        self.talk("kick messages of", |client| kick_all(client, filter))
    }

    pub(super) fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        // An old note that is left over would hide that the one of a message is
        // the oldest, and cost a search.
        self.talk("delete messages from", |client| reasons::sweep(client, &HashSet::new(), 0))?;
        let found_now = self.find(filter, SHORT_WALK)?;
        self.talk("delete messages from", |client| {
            let mut deleted = 0;
            for Found { id, notes, message } in found_now {
                // One that was reserved may be free by now, and then is no
                // longer what was looked at. The server refuses the others.
                if message.state != MessageState::Reserved && found(client.delete(id))?.is_some() {
                    deleted += 1;
                    reasons::remove(client, notes.into_iter().map(|(id, _)| id));
                }
            }
            Ok(deleted)
        })
    }

    pub(super) fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        limits::check_name(queue)?;
        let seconds = limits::seconds(time);
        let paused = self.talk("pause a queue of", |client| found(client.pause_tube(queue, seconds)))?;
        if paused.is_none() && seconds > 0 {
            return Err(QueueError::NoSuchQueue { queue: queue.to_owned(), place: self.place.clone() });
        }
        // What is not there is not paused.
        Ok(())
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
        let buried = client.stats_tube(&tube)?.unwrap_or_default().buried();
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
