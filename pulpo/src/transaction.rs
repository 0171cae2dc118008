//! Publishing in your own transaction: the job exists if and only if the
//! transaction commits.
//!
//! A message is prepared as for any publication, and then written through the
//! connection of the transaction. If the queue is in the same database, that is
//! the publication. Otherwise it is a row in the table `pulpo_outbox`, which
//! the [outbox](crate::outbox) moves to the queue.
//!
//! Each kind of connection is one implementation: of [`SqlClient`] or
//! [`AsyncSqlClient`] for a database, of [`PublishIn`] for anything else that
//! accepts jobs.

use std::fmt;
use std::pin::Pin;

use crate::keys::Publication;
use crate::message::MessageId;
use crate::queue::{Enqueued, InDatabase, NewMessage};

#[cfg(feature = "beanstalkc")]
mod beanstalkc;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "rusqlite")]
mod rusqlite;
#[cfg(any(feature = "sqlx-08", feature = "sqlx-09"))]
mod sqlx;
#[cfg(feature = "tokio-postgres")]
mod tokio_postgres;

/// The prefix of the id of a message in an outbox; its number there follows.
pub(crate) const OUTBOX_ID: &str = "outbox/";

/// Any error of a database client.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The SQL dialect of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite 3.35 or newer.
    Sqlite,
    /// PostgreSQL 13 or newer.
    Postgres,
}

impl Dialect {
    /// Returns the name of the dialect.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Dialect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Sqlite, Self::Postgres]
            .into_iter()
            .find(|dialect| dialect.as_str() == text)
            .ok_or_else(|| format!("expected sqlite or postgres, got {text:?}"))
    }
}

/// A job that is ready for publication by your own statement: the result of
/// [`prepare`](crate::prepare), for database clients without `publish_in`.
///
/// ```
/// # mod jobs {
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # pub struct OrderPaid { pub id: u64 }
/// # #[pulpo::handler("order_paid")]
/// # fn order_paid(_: OrderPaid) {}
/// # }
/// # use jobs::OrderPaid;
/// # let pulpo = pulpo::Pulpo::new(pulpo::Config::default().queue("memory:")?)?;
/// let row = pulpo.prepare(OrderPaid { id: 7 })?;
/// assert_eq!(row.sql(), "INSERT INTO pulpo_outbox(message) VALUES ($1)");
/// assert!(row.message().contains(r#""request_type":"order_paid""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    message: NewMessage,
    /// The wire form, together with the details that only the queue is told.
    row: String,
    /// The database of the queue, if users can have transactions in it.
    queue: Option<InDatabase>,
    /// Whether `sql` publishes straight into the queue's database.
    is_direct: bool,
}

const INSERT: &str = "INSERT INTO pulpo_outbox(message) VALUES ($1)";
const INSERT_RETURNING: &str = "INSERT INTO pulpo_outbox(message) VALUES ($1) RETURNING id";

impl Prepared {
    /// Prepares a message for the queue. `has_outbox`: the configuration names an outbox.
    pub(crate) fn new(message: NewMessage, queue: Option<InDatabase>, has_outbox: bool) -> Self {
        let row = row::write(&message);
        let is_direct = queue.is_some() && !has_outbox;
        Self { message, row, queue, is_direct }
    }

    /// Returns one statement with one parameter, `$1`:
    /// [`message`](Self::message). Run it in your transaction, and the job is
    /// published when that commits.
    #[must_use]
    pub fn sql(&self) -> &'static str {
        match &self.queue {
            Some(queue) if self.is_direct => queue.statement(),
            _ => INSERT,
        }
    }

    /// Returns the text for the parameter of [`sql`](Self::sql).
    #[must_use]
    pub fn message(&self) -> &str {
        &self.row
    }

    /// Returns the message as a queue takes it.
    #[allow(dead_code, reason = "for connections to a queue, which a feature brings")]
    pub(crate) fn new_message(&self) -> &NewMessage {
        &self.message
    }
}

pub(crate) mod row {
    //! The text in a row of the outbox: the wire form of a message, in which `queue`, `ttr` (in milliseconds) and the
    //! keys of limits stand beside `header` and `body`. Each may be left out, so that any program that writes SQL can
    //! insert a row.

    use std::time::Duration;

    use serde::Deserialize;

    use crate::queue::{LimitKeys, NewMessage};

    /// Adds the details that only the queue is told to the wire form of a message.
    pub(super) fn write(message: &NewMessage) -> String {
        let NewMessage { queue, ttr, limit_keys, text, .. } = message;
        let written = |text: &str| serde_json::to_string(text).expect("any text can be written as JSON");
        let limit_key = limit_keys.joined().map(|key| format!(r#""limit_key":{},"#, written(&key)));
        let rest = text.strip_prefix('{').expect("a message is written as an object");
        format!(
            r#"{{"queue":{},"ttr":{},{}{rest}"#,
            written(queue),
            ttr.as_millis(),
            limit_key.as_deref().unwrap_or_default()
        )
    }

    /// The details beside the message in such a text.
    #[derive(Debug, Default, PartialEq, Eq)]
    pub(crate) struct Route {
        pub(crate) queue: Option<String>,
        pub(crate) ttr: Option<Duration>,
        pub(crate) limit_keys: Option<LimitKeys>,
    }

    impl Route {
        /// Reads them; all are empty if the text makes no sense.
        pub(crate) fn read(text: &str) -> Self {
            #[derive(Default, Deserialize)]
            #[serde(default)]
            struct Fields {
                queue: Option<serde_json::Value>,
                ttr: Option<serde_json::Value>,
                limit_key: Option<serde_json::Value>,
            }
            let Fields { queue, ttr, limit_key } = serde_json::from_str(text).unwrap_or_default();
            let queue = queue.as_ref().and_then(serde_json::Value::as_str).filter(|queue| !queue.is_empty());
            let ttr = ttr.as_ref().and_then(serde_json::Value::as_u64).filter(|millis| *millis > 0);
            let limit_keys = limit_key.as_ref().and_then(serde_json::Value::as_str).map(LimitKeys::from_joined);
            Self { queue: queue.map(str::to_owned), ttr: ttr.map(Duration::from_millis), limit_keys }
        }
    }
}

/// Transactions and connections that [`publish_in`](crate::publish_in) accepts,
/// of a client that a feature of pulpo names.
#[diagnostic::on_unimplemented(
    message = "a job cannot be published in `{Self}`",
    label = "expected `&mut` of a transaction or a connection: `rusqlite::Transaction`, `postgres::Transaction`",
    note = "each client needs the feature of pulpo that has its name: `rusqlite`, `postgres`, `beanstalkc`",
    note = "for sqlx and tokio-postgres there is `publish_in_async`, and for any other client `prepare`",
    note = "if the client is one of these, two versions of its crate may be in the program: see `cargo tree -d`"
)]
pub trait PublishIn {
    /// Writes the message, and returns its id there and the effect of the publication.
    ///
    /// # Errors
    /// If it was not written.
    fn publish(&mut self, job: &Prepared) -> Result<Enqueued, TransactionError>;
}

/// A connection to a database through a blocking client.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a client that publishes jobs",
    label = "expected `&mut` of a transaction or a connection: `rusqlite::Connection`, `postgres::Client`",
    note = "each client needs the feature of pulpo that has its name: `rusqlite`, `postgres`",
    note = "for sqlx and tokio-postgres there is `create_async`, and for any other client the statements that the \
            command `outbox --sql` prints"
)]
#[doc(hidden)]
pub trait SqlClient {
    /// Returns its SQL dialect.
    fn dialect(&self) -> Dialect;

    /// Runs a statement with one text as the parameter, and returns its number.
    fn insert(&mut self, sql: &'static str, text: &str) -> Result<i64, BoxError>;

    /// Runs a statement with one text as the parameter, and returns its result, a text.
    fn answer(&mut self, sql: &'static str, text: &str) -> Result<String, BoxError>;

    /// Runs a statement without parameters.
    fn execute(&mut self, sql: &'static str) -> Result<(), BoxError>;

    /// Runs a statement that returns one text, or no row.
    fn ask(&mut self, sql: &'static str) -> Result<Option<String>, BoxError>;
}

#[diagnostic::do_not_recommend]
impl<C: SqlClient> PublishIn for C {
    fn publish(&mut self, job: &Prepared) -> Result<Enqueued, TransactionError> {
        let dialect = self.dialect();
        let refused = |error| TransactionError::new(error, dialect);
        if let Some(queue) = job.queue.as_ref().filter(|_| dialect == Dialect::Postgres) {
            let database = self.ask(queue.question()).map_err(refused)?;
            if queue.is_in(database.as_deref(), job.is_direct) {
                let published = self.answer(queue.telling_statement(), &job.row).map_err(refused)?;
                return Ok(enqueued(&published));
            }
        }
        let number = self.insert(INSERT_RETURNING, &job.row).map_err(refused)?;
        Ok(Enqueued::new(format!("{OUTBOX_ID}{number}")))
    }
}

/// Reads the answer of the queue's database to a publication: the id, and a word for its effect.
fn enqueued(published: &str) -> Enqueued {
    let (id, word) = published.split_once(' ').unwrap_or((published, ""));
    let all = [Publication::New, Publication::Kept, Publication::Replaced];
    Enqueued::duplicate(id, all.into_iter().find(|one| one.as_str() == word).unwrap_or_default())
}

/// The future of a function with an async client.
///
/// Its type does not name the client, unlike that of an `async fn`: rustc reports a client that does not fit once, on the
/// argument, and not again for the future and its `.await`.
pub(crate) type Boxed<'client, R> = Pin<Box<dyn Future<Output = R> + Send + 'client>>;

/// Transactions and connections that
/// [`publish_in_async`](crate::publish_in_async) accepts, of sqlx or
/// tokio-postgres. `Client` distinguishes their versions; the compiler infers
/// it.
#[diagnostic::on_unimplemented(
    message = "a job cannot be published in `{Self}`",
    label = "expected `&mut *transaction` of sqlx, or `&mut transaction` of tokio-postgres",
    note = "each client needs the feature of pulpo that has its name: `sqlx-sqlite`, `sqlx-postgres` (sqlx 0.8 and \
            0.9), `tokio-postgres`",
    note = "a pool is not a transaction: begin one with `pool.begin().await`",
    note = "for rusqlite and postgres there is `publish_in`, and for any other client `prepare`"
)]
pub trait AsyncSqlClient<Client>: Send {
    /// Returns its SQL dialect.
    ///
    /// # Errors
    /// If pulpo does not know the dialect.
    #[doc(hidden)]
    fn dialect(&self) -> Result<Dialect, BoxError>;

    /// Runs a statement with one text as the parameter, and returns its number.
    #[doc(hidden)]
    fn insert(&mut self, sql: &'static str, text: String) -> impl Future<Output = Result<i64, BoxError>> + Send;

    /// Runs a statement with one text as the parameter, and returns its result, a text.
    #[doc(hidden)]
    fn answer(&mut self, sql: &'static str, text: String) -> impl Future<Output = Result<String, BoxError>> + Send;

    /// Runs a statement without parameters.
    #[doc(hidden)]
    fn execute(&mut self, sql: &'static str) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Runs a statement that returns one text, or no row.
    #[doc(hidden)]
    fn ask(&mut self, sql: &'static str) -> impl Future<Output = Result<Option<String>, BoxError>> + Send;
}

/// Does the same as [`PublishIn::publish`], for async clients.
#[cfg(feature = "tokio")]
pub(crate) async fn publish_async<Client, C: AsyncSqlClient<Client>>(
    client: &mut C,
    job: Prepared,
) -> Result<Enqueued, TransactionError> {
    let dialect = client.dialect().map_err(TransactionError::Refused)?;
    let refused = |error| TransactionError::new(error, dialect);
    if let Some(queue) = job.queue.as_ref().filter(|_| dialect == Dialect::Postgres) {
        let database = client.ask(queue.question()).await.map_err(refused)?;
        if queue.is_in(database.as_deref(), job.is_direct) {
            let published = client.answer(queue.telling_statement(), job.row).await.map_err(refused)?;
            return Ok(enqueued(&published));
        }
    }
    let number = client.insert(INSERT_RETURNING, job.row).await.map_err(refused)?;
    Ok(Enqueued::new(format!("{OUTBOX_ID}{number}")))
}

/// Errors of publishing in a transaction. Whether the transaction can continue depends on the database: PostgreSQL
/// accepts nothing more in it, SQLite does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The table is missing.
    #[error(
        "the database has no table `pulpo_outbox`: create it with `pulpo::outbox::create`, or add the output of the \
         command `outbox --sql {dialect}` to your migrations"
    )]
    #[non_exhaustive]
    NoTable {
        /// The SQL dialect.
        dialect: Dialect,
        /// The error of the client.
        source: BoxError,
    },
    /// Another message has its unique key, and the job has `on_duplicate = "reject"`.
    #[error("message {id} has the same unique key")]
    #[non_exhaustive]
    Duplicate {
        /// The message that has the key.
        id: MessageId,
        /// The error of the client.
        source: BoxError,
    },
    /// The statement failed.
    #[error("the database did not accept the statement")]
    Refused(#[source] BoxError),
}

impl TransactionError {
    pub(crate) fn new(error: BoxError, dialect: Dialect) -> Self {
        let text = crate::report::chain(&*error);
        let missing = text.contains("no such table") || text.contains("does not exist");
        if missing && text.contains("pulpo_outbox") {
            return Self::NoTable { dialect, source: error };
        }
        match duplicate(&text) {
            Some(id) => Self::Duplicate { id, source: error },
            None => Self::Refused(error),
        }
    }

    /// Returns the cause, without the context.
    pub(crate) fn into_source(self) -> BoxError {
        match self {
            Self::Refused(source) => source,
            Self::Duplicate { source, .. } => source,
            no_table @ Self::NoTable { .. } => Box::new(no_table),
        }
    }
}

/// Finds the id of the conflicting message in the error text of the queue's database: clients have no other means in
/// common.
fn duplicate(text: &str) -> Option<MessageId> {
    let (before, _) = text.split_once(" has the same unique key")?;
    let (_, id) = before.rsplit_once("message ")?;
    id.bytes().all(|byte| byte.is_ascii_digit()).then(|| MessageId::from(id.to_owned()))
}

#[cfg(test)]
mod tests;
