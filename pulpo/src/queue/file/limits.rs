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

use self::budget::{Budget, Starts, covers};
use self::held_back::HeldBack;
use super::dequeue::{self, ReadyKind};
use crate::queue::DequeueFilter;

mod budget;
mod held_back;

pub(super) use self::held_back::hold_back;

/// How many messages of a kind are examined in order, to find one whose key may start, before the search continues key
/// by key.
const LOOKED_THROUGH: i64 = 500;

/// The maximum number of starts out of their period to forget in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 256;

/// The messages to lease next.
#[derive(Debug, Default)]
pub(super) struct Picked {
    pub(super) ids: Vec<i64>,
    /// When a limit may let other messages start.
    pub(super) wake: Option<i64>,
    /// Whether running messages are in the way.
    pub(super) waits_for_runs: bool,
    starts: Vec<Starts>,
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
    if filter.limits.is_empty() && held.is_empty() {
        return Ok(Picked { ids: dequeue::next(connection, queues, filter, most)?, ..Picked::default() });
    }
    let kinds: Vec<_> = dequeue::ready_kinds(connection, queues, filter)?;
    let mut budgets = filter
        .limits
        .iter()
        .filter(|limit| kinds.iter().any(|kind| covers(limit, kind)))
        .map(|limit| Budget::of(connection, limit, filter, now))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let is_free =
        |kind: &ReadyKind| !held.covers(&kind.request_type) && !budgets.iter().any(|budget| budget.covers(kind));
    if kinds.iter().all(is_free) {
        return Ok(Picked { ids: dequeue::next(connection, queues, filter, most)?, ..Picked::default() });
    }
    let mut picked = Picked { wake: held.wake(&kinds), ..Picked::default() };
    let mut candidates = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        let mut search = Search { connection, kind, index, held: &held, budgets: budgets.clone(), most };
        candidates.extend(search.candidates()?);
        picked.waits_for_runs |= search.budgets.iter().any(|budget| budget.waits_for_runs(kind));
        let wakes = search.budgets.iter().filter(|budget| budget.covers(kind)).filter_map(|budget| budget.wake(now));
        picked.wake = picked.wake.into_iter().chain(wakes).min();
    }
    candidates.sort_unstable_by_key(|candidate| (candidate.priority, candidate.id));
    let mut singles = Singles::default();
    for candidate in candidates {
        if picked.ids.len() == most {
            break;
        }
        let kind = &kinds[candidate.kind];
        let is_ahead = picked.ids.len() >= wanted.at_once;
        if !singles.allow(filter, kind) {
            continue;
        }
        let mut mine: Vec<_> = budgets.iter_mut().filter(|budget| budget.covers(kind)).collect();
        if mine.iter().all(|budget| budget.allows(&candidate.key, is_ahead)) {
            mine.iter_mut().for_each(|budget| budget.spend(&candidate.key, is_ahead));
            picked.ids.push(candidate.id);
        }
    }
    picked.starts = budgets.into_iter().flat_map(|budget| budget.into_starts(now)).collect();
    Ok(picked)
}

impl Picked {
    /// Counts the picked messages as started now.
    pub(super) fn start(&self, connection: &Connection, now: i64) -> rusqlite::Result<()> {
        if self.starts.is_empty() {
            return Ok(());
        }
        let mut add = connection.prepare_cached(
            "INSERT INTO started(scope, key, at, count, ends) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT(scope, key, at) DO UPDATE SET count = count + excluded.count, ends = max(ends, excluded.ends)",
        )?;
        for Starts { scope, key, at, ends, count } in &self.starts {
            add.execute(params![scope, key, at, count, ends])?;
        }
        connection
            .prepare_cached(
                "DELETE FROM started WHERE (scope, key, at) IN
                    (SELECT scope, key, at FROM started WHERE ends <= ?1 ORDER BY ends LIMIT ?2)",
            )?
            .execute([now, FORGOTTEN_AT_ONCE])
            .map(drop)
    }
}

/// The handlers and queues from which this worker may take only one more message, as far as that one is taken.
#[derive(Default)]
struct Singles(HashSet<String>);

impl Singles {
    fn allow(&mut self, filter: &DequeueFilter, kind: &ReadyKind) -> bool {
        let of_type = filter.single_types.contains(&kind.request_type).then(|| format!("type {}", kind.request_type));
        let of_queue = filter.single_queues.contains(&kind.queue).then(|| format!("queue {}", kind.queue));
        let mine: Vec<String> = of_type.into_iter().chain(of_queue).collect();
        let are_free = mine.iter().all(|single| !self.0.contains(single));
        self.0.extend(mine);
        are_free
    }
}

/// A message that may start if no earlier one uses up the limit.
#[derive(Debug)]
struct Candidate {
    priority: i64,
    id: i64,
    kind: usize,
    key: String,
}

/// Searches for the next messages of a kind, and skips those that must wait.
struct Search<'a> {
    connection: &'a Connection,
    kind: &'a ReadyKind,
    index: usize,
    held: &'a HeldBack,
    /// The budgets as if there were no other kind.
    budgets: Vec<Budget<'a>>,
    most: usize,
}

impl Search<'_> {
    fn candidates(&mut self) -> rusqlite::Result<Vec<Candidate>> {
        let mut found = Vec::new();
        if self.held.all_of(&self.kind.request_type) || !self.budgets_allow_any() {
            return Ok(found);
        }
        let mut in_order = self.connection.prepare_cached(
            "SELECT priority, id, coalesce(limit_key, '') FROM message WHERE state = 0 AND kind = ?1
             ORDER BY priority, id LIMIT ?2",
        )?;
        let looked_through = self.limit().max(LOOKED_THROUGH);
        let mut rows = in_order.query(params![self.kind.id, looked_through])?;
        let mut looked = 0;
        while let Some(row) = rows.next()? {
            looked += 1;
            self.add(&mut found, row.get(0)?, row.get(1)?, row.get(2)?);
            if found.len() == self.most || !self.budgets_allow_any() {
                return Ok(found);
            }
        }
        if found.is_empty() && looked == looked_through {
            self.by_key(&mut found)?;
        }
        Ok(found)
    }

    /// Searches key by key, because the first messages in order wait for each other's key: takes the first messages of
    /// each key that may start.
    fn by_key(&mut self, found: &mut Vec<Candidate>) -> rusqlite::Result<()> {
        let mut next_key = self.connection.prepare_cached(
            "SELECT min(limit_key) FROM message
             WHERE state = 0 AND kind = ?1 AND limit_key IS NOT NULL AND limit_key > ?2",
        )?;
        let mut first = self.connection.prepare_cached(
            "SELECT priority, id FROM message WHERE state = 0 AND kind = ?1 AND limit_key = ?2
             ORDER BY priority, id LIMIT ?3",
        )?;
        let mut last = String::new();
        while let Some(key) = next_key.query_row(params![self.kind.id, last], |row| row.get::<_, Option<String>>(0))? {
            if self.may_start(&key) {
                let mut rows = first.query(params![self.kind.id, key, self.limit()])?;
                while let Some(row) = rows.next()? {
                    if !self.add(found, row.get(0)?, row.get(1)?, key.clone()) {
                        break;
                    }
                }
            }
            if found.len() >= self.most {
                break;
            }
            last = key;
        }
        Ok(())
    }

    fn limit(&self) -> i64 {
        i64::try_from(self.most).unwrap_or(i64::MAX)
    }

    /// Adds a message if it may start.
    fn add(&mut self, found: &mut Vec<Candidate>, priority: i64, id: i64, key: String) -> bool {
        let may_start = self.may_start(&key);
        if may_start {
            let kind = self.kind;
            self.budgets.iter_mut().filter(|budget| budget.covers(kind)).for_each(|budget| budget.spend(&key, false));
            found.push(Candidate { priority, id, kind: self.index, key });
        }
        may_start
    }

    fn may_start(&self, key: &str) -> bool {
        !self.held.holds(&self.kind.request_type, key)
            && self.budgets.iter().filter(|budget| budget.covers(self.kind)).all(|budget| budget.allows(key, false))
    }

    /// Returns whether any message of the kind may start, whatever its key.
    fn budgets_allow_any(&self) -> bool {
        let mut mine = self.budgets.iter().filter(|budget| budget.covers(self.kind));
        mine.all(|budget| budget.limit.by_key || budget.allows("", false))
    }
}
