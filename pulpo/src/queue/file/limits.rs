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

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::dequeue::{self, ReadyKind};
use crate::queue::{DequeueFilter, Limit, LimitKeys, LimitKind, LimitScope};

/// How many messages of a kind are examined in order, to find one whose key may start, before the search continues key
/// by key.
const LOOKED_THROUGH: i64 = 500;

/// When to check again while running messages are in the way. The end of those in this process is notified.
const LOOK_AGAIN: i64 = 100_000;

/// Messages leased ahead start within this time, and count as started at its end, so that a late start never exceeds a
/// rate.
const STARTS_WITHIN: i64 = 20_000;

/// For rates below this nothing is leased ahead, nor for any rate that is half used up.
const LEAST_AHEAD: u64 = 64;

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

/// Starts that are to be counted.
#[derive(Debug)]
struct Starts {
    scope: String,
    key: String,
    at: i64,
    ends: i64,
    count: i64,
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
    if filter.limits.is_empty() && held.0.is_empty() {
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

/// Returns whether a limit applies to this kind.
fn covers(limit: &Limit, kind: &ReadyKind) -> bool {
    match &limit.scope {
        LimitScope::Handler { names, .. } => names.contains(&kind.request_type),
        LimitScope::Queue(queue) => *queue == kind.queue,
    }
}

/// The remaining share of a limit.
#[derive(Clone, Debug)]
struct Budget<'a> {
    limit: &'a Limit,
    /// How much each key has used. A limit without keys counts under the empty key.
    used: HashMap<String, Used>,
    /// The keys of the run that is joined, which has its share already.
    joined: HashSet<String>,
    joins: bool,
    /// How much of each key is taken now: for immediate starts, and ahead.
    taken: HashMap<String, (u64, u64)>,
    /// Whether the budget has refused a message.
    refuses: std::cell::Cell<bool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    count: u64,
    /// For rates: when the first start leaves the period.
    first_ends: Option<i64>,
}

impl<'a> Budget<'a> {
    fn of(connection: &Connection, limit: &'a Limit, filter: &DequeueFilter, now: i64) -> rusqlite::Result<Self> {
        let mut budget = Self {
            limit,
            used: HashMap::new(),
            joined: HashSet::new(),
            joins: false,
            taken: HashMap::new(),
            refuses: std::cell::Cell::new(false),
        };
        match limit.kind {
            LimitKind::Running(_) => {
                let joins = filter.joins.as_ref().and_then(|id| id.as_str().parse::<i64>().ok());
                budget.joins = joins.is_some();
                budget.count_running(connection, joins)?;
            }
            LimitKind::Rate(_) => budget.count_started(connection, now)?,
        }
        Ok(budget)
    }

    fn count_running(&mut self, connection: &Connection, joins: Option<i64>) -> rusqlite::Result<()> {
        let mut kinds: Vec<i64> = Vec::new();
        let mut find = |query: &str, value: &str| {
            let mut find = connection.prepare_cached(query)?;
            let found = find.query_map([value], |row| row.get(0))?;
            found.into_iter().try_for_each(|kind| kind.map(|kind| kinds.push(kind)))
        };
        match &self.limit.scope {
            LimitScope::Handler { names, .. } => {
                names.iter().try_for_each(|name| find("SELECT id FROM kind WHERE request_type = ?1", name))?;
            }
            LimitScope::Queue(queue) => find("SELECT id FROM kind WHERE queue = ?1", queue)?,
        }
        let mut running = connection.prepare_cached(
            "SELECT coalesce(run, id), coalesce(limit_key, '') FROM message WHERE lease_ends IS NOT NULL AND kind = ?1",
        )?;
        // Runs, each with the keys of its messages.
        let mut runs: HashSet<(i64, String)> = HashSet::new();
        for kind in kinds {
            let mut rows = running.query([kind])?;
            while let Some(row) = rows.next()? {
                runs.insert((row.get(0)?, self.key(&row.get::<_, String>(1)?).to_owned()));
            }
        }
        for (run, key) in runs {
            if Some(run) == joins {
                self.joined.insert(key);
            } else {
                self.used.entry(key).or_default().count += 1;
            }
        }
        Ok(())
    }

    fn count_started(&mut self, connection: &Connection, now: i64) -> rusqlite::Result<()> {
        let period = self.period();
        let mut started = connection.prepare_cached(
            "SELECT key, sum(count), min(at) FROM started WHERE scope = ?1 AND at > ?2 AND at <= ?3 GROUP BY key",
        )?;
        // Starts recorded far in the future are left over from before the clock was set back.
        let range = params![self.scope(), now.saturating_sub(period), now.saturating_add(period)];
        let mut rows = started.query(range)?;
        while let Some(row) = rows.next()? {
            let count = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
            let first_ends = Some(row.get::<_, i64>(2)?.saturating_add(period));
            self.used.insert(row.get(0)?, Used { count, first_ends });
        }
        Ok(())
    }

    /// Returns the name under which starts are counted. A limit with keys and one without are counted separately.
    fn scope(&self) -> String {
        let by = if self.limit.by_key { " by key" } else { "" };
        match &self.limit.scope {
            LimitScope::Handler { names, .. } => format!("handler {}{by}", names.first().map_or("", String::as_str)),
            LimitScope::Queue(queue) => format!("queue {queue}{by}"),
        }
    }

    fn covers(&self, kind: &ReadyKind) -> bool {
        covers(self.limit, kind)
    }

    fn most(&self) -> u64 {
        match self.limit.kind {
            LimitKind::Rate(rate) => rate.starts.into(),
            LimitKind::Running(most) => most.into(),
        }
    }

    fn period(&self) -> i64 {
        match self.limit.kind {
            LimitKind::Rate(rate) => i64::try_from(rate.period.as_micros()).unwrap_or(i64::MAX),
            LimitKind::Running(_) => 0,
        }
    }

    /// Returns the key by which this limit counts a message.
    fn key<'k>(&self, limit_key: &'k str) -> &'k str {
        let (rate, running) = LimitKeys::split(limit_key);
        match self.limit.kind {
            _ if !self.limit.by_key => "",
            LimitKind::Rate(_) => rate,
            LimitKind::Running(_) => running,
        }
    }

    /// Returns whether another message with this key may start.
    fn allows(&self, limit_key: &str, is_ahead: bool) -> bool {
        let key = self.key(limit_key);
        let used = self.used.get(key).map_or(0, |used| used.count);
        let (at_once, ahead) = self.taken.get(key).copied().unwrap_or_default();
        let taken = at_once + ahead;
        let allowed = match self.limit.kind {
            // Messages that run together are one run.
            LimitKind::Running(_) if self.joins => self.joined.contains(key) || taken > 0 || used < self.most(),
            LimitKind::Running(_) if self.takes_batches() && !self.taken.is_empty() => false,
            LimitKind::Rate(_) if is_ahead => self.most() >= LEAST_AHEAD && used + taken < self.most() / 2,
            _ => used + taken < self.most(),
        };
        if !allowed {
            self.refuses.set(true);
        }
        allowed
    }

    fn takes_batches(&self) -> bool {
        matches!(self.limit.scope, LimitScope::Handler { takes_batches: true, .. })
    }

    fn spend(&mut self, limit_key: &str, is_ahead: bool) {
        let key = self.key(limit_key).to_owned();
        let (at_once, ahead) = self.taken.entry(key).or_default();
        *(if is_ahead { ahead } else { at_once }) += 1;
    }

    fn waits_for_runs(&self, kind: &ReadyKind) -> bool {
        self.refuses.get() && matches!(self.limit.kind, LimitKind::Running(_)) && self.covers(kind)
    }

    /// Returns when a refused message may be allowed.
    fn wake(&self, now: i64) -> Option<i64> {
        if !self.refuses.get() {
            return None;
        }
        match self.limit.kind {
            LimitKind::Running(_) => Some(now.saturating_add(LOOK_AGAIN)),
            LimitKind::Rate(_) => {
                let full = self.used.values().filter(|used| used.count >= self.most());
                full.filter_map(|used| used.first_ends).min()
            }
        }
    }

    /// Returns the starts to count, if the limit is a rate.
    fn into_starts(self, now: i64) -> Vec<Starts> {
        let LimitKind::Rate(_) = self.limit.kind else { return Vec::new() };
        let (scope, period) = (self.scope(), self.period());
        let mut starts = Vec::new();
        for (key, (at_once, ahead)) in self.taken {
            for (at, count) in [(now, at_once), (now.saturating_add(STARTS_WITHIN), ahead)] {
                if count > 0 {
                    let (scope, key, ends) = (scope.clone(), key.clone(), at.saturating_add(period));
                    starts.push(Starts { scope, key, at, ends, count: i64::try_from(count).unwrap_or(i64::MAX) });
                }
            }
        }
        starts
    }
}

/// The request types that are held back, and keys of them, each with the time until when.
#[derive(Debug)]
struct HeldBack(Vec<(String, String, i64)>);

impl HeldBack {
    fn at(connection: &Connection, now: i64) -> rusqlite::Result<Self> {
        let mut held = connection.prepare_cached("SELECT request_type, key, until FROM held_back WHERE until > ?1")?;
        let rows = held.query_map([now], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect::<rusqlite::Result<_>>().map(Self)
    }

    fn covers(&self, request_type: &str) -> bool {
        self.0.iter().any(|(held, _, _)| held == request_type)
    }

    fn all_of(&self, request_type: &str) -> bool {
        self.0.iter().any(|(held, key, _)| held == request_type && key.is_empty())
    }

    fn holds(&self, request_type: &str, limit_key: &str) -> bool {
        let (rate, running) = LimitKeys::split(limit_key);
        let hold_key = if rate.is_empty() { running } else { rate };
        self.0.iter().any(|(held, key, _)| held == request_type && key == hold_key)
    }

    fn wake(&self, kinds: &[ReadyKind]) -> Option<i64> {
        let held = |(held, _, _): &&(String, String, i64)| kinds.iter().any(|kind| kind.request_type == *held);
        self.0.iter().filter(held).map(|(_, _, until)| *until).min()
    }
}

/// Holds back a request type, or one of its keys, until this time; `None` ends that.
pub(super) fn hold_back(
    connection: &Connection,
    request_type: &str,
    key: &str,
    until: Option<i64>,
    now: i64,
) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM held_back WHERE until <= ?1")?.execute([now])?;
    match until {
        Some(until) => connection
            .prepare_cached("INSERT OR REPLACE INTO held_back(request_type, key, until) VALUES (?1, ?2, ?3)")?
            .execute(params![request_type, key, until]),
        None => connection
            .prepare_cached("DELETE FROM held_back WHERE request_type = ?1 AND key = ?2")?
            .execute([request_type, key]),
    }
    .map(drop)
}
