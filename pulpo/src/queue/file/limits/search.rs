//! Searches for the next messages of a kind, and skips those that must wait.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, Row, ToSql, params};

use super::budget::{Budget, all_allow};
use super::held_back::HeldBack;
use crate::queue::file::dequeue::ReadyKind;

/// How many messages of a kind are examined in order, to find one whose key may start, before the search continues key
/// by key.
const MOST_SEARCHED: i64 = 500;

/// How many keys of a kind one claim examines while it holds the write lock.
const KEYS_AT_ONCE: usize = 200;

/// Which keys a search examines, after it has found that the first messages in order must wait.
#[derive(Clone, Debug)]
pub(in crate::queue::file) enum Reach {
    /// All keys, until it finds one that may start.
    All,
    /// Some keys of each kind, from the key that stands here, or from the first key.
    From(HashMap<i64, String>),
}

/// A message that may start if no earlier one uses up the limit.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) priority: i64,
    pub(super) id: i64,
    pub(super) kind: usize,
    pub(super) key: String,
}

/// A search for the next messages of a kind.
pub(super) struct Search<'a> {
    pub(super) connection: &'a Connection,
    pub(super) kind: &'a ReadyKind,
    pub(super) index: usize,
    pub(super) held: &'a HeldBack<'a>,
    /// The budgets as if there were no other kind.
    pub(super) budgets: Vec<Budget<'a>>,
    pub(super) most: usize,
    pub(super) reach: &'a Reach,
    pub(super) end: SearchEnd,
}

/// Where a search has ended.
#[derive(Debug, Default)]
pub(super) struct SearchEnd {
    /// Whether it went from key to key.
    pub(super) is_by_key: bool,
    /// From which key on the next search continues. `None` if it has reached the last one.
    pub(super) next_key: Option<String>,
    /// Whether there may be messages of keys that it has not examined.
    pub(super) is_cut: bool,
}

impl Search<'_> {
    /// Returns at least the messages that may start next, but for those of other keys that come behind 500 of keys that
    /// must wait: of these, the first ones of some keys.
    pub(super) fn candidates(&mut self) -> rusqlite::Result<Vec<Candidate>> {
        let mut found = Vec::new();
        if self.held.all_of(&self.kind.request_type)? || !self.budgets_allow_any()? {
            return Ok(found);
        }
        let mut in_order = self.connection.prepare_cached(
            "SELECT priority, id, '' FROM message WHERE state = 0 AND kind = ?1 AND limit_key IS NULL
             UNION ALL
             SELECT priority, id, limit_key FROM message
             WHERE state = 0 AND kind = ?1 AND limit_key IS NOT NULL
             ORDER BY 1, 2 LIMIT ?2",
        )?;
        let searched = self.limit().max(MOST_SEARCHED);
        let mut rows = in_order.query(params![self.kind.id, searched])?;
        let mut examined = 0;
        while let Some(row) = rows.next()? {
            examined += 1;
            let key: String = row.get(2)?;
            self.add(&mut found, row, &key)?;
            if found.len() == self.most || !self.budgets_allow_any()? {
                return Ok(found);
            }
        }
        if found.is_empty() && examined == searched {
            self.by_key(&mut found)?;
        }
        Ok(found)
    }

    /// Searches key by key, because the first messages in order wait for each other's key: takes the first messages
    /// without a key, and those of each key that may start.
    fn by_key(&mut self, found: &mut Vec<Candidate>) -> rusqlite::Result<()> {
        let mut without_key = self.connection.prepare_cached(
            "SELECT priority, id FROM message WHERE state = 0 AND kind = ?1 AND limit_key IS NULL
             ORDER BY priority, id LIMIT ?2",
        )?;
        let (kind, limit) = (self.kind.id, self.limit());
        let before = self.budgets.clone();
        self.first_of(found, &mut without_key, params![kind, limit], "")?;
        // The others, as if there were none without a key: the most urgent of all are taken in the end.
        self.budgets = before;
        let most = found.len() + self.most;
        let mut next_key = self.connection.prepare_cached(
            "SELECT min(limit_key) FROM message
             WHERE state = 0 AND kind = ?1 AND limit_key IS NOT NULL AND limit_key >= ?2",
        )?;
        let mut of_key = self.connection.prepare_cached(
            "SELECT priority, id FROM message WHERE state = 0 AND kind = ?1 AND limit_key = ?2
             ORDER BY priority, id LIMIT ?3",
        )?;
        let (mut from, mut keys_left) = match self.reach {
            Reach::All => (String::new(), usize::MAX),
            Reach::From(points) => (points.get(&kind).cloned().unwrap_or_default(), KEYS_AT_ONCE),
        };
        self.end = SearchEnd { is_by_key: true, next_key: None, is_cut: !from.is_empty() };
        while let Some(key) = next_key.query_row(params![kind, from], |row| row.get::<_, Option<String>>(0))? {
            if keys_left == 0 {
                self.end = SearchEnd { next_key: Some(key), is_cut: true, ..self.end };
                break;
            }
            keys_left -= 1;
            self.first_of(found, &mut of_key, params![kind, key, limit], &key)?;
            // The text that comes right after it.
            from = format!("{key}\0");
            if found.len() >= most {
                self.end.next_key = Some(if matches!(self.reach, Reach::All) { key } else { from });
                break;
            }
        }
        Ok(())
    }

    /// Adds the messages of this key that the statement returns, up to the first that must wait.
    fn first_of(
        &mut self,
        found: &mut Vec<Candidate>,
        statement: &mut CachedStatement<'_>,
        parameters: &[&dyn ToSql],
        key: &str,
    ) -> rusqlite::Result<()> {
        if !self.may_start(key)? {
            return Ok(());
        }
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            if !self.add(found, row, key)? {
                break;
            }
        }
        Ok(())
    }

    fn limit(&self) -> i64 {
        i64::try_from(self.most).unwrap_or(i64::MAX)
    }

    /// Adds a message if it may start. The row begins with its priority and id.
    fn add(&mut self, found: &mut Vec<Candidate>, row: &Row<'_>, key: &str) -> rusqlite::Result<bool> {
        let may_start = self.may_start(key)?;
        if may_start {
            let kind = self.kind;
            self.budgets.iter_mut().filter(|budget| budget.covers(kind)).for_each(|budget| budget.spend(key));
            found.push(Candidate { priority: row.get(0)?, id: row.get(1)?, kind: self.index, key: key.to_owned() });
        }
        Ok(may_start)
    }

    fn may_start(&self, key: &str) -> rusqlite::Result<bool> {
        Ok(!self.held.holds(&self.kind.request_type, key)? && all_allow(&self.budgets, self.kind, key, false)?)
    }

    /// Returns whether any message of the kind may start, whatever its key.
    fn budgets_allow_any(&self) -> rusqlite::Result<bool> {
        let mine = self.budgets.iter().filter(|budget| budget.covers(self.kind) && !budget.limit.by_key);
        for budget in mine {
            if !budget.allows("", false)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
