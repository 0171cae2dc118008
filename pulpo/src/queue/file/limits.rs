//! Limits over all processes: decides which of the next messages may start now.
//!
//! Leased messages count as running, so a worker that dies frees its share when its lease ends. Starts are counted in a
//! separate table, for the period of the rate. Each worker brings its own limits. Without limits, and while nothing is
//! held back, all this costs one query of an empty table.
//!
//! # Invariants
//! - A limit is checked in the transaction that leases, and all processes take turns in these: no limit is ever
//!   exceeded.
//! - Messages that must wait are skipped, by kind, and within a kind by key.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use self::budget::{Budget, all_allow, covers};
use self::held_back::HeldBack;
use self::search::Search;
use self::starts::Start;
use super::dequeue::{self, ReadyKind};
use crate::queue::DequeueFilter;

mod budget;
mod held_back;
mod search;
mod starts;

pub(super) use self::held_back::hold_back;
pub(super) use self::starts::give_back;

/// The messages to lease next.
#[derive(Debug, Default)]
pub(super) struct Picked {
    pub(super) ids: Vec<i64>,
    /// When a limit may let other messages start.
    pub(super) wake: Option<i64>,
    /// Whether running messages are in the way.
    pub(super) waits_for_runs: bool,
    /// The starts to count for each message.
    starts: Vec<(i64, Vec<Start>)>,
}

/// How many messages are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// For waiting lanes.
    pub(super) at_once: usize,
    /// To be leased ahead.
    pub(super) ahead: usize,
}

/// Returns the next messages of these queues that match and may start.
pub(super) fn next(
    connection: &Connection,
    queues: &[String],
    filter: &DequeueFilter,
    wanted: Wanted,
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
    let mut are_free = budgets.is_empty();
    for kind in &kinds {
        are_free = are_free && !held.covers(&kind.request_type)?;
    }
    if are_free {
        return Ok(Picked { ids: dequeue::next(connection, queues, filter, most)?, ..Picked::default() });
    }
    let mut candidates = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        let mut search = Search { connection, kind, index, held: &held, budgets: budgets.clone(), most };
        candidates.extend(search.candidates()?);
    }
    candidates.sort_unstable_by_key(|candidate| (candidate.priority, candidate.id));
    let mut picked = Picked::default();
    let mut singles = Singles::default();
    for candidate in candidates {
        let kind = &kinds[candidate.kind];
        let is_ahead = picked.ids.len() >= wanted.at_once;
        // A message that is not leased ahead ends the leasing ahead, so that none is counted that is not leased.
        if picked.ids.len() == most || is_ahead && candidate.starts_at_once {
            break;
        }
        if !singles.allow(filter, kind) || !all_allow(&budgets, kind, &candidate.key, is_ahead)? {
            continue;
        }
        singles.take(kind);
        let mut starts = Vec::new();
        for budget in budgets.iter_mut().filter(|budget| budget.covers(kind)) {
            budget.spend(&candidate.key, is_ahead);
            starts.extend(budget.start(kind, &candidate.key, is_ahead));
        }
        picked.ids.push(candidate.id);
        if !starts.is_empty() {
            picked.starts.push((candidate.id, starts));
        }
    }
    if picked.ids.is_empty() {
        picked.waits_for_runs = budgets.iter().any(Budget::waits_for_runs);
        picked.wake = budgets.iter().filter_map(Budget::wake).chain(held.wake(&kinds)?).min();
    }
    Ok(picked)
}

impl Picked {
    /// Counts the picked messages, which have been leased, as started now, as part of the run that they join.
    pub(super) fn start(&self, connection: &Connection, filter: &DequeueFilter, now: i64) -> rusqlite::Result<()> {
        if let Some(first) = filter.joins.as_ref().filter(|_| !filter.limits.is_empty()) {
            let mut join = connection.prepare_cached("UPDATE message SET run = ?2 WHERE id = ?1 AND state = 2")?;
            for id in &self.ids {
                join.execute(params![id, first.as_str().parse::<i64>().ok()])?;
            }
        }
        starts::count(connection, &self.starts, now)
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

    fn take(&mut self, kind: &ReadyKind) {
        self.types.insert(kind.request_type.clone());
        self.queues.insert(kind.queue.clone());
    }
}

#[cfg(test)]
mod tests;
