//! Asks a server for one id after the other, and where its ids end.

use crate::queue::Filter;
use crate::queue::beanstalkd::connection::Connection;
use crate::queue::beanstalkd::fault::Fault;
use crate::queue::beanstalkd::job::{self, JobStats, TubeStats};
use crate::queue::beanstalkd::limits::REASONS_TUBE;
use crate::queue::beanstalkd::protocol::{Answer, Commands};
use crate::queue::beanstalkd::queries::{all_tube_stats, ask_each, job_stats, read_job, tubes};

/// The number of ids in one request.
const PAGE: u64 = 4096;

/// After this many missing ids in a row, a search above an estimate ends.
pub(super) const LONGEST_GAP: u64 = 50_000;

/// The maximum number of tubes to ask for an existing job.
pub(super) const MOST_TUBES: usize = 50;

/// The jobs in a range of ids, the newest first, one page at a time.
struct IdScan<'c> {
    connection: &'c mut Connection,
    /// The next id, and the last one.
    next: u64,
    last: u64,
}

/// The server's data about consecutive ids; `None` for ids without a job.
pub(super) type Page = Vec<(u64, Option<JobStats>)>;

/// Returns the ids of the notes among these.
pub(super) fn note_ids(page: &Page) -> Vec<u64> {
    let of_note =
        |(id, job): &(u64, Option<JobStats>)| job.as_ref().is_some_and(|job| job.tube == REASONS_TUBE).then_some(*id);
    page.iter().filter_map(of_note).collect()
}

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
            page.push((*id, read_job(*id, answer)?));
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

/// Scans the ids from the top down to the lowest, and if the top is not certain also those above it. Ends after `most`
/// ids, or when `look` returns true because it has everything. Returns whether the scan was complete or has everything.
pub(super) fn scan(
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
        // All jobs may be above the estimate, and few of them far above.
        let more = if top.certain { 0 } else { left.min(from.clamp(PAGE, LONGEST_GAP)) };
        left -= more;
        next = (more > 0).then_some((from + more, from + 1));
    }
    Ok(top.certain && last <= lowest.max(1))
}

/// The greatest id that a job may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Top {
    pub(super) id: u64,
    /// Whether no job can have a greater one.
    pub(super) certain: bool,
}

impl Top {
    pub(super) fn ask(connection: &mut Connection) -> Result<Self, Fault> {
        let garbled = || Fault::Dropped("the answer to stats is garbled".to_owned());
        let told = connection.ask_one(Commands::stats)?.told()?.ok_or_else(garbled)?;
        let number = |key| job::number(&told, key).ok_or_else(garbled);
        // Without an uptime, no job is certain to be newer than the server.
        let (puts, uptime) = (number("cmd-put")?, number("uptime").unwrap_or(0));
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

/// Returns the ids of the first job in each of these states, in each of these tubes.
pub(super) fn first_ids(
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
