//! The outbox: a table in your own database, in which jobs wait for their transaction to commit, and the relay that
//! moves them to the queue.
//!
//! [`publish_in`](crate::publish_in) writes a row into the table `pulpo_outbox`, in your transaction. A worker that
//! knows the database (`outbox = "sqlite:shop.db"`), or the command `relay`, reads the committed rows, enqueues them
//! and deletes them.

use crate::transaction::{AsyncSqlClient, Boxed, SqlClient, TransactionError};

mod announce;
mod open;
#[cfg(feature = "postgres")]
mod postgres;
mod relay;
mod source;
#[cfg(any(feature = "file", feature = "rusqlite"))]
mod sqlite;
mod url;

pub(crate) use self::announce::announce;
#[cfg(feature = "cli")]
pub(crate) use self::open::check;
pub use self::open::counts;
pub(crate) use self::open::unsupported;
pub(crate) use self::relay::{Relay, RouteOf};
pub use self::source::OutboxCounts;
pub use self::url::{OutboxUrl, ParseOutboxUrlError};
pub use crate::transaction::Dialect;

/// `id` is never used again. `token` distinguishes a row from all rows that were ever in any outbox, so that a queue
/// can recognize a row that it has already accepted. Until `claimed_until` (milliseconds since 1970), one relay has the
/// row.
const SQLITE: &str = "\
CREATE TABLE IF NOT EXISTS pulpo_outbox(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    message TEXT NOT NULL,
    claimed_until INTEGER NOT NULL DEFAULT 0);
";

/// Rows live for milliseconds, so autovacuum must not wait until the dead ones are a fifth of the table.
const POSTGRES: &str = "\
CREATE TABLE IF NOT EXISTS pulpo_outbox(
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    message text NOT NULL,
    claimed_until bigint NOT NULL DEFAULT 0)
WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
";

/// Returns the statement that creates the table `pulpo_outbox`, for your
/// migrations, as the command `outbox --sql` prints it. It does nothing if the
/// table exists.
#[must_use]
pub const fn definition(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
    }
}

/// Creates the table `pulpo_outbox` if it does not exist.
///
/// # Errors
/// If the database refuses it.
pub fn create(connection: &mut impl SqlClient) -> Result<(), TransactionError> {
    let dialect = connection.dialect();
    connection.execute(definition(dialect)).map_err(TransactionError::Refused)
}

/// Creates the table `pulpo_outbox` if it does not exist.
///
/// # Errors
/// If the database refuses it.
pub fn create_async<Client: 'static>(
    connection: &mut impl AsyncSqlClient<Client>,
) -> Boxed<'_, Result<(), TransactionError>> {
    Box::pin(async move {
        let dialect = connection.dialect().map_err(TransactionError::Refused)?;
        connection.execute(definition(dialect)).await.map_err(TransactionError::Refused)
    })
}
