//! Inspects the jobs of the server, kicks and deletes them.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::burial_notes;
use super::connection::Connection;
use super::fault::Fault;
use super::job::TubeStats;
use super::limits;
use super::protocol::{Answer, Commands};
use super::queries::{all_tube_stats, ask_each, read_job, tube_stats, tubes};
use super::scan::{self, Found, Scanned, Wish};
use super::shared::Shared;
use super::values::{ago, ahead};
use crate::message::MessageId;
use crate::queue::{Counts, Filter, MessageState, Paused, QueueError, Stats, StoredMessage, Survey, Totals};

/// How many ids to search for the note of a message that is kicked or deleted. Deleting the note only saves space, so
/// the search is short; a list finds it later.
const SHORT_SCAN: u64 = 10_000;

/// Fewer jobs than this are kicked one by one, as the server shows them, without a scan.
const FEW: u64 = 100;

/// The maximum number of jobs for one `kick` command, between two checks of how many are left.
const MOST_KICKED: u64 = 50_000;

impl Shared {
    pub(super) fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        Ok(self.list(&Filter::all().id(id.clone()))?.pop())
    }

    pub(super) fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        let scanned = self.find(filter, true, self.max_scanned_ids)?;
        self.warn_of_unseen(&scanned);
        Ok(scanned.found.into_iter().map(|found| found.message).collect())
    }

    pub(super) fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        let scanned = self.find(filter, texts, self.max_scanned_ids)?;
        let messages = scanned.found.into_iter().map(|found| found.message).collect();
        Ok(Survey { messages, unseen: scanned.unseen })
    }

    fn warn_of_unseen(&self, scanned: &Scanned) {
        if scanned.unseen > 0 {
            tracing::warn!(
                missing = scanned.unseen,
                "{} cannot list all: some messages are beyond the {} ids that were asked for; ask for one by its id",
                self.place,
                self.max_scanned_ids
            );
        }
    }

    /// Returns the messages that match the filter, the newest first. For a filter by ids, searches this many ids for
    /// notes.
    fn find(&self, filter: &Filter, texts: bool, most: u64) -> Result<Scanned, QueueError> {
        filter.queue.as_deref().map_or(Ok(()), limits::check_name)?;
        let wish = Wish { filter, texts, notes: texts, most, now: self.clock.now() };
        if let Some(ids) = scan::numbers(filter) {
            let found = self.inspect("look at messages of", |connection| {
                scan::named(connection, &ids, Wish { notes: true, ..wish })
            })?;
            return Ok(Scanned { found, ..Scanned::default() });
        }
        let most = self.max_scanned_ids;
        let scanned =
            self.inspect("list the messages of", |connection| scan::all(connection, Wish { most, ..wish }))?;
        if scanned.ageless > 0 {
            tracing::warn!(
                left_out = scanned.ageless,
                "{} does not tell how long some messages have been in their state: they are omitted; \
                 filter by publication time",
                self.place
            );
        }
        Ok(scanned)
    }

    /// Returns the statistics of these queues; `None` for all queues.
    pub(super) fn stats(&self, queues: Option<&[String]>) -> Result<Stats, QueueError> {
        let now = self.clock.now();
        self.inspect("count the messages of", |connection| {
            let mut names = queues.map_or_else(|| tubes(connection, &Filter::all()), |queues| Ok(queues.to_vec()))?;
            names.sort_unstable();
            names.dedup();
            let mut all = Stats::default();
            for (queue, tube) in all_tube_stats(connection, names)? {
                if !tube.pause_left.is_zero() {
                    all.paused.push(Paused::new(queue.clone(), ahead(now, tube.pause_left)));
                }
                if tube.puts > 0 {
                    all.totals.push(Totals::new(Some(queue.clone()), tube.puts, tube.deletes));
                }
                let mut counts = Counts::new(queue, "");
                [counts.ready, counts.delayed, counts.reserved, counts.buried] = tube.jobs;
                if counts.total() > 0 {
                    all.counts.push(counts);
                }
            }
            oldest_ready(connection, &mut all.counts, |waited| ago(now, waited))?;
            Ok(all)
        })
    }

    pub(super) fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        if !filter.has_state(MessageState::Buried) {
            return Ok(0);
        }
        if filter.is_by_queue_and_state() {
            filter.queue.as_deref().map_or(Ok(()), limits::check_name)?;
            return self.inspect("kick messages of", |connection| kick_all(connection, filter, self.max_scanned_ids));
        }
        // Each message must be checked against the filter.
        let mut buried = filter.clone();
        buried.states = vec![MessageState::Buried];
        let scanned = self.find(&buried, false, SHORT_SCAN)?;
        self.warn_of_unseen(&scanned);
        let found = scanned.found;
        self.inspect("kick messages of", |connection| {
            let ids: Vec<u64> = found.iter().rev().map(|found| found.id).collect();
            let mut kicked = HashSet::new();
            let kick = |commands: &mut Commands, id: &u64| _ = commands.kick_job(*id);
            ask_each(connection, &ids, kick, |id, answer| {
                if answer.done(&Answer::Kicked(None))? {
                    kicked.insert(*id);
                }
                Ok(())
            })?;
            // They are older than the kick, so they do not belong to a later burial.
            burial_notes::remove(connection, &notes_of(&found, &kicked));
            Ok(kicked.len() as u64)
        })
    }

    pub(super) fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        // A stale note that is older than a message's own note would make the search for that one necessary.
        self.inspect("delete messages from", burial_notes::sweep)?;
        let scanned = self.find(filter, false, SHORT_SCAN)?;
        let all = filter.is_by_queue_and_state() && filter.limit.is_none();
        if !all {
            self.warn_of_unseen(&scanned);
        }
        let (found, unseen) = (scanned.found, scanned.unseen);
        self.inspect("delete messages from", |connection| {
            // A message that was reserved may be free by now, and has changed since it was checked. The server refuses
            // to delete those that still are.
            let free = found.iter().filter(|found| found.message.state != MessageState::Reserved);
            let ids: Vec<u64> = free.map(|found| found.id).collect();
            let mut deleted = HashSet::new();
            let delete = |commands: &mut Commands, id: &u64| _ = commands.delete(*id);
            ask_each(connection, &ids, delete, |id, answer| {
                if answer.done(&Answer::Deleted)? {
                    deleted.insert(*id);
                }
                Ok(())
            })?;
            burial_notes::remove(connection, &notes_of(&found, &deleted));
            let beyond = if all && unseen > 0 { delete_first_ones(connection, filter)? } else { 0 };
            Ok(deleted.len() as u64 + beyond)
        })
    }

    pub(super) fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        limits::check_name(queue)?;
        let seconds = limits::seconds(time);
        let paused = self.inspect("pause a queue of", |connection| {
            connection.ask_one(|commands| commands.pause_tube(queue, seconds))?.done(&Answer::Paused)
        })?;
        if !paused && seconds > 0 {
            return Err(QueueError::NoSuchQueue { queue: queue.to_owned(), place: self.place.clone() });
        }
        // A queue that does not exist is not paused.
        Ok(())
    }
}

fn notes_of(found: &[Found], of: &HashSet<u64>) -> Vec<u64> {
    let theirs = found.iter().filter(|found| of.contains(&found.id));
    theirs.flat_map(|found| found.notes.iter().map(|(id, _)| *id)).collect()
}

/// Fills in since when the next job of each queue could have been started.
fn oldest_ready(
    connection: &mut Connection,
    counts: &mut [Counts],
    since: impl Fn(Duration) -> DateTime<Utc>,
) -> Result<(), Fault> {
    let ready: Vec<usize> = (0..counts.len()).filter(|at| counts[*at].ready > 0).collect();
    let mut next = Vec::new();
    for part in ready.chunks(100) {
        let mut commands = Commands::new();
        for at in part {
            commands.use_tube(&counts[*at].queue).peek_first("ready");
        }
        if let Some(last) = part.last() {
            connection.now_uses(&counts[*last].queue);
        }
        connection.send(&commands)?;
        for at in part {
            connection.answer()?.expect(&Answer::Using)?;
            next.extend(connection.answer()?.peeked()?.map(|(id, _)| (*at, id)));
        }
    }
    let stats = |commands: &mut Commands, (_, id): &(usize, u64)| _ = commands.stats_job(*id);
    ask_each(connection, &next, stats, |(at, id), answer| {
        counts[*at].oldest_ready = read_job(*id, answer)?.map(|job| since(job.waited()));
        Ok(())
    })
}

/// Kicks all buried jobs of the queues, including those beyond the ids that a list searches.
fn kick_all(connection: &mut Connection, filter: &Filter, most_ids: u64) -> Result<u64, Fault> {
    let mut left = filter.limit.map_or(u64::MAX, |limit| limit as u64);
    let noted = burial_notes::count(connection)? > 0;
    let mut count = 0;
    for tube in tubes(connection, filter)? {
        // No more than are buried now: a worker may bury them again in the meantime.
        let Some(stats) = tube_stats(connection, &tube)? else { continue };
        let most = stats.buried().min(left);
        if most == 0 {
            continue;
        }
        let mut now = 0;
        if stats.delayed() > 0 || noted {
            // With a limit, the jobs that the server shows first are kicked.
            if filter.limit.is_none() && most >= FEW {
                now = kick_listed(connection, &tube, most, most_ids)?;
            }
            use_tube(connection, &tube)?;
            now += kick_each(connection, most - now)?;
        } else {
            use_tube(connection, &tube)?;
            now += kick_many(connection, &tube, most)?;
        }
        (count, left) = (count + now, left - now);
    }
    if noted {
        // If this fails, a list deletes the notes later: the kicks are done.
        let _ = burial_notes::sweep(connection);
    }
    Ok(count)
}

/// Kicks many jobs with one command. The command kicks delayed jobs when no buried ones are left, so it is used only
/// while there are no delayed ones.
fn kick_many(connection: &mut Connection, tube: &str, most: u64) -> Result<u64, Fault> {
    let mut count = 0;
    while count < most {
        let now = tube_stats(connection, tube)?.unwrap_or_default();
        let part = now.buried().min(most - count).min(MOST_KICKED);
        if part == 0 || now.delayed() > 0 {
            break;
        }
        count += connection.ask_one(|commands| commands.kick(part))?.kicked()?;
    }
    Ok(count)
}

fn use_tube(connection: &mut Connection, tube: &str) -> Result<(), Fault> {
    connection.now_uses(tube);
    connection.ask_one(|commands| commands.use_tube(tube))?.expect(&Answer::Using)
}

/// Kicks the buried messages that a scan of at most `most_ids` ids finds, many in one write.
fn kick_listed(connection: &mut Connection, tube: &str, most: u64, most_ids: u64) -> Result<u64, Fault> {
    let Some(mut ids) = scan::all_buried(connection, tube, most, most_ids)? else { return Ok(0) };
    ids.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    let mut count = 0;
    let kick = |commands: &mut Commands, id: &u64| _ = commands.kick_job(*id);
    ask_each(connection, &ids, kick, |_, answer| {
        count += u64::from(answer.done(&Answer::Kicked(None))?);
        Ok(())
    })?;
    Ok(count)
}

/// Kicks one job after another, as the server shows them.
fn kick_each(connection: &mut Connection, most: u64) -> Result<u64, Fault> {
    let mut count = 0;
    let mut next = connection.ask_one(|commands| commands.peek_first("buried"))?.peeked()?;
    for _ in 0..most {
        let Some((id, _)) = next else { break };
        let mut commands = Commands::new();
        commands.kick_job(id).peek_first("buried");
        connection.send(&commands)?;
        if connection.answer()?.done(&Answer::Kicked(None))? {
            count += 1;
        }
        next = connection.answer()?.peeked()?;
    }
    Ok(count)
}

/// Deletes jobs that no scan reaches, one after another, in the states that the server shows.
fn delete_first_ones(connection: &mut Connection, filter: &Filter) -> Result<u64, Fault> {
    let mut count = 0;
    let shown = [MessageState::Ready, MessageState::Delayed, MessageState::Buried];
    for (tube, stats) in {
        let tubes = tubes(connection, filter)?;
        all_tube_stats(connection, tubes)?
    } {
        connection.ask_one(|commands| commands.use_tube(&tube))?.expect(&Answer::Using)?;
        connection.now_uses(&tube);
        for state in shown.into_iter().filter(|state| filter.has_state(*state)) {
            count += delete_each(connection, state, in_state(&stats, state))?;
        }
    }
    Ok(count)
}

fn in_state(stats: &TubeStats, state: MessageState) -> u64 {
    stats.count(&Filter::all().state(state))
}

fn delete_each(connection: &mut Connection, state: MessageState, most: u64) -> Result<u64, Fault> {
    let mut count = 0;
    for _ in 0..most {
        let Some((id, _)) = connection.ask_one(|commands| commands.peek_first(state.as_str()))?.peeked()? else {
            break;
        };
        count += u64::from(connection.ask_one(|commands| commands.delete(id))?.done(&Answer::Deleted)?);
    }
    Ok(count)
}
