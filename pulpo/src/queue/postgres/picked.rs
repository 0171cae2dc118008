//! A [`Filter`] as the conditions of a query.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::connection::{Connection, Parameter};
use super::error::PostgresError;
use super::values::number;
use crate::queue::{Filter, StoredMessage};

/// The number of texts that are read at once for a filter by body.
const TEXTS_AT_ONCE: usize = 500;

/// The conditions of a query and their values.
pub(super) struct Conditions {
    pub(super) conditions: String,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
    limit: i64,
}

impl Conditions {
    /// Starts with the ids of the filter and its limit.
    pub(super) fn of_ids(filter: &Filter) -> Self {
        let limit = filter.limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let mut picked = Self { conditions: "true".to_owned(), values: Vec::new(), limit };
        if let Some(ids) = &filter.ids {
            let ids: Vec<i64> = ids.iter().filter_map(|id| number(id.as_str())).collect();
            picked.and("id = ANY ($)", ids, Type::INT8_ARRAY);
        }
        if let Some(after) = &filter.after {
            picked.and("id < $", number(after.as_str()).unwrap_or(i64::MIN), Type::INT8);
        }
        if let Some(last) = &filter.down_to {
            picked.and("id >= $", number(last.as_str()).unwrap_or(i64::MIN), Type::INT8);
        }
        picked
    }

    pub(super) fn of_queue_and_type(&mut self, filter: &Filter) {
        if let Some(queue) = &filter.queue {
            self.and("queue = $", plain(queue), Type::TEXT);
        }
        if let Some(request_type) = &filter.request_type {
            self.and("request_type = $", plain(request_type), Type::TEXT);
        }
    }

    /// Adds times. `since`: the column with the time when a message entered its
    /// state.
    pub(super) fn of_times(&mut self, filter: &Filter, since: &str) {
        for (time, condition) in [
            (filter.older_than, format!("{since} < $")),
            (filter.newer_than, format!("{since} >= $")),
            (filter.published_before, "enqueued_at < $".to_owned()),
            (filter.published_after, "enqueued_at >= $".to_owned()),
        ] {
            if let Some(time) = time {
                self.and(&condition, within(time), Type::TIMESTAMPTZ);
            }
        }
    }

    /// Adds a condition, in which `$` stands for the value.
    pub(super) fn and(&mut self, condition: &str, value: impl ToSql + Sync + Send + 'static, of: Type) {
        self.values.push((Box::new(value), of));
        self.conditions.push_str(" AND ");
        self.conditions.push_str(&condition.replace('$', &format!("${}", self.values.len())));
    }

    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        let values = self.values.iter().map(|(value, of)| (&**value as &(dyn ToSql + Sync), of.clone()));
        values.chain([(&self.limit as &(dyn ToSql + Sync), Type::INT8)]).collect()
    }

    /// Returns the number of the limit's parameter.
    pub(super) fn limit(&self) -> String {
        format!("${}", self.values.len() + 1)
    }

    /// Returns the rows of a table that match, newest first. For a filter by body,
    /// only a few texts are in memory at a time, unless `texts` are wanted.
    pub(super) fn select(
        mut self,
        connection: &mut Connection,
        (table, columns): (&str, &str),
        filter: &Filter,
        texts: bool,
        read: fn(&Row) -> Result<StoredMessage, PostgresError>,
    ) -> Result<Vec<StoredMessage>, PostgresError> {
        let by_body = !filter.body.is_empty();
        let text = if texts || by_body { "text" } else { "'' AS text" };
        let sql = |picked: &Self, after: &str| {
            format!(
                "SELECT id, {columns}, {text} FROM {table} WHERE {}{after} ORDER BY id DESC LIMIT {}",
                picked.conditions,
                picked.limit()
            )
        };
        if !by_body {
            return connection.run_text(&sql(&self, ""), &self.parameters())?.iter().map(read).collect();
        }
        let most = filter.limit.unwrap_or(usize::MAX);
        self.limit = i64::try_from(TEXTS_AT_ONCE).unwrap_or(i64::MAX);
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let rows = connection.run_text(&sql(&self, &after), &self.parameters())?;
            for row in &rows {
                let mut message = read(row)?;
                if found.len() < most && filter.fits_body(&message.text) {
                    if !texts {
                        message.text = Vec::new();
                    }
                    found.push(message);
                }
            }
            match rows.last().filter(|_| rows.len() == TEXTS_AT_ONCE && found.len() < most) {
                Some(last) => after = format!(" AND id < {}", last.try_get::<_, i64>("id")?),
                None => return Ok(found),
            }
        }
    }
}

/// Returns the text as PostgreSQL stores it.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// Returns the nearest time that PostgreSQL can represent.
fn within(time: DateTime<Utc>) -> DateTime<Utc> {
    time.max(DateTime::UNIX_EPOCH - chrono::TimeDelta::days(365 * 1000))
}
