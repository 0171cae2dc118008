//! What is left of a limit.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use crate::queue::file::dequeue::ReadyKind;
use crate::queue::{DequeueFilter, Limit, LimitKeys, LimitKind, LimitScope};

/// When to check again while running messages are in the way. The end of those in this process is notified.
const LOOK_AGAIN: i64 = 100_000;

/// Messages leased ahead start within this time, and count as started at its end, so that a late start never exceeds a
/// rate.
const STARTS_WITHIN: i64 = 20_000;

/// For rates below this nothing is leased ahead, nor for any rate that is half used up.
const LEAST_AHEAD: u64 = 64;

/// Starts that are to be counted.
#[derive(Debug)]
pub(super) struct Starts {
    pub(super) scope: String,
    pub(super) key: String,
    pub(super) at: i64,
    pub(super) ends: i64,
    pub(super) count: i64,
}

/// Returns whether a limit applies to this kind.
pub(super) fn covers(limit: &Limit, kind: &ReadyKind) -> bool {
    match &limit.scope {
        LimitScope::Handler { names, .. } => names.contains(&kind.request_type),
        LimitScope::Queue(queue) => *queue == kind.queue,
    }
}

/// The remaining share of a limit.
#[derive(Clone, Debug)]
pub(super) struct Budget<'a> {
    pub(super) limit: &'a Limit,
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
    pub(super) fn of(
        connection: &Connection,
        limit: &'a Limit,
        filter: &DequeueFilter,
        now: i64,
    ) -> rusqlite::Result<Self> {
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

    pub(super) fn covers(&self, kind: &ReadyKind) -> bool {
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
    pub(super) fn allows(&self, limit_key: &str, is_ahead: bool) -> bool {
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

    pub(super) fn spend(&mut self, limit_key: &str, is_ahead: bool) {
        let key = self.key(limit_key).to_owned();
        let (at_once, ahead) = self.taken.entry(key).or_default();
        *(if is_ahead { ahead } else { at_once }) += 1;
    }

    pub(super) fn waits_for_runs(&self, kind: &ReadyKind) -> bool {
        self.refuses.get() && matches!(self.limit.kind, LimitKind::Running(_)) && self.covers(kind)
    }

    /// Returns when a refused message may be allowed.
    pub(super) fn wake(&self, now: i64) -> Option<i64> {
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
    pub(super) fn into_starts(self, now: i64) -> Vec<Starts> {
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
