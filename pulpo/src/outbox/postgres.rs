//! An outbox in a PostgreSQL database. It uses the clock of the database.

use std::time::Duration;

use postgres::Client;

use super::source::{CLAIM, MAX_ROWS, OutboxCounts, PATIENCE, REFUSED_FOR, Row, Source};
use crate::queue::postgres::tls::Tls;
use crate::transaction::BoxError;

/// A connection of the relay's own.
pub(super) struct Postgres(Client);

/// The time of the database, and whether a row is unclaimed.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

impl Postgres {
    pub(super) fn open(url: &str) -> Result<Self, BoxError> {
        let (tls, url) = Tls::of_url(url)?;
        let mut config: postgres::Config = url.parse()?;
        config
            .ssl_mode(tls.ssl_mode())
            .connect_timeout(PATIENCE)
            .keepalives_idle(Duration::from_secs(30))
            .application_name("pulpo relay");
        Ok(Self(config.connect(tls.connector()?)?))
    }
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
        if self.0.query_opt(look.as_str(), &[&latest])?.is_none() {
            return Ok(Vec::new());
        }
        let claim = format!(
            "UPDATE pulpo_outbox SET claimed_until = {now} + $2 WHERE id IN (
                SELECT id FROM pulpo_outbox WHERE {free} ORDER BY id LIMIT {MAX_ROWS} FOR UPDATE SKIP LOCKED)
             RETURNING id, token, message",
            now = now!()
        );
        let mut rows = Vec::new();
        for row in self.0.query(claim.as_str(), &[&latest, &millis(CLAIM)])? {
            rows.push(Row { number: row.try_get(0)?, token: row.try_get(1)?, message: row.try_get(2)? });
        }
        rows.sort_unstable_by_key(|row| row.number);
        Ok(rows)
    }

    fn delete(&mut self, rows: &[Row]) -> Result<(), BoxError> {
        let (numbers, tokens) = numbers(rows);
        self.0.execute(
            "DELETE FROM pulpo_outbox USING unnest($1::bigint[], $2::text[]) AS gone(number, of)
             WHERE id = number AND token = of",
            &[&numbers, &tokens],
        )?;
        Ok(())
    }

    fn release(&mut self, rows: &[Row], _: i64, after: Duration) -> Result<(), BoxError> {
        let (numbers, tokens) = numbers(rows);
        let after = (!after.is_zero()).then(|| millis(after));
        self.0.execute(
            concat!(
                "UPDATE pulpo_outbox SET claimed_until = coalesce(",
                now!(),
                " + $3::bigint, 0)
                 FROM unnest($1::bigint[], $2::text[]) AS ours(number, of) WHERE id = number AND token = of"
            ),
            &[&numbers, &tokens, &after],
        )?;
        Ok(())
    }

    fn counts(&mut self, _: i64) -> Result<OutboxCounts, BoxError> {
        let counts = self.0.query_one(
            concat!(
                "SELECT count(*), count(*) FILTER (WHERE claimed_until BETWEEN ",
                now!(),
                " + $1 + 1 AND ",
                now!(),
                " + $2) FROM pulpo_outbox"
            ),
            &[&millis(CLAIM), &millis(REFUSED_FOR)],
        )?;
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        Ok(OutboxCounts { waiting: count(counts.try_get(0)?), refused: count(counts.try_get(1)?) })
    }
}
