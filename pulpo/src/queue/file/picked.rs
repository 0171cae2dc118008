//! Translates a filter into the conditions of a query.

use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use super::storage::schema;
use super::storage::values::{micros, number};
use crate::queue::{Filter, MessageState, StoredMessage};

/// The state at `:now`: a message whose delay or lease has ended is ready, or buried if it was cancelled, even before
/// any worker has processed that.
pub(super) const SEEN: &str = "iif(due <= :now OR lease_ends <= :now, iif(cancelled IS NULL, 0, 3), state)";

/// Since when it has been in that state.
pub(super) const SEEN_SINCE: &str =
    "CASE WHEN due <= :now THEN due WHEN lease_ends <= :now THEN lease_ends ELSE since END";

/// The conditions of a query, and their values.
pub(super) struct Conditions {
    pub(super) conditions: String,
    values: Vec<(&'static str, Value)>,
}

impl Conditions {
    /// Starts with the filter's ids and its limit.
    pub(super) fn of_ids(filter: &Filter) -> Self {
        let mut picked = Self { conditions: "true".to_owned(), values: Vec::new() };
        if let Some(ids) = &filter.ids {
            let ids: Vec<_> = ids.iter().filter_map(number).map(|id| id.to_string()).collect();
            let ids = format!("[{}]", ids.join(","));
            picked.and("id IN (SELECT value FROM json_each(:ids))", ":ids", ids);
        }
        if let Some(after) = &filter.after {
            picked.and("id < :after", ":after", number(after).unwrap_or(i64::MIN));
        }
        if let Some(last) = &filter.down_to {
            picked.and("id >= :down_to", ":down_to", number(last).unwrap_or(i64::MIN));
        }
        // SQLite takes a negative limit as no limit. If the filter has conditions on the body, rows are counted after
        // their bodies have been read.
        let limit = filter.limit.filter(|_| filter.body.is_empty());
        picked.values.push((":limit", limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX)).into()));
        picked
    }

    pub(super) fn and(&mut self, condition: &str, name: &'static str, value: impl Into<Value>) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.values.push((name, value.into()));
    }

    fn parameters(&self) -> Vec<(&str, &dyn rusqlite::ToSql)> {
        self.values.iter().map(|(name, value)| (*name, value as &dyn rusqlite::ToSql)).collect()
    }

    /// Returns the rows of a query with the column `text` whose bodies match, too. Only one text at a time is in
    /// memory, unless `texts` are wanted.
    pub(super) fn select(
        &self,
        connection: &Connection,
        sql: &str,
        filter: &Filter,
        texts: bool,
        read: fn(&Row<'_>) -> rusqlite::Result<StoredMessage>,
    ) -> rusqlite::Result<Vec<StoredMessage>> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(&*self.parameters())?;
        let mut found = Vec::new();
        while found.len() < filter.limit.unwrap_or(usize::MAX)
            && let Some(row) = rows.next()?
        {
            if !filter.body.is_empty()
                && !filter.fits_body(row.get_ref("text")?.as_bytes_or_null()?.unwrap_or_default())
            {
                continue;
            }
            let mut message = read(row)?;
            if !texts {
                message.text = Vec::new();
            }
            found.push(message);
        }
        Ok(found)
    }
}

/// A [`Filter`] as the conditions of a query for messages that are not over.
pub(super) struct Picked(pub(super) Conditions);

impl Picked {
    pub(super) fn new(filter: &Filter, now: i64) -> Self {
        let mut picked = Conditions::of_ids(filter);
        picked.and(":now IS NOT NULL", ":now", now);
        if !filter.states.is_empty() {
            let codes: Vec<_> = filter.states.iter().map(|state| schema::code(*state).to_string()).collect();
            picked.conditions.push_str(&format!(" AND {SEEN} IN ({})", codes.join(",")));
            if filter.states.iter().all(|state| *state == MessageState::Buried) {
                // These have an index. A cancelled message that has lost its worker is found here once a worker has
                // noticed.
                picked.conditions.push_str(" AND state = 3");
            }
        }
        if let Some(queue) = &filter.queue {
            picked.and("message.queue = :queue", ":queue", queue.clone());
        }
        if let Some(request_type) = &filter.request_type {
            // The sign before the column keeps SQLite from using its index, so that the list stays in its order and not
            // in that of the kinds.
            let of_type = "+kind IN (SELECT id FROM kind WHERE request_type = :type)";
            picked.and(of_type, ":type", request_type.clone());
        }
        if let Some(time) = filter.older_than {
            picked.and(&format!("{SEEN_SINCE} < :older"), ":older", micros(time));
        }
        if let Some(time) = filter.newer_than {
            picked.and(&format!("{SEEN_SINCE} >= :newer"), ":newer", micros(time));
        }
        if let Some(time) = filter.published_before {
            picked.and("enqueued_at < :before", ":before", micros(time));
        }
        if let Some(time) = filter.published_after {
            picked.and("enqueued_at >= :not_before", ":not_before", micros(time));
        }
        if let Some(text) = &filter.reason {
            picked.and("instr(lower(last_error), lower(:reason)) > 0", ":reason", text.clone());
        }
        Self(picked)
    }

    /// Returns the id, kind and state of the matching messages that also meet the condition `only`.
    pub(super) fn rows(
        &self,
        connection: &Connection,
        filter: &Filter,
        only: &str,
    ) -> rusqlite::Result<Vec<(i64, i64, MessageState)>> {
        let Self(picked) = self;
        let text = if filter.body.is_empty() { "''" } else { TEXT };
        let mut statement = connection.prepare_cached(&format!(
            "SELECT id, kind, state, {text} AS text
             FROM message WHERE {} AND {only} ORDER BY id DESC LIMIT :limit",
            picked.conditions
        ))?;
        let mut rows = statement.query(&*picked.parameters())?;
        let mut found = Vec::new();
        while found.len() < filter.limit.unwrap_or(usize::MAX)
            && let Some(row) = rows.next()?
        {
            if filter.body.is_empty() || filter.fits_body(row.get_ref(3)?.as_bytes_or_null()?.unwrap_or_default()) {
                found.push((row.get(0)?, row.get(1)?, schema::state(row.get(2)?)));
            }
        }
        Ok(found)
    }
}

/// The text of a message, from either table.
pub(super) const TEXT: &str = "coalesce(text, (SELECT text FROM long_text WHERE long_text.id = message.id))";
