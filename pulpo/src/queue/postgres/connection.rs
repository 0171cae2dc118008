//! One connection. The thread that uses it also drives its input and output, so
//! an answer does not have to wake another thread first.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Row, Statement};

use super::error::PostgresError;
use super::options::PostgresOptions;
use crate::process::fork::RUNTIMES;

/// A value of a statement, and its type, so that the server need not be asked
/// for it.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// One of our statements, with `SCHEMA.` before the names of tables.
pub(super) type Sql = &'static str;

/// The place of one of our statements in the program. Hashing hundreds of bytes of
/// its text would be a noticeable part of a publication.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct SqlId {
    address: usize,
    length: usize,
}

impl SqlId {
    fn of(sql: Sql) -> Self {
        Self { address: sql.as_ptr().addr(), length: sql.len() }
    }
}

/// A statement that a connection has run before.
enum Known {
    Prepared(Statement),
    /// With the names of the tables filled in.
    Text(String),
}

async fn query(
    client: &Client,
    known: &Known,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    match known {
        Known::Prepared(statement) => {
            let values: Vec<_> = parameters.iter().map(|(value, _)| *value).collect();
            client.query(statement, &values).await
        }
        Known::Text(text) => client.query_typed(text, parameters).await,
    }
}

/// The default time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An event that the thread of the heartbeat receives.
#[derive(Debug)]
pub(super) enum Heard {
    /// Messages were published into these queues, one per line.
    Published(String),
    /// The connection has ended.
    Ended,
    /// Another thread has work for the one that receives this.
    Nudge,
}

/// The settings that all connections of a queue share.
#[derive(Debug)]
pub(super) struct Connector {
    options: PostgresOptions,
    /// The schema in quotes, with a dot.
    schema: String,
}

impl Connector {
    pub(super) fn new(options: PostgresOptions) -> Self {
        let schema = format!("\"{}\".", options.schema);
        Self { options, schema }
    }

    /// Opens a connection with a runtime of its own.
    pub(super) fn connect(&self) -> Result<Connection, PostgresError> {
        self.connect_on(&Arc::new(runtime()?), None)
    }

    /// Opens a connection on this runtime. Its notifications go to `hear`.
    pub(super) fn connect_on(
        &self,
        runtime: &Arc<SocketRuntime>,
        hear: Option<UnboundedSender<Heard>>,
    ) -> Result<Connection, PostgresError> {
        let mut config = self.options.config.clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("pulpo");
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        let limit = self.options.statement_timeout;
        // The session is ours alone. Plans must use the indexes, whatever the
        // statistics of a table say that was empty a moment ago. In a stricter
        // isolation level, claims that meet would fail.
        if self.options.notify {
            config.options(format!(
                "-c statement_timeout={} -c idle_in_transaction_session_timeout=60000 -c enable_seqscan=off -c jit=off \
                 -c plan_cache_mode=force_generic_plan -c default_transaction_isolation=read\\ committed",
                limit.as_millis()
            ));
        }
        let tls = self.options.tls.connector().map_err(PostgresError::permanent)?;
        let connecting = async move {
            let (client, mut connection) = config.connect(tls).await?;
            let driver = tokio::spawn(async move {
                loop {
                    let heard = match poll_fn(|context| connection.poll_message(context)).await {
                        Some(Ok(AsyncMessage::Notification(told))) => Heard::Published(told.payload().to_owned()),
                        Some(Ok(_)) => continue,
                        Some(Err(_)) | None => Heard::Ended,
                    };
                    let ended = matches!(heard, Heard::Ended);
                    // The receiver may be gone.
                    let _ = hear.as_ref().map(|hear| hear.send(heard));
                    if ended {
                        break;
                    }
                }
            });
            Ok::<_, tokio_postgres::Error>((client, driver))
        };
        let limit_for_all = CONNECT_TIMEOUT.max(limit);
        let (client, driver) = match drive(runtime, async { timeout(limit_for_all, connecting).await }) {
            Ok(connected) => connected.map_err(|error| PostgresError::connecting(&error))?,
            Err(_) => return Err(PostgresError::connecting_took_too_long(limit_for_all)),
        };
        Ok(Connection {
            runtime: runtime.clone(),
            client: Some(client),
            driver,
            schema: self.schema.clone(),
            known: HashMap::new(),
            prepares: self.options.notify,
            limit: limit.saturating_add(limit / 4).saturating_add(Duration::from_millis(200)),
            is_broken: false,
        })
    }
}

/// The runtime of connections. Dropping it waits for nothing: the look-up of a name may still be going on, on a thread of
/// its own and without a time limit, long after its connection was given up.
#[derive(Debug)]
pub(super) struct SocketRuntime(Option<Runtime>);

impl Deref for SocketRuntime {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken out only by the drop")
    }
}

impl Drop for SocketRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

pub(super) fn runtime() -> Result<SocketRuntime, PostgresError> {
    let failed = |error| PostgresError::unreachable(format!("cannot make a place for its input and output: {error}"));
    let make = || Builder::new_current_thread().enable_all().build().map_err(failed);
    Ok(SocketRuntime(Some(RUNTIMES.run(PostgresError::forked, make)?)))
}

/// Drives the future on this thread, or on another one if this thread belongs
/// to a runtime of the program.
fn drive<F>(runtime: &Runtime, future: F) -> F::Output
where
    F: Future + Send,
    F::Output: Send,
{
    if Handle::try_current().is_err() {
        return runtime.block_on(future);
    }
    std::thread::scope(|scope| match scope.spawn(|| runtime.block_on(future)).join() {
        Ok(output) => output,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A connection to the database.
pub(super) struct Connection {
    runtime: Arc<SocketRuntime>,
    client: Option<Client>,
    driver: JoinHandle<()>,
    schema: String,
    known: HashMap<SqlId, Known>,
    /// Whether statements are prepared. They are not in a session that a pooler
    /// shares.
    prepares: bool,
    /// The time limit of a statement. It is longer than the server's, so that
    /// the error comes from the server, which knows more.
    limit: Duration,
    is_broken: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_broken", &self.is_broken).finish_non_exhaustive()
    }
}

impl Connection {
    /// Returns whether it can no longer be used.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken || self.client().is_closed()
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it is taken out only by the drop")
    }

    /// Checks that the server answers.
    pub(super) fn ping(&mut self) -> Result<(), PostgresError> {
        let pinged = drive(&self.runtime, async { timeout(self.limit, self.client().check_connection()).await });
        self.checked(pinged)
    }

    /// Runs one of our statements.
    pub(super) fn run(&mut self, sql: Sql, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, PostgresError> {
        self.know(sql, parameters)?;
        let running = query(self.client(), self.known(sql), parameters);
        let done = drive(&self.runtime, async { timeout(self.limit, running).await });
        self.checked(done)
    }

    /// Runs several of our statements, each in a transaction of its own: in one
    /// round trip, except behind a pooler.
    pub(super) fn run_all(&mut self, statements: &[(Sql, &[Parameter<'_>])]) -> Vec<Result<Vec<Row>, PostgresError>> {
        if !self.prepares {
            return self.run_in_turn(statements);
        }
        for (sql, parameters) in statements {
            if let Err(error) = self.know(sql, parameters) {
                return statements.iter().map(|_| Err(error.clone())).collect();
            }
        }
        let client = self.client();
        let running = statements.iter().map(|(sql, parameters)| query(client, self.known(sql), parameters));
        let done = drive(&self.runtime, async { timeout(self.limit, join_all(running)).await });
        match done {
            Ok(all) => all.into_iter().map(|one| self.checked(Ok(one))).collect(),
            Err(elapsed) => {
                let error = self.checked::<()>(Err(elapsed)).expect_err("it took too long");
                statements.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    /// Sends each statement after the answer to the one before. When a client goes
    /// away while it waits for several answers, a pooler may give its session to
    /// another client after the first one (pgbouncer does before version 1.22), and
    /// that client then reads the answers to questions that it has not asked.
    fn run_in_turn(&mut self, statements: &[(Sql, &[Parameter<'_>])]) -> Vec<Result<Vec<Row>, PostgresError>> {
        let mut answers = Vec::with_capacity(statements.len());
        for (sql, parameters) in statements {
            let answer = match answers.last() {
                Some(Err(error)) if self.is_broken => Err(PostgresError::clone(error)),
                _ => self.run(sql, parameters),
            };
            answers.push(answer);
        }
        answers
    }

    /// Prepares a statement, or renders its text.
    fn know(&mut self, sql: Sql, parameters: &[Parameter<'_>]) -> Result<(), PostgresError> {
        if self.known.contains_key(&SqlId::of(sql)) {
            return Ok(());
        }
        let text = sql.replace("SCHEMA.", &self.schema);
        if !self.prepares {
            self.known.insert(SqlId::of(sql), Known::Text(text));
            return Ok(());
        }
        let types: Vec<_> = parameters.iter().map(|(_, of)| of.clone()).collect();
        let preparing = async { timeout(self.limit, self.client().prepare_typed(&text, &types)).await };
        let prepared = drive(&self.runtime, preparing);
        let statement = self.checked(prepared).map_err(|error| {
            // Nothing was executed.
            if error.is_in_doubt() { PostgresError::unreachable(error.to_string()) } else { error }
        })?;
        self.known.insert(SqlId::of(sql), Known::Prepared(statement));
        Ok(())
    }

    fn known(&self, sql: Sql) -> &Known {
        self.known.get(&SqlId::of(sql)).expect("it was prepared or rendered before")
    }

    /// Runs a statement that is built at run time.
    pub(super) fn run_text(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, PostgresError> {
        let text = sql.replace("SCHEMA.", &self.schema);
        let running = async { timeout(self.limit, self.client().query_typed(&text, parameters)).await };
        let done = drive(&self.runtime, running);
        self.checked(done)
    }

    /// Runs statements without parameters, in one transaction unless they say
    /// otherwise.
    pub(super) fn run_script(&mut self, script: &str) -> Result<(), PostgresError> {
        let text = script.replace("SCHEMA.", &self.schema);
        let done = drive(&self.runtime, async { timeout(self.limit, self.client().batch_execute(&text)).await });
        self.checked(done)
    }

    /// Does `work` in one transaction. After an error, nothing of it is kept.
    pub(super) fn in_transaction<R>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<R, PostgresError>,
    ) -> Result<R, PostgresError> {
        self.run_script("BEGIN")?;
        match work(self) {
            Ok(done) => self.run_script("COMMIT").map(|()| done),
            Err(error) => {
                // If the connection has ended, so has the transaction. No COMMIT
                // was sent, so nothing was kept.
                let undone = self.run_script("ROLLBACK");
                Err(if error.is_in_doubt() {
                    PostgresError::unreachable(error.to_string())
                } else {
                    undone.err().unwrap_or(error)
                })
            }
        }
    }

    /// Marks the connection as not to be used again.
    pub(super) fn give_up(&mut self) {
        self.is_broken = true;
    }

    /// Removes the time limit of the next statements, for a migration.
    pub(super) fn unlimited(&mut self) {
        self.limit = Duration::from_secs(3600);
    }

    fn checked<R>(
        &mut self,
        done: Result<Result<R, tokio_postgres::Error>, tokio::time::error::Elapsed>,
    ) -> Result<R, PostgresError> {
        let checked = match done {
            Ok(answered) => answered.map_err(PostgresError::from),
            Err(_) => Err(PostgresError::silent(self.limit)),
        };
        if let Err(error) = &checked {
            self.is_broken |= error.breaks_connection();
        }
        checked
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let client = self.client.take();
        // Within a runtime of the program, this thread must not wait.
        if !self.is_broken && Handle::try_current().is_err() {
            // Once the client is gone, the driver closes the session in good order.
            drop(client);
            let mut driver = pin!(&mut self.driver);
            self.runtime.block_on(async {
                let _ = timeout(Duration::from_millis(100), poll_fn(|context| driver.as_mut().poll(context).map(drop)))
                    .await;
            });
        } else {
            self.driver.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_connection_that_is_given_up_does_not_wait_for_the_look_up_of_its_name() {
        let runtime = runtime().expect("a runtime");
        let (answer, looks_up) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || looks_up.recv());
        let (given_up, is_given_up) = mpsc::channel();
        std::thread::spawn(move || {
            drop(runtime);
            given_up.send(()).expect("waited for");
        });
        let waited = is_given_up.recv_timeout(Duration::from_secs(30));
        drop(answer);
        waited.expect("it does not wait");
    }
}
