//! Connections and transactions of tokio-postgres.

use tokio_postgres::{Client, Transaction};

use super::{AsyncSqlClient, BoxError, Dialect};

/// tokio-postgres 0.7.
#[doc(hidden)]
#[derive(Debug)]
pub struct TokioPostgres;

macro_rules! clients {
    ($($client:ty),*) => {
        $(impl AsyncSqlClient<TokioPostgres> for $client {
            fn dialect(&self) -> Result<Dialect, BoxError> {
                Ok(Dialect::Postgres)
            }

            async fn insert(&mut self, sql: &'static str, text: String) -> Result<i64, BoxError> {
                Ok(self.query_one(sql, &[&text]).await?.try_get(0)?)
            }

            async fn answer(&mut self, sql: &'static str, text: String) -> Result<String, BoxError> {
                Ok(self.query_one(sql, &[&text]).await?.try_get(0)?)
            }

            async fn execute(&mut self, sql: &'static str) -> Result<(), BoxError> {
                Ok(self.batch_execute(sql).await?)
            }

            async fn ask(&mut self, sql: &'static str) -> Result<Option<String>, BoxError> {
                let row = self.query_opt(sql, &[]).await?;
                Ok(row.map(|row| row.try_get(0)).transpose()?)
            }
        })*
    };
}

clients!(Client, &Client, Transaction<'_>, &Transaction<'_>);
