//! An outbox in an SQLite database.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use super::source::{CLAIM, MAX_ROWS, OutboxCounts, PATIENCE, REFUSED_FOR, Row, Source};
use crate::transaction::BoxError;

/// The relay's own connection.
#[derive(Debug)]
pub(super) struct Sqlite(Connection);

/// The condition for an unclaimed row.
macro_rules! free {
    () => {
        "claimed_until NOT BETWEEN ?1 + 1 AND ?2"
    };
}

impl Sqlite {
    /// Opens an existing database.
    pub(super) fn open(file: &Path) -> Result<Self, BoxError> {
        if file.try_exists().is_ok_and(|exists| !exists) {
            return Err("there is no such file".into());
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // The source of this error says the same again.
        let connection = Connection::open_with_flags(file, flags).map_err(|error| error.to_string())?;
        connection.busy_timeout(PATIENCE)?;
        Ok(Self(connection))
    }

    /// Changes rows in one transaction. A claim needs no sync: if it is lost, another relay may take the rows.
    fn change(
        &mut self,
        is_synced: bool,
        change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), BoxError> {
        let level = if is_synced { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
        self.0.execute_batch(level)?;
        let transaction = self.0.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        change(&transaction)?;
        Ok(transaction.commit()?)
    }
}

impl Source for Sqlite {
    fn claim(&mut self, now: i64) -> Result<Vec<Row>, BoxError> {
        // Checking takes a reader's lock for microseconds; claiming would keep others from writing.
        let free = concat!("SELECT 1 FROM pulpo_outbox WHERE ", free!(), " LIMIT 1");
        if !self.0.prepare_cached(free)?.exists([now, latest(now)])? {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        self.change(false, |connection| {
            let mut claim = connection.prepare_cached(concat!(
                "UPDATE pulpo_outbox SET claimed_until = ?3
                 WHERE id IN (SELECT id FROM pulpo_outbox WHERE ",
                free!(),
                " ORDER BY id LIMIT ?4) RETURNING id, token, message"
            ))?;
            let most = i64::try_from(MAX_ROWS).unwrap_or(i64::MAX);
            let read =
                |row: &rusqlite::Row<'_>| Ok(Row { number: row.get(0)?, token: row.get(1)?, message: row.get(2)? });
            rows = claim
                .query_map(params![now, latest(now), later(now, CLAIM), most], read)?
                .collect::<rusqlite::Result<_>>()?;
            Ok(())
        })?;
        rows.sort_unstable_by_key(|row: &Row| row.number);
        Ok(rows)
    }

    fn delete(&mut self, rows: &[Row]) -> Result<(), BoxError> {
        self.change(true, |connection| {
            let mut delete = connection.prepare_cached("DELETE FROM pulpo_outbox WHERE id = ?1 AND token = ?2")?;
            rows.iter().try_for_each(|row| delete.execute(params![row.number, row.token]).map(drop))
        })
    }

    fn release(&mut self, rows: &[Row], now: i64, after: Duration) -> Result<(), BoxError> {
        let until = if after.is_zero() { 0 } else { later(now, after) };
        self.change(false, |connection| {
            let mut release =
                connection.prepare_cached("UPDATE pulpo_outbox SET claimed_until = ?3 WHERE id = ?1 AND token = ?2")?;
            rows.iter().try_for_each(|row| release.execute(params![row.number, row.token, until]).map(drop))
        })
    }

    fn counts(&mut self, now: i64) -> Result<OutboxCounts, BoxError> {
        let counts = self.0.query_row(
            "SELECT count(*), count(*) FILTER (WHERE claimed_until BETWEEN ?1 AND ?2) FROM pulpo_outbox",
            [later(now, CLAIM) + 1, latest(now)],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )?;
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        Ok(OutboxCounts { waiting: count(counts.0 - counts.1), refused: count(counts.1) })
    }
}

/// Returns the latest plausible end of a claim, counted from `now`: a later one was written with a wrong clock.
fn latest(now: i64) -> i64 {
    later(now, REFUSED_FOR.max(CLAIM))
}

fn later(now: i64, after: Duration) -> i64 {
    now.saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX))
}
