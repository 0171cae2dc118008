//! Attempts without a run, on beanstalkd.
//!
//! The server counts a job when it hands it out. So a worker that dies at that very moment costs
//! the job an attempt without a run. That is possible only for a job on its way to a free lane,
//! because a worker takes nothing for a lane that has a job. Any other attempt without a run is
//! wrong.
//!
//! So each death may cost as many jobs an attempt as lanes were free. But a free lane mostly waits
//! for a job that is not there: over a whole run, a death costs one job an attempt at most, whatever
//! the number of lanes ([`most`]).

use std::collections::{HashMap, HashSet};

use crate::history::{History, Life, Run};
use crate::kind::Kind;
use crate::process::LANES;
use crate::scene;

use super::{Cause, SLACK};

/// Attempts without a run of a job, and their interval.
#[derive(Debug)]
pub(super) struct Unseen {
    pub(super) key: String,
    pub(super) count: u32,
    pub(super) since: u64,
    pub(super) until: u64,
}

/// An event that ended leases, and the maximum number of jobs that may have been on their way to
/// free lanes at that time.
#[derive(Debug)]
struct Trouble {
    cause: Cause,
    from: u64,
    to: u64,
    room: u64,
}

/// Returns the maximum number of attempts without a run in this history: one for each event that
/// ended leases, and as many as lanes are free for one of them, which may have come at a bad moment.
pub(super) fn most(history: &History, queue: scene::Kind) -> u64 {
    let troubles = troubles(history, queue);
    troubles.iter().map(|trouble| trouble.room).max().unwrap_or(0) + troubles.len() as u64
}

/// Finds the causes of these attempts, and the jobs without a cause.
pub(super) fn explain(
    history: &History,
    queue: scene::Kind,
    mut unseen: Vec<Unseen>,
) -> (Vec<Cause>, Vec<(String, String)>) {
    let mut explained = Vec::new();
    for trouble in troubles(history, queue) {
        // First those with the fewest other explanations.
        unseen.sort_by_key(|unseen| unseen.until);
        let mut room = trouble.room;
        for one in &mut unseen {
            let in_time = one.since <= trouble.to + SLACK && trouble.from <= one.until + SLACK;
            // One event costs a job one attempt.
            if room > 0 && one.count > 0 && in_time {
                (room, one.count) = (room - 1, one.count - 1);
                explained.push(trouble.cause);
            }
        }
    }
    let left = unseen.into_iter().filter(|unseen| unseen.count > 0);
    let wrong = |Unseen { key, count, since, until }| {
        (
            key,
            format!(
                "{count} attempts without a run, from {since} to {until}, and no free lane that died or stood still"
            ),
        )
    };
    (explained, left.map(wrong).collect())
}

/// All such events, in order.
fn troubles(history: &History, queue: scene::Kind) -> Vec<Trouble> {
    // With several servers, a thread waits at each. A message that it receives when no lane is free
    // is returned at once.
    let waits = if queue == scene::Kind::Servers { 3 } else { 0 };
    let mut of_process: HashMap<&str, Vec<&Run>> = HashMap::new();
    for run in history.jobs.values().flat_map(|job| job.messages.values().flatten()) {
        of_process.entry(&run.process).or_default().push(run);
    }
    let kinds: HashMap<(&str, u32, u64), Kind> = history
        .jobs
        .values()
        .flat_map(|job| job.messages.values().flatten().filter_map(|run| Some((run, job.kind?))))
        .map(|(run, kind)| ((run.process.as_str(), run.lane, run.call), kind))
        .collect();
    let mut all = Vec::new();
    for (name, life) in history.processes.iter().filter(|(name, _)| name.starts_with("worker")) {
        let runs = of_process.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        // A run that exceeds its timeout leaves its lane before it ends.
        let stays = |run: &Run| kinds.get(&(name, run.lane, run.call)).is_none_or(|kind| !exceeds_its_timeout(*kind));
        let busy = |from: u64, to: u64| -> u64 {
            let spans = |run: &&&Run| run.start <= from && end(life, run).is_none_or(|end| end >= to) && stays(run);
            runs.iter().filter(spans).map(|run| run.lane).collect::<HashSet<_>>().len() as u64
        };
        let room = |from, to| LANES.saturating_sub(busy(from, to)) + waits;
        if let Some((gone, true)) = life.gone {
            all.push(Trouble { cause: Cause::WorkerDied, from: life.last, to: gone, room: room(life.last, gone) });
        }
        for (from, to) in life.standstills() {
            all.push(Trouble { cause: Cause::WorkerStoodStill, from, to, room: room(from, to) });
        }
    }
    let workers = history.processes.keys().filter_map(|name| name.strip_prefix("worker")?.split('.').next());
    let lanes = LANES * workers.collect::<HashSet<_>>().len() as u64;
    for (at, gone) in &history.server_kills {
        all.push(Trouble { cause: Cause::ServerKilled, from: *at, to: *gone, room: lanes + waits });
    }
    all.sort_by_key(|trouble| trouble.from);
    all
}

/// Returns when its lane was free again; `None` if it never was.
fn end(life: &Life, run: &Run) -> Option<u64> {
    let went_on = life.calls.get(&run.lane).is_some_and(|last| *last > run.call);
    run.end.map(|(at, _)| at).or(went_on.then_some(run.start))
}

fn exceeds_its_timeout(kind: Kind) -> bool {
    matches!(kind, Kind::TimeoutOnce | Kind::TimeoutAlways | Kind::AsyncTimeoutOnce)
}
