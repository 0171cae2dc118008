//! Finds jobs at a server that cannot enumerate them: asks for one id after another, from the newest down, hundreds in
//! one write.
//!
//! The server does not report the newest id. It counts the puts since its start, and assigns no more ids than that.
//! Without a log (`-b`) the first id is 1; with one, any job that was put since the start shows where the ids began. If
//! there is no such job, ids above the newest known one are tried too, until as many jobs are found as the server
//! counts.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

pub(super) use self::found::Found;
use self::found::Notes;
use self::ids::{LONGEST_GAP, MOST_TUBES, Page, Top, first_ids, note_ids, scan};
use super::burial_notes::{self, Note};
use super::connection::Connection;
use super::fault::Fault;
use super::job::{JobStats, TubeStats};
use super::limits::is_own;
use super::protocol::Commands;
use super::queries::{all_tube_stats, ask_each, read_job, texts, tubes};
use super::values::number;
use crate::queue::{Filter, MessageState};

mod found;
mod ids;
mod near;

/// The default maximum number of ids that a list asks for; that takes some seconds.
pub const MAX_SCANNED_IDS: u64 = 1_000_000;

/// The messages that a scan should return.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) filter: &'a Filter,
    /// Whether to fetch the texts of the messages.
    pub(super) texts: bool,
    /// Whether to fetch the reasons of burials.
    pub(super) notes: bool,
    /// The maximum number of ids to ask for.
    pub(super) most: u64,
    pub(super) now: DateTime<Utc>,
}

impl Wish<'_> {
    fn needs_texts(&self) -> bool {
        self.texts || self.filter.request_type.is_some() || !self.filter.body.is_empty()
    }

    fn needs_notes(&self) -> bool {
        let Filter { reason, older_than, newer_than, .. } = self.filter;
        self.notes || reason.is_some() || older_than.is_some() || newer_than.is_some()
    }

    /// Returns whether the job is in the filter's queue and state: these are the jobs that the server counts.
    fn counts(&self, job: &JobStats) -> bool {
        !is_own(&job.tube)
            && self.filter.has_state(job.state)
            && self.filter.queue.as_ref().is_none_or(|queue| job.tube == *queue)
    }
}

/// The result of a scan over the ids, the newest first.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) found: Vec<Found>,
    /// How many jobs the server counts that the scan did not reach.
    pub(super) unseen: u64,
    /// How many messages match except that the time of their state is unknown.
    pub(super) ageless: u64,
}

/// Jobs in the queue and states of a filter that the server shows without being asked for an id: the first of each state
/// and tube, the newest first.
struct Shown {
    ids: Vec<u64>,
    /// Whether there are no others.
    is_all: bool,
}

/// Returns those jobs, if they may help to find all `count` that the filter includes.
fn shown(connection: &mut Connection, filter: &Filter, count: u64) -> Result<Option<Shown>, Fault> {
    // A list of everything scans the ids: it deletes stale notes.
    if filter.states.is_empty() {
        return Ok(None);
    }
    let wanted = MessageState::LIVE.map(|state| filter.has_state(state));
    let tubes = tubes(connection, filter)?;
    let mut filled = all_tube_stats(connection, tubes)?;
    filled.retain(|(_, stats)| stats.count(filter) > 0);
    let [ready, delayed, _, buried] = wanted;
    let shown = [ready, delayed, false, buried];
    let few = |(_, stats): &(String, TubeStats)| {
        stats.jobs.iter().zip(wanted).zip(shown).all(|((count, wanted), shown)| !wanted || *count <= u64::from(shown))
    };
    let is_all = filled.iter().all(few);
    if filled.len() > MOST_TUBES || !is_all && count > near::MOST_JOBS {
        return Ok(None);
    }
    let mut ids = first_ids(connection, &filled, wanted)?;
    ids.sort_unstable_by(|a, b| b.cmp(a));
    Ok(Some(Shown { ids, is_all }))
}

/// Returns the messages with these ids that match the filter, the newest first.
pub(super) fn named(connection: &mut Connection, ids: &[u64], wish: Wish<'_>) -> Result<Vec<Found>, Fault> {
    let mut page = Page::new();
    let stats = |commands: &mut Commands, id: &u64| _ = commands.stats_job(*id);
    ask_each(connection, ids, stats, |id, answer| {
        page.push((*id, read_job(*id, answer)?));
        Ok(())
    })?;
    let buried = |(id, job): &(u64, Option<JobStats>)| {
        job.as_ref().is_some_and(|job| job.state == MessageState::Buried).then_some(*id)
    };
    let buried: HashSet<u64> = page.iter().filter_map(buried).collect();
    let mut notes = Notes::default();
    if wish.needs_notes() && !buried.is_empty() {
        find_notes(connection, &buried, &page, wish.most, &mut notes)?;
    }
    let mut scanned = Scanned::default();
    take_page(connection, page, wish, &mut notes, &mut scanned)?;
    Ok(finish(scanned, wish).found)
}

/// Finds the notes of these buried messages, among at most `most` of the newest ids.
fn find_notes(
    connection: &mut Connection,
    buried: &HashSet<u64>,
    page: &Page,
    most: u64,
    notes: &mut Notes,
) -> Result<(), Fault> {
    if burial_notes::count(connection)? == 0 {
        return Ok(());
    }
    // Often a single message is buried, and its note is the oldest: the server shows that one without a search.
    let oldest = burial_notes::oldest(connection)?;
    if let ([only], Some((at, text))) = (&*buried.iter().collect::<Vec<_>>(), &oldest)
        && Note::read(text).is_some_and(|note| note.of == **only)
        && page.iter().any(|(id, job)| id == *only && job.as_ref().is_some_and(|job| job.buries == 1))
    {
        notes.add(*at, text);
        return Ok(());
    }
    // In this order: then most notes that are put from now on are above the top.
    let top = Top::ask(connection)?;
    let mut left = burial_notes::count(connection)?;
    if let Some((at, _)) = oldest
        && near::notes(connection, at, left, (top, most), notes)?
    {
        return Ok(());
    }
    let mut seen = 0;
    let lowest = buried.iter().min().map_or(0, |id| *id) + 1;
    let mut open = buried.clone();
    scan(connection, top, lowest, most, |connection, page| {
        let ids = note_ids(&page);
        seen += ids.len() as u64;
        left = left.saturating_sub(ids.len() as u64);
        texts(connection, &ids, |id, text| notes.add(id, &text))?;
        open.retain(|id| !notes.of.contains_key(id));
        if left == 0 && !open.is_empty() {
            // Notes that were put since they were counted may have hidden older ones.
            left = burial_notes::count(connection)?.saturating_sub(seen);
        }
        Ok(left == 0 || open.is_empty())
    })?;
    Ok(())
}

/// Approximately how many ids can be asked for in the time of one round trip.
const IDS_PER_ROUND_TRIP: u64 = 20;

/// Returns the ids of the buried jobs of a tube, the oldest first, among at most `most` of the newest ids. `None` if
/// asking the server for one after another is faster.
pub(super) fn all_buried(
    connection: &mut Connection,
    tube: &str,
    count: u64,
    most: u64,
) -> Result<Option<Vec<u64>>, Fault> {
    let top = Top::ask(connection)?;
    if count < top.id.min(most) / IDS_PER_ROUND_TRIP {
        return Ok(None);
    }
    let mut ids = Vec::new();
    scan(connection, top, 1, most, |_, page| {
        let is_buried = |job: JobStats| job.state == MessageState::Buried && job.tube == tube;
        ids.extend(page.into_iter().filter_map(|(id, job)| job.is_some_and(is_buried).then_some(id)));
        Ok(ids.len() as u64 >= count)
    })?;
    ids.sort_unstable();
    Ok(Some(ids))
}

/// Combines the data about some ids with their texts and the notes of burials.
fn take_page(
    connection: &mut Connection,
    page: Page,
    wish: Wish<'_>,
    notes: &mut Notes,
    scanned: &mut Scanned,
) -> Result<u64, Fault> {
    texts(connection, &note_ids(&page), |id, text| notes.add(id, &text))?;
    let wanted = |(id, job): &(u64, Option<JobStats>)| job.as_ref().is_some_and(|job| wish.counts(job)).then_some(*id);
    let ids: Vec<u64> = page.iter().filter_map(wanted).collect();
    let mut bodies = HashMap::new();
    if wish.needs_texts() {
        texts(connection, &ids, |id, text| drop(bodies.insert(id, text)))?;
    }
    let mut counted = 0;
    for (id, job) in page {
        let its_notes = notes.join(id, job.as_ref().map(|job| job.state));
        let Some(job) = job.filter(|job| wish.counts(job)) else { continue };
        counted += 1;
        let text = bodies.remove(&id);
        if wish.needs_texts() && text.is_none() {
            // It has gone in the meantime.
            continue;
        }
        scanned.found.push(Found::new(id, job, text.unwrap_or_default(), wish.now).with_notes(its_notes));
    }
    Ok(counted)
}

/// Scans the ids until all jobs that the server counts are found.
pub(super) fn all(connection: &mut Connection, wish: Wish<'_>) -> Result<Scanned, Fault> {
    // Otherwise nothing would delete the last notes of a server without messages.
    burial_notes::sweep(connection)?;
    let mut missing = count(connection, wish.filter)?;
    let limit = wish.filter.limit.unwrap_or(usize::MAX);
    let mut scanned = Scanned::default();
    if missing == 0 || limit == 0 {
        return Ok(scanned);
    }
    let shown = shown(connection, wish.filter, missing)?;
    if let Some(Shown { ids, is_all: true }) = &shown {
        let found = named(connection, ids, wish)?;
        return Ok(Scanned { found, ..Scanned::default() });
    }
    let top = Top::ask(connection)?;
    // Some may be buried after they were counted, and be found in place of older ones: they are counted again at the
    // end. Of other states, too much comes and goes.
    let only_buried = wish.filter.states == [MessageState::Buried];
    // With a smaller limit, the newest ones are wanted, and the scan begins with them.
    if let Some(Shown { ids, .. }) = shown.filter(|_| limit as u64 >= missing)
        && let Some(ids) = near::jobs(connection, |job| wish.counts(job), &ids, missing, (top, wish.most))?
        && (!only_buried || count(connection, wish.filter)? <= ids.len() as u64)
    {
        let found = named(connection, &ids, wish)?;
        return Ok(Scanned { found, ..Scanned::default() });
    }
    let mut notes = Notes::default();
    let (mut counted, mut fitting, mut empty, mut newest) = (0, 0, 0, 0);
    let reached = scan(connection, top, 1, wish.most, |connection, page| {
        let begun = scanned.found.len();
        newest = page.iter().filter(|(_, job)| job.is_some()).map(|(id, _)| *id).fold(newest, u64::max);
        empty = if page.iter().all(|(_, job)| job.is_none()) { empty + page.len() as u64 } else { 0 };
        let more = take_page(connection, page, wish, &mut notes, &mut scanned)?;
        (missing, counted) = (missing.saturating_sub(more), counted + more);
        if missing == 0 && only_buried {
            missing = count(connection, wish.filter)?.saturating_sub(counted);
        }
        fitting += scanned.found[begun..].iter().filter(|found| wish.filter.fits(&found.message)).count();
        // If the top is not certain, newer messages and their notes may come last.
        let noted = || top.certain || empty > LONGEST_GAP || !scanned.found.iter().any(Found::lacks_notes);
        Ok(missing == 0 && noted() || top.certain && fitting >= limit)
    })?;
    // Jobs that were settled in the meantime are not missing.
    scanned.unseen = if reached { 0 } else { missing };
    scanned.join(&mut notes);
    let lacks = wish.needs_notes() && scanned.found.iter().any(Found::lacks_notes);
    if lacks && burial_notes::count(connection)? > 0 {
        // The note of a message that was buried during the scan has a greater id than all that existed when the scan
        // began.
        let now = Top::ask(connection)?;
        let mut empty = 0;
        scan(connection, Top { id: now.id.max(newest), ..now }, newest + 1, wish.most, |connection, page| {
            let ids = note_ids(&page);
            empty = if page.iter().all(|(_, job)| job.is_none()) { empty + page.len() as u64 } else { 0 };
            texts(connection, &ids, |id, text| notes.add(id, &text))?;
            scanned.join(&mut notes);
            Ok(!scanned.found.iter().any(Found::lacks_notes) || !now.certain && empty > LONGEST_GAP)
        })?;
    }
    burial_notes::remove(connection, &notes.stale);
    Ok(finish(scanned, wish))
}

impl Scanned {
    /// Adds notes that the scan met after their messages.
    fn join(&mut self, notes: &mut Notes) {
        for found in self.found.iter_mut().filter(|found| found.lacks_notes()) {
            let its = notes.join(found.id, Some(MessageState::Buried));
            found.add_notes(its);
        }
    }
}

/// Returns the messages that match, in order.
fn finish(mut scanned: Scanned, wish: Wish<'_>) -> Scanned {
    let whatever_age = Filter { older_than: None, newer_than: None, ..wish.filter.clone() };
    let ageless = |found: &&Found| found.message.since.is_none() && whatever_age.fits(&found.message);
    if *wish.filter != whatever_age {
        scanned.ageless = scanned.found.iter().filter(ageless).count() as u64;
    }
    scanned.found.retain(|found| wish.filter.fits(&found.message));
    scanned.found.sort_by_key(|found| std::cmp::Reverse(found.id));
    scanned.found.truncate(wish.filter.limit.unwrap_or(usize::MAX));
    scanned
}

/// Returns how many jobs are in the queue and state of the filter.
fn count(connection: &mut Connection, filter: &Filter) -> Result<u64, Fault> {
    let tubes = tubes(connection, filter)?;
    let stats = all_tube_stats(connection, tubes)?;
    Ok(stats.iter().map(|(_, stats)| stats.count(filter)).sum())
}

/// Returns the ids of the filter as numbers, the newest first.
pub(super) fn numbers(filter: &Filter) -> Option<Vec<u64>> {
    let mut ids: Vec<u64> = filter.ids.as_ref()?.iter().filter_map(number).collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    Some(ids)
}
