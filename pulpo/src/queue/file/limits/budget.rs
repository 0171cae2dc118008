//! The remainder of a limit.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rusqlite::Connection;

use super::starts::{self, Starts};
use crate::queue::file::dequeue::ReadyKind;
use crate::queue::{DequeueFilter, Limit, LimitKeys, LimitKind, LimitScope};

/// How many messages are wanted.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue::file) struct Wanted {
    /// For waiting lanes.
    pub(in crate::queue::file) at_once: usize,
    /// To be leased ahead.
    pub(in crate::queue::file) ahead: usize,
}

/// When to check again while running messages are in the way. The end of those in this process is notified.
const CHECK_AGAIN: i64 = 100_000;

/// Messages leased ahead start within this time, and count as started at its end, so that a late start never exceeds a
/// rate.
const STARTS_WITHIN: i64 = 20_000;

/// For rates below this nothing is leased ahead, nor for any rate that is half used up.
const LEAST_AHEAD: u64 = 64;

/// The remainder of a limit. A clone has the same remainder, and is spent separately.
#[derive(Clone)]
pub(super) struct Budget<'a> {
    connection: &'a Connection,
    pub(super) limit: &'a Limit,
    now: i64,
    /// How much each key has used: of runs, all; of starts, those that were asked for. A limit without keys counts
    /// under the empty key.
    used: Rc<RefCell<HashMap<String, Used>>>,
    /// The keys of the run that is joined, which has its share already.
    joined: Rc<HashSet<String>>,
    joins: bool,
    /// How much of each key is taken now.
    taken: HashMap<String, u64>,
    /// Whether the limit has refused a message.
    refuses: Rc<Cell<bool>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    count: u64,
    /// For rates: when the first start leaves the period.
    first_ends: Option<i64>,
}

impl<'a> Budget<'a> {
    pub(super) fn of(
        connection: &'a Connection,
        limit: &'a Limit,
        filter: &DequeueFilter,
        now: i64,
    ) -> rusqlite::Result<Self> {
        let is_of_runs = matches!(limit.kind, LimitKind::Running(_));
        let joins = filter.joins.as_ref().filter(|_| is_of_runs).and_then(|id| id.as_str().parse::<i64>().ok());
        let mut budget = Self {
            connection,
            limit,
            now,
            used: Rc::default(),
            joined: Rc::default(),
            joins: joins.is_some(),
            taken: HashMap::new(),
            refuses: Rc::default(),
        };
        if is_of_runs {
            budget.count_running(joins)?;
        }
        Ok(budget)
    }

    fn count_running(&mut self, joins: Option<i64>) -> rusqlite::Result<()> {
        let connection = self.connection;
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
        if joins.is_none() && !self.limit.by_key {
            let mut running = connection
                .prepare_cached("SELECT coalesce(run, id) FROM message WHERE lease_ends IS NOT NULL AND kind = ?1")?;
            let mut runs: HashSet<i64> = HashSet::new();
            for kind in &kinds {
                let mut rows = running.query([kind])?;
                while let Some(row) = rows.next()? {
                    runs.insert(row.get(0)?);
                }
            }
            self.used.borrow_mut().insert(String::new(), Used { count: runs.len() as u64, first_ends: None });
            return Ok(());
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
        let mut joined = HashSet::new();
        for (run, key) in runs {
            if Some(run) == joins {
                joined.insert(key);
            } else {
                self.used.borrow_mut().entry(key).or_default().count += 1;
            }
        }
        self.joined = Rc::new(joined);
        Ok(())
    }

    /// Returns how much this key has used. Starts are read only of the keys that are asked for: a queue may have a
    /// million keys.
    fn used(&self, key: &str) -> rusqlite::Result<Used> {
        if let Some(used) = self.used.borrow().get(key) {
            return Ok(*used);
        }
        let mut used = Used::default();
        if let LimitKind::Rate(rate) = self.limit.kind {
            let period = starts::period(rate);
            for scope in self.scopes() {
                let (count, first) = starts::read(self.connection, (&scope, key), period, self.now)?;
                let ends = first.map(|first| first.saturating_add(period));
                used.count += count;
                used.first_ends = used.first_ends.into_iter().chain(ends).min();
            }
        }
        self.used.borrow_mut().insert(key.to_owned(), used);
        Ok(used)
    }

    /// Returns the names under which starts of this limit are counted: one for each request type, so that a worker that
    /// knows only some of them counts the same starts.
    fn scopes(&self) -> Vec<String> {
        match &self.limit.scope {
            LimitScope::Handler { names, .. } => names.iter().map(|name| self.scope(name)).collect(),
            LimitScope::Queue(_) => vec![self.scope("")],
        }
    }

    /// Returns the name under which the starts of a request type are counted. A limit with keys and one without are
    /// counted separately.
    fn scope(&self, request_type: &str) -> String {
        let by = if self.limit.by_key { " by key" } else { "" };
        match &self.limit.scope {
            LimitScope::Handler { .. } => format!("handler {request_type}{by}"),
            LimitScope::Queue(queue) => format!("queue {queue}{by}"),
        }
    }

    /// Returns whether the limit applies to this kind.
    pub(super) fn covers(&self, kind: &ReadyKind) -> bool {
        covers(self.limit, kind)
    }

    fn most(&self) -> u64 {
        match self.limit.kind {
            LimitKind::Rate(rate) => rate.starts.into(),
            LimitKind::Running(most) => most.into(),
        }
    }

    /// Returns the key by which this limit counts a message.
    fn key<'k>(&self, limit_key: &'k str) -> &'k str {
        if !self.limit.by_key {
            return "";
        }
        let (rate, running) = LimitKeys::split(limit_key);
        match self.limit.kind {
            LimitKind::Rate(_) => rate,
            LimitKind::Running(_) => running,
        }
    }

    /// Returns whether a whole claim may start, whatever its messages are. `false` for a limit with keys, which has to
    /// see each message.
    pub(super) fn has_room_for(&self, Wanted { at_once, ahead }: Wanted) -> rusqlite::Result<bool> {
        let takes_runs = matches!(self.limit.kind, LimitKind::Running(_));
        if self.limit.by_key || takes_runs && (self.joins || self.takes_batches()) {
            return Ok(false);
        }
        let most = match self.limit.kind {
            LimitKind::Rate(_) if ahead > 0 && self.most() < LEAST_AHEAD => return Ok(false),
            LimitKind::Rate(_) if ahead > 0 => self.most() / 2,
            _ => self.most(),
        };
        Ok(self.used("")?.count.saturating_add((at_once + ahead) as u64) <= most)
    }

    /// Returns whether another message with this key may start.
    pub(super) fn allows(&self, limit_key: &str, is_ahead: bool) -> rusqlite::Result<bool> {
        let key = self.key(limit_key);
        let used = self.used(key)?.count;
        let taken = self.taken.get(key).copied().unwrap_or_default();
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
        Ok(allowed)
    }

    fn takes_batches(&self) -> bool {
        matches!(self.limit.scope, LimitScope::Handler { takes_batches: true, .. })
    }

    /// Takes the share of a message.
    pub(super) fn spend(&mut self, limit_key: &str) {
        let key = self.key(limit_key);
        match self.taken.get_mut(key) {
            Some(taken) => *taken += 1,
            None => {
                let key = key.to_owned();
                self.taken.insert(key, 1);
            }
        }
    }

    /// Returns where to count the starts of messages of this kind, if the limit is a rate.
    pub(super) fn starts(&self, kind: &ReadyKind, is_ahead: bool) -> Option<Starts> {
        let LimitKind::Rate(rate) = self.limit.kind else { return None };
        let at = if is_ahead { self.now.saturating_add(STARTS_WITHIN) } else { self.now };
        Some(Starts::new(self.scope(&kind.request_type), self.limit.by_key, at, rate))
    }

    /// Returns whether running messages are in the way of a message that the limit has refused.
    pub(super) fn waits_for_runs(&self) -> bool {
        self.refuses.get() && matches!(self.limit.kind, LimitKind::Running(_))
    }

    /// Returns when a refused message may be allowed.
    pub(super) fn wake(&self) -> Option<i64> {
        if !self.refuses.get() {
            return None;
        }
        match self.limit.kind {
            LimitKind::Running(_) => Some(self.now.saturating_add(CHECK_AGAIN)),
            LimitKind::Rate(_) => {
                let used = self.used.borrow();
                let full = used.values().filter(|used| used.count >= self.most());
                full.filter_map(|used| used.first_ends).min()
            }
        }
    }
}

/// Returns whether a limit applies to this kind.
pub(super) fn covers(limit: &Limit, kind: &ReadyKind) -> bool {
    match &limit.scope {
        LimitScope::Handler { names, .. } => names.contains(&kind.request_type),
        LimitScope::Queue(queue) => *queue == kind.queue,
    }
}

/// Returns whether all limits that apply to a message of this kind allow it.
pub(super) fn all_allow(
    budgets: &[Budget<'_>],
    kind: &ReadyKind,
    limit_key: &str,
    is_ahead: bool,
) -> rusqlite::Result<bool> {
    for budget in budgets.iter().filter(|budget| budget.covers(kind)) {
        if !budget.allows(limit_key, is_ahead)? {
            return Ok(false);
        }
    }
    Ok(true)
}
