//! The ledger, sorted by jobs and processes.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use crate::kind::{Kind, Then};
use crate::ledger::{Entry, Event, Fault, read};

/// All recorded events.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) jobs: BTreeMap<String, Job>,
    pub(crate) processes: HashMap<String, Life>,
    /// When the server was killed, and when it had ended.
    pub(crate) server_kills: Vec<(u64, u64)>,
    /// The intervals in which a process stood still and no other process took a message, because
    /// the first one held the lock of the database. In order.
    pub(crate) locked: Vec<(u64, u64)>,
}

/// How long other processes continue with messages that they took before.
const LAST_STARTS: u64 = 300_000;

/// The history of one job.
#[derive(Debug, Default)]
pub(crate) struct Job {
    pub(crate) kind: Option<Kind>,
    pub(crate) publication: Publication,
    /// When its producer was about to publish it; 0 if a handler published it.
    pub(crate) published_at: u64,
    /// Its runs in order, for each message that it became; batches do not know their message.
    pub(crate) messages: BTreeMap<Option<String>, Vec<Run>>,
    pub(crate) burials: Vec<Burial>,
    pub(crate) left: Vec<String>,
}

/// The producer's knowledge about a publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Publication {
    /// None: a handler published it.
    #[default]
    Elsewhere,
    /// The producer was killed before it knew, or received an unknown outcome.
    Perhaps,
    Certain,
    Refused,
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) process: String,
    pub(crate) lane: u32,
    pub(crate) call: u64,
    pub(crate) attempt: Option<u32>,
    pub(crate) start: u64,
    /// When and how it ended, if it did.
    pub(crate) end: Option<(u64, Then)>,
}

#[derive(Debug)]
pub(crate) struct Burial {
    pub(crate) at: u64,
    pub(crate) id: String,
    pub(crate) reason: Option<String>,
}

/// The history of one process.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// When it last wrote to the ledger.
    pub(crate) last: u64,
    /// When the driver noticed its end, and whether a kill or an abort caused it.
    pub(crate) gone: Option<(u64, bool)>,
    pub(crate) faults: Vec<(u64, Fault)>,
    /// The intervals in which it did nothing.
    pub(crate) stalls: Vec<(u64, u64)>,
    /// The last call of each of its lanes.
    pub(crate) calls: HashMap<u32, u64>,
}

impl History {
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let mut history = Self::default();
        read(folder, |process, entry| history.add(process, entry))?;
        for job in history.jobs.values_mut() {
            for runs in job.messages.values_mut() {
                runs.sort_by_key(|run| run.start);
            }
        }
        history.server_kills.sort_unstable();
        let runs = history.jobs.values().flat_map(|job| job.messages.values().flatten());
        let mut starts: Vec<_> = runs.map(|run| run.start).collect();
        starts.sort_unstable();
        let is_locked = |(from, to): &(u64, u64)| {
            let first = starts.partition_point(|start| *start < from + LAST_STARTS);
            starts.get(first).is_none_or(|start| start >= to)
        };
        history.locked = history.processes.values().flat_map(Life::standstills).filter(is_locked).collect();
        history.locked.sort_unstable();
        Ok(history)
    }

    fn add(&mut self, process: &str, Entry { at, event }: Entry) {
        let life = self.processes.entry(process.to_owned()).or_default();
        life.last = life.last.max(at);
        match event {
            Event::Stalled { micros } => return life.stalls.push((at.saturating_sub(micros), at)),
            Event::ServerKilled { .. } => return self.server_kills.push((at, at)),
            Event::ServerGone => {
                let _ = self.server_kills.last_mut().map(|(_, gone)| *gone = at);
                return;
            }
            Event::Fault { process, fault } => {
                return self.processes.entry(process).or_default().faults.push((at, fault));
            }
            Event::Gone { process, how } => {
                let life = self.processes.entry(process).or_default();
                life.gone = Some((at, how.starts_with("signal")));
                return;
            }
            _ => {}
        }
        let Some(key) = event.key() else { return };
        let job = self.jobs.entry(key.to_owned()).or_default();
        match event {
            Event::Publishing { kind, .. } => {
                (job.kind, job.publication, job.published_at) = (Some(kind), Publication::Perhaps, at);
            }
            Event::Published { .. } => job.publication = Publication::Certain,
            Event::Refused { .. } => job.publication = Publication::Refused,
            Event::Start { kind, id, attempt, lane, call, .. } => {
                job.kind = Some(kind);
                let last = life.calls.entry(lane).or_default();
                *last = call.max(*last);
                let run = Run { process: process.to_owned(), lane, call, attempt, start: at, end: None };
                job.messages.entry(id).or_default().push(run);
            }
            Event::End { lane, call, then, .. } => {
                let same = |run: &&mut Run| (run.process.as_str(), run.lane, run.call) == (process, lane, call);
                if let Some(run) = job.messages.values_mut().flatten().find(same) {
                    run.end = Some((at, then));
                }
            }
            Event::Buried { id, reason, .. } => job.burials.push(Burial { at, id, reason }),
            Event::Left { state, .. } => job.left.push(state),
            _ => {}
        }
    }

    /// Counts these faults of processes whose names begin with `role`.
    pub(crate) fn faults(&self, role: &str, fault: Fault) -> usize {
        let of_role = self.processes.iter().filter(|(name, _)| name.starts_with(role));
        of_role.flat_map(|(_, life)| &life.faults).filter(|(_, done)| *done == fault).count()
    }
}

impl Life {
    /// Checks whether a kill or an abort ended it, so that its ledger has no end.
    pub(crate) fn died(&self) -> bool {
        self.gone.is_some_and(|(_, without_a_word)| without_a_word)
    }

    /// Returns the intervals in which it did nothing. It records them itself, unless it was killed before
    /// it continued.
    pub(crate) fn standstills(&self) -> impl Iterator<Item = (u64, u64)> {
        let paused = self.faults.iter().filter(|(_, fault)| *fault == Fault::Pause).map(|(at, _)| *at);
        let until_killed = paused.zip(std::iter::repeat(self.gone)).filter_map(|(at, gone)| Some((at, gone?.0)));
        let never_resumed = until_killed.filter(|(at, _)| self.stalls.iter().all(|(_, to)| to < at));
        self.stalls.iter().copied().chain(never_resumed)
    }

    /// Returns when it was told to end, if it was.
    pub(crate) fn stopped_at(&self) -> Option<u64> {
        self.faults.iter().find(|(_, fault)| *fault == Fault::Stop).map(|(at, _)| *at)
    }
}
