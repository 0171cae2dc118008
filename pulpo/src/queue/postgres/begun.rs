//! Which of the messages that were leased ahead have begun to run.
//!
//! A message that is leased for a waiting lane counts as begun. A message that
//! is leased ahead may never reach a lane: its row says `ahead`, and if the
//! process dies, it loses no attempt. Clearing the mark when a lane takes the
//! message would cost a statement, which is more than a short job costs. So the
//! mark is cleared only for runs that last longer than [`MARK_AFTER`], for all
//! of them in one statement.
//!
//! If the process dies earlier, it is unknown whether the message had begun.
//! From then on it is leased only for a waiting lane (`alone`), where each death
//! counts. The unseen run counts too if it decides: see
//! [`Delivery::maybe_begun`](crate::queue::Delivery).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use super::values::lazily;
use crate::sync::lock;

/// Runs that end earlier stay unmarked.
const MARK_AFTER: Duration = Duration::from_millis(5);

const MARK: Sql = concat!(
    "WITH ",
    lazily!(),
    ", begun AS (UPDATE SCHEMA.message SET ahead = false
        FROM unnest($1::bigint[], $2::text[]) AS held(id, token)
        WHERE message.id = held.id AND message.lease = held.token AND message.ahead
        RETURNING 1)
    SELECT count(*) FROM begun, lazily"
);

/// The data of a lease that only this queue has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    /// The number of the message.
    pub(super) id: i64,
    /// Whether it was leased before a lane was free for it.
    pub(super) is_ahead: bool,
}

/// The runs of this process whose rows still say `ahead`.
#[derive(Debug, Default)]
pub(super) struct Begun(Mutex<Vec<Run>>);

#[derive(Clone, Debug)]
struct Run {
    id: i64,
    token: Arc<str>,
    /// When a lane took it, in real uptime.
    since: Duration,
}

impl Begun {
    /// Adds a message that a lane has taken.
    pub(super) fn add(&self, id: i64, token: &Arc<str>, now: Duration) {
        lock(&self.0).push(Run { id, token: token.clone(), since: now });
    }

    /// Removes a message whose run is over.
    pub(super) fn remove(&self, id: i64) {
        let mut runs = lock(&self.0);
        if let Some(place) = runs.iter().position(|run| run.id == id) {
            runs.swap_remove(place);
        }
    }

    /// Returns whether there are any.
    pub(super) fn any(&self) -> bool {
        !lock(&self.0).is_empty()
    }

    /// Clears the mark of the runs that have lasted long enough. After an error
    /// they stay, for another try.
    pub(super) fn mark(
        &self,
        now: Duration,
        mark: impl FnOnce(&[i64], &[&str]) -> Result<(), PostgresError>,
    ) -> Result<(), PostgresError> {
        let lasting: Vec<Run> =
            lock(&self.0).iter().filter(|run| now.saturating_sub(run.since) >= MARK_AFTER).cloned().collect();
        if lasting.is_empty() {
            return Ok(());
        }
        let (ids, tokens): (Vec<_>, Vec<_>) = lasting.iter().map(|run| (run.id, &*run.token)).unzip();
        mark(&ids, &tokens)?;
        lock(&self.0).retain(|run| !lasting.iter().any(|one| one.id == run.id && one.token == run.token));
        Ok(())
    }
}

/// Records in the rows of these messages that they have begun.
pub(super) fn mark(connection: &mut Connection, ids: &[i64], tokens: &[&str]) -> Result<(), PostgresError> {
    connection.run(MARK, &[(&ids, Type::INT8_ARRAY), (&tokens, Type::TEXT_ARRAY)]).map(drop)
}
