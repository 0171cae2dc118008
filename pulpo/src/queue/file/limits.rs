//! Limits over all processes: decides which of the next messages may start now.
//!
//! Leased messages count as running, so a worker that dies frees its share when its lease ends. Starts are counted in a
//! separate table, for the period of the rate. Each worker brings its own limits. Without limits, and while nothing is
//! held back, all this costs one query of an empty table. Limits without keys that have room for a whole claim cost one
//! count for each claim: only messages that one of them may refuse are examined one by one.
//!
//! # Invariants
//! - A limit is checked in the transaction that leases, and all processes take turns in these: no limit is ever
//!   exceeded.
//! - Messages that must wait are skipped, by kind, and within a kind by key.
//! - A claim holds the write lock for some hundreds of messages and keys, however many must wait. If it finds none that
//!   may start among these, the others are searched without the lock.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use rusqlite::{Connection, params};

use self::budget::{Budget, all_allow, covers};
use self::held_back::HeldBack;
use self::search::{Search, SearchEnd};
use self::starts::Starts;
use super::dequeue::{self, ReadyKind};
use crate::queue::DequeueFilter;
use crate::sync::lock;

mod budget;
mod held_back;
mod search;
mod starts;

pub(super) use self::budget::Wanted;
pub(super) use self::held_back::hold_back;
pub(super) use self::search::Reach;
pub(super) use self::starts::give_back;

/// The messages to lease next.
#[derive(Debug, Default)]
pub(super) struct Picked {
    pub(super) ids: Vec<i64>,
    /// When a limit may let other messages start.
    pub(super) wake: Option<i64>,
    /// Whether running messages are in the way.
    pub(super) waits_for_runs: bool,
    /// Whether there may be messages of keys that the search did not reach, and none that it reached may start.
    pub(super) is_cut: bool,
    /// For each kind that was searched by key, the key from which on the next search continues.
    points: Vec<(i64, Option<String>)>,
    /// How many are for waiting lanes. Those behind them are leased ahead.
    at_once: usize,
    /// The starts to count, for each kind that has a rate.
    starts: Vec<KindStarts>,
    /// The key of each message; empty if no limit asked for it.
    keys: Vec<String>,
}

/// The starts of the picked messages of one kind, either those for waiting lanes or those ahead.
#[derive(Debug)]
struct KindStarts {
    kind: i64,
    is_ahead: bool,
    of_rates: Vec<Starts>,
    /// For the leases.
    note: String,
}

/// Where the claims of a process continue to search by key, for each kind. So keys that must wait are not examined
/// again by each claim, and none holds the write lock for long.
#[derive(Debug, Default)]
pub(super) struct SearchPoints(Mutex<HashMap<i64, String>>);

impl SearchPoints {
    /// Returns the reach of the next claim.
    pub(super) fn reach(&self) -> Reach {
        Reach::From(lock(&self.0).clone())
    }

    /// Remembers where this search has ended.
    pub(super) fn note(&self, picked: &Picked) {
        let mut points = lock(&self.0);
        for (kind, next_key) in &picked.points {
            match next_key {
                Some(key) => drop(points.insert(*kind, key.clone())),
                None => drop(points.remove(kind)),
            }
        }
    }
}

/// Returns the next messages of these queues that match and may start.
pub(super) fn next(
    connection: &Connection,
    queues: &[String],
    filter: &DequeueFilter,
    wanted: Wanted,
    reach: &Reach,
    now: i64,
) -> rusqlite::Result<Picked> {
    let most = wanted.at_once + wanted.ahead;
    let held = HeldBack::at(connection, now)?;
    if filter.limits.is_empty() && !held.is_any() {
        return Ok(Picked { ids: dequeue::next(connection, queues, filter, most)?, ..Picked::default() });
    }
    let kinds: Vec<_> = dequeue::ready_kinds(connection, queues, filter)?;
    let mut budgets = filter
        .limits
        .iter()
        .filter(|limit| kinds.iter().any(|kind| covers(limit, kind)))
        .map(|limit| Budget::of(connection, limit, filter, now))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut are_free = true;
    for kind in &kinds {
        are_free = are_free && !held.covers(&kind.request_type)?;
    }
    for budget in &budgets {
        are_free = are_free && budget.has_room_for(wanted)?;
    }
    let mut picked = Picked { at_once: wanted.at_once, ..Picked::default() };
    if are_free {
        picked.ids = dequeue::next(connection, queues, filter, most)?;
        picked.count_starts(&budgets, &kinds);
        return Ok(picked);
    }
    let mut candidates = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        let (budgets, end) = (budgets.clone(), SearchEnd::default());
        let mut search = Search { connection, kind, index, held: &held, budgets, most, reach, end };
        candidates.extend(search.candidates()?);
        picked.is_cut |= search.end.is_cut;
        if search.end.is_by_key {
            picked.points.push((kind.id, search.end.next_key));
        }
    }
    candidates.sort_unstable_by_key(|candidate| (candidate.priority, candidate.id));
    let mut singles = Singles::default();
    for candidate in candidates {
        let kind = &kinds[candidate.kind];
        let is_ahead = picked.ids.len() >= wanted.at_once;
        if picked.ids.len() == most {
            break;
        }
        if !singles.allow(filter, kind) || !all_allow(&budgets, kind, &candidate.key, is_ahead)? {
            continue;
        }
        singles.take(filter, kind);
        budgets.iter_mut().filter(|budget| budget.covers(kind)).for_each(|budget| budget.spend(&candidate.key));
        picked.ids.push(candidate.id);
        picked.keys.push(candidate.key);
    }
    picked.count_starts(&budgets, &kinds);
    picked.is_cut &= picked.ids.is_empty();
    if picked.ids.is_empty() {
        picked.waits_for_runs = budgets.iter().any(Budget::waits_for_runs);
        picked.wake = budgets.iter().filter_map(Budget::wake).chain(held.wake(&kinds)?).min();
    }
    Ok(picked)
}

impl Picked {
    /// Prepares to count the starts of messages of these kinds.
    fn count_starts(&mut self, budgets: &[Budget<'_>], kinds: &[ReadyKind]) {
        for kind in kinds {
            let mine: Vec<_> = budgets.iter().filter(|budget| budget.covers(kind)).collect();
            for is_ahead in [false, true] {
                let of_rates: Vec<_> = mine.iter().filter_map(|budget| budget.starts(kind, is_ahead)).collect();
                if !of_rates.is_empty() {
                    let note = starts::note(&of_rates);
                    self.starts.push(KindStarts { kind: kind.id, is_ahead, of_rates, note });
                }
            }
        }
    }

    /// Returns where the starts of a message of this kind at this place are counted.
    fn starts(&self, place: usize, kind: i64) -> Option<usize> {
        let is_ahead = place >= self.at_once;
        self.starts.iter().position(|starts| starts.kind == kind && starts.is_ahead == is_ahead)
    }

    /// Returns what the lease of the message at this place, which is of this kind, remembers of its start.
    pub(super) fn note(&self, place: usize, kind: i64) -> Option<&str> {
        self.starts(place, kind).map(|starts| &*self.starts[starts].note)
    }

    /// Counts the first of the picked messages, which have been leased, as started now, as part of the run that they
    /// join. The others are not leased ahead. `kinds` has the kind of each that was leased.
    pub(super) fn start(
        mut self,
        connection: &Connection,
        filter: &DequeueFilter,
        kinds: &[i64],
        now: i64,
    ) -> rusqlite::Result<()> {
        if let Some(first) = filter.joins.as_ref().filter(|_| !filter.limits.is_empty()) {
            let mut join = connection.prepare_cached("UPDATE message SET run = ?2 WHERE id = ?1 AND state = 2")?;
            for id in self.ids.iter().take(kinds.len()) {
                join.execute(params![id, first.as_str().parse::<i64>().ok()])?;
            }
        }
        if self.starts.is_empty() {
            return Ok(());
        }
        for (place, kind) in kinds.iter().enumerate() {
            let Some(starts) = self.starts(place, *kind) else { continue };
            let key = self.keys.get(place).map_or("", |key| key);
            self.starts[starts].of_rates.iter_mut().for_each(|starts| starts.add(key));
        }
        self.starts.iter().flat_map(|starts| &starts.of_rates).try_for_each(|starts| starts.count(connection))?;
        starts::forget(connection, now)
    }
}

/// The handlers and queues of which messages are picked. Of some, this worker has only one free slot.
#[derive(Default)]
struct Singles {
    types: HashSet<String>,
    queues: HashSet<String>,
}

impl Singles {
    fn allow(&self, filter: &DequeueFilter, kind: &ReadyKind) -> bool {
        let is_taken = self.types.contains(&kind.request_type) && filter.single_types.contains(&kind.request_type)
            || self.queues.contains(&kind.queue) && filter.single_queues.contains(&kind.queue);
        !is_taken
    }

    fn take(&mut self, filter: &DequeueFilter, kind: &ReadyKind) {
        if !filter.single_types.is_empty() {
            self.types.insert(kind.request_type.clone());
        }
        if !filter.single_queues.is_empty() {
            self.queues.insert(kind.queue.clone());
        }
    }
}

#[cfg(test)]
mod tests;
