//! An outbox in a PostgreSQL database. It uses the clock of the database.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config};

use super::source::{CLAIM, MAX_ROWS, OutboxCounts, PATIENCE, REFUSED_FOR, Row, Source};
use crate::process::fork::RUNTIMES;
use crate::queue::postgres::tls::Tls;
use crate::report::chain;
use crate::transaction::BoxError;

/// How long the server may take for a statement: less than [`PATIENCE`], so that the server ends it first and its error
/// names the cause.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);

/// A value of a statement, and its type.
type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// The relay's own connection. Each answer has a time limit, which the crate `postgres` does not offer.
pub(super) struct Postgres {
    runtime: Runtime,
    client: Client,
}

/// The time of the database, and the condition for an unclaimed row.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

impl Postgres {
    pub(super) fn open(url: &str) -> Result<Self, BoxError> {
        let (tls, url) = Tls::of_url(url)?;
        let mut config: Config = url.parse()?;
        config
            .ssl_mode(tls.ssl_mode())
            .connect_timeout(PATIENCE)
            .keepalives_idle(Duration::from_secs(30))
            .application_name("pulpo relay");
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        let limited = {
            let theirs = config.get_options().unwrap_or_default();
            // The user's options come last, and so take precedence.
            let options = format!(
                "-c statement_timeout={} -c default_transaction_isolation=read\\ committed {theirs}",
                STATEMENT_TIMEOUT.as_millis()
            );
            let mut limited = config.clone();
            limited.options(options.trim_end());
            limited
        };
        let make = || Ok(Builder::new_current_thread().enable_all().build()?);
        let runtime = RUNTIMES.run(BoxError::from, make)?;
        let connect = async |config: &Config, tls| {
            let (client, connection) = config.connect(tls).await?;
            // It ends when the client is dropped.
            tokio::spawn(connection);
            Ok::<_, tokio_postgres::Error>(client)
        };
        let client = match within(&runtime, connect(&limited, tls.connector()?)) {
            // A pooler, which does not accept session settings: then only the time limit here applies.
            Err(error) if chain(&*error).contains("unsupported startup parameter") => {
                within(&runtime, connect(&config, tls.connector()?))?
            }
            connected => connected?,
        };
        Ok(Self { runtime, client })
    }

    /// Prepares nothing: a pooler may give the next statement to another session.
    fn query(&self, sql: &str, values: &[Parameter<'_>]) -> Result<Vec<tokio_postgres::Row>, BoxError> {
        within(&self.runtime, self.client.query_typed(sql, values))
    }
}

/// Returns the answer, if it arrives in time.
fn within<R>(runtime: &Runtime, asking: impl Future<Output = Result<R, tokio_postgres::Error>>) -> Result<R, BoxError> {
    match runtime.block_on(async { timeout(PATIENCE, asking).await }) {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(format!("the server has not answered for {PATIENCE:?}").into()),
    }
}

/// Returns whether the server has answered that it will not do it later either: a right, a role or a database is missing.
/// Otherwise it may only be away.
#[cfg(feature = "cli")]
pub(super) fn is_final(error: &BoxError) -> bool {
    let code = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
    code.is_some_and(|code| matches!(code.code().get(..2), Some("28" | "3D" | "42")))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn numbers(rows: &[Row]) -> (Vec<i64>, Vec<&str>) {
    rows.iter().map(|row| (row.number, row.token.as_str())).unzip()
}

impl Source for Postgres {
    fn claim(&mut self, _: i64) -> Result<Vec<Row>, BoxError> {
        let free = concat!("claimed_until NOT BETWEEN ", now!(), " + 1 AND ", now!(), " + $1");
        let latest = millis(REFUSED_FOR.max(CLAIM));
        // Rows that another relay is about to claim are skipped.
        let look = format!("SELECT FROM pulpo_outbox WHERE {free} LIMIT 1");
        if self.query(&look, &[(&latest, Type::INT8)])?.is_empty() {
            return Ok(Vec::new());
        }
        let claim = format!(
            "UPDATE pulpo_outbox SET claimed_until = {now} + $2 WHERE id IN (
                SELECT id FROM pulpo_outbox WHERE {free} ORDER BY id LIMIT {MAX_ROWS} FOR UPDATE SKIP LOCKED)
             RETURNING id, token, message",
            now = now!()
        );
        let mut rows = Vec::new();
        for row in self.query(&claim, &[(&latest, Type::INT8), (&millis(CLAIM), Type::INT8)])? {
            rows.push(Row { number: row.try_get(0)?, token: row.try_get(1)?, message: row.try_get(2)? });
        }
        rows.sort_unstable_by_key(|row| row.number);
        Ok(rows)
    }

    fn delete(&mut self, rows: &[Row]) -> Result<(), BoxError> {
        let (numbers, tokens) = numbers(rows);
        self.query(
            "DELETE FROM pulpo_outbox USING unnest($1::bigint[], $2::text[]) AS gone(number, of)
             WHERE id = number AND token = of",
            &[(&numbers, Type::INT8_ARRAY), (&tokens, Type::TEXT_ARRAY)],
        )?;
        Ok(())
    }

    fn release(&mut self, rows: &[Row], _: i64, after: Duration) -> Result<(), BoxError> {
        let (numbers, tokens) = numbers(rows);
        let after = (!after.is_zero()).then(|| millis(after));
        self.query(
            concat!(
                "UPDATE pulpo_outbox SET claimed_until = coalesce(",
                now!(),
                " + $3::bigint, 0)
                 FROM unnest($1::bigint[], $2::text[]) AS ours(number, of) WHERE id = number AND token = of"
            ),
            &[(&numbers, Type::INT8_ARRAY), (&tokens, Type::TEXT_ARRAY), (&after, Type::INT8)],
        )?;
        Ok(())
    }

    fn counts(&mut self, _: i64) -> Result<OutboxCounts, BoxError> {
        let counts = self.query(
            concat!(
                "SELECT count(*), count(*) FILTER (WHERE claimed_until BETWEEN ",
                now!(),
                " + $1 + 1 AND ",
                now!(),
                " + $2) FROM pulpo_outbox"
            ),
            &[(&millis(CLAIM), Type::INT8), (&millis(REFUSED_FOR), Type::INT8)],
        )?;
        let counts = counts.first().ok_or("the server answered with no row")?;
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        let (all, refused): (i64, i64) = (counts.try_get(0)?, counts.try_get(1)?);
        Ok(OutboxCounts { waiting: count(all - refused), refused: count(refused) })
    }

    #[cfg(feature = "cli")]
    fn check(&mut self, now: i64) -> Result<(), BoxError> {
        self.counts(now)?;
        // The server checks the rights before it looks for rows.
        self.query("UPDATE pulpo_outbox SET claimed_until = 0 WHERE false", &[])?;
        self.query("DELETE FROM pulpo_outbox WHERE false", &[])?;
        Ok(())
    }
}
