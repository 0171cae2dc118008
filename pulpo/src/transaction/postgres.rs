//! Connections and transactions of the crate `postgres`.

use postgres::{Client, Transaction};

use super::{BoxError, Dialect, SqlClient};

macro_rules! clients {
    ($($client:ty),*) => {
        $(impl SqlClient for $client {
            fn dialect(&self) -> Dialect {
                Dialect::Postgres
            }

            fn insert(&mut self, sql: &'static str, text: &str) -> Result<i64, BoxError> {
                Ok(self.query_one(sql, &[&text])?.try_get(0)?)
            }

            fn answer(&mut self, sql: &'static str, text: &str) -> Result<String, BoxError> {
                Ok(self.query_one(sql, &[&text])?.try_get(0)?)
            }

            fn execute(&mut self, sql: &'static str) -> Result<(), BoxError> {
                Ok(self.batch_execute(sql)?)
            }

            fn ask(&mut self, sql: &'static str) -> Result<Option<String>, BoxError> {
                let row = self.query_opt(sql, &[])?;
                Ok(row.map(|row| row.try_get(0)).transpose()?)
            }
        })*
    };
}

clients!(Client, Transaction<'_>);
