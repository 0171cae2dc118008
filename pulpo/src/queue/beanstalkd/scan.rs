//! Finds jobs at a server that cannot enumerate them: asks for one id after another, from the newest down, hundreds in
//! one write.
//!
//! The server does not report the newest id. It counts the puts since its start, and assigns no more ids than that.
//! Without a log (`-b`) the first id is 1; with one, any job that was put since the start shows where the ids began. If
//! there is no such job, ids above the newest known one are tried too, until as many jobs are found as the server
//! counts.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::burial_notes::{self, Note};
use super::connection::Connection;
use super::fault::Fault;
use super::job::{self, JobStats, TubeStats};
use super::limits::{REASONS_TUBE, is_own};
use super::look::{all_tube_stats, ask_each, job_stats, read_job, texts, tubes};
use super::protocol::{Answer, Commands};
use super::values::{ago, ahead, number};
use crate::message::{Incoming, Priority};
use crate::queue::{Filter, LimitKeys, MessageState, StoredMessage};

/// The default maximum number of ids that a list asks for; that takes some seconds.
pub const MAX_SCANNED_IDS: u64 = 1_000_000;

/// The number of ids in one request.
const PAGE: u64 = 4096;

/// After this many missing ids in a row, the search for notes ends, if the newest id is not known for certain.
const LONGEST_GAP: u64 = 50_000;

/// The maximum number of tubes to ask for an existing job.
const MOST_TUBES: usize = 50;

/// A message that was found. If it is buried, its notes with the reason, the newest first.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: u64,
    pub(super) message: StoredMessage,
    pub(super) notes: Vec<(u64, Note)>,
}

impl Found {
    pub(super) fn new(id: u64, job: JobStats, text: Vec<u8>, now: DateTime<Utc>) -> Self {
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
            progress: None,
            cancelled: false,
            history: Vec::new(),
            result: None,
            has_expired: false,
            unique: None,
            has_key: false,
            limit_keys: LimitKeys::default(),
            queue: job.tube,
            text,
        };
        Self { id, message, notes: Vec::new() }
    }

    fn with_notes(mut self, notes: Vec<(u64, Note)>) -> Self {
        self.add_notes(notes);
        self
    }

    fn lacks_notes(&self) -> bool {
        self.message.state == MessageState::Buried && self.notes.is_empty()
    }

    fn add_notes(&mut self, notes: Vec<(u64, Note)>) {
        if let Some((_, note)) = notes.first() {
            self.message.last_error = Some(note.reason.clone());
            self.message.last_error_at = Some(note.at);
            self.message.since = Some(note.at);
        }
        self.notes = notes;
    }
}

fn request_type(text: &[u8]) -> String {
    Incoming::read(text).map(|message| message.header.request_type).unwrap_or_default()
}

/// What a scan should return.
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

/// The jobs in a range of ids, the newest first, one page at a time.
struct IdScan<'c> {
    connection: &'c mut Connection,
    /// The next id, and the last one.
    next: u64,
    last: u64,
}

/// The server's data about consecutive ids; `None` for ids without a job.
type Page = Vec<(u64, Option<JobStats>)>;

impl<'c> IdScan<'c> {
    /// Scans from one id down to another; empty if the first is the smaller one.
    fn down(connection: &'c mut Connection, from: u64, to: u64) -> Self {
        Self { connection, next: from, last: to.max(1) }
    }

    fn page(&mut self) -> Result<Page, Fault> {
        let last = self.next.saturating_sub(PAGE - 1).max(self.last);
        let ids: Vec<_> = (last..=self.next).rev().collect();
        self.next = last - 1;
        let mut page = Vec::with_capacity(ids.len());
        let stats = |commands: &mut Commands, id: &u64| _ = commands.stats_job(*id);
        ask_each(self.connection, &ids, stats, |id, answer| {
            page.push((*id, read_job(answer)?));
            Ok(())
        })?;
        Ok(page)
    }
}

impl Iterator for IdScan<'_> {
    type Item = Result<Page, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.next >= self.last).then(|| self.page())
    }
}

/// The notes of burials, until the scan meets their messages.
#[derive(Debug, Default)]
struct Notes {
    of: HashMap<u64, Vec<(u64, Note)>>,
    /// Stale notes.
    stale: Vec<u64>,
}

impl Notes {
    /// Adds a job from the tube of reasons.
    fn add(&mut self, id: u64, text: &[u8]) {
        if let Some(note) = Note::read(text).filter(|note| note.of < id) {
            self.of.entry(note.of).or_default().push((id, note));
        }
    }

    /// Takes the notes of the message with this id, the newest first.
    fn join(&mut self, id: u64, state: Option<MessageState>) -> Vec<(u64, Note)> {
        let mut notes = self.of.remove(&id).unwrap_or_default();
        notes.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        if burial_notes::is_over(state) {
            self.stale.extend(notes.iter().map(|(at, _)| *at));
        }
        // For a message that runs again, they are outdated.
        if state == Some(MessageState::Buried) { notes } else { Vec::new() }
    }
}

/// The greatest id that a job may have.
#[derive(Clone, Copy, Debug)]
struct Top {
    id: u64,
    /// Whether no job can have a greater one.
    certain: bool,
}

impl Top {
    fn ask(connection: &mut Connection) -> Result<Self, Fault> {
        let garbled = || Fault::Dropped("the answer to stats is garbled".to_owned());
        let told = connection.ask_one(Commands::stats)?.told()?.ok_or_else(garbled)?;
        let number = |key| job::number(&told, key).ok_or_else(garbled);
        let (puts, uptime) = (number("cmd-put")?, number("uptime")?);
        if number("binlog-current-index")? == 0 {
            return Ok(Self { id: puts, certain: true });
        }
        let known = some_jobs(connection)?;
        // Ids increase: one that was assigned since the start is greater than all that existed before.
        match known.iter().filter(|(_, job)| job.age.as_secs() < uptime).map(|(id, _)| *id).min() {
            Some(new) => Ok(Self { id: new.saturating_add(puts), certain: true }),
            None => {
                let newest = known.iter().map(|(id, _)| *id).max().unwrap_or(0);
                Ok(Self { id: newest.saturating_add(puts), certain: false })
            }
        }
    }
}

/// Returns some jobs that the server shows without being asked for an id.
fn some_jobs(connection: &mut Connection) -> Result<Vec<(u64, JobStats)>, Fault> {
    let mut all = tubes(connection, &Filter::all())?;
    all.push(REASONS_TUBE.to_owned());
    let mut filled = all_tube_stats(connection, all)?;
    filled.retain(|(_, stats)| stats.jobs != [0; 4]);
    filled.truncate(MOST_TUBES);
    let ids = first_ids(connection, &filled, [true; 4])?;
    let mut jobs = Vec::new();
    for id in ids {
        jobs.extend(job_stats(connection, id)?.map(|job| (id, job)));
    }
    Ok(jobs)
}

/// Returns the ids of the jobs that may match the filter, the newest first, if each tube has at most one job in each
/// state: the server shows those directly.
fn only_ones(connection: &mut Connection, filter: &Filter) -> Result<Option<Vec<u64>>, Fault> {
    // A list of everything scans the ids: it deletes stale notes.
    if filter.states.is_empty() {
        return Ok(None);
    }
    let wanted = MessageState::LIVE.map(|state| filter.has_state(state));
    let tubes = tubes(connection, filter)?;
    let filled = all_tube_stats(connection, tubes)?;
    let [ready, delayed, _, buried] = wanted;
    let shown = [ready, delayed, false, buried];
    let few = |(_, stats): &(String, TubeStats)| {
        stats.jobs.iter().zip(wanted).zip(shown).all(|((count, wanted), shown)| !wanted || *count <= u64::from(shown))
    };
    if filled.len() > MOST_TUBES || !filled.iter().all(few) {
        return Ok(None);
    }
    let mut ids = first_ids(connection, &filled, wanted)?;
    ids.sort_unstable_by(|a, b| b.cmp(a));
    Ok(Some(ids))
}

/// Returns the ids of the first job in each of these states, in each of these tubes.
fn first_ids(
    connection: &mut Connection,
    filled: &[(String, TubeStats)],
    wanted: [bool; 4],
) -> Result<Vec<u64>, Fault> {
    let mut ids = Vec::new();
    for (tube, stats) in filled {
        let mut commands = Commands::new();
        commands.use_tube(tube);
        for (state, word) in [(0, "ready"), (1, "delayed"), (3, "buried")] {
            if wanted[state] && stats.jobs[state] > 0 {
                commands.peek_first(word);
            }
        }
        connection.now_uses(tube);
        connection.send(&commands)?;
        connection.answer()?.expect(&Answer::Using)?;
        for _ in 1..commands.len() {
            ids.extend(connection.answer()?.peeked()?.map(|(id, _)| id));
        }
    }
    Ok(ids)
}

/// Returns the messages with these ids that match the filter, the newest first.
pub(super) fn named(connection: &mut Connection, ids: &[u64], wish: Wish<'_>) -> Result<Vec<Found>, Fault> {
    let mut page = Page::new();
    let stats = |commands: &mut Commands, id: &u64| _ = commands.stats_job(*id);
    ask_each(connection, ids, stats, |id, answer| {
        page.push((*id, read_job(answer)?));
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
    let mut left = burial_notes::count(connection)?;
    if left == 0 {
        return Ok(());
    }
    // Often a single message is buried, and its note is the oldest: the server shows that one without a search.
    if let ([only], Some((at, text))) = (&*buried.iter().collect::<Vec<_>>(), burial_notes::oldest(connection)?)
        && Note::read(&text).is_some_and(|note| note.of == **only)
        && page.iter().any(|(id, job)| id == *only && job.as_ref().is_some_and(|job| job.buries == 1))
    {
        notes.add(at, &text);
        return Ok(());
    }
    let top = Top::ask(connection)?;
    let lowest = buried.iter().min().map_or(0, |id| *id) + 1;
    let mut open = buried.clone();
    scan(connection, top, lowest, most, |connection, page| {
        let ids = note_ids(&page);
        left = left.saturating_sub(ids.len() as u64);
        texts(connection, &ids, |id, text| notes.add(id, &text))?;
        open.retain(|id| !notes.of.contains_key(id));
        Ok(left == 0 || open.is_empty())
    })?;
    Ok(())
}

/// Scans the ids from the top down to the lowest, and if the top is not certain also those above it. Ends after `most`
/// ids, or when `look` returns true because it has everything. Returns whether the scan was complete or has everything.
fn scan(
    connection: &mut Connection,
    top: Top,
    lowest: u64,
    most: u64,
    mut look: impl FnMut(&mut Connection, Page) -> Result<bool, Fault>,
) -> Result<bool, Fault> {
    let last = top.id.saturating_sub(most).saturating_add(1).max(lowest);
    let mut left = most.saturating_sub((top.id + 1).saturating_sub(last));
    let mut next = Some((top.id, last));
    while let Some((from, to)) = next {
        let mut ids = IdScan::down(connection, from, to);
        while let Some(page) = ids.next() {
            if look(ids.connection, page?)? {
                return Ok(true);
            }
        }
        // All jobs may be above the estimate.
        let more = if top.certain { 0 } else { left.min(from.max(PAGE)) };
        left -= more;
        next = (more > 0).then_some((from + more, from + 1));
    }
    Ok(top.certain && last <= lowest.max(1))
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

fn note_ids(page: &Page) -> Vec<u64> {
    let of_note =
        |(id, job): &(u64, Option<JobStats>)| job.as_ref().is_some_and(|job| job.tube == REASONS_TUBE).then_some(*id);
    page.iter().filter_map(of_note).collect()
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
    if let Some(ids) = only_ones(connection, wish.filter)? {
        let found = named(connection, &ids, wish)?;
        return Ok(Scanned { found, ..Scanned::default() });
    }
    let top = Top::ask(connection)?;
    let mut notes = Notes::default();
    let (mut fitting, mut empty, mut newest) = (0, 0, 0);
    let reached = scan(connection, top, 1, wish.most, |connection, page| {
        let begun = scanned.found.len();
        newest = page.iter().filter(|(_, job)| job.is_some()).map(|(id, _)| *id).fold(newest, u64::max);
        empty = if page.iter().all(|(_, job)| job.is_none()) { empty + page.len() as u64 } else { 0 };
        missing = missing.saturating_sub(take_page(connection, page, wish, &mut notes, &mut scanned)?);
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
        scan(connection, Top { certain: true, ..now }, newest + 1, wish.most, |connection, page| {
            texts(connection, &note_ids(&page), |id, text| notes.add(id, &text))?;
            Ok(false)
        })?;
        scanned.join(&mut notes);
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
